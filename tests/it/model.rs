//! Random walks over the real functions, compared with a reference model, and deliberate bugs that the walks must find.
//!
//! The gate performs 200 walks, and a third as many around the account, the same in each run. `cargo verify --full` performs
//! 2,000 walks from a new seed. Both look for every deliberate bug, with seeds that are known to find them.
//! `DAYPASS_MODEL_SEED` repeats the walks of a seed. Each run prints its seed.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use daypass_testkit::depth::{amount, is_full};
use daypass_testkit::embedded::Embedded;
use daypass_tests::bench::random;
use daypass_tests::model::driver::World;
use daypass_tests::model::mutants::ending::ENDING;
use daypass_tests::model::mutants::rotation::ROTATION;
use daypass_tests::model::mutants::user::{ACCOUNT_MUTANTS, USER};
use daypass_tests::model::runner;
use daypass_tests::model::walk::Kind;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Instant;
use tokio::runtime::Runtime;

/// Number of worlds, and of parallel walks. A walk spends much of its time in pauses between retries.
const WORLDS: usize = 3;
/// The seed in `DAYPASS_MODEL_SEED`, if it is set.
#[expect(clippy::disallowed_methods, reason = "the seed of a walk that is to be taken once more")]
fn chosen_seed() -> Option<u64> {
    std::env::var("DAYPASS_MODEL_SEED").ok().map(|seed| seed.parse().unwrap())
}

/// Databases with tables, and the runtime of all tasks.
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

/// invariant: Random walks agree with a reference model: one live successor, reuse ends the session, dead
/// sessions stay dead, the absolute end holds.
#[test]
fn walks() {
    let fresh = if is_full() { u64::from_be_bytes(random()) } else { runner::SEED };
    let (seed, cases) = (chosen_seed().unwrap_or(fresh), u32::try_from(amount("walks", 200, 2_000)).unwrap());
    println!("DAYPASS_MODEL_SEED={seed}");
    let (runtime, worlds) = worlds();
    let (_databases, worlds): (Vec<_>, Vec<_>) = worlds.into_iter().unzip();
    let started = Instant::now();
    let take = |kind, seed, cases| {
        runner::take(runtime.handle(), &worlds, kind, seed, cases).unwrap_or_else(|text| panic!("{text}"))
    };
    let mut coverage = take(Kind::Sessions, seed, cases);
    coverage.add(&take(Kind::Accounts, seed, cases / 3));
    // The walks of a new seed may miss rare outcomes. More walks reach them.
    for more in 1..=10 {
        if is_full() && !coverage.missing(true).is_empty() {
            coverage.add(&take(Kind::Sessions, seed.wrapping_add(more), 1_000));
            coverage.add(&take(Kind::Accounts, seed.wrapping_add(more), 1_000));
        }
    }
    println!("the model test, {:.1} s:\n{coverage}", started.elapsed().as_secs_f64());
    let missing = coverage.missing(is_full());
    assert!(missing.is_empty(), "never reached: {missing:#?}");
}

/// invariant: The model test finds each of its seeded bugs.
#[test]
fn seeded_bugs_are_found() {
    let of_sessions = [ROTATION, ENDING, USER].concat();
    let all = || of_sessions.iter().chain(ACCOUNT_MUTANTS);
    let names: BTreeSet<&str> = all().map(|mutant| mutant.name).collect();
    assert_eq!(names.len(), all().count(), "two bugs of one name");
    assert!(runner::SOONER.iter().all(|(name, _)| names.contains(name)));
    let (runtime, worlds) = worlds();
    let (_databases, worlds): (Vec<_>, Vec<_>) = worlds.into_iter().unzip();
    let started = Instant::now();
    let mut found = runner::hunt(runtime.handle(), &worlds, Kind::Sessions, &of_sessions);
    found.extend(runner::hunt(runtime.handle(), &worlds, Kind::Accounts, ACCOUNT_MUTANTS));
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
