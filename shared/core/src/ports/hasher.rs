//! The port to names and passwords.

use crate::keys::Peppers;
use crate::secret::Password;
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::Username;

/// What a password turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordCheck {
    /// The right one.
    Match {
        /// Whether the stored hash was made with older parameters or an older pepper.
        outdated: bool,
    },
    /// A wrong one.
    Mismatch,
    /// The stored hash cannot be checked: malformed, or its pepper is gone. The text is for the log.
    Unusable(String),
}

/// Names and passwords: how they are normalised and hashed.
pub trait PasswordHasher: Send + Sync {
    /// Normalises a name as it was typed; `None` when no user can have it.
    fn username(&self, typed: &str) -> Option<Username>;

    /// Checks a password against a stored hash, or against a decoy when there is none: both take the same time.
    fn check(&self, password: &Password, stored: Option<&str>, peppers: &Peppers) -> PasswordCheck;

    /// Why this cannot be the new password of that user; `None` when it can. The text is for the person who chose it, in the
    /// characters of an `error_description` (RFC 6749 §5.2).
    fn refusal(&self, password: &Password, username: &Username) -> Option<&'static str>;

    /// A new hash of a password, to store in place of another; `None` when it cannot be made.
    fn rehash(&self, password: &Password, peppers: &Peppers, entropy: &dyn Entropy) -> Option<String>;
}
