//! `daypass client`: machine clients, which get access tokens for themselves.

use crate::environment::{Environment, is_loopback};
use crate::output::{Failure, Output, time};
use crate::target::{self, StoreArgs, Target};
use clap::Subcommand;
use daypass_aws::SdkConfig;
use daypass_core::client::machine::{
    Credential, CredentialId, Machine, MachineId, SecretDigest, new_secret, session_of,
};
use daypass_core::secret::SecretString;
use daypass_key_loader::{LoadError, MachinesError, StoredMachines};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{Clock, Timestamp};
use daypass_verifier::jose::jwk::Jwk;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Attempts at a change, while other operators change the document too.
const ATTEMPTS: usize = 5;

/// Arguments of `daypass client`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a client with a new secret, which is shown once, or with a public key
    Create {
        /// Name: 1 to 48 of a-z 0-9 -. The client id is client_NAME
        #[arg(value_parser = client_id)]
        name: MachineId,
        /// Scope of its tokens, words separated by spaces [default: none]
        #[arg(long, default_value = "", hide_default_value = true, value_parser = scope)]
        scope: Scope,
        /// Audience of its tokens [default: that of the stack]
        #[arg(long)]
        audience: Option<String>,
        /// Lifetime of its tokens in seconds, at most that of all access tokens [default: the same]
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(60..=600))]
        access_token_seconds: Option<u32>,
        /// Allow it to ask about tokens (POST /introspect)
        #[arg(long)]
        introspect: bool,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// List the clients with their keys
    List,
    /// Give a client a second secret or public key; both work until the first is revoked
    Rotate {
        /// Client id (client_…)
        #[arg(value_parser = client_id)]
        client: MachineId,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Revoke a client, or one of its two keys. Its tokens end at guarded APIs within the interval of the revocation feed
    Revoke {
        /// Client id (client_…)
        #[arg(value_parser = client_id)]
        client: MachineId,
        /// Id of the key or secret (key_…) [default: all, and the client]
        #[arg(value_parser = key_id)]
        key: Option<CredentialId>,
    },
}

#[derive(Debug, clap::Args)]
struct KeyArgs {
    /// File with the public key as a JWK: ES256, EdDSA or RS256. The client then signs assertions (private_key_jwt)
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
}

fn client_id(text: &str) -> Result<MachineId, String> {
    let with_prefix = format!("{}{text}", MachineId::PREFIX);
    let id = MachineId::parse(text).or_else(|| MachineId::parse(&with_prefix));
    id.ok_or_else(|| "a client id is client_ and 1 to 48 of a-z 0-9 -".to_owned())
}

fn key_id(text: &str) -> Result<CredentialId, String> {
    CredentialId::parse(text).ok_or_else(|| {
        "a key id is key_ and 16 hexadecimal digits; `daypass client list` shows them".to_owned()
    })
}

fn scope(text: &str) -> Result<Scope, String> {
    match Scope::parse(text) {
        Ok(scope) if scope.is_reserved() => {
            Err(format!("no word may begin with {}", Scope::RESERVED.join(" or ")))
        }
        Ok(scope) => Ok(scope),
        Err(_) => {
            Err("a scope is words separated by single spaces, at most 256 bytes and 32 words".to_owned())
        }
    }
}

/// A new key. The secret is shown once.
#[derive(Serialize)]
struct Created {
    client_id: MachineId,
    key: CredentialId,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

#[derive(Serialize)]
struct Listed<'a> {
    clients: Vec<ClientView<'a>>,
}

/// A client in the output.
#[derive(Serialize)]
struct ClientView<'a> {
    client_id: &'a MachineId,
    created_at: u64,
    scope: Scope,
    audience: Option<&'a str>,
    access_token_seconds: Option<u32>,
    introspect: bool,
    keys: Vec<KeyView<'a>>,
}

/// A key in the output, without the digest of a secret.
#[derive(Serialize)]
struct KeyView<'a> {
    id: &'a CredentialId,
    method: &'static str,
    kid: Option<&'a str>,
    created_at: u64,
}

#[derive(Serialize)]
struct Revoked {
    client_id: MachineId,
    keys: Vec<CredentialId>,
}

/// Runs `daypass client`.
pub(crate) async fn run(
    args: Args,
    environment: &Environment<'_>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let target = target::open(args.store, environment, output).await?;
    let document =
        Document { source: target.machines(environment)?, aws: secrets_manager(environment).await };
    match args.verb {
        Verb::Create { name, scope, audience, access_token_seconds, introspect, key } => {
            let mut client = Machine::new(name, &scope, SystemClock.now());
            client.audience = audience;
            client.access_token_seconds = access_token_seconds;
            client.introspect = introspect;
            create(&document, output, client, &key).await
        }
        Verb::List => list(&document, output).await,
        Verb::Rotate { client, key } => rotate(&document, output, &client, &key).await,
        Verb::Revoke { client, key } => revoke(&document, &target, output, client, key).await,
    }
}

