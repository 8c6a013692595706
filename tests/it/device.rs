//! Device tokens: a user with the token of an earlier login is not locked out by the attempts of others.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use crate::throttle::{HOME, WRONG, elsewhere, limits, operations, service, write_units};
use daypass_core::http::browser::{COOKIE, DEVICE_COOKIE};
use daypass_core::throttle::Exhausted;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_tests::service::{PASSWORD, Service, from, post};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

const DAYS: Duration = Duration::from_secs(24 * 3600);
const APP: &str = "https://app.example.com";
const CLIENTS: &str =
    r#"[{"client_id":"cli"},{"client_id":"app","transport":"cookie","origins":["https://app.example.com"]}]"#;

/// The 20 guesses of the attack, from four addresses. They fill the counter of the account.
async fn fill_the_account(service: &Service, name: &str) {
    for n in 0..20 {
        service.login_from(&elsewhere(200 + n / 5), name, WRONG).await;
    }
}

fn device_token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text("device_token")
}

/// Guesses fill the counter of the account, and the address of the last login is no longer known.
///
/// invariant: A user with a device token logs in from any address, whatever others guess.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_gets_in_with_a_device_token() {
    let (_db, service) = service(&[]).await;
    service.quick_user("alice").await;
    let token = device_token(&service.login_from(HOME, "alice", PASSWORD).await);
    service.clock.advance(181 * DAYS);
    fill_the_account(&service, "alice").await;
    for address in [HOME, &elsewhere(1)] {
        assert_eq!(service.login_from(address, "alice", PASSWORD).await.status, 429, "{address}");
    }
    for n in 0..3 {
        assert_eq!(service.login_on(&token, &elsewhere(n), "alice", WRONG).await.status, 401);
        let login = service.login_on(&token, &elsewhere(n), "alice", PASSWORD).await;
        assert_eq!(device_token(&login), token, "a valid token stays");
    }
    // A name in another spelling is the same user.
    assert_eq!(service.login_on(&token, &elsewhere(9), "ALICE", PASSWORD).await.status, 200);
}

async fn cookie_login(service: &Service, cookies: &str, address: &str) -> Answer {
    let body = json!({ "username": "alice", "password": PASSWORD, "client_id": "app" }).to_string();
    let mut request = from(address, post("/login", "application/json", body));
    for (name, value) in [("origin", APP), ("cookie", cookies)] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    service.send(request).await
}

/// As the test above, for a cookie client. A logout keeps the device cookie.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_keeps_its_device_token() {
    let (_db, service) = service(&[("DAYPASS_CLIENTS", CLIENTS)]).await;
    service.quick_user("alice").await;
    let first = cookie_login(&service, "other=1", HOME).await;
    assert!(first.json().get("device_token").is_none());
    let (token, attributes) = first.cookie(DEVICE_COOKIE).unwrap();
    assert_eq!(attributes, "Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=Strict");

    let mut revocation = post("/revoke", "application/json", "{}");
    let refresh = format!("{COOKIE}={}; {DEVICE_COOKIE}={token}", first.cookie(COOKIE).unwrap().0);
    for (name, value) in [("origin", APP), ("cookie", &refresh)] {
        revocation.headers_mut().insert(name, value.parse().unwrap());
    }
    let revoked = service.send(revocation).await;
    assert_eq!((revoked.status, revoked.cookie(COOKIE).unwrap().0), (200, ""));
    assert_eq!(revoked.cookie(DEVICE_COOKIE), None);

    service.clock.advance(181 * DAYS);
    fill_the_account(&service, "alice").await;
    let device = format!("{DEVICE_COOKIE}={token}");
    for (cookies, status) in [("other=1", 429), (&format!("{device}; {device}"), 429), (&device, 200)] {
        let answer = cookie_login(&service, cookies, &elsewhere(1)).await;
        assert_eq!(answer.status, status, "{cookies}");
        let set = answer.cookie(DEVICE_COOKIE).map(|(token, _)| token);
        assert_eq!(set, (status == 200).then_some(token), "a login renews the age of the cookie");
    }
}

/// Response, requests and hashes of a login, and the limit that throttled it. Tokens of the response are left aside.
async fn seen(
    service: &Service,
    name: &str,
    password: &str,
    device: Option<&str>,
) -> impl PartialEq + std::fmt::Debug {
    let hashed = service.hashes.load(Ordering::SeqCst);
    let _ = service.bench.recorder.take();
    // `null` counts as absent.
    let body = json!({ "username": name, "password": password, "device_token": device });
    let request = from("203.0.113.50", post("/login", "application/json", body.to_string()));
    let answer = service.send(request).await;
    let members: Vec<String> = match answer.json() {
        Value::Object(members) if answer.status == 200 => members.into_iter().map(|(name, _)| name).collect(),
        body => vec![body.to_string()],
    };
    let headers = answer.headers.into_iter().filter(|(name, _)| name != "content-length");
    let mut requests: Vec<String> =
        service.bench.recorder.take().into_iter().map(|exchange| exchange.operation).collect();
    requests.sort();
    let hashes = service.hashes.load(Ordering::SeqCst) - hashed;
    (answer.status, members, headers.collect::<Vec<_>>(), requests, hashes, limits(service))
}

