//! Verifiers that only use the public documents: API Gateway's own JWT authorizer of HTTP APIs, and a Daypass authorizer
//! without inline keys.
//!
//! The native authorizer of REST APIs, which also accepts ES256, is newer than MiniStack, which would accept every token.

use crate::suites::rehearsal::stage::{Kind, Stage, Tokens};
use data_encoding::BASE64URL_NOPAD;
use http::Method;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Whether the stage signs with RSA, the only algorithm that this authorizer accepts.
fn signs_with_rsa(access: &str) -> bool {
    let header = access.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(header.as_bytes()).unwrap()).unwrap();
    header["alg"].as_str().unwrap().starts_with("RS")
}

#[tokio::test]
async fn it_verifies_our_tokens_from_our_documents() {
    let stage = &Stage::find();
    for api in stage.apis.iter().filter(|api| api.kind == Kind::HttpJwt) {
        // A new token for each request. The first request waits until API Gateway has fetched the documents.
        let ask = |method: Method, path: &'static str, change: fn(Tokens) -> String| async move {
            let token = change(stage.login(Some("orders:read")).await);
            stage.ask(api, method, path, Some(&format!("Bearer {token}"))).await.status
        };
        let as_it_is = |tokens: Tokens| tokens.access;
        if !signs_with_rsa(&stage.login(None).await.access) {
            assert_eq!(ask(Method::GET, "/me", as_it_is).await, 401, "{api}: it takes RSA only");
            continue;
        }
        let _fetched = ask(Method::GET, "/me", as_it_is).await;
        assert_eq!(ask(Method::GET, "/me", as_it_is).await, 200, "{api}");
        assert_eq!(ask(Method::GET, "/orders/1", as_it_is).await, 200, "{api}: with the scope");
        assert_eq!(ask(Method::POST, "/orders", as_it_is).await, 403, "{api}: without the scope");
        assert_eq!(ask(Method::GET, "/other", as_it_is).await, 401, "{api}: for another audience");
        assert_eq!(ask(Method::GET, "/me", tampered).await, 401, "{api}: tampered with");
        assert_eq!(ask(Method::GET, "/me", |tokens| tokens.refresh).await, 401, "{api}: no JWT");
        assert_eq!(stage.ask(api, Method::GET, "/me", None).await.status, 401, "{api}: no token");
    }
}

/// A Daypass authorizer without configured keys finds them in the same documents.
#[tokio::test]
async fn keys_come_from_the_issuer() {
    let stage = Stage::find();
    for api in stage.apis.iter().filter(|api| api.kind == Kind::HttpJwt) {
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let tokens = stage.login(Some("orders:read")).await;
            let answer = stage.ask(api, Method::GET, "/orders/fetched", Some(&tokens.bearer())).await;
            // A cold start of the issuer may take longer than the authorizer waits. It tries again after 5 s.
            if answer.status != 500 || Instant::now() > patience {
                assert_eq!(answer.status, 200, "{api}: {answer:?}");
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let bad = stage.ask(api, Method::GET, "/orders/fetched", Some("Bearer x")).await;
        assert_eq!(bad.status, 403, "{api}: {bad:?}");
    }
}

/// The access token with another character in the middle of its signature.
fn tampered(tokens: Tokens) -> String {
    let middle = tokens.access.len() - tokens.access.rsplit('.').next().unwrap().len() / 2;
    let other = if tokens.access.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let mut token = tokens.access;
    token.replace_range(middle..=middle, other);
    token
}
