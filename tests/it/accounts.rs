//! Claims of users in sessions and tokens.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use data_encoding::BASE64URL_NOPAD;
use daypass_core::account::claims::Claims;
use daypass_core::account::{MAX_SESSION_BYTES, session_room};
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_tests::bench::{NOW, claims_of};
use daypass_tests::service::{PASSWORD, Service};
use serde_json::Value;

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
