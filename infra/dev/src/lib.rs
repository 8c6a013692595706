//! The local stack: all of Daypass on this machine, by `cargo dev` in a checkout.
//!
//! [`Stack`] starts and stops it, also for the black-box tests. The other modules are the command.
//!
//! ```text
//! curl, the demo page -> local API Gateway -> cargo lambda watch -> the functions -> DynamoDB (embedded, or --dynamodb URL)
//! ```

mod build;
mod console;
mod demo;
mod error;
mod functions;
mod gateway;
mod https;
mod keys;
mod mail;
mod ready;
mod reload;
mod requests;
mod settings;
mod stack;
mod store;
mod trim;
mod wait;

pub use console::Console;
pub use demo::DEMO_CLIENT;
pub use error::StackError;
pub use settings::{AUDIENCE, Cancel, Runner, Settings};
pub use stack::Stack;
pub use store::{DEMO_PASSWORD, DEMO_SCOPE, DEMO_USER, StoreChoice};

use clap::Parser;
use daypass_core::client::Origin;
use daypass_gateway::Guard;
use daypass_tools::{say, target_dir};
use daypass_verifier::jose::jwk::Algorithm;
use daypass_verifier::routes::Routes;
use ready::Ready;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Interval of the check that all parts run.
const PULSE: Duration = Duration::from_millis(500);

/// Run the local stack: functions, API Gateway, DynamoDB and a demo user
#[derive(Debug, Parser)]
#[command(name = "daypass-dev", bin_name = "cargo dev", version, max_term_width = 100)]
struct Args {
    /// Print one JSON document
    #[arg(long, display_order = 900)]
    json: bool,
    /// Port of the local API Gateway on 127.0.0.1
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Port of the demo page's second origin on 127.0.0.1 [default: the port after the gateway's, or a free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    page_port: Option<u16>,
    /// Serve the gateway and the page over HTTPS, with a certificate of a local authority that your browser must trust once.
    /// Safari keeps no cookie at http://localhost
    #[arg(long)]
    https: bool,
    /// Allow another origin for the client of the demo page, such as http://localhost:5173 (repeatable). That of an app,
    /// such as capacitor://localhost, belongs to the client demo-app, which has no cookie
    #[arg(long = "origin", value_name = "ORIGIN", value_parser = origin)]
    origins: Vec<Origin>,
    /// Lifetime of access tokens, in seconds [default: 300]
    #[arg(long, value_name = "SECONDS")]
    access_token_seconds: Option<u32>,
    /// Use the DynamoDB at this loopback URL, such as DynamoDB Local, instead of the embedded one
    #[arg(long, value_name = "URL")]
    dynamodb: Option<String>,
    /// Allow --dynamodb on another machine; it gets the demo user with its public password
    #[arg(long, requires = "dynamodb")]
    allow_remote_dynamodb: bool,
    /// Delete the users, sessions and keys of earlier runs first
    #[arg(long, conflicts_with = "dynamodb")]
    fresh: bool,
    /// Algorithm of access tokens: ES256, EdDSA or RS256 [default: that of the last run, or ES256]
    #[arg(long, value_name = "ALG")]
    algorithm: Option<Algorithm>,
    /// Put the authorizer in front of your service, such as /orders=http://localhost:8080 (repeatable)
    #[arg(long = "guard", value_name = "PREFIX=URL")]
    guards: Vec<Guard>,
    /// Route table of the authorizer, such as "GET /orders/* needs orders:read; default any-token"
    #[arg(long, value_name = "TABLE", value_parser = routes)]
    routes: Option<String>,
    /// Parallel requests per function, each in its own process
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
}

impl Args {
    fn settings(self) -> Settings {
        let store = match self.dynamodb {
            Some(url) if self.allow_remote_dynamodb => StoreChoice::RemoteUrl(url),
            Some(url) => StoreChoice::Url(url),
            None => StoreChoice::File,
        };
        let seconds = self.access_token_seconds.map(|seconds| seconds.to_string());
        let seconds = seconds.map(|seconds| ("DAYPASS_ACCESS_TOKEN_SECONDS".to_owned(), seconds));
        let routes = self.routes.map(|routes| ("DAYPASS_ROUTES".to_owned(), routes));
        Settings {
            store,
            port: self.port,
            page_port: Some(self.page_port.unwrap_or_else(|| free_or_any(self.port.saturating_add(1)))),
            https: self.https,
            origins: self.origins,
            variables: seconds.into_iter().chain(routes).collect(),
            fresh: self.fresh,
            algorithm: self.algorithm,
            guards: self.guards,
            concurrency: self.concurrency,
            reload: true,
            leave_word: true,
            console: Console::Terminal,
            ..Settings::new(folder())
        }
    }
}

