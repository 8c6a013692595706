//! The flows from request to response, over the embedded DynamoDB. The recorder counts every request.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod login;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::ports::event::{Event, LoginFailure};
use daypass_core::ports::store::EndedSessions;
use daypass_core::session::limit::MAX_SESSIONS;
use daypass_core::session::{EndReason, Repeat};
use daypass_core::token::refresh::RefreshToken;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::{Action, Exchange};
use daypass_testkit::trips::{in_waves, round_trips};
use daypass_tests::bench;
use daypass_tests::service::{PASSWORD, Service, post};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A service over separate tables.
async fn service() -> (Embedded, Service) {
    with(&[]).await
}

async fn with(settings: &[(&str, &str)]) -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::with(&embedded.url(), settings).await;
    (embedded, service)
}

fn operations(exchanges: &[Exchange]) -> Vec<&str> {
    exchanges.iter().map(|exchange| exchange.operation.as_str()).collect()
}

fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job() {
    let (_db, service) = service().await;
    let user = service.user("Alice").await;
    let login = service.login("alice").await;
    assert_eq!(login.status, 200, "{login:?}");
    let body = login.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 300);
    assert_eq!(body["refresh_expires_in"], 15_552_000);
    assert_eq!(body["scope"], "orders:read orders:write");
    assert!(body["session_id"].as_str().unwrap().starts_with("ses_"));
    assert!(service.lets_through(&login.access_token()));

    let refreshed = service.refresh(&login.refresh_token()).await;
    assert_ne!(refreshed.refresh_token(), login.refresh_token());
    assert_ne!(refreshed.access_token(), login.access_token());
    assert_eq!(refreshed.text("session_id"), login.text("session_id"));
    assert!(service.lets_through(&refreshed.access_token()));

    let revoked = service.revoke(&refreshed.refresh_token()).await;
    assert_eq!((revoked.status, revoked.json()), (200, json!({})));
    assert_eq!(service.refresh(&refreshed.refresh_token()).await.outcome(), invalid_grant());

    let names: Vec<String> = service
        .journal
        .take()
        .iter()
        .map(|event| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["login.succeeded", "refresh.rotated", "session.ended", "refresh.refused"]);
    assert_eq!(service.bench.store.sessions(user.id).await.unwrap().len(), 1);
}

/// The requests to DynamoDB of each operation, counted between SDK and store.
#[tokio::test(flavor = "multi_thread")]
async fn requests_on_the_wire() {
    let (_db, service) = service().await;
    service.user("alice").await;
    service.bench.recorder.ask_capacity(true);
    let take = || service.bench.recorder.take();

    let login = service.login("alice").await;
    let mut seen = take();
    seen.sort_by(|a, b| a.operation.cmp(&b.operation));
    assert_eq!(
        operations(&seen),
        ["GetItem", "Query", "TransactWriteItems", "UpdateItem"],
        "two in parallel, then one, then one"
    );

    let refreshed = service.refresh(&login.refresh_token()).await;
    let seen = take();
    assert_eq!(operations(&seen), ["UpdateItem"]);
    assert_eq!(seen[0].response()["ConsumedCapacity"]["CapacityUnits"], 1.0, "{}", seen[0].response());

    service.revoke(&refreshed.refresh_token()).await;
    assert_eq!(operations(&take()), ["UpdateItem"]);
}

/// invariant: A forged, truncated or expired refresh token is rejected without a request to DynamoDB.
#[tokio::test(flavor = "multi_thread")]
async fn bad_refresh_tokens_cost_no_request() {
    let (_db, service) = service().await;
    service.user("alice").await;
    let good = service.login("alice").await.refresh_token();
    let (_other_db, other) = self::service().await;
    other.user("alice").await;
    let foreign = other.login("alice").await.refresh_token();
    let _ = service.bench.recorder.take();

    let mut flipped = good.clone().into_bytes();
    let at = flipped.len() - 20;
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let mut answers = Vec::new();
    for bad in [
        "x",
        "daypass_rt_",
        &good[..good.len() - 1],
        &flipped,
        &foreign,
        &format!("{good}A"),
        "%00",
        "%F0%9F%92%A5",
    ] {
        let answer = service.refresh(bad).await;
        assert_eq!(answer.outcome(), invalid_grant(), "{bad}");
        answers.push(answer);
        assert_eq!(service.revoke(bad).await.status, 200, "{bad}");
    }
    service.clock.advance(Duration::from_secs(15_552_000));
    answers.push(service.refresh(&good).await);
    assert_eq!(service.revoke(&good).await.status, 200);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "one answer, the same bytes: {answers:#?}");
    assert_eq!(operations(&service.bench.recorder.take()), [""; 0]);
}

