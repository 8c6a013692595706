//! Access tokens: JWTs of the profile of RFC 9068, verified here.
//!
//! `jsonwebtoken` computes and checks signatures. Everything around them is ours, because it must be stricter than a
//! general library may be: one compact form, no duplicate members, the algorithm taken from the key alone
//! (RFC 8725 §3.1), every claim present and of its type.

use crate::base::ids::{SessionId, UserId};
use crate::base::issuer::Issuer;
use crate::base::time::MAX_CLOCK_SKEW;
use crate::base::time::Timestamp;
use crate::jose::jwk::Jwks;
use crate::jose::signature::PublicKey;
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::signature::Verifier as _;
use serde::Serialize;
use serde_json::{Map, Value};

/// Longest token that a verifier looks at, in bytes. API Gateway forwards no header above 10,240 bytes.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// The media type in the header of an access token (RFC 9068 §2.1), without its `application/`.
pub const MEDIA_TYPE: &str = "at+jwt";

/// Why a token is refused. For logs; callers are told only that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// Longer than [`MAX_TOKEN_BYTES`].
    TooLong,
    /// Not three non-empty segments (RFC 7515 §7.1): JWE and JSON serialisation end here too.
    NotCompact,
    /// A segment is not canonical, unpadded base64url (RFC 7515 §2).
    NotBase64Url,
    /// The header is not one JSON object without duplicates, or has no `kid`.
    MalformedHeader,
    /// `typ` is not `at+jwt` (RFC 9068 §4): another kind of token of the same issuer.
    WrongType,
    /// `crit` or `b64` asks for an extension; we understand none (RFC 7515 §4.1.11, RFC 7797 §7).
    CriticalExtension,
    /// None of our keys has its `kid`.
    UnknownKey,
    /// `alg` is not the algorithm of the key that `kid` names.
    WrongAlgorithm,
    /// The signature does not verify.
    BadSignature,
    /// The payload is not one JSON object without duplicates.
    MalformedClaims,
    /// `iss` is missing or not our issuer, byte for byte (RFC 9068 §4).
    WrongIssuer,
    /// `aud` is missing or does not name us (RFC 9068 §4).
    WrongAudience,
    /// `exp` is missing, not a number, or past.
    Expired,
    /// `nbf` or `iat` is not a number or lies in the future.
    NotYetValid,
    /// `sub`, `client_id`, `jti`, `sid` or `scope` is missing or of the wrong type (RFC 9068 §2.2).
    MalformedIdentity,
}

/// What a verified token said. Every field comes from the bytes that the signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// `sub`: never empty.
    pub subject: String,
    /// `client_id`: never empty.
    pub client_id: String,
    /// `sid`: never empty.
    pub session: String,
    /// `scope`, empty when the token has none.
    pub scope: String,
    /// `exp`.
    pub expires_at: Timestamp,
    /// All claims, also those above.
    pub claims: Map<String, Value>,
}

/// A refusal as the log wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub cause: Rejection,
    /// Whose token it is and of which session, when the signature is ours: an unsigned claim names nobody.
    pub owner: Option<(UserId, SessionId)>,
}

impl From<Rejection> for Rejected {
    fn from(cause: Rejection) -> Self {
        Self { cause, owner: None }
    }
}

/// Verifies access tokens against keys in memory.
pub struct Verifier {
    issuer: Issuer,
    audience: String,
    keys: Vec<VerifyingKey>,
}

struct VerifyingKey {
    kid: String,
    key: PublicKey,
}

impl VerifyingKey {
    /// Whether `signature`, in base64url, is one of this key over `message`.
    fn check(&self, signature: &str, message: &[u8]) -> Result<(), Rejection> {
        // Canonical base64url, so that one signature has one spelling.
        let signature = decode(signature)?;
        self.key.verify(message, &signature).map_err(|_| Rejection::BadSignature)
    }
}

/// Why a verifier cannot be made: one of the keys is unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableKey {
    /// The `kid` of the key.
    pub kid: String,
}

impl std::fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {} of the JWKS cannot be used", self.kid)
    }
}

impl std::error::Error for UnusableKey {}

impl Verifier {
    /// A verifier of the tokens of `issuer` for `audience`.
    ///
    /// # Errors
    /// [`UnusableKey`] when a key of the set cannot be read.
    pub fn new(issuer: Issuer, audience: String, jwks: &Jwks) -> Result<Self, UnusableKey> {
        let keys = jwks
            .iter()
            .map(|jwk| {
                let key = jwk.public_key().ok_or_else(|| UnusableKey { kid: jwk.kid().to_owned() })?;
                Ok(VerifyingKey { kid: jwk.kid().to_owned(), key })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { issuer, audience, keys })
    }

    /// Verifies a token at the time `now`. The cheap checks come first, and nothing of the payload is read before the
    /// signature has verified.
    ///
    /// # Errors
    /// The first [`Rejection`] that applies.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, Rejection> {
        self.examine(token, now).map_err(|rejected| rejected.cause)
    }

