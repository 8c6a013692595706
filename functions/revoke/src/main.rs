//! The `revoke` binary: wires configuration, keys, the sessions table and the clock.

use daypass_ambient::{ambient, environment, start};
use daypass_core::{config, revoke::Revoke};
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::serve;
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::revoke(environment)?;
        let keys = daypass_keys::load(&config.keys).await?;
        let store = DynamoDb::connect(TableNames::sessions_only(&config.sessions_table)).await;
        let revoke = Arc::new(Revoke::new(config, &keys, store, ambient())?);
        serve(move |request| {
            let revoke = Arc::clone(&revoke);
            async move { daypass_revoke::handle(&revoke, request).await }
        })
        .await
    })
    .await
}
