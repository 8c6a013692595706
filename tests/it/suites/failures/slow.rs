//! A store that does not answer. [`Timed::promised`] states the longest time of each operation, which must be less than the
//! time after which Lambda ends the function. `suites::timing` measures it.
//!
//! `shared/dynamodb/src/connect.rs` has the calculation. The limits of Lambda come from template.yaml.

use crate::suites::failures::matrix::{Scene, ShortPages};
use crate::suites::failures::rows::Operation;
use daypass_testkit::Answer;
use daypass_testkit::recorder::{Action, Call, Recorder};
use daypass_tests::service::Service;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const FOR_EVER: Duration = Duration::from_secs(60);

/// The timed operations: those of the tables, and those on the list of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timed {
    Operation(Operation),
    /// The list of sessions: `GET /sessions`.
    List,
    /// `DELETE /sessions/{id}` of a session that is not the caller's.
    EndAnother,
}

impl Timed {
    pub(crate) const ALL: [Self; 7] = [
        Self::Operation(Operation::Login),
        Self::Operation(Operation::Refresh),
        Self::Operation(Operation::Replay),
        Self::Operation(Operation::Revoke),
        Self::Operation(Operation::RevokeAll),
        Self::List,
        Self::EndAnother,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Operation(operation) => operation.name(),
            Self::List => "list of sessions",
            Self::EndAnother => "end of another session",
        }
    }

    /// Time after which Lambda ends the function.
    pub(crate) fn limit(self) -> Duration {
        match self {
            Self::Operation(operation) => operation.limit(),
            Self::List | Self::EndAnother => Duration::from_secs(5),
        }
    }

    /// Name of the function in template.yaml.
    fn function(self) -> &'static str {
        match self {
            Self::Operation(Operation::Login) => "LoginFunction",
            Self::Operation(Operation::Refresh | Operation::Replay) => "RefreshFunction",
            Self::Operation(Operation::Revoke | Operation::RevokeAll) => "RevokeFunction",
            Self::List | Self::EndAnother => "SessionsFunction",
        }
    }

    /// The times in connect.rs: if no request is answered, and if each request is answered at the last moment and the last
    /// one never.
    pub(crate) fn promised(self) -> (Duration, Duration) {
        let ms = Duration::from_millis;
        match self {
            Self::Operation(Operation::Login) => (ms(2_000), ms(4_000)),
            Self::Operation(Operation::Refresh) => (ms(2_000), ms(2_000)),
            Self::Operation(Operation::Replay) => (ms(2_000), ms(4_000)),
            Self::Operation(Operation::Revoke) => (ms(2_000), ms(2_000)),
            Self::Operation(Operation::RevokeAll) => (ms(2_000), ms(4_200)),
            Self::List | Self::EndAnother => (ms(2_000), ms(4_000)),
        }
    }

    /// Whether this is the last request. `session` is the session of the token.
    fn is_last(self, call: &Call<'_>, session: &str) -> bool {
        let ends =
            call.request["UpdateExpression"].as_str().is_some_and(|text| text.contains("#revoked_why"));
        match self {
            Self::Operation(Operation::Login) => call.operation == "TransactWriteItems",
            Self::Operation(Operation::Refresh) => true,
            Self::Operation(Operation::Replay | Operation::Revoke) | Self::EndAnother => ends,
            Self::Operation(Operation::RevokeAll) => ends && call.request["Key"]["session"]["S"] != session,
            // There is no last page: the time is up before all pages are read.
            Self::List => false,
        }
    }
}

/// A caller who is ready to send the operation.
enum Asking {
    Scene(Box<Scene>),
    /// With an access token, for a route below `/sessions`.
    Own {
        access: String,
        session: String,
        method: &'static str,
        path: String,
    },
}

impl Asking {
    async fn set(service: &Service, timed: Timed, name: &str) -> Self {
        if let Timed::Operation(operation) = timed {
            return Self::Scene(Box::new(Scene::set(service, operation, name).await));
        }
        service.quick_user(name).await;
        let mut logins = Vec::new();
        // Enough sessions for three pages.
        for _ in 0..8 {
            logins.push(service.login(name).await);
        }
        let (method, path) = match timed {
            Timed::EndAnother => ("DELETE", format!("/sessions/{}", logins[1].text("session_id"))),
            _ => ("GET", "/sessions".to_owned()),
        };
        let (access, session) = (logins[0].access_token(), logins[0].text("session_id"));
        Self::Own { access, session, method, path }
    }

