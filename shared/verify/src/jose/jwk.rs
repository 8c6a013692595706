//! Public keys: JWK and JWK Set (RFC 7517), for the three algorithms that Daypass signs with.

use crate::base::digest::sha256_base64url;
use crate::jose::signature::PublicKey;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1). The key determines it, and never the token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256: the default.
    #[serde(rename = "ES256")]
    Es256,
    /// EdDSA with Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for the native JWT authorizer of HTTP APIs, which accepts RSA alone.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// The name in a JOSE header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Es256, Self::EdDsa, Self::Rs256]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not one of ES256, EdDSA, RS256"))
    }
}

/// A public signing key with the members of RFC 7517 §4: `kty`, `kid`, `use`, `alg` and the numbers.
///
/// A key with a private member is an error.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Jwk {
    kid: String,
    numbers: Numbers,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Numbers {
    P256 { x: String, y: String },
    Ed25519 { x: String },
    Rsa { n: String, e: String },
}

/// The JSON of a JWK. Unknown members are ignored (RFC 7517 §4); private members (§9.3) are an error.
#[derive(Clone, Serialize, Deserialize, Default)]
struct Wire {
    kty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(default)]
    kid: String,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(default, skip_serializing)]
    d: Option<serde_json::Value>,
    #[serde(default, skip_serializing)]
    k: Option<serde_json::Value>,
}

impl Jwk {
    /// A P-256 key from its coordinates, 32 bytes each.
    #[must_use]
    pub fn es256(x: &[u8], y: &[u8]) -> Self {
        Self::with_thumbprint(Numbers::P256 { x: BASE64URL_NOPAD.encode(x), y: BASE64URL_NOPAD.encode(y) })
    }

    /// An Ed25519 key from its 32 bytes.
    #[must_use]
    pub fn ed25519(x: &[u8]) -> Self {
        Self::with_thumbprint(Numbers::Ed25519 { x: BASE64URL_NOPAD.encode(x) })
    }

    /// An RSA key from its big-endian modulus and exponent.
    #[must_use]
    pub fn rs256(n: &[u8], e: &[u8]) -> Self {
        Self::with_thumbprint(Numbers::Rsa { n: BASE64URL_NOPAD.encode(n), e: BASE64URL_NOPAD.encode(e) })
    }

    /// A key with the thumbprint of RFC 7638 as its `kid`, so that two keys never share one by mistake.
    fn with_thumbprint(numbers: Numbers) -> Self {
        let canonical = match &numbers {
            Numbers::P256 { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
            Numbers::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
            Numbers::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
        };
        Self { kid: sha256_base64url(canonical.as_bytes()), numbers }
    }

    /// The same key with its thumbprint as `kid`.
    #[must_use]
    pub fn named_by_thumbprint(self) -> Self {
        Self::with_thumbprint(self.numbers)
    }

    /// The id of the key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm of the key.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.numbers {
            Numbers::P256 { .. } => Algorithm::Es256,
            Numbers::Ed25519 { .. } => Algorithm::EdDsa,
            Numbers::Rsa { .. } => Algorithm::Rs256,
        }
    }

    /// The key as AWS-LC parses it. `None` when AWS-LC rejects it: a point that is not on its curve, for example.
    pub(crate) fn public_key(&self) -> Option<PublicKey> {
        let decode = |number: &str| BASE64URL_NOPAD.decode(number.as_bytes()).ok();
        match &self.numbers {
            Numbers::P256 { x, y } => PublicKey::es256(&decode(x)?, &decode(y)?),
            Numbers::Ed25519 { x } => PublicKey::ed25519(&decode(x)?),
            Numbers::Rsa { n, e } => PublicKey::rs256(&decode(n)?, &decode(e)?),
        }
    }
}

impl From<Jwk> for Wire {
    fn from(jwk: Jwk) -> Self {
        let algorithm = jwk.algorithm();
        let wire = Self {
            kid: jwk.kid,
            usage: Some("sig".to_owned()),
            alg: Some(algorithm.as_str().to_owned()),
            ..Self::default()
        };
        let text = |value: &str| value.to_owned();
        match jwk.numbers {
            Numbers::P256 { x, y } => {
                Self { kty: text("EC"), crv: Some(text("P-256")), x: Some(x), y: Some(y), ..wire }
            }
            Numbers::Ed25519 { x } => {
                Self { kty: text("OKP"), crv: Some(text("Ed25519")), x: Some(x), ..wire }
            }
            Numbers::Rsa { n, e } => Self { kty: text("RSA"), n: Some(n), e: Some(e), ..wire },
        }
    }
}

impl TryFrom<Wire> for Jwk {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        if wire.d.is_some() || wire.k.is_some() {
            return Err("it holds a private or symmetric key".to_owned());
        }
        if wire.kid.is_empty() {
            return Err("it has no `kid`".to_owned());
        }
        if wire.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err("its `use` is not `sig`".to_owned());
        }
        let numbers = match (wire.kty.as_str(), wire.crv.as_deref(), wire.x, wire.y, wire.n, wire.e) {
            ("EC", Some("P-256"), Some(x), Some(y), _, _) if length(&x) == 32 && length(&y) == 32 => {
                Numbers::P256 { x, y }
            }
            ("OKP", Some("Ed25519"), Some(x), _, _, _) if length(&x) == 32 => Numbers::Ed25519 { x },
            // RFC 7518 §3.3 requires 2,048 bits. AWS-LC verifies up to 8,192.
            ("RSA", _, _, _, Some(n), Some(e)) if (256..=1024).contains(&length(&n)) && length(&e) > 0 => {
                Numbers::Rsa { n, e }
            }
            _ => return Err("it is not a P-256, Ed25519 or RSA (2,048 bits or more) public key".to_owned()),
        };
        let jwk = Self { kid: wire.kid, numbers };
        match wire.alg {
            Some(alg) if alg != jwk.algorithm().as_str() => Err("its `alg` does not fit its type".to_owned()),
            _ => Ok(jwk),
        }
    }
}