fn origin(text: &str) -> Result<Origin, String> {
    Origin::parse(text)
        .map_err(|problem| format!("an origin is like http://localhost:5173; this one {problem}"))
}

/// Checks a route table as the authorizer does.
fn routes(text: &str) -> Result<String, String> {
    Routes::parse(text).map(|_| text.to_owned()).map_err(|problem| format!("the table {problem}"))
}

/// The port if it is free, or 0 for any free port.
fn free_or_any(port: u16) -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_or(0, |_| port)
}

/// Folder of the stack of a checkout. `daypass` looks for the stack there.
fn folder() -> PathBuf {
    target_dir().join("dev")
}

/// Runs the stack of this process's arguments until a signal stops it.
#[must_use]
pub fn start() -> ExitCode {
    let args = Args::parse();
    // One task needs one thread.
    let run = || {
        Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| no_runtime(&error))?
            .block_on(run(args))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.report());
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), StackError> {
    let json = args.json;
    let mut stop = Stop::listen()?;
    requests::print();
    let settings = args.settings();
    let cancel = settings.cancel.clone();
    let mut starting = tokio::task::spawn_blocking(move || Stack::start(&settings));
    let started = tokio::select! {
        started = &mut starting => started,
        () = stop.asked() => {
            say("stopping ...");
            cancel.cancel();
            // The parts that had started stop as this ends.
            drop(starting.await);
            return Ok(());
        }
    };
    let started = started.map_err(|error| {
        StackError::new(format!("the start failed: {error}"), "this is a bug of Daypass: please report it")
    })?;
    let mut stack = started?;
    announce(&Ready::of(&stack), json).map_err(|error| {
        StackError::new(
            format!("the result cannot be written to standard output: {error}"),
            "redirect standard output elsewhere, then start again",
        )
    })?;
    let result = tokio::select! {
        () = stop.asked() => Ok(()),
        error = broken(&mut stack) => Err(error),
    };
    say("stopping ...");
    drop(stack);
    result
}

/// Prints the running stack to standard output, as text or as JSON.
fn announce(ready: &Ready, json: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if json {
        serde_json::to_writer_pretty(&mut out, ready)?;
    } else {
        write!(out, "{}", ready.to_string().trim_end())?;
    }
    writeln!(out)
}

fn no_runtime(error: &io::Error) -> StackError {
    StackError::new(
        format!("no runtime could be started: {error}"),
        "free some memory or file handles and try again",
    )
}

/// Completes when a part of the stack has ended.
async fn broken(stack: &mut Stack) -> StackError {
    loop {
        tokio::time::sleep(PULSE).await;
        if let Err(error) = stack.check() {
            return error;
        }
    }
}

/// Signals of Ctrl-C, process managers and a closed terminal.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Stop {
    fn listen() -> Result<Self, StackError> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                StackError::new(
                    format!("signals cannot be received: {error}"),
                    "run it in an ordinary terminal, outside a sandbox",
                )
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    /// With `UPDATE_SNAPSHOTS=1`, the test writes the page.
    #[test]
    fn the_reference_is_up_to_date() {
        let introduction = "`cargo dev` runs the local stack: see [Local stack](../getting-started/local.md).\n\n\
            This page is generated from the program.";
        let page = daypass_docs::reference("cargo dev", introduction, "cargo dev", &Args::command());
        daypass_docs::snapshot("docs/reference/cargo-dev.md", &page);
    }

    #[test]
    fn documented_commands_exist() {
        daypass_docs::check(&["cargo", "dev"], &Args::command());
    }

    #[test]
    fn daypass_finds_the_stack_where_it_leaves_word() {
        assert_eq!(folder().join(stack::WORD), target_dir().join(daypass_cli::DEV_FILE));
    }

    #[test]
    fn an_origin_that_no_browser_sends_is_refused_with_an_example() {
        assert_eq!(origin("http://localhost:5173").unwrap().as_str(), "http://localhost:5173");
        for wrong in ["localhost:5173", "http://localhost:5173/", "http://app.example", "*", "null"] {
            assert!(origin(wrong).unwrap_err().contains("like http://localhost:5173"), "{wrong}");
        }
    }

    #[test]
    fn a_port_that_is_taken_gives_way_to_any() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        assert_eq!(free_or_any(port), 0);
        drop(held);
        assert_eq!(free_or_any(port), port);
    }
}
