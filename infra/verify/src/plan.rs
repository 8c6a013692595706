//! Parameters of a step, and the paths of binaries and logs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use daypass_tools::{cargo, run, target_dir};

/// Depth of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// The gate of every change.
    Gate,
    /// Nights and releases.
    Full,
}

impl Depth {
    pub(crate) const fn of(full: bool) -> Self {
        if full { Self::Full } else { Self::Gate }
    }

    /// Value of `DAYPASS_TEST_DEPTH`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Full => "full",
        }
    }
}

/// Parameters of a step.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The step's name.
    pub(crate) step: &'static str,
    pub(crate) depth: Depth,
    /// Filters of test names, if the contributor gave some.
    pub(crate) filter: Vec<String>,
}

/// Every binary and test.
pub(crate) const BUILT: [&str; 4] = ["--workspace", "--locked", "--bins", "--tests"];

/// Builds every binary and test with one set of features, so that no later step compiles.
pub(crate) fn build(plan: &Plan) -> Result<()> {
    run(plan.step, without_aws(&mut cargo()).args(["build", "--quiet"]).args(BUILT))
}

/// Removes variables that select an AWS account, an endpoint or a stack: tests must not use the developer's.
pub(crate) fn without_aws(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("AWS_") || name.starts_with("DAYPASS_")) {
            command.env_remove(name);
        }
    }
    command
}

/// Folder of the binaries.
pub(crate) fn archives() -> PathBuf {
    target_dir().join("lambda")
}

/// Log file of a step.
pub(crate) fn log_file(step: &str) -> PathBuf {
    target_dir().join("verify").join(format!("{step}.log"))
}
