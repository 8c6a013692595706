//! The `introspect` binary: public keys, machine clients and the sessions table for the flow.

use daypass_aws::SdkConfig;
use daypass_core::config::{self, IntrospectConfig};
use daypass_core::flow::introspect::Introspect;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_introspect::handle;
use daypass_key_loader::{is_temporary, machines, public};
use daypass_lambda::{Cors, Function};
use daypass_runtime::{BoxError, context};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Function {
        config: config::introspect,
        cors: |_| Cors::None,
        proxy: |config| config.proxy.clone(),
        max_age: |config| Some(config.keys_max_age),
        is_temporary,
    }
    .run(build, |introspect, request| async move { handle(&introspect, request).await })
    .await
}

async fn build(
    config: IntrospectConfig,
    aws: SdkConfig,
    last: Option<Arc<Introspect<DynamoDb>>>,
) -> Result<Introspect<DynamoDb>, BoxError> {
    let log = context();
    let known = last.as_ref().map(|last| last.clients.registry().clone());
    let tables = TableNames::sessions_and_attempts(&config.sessions_table, &config.attempts_table);
    let store = DynamoDb::kept_or_connected(last.map(|last| last.store.clone()), &aws, tables);
    let machines = machines(config.machines.as_deref(), &aws, known, &log);
    let jwks = public(&config.jwks, &aws);
    let (machines, jwks, store) = tokio::join!(machines, jwks, store);
    Ok(Introspect::new(&config, &jwks?, machines, store, context())?)
}
