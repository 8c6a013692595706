//! The key set: one JSON document with the keys that sign access tokens, the keys that authenticate refresh tokens,
//! the peppers of password hashes and the keys of second factors, each with a `kid` and a status.
//!
//! A document may hold only some of the sections, and several documents can be [merged](Document::merge), so that each
//! function is given no more than it needs: `revoke`, say, only the refresh keys.

use crate::secret::Secret;
use aws_lc_rs::hmac;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use daypass_verifier::base::digest::prefix;
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::{Algorithm, Jwk, Jwks, JwksError};
use jsonwebtoken::signature::Signer as _;
use key_pair::KeyPair;
use serde::{Deserialize, Serialize};
use std::fmt;

mod counter;
mod factors;
mod key_pair;
pub mod rotation;

pub use counter::CounterKey;
pub use factors::FactorKeys;

/// The version of the document format that this code reads and writes. It rises for a change that breaks readers. A new optional
/// member does not: readers ignore members that they do not know.
pub const VERSION: u32 = 1;

/// Longest secret of another system that a key set takes, in bytes.
pub const MAX_ADOPTED_BYTES: usize = 256;

/// Why a key set or a key is not usable: one line for the operator that shows no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key set or a key in it breaks a rule. There is no further cause: the JSON parser can quote a key, and AWS-LC does not
    /// say why it rejects one.
    #[error("{0}")]
    Unusable(String),
    /// The document is a JWKS (RFC 7517), and breaks a rule of that.
    #[error(transparent)]
    Jwks(#[from] JwksError),
}

fn bad(text: impl Into<String>) -> KeyError {
    KeyError::Unusable(text.into())
}

/// Where a key stands in its rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Published, but not used yet: verifiers learn it before the first token that it signs.
    Next,
    /// In use. Exactly one key of each section is active.
    Active,
    /// No longer used for new tokens or hashes, still good for old ones.
    Retired,
}

/// A key set as it is stored. `Debug` shows no key.
#[derive(Clone, Serialize, Deserialize)]
pub struct Document {
    version: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signing: Vec<SigningEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refresh: Vec<SecretEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    peppers: Vec<SecretEntry>,
    /// The keys of second factors, in the document of the peppers. Without one, the key follows from the active pepper.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    factors: Vec<SecretEntry>,
    /// The counter key of the section `peppers`: 32 bytes in base64url. Without it, the key follows from the active pepper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counter_key: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct SigningEntry {
    status: Status,
    /// Seconds since the epoch.
    created_at: u64,
    /// When it got its status, in seconds since the epoch; absent for when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    /// What verifiers see of the key, its `kid` and `alg` included.
    public: Jwk,
    /// PKCS#8 (RFC 5958) DER in base64url; a retired key may have lost it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct SecretEntry {
    kid: String,
    status: Status,
    /// Seconds since the epoch.
    created_at: u64,
    /// As for a signing key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    /// 32 bytes in base64url.
    key: String,
}

/// One key of a document, for display: everything but the key.
#[derive(Clone, Debug, Serialize)]
pub struct KeyInfo {
    /// `signing`, `refresh`, `peppers` or `factors`.
    pub section: &'static str,
    /// The key's id.
    pub kid: String,
    /// Algorithm of a signing key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<Algorithm>,
    /// Where the key stands in its rotation.
    pub status: Status,
    /// Seconds since the epoch.
    pub created_at: u64,
}

impl Document {
    /// A new key set with one active key in each section.
    ///
    /// The signing key is made by AWS-LC with its own generator; the symmetric keys come from `entropy`.
    ///
    /// # Errors
    /// [`KeyError`] when AWS-LC cannot make the key pair.
    pub fn generate(algorithm: Algorithm, entropy: &dyn Entropy, now: Timestamp) -> Result<Self, KeyError> {
        let created_at = now.seconds();
        let (public, private) = generate_signing_key(algorithm)?;
        let secret_entry = || SecretEntry {
            kid: HEXLOWER.encode(&random::<4>(entropy)),
            status: Status::Active,
            created_at,
            since: None,
            key: BASE64URL_NOPAD.encode(&random::<32>(entropy)),
        };
        Ok(Self {
            version: VERSION,
            signing: vec![SigningEntry {
                status: Status::Active,
                created_at,
                since: None,
                public,
                private: Some(BASE64URL_NOPAD.encode(private.expose())),
            }],
            refresh: vec![secret_entry()],
            peppers: vec![secret_entry()],
            factors: vec![secret_entry()],
            counter_key: Some(CounterKey::generate(entropy)),
        })
    }

