//! Each response of `/login/factor` and of the operations about second factors.

use super::{FACTORS, Seen, login, token_of};
use data_encoding::BASE32_NOPAD;
use daypass_core::factor::totp::{Totp, TotpHash};
use daypass_core::http::request::Request;
use daypass_core::secret::Secret;
use daypass_testkit::recorder::Action;
use daypass_tests::service::{PASSWORD, Service, post, request};
use daypass_verifier::base::time::Clock;
use serde_json::{Value, json};
use std::time::Duration;

const FACTOR: &str = "/login/factor";
/// A second list of clients, of which one requires a second factor, and one has less scope than users have.
const OTHERS: &str =
    r#"[{"client_id":"strict","require_mfa":true},{"client_id":"web","scope":"orders:read"}]"#;

fn sent(method: &str, path: &str, body: &Value) -> Request {
    let mut request = match method {
        "POST" | "PATCH" => post(path, "application/json", body.to_string()),
        method => request(method, path),
    };
    *request.method_mut() = method.parse().unwrap();
    request
}

pub(super) async fn walk(seen: &mut Seen, service: &Service, dynamodb: &str) {
    for name in ["dave", "erin"] {
        service.quick_user(name).await;
    }
    for (path, body) in [(FACTOR, "{}"), (FACTOR, r#"{"client_secret":"s"}"#)] {
        seen.see(service, post(path, "application/json", body)).await;
    }
    seen.see(service, post(FACTOR, "text/plain", "x")).await;
    seen.see(service, post(FACTOR, "application/json", vec![b' '; 20_000])).await;

    let tokens = seen.json(service, "/login", login("dave", PASSWORD)).await;
    let principal = service.principal(&token_of(&tokens, "access_token"));
    let authorized = |mut request: Request| {
        request.extensions_mut().insert(principal);
        request
    };
    let nothing = json!({});
    let narrow = json!({ "username": "erin", "password": PASSWORD, "scope": "orders:read" });
    let narrow = token_of(&seen.json(service, "/login", narrow).await, "access_token");
    for (method, path) in FACTORS {
        let body = any(path);
        seen.see(service, sent(method, path, &body)).await;
        let mut denied = sent(method, path, &body);
        denied.extensions_mut().insert(service.principal(&narrow));
        seen.see(service, denied).await;
        for code in ["ThrottlingException", "AccessDeniedException"] {
            service.bench.recorder.always(Action::refuse(400, code));
            seen.see(service, authorized(sent(method, path, &body))).await;
        }
        service.bench.recorder.always(Action::Pass);
        seen.see(service, authorized(sent(method, path, &body))).await;
        if ["POST", "PATCH"].contains(&method) {
            for request in [
                post(path, "application/json", r#"{"client_secret":"s"}"#),
                post(path, "application/json", r#"{"end_other_sessions":1}"#),
                post(path, "text/plain", "x"),
                post(path, "application/json", vec![b' '; 20_000]),
            ] {
                let mut request = authorized(request);
                *request.method_mut() = method.parse().unwrap();
                seen.see(service, request).await;
            }
        }
    }
    seen.see(service, authorized(request("DELETE", "/factors/totp?end_other_sessions=x"))).await;

    let begun = seen.see(service, authorized(sent("POST", "/factors/totp", &nothing))).await;
    let secret = BASE32_NOPAD.decode(token_of(&begun, "secret").as_bytes()).unwrap();
    let totp = Totp::imported(TotpHash::Sha1, 6, 30, Secret::new(secret)).unwrap();
    for code in ["0".to_owned(), totp.code_at(service.clock.now())] {
        let body = json!({ "enrolment_token": begun["enrolment_token"], "code": code });
        seen.see(service, authorized(sent("POST", "/factors/totp/confirm", &body))).await;
    }
    seen.see(service, authorized(request("GET", "/factors"))).await;

    // A second factor is needed, wrong or right. Last, the limit of the session.
    let again = |password: &str, code: Option<&str>| {
        let body = json!({ "current_password": password, "code": code });
        authorized(sent("POST", "/reauthenticate", &body))
    };
    seen.see(service, again(PASSWORD, None)).await;
    seen.see(service, again("not the password", None)).await;
    service.clock.advance(Duration::from_secs(30));
    seen.see(service, again(PASSWORD, Some(&totp.code_at(service.clock.now())))).await;
    for _ in 0..6 {
        seen.see(service, again(PASSWORD, Some("0"))).await;
    }

    // The second step.
    let first = seen.json(service, "/login", login("dave", PASSWORD)).await;
    let second = |code: &str| json!({ "mfa_token": first["mfa_token"], "code": code });
    for code in ["ThrottlingException", "AccessDeniedException"] {
        service.bench.recorder.always(Action::refuse(400, code));
        seen.json(service, FACTOR, second("0")).await;
    }
    service.bench.recorder.always(Action::Pass);
    seen.json(service, FACTOR, json!({ "mfa_token": "x", "code": "0" })).await;
    // Without this client, and with a narrower one of that name.
    let gone = service.redeployed(dynamodb, &[("DAYPASS_CLIENTS", r#"[{"client_id":"strict"}]"#)]).await;
    seen.json(&gone, FACTOR, second("0")).await;
    let others = service.redeployed(dynamodb, &[("DAYPASS_CLIENTS", OTHERS)]).await;
    seen.json(&others, FACTOR, second("0")).await;
    service.clock.advance(Duration::from_secs(30));
    let both = seen.json(service, FACTOR, second(&totp.code_at(service.clock.now()))).await;
    let principal = service.principal(&token_of(&both, "access_token"));
    let authorized = |mut request: Request| {
        request.extensions_mut().insert(principal);
        request
    };
    seen.see(service, authorized(sent("POST", "/factors/recovery-codes", &nothing))).await;
    for _ in 0..6 {
        seen.json(service, FACTOR, second("0")).await;
    }

    // A required factor stays. A cookie client needs its own page.
    let app = json!({ "username": "erin", "password": PASSWORD, "client_id": "strict" });
    let limited = token_of(&seen.json(&others, "/login", app).await, "access_token");
    let principal = others.principal(&limited);
    let mut begin = sent("POST", "/factors/totp", &nothing);
    begin.extensions_mut().insert(principal);
    let begun = seen.see(&others, begin).await;
    let secret = BASE32_NOPAD.decode(token_of(&begun, "secret").as_bytes()).unwrap();
    let totp = Totp::imported(TotpHash::Sha1, 6, 30, Secret::new(secret)).unwrap();
    let body =
        json!({ "enrolment_token": begun["enrolment_token"], "code": totp.code_at(others.clock.now()) });
    let mut confirm = sent("POST", "/factors/totp/confirm", &body);
    confirm.extensions_mut().insert(principal);
    seen.see(&others, confirm).await;
    let app = json!({ "username": "erin", "password": PASSWORD, "client_id": "strict" });
    let first = seen.json(&others, "/login", app).await;
    others.clock.advance(Duration::from_secs(30));
    let body = json!({ "mfa_token": first["mfa_token"], "code": totp.code_at(others.clock.now()) });
    let both = seen.json(&others, FACTOR, body).await;
    let mut remove = request("DELETE", "/factors/totp");
    remove.extensions_mut().insert(others.principal(&token_of(&both, "access_token")));
    seen.see(&others, remove).await;

    // Removed, and later too old.
    seen.see(service, authorized(request("DELETE", "/factors/totp"))).await;
    seen.see(service, authorized(request("DELETE", "/factors/totp"))).await;
    service.clock.advance(Duration::from_secs(601));
    for (method, path) in FACTORS {
        seen.see(service, authorized(sent(method, path, &any(path)))).await;
    }
}

/// A body for each of the operations. A reauthentication takes one second factor.
fn any(path: &str) -> Value {
    let response = json!({ "clientDataJSON": "AAAA", "authenticatorData": "AAAA", "signature": "AAAA" });
    let passkey = json!({ "type": "public-key", "id": "AAAA", "response": response });
    if path == "/reauthenticate" {
        return json!({ "passkey": passkey, "current_password": PASSWORD });
    }
    json!({ "enrolment_token": "x", "code": "x", "name": "x", "passkey": passkey })
}
