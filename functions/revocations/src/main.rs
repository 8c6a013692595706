//! The `revocations` binary: wires configuration, the index of ended sessions and the clock. It knows no keys at all.

use daypass_core::config;
use daypass_core::flow::feed::Revocations;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::{Cors, serve};
use daypass_runtime::{context, environment, start};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::revocations(environment)?;
        let store = DynamoDb::connect(TableNames::sessions_only(&config.sessions_table)).await;
        let revocations = Arc::new(Revocations::new(&config, store, context()));
        serve(Cors::none(), move |request| {
            let revocations = Arc::clone(&revocations);
            async move { daypass_revocations::handle(&revocations, request).await }
        })
        .await
    })
    .await
}
