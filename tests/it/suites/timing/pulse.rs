//! Detects that the machine stalled. These tests measure seconds on processors that other processes use too.

use daypass_tests::service::Service;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// DynamoDB answers here within milliseconds. After a response as late as this, without a failure of the test, time limits
/// may have expired wrongly.
const STALL: Duration = Duration::from_millis(250);
/// Repetitions after stalls of the machine.
const AGAIN: usize = 6;

/// Sends small requests to the embedded DynamoDB, and records when one took long.
pub(crate) struct Pulse {
    stalls: Arc<Mutex<Vec<Instant>>>,
    task: AbortHandle,
}

impl Pulse {
    pub(crate) fn start(base: &Service) -> Self {
        let stalls = Arc::new(Mutex::new(Vec::new()));
        let (client, table, seen) =
            (base.bench.raw.clone(), base.bench.tables.users.clone(), Arc::clone(&stalls));
        let task = tokio::spawn(async move {
            loop {
                let before = Instant::now();
                let _ = client.describe_table().table_name(&table).send().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                if before.elapsed() > STALL {
                    seen.lock().unwrap().push(Instant::now());
                }
            }
        });
        Self { stalls, task: task.abort_handle() }
    }

    fn stalled_since(&self, start: Instant) -> bool {
        self.stalls.lock().unwrap().iter().any(|stall| *stall > start)
    }

    /// Runs a test, and runs it again if it failed while the machine stalled. `None` if it failed without a stall, or
    /// always.
    pub(crate) async fn play<T, F: Future<Output = T>>(&self, mut play: impl FnMut() -> F) -> Option<T> {
        for _ in 0..AGAIN {
            let start = Instant::now();
            if let Ok(played) = AssertUnwindSafe(play()).catch_unwind().await {
                return Some(played);
            }
            // Waits until a stall at this moment would be noticed.
            tokio::time::sleep(STALL).await;
            if !self.stalled_since(start) {
                return None;
            }
        }
        None
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}
