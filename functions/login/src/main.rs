//! The `login` binary: wires configuration, keys, tables and clock.

use daypass_ambient::{ambient, environment, start};
use daypass_core::{config, login::Login};
use daypass_credentials::Passwords;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::serve;
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::login(environment)?;
        let keys = daypass_keys::load(&config.keys).await?;
        let store = DynamoDb::connect(TableNames::from(&config.tables)).await;
        let login = Arc::new(Login::new(config, &keys, store, Box::new(Passwords::standard()), ambient())?);
        serve(move |request| {
            let login = Arc::clone(&login);
            async move { daypass_login::handle(&login, request).await }
        })
        .await
    })
    .await
}
