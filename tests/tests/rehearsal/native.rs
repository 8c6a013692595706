//! API Gateway's own JWT authorizer of HTTP APIs, which knows Daypass from its discovery document and nothing else.
//!
//! The one of REST APIs, which takes ES256 too, is newer than MiniStack: it would let everything pass there.

use crate::stage::{Kind, Stage};
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
        let tokens = stage.login(Some("orders:read")).await;
        let ask = |method: Method, path: &'static str, token: String| async move {
            stage.ask(api, method, path, Some(&format!("Bearer {token}"))).await.status
        };
        let access = || tokens.access.clone();
        if !signs_with_rsa(&tokens.access) {
            assert_eq!(ask(Method::GET, "/me", access()).await, 401, "{api}: it takes RSA only");
            continue;
        }
        assert_eq!(ask(Method::GET, "/me", access()).await, 200, "{api}");
        assert_eq!(ask(Method::GET, "/orders/1", access()).await, 200, "{api}: with the scope");
        assert_eq!(ask(Method::POST, "/orders", access()).await, 403, "{api}: without the scope");
        assert_eq!(ask(Method::GET, "/other", access()).await, 401, "{api}: for another audience");
        assert_eq!(ask(Method::GET, "/me", tampered(&tokens.access)).await, 401, "{api}: tampered with");
        assert_eq!(ask(Method::GET, "/me", tokens.refresh.clone()).await, 401, "{api}: no JWT");
        assert_eq!(stage.ask(api, Method::GET, "/me", None).await.status, 401, "{api}: no token");
    }
}

/// A token whose signature has another byte in its middle.
fn tampered(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = signature.to_owned().into_bytes();
    let at = signature.len() / 2;
    signature[at] = if signature[at] == b'A' { b'B' } else { b'A' };
    format!("{signed}.{}", String::from_utf8(signature).unwrap())
}
