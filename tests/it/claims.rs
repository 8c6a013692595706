//! Claims of users in sessions and tokens, and logins by e-mail address.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use data_encoding::BASE64URL_NOPAD;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::account::{Email, MAX_SESSION_BYTES, session_room};
use daypass_core::ports::event::{Event, LoginFailure};
use daypass_core::ports::store::UserStatus;
use daypass_dynamodb::EmailChange;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Exchange;
use daypass_tests::bench::{NOW, claims_of, username};
use daypass_tests::service::{PASSWORD, Service};
use daypass_verifier::base::time::Timestamp;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

const HOME: &str = "192.0.2.1";

async fn service() -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::quick(&embedded.url(), &[]).await;
    (embedded, service)
}

/// The payload of the access token in an answer.
fn payload(answer: &Answer) -> Value {
    let token = answer.access_token();
    let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// One request to the store in each refresh. The write unit is counted by `the_largest_session_costs_one_write_unit`.
///
/// invariant: Access tokens have the claims of their user, without a further request in a refresh.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_have_the_claims_of_the_user() {
    let (_db, service) = service().await;
    let user = service.quick_user("alice").await;
    let store = &service.bench.store;
    let set = async |claims: &Claims| {
        store.set_claims(&user.username, claims, NOW).await.unwrap().unwrap();
        let _ = service.bench.recorder.take();
    };
    let bare = service.login_from(HOME, "alice", PASSWORD).await;
    assert_eq!(payload(&bare).get("tenant"), None);
    set(&Claims::parse(r#"{"tenant":"acme","roles":["a","b"],"seats":3}"#).unwrap()).await;
    let refreshed = service.refresh(&bare.refresh_token()).await;
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    for answer in [&refreshed, &login] {
        let claims = payload(answer);
        assert_eq!(
            (&claims["tenant"], &claims["roles"][1], &claims["seats"]),
            (&"acme".into(), &"b".into(), &3.into())
        );
    }
    // A session that takes the place of another one has them too.
    let changed =
        service.change_password(HOME, &login.access_token(), PASSWORD, "another long password").await;
    assert_eq!(payload(&changed)["tenant"], "acme");

    let room = session_room(&user.username, &user.scope, &Claims::default()).unwrap();
    assert_eq!(room, MAX_SESSION_BYTES - "alice".len() - user.scope.to_string().len());
    set(&claims_of(Claims::MAX_BYTES)).await;
    let mut token = changed.refresh_token();
    for _ in 0..3 {
        let refreshed = service.refresh(&token).await;
        let sent: Vec<String> =
            service.bench.recorder.take().into_iter().map(|exchange| exchange.operation).collect();
        assert_eq!(sent, ["UpdateItem"]);
        assert_eq!(payload(&refreshed)["a"].as_str().unwrap().len(), Claims::MAX_BYTES - 8);
        token = refreshed.refresh_token();
    }
}

/// The token of a refresh is new, and the authentication is as old as before.
///
/// invariant: A refresh does not renew the authentication: a route with `within` denies its token too.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_is_no_authentication() {
    let db = Embedded::start(None).unwrap();
    let routes = [("DAYPASS_ROUTES", "* /* needs within 300; default deny")];
    let service = Service::quick(&db.url(), &routes).await;
    service.quick_user("alice").await;
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    let claims = payload(&login);
    assert_eq!((&claims["acr"], &claims["amr"]), (&json!("1"), &json!(["pwd"])));
    let principal = service.principal(&login.access_token());
    assert_eq!(principal.authenticated_at.map(Timestamp::seconds), claims["auth_time"].as_u64());
    service.clock.advance(Duration::from_secs(200));
    let early = service.refresh(&login.refresh_token()).await;
    assert!(service.lets_through(&early.access_token()));
    service.clock.advance(Duration::from_secs(101));
    let late = service.refresh(&early.refresh_token()).await;
    for answer in [&early, &late] {
        assert!(!service.lets_through(&answer.access_token()));
        assert_eq!(payload(answer)["auth_time"], claims["auth_time"]);
    }
    let again = service.login_from(HOME, "alice", PASSWORD).await;
    assert!(service.lets_through(&again.access_token()));
}

async fn set_email(service: &Service, name: &str, address: &str, verified: bool) {
    let email = Email { address: EmailAddress::parse(address).unwrap(), verified, undeliverable: None };
    let set = service.bench.store.set_email(&username(name), Some(&email), NOW).await;
    assert!(matches!(set, Ok(EmailChange::Changed(_))), "{set:?}");
    let _ = service.bench.recorder.take();
}

/// Causes of failed logins since the last call.
fn causes(service: &Service) -> Vec<LoginFailure> {
    let cause = |event: &Event| match event {
        Event::LoginFailed { cause, .. } => Some(*cause),
        _ => None,
    };
    service.journal.take().iter().filter_map(cause).collect()
}

/// invariant: A verified email address is a login name of its user, and an address that is not verified is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_verified_address_is_a_login_name() {
    let (_db, service) = service().await;
    let alice = service.quick_user("alice").await;
    let own = service.quick_user("own@example.com").await;
    set_email(&service, "alice", "alice@example.com", false).await;
    set_email(&service, "own@example.com", "own@example.com", false).await;
    let login = async |name: &str| service.login_from(HOME, name, PASSWORD).await;
    assert_eq!(login("alice@example.com").await.outcome(), (401, "invalid_grant".to_owned()));
    assert_eq!(causes(&service), [LoginFailure::AddressNotVerified]);
    // A name that is the user's own address is a name.
    assert_eq!(payload(&login("Own@Example.com").await)["sub"], own.id.to_string());
    set_email(&service, "alice", "alice@example.com", true).await;
    for name in ["alice@example.com", "Alice@EXAMPLE.com", "alice"] {
        assert_eq!(payload(&login(name).await)["sub"], alice.id.to_string(), "{name}");
    }
    set_email(&service, "alice", "alice@home.example", true).await;
    let _ = service.journal.take();
    assert_eq!(login("alice@example.com").await.status, 401, "the old address");
    assert_eq!(causes(&service), [LoginFailure::UnknownUser]);
    assert_eq!(payload(&login("alice@home.example").await)["sub"], alice.id.to_string());
    // A session that was opened by the address knows the name, for a change of the password.
    let access = login("alice@home.example").await.access_token();
    assert_eq!(service.change_password(HOME, &access, PASSWORD, "another long password").await.status, 200);
}

