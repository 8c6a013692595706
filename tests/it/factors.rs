//! Second factors: the two steps of a login, enrolment, recovery codes, policy, notices and costs.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use crate::throttle::{counted, limits, names};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use daypass_core::account::Email;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::factor::totp::{Totp, TotpHash};
use daypass_core::keys::Document;
use daypass_core::keys::rotation::Rules;
use daypass_core::ports::event::{AdminAction, Event, FactorFault, FactorRefusal, FactorsChange};
use daypass_core::ports::store::User;
use daypass_core::secret::Secret;
use daypass_core::session::EndReason;
use daypass_core::throttle::Exhausted;
use daypass_core::token::mfa::MfaTokenError;
use daypass_runtime::OsEntropy;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::mailroom::Mailroom;
use daypass_tests::service::{PASSWORD, Service, from, post, quick_hash, request};
use daypass_verifier::base::time::Clock;
use daypass_verifier::jose::jwk::Algorithm;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const HOME: &str = "192.0.2.1";
const AWAY: &str = "198.51.100.7";
pub(crate) const STEP: Duration = Duration::from_secs(30);
const CLIENTS: &str = r#"[
    {"client_id":"web"},
    {"client_id":"strict","require_mfa":true,"account_url":"https://app.example.com/account"}
]"#;

pub(crate) async fn service(settings: &[(&str, &str)]) -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let settings = [&[("DAYPASS_CLIENTS", CLIENTS)], settings].concat();
    let service = Service::quick(&embedded.url(), &settings).await;
    (embedded, service)
}

pub(crate) fn outcome(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

/// A user with an app, and the recovery codes of the enrolment.
pub(crate) struct Enrolled {
    pub(crate) user: User,
    pub(crate) totp: Totp,
    pub(crate) codes: Vec<String>,
}

/// The app that has scanned the code of an enrolment.
fn app(begun: &Value) -> Totp {
    let secret = BASE32_NOPAD.decode(begun["secret"].as_str().unwrap().as_bytes()).unwrap();
    Totp::imported(TotpHash::Sha1, 6, 30, Secret::new(secret)).unwrap()
}

/// Enrols with this access token. The code of the confirmation is that of the step before, so the current one is unused.
async fn enrol(service: &Service, access_token: &str, more: Value) -> (Totp, Answer) {
    let begun = service.send_as(access_token, json_post("/factors/totp", &json!({}))).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let totp = app(&begun.json());
    let mut body = more;
    body["enrolment_token"] = begun.json()["enrolment_token"].clone();
    body["code"] = json!(totp.code_at(service.clock.now().before(STEP)));
    let confirmed = service.send_as(access_token, json_post("/factors/totp/confirm", &body)).await;
    (totp, confirmed)
}

fn codes(answer: &Answer) -> Vec<String> {
    let codes = answer.json()["recovery_codes"].as_array().unwrap().clone();
    codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn enrolled(service: &Service, name: &str) -> Enrolled {
    let user = service.quick_user(name).await;
    let login = service.login_from(HOME, name, PASSWORD).await;
    let (totp, confirmed) = enrol(service, &login.access_token(), json!({})).await;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    let _ = (service.journal.take(), service.bench.recorder.take());
    Enrolled { user, totp, codes: codes(&confirmed) }
}

pub(crate) fn json_post(path: &str, body: &Value) -> daypass_core::http::request::Request {
    post(path, "application/json", body.to_string())
}

/// The first step from an address. Panics unless it asks for a factor.
pub(crate) async fn first_step(service: &Service, address: &str, name: &str) -> String {
    let answer = service.login_from(address, name, PASSWORD).await;
    assert_eq!(answer.outcome(), outcome(403, "mfa_required"), "{answer:?}");
    answer.text("mfa_token")
}

pub(crate) async fn second_step(
    service: &Service,
    address: &str,
    token: &str,
    name: &str,
    code: &str,
) -> Answer {
    let body = json!({ "mfa_token": token, name: code });
    service.send(from(address, json_post("/login/factor", &body))).await
}

fn faults(service: &Service) -> Vec<FactorRefusal> {
    let fault = |event: &Event| match event {
        Event::LoginFactorRefused { cause, .. } => Some(*cause),
        _ => None,
    };
    service.journal.take().iter().filter_map(fault).collect()
}

/// invariant: The password alone opens no session of a user with a second factor.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_takes_two_steps() {
    let (_db, service) = service(&[]).await;
    let ada = enrolled(&service, "ada").await;
    let first = service.login_from(AWAY, "ada", PASSWORD).await;
    assert_eq!(first.outcome(), outcome(403, "mfa_required"));
    assert_eq!(first.json()["factors"], json!(["totp", "recovery_code"]));
    assert_eq!(first.json()["expires_in"], 300);
    for name in ["access_token", "refresh_token", "device_token", "session_id"] {
        assert!(first.json()[name].is_null(), "{name}");
    }
    assert_eq!(service.bench.store.sessions(ada.user.id).await.unwrap().len(), 1, "that of the enrolment");
    let token = first.text("mfa_token");
    let code = ada.totp.code_at(service.clock.now());
    let done = second_step(&service, AWAY, &token, "code", &code).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(done.json()["scope"], "orders:read orders:write");
    assert!(service.lets_through(&done.access_token()));
    assert_eq!(service.refresh(&done.refresh_token()).await.status, 200);
    // The token of the first step is worth no second code.
    assert_eq!(
        second_step(&service, AWAY, &token, "code", &code).await.outcome(),
        outcome(400, "wrong_code")
    );
    assert_eq!(faults(&service), [FactorRefusal::Factor(FactorFault::UsedCode)]);
}

/// Wrong passwords cost the same requests and get the same answer, with and without a second factor.
///
/// invariant: Nothing reveals a second factor before the password was right.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_reveals_no_factor() {
    let (_db, service) = service(&[]).await;
    enrolled(&service, "ada").await;
    service.quick_user("bob").await;
    let mut seen = Vec::new();
    let _ = service.bench.recorder.take();
    // Each from an address of its own: a slot of one address can be busy, and the next one is a further request.
    for (name, address) in [("ada", AWAY), ("bob", "203.0.113.9"), ("unknown", "192.0.2.77")] {
        let answer = service.login_from(address, name, "not the password").await;
        let operations: Vec<String> =
            service.bench.recorder.take().into_iter().map(|exchange| exchange.operation).collect();
        seen.push((answer.status, answer.body.clone(), operations.len()));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[0].0, 401);
}

