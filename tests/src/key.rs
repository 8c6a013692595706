//! Private keys of clients, for assertions and DPoP proofs.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use daypass_runtime::OsEntropy;
use daypass_verifier::base::entropy::random;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Jwk;
use serde_json::{Value, json};

/// A private key of a client.
pub enum Key {
    /// On P-256.
    Es256(EcdsaKeyPair),
    /// Ed25519.
    EdDsa(Ed25519KeyPair),
    /// RSA.
    Rs256(RsaKeyPair),
}

impl Key {
    /// A fresh key on P-256.
    #[must_use]
    pub fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// The public key, with its thumbprint as `kid`.
    #[must_use]
    pub fn jwk(&self) -> Jwk {
        match self {
            Self::Es256(pair) => {
                let point = pair.public_key().as_ref();
                Jwk::es256(&point[1..33], &point[33..])
            }
            Self::EdDsa(pair) => Jwk::ed25519(pair.public_key().as_ref()),
            Self::Rs256(pair) => {
                let public = pair.public_key();
                let n = public.modulus().big_endian_without_leading_zero();
                Jwk::rs256(n, public.exponent().big_endian_without_leading_zero())
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A signed JWT.
    #[must_use]
    pub fn jwt(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let input = format!("{}.{}", encode(header), encode(claims));
        format!("{input}.{}", BASE64URL_NOPAD.encode(&self.sign(input.as_bytes())))
    }

    /// The header of a client assertion.
    #[must_use]
    pub fn header(&self) -> Value {
        let jwk = self.jwk();
        json!({ "alg": jwk.algorithm().as_str(), "kid": jwk.kid() })
    }

    /// The header of a DPoP proof.
    #[must_use]
    pub fn proof_header(&self) -> Value {
        let jwk = self.jwk();
        json!({ "typ": "dpop+jwt", "alg": jwk.algorithm().as_str(), "jwk": jwk })
    }

    /// A fresh DPoP proof, with the nonce of a token endpoint or for the access token of a guarded call.
    #[must_use]
    pub fn proof(
        &self,
        method: &str,
        url: &str,
        now: Timestamp,
        nonce: Option<&str>,
        token: Option<&str>,
    ) -> String {
        let mut claims = proof_claims(method, url, now, token);
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        self.jwt(&self.proof_header(), &claims)
    }
}

/// The claims of a fresh DPoP proof, for a guarded call with its access token.
#[must_use]
pub fn proof_claims(method: &str, url: &str, now: Timestamp, token: Option<&str>) -> Value {
    let jti = HEXLOWER.encode(&random::<16>(&OsEntropy));
    let mut claims = json!({ "jti": jti, "htm": method, "htu": url, "iat": now.seconds() });
    if let Some(token) = token {
        claims["ath"] = json!(BASE64URL_NOPAD.encode(digest(&SHA256, token.as_bytes()).as_ref()));
    }
    claims
}
