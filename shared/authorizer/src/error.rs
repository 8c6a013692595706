//! Why there is no answer, in the words that API Gateway understands.

use std::fmt;

/// Why there is no answer. The text is what API Gateway is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// REST and WebSocket APIs turn an error with exactly this text into 401, and any other into 500.
    Unauthorized,
    /// The issuer has never answered, so that nothing can be verified.
    NoKeys,
    /// The list of revocations is too old, and the configuration says that nobody is served then.
    StaleRevocations,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unauthorized => "Unauthorized",
            Self::NoKeys => "no keys to verify with: the issuer has not answered yet",
            Self::StaleRevocations => "the list of revocations is too old: the feed does not answer",
        })
    }
}

impl std::error::Error for Error {}

impl From<Error> for lambda_runtime::Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: format!("{error:?}"), error_message: error.to_string() }
    }
}
