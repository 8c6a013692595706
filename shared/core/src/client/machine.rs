//! Machine clients: services that get access tokens for themselves (RFC 6749 §4.4), as data.
//!
//! One JSON document holds all of them. `daypass client` writes it, and functions read it again every few minutes. It holds no
//! secret that opens anything: public keys, and digests of random secrets.

use crate::secret::SecretString;
use crate::token::assertion::Assertion;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use daypass_verifier::base::digest::prefix;
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::base::ids::SessionId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Jwk;
use daypass_verifier::jose::verify::{Rejection, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The id of a machine client: its `client_id`, and the `sub` of its tokens. No user has an id with this prefix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct MachineId(String);

impl MachineId {
    /// The prefix of the id.
    pub const PREFIX: &'static str = "client_";
    /// Most characters behind the prefix.
    const MAX_NAME: usize = 48;

    /// Parses an id: `client_` and 1 to 48 of `a-z 0-9 -`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix(Self::PREFIX)?;
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let valid = (1..=Self::MAX_NAME).contains(&name.len()) && name.bytes().all(legal);
        valid.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MachineId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
            .ok_or_else(|| format!("client_id `{text}` is not client_ and 1 to 48 of a-z 0-9 -"))
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a key or secret of a client: `key_` and 16 hexadecimal digits. It is random, so a key that was revoked and
/// registered again has tokens of its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct CredentialId(String);

impl CredentialId {
    /// The prefix of the id.
    const PREFIX: &'static str = "key_";

    /// A fresh id.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(format!("{}{}", Self::PREFIX, HEXLOWER.encode(&random::<8>(entropy))))
    }

    /// Parses an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(Self::PREFIX)?;
        let bytes = HEXLOWER.decode(digits.as_bytes()).ok()?;
        (bytes.len() == 8).then(|| Self(text.to_owned()))
    }
}

impl TryFrom<String> for CredentialId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not key_ and 16 hexadecimal digits"))
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A new secret of a client: `daypass_secret_` and 256 random bits in base64url. Its entropy needs no slow hash.
#[must_use]
pub fn new_secret(entropy: &dyn Entropy) -> SecretString {
    SecretString::new(format!("{SECRET_PREFIX}{}", BASE64URL_NOPAD.encode(&random::<32>(entropy))))
}

/// The prefix of the secrets of clients, for scanners of source code.
pub const SECRET_PREFIX: &str = "daypass_secret_";

/// The SHA-256 of a secret, in base64url.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// The digest of a secret.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(prefix(digest(&SHA256, secret.as_bytes()).as_ref()))
    }

    /// Compares in constant time.
    fn matches(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl TryFrom<String> for SecretDigest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or("secret_sha256 is not a SHA-256 in base64url")
    }
}

impl From<SecretDigest> for String {
    fn from(digest: SecretDigest) -> Self {
        BASE64URL_NOPAD.encode(&digest.0)
    }
}

/// A key or a secret of a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The id that commands and the log name.
    pub id: CredentialId,
    /// Seconds since the epoch.
    pub created_at: u64,
    /// The public key of `private_key_jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwk: Option<Jwk>,
    /// The digest of the secret of `client_secret_basic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_sha256: Option<SecretDigest>,
}

/// A registered machine client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The `client_id` of requests.
    pub client_id: MachineId,
    /// Seconds since the epoch.
    pub created_at: u64,
    /// What its tokens may be used for.
    #[serde(default)]
    scope: String,
    /// `aud` of its tokens; without it, the audience of the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Lifetime of its tokens in seconds, if it is shorter than that of all access tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_seconds: Option<u32>,
    /// Whether it may ask about tokens (RFC 7662).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub introspect: bool,
    /// Whether each of its tokens is bound to a key (RFC 9449).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_dpop: bool,
    /// Whether each of its assertions is accepted once (RFC 7523 §3, no. 7).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_use_assertions: bool,
    /// One or two keys or secrets.
    pub keys: Vec<Credential>,
}

impl Machine {
    /// Most keys and secrets: the old one and the new one of a rotation.
    pub const MAX_KEYS: usize = 2;
    /// Shortest and longest lifetime of a token, in seconds.
    pub const LIFETIME: std::ops::RangeInclusive<u32> = 60..=600;
    /// Longest audience, in bytes.
    const MAX_AUDIENCE: usize = 200;

    /// A client without keys.
    #[must_use]
    pub fn new(client_id: MachineId, scope: &Scope, now: Timestamp) -> Self {
        Self {
            client_id,
            created_at: now.seconds(),
            scope: scope.to_string(),
            audience: None,
            access_token_seconds: None,
            introspect: false,
            require_dpop: false,
            single_use_assertions: false,
            keys: Vec::new(),
        }
    }

