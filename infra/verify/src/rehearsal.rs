//! The rehearsal: `template.yaml` and the examples are deployed to a local AWS and called through its API Gateway.
//!
//! The gate deploys development binaries, and the full depth deploys release archives. With `DAYPASS_URL`, the same
//! suite calls that stage and nothing is built or deployed. `tests/it/suites/rehearsal/mod.rs` documents its variables.

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

/// A deployed Daypass stack.
#[derive(Debug, Deserialize)]
struct Deployed {
    /// Variables of the suite with its URLs.
    variables: BTreeMap<String, String>,
    /// Modules of [`SOME`] that apply to it.
    modules: Vec<String>,
}

/// Modules of the suite that apply to some stacks only: how long a revoked token works with the feed, and without it,
/// which takes eleven minutes; bound tokens; machine clients; mails; step-up; and key rotation.
const SOME: [&str; 7] = ["bound", "called_back", "machines", "mails", "step_up", "window", "rotation"];

pub(crate) fn rehearsal(plan: &Plan) -> Result<()> {
    if let Some(url) = env::var_os("DAYPASS_URL") {
        let followed = env::var_os("DAYPASS_REVOCATIONS_SECONDS").is_some();
        let (own, how_long) = match followed {
            true => ("called_back", "it takes a minute"),
            false => ("window", "it takes as long as a token lives, and a cache"),
        };
        say(&format!("calling {}: {how_long}", url.display()));
        let stage = env::vars().filter(|(name, _)| name.starts_with("DAYPASS_"));
        return suite(plan, &["bound".to_owned(), own.to_owned()], stage)?.run();
    }
    build(plan)?;
    let functions = match plan.depth {
        Depth::Gate => target_dir().join("debug"),
        Depth::Full => archives(),
    };
    let ministack = Ministack::account()?;
    // In parallel: both wait more than they compute.
    let stacks = deploy(&ministack, &functions)?;
    thread::scope(|scope| {
        let suites: Vec<_> = stacks
            .into_iter()
            .map(|stack| scope.spawn(move || output_of(suite(plan, &stack.modules, stack.variables)?)))
            .collect();
        // All of them, so that a failure does not hide the output of the others.
        let ran: Vec<Result<bool>> = suites.into_iter().map(|suite| print(suite.join())).collect();
        let ran = ran.into_iter().collect::<Result<Vec<bool>>>()?;
        // A filter can choose tests of one stack alone.
        if !ran.contains(&true) || (plan.filter.is_empty() && ran.contains(&false)) {
            bail!("a suite had no test to run");
        }
        Ok(())
    })?;
    let mut teardown = script(&ministack, "teardown.py", &functions);
    run("rehearsal", teardown.stderr(Stdio::inherit()))
}

/// Runs tests and captures their output.
fn output_of(tests: Tests<'_>) -> Result<Output> {
    let mut command = tests.command()?;
    command.output().with_context(|| format!("could not start `{}`", command_line(&command)))
}

/// The exit code of cargo-nextest when its filter chooses no test.
const NO_TESTS: i32 = 4;

/// Prints the output of a suite. Returns whether it ran a test; an error if one failed.
fn print(suite: thread::Result<Result<Output>>) -> Result<bool> {
    let output = suite.map_err(|_| anyhow!("the thread of a suite panicked"))??;
    say(String::from_utf8_lossy(&output.stdout).trim_end());
    say(String::from_utf8_lossy(&output.stderr).trim_end());
    match output.status.code() {
        Some(0) => Ok(true),
        Some(NO_TESTS) => Ok(false),
        _ => bail!("a suite ended with {}", output.status),
    }
}

/// The suite without the modules of [`SOME`] that are not in `modules`. Its tests wait more than they compute.
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

/// The development build of `daypass`.
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
        // No compiled modules among the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
