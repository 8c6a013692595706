//! The order in which the requests of two function processes reach DynamoDB.

use daypass_testkit::recorder::Turn;
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// A script of turns, one for each request. The turns of a finished process are skipped. After the end of the script, the
/// first process goes before the second. No process therefore waits without end.
#[derive(Default)]
pub struct Turns {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    script: VecDeque<usize>,
    finished: [bool; 2],
    busy: bool,
    taken: String,
}

impl State {
    /// The process whose turn it is, or `None` for any process.
    fn next(&mut self) -> Option<usize> {
        while self.script.front().is_some_and(|process| self.finished[*process]) {
            self.script.pop_front();
        }
        let rest = self.finished.iter().position(|finished| !finished);
        self.script.front().copied().or(rest)
    }
}

impl Turns {
    /// Turns in runs of these lengths. The first or the second process begins.
    #[must_use]
    pub fn new(first: bool, runs: &[u8]) -> Arc<Self> {
        let mut script = VecDeque::new();
        for (index, run) in runs.iter().enumerate() {
            let process = (index + usize::from(!first)) % 2;
            script.extend(std::iter::repeat_n(process, usize::from(*run)));
        }
        Arc::new(Self { state: Mutex::new(State { script, ..State::default() }), ..Self::default() })
    }

    /// The gate through which the requests of one process pass.
    pub fn gate(
        self: &Arc<Self>,
        process: usize,
    ) -> impl Fn() -> BoxFuture<'static, Turn> + Send + Sync + 'static {
        let turns = Arc::clone(self);
        move || {
            let turns = Arc::clone(&turns);
            Box::pin(async move { turns.enter(process).await })
        }
    }

    async fn enter(self: Arc<Self>, process: usize) -> Turn {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the check, so that no change is missed.
            changed.as_mut().enable();
            if self.take(process) {
                return Box::new(Taken(Arc::clone(&self)));
            }
            changed.await;
        }
    }

    fn take(&self, process: usize) -> bool {
        let mut state = self.state.lock().unwrap();
        let free = !state.busy && state.next().is_none_or(|next| next == process);
        if free {
            state.busy = true;
            state.script.pop_front();
            state.taken.push(if process == 0 { 'A' } else { 'B' });
        }
        free
    }

    /// Ends the turns of this process, which sends no more requests.
    pub fn finish(&self, process: usize) {
        self.state.lock().unwrap().finished[process] = true;
        self.changed.notify_waiters();
    }

    /// The turns that were taken, such as `ABBA`.
    #[must_use]
    pub fn taken(&self) -> String {
        self.state.lock().unwrap().taken.clone()
    }
}

/// A turn, which ends when this value is dropped.
struct Taken(Arc<Turns>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().busy = false;
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes this number of turns for each process, as fast as the script allows. Returns the order.
    async fn taken(first: bool, runs: &[u8], requests: [usize; 2]) -> String {
        let turns = Turns::new(first, runs);
        let process = async |process: usize| {
            let gate = turns.gate(process);
            for _ in 0..requests[process] {
                drop(gate().await);
            }
            turns.finish(process);
        };
        tokio::join!(process(0), process(1));
        turns.taken()
    }

    #[tokio::test]
    async fn requests_follow_the_script() {
        assert_eq!(taken(true, &[1, 2, 2], [3, 2]).await, "ABBAA");
        assert_eq!(taken(false, &[1, 2, 1, 1], [3, 2]).await, "BAABA");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_process_that_has_finished_or_for_a_script_that_is_over() {
        assert_eq!(taken(true, &[6, 6, 6], [1, 2]).await, "ABB");
        assert_eq!(taken(false, &[], [2, 2]).await, "AABB");
        assert_eq!(taken(false, &[1], [0, 2]).await, "BB");
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_takes_no_turn() {
        let turns = Turns::new(true, &[1, 1]);
        let waiting = turns.gate(1);
        tokio::select! {
            biased;
            _ = waiting() => assert_eq!("B", "out of turn"),
            () = std::future::ready(()) => {}
        }
        drop(turns.gate(0)().await);
        drop(waiting().await);
        assert_eq!(turns.taken(), "AB");
    }
}
