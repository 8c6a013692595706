//! The `account` binary: keys, tables and password hashing for the flows.

use daypass_account::{METHODS, handle};
use daypass_aws::SdkConfig;
use daypass_core::config::{self, AccountConfig};
use daypass_core::flow::account::Account;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_key_loader::{clients, is_temporary, load_for_function};
use daypass_lambda::{Cors, Function};
use daypass_passwords::Passwords;
use daypass_runtime::{BoxError, context, environment};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Function {
        config: config::account,
        cors: |config| Cors::of(&config.clients, METHODS),
        proxy: |config| config.proxy.clone(),
        max_age: |config| Some(config.keys_max_age),
        is_temporary,
    }
    .run(build, |account, request| async move { handle(&account, request).await })
    .await
}

async fn build(
    config: AccountConfig,
    aws: SdkConfig,
    last: Option<Arc<Account<DynamoDb>>>,
) -> Result<Account<DynamoDb>, BoxError> {
    let log = context();
    let before = last.as_ref().map(|last| last.config.clients.clone());
    let tables = TableNames::from(&config.tables).with_outbox(&config.outbox_table);
    let store = DynamoDb::kept_or_connected(last.map(|last| last.store.clone()), &aws, tables);
    let clients = clients(&config.clients, config.clients_secret.as_deref(), &aws, before, &log);
    let (keys, clients, store) = tokio::join!(load_for_function(&config.keys, &aws, &log), clients, store);
    let (keys, config) = (keys?, AccountConfig { clients: clients?, ..config });
    let passwords = Passwords::configured(config::lookup(&environment))?;
    Ok(Account::new(config, &keys, store, Box::new(passwords), context())?)
}
