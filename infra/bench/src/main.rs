//! `cargo bench-authorizer`: warm invocations, cold start and memory of the authorizer, beside the least that a
//! function can take, and beside authorizers in Node.js and Python. `cargo bench-functions`: starts and requests of every
//! function at its share of a processor.
//!
//! This program can be a development build: it measures release builds.

mod dynamodb;
mod feed;
mod function;
mod functions;
mod measure;
mod peers;
mod report;
mod revocations;
mod runtime_api;
mod share;
mod stage;
mod token;

use anyhow::{Result, bail};
use daypass_tools::{cargo, run, say, target_dir};
use function::Function;
use measure::Functions;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use token::{AUDIENCE, ISSUER, Ticket};

const USAGE: &str = "\
What the authorizer takes, beside the least that it could take and beside its peers.

usage: cargo bench-authorizer [--revocations | --functions] [--built FOLDER] [--tries NUMBER] [--gate]

  --revocations     what following the revocation feed costs, and what the feed costs, instead of the rest
                    (`cargo bench-revocations`)
  --functions       every function at its share of a processor, instead of the rest (`cargo bench-functions`);
                    needs root, for a control group, and the build of `cargo verify --full --only release,bench`

  --built FOLDER    measure FOLDER/FUNCTION/bootstrap, as `cargo lambda build` leaves them, instead of building
  --tries NUMBER    measure anew while a limit is passed, at most so often; a busy machine passes some
  --gate            fail only when a time is over its limit by more than a quarter";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let request = match parse(&arguments) {
        Ok(Some(request)) => request,
        Ok(None) => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            say(&format!("error: {error}\n\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match bench(&request) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Parsed command line.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    built: Option<PathBuf>,
    tries: u32,
    gate: bool,
    revocations: bool,
    functions: bool,
}

/// `None` for help.
fn parse(arguments: &[String]) -> Result<Option<Request>> {
    let mut request = Request { built: None, tries: 1, gate: false, revocations: false, functions: false };
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        let switch = match argument {
            "--gate" => Some(&mut request.gate),
            "--revocations" => Some(&mut request.revocations),
            "--functions" => Some(&mut request.functions),
            _ => None,
        };
        if let Some(switch) = switch {
            *switch = true;
            continue;
        }
        match (argument, argument.starts_with("--").then(|| rest.next()).flatten()) {
            ("--help" | "-h", _) => return Ok(None),
            ("--built", Some(folder)) => request.built = Some(folder.into()),
            ("--tries", Some(number)) => match number.parse() {
                Ok(tries) if tries > 0 => request.tries = tries,
                _ => bail!("--tries {number} is not a number of tries"),
            },
            ("--built" | "--tries", None) => bail!("{argument} needs a value"),
            _ => bail!("unknown argument `{argument}`"),
        }
    }
    Ok(Some(request))
}

/// Measures and prints, and returns whether all limits are kept.
fn bench(request: &Request) -> Result<bool> {
    let measure = measurement(request)?;
    let mut number = 1;
    loop {
        let last = number >= request.tries;
        let (text, kept) = measure(last)?;
        print(&format!("\n{}\n{text}", machine()));
        if kept || last {
            return Ok(kept);
        }
        say(&format!("try {number} of {} exceeded a limit: measuring again", request.tries));
        number += 1;
    }
}

/// One try: its text, and whether all limits are kept. The argument tells whether it is the last.
type Measure = Box<dyn Fn(bool) -> Result<(String, bool)>>;

fn measurement(request: &Request) -> Result<Measure> {
    let gate = request.gate;
    if request.functions {
        let folder = request.built.clone().unwrap_or_else(|| target_dir().join("lambda"));
        return Ok(Box::new(move |_| functions::measure(&folder, gate)));
    }
    let programs = match &request.built {
        Some(folder) => Programs::in_folder(folder),
        None => Programs::build(request.revocations)?,
    };
    if request.revocations {
        return Ok(Box::new(move |_| {
            let authorizer = programs.functions(&Ticket::issue()?).authorizer;
            revocations::measure(&authorizer, &programs.revocations, gate)
        }));
    }
    Ok(Box::new(move |last| {
        let ticket = Ticket::issue()?;
        // Before the measurement, so that a failed installation costs no time.
        let installed = peers::install(&ticket)?;
        let comparison = measure::compare(&programs.functions(&ticket), &ticket)?;
        let (verdict, kept) = report::verdict(&comparison, programs.zip_bytes(), gate);
        // Peers have no limits, so one measurement is enough.
        let peers = if kept || last { peers::measure(&installed)? } else { vec![] };
        Ok((format!("{}\n{verdict}", report::table(&comparison, &peers)), kept))
    }))
}

