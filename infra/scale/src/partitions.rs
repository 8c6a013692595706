//! Simulation of refreshes on the partitions of the sessions table. User ids are random, so the partition key spreads
//! them evenly.

use crate::seeded::Seeded;
use crate::table::{self, percent, whole};

/// Write units of one partition per second.
pub const PARTITION_WRITES: u64 = 1_000;
/// Partitions of a new on-demand table: 4,000 write units per second in four partitions.
pub const NEW_TABLE_PARTITIONS: u64 = 4;
const SECONDS: u64 = 60;

/// Result of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute {
    /// Most writes of one partition in one second.
    pub hottest: u64,
    /// Throttled writes. The SDK retries each a few dozen milliseconds later.
    pub throttled: u64,
    pub writes: u64,
}

/// Simulates a minute of refreshes per second, each of a random user.
#[must_use]
pub fn minute(per_second: u64, partitions: u64, seed: u64) -> Minute {
    let mut numbers = Seeded::new(seed);
    let mut minute = Minute { hottest: 0, throttled: 0, writes: per_second * SECONDS };
    for _ in 0..SECONDS {
        let mut load = vec![0_u64; usize::try_from(partitions).unwrap_or(1)];
        for _ in 0..per_second {
            let hit = usize::try_from(numbers.below(partitions)).unwrap_or(0);
            if let Some(writes) = load.get_mut(hit) {
                *writes += 1;
            }
        }
        minute.hottest = minute.hottest.max(load.iter().copied().max().unwrap_or(0));
        minute.throttled += load.iter().map(|writes| writes.saturating_sub(PARTITION_WRITES)).sum::<u64>();
    }
    minute
}

/// Refreshes per second and partitions: the least number, a quarter more, and twice as many.
const CASES: [(u64, u64); 8] = [
    (2_000, 4),
    (4_000, 4),
    (4_000, 8),
    (40_000, 40),
    (40_000, 50),
    (40_000, 80),
    (100_000, 100),
    (100_000, 125),
];

#[must_use]
pub fn table() -> String {
    let row = |(per_second, partitions): (u64, u64)| {
        let minute = minute(per_second, partitions, 1);
        vec![
            whole(per_second),
            whole(partitions),
            whole(per_second / partitions),
            whole(minute.hottest),
            percent(minute.throttled, minute.writes),
        ]
    };
    let head = [
        "refreshes in a second:",
        "partitions:",
        "of each, on average:",
        "hottest second:",
        "throttled once:",
    ];
    table::table(&head, &CASES.map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_and_one_partition_takes_a_thousand() {
        let one = minute(1_500, 1, 7);
        assert_eq!(one, Minute { hottest: 1_500, throttled: 500 * 60, writes: 90_000 });
        assert_eq!(minute(1_000, 1, 7).throttled, 0);
        assert!(minute(4_000, 4, 7).hottest > 1_000 && minute(4_000, 4, 7) != minute(4_000, 4, 8));
    }
}
