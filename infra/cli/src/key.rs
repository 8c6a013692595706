//! `daypass key`: key sets for signing, refresh tokens and peppers.

use crate::environment::Environment;
use crate::input;
use crate::output::{Failure, Output, time};
use crate::target;
use clap::{Subcommand, ValueEnum};
use daypass_core::keys::{Document, KeyError, KeyInfo, Status};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::time::{Clock, Timestamp};
use daypass_verifier::jose::jwk::Algorithm;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Arguments of `daypass key`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Generate a key set: a signing key, a key for refresh tokens and a pepper for passwords
    Generate {
        /// Algorithm of the signing key [default: ES256]
        #[arg(long, value_name = "ALG", value_enum)]
        algorithm: Option<SigningAlgorithm>,
        /// Generate one section only, for a secret with fewer readers
        #[arg(long, value_enum)]
        section: Option<Section>,
        /// Write to a new private file instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Adopt a secret of another system from standard input, or the peppers of another key set
    Adopt {
        /// File or ARN of the key set; the output contains its keys and the adopted ones
        #[arg(value_name = "FILE")]
        keys: PathBuf,
        /// Adopt the peppers of this key set
        #[arg(long, value_name = "FILE", conflicts_with = "base64")]
        from: Option<PathBuf>,
        /// Decode standard input from base64, as for Firebase's signer key; otherwise its line is the secret, as for
        /// Devise's pepper
        #[arg(long)]
        base64: bool,
        /// Write to a new private file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show the keys without their secrets
    Show {
        /// Files or Secrets Manager ARNs, merged [default: DAYPASS_KEYS]
        #[arg(value_name = "SOURCE")]
        sources: Vec<String>,
        /// Print the public JWKS for DAYPASS_JWKS
        #[arg(long)]
        jwks: bool,
    },
}

/// Algorithm of the signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SigningAlgorithm {
    /// ECDSA on P-256, the default
    #[value(name = "ES256")]
    Es256,
    /// Ed25519
    #[value(name = "EdDSA")]
    EdDsa,
    /// RSA 2048, for the native JWT authorizer of HTTP APIs
    #[value(name = "RS256")]
    Rs256,
}

impl From<SigningAlgorithm> for Algorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::Es256 => Self::Es256,
            SigningAlgorithm::EdDsa => Self::EdDsa,
            SigningAlgorithm::Rs256 => Self::Rs256,
        }
    }
}

/// Section of a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Signing keys of access tokens: login, refresh
    Signing,
    /// Keys that authenticate refresh tokens: login, refresh, revoke
    Refresh,
    /// Peppers of password hashes: login, password
    Peppers,
}

impl Section {
    const fn name(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Refresh => "refresh",
            Self::Peppers => "peppers",
        }
    }
}

/// Output of `show --json` and `generate --out`.
#[derive(Serialize)]
struct Keys {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    keys: Vec<KeyInfo>,
}

impl Args {
    /// Whether the arguments name all that the command reads.
    pub(crate) fn needs_no_stack(&self) -> bool {
        !matches!(&self.verb, Verb::Show { sources, .. } if sources.is_empty())
    }
}

/// Runs `daypass key`.
pub(crate) async fn run(
    args: Args,
    environment: &Environment<'_>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match args.verb {
        Verb::Generate { algorithm, section, out } => generate(output, algorithm, section, out.as_deref()),
        Verb::Adopt { keys, from, base64, out } => adopt(output, &keys, from.as_deref(), base64, &out).await,
        Verb::Show { sources, jwks } => show(environment, output, &sources, jwks).await,
    }
}

fn generate(
    output: &mut Output<'_>,
    algorithm: Option<SigningAlgorithm>,
    section: Option<Section>,
    out: Option<&Path>,
) -> Result<(), Failure> {
    if let (Some(_), Some(section @ (Section::Refresh | Section::Peppers))) = (algorithm, section) {
        return Err(Failure::usage(
            format!(
                "--algorithm applies to the signing key, which the section {} does not have",
                section.name()
            ),
            "omit --algorithm, or use --section signing",
        ));
    }
    let document = new_document(algorithm.unwrap_or(SigningAlgorithm::Es256), section).map_err(|error| {
        Failure::new(error.to_string(), "try again; if it fails again, report it as a bug")
    })?;
    let json = document.to_json().map_err(|error| Failure::new(error.to_string(), "report it as a bug"))?;
    let Some(path) = out else {
        if io::stdout().is_terminal() {
            output.note("these secrets stay in the scrollback of this terminal; --out FILE writes them to a private file");
        }
        return Ok(output.raw(&json)?);
    };
    write_new(path, &json).map_err(|error| refused(path, &error))?;
    let keys = Keys { file: Some(path.display().to_string()), keys: document.summary() };
    let line = format!("Wrote a new key set to {}, which only you can read.", path.display());
    output.result(&keys, |output| {
        output.line(&line)?;
        table(output, &keys.keys)
    })?;
    Ok(())
}

