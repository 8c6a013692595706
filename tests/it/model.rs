//! Random walks over the real functions, held against a reference model, and seeded bugs that the walks must find.
//!
//! A plain `cargo test` takes [`runner::FEW`] walks and looks for a few of the bugs; `cargo verify --only model`
//! takes thousands and looks for all. `DAYPASS_MODEL_CASES` sets the number of walks, and with it all bugs are
//! looked for; `DAYPASS_MODEL_SEED` draws other walks.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use daypass_testkit::embedded::Embedded;
use daypass_tests::model::driver::World;
use daypass_tests::model::mutants::MUTANTS;
use daypass_tests::model::runner;
use std::fmt::Write;
use std::time::Instant;
use tokio::runtime::Runtime;

/// Worlds, and so walks at the same time: a walk spends much of its time in pauses between retries.
const WORLDS: usize = 3;
/// From so many walks on, every kind of operation and outcome must be among them.
const FULL: u32 = 2_000;
/// The bugs that a plain `cargo test` looks for: those that few walks find.
const FEW: [&str; 6] = [
    "rotate-any-generation",
    "no-grace",
    "grace-without-end",
    "theft-not-ended",
    "revoke-all-ends-the-first",
    "rotation-upserts",
];

fn number(name: &str) -> Option<u64> {
    Some(std::env::var_os(name)?.to_str().unwrap().parse().unwrap())
}

fn seed() -> u64 {
    number("DAYPASS_MODEL_SEED").unwrap_or(runner::SEED)
}

/// Databases with their tables, and the runtime that everything runs on.
fn worlds() -> (Runtime, Vec<(Embedded, World)>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = || {
        let embedded = Embedded::start(None).unwrap();
        let world = runtime.block_on(World::new(&embedded.url()));
        (embedded, world)
    };
    let worlds = (0..WORLDS).map(|_| world()).collect();
    (runtime, worlds)
}

#[test]
fn walks() {
    let cases = number("DAYPASS_MODEL_CASES").map_or(runner::FEW, |cases| u32::try_from(cases).unwrap());
    let (runtime, worlds) = worlds();
    let (_databases, worlds): (Vec<_>, Vec<_>) = worlds.into_iter().unzip();
    let started = Instant::now();
    match runner::take(runtime.handle(), &worlds, seed(), cases) {
        Ok(coverage) => {
            println!(
                "the model test, seed {}, {:.1} s:\n{coverage}",
                seed(),
                started.elapsed().as_secs_f64()
            );
            let missing = coverage.missing(cases >= FULL);
            assert!(missing.is_empty(), "never reached: {missing:#?}");
        }
        Err(text) => panic!("{text}"),
    }
}

#[test]
fn seeded_bugs_are_found() {
    let all = number("DAYPASS_MODEL_CASES").is_some();
    let mutants = if all { MUTANTS.to_vec() } else { runner::named(&FEW) };
    assert!(all || mutants.len() == FEW.len(), "a name in the list is no mutant's");
    let (runtime, worlds) = worlds();
    let (_databases, worlds): (Vec<_>, Vec<_>) = worlds.into_iter().unzip();
    let started = Instant::now();
    let found = runner::hunt(runtime.handle(), &worlds, seed(), &mutants);
    let mut table = format!("{} seeded bugs, {:.1} s:\n", found.len(), started.elapsed().as_secs_f64());
    for (mutant, found) in &found {
        let result = match found {
            Some(found) => format!("walk {:>3}: not \"{}\"", found.walks, found.property),
            None => format!("NOT FOUND: {}", mutant.wrong),
        };
        writeln!(table, "  {:<31} {result}", mutant.name).unwrap();
    }
    println!("{table}");
    let missed: Vec<_> = found.iter().filter(|(_, found)| found.is_none()).map(|(m, _)| m.name).collect();
    assert!(missed.is_empty(), "not found within {} walks: {missed:?}", runner::MUTANT_WALKS);
}

#[test]
fn every_mutant_has_a_name_and_a_sentence_of_its_own() {
    for (index, mutant) in MUTANTS.iter().enumerate() {
        assert!(!mutant.name.is_empty() && !mutant.wrong.is_empty());
        let rest = &MUTANTS[index + 1..];
        assert!(rest.iter().all(|m| m.name != mutant.name && m.wrong != mutant.wrong), "{}", mutant.name);
    }
}
