//! Reauthentication with passkeys.

use super::{again, claims, meets};
use crate::passkeys::{Dice, enrolled, json_request, outcome, register, service, shown};
use crate::throttle::{counted, names};
use crate::{factors::json_post, reauthentication::STRONG};
use daypass_core::passkey::Fault;
use daypass_core::ports::event::{Event, FactorFault};
use daypass_testkit::Answer;
use daypass_tests::authenticator::Authenticator;
use daypass_tests::service::{PASSWORD, Service};
use daypass_verifier::base::time::Clock;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

const OPTIONS: &str = "/reauthenticate/passkey/options";

async fn options(service: &Service, access: &str) -> Answer {
    service.send_as(access, json_post(OPTIONS, &json!({}))).await
}

/// The response of the authenticator to a new challenge of this session.
async fn response(service: &Service, access: &str, authenticator: &mut Authenticator) -> Value {
    authenticator.get(&options(service, access).await.json())
}

/// A reauthentication without the password.
async fn by_passkey(service: &Service, access: &str, passkey: &Value) -> Answer {
    service.send_as(access, json_post("/reauthenticate", &json!({ "passkey": passkey }))).await
}

fn refusals(service: &Service) -> Vec<FactorFault> {
    let cause = |event: &Event| match event {
        Event::ReauthenticationRefused { cause, .. } => Some(*cause),
        _ => None,
    };
    service.journal.take().iter().filter_map(cause).collect()
}

/// The access token of a new login with the passkey.
async fn logged_in(service: &Service, authenticator: &mut Authenticator) -> String {
    let body = shown(service, authenticator).await;
    service.post("/login/passkey", &body).await.access_token()
}

/// invariant: A passkey with user verification renews the authentication of one session, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_renews_the_session() {
    let (_db, service) = service().await;
    let (_, mut authenticator) = enrolled(&service, "ada", true).await;
    let body = shown(&service, &mut authenticator).await;
    let login = service.post("/login/passkey", &body).await;
    service.clock.advance(Duration::from_secs(301));
    let old = service.refresh(&login.refresh_token()).await;
    let access = old.access_token();
    assert!(!meets(&service, STRONG, &access));
    let asked = options(&service, &access).await;
    assert_eq!(asked.status, 200, "{asked:?}");
    assert_eq!(asked.json()["allowCredentials"].as_array().unwrap().len(), 1);
    let passkey = authenticator.get(&asked.json());
    let renewed = by_passkey(&service, &access, &passkey).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let (new, before) = (claims(&renewed.access_token()), claims(&access));
    assert_eq!((&new["amr"], &new["acr"]), (&json!(["pop", "mfa"]), &json!("2")));
    assert_eq!((&new["sid"], &new["scope"]), (&before["sid"], &before["scope"]));
    assert_eq!(new["auth_time"], service.clock.now().seconds());
    assert!(meets(&service, STRONG, &renewed.access_token()));
    let refreshed = service.refresh(&old.refresh_token()).await;
    assert!(meets(&service, STRONG, &refreshed.access_token()));

    // Once, and in its own session. The counter of the authenticator has grown since.
    let _ = service.journal.take();
    let used = by_passkey(&service, &access, &passkey).await;
    assert_eq!(used.outcome(), outcome(400, "wrong_passkey"));
    let other = logged_in(&service, &mut authenticator).await;
    let foreign = response(&service, &access, &mut authenticator).await;
    assert_eq!(by_passkey(&service, &other, &foreign).await.outcome(), outcome(400, "wrong_passkey"));
    // Neither for a login, nor with the challenge of one.
    let login = service.post("/login/passkey", &json!({ "passkey": foreign })).await;
    assert_eq!(login.outcome(), outcome(400, "wrong_passkey"));
    let of_login = shown(&service, &mut authenticator).await;
    let crossed = by_passkey(&service, &access, &of_login["passkey"]).await;
    assert_eq!(crossed.outcome(), outcome(400, "wrong_passkey"));
    assert_eq!(
        refusals(&service),
        [
            FactorFault::Overtaken,
            FactorFault::Passkey(Fault::Challenge),
            FactorFault::Passkey(Fault::Challenge),
        ]
    );
    assert_eq!(by_passkey(&service, &access, &foreign).await.status, 200, "in its own session");
}

/// invariant: A passkey without user verification renews no session without the password.
#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_of_one_factor_needs_the_password() {
    let (_db, service) = service().await;
    let (_, mut key) = enrolled(&service, "ada", false).await;
    let first = service.login("ada").await;
    let passkey = key.get(&first.json()["passkey"]);
    let body = json!({ "mfa_token": first.text("mfa_token"), "passkey": passkey });
    let access = service.post("/login/factor", &body).await.access_token();
    let _ = service.journal.take();

    let passkey = response(&service, &access, &mut key).await;
    let alone = by_passkey(&service, &access, &passkey).await;
    assert_eq!(alone.outcome(), outcome(400, "wrong_passkey"));
    assert_eq!(refusals(&service), [FactorFault::OneFactor]);
    // The response was not used up.
    let renewed = again(&service, &access, json!({ "passkey": passkey })).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let new = claims(&renewed.access_token());
    assert_eq!((&new["amr"], &new["acr"]), (&json!(["pwd", "pop", "mfa"]), &json!("2")));
    // A wrong password does not look at the passkey.
    let passkey = response(&service, &access, &mut key).await;
    let wrong = json!({ "current_password": "not the password", "passkey": passkey });
    assert_eq!(again(&service, &access, wrong).await.outcome(), outcome(400, "wrong_password"));
    assert_eq!(again(&service, &access, json!({ "passkey": passkey })).await.status, 200);
    // Two factors at once, and none.
    let both = json!({ "passkey": passkey, "code": "000000" });
    assert_eq!(again(&service, &access, both).await.outcome(), outcome(400, "invalid_request"));
    let none = service.send_as(&access, json_post("/reauthenticate", &json!({}))).await;
    assert_eq!(none.outcome(), outcome(400, "invalid_request"));
}

