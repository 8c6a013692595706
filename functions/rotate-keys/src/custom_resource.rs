//! CloudFormation's custom resources: the answer goes to an address that comes with the event (AWS CloudFormation User Guide,
//! "Custom resource response objects").

use daypass_core::config;
use daypass_core::flow::rotate_keys::{Done, Failure};
use daypass_https::{Failed, put};
use daypass_verifier::config::authorizer;
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

/// Problems of the documents of settings that CloudFormation is about to give to the functions.
pub(crate) fn problems(event: &Value) -> Option<String> {
    if event["RequestType"] == "Delete" {
        return None;
    }
    let property = |name: &str| event.get("ResourceProperties")?.get(name)?.as_str();
    let issuer = property("Issuer")?;
    let documents = [("Settings", config::TABLES), ("AuthorizerSettings", authorizer::TABLES)];
    let problems = documents.into_iter().filter_map(|(name, tables)| {
        config::check(property(name)?, issuer, tables)
            .err()
            .map(|problems| format!("{name}: {}", problems.join("; ")))
    });
    let problems: Vec<String> = problems.collect();
    (!problems.is_empty()).then(|| problems.join("; "))
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

    /// invariant: A deployment with wrong settings, other than those of passwords, fails before any other function gets them.
    #[test]
    fn wrong_settings_are_problems_of_the_deployment() {
        let check = |kind: &str, settings: &str, authorizer: &str, expected: Option<&str>| {
            let issuer = "https://id.example.com";
            let properties =
                json!({ "Issuer": issuer, "Settings": settings, "AuthorizerSettings": authorizer });
            let problems = problems(&json!({ "RequestType": kind, "ResourceProperties": properties }));
            assert_eq!(problems.is_some(), expected.is_some(), "{problems:?}");
            assert!(
                problems.unwrap_or_default().contains(expected.unwrap_or_default()),
                "{settings} {authorizer}"
            );
        };
        check("Create", "{}", "{}", None);
        check("Update", r#"{"grace_seconds": 10}"#, r#"{"context_claims": "jti"}"#, None);
        check("Update", r#"{"grace": 10}"#, "{}", Some("Settings: `grace`"));
        check("Update", r#"{"grace_seconds": 900}"#, "{}", Some("DAYPASS_GRACE_SECONDS"));
        check("Create", "{}", r#"{"grace_seconds": 10}"#, Some("AuthorizerSettings: `grace_seconds`"));
        check("Delete", r#"{"grace": 10}"#, "{}", None);
        assert_eq!(problems(&json!({ "RequestType": "Create" })), None, "an earlier template");
    }

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
