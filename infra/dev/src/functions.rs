//! The functions, each in its own processes under `cargo lambda watch` or the testkit's Lambda service.

use super::console::Console;
use super::error::StackError;
use super::settings::{Cancel, Runner, functions};
use super::trim::{Trim, is_exit};
use super::wait::wait_for;
use daypass_testkit::lambda::{self, Lambda, START_ERRORS};
use daypass_tools::{Server, cargo, cargo_lambda, free_port, target_dir, workspace_root};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time limit for `cargo lambda watch` to listen. It reads the workspace first.
const START: Duration = Duration::from_secs(60);
/// Time limit of a first invocation. It waits for Cargo, and possibly for another build that holds the lock.
const FIRST_ANSWER: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(100);

/// Binary that restarts a function's process after each build: `bin/cargo.rs`.
pub(super) const RELOADING_CARGO: &str = "daypass-dev-cargo";
/// Queue length of each built function, in invocations.
const WAITING: usize = 256;
/// Lines of built functions in an error.
const KEPT_LINES: usize = 40;

/// The running functions. Drop stops them.
#[derive(Debug)]
pub(super) struct Functions {
    url: String,
    host: Host,
    output: Arc<Flags>,
    console: Console,
    /// Set by the gateway when an invocation gets no answer.
    stuck: Arc<AtomicBool>,
    /// Time limit of a probe of a function that may be stuck.
    probe: Duration,
}

/// Host of the functions.
#[derive(Debug)]
enum Host {
    CargoLambda(Box<Watch>),
    Built(Lambda, Arc<Mutex<VecDeque<String>>>),
}

/// A running `cargo lambda watch`, and what starts it again.
struct Watch {
    server: Server,
    command: Command,
    address: SocketAddr,
    on_line: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Watch {
    fn start(
        command: Command,
        address: SocketAddr,
        on_line: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Result<Self, String> {
        let server = Self::server(&command, address, &on_line)?;
        Ok(Self { server, command, address, on_line })
    }

    fn server(
        command: &Command,
        address: SocketAddr,
        on_line: &Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Result<Server, String> {
        let ready = || TcpStream::connect_timeout(&address, PAUSE).is_ok();
        let on_line = Arc::clone(on_line);
        let server =
            Server::start_watched("cargo lambda watch", command, START, ready, move |line| on_line(line));
        server.map_err(|error| format!("{error:#}"))
    }

    /// Stops it, and starts it at the same address.
    fn restart(&mut self) -> Result<(), String> {
        self.server.stop();
        self.server = Self::server(&self.command, self.address, &self.on_line)?;
        Ok(())
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("server", &self.server)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Host {
    fn name(&self) -> &'static str {
        match self {
            Self::CargoLambda(_) => "`cargo lambda watch`",
            Self::Built(..) => "the local Lambda service",
        }
    }

    fn is_running(&mut self) -> bool {
        match self {
            Self::CargoLambda(watch) => watch.server.is_running(),
            Self::Built(lambda, _) => lambda.is_running(),
        }
    }

    fn last_lines(&self) -> String {
        match self {
            Self::CargoLambda(watch) => watch.server.last_lines(),
            Self::Built(_, lines) => {
                let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
            }
        }
    }
}

/// State that the thread that reads the output shares.
#[derive(Debug, Default)]
struct Flags {
    /// Whether a process of a function has failed.
    exited: AtomicBool,
    /// Whether the stack is ready. From then on, the functions' lines are shown.
    ready: AtomicBool,
}

/// Configuration of the host.
pub(super) struct Plan<'a> {
    pub(super) runner: &'a Runner,
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) concurrency: u16,
    pub(super) log: &'a Path,
    pub(super) console: Console,
    /// Time limit of a probe of a function that may be stuck.
    pub(super) probe: Duration,
}

impl Functions {
    /// Starts the Invoke API. The functions start with their first invocations: see [`Functions::warm_up`].
    pub(super) fn start(plan: &Plan<'_>) -> Result<Self, StackError> {
        match plan.runner {
            Runner::CargoLambda => Self::watched(plan),
            Runner::Built(folder) => Self::built(plan, folder),
        }
    }

    /// Starts the testkit's Lambda service over built binaries.
    fn built(plan: &Plan<'_>, folder: &Path) -> Result<Self, StackError> {
        let failed = |error: std::io::Error| {
            StackError::new(
                format!("the functions in {} cannot be started: {error}", folder.display()),
                "build them with `cargo build --workspace --bins`, then start again",
            )
        };
        let log = File::create(plan.log).map_err(failed)?;
        let output = Arc::new(Flags::default());
        let last: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let on_line = lines(log, plan.console, Arc::clone(&output));
        let kept = Arc::clone(&last);
        let settings = lambda::Settings {
            folder: folder.to_path_buf(),
            functions: functions().map(str::to_owned).collect(),
            variables: plan.variables.clone(),
            concurrency: plan.concurrency.into(),
            waiting: WAITING,
        };
        let lambda = Lambda::start(settings, move |line| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(line.to_owned());
            on_line(line);
        });
        let lambda = lambda.map_err(failed)?;
        Ok(Self::of(lambda.url(), Host::Built(lambda, last), output, plan))
    }

    /// Starts `cargo lambda watch`, and installs cargo-lambda if it is missing.
    fn watched(plan: &Plan<'_>) -> Result<Self, StackError> {
        let tool = cargo_lambda().map_err(|error| {
            StackError::new(
                "cargo-lambda is missing and cannot be installed",
                "pip installs it from the package index: check the network and Python 3",
            )
            .with_details(format!("{error:#}"))
        })?;
        let failed = |error: &dyn std::fmt::Display| {
            StackError::new(
                "`cargo lambda watch` cannot be started",
                "its output shows the cause; fix it, then start again",
            )
            .with_details(format!("{error:#}"))
        };
        let address = free_port().map_err(|error| failed(&error))?;
        let log = File::create(plan.log).map_err(|error| failed(&error))?;
        let output = Arc::new(Flags::default());
        let command = watch(tool.program(), address, plan);
        let on_line = Arc::new(lines(log, plan.console, Arc::clone(&output)));
        let watch = Watch::start(command, address, on_line).map_err(|error| failed(&error))?;
        Ok(Self::of(format!("http://{address}"), Host::CargoLambda(Box::new(watch)), output, plan))
    }

    fn of(url: String, host: Host, output: Arc<Flags>, plan: &Plan<'_>) -> Self {
        Self { url, host, output, console: plan.console, stuck: Arc::default(), probe: plan.probe }
    }

    /// The flag that the gateway sets when an invocation gets no answer.
    pub(super) fn stuck(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stuck)
    }

