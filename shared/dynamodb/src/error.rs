//! Failures of requests: which are temporary, and which are not. No failure is a verdict on a token.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use daypass_aws::credentials_problem;
use daypass_core::ports::store::StoreError;
use std::error::Error;
use std::io::{self, ErrorKind};

/// The error for a failed request. Its text names the operation and the code, and no input.
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
        // The response was truncated: a failure of the network, not of the service.
        SdkError::ResponseError(_) => {
            StoreError::Unavailable(format!("{operation}: the answer was cut short"))
        }
        SdkError::ServiceError(refusal) => {
            let (error, status) = (refusal.err(), refusal.raw().status().as_u16());
            refused(operation, error.code(), status, error.message().unwrap_or_default())
        }
        SdkError::ConstructionFailure(_) => {
            StoreError::Broken(format!("{operation}: the request could not be built"))
        }
        _ => StoreError::Broken(format!("{operation}: a failure that this version does not know")),
    }
}

fn unsent(operation: &str, error: &ConnectorError) -> StoreError {
    if error.is_timeout() {
        return StoreError::Unavailable(format!("{operation}: no connection in time"));
    }
    if error.is_io() {
        return StoreError::Unavailable(format!("{operation}: no connection{}", obstacle(error)));
    }
    match cause(error) {
        Some(Cause::NoCredentials) => StoreError::Broken(format!(
            "{operation}: no AWS credentials; set AWS_PROFILE to a profile with credentials, or set AWS_ACCESS_KEY_ID"
        )),
        Some(Cause::NoRegion) => StoreError::Broken(format!("{operation}: no AWS region; set AWS_REGION")),
        Some(Cause::Credentials(problem)) => StoreError::Unavailable(format!("{operation}: {problem}")),
        None => StoreError::Unavailable(format!("{operation}: the request could not be sent")),
    }
}

/// The innermost cause of a failed connection, after a colon, such as an unknown host or a certificate of another authority. Empty
/// if the other side only closed or refused the connection.
fn obstacle(error: &ConnectorError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let Some(cause) = causes.last() else { return String::new() };
    let is_plain = cause.downcast_ref().is_some_and(|error: &io::Error| {
        let kind = error.kind();
        [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted]
            .contains(&kind)
            || [ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof, ErrorKind::TimedOut].contains(&kind)
    });
    if is_plain { String::new() } else { format!(": {cause}") }
}

/// Problems of the configuration that the SDK reports as connection failures.
enum Cause {
    NoCredentials,
    NoRegion,
    /// The text of [`credentials_problem`].
    Credentials(String),
}

fn cause(error: &ConnectorError) -> Option<Cause> {
    let mut next = error.source();
    while let Some(error) = next {
        match error.downcast_ref() {
            Some(CredentialsError::CredentialsNotLoaded(_)) => return Some(Cause::NoCredentials),
            Some(found) => return Some(Cause::Credentials(credentials_problem(found))),
            // The text of DynamoDB's endpoint rules; the SDK has no type for it.
            None if error.to_string().contains("Missing Region") => return Some(Cause::NoRegion),
            None => next = error.source(),
        }
    }
    None
}

/// Advice for a signature that was made more than five minutes ago, or in the future.
const CLOCK: &str = "; the clock of this machine is wrong";

fn refused(operation: &str, code: Option<&str>, status: u16, message: &str) -> StoreError {
    let named = code.unwrap_or("no error code");
    if status >= 500 || status == 429 || code.is_some_and(is_passing) {
        return StoreError::Unavailable(format!("{operation}: {named} (HTTP {status})"));
    }
    let advice = match named {
        "AccessDeniedException" => "; grant the role this operation on the table",
        "ResourceNotFoundException" => "; create the table, or correct its name or the region",
        "InvalidSignatureException" if message.starts_with("Signature expired") => CLOCK,
        "InvalidSignatureException" if message.starts_with("Signature not yet current") => CLOCK,
        "UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException" => {
            "; renew the AWS credentials"
        }
        _ => "",
    };
    StoreError::Broken(format!("{operation}: {named} (HTTP {status}){advice}"))
}

/// Whether an error code means a temporary failure.
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
    use aws_credential_types::provider::future;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, ProvideCredentials, Region};

    fn unavailable(code: Option<&str>, status: u16) -> bool {
        matches!(refused("UpdateItem", code, status, ""), StoreError::Unavailable(_))
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
            let StoreError::Broken(text) = refused("GetItem", Some(code), 400, "") else { panic!("{code}") };
            assert!(text.contains("GetItem") && text.contains(code) && text.contains(advice), "{text}");
        }
        for message in
            ["Signature expired: 20260101T000000Z is now earlier", "Signature not yet current: 2026"]
        {
            let error = refused("GetItem", Some("InvalidSignatureException"), 400, message);
            assert!(error.to_string().contains("the clock of this machine is wrong"), "{error}");
        }
    }

    /// The result of a request with these credentials, or without a region.
    async fn sent_with(
        credentials: Result<Credentials, CredentialsError>,
        region: Option<Region>,
    ) -> StoreError {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region)
            .credentials_provider(Fixed(credentials.map_err(|error| error.to_string())));
        let error = Client::from_conf(config.build()).get_item().table_name("none").send().await.unwrap_err();
        failure("GetItem", &error)
    }

    /// A provider with or without credentials.
    #[derive(Debug)]
    struct Fixed(Result<Credentials, String>);

    impl ProvideCredentials for Fixed {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(self.0.clone().map_err(CredentialsError::not_loaded))
        }
    }

    #[tokio::test]
    async fn missing_credentials_and_a_missing_region_are_named() {
        let region = Some(Region::new("us-east-1"));
        let StoreError::Broken(text) = sent_with(Err(CredentialsError::not_loaded("none")), region).await
        else {
            panic!("no credentials")
        };
        assert!(text.contains("AWS_PROFILE"), "{text}");
        let credentials = Credentials::new("key", "secret", None, None, "test");
        let StoreError::Broken(text) = sent_with(Ok(credentials), None).await else { panic!("no region") };
        assert!(text.contains("AWS_REGION"), "{text}");
    }
}
