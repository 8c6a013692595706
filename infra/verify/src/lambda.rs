//! Builds of deployed binaries, and the proof that `sam build` makes the same.
//!
//! Each binary is built alone, in the folder of its package. A common build would unify the features of shared crates,
//! and its binaries would be larger than the deployed ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use daypass_tools::{FUNCTIONS, Function, cargo, cargo_lambda, run, sam, say, target_dir, workspace_root};
use serde_json::{Map, Value};

use crate::elf::{Processor, unzipped};
use crate::plan::{archives, without_aws};

/// `cargo lambda build` of one binary, as `sam build` runs it. `folder` is that of its package, from the root.
pub(crate) fn cargo_lambda_build(folder: &str, binary: &str) -> Result<Command> {
    let mut command = cargo_lambda()?.command()?;
    command
        .current_dir(workspace_root().join(folder))
        .args(["build", "--release", "--locked", "--bin", binary, "--lambda-dir"])
        .arg(archives());
    Ok(command)
}

/// [`cargo_lambda_build`] of a function.
pub(crate) fn build_of(function: &Function) -> Result<Command> {
    cargo_lambda_build(&format!("functions/{}", function.binary), function.binary)
}

/// Files of a comparison. The steps `template` and `release` run in parallel, so each has its own.
fn scratch(step: &str) -> PathBuf {
    target_dir().join("verify/sam").join(step)
}

/// `sam build` of the stack, into `scratch`.
fn sam_build(scratch: &Path) -> Result<Command> {
    let mut command = Command::new(sam()?);
    without_aws(&mut command)
        .current_dir(workspace_root())
        .args(["build", "--template-file", "template.yaml", "--build-dir"])
        .arg(scratch.join("build"))
        .env("SAM_CLI_TELEMETRY", "0")
        // sam asks for a region, but sends no request.
        .env("AWS_DEFAULT_REGION", "us-east-1");
    Ok(command)
}

/// Records `sam build` with a stub for cargo-lambda, and compares the compilations with those of [`build_of`].
///
/// # Errors
/// A function is missing, or has other crates, features or profiles.
///
/// invariant: `sam build` compiles the crates, features and profiles that the gate measures.
pub(crate) fn compare_compilations() -> Result<()> {
    let commands = recorded_sam_build()?;
    for function in &FUNCTIONS {
        let (folder, words) = commands
            .get(function.binary)
            .with_context(|| format!("`sam build` does not build {}", function.binary))?;
        let own = build_of(function)?;
        let own_words: Vec<&str> = own.get_args().filter_map(|word| word.to_str()).collect();
        let own_folder = own.get_current_dir().context("the build has no folder")?;
        let deployed = units(folder, words.iter().map(String::as_str))?;
        let measured = units(own_folder, own_words)?;
        if let Some(unit) = deployed.symmetric_difference(&measured).next() {
            bail!(
                "{}: `sam build` and `cargo verify` compile different units, such as {unit}",
                function.binary
            );
        }
    }
    let unknown = commands.len() - FUNCTIONS.len();
    ensure!(unknown == 0, "`sam build` builds {unknown} functions that FUNCTIONS does not list");
    say(&format!("  `sam build` compiles all {} functions as the gate does", FUNCTIONS.len()));
    Ok(())
}

/// Folder and arguments of each `cargo lambda build` of `sam build`, by binary.
fn recorded_sam_build() -> Result<BTreeMap<String, (PathBuf, Vec<String>)>> {
    let scratch = scratch("template");
    let stub = scratch.join("stub");
    fs::create_dir_all(&stub)?;
    let record = scratch.join("commands");
    if record.exists() {
        fs::remove_file(&record)?;
    }
    let program = stub.join("cargo-lambda");
    fs::write(&program, include_str!("stub-cargo-lambda.sh"))?;
    run("template", Command::new("chmod").arg("755").arg(&program))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(stub).chain(std::env::split_paths(&path)))?;
    let log = fs::File::create(scratch.join("sam.log"))?;
    let mut build = sam_build(&scratch)?;
    build.env("PATH", path).env("CARGO_TARGET_DIR", &scratch).env("DAYPASS_RECORD", &record);
    let status = build.stdout(log.try_clone()?).stderr(log).status().context("could not start sam")?;
    ensure!(status.success(), "`sam build` ended with {status}: see {}", scratch.join("sam.log").display());

    let text = fs::read_to_string(&record).context("`sam build` called no cargo-lambda")?;
    let commands = text.lines().map(|line| {
        let mut words = line.split('\t').map(str::to_owned);
        let folder = PathBuf::from(words.next().unwrap_or_default());
        let words: Vec<String> = words.collect();
        let binary = words.iter().skip_while(|word| *word != "--bin").nth(1);
        Ok((binary.with_context(|| format!("no binary in `{line}`"))?.clone(), (folder, words)))
    });
    commands.collect()
}