/// invariant: A one-time code opens one session, at any concurrency.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_code_64_times_is_one_login() {
    let (_db, service) = service(&[("DAYPASS_LOGIN_ATTEMPTS", "100")]).await;
    let ada = enrolled(&service, "ada").await;
    let tokens = join_all((0..64).map(|_| first_step(&service, HOME, "ada"))).await;
    let code = ada.totp.code_at(service.clock.now());
    let attempts = tokens.iter().map(|token| second_step(&service, HOME, token, "code", &code));
    let answers = join_all(attempts).await;
    let with = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(with(200), 1, "{:?}", answers.iter().map(Answer::outcome).collect::<Vec<_>>());
    assert_eq!(with(200) + with(400) + with(503), 64);
    let sessions = service.bench.store.sessions(ada.user.id).await.unwrap();
    assert_eq!(sessions.len(), 2, "that of the enrolment, and one");
}

/// A code of the step before, the current one and the next one opens a session, in this order. No other does, and none again.
#[tokio::test(flavor = "multi_thread")]
async fn three_steps_are_accepted_in_order() {
    let (_db, service) = service(&[("DAYPASS_LOGIN_ATTEMPTS", "100")]).await;
    let ada = enrolled(&service, "ada").await;
    service.clock.advance(STEP * 10);
    let now = service.clock.now();
    let token = first_step(&service, HOME, "ada").await;
    let attempt = async |code: String| second_step(&service, HOME, &token, "code", &code).await.status;
    for far in 2..6 {
        assert_eq!(attempt(ada.totp.code_at(now.before(STEP * far))).await, 400, "{far} steps before");
        assert_eq!(attempt(ada.totp.code_at(now + STEP * far)).await, 400, "{far} steps after");
    }
    for time in [now.before(STEP), now, now + STEP] {
        assert_eq!(attempt(ada.totp.code_at(time)).await, 200);
        assert_eq!(attempt(ada.totp.code_at(time)).await, 400, "a second time");
    }
    assert_eq!(attempt(ada.totp.code_at(now)).await, 400, "before the last one");
}

