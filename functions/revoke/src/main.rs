//! The `revoke` binary: wires configuration, keys, the sessions table and the clock.

use daypass_ambient::{BoxError, ambient, environment, start};
use daypass_core::{config, revoke::Revoke};
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_lambda::{Pages, serve_when_ready};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        // Known while the keys are not yet.
        let pages = Pages::of(config::revoke(environment)?.clients, "POST");
        serve_when_ready(pages, build, daypass_keys::may_pass, |revoke, request| async move {
            daypass_revoke::handle(&revoke, request).await
        })
        .await
    })
    .await
}

async fn build() -> Result<Revoke<DynamoDb>, BoxError> {
    let config = config::revoke(environment)?;
    let keys = daypass_keys::load(&config.keys).await?;
    let store = DynamoDb::connect(TableNames::sessions_only(&config.sessions_table)).await;
    Ok(Revoke::new(config, &keys, store, ambient())?)
}
