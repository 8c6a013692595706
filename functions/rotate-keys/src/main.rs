//! The `rotate-keys` binary: configuration and Secrets Manager for the flow. Secrets Manager, CloudFormation and operators call it.

use daypass_core::config;
use daypass_core::flow::rotate_keys::RotateKeys;
use daypass_key_loader::SecretsManager;
use daypass_runtime::{context, environment, start};
use lambda_runtime::{LambdaEvent, run, service_fn};
use serde_json::Value;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::rotate_keys(environment)?;
        let vault = SecretsManager::connect(&daypass_aws::load().await);
        let rotate = RotateKeys { config, vault, context: context() };
        let rotate = &rotate;
        run(service_fn(|event: LambdaEvent<Value>| async move {
            Box::pin(daypass_rotate_keys::handle(rotate, &event.payload)).await
        }))
        .await
    })
    .await
}
