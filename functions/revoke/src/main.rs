//! The `revoke` binary: keys and the sessions table for the flow.

use daypass_aws::SdkConfig;
use daypass_core::config::{self, RevokeConfig};
use daypass_core::flow::revoke::Revoke;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_key_loader::{clients, is_temporary, load_for_function, public};
use daypass_lambda::{Cors, Function};
use daypass_revoke::{METHODS, handle};
use daypass_runtime::{BoxError, context};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Function {
        config: config::revoke,
        cors: |config| Cors::of(&config.clients, METHODS),
        proxy: |config| config.proxy.clone(),
        max_age: |config| Some(config.keys_max_age),
        is_temporary,
    }
    .run(build, |revoke, request| async move { handle(&revoke, request).await })
    .await
}

async fn build(
    config: RevokeConfig,
    aws: SdkConfig,
    last: Option<Arc<Revoke<DynamoDb>>>,
) -> Result<Revoke<DynamoDb>, BoxError> {
    let log = context();
    let before = last.as_ref().map(|last| last.config.clients.clone());
    let tables = TableNames::sessions_only(&config.sessions_table);
    let store = DynamoDb::kept_or_connected(last.map(|last| last.store.clone()), &aws, tables);
    // In parallel: each may take 3 s, and the function has 5 s.
    let clients = clients(&config.clients, config.clients_secret.as_deref(), &aws, before, &log);
    let jwks = public(&config.jwks, &aws);
    let (keys, jwks, clients, store) =
        tokio::join!(load_for_function(&config.keys, &aws, &log), jwks, clients, store);
    let (keys, jwks, config) = (keys?, jwks?, RevokeConfig { clients: clients?, ..config });
    Ok(Revoke::new(config, &keys, &jwks, store, context())?)
}
