//! Passkeys: registration, login without a name, second factor, policy, notices and costs. An authenticator in software signs.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use crate::dpop::Device;
use crate::throttle::counted;
use data_encoding::BASE64URL_NOPAD;
use daypass_core::account::Email;
use daypass_core::account::address::EmailAddress;
use daypass_core::http::request::Request;
use daypass_core::passkey::Fault;
use daypass_core::ports::event::{Event, FactorFault, FactorRefusal, FactorsChange};
use daypass_core::ports::passkey::{PasskeyMismatch, PasskeyRefusal};
use daypass_core::ports::store::{User, UserStatus};
use daypass_testkit::Answer;
use daypass_testkit::depth::amount;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::authenticator::{Authenticator, ORIGIN, RP_ID};
use daypass_tests::mailroom::Mailroom;
use daypass_tests::service::{PASSWORD, Service, post};
use daypass_verifier::base::time::Clock;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CLIENTS: &str = r#"[{"client_id":"web"},{"client_id":"strict","require_mfa":true}]"#;
const PASSKEYS: [(&str, &str); 3] =
    [("DAYPASS_CLIENTS", CLIENTS), ("DAYPASS_PASSKEY_RP_ID", RP_ID), ("DAYPASS_PASSKEY_ORIGINS", ORIGIN)];

pub(crate) async fn service() -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::quick(&embedded.url(), &PASSKEYS).await;
    (embedded, service)
}

pub(crate) fn outcome(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

pub(crate) fn json_request(method: &str, path: &str, body: &Value) -> Request {
    let mut request = post(path, "application/json", body.to_string());
    *request.method_mut() = method.parse().unwrap();
    request
}

/// The claims of an access token.
pub(crate) fn claims(answer: &Answer) -> Value {
    let token = answer.access_token();
    let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// Registers a new passkey with this access token.
pub(crate) async fn register(
    service: &Service,
    access: &str,
    verifies: bool,
    more: Value,
) -> (Authenticator, Answer) {
    let mut authenticator = Authenticator::new(verifies);
    let options = json_request("POST", "/factors/passkeys/options", &json!({}));
    let options = service.send_as(access, options).await;
    assert_eq!(options.status, 200, "{options:?}");
    let mut body = more;
    body["passkey"] = authenticator.create(&options.json());
    body["name"] = json!("Phone");
    let added = service.send_as(access, json_request("POST", "/factors/passkeys", &body)).await;
    (authenticator, added)
}

/// A new user with a passkey.
pub(crate) async fn enrolled(service: &Service, name: &str, verifies: bool) -> (User, Authenticator) {
    let user = service.quick_user(name).await;
    let login = service.login(name).await;
    let (authenticator, added) = register(service, &login.access_token(), verifies, json!({})).await;
    assert_eq!(added.status, 200, "{added:?}");
    let _ = (service.journal.take(), service.bench.recorder.take());
    (user, authenticator)
}

pub(crate) async fn options(service: &Service) -> Value {
    service.post("/login/passkey/options", &json!({})).await.json()
}

/// The response of the authenticator to a new challenge.
pub(crate) async fn shown(service: &Service, authenticator: &mut Authenticator) -> Value {
    json!({ "passkey": authenticator.get(&options(service).await) })
}

async fn log_in(service: &Service, authenticator: &mut Authenticator) -> Answer {
    let body = shown(service, authenticator).await;
    service.post("/login/passkey", &body).await
}

pub(crate) fn refusals(service: &Service) -> Vec<PasskeyRefusal> {
    let cause = |event: &Event| match event {
        Event::PasskeyRefused { cause, .. } => Some(*cause),
        _ => None,
    };
    service.journal.take().iter().filter_map(cause).collect()
}

/// invariant: A passkey that verifies its person opens a session of two factors without a name.
#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_logs_in_without_a_name() {
    let (_db, service) = service().await;
    let (ada, mut authenticator) = enrolled(&service, "ada", true).await;
    let done = log_in(&service, &mut authenticator).await;
    assert_eq!(done.status, 200, "{done:?}");
    let claims = claims(&done);
    assert_eq!(claims["sub"], ada.id.to_string());
    assert_eq!((&claims["amr"], &claims["acr"]), (&json!(["pop", "mfa"]), &json!("2")));
    assert_eq!(done.json()["scope"], "orders:read orders:write");
    assert!(service.lets_through(&done.access_token()));
    assert_eq!(service.refresh(&done.refresh_token()).await.status, 200);
    let listed = service.guarded("GET", "/factors", &done.access_token()).await.json();
    let passkey = &listed["passkeys"][0];
    assert_eq!(passkey["last_used_at"], service.clock.now().seconds());
    assert_eq!((&passkey["name"], &passkey["verifies_user"]), (&json!("Phone"), &json!(true)));
    // Two factors, so it also changes second factors.
    let (_, second) = register(&service, &done.access_token(), true, json!({})).await;
    assert_eq!(second.status, 200, "{second:?}");
    // A narrower scope, and one that was never granted.
    let mut body = shown(&service, &mut authenticator).await;
    body["scope"] = json!("orders:read");
    assert_eq!(service.post("/login/passkey", &body).await.json()["scope"], "orders:read");
    let mut body = shown(&service, &mut authenticator).await;
    body["scope"] = json!("orders:delete");
    assert_eq!(service.post("/login/passkey", &body).await.outcome(), outcome(400, "invalid_scope"));
}

/// invariant: A passkey opens a session that is bound to the key of the login.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_binds_the_session_of_a_passkey() {
    let (_db, service) = service().await;
    let (_, mut authenticator) = enrolled(&service, "ada", true).await;
    let device = Device::new();
    let body = shown(&service, &mut authenticator).await.to_string();
    let first = device.send(&service, "/login/passkey", "application/json", &body).await;
    assert_eq!(first.outcome(), outcome(400, "use_dpop_nonce"));
    // The nonce is asked for before the challenge is used up.
    let done = device.send(&service, "/login/passkey", "application/json", &body).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(claims(&done)["cnf"]["jkt"], device.thumbprint());
    assert!(device.passes(&service, &done.access_token()));
    assert_eq!(device.refresh(&service, &done.refresh_token()).await.status, 200);
    let bare = format!("grant_type=refresh_token&refresh_token={}", done.refresh_token());
    let bare = service.send(post("/refresh", "application/x-www-form-urlencoded", bare)).await;
    assert_eq!(bare.outcome(), outcome(400, "invalid_dpop_proof"));
}