/// A thief has the password, and asks for as many tokens as the limits allow. The user logs in on a known device meanwhile.
///
/// invariant: Guesses at codes stop at the limit of the user, however many tokens the sender has.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_stop_at_the_limit() {
    let (_db, service) = service(&[]).await;
    let ada = enrolled(&service, "ada").await;
    let token = first_step(&service, HOME, "ada").await;
    let code = ada.totp.code_at(service.clock.now());
    let login = second_step(&service, HOME, &token, "code", &code).await;
    let device = login.text("device_token");
    let mut statuses = Vec::new();
    for n in 0..8 {
        let address = format!("203.0.113.{n}");
        let token = first_step(&service, &address, "ada").await;
        statuses.push(second_step(&service, &address, &token, "code", "000000").await.status);
    }
    assert_eq!(statuses, [400, 400, 400, 400, 400, 429, 429, 429]);
    assert_eq!(limits(&service), [Exhausted::SecondFactor; 3]);
    // Neither a right code nor a recovery code passes from there.
    service.clock.advance(STEP);
    let right = ada.totp.code_at(service.clock.now());
    let token = first_step(&service, AWAY, "ada").await;
    assert_eq!(second_step(&service, AWAY, &token, "code", &right).await.status, 429);
    assert_eq!(second_step(&service, AWAY, &token, "recovery_code", &ada.codes[0]).await.status, 429);
    // A proved device and a known address have counters of their own.
    let first = service.login_on(&device, AWAY, "ada", PASSWORD).await;
    let done = second_step(&service, AWAY, &first.text("mfa_token"), "code", &right).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(done.text("device_token"), device);
    service.clock.advance(STEP);
    let token = first_step(&service, HOME, "ada").await;
    let code = ada.totp.code_at(service.clock.now());
    assert_eq!(second_step(&service, HOME, &token, "code", &code).await.status, 200);
}

/// invariant: A recovery code opens one session.
#[tokio::test(flavor = "multi_thread")]
async fn each_recovery_code_works_once() {
    let (_db, service) = service(&[("DAYPASS_LOGIN_ATTEMPTS", "100")]).await;
    let ada = enrolled(&service, "ada").await;
    assert_eq!(ada.codes.len(), 10);
    for (n, code) in ada.codes.iter().enumerate() {
        let token = first_step(&service, HOME, "ada").await;
        let typed = code.to_uppercase().replace('-', " ");
        let attempts = (0..4).map(|_| second_step(&service, HOME, &token, "recovery_code", &typed));
        let answers = join_all(attempts).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{n}");
        assert_eq!(second_step(&service, HOME, &token, "recovery_code", code).await.status, 400, "{n}");
        let left = service.journal.take().iter().find_map(|event| match event {
            Event::RecoveryCodeUsed { left, .. } => Some(*left),
            _ => None,
        });
        assert_eq!(left, Some(9 - n as u64));
    }
    let first = service.login_from(HOME, "ada", PASSWORD).await;
    assert_eq!(first.json()["factors"], json!(["totp"]), "all are used");
}

/// The token of the first step dies with the password, and with its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_first_step_is_limited() {
    let (_db, service) = service(&[]).await;
    let ada = enrolled(&service, "ada").await;
    let token = first_step(&service, HOME, "ada").await;
    service.clock.advance(Duration::from_secs(299));
    let name = &ada.user.username;
    let (hash, now) = (quick_hash(PASSWORD), service.clock.now());
    service.bench.store.set_password(name, &hash, now).await.unwrap().unwrap();
    let code = ada.totp.code_at(service.clock.now());
    let refused = second_step(&service, HOME, &token, "code", &code).await;
    assert_eq!(refused.outcome(), outcome(400, "invalid_grant"));
    service.clock.advance(Duration::from_secs(1));
    for bad in [token.as_str(), "x", &format!("{token}=")] {
        let refused = second_step(&service, HOME, bad, "code", &code).await;
        assert_eq!(refused.outcome(), outcome(400, "invalid_grant"));
    }
    let expected = [
        FactorRefusal::Factor(FactorFault::UserChanged),
        FactorRefusal::Token(MfaTokenError::Expired),
        FactorRefusal::Token(MfaTokenError::Malformed),
        FactorRefusal::Token(MfaTokenError::Malformed),
    ];
    assert_eq!(faults(&service), expected);
}

