//! The `refresh` binary: wires configuration, keys, the sessions table and the clock.

use daypass_core::config;
use daypass_core::flow::refresh::Refresh;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::{Cors, serve_when_ready};
use daypass_runtime::{BoxError, context, environment, start};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        // Known while the keys are not yet.
        let config = config::refresh(environment)?;
        let cors = Cors::of(config.clients, "POST");
        serve_when_ready(
            cors,
            config.keys_max_age,
            build,
            daypass_key_loader::may_pass,
            |refresh, request| async move { daypass_refresh::handle(&refresh, request).await },
        )
        .await
    })
    .await
}

async fn build(before: Option<Arc<Refresh<DynamoDb>>>) -> Result<Refresh<DynamoDb>, BoxError> {
    let config = config::refresh(environment)?;
    let keys = daypass_key_loader::load_for_function(&config.keys, &context()).await?;
    let store = before.map(|before| before.store.clone());
    let store = DynamoDb::kept_or_connected(store, TableNames::sessions_only(&config.sessions_table)).await;
    Ok(Refresh::new(config, &keys, store, context())?)
}