    /// As [`Verifier::verify`], for who writes a log: of a token that we signed the refusal says whose it is.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub fn examine(&self, token: &str, now: Timestamp) -> Result<Verified, Rejected> {
        let claims = self.signed_claims(token)?;
        match self.check_claims(&claims, now) {
            Ok(verified) => Ok(Verified { claims, ..verified }),
            Err(cause) => {
                let user = text(&claims, "sub").and_then(UserId::parse);
                Err(Rejected { cause, owner: user.zip(text(&claims, "sid").and_then(SessionId::parse)) })
            }
        }
    }

    /// The payload of a token whose signature verifies; nothing of it has been checked yet.
    fn signed_claims(&self, token: &str) -> Result<Map<String, Value>, Rejection> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::TooLong);
        }
        let unverified = UnverifiedToken::split(token)?;
        let key = self.key_for(&unverified.header()?)?;
        key.check(unverified.signature, unverified.signing_input.as_bytes())?;
        crate::base::json::object(&decode(unverified.payload)?).map_err(|_| Rejection::MalformedClaims)
    }

    /// The key that the header names, if the header is one of an access token under that key.
    fn key_for(&self, header: &Map<String, Value>) -> Result<&VerifyingKey, Rejection> {
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(Rejection::CriticalExtension);
        }
        let typ = text(header, "typ").ok_or(Rejection::WrongType)?;
        // Media types are case-insensitive; RFC 7515 §4.1.9 lets `application/` go.
        if !typ.eq_ignore_ascii_case(MEDIA_TYPE) && !typ.eq_ignore_ascii_case("application/at+jwt") {
            return Err(Rejection::WrongType);
        }
        // Not "unknown": what names no key at all gives no reason to look for new ones.
        let kid = text(header, "kid").ok_or(Rejection::MalformedHeader)?;
        let key = self.keys.iter().find(|key| key.kid == kid).ok_or(Rejection::UnknownKey)?;
        if text(header, "alg") != Some(key.key.algorithm.as_str()) {
            return Err(Rejection::WrongAlgorithm);
        }
        Ok(key)
    }

    fn check_claims(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Verified, Rejection> {
        if text(claims, "iss") != Some(self.issuer.as_str()) {
            return Err(Rejection::WrongIssuer);
        }
        let ours = match claims.get("aud") {
            Some(Value::String(one)) => *one == self.audience,
            Some(Value::Array(several)) => {
                several.iter().all(Value::is_string)
                    && several.iter().any(|one| one == self.audience.as_str())
            }
            _ => false,
        };
        if !ours {
            return Err(Rejection::WrongAudience);
        }
        let expires_at = numeric_date(claims.get("exp")).ok_or(Rejection::Expired)?;
        if expires_at + MAX_CLOCK_SKEW <= now {
            return Err(Rejection::Expired);
        }
        let issued_at = numeric_date(claims.get("iat")).ok_or(Rejection::NotYetValid)?;
        let not_before = match claims.get("nbf") {
            None => issued_at,
            some => numeric_date(some).ok_or(Rejection::NotYetValid)?,
        };
        if issued_at.max(not_before) > now + MAX_CLOCK_SKEW {
            return Err(Rejection::NotYetValid);
        }
        let identity = |name| {
            text(claims, name)
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
                .ok_or(Rejection::MalformedIdentity)
        };
        if text(claims, "jti").is_none_or(str::is_empty) {
            return Err(Rejection::MalformedIdentity);
        }
        let scope = match claims.get("scope") {
            None => String::new(),
            Some(Value::String(scope)) => scope.clone(),
            Some(_) => return Err(Rejection::MalformedIdentity),
        };
        Ok(Verified {
            subject: identity("sub")?,
            client_id: identity("client_id")?,
            session: identity("sid")?,
            scope,
            expires_at,
            claims: Map::new(),
        })
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

/// The three segments of a JWS in compact form, of which nothing is known yet.
struct UnverifiedToken<'a> {
    signing_input: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> UnverifiedToken<'a> {
    fn split(token: &'a str) -> Result<Self, Rejection> {
        let (signing_input, signature) = token.rsplit_once('.').ok_or(Rejection::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(Rejection::NotCompact)?;
        if header.is_empty() || payload.is_empty() || payload.contains('.') || signature.is_empty() {
            return Err(Rejection::NotCompact);
        }
        Ok(Self { signing_input, header, payload, signature })
    }

    fn header(&self) -> Result<Map<String, Value>, Rejection> {
        crate::base::json::object(&decode(self.header)?).map_err(|_| Rejection::MalformedHeader)
    }
}

/// Strict base64url: no padding, no other alphabet, no spare bits.
fn decode(segment: &str) -> Result<Vec<u8>, Rejection> {
    BASE64URL_NOPAD.decode(segment.as_bytes()).map_err(|_| Rejection::NotBase64Url)
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

/// A `NumericDate` (RFC 7519 §2): seconds, possibly with a fraction, never negative.
fn numeric_date(value: Option<&Value>) -> Option<Timestamp> {
    let value = value?;
    if let Some(seconds) = value.as_u64() {
        return Some(Timestamp::from_seconds(seconds));
    }
    let seconds = value.as_f64().filter(|seconds| (0.0..1e15).contains(seconds))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked above"
    )]
    Some(Timestamp::from_millis((seconds * 1000.0) as u64))
}

#[cfg(test)]
mod wycheproof;
