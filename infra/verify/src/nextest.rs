//! Tests of a step, run by cargo-nextest.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use daypass_tools::{cargo, nextest, run, target_dir};

use crate::plan::{Depth, Plan, without_aws};

/// Variables that developers set for tests, such as a seed of the model test.
const PASSED_ON: [&str; 1] = ["DAYPASS_MODEL_SEED"];

/// Tests of a step.
pub(crate) struct Tests<'a> {
    plan: &'a Plan,
    /// Name of the report.
    name: String,
    command: Command,
}

impl<'a> Tests<'a> {
    /// Tests of a filterset, in the profile of this depth.
    ///
    /// <https://nexte.st/docs/filtersets/>
    ///
    /// # Errors
    /// cargo-nextest cannot be installed.
    pub(crate) fn of(plan: &'a Plan, filterset: &str) -> Result<Self> {
        let mut command = Command::new(nextest()?);
        // Every Cargo inside `cargo run` needs the same folder and cleaned variables.
        let cargo = cargo();
        for (name, _) in cargo.get_envs() {
            command.env_remove(name);
        }
        if let Some(folder) = cargo.get_current_dir() {
            command.current_dir(folder);
        }
        without_aws(&mut command);
        let profile = match plan.depth {
            Depth::Gate => "ci",
            Depth::Full => "full",
        };
        command
            // All packages: another selection has other features and would compile the AWS SDK again.
            .args(["nextest", "run", "--workspace", "--locked", "--cargo-quiet"])
            // Ignored tests are not permitted: a test runs, or is deleted.
            .args(["--profile", profile, "--run-ignored", "all", "-E", filterset])
            .env("DAYPASS_TEST_DEPTH", plan.depth.name());
        for name in PASSED_ON {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        Ok(Self { plan, name: plan.step.to_owned(), command })
    }

    /// Sets a variable of the tests.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the parallel tests, for tests that wait more than they compute.
    pub(crate) fn threads(mut self, number: u32) -> Self {
        self.command.args(["--test-threads", &number.to_string()]);
        self
    }

    /// Sets the name of the report, for a step with several.
    pub(crate) fn named(mut self, name: String) -> Self {
        self.name = name;
        self
    }

    /// Runs the tests.
    ///
    /// # Errors
    /// A test fails, hangs, or passes only at its second try, or no test matches.
    pub(crate) fn run(self) -> Result<()> {
        let step = self.plan.step;
        run(step, &mut self.command()?)
    }

    /// The command that runs the tests.
    ///
    /// # Errors
    /// Its configuration cannot be written.
    pub(crate) fn command(mut self) -> Result<Command> {
        // A report for each step, because nextest has one file for each profile.
        let folder = target_dir().join("verify");
        fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
        let report = folder.join(format!("{}.xml", self.name));
        let config = folder.join(format!("{}.toml", self.name));
        let text =
            format!("[profile.ci.junit]\npath = {report:?}\n[profile.full.junit]\npath = {report:?}\n");
        fs::write(&config, text).with_context(|| format!("could not write {}", config.display()))?;
        self.command.arg("--tool-config-file").arg(format!("daypass-verify:{}", config.display()));
        if !self.plan.filter.is_empty() {
            self.command.arg("--").args(&self.plan.filter);
        }
        Ok(self.command)
    }
}
