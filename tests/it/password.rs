//! A user changes the password: permission, ended sessions, the new session, and failures.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use crate::throttle::write_units;
use daypass_core::ports::context::Principal;
use daypass_core::ports::event::{Event, PasswordRefusal};
use daypass_core::ports::store::UserStatus;
use daypass_core::session::EndReason;
use daypass_core::throttle::Exhausted;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::service::{PASSWORD, Service, from, post, request};
use daypass_verifier::base::ids::{SessionId, UserId};
use daypass_verifier::base::time::Clock;
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const HOME: &str = "192.0.2.1";
const AWAY: &str = "198.51.100.7";
const NEW: &str = "another horse and its battery";
const WRONG: &str = "not the right password";

async fn service() -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::quick(&embedded.url(), &[]).await;
    (embedded, service)
}

fn outcome(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

/// The new password is set, every session ends, and the caller has a new one.
///
/// invariant: After a change of the password, all earlier sessions have ended, and the response opens a new one.
#[tokio::test(flavor = "multi_thread")]
async fn the_main_job() {
    let (_db, service) = service().await;
    let user = service.quick_user("alice").await;
    let (asks, other, third) = (
        service.login_from(HOME, "alice", PASSWORD).await,
        service.login_from(HOME, "alice", PASSWORD).await,
        service.login_from(AWAY, "alice", PASSWORD).await,
    );
    let changed = service.change_password(HOME, &asks.access_token(), PASSWORD, NEW).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.header("cache-control"), Some("no-store"));
    assert_ne!(changed.text("session_id"), asks.text("session_id"));
    assert_eq!(changed.json()["device_token"], serde_json::Value::Null);

    for ended in [&asks, &other, &third] {
        assert_eq!(service.refresh(&ended.refresh_token()).await.outcome(), outcome(400, "invalid_grant"));
    }
    let mut token = changed.refresh_token();
    for _ in 0..3 {
        token = service.refresh(&token).await.refresh_token();
    }
    assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 401);
    assert_eq!(service.login_from(HOME, "alice", NEW).await.status, 200);
    let stored = service.bench.store.user(&user.username).await.unwrap().unwrap();
    assert_eq!(stored.password_version, 2);
    let sessions = service.bench.store.sessions(user.id).await.unwrap();
    let reasons: Vec<EndReason> = sessions.iter().filter_map(|session| Some(session.ended?.reason)).collect();
    assert_eq!(reasons, [EndReason::PasswordChanged; 3]);
}

/// Hashing takes long, and the revocation feed reads only the endings of the last seconds again.
///
/// invariant: Endings after a change of the password carry the time at which they are written.
#[tokio::test(flavor = "multi_thread")]
async fn endings_carry_their_own_time() {
    let (_db, service) = service().await;
    let user = service.quick_user("alice").await;
    let asks = service.login_from(HOME, "alice", PASSWORD).await;
    service.login_from(HOME, "alice", PASSWORD).await;
    let (clock, late) = (service.clock.clone(), AtomicUsize::new(0));
    service.bench.recorder.set_hook(move |call| {
        let writes_the_user = call.operation != "Query" && call.request.to_string().contains("password_hash");
        if writes_the_user && late.fetch_add(1, Ordering::SeqCst) == 0 {
            clock.advance(Duration::from_secs(12));
        }
        Action::Pass
    });
    let before = service.clock.now();
    assert_eq!(service.change_password(HOME, &asks.access_token(), PASSWORD, NEW).await.status, 200);
    let sessions = service.bench.store.sessions(user.id).await.unwrap();
    let ended: Vec<u64> =
        sessions.iter().filter_map(|session| Some(session.ended?.at.since(before).as_secs())).collect();
    assert_eq!(ended, [12, 12]);
}

/// The address of a thief who knew the old password is no longer known.
///
/// invariant: A change of the password forgets the known addresses of the user.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_forgets_known_addresses() {
    let (_db, service) = service().await;
    service.quick_user("alice").await;
    let thief = service.login_from(AWAY, "alice", PASSWORD).await;
    let asks = service.login_from(HOME, "alice", PASSWORD).await;
    assert_eq!(service.change_password(HOME, &asks.access_token(), PASSWORD, NEW).await.status, 200);
    for n in 0..20 {
        service.login_from(&format!("203.0.113.{}", n / 5), "alice", WRONG).await;
    }
    assert_eq!(service.login_from(AWAY, "alice", PASSWORD).await.status, 429);
    assert_eq!(service.refresh(&thief.refresh_token()).await.status, 400);
    // The user has a device token.
    let device = asks.text("device_token");
    assert_eq!(service.login_on(&device, "203.0.113.99", "alice", NEW).await.status, 200);
}

