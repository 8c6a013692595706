//! The `revocations` binary: the index of ended sessions for the feed. It reads no key.

use daypass_aws::SdkConfig;
use daypass_core::config::{self, RevocationsConfig};
use daypass_core::flow::feed::Revocations;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::{Cors, Function};
use daypass_revocations::handle;
use daypass_runtime::{BoxError, context};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Function {
        config: config::revocations,
        cors: |_| Cors::Public,
        // The documents are public, and authorizers read them at function URLs, past a proxy.
        proxy: |_| None,
        max_age: |_| None,
        is_temporary: |_| false,
    }
    .run(build, |revocations, request| async move { handle(&revocations, request).await })
    .await
}

async fn build(
    config: RevocationsConfig,
    aws: SdkConfig,
    _: Option<Arc<Revocations<DynamoDb>>>,
) -> Result<Revocations<DynamoDb>, BoxError> {
    let store =
        DynamoDb::kept_or_connected(None, &aws, TableNames::sessions_only(&config.sessions_table)).await;
    Ok(Revocations::new(&config, store, context()))
}