/// Length of the bytes of a base64url text; zero for another text.
fn length(text: &str) -> usize {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_or(0, |bytes| bytes.len())
}

/// A set of public keys (RFC 7517 §5).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Jwks {
    keys: Vec<Jwk>,
}

/// The problem of a JWK Set, in one line for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksError(String);

impl fmt::Display for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JwksError {}

impl Jwks {
    /// Most keys in a set. A rotation leaves fewer, and the verifier searches them one by one.
    pub const MAX_KEYS: usize = 32;

    /// A set of these keys.
    #[must_use]
    pub fn new(keys: Vec<Jwk>) -> Self {
        Self { keys }
    }

    /// Parses a set, and ignores keys of unknown types (RFC 7517 §5).
    ///
    /// # Errors
    /// [`JwksError`] when no usable key is left, for a private or symmetric key, and for a repeated `kid`.
    pub fn parse(json: &[u8]) -> Result<Self, JwksError> {
        let bad = |text: &str| JwksError(text.to_owned());
        let members = crate::base::json::object(json).map_err(|_| bad("the JWKS is not a JSON object"))?;
        let Some(serde_json::Value::Array(entries)) = members.get("keys") else {
            return Err(bad("the JWKS has no array `keys`"));
        };
        if entries.len() > Self::MAX_KEYS {
            return Err(JwksError(format!("the JWKS has more than {} keys", Self::MAX_KEYS)));
        }
        let mut keys: Vec<Jwk> = Vec::with_capacity(entries.len());
        for entry in entries {
            let secret = ["d", "p", "q", "dp", "dq", "qi", "k"].iter().any(|name| entry.get(name).is_some());
            if secret {
                return Err(bad("the JWKS holds a private or symmetric key: publish only the public half"));
            }
            let Ok(jwk) = serde_json::from_value::<Jwk>(entry.clone()) else { continue };
            if keys.iter().any(|other| other.kid == jwk.kid) {
                return Err(JwksError(format!("the JWKS names the kid {} twice", jwk.kid)));
            }
            keys.push(jwk);
        }
        if keys.is_empty() {
            return Err(bad("the JWKS holds no P-256, Ed25519 or RSA public key with a `kid`"));
        }
        Ok(Self { keys })
    }

    /// The set as JSON.
    ///
    /// # Errors
    /// [`JwksError`] when serde_json fails, which no set causes.
    pub fn to_json(&self) -> Result<String, JwksError> {
        serde_json::to_string(self).map_err(|_| JwksError("the JWKS cannot be written as JSON".to_owned()))
    }

    /// The keys of the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Jwk> {
        self.keys.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The key and thumbprint of RFC 7638 §3.1.
    const RFC7638_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    #[test]
    fn thumbprint_of_rfc_7638() {
        let jwk = Jwk::rs256(&BASE64URL_NOPAD.decode(RFC7638_N.as_bytes()).unwrap(), &[1, 0, 1]);
        assert_eq!(jwk.kid(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_key_survives_its_json() {
        let jwk = Jwk::es256(&[1; 32], &[2; 32]);
        let json = serde_json::to_string(&jwk).unwrap();
        assert!(json.contains(r#""use":"sig""#) && json.contains(r#""alg":"ES256""#), "{json}");
        assert_eq!(serde_json::from_str::<Jwk>(&json).unwrap(), jwk);
    }

    fn check(json: &str, expected: &str) {
        let error = Jwks::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }

    #[test]
    fn refusals() {
        let x = BASE64URL_NOPAD.encode(&[1; 32]);
        check("[]", "not a JSON object");
        check(r#"{"keys":{}}"#, "no array");
        check(r#"{"keys":[]}"#, "holds no");
        check(r#"{"keys":[{"kty":"oct","k":"AA","kid":"a"}]}"#, "private or symmetric");
        check(
            &format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"{x}","kid":"a"}}]}}"#),
            "private",
        );
        check(&format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#), "holds no");
        check(
            &format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"a","alg":"ES256"}}]}}"#),
            "holds no",
        );
        check(
            &format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"a","use":"enc"}}]}}"#),
            "holds no",
        );
        let key = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"a"}}"#);
        check(&format!(r#"{{"keys":[{key},{key}]}}"#), "twice");
        let short = BASE64URL_NOPAD.encode(&[255; 128]);
        check(&format!(r#"{{"keys":[{{"kty":"RSA","n":"{short}","e":"AQAB","kid":"a"}}]}}"#), "holds no");
    }

    #[test]
    fn unknown_key_types_are_passed_over() {
        let x = BASE64URL_NOPAD.encode(&[1; 32]);
        let json = format!(
            r#"{{"keys":[{{"kty":"AKP","kid":"pq","pub":"AA"}},{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"a"}}]}}"#
        );
        assert_eq!(Jwks::parse(json.as_bytes()).unwrap().iter().count(), 1);
    }
}