/// Units that a command of Cargo or `cargo lambda` compiles, from Cargo's unit graph: crate, target, mode, features and profile.
pub(crate) fn units<'a>(folder: &Path, words: impl IntoIterator<Item = &'a str>) -> Result<BTreeSet<String>> {
    let mut words = words.into_iter();
    let mut command = cargo();
    command.current_dir(folder);
    // Not options of Cargo, and without influence on crates and features.
    while let Some(word) = words.next() {
        match word {
            "lambda" | "--arm64" => {}
            "--lambda-dir" | "--output-format" => drop(words.next()),
            word => drop(command.arg(word)),
        }
    }
    // The graph is an unstable output of Cargo.
    command.args(["--unit-graph", "-Z", "unstable-options"]).env("RUSTC_BOOTSTRAP", "1");
    let output = command.output().context("could not start cargo")?;
    ensure!(output.status.success(), "no unit graph: {}", String::from_utf8_lossy(&output.stderr));
    let graph: Value = serde_json::from_slice(&output.stdout).context("the unit graph is not JSON")?;
    let units = graph.get("units").and_then(Value::as_array).context("the unit graph has no units")?;
    let described = units.iter().filter_map(Value::as_object).map(|unit| {
        // Indices into the graph, and the processor.
        let kept = unit.iter().filter(|(name, _)| !["dependencies", "platform"].contains(&name.as_str()));
        Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
    });
    Ok(described.map(|unit| unit.to_string()).collect())
}

/// Runs the real `sam build` for this machine's processor, and compares each binary with that in
/// `FOLDER/BINARY/bootstrap.zip`.
///
/// # Errors
/// A build fails, or a binary differs.
///
/// invariant: `sam build` makes the same binary as the gate, byte for byte.
pub(crate) fn compare_binaries(functions: &[&Function], archives: &Path) -> Result<()> {
    let processor = match Processor::of_this_machine()? {
        Processor::Arm => "arm64",
        Processor::X86 => "x86_64",
    };
    let path = cargo_lambda()?.search_path()?;
    let scratch = scratch("release");
    for function in functions {
        let archive = archives.join(function.binary).join("bootstrap.zip");
        let measured = fs::read(&archive).with_context(|| format!("there is no {}", archive.display()))?;
        let id = logical_id(function.binary);
        let overrides = format!("Architecture={processor}");
        let mut build = sam_build(&scratch)?;
        build.args([&id, "--parameter-overrides", &overrides]).env("PATH", &path);
        run("release", &mut build)?;
        let deployed = scratch.join("build").join(&id).join("bootstrap");
        let deployed = fs::read(&deployed).with_context(|| format!("there is no {}", deployed.display()))?;
        ensure!(
            deployed == unzipped(&measured)?,
            "{}: `sam build` makes another binary than `cargo verify` measures",
            function.binary
        );
    }
    say(&format!("  `sam build` makes the same binaries ({} compared)", functions.len()));
    Ok(())
}

/// Logical id of a function in `template.yaml`: `RotateKeysFunction` for `rotate-keys`.
fn logical_id(binary: &str) -> String {
    let words = binary.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect::<String>() + "Function"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The comparison sees what another folder changes: without it, Cargo unifies the features of all members.
    #[test]
    fn a_build_from_the_root_has_other_units() {
        let words = ["build", "--release", "--locked", "--bin", "authorizer"];
        let alone = units(&workspace_root().join("functions/authorizer"), words).unwrap();
        let common = units(&workspace_root(), words).unwrap();
        assert!(alone.len() > 50 && alone.symmetric_difference(&common).count() > 0);
        let with_options = [
            "lambda",
            "build",
            "--release",
            "--arm64",
            "--lambda-dir",
            "x",
            "--locked",
            "--bin",
            "authorizer",
        ];
        assert_eq!(alone, units(&workspace_root().join("functions/authorizer"), with_options).unwrap());
    }

    #[test]
    fn logical_ids_are_those_of_the_template() {
        let template = fs::read_to_string(workspace_root().join("template.yaml")).unwrap();
        for function in &FUNCTIONS {
            assert!(
                template.contains(&format!("\n  {}:\n", logical_id(function.binary))),
                "{}",
                function.binary
            );
        }
    }
}
