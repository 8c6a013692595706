//! The document of machine clients: read by functions, changed by operators.

use crate::{LoadError, SecretsManager, client, read_secret};
use daypass_aws::SdkConfig;
use daypass_core::client::machine::{MachineDocument, Machines, Registry};
use daypass_core::config::is_secret;
use daypass_core::keys::KeyError;
use daypass_core::ports::context::Context;
use daypass_core::ports::event::Event;
use daypass_core::ports::vault::{Stage, Vault, VaultError, Which};
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::ports::context::Caller;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// The code for a secret without a value, and for one that does not exist.
const NO_VALUE: &str = "ResourceNotFoundException";

/// The machine clients, read now from their source. Without a source there are none. If the source cannot be read or is malformed,
/// those of `last` stay in use with their age, and the failure is logged: users refresh all the same.
pub async fn machines(
    source: Option<&str>,
    aws: &SdkConfig,
    last: Option<Registry>,
    context: &Context,
) -> Registry {
    let read_at = context.clock.now();
    match parsed(source, aws).await {
        Ok(machines) => Registry::new(machines, read_at),
        Err(error) => {
            let failed = Event::Failure { during: "read_machines", detail: error.to_string() };
            context.journal.record(&failed, &Caller::default());
            last.unwrap_or_default()
        }
    }
}

async fn parsed(source: Option<&str>, aws: &SdkConfig) -> Result<Machines, LoadError> {
    let Some(source) = source else { return machines_of(MachineDocument::new(), "") };
    let text = if is_secret(source) {
        match read_secret(&client(aws, 1), source).await {
            // No client was registered yet.
            Err(LoadError::Secret(_, error)) if error.starts_with(NO_VALUE) => None,
            text => Some(text?),
        }
    } else {
        read_file(source)?
    };
    machines_of(document_of(text.as_deref(), source)?, source)
}

fn machines_of(document: MachineDocument, source: &str) -> Result<Machines, LoadError> {
    Machines::new(document).map_err(|problem| malformed(source, problem))
}

fn document_of(text: Option<&[u8]>, source: &str) -> Result<MachineDocument, LoadError> {
    let document = text.map_or_else(|| Ok(MachineDocument::new()), MachineDocument::parse);
    document.map_err(|problem| malformed(source, problem))
}

fn malformed(source: &str, problem: String) -> LoadError {
    LoadError::Malformed(source.to_owned(), KeyError::Unusable(problem))
}

/// The text of a file; `None` if there is none.
fn read_file(path: &str) -> Result<Option<Vec<u8>>, LoadError> {
    match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        text => text.map(Some).map_err(|error| LoadError::File(path.to_owned(), error)),
    }
}

/// Reason why an operator cannot read or write the document.
#[derive(Debug, thiserror::Error)]
pub enum MachinesError {
    /// The document cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Secrets Manager failed, or refused.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The file cannot be written.
    #[error("{0} cannot be written: {1}")]
    File(String, #[source] io::Error),
    /// No function could read the new document.
    #[error("the document of machine clients {0}")]
    Unusable(String),
}

/// The id of the first version of a secret: the same for all operators.
const FIRST_VERSION: &str = "00000000000000000000000000000000";

/// The document as an operator has read it.
#[derive(Debug)]
pub struct StoredMachines {
    /// The document as it was read, or as it is to be.
    pub document: MachineDocument,
    source: String,
    /// The version of the secret; `None` for a secret without a value, and for a file.
    version: Option<String>,
}

impl StoredMachines {
    /// Reads the document from a file or a secret. A source without a value is a document without clients.
    ///
    /// # Errors
    /// [`MachinesError`] if it cannot be read or is malformed.
    pub async fn read(source: &str, vault: &SecretsManager) -> Result<Self, MachinesError> {
        let (version, text) = if is_secret(source) {
            let read = vault.read(source, Which::Current).await?;
            read.map(|(version, text)| (version, text.expose().to_vec())).unzip()
        } else {
            (None, read_file(source)?)
        };
        let document = document_of(text.as_deref(), source)?;
        Ok(Self { document, source: source.to_owned(), version })
    }

    /// Writes the document. Returns `false`, and changes nothing, if another operator has changed it since it was read.
    ///
    /// # Errors
    /// [`MachinesError`] if it cannot be written.
    pub async fn write(&self, vault: &SecretsManager, entropy: &dyn Entropy) -> Result<bool, MachinesError> {
        let json = self.document.to_json().map_err(MachinesError::Unusable)?;
        // Before the write: AWS-LC rejects a point that is not on its curve.
        machines_of(self.document.clone(), &self.source)?;
        if !is_secret(&self.source) {
            let path = Path::new(&self.source);
            let written = replace_file(path, &json).map(|()| true);
            return written.map_err(|error| MachinesError::File(self.source.clone(), error));
        }
        let new = data_encoding::HEXLOWER.encode(&random::<16>(entropy));
        let Some(version) = &self.version else {
            // A version keeps its first value, so the first of two operators wins.
            vault.write(&self.source, FIRST_VERSION, &json, &[Stage::Current]).await?;
            let met = vault.read(&self.source, Which::Current).await?;
            return Ok(met.is_some_and(|(_, text)| text.expose() == json.as_bytes()));
        };
        vault.write(&self.source, &new, &json, &[Stage::Pending]).await?;
        // Moving the label is the only compare-and-swap that Secrets Manager offers.
        let promoted = vault.promote(&self.source, version, &new).await?;
        let discarded = vault.discard(&self.source, &new).await;
        // Once promoted, the document is written. An error of the clean-up does no harm: the next write moves the label.
        if !promoted {
            discarded?;
        }
        Ok(promoted)
    }
}

/// Replaces a private file atomically.
fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(unfinished, path)
}