/// The authenticator verifies no person: it is one factor, and the password is the other one.
///
/// invariant: A passkey without user verification opens no session without the password.
#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_without_user_verification_is_one_factor() {
    let (_db, service) = service().await;
    let (ada, mut authenticator) = enrolled(&service, "ada", false).await;
    let expected = outcome(400, "wrong_passkey");
    assert_eq!(log_in(&service, &mut authenticator).await.outcome(), expected);
    // Later it says that it verified its person: a finder may have set a PIN since.
    authenticator.verifies = true;
    assert_eq!(log_in(&service, &mut authenticator).await.outcome(), expected);
    assert_eq!(refusals(&service), [PasskeyRefusal::Stored(PasskeyMismatch::OneFactor); 2]);
    // With the password it is the second one.
    let first = service.login("ada").await;
    let passkey = authenticator.get(&first.json()["passkey"]);
    let body = json!({ "mfa_token": first.text("mfa_token"), "passkey": passkey });
    let both = service.post("/login/factor", &body).await;
    assert_eq!((&claims(&both)["amr"], &claims(&both)["acr"]), (&json!(["pwd", "pop", "mfa"]), &json!("2")));
    let weak = service.guarded("GET", "/factors", &both.access_token()).await.json()["passkeys"][0].clone();
    assert_eq!(weak["verifies_user"], false);
    let path = format!("/factors/passkeys/{}", weak["passkey_id"].as_str().unwrap());
    service.bench.store.set_mfa_required(&ada.username, true, service.clock.now()).await.unwrap();
    let last = service.guarded("DELETE", &path, &both.access_token()).await;
    assert_eq!(last.outcome(), outcome(403, "factor_required"));
}

