//! CloudFormation's custom resources: the answer goes to an address that comes with the event (AWS CloudFormation User Guide,
//! "Custom resource response objects").

use daypass_core::flow::rotate_keys::{Done, Failure};
use daypass_https::{Failed, put};
use serde_json::{Value, json};
use std::time::Duration;

/// For the answer. Without one, the stack waits for an hour.
const DEADLINE: Duration = Duration::from_secs(10);

/// The keys of a stack are one resource, whatever becomes of them: another id would make CloudFormation delete the old one.
const ID: &str = "daypass-key-loader";

/// Whether CloudFormation waits for an answer.
pub(crate) fn is(event: &Value) -> bool {
    event.get("ResponseURL").is_some()
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The address is none.
    #[error("the ResponseURL of the event is no URL")]
    Address,
    /// It could not be sent.
    #[error("CloudFormation could not be answered: {0}")]
    Failed(#[source] Failed),
}

/// Tells CloudFormation how it went.
pub(crate) async fn answer(event: &Value, done: &Result<Done, Failure>) -> Result<(), Unanswered> {
    let url = event["ResponseURL"].as_str().and_then(|url| url.parse().ok()).ok_or(Unanswered::Address)?;
    let body = body(event, done).to_string();
    put(url, body.into_bytes(), DEADLINE).await.map_err(Unanswered::Failed)
}

fn body(event: &Value, done: &Result<Done, Failure>) -> Value {
    let (status, detail, value) = match done {
        Ok(done) => ("SUCCESS", "Data", json!(done)),
        Err(failure) => ("FAILED", "Reason", json!(failure.to_string())),
    };
    json!({
        "Status": status,
        detail: value,
        "PhysicalResourceId": ID,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_repeats_what_it_answers() {
        let event = json!({ "StackId": "s", "RequestId": "r", "LogicalResourceId": "l", "ResponseURL": "x" });
        let good = body(&event, &Ok(Done { jwks: Some("{}".to_owned()), published: None }));
        assert_eq!(
            good,
            json!({
                "Status": "SUCCESS", "PhysicalResourceId": ID, "StackId": "s", "RequestId": "r", "LogicalResourceId": "l",
                "Data": { "Jwks": "{}" },
            })
        );
        let bad = body(&event, &Err(Failure::NoKeys("arn:x".to_owned())));
        assert_eq!((&bad["Status"], bad.get("Data")), (&json!("FAILED"), None));
        assert!(bad["Reason"].as_str().is_some_and(|reason| reason.contains("arn:x")));
    }
}
