//! The `authorizer` binary: wires the configuration. It knows public keys only, and asks nobody but the issuer for them.

use daypass_ambient::{BoxError, ambient, environment, start};
use daypass_authorizer::{Authorizer, Fetch};
use daypass_core::config::{self, JWKS_DEADLINE, JWKS_MAX_BYTES, KeySource};
use daypass_https::Document;
use lambda_runtime::{LambdaEvent, run, service_fn};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::authorizer(environment)?;
        let fetch = fetch(&config.keys)?;
        let authorizer = Authorizer::new(config, fetch, ambient())?;
        authorizer.prepare().await;
        let authorizer = &authorizer;
        run(service_fn(|event: LambdaEvent<_>| async move { authorizer.handle(&event.payload).await })).await
    })
    .await
}

/// Asks the configured address, if there is one.
fn fetch(keys: &KeySource) -> Result<Option<Fetch>, BoxError> {
    let KeySource::Url { url, .. } = keys else { return Ok(None) };
    let document = Arc::new(Document::new(url.clone(), JWKS_DEADLINE, JWKS_MAX_BYTES)?);
    Ok(Some(Box::new(move || {
        let document = Arc::clone(&document);
        Box::pin(async move { document.get().await.map_err(|failed| failed.to_string()) })
    })))
}