    /// Session of the caller's token.
    fn session(&self) -> String {
        match self {
            Self::Scene(scene) => scene.session.clone(),
            Self::Own { session, .. } => session.clone(),
        }
    }

    async fn ask(&self, service: &Service) -> Answer {
        match self {
            Self::Scene(scene) => scene.ask(service).await,
            Self::Own { access, method, path, .. } => service.guarded(method, path, access).await,
        }
    }
}

/// No request is answered. With `in_turn`, each request is answered at the last moment, and the last one never.
pub(crate) fn hang(recorder: &Recorder, timed: Timed, in_turn: bool, session: String) {
    let tries: Mutex<BTreeMap<String, usize>> = Mutex::default();
    recorder.set_hook(move |call| {
        let (update, page) = (&call.request["UpdateExpression"], &call.request["ExclusiveStartKey"]);
        let mut tries = tries.lock().unwrap();
        let tries = tries.entry(format!("{} {update} {page}", call.operation)).or_default();
        *tries += 1;
        match (in_turn && !timed.is_last(call, &session), *tries) {
            // The second attempt starts at most 50 ms after the second of the first one, and has the rest of two seconds. A
            // busy machine needs some of that.
            (true, 2..) => Action::Hang(Duration::from_millis(650)),
            _ => Action::Hang(FOR_EVER),
        }
    });
}

/// `Timeout` of a function in template.yaml: its own, or that of all functions.
fn limit_in_the_template(function: &str) -> Duration {
    let text = include_str!("../../../../template.yaml");
    let timeout = |from: &str| {
        let section = text.split_once(from).unwrap().1;
        // Up to the next resource.
        let end = section
            .match_indices("\n  ")
            .find(|(at, _)| section[at + 3..].starts_with(|c: char| c.is_ascii_uppercase()));
        let section = &section[..end.map_or(section.len(), |(at, _)| at)];
        let line = section.lines().find_map(|line| line.trim().strip_prefix("Timeout: "))?;
        Some(Duration::from_secs(line.parse().unwrap()))
    };
    timeout(&format!("\n  {function}:\n")).or_else(|| timeout("\nGlobals:\n")).unwrap()
}

#[test]
fn the_limits_are_those_of_the_template() {
    for timed in Timed::ALL {
        assert_eq!(limit_in_the_template(timed.function()), timed.limit(), "{timed:?}");
    }
}

/// The response is 503 with `Retry-After`, and the same request works afterwards. In one case no request is answered. In
/// the other, each is answered at the last moment, and the last one never.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_is_503_and_the_same_request_works_afterwards() {
    let _turn = crate::suites::failures::ONE_AT_A_TIME.lock().await;
    let (db, base) = crate::suites::failures::service().await;
    let url = db.url();
    let cases = Timed::ALL.into_iter().flat_map(|timed| [(timed, false), (timed, true)]);
    let played = cases.enumerate().map(|(number, (timed, in_turn))| {
        let (base, url) = (&base, &url);
        async move {
            let service = base.redeployed(url, &[]).await;
            play(&service, timed, in_turn, &format!("user{number}")).await;
        }
    });
    join_all(played).await;
}

/// Sends one operation while the store does not answer, and again when it does. Returns the time of the 503.
pub(crate) async fn play(service: &Service, timed: Timed, in_turn: bool, name: &str) -> Duration {
    let asking = Asking::set(service, timed, name).await;
    service.bench.recorder.set_tamper(ShortPages);
    hang(&service.bench.recorder, timed, in_turn, asking.session());
    let before = Instant::now();
    let answer = asking.ask(service).await;
    let took = before.elapsed();
    let case = format!("{timed:?}, in turn: {in_turn}");
    check_busy(&answer, &case);
    service.bench.recorder.always(Action::Pass);
    let status = if timed == Timed::Operation(Operation::Replay) { 400 } else { 200 };
    assert_eq!(asking.ask(service).await.status, status, "{case}");
    took
}

pub(crate) fn check_busy(answer: &Answer, case: &str) {
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{case}");
    assert_eq!(answer.header("retry-after"), Some("2"), "{case}");
}
