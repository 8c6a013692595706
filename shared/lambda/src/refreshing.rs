//! What a function works with: built at start or at the first request that can, and anew every few minutes, so that keys which
//! were rotated come along.

use daypass_core::ports::context::Context;
use daypass_core::ports::event::Event;
use daypass_runtime::BoxError;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::ports::context::Caller;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// How long after a failure it is tried again; until then, and as long as it fails, what was built last stays in use.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// A renewal that took longer was interrupted: no source is given so long. Lambda had frozen the process.
const FROZEN: Duration = Duration::from_secs(10);

/// How soon it is tried again when it is twice as old as it should be.
const TRY_AGAIN_SOON: Duration = Duration::from_secs(5);

/// What a request waits for a renewal when what there is has become twice as old as it should: nobody came in the meantime.
const PATIENCE: Duration = Duration::from_millis(250);

/// Builds, keeps and renews.
pub(crate) struct Refreshing<T, B> {
    /// The clock dates builds, and the journal records failures.
    context: Arc<Context>,
    build: B,
    kept: OnceCell<Arc<Kept<T>>>,
    after: Duration,
    again: Duration,
}

struct Kept<T> {
    current: Mutex<Current<T>>,
    /// Held while it is built anew.
    renewing: Arc<tokio::sync::Mutex<()>>,
}

struct Current<T> {
    built: Arc<T>,
    built_at: Timestamp,
    renew_at: Timestamp,
    /// Renewals that failed in a row.
    failures: u32,
}

