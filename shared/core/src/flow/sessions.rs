//! Sessions as their user sees them: which there are, and ending one.
//!
//! The caller is whom the authorizer in front let through ([`Principal`]); this flow has no key to check a token with.
//! But an access token outlives its session by minutes, so the session it names must still be live: a token of a session
//! that ended shows nothing and commands nothing.

use crate::config::SessionsConfig;
use crate::flow::error::ApiError;
use crate::flow::report::Report;
use crate::flow::revoke::Revoked;
use crate::ports::context::{Context, Principal};
use crate::ports::event::{Event, Ignored};
use crate::ports::store::{Ending, SessionStore};
use crate::session::{DeadCause, EndReason, Session};
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::ports::context::Caller;
use serde::Serialize;
use std::cmp::Reverse;

/// Most sessions that one answer shows.
pub const MAX_SHOWN: usize = 100;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionsRequest {
    /// `GET /sessions`
    List,
    /// `DELETE /sessions/{id}`; `None` when that is no id of a session.
    End(Option<SessionId>),
}

/// The body of a successful `GET /sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The caller's own session, then the others, the one that was used last first; at most [`MAX_SHOWN`].
    pub sessions: Vec<SessionView>,
    /// How many there are.
    pub total: usize,
}

/// A live session as its user sees it. Times are in seconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// Its id, to end it by.
    pub session_id: SessionId,
    /// The client that logged in.
    pub client_id: ClientId,
    /// The login.
    pub created_at: u64,
    /// The last refresh, or the login.
    pub last_used_at: u64,
    /// When it ends unless it is refreshed, and at the latest.
    pub expires_at: u64,
    /// What the device called itself at login. Written by whoever logged in: a page that shows it has to escape it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What its access tokens may say at most.
    pub scope: Scope,
    /// Whether it is the one that asks.
    pub current: bool,
}

impl SessionView {
    fn new(session: Session, current: bool) -> Self {
        Self {
            session_id: session.session,
            created_at: session.created_at.seconds(),
            last_used_at: session.last_used().seconds(),
            expires_at: session.expires_at.seconds(),
            client_id: session.client,
            device: session.device,
            scope: session.scope,
            current,
        }
    }
}

/// The flow with all it needs.
pub struct Sessions<S> {
    /// Whose pages may call.
    pub config: SessionsConfig,
    /// The sessions table.
    pub store: S,
    /// Time, randomness, log.
    pub context: Context,
}

impl<S: SessionStore> Sessions<S> {
    /// The flow over a store.
    pub fn new(config: SessionsConfig, store: S, context: Context) -> Self {
        Self { config, store, context }
    }

    /// The live sessions of the caller's user. One query.
    ///
    /// An item that cannot be read is left out, and the log names what is wrong with it: it must not keep a user from
    /// seeing, and ending, the others. Nobody uses it anyway, as no refresh can read it either.
    ///
    /// # Errors
    /// `invalid_token` without an authorizer in front or when the caller's own session is over, 503 when the store did
    /// not answer.
    pub async fn list(&self, principal: Option<Principal>, caller: &Caller) -> Result<Listed, ApiError> {
        let principal = self.context.guarded(principal, caller)?;
        let now = self.context.clock.now();
        let stored = self.store.stored_sessions(principal.user).await;
        let stored = stored.map_err(|error| self.context.store_failed("stored_sessions", &error, caller))?;
        if let Some(first) = stored.unreadable.first() {
            let detail = format!("{} left out: {first}", stored.unreadable.len());
            self.context.journal.record(&Event::Failure { during: "stored_sessions", detail }, caller);
        }
        let own = stored.sessions.iter().find(|session| session.session == principal.session);
        self.still_live(principal, own, now, caller)?;
        Ok(listed(stored.sessions, principal.session, now))
    }

