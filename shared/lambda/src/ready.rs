//! What a function works with: built at start or at the first request that can, and anew every few minutes, so that keys which
//! were rotated come along.

use daypass_ambient::{BoxError, ambient};
use daypass_core::Timestamp;
use daypass_core::event::Event;
use daypass_core::web::Caller;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long after a failure it is tried again; until then, and as long as it fails, what was built last stays in use.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Builds, keeps and renews.
pub(crate) struct Ready<T, B> {
    build: B,
    kept: OnceCell<Arc<Kept<T>>>,
    after: Duration,
    again: Duration,
}

struct Kept<T> {
    current: Mutex<Current<T>>,
    renewing: AtomicBool,
}

struct Current<T> {
    built: Arc<T>,
    renew_at: Timestamp,
    /// Since when renewing fails it was told once.
    failing: bool,
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

    /// What was built last. The first call builds, and so does each after one that failed; later ones never wait.
    ///
    /// # Errors
    /// Those of the building.
    pub(crate) async fn get(&self) -> Result<Arc<T>, BoxError> {
        let now = || ambient().clock.now();
        let kept = self
            .kept
            .get_or_try_init(|| async {
                let built = Arc::new((self.build)(None).await?);
                let current = Current { built, renew_at: now() + self.after, failing: false };
                let current = Mutex::new(current);
                Ok::<_, BoxError>(Arc::new(Kept { current, renewing: AtomicBool::new(false) }))
            })
            .await?;
        let (built, due) = kept.with(|current| (Arc::clone(&current.built), current.renew_at <= now()));
        if due && !kept.renewing.swap(true, Ordering::SeqCst) {
            let (kept, build, previous) = (Arc::clone(kept), self.build.clone(), Arc::clone(&built));
            let (after, again) = (self.after, self.again);
            // Lambda may freeze the process in the middle of this, and thaw it with the next request.
            tokio::spawn(async move {
                let renewing = Renewing(&kept);
                let renewed = build(Some(previous)).await;
                kept.with(|current| match renewed {
                    Ok(renewed) => {
                        let renew_at = now() + after;
                        *current = Current { built: Arc::new(renewed), renew_at, failing: false };
                    }
                    Err(error) => {
                        if !current.failing {
                            let event = Event::Failure { during: "renew_keys", detail: error.to_string() };
                            ambient().journal.record(&event, &Caller::default());
                        }
                        (current.failing, current.renew_at) = (true, now() + again);
                    }
                });
                drop(renewing);
            });
        }
        Ok(built)
    }
}

impl<T> Kept<T> {
    fn with<R>(&self, look: impl FnOnce(&mut Current<T>) -> R) -> R {
        // Nothing panics while it is held, and what is in it is whole at every point.
        look(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ends with the attempt, also with one that panics.
struct Renewing<'a, T>(&'a Kept<T>);

impl<T> Drop for Renewing<'_, T> {
    fn drop(&mut self) {
        self.0.renewing.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// A build that counts, and fails where it is told to.
    #[derive(Clone, Default)]
    struct Source {
        builds: Arc<AtomicU64>,
        down: Arc<AtomicBool>,
        panics: Arc<AtomicBool>,
    }

    impl Source {
        fn ready(
            &self,
            after: u64,
            again: u64,
        ) -> Ready<u64, impl Fn(Option<Arc<u64>>) -> futures::Build + Clone + Send + 'static> {
            let source = self.clone();
            let build = move |previous: Option<Arc<u64>>| -> futures::Build {
                let source = source.clone();
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    assert!(!source.panics.load(Ordering::SeqCst), "seeded");
                    if source.down.load(Ordering::SeqCst) {
                        return Err("down".into());
                    }
                    let number = source.builds.fetch_add(1, Ordering::SeqCst) + 1;
                    assert_eq!(previous.map(|previous| *previous).unwrap_or_default(), number - 1);
                    Ok(number)
                })
            };
            let (after, again) = (Duration::from_millis(after), Duration::from_millis(again));
            Ready { again, ..Ready::new(after, build) }
        }
    }

    mod futures {
        use daypass_ambient::BoxError;
        use std::pin::Pin;

        pub(super) type Build = Pin<Box<dyn Future<Output = Result<u64, BoxError>> + Send>>;
    }

    /// Lets what was spawned run.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn it_is_built_once_and_stays_while_it_is_young() {
        let source = Source::default();
        let ready = source.ready(60_000, 60_000);
        for _ in 0..5 {
            assert_eq!(*ready.get().await.unwrap(), 1);
            settle().await;
        }
        assert_eq!(source.builds.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_old_one_is_answered_with_and_renewed_beside() {
        let source = Source::default();
        let ready = source.ready(0, 0);
        assert_eq!(*ready.get().await.unwrap(), 1, "built");
        // The one that begins the renewal is not kept waiting, nor are others while it is under way.
        assert_eq!(*ready.get().await.unwrap(), 1);
        assert_eq!(*ready.get().await.unwrap(), 1);
        settle().await;
        assert_eq!(*ready.get().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_was_built_last_stays_while_renewing_fails() {
        let source = Source::default();
        let ready = source.ready(0, 0);
        assert_eq!(*ready.get().await.unwrap(), 1);
        settle().await;
        source.down.store(true, Ordering::SeqCst);
        let last = *ready.get().await.unwrap();
        for _ in 0..5 {
            settle().await;
            assert_eq!(*ready.get().await.unwrap(), last);
        }
        source.down.store(false, Ordering::SeqCst);
        settle().await;
        ready.get().await.unwrap();
        settle().await;
        assert!(*ready.get().await.unwrap() > last);
    }

    #[tokio::test]
    async fn after_a_failure_it_waits() {
        let source = Source::default();
        let ready = source.ready(0, 60_000);
        ready.get().await.unwrap();
        source.down.store(true, Ordering::SeqCst);
        ready.get().await.unwrap();
        settle().await;
        source.down.store(false, Ordering::SeqCst);
        for _ in 0..3 {
            assert_eq!(*ready.get().await.unwrap(), 1);
            settle().await;
        }
    }

    #[tokio::test]
    async fn a_panic_does_not_end_renewing() {
        let source = Source::default();
        let ready = source.ready(0, 0);
        ready.get().await.unwrap();
        source.panics.store(true, Ordering::SeqCst);
        ready.get().await.unwrap();
        settle().await;
        source.panics.store(false, Ordering::SeqCst);
        ready.get().await.unwrap();
        settle().await;
        assert_eq!(*ready.get().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn the_first_build_is_tried_until_it_works() {
        let source = Source::default();
        source.down.store(true, Ordering::SeqCst);
        let ready = source.ready(60_000, 60_000);
        for _ in 0..2 {
            assert_eq!(ready.get().await.unwrap_err().to_string(), "down");
        }
        source.down.store(false, Ordering::SeqCst);
        assert_eq!(*ready.get().await.unwrap(), 1);
    }
}
