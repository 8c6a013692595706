//! `mailer`: sends the mails of the outbox, and marks addresses to which SES could not deliver.
//!
//! The stream of the outbox calls it with new items
//! ([DynamoDB Streams events](https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html)), and EventBridge with reports of SES
//! ([event data](https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html)).

use daypass_core::account::Undeliverable;
use daypass_core::account::address::EmailAddress;
use daypass_core::flow::mailer::Mailer;
use daypass_core::http::answer::record;
use daypass_core::ports::event::Event;
use daypass_core::ports::mail::{MailSender, MailerStore};
use daypass_dynamodb::mail_request;
use daypass_verifier::ports::context::Caller;
use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::error::Error;

/// Handles an event. The answer to records of the stream names those that have to come again.
///
/// # Errors
/// A report of SES that was not written. EventBridge sends it again.
pub async fn handle<S: MailerStore, M: MailSender>(
    mailer: &Mailer<S, M>,
    event: &Value,
) -> Result<Value, Box<dyn Error + Send + Sync>> {
    if let Some(records) = event["Records"].as_array() {
        // In parallel: SES takes a tenth of a second for a mail, and eight seconds when it hangs.
        let failed = join_all(records.iter().map(|record| deliver(mailer, record).boxed())).await;
        let failed: Vec<Value> =
            failed.into_iter().flatten().map(|number| json!({ "itemIdentifier": number })).collect();
        return Ok(json!({ "batchItemFailures": failed }));
    }
    if event["source"] == "aws.ses" {
        for (address, cause) in undeliverable(&event["detail"]) {
            let outcome = mailer.mark(&address, cause).boxed().await;
            record(outcome, &mailer.context, &Caller::default())
                .map_err(|_| "an address was not marked: see the event `failure`")?;
        }
    }
    Ok(Value::Null)
}

/// Sends the mail of a record. Returns the number of a record that has to come again.
async fn deliver<'r, S: MailerStore, M: MailSender>(
    mailer: &Mailer<S, M>,
    stream: &'r Value,
) -> Option<&'r Value> {
    if stream["eventName"] != "INSERT" {
        return None;
    }
    let (item, caller) = (&stream["dynamodb"], Caller::default());
    match mail_request(&item["NewImage"]) {
        Ok(request) => {
            let outcome = mailer.deliver(&request).await;
            record(outcome, &mailer.context, &caller).is_err().then_some(&item["SequenceNumber"])
        }
        Err(error) => {
            // It would stay unreadable.
            let failed = Event::Failure { during: "read_outbox", detail: error.to_string() };
            mailer.context.journal.record(&failed, &caller);
            None
        }
    }
}

/// The addresses of a report that get no more mails.
fn undeliverable(report: &Value) -> Vec<(EmailAddress, Undeliverable)> {
    let text = |pointer: &str| report.pointer(pointer).and_then(Value::as_str);
    let (recipients, cause) = match text("/eventType") {
        // A transient bounce is a full mailbox, say.
        Some("Bounce") if text("/bounce/bounceType") == Some("Permanent") => {
            ("/bounce/bouncedRecipients", Undeliverable::Bounced)
        }
        Some("Complaint") if text("/complaint/complaintFeedbackType") != Some("not-spam") => {
            ("/complaint/complainedRecipients", Undeliverable::Complained)
        }
        _ => return Vec::new(),
    };
    let recipients = report.pointer(recipients).and_then(Value::as_array).into_iter().flatten();
    let addresses = recipients.filter_map(|recipient| recipient.get("emailAddress")?.as_str());
    addresses.filter_map(|text| Some((EmailAddress::parse(text).ok()?, cause))).collect()
}