    /// Process id of `cargo lambda watch`.
    pub(super) fn watch_id(&self) -> Option<u32> {
        match &self.host {
            Host::CargoLambda(watch) => Some(watch.server.id()),
            Host::Built(..) => None,
        }
    }

    /// URL of Lambda's Invoke API.
    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// Invokes each function once, so that later requests do not wait for a process.
    pub(super) fn warm_up(&self, console: Console, cancel: &Cancel) -> Result<(), StackError> {
        let client = reqwest::Client::builder().no_proxy().build().map_err(|error| {
            StackError::new(
                format!("there is no HTTP client: {error}"),
                "this is a bug of Daypass: please report it",
            )
        })?;
        for function in functions() {
            let started = Instant::now();
            wait_for(async {
                tokio::select! {
                    answer = self.first_answer(&client, function) => answer,
                    error = self.given_up(function, cancel) => Err(error),
                }
            })?;
            console.say(&format!("  {function:<10} runs ({:.1} s)", started.elapsed().as_secs_f32()));
        }
        self.output.ready.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Any response shows that the function runs.
    async fn first_answer(&self, client: &reqwest::Client, function: &str) -> Result<(), StackError> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.url);
        let sent = client.post(url).body(harmless_event().to_string()).timeout(FIRST_ANSWER).send();
        let answer = async { sent.await?.text().await };
        let answer =
            answer.await.map_err(|error| self.silent(function, &format!("does not answer ({error})")))?;
        // The testkit's Lambda service reports at once what `cargo lambda watch` only logs.
        if matches!(self.host, Host::Built(..)) && START_ERRORS.iter().any(|error| answer.contains(error)) {
            return Err(self.silent(function, "has stopped"));
        }
        Ok(())
    }

    /// Completes when the function has failed or the start is cancelled.
    async fn given_up(&self, function: &str, cancel: &Cancel) -> StackError {
        loop {
            tokio::time::sleep(PAUSE).await;
            if cancel.is_cancelled() {
                return StackError::cancelled();
            }
            if self.output.exited.load(Ordering::Relaxed) {
                return self.silent(function, "has stopped");
            }
        }
    }

    fn silent(&self, function: &str, what: &str) -> StackError {
        StackError::new(
            format!("the function {function} {what}"),
            "its last lines show the cause; fix it, then start again",
        )
        .with_details(self.host.last_lines())
    }

    /// Restarts a `cargo lambda watch` that no longer answers. Fails if the host of the functions has ended.
    pub(super) fn check(&mut self) -> Result<(), StackError> {
        if self.stuck.swap(false, Ordering::Relaxed) && !self.answers() {
            self.restart()?;
        }
        if self.host.is_running() {
            return Ok(());
        }
        let what = format!("{} has ended", self.host.name());
        Err(StackError::new(what, "its last lines may show the cause; start again")
            .with_details(self.host.last_lines()))
    }
}