    /// Ends one session of the caller's user: its own with one write, another with a read of its own before. One that is
    /// over already is answered like one that ends now.
    ///
    /// # Errors
    /// `invalid_token` as for [`Sessions::list`], [`ApiError::NotFound`] for what is no session of this user (one answer
    /// for an id that is malformed, unknown or another user's), 503 when the store did not answer: never a false success.
    pub async fn end(
        &self,
        principal: Option<Principal>,
        session: Option<SessionId>,
        caller: &Caller,
    ) -> Result<Revoked, ApiError> {
        let principal = self.context.guarded(principal, caller)?;
        let session = session.ok_or(ApiError::NotFound)?;
        let now = self.context.clock.now();
        let user = principal.user;
        let own = session == principal.session;
        if !own {
            let stored = self.store.stored_session(user, principal.session).await;
            let stored =
                stored.map_err(|error| self.context.store_failed("stored_session", &error, caller))?;
            self.still_live(principal, stored.as_ref(), now, caller)?;
        }
        let reason = if own { EndReason::Revoked } else { EndReason::EndedByUser };
        let attempt = AttemptId::generate(self.context.entropy.as_ref());
        let ending = self.store.end_session(user, session, now, reason, attempt).await;
        match ending.map_err(|error| self.context.store_failed("end_session", &error, caller))? {
            Ending::Ended => {
                self.context.journal.record(&Event::SessionEnded { user, session, reason }, caller);
                Ok(Revoked {})
            }
            // Also a logout that is sent again because its answer was lost.
            Ending::AlreadyOver => {
                self.ignored(user, session, DeadCause::Ended, caller);
                Ok(Revoked {})
            }
            Ending::Absent if own => Err(self.denied(principal, DeadCause::Absent, caller)),
            Ending::Absent => {
                self.ignored(user, session, DeadCause::Absent, caller);
                Err(ApiError::NotFound)
            }
        }
    }

    fn still_live(
        &self,
        principal: Principal,
        own: Option<&Session>,
        now: Timestamp,
        caller: &Caller,
    ) -> Result<(), ApiError> {
        let cause = match own {
            None => DeadCause::Absent,
            Some(own) if own.is_live(now) => return Ok(()),
            Some(own) if own.ended.is_some() => DeadCause::Ended,
            Some(_) => DeadCause::Expired,
        };
        Err(self.denied(principal, cause, caller))
    }

    fn ignored(&self, user: UserId, session: SessionId, cause: DeadCause, caller: &Caller) {
        let (user, session) = (Some(user), Some(session));
        let cause = Ignored::Session(cause);
        let event = Event::RevokeIgnored { cause, all: false, user, session, reason: None };
        self.context.journal.record(&event, caller);
    }

    fn denied(&self, principal: Principal, cause: DeadCause, caller: &Caller) -> ApiError {
        let (user, session) = (principal.user, principal.session);
        let event = Event::AuthorizeDenied { cause, user, session };
        self.context.journal.record(&event, caller);
        ApiError::InvalidToken
    }
}

