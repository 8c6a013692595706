//! The `refresh` binary: wires configuration, keys, the sessions table and the clock.

use daypass_ambient::{ambient, environment, start};
use daypass_core::{config, refresh::Refresh};
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::serve;
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::refresh(environment)?;
        let keys = daypass_keys::load(&config.keys).await?;
        let store = DynamoDb::connect(TableNames::sessions_only(&config.sessions_table)).await;
        let refresh = Arc::new(Refresh::new(config, &keys, store, ambient())?);
        serve(move |request| {
            let refresh = Arc::clone(&refresh);
            async move { daypass_refresh::handle(&refresh, request).await }
        })
        .await
    })
    .await
}
