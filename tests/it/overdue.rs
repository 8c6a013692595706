//! Keys that a process could not renew: a token of a newer key is neither rejected nor reported as revoked.

use daypass_core::http::request::KeysOverdue;
use daypass_testkit::embedded::Embedded;
use daypass_tests::service::{Service, post};

/// invariant: While keys are overdue, an unknown key is 503, and only an unknown key is.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_503_while_keys_are_overdue() {
    let db = Embedded::start(None).unwrap();
    let service = Service::quick(&db.url(), &[]).await;
    let newer = Service::quick(&db.url(), &[]).await;
    newer.quick_user("alice").await;
    service.quick_user("bob").await;
    let (other, own) = (newer.login("alice").await.json(), service.login("bob").await.json());
    let text = |tokens: &serde_json::Value, name: &str| tokens[name].as_str().unwrap().to_owned();
    let forged = |mut token: String| {
        let last = if token.pop() == Some('A') { 'B' } else { 'A' };
        token.push(last);
        token
    };

    let refresh = |token: &str| ("/refresh", format!("grant_type=refresh_token&refresh_token={token}"));
    let revoke = |token: &str| ("/revoke", format!("token={token}"));
    let revoke_all = |token: &str| ("/revoke", format!("token={token}&all=true"));
    let newer = text(&other, "refresh_token");
    let forged = forged(text(&own, "refresh_token"));
    let rows = [
        (refresh(&newer), 400, 503),
        (revoke(&newer), 200, 503),
        (revoke_all(&newer), 400, 503),
        (revoke(&text(&other, "access_token")), 200, 503),
        (refresh(&forged), 400, 400),
        (revoke(&forged), 200, 200),
        (refresh("daypass_rt_x"), 400, 400),
        (revoke("x.y.z"), 200, 200),
        // The last row uses the token.
        (refresh(&text(&own, "refresh_token")), 200, 200),
    ];
    for ((path, body), fresh, overdue) in rows {
        for (is_overdue, status) in [(false, fresh), (true, overdue)] {
            let mut request = post(path, "application/x-www-form-urlencoded", body.clone());
            if is_overdue {
                request.extensions_mut().insert(KeysOverdue);
            }
            let _ = service.journal.take();
            let answer = service.send(request).await;
            assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
            let log = service.journal.take_lines();
            assert_eq!(answer.header("retry-after").is_some(), status == 503);
            assert_eq!(log.iter().any(|line| line.contains("renew_keys")), status == 503, "{log:?}");
        }
    }
}
