//! Follows the revocation feed: asks it at most once per interval, however many requests come, and remembers what it said.
//!
//! Lambda freezes a process between two requests, so nothing runs in the background: the request that finds the list older than the
//! interval carries the question, and waits for the answer, but never for long. While the feed does not answer, no request
//! waits for it; it is asked all the same, once per interval, and what it says is taken in by whichever request comes next.

#[cfg(test)]
mod tests;

use daypass_https::{Channel, Failed, Question};
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
use tokio::sync::watch;
use tokio::time::Instant;

/// How long one question may take, connecting included: less than a request waits, so that it has landed by then.
const DEADLINE: Duration = Duration::from_millis(900);
/// How long a request waits for the answer. API Gateway gives an authorizer 10 s, and the function has 3 s; keys may take 1.5 s more.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits while the feed fails: as long as one that works again may need.
const IMPATIENCE: Duration = Duration::from_millis(50);
/// How long a process tries to get the whole list before its first answer: on a quiet stack the feed has a cold start, too. Lambda's
/// init may take 10 s.
const AT_START: Duration = Duration::from_secs(3);
/// Rest between two tries at the start.
const REST_AT_START: Duration = Duration::from_millis(100);
/// Longest entity tag that is sent back.
const MAX_TAG_BYTES: usize = 128;
/// Longest reading, all pages of it: the cursor keeps its place for the next one.
const READING: Duration = Duration::from_secs(5);
/// Longest pause after which a connection is used again: gateways and proxies close theirs after a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Follows one feed.
pub struct Follower(Arc<Shared>);

struct Shared {
    issuer: Issuer,
    when_stale: WhenStale,
    channel: Channel,
    state: Mutex<State>,
    /// Whether the feed is being asked.
    flying: watch::Sender<bool>,
}

struct State {
    revoked: RevokedSet,
    /// How the last reading went, until a request has taken notice of it.
    landed: Option<Landed>,
    /// When it began, for those who wait.
    took_off: Instant,
}

/// A reading that is over: when it began, and what went wrong.
struct Landed {
    asked: Timestamp,
    result: Result<(), String>,
}

impl Follower {
    /// Follows the feed of this issuer.
    ///
    /// # Errors
    /// When the system has no root certificates to check the feed's with.
    pub fn new(issuer: Issuer, feed: &FollowedFeed) -> std::io::Result<Self> {
        let channel = Channel::new(feed.url.clone(), DEADLINE, MAX_ANSWER_BYTES)?;
        let state = Mutex::new(State {
            revoked: RevokedSet::new(feed.limits),
            landed: None,
            took_off: Instant::now(),
        });
        let when_stale = feed.limits.when_stale;
        Ok(Self(Arc::new(Shared { issuer, when_stale, channel, state, flying: watch::Sender::new(false) })))
    }

    /// Sees to it that the feed is asked when that is due, and waits for an answer that is under way.
    async fn follow(&self, context: &Context, caller: &Caller) {
        let began = Instant::now();
        // Twice: what is in the air may have taken off before Lambda froze the process, and be an hour old.
        for _ in 0..2 {
            let patience = {
                let mut state = self.0.state();
                let now = context.clock.now();
                state.notice(now, context, caller);
                let patience = self.patience(&state, now);
                if !*self.0.flying.borrow() {
                    if !state.revoked.is_due(now) {
                        return;
                    }
                    self.take_off(&mut state, now);
                }
                // One that has been waited for by others is not waited for as long again.
                patience.saturating_sub(began.elapsed().max(state.took_off.elapsed())).max(IMPATIENCE)
            };
            self.landed(patience).await;
        }
        self.0.state().notice(context.clock.now(), context, caller);
    }

    /// How long a request may wait. Not long where the feed fails, unless nobody is served by an old list, or requests are so rare
    /// that an answer nobody waits for would never be there: the process is frozen as soon as the request is answered.
    fn patience(&self, state: &State, now: Timestamp) -> Duration {
        let needed = self.0.when_stale == WhenStale::Closed && state.revoked.is_stale(now);
        let rare = state.revoked.last_asked(now).is_none_or(|pause| pause >= KEEP_ALIVE);
        if state.revoked.is_following() || needed || rare { PATIENCE } else { IMPATIENCE }
    }

    /// Waits until nothing is in the air; if that takes longer, the answer is there for a later request.
    async fn landed(&self, patience: Duration) {
        let mut flying = self.0.flying.subscribe();
        let _ = tokio::time::timeout(patience, flying.wait_for(|flying| !flying)).await;
    }

    fn take_off(&self, state: &mut State, now: Timestamp) {
        let reuse = state.revoked.last_asked(now).is_some_and(|pause| pause < KEEP_ALIVE);
        state.took_off = Instant::now();
        let first = state.revoked.ask(now);
        let flight = Flight(Arc::clone(&self.0));
        flight.0.flying.send_replace(true);
        tokio::spawn(async move {
            let reading = tokio::time::timeout(READING, flight.0.read(first, reuse, now));
            let result = reading.await.unwrap_or_else(|_| Err("not all pages came in time".to_owned()));
            flight.0.state().landed = Some(Landed { asked: now, result });
        });
    }
}

/// A reading that is under way. It ends however its task ends, a panic included.
struct Flight(Arc<Shared>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.flying.send_replace(false);
    }
}

impl Follow for Follower {
    async fn prepare(&self, context: &Context) {
        let end = Instant::now() + AT_START;
        loop {
            self.take_off(&mut self.0.state(), context.clock.now());
            self.landed(end.saturating_duration_since(Instant::now())).await;
            {
                let mut state = self.0.state();
                let well = state.landed.as_ref().is_some_and(|landed| landed.result.is_ok());
                if well || Instant::now() + REST_AT_START + DEADLINE > end {
                    // It is told once, and by the last try.
                    state.notice(context.clock.now(), context, &Caller::default());
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
            if state.landed.is_none() && !state.revoked.is_due(now) && !*self.0.flying.borrow() {
                return state.revoked.lookup(sid, now);
            }
        }
        self.follow(context, caller).await;
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

    /// Reads one page; returns whether there is more.
    async fn read_page(&self, poll: &Poll, reuse: bool, now: Timestamp) -> Result<bool, String> {
        // A cursor is taken from an answer only when it needs no encoding.
        let query = poll.after.as_ref().map(|after| format!("after={after}"));
        let question = Question { query: query.as_deref(), if_none_match: poll.tag.as_deref(), reuse };
        let answer = self.channel.ask(question).await.map_err(|failed| {
            // It may be the cursor, or the tag, that is not to its liking.
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
    /// Takes notice of a reading that is over, and tells the log when that changes something.
    fn notice(&mut self, now: Timestamp, context: &Context, caller: &Caller) {
        let Some(Landed { asked, result }) = self.landed.take() else { return };
        let change = self.revoked.finish(result.is_ok(), asked, now);
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
