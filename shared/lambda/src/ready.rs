//! What a function works with: built at start or at the first request that can, and anew every few minutes, so that keys which
//! were rotated come along.

use daypass_ambient::{BoxError, ambient};
use daypass_core::Timestamp;
use daypass_core::event::Event;
use daypass_core::web::Caller;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long after a failure it is tried again; until then, and as long as it fails, what was built last stays in use.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// A renewal that took longer was interrupted: no source is given so long. Lambda had frozen the process.
const FROZEN: Duration = Duration::from_secs(10);

/// How soon it is tried again when it is twice as old as it should be.
const TRY_AGAIN_SOON: Duration = Duration::from_secs(5);

/// What a request waits for a renewal when what there is has become twice as old as it should: nobody came in the meantime.
const PATIENCE: Duration = Duration::from_millis(250);

/// Builds, keeps and renews.
pub(crate) struct Ready<T, B> {
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

impl<T, B, F> Ready<T, B>
where
    T: Send + Sync + 'static,
    B: Fn(Option<Arc<T>>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<T, BoxError>> + Send + 'static,
{
    /// From the age `after` on it is built anew, beside the requests: none waits for that.
    pub(crate) fn new(after: Duration, build: B) -> Self {
        Self { build, kept: OnceCell::new(), after, again: TRY_AGAIN_AFTER.min(after) }
    }

    /// Whether there is something to work with.
    pub(crate) fn is_built(&self) -> bool {
        self.kept.initialized()
    }

    /// What was built last. The first call builds, and so does each after one that failed. Of the later ones only those wait, for a
    /// moment, that come when it is twice as old as it should be: a function that is called all the time never waits, and one that
    /// slept does not work with the keys of yesterday.
    ///
    /// # Errors
    /// Those of the building.
    pub(crate) async fn get(&self) -> Result<Arc<T>, BoxError> {
        let now = || ambient().clock.now();
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
            tokio::spawn(async move {
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
                            ambient().journal.record(&event, &Caller::default());
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
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    type Building = Pin<Box<dyn Future<Output = Result<u64, BoxError>> + Send>>;

    /// A build that counts, takes its time, and fails where it is told to.
    #[derive(Clone, Default)]
    struct Source {
        builds: Arc<AtomicU64>,
        takes: Duration,
        down: Arc<AtomicBool>,
        panics: Arc<AtomicBool>,
    }

    impl Source {
        fn ready(
            &self,
            after: Duration,
            again: Duration,
        ) -> Ready<u64, impl Fn(Option<Arc<u64>>) -> Building + Clone + Send + 'static> {
            let source = self.clone();
            let build = move |previous: Option<Arc<u64>>| -> Building {
                let source = source.clone();
                Box::pin(async move {
                    tokio::time::sleep(source.takes).await;
                    assert!(!source.panics.load(Ordering::SeqCst), "seeded");
                    if source.down.load(Ordering::SeqCst) {
                        return Err("down".into());
                    }
                    let number = source.builds.fetch_add(1, Ordering::SeqCst) + 1;
                    assert_eq!(previous.map(|previous| *previous).unwrap_or_default(), number - 1);
                    Ok(number)
                })
            };
            Ready { again, ..Ready::new(after, build) }
        }
    }

    const NEVER: Duration = Duration::from_secs(3600);
    const SOON: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn it_is_built_once_and_stays_while_it_is_young() {
        let source = Source::default();
        let ready = source.ready(NEVER, NEVER);
        for _ in 0..5 {
            assert_eq!(*ready.get().await.unwrap(), 1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(source.builds.load(Ordering::SeqCst), 1);
    }

    /// invariant: A warm function renews its keys in parallel to requests.
    #[tokio::test]
    async fn an_old_one_is_answered_with_and_renewed_beside() {
        let ready = Source { takes: Duration::from_millis(30), ..Source::default() }.ready(SOON, SOON);
        assert_eq!(*ready.get().await.unwrap(), 1, "built");
        tokio::time::sleep(SOON + SOON / 5).await;
        // The one that begins the renewal is not kept waiting, nor is another while it is under way.
        assert_eq!(*ready.get().await.unwrap(), 1);
        assert_eq!(*ready.get().await.unwrap(), 1);
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(*ready.get().await.unwrap(), 2);
    }

    /// invariant: A function works with keys of at most twice their maximum age while Secrets Manager answers.
    #[tokio::test]
    async fn one_that_is_twice_as_old_is_waited_for() {
        let ready = Source { takes: Duration::from_millis(30), ..Source::default() }.ready(SOON, SOON);
        assert_eq!(*ready.get().await.unwrap(), 1);
        tokio::time::sleep(SOON * 3).await;
        assert_eq!(*ready.get().await.unwrap(), 2, "the keys of yesterday are not worked with");
    }

    #[tokio::test]
    async fn but_not_for_long() {
        let mut source = Source::default();
        let first = source.ready(SOON, SOON);
        first.get().await.unwrap();
        source.takes = Duration::from_secs(5);
        let ready = Ready { kept: first.kept, ..source.ready(SOON, SOON) };
        tokio::time::sleep(SOON * 3).await;
        let started = std::time::Instant::now();
        assert_eq!(*ready.get().await.unwrap(), 1);
        assert!(started.elapsed() < PATIENCE * 3, "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn what_was_built_last_stays_while_renewing_fails() {
        let source = Source::default();
        let ready = source.ready(Duration::ZERO, Duration::ZERO);
        let last = *ready.get().await.unwrap();
        source.down.store(true, Ordering::SeqCst);
        for _ in 0..5 {
            assert_eq!(*ready.get().await.unwrap(), last);
        }
        source.down.store(false, Ordering::SeqCst);
        assert_eq!(*ready.get().await.unwrap(), last + 1);
    }

    #[tokio::test]
    async fn after_a_failure_it_waits() {
        let source = Source::default();
        let ready = source.ready(Duration::ZERO, NEVER);
        let last = *ready.get().await.unwrap();
        source.down.store(true, Ordering::SeqCst);
        assert_eq!(*ready.get().await.unwrap(), last);
        source.down.store(false, Ordering::SeqCst);
        for _ in 0..3 {
            assert_eq!(*ready.get().await.unwrap(), last);
        }
    }

    #[tokio::test]
    async fn a_panic_does_not_end_renewing() {
        let source = Source::default();
        let ready = source.ready(Duration::ZERO, Duration::ZERO);
        let last = *ready.get().await.unwrap();
        source.panics.store(true, Ordering::SeqCst);
        assert_eq!(*ready.get().await.unwrap(), last);
        source.panics.store(false, Ordering::SeqCst);
        assert_eq!(*ready.get().await.unwrap(), last + 1);
    }

    #[tokio::test]
    async fn the_first_build_is_tried_until_it_works() {
        let source = Source::default();
        source.down.store(true, Ordering::SeqCst);
        let ready = source.ready(NEVER, NEVER);
        for _ in 0..2 {
            assert_eq!(ready.get().await.unwrap_err().to_string(), "down");
        }
        source.down.store(false, Ordering::SeqCst);
        assert_eq!(*ready.get().await.unwrap(), 1);
    }
}
