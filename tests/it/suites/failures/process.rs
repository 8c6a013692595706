//! A function as Lambda runs it: its binary, and a Runtime API that hands it one event after the other.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use daypass_dynamodb::{LOCAL_ACCESS_KEY_ID, LOCAL_REGION, LOCAL_SECRET_ACCESS_KEY};
use daypass_tests::service::{Answer, Service};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// How long a process may take to start and to answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The folder of the binaries that were built for this run.
fn binaries() -> PathBuf {
    let folder = std::env::var_os("DAYPASS_TEST_FUNCTIONS");
    let folder = folder.expect(
        "DAYPASS_TEST_FUNCTIONS is not set: build the functions and set it to the folder of their binaries, such as \
         target/debug, or run `cargo verify --only failures`, which does both",
    );
    PathBuf::from(folder)
}

#[derive(Clone)]
struct Runtime {
    events: Arc<tokio::sync::Mutex<UnboundedReceiver<Value>>>,
    answers: UnboundedSender<Value>,
}

/// A running function.
pub(crate) struct Process {
    child: Arc<Mutex<Child>>,
    events: UnboundedSender<Value>,
    answers: UnboundedReceiver<Value>,
    log: JoinHandle<Vec<Value>>,
    server: JoinHandle<()>,
}

impl Process {
    /// Starts the function over the tables of the service, through its recorder. `keys` is the file of its key set.
    pub(crate) async fn start(function: &str, service: &Service, keys: &std::path::Path) -> Self {
        Self::start_with(function, service, &[("DAYPASS_KEYS", keys.to_str().unwrap())]).await
    }

    /// As [`Process::start`], with variables that say where its keys are.
    pub(crate) async fn start_with(function: &str, service: &Service, keys: &[(&str, &str)]) -> Self {
        let (events, waiting) = unbounded_channel();
        let (sent, answers) = unbounded_channel();
        let runtime = Runtime { events: Arc::new(tokio::sync::Mutex::new(waiting)), answers: sent };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(respond))
            .with_state(runtime);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

        let binary = binaries().join(function);
        let tables = &service.bench.tables;
        let mut child = Command::new(&binary)
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
                ("DAYPASS_JWKS", &service.keys.jwks().to_json().unwrap()),
                ("DAYPASS_USERS_TABLE", &tables.users),
                ("DAYPASS_SESSIONS_TABLE", &tables.sessions),
                ("DAYPASS_ATTEMPTS_TABLE", &tables.attempts),
            ])
            .envs(keys.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let log = tokio::spawn(async move {
            let mut log = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                log.push(serde_json::from_str(&line).unwrap());
            }
            log
        });
        Self { child: Arc::new(Mutex::new(child)), events, answers, log, server }
    }

    /// Hands over a request, as an HTTP API does.
    pub(crate) fn send(&self, function: &str, content_type: &str, body: &str) {
        let path = format!("/{function}");
        let event = json!({
            "version": "2.0", "routeKey": format!("ANY {path}"), "rawPath": path, "rawQueryString": "",
            "headers": { "content-type": content_type }, "isBase64Encoded": false, "body": body,
            "requestContext": {
                "http": { "method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
                "requestId": "r1", "stage": "$default", "timeEpoch": 0,
            },
        });
        self.events.send(event).unwrap();
    }

    /// What the function answers.
    pub(crate) async fn answer(&mut self) -> Answer {
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await.unwrap().unwrap();
        let headers = answer["headers"].as_object().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Answer {
            status: u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap(),
            headers: headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            body: text(&answer["body"]).into_bytes(),
        }
    }

    /// Ends the process with SIGKILL when it is called, from wherever that is.
    pub(crate) fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        let child = Arc::clone(&self.child);
        move || child.lock().unwrap().start_kill().unwrap()
    }

    /// Waits until the process has been killed; fails when it had answered before. Returns its log.
    pub(crate) async fn died(mut self) -> Vec<Value> {
        // Its standard output ends with it.
        let log = tokio::time::timeout(PATIENCE, self.log).await.unwrap().unwrap();
        let status = self.child.lock().unwrap().try_wait().unwrap();
        assert!(status.is_none_or(|status| status.code().is_none()), "ended by itself: {status:?}");
        assert!(self.answers.try_recv().is_err(), "answered, and was killed after that");
        self.server.abort();
        log
    }

    /// Ends the process, and returns its log.
    pub(crate) async fn end(self) -> Vec<Value> {
        self.killer()();
        self.died().await
    }
}

async fn next(State(runtime): State<Runtime>) -> impl IntoResponse {
    let event = runtime.events.lock().await.recv().await;
    // Without another event the function waits, as in Lambda.
    let Some(event) = event else { std::future::pending().await };
    let mut headers = HeaderMap::new();
    headers.insert("lambda-runtime-aws-request-id", "r1".parse().unwrap());
    headers.insert("lambda-runtime-deadline-ms", "9999999999999".parse().unwrap());
    headers.insert(
        "lambda-runtime-invoked-function-arn",
        "arn:aws:lambda:us-east-1:0:function:test".parse().unwrap(),
    );
    (headers, event.to_string())
}

async fn respond(State(runtime): State<Runtime>, Path(_): Path<String>, body: String) -> StatusCode {
    let _ = runtime.answers.send(serde_json::from_str(&body).unwrap());
    StatusCode::ACCEPTED
}

/// A Secrets Manager with one secret, throttled until it is told to answer.
pub(crate) struct SecretsManager {
    url: String,
    /// How long it thinks, once it answers.
    answers: Arc<Mutex<Option<Duration>>>,
    server: JoinHandle<()>,
}

impl SecretsManager {
    const ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:daypass-AbCdEf";

    pub(crate) async fn start(secret: String) -> Self {
        let answers = Arc::new(Mutex::new(None));
        let said = Arc::clone(&answers);
        let router = Router::new().route("/", post(async move || get_secret_value(&said, &secret).await));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, answers, server }
    }

    /// The variables of a function that has its keys from here.
    pub(crate) fn variables(&self) -> [(&str, &str); 2] {
        [("DAYPASS_KEYS", Self::ARN), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.url)]
    }

    /// From now on it answers, after this time.
    pub(crate) fn answer_after(&self, time: Duration) {
        *self.answers.lock().unwrap() = Some(time);
    }
}

impl Drop for SecretsManager {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn get_secret_value(answers: &Mutex<Option<Duration>>, secret: &str) -> impl IntoResponse + use<> {
    let time = *answers.lock().unwrap();
    let (status, body) = match time {
        None => (StatusCode::BAD_REQUEST, json!({ "__type": "ThrottlingException", "message": "not now" })),
        Some(time) => {
            tokio::time::sleep(time).await;
            (StatusCode::OK, json!({ "ARN": SecretsManager::ARN, "Name": "daypass", "SecretString": secret }))
        }
    };
    (status, [("content-type", "application/x-amz-json-1.1")], body.to_string())
}
