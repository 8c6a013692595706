//! The sessions of a user, as the user sees them: the list, and ending one.
//!
//! The caller is the [`Principal`] that the authorizer names; this flow has no key to check a token with. An access token
//! outlives its session by minutes, so the flow checks that the session of the caller is live.

use crate::config::SessionsConfig;
use crate::flow::error::{Problem, require_account, require_live};
use crate::flow::outcome::Outcome;
use crate::flow::revoke::Revoked;
use crate::ports::context::{Context, Principal};
use crate::ports::event::{Event, Ignored};
use crate::ports::store::{Ending, SessionStore};
use crate::session::{DeadCause, EndReason, Session};
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use std::cmp::Reverse;

/// Seconds to which a list rounds the times that a refresh changes. Otherwise the list would tell a thief the moment of a
/// refresh, and so when a copied refresh token is in its grace period.
const ROUNDED_TO: u64 = 3600;

/// Most sessions in one response.
pub const MAX_SHOWN: usize = 100;

/// A parsed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionsRequest {
    /// `GET /sessions`: the list.
    List,
    /// `DELETE /sessions/{id}`; `None` when the last segment is no session id.
    End(Option<SessionId>),
}

/// The body of a successful `GET /sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The caller's own session, then the others by `last_used_at`, newest first; at most [`MAX_SHOWN`].
    pub sessions: Vec<SessionView>,
    /// The number of all live sessions.
    pub total: usize,
}

/// A live session in a list. Times are in seconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// The id in `DELETE /sessions/{id}`.
    pub session_id: SessionId,
    /// The client that logged in.
    pub client_id: ClientId,
    /// The time of the login.
    pub created_at: u64,
    /// The time of the last use, rounded down to the hour, or `created_at` if that is later. For the caller's own session, this
    /// request is the last use; for others, it is the last refresh.
    pub last_used_at: u64,
    /// The latest time at which it expires without a further refresh: the absolute end, or the idle limit, rounded up to the
    /// hour.
    pub expires_at: u64,
    /// The user agent of the login. The client chose it, so a page that shows it has to escape it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The widest scope of its access tokens.
    pub scope: Scope,
    /// Whether it is the session of the caller.
    pub current: bool,
}

impl SessionView {
    fn new(session: Session, current: bool, now: Timestamp) -> Self {
        let refreshed = session.last_used().seconds();
        let used = if current { now.seconds().max(refreshed) } else { refreshed };
        let (expires, end) = (session.expires_at.seconds(), session.absolute_end.seconds());
        Self {
            session_id: session.session,
            created_at: session.created_at.seconds(),
            last_used_at: (used / ROUNDED_TO * ROUNDED_TO).max(session.created_at.seconds()),
            expires_at: (expires + (used - refreshed)).next_multiple_of(ROUNDED_TO).min(end),
            client_id: session.client,
            device: session.device,
            scope: session.scope,
            current,
        }
    }
}

/// The flow and its dependencies.
pub struct Sessions<S> {
    /// The registered clients, for CORS.
    pub config: SessionsConfig,
    /// The sessions table.
    pub store: S,
    /// Time, randomness and the log.
    pub context: Context,
}

impl<S: SessionStore> Sessions<S> {
    /// The flow over a store.
    pub fn new(config: SessionsConfig, store: S, context: Context) -> Self {
        Self { config, store, context }
    }

