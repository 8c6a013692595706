//! Simulation of ending sessions on the sixteen keys of the index of ended sessions.

use crate::partitions::{NEW_TABLE_PARTITIONS, PARTITION_WRITES};
use crate::seeded::Seeded;
use crate::table::{self, percent, whole};

/// Keys of the index: the last hexadecimal digit of a session id.
pub const BUCKETS: u64 = 16;
const SECONDS: u64 = 60;

/// Simulates a minute of endings per second on these partitions. Returns the writes of the hottest partition in its
/// hottest second, and the throttled writes.
#[must_use]
pub fn minute(per_second: u64, partitions: u64, seed: u64) -> (u64, u64) {
    let mut numbers = Seeded::new(seed);
    let (mut hottest, mut throttled) = (0, 0);
    for _ in 0..SECONDS {
        let mut load = [0_u64; 16];
        for _ in 0..per_second {
            let partition = usize::try_from(numbers.below(BUCKETS) % partitions).unwrap_or(0);
            if let Some(writes) = load.get_mut(partition) {
                *writes += 1;
            }
        }
        hottest = hottest.max(load.into_iter().max().unwrap_or(0));
        throttled += load.into_iter().map(|writes| writes.saturating_sub(PARTITION_WRITES)).sum::<u64>();
    }
    (hottest, throttled)
}

/// Endings per second and partitions of the index: a new table, and a table in which each key has its own partition.
const CASES: [(u64, u64); 6] = [
    (1_000, NEW_TABLE_PARTITIONS),
    (3_500, NEW_TABLE_PARTITIONS),
    (10_000, BUCKETS),
    (14_000, BUCKETS),
    (16_000, BUCKETS),
    (20_000, BUCKETS),
];

#[must_use]
pub fn table() -> String {
    let row = |(per_second, partitions): (u64, u64)| {
        let (hottest, throttled) = minute(per_second, partitions, 3);
        vec![whole(per_second), whole(partitions), whole(hottest), percent(throttled, per_second * SECONDS)]
    };
    let head = ["endings in a second:", "partitions of the index:", "hottest second:", "throttled once:"];
    table::table(&head, &CASES.map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_thousand_is_where_it_ends() {
        assert_eq!(minute(14_000, BUCKETS, 5).1, 0);
        let (hottest, throttled) = minute(20_000, BUCKETS, 5);
        assert!(hottest > 1_250 && throttled > 3_500 * SECONDS, "{hottest} {throttled}");
    }
}