/// The number of requests.
#[tokio::test(flavor = "multi_thread")]
async fn requests_on_the_wire() {
    let (_db, service) = service().await;
    service.quick_user("alice").await;
    let asks = service.login_from(HOME, "alice", PASSWORD).await;
    service.login_from(HOME, "alice", PASSWORD).await;
    let _ = service.bench.recorder.take();
    service.bench.recorder.ask_capacity(true);
    let changed = service.change_password(HOME, &asks.access_token(), PASSWORD, NEW).await;
    assert_eq!(changed.status, 200);
    service.bench.recorder.ask_capacity(false);
    let exchanges = service.bench.recorder.take();
    let mut seen: Vec<&str> = exchanges.iter().map(|exchange| exchange.operation.as_str()).collect();
    seen.sort_unstable();
    // Read the session and the user, count the attempt, change the password, find and end one other session, find again,
    // settle, replace the session.
    let expected = [
        "DeleteItem",
        "GetItem",
        "GetItem",
        "Query",
        "Query",
        "TransactWriteItems",
        "UpdateItem",
        "UpdateItem",
        "UpdateItem",
    ];
    assert_eq!(seen, expected);
    // A transaction of three items costs six units, and the ended sessions one each in the index.
    assert_eq!(write_units(&exchanges), 12.0);
    // A rejected new password costs one read and no attempt.
    let short = service.change_password(HOME, &changed.access_token(), NEW, "short").await;
    assert_eq!(short.outcome(), outcome(400, "password_refused"));
    assert_eq!(service.bench.recorder.take().len(), 1);
}

/// A thief of an access token looks for the name of the user, which is in no token. Each guess needs the current password.
///
/// invariant: A caller without the current password does not learn from `POST /password` whether a text is the user name.
#[tokio::test(flavor = "multi_thread")]
async fn the_name_is_no_answer() {
    let (_db, service) = service().await;
    let name = "alice-of-the-long-name";
    service.quick_user(name).await;
    let access = service.login_from(HOME, name, PASSWORD).await.access_token();
    let guesses =
        [name, "bob-of-the-long-name", "ALICE-of-the-long-name", "carol-of-the-long-name", name, name];
    let answers = stream::iter(guesses).then(|guess| service.change_password(HOME, &access, WRONG, guess));
    let outcomes: Vec<_> = answers.map(|answer| answer.outcome()).collect().await;
    assert_eq!(outcomes[..5], [(); 5].map(|()| outcome(400, "wrong_password")), "each counts");
    assert_eq!(outcomes[5], outcome(429, "slow_down"));
    // Names that break another rule too are rejected for that rule alone.
    service.quick_user("alice").await;
    let access = service.login_from(HOME, "alice", PASSWORD).await.access_token();
    let texts = ["alice", "carol"].map(|guess| service.change_password(HOME, &access, WRONG, guess));
    let [own, other] = futures_util::future::join_all(texts).await.try_into().unwrap();
    assert_eq!((own.status, own.json()), (400, other.json()));
    // The user, who has the password, is told.
    let access = service.login_from(AWAY, name, PASSWORD).await.access_token();
    let told = service.change_password(AWAY, &access, PASSWORD, name).await;
    assert_eq!(told.outcome(), outcome(400, "password_refused"));
    assert_eq!(told.text("error_description"), "The new password is the user name.");
}

