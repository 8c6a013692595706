//! `POST /reauthenticate`: what it proves, what it changes, how often it can be tried, and what it costs.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod passkeys;

use crate::factors::{HOME, STEP, enrolled, first_step, json_post, outcome, second_step, service};
use crate::throttle::{counted, limits, names};
use data_encoding::BASE64URL_NOPAD;
use daypass_core::ports::event::{Event, FactorFault, PasswordRefusal};
use daypass_core::throttle::Exhausted;
use daypass_testkit::Answer;
use daypass_tests::service::{PASSWORD, Service};
use daypass_verifier::base::time::Clock;
use daypass_verifier::routes::{Bearer, Routes, Target};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

const RECENT: &str = "within 300";
const STRONG: &str = "acr:2 within 300";

/// Authenticates again with this access token, the password, and more members.
async fn again(service: &Service, access_token: &str, more: Value) -> Answer {
    let mut body = json!({ "current_password": PASSWORD });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    service.send_as(access_token, json_post("/reauthenticate", &body)).await
}

fn claims(access_token: &str) -> Value {
    let payload = BASE64URL_NOPAD.decode(access_token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// Whether a line with these needs admits the access token now.
fn meets(service: &Service, needs: &str, access_token: &str) -> bool {
    let routes = Routes::parse(&format!("* /* needs {needs}")).unwrap();
    let claims = claims(access_token);
    let bearer = Bearer::Token { scope: "", claims: claims.as_object(), now: service.clock.now() };
    routes.of("any").decide(Target::Http { method: "GET", path: "/guarded" }, bearer).is_ok()
}

/// The session keeps its refresh token, whose later successors carry the new authentication until it is too old as well.
///
/// invariant: A reauthentication renews the session, and a later refresh does not make it younger.
#[tokio::test(flavor = "multi_thread")]
async fn the_session_gets_the_authentication() {
    let (_db, service) = service(&[]).await;
    service.quick_user("bob").await;
    let login = service.login_from(HOME, "bob", PASSWORD).await;
    service.clock.advance(Duration::from_secs(301));
    let old = service.refresh(&login.refresh_token()).await;
    assert!(!meets(&service, RECENT, &old.access_token()));

    let renewed = again(&service, &old.access_token(), json!({})).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let mut members: Vec<String> = renewed.json().as_object().unwrap().keys().cloned().collect();
    members.sort_unstable();
    assert_eq!(members, ["access_token", "expires_in", "scope", "session_id", "token_type"]);
    assert_eq!(renewed.header("set-cookie"), None);
    let now = service.clock.now().seconds();
    let (new, before) = (claims(&renewed.access_token()), claims(&old.access_token()));
    assert_eq!((new["auth_time"].as_u64(), &new["acr"]), (Some(now), &json!("1")));
    assert_eq!(
        (&new["sid"], &new["scope"], &new["account"]),
        (&before["sid"], &before["scope"], &json!(true))
    );
    assert!(meets(&service, RECENT, &renewed.access_token()));
    assert!(!meets(&service, RECENT, &old.access_token()), "the older token stays as old as it is");

    service.clock.advance(Duration::from_secs(300));
    let refreshed = service.refresh(&old.refresh_token()).await;
    assert_eq!(claims(&refreshed.access_token())["auth_time"], now);
    assert!(meets(&service, RECENT, &refreshed.access_token()));
    service.clock.advance(Duration::from_secs(1));
    let late = service.refresh(&refreshed.refresh_token()).await;
    assert_eq!(claims(&late.access_token())["auth_time"], now);
    assert!(!meets(&service, RECENT, &late.access_token()), "too old, also right after a refresh");
}

/// A password alone never replaces a stronger authentication.
///
/// invariant: A user with a second factor shows it in a reauthentication too.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_factor_shows_it() {
    let (_db, service) = service(&[]).await;
    let ada = enrolled(&service, "ada").await;
    let token = first_step(&service, HOME, "ada").await;
    let code = ada.totp.code_at(service.clock.now());
    let login = second_step(&service, HOME, &token, "code", &code).await;
    assert!(meets(&service, STRONG, &login.access_token()));
    service.clock.advance(Duration::from_secs(301));
    let access = service.refresh(&login.refresh_token()).await.access_token();
    assert!(!meets(&service, STRONG, &access));
    let _ = service.journal.take();

    let alone = again(&service, &access, json!({})).await;
    assert_eq!(alone.outcome(), outcome(403, "insufficient_user_authentication"));
    assert_eq!(alone.json()["acr_values"], "2");
    assert_eq!(
        alone.header("www-authenticate"),
        Some(r#"Bearer error="insufficient_user_authentication", acr_values="2""#)
    );
    for (name, wrong) in [("code", "000000"), ("recovery_code", "AAAA-AAAA")] {
        assert_eq!(
            again(&service, &access, json!({ name: wrong })).await.outcome(),
            outcome(400, "wrong_code")
        );
    }
    let code = ada.totp.code_at(service.clock.now());
    let renewed = again(&service, &access, json!({ "code": code })).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    assert_eq!(
        (&claims(&renewed.access_token())["acr"], &claims(&renewed.access_token())["amr"]),
        (&json!("2"), &json!(["pwd", "otp", "mfa"]))
    );
    assert!(meets(&service, STRONG, &renewed.access_token()));
    // The code is used: here, and for a login.
    assert_eq!(again(&service, &access, json!({ "code": code })).await.outcome(), outcome(400, "wrong_code"));
    let token = first_step(&service, HOME, "ada").await;
    assert_eq!(second_step(&service, HOME, &token, "code", &code).await.status, 400);
    let spent = json!({ "recovery_code": ada.codes[0] });
    assert_eq!(again(&service, &access, spent.clone()).await.status, 200);
    assert_eq!(again(&service, &access, spent).await.outcome(), outcome(400, "wrong_code"));
    let seen: Vec<Event> = service.journal.take();
    let faults: Vec<FactorFault> = seen
        .iter()
        .filter_map(|event| match event {
            Event::ReauthenticationRefused { cause, .. } => Some(*cause),
            _ => None,
        })
        .collect();
    use FactorFault::{UsedCode, WrongCode};
    assert_eq!(faults, [WrongCode, WrongCode, UsedCode, WrongCode]);
    let is_done = |event: &&Event| matches!(event, Event::Reauthenticated { two_factors: true, .. });
    assert_eq!(seen.iter().filter(is_done).count(), 2);
    let both = json!({ "code": "1", "recovery_code": "1" });
    assert_eq!(again(&service, &access, both).await.outcome(), outcome(400, "invalid_request"));
}

/// invariant: A one-time code renews one session once, at any concurrency.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_code_64_times_is_one_reauthentication() {
    let (_db, service) = service(&[("DAYPASS_LOGIN_ATTEMPTS", "100")]).await;
    let ada = enrolled(&service, "ada").await;
    let token = first_step(&service, HOME, "ada").await;
    let code = ada.totp.code_at(service.clock.now());
    let login = second_step(&service, HOME, &token, "code", &code).await;
    service.clock.advance(STEP);
    let code = json!({ "code": ada.totp.code_at(service.clock.now()) });
    let access = login.access_token();
    let answers = join_all((0..64).map(|_| again(&service, &access, code.clone()))).await;
    let with = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(with(200), 1, "{:?}", answers.iter().map(Answer::outcome).collect::<Vec<_>>());
    assert_eq!(with(200) + with(400) + with(503), 64);
}

/// The passwords count by the session, together with those of a change of the password. The right password without the code resets
/// nothing, because the other slots can be those of wrong passwords.
///
/// invariant: Guesses at a reauthentication stop at the limit of the session.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_stop_at_the_limit_of_the_session() {
    let (_db, service) = service(&[]).await;
    let ada = enrolled(&service, "ada").await;
    let token = first_step(&service, HOME, "ada").await;
    let code = ada.totp.code_at(service.clock.now());
    let access = second_step(&service, HOME, &token, "code", &code).await.access_token();
    let _ = service.journal.take();
    let wrong =
        json!({ "current_password": "not the password", "new_password": "a longer and better password" });
    service.send_as(&access, json_post("/password", &wrong)).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        assert_ne!(again(&service, &access, json!({})).await.status, 200);
        statuses.push(again(&service, &access, json!({ "code": "000000" })).await.status);
    }
    assert_eq!(statuses, [400, 400, 400, 400, 429]);
    assert!(limits(&service).iter().all(|limit| *limit == Exhausted::Session));
    service.clock.advance(STEP);
    let right = json!({ "code": ada.totp.code_at(service.clock.now()) });
    assert_eq!(again(&service, &access, right.clone()).await.outcome(), outcome(429, "slow_down"));
    // Another session has a counter of its own for passwords. A success resets it, and that of the codes.
    let token = first_step(&service, HOME, "ada").await;
    let done = second_step(&service, HOME, &token, "recovery_code", &ada.codes[0]).await.access_token();
    for _ in 0..4 {
        let wrong = json!({ "current_password": "not the password" });
        assert_eq!(again(&service, &done, wrong).await.outcome(), outcome(400, "wrong_password"));
    }
    assert_eq!(again(&service, &done, right).await.status, 200);
    for _ in 0..5 {
        assert_eq!(again(&service, &done, json!({ "code": "000000" })).await.status, 400);
    }
}

