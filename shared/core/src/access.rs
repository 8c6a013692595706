//! Access tokens: JWTs of the profile of RFC 9068, signed here and verified here.
//!
//! `jsonwebtoken` computes and checks signatures. Everything around them is ours, because it must be stricter than a
//! general library may be: one compact form, no duplicate members, the algorithm taken from the key alone
//! (RFC 8725 §3.1), every claim present and of its type.

use crate::config::Issuer;
use crate::entropy::random;
use crate::jwks::{Algorithm, Jwks};
use crate::keys::{KeyError, SigningKeys};
use crate::{ClientId, Entropy, Scope, SessionId, Timestamp, UserId};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Longest token that a verifier looks at, in bytes. API Gateway forwards no header above 10,240 bytes.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// How far apart the clocks of signer and verifier may be (RFC 9068 §4 allows "no more than a few minutes").
pub const LEEWAY: Duration = Duration::from_secs(30);

/// The media type in the header of an access token (RFC 9068 §2.1), without its `application/`.
const TYPE: &str = "at+jwt";

/// What an access token says.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The user: `sub`.
    pub user: UserId,
    /// The session that the token belongs to: `sid`.
    pub session: SessionId,
    /// The client it was issued to: `client_id`.
    pub client: ClientId,
    /// What it may be used for: `scope`, left out when empty.
    pub scope: Scope,
}

/// Signs access tokens.
#[derive(Debug)]
pub struct Signer {
    /// The active key.
    pub keys: SigningKeys,
    /// `iss`.
    pub issuer: Issuer,
    /// `aud`: the one API, or family of APIs, that takes the tokens.
    pub audience: String,
    /// How long a token is good: 300 to 600 s.
    pub lifetime: Duration,
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: Algorithm,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    client_id: &'a str,
    exp: u64,
    iat: u64,
    jti: String,
    sid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
}

impl Signer {
    /// A new access token for `grant`.
    ///
    /// # Errors
    /// [`KeyError`] when the key cannot sign: a broken deployment, never the caller's fault.
    pub fn issue(&self, grant: &Grant, now: Timestamp, entropy: &dyn Entropy) -> Result<String, KeyError> {
        let header = Header { typ: TYPE, alg: self.keys.algorithm(), kid: self.keys.kid() };
        let claims = Claims {
            iss: self.issuer.as_str(),
            sub: grant.user.to_string(),
            aud: &self.audience,
            client_id: grant.client.as_str(),
            exp: (now + self.lifetime).seconds(),
            iat: now.seconds(),
            jti: BASE64URL_NOPAD.encode(&random::<16>(entropy)),
            sid: grant.session.to_string(),
            scope: grant.scope.to_string(),
        };
        let signing_input = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.keys.sign(signing_input.as_bytes())?;
        Ok(format!("{signing_input}.{signature}"))
    }
}

/// The base64url of the JSON of `value`.
fn encode(value: &impl Serialize) -> String {
    // Strings and integers always become JSON; an empty segment would be refused by every verifier.
    BASE64URL_NOPAD.encode(&serde_json::to_vec(value).unwrap_or_default())
}

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
    algorithm: Algorithm,
    key: jsonwebtoken::DecodingKey,
    /// The header that our own [`Signer`] writes under this key, as it stands in a token: a header that equals it byte for
    /// byte need not be read again for every request.
    usual_header: String,
}

impl VerifyingKey {
    /// Whether `signature`, in base64url, is one of this key over `message`.
    fn check(&self, signature: &str, message: &[u8]) -> Result<(), Rejection> {
        // Canonical base64url, so that one signature has one spelling.
        decode(signature)?;
        match jsonwebtoken::crypto::verify(signature, message, &self.key, self.algorithm.to_jsonwebtoken()) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Rejection::BadSignature),
        }
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
                let key = jwk.decoding_key().map_err(|_| UnusableKey { kid: jwk.kid().to_owned() })?;
                let algorithm = jwk.algorithm();
                let usual_header = encode(&Header { typ: TYPE, alg: algorithm, kid: jwk.kid() });
                Ok(VerifyingKey { kid: jwk.kid().to_owned(), algorithm, key, usual_header })
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
        let usual = self.keys.iter().find(|key| key.usual_header == unverified.header);
        let key = match usual {
            Some(key) => key,
            None => self.key_for(&unverified.header()?)?,
        };
        key.check(unverified.signature, unverified.signing_input.as_bytes())?;
        crate::json::object(&decode(unverified.payload)?).map_err(|_| Rejection::MalformedClaims)
    }

    /// The key that the header names, if the header is one of an access token under that key.
    fn key_for(&self, header: &Map<String, Value>) -> Result<&VerifyingKey, Rejection> {
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(Rejection::CriticalExtension);
        }
        let typ = text(header, "typ").ok_or(Rejection::WrongType)?;
        // Media types are case-insensitive; RFC 7515 §4.1.9 lets `application/` go.
        if !typ.eq_ignore_ascii_case(TYPE) && !typ.eq_ignore_ascii_case("application/at+jwt") {
            return Err(Rejection::WrongType);
        }
        // Not "unknown": what names no key at all gives no reason to look for new ones.
        let kid = text(header, "kid").ok_or(Rejection::MalformedHeader)?;
        let key = self.keys.iter().find(|key| key.kid == kid).ok_or(Rejection::UnknownKey)?;
        if text(header, "alg") != Some(key.algorithm.as_str()) {
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
        if expires_at + LEEWAY <= now {
            return Err(Rejection::Expired);
        }
        let issued_at = numeric_date(claims.get("iat")).ok_or(Rejection::NotYetValid)?;
        let not_before = match claims.get("nbf") {
            None => issued_at,
            some => numeric_date(some).ok_or(Rejection::NotYetValid)?,
        };
        if issued_at.max(not_before) > now + LEEWAY {
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
        crate::json::object(&decode(self.header)?).map_err(|_| Rejection::MalformedHeader)
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
mod tests;
