//! The session that a change of the password opens in place of that of the caller: what it has, who is shut out, races, and
//! repeats after a lost response.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::http::browser::COOKIE;
use daypass_core::ports::event::Event;
use daypass_core::ports::store::{User, UserStatus};
use daypass_core::session::Session;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::hold::Hold;
use daypass_testkit::recorder::Action;
use daypass_tests::service::{PASSWORD, Service, from, post, request};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Clock;
use daypass_verifier::revocation::{Answer as Page, SessionDigest};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const HOME: &str = "192.0.2.1";
const NEW: &str = "another horse and its battery";
const WRONG: &str = "not the right password";
const APP: &str = "https://app.example.com";
const CLIENTS: &str = r#"[{"client_id":"web"},{"client_id":"narrow","scope":"orders:read"},
    {"client_id":"app","transport":"cookie","origins":["https://app.example.com"]},
    {"client_id":"admin","transport":"cookie","origins":["https://admin.example.com"]}]"#;

async fn service() -> (Embedded, Service, User) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::quick(&embedded.url(), &[("DAYPASS_CLIENTS", CLIENTS)]).await;
    let user = service.quick_user("alice").await;
    (embedded, service, user)
}

async fn change(service: &Service, access: &str) -> Answer {
    service.change_password(HOME, access, PASSWORD, NEW).await
}

async fn live(service: &Service, user: &User) -> Vec<Session> {
    let sessions = service.bench.store.sessions(user.id).await.unwrap();
    sessions.into_iter().filter(|session| session.is_live(service.clock.now())).collect()
}

fn invalid(answer: &Answer, error: &str) {
    let status = if error == "invalid_token" { 401 } else { 400 };
    assert_eq!(answer.outcome(), (status, error.to_owned()));
}

/// A thief keeps up with the owner by the grace period, and so has every token of the session.
///
/// invariant: A change of the password shuts out a copy of the caller's own session.
#[tokio::test(flavor = "multi_thread")]
async fn a_thief_with_a_copy_is_out() {
    let (_db, service, user) = service().await;
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    let key = "the-key-of-the-owner";
    let owner = service.refresh_under(key, &login.refresh_token()).await;
    let thief = service.refresh(&login.refresh_token()).await;
    assert_eq!(thief.refresh_token(), owner.refresh_token(), "the copy");
    let changed = change(&service, &owner.access_token()).await;

    // At once, within grace and under the key of the owner.
    for token in [thief.refresh_token(), login.refresh_token()] {
        invalid(&service.refresh(&token).await, "invalid_grant");
        invalid(&service.refresh_under(key, &token).await, "invalid_grant");
    }
    invalid(&service.guarded("GET", "/sessions", &thief.access_token()).await, "invalid_token");
    invalid(&service.change_password(HOME, &thief.access_token(), NEW, PASSWORD).await, "wrong_password");
    let theft = |event: &Event| matches!(event, Event::Reuse { .. });
    assert!(!service.journal.take().iter().any(theft), "an ended session is no theft");
    // The feed calls the access tokens back.
    let feed = service.send(request("GET", "/revocations")).await;
    let page = Page::parse(&feed.body, &Issuer::parse("https://id.example.com").unwrap()).unwrap();
    assert_eq!(page.sessions, [SessionDigest::of(&login.text("session_id"))]);

    let listed = service.guarded("GET", "/sessions", &changed.access_token()).await.json();
    assert_eq!(listed["total"], 1);
    assert_eq!(listed["sessions"][0]["session_id"], changed.text("session_id"));
    assert_eq!(service.refresh(&changed.refresh_token()).await.status, 200);
    assert_eq!(live(&service, &user).await.len(), 1);
}

/// The new session is that of a login at the time of the change, with what the old one had.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_new_session_has() {
    let (db, base, user) = service().await;
    let settings = [("DAYPASS_IDLE_SECONDS", "3600"), ("DAYPASS_REFRESH_TOKEN_SECONDS", "7200")];
    let service = base.redeployed(&db.url(), &settings).await;
    let body = json!({ "username": "alice", "password": PASSWORD, "scope": "orders:read daypass:account" });
    let mut login = from(HOME, post("/login", "application/json", body.to_string()));
    let caller = daypass_verifier::ports::context::Caller {
        user_agent: Some("the phone".to_owned()),
        ..Default::default()
    };
    login.extensions_mut().insert(caller);
    let login = service.send(login).await;
    service.clock.advance(Duration::from_millis(2_000_700));
    let changed = change(&service, &service.refresh(&login.refresh_token()).await.access_token()).await;
    assert_eq!(changed.json()["scope"], "orders:read");
    assert_eq!(changed.json()["expires_in"], 300);
    assert_eq!(changed.json()["refresh_expires_in"], 3599, "the idle limit");
    assert!(service.principal(&changed.access_token()).account);
    let session = live(&service, &user).await.remove(0);
    let now = service.clock.now();
    assert_eq!((session.generation, session.rotated_at, session.attempt), (0, None, None));
    assert_eq!((session.named, session.network), (false, None));
    assert_eq!(session.created_at, now);
    assert_eq!(session.absolute_end.seconds(), now.seconds() + 7200);
    assert_eq!((session.client.as_str(), session.device.as_deref()), ("web", Some("the phone")));
    assert_eq!((session.scope.to_string(), session.account), ("orders:read".to_owned(), true));
}

