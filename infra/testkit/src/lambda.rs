//! A Lambda service on loopback: the Invoke API over built function binaries.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
//!
//! It serves the API of `cargo lambda watch` without Cargo. A function that loses its Runtime API ends, so no process
//! long outlives this one, even if this one is killed.

use crate::runtime_api::{Function, Outcome};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};

/// Time limit of an invocation. All functions of Daypass have a lower limit in template.yaml.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Time for running invocations after a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Configuration of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the binaries. The name of a function is that of its binary.
    pub folder: PathBuf,
    /// Names of the functions.
    pub functions: Vec<String>,
    /// Environment of every function, without the variables that Lambda sets. Functions inherit nothing.
    pub variables: BTreeMap<String, String>,
    /// Processes per function. Each processes one event at a time.
    pub concurrency: usize,
    /// Queue length per function. The service rejects further invocations with 429.
    pub waiting: usize,
}

/// A running service. Drop kills all processes.
pub struct Lambda {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lambda {
    /// Starts on a free loopback port. An invocation without an idle process starts one.
    ///
    /// `on_line` receives every line of the processes and the service, from any thread.
    ///
    /// # Errors
    /// A binary is missing, or the system has no port or thread.
    pub fn start(settings: Settings, on_line: impl Fn(&str) + Send + Sync + 'static) -> io::Result<Self> {
        for function in &settings.functions {
            let binary = settings.folder.join(function);
            if !binary.is_file() {
                let missing = format!("the function {} is not built", binary.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, missing));
            }
        }
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // Its own runtime, so that it runs while the caller's threads are blocked.
        let runtime =
            Builder::new_multi_thread().worker_threads(2).thread_name("lambda").enable_all().build()?;
        let service = Arc::new(Service::new(settings, Box::new(on_line)));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("lambda".to_owned())
            .spawn(move || serve(runtime, listener, service, stopped))?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// URL of the Invoke API, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether the service still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl fmt::Debug for Lambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lambda").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    runtime: Runtime,
    listener: std::net::TcpListener,
    service: Arc<Service>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        let router = Router::new()
            .route("/2015-03-31/functions/{function}/invocations", post(invoke))
            // Limit of an event: 6 MB.
            .layer(DefaultBodyLimit::disable())
            .with_state(service);
        tokio::select! {
            _ = axum::serve(listener, router) => {}
            // Also completes when the sender is dropped.
            _ = stopped => {}
        }
    });
    // Drops the tasks, and the processes with them.
    runtime.shutdown_timeout(STOP_PATIENCE);
}

