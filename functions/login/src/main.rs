//! The `login` binary: wires configuration, keys, tables and clock.

use daypass_core::config;
use daypass_core::flow::login::Login;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::{Cors, serve_when_ready};
use daypass_passwords::Passwords;
use daypass_runtime::{BoxError, context, environment, start};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        // Known while the keys are not yet.
        let config = config::login(environment)?;
        let cors = Cors::of(config.clients, "POST");
        serve_when_ready(
            cors,
            config.keys_max_age,
            build,
            daypass_key_loader::may_pass,
            |login, request| async move { daypass_login::handle(&login, request).await },
        )
        .await
    })
    .await
}

async fn build(before: Option<Arc<Login<DynamoDb>>>) -> Result<Login<DynamoDb>, BoxError> {
    let config = config::login(environment)?;
    let keys = daypass_key_loader::load_for_function(&config.keys, &context()).await?;
    let store = before.map(|before| before.store.clone());
    let store = DynamoDb::kept_or_connected(store, TableNames::from(&config.tables)).await;
    let passwords = Passwords::configured(environment)?;
    Ok(Login::new(config, &keys, store, Box::new(passwords), context())?)
}
