//! The `sessions` binary: the sessions table for the flow. It reads no key.

use daypass_aws::SdkConfig;
use daypass_core::config::{self, SessionsConfig};
use daypass_core::flow::sessions::Sessions;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::{Cors, Function};
use daypass_runtime::{BoxError, context};
use daypass_sessions::{METHODS, handle};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Function {
        config: config::sessions,
        cors: |config| Cors::of(&config.clients, METHODS),
        proxy: |config| config.proxy.clone(),
        max_age: |_| None,
        is_temporary: |_| false,
    }
    .run(build, |sessions, request| async move { handle(&sessions, request).await })
    .await
}

async fn build(
    config: SessionsConfig,
    aws: SdkConfig,
    _: Option<Arc<Sessions<DynamoDb>>>,
) -> Result<Sessions<DynamoDb>, BoxError> {
    let store =
        DynamoDb::kept_or_connected(None, &aws, TableNames::sessions_only(&config.sessions_table)).await;
    Ok(Sessions::new(config, store, context()))
}
