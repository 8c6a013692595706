//! DPoP proofs (RFC 9449): JWTs that show with each request that the client holds the private key of its tokens.
//!
//! A proof is bound to one method, one URL, one moment and, at a guarded API, to one access token. The key of its signature stands
//! in its header, so a proof alone says nothing: what counts is that the access token names the same key in `cnf.jkt`.

use crate::base::time::Timestamp;
use crate::jose::jwk::{Algorithm, Jwk};
use crate::jose::verify::{Rejection, UnverifiedToken, numeric_date, text};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;

/// The greatest difference between the `iat` of a proof and the time of the verifier, in both directions. A stolen proof is of
/// use for at most twice this time.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Longest proof in bytes. One by an RSA key of 8,192 bits has about 3,300.
const MAX_BYTES: usize = 4096;

/// Longest `jti` and `nonce` in bytes.
const MAX_ID: usize = 256;

/// The media type in the header of a proof (RFC 9449 §4.2).
const MEDIA_TYPE: &str = "dpop+jwt";

/// The algorithms of proofs, as a list in metadata (RFC 9449 §5.1).
pub const ALGORITHMS: [&str; 4] =
    [Algorithm::Es256.as_str(), Algorithm::EdDsa.as_str(), ED25519, Algorithm::Rs256.as_str()];

/// The newer name of EdDSA with an Ed25519 key (RFC 9864 §2.2).
const ED25519: &str = "Ed25519";

/// Members of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The SHA-256 thumbprint of a public key (RFC 7638): the claim `jkt` of `cnf` (RFC 9449 §6.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Parses the 43 characters of base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()?))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a proof is rejected, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofFault {
    /// The request has no header `DPoP`.
    ProofMissing,
    /// The event has no headers, so no proof: a REST API with an authorizer of type `TOKEN`.
    ProofNotInEvent,
    /// The request has several headers `DPoP`, or one that is not text (RFC 9449 §4.3, check 1).
    ProofRepeated,
    /// The proof is not a compact JWT with a header and claims of the required types, or is too long (checks 2 and 3).
    ProofMalformed,
    /// `typ` is not `dpop+jwt` (check 4).
    ProofWrongType,
    /// `alg` is not one of [`ALGORITHMS`], or does not fit the key (check 5).
    ProofWrongAlgorithm,
    /// `jwk` is missing, or not a P-256, Ed25519 or RSA key.
    ProofWrongKeyType,
    /// `jwk` has a member of a private key (check 7).
    ProofPrivateKey,
    /// The signature does not verify by `jwk` (check 6).
    ProofBadSignature,
    /// `htm` is not the method of the request (check 8).
    ProofWrongMethod,
    /// `htu` is not the URL of the request (check 9).
    ProofWrongUrl,
    /// `iat` is too long ago (check 11).
    ProofTooOld,
    /// `iat` is in the future: the clock of the client is ahead (check 11).
    ProofFromTheFuture,
    /// `ath` is not the hash of the access token (check 12).
    ProofOtherToken,
    /// The access token or the session is bound to another key (check 12).
    ProofOtherKey,
    /// The proof was used before.
    ProofReplayed,
}

impl From<Rejection> for ProofFault {
    fn from(cause: Rejection) -> Self {
        if cause == Rejection::BadSignature { Self::ProofBadSignature } else { Self::ProofMalformed }
    }
}

/// The request that a proof is for.
#[derive(Debug, Clone, Copy)]
pub struct Proven<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The URLs that name the resource. A client may have used any of them.
    pub urls: &'a [String],
    /// The access token that the request presents, at a guarded API.
    pub token: Option<&'a str>,
}

/// A verified proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The key that made it.
    pub key: Thumbprint,
    /// Identifies the proof: the first bytes of a digest of key and `jti`.
    pub id: [u8; 16],
    /// The time from which its `iat` is too old.
    pub expires_at: Timestamp,
    /// Its `nonce`, which is not checked yet.
    pub nonce: Option<String>,
}

