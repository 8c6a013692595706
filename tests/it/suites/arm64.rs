//! The functions as Lambda runs them: binaries that a Runtime API starts, here for arm64 under QEMU. Login, authorizer,
//! refresh, revocation and the other functions, over one embedded DynamoDB.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of a test fail as the test does"
)]

use crate::suites::failures::process::variables;
use daypass_core::ports::context::Principal;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::event::SOURCE_IP;
use daypass_testkit::runtime_api::Function;
use daypass_verifier::base::time::Timestamp;
// There is no Secrets Manager here, so `rotate-keys` gets only events that need none.
use daypass_testkit::secrets_manager::ARN;
use daypass_testkit::{Answer, event};
use daypass_tests::service::{PASSWORD, Service, from, operator};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::process::Command;
use tokio::sync::Mutex;

fn variable(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "`cargo verify --arm64` says what to start, and how")]
    let value = std::env::var(name);
    value.unwrap_or_else(|_| panic!("{name} is not set: run `cargo verify --arm64`"))
}

/// A started function, which handles one event at a time.
struct Process(Mutex<Function>);

impl Process {
    async fn start(function: &str, service: &Service, keys: &std::path::Path) -> Self {
        let runner = variable("DAYPASS_TEST_RUNNER");
        let mut runner = runner.split_whitespace();
        let mut command = Command::new(runner.next().unwrap());
        command
            .args(runner)
            .arg(std::path::Path::new(&variable("DAYPASS_TEST_FUNCTIONS")).join(function))
            .env_clear()
            .envs(variables(service))
            .envs([
                ("DAYPASS_KEYS", keys.to_str().unwrap()),
                ("DAYPASS_SIGNING_SECRET", ARN),
                ("DAYPASS_REFRESH_SECRET", ARN),
                ("DAYPASS_PEPPERS_SECRET", ARN),
                ("DAYPASS_JWKS_SECRET", ARN),
                ("DAYPASS_SIGNING_ALGORITHM", "ES256"),
            ]);
        let started = Function::start(function, command).await;
        Self(Mutex::new(started.unwrap_or_else(|error| panic!("{function} does not start: {error}"))))
    }

    async fn invoke(&self, event: &Value) -> Value {
        self.outcome(event).await.unwrap_or_else(|error| panic!("the function failed: {error}"))
    }

    /// The response, or the error that the function reports.
    async fn outcome(&self, event: &Value) -> Result<Value, String> {
        self.0.lock().await.invoke(event).await
    }
}

/// The started functions, and the others in this process.
struct Functions {
    service: Service,
    started: BTreeMap<String, Process>,
    /// Names of the started functions that have answered.
    answered: std::sync::Mutex<BTreeSet<String>>,
}

impl Functions {
    /// The response of a function to a request, with the context of the authorizer.
    async fn ask(
        &self,
        function: &str,
        method: &str,
        path: &str,
        body: &Value,
        caller: Option<&Value>,
    ) -> Answer {
        let Some(process) = self.started.get(function) else {
            let request =
                http::Request::builder().method(method).uri(path).header("content-type", "application/json");
            let mut request = from(SOURCE_IP, request.body(body.to_string().into_bytes()).unwrap());
            if function == "admin" {
                request.extensions_mut().insert(operator());
            } else if let Some(caller) = caller {
                let claim = |name: &str| caller[name].as_str().unwrap();
                request
                    .extensions_mut()
                    .insert(Principal::parse(claim("sub"), claim("sid"), caller["account"] == true).unwrap());
            }
            return self.service.send(request).await;
        };
        let mut event = event::http(method, path, "application/json", &body.to_string());
        if function == "admin" {
            event["requestContext"]["authorizer"] = json!({ "iam": { "userArn": operator().arn } });
        } else if let Some(caller) = caller {
            event["requestContext"]["authorizer"] = json!({ "lambda": caller });
        }
        let answer = process.invoke(&event).await;
        self.answered.lock().unwrap().insert(function.to_owned());
        Answer::of_function(&answer)
    }

    async fn post(&self, function: &str, body: &Value) -> Answer {
        self.ask(function, "POST", &format!("/{function}"), body, None).await
    }

    /// The context that an authorizer returns for an access token, or `None` if it rejects the token.
    async fn guard(&self, authorizer: &str, token: &str) -> Option<Value> {
        let Some(process) = self.started.get(authorizer) else {
            if !self.service.lets_through(token) {
                return None;
            }
            return Some(claims(token));
        };
        let answer = process.invoke(&event::authorizer(token)).await;
        self.answered.lock().unwrap().insert(authorizer.to_owned());
        (answer["isAuthorized"] == true).then(|| answer["context"].clone())
    }
}