impl Functions {
    /// Whether each function answers.
    fn answers(&self) -> bool {
        let Ok(client) = reqwest::Client::builder().no_proxy().timeout(self.probe).build() else {
            return true;
        };
        let answers = wait_for(async {
            for function in functions() {
                let url = format!("{}/2015-03-31/functions/{function}/invocations", self.url);
                if client.post(url).body(harmless_event().to_string()).send().await.is_err() {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        answers.unwrap_or(true)
    }

    fn restart(&mut self) -> Result<(), StackError> {
        let name = self.host.name();
        let Host::CargoLambda(watch) = &mut self.host else { return Ok(()) };
        self.console.say(&format!("{name} does not answer any more: restarting it ..."));
        watch.restart().map_err(|error| {
            StackError::new(format!("{name} cannot be started again"), "start again").with_details(error)
        })?;
        // Invocations of the stopped process may have set it meanwhile.
        self.stuck.store(false, Ordering::Relaxed);
        self.console.say("the functions start with their next requests");
        Ok(())
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        // Stopped functions log that the Runtime API is gone.
        self.output.ready.store(false, Ordering::Relaxed);
    }
}

/// Builds the command with the environment that the functions inherit: the stack's variables, without the developer's
/// AWS variables.
fn watch(program: &Path, address: SocketAddr, plan: &Plan<'_>) -> Command {
    let mut command = Command::new(program);
    // Without the variables that `cargo()` removes, as for every Cargo.
    let cargo = cargo();
    for (name, _) in cargo.get_envs() {
        command.env_remove(name);
    }
    // cargo-lambda watches all folders below its working directory, once for each process, even with `--ignore-changes`. This
    // one has no `target`.
    command.current_dir(workspace_root().join("infra/dev"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("AWS_") || text.starts_with("DAYPASS_") {
            command.env_remove(&name);
        }
    }
    command
        // Quiet, because each process has its own Cargo, whose progress would mix with the functions' lines.
        .args(["lambda", "watch", "--color", "never", "--quiet", "--manifest-path"])
        .arg(workspace_root().join("Cargo.toml"))
        .args(["--invoke-address", &address.ip().to_string(), "--invoke-port", &address.port().to_string()])
        .args(["--concurrency", &plan.concurrency.to_string()])
        // cargo-lambda's own reload waits 3 s, then runs one Cargo after the other for each process.
        .arg("--ignore-changes")
        .env("CARGO", target_dir().join("debug").join(RELOADING_CARGO))
        .env("DEV_CARGO", cargo.get_program())
        .envs(plan.variables);
    // Cargo may need the developer's proxy. The functions reach DynamoDB on this machine without it.
    let exceptions = direct_hosts(daypass_runtime::environment);
    command.env("NO_PROXY", &exceptions).env("no_proxy", &exceptions);
    command
}

/// The developer's exceptions from the proxy, and this machine.
fn direct_hosts(environment: impl Fn(&str) -> Option<String>) -> String {
    let own = ["NO_PROXY", "no_proxy"].into_iter().filter_map(environment).filter(|hosts| !hosts.is_empty());
    own.chain(["localhost,127.0.0.1,::1".to_owned()]).collect::<Vec<_>>().join(",")
}

/// Writes every line to the log, and the trimmed lines to the console.
fn lines(mut log: File, console: Console, flags: Arc<Flags>) -> impl Fn(&str) + Send + Sync + 'static {
    let (send, receive) = std::sync::mpsc::channel::<String>();
    std::thread::spawn(move || {
        let mut trim = Trim::default();
        for line in receive {
            // A log that cannot be written, on a full disk, must not stop the functions.
            let _ = writeln!(log, "{line}");
            let shown = trim.push(&line, Instant::now());
            if flags.ready.load(Ordering::Relaxed) {
                shown.iter().for_each(|line| console.say(line));
            }
            if is_exit(&line) {
                flags.exited.store(true, Ordering::Relaxed);
            }
        }
    });
    move |line| {
        let _ = send.send(line.to_owned());
    }
}

/// `GET /` as API Gateway sends it (payload 2.0), without a credential. Every function answers it without storing or
/// issuing anything.
fn harmless_event() -> Value {
    json!({
        "version": "2.0", "type": "REQUEST", "routeKey": "$default", "rawPath": "/", "rawQueryString": "",
        "headers": {}, "isBase64Encoded": false,
        "requestContext": {
            "accountId": "123456789012", "apiId": "local", "domainName": "localhost", "domainPrefix": "localhost",
            "requestId": "warm-up", "routeKey": "$default", "stage": "$default", "time": "", "timeEpoch": 0,
            "http": {
                "method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "daypass"
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_stands_between_functions_and_this_machine() {
        let check = |variables: &[(&str, &str)], expected: &str| {
            let lookup = |name: &str| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(direct_hosts(lookup), expected);
        };
        check(&[], "localhost,127.0.0.1,::1");
        check(&[("NO_PROXY", "")], "localhost,127.0.0.1,::1");
        check(&[("NO_PROXY", "a.example")], "a.example,localhost,127.0.0.1,::1");
        check(&[("no_proxy", ".corp"), ("NO_PROXY", "a.example")], "a.example,.corp,localhost,127.0.0.1,::1");
    }
}
