//! A function as a process, with a Runtime API that sends it one event after another.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use std::io;
use std::net::Ipv4Addr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

/// Time limit for a process to start or answer: on a busy machine, under QEMU.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time for a process to end after it has closed its standard output.
const PAUSE: Duration = Duration::from_millis(2);

/// Variables that Lambda sets for a function.
#[must_use]
pub fn variables(function: &str, runtime_api: &str, memory_mb: u32) -> [(&'static str, String); 4] {
    [
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_owned()),
        ("AWS_LAMBDA_FUNCTION_NAME", function.to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb.to_string()),
    ]
}

/// Result of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The function answered.
    Answer(Bytes),
    /// The function reported an error: JSON with `errorType` and `errorMessage`.
    Error(Bytes),
    /// The process ended.
    Exited(ExitStatus),
}

/// A process and its Runtime API. Drop kills the process.
#[derive(Debug)]
pub struct Function {
    child: Arc<Mutex<Child>>,
    events: UnboundedSender<Bytes>,
    outcomes: UnboundedReceiver<Outcome>,
    lines: UnboundedReceiver<String>,
    server: AbortHandle,
}

/// State of the Runtime API.
#[derive(Clone)]
struct Runtime {
    arn: String,
    events: Arc<tokio::sync::Mutex<UnboundedReceiver<Bytes>>>,
    outcomes: UnboundedSender<Outcome>,
}

impl Function {
    /// Starts `command` as the function of this name. The command has the function's environment, without the variables
    /// that Lambda sets.
    ///
    /// Standard output becomes lines, and also standard error if the command pipes it.
    ///
    /// # Errors
    /// The process does not start, or no port is free.
    pub async fn start(name: &str, mut command: Command) -> io::Result<Self> {
        let (events, queued) = unbounded_channel();
        let (sent, outcomes) = unbounded_channel();
        let runtime = Runtime {
            arn: format!("arn:aws:lambda:us-east-1:123456789012:function:{name}"),
            events: Arc::new(tokio::sync::Mutex::new(queued)),
            outcomes: sent.clone(),
        };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(respond))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(fail))
            // Limit of a response: 6 MB.
            .layer(DefaultBodyLimit::disable())
            .with_state(runtime);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let mut child = command
            .envs(variables(name, &address, 256))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let server = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();

        let (line, lines) = unbounded_channel();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(read_lines(stderr, line.clone()));
        }
        let stdout = child.stdout.take();
        let child = Arc::new(Mutex::new(child));
        let ending = Arc::clone(&child);
        tokio::spawn(async move {
            if let Some(stdout) = stdout {
                read_lines(stdout, line).await;
            }
            // A function ends with its standard output.
            loop {
                if let Ok(Some(status)) = lock(&ending).try_wait() {
                    let _ = sent.send(Outcome::Exited(status));
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Ok(Self { child, events, outcomes, lines, server })
    }

    /// Queues an event. The process fetches it when it is ready.
    pub fn send(&self, event: impl Into<Bytes>) {
        // The receiver lives as long as the server and this value.
        let _ = self.events.send(event.into());
    }

    /// Waits for the response to an event, or for the end of the process.
    pub async fn outcome(&mut self) -> Option<Outcome> {
        self.outcomes.recv().await
    }

    /// Exit status of the process; `None` while it runs.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        lock(&self.child).try_wait().ok().flatten()
    }

    /// Process id; `None` after its end.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        lock(&self.child).id()
    }

    /// Next line of output; `None` at its end.
    pub async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Removes the lines: [`Function::line`] then returns none.
    #[must_use]
    pub fn take_lines(&mut self) -> UnboundedReceiver<String> {
        std::mem::replace(&mut self.lines, unbounded_channel().1)
    }

    /// Returns a function that kills the process (SIGKILL), from any thread.
    pub fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        let child = Arc::clone(&self.child);
        // On an error, the process has ended.
        move || drop(lock(&child).start_kill())
    }
}

/// Operations of tests. They fail the test if the function does something else or exceeds the time limit.
#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]
impl Function {
    /// Sends an event, and returns the response or the reported error.
    ///
    /// # Errors
    /// The error that the function reports.
    pub async fn invoke(&mut self, event: &Value) -> Result<Value, String> {
        self.send(event.to_string());
        self.answer().await
    }

    /// Response to a sent event, or the reported error.
    ///
    /// # Errors
    /// The error that the function reports.
    pub async fn answer(&mut self) -> Result<Value, String> {
        let outcome = tokio::time::timeout(PATIENCE, self.outcome()).await;
        match outcome.expect("the function answers in time").unwrap() {
            Outcome::Answer(answer) => Ok(serde_json::from_slice(&answer).unwrap()),
            Outcome::Error(error) => Err(String::from_utf8_lossy(&error).into_owned()),
            Outcome::Exited(status) => panic!("the function ended with {status}"),
        }
    }

    /// Next line of the log; `None` at its end.
    pub async fn event(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(PATIENCE, self.line()).await.expect("the function writes in time");
        line.map(|line| serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}")))
    }

    /// Waits for the end of the process, which must not have responded before. Returns its status and the rest of its
    /// log.
    pub async fn ended(mut self) -> (ExitStatus, Vec<Value>) {
        let mut log = Vec::new();
        while let Some(event) = self.event().await {
            log.push(event);
        }
        match tokio::time::timeout(PATIENCE, self.outcome()).await.expect("the function ends in time") {
            Some(Outcome::Exited(status)) => (status, log),
            other => panic!("answered before it ended: {other:?}"),
        }
    }

    /// Waits until the process has been killed, and fails if it responded before. Returns the rest of its log.
    pub async fn died(self) -> Vec<Value> {
        let (status, log) = self.ended().await;
        assert_eq!(status.code(), None, "ended by itself: {status:?}");
        log
    }

    /// Kills the process, and returns the rest of its log.
    pub async fn kill(self) -> Vec<Value> {
        self.killer()();
        self.died().await
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.server.abort();
        // The task that waits for its end also holds the child.
        let _ = lock(&self.child).start_kill();
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forwards every line until the end of the stream, including lines that are not UTF-8.
async fn read_lines(stream: impl AsyncRead + Unpin, lines: UnboundedSender<String>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(stream.read_until(b'\n', &mut line).await, Ok(read) if read > 0) {
        let _ = lines.send(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
}

async fn next(State(runtime): State<Runtime>) -> impl IntoResponse {
    let event = runtime.events.lock().await.recv().await;
    // Without another event, the function waits as in Lambda.
    let Some(event) = event else { std::future::pending().await };
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("lambda-runtime-deadline-ms", "9999999999999".to_owned()),
        ("lambda-runtime-invoked-function-arn", runtime.arn),
    ];
    (headers, event)
}

async fn respond(State(runtime): State<Runtime>, body: Bytes) -> StatusCode {
    let _ = runtime.outcomes.send(Outcome::Answer(body));
    StatusCode::ACCEPTED
}

async fn fail(State(runtime): State<Runtime>, body: Bytes) -> StatusCode {
    let _ = runtime.outcomes.send(Outcome::Error(body));
    StatusCode::ACCEPTED
}
