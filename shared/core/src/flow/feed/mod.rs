//! The revocation feed: which sessions ended early, from a [`Window`] that is kept in memory.

mod cursor;
mod window;

pub use cursor::Cursor;
pub use window::Window;

use crate::config::RevocationsConfig;
use crate::flow::error::ApiError;
use crate::flow::report::Report;
use crate::ports::context::Context;
use crate::ports::store::EndedSessions;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::MAX_CLOCK_SKEW;
use daypass_verifier::ports::context::Caller;
use daypass_verifier::revocation::Answer;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How far before the last read the next one begins. What is read then and was not before is what came into the index late:
/// written by a clock that is behind ([`MAX_CLOCK_SKEW`]), by a request that took its time (a function has 5 s from the moment that it
/// takes the time), or shown by the index with delay (5 s; AWS says a fraction of a second).
pub const OVERLAP: Duration = Duration::from_secs(40);

/// How long an ending counts, from its time on. A verifier takes a token until 30 s after its `exp`, and its clock may be 30 s
/// behind the signer's, which may be 30 s ahead of the clock that the ending was written by; the feed's own differs from the
/// verifier's by as much at most, which is the same 30 s. Ten more are for a token that was issued while the ending was on its way.
#[must_use]
pub fn keep(access_lifetime: Duration) -> Duration {
    access_lifetime + 3 * MAX_CLOCK_SKEW + Duration::from_secs(10)
}

/// The feed: reads the index of ended sessions and keeps what it read.
pub struct Revocations<S> {
    pub(crate) issuer: Issuer,
    store: S,
    pub(crate) context: Context,
    window: Mutex<Window>,
}

impl<S: EndedSessions> Revocations<S> {
    /// A feed of this issuer's sessions.
    #[must_use]
    pub fn new(config: &RevocationsConfig, store: S, context: Context) -> Self {
        let window = Mutex::new(Window::new(keep(config.access_lifetime)));
        Self { issuer: config.issuer.clone(), store, context, window }
    }

    pub(crate) async fn page(
        &self,
        after: Option<Cursor>,
        caller: &Caller,
    ) -> Result<(Answer, u64), ApiError> {
        const MALFORMED: ApiError = ApiError::InvalidRequest("The cursor is none that was given out here.");
        let now = self.context.clock.now();
        let failed = |error| self.context.store_failed("ended_since", &error, caller);
        let due = self.window().due(now);
        if let Some(since) = due {
            let read = self.store.ended_since(since, Window::MOST).await.map_err(failed)?;
            self.window().absorb(read, now).map_err(failed)?;
        }
        let window = self.window();
        let answer = window.page(after, now).ok_or_else(|| self.context.refused(MALFORMED, caller))?;
        Ok((answer, window.as_of().unwrap_or_default().millis()))
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
