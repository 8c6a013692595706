//! The binary as Lambda runs it, against a Runtime API and a Secrets Manager that is down at first.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use daypass_ambient::{OsEntropy, SystemClock};
use daypass_core::Clock;
use daypass_core::jwks::Algorithm;
use daypass_core::keys::Document;
use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};

const ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:daypass-AbCdEf";

const PAGE: &str = "https://app.example.com";
const CLIENTS: &str =
    r#"[{"client_id":"web"},{"client_id":"app","transport":"cookie","origins":["https://app.example.com"]}]"#;

fn key_set() -> Document {
    Document::generate(Algorithm::Es256, &OsEntropy, SystemClock.now()).unwrap()
}

/// The Runtime API with one kind of invocation, and Secrets Manager with one secret.
struct Lambda {
    url: String,
    /// The value of the secret.
    secret: Arc<Mutex<String>>,
    secrets_answer: Arc<AtomicBool>,
    /// How long Secrets Manager thinks, in milliseconds.
    delay: Arc<AtomicU64>,
    /// What the invocations to come differ in from a page's refresh with a forged token.
    changes: Arc<Mutex<Value>>,
    responses: Mutex<mpsc::UnboundedReceiver<Value>>,
}

#[derive(Clone)]
struct Shared {
    secret: Arc<Mutex<String>>,
    error: &'static str,
    secrets_answer: Arc<AtomicBool>,
    delay: Arc<AtomicU64>,
    changes: Arc<Mutex<Value>>,
    responses: mpsc::UnboundedSender<Value>,
}

impl Lambda {
    /// `error` is how Secrets Manager refuses until it is told to answer.
    async fn start(error: &'static str) -> Self {
        let (responses, received) = mpsc::unbounded_channel();
        let secrets_answer = Arc::new(AtomicBool::new(false));
        let secret = Arc::new(Mutex::new(key_set().to_json().unwrap()));
        let delay = Arc::new(AtomicU64::new(0));
        let changes = Arc::new(Mutex::new(json!({})));
        let shared = Shared {
            secret: Arc::clone(&secret),
            error,
            secrets_answer: Arc::clone(&secrets_answer),
            delay: Arc::clone(&delay),
            changes: Arc::clone(&changes),
            responses,
        };
        let router = Router::new()
            .route("/", post(get_secret_value))
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(respond))
            .with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, secret, secrets_answer, delay, changes, responses: Mutex::new(received) }
    }

    fn spawn(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_refresh"))
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", self.url.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "refresh"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_ENDPOINT_URL", &format!("http://{}", self.url)),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("DAYPASS_ISSUER", "https://id.example.com"),
                ("DAYPASS_AUDIENCE", "https://api.example.com"),
                ("DAYPASS_CLIENTS", CLIENTS),
                ("DAYPASS_SESSIONS_TABLE", "sessions"),
                ("DAYPASS_KEYS", ARN),
                ("DAYPASS_KEYS_MAX_AGE_SECONDS", "5"),
            ])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// The function's next answer.
    async fn response(&self) -> Value {
        let mut responses = self.responses.lock().await;
        tokio::time::timeout(Duration::from_secs(20), responses.recv()).await.unwrap().unwrap()
    }
}

async fn get_secret_value(State(shared): State<Shared>) -> impl IntoResponse {
    let json = |status: StatusCode, body: Value| {
        (status, [("content-type", "application/x-amz-json-1.1")], body.to_string())
    };
    tokio::time::sleep(Duration::from_millis(shared.delay.load(Ordering::SeqCst))).await;
    if shared.secrets_answer.load(Ordering::SeqCst) {
        json(
            StatusCode::OK,
            json!({ "ARN": ARN, "Name": "daypass", "SecretString": *shared.secret.lock().await }),
        )
    } else {
        json(StatusCode::BAD_REQUEST, json!({ "__type": shared.error, "message": "not now" }))
    }
}

