//! The `refresh` binary: keys and the sessions table for the flow.

use daypass_aws::SdkConfig;
use daypass_core::config::{self, RefreshConfig};
use daypass_core::flow::client_credentials::ClientCredentials;
use daypass_core::flow::refresh::Refresh;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_key_loader::{clients, is_temporary, load_for_function, machines};
use daypass_lambda::{Cors, Function};
use daypass_refresh::{METHODS, handle};
use daypass_runtime::{BoxError, context};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Function {
        config: config::refresh,
        cors: |config| Cors::of(&config.clients, METHODS),
        proxy: |config| config.proxy.clone(),
        max_age: |config| Some(config.keys_max_age),
        is_temporary,
    }
    .run(build, |refresh, request| async move { handle(&refresh, request).await })
    .await
}

async fn build(
    config: RefreshConfig,
    aws: SdkConfig,
    last: Option<Arc<Refresh<DynamoDb>>>,
) -> Result<Refresh<DynamoDb>, BoxError> {
    let log = context();
    let before = last.as_ref().map(|last| last.config.clients.clone());
    let known = last.as_ref().map(|last| last.clients.registry().clone());
    let tables = TableNames::sessions_and_attempts(&config.sessions_table, &config.attempts_table);
    let store = DynamoDb::kept_or_connected(last.map(|last| last.store.clone()), &aws, tables);
    let clients = clients(&config.clients, config.clients_secret.as_deref(), &aws, before, &log);
    let machines = machines(config.machines.as_deref(), &aws, known, &log);
    let (keys, clients, machines, store) =
        tokio::join!(load_for_function(&config.keys, &aws, &log), clients, machines, store);
    let (keys, config) = (keys?, RefreshConfig { clients: clients?, ..config });
    let clients = ClientCredentials::new(&config.issuer, machines);
    Ok(Refresh { clients, ..Refresh::new(config, &keys, store, context())? })
}
