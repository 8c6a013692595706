//! The client of the revocation feed: it polls at most once per interval, however many requests come, and keeps what it read.
//!
//! Lambda freezes a process between two requests, so no poll runs in the background. The request that finds the list older than
//! the interval starts a poll, and waits for it, but never for long. While the feed fails, requests start polls all the same,
//! once per interval, and a later request takes in the result.

#[cfg(test)]
mod tests;

use daypass_https::{Channel, Failed, Question};
use daypass_runtime::SingleFlight;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::config::authorizer::FollowedFeed;
use daypass_verifier::ports::context::{Caller, Context};
use daypass_verifier::ports::event::Event;
use daypass_verifier::ports::follow::Follow;
use daypass_verifier::revocation::{
    AS_OF, Answer, Lookup, MAX_ANSWER_BYTES, MOST_PAGES, Poll, Polled, RevokedSet, WhenStale,
};
use http::header::ETAG;
use http::{HeaderMap, StatusCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Deadline of one page, connecting included: less than [`PATIENCE`], so that a waiting request sees the result.
const DEADLINE: Duration = Duration::from_millis(900);
/// The longest wait of a request. API Gateway gives an authorizer 10 s, and the function has 5 s; keys may take 1.5 s more.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest wait of a request while the feed fails: enough for a feed that works again.
const IMPATIENCE: Duration = Duration::from_millis(50);
/// The longest start of a process. On a quiet stack the feed has a cold start, too. Lambda's init may take 10 s.
const AT_START: Duration = Duration::from_secs(3);
/// Pause between two polls at the start.
const REST_AT_START: Duration = Duration::from_millis(100);
/// The longest entity tag that is sent back.
const MAX_TAG_BYTES: usize = 128;
/// Deadline of a poll, all its pages. The cursor keeps its place for the next one.
const POLL: Duration = Duration::from_secs(5);
/// The longest pause after which a connection is used again. Gateways and proxies close theirs after a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// The client of one feed.
pub struct FeedClient(Arc<Shared>);

// `Refreshing` does not fit: a poll adds pages to the set instead of replacing it, and keeps those of a poll that fails.
struct Shared {
    issuer: Issuer,
    when_stale: WhenStale,
    channel: Channel,
    state: Mutex<State>,
    polls: SingleFlight,
}

struct State {
    revoked: RevokedSet,
    /// The result of the last poll, until a request takes it in.
    ended: Option<Ended>,
    /// Start of the last poll, for the requests that wait for it.
    started: Instant,
}

/// A poll that has ended.
struct Ended {
    started_at: Timestamp,
    result: Result<(), String>,
}

impl FeedClient {
    /// A client of the feed of this issuer.
    ///
    /// # Errors
    /// If the system has no root certificates to verify the feed's.
    pub fn new(issuer: Issuer, feed: &FollowedFeed) -> std::io::Result<Self> {
        let channel = Channel::new(feed.url.clone(), DEADLINE, MAX_ANSWER_BYTES)?;
        let state = State { revoked: RevokedSet::new(feed.limits), ended: None, started: Instant::now() };
        Ok(Self(Arc::new(Shared {
            issuer,
            when_stale: feed.limits.when_stale,
            channel,
            state: Mutex::new(state),
            polls: SingleFlight::default(),
        })))
    }

    /// Starts a poll if one is due, and waits for the poll that runs.
    async fn poll_if_due(&self, context: &Context, caller: &Caller) {
        let began = Instant::now();
        // Twice: a running poll may have started before Lambda froze the process, an hour ago.
        for _ in 0..2 {
            let patience = {
                let mut state = self.0.state();
                let now = context.clock.now();
                state.take_in(now, context, caller);
                let patience = self.patience(&state, now);
                if !self.0.polls.is_running() {
                    if !state.revoked.is_due(now) {
                        return;
                    }
                    self.start(&mut state, now);
                }
                // The wait of other requests for the same poll counts.
                patience.saturating_sub(began.elapsed().max(state.started.elapsed())).max(IMPATIENCE)
            };
            self.wait(patience).await;
        }
        self.0.state().take_in(context.clock.now(), context, caller);
    }

    /// The longest wait of a request. It is short while the feed fails, with two exceptions. With `closed`, a stale list serves
    /// no request. And if requests are rare, the process is frozen before a poll ends that no request waits for.
    fn patience(&self, state: &State, now: Timestamp) -> Duration {
        let needed = self.0.when_stale == WhenStale::Closed && state.revoked.is_stale(now);
        let rare = state.revoked.last_asked(now).is_none_or(|pause| pause >= KEEP_ALIVE);
        if state.revoked.is_following() || needed || rare { PATIENCE } else { IMPATIENCE }
    }

    /// Waits until no poll runs. If that takes longer, a later request takes in the result.
    async fn wait(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.0.polls.idle()).await;
    }

    /// Starts a poll, unless one runs.
    fn start(&self, state: &mut State, now: Timestamp) {
        let Some(running) = self.0.polls.start() else { return };
        let reuse = state.revoked.last_asked(now).is_some_and(|pause| pause < KEEP_ALIVE);
        state.started = Instant::now();
        let first = state.revoked.ask(now);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let reading = tokio::time::timeout(POLL, shared.read(first, reuse, now)).await;
            let result = reading.unwrap_or_else(|_| Err("not all pages came in time".to_owned()));
            shared.state().ended = Some(Ended { started_at: now, result });
            drop(running);
        });
    }
}

