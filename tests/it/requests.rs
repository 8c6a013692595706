//! Responses of the endpoints to malformed requests, and the public documents: tests without a session.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use daypass_testkit::embedded::Embedded;
use daypass_tests::service::{Service, post};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

async fn service(settings: &[(&str, &str)]) -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::with(&embedded.url(), settings).await;
    (embedded, service)
}

fn deep(n: usize) -> String {
    format!("{{\"username\":{}{}}}", "[".repeat(n), "]".repeat(n))
}

/// An attempt has one `Idempotency-Key`, which the client chooses.
#[tokio::test(flavor = "multi_thread")]
async fn idempotency_keys() {
    let (_db, service) = service(&[]).await;
    let refused = (400, "invalid_request".to_owned());
    let longest = "k".repeat(128);
    for (keys, accepted) in [
        (vec![longest.as_str()], true),
        (vec!["\"8e03978e-40d5-43e8-bc93-6894a57f9324\""], true),
        (vec![""], false),
        (vec!["fifteen-letters"], false),
        (vec!["with a space in between"], false),
        (vec!["0123456789abcdef", "0123456789abcdef"], false),
    ] {
        let mut request =
            post("/refresh", "application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=x");
        for key in &keys {
            request.headers_mut().append("idempotency-key", key.parse().unwrap());
        }
        // With a valid key, the invalid token is the error.
        let outcome = service.send(request).await.outcome();
        assert_eq!(outcome != refused, accepted, "{keys:?}: {outcome:?}");
    }
    let mut request =
        post("/refresh", "application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=x");
    let bytes = http::HeaderValue::from_bytes("schl\u{fc}ssel-schl\u{fc}ssel".as_bytes()).unwrap();
    request.headers_mut().insert("idempotency-key", bytes);
    assert_eq!(service.send(request).await.outcome(), refused, "not ASCII");
}