struct Programs {
    authorizer: PathBuf,
    floor: PathBuf,
    revocations: PathBuf,
    zip: PathBuf,
}

impl Programs {
    /// Output of `cargo lambda build`.
    fn in_folder(folder: &Path) -> Self {
        let program = |name: &str| folder.join(name).join("bootstrap");
        let [authorizer, floor, revocations] = ["authorizer", "floor", "revocations"].map(program);
        Self { authorizer, floor, revocations, zip: zip(folder) }
    }

    /// Builds both for this machine, with the profile of the deployed function.
    fn build(with_feed: bool) -> Result<Self> {
        let build = |packages: &[&str]| {
            run("release", cargo().args(["build", "--release", "--locked"]).args(packages))
        };
        build(&["--package", "daypass-authorizer-function", "--package", "daypass-floor"])?;
        if with_feed {
            // Built separately, because it links the AWS SDK and would change the features of the others.
            build(&["--package", "daypass-revocations"])?;
        }
        let folder = target_dir().join("release");
        let [authorizer, floor, revocations] =
            ["authorizer", "floor", "revocations"].map(|name| folder.join(name));
        Ok(Self { authorizer, floor, revocations, zip: zip(&target_dir().join("lambda")) })
    }

    fn functions(&self, ticket: &Ticket) -> Functions {
        let configuration = vec![
            ("DAYPASS_ISSUER", ISSUER.into()),
            ("DAYPASS_AUDIENCE", AUDIENCE.into()),
            ("DAYPASS_JWKS", ticket.jwks.clone().into()),
        ];
        let floor = |arguments| Function {
            program: self.floor.clone(),
            arguments,
            environment: vec![],
            exchange: Arc::new(ticket.event.clone()),
            expected: "true",
        };
        let authorizer = Function {
            program: self.authorizer.clone(),
            arguments: vec![],
            environment: configuration,
            exchange: Arc::new(ticket.event.clone()),
            expected: r#""isAuthorized":true"#,
        };
        Functions {
            bound: Function {
                exchange: Arc::<token::BoundCalls>::clone(&ticket.bound),
                ..authorizer.clone()
            },
            authorizer,
            round_trip: floor(vec![]),
            verifying: floor(ticket.arguments().map(OsString::from).to_vec()),
            verifying_two: floor(ticket.arguments().repeat(2).into_iter().map(OsString::from).collect()),
        }
    }

    /// Size of the archive in bytes, if it was built.
    fn zip_bytes(&self) -> Option<u64> {
        std::fs::metadata(&self.zip).ok().map(|metadata| metadata.len())
    }
}

fn zip(folder: &Path) -> PathBuf {
    folder.join("authorizer").join("bootstrap.zip")
}

/// The machine and its load.
fn machine() -> String {
    let cores = available_parallelism().map_or(1, usize::from);
    let text = format!("{} {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH);
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let load = load.as_deref().and_then(|load| load.split(' ').next()?.parse::<f64>().ok());
    match load {
        Some(load) if load > cores as f64 => {
            format!("{text}, busy (load {load}): an idle machine has lower figures")
        }
        _ => text,
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this is run for")]
fn print(text: &str) {
    print!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arguments: &[&str]) -> Result<Option<Request>> {
        parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn the_arguments_are_read() {
        assert_eq!(
            request(&[]).unwrap(),
            Some(Request { built: None, tries: 1, gate: false, revocations: false, functions: false })
        );
        assert!(request(&["--revocations"]).unwrap().unwrap().revocations);
        let both = request(&["--tries", "3", "--gate", "--built", "target/lambda"]).unwrap();
        assert_eq!(
            both,
            Some(Request {
                built: Some("target/lambda".into()),
                tries: 3,
                gate: true,
                revocations: false,
                functions: false
            })
        );
        assert_eq!(request(&["--help"]).unwrap(), None);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refusal = |arguments: &[&str]| request(arguments).unwrap_err().to_string();
        assert_eq!(refusal(&["--tries", "0"]), "--tries 0 is not a number of tries");
        assert_eq!(refusal(&["--built"]), "--built needs a value");
        assert_eq!(refusal(&["fast"]), "unknown argument `fast`");
        assert_eq!(refusal(&["--fast", "1"]), "unknown argument `--fast`");
    }
}
