//! The binary as Lambda runs it: events of API Gateway, a key file and the embedded DynamoDB.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use daypass_core::config::Tables;
use daypass_core::keys::Document;
use daypass_dynamodb::{DynamoDb, LOCAL_ACCESS_KEY_ID, LOCAL_REGION, LOCAL_SECRET_ACCESS_KEY};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_testkit::embedded::Embedded;
use daypass_testkit::runtime_api::Function;
use daypass_testkit::{Answer, event};
use daypass_verifier::base::time::Clock;
use daypass_verifier::jose::jwk::Algorithm;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

const ARN: &str = "arn:aws:sts::123456789012:assumed-role/support/ada";

struct Admin {
    function: Function,
    _embedded: Embedded,
    _folder: TempDir,
}

impl Admin {
    async fn start() -> Self {
        let embedded = Embedded::start(None).unwrap();
        let name = |table: &str| format!("daypass-{table}");
        let tables = Tables { users: name("users"), sessions: name("sessions"), attempts: name("attempts") };
        DynamoDb::local(&embedded.url(), (&tables).into()).create_tables().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys.json");
        let document = Document::generate(Algorithm::Es256, &OsEntropy, SystemClock.now()).unwrap();
        std::fs::write(&keys, document.to_json().unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_admin"));
        command.env_clear().env("DAYPASS_KEYS", &keys).envs([
            ("AWS_REGION", LOCAL_REGION),
            ("AWS_ACCESS_KEY_ID", LOCAL_ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", LOCAL_SECRET_ACCESS_KEY),
            ("AWS_ENDPOINT_URL_DYNAMODB", &embedded.url()),
            ("DAYPASS_USERS_TABLE", &tables.users),
            ("DAYPASS_SESSIONS_TABLE", &tables.sessions),
            ("DAYPASS_OUTBOX_TABLE", "daypass-outbox"),
        ]);
        let function = Function::start("admin", command).await.unwrap();
        Self { function, _embedded: embedded, _folder: folder }
    }

    async fn ask(&mut self, method: &str, path: &str, query: &str, body: &str, authorizer: &Value) -> Answer {
        let mut event = event::http(method, path, "application/json", body);
        event["rawQueryString"] = query.into();
        event["requestContext"]["authorizer"] = authorizer.clone();
        Answer::of_function(&self.function.invoke(&event).await.unwrap())
    }

    /// As an operator.
    async fn operate(&mut self, method: &str, path: &str, query: &str, body: &str) -> Answer {
        let iam = json!({ "iam": { "accessKey": "ASIA", "accountId": "123456789012", "userArn": ARN } });
        self.ask(method, path, query, body, &iam).await
    }

    /// The next event of the log besides those of the start.
    async fn logged(&mut self) -> Value {
        loop {
            let event = self.function.event().await.unwrap();
            if event["event"] != "keys.loaded" {
                return event;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation() {
    let mut admin = Admin::start().await;
    let password = "correct horse battery staple";
    // A name with characters that end a path, separate it or are encoded.
    let (name, query) = ("a/b?c#d%41+ü@example.com", "username=a%2Fb%3Fc%23d%2541%2B%C3%BC%40example.com");
    let new = json!({ "username": name, "password": password }).to_string();
    let added = admin.operate("POST", "/admin/users", "", &new).await;
    assert_eq!(added.status, 200, "{added:?}");
    let id = added.json()["user"]["user_id"].as_str().unwrap().to_owned();
    let event = admin.logged().await;
    assert_eq!((&event["event"], &event["operator"]), (&json!("admin.changed"), &json!(ARN)));
    assert_eq!((&event["user"], &event["request_id"]), (&json!(id), &json!("r1")));
    let sessions = format!("user_id={id}");
    let session = format!("{sessions}&session_id=ses_{}", "0".repeat(32));
    for (method, path, query, body, status) in [
        ("GET", "/admin/user", query, "", 200),
        ("GET", "/stage/admin/users", "limit=1", "", 200),
        ("PATCH", "/admin/user", query, r#"{"scope":"a b","claims":{"tenant":"acme"}}"#, 200),
        ("PUT", "/admin/user/password", query, r#"{"password":"another long phrase of words"}"#, 200),
        ("GET", "/admin/sessions", &sessions, "", 200),
        ("DELETE", "/admin/sessions", &sessions, "", 200),
        ("GET", "/admin/session", &session, "", 404),
        ("DELETE", "/admin/session", &session, "", 404),
        ("DELETE", "/admin/user", query, "", 200),
        ("DELETE", "/admin/user", query, "", 404),
        ("POST", "/admin/users", "", &"x".repeat(16 * 1024 + 1), 413),
    ] {
        let answer = admin.operate(method, path, query, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        // A page that an operator visits cannot read it.
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

/// The identity of other authorizers, and what a caller writes, is none of an operator.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_identity_of_iam_it_serves_nothing() {
    let mut admin = Admin::start().await;
    let user = json!({ "sub": format!("usr_{}", "0".repeat(32)), "sid": format!("ses_{}", "0".repeat(32)), "account": true });
    for authorizer in [
        json!(null),
        json!({}),
        json!({ "iam": null }),
        json!({ "iam": {} }),
        json!({ "iam": { "userArn": null, "accountId": "123456789012" } }),
        json!({ "iam": { "userArn": "" } }),
        json!({ "lambda": user }),
        json!({ "lambda": { "iam": { "userArn": ARN }, "userArn": ARN } }),
        json!({ "jwt": { "claims": { "userArn": ARN }, "scopes": null } }),
    ] {
        let answer = admin.ask("GET", "/admin/users", "", "", &authorizer).await;
        assert_eq!(answer.outcome(), (403, "access_denied".to_owned()), "{authorizer}");
        let event = admin.logged().await;
        assert_eq!(
            (&event["event"], &event["during"]),
            (&json!("failure"), &json!("authorize")),
            "{authorizer}"
        );
    }
}