impl Proof {
    /// Verifies a proof for a request at the time `now` (RFC 9449 §4.3). The caller checks that there is one header (check 1), the
    /// nonce (check 10), that an access token names the key (check 12), and that the proof is new.
    ///
    /// # Errors
    /// The first [`ProofFault`] that applies.
    pub fn verify(proof: &str, request: &Proven<'_>, now: Timestamp) -> Result<Self, ProofFault> {
        if proof.len() > MAX_BYTES {
            return Err(ProofFault::ProofMalformed);
        }
        let unverified = UnverifiedToken::split(proof)?;
        let header = unverified.header()?;
        let typ = text(&header, "typ").ok_or(ProofFault::ProofWrongType)?;
        if !typ.eq_ignore_ascii_case(MEDIA_TYPE) && !typ.eq_ignore_ascii_case("application/dpop+jwt") {
            return Err(ProofFault::ProofWrongType);
        }
        let algorithm = text(&header, "alg").ok_or(ProofFault::ProofWrongAlgorithm)?;
        let jwk = public_key(&header)?;
        // Each key has one algorithm, and all of them are signatures: `none` and HMAC are not among them.
        let is_ed25519 = jwk.algorithm() == Algorithm::EdDsa && algorithm == ED25519;
        if jwk.algorithm().as_str() != algorithm && !is_ed25519 {
            return Err(ProofFault::ProofWrongAlgorithm);
        }
        let key = jwk.public_key().ok_or(ProofFault::ProofWrongKeyType)?;
        unverified.check_by(&key)?;
        let claims = unverified.payload()?;
        let required = |name| text(&claims, name).filter(|text| !text.is_empty());
        let id = required("jti").filter(|id| id.len() <= MAX_ID).ok_or(ProofFault::ProofMalformed)?;
        let method = required("htm").ok_or(ProofFault::ProofMalformed)?;
        let url = required("htu").ok_or(ProofFault::ProofMalformed)?;
        let issued_at = numeric_date(claims.get("iat")).ok_or(ProofFault::ProofMalformed)?;
        let nonce = match claims.get("nonce") {
            None => None,
            Some(Value::String(nonce)) if nonce.len() <= MAX_ID => Some(nonce.clone()),
            Some(_) => return Err(ProofFault::ProofMalformed),
        };
        if method != request.method {
            return Err(ProofFault::ProofWrongMethod);
        }
        let url = comparable(url).ok_or(ProofFault::ProofWrongUrl)?;
        if !request.urls.iter().any(|known| comparable(known).as_ref() == Some(&url)) {
            return Err(ProofFault::ProofWrongUrl);
        }
        if issued_at + WINDOW < now {
            return Err(ProofFault::ProofTooOld);
        }
        if issued_at > now + WINDOW {
            return Err(ProofFault::ProofFromTheFuture);
        }
        if let Some(token) = request.token {
            let hash = BASE64URL_NOPAD.encode(digest(&SHA256, token.as_bytes()).as_ref());
            if text(&claims, "ath") != Some(hash.as_str()) {
                return Err(ProofFault::ProofOtherToken);
            }
        }
        let key = Thumbprint::parse(jwk.kid()).ok_or(ProofFault::ProofWrongKeyType)?;
        let id = digest(&SHA256, &[key.as_bytes().as_slice(), id.as_bytes()].concat());
        let id = id.as_ref().first_chunk().copied().unwrap_or_default();
        Ok(Self { key, id, expires_at: issued_at + WINDOW, nonce })
    }
}

/// The public key of a header, with its thumbprint as `kid`. Members that only describe the key are ignored.
fn public_key(header: &Map<String, Value>) -> Result<Jwk, ProofFault> {
    let Some(Value::Object(members)) = header.get("jwk") else { return Err(ProofFault::ProofWrongKeyType) };
    if PRIVATE_MEMBERS.iter().any(|name| members.contains_key(*name)) {
        return Err(ProofFault::ProofPrivateKey);
    }
    let mut jwk: Map<String, Value> = ["kty", "crv", "x", "y", "n", "e"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), members.get(*name)?.clone())))
        .collect();
    jwk.insert("kid".to_owned(), "proof".into());
    let jwk: Jwk = serde_json::from_value(jwk.into()).map_err(|_| ProofFault::ProofWrongKeyType)?;
    Ok(jwk.named_by_thumbprint())
}