/// A change needs a login of the last ten minutes, and the right to the account endpoints.
///
/// invariant: Second factors change only soon after an authentication.
#[tokio::test(flavor = "multi_thread")]
async fn changes_need_a_fresh_authentication() {
    let (_db, service) = service(&[]).await;
    service.quick_user("ada").await;
    let login = service.login_from(HOME, "ada", PASSWORD).await;
    service.clock.advance(Duration::from_secs(601));
    let fresh = service.refresh(&login.refresh_token()).await;
    for (method, path) in
        [("POST", "/factors/totp"), ("DELETE", "/factors/totp"), ("POST", "/factors/recovery-codes")]
    {
        let request = match method {
            "POST" => json_post(path, &json!({})),
            method => request(method, path),
        };
        let answer = service.send_as(&fresh.access_token(), request).await;
        assert_eq!(answer.outcome(), outcome(403, "insufficient_user_authentication"), "{path}");
        assert_eq!(answer.json()["max_age"], 600);
    }
    assert_eq!(
        service.guarded("GET", "/factors", &fresh.access_token()).await.status,
        200,
        "reading is free"
    );
    assert_eq!(service.send(request("GET", "/factors")).await.outcome(), outcome(401, "invalid_token"));
    let body = json!({ "username": "ada", "password": PASSWORD, "scope": "orders:read" });
    let narrow = service.post("/login", &body).await;
    let denied = service.guarded("GET", "/factors", &narrow.access_token()).await;
    assert_eq!(denied.outcome(), outcome(403, "insufficient_scope"));
    // A token of another session, an expired one and a wrong code enrol nothing.
    let login = service.login_from(HOME, "ada", PASSWORD).await;
    let other = service.login_from(HOME, "ada", PASSWORD).await;
    let begun = service.send_as(&login.access_token(), json_post("/factors/totp", &json!({}))).await.json();
    let code = app(&begun).code_at(service.clock.now());
    let confirm = async |login: &Answer, code: &str| {
        let body = json!({ "enrolment_token": begun["enrolment_token"], "code": code });
        let request = json_post("/factors/totp/confirm", &body);
        service.send_as(&login.access_token(), request).await.outcome()
    };
    assert_eq!(confirm(&other, &code).await, outcome(400, "invalid_grant"));
    assert_eq!(confirm(&login, "000000").await, outcome(400, "wrong_code"));
    let list = service.guarded("GET", "/factors", &login.access_token()).await.json();
    assert_eq!(list, json!({ "totp": false, "recovery_codes": 0, "passkeys": [], "required": false }));
}