/// The response to the last write is lost. The repeat gets the tokens of the first call, and counts no attempt.
///
/// invariant: A repeat after a lost response to a change of the password gets the same new refresh token, until it was used.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_response_is_repeated() {
    let (_db, service, user) = service().await;
    let access = service.login_from(HOME, "alice", PASSWORD).await.access_token();
    let lost = change(&service, &access).await;
    let later = service.login_from(HOME, "alice", NEW).await;
    for n in 0..7 {
        service.clock.advance(Duration::from_secs(1));
        let hashes = service.hashes.load(Ordering::SeqCst);
        let repeat = change(&service, &access).await;
        assert_eq!(repeat.refresh_token(), lost.refresh_token(), "{n}");
        assert_eq!(service.hashes.load(Ordering::SeqCst) - hashes, 1);
    }
    assert_eq!(service.refresh(&later.refresh_token()).await.status, 200, "a login after the change");
    assert_eq!(live(&service, &user).await.len(), 2);
    // The new password is needed, and guesses at it count.
    for n in 0..7 {
        let guess = service.change_password(HOME, &access, PASSWORD, &format!("{WRONG}, {n}")).await;
        assert_eq!(guess.status, if n < 5 { 400 } else { 429 }, "{n}");
    }
    service.clock.advance(Duration::from_secs(4 * 60));
    assert_eq!(service.refresh(&lost.refresh_token()).await.status, 200);
    invalid(&change(&service, &access).await, "invalid_token");
}

/// One call waits with its last query. Meanwhile, a repeat of the request opens the new session, which the call must not end.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_calls_both_get_the_new_session() {
    let (db, service, user) = service().await;
    let repeating = service.redeployed(&db.url(), &[("DAYPASS_CLIENTS", CLIENTS)]).await;
    let access = service.login_from(HOME, "alice", PASSWORD).await.access_token();
    let (hold, queries) = (Hold::default(), AtomicUsize::new(0));
    let held = hold.clone();
    service.bench.recorder.set_hook(move |call| {
        let is_last = call.operation == "Query" && queries.fetch_add(1, Ordering::SeqCst) == 1;
        if is_last { Action::Held(held.clone()) } else { Action::Pass }
    });
    let repeat = async {
        hold.arrived().await;
        let repeat = change(&repeating, &access).await;
        hold.release();
        repeat
    };
    let (first, repeat) = tokio::join!(change(&service, &access), repeat);
    assert_eq!(first.refresh_token(), repeat.refresh_token());
    assert_eq!(service.refresh(&first.refresh_token()).await.status, 200);
    assert_eq!(live(&service, &user).await.len(), 1);
}

/// Holds the transaction until `meanwhile` is done.
async fn with_meanwhile(service: &Service, access: &str, meanwhile: impl Future<Output = ()>) -> Answer {
    let hold = Hold::default();
    let held = hold.clone();
    service.bench.recorder.set_hook(move |call| match call.operation {
        "TransactWriteItems" => Action::Held(held.clone()),
        _ => Action::Pass,
    });
    let work = async {
        hold.arrived().await;
        meanwhile.await;
        hold.release();
    };
    let (answer, ()) = tokio::join!(change(service, access), work);
    service.bench.recorder.always(Action::Pass);
    answer
}

/// invariant: A change of the password that overlaps with a command of an operator does not undo it: neither a removed scope
/// nor a disabled or removed user comes back.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_meanwhile() {
    let (db, service, user) = service().await;
    // The operator's connection has its own recorder.
    let elsewhere = service.redeployed(&db.url(), &[]).await;
    let operator = &elsewhere.bench.store;
    let (name, now) = (&user.username, service.clock.now());

    let access = service.login_from(HOME, "alice", PASSWORD).await.access_token();
    let narrowed = async {
        operator.set_scope(name, &Scope::parse("orders:read").unwrap(), now).await.unwrap();
    };
    assert_eq!(with_meanwhile(&service, &access, narrowed).await.status, 503);
    let repeat = change(&service, &access).await;
    assert_eq!((repeat.status, &repeat.json()["scope"]), (200, &json!("orders:read")));
    assert_eq!(live(&service, &user).await[0].scope.to_string(), "orders:read");

    let access = repeat.access_token();
    let back = async |access: &str| service.change_password(HOME, access, NEW, PASSWORD).await;
    let access = back(&access).await.access_token();
    let disabled = async {
        operator.set_status(name, UserStatus::Disabled, now).await.unwrap();
    };
    assert_eq!(with_meanwhile(&service, &access, disabled).await.status, 503);
    invalid(&change(&service, &access).await, "invalid_token");
    assert_eq!(live(&service, &user).await, []);

    operator.set_status(name, UserStatus::Enabled, now).await.unwrap();
    let access = service.login_from(HOME, "alice", NEW).await.access_token();
    let access = back(&access).await.access_token();
    let removed = async {
        operator.remove_user(name, now).await.unwrap();
    };
    assert_eq!(with_meanwhile(&service, &access, removed).await.status, 503);
    invalid(&change(&service, &access).await, "invalid_token");
    assert_eq!(live(&service, &user).await, []);
}

