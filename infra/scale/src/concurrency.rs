//! Lambda under a rate that begins from nothing: environments, cold starts and what is turned away.
//!
//! An environment serves one request at a time and ten in a second, so by Little's law a rate needs as many environments as
//! `rate * max(duration, 100 ms)`. New ones are made at 1,000 in ten seconds for a function, until the account's limit.

use crate::table::{self, percent, whole};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Microseconds.
type Micros = u64;
const SECOND: Micros = 1_000_000;
/// The shortest time between two requests of an environment.
const TURN: Micros = SECOND / 10;
/// A new environment of a function in this time, and so many at once.
const NEW_ONE: Micros = SECOND / 100;
const NEW_AT_ONCE: u64 = 1_000;
const SECONDS: u64 = 30;

/// A function under load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// What it is.
    pub name: &'static str,
    /// Requests in a second, from the first on.
    pub rate: u64,
    /// How long one takes.
    pub warm: Micros,
    /// How much longer the first of an environment takes: an assumption, see `docs/operations/cost.md`.
    pub cold: Micros,
    /// Environments that the account may have.
    pub limit: u64,
}

/// What half a minute came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Environments that were made: cold starts.
    pub made: u64,
    /// Requests.
    pub requests: u64,
    /// Requests that Lambda turned away.
    pub throttled: u64,
    /// When the last one was turned away.
    pub last_throttled: Micros,
}

impl Load {
    /// Environments that the rate needs, by Little's law.
    #[must_use]
    pub fn needed(&self) -> u64 {
        (self.rate * self.warm.max(TURN)).div_ceil(SECOND)
    }

    /// Half a minute of it.
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

/// The table.
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
