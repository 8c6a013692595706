//! Where key sets come from: a file on a laptop, AWS Secrets Manager when deployed.
//!
//! `DAYPASS_KEYS` names one or more sources, separated by spaces; their documents are merged. Several sources let each
//! function be given no more than it needs: `revoke`, say, only the secret with the refresh keys.

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use daypass_core::keys::{Document, KeyError};
use std::fmt;
use std::time::Duration;

/// Why a key set could not be loaded: one line that names the source, never what it held.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read.
    File(String, std::io::Error),
    /// Secrets Manager did not give the secret.
    Secret(String, String),
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
            Self::Malformed(source, error) => write!(f, "{source}: {error}"),
            Self::NoSource => f.write_str("DAYPASS_KEYS names no file or secret"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Loads and merges the documents of all sources. A source that is an ARN of Secrets Manager is read from there, any
/// other is the path of a file.
///
/// # Errors
/// [`LoadError`] for the first source that cannot be read or understood.
pub async fn load(sources: &[String]) -> Result<Document, LoadError> {
    let mut client = None;
    let mut merged: Option<Document> = None;
    for source in sources {
        let text = if is_secret(source) {
            let client = match &client {
                Some(client) => client,
                None => client.insert(connect().await),
            };
            read_secret(client, source).await?
        } else {
            std::fs::read(source).map_err(|error| LoadError::File(source.clone(), error))?
        };
        let document = Document::parse(&text).map_err(|error| LoadError::Malformed(source.clone(), error))?;
        match &mut merged {
            Some(merged) => merged.merge(document),
            None => merged = Some(document),
        }
    }
    merged.ok_or(LoadError::NoSource)
}

/// `arn:PARTITION:secretsmanager:…`
fn is_secret(source: &str) -> bool {
    let mut parts = source.split(':');
    parts.next() == Some("arn") && parts.nth(1) == Some("secretsmanager")
}

/// A client that gives up well inside Lambda's ten seconds of init: three attempts of two seconds at most.
async fn connect() -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(500))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(7))
        .build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard())
        .load()
        .await;
    Client::new(&config)
}

async fn read_secret(client: &Client, arn: &str) -> Result<Vec<u8>, LoadError> {
    let failed = |text: String| LoadError::Secret(arn.to_owned(), text);
    let secret = client
        .get_secret_value()
        .secret_id(arn)
        .send()
        .await
        .map_err(|error| failed(DisplayErrorContext(error).to_string()))?;
    match (secret.secret_string, secret.secret_binary) {
        (Some(text), _) => Ok(text.into_bytes()),
        (None, Some(bytes)) => Ok(bytes.into_inner()),
        (None, None) => Err(failed("it holds no value".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_told_from_paths() {
        assert!(is_secret("arn:aws:secretsmanager:eu-west-1:123456789012:secret:daypass-AbCdEf"));
        assert!(is_secret("arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:x"));
        for path in ["keys.json", "/arn/keys.json", "C:keys", "arn:aws:s3:::bucket", ""] {
            assert!(!is_secret(path), "{path}");
        }
    }
}