struct Service {
    settings: Settings,
    pools: BTreeMap<String, Pool>,
    on_line: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Processes of one function.
struct Pool {
    /// Running and waiting invocations.
    invocations: AtomicUsize,
    turns: Semaphore,
    /// Idle processes. The first has been idle longest and gets the next event.
    idle: Mutex<VecDeque<Function>>,
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, VecDeque<Function>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer of the Invoke API.
type Reply = (StatusCode, HeaderMap, Bytes);

async fn invoke(State(service): State<Arc<Service>>, Path(function): Path<String>, event: Bytes) -> Reply {
    // A separate task: as in Lambda, the invocation continues after the client has gone.
    let invocation = tokio::spawn(async move { service.invoke(&function, event).await });
    invocation.await.unwrap_or_else(|_| {
        refusal(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", "the local Lambda service failed")
    })
}

impl Service {
    fn new(settings: Settings, on_line: Box<dyn Fn(&str) + Send + Sync>) -> Self {
        let pool = || Pool {
            invocations: AtomicUsize::new(0),
            turns: Semaphore::new(settings.concurrency),
            idle: Mutex::default(),
        };
        let pools = settings.functions.iter().map(|name| (name.clone(), pool())).collect();
        Self { settings, pools, on_line: on_line.into() }
    }

    async fn invoke(&self, function: &str, event: Bytes) -> Reply {
        let Some(pool) = self.pools.get(function) else {
            let message = format!("Function not found: {function}");
            return refusal(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
        };
        let most = self.settings.concurrency + self.settings.waiting;
        let reply = if pool.invocations.fetch_add(1, Ordering::SeqCst) < most {
            match pool.turns.acquire().await {
                Ok(_turn) => self.run(pool, function, event).await,
                Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", "the service stops"),
            }
        } else {
            let Settings { concurrency, waiting, .. } = self.settings;
            let message = format!(
                "Rate Exceeded: {concurrency} processes of {function} work and {waiting} invocations wait"
            );
            (self.on_line)(&format!("ERROR {message}"));
            refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", &message)
        };
        pool.invocations.fetch_sub(1, Ordering::SeqCst);
        reply
    }

    /// Runs an invocation at its turn.
    async fn run(&self, pool: &Pool, name: &str, event: Bytes) -> Reply {
        let mut function = match self.idle(pool, name) {
            Some(function) => function,
            None => match self.start(name).await {
                Ok(function) => function,
                Err(error) => {
                    return self
                        .failed("Runtime.InvalidEntrypoint", &format!("{name} does not start: {error}"));
                }
            },
        };
        function.send(event);
        let outcome = tokio::time::timeout(TIME_LIMIT, function.outcome()).await;
        let (reply, error) = match outcome {
            Ok(Some(Outcome::Answer(answer))) => (answer, false),
            Ok(Some(Outcome::Error(error))) => (error, true),
            Ok(Some(Outcome::Exited(status))) => {
                self.report_exit(name, status);
                return self.failed(EXIT_ERROR, &format!("the process of {name} ended with {status}"));
            }
            Ok(None) => return self.failed(EXIT_ERROR, &format!("the process of {name} is lost")),
            Err(_) => {
                let seconds = TIME_LIMIT.as_secs();
                return self.failed("Sandbox.Timedout", &format!("{name} did not answer within {seconds} s"));
            }
        };
        pool.idle().push_back(function);
        (StatusCode::OK, function_headers(error), reply)
    }

    /// Next idle process. Ended processes are removed.
    fn idle(&self, pool: &Pool, name: &str) -> Option<Function> {
        loop {
            let function = pool.idle().pop_front()?;
            match function.exit_status() {
                None => return Some(function),
                Some(status) => self.report_exit(name, status),
            }
        }
    }

    /// A line in the form of `cargo lambda watch`.
    fn report_exit(&self, name: &str, status: ExitStatus) {
        (self.on_line)(&format!("ERROR command exited: {name}, {status}"));
    }

    /// Response of an invocation that failed without an error of the function.
    fn failed(&self, kind: &str, message: &str) -> Reply {
        (self.on_line)(&format!("ERROR {kind}: {message}"));
        let body = json!({ "errorType": kind, "errorMessage": message });
        (StatusCode::OK, function_headers(true), body.to_string().into())
    }

    async fn start(&self, name: &str) -> io::Result<Function> {
        let mut command = Command::new(self.settings.folder.join(name));
        command.env_clear().envs(&self.settings.variables).stderr(Stdio::piped());
        let mut function = Function::start(name, command).await?;
        (self.on_line)(&format!("INFO process started: {name}, {}", function.id().unwrap_or_default()));
        let mut lines = function.take_lines();
        let on_line = Arc::clone(&self.on_line);
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                on_line(&line);
            }
        });
        Ok(function)
    }
}

/// Lambda's `errorType` of an invocation whose process ended.
pub const EXIT_ERROR: &str = "Runtime.ExitError";
/// `errorType`s of a process that fails to start.
pub const START_ERRORS: [&str; 3] = [EXIT_ERROR, "Runtime.InvalidEntrypoint", "Sandbox.Timedout"];

/// Headers of an invocation. Lambda marks an error with a header and keeps status 200.
fn function_headers(error: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("x-amz-executed-version", HeaderValue::from_static("$LATEST"));
    if error {
        headers.insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
    }
    headers
}

/// An error of the Invoke API itself.
fn refusal(status: StatusCode, kind: &'static str, message: &str) -> Reply {
    let body: Value = json!({ "Type": "User", "Message": message });
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("x-amzn-errortype", HeaderValue::from_static(kind));
    (status, headers, body.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    /// Variable with the Runtime API of the function under test, apart from Lambda's own variables.
    const API: &str = "AWS_LAMBDA_RUNTIME_API";

    /// The function of the tests below: they start this program as its process.
    #[test]
    fn function() {
        let Some(api) = std::env::var_os(API) else { return };
        let api = api.into_string().unwrap();
        let exchange = |head: &str, body: &str| {
            let mut stream = TcpStream::connect(&api).unwrap();
            let length = body.len();
            let request = format!(
                "{head} HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
        };
        loop {
            let event = exchange("GET /2018-06-01/runtime/invocation/next", "");
            eprintln!("got {event}");
            let event: Value = serde_json::from_str(&event).unwrap();
            match event["do"].as_str().unwrap() {
                "answer" => {
                    let pid = json!({ "pid": std::process::id() }).to_string();
                    exchange("POST /2018-06-01/runtime/invocation/1/response", &pid);
                }
                "sleep" => {
                    std::thread::sleep(Duration::from_millis(400));
                    exchange("POST /2018-06-01/runtime/invocation/1/response", "{}");
                }
                "fail" => {
                    let error = json!({ "errorType": "E", "errorMessage": "Unauthorized" }).to_string();
                    exchange("POST /2018-06-01/runtime/invocation/1/error", &error);
                }
                _ => std::process::exit(3),
            }
        }
    }

    struct Running {
        lambda: Lambda,
        lines: Arc<Mutex<Vec<String>>>,
        http: reqwest::Client,
        _folder: tempfile::TempDir,
    }

    impl Running {
        fn start(concurrency: usize, waiting: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let script = folder.path().join("echo");
            let program = std::env::current_exe().unwrap();
            let run = format!("exec '{}' --exact lambda::tests::function --nocapture", program.display());
            std::fs::write(&script, format!("#!/bin/sh\n{run}\n")).unwrap();
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
            let settings = Settings {
                folder: folder.path().to_path_buf(),
                functions: vec!["echo".to_owned()],
                variables: BTreeMap::new(),
                concurrency,
                waiting,
            };
            let lines = Arc::new(Mutex::new(Vec::new()));
            let written = Arc::clone(&lines);
            let lambda = Lambda::start(settings, move |line| written.lock().unwrap().push(line.to_owned()));
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            Self { lambda: lambda.unwrap(), lines, http, _folder: folder }
        }

        /// Status, error mark and body.
        async fn invoke(&self, what: &str) -> (u16, bool, Value) {
            let url = format!("{}/2015-03-31/functions/echo/invocations", self.lambda.url());
            let answer = self.http.post(url).body(json!({ "do": what }).to_string()).send().await.unwrap();
            let marked = answer.headers().contains_key("x-amz-function-error");
            (answer.status().as_u16(), marked, answer.json().await.unwrap())
        }

        fn started(&self) -> usize {
            self.lines.lock().unwrap().iter().filter(|line| line.starts_with("INFO process started")).count()
        }
    }

    #[tokio::test]
    async fn answers_and_errors_are_told_apart_and_a_process_is_used_again() {
        let running = Running::start(2, 2);
        let (status, marked, first) = running.invoke("answer").await;
        assert_eq!((status, marked), (200, false));
        let error = json!({ "errorType": "E", "errorMessage": "Unauthorized" });
        assert_eq!(running.invoke("fail").await, (200, true, error));
        assert_eq!(running.invoke("answer").await.2, first, "the same process");
        assert_eq!(running.started(), 1);
        let line = |text: &str| running.lines.lock().unwrap().iter().any(|line| line == text);
        assert!(line(r#"got {"do":"fail"}"#), "{:?}", running.lines);

        let url = format!("{}/2015-03-31/functions/other/invocations", running.lambda.url());
        assert_eq!(running.http.post(url).body("{}").send().await.unwrap().status(), 404);
    }

    #[tokio::test]
    async fn a_process_that_ends_is_an_error_of_the_function_and_the_next_event_gets_another() {
        let running = Running::start(1, 0);
        let (_, _, first) = running.invoke("answer").await;
        let (status, marked, error) = running.invoke("exit").await;
        assert_eq!((status, marked, &error["errorType"]), (200, true, &json!(EXIT_ERROR)));
        assert!(error["errorMessage"].as_str().unwrap().contains("exit status: 3"), "{error}");
        let (_, marked, second) = running.invoke("answer").await;
        assert!(!marked && second != first, "{second}");

        // Killed while idle: no invocation is affected.
        let kill = std::process::Command::new("kill").args(["-9", &second["pid"].to_string()]).status();
        assert!(kill.unwrap().success());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (_, marked, third) = running.invoke("answer").await;
        assert!(!marked && third != second, "{third}");
    }

    #[tokio::test]
    async fn as_many_as_may_run_at_once_and_the_rest_waits_or_is_rejected() {
        let running = Running::start(2, 2);
        let started = Instant::now();
        let answers = join_all((0..4).map(|_| running.invoke("sleep"))).await;
        assert!(answers.iter().all(|answer| answer.0 == 200), "{answers:?}");
        assert!(started.elapsed() >= Duration::from_millis(800), "two by two");
        assert_eq!(running.started(), 2);

        let answers = join_all((0..6).map(|_| running.invoke("sleep"))).await;
        let rejected: Vec<_> = answers.iter().filter(|answer| answer.0 == 429).collect();
        assert_eq!(rejected.len(), 2, "{answers:?}");
        assert!(rejected[0].2["Message"].as_str().unwrap().contains("2 processes of echo work"));
    }

    #[tokio::test]
    async fn processes_end_with_the_service() {
        let running = Running::start(1, 0);
        let pid = running.invoke("answer").await.2["pid"].to_string();
        drop(running);
        let alive =
            || std::process::Command::new("kill").args(["-0", &pid]).output().unwrap().status.success();
        let started = Instant::now();
        while alive() && started.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // A zombie counts as alive until the next wait of this process reaps it.
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(!alive() || state.contains(") Z "), "{state}");
    }

    #[test]
    fn a_binary_that_is_missing_is_named() {
        let settings = Settings {
            folder: PathBuf::from("/nowhere"),
            functions: vec!["login".to_owned()],
            variables: BTreeMap::new(),
            concurrency: 1,
            waiting: 0,
        };
        let error = Lambda::start(settings, |_| {}).unwrap_err().to_string();
        assert_eq!(error, "the function /nowhere/login is not built");
    }
}