/// A thief who does not know the PIN asks for a response without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_verified_passkey_always_verifies() {
    let (_db, service) = service().await;
    let (_, mut authenticator) = enrolled(&service, "ada", true).await;
    authenticator.verifies = false;
    assert_eq!(log_in(&service, &mut authenticator).await.outcome(), outcome(400, "wrong_passkey"));
    assert_eq!(refusals(&service), [PasskeyRefusal::Response(Fault::NotVerified)]);
}

/// invariant: The password alone opens no session of a user with a passkey.
#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_a_second_factor() {
    let (_db, service) = service().await;
    let (_, mut own) = enrolled(&service, "ada", true).await;
    let (_, mut other) = enrolled(&service, "bob", true).await;
    let first = service.login("ada").await;
    assert_eq!(first.outcome(), outcome(403, "mfa_required"));
    let body = first.json();
    assert_eq!(body["factors"], json!(["passkey"]));
    assert_eq!(body["passkey"]["allowCredentials"].as_array().unwrap().len(), 1);
    let token = first.text("mfa_token");
    let second = async |passkey: Value| {
        service.post("/login/factor", &json!({ "mfa_token": token, "passkey": passkey })).await
    };
    let _ = service.journal.take();
    // The passkey of another user, and a challenge of another purpose.
    let wrong = outcome(400, "wrong_passkey");
    assert_eq!(second(other.get(&body["passkey"])).await.outcome(), wrong);
    assert_eq!(second(own.get(&options(&service).await)).await.outcome(), wrong);
    let causes: Vec<FactorRefusal> = service
        .journal
        .take()
        .iter()
        .filter_map(|event| match event {
            Event::LoginFactorRefused { cause, .. } => Some(*cause),
            _ => None,
        })
        .collect();
    assert_eq!(causes[1], FactorRefusal::Factor(FactorFault::Passkey(Fault::Challenge)));
    let passkey = own.get(&body["passkey"]);
    let done = second(passkey.clone()).await;
    assert_eq!((done.status, &claims(&done)["acr"]), (200, &json!("2")), "{done:?}");
    assert_eq!(second(passkey).await.outcome(), wrong, "the response was used");
    assert_eq!(second(json!({ "id": "x" })).await.outcome(), outcome(400, "invalid_request"));
    // A recovery code replaces a lost passkey.
    let renewed = json_request("POST", "/factors/recovery-codes", &json!({}));
    let codes = service.send_as(&done.access_token(), renewed).await.json()["recovery_codes"].clone();
    let first = service.login("ada").await;
    assert_eq!(first.json()["factors"], json!(["recovery_code", "passkey"]));
    let body = json!({ "mfa_token": first.text("mfa_token"), "recovery_code": codes[0] });
    assert_eq!(service.post("/login/factor", &body).await.status, 200);
}

/// Registered through the API: the counter is checked by the store too (`what_changed_meanwhile_opens_nothing`).
///
/// invariant: A login with a copied passkey is rejected and raises an alarm.
#[tokio::test(flavor = "multi_thread")]
async fn a_copied_passkey_is_rejected() {
    let (_db, service) = service().await;
    let (ada, mut authenticator) = enrolled(&service, "ada", true).await;
    authenticator.count = Some(9);
    assert_eq!(log_in(&service, &mut authenticator).await.status, 200);
    let _ = service.journal.take();
    authenticator.count = Some(9);
    assert_eq!(log_in(&service, &mut authenticator).await.outcome(), outcome(400, "wrong_passkey"));
    let events = service.journal.take();
    let copied = |event: &Event| matches!(event, Event::PasskeyCopied { user, .. } if *user == ada.id);
    assert!(events.iter().any(copied), "{events:?}");
    // An authenticator that does not count logs in as often as it likes, if it never counted.
    let (_, mut zero) = enrolled(&service, "bob", true).await;
    zero.count = None;
    assert_eq!(
        log_in(&service, &mut zero).await.outcome(),
        outcome(400, "wrong_passkey"),
        "it counted before"
    );
    service.quick_user("eve").await;
    let mut zero = Authenticator::new(true);
    zero.count = None;
    let eve = service.login("eve").await.access_token();
    let begun = service.send_as(&eve, json_request("POST", "/factors/passkeys/options", &json!({}))).await;
    let body = json!({ "name": "Phone", "passkey": zero.create(&begun.json()) });
    service.send_as(&eve, json_request("POST", "/factors/passkeys", &body)).await;
    for _ in 0..3 {
        assert_eq!(log_in(&service, &mut zero).await.status, 200);
    }
}

