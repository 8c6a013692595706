//! Tokens that every verifier must reject. Each differs from a valid one in one respect. Most are signed with the issuer's
//! own key, so that this respect is the only reason to reject them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use data_encoding::BASE64URL_NOPAD;
use daypass_core::keys::Document;
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::time::Clock;
use daypass_verifier::jose::jwk::Algorithm;
use serde_json::{Map, Value, json};

/// Parts of the tokens.
pub(crate) struct Refused<'a> {
    pub(crate) good: &'a str,
    pub(crate) keys: &'a Document,
    pub(crate) algorithm: Algorithm,
}

impl Refused<'_> {
    /// All tokens, by the names in [`crate::suites::interop::programs::VERIFIER`].
    pub(crate) fn all(&self) -> Map<String, Value> {
        let now = SystemClock.now().seconds();
        let header = part(self.good, 0);
        let claims = claims(self.good);
        let sign = |header: &Value, claims: &Value| self.sign(self.keys, header, claims);
        let with_claim = |name: &str, value: Value| sign(&header, &with(&claims, name, value));
        let with_header = |name: &str, value: Value| sign(&with(&header, name, value), &claims);

        let (signed, signature) = self.good.rsplit_once('.').unwrap();
        let (head, _) = signed.split_once('.').unwrap();
        let more = encode(&with(&claims, "scope", json!("everything")));
        let none = signing_input(&with(&header, "alg", json!("none")), &claims);
        let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        bytes[10] ^= 1;

        let tokens = [
            // Issued before it expired, or a library could reject it for another reason.
            (
                "expired",
                sign(&header, &with(&with(&claims, "iat", json!(now - 360)), "exp", json!(now - 60))),
            ),
            ("another_audience", with_claim("aud", json!("another-api"))),
            ("another_issuer", with_claim("iss", json!("https://another.example"))),
            // The type of an ID token. The issuer makes none.
            ("another_type", with_header("typ", json!("JWT"))),
            ("changed_claims", format!("{head}.{more}.{signature}")),
            ("changed_signature", format!("{signed}.{}", BASE64URL_NOPAD.encode(&bytes))),
            ("another_key", self.sign(&self.foreign(), &header, &claims)),
            ("unsigned", format!("{none}.")),
            ("unsigned_with_a_signature", format!("{none}.{signature}")),
            ("hmac_with_the_public_key", self.hmac(&with(&header, "alg", json!("HS256")), &claims)),
            ("unknown_kid", with_header("kid", json!("unknown"))),
        ];
        tokens.into_iter().map(|(name, token)| (name.to_owned(), json!(token))).collect()
    }

    /// Key set of another issuer.
    fn foreign(&self) -> Document {
        Document::generate(self.algorithm, &OsEntropy, SystemClock.now()).unwrap()
    }

    fn sign(&self, keys: &Document, header: &Value, claims: &Value) -> String {
        let input = signing_input(header, claims);
        let document: Value = serde_json::from_str(&keys.to_json().unwrap()).unwrap();
        let private = document["signing"][0]["private"].as_str().unwrap();
        let pkcs8 = BASE64URL_NOPAD.decode(private.as_bytes()).unwrap();
        let random = SystemRandom::new();
        let signature = match self.algorithm {
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap();
                pair.sign(&random, input.as_bytes()).unwrap().as_ref().to_vec()
            }
            Algorithm::EdDsa => {
                Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap().sign(input.as_bytes()).as_ref().to_vec()
            }
            Algorithm::Rs256 => {
                let pair: rsa::KeyPair = RsaKeyPair::from_pkcs8(&pkcs8).unwrap();
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    /// Algorithm confusion: the public key is used as a shared secret.
    fn hmac(&self, header: &Value, claims: &Value) -> String {
        let input = signing_input(header, claims);
        let jwks: Value = serde_json::from_str(&self.keys.jwks().to_json().unwrap()).unwrap();
        let public = jwks["keys"][0]["x"].as_str().or(jwks["keys"][0]["n"].as_str()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64URL_NOPAD.decode(public.as_bytes()).unwrap());
        format!("{input}.{}", BASE64URL_NOPAD.encode(hmac::sign(&key, input.as_bytes()).as_ref()))
    }
}

/// The claims of a token, without verification.
pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut changed = object.clone();
    changed[name] = value;
    changed
}

fn signing_input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header), encode(claims))
}

fn encode(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}