/// invariant: A device token that is invalid or of another user changes neither the response nor the requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_user_has_no_effect() {
    let (_db, service) = service(&[]).await;
    for name in ["alice", "bob"] {
        service.quick_user(name).await;
    }
    let own = device_token(&service.login_from(HOME, "alice", PASSWORD).await);
    let bobs = device_token(&service.login_from(HOME, "bob", PASSWORD).await);
    let mut forged = own.clone();
    forged.replace_range(30..31, if &own[30..31] == "A" { "B" } else { "A" });
    let long = format!("{own}{}", "A".repeat(8_000));
    for locked in [false, true] {
        for (name, password) in [("alice", PASSWORD), ("alice", WRONG), ("unknown", WRONG)] {
            let mut all = Vec::new();
            for device in [None, Some(""), Some("x"), Some(&forged), Some(&bobs), Some(&long)] {
                // Later than any window, and no address is known.
                service.clock.advance(181 * DAYS);
                if locked {
                    fill_the_account(&service, name).await;
                    let _ = limits(&service);
                }
                all.push(seen(&service, name, password, device.map(|device| device as &str)).await);
            }
            assert!(all.iter().all(|one| *one == all[0]), "{name}, locked: {locked}: {all:#?}");
        }
    }
}

/// A device costs what a known address costs: docs/reference/http-api.md has these figures.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_login_with_a_device_token_costs() {
    let (_db, service) = service(&[]).await;
    service.quick_user("alice").await;
    let token = device_token(&service.login_from(HOME, "alice", PASSWORD).await);
    service.bench.recorder.ask_capacity(true);
    let rows = [(PASSWORD, 200, [1, 1, 1, 1], 7.0), (WRONG, 401, [1, 3, 0, 0], 3.0)];
    for (n, (password, status, requests, units)) in rows.into_iter().enumerate() {
        let _ = service.bench.recorder.take();
        let answer = service.login_on(&token, &elsewhere(n), "alice", password).await;
        assert_eq!(answer.status, status, "{n}");
        let exchanges = service.bench.recorder.take();
        let counts = operations(&exchanges);
        let seen = ["GetItem", "UpdateItem", "TransactWriteItems", "Query"]
            .map(|operation| counts.get(operation).copied().unwrap_or_default());
        assert_eq!((seen, exchanges.len()), (requests, requests.iter().sum()), "{n}");
        assert_eq!(write_units(&exchanges), units, "{n}");
    }
}

/// A thief of a device token guesses at one account, five times in a window. The user's own devices are not affected.
///
/// invariant: A stolen device token buys the attempts of one more address, at one account.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_device_token_buys_five_guesses() {
    let (_db, service) = service(&[]).await;
    for name in ["alice", "bob"] {
        service.quick_user(name).await;
    }
    let stolen = device_token(&service.login_from(HOME, "alice", PASSWORD).await);
    let kept = device_token(&service.login_from(HOME, "alice", PASSWORD).await);
    assert_ne!(stolen, kept);
    fill_the_account(&service, "alice").await;
    fill_the_account(&service, "bob").await;
    let _ = limits(&service);
    let mut hashed = 0;
    for n in 0..20 {
        hashed += usize::from(service.login_on(&stolen, &elsewhere(n), "alice", WRONG).await.status == 401);
        assert_eq!(service.login_on(&stolen, &elsewhere(n), "bob", WRONG).await.status, 429);
    }
    assert_eq!(hashed, 5);
    let by = limits(&service);
    assert_eq!(by.iter().filter(|limit| **limit == Exhausted::AccountAndDevice).count(), 15);
    assert_eq!(by.iter().filter(|limit| **limit == Exhausted::Account).count(), 20);
    assert_eq!(service.login_on(&kept, &elsewhere(50), "alice", PASSWORD).await.status, 200);
}

/// Failures with a device token count towards the limits of the address and of the account.
#[tokio::test(flavor = "multi_thread")]
async fn failures_of_a_device_count_for_the_account() {
    let (_db, service) = service(&[("DAYPASS_ACCOUNT_ATTEMPTS", "4")]).await;
    service.quick_user("alice").await;
    let token = device_token(&service.login_from(HOME, "alice", PASSWORD).await);
    for n in 0..4 {
        assert_eq!(service.login_on(&token, &elsewhere(n), "alice", WRONG).await.status, 401);
    }
    assert_eq!(service.login_from(&elsewhere(9), "alice", PASSWORD).await.status, 429);
    assert_eq!(service.login_on(&token, &elsewhere(9), "alice", PASSWORD).await.status, 200);
}

/// Another process with the same keys reads the token, and one with other keys does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_token_is_of_one_stack() {
    let db = Embedded::start(None).unwrap();
    let (own, other) = (Service::quick(&db.url(), &[]).await, Service::quick(&db.url(), &[]).await);
    for service in [&own, &other] {
        service.quick_user("alice").await;
    }
    let token = device_token(&own.login_from(HOME, "alice", PASSWORD).await);
    let again = own.redeployed(&db.url(), &[]).await;
    assert_eq!(device_token(&again.login_on(&token, HOME, "alice", PASSWORD).await), token);
    assert_ne!(device_token(&other.login_on(&token, HOME, "alice", PASSWORD).await), token);
}