/// What the docs promise for each change: the event, the mail, and the ended sessions.
///
/// invariant: Each change of second factors is logged, and mailed to a verified address.
#[tokio::test(flavor = "multi_thread")]
async fn changes_are_mailed_and_end_sessions_on_request() {
    let (db, service) = service(&[]).await;
    let room = Mailroom::of(&service, &db.url()).await;
    let user = service.quick_user("ada").await;
    let email = Email {
        address: EmailAddress::parse("ada@example.com").unwrap(),
        verified: true,
        undeliverable: None,
    };
    service.bench.store.set_email(&user.username, Some(&email), service.clock.now()).await.unwrap();
    let login = service.login_from(HOME, "ada", PASSWORD).await;
    let other = service.login_from(HOME, "ada", PASSWORD).await;
    let access = login.access_token();
    let _ = service.journal.take();

    let (totp, confirmed) = enrol(&service, &access, json!({ "language": "de" })).await;
    assert_eq!(confirmed.status, 200);
    let changes = |service: &Service| -> Vec<FactorsChange> {
        let change = |event: &Event| match event {
            Event::FactorsChanged { change, .. } => Some(*change),
            _ => None,
        };
        service.journal.take().iter().filter_map(change).collect()
    };
    assert_eq!(changes(&service), [FactorsChange::TotpEnrolled]);
    let mail = room.mails().await.remove(0);
    assert!(mail.text.contains("Einmalcode") && !mail.text.contains(&codes(&confirmed)[0]), "{}", mail.text);
    assert_eq!(service.refresh(&other.refresh_token()).await.status, 200, "it did not ask for their end");

    // A session without the factor changes nothing more.
    let weak = service.guarded("DELETE", "/factors/totp", &access).await;
    assert_eq!(weak.outcome(), outcome(403, "insufficient_user_authentication"));
    assert_eq!(weak.json()["acr_values"], "2");
    let token = first_step(&service, HOME, "ada").await;
    let code = totp.code_at(service.clock.now());
    let access = second_step(&service, HOME, &token, "code", &code).await.access_token();
    service.clock.advance(STEP);

    let _ = service.journal.take();
    let body = json!({ "end_other_sessions": true });
    let renewed = service.send_as(&access, json_post("/factors/recovery-codes", &body)).await;
    assert_eq!(renewed.status, 200);
    assert_eq!(changes(&service), [FactorsChange::RecoveryCodesReplaced]);
    assert!(room.mails().await.remove(0).text.contains("new recovery codes"));
    let sessions = service.bench.store.sessions(user.id).await.unwrap();
    let reasons: Vec<EndReason> = sessions.iter().filter_map(|session| Some(session.ended?.reason)).collect();
    assert_eq!(reasons, [EndReason::EndedByUser; 2]);
    let token = first_step(&service, HOME, "ada").await;
    let old = second_step(&service, HOME, &token, "recovery_code", &codes(&confirmed)[0]).await;
    assert_eq!(old.outcome(), outcome(400, "wrong_code"), "the former codes are gone");
    let code = totp.code_at(service.clock.now());
    assert_eq!(second_step(&service, HOME, &token, "code", &code).await.status, 200);

    let _ = service.journal.take();
    let path = "/factors/totp?end_other_sessions=true&language=de-CH";
    assert_eq!(service.guarded("DELETE", path, &access).await.status, 204);
    assert_eq!(changes(&service), [FactorsChange::TotpRemoved]);
    assert!(room.mails().await.remove(0).text.contains("nicht mehr"));
    assert_eq!(service.login_from(HOME, "ada", PASSWORD).await.status, 200);
    assert_eq!(
        service.guarded("DELETE", "/factors/totp", &access).await.outcome(),
        outcome(404, "invalid_request")
    );
}

/// An operator helps a user who lost the app: all factors are gone, all sessions end, and the user is told.
///
/// invariant: A reset of second factors ends every session, is logged and mailed.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_resets_factors() {
    let (db, service) = service(&[]).await;
    let room = Mailroom::of(&service, &db.url()).await;
    let ada = enrolled(&service, "ada").await;
    let shown = service.operate("GET", "/admin/user?username=ada", None).await.json();
    assert_eq!(shown["factors"], json!(["totp", "recovery_code"]));
    assert!(!shown.to_string().contains(&ada.totp.base32()));
    let patch = json!({ "email": "ada@example.com", "email_verified": true, "mfa_required": true });
    let changed = service.operate("PATCH", "/admin/user?username=ada", Some(&patch)).await;
    assert_eq!(changed.json()["user"]["mfa_required"], true);
    let _ = service.journal.take();
    let reset = service.operate("DELETE", "/admin/user/factors?username=ada", None).await;
    assert_eq!(reset.status, 200, "{reset:?}");
    assert_eq!(reset.json()["sessions_ended"], 1);
    let logged = service.journal.take().iter().any(|event| {
        matches!(event, Event::AdminChanged { action: AdminAction::FactorsReset, complete: true, .. })
    });
    assert!(logged);
    let mail = room.mails().await.remove(0);
    assert!(mail.text.contains("removed the second factors") && !mail.text.contains("http"), "{}", mail.text);
    let sessions = service.bench.store.sessions(ada.user.id).await.unwrap();
    assert!(
        sessions.iter().all(|session| session.ended.is_some_and(|ended| ended.reason == EndReason::Operator))
    );
    // The user still must have one, and enrols again.
    let login = service.login_from(HOME, "ada", PASSWORD).await;
    assert_eq!(login.json()["mfa_enrolment_required"], true);
}