/// Malformed input gets the response of the table, no 5xx, in under 100 ms and without a request to the store.
#[tokio::test(flavor = "multi_thread")]
async fn bad_input() {
    let (_db, service) = service(&[]).await;
    service.user("alice").await;
    let _ = service.bench.recorder.take();
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    let long = "x".repeat(20_000);
    let login =
        |username: Value, password: Value| json!({ "username": username, "password": password }).to_string();
    let cases: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        ("/login", JSON, b"".to_vec(), 400, "invalid_request"),
        ("/login", JSON, b"\xff\xfe".to_vec(), 400, "invalid_request"),
        ("/login", JSON, b"{".to_vec(), 400, "invalid_request"),
        ("/login", JSON, b"[]".to_vec(), 400, "invalid_request"),
        ("/login", JSON, b"null".to_vec(), 400, "invalid_request"),
        ("/login", JSON, b"{}".to_vec(), 400, "invalid_request"),
        ("/login", JSON, b"{} {}".to_vec(), 400, "invalid_request"),
        ("/login", JSON, br#"["alice","password"]"#.to_vec(), 400, "invalid_request"),
        ("/login", JSON, login(json!(1), json!("x")).into(), 400, "invalid_request"),
        ("/login", JSON, login(json!("alice"), json!({})).into(), 400, "invalid_request"),
        ("/login", JSON, login(json!("alice"), json!(null)).into(), 400, "invalid_request"),
        ("/login", JSON, login(json!(""), json!("x")).into(), 400, "invalid_request"),
        ("/login", JSON, login(json!("al\u{0}ice"), json!("x")).into(), 400, "invalid_request"),
        ("/login", JSON, login(json!("a".repeat(2000)), json!("x")).into(), 400, "invalid_request"),
        ("/login", JSON, login(json!("alice"), json!("x".repeat(1025))).into(), 400, "invalid_request"),
        (
            "/login",
            JSON,
            br#"{"username":"a","username":"b","password":"x"}"#.to_vec(),
            400,
            "invalid_request",
        ),
        ("/login", JSON, deep(100).into(), 400, "invalid_request"),
        ("/login", JSON, deep(8_000).into(), 400, "invalid_request"),
        ("/login", JSON, deep(10_000).into(), 413, "invalid_request"),
        ("/login", JSON, login(json!("alice"), json!(long)).into(), 413, "invalid_request"),
        ("/login", JSON, vec![b' '; 1 << 20], 413, "invalid_request"),
        ("/login", FORM, b"username=alice&password=x".to_vec(), 415, "invalid_request"),
        ("/login", "text/plain", b"{}".to_vec(), 415, "invalid_request"),
        ("/login?username=alice", JSON, login(json!("alice"), json!("x")).into(), 400, "invalid_request"),
        (
            "/login",
            JSON,
            json!({ "username": "alice", "password": "x", "client_id": "unknown" }).to_string().into(),
            400,
            "invalid_client",
        ),
        (
            "/login",
            JSON,
            json!({ "username": "alice", "password": "x", "scope": "a  b" }).to_string().into(),
            400,
            "invalid_scope",
        ),
        ("/refresh", FORM, b"".to_vec(), 400, "invalid_request"),
        ("/refresh", FORM, b"grant_type=refresh_token".to_vec(), 400, "invalid_request"),
        ("/refresh", FORM, b"grant_type=refresh_token&refresh_token=".to_vec(), 400, "invalid_request"),
        ("/refresh", FORM, b"refresh_token=x".to_vec(), 400, "invalid_request"),
        (
            "/refresh",
            FORM,
            b"grant_type=password&username=a&password=b".to_vec(),
            400,
            "unsupported_grant_type",
        ),
        (
            "/refresh",
            FORM,
            b"grant_type=Refresh_Token&refresh_token=x".to_vec(),
            400,
            "unsupported_grant_type",
        ),
        (
            "/refresh",
            FORM,
            b"grant_type=refresh_token&refresh_token=x&refresh_token=x".to_vec(),
            400,
            "invalid_request",
        ),
        ("/refresh", FORM, b"grant_type=refresh_token&refresh_token=%ff".to_vec(), 400, "invalid_request"),
        (
            "/refresh",
            FORM,
            b"grant_type=refresh_token&refresh_token=x&scope=%22".to_vec(),
            400,
            "invalid_scope",
        ),
        (
            "/refresh",
            FORM,
            b"grant_type=refresh_token&refresh_token=x&client_secret=s".to_vec(),
            401,
            "invalid_client",
        ),
        ("/refresh?refresh_token=x", FORM, b"grant_type=refresh_token".to_vec(), 400, "invalid_request"),
        ("/refresh", "multipart/form-data; boundary=b", b"--b--".to_vec(), 415, "invalid_request"),
        (
            "/refresh",
            FORM,
            format!("grant_type=refresh_token&refresh_token={long}").into(),
            413,
            "invalid_request",
        ),
        (
            "/refresh",
            JSON,
            br#"{"grant_type":"refresh_token","refresh_token":["x"]}"#.to_vec(),
            400,
            "invalid_request",
        ),
        ("/revoke", FORM, b"".to_vec(), 400, "invalid_request"),
        ("/revoke", FORM, b"token=".to_vec(), 400, "invalid_request"),
        ("/revoke", FORM, b"token=x&token=x".to_vec(), 400, "invalid_request"),
        ("/revoke", FORM, b"token=x&all=maybe".to_vec(), 400, "invalid_request"),
        ("/revoke", JSON, br#"{"token":1}"#.to_vec(), 400, "invalid_request"),
        ("/revoke?token=x", FORM, b"token=x".to_vec(), 400, "invalid_request"),
        ("/revoke", "application/xml", b"<x/>".to_vec(), 415, "invalid_request"),
    ];
    for (path, content_type, body, status, error) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let answer = service.send(post(path, content_type, body)).await;
        assert_eq!(answer.outcome(), (status, error.to_owned()), "{path} {content_type} {shown}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    }
    for path in ["/login", "/refresh", "/revoke"] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
            let request = http::Request::builder().method(method).uri(path).body(Vec::new()).unwrap();
            let answer = service.send(request).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method} {path}");
        }
    }
    assert!(service.bench.recorder.take().is_empty(), "nothing was asked of the store");
    assert_eq!(service.hashes.load(Ordering::SeqCst), 0, "no password was hashed");
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_documents() {
    let (_db, service) = service(&[]).await;
    let get = |path: &str| service.send(http::Request::get(path).body(Vec::new()).unwrap());
    let jwks = get("/.well-known/jwks.json").await;
    assert_eq!(jwks.status, 200);
    assert_eq!(jwks.header("cache-control"), Some("public, max-age=300"));
    let key = &jwks.json()["keys"][0];
    for member in ["kty", "kid", "use", "alg", "crv", "x", "y"] {
        assert!(key[member].is_string(), "{member}");
    }
    assert_eq!(key.as_object().unwrap().len(), 7, "public members and no others");
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/prod/.well-known/openid-configuration",
    ] {
        let metadata = get(path).await.json();
        assert_eq!(metadata["issuer"], "https://id.example.com");
        assert_eq!(metadata["jwks_uri"], "https://id.example.com/.well-known/jwks.json");
        assert_eq!(metadata["token_endpoint"], "https://id.example.com/token");
        assert_eq!(metadata["grant_types_supported"], json!(["refresh_token", "client_credentials"]));
        assert!(metadata.get("authorization_endpoint").is_none());
    }
    assert_eq!(get("/.well-known/other").await.status, 404);
    let posted = service.send(post("/.well-known/jwks.json", "text/plain", "x")).await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    let mut forged = http::Request::get("/.well-known/openid-configuration").body(Vec::new()).unwrap();
    forged.headers_mut().insert("host", "evil.example".parse().unwrap());
    forged.headers_mut().insert("x-forwarded-host", "evil.example".parse().unwrap());
    assert!(!String::from_utf8(service.send(forged).await.body).unwrap().contains("evil"));
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_below_an_issuer_with_a_path() {
    let (_db, service) = service(&[("DAYPASS_ISSUER", "https://id.example.com/auth")]).await;
    for path in ["/.well-known/oauth-authorization-server/auth", "/auth/.well-known/openid-configuration"] {
        let answer = service.send(http::Request::get(path).body(Vec::new()).unwrap()).await;
        assert_eq!(answer.json()["jwks_uri"], "https://id.example.com/auth/.well-known/jwks.json", "{path}");
    }
}
