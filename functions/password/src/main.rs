//! The `password` binary: keys, tables and password hashing for the flow.

use daypass_aws::SdkConfig;
use daypass_core::config::{self, PasswordConfig};
use daypass_core::flow::password::ChangePassword;
use daypass_dynamodb::{DynamoDb, TableNames};
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
    aws: SdkConfig,
    last: Option<Arc<ChangePassword<DynamoDb>>>,
) -> Result<ChangePassword<DynamoDb>, BoxError> {
    let log = context();
    let before = last.as_ref().map(|last| last.config.clients.clone());
    let tables = TableNames::from(&config.tables).with_outbox(&config.outbox_table);
    let store = DynamoDb::kept_or_connected(last.map(|last| last.store.clone()), &aws, tables);
    let clients = clients(&config.clients, config.clients_secret.as_deref(), &aws, before, &log);
    let (keys, clients, store) = tokio::join!(load_for_function(&config.keys, &aws, &log), clients, store);
    let (keys, config) = (keys?, PasswordConfig { clients: clients?, ..config });
    let passwords = Passwords::configured(config::lookup(&environment))?;
    Ok(ChangePassword::new(config, &keys, store, Box::new(passwords), context())?)
}
