//! What several targets share: a key set that signs, fixed times, and inputs of several parts.

use aws_lc_rs::signature::Ed25519KeyPair;
use data_encoding::BASE64URL_NOPAD;
use daypass_core::keys::Document;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::Timestamp;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// A key set of version 0.1.0, with an Ed25519 key: a signature of it is always the same.
pub static KEYS: LazyLock<Document> =
    LazyLock::new(|| Document::parse(include_bytes!("../../tests/fixtures/v0.1.0/eddsa/keys.json")).unwrap());

/// The time of every target.
pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

pub const AUDIENCE: &str = "https://api.example.com";

#[must_use]
pub fn issuer() -> Issuer {
    Issuer::parse("https://id.example.com").unwrap()
}

fn member(pointer: &str) -> String {
    let json: Value = serde_json::from_str(&KEYS.to_json().unwrap()).unwrap();
    json.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
}

/// The bytes of a key of [`KEYS`], such as `/refresh/0/key`.
#[must_use]
pub fn key(pointer: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(member(pointer).as_bytes()).unwrap()
}

/// The `kid` of the signing key.
pub static KID: LazyLock<String> = LazyLock::new(|| member("/signing/0/public/kid"));

static PAIR: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_pkcs8(&key("/signing/0/private")).unwrap());

/// A token of any header and payload, with a good signature.
#[must_use]
pub fn signed(header: &[u8], payload: &[u8]) -> String {
    let input = format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(payload));
    let signature = BASE64URL_NOPAD.encode(PAIR.sign(input.as_bytes()).as_ref());
    format!("{input}.{signature}")
}

/// A good token with this scope.
#[must_use]
pub fn good_token(scope: &str) -> String {
    let header = json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": *KID });
    let claims = json!({
        "iss": "https://id.example.com", "sub": format!("usr_{}", "01".repeat(16)), "aud": AUDIENCE, "client_id": "web",
        "exp": NOW.seconds() + 300, "iat": NOW.seconds(), "jti": "j", "sid": format!("ses_{}", "02".repeat(16)),
        "scope": scope,
    });
    signed(header.to_string().as_bytes(), claims.to_string().as_bytes())
}

/// The parts of an input, separated by empty lines. The last part has the rest.
#[must_use]
pub fn parts<const N: usize>(input: &[u8]) -> Option<[&[u8]; N]> {
    let mut rest = input;
    let mut parts = [&input[..0]; N];
    let (last, first) = parts.split_last_mut()?;
    for part in first {
        let at = rest.windows(2).position(|bytes| bytes == b"\n\n")?;
        (*part, rest) = (&rest[..at], &rest[at + 2..]);
    }
    *last = rest;
    Some(parts)
}