/// Errors of a request are checked in an order that reveals nothing about the current password.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused() {
    let (_db, service) = service().await;
    service.quick_user("alice-of-the-long-name").await;
    let access = service.login_from(HOME, "alice-of-the-long-name", PASSWORD).await.access_token();
    let long = "x".repeat(1_025);
    for (current, new, error) in [
        (WRONG, NEW, "wrong_password"),
        (PASSWORD, "too short", "password_refused"),
        (WRONG, "too short", "password_refused"),
        (PASSWORD, "Alice-of-the-long-NAME", "password_refused"),
        (PASSWORD, PASSWORD, "password_refused"),
        (PASSWORD, &long, "invalid_request"),
        (&long, NEW, "invalid_request"),
        ("", NEW, "invalid_request"),
        (PASSWORD, "", "invalid_request"),
    ] {
        let answer = service.change_password(HOME, &access, current, new).await;
        assert_eq!(answer.outcome(), outcome(400, error), "{current} {new}");
    }
    let body = json!({ "current_password": PASSWORD, "new_password": NEW }).to_string();
    let mut requests = Vec::new();
    for (content_type, body, status) in [
        ("application/x-www-form-urlencoded", "current_password=a&new_password=b", 415),
        ("application/json", "[]", 400),
        ("application/json", "", 400),
        ("application/json", r#"{"current_password":1,"new_password":"b"}"#, 400),
        ("application/json", r#"{"current_password":"a","current_password":"b"}"#, 400),
    ] {
        requests.push((post("/password", content_type, body), status));
    }
    let mut query = post("/password", "application/json", body.clone());
    *query.uri_mut() = "/password?new_password=x".parse().unwrap();
    requests.push((query, 400));
    requests.push((request("GET", "/password"), 405));
    for (request, status) in requests {
        let answer = service.send_as(&access, from(HOME, request)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(service.login_from(HOME, "alice-of-the-long-name", PASSWORD).await.status, 200, "as before");
}

/// The caller is the one that the authorizer names.
///
/// invariant: The caller's user and session come from the authorizer's context alone. Without an authorizer,
/// account endpoints answer 401.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_authorizer_and_with_forged_words_nobody_gets_in() {
    let (_db, service) = service().await;
    let alice = service.quick_user("alice").await;
    let bob = service.quick_user("bob").await;
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    let principal = service.principal(&login.access_token());
    let forged = |body: serde_json::Value| {
        let mut request = from(HOME, post("/password", "application/json", body.to_string()));
        for (name, value) in [
            ("authorization", format!("Bearer {}", login.access_token())),
            ("x-daypass-sub", principal.user.to_string()),
            ("x-daypass-sid", principal.session.to_string()),
            ("x-amzn-request-context", json!({ "authorizer": { "sub": principal.user } }).to_string()),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let words = json!({
        "current_password": PASSWORD, "new_password": NEW, "username": "bob", "user": bob.id.to_string(),
        "sub": bob.id.to_string(), "sid": principal.session.to_string(),
    });
    let answer = service.send(forged(words.clone())).await;
    assert_eq!(answer.outcome(), outcome(401, "invalid_token"));
    assert!(
        service
            .journal
            .take()
            .iter()
            .any(|event| matches!(event, Event::Failure { during: "authorize", .. }))
    );
    // The change applies to the user of the token, whatever the body contains.
    assert_eq!(service.send_as(&login.access_token(), forged(words)).await.status, 200);
    let version = async |user: &daypass_core::ports::store::User| {
        service.bench.store.user(&user.username).await.unwrap().unwrap().password_version
    };
    assert_eq!((version(&alice).await, version(&bob).await), (2, 1));
    // A session of another user, and malformed ids.
    for (user, session) in [
        (bob.id, principal.session),
        (principal.user, SessionId::from_bytes([9; 16])),
        (UserId::from_bytes([9; 16]), principal.session),
    ] {
        let body = json!({ "current_password": PASSWORD, "new_password": NEW }).to_string();
        let mut request = from(HOME, post("/password", "application/json", body));
        request.extensions_mut().insert(Principal {
            user,
            session,
            account: true,
            key: None,
            authenticated_at: None,
            two_factors: false,
        });
        assert_eq!(service.send(request).await.outcome(), outcome(401, "invalid_token"));
    }
    assert_eq!((version(&alice).await, version(&bob).await), (2, 1));
}

/// An access token is valid for minutes after its session has ended. Another user may have the name by then.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_changes_nothing() {
    let (_db, service) = service().await;
    let user = service.quick_user("alice").await;
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    service.revoke(&login.refresh_token()).await;
    let answer = service.change_password(HOME, &login.access_token(), PASSWORD, NEW).await;
    assert_eq!(answer.outcome(), outcome(401, "invalid_token"), "revoked");

    // The user is disabled after the check of the session, which was still live then.
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    let raw = &service.bench.raw;
    let disable = |to: bool| {
        raw.update_item()
            .table_name(&service.bench.tables.users)
            .key("username", aws_sdk_dynamodb::types::AttributeValue::S("alice".to_owned()))
            .update_expression("SET disabled = :to")
            .expression_attribute_values(":to", aws_sdk_dynamodb::types::AttributeValue::Bool(to))
    };
    disable(true).send().await.unwrap();
    let answer = service.change_password(HOME, &login.access_token(), PASSWORD, NEW).await;
    assert_eq!(answer.outcome(), outcome(401, "invalid_token"), "disabled");
    disable(false).send().await.unwrap();

    // The user was removed, and a new user has the name.
    let now = service.clock.now();
    service.bench.store.set_status(&user.username, UserStatus::Enabled, now).await.unwrap();
    raw.delete_item()
        .table_name(&service.bench.tables.users)
        .key("username", aws_sdk_dynamodb::types::AttributeValue::S("alice".to_owned()))
        .send()
        .await
        .unwrap();
    let next = service.quick_user("alice").await;
    let _ = service.journal.take();
    let answer = service.change_password(HOME, &login.access_token(), PASSWORD, NEW).await;
    assert_eq!(answer.outcome(), outcome(401, "invalid_token"), "another user's name");
    let refused = service.journal.take();
    assert!(
        refused
            .iter()
            .any(|event| matches!(event, Event::PasswordRefused { cause: PasswordRefusal::NoUser, .. })),
        "{refused:?}"
    );
    let next = service.bench.store.user(&next.username).await.unwrap().unwrap();
    assert_eq!(next.password_version, 1);
}

/// Attempts count by the session, at whatever address. Attempts of others do not lock a signed-in user out.
///
/// invariant: Attempts at the current password count by the session, so that guesses from elsewhere use up none of them.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_count_by_the_session() {
    let (_db, service) = service().await;
    service.quick_user("alice").await;
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    let (access, other) = (login.access_token(), service.login_from(AWAY, "alice", PASSWORD).await);
    for n in 0..20 {
        service.login_from(&format!("203.0.113.{}", n / 5), "alice", WRONG).await;
    }
    assert_eq!(
        service.login_from("203.0.113.99", "alice", PASSWORD).await.status,
        429,
        "the account is full"
    );
    let _ = service.journal.take();
    for n in 0..5 {
        let answer = service.change_password(&format!("203.0.113.{n}"), &access, WRONG, NEW).await;
        assert_eq!(answer.outcome(), outcome(400, "wrong_password"), "{n}");
    }
    let hashes = service.hashes.load(Ordering::SeqCst);
    for address in [HOME, "203.0.113.200"] {
        let refused = service.change_password(address, &access, PASSWORD, NEW).await;
        assert_eq!(refused.outcome(), outcome(429, "slow_down"));
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() <= 900);
    }
    assert_eq!(service.hashes.load(Ordering::SeqCst), hashes, "nothing was hashed");
    let by = service.journal.take().into_iter().filter_map(|event| match event {
        Event::LoginThrottled { limit, .. } => Some(limit),
        _ => None,
    });
    assert_eq!(by.collect::<Vec<_>>(), [Exhausted::Session; 2]);
    // Another session of the user has attempts of its own.
    let changed = service.change_password("203.0.113.201", &other.access_token(), PASSWORD, NEW).await;
    assert_eq!(changed.status, 200);
    let access = changed.access_token();
    assert_eq!(service.change_password(AWAY, &access, NEW, PASSWORD).await.status, 200);

    service.clock.set(daypass_tests::bench::after(1_000_000));
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    let mut token = login.refresh_token();
    for _ in 0..3 {
        let refreshed = service.refresh(&token).await;
        let fresh = refreshed.access_token();
        for _ in 0..4 {
            service.change_password(HOME, &fresh, WRONG, NEW).await;
        }
        let changed = service.change_password(HOME, &fresh, PASSWORD, NEW).await;
        assert_eq!(changed.status, 200);
        let changed = service.change_password(HOME, &changed.access_token(), NEW, PASSWORD).await;
        assert_eq!(changed.status, 200, "settled");
        token = changed.refresh_token();
    }
}

/// Of two parallel changes, one succeeds, and only its new session is live.
///
/// invariant: Of two parallel changes of the password, one succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_at_once_one_wins() {
    for round in 0..10 {
        let (_db, service) = service().await;
        let user = service.quick_user("alice").await;
        let logins = [
            service.login_from(HOME, "alice", PASSWORD).await,
            service.login_from(HOME, "alice", PASSWORD).await,
        ];
        let passwords = [format!("{NEW}, the first"), format!("{NEW}, the second")];
        let change = |n: usize| {
            let access = logins[n].access_token();
            let (service, new) = (&service, &passwords[n]);
            async move { service.change_password(HOME, &access, PASSWORD, new).await }
        };
        let (first, second) = tokio::join!(change(0), change(1));
        let answers = [first, second];
        let winners: Vec<usize> = (0..2).filter(|n| answers[*n].status == 200).collect();
        assert_eq!(winners.len(), 1, "round {round}: {answers:?}");
        let (winner, loser) = (winners[0], 1 - winners[0]);
        assert!([400, 401].contains(&answers[loser].status), "{answers:?}");
        assert_eq!(service.login_from(HOME, "alice", &passwords[winner]).await.status, 200);
        assert_eq!(service.refresh(&answers[winner].refresh_token()).await.status, 200);
        for login in &logins {
            assert_eq!(service.refresh(&login.refresh_token()).await.status, 400);
        }
        let stored = service.bench.store.user(&user.username).await.unwrap().unwrap();
        assert_eq!(stored.password_version, 2);
    }
}

