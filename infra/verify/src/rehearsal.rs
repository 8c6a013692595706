//! The rehearsal: `template.yaml` and the examples deployed to a local AWS, and everything asked through its API Gateway.
//!
//! With `DAYPASS_URL` set nothing is built or deployed: the same suite asks the stage there. The variables that it needs are
//! documented in `tests/it/suites/rehearsal/main.rs`.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use daypass_tools::{Ministack, cargo, command_line, run, say, target_dir, workspace_root};
use serde::Deserialize;

use crate::steps::{archives, build_functions, without_aws};
use crate::testing::run_tests;

/// A Daypass stack that was deployed.
#[derive(Debug, Deserialize)]
struct Deployed {
    /// By which the suite finds it and its APIs.
    variables: BTreeMap<String, String>,
    /// The modules of the suite among [`SOME`] that are for it.
    modules: Vec<String>,
}

/// Modules of the suite that are not for every stack: how long a revoked token works, until it is called back or until it expires,
/// which takes eleven minutes with the tokens of the other; and keys that rotate meanwhile.
const SOME: [&str; 3] = ["called_back", "window", "rotation"];

pub(crate) fn rehearsal() -> Result<()> {
    if let Some(url) = env::var_os("DAYPASS_URL") {
        let followed = env::var_os("DAYPASS_REVOCATIONS_SECONDS").is_some();
        let (other, how_long) = match followed {
            true => ("window", "it takes a minute"),
            false => ("called_back", "it takes as long as a token lives, and a cache"),
        };
        say(&format!("asking {}: {how_long}", url.display()));
        return run_tests(suite().args(["--skip", &format!("{other}::"), "--skip", "rotation::"]));
    }
    let archives = archives();
    build_functions(&archives)?;
    // With all binaries and not only the one that is needed: another choice is another choice of features, and builds all anew.
    run("rehearsal", without_aws(&mut cargo()).args(["build", "--workspace", "--locked", "--bins"]))?;
    let ministack = Ministack::account()?;
    for Deployed { variables, modules } in deploy(&ministack, &archives)? {
        let mut command = suite();
        for module in SOME.iter().filter(|module| !modules.iter().any(|own| own == *module)) {
            command.args(["--skip", &format!("{module}::")]);
        }
        run_tests(without_aws(&mut command).envs(variables))?;
    }
    let mut farewell = script(&ministack, "farewell.py", &archives);
    run("rehearsal", farewell.stderr(Stdio::inherit()))
}

/// The suite, which a person follows as it runs; its tests wait more than they compute.
fn suite() -> Command {
    let mut command = cargo();
    command.args(["test", "--workspace", "--locked", "--test", "rehearsal", "--", "--nocapture"]);
    command.args(["--test-threads", "4"]);
    command
}

/// Runs `infra/rehearsal/deploy.py`.
fn deploy(ministack: &Ministack, archives: &Path) -> Result<Vec<Deployed>> {
    let mut command = script(ministack, "deploy.py", archives);
    command.arg(target_dir().join("debug/daypass")).stderr(Stdio::inherit());
    let output = command.output().context("could not deploy")?;
    if !output.status.success() {
        bail!("`{}` ended with {}", command_line(&command), output.status);
    }
    serde_json::from_slice(&output.stdout).context("what was deployed is not told as expected")
}

/// A program of `infra/rehearsal`, with the archives of the functions.
fn script(ministack: &Ministack, name: &str, archives: &Path) -> Command {
    let mut command = Command::new(ministack.python());
    without_aws(&mut command)
        .arg(workspace_root().join("infra/rehearsal").join(name))
        .arg(ministack.url())
        .arg(archives)
        // No compiled modules between the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
