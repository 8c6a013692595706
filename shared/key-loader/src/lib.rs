//! Where key sets come from: a file on a laptop, AWS Secrets Manager when deployed.
//!
//! `DAYPASS_KEYS` names one or more sources, separated by spaces; their documents are merged. Several sources let each
//! function be given no more than it needs: `revoke`, say, only the secret with the refresh keys. The public half is a secret of its
//! own, for those that may not see the others.

mod vault;

pub use vault::SecretsManager;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use daypass_core::config::{PublicKeys, is_secret};
use daypass_core::keys::{Document, KeyError, Status};
use daypass_core::ports::context::Context;
use daypass_core::ports::event::Event;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::ports::context::Caller;
use futures_util::future::try_join_all;
use std::fmt;
use std::time::Duration;

/// Why a key set could not be loaded: one line that names the source, never what it held.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read.
    File(String, std::io::Error),
    /// Secrets Manager will not give the secret: it is not there, or we have no right to it.
    Secret(String, String),
    /// Secrets Manager is throttled, slow or down: the same request may work later.
    Unavailable(String, String),
    /// What the source held is no key set.
    Malformed(String, KeyError),
    /// No source was named.
    NoSource,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "the key file {path} cannot be read: {error}"),
            Self::Secret(arn, error) => write!(f, "the secret {arn} cannot be read: {error}"),
            Self::Unavailable(arn, error) => write!(f, "Secrets Manager did not give {arn} in time: {error}"),
            Self::Malformed(source, error) => write!(f, "{source}: {error}"),
            Self::NoSource => f.write_str("DAYPASS_KEYS names no file or secret"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Whether what kept a function from being ready may pass: it should answer 503 and try again, not end.
#[must_use]
pub fn may_pass(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(LoadError::Unavailable(..)))
}

/// Loads and merges the documents of all sources, all at the same time. A source that is an ARN of Secrets Manager is
/// read from there, any other is the path of a file.
///
/// # Errors
/// [`LoadError`] for a source that cannot be read or understood.
pub async fn load(sources: &[String]) -> Result<Document, LoadError> {
    let client = if sources.iter().any(|source| is_secret(source)) { Some(connect().await) } else { None };
    let documents = try_join_all(sources.iter().map(|source| read(client.as_ref(), source))).await?;
    documents
        .into_iter()
        .reduce(|mut merged, document| {
            merged.merge(document);
            merged
        })
        .ok_or(LoadError::NoSource)
}

/// As [`load`], and records which keys they are.
///
/// # Errors
/// As [`load`].
pub async fn load_for_function(sources: &[String], context: &Context) -> Result<Document, LoadError> {
    load(sources).await.inspect(|keys| record_active(keys, context))
}

/// Records which keys are active, and how old they are.
fn record_active(keys: &Document, context: &Context) {
    let now = context.clock.now();
    for key in keys.summary().into_iter().filter(|key| key.status == Status::Active) {
        let age = now.since(Timestamp::from_seconds(key.created_at)).as_secs();
        let event = Event::KeysLoaded { section: key.section, kid: key.kid, age };
        context.journal.record(&event, &Caller::default());
    }
}

/// The public signing keys, from the configuration or from the secret that it names.
///
/// # Errors
/// [`LoadError`] when the secret cannot be read or understood.
pub async fn public(keys: &PublicKeys) -> Result<Jwks, LoadError> {
    match keys {
        PublicKeys::Inline(jwks) => Ok(jwks.clone()),
        PublicKeys::Secret(arn) => {
            let text = read_secret(&connect().await, arn).await?;
            Jwks::parse(&text).map_err(|error| LoadError::Malformed(arn.clone(), error.into()))
        }
    }
}

async fn read(client: Option<&Client>, source: &str) -> Result<Document, LoadError> {
    let text = match client {
        Some(client) if is_secret(source) => read_secret(client, source).await?,
        _ => std::fs::read(source).map_err(|error| LoadError::File(source.to_owned(), error))?,
    };
    Document::parse(&text).map_err(|error| LoadError::Malformed(source.to_owned(), error))
}

/// All attempts at one secret. The secrets are read at the same time, so this is the time of all: inside the 5 s of a
/// function that has to say 503 itself when it tries again at a request.
const PATIENCE: Duration = Duration::from_secs(3);

async fn connect() -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(500))
        .operation_attempt_timeout(Duration::from_millis(1400))
        .operation_timeout(PATIENCE)
        .build();
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(100));
    let config = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .retry_config(retries)
        .load()
        .await;
    Client::new(&config)
}

async fn read_secret(client: &Client, arn: &str) -> Result<Vec<u8>, LoadError> {
    let secret =
        client.get_secret_value().secret_id(arn).send().await.map_err(|error| refused(arn, &error))?;
    match (secret.secret_string, secret.secret_binary) {
        (Some(text), _) => Ok(text.into_bytes()),
        (None, Some(bytes)) => Ok(bytes.into_inner()),
        (None, None) => Err(LoadError::Secret(arn.to_owned(), "it holds no value".to_owned())),
    }
}

/// Codes with which Secrets Manager says that it is busy, beside every status of 500 and above.
const BUSY: [&str; 3] = ["ThrottlingException", "RequestLimitExceeded", "InternalServiceError"];

fn refused(arn: &str, error: &SdkError<GetSecretValueError>) -> LoadError {
    let status = error.raw_response().map(|response| response.status().as_u16());
    match (status, error.code()) {
        (Some(status), Some(code)) if status < 500 && !BUSY.contains(&code) => {
            let message = error.message().unwrap_or_default();
            LoadError::Secret(arn.to_owned(), format!("{code} {message}"))
        }
        (Some(status), code) => {
            LoadError::Unavailable(arn.to_owned(), format!("{status} {}", code.unwrap_or_default()))
        }
        (None, _) => match error {
            SdkError::ConstructionFailure(_) => {
                LoadError::Secret(arn.to_owned(), "no request can be made: is a region set?".to_owned())
            }
            SdkError::TimeoutError(_) => LoadError::Unavailable(arn.to_owned(), "a time-out".to_owned()),
            // Credentials come from a service too where they are not in the environment.
            _ => LoadError::Unavailable(arn.to_owned(), "no connection, or no credentials".to_owned()),
        },
    }
}
