//! The `password` binary: wires configuration, peppers, tables and clock.

use daypass_ambient::{BoxError, ambient, environment, start};
use daypass_core::{config, password::ChangePassword};
use daypass_credentials::Passwords;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::{Pages, serve_when_ready};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        // Known while the keys are not yet.
        let pages = Pages::of(config::password(environment)?.clients, "POST");
        serve_when_ready(pages, build, daypass_keys::may_pass, |password, request| async move {
            daypass_password::handle(&password, request).await
        })
        .await
    })
    .await
}

async fn build() -> Result<ChangePassword<DynamoDb>, BoxError> {
    let config = config::password(environment)?;
    let keys = daypass_keys::load(&config.keys).await?;
    let store = DynamoDb::connect(TableNames::from(&config.tables)).await;
    let passwords = Passwords::configured(environment)?;
    Ok(ChangePassword::new(config, &keys, store, Box::new(passwords), ambient())?)
}
