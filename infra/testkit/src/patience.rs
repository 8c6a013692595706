//! Timeouts that are independent of the load of the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Shortest timeout of the store. Shorter waits are pauses between two tries.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(10);

/// Clock of a store's timeouts. It runs only while the recorder holds a request, so a request that is slow on a busy
/// machine does not time out.
#[derive(Debug, Clone, Default)]
pub struct Patience {
    held: Arc<watch::Sender<usize>>,
    real: Arc<AtomicBool>,
}

impl Patience {
    /// Runs the clock in real time, for tests that measure times.
    pub fn run_always(&self) {
        self.real.store(true, Ordering::SeqCst);
    }

    /// Waits for a timeout by this clock, and for a pause by real time.
    pub async fn sleep(self, duration: Duration) {
        if duration < SHORTEST_TIMEOUT {
            tokio::time::sleep(duration).await;
        } else {
            self.pass(duration).await;
        }
    }

    /// Waits until this time has passed by this clock.
    pub(crate) async fn pass(&self, duration: Duration) {
        if self.real.load(Ordering::SeqCst) {
            return tokio::time::sleep(duration).await;
        }
        let mut held = self.held.subscribe();
        let mut left = duration;
        while !left.is_zero() {
            if held.wait_for(|held| *held > 0).await.is_err() {
                // Without a recorder, nothing is held.
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(TICK).await;
            left = left.saturating_sub(TICK);
        }
    }

    /// Runs the clock during the lifetime of the result.
    pub(crate) fn hold(&self) -> Held {
        self.held.send_modify(|held| *held += 1);
        Held(Arc::clone(&self.held))
    }
}

/// A held request.
pub(crate) struct Held(Arc<watch::Sender<usize>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}
