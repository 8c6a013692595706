//! The `login` binary: keys, tables and password hashing for the flow.

use daypass_aws::SdkConfig;
use daypass_core::config::{self, LoginConfig};
use daypass_core::flow::login::Login;
use daypass_dynamodb::DynamoDb;
use daypass_key_loader::{clients, is_temporary, load_for_function};
use daypass_lambda::{Cors, Function};
use daypass_login::{METHODS, handle};
use daypass_migration::COGNITO_ENDPOINT;
use daypass_passwords::Passwords;
use daypass_runtime::{BoxError, context, environment};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Function {
        config: config::login,
        cors: |config| Cors::of(&config.clients, METHODS),
        proxy: |config| config.proxy.clone(),
        max_age: |config| Some(config.keys_max_age),
        is_temporary,
    }
    .run(build, |login, request| async move { handle(&login, request).await })
    .await
}

async fn build(
    config: LoginConfig,
    aws: SdkConfig,
    last: Option<Arc<Login<DynamoDb>>>,
) -> Result<Login<DynamoDb>, BoxError> {
    let log = context();
    let before = last.as_ref().map(|last| last.config.clients.clone());
    let store =
        DynamoDb::kept_or_connected(last.map(|last| last.store.clone()), &aws, (&config.tables).into());
    let clients = clients(&config.clients, config.clients_secret.as_deref(), &aws, before, &log);
    let (keys, clients, store) = tokio::join!(load_for_function(&config.keys, &aws, &log), clients, store);
    let (keys, config) = (keys?, LoginConfig { clients: clients?, ..config });
    let passwords = Passwords::configured(config::lookup(&environment))?;
    let endpoint = environment(COGNITO_ENDPOINT);
    let old_system = config
        .migrate_from
        .as_ref()
        .map(|from| daypass_migration::connect(from, endpoint.as_deref(), &config.issuer, &keys));
    let old_system = old_system.transpose()?;
    Ok(Login { old_system, ..Login::new(config, &keys, store, Box::new(passwords), context())? })
}