/// A URL in a form in which equal resources are equal: without query and fragment (RFC 9449 §4.3, check 9), with scheme and host
/// in lower case and without the port of the scheme (RFC 3986 §6.2.2, §6.2.3). `wss` is compared as `https`, because `$connect` of
/// a WebSocket API is such a request.
///
/// The path is decoded, except for encoded delimiters: HTTP APIs report a decoded path, and REST APIs an encoded one.
fn comparable(url: &str) -> Option<Vec<u8>> {
    let url = url.split(['?', '#']).next()?;
    let (scheme, rest) = url.split_once("://")?;
    let (scheme, port) = match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => ("https", ":443"),
        "http" | "ws" => ("http", ":80"),
        _ => return None,
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let authority = authority.to_ascii_lowercase();
    let host = authority.strip_suffix(port).unwrap_or(&authority);
    if host.is_empty() || host.contains('@') {
        return None;
    }
    let mut comparable = format!("{scheme}://{host}").into_bytes();
    let mut bytes = path.as_bytes();
    while let [first, rest @ ..] = bytes {
        let encoded = match rest {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match encoded.map(|(high, low)| high * 16 + low) {
            None => {
                comparable.push(*first);
                bytes = rest;
            }
            Some(byte) => {
                if b"/?#%;\\".contains(&byte) {
                    comparable.extend(format!("%{byte:02X}").bytes());
                } else {
                    comparable.push(byte);
                }
                bytes = rest.get(2..).unwrap_or_default();
            }
        }
    }
    Some(comparable)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proofs of RFC 9449: for the token endpoint (§4.1), and for a protected resource with its access token (§7.1).
    const AT_TOKEN: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    const AT_RESOURCE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    const ACCESS_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    fn verify(
        proof: &str,
        method: &str,
        url: &str,
        token: Option<&str>,
        now: u64,
    ) -> Result<Proof, ProofFault> {
        let urls = [url.to_owned()];
        Proof::verify(proof, &Proven { method, urls: &urls, token }, Timestamp::from_seconds(now))
    }

    #[test]
    fn the_proofs_of_rfc_9449_verify() {
        let at = 1_562_262_616;
        let proof = verify(AT_TOKEN, "POST", "https://server.example.com/token", None, at).unwrap();
        assert_eq!(proof.key.to_string(), JKT, "the jkt of §6.1");
        assert_eq!((proof.nonce, proof.expires_at), (None, Timestamp::from_seconds(at + 10)));
        let url = "https://resource.example.org/protectedresource";
        let other = verify(AT_RESOURCE, "GET", url, Some(ACCESS_TOKEN), at + 2).unwrap();
        assert_eq!(other.key, proof.key);
        assert_ne!(other.id, proof.id);
    }

    #[test]
    fn a_proof_is_for_one_request_at_one_time() {
        let (at, url) = (1_562_262_618, "https://resource.example.org/protectedresource");
        let check = |method, url, token, now, fault| {
            assert_eq!(
                verify(AT_RESOURCE, method, url, Some(token), now).err(),
                fault,
                "{method} {url} {now}"
            );
        };
        check("GET", url, ACCESS_TOKEN, at - 10, None);
        check("GET", url, ACCESS_TOKEN, at + 10, None);
        check("GET", url, ACCESS_TOKEN, at - 11, Some(ProofFault::ProofFromTheFuture));
        check("GET", url, ACCESS_TOKEN, at + 11, Some(ProofFault::ProofTooOld));
        check("get", url, ACCESS_TOKEN, at, Some(ProofFault::ProofWrongMethod));
        check("HEAD", url, ACCESS_TOKEN, at, Some(ProofFault::ProofWrongMethod));
        check("GET", &url[..url.len() - 1], ACCESS_TOKEN, at, Some(ProofFault::ProofWrongUrl));
        check("GET", url, "another", at, Some(ProofFault::ProofOtherToken));
        assert_eq!(
            verify(AT_TOKEN, "POST", "https://server.example.com/token", Some(ACCESS_TOKEN), at).err(),
            Some(ProofFault::ProofOtherToken),
            "no ath"
        );
    }

    #[test]
    fn equal_urls_are_equal() {
        let check = |one: &str, two: &str, expected: bool| {
            let (one_form, two_form) = (comparable(one), comparable(two));
            assert_eq!(one_form.is_some() && one_form == two_form, expected, "{one} {two}");
        };
        let url = "https://api.example.com/a/b";
        for same in [
            "HTTPS://API.example.com/a/b",
            "https://api.example.com:443/a/b",
            "https://api.example.com/a/b?x=1#y",
            "https://api.example.com/%61/b",
            "wss://api.example.com/a/b",
        ] {
            check(url, same, true);
        }
        for other in [
            "http://api.example.com/a/b",
            "https://api.example.com:444/a/b",
            "https://api.example.com.evil/a/b",
            "https://api.example.com@evil/a/b",
            "https://evil@api.example.com/a/b",
            "https://api.example.com/a%2Fb",
            "https://api.example.com/a/B",
            "https://api.example.com/a/b/",
            "https://api.example.com/a/./b",
            "ftp://api.example.com/a/b",
            "https:///a/b",
            "/a/b",
            "",
        ] {
            check(url, other, false);
        }
        check("https://x", "https://x/", true);
        check("https://x/pets/a b", "https://x/pets/a%20b", true);
        check("https://x/gr\u{fc}n", "https://x/gr%C3%BCn", true);
        check("https://x/a%2fb", "https://x/a%2Fb", true);
        check("https://x/a%2", "https://x/a%2", true);
        check("https://x/%", "https://x/%25", false);
    }
}