/// Causes that a caller must not learn: the answers are equal to the byte.
///
/// invariant: A lost response of the store hides no copy of a passkey.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_seen_although_a_response_of_the_store_is_lost() {
    let (_db, service) = service().await;
    let (_, mut authenticator) = enrolled(&service, "ada", true).await;
    assert_eq!(log_in(&service, &mut authenticator).await.status, 200);
    authenticator.count = Some(1);
    let is_first = AtomicBool::new(true);
    service.bench.recorder.set_hook(move |call| {
        let loses = call.operation == "UpdateItem" && is_first.swap(false, Ordering::SeqCst);
        if loses { Action::DropAnswer } else { Action::Pass }
    });
    let _ = service.journal.take();
    assert_eq!(log_in(&service, &mut authenticator).await.outcome(), outcome(400, "wrong_passkey"));
    let copied = |event: &Event| matches!(event, Event::PasskeyCopied { .. });
    assert_eq!(service.journal.take().iter().filter(|event| copied(event)).count(), 1);
}

/// invariant: The answer to a rejected passkey does not say why.
#[tokio::test(flavor = "multi_thread")]
async fn rejections_look_alike() {
    let (_db, service) = service().await;
    let (ada, mut disabled) = enrolled(&service, "ada", true).await;
    let (_, mut removed) = enrolled(&service, "bob", true).await;
    let (_, mut forged) = enrolled(&service, "eve", true).await;
    let now = service.clock.now();
    service.bench.store.set_status(&ada.username, UserStatus::Disabled, now).await.unwrap();
    let bob = daypass_tests::bench::username("bob");
    service.bench.store.remove_user(&bob, now).await.unwrap();
    let mut unknown = Authenticator::new(true);
    unknown.create(&json!({ "user": { "id": "AAAAAAAAAAAAAAAAAAAAAA" }, "rp": { "id": RP_ID } }));
    let mut answers = Vec::new();
    for authenticator in [&mut disabled, &mut removed, &mut unknown] {
        answers.push(log_in(&service, authenticator).await);
    }
    let mut body = shown(&service, &mut forged).await;
    body["passkey"]["response"]["signature"] = json!("AAAA");
    answers.push(service.post("/login/passkey", &body).await);
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (400, &answers[0].body));
    }
    let causes = [
        PasskeyRefusal::Stored(PasskeyMismatch::Disabled),
        PasskeyRefusal::Stored(PasskeyMismatch::UnknownPasskey),
        PasskeyRefusal::Stored(PasskeyMismatch::UnknownPasskey),
        PasskeyRefusal::Response(Fault::Signature),
    ];
    assert_eq!(refusals(&service), causes);
}

/// invariant: A response of an authenticator opens one session, at any concurrency.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_response_64_times_is_one_login() {
    let (_db, service) = service().await;
    let (ada, mut authenticator) = enrolled(&service, "ada", true).await;
    let body = shown(&service, &mut authenticator).await;
    let answers = join_all((0..64).map(|_| service.post("/login/passkey", &body))).await;
    let with = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(with(200), 1, "{:?}", answers.iter().map(Answer::outcome).collect::<Vec<_>>());
    assert_eq!(with(200) + with(400) + with(503), 64);
    assert_eq!(
        service.bench.store.sessions(ada.id).await.unwrap().len(),
        2,
        "that of the enrolment, and one"
    );
    service.clock.advance(Duration::from_secs(301));
    assert_eq!(service.post("/login/passkey", &body).await.outcome(), outcome(400, "wrong_passkey"));
}

