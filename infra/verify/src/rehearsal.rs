//! The rehearsal: `template.yaml` and the examples deployed to a local AWS, and everything called through its API Gateway.
//!
//! The gate deploys the development binaries, the full depth the release archives. With `DAYPASS_URL` set nothing is built
//! or deployed: the same suite calls the stage there. The variables that it needs are documented in
//! `tests/it/suites/rehearsal/mod.rs`.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use daypass_tools::{Ministack, command_line, run, say, target_dir, workspace_root};
use serde::Deserialize;

use crate::nextest::Tests;
use crate::plan::{Depth, Plan, archives, build, without_aws};

/// A Daypass stack that was deployed.
#[derive(Debug, Deserialize)]
struct Deployed {
    /// Where the suite finds it and its APIs.
    variables: BTreeMap<String, String>,
    /// The modules of the suite among [`SOME`] that are for it.
    modules: Vec<String>,
}

/// Modules of the suite that are not for every stack: how long a revoked token works, until it is revoked or until it
/// expires, which takes eleven minutes with the tokens of the other; and keys that rotate meanwhile.
const SOME: [&str; 3] = ["called_back", "window", "rotation"];

pub(crate) fn rehearsal(plan: &Plan) -> Result<()> {
    if let Some(url) = env::var_os("DAYPASS_URL") {
        let followed = env::var_os("DAYPASS_REVOCATIONS_SECONDS").is_some();
        let (own, how_long) = match followed {
            true => ("called_back", "it takes a minute"),
            false => ("window", "it takes as long as a token lives, and a cache"),
        };
        say(&format!("calling {}: {how_long}", url.display()));
        let stage = env::vars().filter(|(name, _)| name.starts_with("DAYPASS_"));
        return suite(plan, &[own.to_owned()], stage)?.run();
    }
    build(plan)?;
    let functions = match plan.depth {
        Depth::Gate => target_dir().join("debug"),
        Depth::Full => archives(),
    };
    let ministack = Ministack::account()?;
    // Side by side: both wait more than they compute.
    let stacks = deploy(&ministack, &functions)?;
    thread::scope(|scope| {
        let suites: Vec<_> = stacks
            .into_iter()
            .map(|stack| scope.spawn(move || output_of(suite(plan, &stack.modules, stack.variables)?)))
            .collect();
        // All of them, so that the output of one that fails does not hide that of another.
        let passed: Vec<Result<()>> = suites.into_iter().map(|suite| print(suite.join())).collect();
        passed.into_iter().collect::<Result<()>>()
    })?;
    let mut teardown = script(&ministack, "teardown.py", &functions);
    run("rehearsal", teardown.stderr(Stdio::inherit()))
}

/// Runs tests with their output kept.
fn output_of(tests: Tests<'_>) -> Result<Output> {
    let mut command = tests.command()?;
    command.output().with_context(|| format!("could not start `{}`", command_line(&command)))
}

/// Prints what a suite has said; an error when it failed.
fn print(suite: thread::Result<Result<Output>>) -> Result<()> {
    let output = suite.map_err(|_| anyhow!("the thread of a suite panicked"))??;
    say(String::from_utf8_lossy(&output.stdout).trim_end());
    say(String::from_utf8_lossy(&output.stderr).trim_end());
    if !output.status.success() {
        bail!("a suite ended with {}", output.status);
    }
    Ok(())
}

/// The suite without the modules of [`SOME`] that are not among `modules`. Its tests wait more than they compute.
fn suite<'a>(
    plan: &'a Plan,
    modules: &[String],
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Tests<'a>> {
    let left_out: Vec<&str> =
        SOME.into_iter().filter(|module| !modules.iter().any(|own| own == module)).collect();
    let filterset = format!(
        "test(/^suites::rehearsal::/) and not test(/^suites::rehearsal::({})::/)",
        left_out.join("|")
    );
    let tests = Tests::of(plan, &filterset)?.threads(4).named(format!("rehearsal-{}", modules.join("-")));
    Ok(variables.into_iter().fold(tests, |tests, (name, value)| tests.env(&name, value)))
}

/// Runs `infra/rehearsal/deploy.py`.
fn deploy(ministack: &Ministack, functions: &Path) -> Result<Vec<Deployed>> {
    let mut command = script(ministack, "deploy.py", functions);
    command.arg(daypass()).stderr(Stdio::inherit());
    let output = command.output().context("could not deploy")?;
    if !output.status.success() {
        bail!("`{}` ended with {}", command_line(&command), output.status);
    }
    serde_json::from_slice(&output.stdout).context("deploy.py does not print what it deployed as expected")
}

/// The command `daypass` of the development build.
fn daypass() -> PathBuf {
    target_dir().join("debug/daypass")
}

/// A program of `infra/rehearsal`, with the folder of the functions.
fn script(ministack: &Ministack, name: &str, functions: &Path) -> Command {
    let mut command = Command::new(ministack.python());
    without_aws(&mut command)
        .arg(workspace_root().join("infra/rehearsal").join(name))
        .arg(ministack.url())
        .arg(functions)
        // No compiled modules between the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
