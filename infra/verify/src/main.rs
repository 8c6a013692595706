//! `cargo verify`: the gate. CI and contributors run it.
//!
//! [`steps`] is the list of checks. [`supervise`] runs each as a process with a deadline. `cargo verify --full` runs
//! more rounds and more steps, at night and before a release.

mod arm64;
mod budget;
mod deployment;
mod elf;
mod fuzz;
mod lambda;
mod nextest;
mod package;
mod plan;
mod rehearsal;
mod report;
mod steps;
mod supervise;
mod templates;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use daypass_tools::say;

use plan::Depth;
use steps::{STEPS, Step};
use supervise::Settings;

/// Run the checks of Daypass
#[derive(Debug, Parser)]
#[command(name = "cargo verify", bin_name = "cargo verify", version)]
struct Arguments {
    /// Run only these steps, separated by commas
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    only: Vec<String>,
    /// Run the full depth: more rounds, fuzzing, statistics, benchmarks, every release archive, arm64
    #[arg(long)]
    full: bool,
    /// Continue with the other steps after a failure
    #[arg(long)]
    keep_going: bool,
    /// Parallel steps
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=8))]
    jobs: u8,
    /// Alias of --full --only arm64
    #[arg(long, conflicts_with_all = ["only", "list"])]
    arm64: bool,
    /// List the steps
    #[arg(long, conflicts_with_all = ["only", "keep_going"])]
    list: bool,
    /// Run the tests whose names contain this text, with one step of tests
    #[arg(last = true, value_name = "FILTER")]
    filter: Vec<String>,
    /// Run one step in this process, for the supervisor
    #[arg(long, hide = true, value_name = "STEP", conflicts_with_all = ["only", "list", "keep_going"])]
    step: Option<String>,
}