    /// What its tokens may be used for.
    #[must_use]
    pub fn scope(&self) -> Scope {
        // `check` has parsed it.
        Scope::parse(&self.scope).unwrap_or_default()
    }

    /// The lifetime of its tokens, if it is limited.
    #[must_use]
    pub fn lifetime(&self) -> Option<Duration> {
        self.access_token_seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }

    fn check(&self) -> Result<(), String> {
        let id = &self.client_id;
        let scope = Scope::parse(&self.scope);
        let scope =
            scope.map_err(|_| format!("the scope of `{id}` is malformed or over 256 bytes or 32 words"))?;
        if scope.is_reserved() {
            return Err(format!(
                "the scope of `{id}` has a word that begins with {}",
                Scope::RESERVED.join(" or ")
            ));
        }
        if let Some(audience) = &self.audience
            && (audience.is_empty()
                || audience.len() > Self::MAX_AUDIENCE
                || !audience.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(format!(
                "the audience of `{id}` is not 1 to 200 printable ASCII characters without spaces"
            ));
        }
        if self.access_token_seconds.is_some_and(|seconds| !Self::LIFETIME.contains(&seconds)) {
            return Err(format!("the lifetime of the tokens of `{id}` is not 60 to 600 seconds"));
        }
        if self.keys.is_empty() || self.keys.len() > Self::MAX_KEYS {
            return Err(format!("`{id}` has no key, or more than {}", Self::MAX_KEYS));
        }
        for (index, key) in self.keys.iter().enumerate() {
            if key.jwk.is_some() == key.secret_sha256.is_some() {
                return Err(format!("{} of `{id}` is not either a jwk or a secret_sha256", key.id));
            }
            if self.keys.iter().take(index).any(|other| other.id == key.id) {
                return Err(format!("{} of `{id}` stands there twice", key.id));
            }
        }
        Ok(())
    }
}

/// The `sid` of the tokens that a client gets with one of its keys. Nothing stores it: a revocation names it.
#[must_use]
pub fn session_of(client: &MachineId, key: &CredentialId) -> SessionId {
    let text = format!("daypass machine client\n{client}\n{key}");
    SessionId::from_bytes(prefix(digest(&SHA256, text.as_bytes()).as_ref()))
}

/// The document of all machine clients.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineDocument {
    version: u32,
    /// The clients, in the order of their creation.
    pub clients: Vec<Machine>,
}

impl MachineDocument {
    const VERSION: u32 = 1;
    /// Longest text: a secret of Secrets Manager holds 65,536 bytes.
    const MAX_BYTES: usize = 65_536;

    /// A document without clients.
    #[must_use]
    pub fn new() -> Self {
        Self { version: Self::VERSION, clients: Vec::new() }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let document: Self = serde_json::from_slice(json)
            .map_err(|error| format!("is not a document of machine clients ({error})"))?;
        if document.version != Self::VERSION {
            return Err(format!(
                "has version {}, this build reads version {}",
                document.version,
                Self::VERSION
            ));
        }
        for (index, client) in document.clients.iter().enumerate() {
            client.check()?;
            if document.clients.iter().take(index).any(|other| other.client_id == client.client_id) {
                return Err(format!("client_id `{}` stands there twice", client.client_id));
            }
        }
        Ok(document)
    }

    /// The text of the document.
    ///
    /// # Errors
    /// The reason why functions could not read it.
    pub fn to_json(&self) -> Result<String, String> {
        let json = serde_json::to_string(self).map_err(|error| error.to_string())?;
        Self::parse(json.as_bytes())?;
        if json.len() > Self::MAX_BYTES {
            return Err(format!("has {} bytes, and a secret holds {}", json.len(), Self::MAX_BYTES));
        }
        Ok(json)
    }

    /// The client of this id.
    pub fn find_mut(&mut self, id: &MachineId) -> Option<&mut Machine> {
        self.clients.iter_mut().find(|client| client.client_id == *id)
    }
}

/// How a request authenticates its client.
#[derive(Debug)]
pub enum ClientAuthentication {
    /// `client_secret_basic` (RFC 6749 §2.3.1).
    Secret {
        /// The named client.
        client_id: String,
        /// The presented secret.
        secret: SecretString,
    },
    /// `private_key_jwt` (RFC 7523 §2.2).
    Assertion {
        /// The assertion, a JWT.
        assertion: SecretString,
        /// The client that the request names beside it, if it names one.
        client_id: Option<String>,
    },
}

