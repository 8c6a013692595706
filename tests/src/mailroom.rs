//! The mailer of a [`Service`] over a local SES, and the records of the outbox that start it.

use crate::aws::aws_at;
use crate::bench::Bench;
use crate::service::Service;
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::flow::mailer::Mailer;
use daypass_dynamodb::DynamoDb;
use daypass_testkit::ses::{Mail, Ses};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// A mailer and its SES.
pub struct Mailroom {
    /// The local SES.
    pub ses: Ses,
    /// The mailer's own recorder and store.
    pub bench: Bench,
    mailer: Mailer<DynamoDb, daypass_mail::Ses>,
    /// Ids of the items that became records.
    seen: Mutex<BTreeSet<String>>,
}

impl Mailroom {
    /// The mailer of the service, whose tables are on the DynamoDB at this URL.
    pub async fn of(service: &Service, dynamodb: &str) -> Self {
        let (ses, bench) = (Ses::start().await.unwrap(), service.bench.again(dynamodb).await);
        let aws = aws_at(ses.url());
        let config = service.mailer.clone();
        let sender = daypass_mail::Ses::new(
            &aws,
            config.from.clone(),
            config.templates.clone(),
            config.configuration_set.clone(),
        );
        let store = bench.store.clone();
        let mailer = Mailer::new(config, &service.keys, store, sender, service.context()).unwrap();
        Self { ses, bench, mailer, seen: Mutex::default() }
    }

    /// The event of the outbox's stream with the items that were added since the last call.
    pub async fn records(&self) -> Value {
        let scan = self.bench.raw.scan().table_name(&self.bench.outbox).send().await.unwrap();
        let mut records = Vec::new();
        for item in scan.items() {
            let id = item["id"].as_s().unwrap().clone();
            if !self.seen.lock().unwrap().insert(id.clone()) {
                continue;
            }
            let attribute = |value: &AttributeValue| match value {
                AttributeValue::S(text) => json!({ "S": text }),
                AttributeValue::N(number) => json!({ "N": number }),
                other => panic!("{other:?}"),
            };
            let image: Value = item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
            records.push(json!({
                "eventName": "INSERT",
                "eventSource": "aws:dynamodb",
                "dynamodb": { "Keys": { "id": { "S": id } }, "NewImage": image, "SequenceNumber": id },
            }));
        }
        json!({ "Records": records })
    }

    /// Gives the mailer an event. Returns the numbers of the records that have to come again.
    pub async fn deliver(&self, event: &Value) -> Vec<Value> {
        let answer = daypass_mailer::handle(&self.mailer, event).await.unwrap();
        answer["batchItemFailures"].as_array().cloned().unwrap_or_default()
    }

    /// Delivers everything new, and takes the mails.
    pub async fn mails(&self) -> Vec<Mail> {
        let event = self.records().await;
        assert_eq!(self.deliver(&event).await, Vec::<Value>::new());
        self.ses.take()
    }
}

/// The token in the link of a mail, and its code. Panics if the mail has none.
#[must_use]
pub fn token_and_code(mail: &Mail) -> (String, String) {
    (token(mail), code(mail).unwrap())
}

/// The token in the link of a mail. Panics if the mail has none.
#[must_use]
pub fn token(mail: &Mail) -> String {
    let link = mail.text.lines().find(|line| line.starts_with("http")).unwrap();
    link.split_once('#').unwrap().1.to_owned()
}

/// The code of a mail.
#[must_use]
pub fn code(mail: &Mail) -> Option<String> {
    let is_code = |word: &&str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_digit());
    mail.text.split_whitespace().find(is_code).map(str::to_owned)
}
