//! The attributes of a user beside name and password: the e-mail address and the claims.

pub mod address;
pub mod claims;

use crate::account::address::EmailAddress;

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
