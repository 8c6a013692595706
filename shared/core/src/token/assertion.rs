//! Client assertions (RFC 7523 §2.2): a JWT with which a client authenticates itself by its private key (`private_key_jwt`).
//!
//! By default, Daypass stores no used assertion, so a token costs no request to a table: docs/adr/0103 weighs what a replay gains. A
//! client can be registered so that each of its assertions is accepted once: docs/adr/0113.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use daypass_verifier::base::digest::prefix;
use daypass_verifier::base::time::{MAX_CLOCK_SKEW, Timestamp};
use daypass_verifier::jose::jwk::Algorithm;
use daypass_verifier::jose::verify::{
    MAX_TOKEN_BYTES, Rejection, UnverifiedToken, VerifyingKey, numeric_date, text,
};
use serde_json::{Map, Value};
use std::time::Duration;

/// The value of `client_assertion_type` (RFC 7523 §2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest time until an assertion expires. A stolen one is of use until then.
pub const MAX_AHEAD: Duration = Duration::from_secs(60);

/// Values of `typ` (RFC 7515 §4.1.9), in lower case. Many clients send none. An access token is no assertion.
const TYPES: [&str; 2] = ["jwt", "client-authentication+jwt"];

/// Longest `jti`, in bytes, as in a DPoP proof.
const MAX_ID: usize = 256;

/// The newer name of EdDSA with an Ed25519 key (RFC 9864 §2.2), which openid-client sends.
const ED25519: &str = "Ed25519";

/// An assertion as the store notes its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertionUse {
    /// The key of the item: [`AssertionUse::PREFIX`], and 16 bytes of a digest of client and `jti`, in hexadecimal.
    pub key: String,
    /// The time from which no process accepts the assertion.
    pub expires_at: Timestamp,
}

impl AssertionUse {
    /// Begins the key of each item. The policies of the roles allow keys with this prefix alone.
    pub const PREFIX: &'static str = "assertion#";
}

/// An assertion before its signature is checked.
pub struct Assertion<'a> {
    token: UnverifiedToken<'a>,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl<'a> Assertion<'a> {
    /// Reads an assertion. The claims are read before the signature is checked, because they name the client and so its keys.
    ///
    /// # Errors
    /// The [`Rejection`] of a malformed one.
    pub fn parse(token: &'a str) -> Result<Self, Rejection> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::TooLong);
        }
        let token = UnverifiedToken::split(token)?;
        let header = token.header()?;
        match header.get("typ") {
            None => {}
            Some(Value::String(typ)) if TYPES.contains(&typ.to_ascii_lowercase().as_str()) => {}
            Some(_) => return Err(Rejection::WrongType),
        }
        let claims = token.payload()?;
        Ok(Self { token, header, claims })
    }

    /// The id of the client: `sub`, which equals `iss` (RFC 7523 §3, no. 1 and 2).
    ///
    /// # Errors
    /// [`Rejection::WrongIssuer`] when they differ or one is missing.
    pub fn client(&self) -> Result<&str, Rejection> {
        let client = text(&self.claims, "sub").filter(|sub| text(&self.claims, "iss") == Some(sub));
        client.ok_or(Rejection::WrongIssuer)
    }

    /// Its use, for a client whose assertions are accepted once. A `jti` is unique for each issuer (RFC 7519 §4.1.7), which is the
    /// client. `None` if the `jti` is missing, or not a text of 1 to 256 bytes.
    #[must_use]
    pub fn as_used(&self) -> Option<AssertionUse> {
        let id = text(&self.claims, "jti").filter(|id| (1..=MAX_ID).contains(&id.len()))?;
        let client = self.client().ok()?;
        let digest = digest(&SHA256, format!("daypass client assertion\n{client}\n{id}").as_bytes());
        let key = format!("{}{}", AssertionUse::PREFIX, HEXLOWER.encode(&prefix::<16>(digest.as_ref())));
        let expires_at = numeric_date(self.claims.get("exp"))? + MAX_CLOCK_SKEW;
        Some(AssertionUse { key, expires_at })
    }

    /// Checks the signature against one key of the client. The key decides about the algorithm, and `kid` is optional.
    ///
    /// # Errors
    /// [`Rejection::UnknownKey`], [`Rejection::WrongAlgorithm`] and those of the signature.
    pub fn check_signature(&self, key: &VerifyingKey) -> Result<(), Rejection> {
        match self.header.get("kid") {
            None => {}
            Some(Value::String(kid)) if kid == key.kid() => {}
            Some(_) => return Err(Rejection::UnknownKey),
        }
        let algorithm = text(&self.header, "alg");
        let is_ed25519 = key.algorithm() == Algorithm::EdDsa && algorithm == Some(ED25519);
        if algorithm != Some(key.algorithm().as_str()) && !is_ed25519 {
            return Err(Rejection::WrongAlgorithm);
        }
        self.token.check(key)
    }

    /// Checks audience and times (RFC 7523 §3, no. 3 to 6). Each value of `aud` must be one of `audiences`: with another one,
    /// the other party could use the assertion here.
    ///
    /// # Errors
    /// The first [`Rejection`] that applies.
    pub fn check_claims(&self, audiences: &[String], now: Timestamp) -> Result<(), Rejection> {
        let is_ours =
            |value: &Value| value.as_str().is_some_and(|one| audiences.iter().any(|own| own == one));
        let intended = match self.claims.get("aud") {
            Some(Value::Array(several)) => !several.is_empty() && several.iter().all(is_ours),
            Some(one) => is_ours(one),
            None => false,
        };
        if !intended {
            return Err(Rejection::WrongAudience);
        }
        let expires_at = numeric_date(self.claims.get("exp")).ok_or(Rejection::Expired)?;
        if expires_at + MAX_CLOCK_SKEW <= now {
            return Err(Rejection::Expired);
        }
        if expires_at > now + MAX_AHEAD + MAX_CLOCK_SKEW {
            return Err(Rejection::LifetimeTooLong);
        }
        for name in ["iat", "nbf"] {
            match self.claims.get(name) {
                None => {}
                some => {
                    let time = numeric_date(some).ok_or(Rejection::NotYetValid)?;
                    if time > now + MAX_CLOCK_SKEW {
                        return Err(Rejection::NotYetValid);
                    }
                }
            }
        }
        Ok(())
    }
}
