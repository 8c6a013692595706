//! Identifiers. Each has its own type, so that a session id never takes the place of a user id.

use crate::base::digest::prefix;
use crate::base::entropy::{Entropy, random};
use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use std::fmt;

/// Declares an identifier of 128 random bits, written as a prefix and 32 lower-case hexadecimal digits.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The prefix of the text form.
            pub const PREFIX: &'static str = $prefix;

            /// A fresh identifier.
            pub fn generate(entropy: &dyn Entropy) -> Self {
                Self(random(entropy))
            }

            /// The identifier with these bytes, as a refresh token contains them.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The binary form.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Parses the text form; `None` for any other text, including upper-case digits.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.strip_prefix($prefix)?;
                let bytes = HEXLOWER.decode(digits.as_bytes()).ok()?;
                Some(Self(bytes.try_into().ok()?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, HEXLOWER.encode(&self.0))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

random_id! {
    /// The permanent id of a user: the `sub` claim. It is not the name, which can pass to another person (RFC 9068 §5).
    /// The prefix makes it differ from every client id.
    UserId, "usr_"
}

random_id! {
    /// The id of a session, which is one login and all its refresh tokens (a token family): the `sid` claim.
    SessionId, "ses_"
}

/// The id of one attempt at a write. It identifies a retry after the response was lost: of the SDK, and of a client
/// that refreshes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttemptId([u8; 9]);

impl AttemptId {
    /// A random id. 72 bits suffice, because it is compared with one stored value.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(random(entropy))
    }

    /// The id of the attempt that a client names by an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).
    /// Equal keys give equal ids. The key is hashed, so that the store contains no text of a client.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Self {
        Self(prefix(digest::digest(&digest::SHA256, key).as_ref()))
    }

    /// The id with the stored bytes; `None` for another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The normalised name of a user: the key of the users table.
///
/// The `PasswordHasher` port makes it of the name that a person typed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Username(String);

impl Username {
    /// Longest name, in bytes of UTF-8. A DynamoDB partition key has at most 2,048.
    pub const MAX_BYTES: usize = 256;

    /// No name begins with this text: an item of the users table whose key does claims an e-mail address.
    pub const RESERVED_PREFIX: &'static str = "email#";

    /// The name with this normalised text; `None` for an empty, too long or reserved one.
    #[must_use]
    pub fn from_normalised(name: String) -> Option<Self> {
        let valid =
            !name.is_empty() && name.len() <= Self::MAX_BYTES && !name.starts_with(Self::RESERVED_PREFIX);
        valid.then_some(Self(name))
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a registered client application (RFC 6749 §2.2).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct ClientId(String);

impl ClientId {
    /// Longest client id, in bytes. Every session item contains one.
    pub const MAX_BYTES: usize = 64;

    /// Parses a client id: 1 to 64 characters of `A-Z a-z 0-9 - . _ ~` that do not begin as a user id does (RFC 9068
    /// §5: `sub` must not equal a client id).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let valid = !text.is_empty()
            && text.len() <= Self::MAX_BYTES
            && !text.starts_with(UserId::PREFIX)
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        valid.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_in_their_one_form_only() {
        let id = SessionId::from_bytes([0xab; 16]);
        let text = id.to_string();
        assert_eq!(text, format!("ses_{}", "ab".repeat(16)));
        assert_eq!(SessionId::parse(&text), Some(id));
        for wrong in [
            "",
            "ses_",
            &text.to_uppercase(),
            &text.replace("ses_", "usr_"),
            &format!("{text}00"),
            &text[..35],
        ] {
            assert_eq!(SessionId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn client_ids_are_plain_and_never_look_like_users() {
        for good in ["web", "my-app.2", "A_b~c"] {
            assert!(ClientId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a b", "é", "usr_0", &"x".repeat(65), "a\n"] {
            assert!(ClientId::parse(bad).is_none(), "{bad}");
        }
    }
}
