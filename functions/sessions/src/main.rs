//! The `sessions` binary: the clients and the sessions table for the flow. It reads no key.

use daypass_aws::SdkConfig;
use daypass_core::config::{self, SessionsConfig};
use daypass_core::flow::sessions::Sessions;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_key_loader::{clients, is_temporary};
use daypass_lambda::{Cors, Function};
use daypass_runtime::{BoxError, context};
use daypass_sessions::{METHODS, handle};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Function {
        config: config::sessions,
        cors: |config| Cors::of(&config.clients, METHODS),
        proxy: |config| config.proxy.clone(),
        max_age: |config| config.clients_secret.as_ref().map(|_| config.keys_max_age),
        is_temporary,
    }
    .run(build, |sessions, request| async move { handle(&sessions, request).await })
    .await
}

async fn build(
    config: SessionsConfig,
    aws: SdkConfig,
    last: Option<Arc<Sessions<DynamoDb>>>,
) -> Result<Sessions<DynamoDb>, BoxError> {
    let log = context();
    let before = last.as_ref().map(|last| last.config.clients.clone());
    let tables = TableNames::sessions_only(&config.sessions_table);
    let store = DynamoDb::kept_or_connected(last.map(|last| last.store.clone()), &aws, tables);
    let (clients, store) =
        tokio::join!(clients(&config.clients, config.clients_secret.as_deref(), &aws, before, &log), store);
    let config = SessionsConfig { clients: clients?, ..config };
    Ok(Sessions::new(config, store, context()))
}
