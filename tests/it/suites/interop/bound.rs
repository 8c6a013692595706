//! Bound tokens at the resource servers of the guide (RFC 9449).

use super::resource_servers::Example;
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, RsaKeyPair};
use data_encoding::BASE64URL_NOPAD;
use daypass_dev::{DEMO_PASSWORD, DEMO_USER, Stack};
use daypass_runtime::SystemClock;
use daypass_tests::key::{Key, proof_claims};
use daypass_verifier::base::time::Clock;
use reqwest::Method;
use serde_json::{Value, json};

const ACCEPTED: (u16, &str) = (200, "");
const BAD_PROOF: (u16, &str) = (401, "DPoP error=\"invalid_dpop_proof\"");

/// An access token and its key.
pub(super) struct Bound {
    key: Key,
    token: String,
}

/// A token for each algorithm. The first has the whole scope of the user, and the others may only read.
pub(super) async fn tokens(stack: &Stack) -> [Bound; 3] {
    let ed25519 = Key::EdDsa(Ed25519KeyPair::generate().unwrap());
    let rsa = Key::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    [
        Bound::login(stack, Key::es256(), None).await,
        Bound::login(stack, ed25519, Some("orders:read")).await,
        Bound::login(stack, rsa, Some("orders:read")).await,
    ]
}

impl Bound {
    /// Logs in with a proof. The first response has the nonce alone.
    async fn login(stack: &Stack, key: Key, scope: Option<&str>) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/login", stack.url());
        let mut body = json!({ "username": DEMO_USER, "password": DEMO_PASSWORD });
        if let Some(scope) = scope {
            body["scope"] = scope.into();
        }
        let mut claims = proof_claims("POST", &url, SystemClock.now(), None);
        let send = async |claims: &Value| {
            let proof = key.jwt(&key.proof_header(), claims);
            http.post(&url).header("dpop", proof).json(&body).send().await.unwrap()
        };
        let first = send(&claims).await;
        assert_eq!(first.status(), 400);
        claims["nonce"] = first.headers()["dpop-nonce"].to_str().unwrap().into();
        let answer: Value = send(&claims).await.json().await.unwrap();
        assert_eq!(answer["token_type"], "DPoP");
        Self { token: answer["access_token"].as_str().unwrap().to_owned(), key }
    }

    /// The member `d` of the private key (RFC 7518 §6.2.2.1).
    fn private(&self) -> String {
        let Key::Es256(pair) = &self.key else { panic!("another key") };
        let scalar: EcPrivateKeyBin = pair.private_key().as_be_bytes().unwrap();
        BASE64URL_NOPAD.encode(scalar.as_ref())
    }

    fn authorization(&self) -> String {
        format!("DPoP {}", self.token)
    }

    fn claims(&self, method: &str, url: &str) -> Value {
        proof_claims(method, url, SystemClock.now(), Some(&self.token))
    }

    fn proof(&self, claims: &Value) -> String {
        self.key.jwt(&self.key.proof_header(), claims)
    }
}

/// invariant: The resource servers of the guide accept a bound token with a new proof of its key for this request, and in no
/// other way.
pub(super) async fn check(example: &Example, tokens: &[Bound; 3], bearer: &str) {
    let url = &example.url;
    let [token, reader, _] = tokens;
    let authorization = token.authorization();
    let ask = async |what: &str, proofs: &[String], expected: (u16, &str)| {
        example.check_with(what, Method::GET, &authorization, proofs, expected).await;
    };
    for token in tokens {
        let (authorization, proof) = (token.authorization(), token.proof(&token.claims("GET", url)));
        example.check_with("good", Method::GET, &authorization, std::slice::from_ref(&proof), ACCEPTED).await;
        example.check_with("replay", Method::GET, &authorization, &[proof], BAD_PROOF).await;
    }
    let post = token.proof(&token.claims("POST", url));
    example.check_with("another method", Method::POST, &authorization, &[post], ACCEPTED).await;
    let post = reader.proof(&reader.claims("POST", url));
    let denied = (403, "DPoP error=\"insufficient_scope\", scope=\"orders:write\"");
    example.check_with("without the scope", Method::POST, &reader.authorization(), &[post], denied).await;

    // A stolen token, and a token that is not bound.
    ask("without a proof", &[], BAD_PROOF).await;
    let proof = || token.proof(&token.claims("GET", url));
    ask("two proofs", &[proof(), proof()], BAD_PROOF).await;
    let invalid = (401, "Bearer error=\"invalid_token\"");
    let as_bearer = format!("Bearer {}", token.token);
    example.check_with("as a bearer token", Method::GET, &as_bearer, &[], invalid).await;
    example.check_with("as a bearer token, with a proof", Method::GET, &as_bearer, &[proof()], invalid).await;
    let unbound = token.proof(&proof_claims("GET", url, SystemClock.now(), Some(bearer)));
    let invalid = (401, "DPoP error=\"invalid_token\"");
    example.check_with("not bound", Method::GET, &format!("DPoP {bearer}"), &[unbound], invalid).await;
    let other_key = Key::es256();
    let of_thief = other_key.jwt(&other_key.proof_header(), &token.claims("GET", url));
    ask("another key", &[of_thief], BAD_PROOF).await;

    // A proof that differs in one claim, or in one member of the header.
    let other_host = url.replace("127.0.0.1", "localhost");
    let now = token.claims("GET", url)["iat"].as_u64().unwrap();
    for (claim, value, expected) in [
        ("iat", json!(now - 5), ACCEPTED),
        ("iat", json!(now + 5), ACCEPTED),
        ("htu", json!(format!("{url}?x#y")), ACCEPTED),
        ("iat", json!(now - 60), BAD_PROOF),
        ("iat", json!(now + 60), BAD_PROOF),
        ("iat", json!("now"), BAD_PROOF),
        ("iat", Value::Null, BAD_PROOF),
        ("htm", json!("POST"), BAD_PROOF),
        ("htm", json!("get"), BAD_PROOF),
        ("htu", json!(format!("{url}/1")), BAD_PROOF),
        ("htu", json!(other_host), BAD_PROOF),
        ("htu", json!("/orders"), BAD_PROOF),
        ("ath", token.claims("GET", url)["jti"].clone(), BAD_PROOF),
        ("ath", proof_claims("GET", url, SystemClock.now(), Some(bearer))["ath"].clone(), BAD_PROOF),
    ] {
        let mut claims = token.claims("GET", url);
        claims[claim] = value;
        ask(&claims.to_string(), &[token.proof(&claims)], expected).await;
    }
    for claim in ["jti", "htm", "htu", "iat", "ath"] {
        let mut claims = token.claims("GET", url);
        claims.as_object_mut().unwrap().remove(claim);
        ask(&format!("without {claim}"), &[token.proof(&claims)], BAD_PROOF).await;
    }
    for (pointer, member, value) in [
        ("", "typ", json!("JWT")),
        ("", "alg", json!("none")),
        ("", "alg", json!("RS256")),
        ("", "jwk", Value::Null),
        ("/jwk", "d", json!(token.private())),
        ("/jwk", "kty", json!("RSA")),
    ] {
        let mut header = token.key.proof_header();
        header.pointer_mut(pointer).unwrap()[member] = value;
        ask(&header.to_string(), &[token.key.jwt(&header, &token.claims("GET", url))], BAD_PROOF).await;
    }
    let mut forged = proof();
    forged.truncate(forged.len() - 4);
    ask("a cut signature", &[forged], BAD_PROOF).await;
}