async fn next(State(shared): State<Shared>) -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    headers.insert("lambda-runtime-aws-request-id", "r1".parse().unwrap());
    headers.insert("lambda-runtime-deadline-ms", "9999999999999".parse().unwrap());
    headers.insert(
        "lambda-runtime-invoked-function-arn",
        "arn:aws:lambda:us-east-1:0:function:refresh".parse().unwrap(),
    );
    let mut event = json!({
        "version": "2.0", "routeKey": "ANY /refresh", "rawPath": "/refresh", "rawQueryString": "",
        "headers": { "content-type": "application/json", "origin": PAGE }, "isBase64Encoded": false,
        "body": json!({ "grant_type": "refresh_token", "refresh_token": "daypass_rt_forged" }).to_string(),
        "requestContext": {
            "http": { "method": "POST", "path": "/refresh", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
            "requestId": "r1", "stage": "$default", "timeEpoch": 0,
        },
    });
    let changes = shared.changes.lock().await;
    event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    (headers, event.to_string())
}

async fn respond(State(shared): State<Shared>, body: String) -> StatusCode {
    let _ = shared.responses.send(serde_json::from_str(&body).unwrap());
    StatusCode::ACCEPTED
}

/// Throttled at a cold start: 503 until the secret comes, and then the function works without a new start.
#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_secrets_manager_is_503_for_as_long_as_it_lasts() {
    let lambda = Lambda::start("ThrottlingException").await;
    let _function = lambda.spawn();
    for _ in 0..2 {
        let busy = lambda.response().await;
        assert_eq!(busy["statusCode"], 503, "{busy}");
        assert!(busy["headers"]["retry-after"].is_string(), "{busy}");
        assert!(busy["body"].as_str().unwrap().contains("temporarily_unavailable"), "{busy}");
    }
    lambda.secrets_answer.store(true, Ordering::SeqCst);
    let mut answer = lambda.response().await;
    // One may have been under way.
    if answer["statusCode"] == 503 {
        answer = lambda.response().await;
    }
    assert_eq!(answer["statusCode"], 400, "{answer}");
    assert!(answer["body"].as_str().unwrap().contains("invalid_grant"), "{answer}");
}

fn header<'a>(answer: &'a Value, name: &str) -> Option<&'a str> {
    answer["headers"].get(name)?.as_str()
}

/// What a page may read is said of every answer, also of those that the function's own code has no part in: else the page
/// sees a network error, and no `Retry-After`.
#[tokio::test(flavor = "multi_thread")]
async fn pages_may_read_that_the_keys_are_missing() {
    let lambda = Lambda::start("ThrottlingException").await;
    let _function = lambda.spawn();
    // One of the former kind may have been under way.
    let next = async |changes: Value| {
        *lambda.changes.lock().await = changes;
        lambda.response().await;
        lambda.response().await
    };
    let check = |answer: &Value, status: u16| {
        assert_eq!(answer["statusCode"], status, "{answer}");
        assert_eq!(header(answer, "access-control-allow-origin"), Some(PAGE), "{answer}");
        assert_eq!(header(answer, "access-control-allow-credentials"), Some("true"), "{answer}");
        assert_eq!(header(answer, "vary"), Some("Origin"), "{answer}");
    };
    let preflight = json!({
        "headers": { "origin": PAGE, "access-control-request-method": "POST" }, "body": null,
        "requestContext": {
            "http": { "method": "OPTIONS", "path": "/refresh", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
            "requestId": "r1", "stage": "$default", "timeEpoch": 0,
        },
    });
    let not_base64 = json!({ "isBase64Encoded": true, "body": "!" });
    let stranger =
        json!({ "headers": { "content-type": "application/json", "origin": "https://evil.example" } });
    for ready in [false, true] {
        lambda.secrets_answer.store(ready, Ordering::SeqCst);
        let answer = next(json!({})).await;
        check(&answer, if ready { 400 } else { 503 });
        assert_eq!(header(&answer, "retry-after"), (!ready).then_some("2"));
        assert_eq!(header(&answer, "access-control-expose-headers"), Some("retry-after"));
        let answer = next(preflight.clone()).await;
        check(&answer, 204);
        assert_eq!(header(&answer, "access-control-allow-methods"), Some("POST"));
        check(&next(not_base64.clone()).await, 400);
        let answer = next(stranger.clone()).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), None, "{answer}");
    }
}

