//! The `authorizer` binary: wires the configuration. It knows public keys only, and asks nobody but the issuer for them.

use daypass_ambient::{ambient, environment, start};
use daypass_authorizer::{Authorizer, Pruned, fetch_from};
use daypass_core::config;
use lambda_runtime::{LambdaEvent, run, service_fn};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::authorizer(environment)?;
        let fetch = fetch_from(&config.keys)?;
        let authorizer = Authorizer::new(config, fetch, ambient())?;
        authorizer.prepare().await;
        let authorizer = &authorizer;
        run(service_fn(|event: LambdaEvent<Pruned>| async move { authorizer.handle(&event.payload.0).await }))
            .await
    })
    .await
}
