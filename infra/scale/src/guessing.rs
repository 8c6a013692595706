//! Simulation of a guessing attack on one account: one hot key on the partitions of the attempts table.
//!
//! Each guess has its own address, the worst case. It passes the limits of name and address and of the address. The
//! limit of the name throttles it, which costs a write unit.

use crate::partitions::{NEW_TABLE_PARTITIONS, PARTITION_WRITES};
use crate::seeded::Seeded;
use crate::table::{self, percent, whole};

const SECONDS: u64 = 60;
/// Logins of other users per second: from known addresses, and from other ones.
const KNOWN: u64 = 100;
const ELSEWHERE: u64 = 20;

/// Result of a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Minute {
    /// Guesses, and those that received 503.
    pub guesses: u64,
    /// Guesses that met a throttled partition.
    pub guesses_busy: u64,
    /// Logins of other users.
    pub logins: u64,
    /// Logins of other users that met a throttled partition.
    pub logins_busy: u64,
    /// Most writes of the account's counter in one second.
    pub hot_key: u64,
}

/// Shared partitions of the table, and whether the hot key has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// Number of partitions.
    pub partitions: u64,
    /// Whether the hot key is on its own partition.
    pub hot_key_alone: bool,
}

/// Simulates a minute of guesses per second.
#[must_use]
pub fn minute(per_second: u64, attempts: Attempts, seed: u64) -> Minute {
    let mut numbers = Seeded::new(seed);
    let mut minute = Minute::default();
    // The hot key is on the last partition.
    let shared = attempts.partitions;
    let partitions = shared + u64::from(attempts.hot_key_alone);
    for _ in 0..SECONDS {
        let mut left = vec![PARTITION_WRITES; usize::try_from(partitions).unwrap_or(1)];
        let mut write =
            |partition: u64, units: u64| match left.get_mut(usize::try_from(partition).unwrap_or(0)) {
                Some(left) if *left >= units => {
                    *left -= units;
                    true
                }
                _ => false,
            };
        let mut at_hot_key = 0;
        let all = per_second + KNOWN + ELSEWHERE;
        let (mut guesses, mut known, mut elsewhere) = (per_second, KNOWN, ELSEWHERE);
        for done in 0..all {
            // In a random order.
            let pick = numbers.below(all - done);
            let [pair, address, account] = [(); 3].map(|()| numbers.below(shared));
            if pick < guesses {
                guesses -= 1;
                minute.guesses += 1;
                let mut passed = write(pair, 1) && write(address, 1);
                if passed {
                    passed = write(partitions - 1, 1);
                    at_hot_key += u64::from(passed);
                }
                minute.guesses_busy += u64::from(!passed);
            } else if pick < guesses + known {
                known -= 1;
                minute.logins += 1;
                // Its own counter, which the transaction of the login resets: two units.
                minute.logins_busy += u64::from(!(write(pair, 1) && write(pair, 2)));
            } else {
                elsewhere -= 1;
                minute.logins += 1;
                let counted = write(pair, 1) && write(address, 1) && write(account, 1);
                // The transaction, and both returned slots.
                let passed = counted && write(pair, 2) && write(address, 1) && write(account, 1);
                minute.logins_busy += u64::from(!passed);
            }
        }
        debug_assert_eq!((guesses, known, elsewhere), (0, 0, 0), "all were sent");
        minute.hot_key = minute.hot_key.max(at_hot_key);
    }
    minute
}

/// Rates: the default throttle of a route, twice that, and the limits of an account of API Gateway.
const RATES: [u64; 4] = [500, 1_000, 2_000, 10_000];

/// A new table; a table after the split of its hot key; a table that has grown under such load.
const TABLES: [Attempts; 3] = [
    Attempts { partitions: NEW_TABLE_PARTITIONS, hot_key_alone: false },
    Attempts { partitions: NEW_TABLE_PARTITIONS, hot_key_alone: true },
    Attempts { partitions: 10 * NEW_TABLE_PARTITIONS, hot_key_alone: true },
];

#[must_use]
pub fn table() -> String {
    let row = |rate: u64| {
        let [new, split, grown] = TABLES.map(|table| minute(rate, table, 2));
        vec![
            whole(rate),
            whole(grown.hot_key),
            percent(grown.guesses_busy, grown.guesses),
            percent(new.logins_busy, new.logins),
            percent(split.logins_busy, split.logins),
            percent(grown.logins_busy, grown.logins),
        ]
    };
    let head = [
        "guesses in a second:",
        "writes of the account's counter, most in a second:",
        "guesses answered 503, grown table:",
        "logins of others answered 503, new table:",
        "hot key split off:",
        "grown to 40 partitions:",
    ];
    table::table(&head, &RATES.map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hot_key_never_takes_more_than_its_partition() {
        for table in TABLES {
            let minute = minute(10_000, table, 9);
            assert!(minute.hot_key <= PARTITION_WRITES, "{minute:?}");
            assert_eq!(minute.guesses, 600_000);
            assert_eq!(minute.logins, (KNOWN + ELSEWHERE) * SECONDS);
        }
    }

    #[test]
    fn without_an_attack_nobody_waits() {
        assert_eq!(minute(0, TABLES[0], 9).logins_busy, 0);
    }
}