/// invariant: A response of an authenticator renews a session once, at any concurrency.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_response_64_times_is_one_reauthentication() {
    let (_db, service) = service().await;
    let (_, mut authenticator) = enrolled(&service, "ada", true).await;
    let access = logged_in(&service, &mut authenticator).await;
    let passkey = response(&service, &access, &mut authenticator).await;
    let answers = join_all((0..64).map(|_| by_passkey(&service, &access, &passkey))).await;
    let mut statuses = answers.iter().map(|answer| answer.status).collect::<Vec<_>>();
    statuses.sort_unstable();
    assert_eq!(statuses, [&[200][..], &[400; 63]].concat());
}

/// A passkey of another user, one that was removed, and a path that does not exist.
///
/// invariant: A session is renewed by the passkeys of its own user alone.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_passkeys_of_the_user() {
    let (_db, service) = service().await;
    let (_, mut ada) = enrolled(&service, "ada", true).await;
    service.quick_user("bob").await;
    let bob = service.login("bob").await.access_token();
    assert_eq!(options(&service, &bob).await.status, 404, "an empty list would let the browser offer any");
    let (mut own, added) = register(&service, &bob, true, json!({})).await;
    let bob = logged_in(&service, &mut own).await;
    let asked = options(&service, &bob).await.json();
    let foreign = by_passkey(&service, &bob, &ada.get(&asked)).await;
    assert_eq!(foreign.outcome(), outcome(400, "wrong_passkey"));
    let with_password = again(&service, &bob, json!({ "passkey": ada.get(&asked) })).await;
    assert_eq!(with_password.outcome(), outcome(400, "wrong_passkey"));
    let passkey = own.get(&asked);
    let path = format!("/factors/passkeys/{}", added.json()["passkey_id"].as_str().unwrap());
    assert_eq!(service.guarded("DELETE", &path, &bob).await.status, 204);
    assert_eq!(by_passkey(&service, &bob, &passkey).await.outcome(), outcome(400, "wrong_passkey"));
    let get = service.send_as(&bob, json_request("GET", OPTIONS, &json!({}))).await;
    assert_eq!(get.status, 405);
    // The route table decides by the whole path, so no other endpoint answers below this one.
    let email = json!({ "current_password": PASSWORD, "email": "bob@example.com", "passkey": passkey });
    for path in ["/passkey", "/email", "/x/reauthenticate", "/passkey/options/x"] {
        let path = format!("/reauthenticate{path}");
        assert_eq!(service.send_as(&bob, json_post(&path, &email)).await.status, 404, "{path}");
    }
    assert_eq!(service.send_as(&bob, json_post("/factors/email", &email)).await.status, 404);
    assert_eq!(service.send(json_post(OPTIONS, &json!({}))).await.outcome(), outcome(401, "invalid_token"));
}

/// 1,000 reauthentications, each with a change of one byte or member.
///
/// invariant: No changed response of an authenticator renews a session or fails the service.
#[tokio::test(flavor = "multi_thread")]
async fn changed_responses_are_rejected() {
    let (_db, service) = service().await;
    let (_, mut authenticator) = enrolled(&service, "ada", true).await;
    let access = logged_in(&service, &mut authenticator).await;
    let good = json!({ "passkey": response(&service, &access, &mut authenticator).await });
    let mut dice = Dice(3);
    let mut changed: Vec<Value> = (0..1_000).map(|_| dice.change(&good, false)).collect();
    // The user handle is optional here: the session names the user.
    changed.retain(|one| *one != good && one["passkey"]["response"]["userHandle"].is_string());
    assert!(changed.len() > 900);
    for some in changed.chunks(32) {
        let sent = some.iter().map(|changed| by_passkey(&service, &access, &changed["passkey"]));
        for (answer, changed) in join_all(sent).await.iter().zip(some) {
            assert_eq!(answer.status, 400, "{answer:?} {changed}");
        }
    }
    assert_eq!(by_passkey(&service, &access, &good["passkey"]).await.status, 200);
}

/// The requests and write units.
#[tokio::test(flavor = "multi_thread")]
async fn requests_on_the_wire() {
    let (_db, service) = service().await;
    let (_, mut authenticator) = enrolled(&service, "ada", true).await;
    let access = logged_in(&service, &mut authenticator).await;
    service.bench.recorder.ask_capacity(true);
    counted(&service);
    let passkey = response(&service, &access, &mut authenticator).await;
    assert_eq!(counted(&service), (names(&["GetItem"; 2]), 0.0));
    // Read the session, the passkey and the user. The transaction has four items.
    assert_eq!(by_passkey(&service, &access, &passkey).await.status, 200);
    let renewed = ["GetItem", "GetItem", "GetItem", "TransactWriteItems"];
    assert_eq!(counted(&service), (names(&renewed), 8.0));
    // A forged response costs the read of the session.
    let mut forged = response(&service, &access, &mut authenticator).await;
    counted(&service);
    forged["response"]["clientDataJSON"] = json!("AAAA");
    assert_eq!(by_passkey(&service, &access, &forged).await.status, 400);
    assert_eq!(counted(&service), (names(&["GetItem"]), 0.0));
}
