//! Failures of requests, sorted into what may pass and what will not. No row of this table says that a token is bad.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use daypass_core::StoreError;
use std::error::Error;

/// What a failed request means. The text names the operation and the code, and nothing that came in.
pub(crate) fn failure<E>(operation: &str, error: &SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::TimeoutError(_) => StoreError::Unavailable(format!("{operation}: no answer in time")),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(connector) => unsent(operation, connector),
            None => StoreError::Unavailable(format!("{operation}: the request could not be sent")),
        },
        // The answer broke off: the network, not the service.
        SdkError::ResponseError(_) => {
            StoreError::Unavailable(format!("{operation}: the answer was cut short"))
        }
        SdkError::ServiceError(refusal) => {
            refused(operation, refusal.err().code(), refusal.raw().status().as_u16())
        }
        SdkError::ConstructionFailure(_) => StoreError::Broken(format!(
            "{operation}: the request could not be built; is a region set (AWS_REGION)?"
        )),
        _ => StoreError::Broken(format!("{operation}: a failure that this version does not know")),
    }
}

fn unsent(operation: &str, error: &ConnectorError) -> StoreError {
    if error.is_timeout() {
        return StoreError::Unavailable(format!("{operation}: no connection in time"));
    }
    if error.is_io() {
        return StoreError::Unavailable(format!("{operation}: no connection"));
    }
    match credentials_error(error) {
        Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)) => {
            StoreError::Broken(format!(
                "{operation}: no AWS credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID"
            ))
        }
        Some(_) => StoreError::Unavailable(format!("{operation}: the AWS credentials could not be fetched")),
        None => StoreError::Unavailable(format!("{operation}: the request could not be sent")),
    }
}

/// Looks for missing credentials among the causes: the SDK reports them like a broken connection.
fn credentials_error(error: &ConnectorError) -> Option<&CredentialsError> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn refused(operation: &str, code: Option<&str>, status: u16) -> StoreError {
    let named = code.unwrap_or("no error code");
    if status >= 500 || status == 429 || code.is_some_and(is_passing) {
        return StoreError::Unavailable(format!("{operation}: {named} (HTTP {status})"));
    }
    let advice = match named {
        "AccessDeniedException" => "; grant the role this operation on the table",
        "ResourceNotFoundException" => "; create the table, or correct its name or the region",
        "UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException" => {
            "; renew the AWS credentials"
        }
        _ => "",
    };
    StoreError::Broken(format!("{operation}: {named} (HTTP {status}){advice}"))
}

/// Whether an error code stands for a state that passes.
fn is_passing(code: &str) -> bool {
    matches!(
        code,
        "BandwidthLimitExceeded"
            | "LimitExceededException"
            | "PriorRequestNotComplete"
            | "ProvisionedThroughputExceededException"
            | "ReplicatedWriteConflictException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "SlowDown"
            | "ThrottledException"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "TransactionConflictException"
            | "TransactionInProgressException"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(code: Option<&str>, status: u16) -> bool {
        matches!(refused("UpdateItem", code, status), StoreError::Unavailable(_))
    }

    #[test]
    fn what_passes_is_unavailable() {
        for code in [
            "ThrottlingException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "LimitExceededException",
            "TransactionConflictException",
            "TransactionInProgressException",
        ] {
            assert!(unavailable(Some(code), 400), "{code}");
        }
        for status in [429, 500, 502, 503, 504] {
            assert!(unavailable(None, status), "{status}");
            assert!(unavailable(Some("InternalServerError"), status), "{status}");
        }
    }

    #[test]
    fn what_stays_is_broken_and_says_what_to_do() {
        for code in ["ValidationException", "SerializationException", "MissingAuthenticationToken"] {
            assert!(!unavailable(Some(code), 400), "{code}");
        }
        assert!(!unavailable(None, 400));
        for (code, advice) in [
            ("AccessDeniedException", "grant"),
            ("ResourceNotFoundException", "create the table"),
            ("ExpiredTokenException", "credentials"),
        ] {
            let StoreError::Broken(text) = refused("GetItem", Some(code), 400) else { panic!("{code}") };
            assert!(text.contains("GetItem") && text.contains(code) && text.contains(advice), "{text}");
        }
    }
}
