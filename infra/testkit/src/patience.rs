//! Timeouts that are independent of the load of the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Shortest timeout of the store. Shorter waits are pauses between two tries.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(10);

/// Clock of a store's timeouts. It runs only while the recorder holds a request, so a request that is slow on a busy
/// machine does not time out. All timeouts read the same clock, so the earlier one always ends first.
#[derive(Debug, Clone)]
pub struct Patience {
    now: Arc<watch::Sender<Duration>>,
    held: Arc<AtomicUsize>,
    real: Arc<AtomicBool>,
}

impl Patience {
    /// Starts a clock. It stops when its last copy is dropped.
    pub(crate) fn start() -> Self {
        let (now, held) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let clock = Self { now: Arc::clone(&now), held: Arc::clone(&held), real: Arc::default() };
        let now = Arc::downgrade(&now);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                let Some(now) = now.upgrade() else { break };
                if held.load(Ordering::SeqCst) > 0 {
                    now.send_modify(|now| *now += TICK);
                }
            }
        });
        clock
    }

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
        let mut now = self.now.subscribe();
        let end = *now.borrow() + duration;
        // Cannot fail: this copy of the clock keeps the sender.
        let _ = now.wait_for(|now| *now >= end).await;
    }

    /// Runs the clock during the lifetime of the result.
    pub(crate) fn hold(&self) -> Held {
        self.held.fetch_add(1, Ordering::SeqCst);
        Held(Arc::clone(&self.held))
    }
}

/// A held request.
pub(crate) struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
