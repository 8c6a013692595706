//! The `admin` binary: the tables, the peppers and password hashing for the operations.

use daypass_admin::ClientDocument;
use daypass_admin_function::{AdminApi, handle};
use daypass_aws::SdkConfig;
use daypass_core::config::{self, AdminConfig};
use daypass_core::keys::Peppers;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_key_loader::{SecretsManager, is_temporary, load_for_function};
use daypass_lambda::{Cors, Function};
use daypass_passwords::Passwords;
use daypass_runtime::{BoxError, context, environment};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Function {
        config: config::admin,
        cors: |_| Cors::None,
        // IAM authorises each request, also past a CDN.
        proxy: |_| None,
        max_age: |config| Some(config.keys_max_age),
        is_temporary,
    }
    .run(build, |api, request| async move { handle(&api, request).await })
    .await
}

async fn build(
    config: AdminConfig,
    aws: SdkConfig,
    last: Option<Arc<AdminApi>>,
) -> Result<AdminApi, BoxError> {
    let log = context();
    let tables = TableNames::users_and_sessions(&config.users_table, &config.sessions_table)
        .with_outbox(&config.outbox_table);
    let store = DynamoDb::kept_or_connected(last.map(|last| last.store.clone()), &aws, tables);
    let (keys, store) = tokio::join!(load_for_function(&config.keys, &aws, &log), store);
    let passwords = Passwords::configured(config::lookup(&environment))?;
    let vault = SecretsManager::connect(&aws);
    let clients = ClientDocument { source: config.machines.unwrap_or_default(), vault };
    Ok(AdminApi { store, clients, peppers: Peppers::from_document(&keys?)?, passwords, context: context() })
}
