//! A value that is refreshed at most once per interval, in a process that Lambda freezes between two requests.
//!
//! No timer runs in the background. Each request passes the time, and the first one that finds the value too old begins an
//! attempt. Others use the old value meanwhile, or wait for the attempt if they need the new one.

use crate::{Running, SingleFlight};
use daypass_verifier::base::time::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A value with its age. Clones share it.
pub struct Refreshing<T> {
    state: Arc<Mutex<State<T>>>,
    attempts: SingleFlight,
    max_age: Duration,
}

struct State<T> {
    value: Option<Arc<T>>,
    /// Start of the attempt that made the value; `None` for a fallback of unknown age.
    refreshed_at: Option<Timestamp>,
    /// Start of the last attempt.
    tried_at: Option<Timestamp>,
    /// Failures in a row.
    failures: u32,
}

/// The reason for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The value has reached its maximum age, or there is none.
    Age,
    /// The value lacks what a request needs, such as a key.
    Content,
}

/// Whether a request may make the next attempt.
pub enum Turn<T> {
    /// This request makes the attempt.
    Yours(Attempt<T>),
    /// Another request is making one. [`Refreshing::idle`] waits for it.
    Others,
    /// No attempt is due.
    NotDue,
}

/// An attempt to make a new value. Dropped without a result, it counts as tried, and no longer as running.
pub struct Attempt<T> {
    state: Arc<Mutex<State<T>>>,
    begun_at: Timestamp,
    _running: Running,
}

impl<T> Refreshing<T> {
    /// A value that is refreshed from the age `max_age` on. A `fallback` is of unknown age: it is used, and refreshed at once.
    pub fn new(max_age: Duration, fallback: Option<T>) -> Self {
        let value = fallback.map(Arc::new);
        let state = State { value, refreshed_at: None, tried_at: None, failures: 0 };
        Self { state: Arc::new(Mutex::new(state)), attempts: SingleFlight::default(), max_age }
    }

    /// The last value that an attempt made.
    #[must_use]
    pub fn value(&self) -> Option<Arc<T>> {
        lock(&self.state).value.clone()
    }

    /// Whether the value has reached this age. A fallback has.
    #[must_use]
    pub fn has_age(&self, age: Duration, now: Timestamp) -> bool {
        lock(&self.state).has_age(age, now)
    }

    /// Whether the last attempt failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        lock(&self.state).failures > 0
    }

    /// Begins an attempt if it is needed, no other one runs, and none has begun within `interval`.
    #[must_use]
    pub fn begin(&self, need: Need, interval: Duration, now: Timestamp) -> Turn<T> {
        let mut state = lock(&self.state);
        if self.attempts.is_running() {
            return Turn::Others;
        }
        let is_needed = need == Need::Content || state.has_age(self.max_age, now);
        if !is_needed || state.tried_at.is_some_and(|at| !now.has_passed(at, interval)) {
            return Turn::NotDue;
        }
        let Some(running) = self.attempts.start() else { return Turn::Others };
        state.tried_at = Some(now);
        Turn::Yours(Attempt { state: Arc::clone(&self.state), begun_at: now, _running: running })
    }

    /// Waits until no attempt runs.
    pub async fn idle(&self) {
        self.attempts.idle().await;
    }
}

impl<T> State<T> {
    fn has_age(&self, age: Duration, now: Timestamp) -> bool {
        self.refreshed_at.is_none_or(|at| now.has_passed(at, age))
    }
}

impl<T> Attempt<T> {
    /// Replaces the value. Its age counts from the beginning of the attempt: the process may have been frozen since.
    pub fn succeed(self, value: T) {
        let mut state = lock(&self.state);
        state.value = Some(Arc::new(value));
        state.refreshed_at = Some(self.begun_at);
        state.failures = 0;
    }

    /// Keeps the value. Returns how many attempts have failed in a row.
    #[must_use]
    pub fn fail(self) -> u32 {
        let mut state = lock(&self.state);
        state.failures += 1;
        state.failures
    }

    /// Keeps the value, and forgets the attempt: the next request may begin another at once.
    pub fn forget(self) {
        lock(&self.state).tried_at = None;
    }