/// The response to each request is lost once, or all requests from there on fail. The client repeats the request, and the
/// change is complete.
///
/// invariant: A repeat of the same request finishes an interrupted change of the password.
/// invariant: Each change of the password is in the log, even if the response to its write was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_breaks_the_same_request_finishes_it() {
    let db = Embedded::start(None).unwrap();
    let base = Service::quick(&db.url(), &[]).await;
    let ask = async |name: &str, broken: Option<(usize, Action, bool)>| -> (Vec<Answer>, usize) {
        let service = base.redeployed(&db.url(), &[]).await;
        service.quick_user(name).await;
        let asks = service.login_from(HOME, name, PASSWORD).await;
        let others =
            [service.login_from(HOME, name, PASSWORD).await, service.login_from(AWAY, name, PASSWORD).await];
        let _ = service.bench.recorder.take();
        if let Some((at, action, for_good)) = broken {
            let seen = AtomicUsize::new(0);
            service.bench.recorder.set_hook(move |_| {
                let number = seen.fetch_add(1, Ordering::SeqCst);
                let fails = number == at || (for_good && number > at);
                if fails { action.clone() } else { Action::Pass }
            });
        }
        let mut answers = vec![service.change_password(HOME, &asks.access_token(), PASSWORD, NEW).await];
        let requests = service.bench.recorder.take().len();
        service.bench.recorder.always(Action::Pass);
        if answers[0].status != 200 {
            answers.push(service.change_password(HOME, &asks.access_token(), PASSWORD, NEW).await);
        }
        let events = service.journal.take();
        let changed = |event: &Event| matches!(event, Event::PasswordChanged { .. });
        assert!(events.iter().any(changed), "{name}: the change is in the log: {events:?}");
        for old in others.iter().chain([&asks]) {
            assert_eq!(service.refresh(&old.refresh_token()).await.status, 400, "{name}: an old session");
        }
        let new = answers.last().unwrap().refresh_token();
        assert_eq!(service.refresh(&new).await.status, 200, "{name}: the new one");
        assert_eq!(service.login_from(HOME, name, NEW).await.status, 200, "{name}: the new password");
        assert_eq!(service.login_from(HOME, name, PASSWORD).await.status, 401, "{name}: the old one");
        (answers, requests)
    };
    let (answers, requests) = ask("undisturbed", None).await;
    assert_eq!(answers[0].status, 200);
    let throttled = Action::refuse(400, "ThrottlingException");
    let ways = [
        ("lost", Action::DropAnswer, false),
        ("all-lost", Action::DropAnswer, true),
        ("throttled", throttled, true),
    ];
    let cases = (0..requests)
        .flat_map(|at| ways.clone().map(|(kind, action, for_good)| (at, kind, action, for_good)));
    // Some in parallel, because most of the time is spent in pauses between attempts.
    let again: usize = stream::iter(cases)
        .map(async |(at, kind, action, for_good)| {
            let name = format!("{kind}-{at}");
            let (answers, _) = ask(&name, Some((at, action, for_good))).await;
            let expected: &[u16] = match answers.len() {
                1 => &[200],
                _ => &[503, 200],
            };
            let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses, expected, "{name}");
            assert!(for_good || answers.len() == 1, "{name}: the SDK's own retry mends it");
            answers.len() - 1
        })
        .buffer_unordered(8)
        .fold(0, async |sum, again| sum + again)
        .await;
    // All requests but one, which only settles the counters.
    assert!(again >= (requests - 1) * 2 - 2, "{again} of {requests}");
    println!(
        "{requests} requests, broken off at each in three ways: {again} times the client had to ask again"
    );
}