/// The claims of a token, for routes whose authorizer was not started. The authorizer in this process has verified the
/// token.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_in_the_life() {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::new(&embedded.url()).await;
    // The binaries use the clock of the machine.
    #[expect(clippy::disallowed_methods, reason = "the started functions do, too")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    service.clock.set(Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap()));
    service.user("alice").await;
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.json");
    std::fs::write(&keys, service.keys.to_json().unwrap()).unwrap();
    let mut functions =
        Functions { service, started: BTreeMap::new(), answered: std::sync::Mutex::default() };
    for name in variable("DAYPASS_TEST_STARTED").split(',') {
        let process = Process::start(name, &functions.service, &keys).await;
        functions.started.insert(name.to_owned(), process);
    }
    assert!(!functions.started.is_empty());

    let wrong = json!({ "username": "alice", "password": "not the right password" });
    assert_eq!(functions.post("login", &wrong).await.status, 401);
    let right = json!({ "username": "alice", "password": PASSWORD });
    let login = functions.post("login", &right).await;
    assert_eq!(login.status, 200, "{login:?}");

    let token = login.access_token();
    let caller = functions.guard("authorizer", &token).await.expect("a good token is let through");
    assert_eq!(caller["sid"], login.text("session_id"));
    // A signature of the same form, from another token.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{signed}.{first}{}", &signature[1..]);
    assert_eq!(functions.guard("authorizer", &forged).await, None);

    let exchange = |token: &str| json!({ "grant_type": "refresh_token", "refresh_token": token });
    let refreshed = functions.post("refresh", &exchange(&login.refresh_token())).await;
    assert_ne!(refreshed.refresh_token(), login.refresh_token());
    let caller = functions.guard("authorizer", &refreshed.access_token()).await.unwrap();
    let listed = functions.ask("sessions", "GET", "/sessions", &Value::Null, Some(&caller)).await.json();
    assert_eq!(listed["total"], 1, "{listed}");
    let change = json!({ "current_password": PASSWORD, "new_password": "another long phrase for arm" });
    let changed = functions.ask("password", "POST", "/password", &change, Some(&caller)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert!(functions.guard("authorizer", &changed.access_token()).await.is_some());
    assert_eq!(functions.post("login", &right).await.status, 401, "the old password is gone");

    let users = functions.ask("admin", "GET", "/admin/users", &Value::Null, None).await.json();
    assert_eq!(users["users"][0]["username"], "alice", "{users}");

    let revoked = functions.post("revoke", &json!({ "token": changed.refresh_token() })).await;
    assert_eq!((revoked.status, revoked.json()), (200, json!({})));
    let dead = functions.post("refresh", &exchange(&changed.refresh_token())).await;
    assert_eq!(dead.outcome(), (400, "invalid_grant".to_owned()));
    let feed = functions.ask("revocations", "GET", "/revocations", &Value::Null, None).await;
    assert_ne!(feed.text("sessions"), "", "the feed tells the session that ended: {feed:?}");
    let refused = functions.ask("introspect", "POST", "/introspect", &json!({ "token": token }), None).await;
    assert_eq!(refused.outcome(), (401, "invalid_client".to_owned()));
    let keys = functions.ask("discovery", "GET", "/.well-known/jwks.json", &Value::Null, None).await;
    assert_eq!(keys.json()["keys"].as_array().unwrap().len(), 1);

    let refused =
        functions.ask("account", "POST", "/signup", &json!({ "email": "ada@example.com" }), None).await;
    assert_eq!(refused.outcome(), (403, "signup_not_allowed".to_owned()));
    if let Some(mailer) = functions.started.get("mailer") {
        let answer = mailer.outcome(&json!({ "Records": [] })).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
        functions.answered.lock().unwrap().insert("mailer".to_owned());
    }

    if let Some(rotation) = functions.started.get("rotate-keys") {
        let error = rotation.outcome(&json!({ "cut": "everything" })).await.unwrap_err();
        assert!(error.contains("the event is no rotation step"), "{error}");
        let deletion = rotation.outcome(&json!({ "RequestType": "Delete" })).await;
        assert_eq!(deletion, Ok(json!({})), "nothing is to be done when a stack goes");
        functions.answered.lock().unwrap().insert("rotate-keys".to_owned());
    }

    let answered = functions.answered.lock().unwrap();
    for name in functions.started.keys() {
        assert!(answered.contains(name), "{name} was started, and nothing here asks it anything");
        println!("{name} was started and answered");
    }
}
