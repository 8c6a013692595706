//! API Gateway's own JWT authorizer of HTTP APIs, which knows Daypass from its discovery document and nothing else.
//!
//! The one of REST APIs, which takes ES256 too, is newer than MiniStack: it would let everything pass there.

use crate::stage::{Kind, Stage, Tokens};
use data_encoding::BASE64URL_NOPAD;
use http::Method;
use serde_json::Value;

/// Whether the stage signs with RSA, which is all that this authorizer takes.
fn signs_with_rsa(access: &str) -> bool {
    let header = access.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(header.as_bytes()).unwrap()).unwrap();
    header["alg"].as_str().unwrap().starts_with("RS")
}

#[tokio::test]
async fn it_verifies_our_tokens_from_our_documents() {
    let stage = &Stage::find();
    for api in stage.apis.iter().filter(|api| api.kind == Kind::HttpJwt) {
        // A new token for each question: the first one waits until API Gateway has fetched our documents.
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

/// The access token, with another character in the middle of its signature.
fn tampered(tokens: Tokens) -> String {
    let middle = tokens.access.len() - tokens.access.rsplit('.').next().unwrap().len() / 2;
    let other = if tokens.access.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let mut token = tokens.access;
    token.replace_range(middle..=middle, other);
    token
}
