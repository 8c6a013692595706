//! The step `fuzz`: coverage-guided fuzzing of the targets of `fuzz/`.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use daypass_tools::{cargo, cargo_fuzz, run, say, target_dir, workspace_root};

use crate::plan::{Plan, without_aws};

/// Options of libFuzzer: a minute for each target, 10 s and 2 GB for one input. It prints executions and coverage at the end.
const OPTIONS: [&str; 5] =
    ["-max_total_time=60", "-timeout=10", "-rss_limit_mb=2048", "-max_len=4096", "-print_final_stats=1"];

/// Runs the targets whose names contain the filter, each from its seeds and from what earlier runs found.
pub(crate) fn fuzz(plan: &Plan) -> Result<()> {
    let folder = workspace_root().join("fuzz");
    let chosen =
        |target: &String| plan.filter.is_empty() || plan.filter.iter().any(|part| target.contains(part));
    let targets: Vec<String> = targets()?.into_iter().filter(chosen).collect();
    if targets.is_empty() {
        bail!("no fuzz target has a name with {}", plan.filter.join(" "));
    }
    run("fuzz", subcommand("build")?.arg("--target-dir").arg(built()))?;
    for target in &targets {
        let corpus = target_dir().join("fuzz-corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("could not create {}", corpus.display()))?;
        say(&format!("fuzz: {target}"));
        let mut command = subcommand("run")?;
        command
            .arg("--target-dir")
            .arg(built())
            .arg(target)
            .arg(corpus)
            .arg(folder.join("seeds").join(target));
        command.arg("--").args(OPTIONS);
        // Beside the log of the step, where CI keeps it.
        let crashes = target_dir().join("verify").join(format!("fuzz-{target}-"));
        command.arg(format!("-artifact_prefix={}", crashes.display()));
        let dictionary = folder.join("dictionaries").join(target).with_extension("dict");
        if dictionary.exists() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        run("fuzz", &mut command)?;
    }
    Ok(())
}

/// `cargo fuzz`, with the compiler of `rust-toolchain.toml`.
fn subcommand(name: &str) -> Result<Command> {
    let mut command = Command::new(cargo_fuzz()?);
    let cargo = cargo();
    for (name, _) in cargo.get_envs() {
        command.env_remove(name);
    }
    without_aws(&mut command)
        .current_dir(workspace_root())
        // The sanitizer's flags are unstable. With this variable the pinned compiler takes them, and no other one is needed.
        .env("RUSTC_BOOTSTRAP", "1")
        // The base of the development profile: the levels of single crates in Cargo.toml stay.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "3")
        // Not the release profile, which optimises for size and strips symbols. One codegen unit, because the instrumentation
        // prevents inlining between units.
        .args(["fuzz", name, "--dev", "--codegen-units", "1", "--features", "targets", "--fuzz-dir", "fuzz"]);
    Ok(command)
}

/// cargo-fuzz compiles with other flags than the rest.
fn built() -> PathBuf {
    target_dir().join("fuzz")
}

/// The names of the targets, in order.
fn targets() -> Result<Vec<String>> {
    let folder = workspace_root().join("fuzz/targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))? {
        names.extend(entry?.path().file_stem().and_then(OsStr::to_str).map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_in_the_manifest_and_has_seeds() {
        let folder = workspace_root().join("fuzz");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let targets = targets().unwrap();
        for target in &targets {
            assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "{target}");
            assert!(folder.join("seeds").join(target).read_dir().unwrap().count() > 1, "{target}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
        for dictionary in folder.join("dictionaries").read_dir().unwrap() {
            let name = dictionary.unwrap().file_name().into_string().unwrap();
            assert!(targets.iter().any(|target| name == format!("{target}.dict")), "{name}");
        }
    }
}
