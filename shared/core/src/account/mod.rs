//! The attributes of a user beside name and password: the e-mail address and the claims.

pub mod address;
pub mod authentication;
pub mod claims;

use crate::account::address::EmailAddress;
use crate::account::claims::Claims;
use daypass_verifier::base::ids::Username;
use daypass_verifier::base::scope::Scope;

/// The e-mail address of a user. At most one user has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The normalised address.
    pub address: EmailAddress,
    /// Whether the user has shown to read mail to this address. Only then the address works as a login name.
    pub verified: bool,
    /// Why mail to this address failed; `None` if no mail failed.
    pub undeliverable: Option<Undeliverable>,
}

/// Why mail to an address failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Undeliverable {
    /// The receiving server rejected it permanently.
    Bounced,
    /// The recipient marked it as spam.
    Complained,
}

impl Undeliverable {
    /// The stored form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounced => "bounced",
            Self::Complained => "complained",
        }
    }

    /// Reads the stored form; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Bounced, Self::Complained].into_iter().find(|cause| cause.as_str() == text)
    }
}

/// Most bytes of a user name, a scope, claims and a device hint together. With them, an item of a session has at most 1,024
/// bytes, so that a refresh writes one unit.
pub const MAX_SESSION_BYTES: usize = 636;

/// Bytes of the authentication in a session item: its name, one byte for the methods and four for the time.
///
/// Only sessions with the right to the account store the time, and they have no `acct`. So an item without a device hint stays
/// within 1,024 bytes, also if name, scope and claims have [`MAX_SESSION_BYTES`].
pub const AUTHENTICATION_BYTES: usize = 9;

/// Bytes of the key in the item of a session that is bound to one: its name, and 16 bytes. If name, scope and claims leave less,
/// a refresh of such a session writes two units.
pub const KEY_BYTES: usize = 19;

/// Name, scope and claims of a user do not fit into one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "user name ({name} bytes), scope ({scope}) and claims ({claims}, as compact JSON) have more than {MAX_SESSION_BYTES} bytes together"
)]
pub struct TooLarge {
    name: usize,
    scope: usize,
    claims: usize,
}

/// Bytes of a session that a user leaves for the authentication and the device hint.
///
/// # Errors
/// [`TooLarge`] if name, scope and claims have more than [`MAX_SESSION_BYTES`].
pub fn session_room(username: &Username, scope: &Scope, claims: &Claims) -> Result<usize, TooLarge> {
    let (name, scope) = (username.as_str().len(), scope.to_string().len());
    let claims = if claims.is_empty() { 0 } else { claims.to_string().len() };
    MAX_SESSION_BYTES.checked_sub(name + scope + claims).ok_or(TooLarge { name, scope, claims })
}

/// Bytes of a session that are left for the device hint. `is_bound`: whether the session is bound to a key.
#[must_use]
pub fn device_room(username: &Username, scope: &Scope, claims: &Claims, is_bound: bool) -> usize {
    let others = AUTHENTICATION_BYTES + if is_bound { KEY_BYTES } else { 0 };
    session_room(username, scope, claims).unwrap_or(0).saturating_sub(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_scope_and_claims_fit_together() {
        let room = |name: usize, scope: usize, claims: usize| {
            let username = Username::from_normalised("n".repeat(name)).unwrap();
            let scope = Scope::parse(&"s".repeat(scope)).unwrap();
            let claims = if claims == 0 {
                "{}".to_owned()
            } else {
                format!("{{\"a\":\"{}\"}}", "x".repeat(claims - 8))
            };
            session_room(&username, &scope, &Claims::parse(&claims).unwrap())
        };
        assert_eq!(room(1, 0, 0), Ok(635));
        assert_eq!(room(256, 256, 0), Ok(124), "every user without claims fits");
        assert_eq!(room(100, 24, 512), Ok(0));
        assert_eq!(room(100, 25, 512), Err(TooLarge { name: 100, scope: 25, claims: 512 }));
        let text = room(100, 25, 512).unwrap_err().to_string();
        assert!(text.contains("100 bytes") && text.contains("636"), "{text}");
    }
}
