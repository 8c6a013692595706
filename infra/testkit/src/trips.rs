//! Counts of round trips instead of times: concurrent requests share one.

use crate::recorder::{Exchange, Recorder, Turn};
use std::sync::Arc;
use tokio::sync::watch;

/// Holds each request until all requests of its wave have arrived: the first `waves[0]` requests, the next `waves[1]`,
/// and so on. A client that sends the requests of a wave sequentially waits forever.
pub fn in_waves(recorder: &Recorder, waves: &[usize]) {
    let mut ends = Vec::with_capacity(waves.len());
    for wave in waves {
        ends.push(ends.last().copied().unwrap_or_default() + wave);
    }
    let arrived = Arc::new(watch::Sender::new(0_usize));
    recorder.set_gate(move || {
        let mut number = 0;
        arrived.send_modify(|count| {
            number = *count;
            *count += 1;
        });
        let end = ends.iter().copied().find(|end| number < *end).unwrap_or_default();
        let mut arrived = arrived.subscribe();
        Box::pin(async move {
            // The sender lives as long as the gate.
            let _ = arrived.wait_for(|count| *count >= end).await;
            Box::new(()) as Turn
        })
    });
}

/// Longest chain of exchanges in which each arrives after the previous response.
#[must_use]
pub fn round_trips(exchanges: &[Exchange]) -> usize {
    let mut spans: Vec<(u64, u64)> =
        exchanges.iter().map(|exchange| (exchange.answered.unwrap_or(u64::MAX), exchange.arrived)).collect();
    // The earliest response leaves the most room for later exchanges.
    spans.sort_unstable();
    let (mut trips, mut last) = (0, 0);
    for (answered, arrived) in spans {
        if trips == 0 || arrived > last {
            trips += 1;
            last = answered;
        }
    }
    trips
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn check(spans: &[(u64, u64)], expected: usize) {
        let exchange = |(arrived, answered): &(u64, u64)| Exchange {
            operation: String::new(),
            request: serde_json::Value::Null,
            arrived: *arrived,
            started: Instant::now(),
            answered: Some(*answered),
            finished: None,
            answer: None,
        };
        let exchanges: Vec<Exchange> = spans.iter().map(exchange).collect();
        assert_eq!(round_trips(&exchanges), expected, "{spans:?}");
    }

    #[test]
    fn requests_under_way_together_are_one_round_trip() {
        check(&[], 0);
        check(&[(0, 1)], 1);
        check(&[(0, 2), (1, 3)], 1);
        check(&[(0, 1), (2, 3)], 2);
        check(&[(0, 3), (1, 2), (4, 5)], 2);
        // One long request beside two short sequential ones.
        check(&[(0, 5), (1, 2), (3, 4)], 2);
    }
}
