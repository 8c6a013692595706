//! Simulation of Lambda under a sudden rate: environments, cold starts and throttled requests.
//!
//! An environment serves one request at a time and at most ten per second, so by Little's law a rate needs
//! `rate * max(duration, 100 ms)` environments. Lambda adds 1,000 per ten seconds and function, up to the account's
//! limit.

use crate::table::{self, percent, whole};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Microseconds.
type Micros = u64;
const SECOND: Micros = 1_000_000;
/// Shortest time between two requests of an environment.
const TURN: Micros = SECOND / 10;
/// Interval of new environments of a function, and their number.
const NEW_ONE: Micros = SECOND / 100;
const NEW_AT_ONCE: u64 = 1_000;
const SECONDS: u64 = 30;

/// A function under load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Label of the row.
    pub name: &'static str,
    /// Requests per second from the start.
    pub rate: u64,
    /// Duration of one request.
    pub warm: Micros,
    /// Additional duration of the first request of an environment: an assumption, see `docs/operations/cost.md`.
    pub cold: Micros,
    /// Limit of the account, in environments.
    pub limit: u64,
}

/// Result of half a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// New environments: cold starts.
    pub made: u64,
    pub requests: u64,
    pub throttled: u64,
    /// Time of the last throttled request.
    pub last_throttled: Micros,
}

impl Load {
    /// Environments that the rate needs, by Little's law.
    #[must_use]
    pub fn needed(&self) -> u64 {
        (self.rate * self.warm.max(TURN)).div_ceil(SECOND)
    }

    /// Simulates half a minute.
    #[must_use]
    pub fn run(&self) -> Outcome {
        let mut outcome = Outcome { requests: self.rate * SECONDS, ..Outcome::default() };
        let mut free: BinaryHeap<Reverse<Micros>> = BinaryHeap::new();
        let (mut tokens, mut filled) = (NEW_AT_ONCE, 0);
        for number in 0..outcome.requests {
            let now = number * SECOND / self.rate;
            let grown = (now - filled) / NEW_ONE;
            tokens = (tokens + grown).min(NEW_AT_ONCE);
            filled += grown * NEW_ONE;
            if free.peek().is_some_and(|Reverse(at)| *at <= now) {
                free.pop();
                free.push(Reverse(now + self.warm.max(TURN)));
            } else if tokens > 0 && outcome.made < self.limit {
                tokens -= 1;
                outcome.made += 1;
                free.push(Reverse(now + (self.cold + self.warm).max(TURN)));
            } else {
                outcome.throttled += 1;
                outcome.last_throttled = now;
            }
        }
        outcome
    }
}

const fn load(name: &'static str, rate: u64, warm: u64, cold: u64, limit: u64) -> Load {
    Load { name, rate, warm: warm * 1_000, cold: cold * 1_000, limit }
}

const LOADS: [Load; 9] = [
    load("refresh", 1_000, 12, 300, 1_000),
    load("refresh", 5_000, 12, 300, 1_000),
    load("refresh", 10_000, 12, 300, 1_000),
    load("refresh", 20_000, 12, 300, 10_000),
    load("login", 500, 85, 250, 1_000),
    load("login", 5_000, 85, 250, 10_000),
    load("login", 20_000, 85, 250, 10_000),
    load("authorizer", 10_000, 2, 50, 1_000),
    load("authorizer", 50_000, 2, 50, 10_000),
];

#[must_use]
pub fn table() -> String {
    let row = |load: Load| {
        let outcome = load.run();
        let until = if outcome.throttled == 0 {
            "never".to_owned()
        } else {
            format!("{}.{} s", outcome.last_throttled / SECOND, outcome.last_throttled % SECOND / 100_000)
        };
        vec![
            load.name.to_owned(),
            whole(load.rate),
            whole(load.limit),
            whole(load.needed()),
            whole(outcome.made),
            percent(outcome.throttled, outcome.requests),
            until,
        ]
    };
    let head = [
        "function",
        "requests in a second, from nothing:",
        "the account's limit:",
        "environments by Little's law:",
        "cold starts:",
        "throttled in the first 30 s:",
        "until:",
    ];
    table::table(&head, &LOADS.map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_needs_what_littles_law_says() {
        let slow = load("one second each", 100, 1_000, 0, 1_000);
        assert_eq!((slow.needed(), slow.run().made, slow.run().throttled), (100, 100, 0));
    }

    #[test]
    fn the_limit_of_the_account_holds() {
        let run = load("ten seconds each", 1_000, 10_000, 0, 500).run();
        assert_eq!(run.made, 500);
        assert!(run.throttled > 0);
    }

    #[test]
    fn a_burst_gets_a_thousand_environments_and_then_a_hundred_in_a_second() {
        let run = load("never ends", 10_000, 100_000, 0, 100_000).run();
        assert_eq!(run.made, NEW_AT_ONCE + SECONDS * 100 - 1);
    }
}