async fn secrets_manager(environment: &Environment<'_>) -> SdkConfig {
    let url =
        environment.get("AWS_ENDPOINT_URL_SECRETS_MANAGER").or_else(|| environment.get("AWS_ENDPOINT_URL"));
    let aws = daypass_aws::load().await;
    if url.is_some_and(|url| is_loopback(&url)) { daypass_aws::without_proxy(&aws) } else { aws }
}

/// The document of machine clients, by its source.
struct Document {
    source: String,
    aws: SdkConfig,
}

impl Document {
    async fn read(&self) -> Result<StoredMachines, Failure> {
        StoredMachines::read(&self.source, &self.aws).await.map_err(|error| failure(&error))
    }

    /// Changes the document. `change` runs again on a newer one if another operator was faster.
    async fn change<T>(
        &self,
        mut change: impl AsyncFnMut(&mut StoredMachines) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        for _ in 0..ATTEMPTS {
            let mut stored = self.read().await?;
            let result = change(&mut stored).await?;
            if stored.write(&self.aws, &OsEntropy).await.map_err(|error| failure(&error))? {
                return Ok(result);
            }
        }
        Err(Failure::new("other operators change the clients all the time", "try again"))
    }
}

fn failure(error: &MachinesError) -> Failure {
    let hint = match error {
        MachinesError::Load(LoadError::Malformed(..)) => {
            "the functions reject this document too: restore an earlier version of the secret or file"
        }
        MachinesError::Unusable(_) => "correct the arguments; nothing was changed",
        MachinesError::File(..) | MachinesError::Load(LoadError::File(..)) => {
            "correct DAYPASS_MACHINES, or the permissions of the file"
        }
        MachinesError::Load(_) | MachinesError::Vault(_) => {
            "check AWS_PROFILE, AWS_REGION and your permissions secretsmanager:GetSecretValue, PutSecretValue and UpdateSecretVersionStage"
        }
    };
    Failure::new(error.to_string(), hint)
}

/// A new key or secret, and the secret itself.
fn credential(args: &KeyArgs, now: Timestamp) -> Result<(Credential, Option<SecretString>), Failure> {
    let id = CredentialId::generate(&OsEntropy);
    let created_at = now.seconds();
    if let Some(path) = &args.public_key {
        let jwk = Some(public_key(path)?);
        return Ok((Credential { id, created_at, jwk, secret_sha256: None }, None));
    }
    let secret = new_secret(&OsEntropy);
    let secret_sha256 = Some(SecretDigest::of(secret.expose()));
    Ok((Credential { id, created_at, jwk: None, secret_sha256 }, Some(secret)))
}

/// Reads a JWK. One without `kid` gets its thumbprint (RFC 7638).
fn public_key(path: &Path) -> Result<Jwk, Failure> {
    let file = path.display();
    let text = std::fs::read(path)
        .map_err(|error| Failure::new(format!("{file} cannot be read: {error}"), "name a file with a JWK"))?;
    let rejected = |problem: &str| {
        Failure::new(
            format!("{file} is no public key for assertions: {problem}"),
            "give the public JWK of an ES256, EdDSA or RS256 key; the private key stays with the client",
        )
    };
    let mut value: Value = serde_json::from_slice(&text).map_err(|_| rejected("it is not JSON"))?;
    let members = value.as_object_mut().ok_or_else(|| rejected("it is not a JSON object"))?;
    let named = members.contains_key("kid");
    members.entry("kid").or_insert_with(|| "thumbprint".into());
    let jwk: Jwk = serde_json::from_value(value).map_err(|error| rejected(&error.to_string()))?;
    Ok(if named { jwk } else { jwk.named_by_thumbprint() })
}

async fn create(
    document: &Document,
    output: &mut Output<'_>,
    mut client: Machine,
    args: &KeyArgs,
) -> Result<(), Failure> {
    let (key, secret) = credential(args, SystemClock.now())?;
    let (client_id, id) = (client.client_id.clone(), key.id.clone());
    client.keys.push(key);
    document
        .change(async |stored| {
            if stored.document.find_mut(&client.client_id).is_some() {
                return Err(Failure::new(
                    format!("there is a client {} already", client.client_id),
                    "name another one; `daypass client rotate` gives a client a second key",
                ));
            }
            stored.document.clients.push(client.clone());
            Ok(())
        })
        .await?;
    shown(output, client_id, id, secret, "Created")
}