/// A route can need a claim instead of a scope.
///
/// invariant: A session for an enrolment has no claims of the user and lasts an hour, also after the enrolment and a change of the
/// password.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_for_an_enrolment_has_no_claims() {
    let (_db, service) = service(&[]).await;
    let ada = service.quick_user("ada").await;
    let claims = Claims::parse(r#"{"role":"admin"}"#).unwrap();
    let now = service.clock.now();
    service.bench.store.set_claims(&ada.username, &claims, now).await.unwrap();
    let role = |answer: &Answer| {
        let token = answer.access_token();
        let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
        serde_json::from_slice::<Value>(&payload).unwrap()["role"].clone()
    };
    assert_eq!(role(&service.login("ada").await), "admin");
    let body = json!({ "username": "ada", "password": PASSWORD, "client_id": "strict" });
    let limited = service.post("/login", &body).await;
    let change = async |answer: &Answer, old: &str, new: &str| {
        let body = json!({ "current_password": old, "new_password": new });
        service.send_as(&answer.access_token(), json_post("/password", &body)).await
    };
    let better = "a longer and better password";
    let replaced = change(&limited, PASSWORD, better).await;
    service
        .bench
        .store
        .set_claims(&ada.username, &Claims::parse(r#"{"role":"owner"}"#).unwrap(), now)
        .await
        .unwrap();
    assert_eq!(role(&service.refresh(&replaced.refresh_token()).await), Value::Null, "nor later ones");
    let (_, confirmed) = enrol(&service, &replaced.access_token(), json!({})).await;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    let enrolled = change(&replaced, better, "the password after the enrolment").await;
    for answer in [&limited, &replaced, &enrolled] {
        assert_eq!((answer.status, role(answer)), (200, Value::Null), "{answer:?}");
        assert_eq!(answer.json()["refresh_expires_in"], 3600);
    }
}

/// invariant: A user who must have a second factor and has none gets no scope before the enrolment.
#[tokio::test(flavor = "multi_thread")]
async fn a_required_factor_is_enrolled_first() {
    let (_db, service) = service(&[]).await;
    service.quick_user("ada").await;
    service.quick_user("bob").await;
    let strict = async |name: &str| {
        service
            .post("/login", &json!({ "username": name, "password": PASSWORD, "client_id": "strict" }))
            .await
    };
    // Another client does not require it.
    assert!(service.login("ada").await.json()["mfa_enrolment_required"].is_null());
    let limited = strict("ada").await;
    assert_eq!((limited.status, limited.json()["scope"].clone()), (200, json!("")));
    assert_eq!(limited.json()["mfa_enrolment_required"], true);
    assert!(service.principal(&limited.access_token()).account);
    let refreshed = service.refresh(&limited.refresh_token()).await;
    assert_eq!(refreshed.json()["scope"], "");
    let widened =
        format!("grant_type=refresh_token&refresh_token={}&scope=orders:read", refreshed.refresh_token());
    assert_eq!(service.form("/refresh", &widened).await.outcome(), outcome(400, "invalid_scope"));

    let (totp, confirmed) = enrol(&service, &refreshed.access_token(), json!({})).await;
    assert_eq!(confirmed.status, 200);
    let first = strict("ada").await;
    assert_eq!(first.outcome(), outcome(403, "mfa_required"));
    let code = totp.code_at(service.clock.now());
    let body = json!({ "mfa_token": first.text("mfa_token"), "code": code });
    let done = service.post("/login/factor", &body).await;
    assert_eq!(done.json()["scope"], "orders:read orders:write");
    let removed = service.guarded("DELETE", "/factors/totp", &done.access_token()).await;
    assert_eq!(removed.outcome(), outcome(403, "factor_required"));

    // The same for a user at every client.
    let patch = json!({ "mfa_required": true });
    service.operate("PATCH", "/admin/user?username=bob", Some(&patch)).await;
    assert_eq!(service.login("bob").await.json()["scope"], "");
    service.operate("PATCH", "/admin/user?username=bob", Some(&json!({ "mfa_required": false }))).await;
    assert_eq!(service.login("bob").await.json()["scope"], "orders:read orders:write");
}

/// Of parallel confirmations of one enrolment one is stored, and the log has the others.
#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_changes_one_is_stored() {
    let (_db, service) = service(&[]).await;
    service.quick_user("ada").await;
    let access = service.login("ada").await.access_token();
    let begun = service.send_as(&access, json_post("/factors/totp", &json!({}))).await.json();
    let code = app(&begun).code_at(service.clock.now().before(STEP));
    let body = json!({ "enrolment_token": begun["enrolment_token"], "code": code });
    let _ = service.journal.take();
    // Every request has read the user before the first write.
    service.bench.recorder.set_hook(|call| match call.operation {
        "UpdateItem" | "TransactWriteItems" => Action::Hang(Duration::from_millis(300)),
        _ => Action::Pass,
    });
    let confirm = || service.send_as(&access, json_post("/factors/totp/confirm", &body));
    let mut statuses: Vec<u16> =
        join_all([confirm(), confirm(), confirm()]).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503, 503]);
    let refused =
        |event: &Event| matches!(event, Event::RequestRefused { error: "temporarily_unavailable", .. });
    assert_eq!(service.journal.take().iter().filter(|event| refused(event)).count(), 2);
}

