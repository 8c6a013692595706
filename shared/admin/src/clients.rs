//! Machine clients. Their document is in a secret of its own, and not in the tables.

use crate::Admin;
use daypass_core::client::machine::{
    Credential, CredentialId, Machine, MachineDocument, MachineId, SecretDigest, new_secret, session_of,
};
use daypass_core::ports::store::StoreError;
use daypass_core::secret::SecretString;
use daypass_key_loader::{MachinesError, SecretsManager, StoredMachines};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::jose::jwk::Jwk;
use daypass_verifier::jose::verify::VerifyingKey;
use serde::Serialize;
use serde_json::Value;

/// Attempts at a change, while other operators change the document too.
const ATTEMPTS: usize = 5;

/// The document of machine clients.
#[derive(Debug, Clone)]
pub struct ClientDocument {
    /// The ARN of the secret, or a file.
    pub source: String,
    /// The client of Secrets Manager. Not used with a file.
    pub vault: SecretsManager,
}

/// The operations on machine clients.
#[derive(Clone, Copy)]
pub struct Clients<'a> {
    /// Store, time and randomness. A revocation writes into the sessions table.
    pub admin: Admin<'a>,
    /// The document.
    pub document: &'a ClientDocument,
}

/// Why an operation on machine clients did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No client has this id.
    #[error("there is no client {0}")]
    Unknown(MachineId),
    /// Another client has this id.
    #[error("there is a client {0} already")]
    Exists(MachineId),
    /// A client with a secret sends no assertions, so they cannot be accepted once.
    #[error("{0} has no public key, so it sends no assertions")]
    NoAssertions(MachineId),
    /// The client has as many keys as it can have.
    #[error("{0} has two keys already")]
    TwoKeys(MachineId),
    /// The client has no key of this id.
    #[error("{0} has no key {1}")]
    UnknownKey(MachineId, CredentialId),
    /// A client needs a key.
    #[error("{1} is the only key of {0}")]
    OnlyKey(MachineId, CredentialId),
    /// Other operators changed the document at each attempt.
    #[error("other operators change the clients all the time")]
    Busy,
    /// The document cannot be read or written.
    #[error(transparent)]
    Document(#[from] MachinesError),
    /// The store did not revoke. A repeat finishes the revocation.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A new key or secret of a client.
#[derive(Debug)]
pub struct NewKey {
    /// The client.
    pub client_id: MachineId,
    /// The id of the key.
    pub key: CredentialId,
    /// The secret, unless the key is a public key. Nothing stores it.
    pub secret: Option<SecretString>,
}

impl Clients<'_> {
    /// All clients, in the order of their creation.
    ///
    /// # Errors
    /// [`ClientError::Document`].
    pub async fn list(&self) -> Result<Vec<Machine>, ClientError> {
        Ok(self.read().await?.document.clients)
    }

    /// Adds a client, with a public key or a new secret.
    ///
    /// # Errors
    /// [`ClientError::Exists`], [`ClientError::NoAssertions`], [`ClientError::Document`], [`ClientError::Busy`].
    pub async fn create(&self, mut client: Machine, public_key: Option<Jwk>) -> Result<NewKey, ClientError> {
        if client.single_use_assertions && public_key.is_none() {
            return Err(ClientError::NoAssertions(client.client_id));
        }
        let (key, secret) = self.credential(public_key);
        let new = NewKey { client_id: client.client_id.clone(), key: key.id.clone(), secret };
        client.keys.push(key);
        self.change(&client.client_id, |document| {
            if document.find_mut(&client.client_id).is_some() {
                return Err(ClientError::Exists(client.client_id.clone()));
            }
            document.clients.push(client.clone());
            Ok(Vec::new())
        })
        .await?;
        Ok(new)
    }

    /// Gives a client a second public key or secret.
    ///
    /// # Errors
    /// [`ClientError::Unknown`], [`ClientError::TwoKeys`], [`ClientError::Document`], [`ClientError::Busy`].
    pub async fn rotate(&self, client: &MachineId, public_key: Option<Jwk>) -> Result<NewKey, ClientError> {
        let (key, secret) = self.credential(public_key);
        self.change(client, |document| {
            let found = document.find_mut(client).ok_or_else(|| ClientError::Unknown(client.clone()))?;
            if found.keys.len() == Machine::MAX_KEYS {
                return Err(ClientError::TwoKeys(client.clone()));
            }
            found.keys.push(key.clone());
            Ok(Vec::new())
        })
        .await?;
        Ok(NewKey { client_id: client.clone(), key: key.id, secret })
    }

    /// Revokes one of the two keys of a client, or the client for `None`. Returns the revoked keys.
    ///
    /// It revokes the tokens before it removes the keys: if it stops in between, the next call still finds the keys.
    ///
    /// # Errors
    /// [`ClientError::Unknown`], [`ClientError::UnknownKey`], [`ClientError::OnlyKey`], [`ClientError::Store`],
    /// [`ClientError::Document`], [`ClientError::Busy`].
    pub async fn revoke(
        &self,
        client: &MachineId,
        key: Option<&CredentialId>,
    ) -> Result<Vec<CredentialId>, ClientError> {
        self.change(client, |document| {
            let found = document.find_mut(client).ok_or_else(|| ClientError::Unknown(client.clone()))?;
            let is_meant = |one: &Credential| key.is_none_or(|key| one.id == *key);
            let (ends, stays): (Vec<_>, Vec<_>) = found.keys.drain(..).partition(is_meant);
            if let Some(key) = key {
                if ends.is_empty() {
                    return Err(ClientError::UnknownKey(client.clone(), key.clone()));
                }
                if stays.is_empty() {
                    return Err(ClientError::OnlyKey(client.clone(), key.clone()));
                }
            }
            if stays.is_empty() {
                document.clients.retain(|one| one.client_id != *client);
            } else {
                found.keys = stays;
            }
            Ok(ends.into_iter().map(|one| one.id).collect())
        })
        .await
    }

    async fn read(&self) -> Result<StoredMachines, ClientError> {
        Ok(StoredMachines::read(&self.document.source, &self.document.vault).await?)
    }

    /// Changes the document, and revokes the tokens of the keys that `edit` returns before it writes. `edit` runs again on a newer
    /// document if another operator was faster.
    async fn change(
        &self,
        client: &MachineId,
        mut edit: impl FnMut(&mut MachineDocument) -> Result<Vec<CredentialId>, ClientError>,
    ) -> Result<Vec<CredentialId>, ClientError> {
        for _ in 0..ATTEMPTS {
            let mut stored = self.read().await?;
            let ends = edit(&mut stored.document)?;
            for key in &ends {
                let session = session_of(client, key);
                self.admin.store.revoke_machine(client, session, self.admin.clock.now()).await?;
            }
            if stored.write(&self.document.vault, self.admin.entropy).await? {
                return Ok(ends);
            }
        }
        Err(ClientError::Busy)
    }

    fn credential(&self, jwk: Option<Jwk>) -> (Credential, Option<SecretString>) {
        let secret = jwk.is_none().then(|| new_secret(self.admin.entropy));
        let secret_sha256 = secret.as_ref().map(|secret| SecretDigest::of(secret.expose()));
        let (id, created_at) = (CredentialId::generate(self.admin.entropy), self.admin.clock.now().seconds());
        (Credential { id, created_at, jwk, secret_sha256 }, secret)
    }
}

