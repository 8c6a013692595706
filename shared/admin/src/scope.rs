//! The scope of a user, as an operator writes it.

use daypass_verifier::base::scope::{Scope, ScopeError};

/// Why a text is not the scope of a user. The text is for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeRefused {
    /// Not words as RFC 6749 §3.3 defines them.
    #[error(
        "a scope is words of printable ASCII without quotes and backslashes, separated by single spaces (RFC 6749 §3.3)"
    )]
    Malformed,
    /// Too many words or bytes.
    #[error("a scope has at most {} words and {} bytes", Scope::MAX_WORDS, Scope::MAX_BYTES)]
    TooLong,
    /// A word of Daypass's own.
    #[error("a word of a scope does not begin with {}", Scope::RESERVED.join(" or "))]
    Reserved,
}

/// Parses the scope of a user.
///
/// # Errors
/// [`ScopeRefused`] with the reason.
pub fn scope(text: &str) -> Result<Scope, ScopeRefused> {
    let scope = Scope::parse(text).map_err(|error| match error {
        ScopeError::Malformed => ScopeRefused::Malformed,
        ScopeError::TooLong => ScopeRefused::TooLong,
    })?;
    if scope.is_reserved() { Err(ScopeRefused::Reserved) } else { Ok(scope) }
}
