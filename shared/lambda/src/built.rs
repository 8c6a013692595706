//! The flow of a function with its keys: built at the start, or at the first request that succeeds, and built again every few
//! minutes, so that rotated keys arrive.

use daypass_core::ports::context::Context;
use daypass_core::ports::event::Event;
use daypass_runtime::{BoxError, Need, Refreshing, Turn};
use daypass_verifier::ports::context::Caller;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Pause after a failed renewal. The last build stays in use.
const RETRY: Duration = Duration::from_secs(60);

/// Pause after a failed renewal if the last build has twice its maximum age.
const RETRY_OVERDUE: Duration = Duration::from_secs(5);

/// A renewal that failed after a longer time was interrupted: no source gets this long. Lambda had frozen the process.
const FROZEN: Duration = Duration::from_secs(10);

/// The longest wait of a request for a renewal, if the last build has twice its maximum age.
const PATIENCE: Duration = Duration::from_millis(250);

/// Builds a value, keeps it and renews it.
pub struct Built<T, B> {
    /// The clock dates builds, and the journal records failures.
    context: Arc<Context>,
    build: B,
    value: Refreshing<T>,
    max_age: Duration,
}

impl<T, B, F> Built<T, B>
where
    T: Send + Sync + 'static,
    B: Fn(Option<Arc<T>>) -> F,
    F: Future<Output = Result<T, BoxError>> + Send + 'static,
{
    /// A value that is built again from the age `max_age` on, in parallel to requests. `build` gets the last value.
    #[must_use]
    pub fn new(context: Arc<Context>, max_age: Duration, build: B) -> Self {
        Self { context, build, value: Refreshing::new(max_age, None), max_age }
    }

    /// As [`get`](Self::get), for a request that has `share` for the first build. If the build takes longer, the value is kept for
    /// the next request. This one gets an error, because the rest of its work would end after the function's timeout.
    ///
    /// # Errors
    /// Those of the build, and a first build that took longer than `share`.
    pub(crate) async fn get_within(&self, share: Duration) -> Result<Arc<T>, BoxError> {
        let (started, was_built) = (Instant::now(), self.value.value().is_some());
        let built = self.get().await?;
        let waited = started.elapsed();
        if !was_built && waited > share {
            return Err(format!("the keys came after {} ms", waited.as_millis()).into());
        }
        Ok(built)
    }

    /// The last build. Without one, the call builds. Later calls wait only if the last build has twice its maximum age, and up to
    /// [`PATIENCE`]. So a busy function never waits, and one that slept does not use the keys of yesterday.
    ///
    /// # Errors
    /// Those of the first build.
    pub async fn get(&self) -> Result<Arc<T>, BoxError> {
        let Some(built) = self.value.value() else { return self.first().await };
        let now = self.context.clock.now();
        let is_overdue = self.value.has_age(self.max_age.saturating_mul(2), now);
        let retry = if is_overdue { RETRY_OVERDUE } else { RETRY };
        if let Turn::Yours(attempt) = self.value.begin(Need::Age, retry.min(self.max_age), now) {
            let build = (self.build)(Some(Arc::clone(&built)));
            let context = Arc::clone(&self.context);
            // Lambda may freeze the process during this, and thaw it with the next request.
            tokio::spawn(async move {
                match build.await {
                    Ok(renewed) => attempt.succeed(renewed),
                    // The deadline passed while the process was frozen.
                    Err(_) if attempt.age(context.clock.now()) > FROZEN => attempt.forget(),
                    Err(error) => {
                        // The first failure may come from a short freeze.
                        if attempt.fail() == 2 {
                            let event = Event::Failure { during: "renew_keys", detail: error.to_string() };
                            context.journal.record(&event, &Caller::default());
                        }
                    }
                }
            });
        }
        if !is_overdue {
            return Ok(built);
        }
        let _ = tokio::time::timeout(PATIENCE, self.value.idle()).await;
        Ok(self.value.value().unwrap_or(built))
    }

    /// Whether the last build should have been replaced: a renewal failed, or is not there at twice the maximum age.
    pub(crate) fn is_overdue(&self) -> bool {
        let now = self.context.clock.now();
        self.value.has_failed() || self.value.has_age(self.max_age.saturating_mul(2), now)
    }

    /// The first build. A failed one delays no other.
    async fn first(&self) -> Result<Arc<T>, BoxError> {
        loop {
            if let Some(built) = self.value.value() {
                return Ok(built);
            }
            match self.value.begin(Need::Age, Duration::ZERO, self.context.clock.now()) {
                Turn::Yours(attempt) => attempt.succeed((self.build)(None).await?),
                Turn::Others => self.value.idle().await,
                // Without a value and an interval, an attempt is always due.
                Turn::NotDue => return Err("the first build was not due".into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_runtime::OsEntropy;
    use daypass_verifier::base::time::{Clock, Timestamp};
    use daypass_verifier::ports::journal::Journal;
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    type Building = Pin<Box<dyn Future<Output = Result<u64, BoxError>> + Send>>;

    /// A source of builds, with the clock and the journal of its [`Built`]. Tokio's time is paused (`start_paused`): it moves
    /// while a test waits, and never because the machine is busy.
    #[derive(Clone, Default)]
    struct Source {
        now: Arc<AtomicU64>,
        events: Arc<Mutex<Vec<Event>>>,
        builds: Arc<AtomicU64>,
        /// Time of a build in milliseconds.
        takes: Arc<AtomicU64>,
        down: Arc<AtomicBool>,
        panics: Arc<AtomicBool>,
    }

    impl Clock for Source {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.now.load(Ordering::SeqCst))
        }
    }

    impl Journal<Event> for Source {
        fn record(&self, event: &Event, _: &Caller) {
            self.events.lock().unwrap().push(event.clone());
        }
    }

    impl Source {
        fn built(&self) -> Built<u64, impl Fn(Option<Arc<u64>>) -> Building> {
            let context = Context {
                clock: Box::new(self.clone()),
                entropy: Box::new(OsEntropy),
                journal: Box::new(self.clone()),
            };
            let source = self.clone();
            let build = move |previous: Option<Arc<u64>>| -> Building {
                let source = source.clone();
                Box::pin(async move {
                    tokio::time::sleep(Duration::from_millis(source.takes.load(Ordering::SeqCst))).await;
                    assert!(!source.panics.load(Ordering::SeqCst), "seeded");
                    if source.down.load(Ordering::SeqCst) {
                        return Err("down".into());
                    }
                    let number = source.builds.fetch_add(1, Ordering::SeqCst) + 1;
                    assert_eq!(previous.map(|previous| *previous).unwrap_or_default(), number - 1);
                    Ok(number)
                })
            };
            Built::new(Arc::new(context), AGE, build)
        }

        fn pass(&self, time: Duration) {
            self.now.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
        }

        fn takes(&self, time: Duration) {
            self.takes.store(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
        }

        fn builds(&self) -> u64 {
            self.builds.load(Ordering::SeqCst)
        }

        fn is_down(&self, down: bool) {
            self.down.store(down, Ordering::SeqCst);
        }

        /// The operations of the failures that were logged.
        fn failures(&self) -> Vec<&'static str> {
            let events = std::mem::take(&mut *self.events.lock().unwrap());
            let during = |event: Event| match event {
                Event::Failure { during, .. } => during,
                other => panic!("{other:?}"),
            };
            events.into_iter().map(during).collect()
        }
    }

    /// The maximum age of a build.
    const AGE: Duration = Duration::from_secs(300);

    /// Lets a renewal end that no request waits for.
    async fn settle() {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_young_build_stays() {
        let source = Source::default();
        let built = source.built();
        for _ in 0..5 {
            assert_eq!(*built.get().await.unwrap(), 1);
            source.pass(AGE / 5 - Duration::from_millis(1));
            settle().await;
        }
        assert_eq!(source.builds(), 1);
    }

    /// invariant: A warm function renews its keys in parallel to requests.
    #[tokio::test(start_paused = true)]
    async fn an_old_build_is_used_and_renewed_in_parallel() {
        let source = Source::default();
        source.takes(Duration::from_millis(30));
        let built = source.built();
        assert_eq!(*built.get().await.unwrap(), 1, "built");
        source.pass(AGE);
        let before = Instant::now();
        // Neither the request that begins the renewal waits for it, nor another one.
        assert_eq!(*built.get().await.unwrap(), 1);
        assert_eq!(*built.get().await.unwrap(), 1);
        assert_eq!(before.elapsed(), Duration::ZERO);
        settle().await;
        assert_eq!((*built.get().await.unwrap(), source.builds()), (2, 2));
    }

    /// invariant: A function works with keys of at most twice their maximum age while Secrets Manager answers.
    #[tokio::test(start_paused = true)]
    async fn requests_wait_at_twice_the_maximum_age() {
        let source = Source::default();
        source.takes(Duration::from_millis(30));
        let built = source.built();
        assert_eq!(*built.get().await.unwrap(), 1);
        source.pass(AGE * 2);
        assert_eq!(*built.get().await.unwrap(), 2, "old keys are not used");
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_a_renewal_is_short() {
        let source = Source::default();
        let built = source.built();
        built.get().await.unwrap();
        source.takes(Duration::from_secs(5));
        source.pass(AGE * 2);
        let started = Instant::now();
        assert_eq!(*built.get().await.unwrap(), 1);
        assert_eq!(started.elapsed(), PATIENCE);
        settle().await;
        assert_eq!(*built.get().await.unwrap(), 2);
    }

    /// The old value is used while renewals fail. Only the second failure in a row is logged.
    #[tokio::test(start_paused = true)]
    async fn the_last_build_stays_while_renewals_fail() {
        let source = Source::default();
        let built = source.built();
        assert_eq!(*built.get().await.unwrap(), 1);
        for number in 1..=2 {
            source.is_down(true);
            source.pass(AGE);
            let mut logged = Vec::new();
            for _ in 0..5 {
                assert_eq!(*built.get().await.unwrap(), number);
                settle().await;
                assert!(built.is_overdue());
                logged.push(source.failures().len());
                source.pass(RETRY);
            }
            assert_eq!(logged, [0, 1, 0, 0, 0]);
            source.is_down(false);
            built.get().await.unwrap();
            settle().await;
            assert_eq!(*built.get().await.unwrap(), number + 1);
            assert!(!built.is_overdue());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_does_not_end_is_overdue_at_twice_the_maximum_age() {
        let source = Source::default();
        let built = source.built();
        built.get().await.unwrap();
        source.takes(Duration::from_secs(5));
        for (age, overdue) in [(AGE, false), (AGE, true)] {
            source.pass(age);
            built.get().await.unwrap();
            assert_eq!(built.is_overdue(), overdue);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_failure_is_logged_once() {
        let source = Source::default();
        let built = source.built();
        built.get().await.unwrap();
        source.is_down(true);
        source.pass(AGE);
        for _ in 0..2 {
            built.get().await.unwrap();
            settle().await;
            source.pass(RETRY);
        }
        assert_eq!(source.failures(), ["renew_keys"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_followed_by_a_pause() {
        let source = Source::default();
        let built = source.built();
        // The second pause is that of a build with twice its maximum age.
        for (age, pause) in [(AGE, RETRY), (AGE * 2, RETRY_OVERDUE)] {
            let last = *built.get().await.unwrap();
            source.is_down(true);
            source.pass(age);
            assert_eq!(*built.get().await.unwrap(), last);
            settle().await;
            source.is_down(false);
            source.pass(pause - Duration::from_millis(1));
            for _ in 0..3 {
                assert_eq!(*built.get().await.unwrap(), last);
                settle().await;
            }
            source.pass(Duration::from_millis(1));
            built.get().await.unwrap();
            settle().await;
            assert_eq!(*built.get().await.unwrap(), last + 1);
        }
    }

    /// A renewal fails if Lambda freezes the process during it. The next request tries again at once.
    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_was_frozen_is_no_failure() {
        let source = Source::default();
        let built = source.built();
        built.get().await.unwrap();
        source.is_down(true);
        source.takes(Duration::from_millis(30));
        source.pass(AGE);
        built.get().await.unwrap();
        // The renewal begins, and the process freezes.
        tokio::time::sleep(Duration::from_millis(10)).await;
        source.pass(FROZEN + Duration::from_millis(1));
        settle().await;
        source.is_down(false);
        built.get().await.unwrap();
        settle().await;
        assert_eq!((*built.get().await.unwrap(), source.failures()), (2, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_does_not_end_renewing() {
        let source = Source::default();
        let built = source.built();
        let last = *built.get().await.unwrap();
        source.panics.store(true, Ordering::SeqCst);
        source.pass(AGE);
        assert_eq!(*built.get().await.unwrap(), last);
        settle().await;
        source.panics.store(false, Ordering::SeqCst);
        source.pass(RETRY);
        built.get().await.unwrap();
        settle().await;
        assert_eq!(*built.get().await.unwrap(), last + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_build_is_tried_until_it_works() {
        let source = Source::default();
        source.is_down(true);
        let built = source.built();
        for _ in 0..2 {
            assert_eq!(built.get().await.unwrap_err().to_string(), "down");
        }
        source.is_down(false);
        assert_eq!(*built.get().await.unwrap(), 1);
    }

    /// A request that waits too long for the first build fails. The next one gets that build.
    #[tokio::test(start_paused = true)]
    async fn a_request_has_its_share_for_the_first_build() {
        const SHARE: Duration = Duration::from_millis(300);
        for (takes, in_time) in [(300, true), (700, false)] {
            let source = Source::default();
            source.takes(Duration::from_millis(takes));
            let built = source.built();
            match built.get_within(SHARE).await {
                Ok(built) => assert!(in_time && *built == 1),
                Err(error) => {
                    assert!(!in_time);
                    assert_eq!(error.to_string(), "the keys came after 700 ms");
                }
            }
            let before = Instant::now();
            assert_eq!(*built.get_within(SHARE).await.unwrap(), 1);
            assert_eq!((before.elapsed(), source.builds()), (Duration::ZERO, 1));
        }
    }
}
