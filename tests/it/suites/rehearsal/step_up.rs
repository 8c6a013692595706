//! Routes that need a recent authentication, or one by two factors.

use crate::suites::rehearsal::guards::connect;
use crate::suites::rehearsal::stage::{JSON, Kind, Stage, Tokens, variable};
use data_encoding::BASE32_NOPAD;
use daypass_core::factor::totp::{Totp, TotpHash};
use daypass_core::secret::Secret;
use daypass_runtime::SystemClock;
use daypass_testkit::Answer;
use daypass_tests::authenticator::Authenticator;
use daypass_verifier::base::time::Clock;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// The age that the routes of `apis.yaml` accept, in seconds.
const WITHIN: u64 = 60;

/// The login of a user of its own, because other tests log in with the password alone.
async fn login(stage: &Stage) -> Tokens {
    stage.login_as(&variable("DAYPASS_STEP_UP_USERNAME")).await
}

/// Sends a request to an account endpoint of Daypass.
async fn call(stage: &Stage, tokens: &Tokens, path: &str, body: Value) -> Answer {
    let request = stage.to(Method::POST, path).header("content-type", JSON);
    stage.send_body(request.header("authorization", tokens.bearer()), body.to_string()).await
}

async fn again(stage: &Stage, tokens: &Tokens, more: (&str, &str)) -> Tokens {
    let body = json!({ "current_password": variable("DAYPASS_PASSWORD"), more.0: more.1 });
    let answer = call(stage, tokens, "/reauthenticate", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    Tokens { access: answer.text("access_token"), ..tokens.clone() }
}

/// Checks the three routes of each guarded API, and the handshake of each WebSocket API.
async fn check(stage: &Stage, tokens: &Tokens, recent: bool, strong: bool) {
    stage
        .each_guarded(async |api| {
            // A cached simple response holds for the whole route, which is `/orders/{id}` for all three paths.
            if api.kind == Kind::HttpSimple && api.cache > 0 {
                return;
            }
            for (path, admitted, challenge) in [
                ("/orders/1", true, ""),
                ("/orders/recent", recent, r#", max_age="60""#),
                ("/orders/strong", strong, r#", acr_values="2""#),
            ] {
                let answer = stage.ask(api, Method::GET, path, Some(&tokens.bearer())).await;
                let status = if admitted { 200 } else { 403 };
                assert_eq!(answer.status, status, "{api}: GET {path}: {answer:?}");
                let is_rest = matches!(api.kind, Kind::RestToken | Kind::RestRequest);
                // MiniStack puts no context into the headers of a gateway response.
                if !admitted && is_rest && api.cache == 0 && !stage.emulated {
                    let header = format!(r#"Bearer error="insufficient_user_authentication"{challenge}"#);
                    assert_eq!(answer.header("www-authenticate"), Some(&*header), "{api}: GET {path}");
                }
            }
        })
        .await;
    for api in stage.apis.iter().filter(|api| api.kind == Kind::WebSocket) {
        let expected = if recent { 101 } else { 403 };
        assert_eq!(connect(api, Some(tokens.bearer())).await, expected, "{api}");
    }
}

/// invariant: On each kind of API, a route denies an authentication that is too old or too weak, until the user authenticates again.
#[tokio::test]
async fn a_route_can_need_a_newer_or_stronger_authentication() {
    let stage = Stage::find();
    let first = login(&stage).await;
    check(&stage, &first, true, false).await;
    tokio::time::sleep(Duration::from_secs(WITHIN + 1).saturating_sub(first.issued.elapsed())).await;
    // A refresh makes a new token, and no authentication.
    let refreshed = stage.tokens(stage.refresh(&first.refresh)).await;
    check(&stage, &refreshed, false, false).await;
    let refused = call(&stage, &refreshed, "/reauthenticate", json!({ "current_password": "wrong" })).await;
    assert_eq!(refused.outcome(), (400, "wrong_password".to_owned()));
    let renewed = again(&stage, &refreshed, ("language", "")).await;
    check(&stage, &renewed, true, false).await;

    let begun = call(&stage, &renewed, "/factors/totp", json!({})).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let secret = BASE32_NOPAD.decode(begun.text("secret").as_bytes()).unwrap();
    let totp = Totp::imported(TotpHash::Sha1, 6, 30, Secret::new(secret)).unwrap();
    let code = totp.code_at(SystemClock.now());
    let body = json!({ "enrolment_token": begun.text("enrolment_token"), "code": code });
    let confirmed = call(&stage, &renewed, "/factors/totp/confirm", body).await;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    let recovery = confirmed.json()["recovery_codes"][0].as_str().unwrap().to_owned();
    let alone = json!({ "current_password": variable("DAYPASS_PASSWORD") });
    let refused = call(&stage, &renewed, "/reauthenticate", alone).await;
    assert_eq!(refused.outcome(), (403, "insufficient_user_authentication".to_owned()));
    let strong = again(&stage, &renewed, ("recovery_code", &recovery)).await;
    check(&stage, &strong, true, true).await;

    // A passkey renews the session without the password, and opens another one without a name.
    let mut authenticator = Authenticator::new(true);
    let options = call(&stage, &strong, "/factors/passkeys/options", json!({})).await.json();
    let body = json!({ "name": "Phone", "passkey": authenticator.create(&options) });
    let added = call(&stage, &strong, "/factors/passkeys", body).await;
    assert_eq!(added.status, 200, "{added:?}");
    let options = call(&stage, &refreshed, "/reauthenticate/passkey/options", json!({})).await.json();
    let body = json!({ "passkey": authenticator.get(&options) });
    let again = call(&stage, &refreshed, "/reauthenticate", body).await;
    assert_eq!(again.status, 200, "{again:?}");
    let tokens = Tokens { access: again.text("access_token"), ..refreshed.clone() };
    check(&stage, &tokens, true, true).await;
    let options = stage.post("/login/passkey/options", JSON, "{}").await.json();
    let body = json!({ "passkey": authenticator.get(&options) });
    let login = stage.post("/login/passkey", JSON, body.to_string());
    check(&stage, &stage.tokens(login).await, true, true).await;
}
