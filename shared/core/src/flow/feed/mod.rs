//! The revocation feed: the sessions that ended early, from a [`Window`] in memory.

mod cursor;
mod window;

pub use cursor::Cursor;
pub use window::Window;

use crate::config::RevocationsConfig;
use crate::flow::error::Problem;
use crate::flow::outcome::Outcome;
use crate::ports::context::Context;
use crate::ports::store::EndedSessions;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::{MAX_CLOCK_SKEW, Timestamp};
use daypass_verifier::revocation::Answer;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How far before the last read the next one begins, to find entries that entered the index late.
///
/// An entry is up to 40 s late. A clock that is behind takes 30 s of them ([`MAX_CLOCK_SKEW`]). A function may run for 5 s after
/// it reads the time. The index may take another 5 s, where AWS promises a fraction of a second.
pub const OVERLAP: Duration = Duration::from_secs(40);

/// How long an ending counts.
///
/// A verifier accepts a token until 30 s after its `exp`. Its clock may be 30 s behind the signer's, and the signer's 30 s ahead
/// of the clock that wrote the ending. The feed's clock differs from the verifier's by the same 30 s at most. Another 10 s are
/// for a token that was issued while the ending was being written.
#[must_use]
pub fn keep(access_lifetime: Duration) -> Duration {
    access_lifetime + 3 * MAX_CLOCK_SKEW + Duration::from_secs(10)
}

/// The feed: it reads the index of ended sessions and keeps what it read.
pub struct Revocations<S> {
    pub(crate) issuer: Issuer,
    store: S,
    pub(crate) context: Context,
    window: Mutex<Window>,
}

/// One page of the feed.
pub(crate) struct Page {
    pub(crate) answer: Answer,
    /// The list is complete as of this time.
    pub(crate) as_of: Timestamp,
}

impl<S: EndedSessions> Revocations<S> {
    /// A feed of the sessions of this issuer.
    #[must_use]
    pub fn new(config: &RevocationsConfig, store: S, context: Context) -> Self {
        let window = Mutex::new(Window::new(keep(config.access_lifetime)));
        Self { issuer: config.issuer.clone(), store, context, window }
    }

    /// The page behind `after`, or the first one.
    pub(crate) async fn page(&self, after: Option<Cursor>) -> Outcome<Page> {
        Outcome::new(self.up_to_date_page(after).await, Vec::new())
    }

    async fn up_to_date_page(&self, after: Option<Cursor>) -> Result<Page, Problem> {
        let now = self.context.clock.now();
        let due = self.window().due(now);
        if let Some(since) = due {
            let read = self.store.ended_since(since, Window::MOST).await;
            let read = read.map_err(Problem::store("ended_since"))?;
            self.window().absorb(read, now).map_err(Problem::store("ended_since"))?;
        }
        let window = self.window();
        let answer = window.page(after, now).ok_or(Problem::UnknownCursor)?;
        Ok(Page { answer, as_of: window.as_of().unwrap_or_default() })
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
