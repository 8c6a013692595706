//! Verification of access tokens: JWTs of the profile of RFC 9068.
//!
//! AWS-LC checks signatures. The checks around them are stricter than those of a general library: one compact form, no
//! duplicate members, the algorithm of the key alone (RFC 8725 §3.1), every claim present and of its type.

use crate::base::ids::{SessionId, UserId};
use crate::base::issuer::Issuer;
use crate::base::time::{MAX_CLOCK_SKEW, Timestamp};
use crate::jose::jwk::{Algorithm, Jwk, Jwks};
use crate::jose::signature::PublicKey;
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::signature::Verifier as _;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Longest token that a verifier reads, in bytes. API Gateway rejects a request with more than 10,240 bytes of headers.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// The longest lifetime of a token, `exp - iat`, that a verifier accepts by default. Daypass issues tokens for 10 minutes at
/// most. A longer one comes from another program with the key, or from a mistake, and would outlive its revocation.
pub const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// The media type in the header of an access token (RFC 9068 §2.1), without its `application/`.
pub const MEDIA_TYPE: &str = "at+jwt";

/// The cause of a rejection, for the log. The response to the caller does not contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// Longer than [`MAX_TOKEN_BYTES`].
    TooLong,
    /// The token does not have three non-empty segments (RFC 7515 §7.1), as a JWE or the JSON serialisation.
    NotCompact,
    /// A segment is not canonical, unpadded base64url (RFC 7515 §2).
    NotBase64Url,
    /// The header is not one JSON object without duplicates, or has no `kid`.
    MalformedHeader,
    /// `typ` is not `at+jwt` (RFC 9068 §4). It could be another kind of token of the same issuer.
    WrongType,
    /// The header has `crit` or `b64`. No extension is supported (RFC 7515 §4.1.11, RFC 7797 §7).
    CriticalExtension,
    /// The header has `cty` or `zip`: the payload is a nested or compressed token (RFC 7519 §5.2, RFC 7516 §4.1.3).
    UnsupportedContent,
    /// No key of the verifier has the token's `kid`.
    UnknownKey,
    /// `alg` is not the algorithm of the key that `kid` names.
    WrongAlgorithm,
    /// The signature does not verify.
    BadSignature,
    /// The payload is not one JSON object without duplicates.
    MalformedClaims,
    /// `iss` is missing or differs from the issuer in a byte (RFC 9068 §4).
    WrongIssuer,
    /// `aud` is missing or does not contain the audience (RFC 9068 §4).
    WrongAudience,
    /// `exp` is missing, not a number, or past.
    Expired,
    /// `iat` is missing, or `iat` or `nbf` is not a number or in the future. RFC 9068 §2.2 requires `iat`.
    NotYetValid,
    /// `exp - iat` is over the verifier's limit: see [`MAX_LIFETIME`].
    LifetimeTooLong,
    /// `sub`, `client_id`, `jti` or `sid` is missing or empty, or one of them or `scope` is not a string (RFC 9068 §2.2).
    MalformedIdentity,
    /// A claim that reaches logs or the integration contains a control character (Unicode category Cc).
    ControlCharacter,
}

/// The claims of a verified token. The signature covers all of them.
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
    /// `exp`: time at which the token expires.
    pub expires_at: Timestamp,
    /// All claims, including those above.
    pub claims: Map<String, Value>,
}

/// A rejection, as the log records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// The first check that failed.
    pub cause: Rejection,
    /// User and session of the token. `None` unless the signature verified and both are ids of Daypass.
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
    /// `None` for any audience.
    audience: Option<String>,
    max_lifetime: Duration,
    keys: Vec<VerifyingKey>,
}

/// A public key that AWS-LC has parsed, and its `kid`.
pub struct VerifyingKey {
    kid: String,
    key: PublicKey,
}

impl VerifyingKey {
    /// Parses a key.
    ///
    /// # Errors
    /// [`UnusableKey`] when AWS-LC rejects it.
    pub fn new(jwk: &Jwk) -> Result<Self, UnusableKey> {
        let key = jwk.public_key().ok_or_else(|| UnusableKey { kid: jwk.kid().to_owned() })?;
        Ok(Self { kid: jwk.kid().to_owned(), key })
    }

    /// The id of the key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm of the key.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.key.algorithm
    }

    /// Checks `signature`, in base64url, over `message`.
    fn check(&self, signature: &str, message: &[u8]) -> Result<(), Rejection> {
        // Canonical base64url, so that one signature has one spelling.
        let signature = decode(signature)?;
        self.key.verify(message, &signature).map_err(|_| Rejection::BadSignature)
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyingKey({})", self.kid)
    }
}