/// `set-scope` has changed the user and not yet the sessions.
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_the_user_has_lost_is_lost() {
    let (_db, service, user) = service().await;
    let set = async |words: &[&str]| {
        let update = service.bench.raw.update_item().table_name(&service.bench.tables.users);
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        update
            .key("username", AttributeValue::S("alice".to_owned()))
            .update_expression("SET #scope = :scope")
            .expression_attribute_names("#scope", "scope")
            .expression_attribute_values(":scope", AttributeValue::Ss(words))
            .send()
            .await
            .unwrap()
    };
    let access = service.login_from(HOME, "alice", PASSWORD).await.access_token();
    set(&["orders:read", "admin"]).await;
    let changed = change(&service, &access).await;
    assert_eq!(changed.json()["scope"], "orders:read", "nothing is gained either");
    assert_eq!(live(&service, &user).await[0].scope.to_string(), "orders:read");
    // Nothing is left.
    set(&["admin"]).await;
    let access = changed.access_token();
    let over = service.change_password(HOME, &access, NEW, PASSWORD).await;
    invalid(&over, "invalid_token");
    assert_eq!(live(&service, &user).await, []);
    assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 200, "the password is the new one");
}

/// A refresh that was sent before the change and is applied after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_in_flight_brings_nothing_back() {
    let (db, service, user) = service().await;
    let refreshing = service.redeployed(&db.url(), &[]).await;
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    let hold = Hold::default();
    let held = hold.clone();
    refreshing.bench.recorder.set_hook(move |_| Action::Held(held.clone()));
    let changing = async {
        hold.arrived().await;
        let changed = change(&service, &login.access_token()).await;
        hold.release();
        changed
    };
    let token = login.refresh_token();
    let (refreshed, changed) = tokio::join!(refreshing.refresh(&token), changing);
    invalid(&refreshed, "invalid_grant");
    assert_eq!(service.refresh(&changed.refresh_token()).await.status, 200);
    assert_eq!(live(&service, &user).await.len(), 1);
}

fn of_page(body: &Value, path: &str, headers: &[(&str, &str)]) -> daypass_core::http::request::Request {
    let mut request = from(HOME, post(path, "application/json", body.to_string()));
    for (name, value) in headers {
        request.headers_mut().insert(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
    }
    request
}

/// A cookie client gets the new refresh token in the cookie, and only on a page of its own.
///
/// invariant: A change of the password sets the cookie of a client only for pages of that client.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_client_gets_a_new_cookie() {
    let (_db, service, _) = service().await;
    let body = json!({ "username": "alice", "password": PASSWORD, "client_id": "app" });
    let login = service.send(of_page(&body, "/login", &[("origin", APP)])).await;
    let body = json!({ "current_password": PASSWORD, "new_password": NEW });
    let others = [
        &[] as &[(&str, &str)],
        &[("origin", "https://admin.example.com")],
        &[("origin", "https://evil.example")],
        &[("origin", APP), ("sec-fetch-site", "cross-site")],
    ];
    for headers in others {
        let request = of_page(&body, "/password", headers);
        let denied = service.send_as(&login.access_token(), request).await;
        assert_eq!((denied.status, denied.header("set-cookie")), (403, None), "{headers:?}");
    }
    let changed =
        service.send_as(&login.access_token(), of_page(&body, "/password", &[("origin", APP)])).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["refresh_token"], Value::Null);
    assert_eq!(changed.headers.iter().filter(|(name, _)| name == "set-cookie").count(), 1);
    let old = login.cookie(COOKIE).unwrap().0;
    let new = changed.cookie(COOKIE).unwrap();
    assert!(new.1.starts_with("Max-Age=15552000; "), "{}", new.1);
    for (token, status) in [(old, 400), (new.0, 200)] {
        let cookie = format!("{COOKIE}={token}");
        let refresh = json!({ "grant_type": "refresh_token" });
        let refreshed =
            service.send(of_page(&refresh, "/refresh", &[("origin", APP), ("cookie", &cookie)])).await;
        assert_eq!(refreshed.status, status);
    }
}

/// A refresh with the session of a client that is no longer registered is rejected, so it gets no other session.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_gone_gets_no_session() {
    let (db, service, user) = service().await;
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    let without = service.redeployed(&db.url(), &[("DAYPASS_CLIENTS", r#"[{"client_id":"cli"}]"#)]).await;
    invalid(&change(&without, &login.access_token()).await, "invalid_token");
    let stored = service.bench.store.user(&user.username).await.unwrap().unwrap();
    assert_eq!(stored.password_version, 1);
}