/// What the docs promise for each change: the event, the mail, and the ended sessions.
#[tokio::test(flavor = "multi_thread")]
async fn passkeys_are_added_renamed_and_removed() {
    let (db, service) = service().await;
    let room = Mailroom::of(&service, &db.url()).await;
    let user = service.quick_user("ada").await;
    let address = EmailAddress::parse("ada@example.com").unwrap();
    let email = Email { address, verified: true, undeliverable: None };
    service.bench.store.set_email(&user.username, Some(&email), service.clock.now()).await.unwrap();
    let login = service.login("ada").await;
    let other = service.login("ada").await;
    let _ = service.journal.take();
    let more = json!({ "end_other_sessions": true, "language": "de" });
    let (mut authenticator, added) = register(&service, &login.access_token(), true, more).await;
    assert_eq!(added.status, 200, "{added:?}");
    let changes = |service: &Service| -> Vec<FactorsChange> {
        let change = |event: &Event| match event {
            Event::FactorsChanged { change, .. } => Some(*change),
            _ => None,
        };
        service.journal.take().iter().filter_map(change).collect()
    };
    assert_eq!(changes(&service), [FactorsChange::PasskeyAdded]);
    assert!(room.mails().await.remove(0).text.contains("neuen Passkey"));
    assert_eq!(service.refresh(&other.refresh_token()).await.outcome(), outcome(400, "invalid_grant"));

    // The session of the password alone changes nothing more.
    let id = added.json()["passkey_id"].as_str().unwrap().to_owned();
    let path = format!("/factors/passkeys/{id}");
    let name = json!({ "name": "Work laptop" });
    let weak = service.send_as(&login.access_token(), json_request("PATCH", &path, &name)).await;
    assert_eq!(weak.outcome(), outcome(403, "insufficient_user_authentication"));
    let strong = log_in(&service, &mut authenticator).await.access_token();
    assert_eq!(service.send_as(&strong, json_request("PATCH", &path, &name)).await.status, 204);
    let listed = service.guarded("GET", "/factors", &strong).await.json();
    assert_eq!(listed["passkeys"][0]["name"], "Work laptop");
    for bad in [json!({}), json!({ "name": "x".repeat(65) }), json!({ "name": "a\u{7}b" })] {
        let answer = service.send_as(&strong, json_request("PATCH", &path, &bad)).await;
        assert_eq!(answer.outcome(), outcome(400, "invalid_request"));
    }
    // Registered already, by this user or another one.
    let begun = service.send_as(&strong, json_request("POST", "/factors/passkeys/options", &json!({}))).await;
    let body = json!({ "name": "Again", "passkey": authenticator.create(&begun.json()) });
    let again = service.send_as(&strong, json_request("POST", "/factors/passkeys", &body)).await;
    assert_eq!(again.outcome(), outcome(409, "already_exists"));
    service.quick_user("bob").await;
    let bob = service.login("bob").await.access_token();
    assert_eq!(service.guarded("DELETE", &path, &bob).await.outcome(), outcome(404, "invalid_request"));

    let _ = service.journal.take();
    assert_eq!(service.guarded("DELETE", &path, &strong).await.status, 204);
    assert_eq!(changes(&service), [FactorsChange::PasskeyRemoved]);
    assert!(room.mails().await.remove(0).text.contains("one passkey less"));
    assert_eq!(service.guarded("DELETE", &path, &strong).await.outcome(), outcome(404, "invalid_request"));
    assert_eq!(log_in(&service, &mut authenticator).await.outcome(), outcome(400, "wrong_passkey"));
    assert_eq!(service.login("ada").await.status, 200, "the password alone again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_at_most_ten_passkeys() {
    let (_db, service) = service().await;
    let (_, mut first) = enrolled(&service, "ada", true).await;
    let access = log_in(&service, &mut first).await.access_token();
    let begin = async || {
        service.send_as(&access, json_request("POST", "/factors/passkeys/options", &json!({}))).await
    };
    let mut late = Authenticator::new(true);
    let late = late.create(&begin().await.json());
    for _ in 1..10 {
        assert_eq!(register(&service, &access, true, json!({})).await.1.status, 200);
    }
    assert_eq!(begin().await.outcome(), outcome(400, "invalid_request"));
    let body = json!({ "name": "Late", "passkey": late });
    let added = service.send_as(&access, json_request("POST", "/factors/passkeys", &body)).await;
    assert_eq!(added.outcome(), outcome(400, "invalid_request"));
    assert_eq!(
        service.guarded("GET", "/factors", &access).await.json()["passkeys"].as_array().unwrap().len(),
        10
    );
}

/// A challenge of a registration is for one user, and the response must be of this service.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_checked() {
    let (_db, service) = service().await;
    for name in ["ada", "bob"] {
        service.quick_user(name).await;
    }
    let (ada, bob) = (service.login("ada").await.access_token(), service.login("bob").await.access_token());
    let begin = json_request("POST", "/factors/passkeys/options", &json!({}));
    let options = service.send_as(&ada, begin).await.json();
    let mut elsewhere = options.clone();
    elsewhere["rp"]["id"] = json!("example.org");
    let good = Authenticator::new(true).create(&options);
    let wrong = Authenticator::new(true).create(&elsewhere);
    let _ = service.journal.take();
    for (access, passkey, fault) in [(&bob, &good, Fault::Challenge), (&ada, &wrong, Fault::RelyingParty)] {
        let body = json!({ "name": "x", "passkey": passkey });
        let refused = service.send_as(access, json_request("POST", "/factors/passkeys", &body)).await;
        assert_eq!(refused.outcome(), outcome(400, "wrong_passkey"));
        assert_eq!(refusals(&service), [PasskeyRefusal::Response(fault)]);
    }
    service.clock.advance(Duration::from_secs(601));
    let begin = json_request("POST", "/factors/passkeys/options", &json!({}));
    let late = service.login("ada").await;
    service.clock.advance(Duration::from_secs(601));
    let fresh = service.refresh(&late.refresh_token()).await.access_token();
    assert_eq!(
        service.send_as(&fresh, begin).await.outcome(),
        outcome(403, "insufficient_user_authentication")
    );
}