    const fn empty() -> Self {
        Self {
            version: VERSION,
            signing: vec![],
            refresh: vec![],
            peppers: vec![],
            factors: vec![],
            counter_key: None,
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`KeyError`] when the text is not a key set of [`VERSION`]. The message quotes nothing of the text.
    pub fn parse(json: &[u8]) -> Result<Self, KeyError> {
        let members = daypass_verifier::base::json::object(json)
            .map_err(|_| bad("the key set is not a JSON object; make one with `daypass key generate`"))?;
        match members.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => {
                return Err(bad(format!(
                    "the key set has version {version}, this build reads version {VERSION}: deploy the matching build"
                )));
            }
            None => return Err(bad("the key set has no `version`; make one with `daypass key generate`")),
        }
        serde_json::from_value(serde_json::Value::Object(members))
            // serde's message can quote a value: say which part is wrong, not what stood there.
            .map_err(|error| bad(format!("the key set is malformed ({})", classify(&error))))
    }

    /// The document as JSON text, secrets included.
    ///
    /// # Errors
    /// [`KeyError`] when it cannot be written as JSON, which no valid document causes.
    pub fn to_json(&self) -> Result<String, KeyError> {
        serde_json::to_string_pretty(self).map_err(|_| bad("the key set cannot be written as JSON"))
    }

    /// Adds the keys of `other`. Later use checks that each section has one active key.
    pub fn merge(&mut self, other: Self) {
        self.signing.extend(other.signing);
        self.refresh.extend(other.refresh);
        self.peppers.extend(other.peppers);
        self.factors.extend(other.factors);
        self.counter_key = self.counter_key.take().or(other.counter_key);
    }

    /// The document cut down to one section, as a secret of its own. The keys of second factors go with the peppers.
    ///
    /// # Errors
    /// [`KeyError`] when there is no section of that name.
    pub fn only(&self, section: &str) -> Result<Self, KeyError> {
        let mut part = Self::empty();
        match section {
            "signing" => part.signing.clone_from(&self.signing),
            "refresh" => part.refresh.clone_from(&self.refresh),
            "peppers" => {
                part.peppers.clone_from(&self.peppers);
                part.factors.clone_from(&self.factors);
                part.counter_key.clone_from(&self.counter_key);
            }
            _ => return Err(bad(format!("`{section}` is no section: take signing, refresh or peppers"))),
        }
        Ok(part)
    }

    /// Adds a secret of another system as a retired pepper, and returns its id: Firebase's signer key, Devise's pepper.
    /// Hashes that were imported from there name it.
    ///
    /// # Errors
    /// [`KeyError`] when it is empty or longer than [`MAX_ADOPTED_BYTES`].
    pub fn adopt_pepper(
        &mut self,
        secret: &[u8],
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<String, KeyError> {
        if secret.is_empty() || secret.len() > MAX_ADOPTED_BYTES {
            return Err(bad(format!("the secret is empty or longer than {MAX_ADOPTED_BYTES} bytes")));
        }
        // Random, because an id derived from the secret would reveal something of it in the users table.
        let kid = HEXLOWER.encode(&random::<4>(entropy));
        self.peppers.push(SecretEntry {
            kid: kid.clone(),
            status: Status::Retired,
            created_at: now.seconds(),
            since: None,
            key: BASE64URL_NOPAD.encode(secret),
        });
        Ok(kid)
    }

    /// Adds the peppers of another key set as retired ones under their ids, those that are not there yet, and returns these ids.
    /// Users who were exported from there log in here then.
    pub fn adopt_peppers_of(&mut self, other: &Self) -> Vec<String> {
        let mut adopted = Vec::new();
        for entry in &other.peppers {
            if !self.peppers.iter().any(|mine| mine.kid == entry.kid) {
                self.peppers.push(SecretEntry { status: Status::Retired, ..entry.clone() });
                adopted.push(entry.kid.clone());
            }
        }
        adopted
    }

    /// The public half of the signing keys: what `discovery` serves and verifiers read.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        Jwks::new(self.signing.iter().map(|entry| entry.public.clone()).collect())
    }

    /// Every key without its secret.
    #[must_use]
    pub fn summary(&self) -> Vec<KeyInfo> {
        let signing = self.signing.iter().map(|entry| KeyInfo {
            section: "signing",
            kid: entry.public.kid().to_owned(),
            alg: Some(entry.public.algorithm()),
            status: entry.status,
            created_at: entry.created_at,
        });
        let secrets = [("refresh", &self.refresh), ("peppers", &self.peppers), ("factors", &self.factors)];
        let secrets = secrets.into_iter().flat_map(|(section, entries)| {
            entries.iter().map(move |entry| KeyInfo {
                section,
                kid: entry.kid.clone(),
                alg: None,
                status: entry.status,
                created_at: entry.created_at,
            })
        });
        signing.chain(secrets).collect()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.summary()).finish()
    }
}

