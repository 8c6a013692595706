//! The `rotate-keys` binary: configuration and Secrets Manager for the flow. Secrets Manager, CloudFormation and operators call it.

use daypass_core::config;
use daypass_core::flow::rotate_keys::RotateKeys;
use daypass_key_loader::SecretsManager;
use daypass_runtime::{BoxError, context, environment, start};
use daypass_verifier::config::ConfigError;
use daypass_verifier::ports::context::Caller;
use daypass_verifier::ports::event::Event;
use lambda_runtime::{LambdaEvent, run, service_fn};
use serde_json::Value;
use std::process::ExitCode;

async fn refuse_all(error: &ConfigError) -> Result<(), BoxError> {
    let failed = Event::InitFailed { detail: error.to_string() };
    context::<Event>().journal.record(&failed, &Caller::default());
    let problems = &error.problems().join("; ");
    run(service_fn(|event: LambdaEvent<Value>| async move {
        daypass_rotate_keys::refuse(problems.clone(), &event.payload).await
    }))
    .await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = match config::rotate_keys(environment) {
            Ok(config) => config,
            // Not the end of the process: CloudFormation would wait for a minute, and could not roll back.
            Err(error) => return refuse_all(&error).await,
        };
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