/// A passkey satisfies the policy, is the last factor that stays, and goes with a reset.
#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_the_required_factor() {
    let (_db, service) = service().await;
    let ada = service.quick_user("ada").await;
    let strict = json!({ "username": "ada", "password": PASSWORD, "client_id": "strict" });
    let limited = service.post("/login", &strict).await;
    assert_eq!(limited.json()["mfa_enrolment_required"], true);
    let (mut authenticator, added) = register(&service, &limited.access_token(), true, json!({})).await;
    assert_eq!(added.status, 200, "{added:?}");
    let mut body = shown(&service, &mut authenticator).await;
    body["client_id"] = json!("strict");
    let whole = service.post("/login/passkey", &body).await;
    assert_eq!(whole.json()["scope"], "orders:read orders:write");
    let path = format!("/factors/passkeys/{}", added.json()["passkey_id"].as_str().unwrap());
    let last = service.guarded("DELETE", &path, &whole.access_token()).await;
    assert_eq!(last.outcome(), outcome(403, "factor_required"));
    let operated = service.operate("GET", "/admin/user?username=ada", None).await.json();
    assert_eq!(operated["factors"], json!(["passkey"]));
    let reset = service.operate("DELETE", "/admin/user/factors?username=ada", None).await;
    assert_eq!((reset.status, reset.json()["sessions_ended"].clone()), (200, json!(2)), "{reset:?}");
    assert_eq!(log_in(&service, &mut authenticator).await.outcome(), outcome(400, "wrong_passkey"));
    let user = service.bench.store.user(&ada.username).await.unwrap().unwrap();
    assert!(user.factors.passkeys.is_empty());
}

/// Without the setting, all of it is off, and users with passkeys do not get in by the password alone.
#[tokio::test(flavor = "multi_thread")]
async fn passkeys_are_off_without_the_setting() {
    let (db, service) = service().await;
    let (_, mut authenticator) = enrolled(&service, "ada", true).await;
    let body = shown(&service, &mut authenticator).await;
    service.quick_user("bob").await;
    let off = service.redeployed(&db.url(), &[("DAYPASS_CLIENTS", CLIENTS)]).await;
    let missing = outcome(404, "invalid_request");
    assert_eq!(off.post("/login/passkey/options", &json!({})).await.outcome(), missing);
    assert_eq!(off.post("/login/passkey", &body).await.outcome(), missing);
    let bob = off.login("bob").await.access_token();
    for path in ["/factors/passkeys/options", "/factors/passkeys"] {
        let mut body = body.clone();
        body["name"] = json!("x");
        assert_eq!(off.send_as(&bob, json_request("POST", path, &body)).await.outcome(), missing);
    }
    let first = off.login("ada").await;
    assert_eq!((first.outcome(), &first.json()["factors"]), (outcome(403, "mfa_required"), &json!([])));
}

