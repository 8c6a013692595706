//! The `authorizer` binary: wires the configuration. It knows public keys only and asks nobody.

use daypass_ambient::{ambient, environment, start};
use daypass_authorizer::Authorizer;
use daypass_core::config;
use lambda_runtime::{LambdaEvent, run, service_fn};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let authorizer = Authorizer::new(config::authorizer(environment)?, ambient())?;
        let authorizer = &authorizer;
        run(service_fn(|event: LambdaEvent<_>| async move { authorizer.handle(&event.payload) })).await
    })
    .await
}