/// A thief of the password can open sessions, and change the password in each. Only a right code gives more guesses at codes.
///
/// invariant: Neither other sessions nor the right password give more guesses at a code of a reauthentication.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_share_the_guesses_at_codes() {
    let (_db, service) = service(&[]).await;
    let ada = enrolled(&service, "ada").await;
    let mut sessions = Vec::new();
    for recovery in &ada.codes[..2] {
        let token = first_step(&service, HOME, "ada").await;
        let login = second_step(&service, HOME, &token, "recovery_code", recovery).await;
        sessions.push(login.access_token());
    }
    let wrong = json!({ "code": "000000" });
    for _ in 0..3 {
        assert_eq!(again(&service, &sessions[0], wrong.clone()).await.outcome(), outcome(400, "wrong_code"));
    }
    // The same password again is refused after it has matched, and that resets the counter of the session.
    let same = json!({ "current_password": PASSWORD, "new_password": PASSWORD });
    service.send_as(&sessions[0], json_post("/password", &same)).await;
    let _ = service.journal.take();
    let mut statuses = Vec::new();
    for session in [&sessions[1], &sessions[0], &sessions[1], &sessions[0]] {
        statuses.push(again(&service, session, wrong.clone()).await.status);
    }
    assert_eq!(statuses, [400, 400, 429, 429]);
    assert_eq!(limits(&service), [Exhausted::SecondFactor; 2]);
    // Logins have other counters, so the user can still log in.
    let token = first_step(&service, HOME, "ada").await;
    assert_eq!(second_step(&service, HOME, &token, "recovery_code", &ada.codes[2]).await.status, 200);
}