/// The requests and write units of each endpoint.
#[tokio::test(flavor = "multi_thread")]
async fn requests_on_the_wire() {
    let (_db, service) = service().await;
    let (_, mut authenticator) = enrolled(&service, "ada", true).await;
    let expected = |operations: &str, units: f64| (operations.to_owned(), units);
    service.bench.recorder.ask_capacity(true);
    let body = shown(&service, &mut authenticator).await;
    assert_eq!(counted(&service), expected("", 0.0), "a challenge");
    // Read the passkey and the user, open the session, read the live sessions. The transaction has four items.
    let done = service.post("/login/passkey", &body).await;
    assert_eq!(done.status, 200);
    assert_eq!(counted(&service), expected("GetItem GetItem Query TransactWriteItems", 8.0));
    // The counter of a repeat has not grown. A conditional write finds that the challenge was used. A forged one costs nothing.
    service.post("/login/passkey", &body).await;
    assert_eq!(counted(&service).0, "GetItem UpdateItem");
    let repeat = PasskeyRefusal::Stored(PasskeyMismatch::Overtaken);
    assert_eq!(refusals(&service), [repeat], "and no alarm for a copy");
    let mut forged = shown(&service, &mut authenticator).await;
    forged["passkey"]["response"]["clientDataJSON"] = json!("AAAA");
    service.post("/login/passkey", &forged).await;
    assert_eq!(counted(&service), expected("", 0.0));
    // As second factor: the read of the passkey more than a code, and two items more in the transaction.
    let first = service.login("ada").await;
    let _ = counted(&service);
    let passkey = authenticator.get(&first.json()["passkey"]);
    let body = json!({ "mfa_token": first.text("mfa_token"), "passkey": passkey });
    assert_eq!(service.post("/login/factor", &body).await.status, 200);
    let second = "GetItem GetItem Query TransactWriteItems UpdateItem";
    assert_eq!(counted(&service), expected(second, 11.0));
    let access = done.access_token();
    service.guarded("GET", "/factors", &access).await;
    assert_eq!(counted(&service), expected("GetItem GetItem GetItem", 0.0));
    let begun = service.send_as(&access, json_request("POST", "/factors/passkeys/options", &json!({}))).await;
    assert_eq!(counted(&service), expected("GetItem GetItem", 0.0));
    let mut other = Authenticator::new(true);
    let body = json!({ "name": "Key", "passkey": other.create(&begun.json()) });
    let added = service.send_as(&access, json_request("POST", "/factors/passkeys", &body)).await.json();
    // Two units for the user, two for the passkey, and two more for a notice.
    assert_eq!(counted(&service), expected("GetItem GetItem TransactWriteItems", 4.0));
    let path = format!("/factors/passkeys/{}", added["passkey_id"].as_str().unwrap());
    service.send_as(&access, json_request("PATCH", &path, &json!({ "name": "Spare" }))).await;
    assert_eq!(counted(&service), expected("GetItem GetItem UpdateItem", 1.0));
    service.guarded("DELETE", &path, &access).await;
    assert_eq!(counted(&service), expected("GetItem GetItem TransactWriteItems", 4.0));
}

