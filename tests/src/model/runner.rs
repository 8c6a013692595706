//! Runs many walks, drawn from a seed, on threads that share a runtime.

use super::coverage::Coverage;
use super::driver::World;
use super::mutants::{Mutant, Seeded};
use super::walk::{Kind, walks};
use super::{Failure, Property};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use tokio::runtime::Handle;

/// The seed of the gate. The walks of a commit are the same on every machine.
pub const SEED: u64 = 4;
/// Bugs that the walks of [`SEED`] find late, each with a seed that finds it sooner. The test prints the walks of each bug.
pub const SOONER: [(&str, u64); 28] = [
    ("rotate-for-any-scope", 3),
    ("attempt-not-stored", 1),
    ("scope-refused-after-rotating", 6),
    ("named-not-stored", 1),
    ("key-ignored", 1),
    ("key-outlives-its-successor", 5),
    ("rotate-for-any-client", 12),
    ("clock-behind-is-theft", 1),
    ("grace-without-end", 14),
    ("grace-includes-its-end", 14),
    ("absolute-end-forgotten", 18),
    ("theft-ends-what-it-met", 9),
    ("revoke-all-ends-the-first", 2),
    ("revoke-for-any-client", 0),
    ("revoke-all-ends-what-came-since", 2),
    ("revoke-all-ends-others", 0),
    ("password-change-ends-nothing", 5),
    ("disabling-ends-nothing", 5),
    ("removal-ends-nothing", 0),
    ("login-with-the-old-password", 15),
    ("revoke-all-spares-the-expiring", 38),
    ("login-while-being-disabled", 6),
    ("throttled-is-absent", 12),
    ("ending-forgets-itself", 13),
    ("claims-stay-in-sessions", 0),
    ("login-while-scope-is-set", 5),
    ("rotation-forgets-its-network", 7),
    ("login-while-claims-are-set", 11),
];
/// Number of walks within which each deliberate bug must be found.
pub const MUTANT_WALKS: u32 = 600;
/// Attempts to shorten a failed walk before it is printed.
const SHRINKS: u32 = 400;

fn runner(seed: u64, cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: SHRINKS, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// A thread for walks. Its stack is large, because the nested futures of whole requests are large without optimisation.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    std::thread::Builder::new().stack_size(32 << 20).spawn_scoped(scope, work).unwrap()
}

/// Performs this number of walks, distributed over the worlds, which run in parallel.
///
/// # Errors
/// The shortest failing walk that was found, line by line.
pub fn take(
    handle: &Handle,
    worlds: &[World],
    kind: Kind,
    seed: u64,
    cases: u32,
) -> Result<Coverage, String> {
    let total = Mutex::new(Coverage::default());
    let share = cases.div_ceil(u32::try_from(worlds.len()).unwrap());
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let threads = (0_u64..).zip(worlds).map(|(index, world)| {
            let total = &total;
            spawn(scope, move || {
                take_share(handle, world, kind, seed.wrapping_add(index << 32), share, total)
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    results.into_iter().collect::<Result<(), _>>()?;
    Ok(total.into_inner().unwrap())
}

fn take_share(
    handle: &Handle,
    world: &World,
    kind: Kind,
    seed: u64,
    cases: u32,
    total: &Mutex<Coverage>,
) -> Result<(), String> {
    let taken =
        runner(seed, cases).run(&walks(kind), |walk| match handle.block_on(world.walk(&walk, None)) {
            Ok(coverage) => {
                total.lock().unwrap().add(&coverage);
                Ok(())
            }
            Err(failure) => Err(TestCaseError::fail(failure.to_string())),
        });
    match taken {
        Ok(()) => Ok(()),
        Err(TestError::Abort(reason)) => Err(format!("no walk could be drawn: {reason}")),
        Err(TestError::Fail(reason, walk)) => {
            let (lines, again) = handle.block_on(world.journey(&walk, None, true));
            let mut text = format!("the shortest walk that was found (seed {seed}, {walk:?}):\n");
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
            let _ = write!(text, "{reason}");
            if again.is_ok() {
                text.push_str("\n(Taken once more it went well: it depends on the order of requests.)");
            }
            Err(text)
        }
    }
}

/// How a deliberate bug was found.
#[derive(Debug)]
pub struct Found {
    /// Number of walks until it was found.
    pub walks: u32,
    /// The property that did not hold.
    pub property: Property,
}

/// Looks for each of these bugs with the walks of this seed, or without a seed with the walks that find it soonest. The
/// entry is `None` for a bug that was not found.
#[must_use]
pub fn hunt(
    handle: &Handle,
    worlds: &[World],
    kind: Kind,
    mutants: &[Mutant],
) -> Vec<(Mutant, Option<Found>)> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for world in worlds {
            let (next, found) = (&next, &found);
            spawn(scope, move || {
                while let Some((index, mutant)) =
                    mutants.iter().enumerate().nth(next.fetch_add(1, Ordering::SeqCst))
                {
                    let sooner = SOONER.iter().find(|(name, _)| *name == mutant.name);
                    let seed = sooner.map_or(SEED, |(_, seed)| *seed);
                    let result = hunt_one(handle, world, kind, seed, *mutant);
                    found.lock().unwrap().push((index, *mutant, result));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(index, ..)| *index);
    found.into_iter().map(|(_, mutant, result)| (mutant, result)).collect()
}

fn hunt_one(handle: &Handle, world: &World, kind: Kind, seed: u64, mutant: Mutant) -> Option<Found> {
    let mut runner = runner(seed, MUTANT_WALKS);
    (1..=MUTANT_WALKS).find_map(|number| {
        let walk = walks(kind).new_tree(&mut runner).unwrap().current();
        match handle.block_on(world.walk(&walk, Some(&Seeded::from(mutant)))) {
            Ok(_) => None,
            Err(Failure { property, .. }) => Some(Found { walks: number, property }),
        }
    })
}
