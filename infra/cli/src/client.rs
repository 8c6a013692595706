//! `daypass client`: machine clients, which get access tokens for themselves.

use crate::environment::Environment;
use crate::output::{Failure, Output, time};
use crate::target::{self, StoreArgs, Target};
use clap::Subcommand;
use daypass_admin::{
    ClientDocument, ClientError, ClientView, Clients, KeyView, NewKey, NewKeyView, RevokedView, public_key,
};
use daypass_core::client::machine::{CredentialId, Machine, MachineId};
use daypass_key_loader::{LoadError, MachinesError, SecretsManager};
use daypass_runtime::SystemClock;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{Clock, Timestamp};
use daypass_verifier::jose::jwk::Jwk;
use serde::Serialize;
use std::path::{Path, PathBuf};

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
        /// Issue tokens for requests with a DPoP proof only, bound to the key of the proof (RFC 9449)
        #[arg(long)]
        require_dpop: bool,
        /// Accept each of its assertions once (RFC 7523 §3). Each needs a jti and costs a write unit; needs --public-key
        #[arg(long)]
        single_use_assertions: bool,
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

#[derive(Serialize)]
struct Listed<'a> {
    clients: Vec<ClientView<'a>>,
}

/// Runs `daypass client`.
pub(crate) async fn run(
    args: Args,
    environment: &Environment<'_>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let target = target::open(args.store, environment, output).await?;
    let vault = SecretsManager::for_operator(&daypass_aws::load().await);
    let document = ClientDocument { source: target.machines(environment)?, vault };
    let clients = Clients { admin: target.admin(), document: &document };
    let refuse = |error: ClientError| failure(&error, &target);
    match args.verb {
        Verb::Create {
            name,
            scope,
            audience,
            access_token_seconds,
            introspect,
            require_dpop,
            single_use_assertions,
            key,
        } => {
            let mut client = Machine::new(name, &scope, SystemClock.now());
            client.audience = audience;
            client.access_token_seconds = access_token_seconds;
            client.introspect = introspect;
            client.require_dpop = require_dpop;
            client.single_use_assertions = single_use_assertions;
            shown(output, &clients.create(client, key.read()?).await.map_err(refuse)?, "Created")
        }
        Verb::List => list(output, &clients.list().await.map_err(refuse)?),
        Verb::Rotate { client, key } => {
            shown(output, &clients.rotate(&client, key.read()?).await.map_err(refuse)?, "Rotated")
        }
        Verb::Revoke { client, key } => {
            let keys = clients.revoke(&client, key.as_ref()).await.map_err(refuse)?;
            let line = match &key {
                Some(key) => format!("Revoked {key} of {client}."),
                None => format!("Revoked {client}."),
            };
            output
                .result(&RevokedView { client_id: &client, keys: &keys }, |output| output.line(&line))
                .map_err(Failure::from)
        }
    }
}

fn failure(error: &ClientError, target: &Target) -> Failure {
    let hint = match error {
        ClientError::Store(error) => return target.failure(error),
        ClientError::Unknown(_) | ClientError::UnknownKey(..) => "`daypass client list` shows them",
        ClientError::Exists(_) => "name another one; `daypass client rotate` gives a client a second key",
        ClientError::NoAssertions(_) => "add --public-key FILE, or omit --single-use-assertions",
        ClientError::TwoKeys(_) => "revoke the one that it no longer uses: daypass client revoke CLIENT KEY",
        ClientError::OnlyKey(..) => "rotate first, or omit the key to revoke the client",
        ClientError::Busy => "try again",
        ClientError::Document(MachinesError::Load(LoadError::Malformed(..))) => {
            "the functions reject this document too: restore an earlier version of the secret or file"
        }
        ClientError::Document(MachinesError::Unusable(_)) => "correct the arguments; nothing was changed",
        ClientError::Document(MachinesError::File(..) | MachinesError::Load(LoadError::File(..))) => {
            "correct DAYPASS_MACHINES, or the permissions of the file"
        }
        ClientError::Document(MachinesError::Load(_) | MachinesError::Vault(_)) => {
            "check AWS_PROFILE, AWS_REGION and your permissions secretsmanager:GetSecretValue, PutSecretValue and UpdateSecretVersionStage"
        }
    };
    Failure::new(error.to_string(), hint)
}

impl KeyArgs {
    fn read(&self) -> Result<Option<Jwk>, Failure> {
        self.public_key.as_deref().map(read_public_key).transpose()
    }
}

fn read_public_key(path: &Path) -> Result<Jwk, Failure> {
    let file = path.display();
    let text = std::fs::read(path)
        .map_err(|error| Failure::new(format!("{file} cannot be read: {error}"), "name a file with a JWK"))?;
    let jwk = serde_json::from_slice(&text).map_err(|_| "it is not JSON".to_owned());
    jwk.and_then(public_key).map_err(|problem| {
        Failure::new(
            format!("{file} is no public key for assertions: {problem}"),
            "give the public JWK of an ES256, EdDSA or RS256 key; the private key stays with the client",
        )
    })
}

/// Prints a new key. Functions read the document again every few minutes.
fn shown(output: &mut Output<'_>, new: &NewKey, verb: &str) -> Result<(), Failure> {
    let view = NewKeyView::from(new);
    let line = format!(
        "{verb} {}: {} works when the functions have read it, within 5 minutes by default.",
        view.client_id, view.key
    );
    output.result(&view, |output| {
        output.line(&line)?;
        if let Some(secret) = view.client_secret {
            output.line("Its secret, which is not shown again:")?;
            output.line(secret)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn list(output: &mut Output<'_>, clients: &[Machine]) -> Result<(), Failure> {
    let listed = Listed { clients: clients.iter().map(ClientView::from).collect() };
    output.result(&listed, |output| {
        if listed.clients.is_empty() {
            output.note("there are no machine clients");
            return Ok(());
        }
        let rows: Vec<_> = listed.clients.iter().flat_map(rows).collect();
        output.table(["CLIENT", "KEY", "METHOD", "DPOP", "ASSERTIONS", "CREATED", "SCOPE"], &rows)
    })?;
    Ok(())
}

fn rows(client: &ClientView<'_>) -> Vec<[String; 7]> {
    let row = |key: &KeyView<'_>| {
        let is_once = client.single_use_assertions && key.kid.is_some();
        [
            client.client_id.to_string(),
            key.id.to_string(),
            key.method.to_owned(),
            if client.require_dpop { "required" } else { "" }.to_owned(),
            if is_once { "single-use" } else { "" }.to_owned(),
            time(Timestamp::from_seconds(key.created_at)),
            client.scope.to_string(),
        ]
    };
    client.keys.iter().map(row).collect()
}
