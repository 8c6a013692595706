//! The port [`Vault`] on Secrets Manager: the requests of a key rotation.

use crate::client;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use daypass_aws::{OPERATOR, SdkConfig};
use daypass_core::ports::vault::{Stage, Vault, VaultError, Which};
use daypass_core::secret::Secret;
use std::error::Error;

/// A client of Secrets Manager.
#[derive(Debug, Clone)]
pub struct SecretsManager(Client);

impl SecretsManager {
    /// The client of a function.
    #[must_use]
    pub fn connect(aws: &SdkConfig) -> Self {
        Self(client(aws, 1))
    }

    /// The client of an operator's command, with longer time limits.
    #[must_use]
    pub fn for_operator(aws: &SdkConfig) -> Self {
        Self(client(aws, OPERATOR))
    }

    async fn versions(&self, secret: &str) -> Result<Vec<(String, Vec<Stage>)>, VaultError> {
        let described = self.0.describe_secret().secret_id(secret).send().await;
        let described = described.map_err(|error| failed("DescribeSecret", secret, error))?;
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

/// What AWS answers to a role without the right, from IAM and from KMS.
const DENIED: [&str; 2] = ["AccessDeniedException", "AccessDenied"];

/// Names the operation, the secret and the code. The raw response stays behind: it could hold a value.
fn failed<E>(operation: &'static str, secret: &str, error: SdkError<E>) -> VaultError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    let reason = match &error {
        SdkError::ServiceError(_) => code.clone().unwrap_or_else(|| "an error without a code".to_owned()),
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::ResponseError(_) => "an answer that cannot be read".to_owned(),
        _ => "no connection, or no credentials".to_owned(),
    };
    let secret = secret.to_owned();
    let source = error.into_source().unwrap_or_else(|_| reason.clone().into());
    if code.is_some_and(|code| DENIED.contains(&code.as_str())) {
        VaultError::Denied { operation, secret, source }
    } else {
        VaultError::Failed { operation, secret, reason, source }
    }
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
            Which::Pending => request.version_stage(PENDING),
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
            // A secret without a value answers in the same way as a missing secret. For a missing one, the first write fails.
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(failed("GetSecretValue", secret, error)),
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
            // The version has another value, from an earlier attempt.
            Err(error) if error.code() == Some("ResourceExistsException") => Ok(()),
            Err(error) => Err(failed("PutSecretValue", secret, error)),
        }
    }

    async fn is_new(&self, secret: &str) -> Result<bool, VaultError> {
        let versions = self.versions(secret).await?;
        match &versions[..] {
            [] => Ok(true),
            // The version exists, but may have no value.
            [(id, _)] => Ok(self.read(secret, Which::Version(id)).await?.is_none()),
            _ => Ok(false),
        }
    }

    async fn promote(&self, secret: &str, from: &str, to: &str) -> Result<bool, VaultError> {
        let request = self.0.update_secret_version_stage().secret_id(secret).version_stage(CURRENT);
        match request.move_to_version_id(to).remove_from_version_id(from).send().await {
            Ok(_) => Ok(true),
            Err(error) => match self.read(secret, Which::Current).await {
                // A request whose response was lost has moved the label.
                Ok(Some((version, _))) if version == to => Ok(true),
                // Moving a label is the only compare-and-swap of Secrets Manager. With this error, another version has the label.
                current if error.code() == Some("InvalidParameterException") => current.map(|_| false),
                _ => Err(failed("UpdateSecretVersionStage", secret, error)),
            },
        }
    }

    async fn discard(&self, secret: &str, version: &str) -> Result<(), VaultError> {
        let request = self.0.update_secret_version_stage().secret_id(secret).version_stage(PENDING);
        match request.remove_from_version_id(version).send().await {
            Ok(_) => Ok(()),
            // The version no longer has the label.
            Err(error) if error.code() == Some("InvalidParameterException") => Ok(()),
            Err(error) => Err(failed("UpdateSecretVersionStage", secret, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_secretsmanager::error::ErrorMetadata;
    use aws_sdk_secretsmanager::operation::put_secret_value::PutSecretValueError;

    fn service_error(code: &str) -> VaultError {
        let error =
            PutSecretValueError::generic(ErrorMetadata::builder().code(code).message("not now").build());
        let raw = aws_sdk_secretsmanager::config::http::HttpResponse::new(
            400.try_into().unwrap(),
            "hunter2 is in the body".into(),
        );
        failed(
            "PutSecretValue",
            "arn:aws:secretsmanager:eu-west-1:1:secret:AccessDenied-x",
            SdkError::service_error(error, raw),
        )
    }

    /// The name of a secret decides nothing, and neither does a message.
    #[test]
    fn denial_is_told_by_the_code() {
        for code in DENIED {
            assert!(matches!(service_error(code), VaultError::Denied { .. }), "{code}");
        }
        let throttled = service_error("ThrottlingException");
        assert!(matches!(throttled, VaultError::Failed { .. }));
        assert!(throttled.to_string().ends_with("AccessDenied-x: ThrottlingException"), "{throttled}");
    }

    #[test]
    fn a_failure_keeps_its_cause_and_no_response_body() {
        let failed = service_error("ThrottlingException");
        let source = failed.source().unwrap();
        assert!(
            source
                .downcast_ref::<PutSecretValueError>()
                .is_some_and(|cause| cause.message() == Some("not now"))
        );
        assert!(!format!("{failed:?}").contains("hunter2"));
    }
}
