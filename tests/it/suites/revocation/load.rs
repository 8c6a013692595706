//! Continuous requests of live sessions.

use crate::suites::revocation::stage::Stage;
use reqwest::StatusCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Parallel clients, so that each of the four authorizers is busy all the time.
const CLIENTS: usize = 8;
/// Pause of a client between two requests, so that the test does not measure the machine.
const REST: Duration = Duration::from_millis(80);

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Vec<(StatusCode, Duration)>>,
}

/// Counts of the responses.
pub(crate) struct Outcome {
    pub(crate) passed: usize,
    pub(crate) refused: usize,
    pub(crate) failed: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) slowest: Duration,
}

impl Load {
    pub(crate) async fn start(stage: &Stage) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS {
            let session = stage.login(&format!("load-{n}-{}", stage.nonce())).await;
            let (stop, guarded) = (Arc::clone(&stop), stage.caller());
            clients.spawn(async move {
                let mut seen = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let before = Instant::now();
                    seen.push((guarded.ask(&session.access_token).await, before.elapsed()));
                    tokio::time::sleep(REST).await;
                }
                seen
            });
        }
        Self { stop, clients }
    }

    pub(crate) async fn end(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let seen: Vec<_> = self.clients.join_all().await.into_iter().flatten().collect();
        let count = |of: fn(StatusCode) -> bool| seen.iter().filter(|(status, _)| of(*status)).count();
        let mut times: Vec<Duration> = seen.iter().map(|(_, took)| *took).collect();
        times.sort_unstable();
        Outcome {
            passed: count(|status| status == StatusCode::OK),
            refused: count(|status| status.is_client_error()),
            failed: count(|status| status.is_server_error()),
            p50: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
            slowest: *times.last().unwrap(),
        }
    }
}