/// One request more than for another name, in every case.
///
/// invariant: Logins by unknown, unverified and verified addresses with a wrong password get the same response after the same
/// requests, write units and hashes.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_unverified_addresses_cost_the_same() {
    let (_db, service) = service().await;
    for name in ["alice", "bob", "carol", "dora"] {
        service.quick_user(name).await;
    }
    set_email(&service, "alice", "alice@example.com", false).await;
    set_email(&service, "carol", "carol@example.com", false).await;
    set_email(&service, "bob", "bob@example.com", true).await;
    set_email(&service, "dora", "dora@example.com", true).await;
    let store = &service.bench.store;
    store.set_status(&username("dora"), UserStatus::Disabled, NOW).await.unwrap();
    service.bench.recorder.ask_capacity(true);
    let mut seen = Vec::new();
    // A second attempt at one account can meet its busy slot, which costs a request more.
    for (at, (name, password)) in [
        ("unknown@example.com", PASSWORD),
        ("alice@example.com", PASSWORD),
        ("carol@example.com", "not the right password"),
        ("bob@example.com", "not the right password"),
        ("dora@example.com", PASSWORD),
        ("nobody", PASSWORD),
    ]
    .into_iter()
    .enumerate()
    {
        let _ = service.bench.recorder.take();
        let hashes = service.hashes.load(Ordering::SeqCst);
        let answer = service.login_from(&format!("192.0.2.{at}"), name, password).await;
        let exchanges = service.bench.recorder.take();
        let mut requests: Vec<(String, String)> = exchanges
            .iter()
            .map(|exchange| (exchange.operation.clone(), exchange.response()["ConsumedCapacity"].to_string()))
            .collect();
        let is_claim = |exchange: &Exchange| {
            exchange.request["Key"]["username"]["S"].as_str().is_some_and(|key| key.starts_with("email#"))
        };
        let claims = exchanges.iter().filter(|exchange| is_claim(exchange)).count();
        assert_eq!(claims, usize::from(name != "nobody"), "{name}");
        requests.sort();
        seen.push((answer, requests, service.hashes.load(Ordering::SeqCst) - hashes));
    }
    let nobody = seen.pop().unwrap();
    for other in &seen[1..] {
        assert_eq!(other, &seen[0]);
    }
    assert_eq!((&nobody.0, nobody.1.len(), nobody.2), (&seen[0].0, seen[0].1.len() - 1, seen[0].2));
}

/// Attempts at the name and at the address use up one limit, and a device token of one is good for the other.
///
/// invariant: A user name and its verified email address have the same counters, device tokens and known addresses.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_and_its_address_share_their_limits() {
    let (_db, service) = service().await;
    service.quick_user("alice").await;
    set_email(&service, "alice", "alice@example.com", true).await;
    let body = |name: &str, password: &str, device: Option<&str>| {
        let mut body = json!({ "username": name, "password": password });
        if let Some(device) = device {
            body["device_token"] = device.into();
        }
        body
    };
    let device =
        service.post("/login", &body("alice@example.com", PASSWORD, None)).await.text("device_token");
    let mut statuses = Vec::new();
    for n in 0..40 {
        let name = if n % 2 == 0 { "alice" } else { "alice@example.com" };
        statuses.push(service.login_from("192.0.2.77", name, "not the right password").await.status);
    }
    let counted = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!(counted, 5, "{statuses:?}");
    for name in ["alice", "alice@example.com"] {
        assert_eq!(service.login_from("192.0.2.77", name, PASSWORD).await.status, 429, "{name}");
        let known = service.post("/login", &body(name, PASSWORD, Some(&device))).await;
        assert_eq!((known.status, known.text("device_token")), (200, device.clone()), "{name}");
    }
}
