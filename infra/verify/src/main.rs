//! `cargo verify`: the one gate. CI runs it (`.ci/run`) and nothing else, and so does whoever wants to know before.
//!
//! The steps are in [`steps`], cheap ones first; the first failure ends the run. There is deliberately no way to
//! leave a step out of a full run: `--only` is for working on one.

mod arm64;
mod budget;
mod elf;
mod rehearsal;
mod report;
mod steps;
mod testing;

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use daypass_tools::say;

use budget::{FUNCTIONS, Function};
use report::{Outcome, summary};
use steps::{STEPS, Step};

const USAGE: &str = "\
Every check of Daypass, in order; the first failure ends the run.

usage: cargo verify                       run all steps
       cargo verify --only STEP[,STEP]    run some of them
       cargo verify --list                show the steps
       cargo verify --arm64 [FUNCTION,…]  none of them: build the functions for arm64, and start them under QEMU";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match parse(&arguments) {
        Ok(Request::Help) => {
            say(USAGE);
            ExitCode::SUCCESS
        }
        Ok(Request::List) => {
            for step in STEPS {
                say(&format!("{:<10} {}", step.name, step.reason));
            }
            ExitCode::SUCCESS
        }
        Ok(Request::Run(chosen)) => run_all(&chosen),
        Ok(Request::Arm64(chosen)) => match arm64::arm64(&chosen) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&format!("\nerror: {error:#}"));
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            say(&format!("error: {error}\n\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

/// What the command line asks for.
enum Request {
    Help,
    List,
    Run(Vec<&'static Step>),
    Arm64(Vec<&'static Function>),
}

fn parse(arguments: &[String]) -> Result<Request> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => Ok(Request::Run(STEPS.iter().collect())),
        ["--help" | "-h"] => Ok(Request::Help),
        ["--list"] => Ok(Request::List),
        ["--only", names] => Ok(Request::Run(choose(names)?)),
        ["--only"] => bail!("--only needs the names of steps"),
        ["--arm64"] => Ok(Request::Arm64(FUNCTIONS.iter().collect())),
        ["--arm64", names] => Ok(Request::Arm64(arm64::choose(names)?)),
        [unknown, ..] => bail!("`{unknown}` is not understood"),
    }
}

/// The named steps, in the order of [`STEPS`].
fn choose(names: &str) -> Result<Vec<&'static Step>> {
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        bail!("there is no step `{unknown}`");
    }
    Ok(STEPS.iter().filter(|step| names.contains(&step.name)).collect())
}

fn run_all(chosen: &[&'static Step]) -> ExitCode {
    let started = Instant::now();
    let mut outcomes = Vec::new();
    for (number, step) in chosen.iter().enumerate() {
        say(&format!("\n==> {}/{} {}: {}", number + 1, chosen.len(), step.name, step.reason));
        let step_started = Instant::now();
        let result = (step.run)();
        outcomes.push(Outcome { step: step.name, passed: result.is_ok(), took: step_started.elapsed() });
        if let Err(error) = result {
            say(&format!("\nerror: {error:#}"));
            break;
        }
    }
    let names: Vec<&str> = chosen.iter().map(|step| step.name).collect();
    say(&format!("\n{}", summary(&names, &outcomes, started.elapsed())));
    if outcomes.iter().all(|outcome| outcome.passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Vec<&'static str> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        match parse(&arguments).unwrap() {
            Request::Run(steps) => steps.iter().map(|step| step.name).collect(),
            Request::Help | Request::List | Request::Arm64(_) => panic!("not a run of steps"),
        }
    }

    fn refusal(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        parse(&arguments).err().unwrap().to_string()
    }

    #[test]
    fn without_arguments_every_step_runs() {
        assert_eq!(names(&[]).len(), STEPS.len());
    }

    #[test]
    fn arm64_is_no_step_and_takes_the_names_of_functions() {
        assert!(STEPS.iter().all(|step| step.name != "arm64"), "it builds everything a second time");
        let functions = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            match parse(&arguments).unwrap() {
                Request::Arm64(functions) => functions.iter().map(|function| function.binary).collect(),
                Request::Help | Request::List | Request::Run(_) => Vec::new(),
            }
        };
        assert_eq!(functions(&["--arm64"]).len(), FUNCTIONS.len());
        assert_eq!(functions(&["--arm64", "refresh,login"]), ["login", "refresh"]);
        assert_eq!(refusal(&["--arm64", "login,nothing"]), "there is no function `nothing`");
    }

    #[test]
    fn only_keeps_the_order_of_the_gate() {
        assert_eq!(names(&["--only", "release, fmt"]), ["fmt", "release"]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert_eq!(refusal(&["--only", "fmt,tests"]), "there is no step `tests`");
        assert_eq!(refusal(&["--only"]), "--only needs the names of steps");
        assert_eq!(refusal(&["--skip", "release"]), "`--skip` is not understood");
        assert_eq!(refusal(&["fmt"]), "`fmt` is not understood");
    }

    #[test]
    fn step_names_are_unique() {
        let mut names = names(&[]);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
