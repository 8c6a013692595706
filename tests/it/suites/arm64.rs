//! The functions as Lambda runs them: each a binary that is started before a Runtime API, here by QEMU for the other processor.
//! Login, guard, refresh, revoke and all the rest, over one embedded DynamoDB.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of a test fail as the test does"
)]

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use daypass_core::Timestamp;
use daypass_core::web::Principal;
use daypass_dynamodb::{LOCAL_ACCESS_KEY_ID, LOCAL_REGION, LOCAL_SECRET_ACCESS_KEY};
use daypass_embedded::Embedded;
use daypass_tests::service::{Answer, PASSWORD, Service, from};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// How long a function may take to start and to answer where each of its instructions is translated.
const PATIENCE: Duration = Duration::from_secs(60);
const HOME: &str = "192.0.2.1";
/// There is no Secrets Manager here: `rotate-keys` is asked what needs none.
const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:daypass-AbCdEf";

fn variable(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "`cargo verify --arm64` says what to start, and how")]
    let value = std::env::var(name);
    value.unwrap_or_else(|_| panic!("{name} is not set: run `cargo verify --arm64`"))
}

/// What the Runtime API of one function hands out and takes in.
#[derive(Clone)]
struct Runtime {
    events: Arc<Mutex<UnboundedReceiver<Value>>>,
    answers: UnboundedSender<Result<Value, String>>,
}

/// A function that was started.
struct Process {
    // Killed with this.
    _child: Child,
    server: JoinHandle<()>,
    events: UnboundedSender<Value>,
    answers: Mutex<UnboundedReceiver<Result<Value, String>>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Process {
    async fn start(function: &str, service: &Service, keys: &std::path::Path) -> Self {
        let (events, waiting) = unbounded_channel();
        let (sent, answers) = unbounded_channel();
        let runtime = Runtime { events: Arc::new(Mutex::new(waiting)), answers: sent };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(respond))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failed))
            .with_state(runtime);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

        let runner = variable("DAYPASS_TEST_RUNNER");
        let mut runner = runner.split_whitespace();
        let tables = &service.bench.tables;
        let child = Command::new(runner.next().unwrap())
            .args(runner)
            .arg(std::path::Path::new(&variable("DAYPASS_TEST_FUNCTIONS")).join(function))
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", function),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_ENDPOINT_URL_DYNAMODB", service.bench.recorder.url()),
                ("AWS_REGION", LOCAL_REGION),
                ("AWS_ACCESS_KEY_ID", LOCAL_ACCESS_KEY_ID),
                ("AWS_SECRET_ACCESS_KEY", LOCAL_SECRET_ACCESS_KEY),
                ("DAYPASS_ISSUER", "https://id.example.com"),
                ("DAYPASS_AUDIENCE", "https://api.example.com"),
                ("DAYPASS_CLIENTS", r#"[{"client_id":"web"}]"#),
                ("DAYPASS_KEYS", keys.to_str().unwrap()),
                ("DAYPASS_JWKS", &service.keys.jwks().to_json().unwrap()),
                ("DAYPASS_USERS_TABLE", &tables.users),
                ("DAYPASS_SESSIONS_TABLE", &tables.sessions),
                ("DAYPASS_ATTEMPTS_TABLE", &tables.attempts),
                ("DAYPASS_SIGNING_SECRET", SECRET),
                ("DAYPASS_REFRESH_SECRET", SECRET),
                ("DAYPASS_PEPPERS_SECRET", SECRET),
                ("DAYPASS_JWKS_SECRET", SECRET),
                ("DAYPASS_SIGNING_ALGORITHM", "ES256"),
            ])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{function} does not start: {error}"));
        Self { _child: child, server, events, answers: Mutex::new(answers) }
    }

    async fn invoke(&self, event: Value) -> Value {
        self.outcome(event).await.unwrap_or_else(|error| panic!("the function failed: {error}"))
    }

    /// The answer, or the error that the function reports.
    async fn outcome(&self, event: Value) -> Result<Value, String> {
        self.events.send(event).unwrap();
        let answer = async { self.answers.lock().await.recv().await.expect("the Runtime API listens") };
        tokio::time::timeout(PATIENCE, answer).await.expect("the function answers in time")
    }
}