/// The keys come late, at a request: it has no time left for a store that may be slow too. The next one has. (Unit test of
/// the limit: `ready::tests::a_request_has_its_share_for_the_first_build`.)
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waited_for_the_keys_is_503_and_the_next_is_served() {
    let lambda = Lambda::start("ThrottlingException").await;
    let _function = lambda.spawn();
    assert_eq!(lambda.response().await["statusCode"], 503);
    lambda.delay.store(700, Ordering::SeqCst);
    lambda.secrets_answer.store(true, Ordering::SeqCst);
    // One or two may have been under way.
    let mut refused = 0;
    let mut answer = lambda.response().await;
    while answer["statusCode"] == 503 {
        refused += 1;
        answer = lambda.response().await;
    }
    assert!(refused >= 1, "it had waited for 0.7 s");
    assert!(answer["body"].as_str().unwrap().contains("invalid_grant"), "{answer}");
}

/// The lines of events of some kinds, as they come.
fn events(function: &mut Child, wanted: &'static [&'static str]) -> mpsc::UnboundedReceiver<Value> {
    let (lines, received) = mpsc::unbounded_channel();
    let mut output = BufReader::new(function.stdout.take().unwrap()).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = output.next_line().await {
            let line: Value = serde_json::from_str(&line).unwrap();
            if wanted.contains(&line["event"].as_str().unwrap()) && lines.send(line).is_err() {
                return;
            }
        }
    });
    received
}

/// A warm function takes over keys that were rotated, and goes on with the keys it has while Secrets Manager is down. (Unit
/// tests with a clock of their own: `ready::tests` of daypass-lambda.)
#[tokio::test(flavor = "multi_thread")]
async fn a_warm_function_takes_over_rotated_keys() {
    let lambda = Lambda::start("ThrottlingException").await;
    lambda.secrets_answer.store(true, Ordering::SeqCst);
    let mut function = lambda.spawn();
    let mut events = events(&mut function, &["keys.loaded"]);
    let mut event =
        async || tokio::time::timeout(Duration::from_secs(60), events.recv()).await.unwrap().unwrap();
    let before = event().await;
    assert_eq!((&before["event"], &before["section"]), (&json!("keys.loaded"), &json!("signing")));

    let rotated = key_set();
    *lambda.secret.lock().await = rotated.to_json().unwrap();
    let after = loop {
        let line = event().await;
        if line["section"] == "signing" && line["kid"] != before["kid"] {
            break line;
        }
    };
    assert_eq!(after["kid"], json!(rotated.summary()[0].kid), "{after}");

    lambda.secrets_answer.store(false, Ordering::SeqCst);
    // Both may have been under way.
    for _ in 0..2 {
        lambda.response().await;
    }
    let answer = lambda.response().await;
    assert_eq!(answer["statusCode"], 400, "{answer}");
}

/// A key set that cannot be used will not mend itself: the function ends, with one line that says why and shows nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_that_is_no_good_ends_the_function_with_one_clear_line() {
    let good = key_set().to_json().unwrap();
    let changed = |change: fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&good).unwrap();
        change(&mut value);
        value.to_string()
    };
    for (secret, expected) in [
        ("hunter2".to_owned(), "not a JSON object"),
        (changed(|set| set["version"] = json!(2)), "version 2, this build reads version 1"),
        (
            changed(|set| set["signing"][0]["status"] = json!("retired")),
            "no active key in its section `signing`",
        ),
        (changed(|set| set["refresh"] = json!([])), "no active key in its section `refresh`"),
        (changed(|set| set["signing"][0]["private"] = json!("hunter2")), "private key"),
    ] {
        let lambda = Lambda::start("ThrottlingException").await;
        lambda.secrets_answer.store(true, Ordering::SeqCst);
        *lambda.secret.lock().await = secret;
        let output = tokio::time::timeout(Duration::from_secs(20), lambda.spawn().wait_with_output());
        let output = output.await.unwrap().unwrap();
        assert!(!output.status.success(), "{expected}");
        let text = String::from_utf8(output.stdout).unwrap();
        // Read and found wanting: that is told after which keys they were.
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("keys.loaded")).collect();
        let [line] = &lines[..] else { panic!("{text}") };
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["event"], "init.failed");
        assert!(line["detail"].as_str().unwrap().contains(expected), "{line}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// A secret that is not there will not come by waiting: the function ends, with one line that says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_ends_the_function_with_one_clear_line() {
    let lambda = Lambda::start("ResourceNotFoundException").await;
    let function = lambda.spawn();
    let output =
        tokio::time::timeout(Duration::from_secs(20), function.wait_with_output()).await.unwrap().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["v"], &line["event"]), (&json!(1), &json!("init.failed")));
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains(ARN) && detail.contains("ResourceNotFoundException"), "{detail}");
}
