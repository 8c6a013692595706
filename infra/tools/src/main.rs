//! `cargo tools`: maintenance of the external tools. README.md describes the commands.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use daypass_tools::{cargo_deny, check_prerequisites, install_all, lock, run, say, workspace_root};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["install"] => check_prerequisites().and_then(|()| install_all()),
        ["lock"] => lock(false),
        ["lock", "--upgrade"] => lock(true),
        ["advisories"] => advisories(),
        _ => {
            say("usage: cargo tools install | lock [--upgrade] | advisories");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Checks the dependencies against the RustSec advisory database, which it fetches first.
fn advisories() -> Result<()> {
    let deny = || -> Result<Command> {
        let mut command = Command::new(cargo_deny()?);
        command.current_dir(workspace_root()).arg("--locked");
        Ok(command)
    };
    run("fetch", deny()?.args(["fetch", "db"])).context(
        "could not fetch the advisory database: nothing was checked; this command needs the network",
    )?;
    run("advisories", deny()?.args(["check", "--disable-fetch", "--deny", "warnings", "advisories"]))
}