async fn next(State(runtime): State<Runtime>) -> impl IntoResponse {
    let event = runtime.events.lock().await.recv().await;
    // Without another event the function waits, as in Lambda.
    let Some(event) = event else { std::future::pending().await };
    let headers: HeaderMap = [
        ("lambda-runtime-aws-request-id", "r1"),
        ("lambda-runtime-deadline-ms", "9999999999999"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:0:function:test"),
    ]
    .into_iter()
    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
    .collect();
    (headers, event.to_string())
}

async fn respond(State(runtime): State<Runtime>, Path(_): Path<String>, body: String) -> StatusCode {
    let _ = runtime.answers.send(serde_json::from_str(&body).map_err(|error| error.to_string()));
    StatusCode::ACCEPTED
}

async fn failed(State(runtime): State<Runtime>, Path(_): Path<String>, body: String) -> StatusCode {
    let _ = runtime.answers.send(Err(body));
    StatusCode::ACCEPTED
}

/// The functions: those that were started, and the others in this process.
struct Functions {
    service: Service,
    started: BTreeMap<String, Process>,
    /// Those of the started ones that have answered.
    answered: std::sync::Mutex<BTreeSet<String>>,
}

impl Functions {
    /// What a function answers to a request, with what the authorizer said of the caller.
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
            let mut request = from(HOME, request.body(body.to_string().into_bytes()).unwrap());
            if let Some(caller) = caller {
                let claim = |name: &str| caller[name].as_str().unwrap();
                request.extensions_mut().insert(Principal::parse(claim("sub"), claim("sid")).unwrap());
            }
            return self.service.send(request).await;
        };
        let mut event = json!({
            "version": "2.0", "routeKey": format!("ANY {path}"), "rawPath": path, "rawQueryString": "",
            "headers": { "content-type": "application/json" }, "isBase64Encoded": false, "body": body.to_string(),
            "requestContext": {
                "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": HOME },
                "requestId": "r1", "stage": "$default", "timeEpoch": 0,
            },
        });
        if let Some(caller) = caller {
            event["requestContext"]["authorizer"] = json!({ "lambda": caller });
        }
        let answer = process.invoke(event).await;
        self.answered.lock().unwrap().insert(function.to_owned());
        Answer {
            status: u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap(),
            headers: Vec::new(),
            body: answer["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
        }
    }

    async fn post(&self, function: &str, body: &Value) -> Answer {
        self.ask(function, "POST", &format!("/{function}"), body, None).await
    }

    /// What an authorizer says of an access token: the context, when it lets it through.
    async fn guard(&self, authorizer: &str, token: &str) -> Option<Value> {
        let event = json!({
            "version": "2.0", "type": "REQUEST", "headers": { "authorization": format!("Bearer {token}") },
            "routeArn": "arn:aws:execute-api:us-east-1:123456789012:tests/$default/GET/guarded",
        });
        let Some(process) = self.started.get(authorizer) else {
            if !self.service.lets_through(token) {
                return None;
            }
            return Some(claims(token));
        };
        let answer = process.invoke(event).await;
        self.answered.lock().unwrap().insert(authorizer.to_owned());
        (answer["isAuthorized"] == true).then(|| answer["context"].clone())
    }
}

/// What a token says, for the routes whose authorizer was not started; the authorizer in this process has verified it.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_in_the_life() {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::new(&embedded.url()).await;
    // The binaries go by the clock of the machine.
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
    // Another signature of the same form.
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
    assert_eq!(functions.post("login", &right).await.status, 401, "the old password is gone");

    let revoked = functions.post("revoke", &json!({ "token": refreshed.refresh_token() })).await;
    assert_eq!((revoked.status, revoked.json()), (200, json!({})));
    let dead = functions.post("refresh", &exchange(&refreshed.refresh_token())).await;
    assert_eq!(dead.outcome(), (400, "invalid_grant".to_owned()));
    let feed = functions.ask("revocations", "GET", "/revocations", &Value::Null, None).await;
    assert_ne!(feed.text("sessions"), "", "the feed tells the session that ended: {feed:?}");
    let keys = functions.ask("discovery", "GET", "/.well-known/jwks.json", &Value::Null, None).await;
    assert_eq!(keys.json()["keys"].as_array().unwrap().len(), 1);

    if let Some(rotation) = functions.started.get("rotate-keys") {
        let error = rotation.outcome(json!({ "cut": "everything" })).await.unwrap_err();
        assert!(error.contains("the event is no rotation step"), "{error}");
        let deletion = rotation.outcome(json!({ "RequestType": "Delete" })).await;
        assert_eq!(deletion, Ok(json!({})), "nothing is to be done when a stack goes");
        functions.answered.lock().unwrap().insert("rotate-keys".to_owned());
    }

    let answered = functions.answered.lock().unwrap();
    for name in functions.started.keys() {
        assert!(answered.contains(name), "{name} was started, and nothing here asks it anything");
        println!("{name} was started and answered");
    }
}
