//! The `revoke` binary: keys and the sessions table for the flow.

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
    last: Option<Arc<Revoke<DynamoDb>>>,
) -> Result<Revoke<DynamoDb>, BoxError> {
    let log = context();
    // In parallel: each may take 3 s, and the function has 5 s.
    let listed = clients(&config.clients, config.clients_secret.as_deref());
    let (keys, jwks, clients) =
        tokio::try_join!(load_for_function(&config.keys, &log), public(&config.jwks), listed)?;
    let config = RevokeConfig { clients, ..config };
    let tables = TableNames::sessions_only(&config.sessions_table);
    let store = DynamoDb::kept_or_connected(last.map(|last| last.store.clone()), tables).await;
    Ok(Revoke::new(config, &keys, &jwks, store, context())?)
}