/// Why a client is not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unauthenticated {
    /// The request has no credential.
    NoCredential,
    /// No client has this id.
    UnknownClient,
    /// The client has no such secret.
    WrongSecret,
    /// The request names another client than the assertion does.
    OtherClient,
    /// The assertion is rejected.
    #[serde(untagged)]
    Assertion(Rejection),
}

/// A client that authenticated itself.
pub struct Authenticated<'a> {
    /// The client.
    pub client: &'a Machine,
    /// The key or secret that it used.
    pub key: &'a CredentialId,
    /// Its assertion. `None` with a secret.
    pub assertion: Option<Assertion<'a>>,
}

/// The machine clients with their parsed keys.
#[derive(Debug)]
pub struct Machines(Vec<(Machine, Vec<Option<VerifyingKey>>)>);

impl Machines {
    /// Parses the keys of a document.
    ///
    /// # Errors
    /// A text that names the key that AWS-LC rejects.
    pub fn new(document: MachineDocument) -> Result<Self, String> {
        let clients = document.clients.into_iter().map(|client| {
            let parse = |key: &Credential| key.jwk.as_ref().map(VerifyingKey::new).transpose();
            let keys = client.keys.iter().map(parse).collect::<Result<Vec<_>, _>>();
            let keys = keys.map_err(|error| format!("has `{}`, whose {error}", client.client_id))?;
            Ok((client, keys))
        });
        clients.collect::<Result<_, String>>().map(Self)
    }

    /// The client of a request. `audiences` are those that an assertion may name.
    ///
    /// # Errors
    /// [`Unauthenticated`] when it did not.
    pub fn authenticate<'a>(
        &'a self,
        request: &'a ClientAuthentication,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Authenticated<'a>, Unauthenticated> {
        match request {
            ClientAuthentication::Secret { client_id, secret } => {
                let presented = SecretDigest::of(secret.expose());
                let (client, _) = self.find(client_id).ok_or(Unauthenticated::UnknownClient)?;
                let is_it = |key: &&Credential| {
                    key.secret_sha256.as_ref().is_some_and(|digest| digest.matches(&presented))
                };
                let key = client.keys.iter().find(is_it).ok_or(Unauthenticated::WrongSecret)?;
                Ok(Authenticated { client, key: &key.id, assertion: None })
            }
            ClientAuthentication::Assertion { assertion, client_id } => {
                let assertion = Assertion::parse(assertion.expose()).map_err(Unauthenticated::Assertion)?;
                let named = assertion.client().map_err(Unauthenticated::Assertion)?;
                if client_id.as_ref().is_some_and(|client_id| client_id != named) {
                    return Err(Unauthenticated::OtherClient);
                }
                let (client, keys) = self.find(named).ok_or(Unauthenticated::UnknownClient)?;
                let mut rejection = Rejection::UnknownKey;
                for (credential, key) in client.keys.iter().zip(keys) {
                    let Some(key) = key else { continue };
                    match assertion.check_signature(key) {
                        Ok(()) => {
                            let checked = assertion.check_claims(audiences, now);
                            checked.map_err(Unauthenticated::Assertion)?;
                            let (key, assertion) = (&credential.id, Some(assertion));
                            return Ok(Authenticated { client, key, assertion });
                        }
                        // With two keys, the cause of the key that the header names.
                        Err(Rejection::UnknownKey) => {}
                        Err(cause) => rejection = cause,
                    }
                }
                Err(Unauthenticated::Assertion(rejection))
            }
        }
    }

    fn find(&self, id: &str) -> Option<&(Machine, Vec<Option<VerifyingKey>>)> {
        self.0.iter().find(|(client, _)| client.client_id.as_str() == id)
    }
}

/// The machine clients as a process has read them last.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    machines: Option<Arc<Machines>>,
    read_at: Timestamp,
}

impl Registry {
    /// The longest time for which a process uses a document: twice the longest `keys_max_age_seconds`. A revocation of a client
    /// is announced for this long, because such a process still issues tokens to it.
    pub const MAX_AGE: Duration = Duration::from_secs(2 * 3600);

    /// Clients that were read at this time.
    #[must_use]
    pub fn new(machines: Machines, read_at: Timestamp) -> Self {
        Self { machines: Some(Arc::new(machines)), read_at }
    }

    /// The clients; `None` when none were read within [`Registry::MAX_AGE`].
    #[must_use]
    pub fn current(&self, now: Timestamp) -> Option<&Machines> {
        self.machines.as_deref().filter(|_| !now.has_passed(self.read_at, Self::MAX_AGE))
    }
}

#[cfg(test)]
mod tests;