/// An access token outlives its session by minutes, and gains nothing by it.
///
/// invariant: An ended session is not authenticated again.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_live_session_with_the_right_to_the_account() {
    let (_db, service) = service(&[]).await;
    service.quick_user("bob").await;
    let login = service.login_from(HOME, "bob", PASSWORD).await;
    let access = login.access_token();
    let request = json_post("/reauthenticate", &json!({ "current_password": PASSWORD }));
    assert_eq!(service.send(request).await.outcome(), outcome(401, "invalid_token"), "no authorizer");
    let narrow = json!({ "username": "bob", "password": PASSWORD, "scope": "orders:read" });
    let narrow = service.post("/login", &narrow).await.access_token();
    assert_eq!(again(&service, &narrow, json!({})).await.outcome(), outcome(403, "insufficient_scope"));
    let _ = service.journal.take();
    let wrong = json!({ "current_password": "not the password" });
    assert_eq!(again(&service, &access, wrong).await.outcome(), outcome(400, "wrong_password"));
    let code = json!({ "code": "000000" });
    assert_eq!(
        again(&service, &access, code).await.outcome(),
        outcome(400, "wrong_code"),
        "bob has no factor"
    );
    let events = service.journal.take();
    let of = |event: &Event| match event {
        Event::PasswordRefused { cause, .. } => format!("{cause:?}"),
        Event::ReauthenticationRefused { cause, .. } => format!("{cause:?}"),
        other => format!("{other:?}"),
    };
    let expected = [format!("{:?}", PasswordRefusal::WrongPassword), format!("{:?}", FactorFault::NoFactor)];
    assert_eq!(events.iter().map(of).collect::<Vec<_>>(), expected);

    let principal = service.principal(&access);
    service.revoke(&login.refresh_token()).await;
    let mut late = json_post("/reauthenticate", &json!({ "current_password": PASSWORD }));
    late.extensions_mut().insert(principal);
    assert_eq!(service.send(late).await.outcome(), outcome(401, "invalid_token"));
}

/// The requests and write units.
#[tokio::test(flavor = "multi_thread")]
async fn requests_on_the_wire() {
    let (_db, service) = service(&[]).await;
    let ada = enrolled(&service, "ada").await;
    service.quick_user("bob").await;
    let bob = service.login_from(HOME, "bob", PASSWORD).await;
    let token = first_step(&service, HOME, "ada").await;
    let code = ada.totp.code_at(service.clock.now());
    let access = second_step(&service, HOME, &token, "code", &code).await.access_token();
    service.clock.advance(STEP);
    service.bench.recorder.ask_capacity(true);
    counted(&service);
    // Read the session and the user, count, write the session, reset the counter.
    assert_eq!(again(&service, &bob.access_token(), json!({})).await.status, 200);
    let right = names(&["DeleteItem", "GetItem", "GetItem", "UpdateItem", "UpdateItem"]);
    assert_eq!(counted(&service), (right, 3.0));
    // A transaction of two items costs four units.
    let code = json!({ "code": ada.totp.code_at(service.clock.now()) });
    assert_eq!(again(&service, &access, code).await.status, 200);
    let (gets, updates) = (["GetItem"; 2], ["UpdateItem"; 2]);
    let strong = [&["DeleteItem"; 2], &gets[..], &["TransactWriteItems"], &updates].concat();
    assert_eq!(counted(&service), (names(&strong), 8.0));
    // A wrong password writes a slot, and a wrong code another. The counters are new, so no slot is busy.
    let password = json!({ "current_password": "not the password" });
    assert_eq!(again(&service, &bob.access_token(), password).await.status, 400);
    assert_eq!(counted(&service), (names(&["GetItem", "GetItem", "UpdateItem"]), 1.0));
    assert_eq!(again(&service, &access, json!({ "code": "000000" })).await.status, 400);
    assert_eq!(counted(&service), (names(&[gets, updates].concat()), 2.0));
    // An ended session costs a read.
    let principal = service.principal(&bob.access_token());
    service.revoke(&bob.refresh_token()).await;
    counted(&service);
    let mut late = json_post("/reauthenticate", &json!({ "current_password": PASSWORD }));
    late.extensions_mut().insert(principal);
    assert_eq!(service.send(late).await.status, 401);
    assert_eq!(counted(&service), (names(&["GetItem"]), 0.0));
}
