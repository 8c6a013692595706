//! The `mailer` binary: keys, tables and SES for the flow.

use daypass_aws::SdkConfig;
use daypass_core::config::{self, MailerConfig};
use daypass_core::flow::mailer::Mailer;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_key_loader::{clients, load_for_function};
use daypass_lambda::Built;
use daypass_mail::Ses;
use daypass_mailer::handle;
use daypass_runtime::{BoxError, context, environment, start};
use futures_util::FutureExt;
use lambda_runtime::{LambdaEvent, run, service_fn};
use serde_json::Value;
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::mailer(environment)?;
        let (aws, max_age) = (daypass_aws::load().await, config.keys_max_age);
        let mailer =
            Built::new(Arc::new(context()), max_age, move |last| build(config.clone(), aws.clone(), last));
        let mailer = &mailer;
        let answer = |event: LambdaEvent<Value>| {
            // Without keys, the event fails, and its sender repeats it.
            async move { handle(&*mailer.get().await?, &event.payload).await }.boxed()
        };
        run(service_fn(answer)).await
    })
    .await
}

async fn build(
    config: MailerConfig,
    aws: SdkConfig,
    last: Option<Arc<Mailer<DynamoDb, Ses>>>,
) -> Result<Mailer<DynamoDb, Ses>, BoxError> {
    let log = context();
    let before = last.as_ref().map(|last| last.config.clients.clone());
    let tables = TableNames::mailer_only(&config.users_table, &config.outbox_table);
    let ses = last.as_ref().map(|last| last.sender.clone()).unwrap_or_else(|| {
        let MailerConfig { from, templates, configuration_set, .. } = config.clone();
        Ses::new(&aws, from, templates, configuration_set)
    });
    let store = DynamoDb::kept_or_connected(last.map(|last| last.store.clone()), &aws, tables);
    let clients = clients(&config.clients, config.clients_secret.as_deref(), &aws, before, &log);
    let (keys, clients, store) = tokio::join!(load_for_function(&config.keys, &aws, &log), clients, store);
    let (keys, config) = (keys?, MailerConfig { clients: clients?, ..config });
    Ok(Mailer::new(config, &keys, store, ses, context())?)
}