async fn rotate(
    document: &Document,
    output: &mut Output<'_>,
    client: &MachineId,
    args: &KeyArgs,
) -> Result<(), Failure> {
    let (key, secret) = credential(args, SystemClock.now())?;
    let id = key.id.clone();
    document
        .change(async |stored| {
            let found = stored.document.find_mut(client).ok_or_else(|| unknown(client))?;
            if found.keys.len() == Machine::MAX_KEYS {
                return Err(Failure::new(
                    format!("{client} has two keys already"),
                    "revoke the one that it no longer uses: daypass client revoke CLIENT KEY",
                ));
            }
            found.keys.push(key.clone());
            Ok(())
        })
        .await?;
    shown(output, client.clone(), id, secret, "Rotated")
}

/// Prints a new key. Functions read the document again every few minutes.
fn shown(
    output: &mut Output<'_>,
    client_id: MachineId,
    key: CredentialId,
    secret: Option<SecretString>,
    verb: &str,
) -> Result<(), Failure> {
    let line = format!(
        "{verb} {client_id}: {key} works when the functions have read it, within 5 minutes by default."
    );
    let client_secret = secret.map(|secret| secret.expose().to_owned());
    let created = Created { client_id, key, client_secret };
    output.result(&created, |output| {
        output.line(&line)?;
        if let Some(secret) = &created.client_secret {
            output.line("Its secret, which is not shown again:")?;
            output.line(secret)?;
        }
        Ok(())
    })?;
    Ok(())
}

async fn list(document: &Document, output: &mut Output<'_>) -> Result<(), Failure> {
    let stored = document.read().await?;
    let clients = stored.document.clients.iter().map(view).collect();
    let listed = Listed { clients };
    output.result(&listed, |output| {
        if listed.clients.is_empty() {
            output.note("there are no machine clients");
            return Ok(());
        }
        let rows: Vec<_> = listed.clients.iter().flat_map(rows).collect();
        output.table(["CLIENT", "KEY", "METHOD", "CREATED", "SCOPE"], &rows)
    })?;
    Ok(())
}

fn view(client: &Machine) -> ClientView<'_> {
    let key = |key: &'_ Credential| -> &'static str {
        if key.jwk.is_some() { "private_key_jwt" } else { "client_secret_basic" }
    };
    ClientView {
        client_id: &client.client_id,
        created_at: client.created_at,
        scope: client.scope(),
        audience: client.audience.as_deref(),
        access_token_seconds: client.access_token_seconds,
        introspect: client.introspect,
        keys: client
            .keys
            .iter()
            .map(|one| KeyView {
                id: &one.id,
                method: key(one),
                kid: one.jwk.as_ref().map(Jwk::kid),
                created_at: one.created_at,
            })
            .collect(),
    }
}

fn rows(client: &ClientView<'_>) -> Vec<[String; 5]> {
    let row = |key: &KeyView<'_>| {
        [
            client.client_id.to_string(),
            key.id.to_string(),
            key.method.to_owned(),
            time(Timestamp::from_seconds(key.created_at)),
            client.scope.to_string(),
        ]
    };
    client.keys.iter().map(row).collect()
}

fn unknown(client: &MachineId) -> Failure {
    Failure::new(format!("there is no client {client}"), "`daypass client list` shows them")
}

/// Revokes the tokens before it removes the keys: if it stops in between, the next call still finds the keys.
async fn revoke(
    document: &Document,
    target: &Target,
    output: &mut Output<'_>,
    client: MachineId,
    key: Option<CredentialId>,
) -> Result<(), Failure> {
    let keys = document
        .change(async |stored| {
            let found = stored.document.find_mut(&client).ok_or_else(|| unknown(&client))?;
            let is_meant = |one: &Credential| key.as_ref().is_none_or(|key| one.id == *key);
            let (ends, stays): (Vec<_>, Vec<_>) = found.keys.drain(..).partition(is_meant);
            let ends: Vec<CredentialId> = ends.into_iter().map(|one| one.id).collect();
            if let Some(key) = &key {
                if ends.is_empty() {
                    return Err(Failure::new(
                        format!("{client} has no key {key}"),
                        "`daypass client list` shows them",
                    ));
                }
                if stays.is_empty() {
                    return Err(Failure::new(
                        format!("{key} is the only key of {client}"),
                        "rotate first, or omit the key to revoke the client",
                    ));
                }
            }
            for id in &ends {
                let revoked =
                    target.store.revoke_machine(&client, session_of(&client, id), SystemClock.now()).await;
                revoked.map_err(|error| target.failure(&error))?;
            }
            if stays.is_empty() {
                stored.document.clients.retain(|one| one.client_id != client);
            } else {
                found.keys = stays;
            }
            Ok(ends)
        })
        .await?;
    let line = match &key {
        Some(key) => format!("Revoked {key} of {client}."),
        None => format!("Revoked {client}."),
    };
    output.result(&Revoked { client_id: client, keys }, |output| output.line(&line))?;
    Ok(())
}