    /// How long ago the attempt began, the time in which the process was frozen included.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.begun_at)
    }
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    // No code panics while it holds the lock.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const INTERVAL: Duration = Duration::from_secs(60);
    const MAX_AGE: Duration = Duration::from_secs(900);

    fn after(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    fn begin(refreshing: &Refreshing<u64>, need: Need, seconds: u64) -> Option<Attempt<u64>> {
        match refreshing.begin(need, INTERVAL, after(seconds)) {
            Turn::Yours(attempt) => Some(attempt),
            Turn::Others => panic!("no other attempt runs"),
            Turn::NotDue => None,
        }
    }

    fn refreshed_at(seconds: u64) -> Refreshing<u64> {
        let refreshing = Refreshing::new(MAX_AGE, None);
        begin(&refreshing, Need::Age, seconds).unwrap().succeed(1);
        refreshing
    }

    #[test]
    fn without_a_value_an_attempt_is_due_at_once_and_after_each_interval() {
        let refreshing = Refreshing::new(MAX_AGE, None);
        for (failures, seconds) in [(1, 0), (2, 60), (3, 120)] {
            assert_eq!(begin(&refreshing, Need::Age, seconds).unwrap().fail(), failures);
            assert!(begin(&refreshing, Need::Age, seconds + 59).is_none());
            assert_eq!(refreshing.value(), None);
        }
        begin(&refreshing, Need::Age, 180).unwrap().succeed(7);
        assert_eq!(refreshing.value().as_deref(), Some(&7));
        assert!(begin(&refreshing, Need::Content, 239).is_none(), "the interval also holds after a success");
        assert_eq!(begin(&refreshing, Need::Content, 240).unwrap().fail(), 1, "failures in a row");
    }

    #[test]
    fn a_fallback_is_used_and_refreshed_at_once() {
        let refreshing = Refreshing::new(MAX_AGE, Some(5));
        assert!(refreshing.has_age(MAX_AGE, NOW));
        assert_eq!(begin(&refreshing, Need::Age, 0).unwrap().fail(), 1);
        assert_eq!(refreshing.value().as_deref(), Some(&5));
        assert!(begin(&refreshing, Need::Age, 59).is_none());
        assert!(begin(&refreshing, Need::Age, 60).is_some());
    }

    #[test]
    fn a_thousand_needs_of_content_are_one_attempt_within_the_interval() {
        let refreshing = refreshed_at(0);
        let begun: Vec<u64> =
            (0..1000).filter(|second| begin(&refreshing, Need::Content, *second).is_some()).collect();
        assert_eq!(begun.len(), 16);
        assert!(begun.iter().all(|second| second % 60 == 0));
    }

    #[test]
    fn a_value_is_refreshed_at_its_maximum_age_and_kept_while_that_fails() {
        let refreshing = refreshed_at(0);
        assert!(begin(&refreshing, Need::Age, 899).is_none());
        assert_eq!(begin(&refreshing, Need::Age, 900).unwrap().fail(), 1);
        assert_eq!(refreshing.value().as_deref(), Some(&1));
        assert!(begin(&refreshing, Need::Age, 959).is_none());
        assert!(begin(&refreshing, Need::Age, 960).is_some());
    }

    #[test]
    fn a_clock_that_is_set_back_delays_no_attempt() {
        let refreshing = refreshed_at(5000);
        drop(begin(&refreshing, Need::Age, 0).unwrap());
        assert!(begin(&refreshing, Need::Content, 59).is_none());
        assert!(begin(&refreshing, Need::Content, 60).is_some());
    }

    #[test]
    fn one_attempt_runs_and_others_learn_of_it() {
        let refreshing = Refreshing::new(MAX_AGE, None);
        let attempt = begin(&refreshing, Need::Age, 0).unwrap();
        assert!(matches!(refreshing.begin(Need::Content, INTERVAL, after(1000)), Turn::Others));
        attempt.succeed(1);
        assert!(begin(&refreshing, Need::Content, 60).is_some());
    }

    #[test]
    fn a_forgotten_attempt_delays_no_other() {
        let refreshing = refreshed_at(0);
        let attempt = begin(&refreshing, Need::Age, 900).unwrap();
        assert_eq!(attempt.age(after(911)).as_secs(), 11);
        attempt.forget();
        assert!(begin(&refreshing, Need::Age, 911).is_some());
        assert!(begin(&refreshing, Need::Age, 912).is_none(), "a dropped one does");
    }

    #[tokio::test]
    async fn idle_returns_when_the_attempt_has_ended() {
        let refreshing = Arc::new(Refreshing::new(MAX_AGE, None));
        let attempt = begin(&refreshing, Need::Age, 0).unwrap();
        let waiting = tokio::spawn({
            let refreshing = Arc::clone(&refreshing);
            async move {
                refreshing.idle().await;
                refreshing.value()
            }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        attempt.succeed(7);
        assert_eq!(waiting.await.unwrap().as_deref(), Some(&7));
    }
}