/// The kind of a serde error without the value that caused it.
fn classify(error: &serde_json::Error) -> &'static str {
    let text = error.to_string();
    let kinds = ["missing field", "unknown variant", "invalid type", "invalid length"];
    kinds.into_iter().find(|kind| text.starts_with(kind)).unwrap_or("invalid value")
}

/// The index of the one active key of a section.
fn active_index(section: &str, statuses: impl Iterator<Item = Status>) -> Result<usize, KeyError> {
    let active: Vec<usize> = statuses
        .enumerate()
        .filter(|(_, status)| *status == Status::Active)
        .map(|(index, _)| index)
        .collect();
    match active.as_slice() {
        [index] => Ok(*index),
        [] => Err(bad(format!("the key set has no active key in its section `{section}`"))),
        _ => Err(bad(format!(
            "the key set has {} active keys in its section `{section}`, not one",
            active.len()
        ))),
    }
}

/// The key that signs access tokens.
pub struct SigningKeys {
    kid: String,
    algorithm: Algorithm,
    pair: KeyPair,
}

impl SigningKeys {
    /// The active signing key of a document.
    ///
    /// # Errors
    /// [`KeyError`] when there is no active one, or its private key is missing, malformed or another key's.
    pub fn from_document(document: &Document) -> Result<Self, KeyError> {
        let active = active_index("signing", document.signing.iter().map(|entry| entry.status))?;
        let entry = document.signing.get(active).ok_or_else(|| bad("the active signing key is gone"))?;
        let kid = entry.public.kid().to_owned();
        let private =
            entry.private.as_deref().ok_or_else(|| bad(format!("signing key {kid} has no private key")))?;
        let pkcs8 = BASE64URL_NOPAD
            .decode(private.as_bytes())
            .map(Secret::new)
            .map_err(|_| bad(format!("the private key of signing key {kid} is not base64url")))?;
        let algorithm = entry.public.algorithm();
        let pair = KeyPair::parse(algorithm, pkcs8.expose()).ok_or_else(|| {
            bad(format!("the private key of signing key {kid} is not a PKCS#8 key for {algorithm}"))
        })?;
        if pair.public().as_ref() != Some(&entry.public) {
            return Err(bad(format!("the two halves of signing key {kid} do not belong together")));
        }
        Ok(Self { kid, algorithm, pair })
    }

    /// The id of the key, for the token's header.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm of the key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The base64url signature over a JWS signing input (RFC 7515 §5.1).
    ///
    /// # Errors
    /// [`KeyError`] when AWS-LC refuses the key.
    pub(crate) fn sign(&self, signing_input: &[u8]) -> Result<String, KeyError> {
        let signature = self.pair.try_sign(signing_input);
        let signature = signature.map_err(|_| bad(format!("signing key {} cannot sign", self.kid)))?;
        Ok(BASE64URL_NOPAD.encode(&signature))
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({})", self.kid)
    }
}

fn generate_signing_key(algorithm: Algorithm) -> Result<(Jwk, Secret), KeyError> {
    let (pair, pkcs8) = KeyPair::generate(algorithm)?;
    let public = pair.public().ok_or_else(|| bad("a new key has no public half"))?;
    Ok((public, pkcs8))
}

/// Decodes the 32 bytes of a symmetric key.
fn secret_bytes(section: &str, entry: &SecretEntry) -> Result<Secret, KeyError> {
    let bytes = BASE64URL_NOPAD.decode(entry.key.as_bytes()).map(Secret::new);
    match bytes {
        Ok(secret) if secret.expose().len() == 32 => Ok(secret),
        _ => Err(bad(format!("key {} of section `{section}` is not 32 bytes of base64url", entry.kid))),
    }
}

/// One of ours, or one that was adopted: those have the length that the other system gave them.
fn retired_pepper(entry: &SecretEntry) -> Result<Secret, KeyError> {
    match BASE64URL_NOPAD.decode(entry.key.as_bytes()).map(Secret::new) {
        Ok(secret) if (1..=MAX_ADOPTED_BYTES).contains(&secret.expose().len()) => Ok(secret),
        _ => Err(bad(format!("pepper {} is not 1 to {MAX_ADOPTED_BYTES} bytes of base64url", entry.kid))),
    }
}

/// The keys that authenticate refresh tokens (HMAC-SHA-256, RFC 2104).
pub struct RefreshKeys {
    keys: Vec<([u8; 4], hmac::Key)>,
    active: usize,
}

