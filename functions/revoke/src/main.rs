//! The `revoke` binary: wires configuration, keys, the sessions table and the clock.

use daypass_core::config;
use daypass_core::flow::revoke::Revoke;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::{Cors, serve_when_ready};
use daypass_runtime::{BoxError, context, environment, start};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        // Known while the keys are not yet.
        let config = config::revoke(environment)?;
        let cors = Cors::of(config.clients, "POST");
        serve_when_ready(
            cors,
            config.keys_max_age,
            build,
            daypass_key_loader::may_pass,
            |revoke, request| async move { daypass_revoke::handle(&revoke, request).await },
        )
        .await
    })
    .await
}

async fn build(before: Option<Arc<Revoke<DynamoDb>>>) -> Result<Revoke<DynamoDb>, BoxError> {
    let config = config::revoke(environment)?;
    let keys = daypass_key_loader::load_for_function(&config.keys, &context()).await?;
    let jwks = daypass_key_loader::public(&config.jwks).await?;
    let store = before.map(|before| before.store.clone());
    let store = DynamoDb::kept_or_connected(store, TableNames::sessions_only(&config.sessions_table)).await;
    Ok(Revoke::new(config, &keys, &jwks, store, context())?)
}
