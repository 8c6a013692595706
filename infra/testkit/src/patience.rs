//! Timeouts that do not see how busy the machine is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The shortest timeout of the store; what is shorter is a pause between two tries.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(10);

/// The clock of a store's timeouts. It runs while the recorder holds a request back, and stands still otherwise: a request
/// that is merely slow on a busy machine never times out.
#[derive(Debug, Clone, Default)]
pub struct Patience {
    held: Arc<watch::Sender<usize>>,
    real: Arc<AtomicBool>,
}

impl Patience {
    /// Lets the clock run as any other does, for tests that measure times.
    pub fn run_always(&self) {
        self.real.store(true, Ordering::SeqCst);
    }

    /// Waits for a timeout by this clock, and for a pause between two tries by the machine's.
    pub async fn sleep(self, duration: Duration) {
        if duration < SHORTEST_TIMEOUT {
            tokio::time::sleep(duration).await;
        } else {
            self.pass(duration).await;
        }
    }

    /// Waits until so much time has passed by this clock.
    pub(crate) async fn pass(&self, duration: Duration) {
        if self.real.load(Ordering::SeqCst) {
            return tokio::time::sleep(duration).await;
        }
        let mut held = self.held.subscribe();
        let mut left = duration;
        while !left.is_zero() {
            if held.wait_for(|held| *held > 0).await.is_err() {
                // Nothing is held without a recorder.
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(TICK).await;
            left = left.saturating_sub(TICK);
        }
    }

    /// Lets the clock run while the result lives.
    pub(crate) fn hold(&self) -> Held {
        self.held.send_modify(|held| *held += 1);
        Held(Arc::clone(&self.held))
    }
}

/// A request is held back while this lives.
pub(crate) struct Held(Arc<watch::Sender<usize>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}