/// After a rotation of the keys, a login encrypts the secret again under the active key.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_renews_an_old_encryption() {
    let rules = Rules { published_for: Duration::from_secs(3 * 3600), algorithm: Algorithm::Es256 };
    let db = Embedded::start(None).unwrap();
    let now = daypass_tests::bench::NOW;
    let generated = Document::generate(Algorithm::Es256, &OsEntropy, now).unwrap();
    let keys = generated.advance(rules, &OsEntropy, now).unwrap();
    let mut service = Service::with_keys(&db.url(), keys, &[]).await;
    let ada = enrolled(&service, "ada").await;
    let stored = async |service: &Service| {
        let user = service.bench.store.user(&ada.user.username).await.unwrap().unwrap();
        user.factors.totp.unwrap().sealed
    };
    let before = stored(&service).await;
    service.keys = service.keys.advance(rules, &OsEntropy, now + Duration::from_secs(4 * 3600)).unwrap();
    let service = service.redeployed(&db.url(), &[]).await;
    let mut last = before.clone();
    for changes in [true, false] {
        service.clock.advance(STEP);
        let token = first_step(&service, HOME, "ada").await;
        let code = ada.totp.code_at(service.clock.now());
        assert_eq!(second_step(&service, HOME, &token, "code", &code).await.status, 200);
        let now = stored(&service).await;
        assert_eq!(now != last, changes);
        last = now;
    }
}

/// The requests and write units of each endpoint.
#[tokio::test(flavor = "multi_thread")]
async fn requests_on_the_wire() {
    let (_db, service) = service(&[]).await;
    let ada = enrolled(&service, "ada").await;
    service.bench.recorder.ask_capacity(true);
    // From a known address: read the user, count, reset the counter.
    let token = first_step(&service, HOME, "ada").await;
    assert_eq!(counted(&service), (names(&["DeleteItem", "GetItem", "UpdateItem"]), 2.0));
    // Read the user, count, open the session, read the live sessions. A transaction of three items costs six units.
    let code = ada.totp.code_at(service.clock.now());
    let done = second_step(&service, HOME, &token, "code", &code).await;
    assert_eq!(done.status, 200);
    assert_eq!(counted(&service), (names(&["GetItem", "Query", "TransactWriteItems", "UpdateItem"]), 7.0));
    // A wrong code writes a slot.
    second_step(&service, HOME, &token, "code", "000000").await;
    assert_eq!(counted(&service), (names(&["GetItem", "UpdateItem"]), 1.0));
    // A token that is not authentic costs nothing.
    second_step(&service, HOME, "daypass_mfa_x", "code", "000000").await;
    assert_eq!(counted(&service), (String::new(), 0.0));
    let access = done.access_token();
    service.guarded("GET", "/factors", &access).await;
    assert_eq!(counted(&service), (names(&["GetItem", "GetItem"]), 0.0));
    let begun = service.send_as(&access, json_post("/factors/totp", &json!({}))).await.json();
    assert_eq!(counted(&service), (names(&["GetItem", "GetItem"]), 0.0));
    let code = app(&begun).code_at(service.clock.now());
    let body = json!({ "enrolment_token": begun["enrolment_token"], "code": code });
    service.send_as(&access, json_post("/factors/totp/confirm", &body)).await;
    // Two units for the user, and two more for a notice.
    assert_eq!(counted(&service), (names(&["GetItem", "GetItem", "TransactWriteItems"]), 2.0));
    service.send_as(&access, json_post("/factors/recovery-codes", &json!({}))).await;
    assert_eq!(counted(&service), (names(&["GetItem", "GetItem", "TransactWriteItems"]), 2.0));
    service.guarded("DELETE", "/factors/totp", &access).await;
    assert_eq!(counted(&service), (names(&["GetItem", "GetItem", "TransactWriteItems"]), 2.0));
}