impl RefreshKeys {
    /// The refresh keys of a document.
    ///
    /// # Errors
    /// [`KeyError`] when there is not exactly one active key, or a key or `kid` is malformed or repeated.
    pub fn from_document(document: &Document) -> Result<Self, KeyError> {
        let active = active_index("refresh", document.refresh.iter().map(|entry| entry.status))?;
        let mut keys: Vec<([u8; 4], hmac::Key)> = Vec::with_capacity(document.refresh.len());
        for entry in &document.refresh {
            let kid =
                HEXLOWER.decode(entry.kid.as_bytes()).ok().and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
            let kid =
                kid.ok_or_else(|| bad("a refresh key's `kid` is not eight lower-case hexadecimal digits"))?;
            if keys.iter().any(|(other, _)| *other == kid) {
                return Err(bad(format!("refresh key {} stands in the key set twice", entry.kid)));
            }
            keys.push((kid, hmac::Key::new(hmac::HMAC_SHA256, secret_bytes("refresh", entry)?.expose())));
        }
        Ok(Self { keys, active })
    }

    /// The MAC of `message` under the active key: the key's id and 32 bytes.
    pub(crate) fn sign(&self, message: impl FnOnce([u8; 4]) -> Vec<u8>) -> (Vec<u8>, hmac::Tag) {
        // `active` was found among `keys` when they were read; an empty set cannot be built.
        #[expect(clippy::indexing_slicing, reason = "the index was made from this list, which never changes")]
        let (kid, key) = &self.keys[self.active];
        let message = message(*kid);
        let tag = hmac::sign(key, &message);
        (message, tag)
    }

    /// The MAC of `message` under the active key.
    pub(crate) fn digest(&self, message: &[u8]) -> [u8; 32] {
        prefix(self.sign(|_| message.to_vec()).1.as_ref())
    }

    /// The MACs of `message` under each key.
    pub(crate) fn digests(&self, message: &[u8]) -> impl Iterator<Item = [u8; 32]> {
        self.keys.iter().map(move |(_, key)| prefix(hmac::sign(key, message).as_ref()))
    }

    /// Whether `mac` is the MAC of `message` under the key `kid`, compared in constant time; `None` without that key.
    pub(crate) fn verify(&self, kid: [u8; 4], message: &[u8], mac: &[u8]) -> Option<bool> {
        let (_, key) = self.keys.iter().find(|(other, _)| *other == kid)?;
        Some(hmac::verify(key, message, mac).is_ok())
    }
}

impl fmt::Debug for RefreshKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(kid, _)| HEXLOWER.encode(kid))).finish()
    }
}

/// The peppers of password hashes, and what is derived from the active one.
pub struct Peppers {
    peppers: Vec<(String, Secret)>,
    active: usize,
    counter_key: CounterKey,
}

impl Peppers {
    /// The peppers of a document.
    ///
    /// # Errors
    /// [`KeyError`] when there is not exactly one active pepper, or one is malformed or repeated.
    pub fn from_document(document: &Document) -> Result<Self, KeyError> {
        let active = active_index("peppers", document.peppers.iter().map(|entry| entry.status))?;
        let mut peppers: Vec<(String, Secret)> = Vec::with_capacity(document.peppers.len());
        for entry in &document.peppers {
            // The id goes into the PHC string as argon2's `keyid`, at most eight bytes.
            let valid = HEXLOWER.decode(entry.kid.as_bytes()).is_ok_and(|bytes| bytes.len() == 4);
            if !valid {
                return Err(bad("a pepper's `kid` is not eight lower-case hexadecimal digits"));
            }
            if peppers.iter().any(|(other, _)| *other == entry.kid) {
                return Err(bad(format!("pepper {} stands in the key set twice", entry.kid)));
            }
            let secret = match entry.status {
                Status::Retired => retired_pepper(entry)?,
                Status::Next | Status::Active => secret_bytes("peppers", entry)?,
            };
            peppers.push((entry.kid.clone(), secret));
        }
        let secret =
            peppers.get(active).map(|(_, secret)| secret.clone()).ok_or_else(|| bad("no active pepper"))?;
        let counter_key = match &document.counter_key {
            Some(text) => CounterKey::parse(text)?,
            None => CounterKey::new(&CounterKey::secret_of(&secret)),
        };
        Ok(Self { peppers, active, counter_key })
    }

    /// The pepper for new hashes and its id.
    #[must_use]
    pub fn active(&self) -> (&str, &Secret) {
        #[expect(clippy::indexing_slicing, reason = "the index was made from this list, which never changes")]
        let (kid, secret) = &self.peppers[self.active];
        (kid, secret)
    }

    /// The pepper that an old hash names.
    #[must_use]
    pub fn get(&self, kid: &str) -> Option<&Secret> {
        self.peppers.iter().find(|(other, _)| other == kid).map(|(_, secret)| secret)
    }

    /// The key of counters and device tokens.
    #[must_use]
    pub const fn counter_key(&self) -> &CounterKey {
        &self.counter_key
    }
}

impl fmt::Debug for Peppers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.peppers.iter().map(|(kid, _)| kid)).finish()
    }
}

#[cfg(test)]
mod tests;