    /// The live sessions of the caller's user, from one query.
    ///
    /// An unreadable item is left out, and an event names its fault. It must not keep a user from seeing and ending the other
    /// sessions, and no refresh can read it either.
    pub async fn list(&self, principal: Option<Principal>) -> Outcome<Listed> {
        let mut events = Vec::new();
        let answer = self.live_sessions(principal, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn live_sessions(
        &self,
        principal: Option<Principal>,
        events: &mut Vec<Event>,
    ) -> Result<Listed, Problem> {
        let principal = require_account(principal)?;
        let now = self.context.clock.now();
        let stored = self.store.stored_sessions(principal.user).await;
        let stored = stored.map_err(Problem::store("stored_sessions"))?;
        if let Some(first) = stored.unreadable.first() {
            let detail = format!("{} left out: {first}", stored.unreadable.len());
            events.push(Event::failure("stored_sessions", &detail));
        }
        let own = stored.sessions.iter().find(|session| session.session == principal.session);
        require_live(principal, own, now)?;
        Ok(listed(stored.sessions, principal.session, now))
    }

    /// Ends one session of the caller's user. The caller's own takes one write, another one a read of the caller's own before.
    /// A session that is over already gets the response of one that ends now.
    ///
    /// The problem is [`Problem::NoSuchSession`] for an id that is malformed, unknown or another user's. A failure of the store
    /// is never reported as a success.
    pub async fn end(&self, principal: Option<Principal>, session: Option<SessionId>) -> Outcome<Revoked> {
        let mut events = Vec::new();
        let answer = self.end_one(principal, session, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn end_one(
        &self,
        principal: Option<Principal>,
        session: Option<SessionId>,
        events: &mut Vec<Event>,
    ) -> Result<Revoked, Problem> {
        let principal = require_account(principal)?;
        let session = session.ok_or(Problem::NoSuchSession)?;
        let now = self.context.clock.now();
        let user = principal.user;
        let own = session == principal.session;
        if !own {
            let stored = self.store.stored_session(user, principal.session).await;
            require_live(principal, stored.map_err(Problem::store("stored_session"))?.as_ref(), now)?;
        }
        let reason = if own { EndReason::Revoked } else { EndReason::EndedByUser };
        let attempt = AttemptId::generate(self.context.entropy.as_ref());
        let ending = self.store.end_session(user, session, now, reason, attempt).await;
        let ignored = |cause| Event::RevokeIgnored {
            cause: Ignored::Session(cause),
            all: false,
            user: Some(user),
            session: Some(session),
            reason: None,
        };
        match ending.map_err(Problem::store("end_session"))? {
            Ending::Ended => events.push(Event::SessionEnded { user, session, reason }),
            // Also a logout that is repeated because its response was lost.
            Ending::AlreadyOver => events.push(ignored(DeadCause::Ended)),
            Ending::Absent if own => {
                return Err(Problem::SessionOver { cause: DeadCause::Absent, principal });
            }
            Ending::Absent => {
                events.push(ignored(DeadCause::Absent));
                return Err(Problem::NoSuchSession);
            }
        }
        Ok(Revoked {})
    }
}

/// The live ones of `sessions`, in the order of [`Listed`].
fn listed(mut sessions: Vec<Session>, current: SessionId, now: Timestamp) -> Listed {
    sessions.retain(|session| session.is_live(now));
    let total = sessions.len();
    let view = |session: Session| {
        let current = session.session == current;
        SessionView::new(session, current, now)
    };
    let mut sessions: Vec<SessionView> = sessions.into_iter().map(view).collect();
    // By what is shown: the order must not tell more. The id, so that sessions with equal times keep their order.
    sessions.sort_by_key(|session| (!session.current, Reverse(session.last_used_at), session.session_id));
    sessions.truncate(MAX_SHOWN);
    Listed { sessions, total }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::authentication::{Authentication, Methods};
    use crate::account::claims::Claims;
    use crate::config;
    use crate::ports::store::{StoreError, StoredSessions};
    use crate::session::Ended;
    use crate::testing::{NOW, Seeded};
    use daypass_verifier::base::ids::UserId;
    use daypass_verifier::base::time::Clock;
    use daypass_verifier::ports::context::Caller;
    use daypass_verifier::ports::journal::Journal;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Poll, Waker};
    use std::time::Duration;

    const USER: UserId = UserId::from_bytes([1; 16]);

    fn id(byte: u8) -> SessionId {
        SessionId::from_bytes([byte; 16])
    }

    fn seconds_ago(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(NOW.seconds() - seconds)
    }

    /// A live session of [`USER`] that was opened `age` seconds ago.
    fn session(byte: u8, age: u64) -> Session {
        Session {
            user: USER,
            session: id(byte),
            generation: 0,
            rotated_at: None,
            attempt: None,
            named: false,
            network: None,
            created_at: seconds_ago(age),
            expires_at: NOW + Duration::from_secs(1000),
            absolute_end: NOW + Duration::from_secs(2000),
            client: ClientId::parse("web").unwrap(),
            scope: Scope::parse("a b").unwrap(),
            claims: Claims::default(),
            account: true,
            for_enrolment: false,
            authentication: Authentication::new(seconds_ago(age), Methods::PASSWORD),
            key: None,
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

    /// A store that answers at once and remembers the calls.
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

    /// The log of the HTTP boundary, which no flow writes.
    struct NotOfAFlow;

    impl Journal<Event> for NotOfAFlow {
        fn record(&self, event: &Event, _: &Caller) {
            panic!("the flow recorded {event:?} by itself");
        }
    }

    fn flow(store: Fake) -> Sessions<Fake> {
        let context = Context {
            clock: Box::new(Fixed),
            entropy: Box::new(Seeded::new(1)),
            journal: Box::new(NotOfAFlow),
        };
        let config = config::sessions(|name| name.ends_with("TABLE").then(|| "sessions".to_owned()));
        Sessions::new(config.unwrap(), store, context)
    }

    fn store(sessions: impl IntoIterator<Item = Session>) -> Fake {
        Fake { sessions: sessions.into_iter().collect(), ..Fake::default() }
    }

    /// The output of a future that never waits.
    fn at_once<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut std::task::Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the fake store never waits"),
        }
    }

    fn principal(byte: u8) -> Option<Principal> {
        Some(Principal {
            user: USER,
            session: id(byte),
            account: true,
            key: None,
            authenticated_at: None,
            two_factors: false,
        })
    }

    #[test]
    fn the_callers_first_then_the_last_used() {
        let rotated = Session { rotated_at: Some(seconds_ago(3605)), ..session(2, 9000) };
        let sessions = vec![session(1, 10), rotated, ended(3), session(4, 800), expired(5), session(6, 10)];
        let listed = listed(sessions, id(4), NOW);
        let order: Vec<_> = listed.sessions.iter().map(|view| (view.session_id, view.current)).collect();
        assert_eq!(order, [(id(4), true), (id(1), false), (id(6), false), (id(2), false)]);
        assert_eq!(listed.total, 4);
        assert_eq!(
            serde_json::to_value(&listed.sessions[3]).unwrap(),
            serde_json::json!({
                "session_id": id(2).to_string(), "client_id": "web", "scope": "a b", "current": false,
                "created_at": NOW.seconds() - 9000, "last_used_at": (NOW.seconds() - 3605) / 3600 * 3600,
                "expires_at": (NOW.seconds() + 1000).next_multiple_of(3600).min(NOW.seconds() + 2000),
            })
        );
    }

    /// With and without an idle limit, and also when the refresh is the first one of its hour.
    #[test]
    fn the_list_is_no_oracle_of_rotations() {
        let second = |second| Timestamp::from_seconds(1_800_000_000 + second);
        let day = 86_400;
        for (idle, end) in [(2 * day, 30 * day), (30 * day, 30 * day), (7_200, 8_000)] {
            let shown = |rotated: Option<u64>, now| {
                let session = Session {
                    created_at: second(0),
                    rotated_at: rotated.map(second),
                    expires_at: second(rotated.unwrap_or(0) + idle).min(second(end)),
                    absolute_end: second(end),
                    ..session(1, 0)
                };
                let listed = listed(vec![session], id(1), second(now));
                let [view] = &listed.sessions[..] else { panic!("{listed:?}") };
                view.clone()
            };
            for now in [299, 3_599, 3_600, 3_601, 7_100] {
                assert_eq!(shown(None, now), shown(Some(now), now), "{idle} {end} {now}");
                assert!(shown(None, now).expires_at >= second(idle.min(end)).seconds());
            }
        }
    }

    #[test]
    fn a_hundred_are_shown_and_all_are_counted() {
        let sessions: Vec<_> = (0..=150).map(|byte| session(byte, u64::from(byte))).collect();
        let listed = listed(sessions, id(150), NOW);
        assert_eq!((listed.sessions.len(), listed.total), (MAX_SHOWN, 151));
        assert_eq!(listed.sessions[0].session_id, id(150), "the caller's, though it is the oldest");
        assert_eq!(listed.sessions[99].session_id, id(98));
    }

    /// The flow rejects every request, and asks nothing of the store.
    #[test]
    fn without_an_authorizer_in_front_the_flow_is_closed() {
        fn check<T: std::fmt::Debug + PartialEq>(outcome: Outcome<T>) {
            assert_eq!(outcome.answer, Err(Problem::NoAuthorizer));
            let events = outcome.events;
            assert!(matches!(events.as_slice(), [Event::Failure { during: "authorize", .. }]), "{events:?}");
        }
        let flow = flow(store([session(1, 1)]));
        check(at_once(flow.list(None)));
        check(at_once(flow.end(None, None)));
        check(at_once(flow.end(None, Some(id(1)))));
        assert!(flow.store.asked.lock().unwrap().is_empty());
    }

    #[test]
    fn without_the_right_to_the_account_nothing_is_shown_or_ended() {
        let flow = flow(store([session(1, 1)]));
        let narrow = principal(1).map(|principal| Principal { account: false, ..principal });
        assert_eq!(at_once(flow.list(narrow)).answer, Err(Problem::AccountNotGranted));
        assert_eq!(at_once(flow.end(narrow, Some(id(1)))).answer, Err(Problem::AccountNotGranted));
        assert!(flow.store.asked.lock().unwrap().is_empty());
    }

    #[test]
    fn the_token_of_a_session_that_is_over_shows_and_ends_nothing() {
        for (own, cause) in [
            (Some(ended(1)), DeadCause::Ended),
            (Some(expired(1)), DeadCause::Expired),
            (None, DeadCause::Absent),
        ] {
            let flow = flow(store(own.into_iter().chain([session(2, 1)])));
            let denied = [Event::AuthorizeDenied { cause, user: USER, session: id(1) }];
            let over = || Problem::SessionOver { cause, principal: principal(1).unwrap() };
            let listed = at_once(flow.list(principal(1)));
            assert_eq!((listed.answer, listed.events.as_slice()), (Err(over()), denied.as_slice()));
            let ended = at_once(flow.end(principal(1), Some(id(2))));
            assert_eq!((ended.answer, ended.events.as_slice()), (Err(over()), denied.as_slice()));
            assert_eq!(*flow.store.asked.lock().unwrap(), ["list".to_owned(), format!("read {}", id(1))]);
        }
    }

    /// The calls of the store, the answer and the names of the events.
    fn check_end(
        sessions: Vec<Session>,
        target: Option<SessionId>,
        asked: &[&str],
        expected: Result<(), &Problem>,
        events: &[&str],
    ) {
        let flow = flow(store(sessions));
        let outcome = at_once(flow.end(principal(1), target));
        assert_eq!(outcome.answer.as_ref().map(|_| ()), expected, "{target:?}");
        let seen = serde_json::to_value(&outcome.events).unwrap();
        let seen: Vec<_> = seen.as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
        assert_eq!(seen, events, "{target:?}");
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
        let (ended_now, no_change, denied) = (["session.ended"], ["revoke.ignored"], ["authorize.denied"]);
        let itself = ["end own revoked"];
        check_end(vec![own()], one, &itself, Ok(()), &ended_now);
        // A repeated logout ends nothing, and the log says so.
        check_end(vec![ended(1)], one, &itself, Ok(()), &no_change);
        let over = Problem::SessionOver { cause: DeadCause::Absent, principal: principal(1).unwrap() };
        check_end(vec![], one, &itself, Err(&over), &denied);
        let both = ["read own", "end other ended_by_user"];
        check_end(vec![own(), session(2, 1)], other, &both, Ok(()), &ended_now);
        check_end(vec![own(), ended(2)], other, &both, Ok(()), &no_change);
        check_end(vec![own()], other, &both, Err(&Problem::NoSuchSession), &no_change);
        check_end(vec![own(), foreign], other, &both, Err(&Problem::NoSuchSession), &no_change);
        check_end(vec![own()], None, &[], Err(&Problem::NoSuchSession), &[]);
    }

    #[test]
    fn an_unreadable_item_hides_no_other_and_is_one_event() {
        let odd = StoreError::Broken("an item has no readable attribute `client`".to_owned());
        let fake = Fake { unreadable: vec![odd.clone(), odd], ..store([session(1, 1), session(2, 1)]) };
        let outcome = at_once(flow(fake).list(principal(1)));
        assert_eq!(outcome.answer.unwrap().total, 2);
        let [Event::Failure { detail, .. }] = outcome.events.as_slice() else {
            panic!("{:?}", outcome.events)
        };
        assert_eq!(detail, "2 left out: an item has no readable attribute `client`");
    }

    #[test]
    fn a_failing_store_is_no_verdict_on_the_token() {
        let source = StoreError::Unavailable("down".to_owned());
        let flow = flow(Fake { error: Some(source.clone()), ..store([session(1, 1)]) });
        let failed = |during| Problem::Store { during, source: source.clone() };
        let listed = at_once(flow.list(principal(1)));
        assert_eq!(listed.answer.unwrap_err(), failed("stored_sessions"));
        assert_eq!(listed.events, [Event::failure("stored_sessions", &source)]);
        for (target, during) in [(id(1), "end_session"), (id(2), "stored_session")] {
            let ended = at_once(flow.end(principal(1), Some(target)));
            assert_eq!(ended.answer.unwrap_err(), failed(during));
            assert_eq!(ended.events, [Event::failure(during, &source)]);
        }
    }
}