impl Follow for FeedClient {
    async fn prepare(&self, context: &Context) {
        let end = Instant::now() + AT_START;
        loop {
            self.start(&mut self.0.state(), context.clock.now());
            self.wait(end.saturating_duration_since(Instant::now())).await;
            {
                let mut state = self.0.state();
                let succeeded = state.ended.as_ref().is_some_and(|ended| ended.result.is_ok());
                if succeeded || Instant::now() + REST_AT_START + DEADLINE > end {
                    // Only the last poll of the start is logged.
                    state.take_in(context.clock.now(), context, &Caller::default());
                    return;
                }
            }
            tokio::time::sleep(REST_AT_START).await;
        }
    }

    async fn lookup(&self, sid: &str, context: &Context, caller: &Caller) -> Lookup {
        let now = context.clock.now();
        {
            let state = self.0.state();
            if state.ended.is_none() && !state.revoked.is_due(now) && !self.0.polls.is_running() {
                return state.revoked.lookup(sid, now);
            }
        }
        self.poll_if_due(context, caller).await;
        self.0.state().revoked.lookup(sid, context.clock.now())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all pages.
    async fn read(&self, first: Poll, mut reuse: bool, now: Timestamp) -> Result<(), String> {
        let mut poll = first;
        for _ in 0..MOST_PAGES {
            let more = self.read_page(&poll, reuse, now).await?;
            if !more {
                return Ok(());
            }
            reuse = true;
            poll = self.state().revoked.question();
        }
        Err(format!("the list has no end: {MOST_PAGES} pages"))
    }

    /// Reads one page. Returns whether there are more.
    async fn read_page(&self, poll: &Poll, reuse: bool, now: Timestamp) -> Result<bool, String> {
        // A cursor has passed `Answer::parse`, so it needs no encoding.
        let query = poll.after.as_ref().map(|after| format!("after={after}"));
        let question = Question { query: query.as_deref(), if_none_match: poll.tag.as_deref(), reuse };
        let answer = self.channel.ask(question).await.map_err(|failed| {
            // The feed may not accept this cursor or this tag.
            if matches!(failed, Failed::Status(status) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS) {
                self.state().revoked.start_over();
            }
            failed.to_string()
        })?;
        let as_of = as_of(&answer.headers)?;
        let more = if answer.unchanged {
            if poll.tag.is_none() {
                return Err("the answer was 304 to a question that names no answer".to_owned());
            }
            false
        } else {
            let page =
                Answer::parse(&answer.body, &self.issuer).map_err(|unreadable| unreadable.to_string())?;
            let more = page.more;
            let tag = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
            let tag = tag.filter(|tag| tag.len() <= MAX_TAG_BYTES).map(str::to_owned);
            self.state().revoked.told(poll, page, tag, now)?;
            more
        };
        RevokedSet::is_recent(as_of, now)?;
        Ok(more)
    }
}

fn as_of(headers: &HeaderMap) -> Result<Timestamp, String> {
    let value = headers.get(AS_OF).and_then(|value| value.to_str().ok());
    let millis = value.and_then(|value| value.parse().ok()).map(Timestamp::from_millis);
    millis.ok_or_else(|| format!("the answer has no header {AS_OF}"))
}

impl State {
    /// Takes in the result of a poll that has ended, and logs a change of state.
    fn take_in(&mut self, now: Timestamp, context: &Context, caller: &Caller) {
        let Some(Ended { started_at, result }) = self.ended.take() else { return };
        let change = self.revoked.finish(result.is_ok(), started_at, now);
        let (sessions, detail) = (self.revoked.len() as u64, result.err().unwrap_or_default());
        let event = match change {
            Polled::AsBefore => return,
            Polled::Recovered => Event::FeedRecovered { sessions },
            Polled::Failing => Event::FeedFailing { sessions, detail },
            Polled::Stale => Event::FeedStale { sessions, detail },
        };
        context.journal.record(&event, caller);
    }
}
