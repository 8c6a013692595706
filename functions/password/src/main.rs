//! The `password` binary: peppers, tables and password hashing for the flow.

use daypass_core::config::{self, PasswordConfig};
use daypass_core::flow::password::ChangePassword;
use daypass_dynamodb::DynamoDb;
use daypass_key_loader::{clients, is_temporary, load_for_function};
use daypass_lambda::{Cors, Function};
use daypass_password::{METHODS, handle};
use daypass_passwords::Passwords;
use daypass_runtime::{BoxError, context, environment};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Function {
        config: config::password,
        cors: |config| Cors::of(&config.clients, METHODS),
        proxy: |config| config.proxy.clone(),
        max_age: |config| Some(config.keys_max_age),
        is_temporary,
    }
    .run(build, |password, request| async move { handle(&password, request).await })
    .await
}

async fn build(
    config: PasswordConfig,
    last: Option<Arc<ChangePassword<DynamoDb>>>,
) -> Result<ChangePassword<DynamoDb>, BoxError> {
    let log = context();
    let listed = clients(&config.clients, config.clients_secret.as_deref());
    let (keys, clients) = tokio::try_join!(load_for_function(&config.keys, &log), listed)?;
    let config = PasswordConfig { clients, ..config };
    let store =
        DynamoDb::kept_or_connected(last.map(|last| last.store.clone()), (&config.tables).into()).await;
    let passwords = Passwords::configured(config::lookup(environment))?;
    Ok(ChangePassword::new(config, &keys, store, Box::new(passwords), context())?)
}
