//! A CDN in front: viewers behind one of its addresses have their own counters, and requests beside it are rejected.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_tests::service::{PASSWORD, Service, from, post, request};
use serde_json::json;

const CDN: &str = "203.0.113.7";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const WRONG: &str = "not the right password";

/// A login by CloudFront. The viewer wrote an address of its own before.
async fn through(service: &Service, viewer: &str, name: &str, password: &str) -> Answer {
    let headers = [
        ("x-daypass-proxy", SECRET.to_owned()),
        ("cloudfront-viewer-address", format!("{viewer}:46532")),
        ("x-forwarded-for", format!("192.0.2.99, {viewer}, {CDN}")),
    ];
    sent(service, CDN, &headers, name, password).await
}

async fn sent(
    service: &Service,
    address: &str,
    headers: &[(&'static str, String)],
    name: &str,
    password: &str,
) -> Answer {
    let body = json!({ "username": name, "password": password });
    let mut request = from(address, post("/login", "application/json", body.to_string()));
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    service.send(request).await
}

/// invariant: Viewers behind one address of a CDN share no counter, and a caller beside the CDN reaches none.
#[tokio::test(flavor = "multi_thread")]
async fn viewers_behind_one_address_share_no_counter() {
    let db = Embedded::start(None).unwrap();
    let settings = [("DAYPASS_PROXY_SECRET", SECRET), ("DAYPASS_ADDRESS_ATTEMPTS", "3")];
    let service = Service::quick(&db.url(), &settings).await;
    service.quick_user("alice").await;
    let (guesser, owner) = ("198.51.100.1", "2001:db8:0:1::2");

    for n in 0..3 {
        assert_eq!(through(&service, guesser, &format!("unknown{n}"), WRONG).await.status, 401);
    }
    assert_eq!(through(&service, guesser, "alice", PASSWORD).await.status, 429);
    assert_eq!(through(&service, owner, "alice", PASSWORD).await.status, 200);
    let log = service.journal.take_lines();
    assert!(log.iter().any(|line| line.contains("login.throttled") && line.contains(guesser)), "{log:?}");
    assert!(log.iter().any(|line| line.contains("login.succeeded") && line.contains(owner)), "{log:?}");
    assert!(!log.iter().any(|line| line.contains(SECRET) || line.contains(CDN)), "{log:?}");

    let _ = service.bench.recorder.take();
    let claim = ("cloudfront-viewer-address", format!("{owner}:443"));
    let secret = |text: &str| ("x-daypass-proxy", text.to_owned());
    for headers in
        [vec![], vec![claim.clone()], vec![claim, secret("x")], vec![secret(SECRET), secret(SECRET)]]
    {
        let answer = sent(&service, guesser, &headers, "alice", PASSWORD).await;
        assert_eq!(answer.outcome(), (403, "invalid_request".to_owned()), "{headers:?}");
        let log = service.journal.take_lines();
        assert!(log.len() == 1 && log[0].contains("request.refused") && log[0].contains(guesser), "{log:?}");
    }
    assert!(service.bench.recorder.take().is_empty(), "no request to the store");

    // Authorizers read these at function URLs, past the CDN.
    for path in ["/.well-known/jwks.json", "/revocations"] {
        assert_eq!(service.send(request("GET", path)).await.status, 200, "{path}");
    }
}