/// A public key for assertions, from its JWK. One without `kid` gets its thumbprint (RFC 7638).
///
/// # Errors
/// What is wrong, in words that follow "it is no public key for assertions:".
pub fn public_key(mut jwk: Value) -> Result<Jwk, String> {
    let members = jwk.as_object_mut().ok_or("it is not a JSON object")?;
    let named = members.contains_key("kid");
    members.entry("kid").or_insert_with(|| "thumbprint".into());
    let jwk: Jwk = serde_json::from_value(jwk).map_err(|error| error.to_string())?;
    VerifyingKey::new(&jwk).map_err(|_| "no key has these numbers")?;
    Ok(if named { jwk } else { jwk.named_by_thumbprint() })
}

/// A client, without digests of secrets.
#[derive(Debug, Serialize)]
pub struct ClientView<'a> {
    /// The `client_id` of requests.
    pub client_id: &'a MachineId,
    /// Seconds since the epoch.
    pub created_at: u64,
    /// Words separated by spaces.
    pub scope: Scope,
    /// `None` for that of the stack.
    pub audience: Option<&'a str>,
    /// `None` for the lifetime of all access tokens.
    pub access_token_seconds: Option<u32>,
    /// Whether it may ask about tokens.
    pub introspect: bool,
    /// Whether each of its tokens is bound to a key (RFC 9449).
    pub require_dpop: bool,
    /// Whether each of its assertions is accepted once (RFC 7523 §3, no. 7).
    pub single_use_assertions: bool,
    /// One or two keys or secrets.
    pub keys: Vec<KeyView<'a>>,
}

/// A key or secret of a client.
#[derive(Debug, Serialize)]
pub struct KeyView<'a> {
    /// The id that a revocation names.
    pub id: &'a CredentialId,
    /// `private_key_jwt` or `client_secret_basic`.
    pub method: &'static str,
    /// The `kid` of a public key.
    pub kid: Option<&'a str>,
    /// Seconds since the epoch.
    pub created_at: u64,
}

impl<'a> From<&'a Machine> for ClientView<'a> {
    fn from(client: &'a Machine) -> Self {
        Self {
            client_id: &client.client_id,
            created_at: client.created_at,
            scope: client.scope(),
            audience: client.audience.as_deref(),
            access_token_seconds: client.access_token_seconds,
            introspect: client.introspect,
            require_dpop: client.require_dpop,
            single_use_assertions: client.single_use_assertions,
            keys: client.keys.iter().map(KeyView::from).collect(),
        }
    }
}

impl<'a> From<&'a Credential> for KeyView<'a> {
    fn from(key: &'a Credential) -> Self {
        Self {
            id: &key.id,
            method: if key.jwk.is_some() { "private_key_jwt" } else { "client_secret_basic" },
            kid: key.jwk.as_ref().map(Jwk::kid),
            created_at: key.created_at,
        }
    }
}

/// A new key, as an operator sees it once.
#[derive(Debug, Serialize)]
pub struct NewKeyView<'a> {
    /// The client.
    pub client_id: &'a MachineId,
    /// The id of the key.
    pub key: &'a CredentialId,
    /// The secret, unless the key is a public key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<&'a str>,
}

impl<'a> From<&'a NewKey> for NewKeyView<'a> {
    fn from(new: &'a NewKey) -> Self {
        Self {
            client_id: &new.client_id,
            key: &new.key,
            client_secret: new.secret.as_ref().map(SecretString::expose),
        }
    }
}

/// What a revocation has ended.
#[derive(Debug, Serialize)]
pub struct RevokedView<'a> {
    /// The client.
    pub client_id: &'a MachineId,
    /// The revoked keys.
    pub keys: &'a [CredentialId],
}