/// The endings of a change break off again and again. Each repeat of the request has the right passwords, so none of them
/// counts as a guess.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_breaks_off_often_is_not_throttled() {
    let (_db, service) = service().await;
    service.quick_user("alice").await;
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    let other = service.login_from(AWAY, "alice", PASSWORD).await;
    service.bench.recorder.set_hook(|call| match call.operation {
        "Query" => Action::refuse(400, "ThrottlingException"),
        _ => Action::Pass,
    });
    for n in 0..7 {
        let answer = service.change_password(HOME, &login.access_token(), PASSWORD, NEW).await;
        assert_eq!(answer.status, 503, "{n}");
    }
    service.bench.recorder.always(Action::Pass);
    assert_eq!(service.change_password(HOME, &login.access_token(), PASSWORD, NEW).await.status, 200);
    assert_eq!(service.refresh(&other.refresh_token()).await.status, 400);
}

/// The session identifies the retry of an interrupted change. Another session that has guessed both passwords learns
/// nothing from a retry. A second password counts as a second attempt.
///
/// invariant: A retry of a change of the password counts as one attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_no_second_guess() {
    let (_db, service) = service().await;
    service.quick_user("alice").await;
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    let other = service.login_from(AWAY, "alice", PASSWORD).await;
    // A retry in another session. The password is the new one of the request, but this session has not set it.
    let hashes = service.hashes.load(Ordering::SeqCst);
    let answer = service.change_password(AWAY, &other.access_token(), WRONG, PASSWORD).await;
    assert_eq!(answer.outcome(), outcome(400, "wrong_password"));
    assert_eq!(service.hashes.load(Ordering::SeqCst) - hashes, 1, "the new one was not looked at");

    service.bench.recorder.set_hook(|call| match call.operation {
        "TransactWriteItems" => Action::refuse(400, "ThrottlingException"),
        _ => Action::Pass,
    });
    for case in ["the first", "a retry"] {
        let answer = service.change_password(HOME, &login.access_token(), PASSWORD, NEW).await;
        assert_eq!(answer.status, 503, "{case}");
    }
    service.bench.recorder.always(Action::Pass);
    // Each of these checks two passwords, so it takes two of the five attempts.
    let hashes = service.hashes.load(Ordering::SeqCst);
    let mut statuses = Vec::new();
    for n in 0..4 {
        let guess = format!("{WRONG}, {n}");
        let other = format!("{WRONG}, and {n}");
        statuses.push(service.change_password(HOME, &login.access_token(), &guess, &other).await.status);
    }
    assert_eq!(service.hashes.load(Ordering::SeqCst) - hashes, 5);
    assert_eq!(statuses, [400, 400, 429, 429]);
    service.clock.advance(Duration::from_secs(900));
    // After any other change of the password, the retry is not recognised.
    let name = daypass_tests::bench::username("alice");
    let now = service.clock.now();
    let hash = daypass_tests::service::quick_hash(PASSWORD);
    service.bench.store.set_password(&name, &hash, now).await.unwrap();
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    let hashes = service.hashes.load(Ordering::SeqCst);
    assert_eq!(service.change_password(HOME, &login.access_token(), WRONG, NEW).await.status, 400);
    assert_eq!(service.hashes.load(Ordering::SeqCst) - hashes, 1);
}
