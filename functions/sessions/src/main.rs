//! The `sessions` binary: wires configuration, the sessions table and the clock. It knows no keys at all.

use daypass_core::config;
use daypass_core::flow::sessions::Sessions;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::{Cors, serve};
use daypass_runtime::{context, environment, start};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::sessions(environment)?;
        let cors = Cors::of(config.clients.clone(), "GET, DELETE");
        let store = DynamoDb::connect(TableNames::sessions_only(&config.sessions_table)).await;
        let sessions = Arc::new(Sessions::new(config, store, context()));
        serve(cors, move |request| {
            let sessions = Arc::clone(&sessions);
            async move { daypass_sessions::handle(&sessions, request).await }
        })
        .await
    })
    .await
}