impl<T, B, F> Refreshing<T, B>
where
    T: Send + Sync + 'static,
    B: Fn(Option<Arc<T>>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<T, BoxError>> + Send + 'static,
{
    /// From the age `after` on it is built anew, beside the requests: none waits for that.
    pub(crate) fn new(context: Arc<Context>, after: Duration, build: B) -> Self {
        Self { context, build, kept: OnceCell::new(), after, again: TRY_AGAIN_AFTER.min(after) }
    }

    /// As [`get`](Self::get), for a request that has `share` for the first build. When that takes longer, the value is kept
    /// for the next request, and this one gets an error: what it still has to do would end after the function's timeout.
    ///
    /// # Errors
    /// Those of the build, and a first build that took longer than `share`.
    pub(crate) async fn get_within(&self, share: Duration) -> Result<Arc<T>, BoxError> {
        let (started, was_built) = (Instant::now(), self.kept.initialized());
        let built = self.get().await?;
        let waited = started.elapsed();
        if !was_built && waited > share {
            return Err(format!("the keys came after {} ms", waited.as_millis()).into());
        }
        Ok(built)
    }

    /// What was built last. The first call builds, and so does each after one that failed. Of the later ones only those wait, for a
    /// moment, that come when it is twice as old as it should be: a function that is called all the time never waits, and one that
    /// slept does not work with the keys of yesterday.
    ///
    /// # Errors
    /// Those of the building.
    pub(crate) async fn get(&self) -> Result<Arc<T>, BoxError> {
        let now = || self.context.clock.now();
        let kept = self
            .kept
            .get_or_try_init(|| async {
                let built = Arc::new((self.build)(None).await?);
                let current = Mutex::new(Current::new(built, now(), self.after));
                Ok::<_, BoxError>(Arc::new(Kept { current, renewing: Arc::default() }))
            })
            .await?;
        let (built, due, overdue) = kept.with(|current| {
            let overdue = current.built_at + self.after * 2 <= now();
            (Arc::clone(&current.built), current.renew_at <= now(), overdue)
        });
        if due && let Ok(renewing) = Arc::clone(&kept.renewing).try_lock_owned() {
            let (kept, build, previous) = (Arc::clone(kept), self.build.clone(), Arc::clone(&built));
            let (after, again) = (self.after, self.again);
            // Lambda may freeze the process in the middle of this, and thaw it with the next request.
            let begun = now();
            let context = Arc::clone(&self.context);
            tokio::spawn(async move {
                let now = || context.clock.now();
                let renewed = build(Some(previous)).await;
                kept.with(|current| match renewed {
                    Ok(renewed) => *current = Current::new(Arc::new(renewed), now(), after),
                    // Its time ran out while nothing ran.
                    Err(_) if now().since(begun) > FROZEN => {}
                    Err(error) => {
                        current.failures += 1;
                        current.renew_at = now() + if overdue { again.min(TRY_AGAIN_SOON) } else { again };
                        // Not of one: that may have been frozen for a moment.
                        if current.failures == 2 {
                            let event = Event::Failure { during: "renew_keys", detail: error.to_string() };
                            context.journal.record(&event, &Caller::default());
                        }
                    }
                });
                // Also dropped when the building panics.
                drop(renewing);
            });
        }
        if !overdue {
            return Ok(built);
        }
        // Whoever renews, until then or in vain.
        let _ = tokio::time::timeout(PATIENCE, kept.renewing.lock()).await;
        Ok(kept.with(|current| Arc::clone(&current.built)))
    }
}

impl<T> Current<T> {
    fn new(built: Arc<T>, now: Timestamp, after: Duration) -> Self {
        Self { built, built_at: now, renew_at: now + after, failures: 0 }
    }
}

impl<T> Kept<T> {
    fn with<R>(&self, look: impl FnOnce(&mut Current<T>) -> R) -> R {
        // Nothing panics while it is held, and what is in it is whole at every point.
        look(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_runtime::OsEntropy;
    use daypass_verifier::base::time::Clock;
    use daypass_verifier::ports::journal::Journal;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    type Building = Pin<Box<dyn Future<Output = Result<u64, BoxError>> + Send>>;

    /// A source of builds, with the clock and the journal of its [`Refreshing`]. Tokio's time stands still (`start_paused`): it
    /// moves while a test waits, and never because the machine is busy.
    #[derive(Clone, Default)]
    struct Source {
        now: Arc<AtomicU64>,
        events: Arc<Mutex<Vec<Event>>>,
        builds: Arc<AtomicU64>,
        /// How long a build takes, in milliseconds.
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
        fn ready(&self) -> Refreshing<u64, impl Fn(Option<Arc<u64>>) -> Building + Clone + Send + 'static> {
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
            Refreshing::new(Arc::new(context), AGE, build)
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

    /// The age from which on a build is renewed. A failed renewal is tried again after [`TRY_AGAIN_AFTER`].
    const AGE: Duration = Duration::from_secs(300);

    /// Lets a renewal that no request waits for come to its end.
    async fn settle() {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_built_once_and_stays_while_it_is_young() {
        let source = Source::default();
        let ready = source.ready();
        for _ in 0..5 {
            assert_eq!(*ready.get().await.unwrap(), 1);
            source.pass(AGE / 5 - Duration::from_millis(1));
            settle().await;
        }
        assert_eq!(source.builds(), 1);
    }

    /// invariant: A warm function renews its keys in parallel to requests.
    #[tokio::test(start_paused = true)]
    async fn an_old_one_is_answered_with_and_renewed_beside() {
        let source = Source::default();
        source.takes(Duration::from_millis(30));
        let ready = source.ready();
        assert_eq!(*ready.get().await.unwrap(), 1, "built");
        source.pass(AGE);
        let before = Instant::now();
        // Neither the request that begins the renewal waits for it, nor another one meanwhile.
        assert_eq!(*ready.get().await.unwrap(), 1);
        assert_eq!(*ready.get().await.unwrap(), 1);
        assert_eq!(before.elapsed(), Duration::ZERO);
        settle().await;
        assert_eq!((*ready.get().await.unwrap(), source.builds()), (2, 2));
    }

    /// invariant: A function works with keys of at most twice their maximum age while Secrets Manager answers.
    #[tokio::test(start_paused = true)]
    async fn one_that_is_twice_as_old_is_waited_for() {
        let source = Source::default();
        source.takes(Duration::from_millis(30));
        let ready = source.ready();
        assert_eq!(*ready.get().await.unwrap(), 1);
        source.pass(AGE * 2);
        assert_eq!(*ready.get().await.unwrap(), 2, "the keys of yesterday are not worked with");
    }

    #[tokio::test(start_paused = true)]
    async fn but_not_for_long() {
        let source = Source::default();
        let ready = source.ready();
        ready.get().await.unwrap();
        source.takes(Duration::from_secs(5));
        source.pass(AGE * 2);
        let started = Instant::now();
        assert_eq!(*ready.get().await.unwrap(), 1);
        assert_eq!(started.elapsed(), PATIENCE);
        settle().await;
        assert_eq!(*ready.get().await.unwrap(), 2);
    }

    /// The old value is used for as long as renewing fails. The second failure in a row is logged, and no other.
    #[tokio::test(start_paused = true)]
    async fn what_was_built_last_stays_while_renewing_fails() {
        let source = Source::default();
        let ready = source.ready();
        assert_eq!(*ready.get().await.unwrap(), 1);
        for built in 1..=2 {
            source.is_down(true);
            source.pass(AGE);
            let mut logged = Vec::new();
            for _ in 0..5 {
                assert_eq!(*ready.get().await.unwrap(), built);
                settle().await;
                logged.push(source.failures().len());
                source.pass(TRY_AGAIN_AFTER);
            }
            assert_eq!(logged, [0, 1, 0, 0, 0]);
            source.is_down(false);
            ready.get().await.unwrap();
            settle().await;
            assert_eq!(*ready.get().await.unwrap(), built + 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_renewal_is_logged_as_one() {
        let source = Source::default();
        let ready = source.ready();
        ready.get().await.unwrap();
        source.is_down(true);
        source.pass(AGE);
        for _ in 0..2 {
            ready.get().await.unwrap();
            settle().await;
            source.pass(TRY_AGAIN_AFTER);
        }
        assert_eq!(source.failures(), ["renew_keys"]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_it_waits() {
        let source = Source::default();
        let ready = source.ready();
        // A minute; five seconds where what there is has become twice as old as it should.
        for (age, pause) in [(AGE, TRY_AGAIN_AFTER), (AGE * 2, TRY_AGAIN_SOON)] {
            let last = *ready.get().await.unwrap();
            source.is_down(true);
            source.pass(age);
            assert_eq!(*ready.get().await.unwrap(), last);
            settle().await;
            source.is_down(false);
            source.pass(pause - Duration::from_millis(1));
            for _ in 0..3 {
                assert_eq!(*ready.get().await.unwrap(), last);
                settle().await;
            }
            source.pass(Duration::from_millis(1));
            ready.get().await.unwrap();
            settle().await;
            assert_eq!(*ready.get().await.unwrap(), last + 1);
        }
    }

    /// A renewal fails when Lambda freezes the process in the middle of it: the next request tries again at once.
    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_was_frozen_is_no_failure() {
        let source = Source::default();
        let ready = source.ready();
        ready.get().await.unwrap();
        source.is_down(true);
        source.takes(Duration::from_millis(30));
        source.pass(AGE);
        ready.get().await.unwrap();
        // The renewal begins, and the process stands still in the middle of it.
        tokio::time::sleep(Duration::from_millis(10)).await;
        source.pass(FROZEN + Duration::from_millis(1));
        settle().await;
        source.is_down(false);
        ready.get().await.unwrap();
        settle().await;
        assert_eq!((*ready.get().await.unwrap(), source.failures()), (2, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_does_not_end_renewing() {
        let source = Source::default();
        let ready = source.ready();
        let last = *ready.get().await.unwrap();
        source.panics.store(true, Ordering::SeqCst);
        source.pass(AGE);
        assert_eq!(*ready.get().await.unwrap(), last);
        settle().await;
        source.panics.store(false, Ordering::SeqCst);
        ready.get().await.unwrap();
        settle().await;
        assert_eq!(*ready.get().await.unwrap(), last + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_build_is_tried_until_it_works() {
        let source = Source::default();
        source.is_down(true);
        let ready = source.ready();
        for _ in 0..2 {
            assert_eq!(ready.get().await.unwrap_err().to_string(), "down");
        }
        source.is_down(false);
        assert_eq!(*ready.get().await.unwrap(), 1);
    }

    /// The request that waited too long for the first build is refused. The next one gets what it had built.
    #[tokio::test(start_paused = true)]
    async fn a_request_has_its_share_for_the_first_build() {
        const SHARE: Duration = Duration::from_millis(300);
        for (takes, in_time) in [(300, true), (700, false)] {
            let source = Source::default();
            source.takes(Duration::from_millis(takes));
            let ready = source.ready();
            match ready.get_within(SHARE).await {
                Ok(built) => assert!(in_time && *built == 1),
                Err(error) => {
                    assert!(!in_time);
                    assert_eq!(error.to_string(), "the keys came after 700 ms");
                }
            }
            let before = Instant::now();
            assert_eq!(*ready.get_within(SHARE).await.unwrap(), 1);
            assert_eq!((before.elapsed(), source.builds()), (Duration::ZERO, 1));
        }
    }
}
