//! The responses of guarded APIs to accepted and to rejected requests.

use crate::suites::rehearsal::stage::{Api, Kind, Stage};
use data_encoding::BASE64URL_NOPAD;
use daypass_testkit::Answer;
use http::{HeaderValue, Method};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn the_integration_learns_who_calls() {
    let stage = Stage::find();
    let tokens = stage.login(Some("orders:read")).await;
    stage
        .each_guarded(async |api| {
            // RFC 9110 §11.1: the case of the scheme does not matter.
            for authorization in [tokens.bearer(), format!("bearer {}", tokens.access)] {
                let answer = stage.ask(api, Method::GET, "/me", Some(&authorization)).await;
                assert_eq!(answer.status, 200, "{api}: {answer:?}");
                assert!(answer.text("sub").starts_with("usr_"), "{api}: {answer:?}");
                assert_eq!(answer.text("sid"), tokens.session, "{api}");
                assert_eq!(answer.text("scope"), "orders:read", "{api}");
                assert!(!answer.text("client_id").is_empty(), "{api}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_scope_that_is_missing_is_403() {
    let stage = Stage::find();
    let reader = stage.login(Some("orders:read")).await;
    let other = stage.login(Some("profile")).await;
    stage
        .each_guarded(async |api| {
            for (tokens, method, path, status) in [
                (&reader, Method::GET, "/orders/1", 200),
                (&reader, Method::POST, "/orders", 403),
                (&reader, Method::GET, "/me", 200),
                (&other, Method::GET, "/orders/1", 403),
                (&other, Method::POST, "/orders", 403),
                (&other, Method::GET, "/me", 200),
            ] {
                let answer = stage.ask(api, method.clone(), path, Some(&tokens.bearer())).await;
                assert_eq!(answer.status, status, "{api}: {method} {path}: {answer:?}");
            }
        })
        .await;
}

#[tokio::test]
async fn no_token_is_401() {
    let stage = Stage::find();
    stage
        .each_guarded(async |api| {
            for path in ["/me", "/orders/1"] {
                let answer = stage.ask(api, Method::GET, path, None).await;
                assert_eq!(answer.status, 401, "{api}: {answer:?}");
                let empty = stage.ask(api, Method::GET, path, Some("")).await;
                assert_eq!(empty.status, 401, "{api}: {empty:?}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_malformed_or_forged_token_is_refused() {
    let stage = Stage::find();
    let tokens = stage.login(Some("orders:read")).await;
    let bad = bad_authorizations(&tokens.access, &tokens.refresh);
    let unknown = token_of_unknown_key(&tokens.access);
    stage
        .each_guarded(async |api| {
            let answer = rejection_of_unknown_key(&stage, api, &unknown).await;
            assert_eq!(answer.status, api.kind.bad_token(), "{api}: an unknown key: {answer:?}");
            for authorization in &bad {
                let request = api.request(Method::GET, "/me").header("authorization", authorization);
                let answer = stage.send(request).await;
                assert_eq!(answer.status, api.kind.bad_token(), "{api}: {authorization:?}: {answer:?}");
            }
            let twice = api.request(Method::GET, "/me").header("authorization", tokens.bearer());
            let twice = stage.send(twice.header("authorization", tokens.bearer())).await;
            assert_eq!(twice.status, api.kind.bad_token(), "{api}: two headers: {twice:?}");
            let good = stage.ask(api, Method::GET, "/me", Some(&tokens.bearer())).await;
            assert_eq!(good.status, 200, "{api}: the good one still passes: {good:?}");
        })
        .await;
}

/// The response to a token of an unknown key. It is 500 while the last fetch of the issuer's keys failed.
async fn rejection_of_unknown_key(stage: &Stage, api: &Api, token: &str) -> Answer {
    let mut answer = stage.ask(api, Method::GET, "/me", Some(token)).await;
    for _ in 0..20 {
        if answer.status != 500 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        answer = stage.ask(api, Method::GET, "/me", Some(token)).await;
    }
    answer
}

/// The `Authorization` header with another `kid`.
fn token_of_unknown_key(access: &str) -> String {
    let (header, rest) = access.split_once('.').unwrap();
    let mut header: Value =
        serde_json::from_slice(&BASE64URL_NOPAD.decode(header.as_bytes()).unwrap()).unwrap();
    header["kid"] = json!("unknown");
    format!("Bearer {}.{rest}", BASE64URL_NOPAD.encode(header.to_string().as_bytes()))
}

/// `Authorization` headers, each invalid in another way.
fn bad_authorizations(access: &str, refresh: &str) -> Vec<HeaderValue> {
    let parts: Vec<&str> = access.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{access} is no JWT") };
    let read = |part: &str| -> Value {
        serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
    };
    let written = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let with = |part: &str, member: &str, value: Value| {
        let mut part = read(part);
        part[member] = value;
        written(&part)
    };
    let raised = with(claims, "scope", json!("orders:read orders:write"));
    let later = with(claims, "exp", json!(4_102_444_800_u64));
    let none = with(header, "alg", json!("none"));
    let hmac = with(header, "alg", json!("HS256"));
    let mut texts = vec![
        access.to_owned(),
        "Bearer".to_owned(),
        "Bearer x".to_owned(),
        "Bearer a.b.c".to_owned(),
        "Bearer ..".to_owned(),
        format!("Basic {access}"),
        format!("Bearer {access} {access}"),
        format!("Bearer {access}, Bearer {access}"),
        format!("Bearer {refresh}"),
        format!("Bearer {header}.{claims}"),
        format!("Bearer {header}.{claims}."),
        format!("Bearer {header}.{claims}.{signature}A"),
        format!("Bearer {header}.{claims}.{}", signature.chars().rev().collect::<String>()),
        format!("Bearer {header}.{raised}.{signature}"),
        format!("Bearer {header}.{later}.{signature}"),
        format!("Bearer {none}.{claims}."),
        format!("Bearer {none}.{claims}.{signature}"),
        format!("Bearer {hmac}.{claims}.{signature}"),
        // The longest permitted header.
        format!("Bearer {}", "x".repeat(8_000)),
        format!("Bearer {header}.{}.{signature}", "e30".repeat(2_000)),
        "\u{ff}".to_owned(),
    ];
    texts.push(format!("Bearer {}", "[".repeat(4_000)));
    let mut values: Vec<HeaderValue> =
        texts.iter().map(|text| HeaderValue::from_bytes(text.as_bytes()).unwrap()).collect();
    // Neither ASCII nor UTF-8.
    values.push(HeaderValue::from_bytes(b"Bearer \xff\xfe\x80").unwrap());
    values
}

/// With any path, query, method and headers: no failure of Daypass, and no request passes that the scope denies.
///
/// invariant: While the issuer answers, a request of a caller gets a decision of the authorizer, and no 500.
#[tokio::test]
async fn nothing_that_a_caller_sends_is_500() {
    let stage = Stage::find();
    let tokens = stage.login(Some("orders:read")).await;
    let paths = [
        "/orders/%00",
        "/orders/%ff%fe",
        "/orders/*",
        "/orders/%3F",
        "/orders/%2e%2e%2fme",
        "/orders/1%2f2",
        "/orders/%C3%BC",
        "/orders/${jwt}",
        "/orders/1?a=%00&b=%ff&a=2&authorization=Bearer%20x",
        "/orders/1?",
        "/orders//1",
        "//orders/1",
        "/orders/1/",
        "/orders/",
        "/*",
        "/",
        &format!("/orders/{}", "x".repeat(1_500)),
    ];
    stage
        .each_guarded(async |api| {
            for path in paths {
                for authorization in [None, Some("Bearer x"), Some(&*tokens.bearer())] {
                    let answer = stage.ask(api, Method::GET, path, authorization).await;
                    let refused = (400..500).contains(&answer.status);
                    let may_pass = answer.status == 200 && authorization.is_some_and(|it| it != "Bearer x");
                    assert!(refused || may_pass, "{api}: GET {path} with {authorization:?}: {answer:?}");
                }
            }
            for method in ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND"] {
                for path in ["/orders", "/orders/1", "/me"] {
                    let method = Method::from_bytes(method.as_bytes()).unwrap();
                    let answer = stage.ask(api, method.clone(), path, Some(&tokens.bearer())).await;
                    assert!((400..500).contains(&answer.status), "{api}: {method} {path}: {answer:?}");
                }
            }
        })
        .await;
}

/// The status of the handshake of a WebSocket API.
pub(crate) async fn connect(api: &Api, authorization: Option<String>) -> u16 {
    let request = api
        .request(Method::GET, "")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let request = match authorization {
        Some(value) => request.header("authorization", value),
        None => request,
    };
    // Its own connection, because a rejected handshake closes it.
    Stage::find().send(request).await.status
}

#[tokio::test]
async fn a_connection_is_decided_once() {
    let stage = Stage::find();
    let reader = stage.login(Some("orders:read")).await;
    let other = stage.login(Some("profile")).await;
    for api in stage.apis.iter().filter(|api| api.kind == Kind::WebSocket) {
        assert_eq!(connect(api, Some(reader.bearer())).await, 101, "{api}");
        assert_eq!(connect(api, Some(other.bearer())).await, 403, "{api}: without the scope");
        assert_eq!(connect(api, None).await, 401, "{api}: without a token");
        // AWS turns the error `Unauthorized` into 401. MiniStack turns every error of a WebSocket authorizer into 500.
        let bad = if stage.emulated { 500 } else { api.kind.bad_token() };
        assert_eq!(connect(api, Some("Bearer x".to_owned())).await, bad, "{api}: with a bad token");
    }
}
