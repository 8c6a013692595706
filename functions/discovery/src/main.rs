//! The `discovery` binary: wires the configuration. It knows public keys only.

use daypass_core::config;
use daypass_core::http::discovery::Discovery;
use daypass_lambda::{Cors, serve_when_ready};
use daypass_runtime::{BoxError, environment, start};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let keys_max_age = config::discovery(environment)?.keys_max_age;
        serve_when_ready(
            Cors::none(),
            keys_max_age,
            build,
            daypass_key_loader::may_pass,
            |discovery, request| async move { daypass_discovery::handle(&discovery, request).await },
        )
        .await
    })
    .await
}

async fn build(_: Option<Arc<Discovery>>) -> Result<Discovery, BoxError> {
    let config = config::discovery(environment)?;
    let jwks = daypass_key_loader::public(&config.jwks).await?;
    Ok(Discovery::new(&config.issuer, &jwks)?)
}
