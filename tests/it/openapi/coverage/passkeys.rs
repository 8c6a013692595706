//! Each response of `/login/passkey` and of the operations about passkeys.

use super::{PAGE, Seen, login, token_of};
use daypass_core::http::request::Request;
use daypass_testkit::recorder::Action;
use daypass_tests::authenticator::Authenticator;
use daypass_tests::service::{PASSWORD, Service, post};
use daypass_verifier::base::time::Clock;
use serde_json::{Value, json};

const LOGIN: &str = "/login/passkey";
const ADD: &str = "/factors/passkeys";
const RENEW: &str = "/reauthenticate";
const CHALLENGE: &str = "/reauthenticate/passkey/options";
const STRICT: &str = r#"[{"client_id":"strict","require_mfa":true},{"client_id":"web"}]"#;

fn sent(method: &str, path: &str, body: &Value) -> Request {
    let mut request = post(path, "application/json", body.to_string());
    *request.method_mut() = method.parse().unwrap();
    request
}

pub(super) async fn walk(seen: &mut Seen, service: &Service, dynamodb: &str) {
    for name in ["frank", "grace"] {
        service.quick_user(name).await;
    }
    let nothing = json!({});
    let access = token_of(&seen.json(service, "/login", login("frank", PASSWORD)).await, "access_token");
    let as_frank = |mut request: Request| {
        request.extensions_mut().insert(service.principal(&access));
        request
    };
    // Registration.
    let mut authenticator = Authenticator::new(true);
    let options = seen.see(service, as_frank(sent("POST", "/factors/passkeys/options", &nothing))).await;
    let good = json!({ "name": "Phone", "passkey": authenticator.create(&options) });
    let mut wrong = good.clone();
    wrong["passkey"]["id"] = json!("AAAA");
    seen.see(service, as_frank(sent("POST", ADD, &wrong))).await;
    let added = seen.see(service, as_frank(sent("POST", ADD, &good))).await;
    let path = format!("{ADD}/{}", token_of(&added, "passkey_id"));

    // Login.
    for body in [vec![b' '; 20_000], b"{}".to_vec(), br#"{"client_secret":"s"}"#.to_vec()] {
        seen.see(service, post(LOGIN, "application/json", body)).await;
    }
    seen.see(service, post(LOGIN, "text/plain", "x")).await;
    let options = seen.json(service, "/login/passkey/options", json!({})).await;
    let good = json!({ "passkey": authenticator.get(&options) });
    for (name, value) in [("client_id", "unknown"), ("client_id", "app"), ("scope", "a  b")] {
        let mut body = good.clone();
        body[name] = json!(value);
        seen.json(service, LOGIN, body).await;
    }
    for code in ["ThrottlingException", "AccessDeniedException"] {
        service.bench.recorder.always(Action::refuse(400, code));
        seen.json(service, LOGIN, good.clone()).await;
    }
    service.bench.recorder.always(Action::Pass);
    let done = seen.json(service, LOGIN, good.clone()).await;
    seen.json(service, LOGIN, good.clone()).await;
    let strong = service.principal(&token_of(&done, "access_token"));
    let authorized = |mut request: Request| {
        request.extensions_mut().insert(strong);
        request
    };
    seen.see(service, authorized(sent("PATCH", &path, &json!({ "name": "Laptop" })))).await;
    let options = seen.see(service, authorized(sent("POST", "/factors/passkeys/options", &nothing))).await;
    let again = json!({ "name": "Again", "passkey": authenticator.create(&options) });
    seen.see(service, authorized(sent("POST", ADD, &again))).await;
    let options = seen.see(service, authorized(sent("POST", CHALLENGE, &nothing))).await;
    let renewal = json!({ "passkey": authenticator.get(&options) });
    seen.see(service, authorized(sent("POST", RENEW, &renewal))).await;

    // As second factor, and without the setting.
    let first = seen.json(service, "/login", login("frank", PASSWORD)).await;
    let second = json!({ "mfa_token": first["mfa_token"], "passkey": authenticator.get(&first["passkey"]) });
    let off = service.redeployed(dynamodb, &[("DAYPASS_CLIENTS", STRICT)]).await;
    seen.json(&off, "/login/factor", second.clone()).await;
    let done = seen.json(service, "/login/factor", second.clone()).await;
    seen.json(service, "/login/factor", second).await;
    let strong = service.principal(&token_of(&done, "access_token"));
    off.clock.set(service.clock.now());
    seen.json(&off, "/login/passkey/options", json!({})).await;
    seen.json(&off, LOGIN, good).await;
    for (path, body) in
        [("/factors/passkeys/options", &again), (ADD, &again), (CHALLENGE, &nothing), (RENEW, &renewal)]
    {
        let mut request = sent("POST", path, body);
        request.extensions_mut().insert(strong);
        seen.see(&off, request).await;
    }

    // The last factor of a client that requires one.
    let settings = [
        ("DAYPASS_CLIENTS", STRICT),
        ("DAYPASS_PASSKEY_RP_ID", "example.com"),
        ("DAYPASS_PASSKEY_ORIGINS", PAGE),
    ];
    let strict = service.redeployed(dynamodb, &settings).await;
    let options = seen.json(&strict, "/login/passkey/options", json!({})).await;
    let done = seen
        .json(&strict, LOGIN, json!({ "client_id": "strict", "passkey": authenticator.get(&options) }))
        .await;
    let mut remove = sent("DELETE", &path, &nothing);
    remove.extensions_mut().insert(strict.principal(&token_of(&done, "access_token")));
    seen.see(&strict, remove).await;
    for query in ["?end_other_sessions=x", ""] {
        seen.see(service, authorized(sent("DELETE", &format!("{path}{query}"), &nothing))).await;
    }
}
