//! The `discovery` binary: public keys for the documents.

use daypass_aws::SdkConfig;
use daypass_core::config::{self, DiscoveryConfig};
use daypass_core::http::discovery::Discovery;
use daypass_discovery::handle;
use daypass_key_loader::{is_temporary, public};
use daypass_lambda::{Cors, Function};
use daypass_runtime::BoxError;
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Function {
        config: config::discovery,
        cors: |_| Cors::Public,
        // The documents are public, and authorizers read them at function URLs, past a proxy.
        proxy: |_| None,
        max_age: |config| Some(config.keys_max_age),
        is_temporary,
    }
    .run(build, |discovery, request| async move { handle(&discovery, request).await })
    .await
}

async fn build(
    config: DiscoveryConfig,
    aws: SdkConfig,
    _: Option<Arc<Discovery>>,
) -> Result<Discovery, BoxError> {
    let jwks = public(&config.jwks, &aws).await?;
    Ok(Discovery::new(&config.issuer, &jwks)?)
}