/// Presents all stored values as tokens. The tables contain nothing that can be exchanged.
///
/// invariant: Nothing that the tables hold can be exchanged for a token.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_tables_hold_is_no_token() {
    let (_db, service) = service().await;
    let user = service.user("alice").await;
    let login = service.login("alice").await;
    let refreshed = service.refresh(&login.refresh_token()).await;
    let stored = &service.bench.store.sessions(user.id).await.unwrap()[0];
    let item = service.bench.item(stored).await.unwrap();
    let dump = format!("{item:?}");
    for token in [login.refresh_token(), refreshed.refresh_token(), login.access_token()] {
        assert!(!dump.contains(&token));
        assert!(!dump.contains(&token[RefreshToken::PREFIX.len()..]));
    }
    for value in item.values() {
        if let Ok(text) = value.as_s() {
            assert_eq!(service.refresh(text).await.outcome(), invalid_grant(), "{text}");
        }
    }
}

/// invariant: A refresh token has one live successor.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_refreshes_at_once_get_one_successor() {
    let (_db, service) = service().await;
    let user = service.user("alice").await;
    let token = service.login("alice").await.refresh_token();
    let answers = together(64, || service.refresh(&token)).await;
    let successor = answers[0].refresh_token();
    assert!(answers.iter().all(|answer| answer.refresh_token() == successor));
    assert_ne!(successor, token);
    assert_eq!(
        service.bench.store.sessions(user.id).await.unwrap()[0].generation,
        1,
        "one rotation is stored"
    );
    let events = service.journal.take();
    let rotated = events.iter().filter(|event| matches!(event, Event::Rotated { .. })).count();
    let repeated = events.iter().filter(|event| matches!(event, Event::Repeated { .. })).count();
    assert_eq!((rotated, repeated), (1, 63));
}