/// A key that AWS-LC rejects.
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
    /// [`UnusableKey`] when AWS-LC rejects a key of the set.
    pub fn new(issuer: Issuer, audience: String, jwks: &Jwks) -> Result<Self, UnusableKey> {
        Ok(Self { audience: Some(audience), ..Self::of_any_audience(issuer, jwks)? })
    }

    /// A verifier of the tokens of `issuer` for all audiences, for the issuer itself.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn of_any_audience(issuer: Issuer, jwks: &Jwks) -> Result<Self, UnusableKey> {
        let keys = jwks.iter().map(VerifyingKey::new).collect::<Result<_, _>>()?;
        Ok(Self { issuer, audience: None, max_lifetime: MAX_LIFETIME, keys })
    }

    /// Sets the longest lifetime of a token that the verifier accepts; [`MAX_LIFETIME`] by default.
    #[must_use]
    pub fn with_max_lifetime(self, max_lifetime: Duration) -> Self {
        Self { max_lifetime, ..self }
    }

    /// Verifies a token at the time `now`. The cheap checks come first, and nothing of the payload is read before the
    /// signature has verified.
    ///
    /// # Errors
    /// The first [`Rejection`] that applies.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, Rejection> {
        self.examine(token, now).map_err(|rejected| rejected.cause)
    }

    /// As [`Verifier::verify`], for a caller with a log: the rejection of a token with a good signature names its owner.
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

    /// The payload of a token whose signature verifies. Its claims are not checked yet.
    fn signed_claims(&self, token: &str) -> Result<Map<String, Value>, Rejection> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::TooLong);
        }
        let unverified = UnverifiedToken::split(token)?;
        let key = self.key_for(&unverified.header()?)?;
        unverified.check(key)?;
        unverified.payload()
    }

    /// The key that the header names.
    ///
    /// # Errors
    /// When the header is not that of an access token under this key.
    fn key_for(&self, header: &Map<String, Value>) -> Result<&VerifyingKey, Rejection> {
        let typ = text(header, "typ").ok_or(Rejection::WrongType)?;
        // Media types are case-insensitive, and `application/` is optional (RFC 7515 §4.1.9).
        if !typ.eq_ignore_ascii_case(MEDIA_TYPE) && !typ.eq_ignore_ascii_case("application/at+jwt") {
            return Err(Rejection::WrongType);
        }
        // Not `UnknownKey`, which makes the authorizer fetch keys: a header without `kid` is no reason to.
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
        let is_ours = |one: &str| self.audience.as_ref().is_none_or(|own| own == one);
        let intended = match claims.get("aud") {
            Some(Value::String(one)) => is_ours(one),
            Some(Value::Array(several)) => {
                several.iter().all(Value::is_string) && several.iter().filter_map(Value::as_str).any(is_ours)
            }
            _ => false,
        };
        if !intended {
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
        if expires_at.since(issued_at) > self.max_lifetime {
            return Err(Rejection::LifetimeTooLong);
        }
        let identity = |name| {
            let value = text(claims, name).filter(|value| !value.is_empty());
            value.ok_or(Rejection::MalformedIdentity)
        };
        let scope = match claims.get("scope") {
            None => "",
            Some(Value::String(scope)) => scope,
            Some(_) => return Err(Rejection::MalformedIdentity),
        };
        let (subject, client_id, session) = (identity("sub")?, identity("client_id")?, identity("sid")?);
        if [subject, client_id, session, identity("jti")?, scope].into_iter().any(has_control_character) {
            return Err(Rejection::ControlCharacter);
        }
        Ok(Verified {
            subject: subject.to_owned(),
            client_id: client_id.to_owned(),
            session: session.to_owned(),
            scope: scope.to_owned(),
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

/// The three segments of a JWS in compact form (RFC 7515 §7.1), before any check.
pub struct UnverifiedToken<'a> {
    signing_input: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> UnverifiedToken<'a> {
    /// Splits a token.
    ///
    /// # Errors
    /// [`Rejection::NotCompact`] when it has not three non-empty segments.
    pub fn split(token: &'a str) -> Result<Self, Rejection> {
        let (signing_input, signature) = token.rsplit_once('.').ok_or(Rejection::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(Rejection::NotCompact)?;
        if header.is_empty() || payload.is_empty() || payload.contains('.') || signature.is_empty() {
            return Err(Rejection::NotCompact);
        }
        Ok(Self { signing_input, header, payload, signature })
    }

    /// The header. No extension and no nested content is supported.
    ///
    /// # Errors
    /// The [`Rejection`] of a header that is malformed or asks for either.
    pub fn header(&self) -> Result<Map<String, Value>, Rejection> {
        let header =
            crate::base::json::object(&decode(self.header)?).map_err(|_| Rejection::MalformedHeader)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(Rejection::CriticalExtension);
        }
        if header.contains_key("cty") || header.contains_key("zip") {
            return Err(Rejection::UnsupportedContent);
        }
        Ok(header)
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`Rejection::NotBase64Url`] and [`Rejection::BadSignature`].
    pub fn check(&self, key: &VerifyingKey) -> Result<(), Rejection> {
        key.check(self.signature, self.signing_input.as_bytes())
    }

    /// The claims, which nothing has verified before [`UnverifiedToken::check`].
    ///
    /// # Errors
    /// [`Rejection::NotBase64Url`] and [`Rejection::MalformedClaims`].
    pub fn payload(&self) -> Result<Map<String, Value>, Rejection> {
        crate::base::json::object(&decode(self.payload)?).map_err(|_| Rejection::MalformedClaims)
    }
}

/// Strict base64url: no padding, no other alphabet, no spare bits.
fn decode(segment: &str) -> Result<Vec<u8>, Rejection> {
    BASE64URL_NOPAD.decode(segment.as_bytes()).map_err(|_| Rejection::NotBase64Url)
}

/// Whether a text contains a control character (Unicode category Cc). In a log or a header, such a character could end a
/// line or a value.
#[must_use]
pub fn has_control_character(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// The member of this name, if it is text.
#[must_use]
pub fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

/// A `NumericDate` (RFC 7519 §2) that is not negative: seconds, possibly with a fraction.
#[must_use]
pub fn numeric_date(value: Option<&Value>) -> Option<Timestamp> {
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