/// The live ones of `sessions`, in the order of [`Listed`].
fn listed(mut sessions: Vec<Session>, current: SessionId, now: Timestamp) -> Listed {
    sessions.retain(|session| session.is_live(now));
    let total = sessions.len();
    // The id, so that equal times do not change places from one answer to the next.
    sessions
        .sort_by_key(|session| (session.session != current, Reverse(session.last_used()), session.session));
    sessions.truncate(MAX_SHOWN);
    let view = |session: Session| {
        let current = session.session == current;
        SessionView::new(session, current)
    };
    Listed { sessions: sessions.into_iter().map(view).collect(), total }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::ports::store::{StoreError, StoredSessions};
    use crate::session::Ended;
    use crate::testing::{NOW, Seeded};
    use daypass_verifier::base::time::Clock;
    use daypass_verifier::ports::journal::Journal;
    use std::pin::pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Poll, Waker};
    use std::time::Duration;

    const USER: UserId = UserId::from_bytes([1; 16]);

    fn id(byte: u8) -> SessionId {
        SessionId::from_bytes([byte; 16])
    }

    fn seconds_ago(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(NOW.seconds() - seconds)
    }

    /// A live session of [`USER`] that was opened so many seconds ago.
    fn session(byte: u8, age: u64) -> Session {
        Session {
            user: USER,
            session: id(byte),
            generation: 0,
            rotated_at: None,
            attempt: None,
            created_at: seconds_ago(age),
            expires_at: NOW + Duration::from_secs(1000),
            absolute_end: NOW + Duration::from_secs(2000),
            client: ClientId::parse("web").unwrap(),
            scope: Scope::parse("a b").unwrap(),
            ended: None,
            device: None,
        }
    }

    fn ended(byte: u8) -> Session {
        Session { ended: Some(Ended { at: NOW, reason: EndReason::Revoked }), ..session(byte, 1) }
    }

    fn expired(byte: u8) -> Session {
        Session { expires_at: NOW, ..session(byte, 1) }
    }

    /// A store that answers at once and remembers what it was asked.
    #[derive(Default)]
    struct Fake {
        sessions: Vec<Session>,
        unreadable: Vec<StoreError>,
        error: Option<StoreError>,
        asked: Mutex<Vec<String>>,
    }

    impl Fake {
        fn asked(&self, what: String) -> Result<(), StoreError> {
            self.asked.lock().unwrap().push(what);
            self.error.clone().map_or(Ok(()), Err)
        }

        fn find(&self, user: UserId, session: SessionId) -> Option<&Session> {
            self.sessions.iter().find(|known| known.user == user && known.session == session)
        }
    }

    impl SessionStore for Fake {
        async fn stored_sessions(&self, user: UserId) -> Result<StoredSessions, StoreError> {
            self.asked("list".to_owned())?;
            let sessions = self.sessions.iter().filter(|session| session.user == user).cloned().collect();
            Ok(StoredSessions { sessions, unreadable: self.unreadable.clone() })
        }

        async fn stored_session(
            &self,
            user: UserId,
            session: SessionId,
        ) -> Result<Option<Session>, StoreError> {
            self.asked(format!("read {session}"))?;
            Ok(self.find(user, session).cloned())
        }

        async fn end_session(
            &self,
            user: UserId,
            session: SessionId,
            now: Timestamp,
            reason: EndReason,
            _: AttemptId,
        ) -> Result<Ending, StoreError> {
            assert_eq!(now, NOW);
            self.asked(format!("end {session} {}", reason.as_str()))?;
            Ok(match self.find(user, session) {
                None => Ending::Absent,
                Some(session) if session.ended.is_some() => Ending::AlreadyOver,
                Some(_) => Ending::Ended,
            })
        }
    }

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            NOW
        }
    }

    #[derive(Clone, Default)]
    struct Noted(Arc<Mutex<Vec<Event>>>);

    impl Journal<Event> for Noted {
        fn record(&self, event: &Event, _: &Caller) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    fn flow(store: Fake) -> (Sessions<Fake>, Noted) {
        let journal = Noted::default();
        let context = Context {
            clock: Box::new(Fixed),
            entropy: Box::new(Seeded::new(1)),
            journal: Box::new(journal.clone()),
        };
        let config = config::sessions(|name| name.ends_with("TABLE").then(|| "sessions".to_owned()));
        (Sessions::new(config.unwrap(), store, context), journal)
    }

    fn store(sessions: impl IntoIterator<Item = Session>) -> Fake {
        Fake { sessions: sessions.into_iter().collect(), ..Fake::default() }
    }

    /// What a future comes to that waits for nothing.
    fn at_once<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut std::task::Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the fake store never waits"),
        }
    }

    fn principal(byte: u8) -> Option<Principal> {
        Some(Principal { user: USER, session: id(byte) })
    }

    #[test]
    fn the_callers_first_then_the_last_used() {
        let rotated = Session { rotated_at: Some(seconds_ago(5)), ..session(2, 900) };
        let sessions = vec![session(1, 10), rotated, ended(3), session(4, 800), expired(5), session(6, 10)];
        let listed = listed(sessions, id(4), NOW);
        let order: Vec<_> = listed.sessions.iter().map(|view| (view.session_id, view.current)).collect();
        assert_eq!(order, [(id(4), true), (id(2), false), (id(1), false), (id(6), false)]);
        assert_eq!(listed.total, 4);
        assert_eq!(
            serde_json::to_value(&listed.sessions[1]).unwrap(),
            serde_json::json!({
                "session_id": id(2).to_string(), "client_id": "web", "scope": "a b", "current": false,
                "created_at": NOW.seconds() - 900, "last_used_at": NOW.seconds() - 5,
                "expires_at": NOW.seconds() + 1000,
            })
        );
    }

    #[test]
    fn a_hundred_are_shown_and_all_are_counted() {
        let sessions: Vec<_> = (0..=150).map(|byte| session(byte, u64::from(byte))).collect();
        let listed = listed(sessions, id(150), NOW);
        assert_eq!((listed.sessions.len(), listed.total), (MAX_SHOWN, 151));
        assert_eq!(listed.sessions[0].session_id, id(150), "the caller's, though it is the oldest");
        assert_eq!(listed.sessions[99].session_id, id(98));
    }

    /// Whatever is asked for: nobody is let in and nothing is looked up.
    #[test]
    fn without_an_authorizer_in_front_the_flow_is_closed() {
        let (flow, journal) = flow(store([session(1, 1)]));
        let caller = Caller::default();
        assert_eq!(at_once(flow.list(None, &caller)), Err(ApiError::InvalidToken));
        for session in [None, Some(id(1))] {
            assert_eq!(at_once(flow.end(None, session, &caller)).err(), Some(ApiError::InvalidToken));
        }
        assert!(flow.store.asked.lock().unwrap().is_empty());
        let events = journal.0.lock().unwrap();
        assert_eq!(events.len(), 3);
        assert!(events.iter().all(|event| matches!(event, Event::Failure { during: "authorize", .. })));
    }

    #[test]
    fn the_token_of_a_session_that_is_over_shows_and_commands_nothing() {
        for (own, cause) in [
            (Some(ended(1)), DeadCause::Ended),
            (Some(expired(1)), DeadCause::Expired),
            (None, DeadCause::Absent),
        ] {
            let (flow, journal) = flow(store(own.into_iter().chain([session(2, 1)])));
            let caller = Caller::default();
            assert_eq!(at_once(flow.list(principal(1), &caller)), Err(ApiError::InvalidToken));
            let ended = at_once(flow.end(principal(1), Some(id(2)), &caller));
            assert_eq!(ended.err(), Some(ApiError::InvalidToken));
            assert_eq!(*flow.store.asked.lock().unwrap(), ["list".to_owned(), format!("read {}", id(1))]);
            let denied = Event::AuthorizeDenied { cause, user: USER, session: id(1) };
            assert_eq!(*journal.0.lock().unwrap(), [denied.clone(), denied]);
        }
    }

    /// What is asked of the store, what is answered, and what the log says.
    fn check_end(
        sessions: Vec<Session>,
        target: Option<SessionId>,
        asked: &[&str],
        expected: Result<(), ApiError>,
        noted: &[&str],
    ) {
        let (flow, journal) = flow(store(sessions));
        let result = at_once(flow.end(principal(1), target, &Caller::default()));
        assert_eq!(result.map(|_| ()), expected, "{target:?}");
        let events = serde_json::to_value(&*journal.0.lock().unwrap()).unwrap();
        let events: Vec<_> = events.as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
        assert_eq!(events, noted, "{target:?}");
        let names = [id(1), id(2)].map(|id| id.to_string());
        let seen: Vec<String> = flow.store.asked.lock().unwrap().clone();
        let seen: Vec<String> =
            seen.iter().map(|text| text.replace(&names[0], "own").replace(&names[1], "other")).collect();
        assert_eq!(seen, asked, "{target:?}");
    }

    #[test]
    fn ending() {
        let own = || session(1, 1);
        let (one, other) = (Some(id(1)), Some(id(2)));
        let foreign = Session { user: UserId::from_bytes([9; 16]), ..session(2, 1) };
        let done = Ok(());
        let (ended_now, no_change, denied) = (["session.ended"], ["revoke.ignored"], ["authorize.denied"]);
        let itself = ["end own revoked"];
        check_end(vec![own()], one, &itself, done, &ended_now);
        // A logout that is sent again ends nothing, and the log says so.
        check_end(vec![ended(1)], one, &itself, done, &no_change);
        check_end(vec![], one, &itself, Err(ApiError::InvalidToken), &denied);
        let both = ["read own", "end other ended_by_user"];
        check_end(vec![own(), session(2, 1)], other, &both, done, &ended_now);
        check_end(vec![own(), ended(2)], other, &both, done, &no_change);
        check_end(vec![own()], other, &both, Err(ApiError::NotFound), &no_change);
        check_end(vec![own(), foreign], other, &both, Err(ApiError::NotFound), &no_change);
        check_end(vec![own()], None, &[], Err(ApiError::NotFound), &[]);
    }

    #[test]
    fn an_unreadable_item_hides_no_other_and_is_told_once() {
        let odd = StoreError::Broken("an item has no readable attribute `client`".to_owned());
        let fake = Fake { unreadable: vec![odd.clone(), odd], ..store([session(1, 1), session(2, 1)]) };
        let (flow, journal) = flow(fake);
        assert_eq!(at_once(flow.list(principal(1), &Caller::default())).unwrap().total, 2);
        let events = journal.0.lock().unwrap();
        let [Event::Failure { detail, .. }] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(detail, "2 left out: an item has no readable attribute `client`");
    }

    #[test]
    fn a_failing_store_is_no_verdict_on_the_token() {
        for (error, expected) in [
            (StoreError::Unavailable("down".to_owned()), ApiError::TemporarilyUnavailable),
            (StoreError::Broken("no table".to_owned()), ApiError::ServerError),
        ] {
            let (flow, journal) = flow(Fake { error: Some(error), ..store([session(1, 1)]) });
            let caller = Caller::default();
            assert_eq!(at_once(flow.list(principal(1), &caller)).err(), Some(expected));
            for target in [id(1), id(2)] {
                assert_eq!(at_once(flow.end(principal(1), Some(target), &caller)).err(), Some(expected));
            }
            assert_eq!(journal.0.lock().unwrap().len(), 3);
        }
    }
}
