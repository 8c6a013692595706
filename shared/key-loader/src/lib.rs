//! Loads key sets: from files on a developer's machine, from AWS Secrets Manager in a stack.
//!
//! `DAYPASS_KEYS` names one or more sources, separated by spaces. Their documents are merged. A function names only the
//! secrets that it needs: `revoke`, for example, only that of the refresh keys. The public keys have a separate secret, for
//! functions that must not read the private ones.

mod machines;
mod vault;

pub use machines::{MachinesError, StoredMachines, machines};
pub use vault::SecretsManager;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use daypass_aws::{OPERATOR, SdkConfig, credentials_problem};
use daypass_core::client::Clients;
use daypass_core::config::{PublicKeys, is_secret};
use daypass_core::keys::{Document, KeyError, Status};
use daypass_core::ports::context::Context;
use daypass_core::ports::event::Event;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::ports::context::Caller;
use futures_util::future::try_join_all;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Reason why a key set could not be loaded. The text is one line that names the source, and never its content.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read.
    File(String, std::io::Error),
    /// Secrets Manager refuses the secret: it does not exist, or the role must not read it.
    Secret(String, String),
    /// Secrets Manager is throttled, slow or down. The same request may succeed later.
    Unavailable(String, String),
    /// The content of the source is not a valid key set or list of clients.
    Malformed(String, KeyError),
    /// `DAYPASS_KEYS` names no source.
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

impl Error for LoadError {}

/// Whether the failure of a start may be temporary. The function then answers 503 and tries again. Otherwise it ends.
#[must_use]
pub fn is_temporary(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(LoadError::Unavailable(..)))
}

/// Loads the documents of all sources in parallel, and merges them. A source is an ARN of Secrets Manager, or the path of a
/// file.
///
/// # Errors
/// [`LoadError`] if a source cannot be read or is malformed.
pub async fn load(sources: &[String], aws: &SdkConfig) -> Result<Document, LoadError> {
    load_over(sources, client(aws, 1)).await
}

/// As [`load`], with the time limits of an operator's command.
///
/// # Errors
/// As [`load`].
pub async fn load_for_operator(sources: &[String], aws: &SdkConfig) -> Result<Document, LoadError> {
    load_over(sources, client(aws, OPERATOR)).await
}

async fn load_over(sources: &[String], client: Client) -> Result<Document, LoadError> {
    let documents = try_join_all(sources.iter().map(|source| read(&client, source))).await?;
    documents
        .into_iter()
        .reduce(|mut merged, document| {
            merged.merge(document);
            merged
        })
        .ok_or(LoadError::NoSource)
}

/// As [`load`], and logs the active keys (`keys.loaded`).
///
/// # Errors
/// As [`load`].
pub async fn load_for_function(
    sources: &[String],
    aws: &SdkConfig,
    context: &Context,
) -> Result<Document, LoadError> {
    load(sources, aws).await.inspect(|keys| record_active(keys, context))
}

/// Logs the active keys and their age.
fn record_active(keys: &Document, context: &Context) {
    let now = context.clock.now();
    for key in keys.summary().into_iter().filter(|key| key.status == Status::Active) {
        let age = now.since(Timestamp::from_seconds(key.created_at)).as_secs();
        let event = Event::KeysLoaded { section: key.section, kid: key.kid, age };
        context.journal.record(&event, &Caller::default());
    }
}

/// The public signing keys, from the configuration or from its secret.
///
/// # Errors
/// [`LoadError`] if the secret cannot be read or is malformed.
pub async fn public(keys: &PublicKeys, aws: &SdkConfig) -> Result<Jwks, LoadError> {
    match keys {
        PublicKeys::Inline(jwks) => Ok(jwks.clone()),
        PublicKeys::Secret(arn) => {
            let text = read_secret(&client(aws, 1), arn).await?;
            Jwks::parse(&text).map_err(|error| LoadError::Malformed(arn.clone(), error.into()))
        }
    }
}

/// The clients: those of the secret, or the configured ones without a secret. If the secret cannot be read or holds no list,
/// the `last` clients stay in use, and the failure is logged: keys are renewed all the same.
///
/// # Errors
/// [`LoadError`] if there are no last clients.
pub async fn clients(
    configured: &Clients,
    secret: Option<&str>,
    aws: &SdkConfig,
    last: Option<Clients>,
    context: &Context,
) -> Result<Clients, LoadError> {
    let Some(arn) = secret else { return Ok(configured.clone()) };
    match (listed(arn, aws).await, last) {
        (Err(error), Some(last)) => {
            let failed = Event::Failure { during: "read_clients", detail: error.to_string() };
            context.journal.record(&failed, &Caller::default());
            Ok(last)
        }
        (listed, _) => listed,
    }
}

async fn listed(arn: &str, aws: &SdkConfig) -> Result<Clients, LoadError> {
    let list = read_secret(&client(aws, 1), arn).await?;
    let list = String::from_utf8(list).map_err(|error| error.to_string());
    let malformed = |problem| {
        LoadError::Malformed(arn.to_owned(), KeyError::Unusable(format!("the list of clients {problem}")))
    };
    list.and_then(|list| Clients::parse(&list)).map_err(malformed)
}

async fn read(client: &Client, source: &str) -> Result<Document, LoadError> {
    let text = if is_secret(source) {
        read_secret(client, source).await?
    } else {
        std::fs::read(source).map_err(|error| LoadError::File(source.to_owned(), error))?
    };
    Document::parse(&text).map_err(|error| LoadError::Malformed(source.to_owned(), error))
}

/// Limit of all attempts at one secret, and of all secrets, because they are read in parallel. A function that tries again
/// during a request must answer 503 within 5 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// A client whose time limits are `factor` times those of a function.
fn client(aws: &SdkConfig, factor: u32) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(500) * factor)
        .operation_attempt_timeout(Duration::from_millis(1400) * factor)
        .operation_timeout(PATIENCE * factor)
        .build();
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(100));
    Client::from_conf(Builder::from(aws).timeout_config(timeouts).retry_config(retries).build())
}

async fn read_secret(client: &Client, arn: &str) -> Result<Vec<u8>, LoadError> {
    let secret =
        client.get_secret_value().secret_id(arn).send().await.map_err(|error| refused(arn, &error))?;
    match (secret.secret_string, secret.secret_binary) {
        (Some(text), _) => Ok(text.into_bytes()),
        (None, Some(bytes)) => Ok(bytes.into_inner()),
        (None, None) => Err(LoadError::Secret(arn.to_owned(), "it has no value".to_owned())),
    }
}

/// The innermost causes of a failed request, or those of missing credentials. The SDK's own text names none.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    let credentials = causes.clone().find_map(|cause| cause.downcast_ref::<CredentialsError>());
    let first_line = |cause: &dyn Error| cause.to_string().lines().next().unwrap_or_default().to_owned();
    match credentials {
        Some(CredentialsError::CredentialsNotLoaded(_)) => "no AWS credentials".to_owned(),
        Some(found) => credentials_problem(found),
        None => match causes.by_ref().last() {
            Some(cause) => format!("no connection: {}", first_line(cause)),
            None => "no connection".to_owned(),
        },
    }
}

/// Codes of Secrets Manager for temporary failures, in addition to every status of 500 and above.
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
            // Credentials may come from a service too, which can be down.
            _ => LoadError::Unavailable(arn.to_owned(), causes(error)),
        },
    }
}