/// Logins and registrations, nine to one, each with a change of one byte or member. `mutated_ceremonies` has more of them.
///
/// invariant: No changed response of an authenticator opens a session or fails the service.
#[tokio::test(flavor = "multi_thread")]
async fn changed_responses_are_rejected() {
    let (_db, service) = service().await;
    let (ada, mut authenticator) = enrolled(&service, "ada", true).await;
    let access = log_in(&service, &mut authenticator).await.access_token();
    let login = shown(&service, &mut authenticator).await;
    let begin = json_request("POST", "/factors/passkeys/options", &json!({}));
    let options = service.send_as(&access, begin).await.json();
    let registration = json!({ "name": "x", "passkey": Authenticator::new(true).create(&options) });
    reject_changes(&service, &ada, &access, &login, &registration).await;
}

/// Sends changes of a good login of a user, a ninth as many of a good registration, and then the login itself.
pub(crate) async fn reject_changes(
    service: &Service,
    user: &User,
    access: &str,
    login: &Value,
    registration: &Value,
) {
    let before = service.bench.store.user(&user.username).await.unwrap().unwrap();
    let mut dice = Dice(1);
    let mut changed: Vec<(usize, Value)> = Vec::new();
    let rounds = amount("changed responses", 300, 10_000);
    for round in 0..rounds {
        // A registration reads the session and the user, and a login nothing before its response is right.
        let (kind, good) = if round % 10 == 0 { (1, registration) } else { (0, login) };
        changed.push((kind, dice.change(good, kind == 1)));
    }
    changed.retain(|(kind, changed)| changed != if *kind == 1 { registration } else { login });
    let mut rejected = [0; 2];
    for some in changed.chunks(32) {
        let answers = join_all(some.iter().map(|(kind, changed)| async move {
            match kind {
                0 => service.post("/login/passkey", changed).await,
                _ => service.send_as(access, json_request("POST", "/factors/passkeys", changed)).await,
            }
        }))
        .await;
        for (answer, (kind, changed)) in answers.iter().zip(some) {
            assert!(matches!(answer.status, 400 | 409), "{answer:?} {changed}");
            rejected[*kind] += 1;
        }
    }
    assert!(rejected[0] > rounds * 85 / 100 && rejected[1] > rounds * 9 / 100, "{rejected:?}");
    assert!(service.bench.store.user(&user.username).await.unwrap() == Some(before));
    assert_eq!(service.post("/login/passkey", login).await.status, 200, "the response itself is good");
}

/// A linear congruential generator.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides.max(1)
    }

    /// One change. No signature covers a registration, so only bytes that are compared change there.
    pub(crate) fn change(&mut self, good: &Value, registration: bool) -> Value {
        let mut changed = good.clone();
        let members: &[&str] = if registration {
            &["/passkey/id", "/passkey/response/clientDataJSON", "/passkey/response/authenticatorData"]
        } else {
            &[
                "/passkey/id",
                "/passkey/response/clientDataJSON",
                "/passkey/response/authenticatorData",
                "/passkey/response/signature",
                "/passkey/response/userHandle",
            ]
        };
        let pointer = members[self.roll(members.len())];
        let member = changed.pointer_mut(pointer).unwrap();
        let mut bytes = BASE64URL_NOPAD.decode(member.as_str().unwrap().as_bytes()).unwrap();
        // Of a registration: the hash of the relying party, and the text of the challenge. Nothing signs the rest, and white space
        // and unknown members of the client data are ignored.
        let (from, to) = match (registration, pointer) {
            (true, "/passkey/response/authenticatorData") => (0, 32),
            (true, "/passkey/response/clientDataJSON") => {
                let text = str::from_utf8(&bytes).unwrap();
                let tail = text.split_once(r#""challenge":""#).unwrap().1;
                let from = text.len() - tail.len();
                (from, from + tail.find('"').unwrap())
            }
            _ => (0, bytes.len()),
        };
        let at = from + self.roll(to - from);
        let byte = u8::try_from(self.roll(256)).unwrap();
        match self.roll(6) {
            0 => bytes[at] = byte,
            1 => bytes.truncate(at),
            2 => bytes[at] ^= 1 << self.roll(8),
            3 => bytes.insert(at, byte),
            4 => _ = bytes.remove(at),
            _ => {
                *member = [json!(null), json!(7), json!([]), json!("!"), json!("")][self.roll(5)].clone();
                return changed;
            }
        }
        *member = json!(BASE64URL_NOPAD.encode(&bytes));
        changed
    }
}
