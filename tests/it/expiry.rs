//! Access tokens at the end of their session: at a login, a refresh and a change of the password.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use data_encoding::BASE64URL_NOPAD;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_tests::bench::{NOW, after};
use daypass_tests::service::{PASSWORD, Service};
use serde_json::Value;

const HOME: &str = "192.0.2.1";
const NEW: &str = "another horse and its battery";

async fn service(settings: &[(&str, &str)]) -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::quick(&embedded.url(), settings).await;
    service.quick_user("alice").await;
    (embedded, service)
}

/// Compares `expires_in` and `refresh_expires_in`, and `exp` with its distance from [`NOW`].
fn check(answer: &Answer, expires_in: u64, refresh_expires_in: u64, exp: u64) {
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64).unwrap();
    let body = answer.json();
    assert_eq!(
        (number(&body, "expires_in"), number(&body, "refresh_expires_in")),
        (expires_in, refresh_expires_in)
    );
    let token = answer.access_token();
    let claims = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let (end, issued) = (number(&claims, "exp"), number(&claims, "iat"));
    assert_eq!((end - NOW.seconds(), end - issued), (exp, expires_in));
}

/// A session ends after 400 s. Its last access tokens end with it, and a leeway of 30 s for clocks that differ.
///
/// invariant: No access token outlives its session, and `expires_in` is at least 1.
#[tokio::test(flavor = "multi_thread")]
async fn no_access_token_outlives_its_session() {
    let (_db, service) = service(&[("DAYPASS_REFRESH_TOKEN_SECONDS", "400")]).await;
    service.clock.set(after(700));
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    check(&login, 300, 399, 300);
    let mut token = login.refresh_token();
    for (millis, expires_in, refresh_expires_in) in [
        (100_000, 300, 300),
        (100_999, 300, 299),
        (101_000, 299, 299),
        (250_500, 150, 149),
        (398_999, 2, 1),
        (399_000, 1, 1),
        (399_001, 1, 0),
        (399_999, 1, 0),
    ] {
        service.clock.set(after(millis));
        let refreshed = service.refresh(&token).await;
        check(&refreshed, expires_in, refresh_expires_in, (millis / 1000 + expires_in).min(400));
        let access = refreshed.access_token();
        assert!(service.lets_through(&access), "{millis}");
        // The same successor, within grace.
        check(
            &service.refresh(&token).await,
            expires_in,
            refresh_expires_in,
            (millis / 1000 + expires_in).min(400),
        );
        token = refreshed.refresh_token();
        if millis >= 101_000 {
            service.clock.set(after(429_999));
            assert!(service.lets_through(&access), "{millis}: within the leeway");
            service.clock.set(after(430_000));
            assert!(!service.lets_through(&access), "{millis}: the session is over");
        }
    }
    service.clock.set(after(400_000));
    assert_eq!(service.refresh(&token).await.outcome(), (400, "invalid_grant".to_owned()));
}

/// A session that ends by its idle limit, and a login and a change of the password whose session is short.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_session_has_short_tokens() {
    let (_db, service) = service(&[("DAYPASS_IDLE_SECONDS", "60")]).await;
    service.clock.set(after(999));
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    check(&login, 60, 59, 60);
    service.clock.set(after(30_000));
    let refreshed = service.refresh(&login.refresh_token()).await;
    check(&refreshed, 60, 60, 90);
    service.clock.set(after(50_500));
    let changed = service.change_password(HOME, &refreshed.access_token(), PASSWORD, NEW).await;
    check(&changed, 60, 59, 110);
    assert!(service.lets_through(&changed.access_token()));
    service.clock.set(after(140_000));
    assert!(!service.lets_through(&changed.access_token()));
}
