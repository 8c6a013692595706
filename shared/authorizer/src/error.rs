//! The errors of the authorizer, with the texts for API Gateway.

use std::fmt;

/// An error instead of a response. API Gateway gets its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// A rejected token. REST and WebSocket APIs turn an error with exactly this text into 401, and any other into 500.
    Unauthorized,
    /// There is no key for the token, and the last fetch of keys failed. The token may be valid.
    NoKeys,
    /// The list of revocations is stale, and the configuration is `closed`.
    StaleRevocations,
    /// The table of used proofs does not answer, and the route accepts each proof once.
    ProofTable,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unauthorized => "Unauthorized",
            Self::NoKeys => "there is no key for the token, and the last fetch of keys failed",
            Self::ProofTable => "the table of used proofs does not answer",
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