/// Sends `n` requests in parallel.
async fn together<F: Future<Output = Answer>>(n: usize, request: impl Fn() -> F) -> Vec<Answer> {
    join_all((0..n).map(|_| request())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_after_grace_ends_the_session_and_no_other() {
    let (_db, service) = service().await;
    service.user("alice").await;
    let (first, elsewhere) = (service.login("alice").await, service.login("alice").await);
    let second = service.refresh(&first.refresh_token()).await;
    service.clock.advance(Duration::from_secs(29));
    assert_eq!(
        service.refresh(&first.refresh_token()).await.refresh_token(),
        second.refresh_token(),
        "within grace"
    );
    service.clock.advance(Duration::from_secs(1));
    let _ = service.journal.take();
    assert_eq!(service.refresh(&first.refresh_token()).await.outcome(), invalid_grant(), "grace is over");
    assert!(matches!(service.journal.take()[..], [Event::Reuse { presented: 0, current: 1, .. }]));
    for token in [first.refresh_token(), second.refresh_token()] {
        assert_eq!(service.refresh(&token).await.outcome(), invalid_grant());
    }
    assert_eq!(service.refresh(&elsewhere.refresh_token()).await.status, 200, "another session lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_successors_first_use_ends_the_grace() {
    let (_db, service) = service().await;
    service.user("alice").await;
    let first = service.login("alice").await.refresh_token();
    let second = service.refresh(&first).await.refresh_token();
    let third = service.refresh(&second).await.refresh_token();
    assert_eq!(
        service.refresh(&first).await.outcome(),
        invalid_grant(),
        "within 30 s, but the successor was used"
    );
    for token in [first, second, third] {
        assert_eq!(service.refresh(&token).await.outcome(), invalid_grant());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_older_generation_is_reuse() {
    for replayed in 0..4 {
        let (_db, service) = service().await;
        service.user("alice").await;
        let mut tokens = vec![service.login("alice").await.refresh_token()];
        for n in 0..5 {
            tokens.push(service.refresh(&tokens[n]).await.refresh_token());
        }
        assert_eq!(service.refresh(&tokens[replayed]).await.outcome(), invalid_grant());
        assert_eq!(service.refresh(&tokens[5]).await.outcome(), invalid_grant(), "the live one died with it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_end_at_once() {
    let (_db, service) = service().await;
    service.user("alice").await;
    service.user("bob").await;
    let mut alice = Vec::new();
    for _ in 0..5 {
        alice.push(service.login("alice").await);
    }
    let bob = service.login("bob").await;
    // With the access token, as a client without the refresh token.
    let answer = service.form("/revoke", &format!("token={}&all=true", alice[0].access_token())).await;
    assert_eq!(answer.status, 200);
    for login in &alice {
        assert_eq!(service.refresh(&login.refresh_token()).await.outcome(), invalid_grant());
    }
    assert_eq!(service.refresh(&bob.refresh_token()).await.status, 200);
    // The holder of the old token can finish that call, and cannot end sessions that were opened later.
    service.clock.advance(Duration::from_secs(31));
    let since = service.login("alice").await;
    let again = service.form("/revoke", &format!("token={}&all=true", alice[1].refresh_token())).await;
    assert_eq!((again.status, again.json()), (200, json!({})), "idempotent");
    assert_eq!(service.refresh(&since.refresh_token()).await.status, 200, "and no weapon");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_by_either_token_and_any_hint() {
    let (_db, service) = service().await;
    service.user("alice").await;
    for hint in
        ["", "&token_type_hint=access_token", "&token_type_hint=refresh_token", "&token_type_hint=banana"]
    {
        for token in ["access_token", "refresh_token"] {
            let login = service.login("alice").await;
            let answer = service.form("/revoke", &format!("token={}{hint}", login.text(token))).await;
            assert_eq!(answer.status, 200);
            assert_eq!(
                service.refresh(&login.refresh_token()).await.outcome(),
                invalid_grant(),
                "{token} {hint}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_kept_apart() {
    let (_db, service) = service().await;
    service.user("alice").await;
    let login = service.login("alice").await;
    let token = login.refresh_token();
    let refresh = |client: &str| format!("grant_type=refresh_token&refresh_token={token}&client_id={client}");
    assert_eq!(service.form("/refresh", &refresh("narrow")).await.outcome(), invalid_grant());
    assert_eq!(
        service.form("/refresh", &refresh("unknown")).await.outcome(),
        (400, "invalid_client".to_owned())
    );
    let revoke = service.form("/revoke", &format!("token={token}&client_id=narrow")).await;
    assert_eq!(revoke.outcome(), invalid_grant(), "another client's token is not revoked (RFC 7009 §2.1)");
    assert_eq!(service.form("/refresh", &refresh("web")).await.status, 200, "and nothing had happened to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn scope_is_narrowed_never_widened() {
    let (_db, service) = service().await;
    service.user("alice").await;
    let login = |client: &str, scope: &str| json!({ "username": "alice", "password": PASSWORD, "client_id": client, "scope": scope });
    assert_eq!(service.post("/login", &login("narrow", "")).await.text("scope"), "orders:read");
    let too_much = service.post("/login", &login("narrow", "orders:write")).await;
    assert_eq!(too_much.outcome(), (400, "invalid_scope".to_owned()));
    let token = service.post("/login", &login("web", "")).await.refresh_token();
    let refresh =
        |token: &str, scope: &str| format!("grant_type=refresh_token&refresh_token={token}&scope={scope}");
    let wider = service.form("/refresh", &refresh(&token, "orders:read+admin")).await;
    assert_eq!(wider.outcome(), (400, "invalid_scope".to_owned()));
    let narrowed = service.form("/refresh", &refresh(&token, "orders:read")).await;
    assert_eq!(narrowed.text("scope"), "orders:read");
    let next = service.refresh(&narrowed.refresh_token()).await;
    assert_eq!(next.text("scope"), "orders:read orders:write", "the refresh token keeps what was granted");
}

/// A failing store is 503, never a verdict on the token. The token works afterwards.
///
/// invariant: A failing store is an error, and no verdict on a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_is_never_invalid_grant() {
    let db = Embedded::start(None).unwrap();
    let base = Service::quick(&db.url(), &[]).await;
    let unavailable = (503, "temporarily_unavailable".to_owned());
    let ways = [
        Action::refuse(400, "ThrottlingException"),
        Action::refuse(400, "ProvisionedThroughputExceededException"),
        Action::refuse(400, "RequestLimitExceeded"),
        Action::Status(500, json!({ "__type": "InternalServerError" })),
        Action::Status(503, json!({})),
        Action::Status(502, json!("not even JSON")),
        Action::Hang(Duration::from_secs(30)),
        Action::DropRequest,
    ];
    // In parallel, because most of the time is spent in timeouts and pauses.
    let played = ways.iter().enumerate().map(async |(n, way)| {
        let service = base.redeployed(&db.url(), &[]).await;
        let name = format!("user{n}");
        service.quick_user(&name).await;
        let token = service.login(&name).await.refresh_token();
        service.bench.recorder.always(way.clone());
        let (refreshed, revoked, logged_in) =
            tokio::join!(service.refresh(&token), service.revoke(&token), service.login(&name));
        for answer in [refreshed, revoked, logged_in] {
            assert_eq!(answer.outcome(), unavailable, "{way:?}");
            assert!(answer.header("retry-after").is_some(), "{way:?}");
        }
        service.bench.recorder.always(Action::Pass);
        assert_eq!(service.refresh(&token).await.status, 200, "{way:?}: the token works afterwards");
    });
    join_all(played).await;
}

/// The response to the write is lost. The retry of the SDK must not look like theft, also with a grace period of 0.
///
/// invariant: A retry of the AWS SDK keeps the session, also with a grace period of 0.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_no_theft() {
    let (_db, service) = with(&[("DAYPASS_GRACE_SECONDS", "0")]).await;
    service.user("alice").await;
    let mut token = service.login("alice").await.refresh_token();
    for _ in 0..5 {
        service.bench.recorder.next(1, Action::DropAnswer);
        token = service.refresh(&token).await.refresh_token();
    }
    assert!(service.journal.take().iter().all(|event| !matches!(event, Event::Reuse { .. })));
}

/// All responses to a write are lost. A retry within the grace period succeeds, and a later one looks like theft. With a
/// grace period of 0, every retry of a client does. Retries of the SDK are recognised by their attempt id, see above.
#[tokio::test(flavor = "multi_thread")]
async fn when_every_answer_was_lost_the_retry_has_the_grace_window() {
    for (wait, expected) in [(29, 200), (30, 400)] {
        let (_db, service) = service().await;
        service.user("alice").await;
        let token = service.login("alice").await.refresh_token();
        service.bench.recorder.always(Action::DropAnswer);
        assert_eq!(service.refresh(&token).await.status, 503);
        service.bench.recorder.always(Action::Pass);
        service.clock.advance(Duration::from_secs(wait));
        assert_eq!(service.refresh(&token).await.status, expected, "after {wait} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_theft_is_one_event() {
    let (_db, service) = service().await;
    service.user("alice").await;
    let first = service.login("alice").await.refresh_token();
    let second = service.refresh(&first).await.refresh_token();
    service.refresh(&second).await;
    let _ = service.journal.take();
    for answer in together(16, || service.refresh(&first)).await {
        assert_eq!(answer.outcome(), invalid_grant());
    }
    let events = service.journal.take();
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Reuse { .. })).count(), 1, "{events:?}");
}

/// All responses are lost, and the device retries the next day.
///
/// invariant: A client that sends an `Idempotency-Key` keeps its session after a lost response, however late
/// it retries.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_names_its_attempt_loses_no_session_however_late_it_retries() {
    let (_db, service) = with(&[("DAYPASS_GRACE_SECONDS", "0")]).await;
    service.user("alice").await;
    let first = service.login("alice").await.refresh_token();
    let key = "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"";
    service.bench.recorder.always(Action::DropAnswer);
    assert_eq!(service.refresh_under(key, &first).await.status, 503);
    service.bench.recorder.always(Action::Pass);
    service.clock.advance(Duration::from_secs(24 * 3600));
    let second = service.refresh_under(key, &first).await.refresh_token();
    assert_eq!(service.refresh_under(key, &first).await.refresh_token(), second, "as often as it takes");
    let events = service.journal.take();
    assert!(matches!(events[..], [.., Event::Repeated { cause: Repeat::OwnRetry, .. }]), "{events:?}");

    // The retry may request fewer scopes, never more.
    let ask = |scope: &str| {
        let body = format!("grant_type=refresh_token&refresh_token={first}&scope={scope}");
        let mut request = post("/refresh", "application/x-www-form-urlencoded", body);
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        service.send(request)
    };
    assert_eq!(ask("orders:read").await.text("scope"), "orders:read");
    assert_eq!(ask("admin").await.outcome(), (400, "invalid_scope".to_owned()));

    // Once the successor was used, the key has no effect. Another key never has one.
    let third = service.refresh_under("a key of the next attempt", &second).await;
    assert_eq!(third.outcome(), (400, "invalid_request".to_owned()), "a key has no spaces");
    let third = service.refresh_under("a-key-of-the-next-attempt", &second).await.refresh_token();
    let other = service.login("alice").await.refresh_token();
    assert_eq!(service.refresh_under(key, &first).await.outcome(), invalid_grant());
    assert_eq!(service.refresh(&third).await.outcome(), invalid_grant(), "the session ended");
    assert_eq!(service.refresh_under(key, &other).await.status, 200);
    assert_eq!(service.refresh_under("another-key-of-16", &other).await.outcome(), invalid_grant());
}

/// invariant: A mistake in the list of clients costs no session.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_registered_gets_no_further_and_loses_nothing() {
    let (db, before) = service().await;
    before.user("alice").await;
    let token = before.login("alice").await.refresh_token();
    let after = before.redeployed(&db.url(), &[("DAYPASS_CLIENTS", r#"[{"client_id":"other"}]"#)]).await;
    let unknown = (400, "invalid_client".to_owned());
    assert_eq!(after.refresh(&token).await.outcome(), unknown, "the token is good: no invalid_grant");
    let named = format!("grant_type=refresh_token&refresh_token={token}&client_id=web");
    assert_eq!(after.form("/refresh", &named).await.outcome(), unknown);
    // The operator corrects the list after an hour, long after the grace period.
    before.clock.advance(Duration::from_secs(3600));
    assert_eq!(before.refresh(&token).await.status, 200);
    let narrowed = before.login("alice").await.refresh_token();
    let less = r#"[{"client_id":"web","scope":"orders:read"}]"#;
    let after = before.redeployed(&db.url(), &[("DAYPASS_CLIENTS", less)]).await;
    assert_eq!(after.refresh(&narrowed).await.text("scope"), "orders:read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_ended_session_ends_no_other() {
    let (_db, service) = service().await;
    service.user("alice").await;
    let (gone, live) = (service.login("alice").await, service.login("alice").await);
    assert_eq!(service.revoke(&gone.refresh_token()).await.status, 200);
    for token in [gone.refresh_token(), gone.access_token()] {
        let answer = service.form("/revoke", &format!("token={token}&all=true")).await;
        assert_eq!(answer.outcome(), invalid_grant(), "{token}: no success where nothing ended");
    }
    let live = service.refresh(&live.refresh_token()).await;
    assert_eq!(live.status, 200, "whoever kept an old token cannot log the user out");
    let other =
        service.form("/revoke", &format!("token={}&all=true&client_id=narrow", live.refresh_token())).await;
    assert_eq!(other.outcome(), invalid_grant());
    assert_eq!(service.refresh(&live.refresh_token()).await.status, 200);
}

/// 200 means that all sessions of the user have ended. An invalid token gets the same error for every reason. For the end
/// of a single session it gets 200, because this session has ended already (RFC 7009 §2.2).
///
/// invariant: `all=true` is 200 only if every session of that time has ended.
#[tokio::test(flavor = "multi_thread")]
async fn revoking_all_is_never_a_false_success() {
    let (_db, service) = service().await;
    let alice = service.user("alice").await;
    let live = service.login("alice").await;
    let mut dead = Vec::new();
    let revoked = service.login("alice").await;
    assert_eq!(service.revoke(&revoked.refresh_token()).await.status, 200);
    dead.extend([revoked.refresh_token(), revoked.access_token()]);
    let elsewhere = service.login("alice").await;
    let path = format!("/sessions/{}", elsewhere.text("session_id"));
    assert_eq!(service.guarded("DELETE", &path, &live.access_token()).await.status, 200);
    dead.push(elsewhere.refresh_token());
    // A thief used an old token, which ended the session. The owner wants to log out everywhere.
    let robbed = service.login("alice").await.refresh_token();
    let mut newest = robbed.clone();
    for _ in 0..2 {
        newest = service.refresh(&newest).await.refresh_token();
    }
    assert_eq!(service.refresh(&robbed).await.outcome(), invalid_grant());
    dead.extend([robbed, newest]);
    let collected = service.login("alice").await;
    let request = service.bench.raw.delete_item().table_name(&service.bench.tables.sessions);
    let text = |text: String| AttributeValue::S(text);
    let request = request.key("user", text(alice.id.to_string()));
    request.key("session", text(collected.text("session_id"))).send().await.unwrap();
    dead.extend([collected.refresh_token(), collected.access_token()]);
    let mut forged = live.refresh_token();
    forged.replace_range(40..41, if forged.as_bytes()[40] == b'A' { "B" } else { "A" });
    dead.extend([forged, "daypass_rt_".to_owned(), "x".to_owned(), "a.b.c".to_owned()]);
    for token in &dead {
        let answer = service.form("/revoke", &format!("token={token}&all=true")).await;
        assert_eq!(answer.outcome(), invalid_grant(), "{token}");
        let one = service.revoke(token).await;
        assert_eq!((one.status, one.json()), (200, json!({})), "{token}");
    }
    let live = service.refresh(&live.refresh_token()).await;
    assert_eq!(live.status, 200, "and nothing had ended");
    let all = service.form("/revoke", &format!("token={}&all=true", live.refresh_token())).await;
    assert_eq!((all.status, all.json()), (200, json!({})));
    let again = service.form("/revoke", &format!("token={}&all=true", live.refresh_token())).await;
    assert_eq!((again.status, again.json()), (200, json!({})), "a client that got no answer asks again");
    service.clock.advance(Duration::from_secs(15_552_000));
    let late = service.form("/revoke", &format!("token={}&all=true", live.refresh_token())).await;
    assert_eq!(late.outcome(), invalid_grant(), "expired");
}

/// The log contains no secret.
///
/// invariant: Log lines, errors and `Debug` output hold no token, password or key.
#[tokio::test(flavor = "multi_thread")]
async fn events_hold_no_secret() {
    let (_db, service) = service().await;
    service.user("alice").await;
    let login = service.login("alice").await;
    let refreshed = service.refresh(&login.refresh_token()).await;
    service.login("typed-a-secret-here").await;
    service.refresh("daypass_rt_nonsense").await;
    service.clock.advance(Duration::from_secs(60));
    service.refresh(&login.refresh_token()).await;
    service.revoke(&refreshed.access_token()).await;
    let log = format!("{:?} {}", service.keys, serde_json::to_string(&service.journal.take()).unwrap());
    let document = serde_json::from_str::<Value>(&service.keys.to_json().unwrap()).unwrap();
    let mut secrets = vec![
        PASSWORD.to_owned(),
        "typed-a-secret-here".to_owned(),
        "alice".to_owned(),
        login.refresh_token(),
        login.access_token(),
        refreshed.refresh_token(),
        refreshed.access_token(),
    ];
    for pointer in ["/signing/0/private", "/refresh/0/key", "/peppers/0/key"] {
        secrets.push(document.pointer(pointer).unwrap().as_str().unwrap().to_owned());
    }
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log");
    }
    assert!(log.contains("refresh.reuse") && log.contains("unknown_user"), "{log}");
}