fn main() -> ExitCode {
    // The alias `cargo package-release`.
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == "package-release") {
        return package::start(&package::Arguments::parse_from(arguments));
    }
    let arguments = Arguments::parse();
    if arguments.list {
        let steps = STEPS.iter().filter(|step| step.runs_in(Depth::of(arguments.full)));
        steps.for_each(|step| say(&format!("{:<11} {}", step.name, step.reason)));
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Returns whether everything passed.
fn run(arguments: &Arguments) -> Result<bool> {
    let depth = Depth::of(arguments.full || arguments.arm64);
    if let Some(name) = &arguments.step {
        let step = choose(std::slice::from_ref(name), depth)?;
        let [step] = step.as_slice() else { bail!("--step takes one step") };
        return Ok(supervise::run_here(step, depth, &arguments.filter));
    }
    let only = if arguments.arm64 { &vec!["arm64".to_owned()] } else { &arguments.only };
    let chosen = choose(only, depth)?;
    if !arguments.filter.is_empty() && !matches!(chosen.as_slice(), [step] if step.takes_filter) {
        bail!("a filter needs one step of tests: cargo verify --only test -- {}", arguments.filter.join(" "));
    }
    let settings = Settings {
        everything: arguments.only.is_empty() && !arguments.arm64,
        depth,
        keep_going: arguments.keep_going,
        jobs: usize::from(arguments.jobs),
        filter: arguments.filter.clone(),
    };
    supervise::run_all(&chosen, &settings)
}

/// Named steps in the order of [`STEPS`]; without names, all steps of this depth.
///
/// # Errors
/// The first unknown name, or a step that only `--full` runs.
fn choose(names: &[String], depth: Depth) -> Result<Vec<&'static Step>> {
    for name in names {
        match STEPS.iter().find(|step| step.name == name) {
            None => bail!("there is no step `{name}`: `cargo verify --full --list` shows them"),
            Some(step) if !step.runs_in(depth) => {
                bail!("`{name}` is a step of the full depth: run cargo verify --full --only {name}")
            }
            Some(_) => {}
        }
    }
    let chosen = |step: &&Step| match names {
        [] => step.runs_in(depth),
        names => names.iter().any(|name| name == step.name),
    };
    Ok(STEPS.iter().filter(chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn chosen(arguments: &[&str]) -> Result<Vec<&'static str>> {
        let arguments = Arguments::try_parse_from([&["cargo verify"], arguments].concat())?;
        let steps = choose(&arguments.only, Depth::of(arguments.full))?;
        Ok(steps.into_iter().map(|step| step.name).collect())
    }

    #[test]
    fn the_full_depth_has_every_step_of_the_gate_and_more() {
        let (gate, full) = (chosen(&[]).unwrap(), chosen(&["--full"]).unwrap());
        assert!(gate.iter().all(|name| full.contains(name)) && gate.len() < full.len());
        assert_eq!(full.len(), STEPS.len());
    }

    #[test]
    fn nights_and_releases_run_every_step_that_their_machines_can_run() {
        let mut full = chosen(&["--full"]).unwrap();
        full.retain(|name| !["arm64", "bench"].contains(name));
        for workflow in ["nightly", "release"] {
            let file = daypass_tools::workspace_root().join(format!(".github/workflows/{workflow}.yml"));
            let text = std::fs::read_to_string(file).unwrap();
            let steps = text.lines().filter_map(|line| line.split_once("--only ").map(|(_, steps)| steps));
            assert!(steps.clone().any(|steps| steps == full.join(",")), "{workflow}: {full:?}");
            assert!(steps.clone().any(|steps| steps == "build,release,rehearsal"), "{workflow}: on arm64");
            assert_eq!(steps.clone().any(|steps| steps == "build,release,bench"), workflow == "nightly");
        }
    }

    #[test]
    fn contributing_says_what_each_step_proves() {
        let text = std::fs::read_to_string(daypass_tools::workspace_root().join("CONTRIBUTING.md")).unwrap();
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), STEPS.len());
        for (row, step) in rows.iter().zip(STEPS) {
            assert!(row.starts_with(&format!("| `{}` | ", step.name)) && row.contains(step.reason), "{row}");
            assert_eq!(row.contains("`--full` only: "), step.depth == Depth::Full, "{row}");
        }
    }

    /// With `UPDATE_SNAPSHOTS=1`, the test writes the page.
    #[test]
    fn the_reference_is_up_to_date() {
        let introduction = "`cargo verify` is the gate: see [Contributing](../contributing/index.md).\n\n\
            This page is generated from the program.";
        let page =
            daypass_docs::reference("cargo verify", introduction, "cargo verify", &Arguments::command());
        daypass_docs::snapshot("docs/reference/cargo-verify.md", &page);
    }

    /// Options and steps.
    #[test]
    fn documented_commands_exist() {
        daypass_docs::check(&["cargo", "verify"], &Arguments::command());
        daypass_docs::check(&["cargo", "package-release"], &package::Arguments::command());
        for command in daypass_docs::commands(&["cargo", "verify"]) {
            let arguments = Arguments::parse_from(&command.words[1..]);
            let depth = Depth::of(arguments.full || arguments.arm64);
            assert!(choose(&arguments.only, depth).is_ok(), "{}", command.place);
        }
    }

    #[test]
    fn the_shards_of_the_workflow_are_the_steps_of_the_gate() {
        let workflow = daypass_tools::workspace_root().join(".github/workflows/changes.yml");
        let workflow = std::fs::read_to_string(workflow).unwrap();
        let shards = workflow.lines().filter_map(|line| line.trim().strip_prefix("steps: "));
        let mut sharded: Vec<&str> = shards.flat_map(|steps| steps.split(',')).collect();
        let mut gate = chosen(&[]).unwrap();
        sharded.sort_unstable();
        gate.sort_unstable();
        assert_eq!(sharded, gate);
    }

    #[test]
    fn only_keeps_the_order_of_the_gate() {
        assert_eq!(chosen(&["--only", "test,fmt"]).unwrap(), ["fmt", "test"]);
        assert_eq!(chosen(&["--only", "test", "--only", "fmt"]).unwrap(), ["fmt", "test"]);
    }

    #[test]
    fn what_is_unknown_is_an_error_that_names_the_way_out() {
        let error = |arguments: &[&str]| chosen(arguments).unwrap_err().to_string();
        assert!(error(&["--only", "fmt,tests"]).starts_with("there is no step `tests`"));
        assert!(error(&["--only", "bench"]).ends_with("cargo verify --full --only bench"));
        assert!(error(&["--skip", "release"]).contains("--skip"));
        assert!(error(&["--only"]).contains("--only"));
    }

    #[test]
    fn a_filter_goes_with_one_step_of_tests() {
        let outcome = |arguments: &[&str]| {
            let arguments = Arguments::parse_from([&["cargo verify"], arguments].concat());
            run(&arguments).unwrap_err().to_string()
        };
        for arguments in [&["--", "remove"][..], &["--only", "fmt", "--", "remove"]] {
            assert!(outcome(arguments).starts_with("a filter needs one step of tests"), "{arguments:?}");
        }
    }

    #[test]
    fn a_step_waits_for_steps_of_its_own_depth_that_come_first() {
        for (position, step) in STEPS.iter().enumerate() {
            for name in step.after {
                let first = STEPS.iter().position(|other| other.name == *name).unwrap();
                assert!(first < position, "{} waits for {name}", step.name);
                assert!(STEPS[first].depth <= step.depth, "{} waits for {name}", step.name);
            }
        }
    }
}