#[derive(Serialize)]
struct Adopted {
    file: String,
    adopted: Vec<String>,
}

async fn adopt(
    output: &mut Output<'_>,
    keys: &Path,
    from: Option<&Path>,
    base64: bool,
    out: &Path,
) -> Result<(), Failure> {
    let load = async |path: &Path| target::load(&[path.display().to_string()]).await;
    let mut document = load(keys).await?;
    let adopted = if let Some(from) = from {
        document.adopt_peppers_of(&load(from).await?)
    } else {
        let secret = input::foreign_secret(base64)?;
        let adopted = document.adopt_pepper(secret.expose(), &OsEntropy, SystemClock.now());
        vec![
            adopted
                .map_err(|error| Failure::new(error.to_string(), "pipe in the secret of the other system"))?,
        ]
    };
    let json = document.to_json().map_err(|error| Failure::new(error.to_string(), "report it as a bug"))?;
    write_new(out, &json).map_err(|error| refused(out, &error))?;
    let file = out.display().to_string();
    let line = match adopted.as_slice() {
        [] => format!("Wrote {file}; there was nothing to adopt."),
        kids => format!("Wrote {file} with the adopted peppers {}. Only you can read it.", kids.join(", ")),
    };
    Ok(output.result(&Adopted { file, adopted }, |output| output.line(&line))?)
}

fn new_document(algorithm: SigningAlgorithm, section: Option<Section>) -> Result<Document, KeyError> {
    let document = Document::generate(algorithm.into(), &OsEntropy, SystemClock.now())?;
    match section {
        None => Ok(document),
        Some(section) => document.only(section.name()),
    }
}

/// Writes a new private file. Removes it if it cannot be written completely.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    fill(file, text).inspect_err(|_| {
        // The first error matters more than a failure to remove the file.
        let _ = std::fs::remove_file(path);
    })
}

fn fill(mut file: File, text: &str) -> io::Result<()> {
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn refused(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(
            format!("{path} already exists and is unchanged"),
            "name another file: existing tokens and passwords need the old keys",
        ),
        io::ErrorKind::NotFound => Failure::new(
            format!("the folder of {path} does not exist"),
            "create it first, or name another file",
        ),
        _ => Failure::new(
            format!("{path} cannot be written: {error}"),
            "name another file, or correct the permissions",
        ),
    }
}

async fn show(
    environment: &Environment<'_>,
    output: &mut Output<'_>,
    sources: &[String],
    jwks: bool,
) -> Result<(), Failure> {
    let document = target::keys(sources, environment, output).await?;
    if jwks {
        return public(output, &document);
    }
    let keys = Keys { file: None, keys: document.summary() };
    output.result(&keys, |output| table(output, &keys.keys))?;
    Ok(())
}

fn public(output: &mut Output<'_>, document: &Document) -> Result<(), Failure> {
    let jwks = document.jwks();
    if jwks.iter().next().is_none() {
        return Err(Failure::new(
            "the key set has no signing key to publish",
            "also name the source with the section `signing`",
        ));
    }
    let json = jwks.to_json().map_err(|error| Failure::new(error.to_string(), "report it as a bug"))?;
    Ok(output.raw(&json)?)
}

fn table(output: &mut Output<'_>, keys: &[KeyInfo]) -> io::Result<()> {
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            [
                key.section.to_owned(),
                key.kid.clone(),
                key.alg.map_or_else(|| "-".to_owned(), |alg| alg.to_string()),
                status(key.status).to_owned(),
                time(Timestamp::from_seconds(key.created_at)),
            ]
        })
        .collect();
    output.table(["SECTION", "KID", "ALG", "STATUS", "CREATED"], &rows)
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Next => "next",
        Status::Active => "active",
        Status::Retired => "retired",
    }
}
