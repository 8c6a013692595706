//! The port to usernames and password hashes.

use crate::keys::Peppers;
use crate::secret::Password;
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::Username;

/// The result of a password check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordCheck {
    /// The password is right.
    Match {
        /// Whether the stored hash was made with older parameters or an older pepper.
        outdated: bool,
    },
    /// The password is wrong.
    Mismatch,
    /// The stored hash cannot be checked: malformed, or its pepper is gone. The text is for the log.
    Unusable(String),
}

/// Normalises usernames, and checks and hashes passwords.
pub trait PasswordHasher: Send + Sync {
    /// Normalises a username as typed; `None` when no user can have it.
    fn username(&self, typed: &str) -> Option<Username>;

    /// Checks a password against a stored hash, or against a decoy when there is none. Both take the same time.
    fn check(&self, password: &Password, stored: Option<&str>, peppers: &Peppers) -> PasswordCheck;

    /// Why this password is rejected as a new one; `None` when it is accepted. With a username, it must differ from that too. The
    /// text is for the user, in the characters of an `error_description` (RFC 6749 §5.2).
    fn refusal(&self, password: &Password, username: Option<&Username>) -> Option<&'static str>;

    /// A new hash that replaces a stored one; `None` when the password cannot be hashed.
    fn rehash(&self, password: &Password, peppers: &Peppers, entropy: &dyn Entropy) -> Option<String>;
}
