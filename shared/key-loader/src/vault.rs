//! The port [`Vault`] on Secrets Manager: what a rotation asks of it.

use crate::{connect, refused};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use daypass_core::ports::vault::{Stage, Vault, VaultError, Which};
use daypass_core::secret::Secret;
use std::fmt::Display;

/// Secrets Manager of this account and region.
#[derive(Debug, Clone)]
pub struct SecretsManager(Client);

impl SecretsManager {
    /// With the credentials of the environment.
    pub async fn connect() -> Self {
        Self(connect().await)
    }

    async fn versions(&self, secret: &str) -> Result<Vec<(String, Vec<Stage>)>, VaultError> {
        let described = self.0.describe_secret().secret_id(secret).send().await;
        let described = described.map_err(|error| failed("DescribeSecret", secret, &error))?;
        let versions = described.version_ids_to_stages.unwrap_or_default().into_iter();
        Ok(versions
            .map(|(id, labels)| (id, labels.iter().filter_map(|label| stage(label)).collect()))
            .collect())
    }
}

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";

fn stage(label: &str) -> Option<Stage> {
    match label {
        CURRENT => Some(Stage::Current),
        PENDING => Some(Stage::Pending),
        _ => None,
    }
}

const fn label(stage: Stage) -> &'static str {
    match stage {
        Stage::Current => CURRENT,
        Stage::Pending => PENDING,
    }
}

/// Names the operation, the secret and the code, never a value.
fn failed<E: ProvideErrorMetadata>(operation: &str, secret: &str, error: &SdkError<E>) -> VaultError {
    let why: &dyn Display = match error {
        SdkError::ServiceError(_) => &error.code().unwrap_or("an error without a code"),
        SdkError::TimeoutError(_) => &"no answer in time",
        _ => &"no connection, or no credentials",
    };
    VaultError(format!("{operation} {secret}: {why}"))
}

impl Vault for SecretsManager {
    async fn stages(&self, secret: &str, version: &str) -> Result<Option<Vec<Stage>>, VaultError> {
        let versions = self.versions(secret).await?;
        Ok(versions.into_iter().find(|(id, _)| id == version).map(|(_, stages)| stages))
    }

    async fn read(&self, secret: &str, which: Which<'_>) -> Result<Option<(String, Secret)>, VaultError> {
        let request = self.0.get_secret_value().secret_id(secret);
        let request = match which {
            Which::Current => request.version_stage(CURRENT),
            Which::Version(id) => request.version_id(id),
        };
        match request.send().await {
            Ok(value) => {
                let bytes = match (value.secret_string, value.secret_binary) {
                    (Some(text), _) if !text.is_empty() => Some(text.into_bytes()),
                    (_, bytes) => bytes.map(aws_sdk_secretsmanager::primitives::Blob::into_inner),
                };
                Ok(bytes.map(|bytes| (value.version_id.unwrap_or_default(), Secret::new(bytes))))
            }
            // Also the answer for a secret without a value yet. One that is not there at all is noticed by the first write.
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(VaultError(refused(secret, &error).to_string())),
        }
    }

    async fn write(
        &self,
        secret: &str,
        version: &str,
        value: &str,
        stages: &[Stage],
    ) -> Result<(), VaultError> {
        let request = self.0.put_secret_value().secret_id(secret).client_request_token(version);
        let labels = stages.iter().map(|stage| label(*stage).to_owned()).collect();
        match request.secret_string(value).set_version_stages(Some(labels)).send().await {
            Ok(_) => Ok(()),
            // The version has another value, which an earlier attempt wrote.
            Err(error) if error.code() == Some("ResourceExistsException") => Ok(()),
            Err(error) => Err(failed("PutSecretValue", secret, &error)),
        }
    }

    async fn is_new(&self, secret: &str) -> Result<bool, VaultError> {
        let versions = self.versions(secret).await?;
        match &versions[..] {
            [] => Ok(true),
            // A version that was made without a value.
            [(id, _)] => Ok(self.read(secret, Which::Version(id)).await?.is_none()),
            _ => Ok(false),
        }
    }

    async fn promote(&self, secret: &str, from: &str, to: &str) -> Result<bool, VaultError> {
        let request = self.0.update_secret_version_stage().secret_id(secret).version_stage(CURRENT);
        match request.move_to_version_id(to).remove_from_version_id(from).send().await {
            Ok(_) => Ok(true),
            // The label is somewhere else: the one lock that Secrets Manager has.
            Err(error) if error.code() == Some("InvalidParameterException") => Ok(false),
            Err(error) => Err(failed("UpdateSecretVersionStage", secret, &error)),
        }
    }

    async fn discard(&self, secret: &str, version: &str) -> Result<(), VaultError> {
        let request = self.0.update_secret_version_stage().secret_id(secret).version_stage(PENDING);
        match request.remove_from_version_id(version).send().await {
            Ok(_) => Ok(()),
            // It is not there any more.
            Err(error) if error.code() == Some("InvalidParameterException") => Ok(()),
            Err(error) => Err(failed("UpdateSecretVersionStage", secret, &error)),
        }
    }
}
