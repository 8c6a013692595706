//! Identifiers. Each is a type of its own, so that a session is never passed where a user is meant.

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

            /// From the binary form that a refresh token carries.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The binary form.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads the text form; `None` when it is anything else, upper-case digits included.
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
    /// A user, for ever: the `sub` of their tokens. Never the name, which may change hands (RFC 9068 §5); the prefix
    /// keeps it apart from any client id.
    UserId, "usr_"
}

random_id! {
    /// A session: one login and all the refresh tokens that descend from it (a token family). The `sid` claim.
    SessionId, "ses_"
}

/// Names one attempt at a write, so that a retry after its answer was lost is recognised: the SDK's own, and for a rotation
/// the client's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttemptId([u8; 9]);

impl AttemptId {
    /// A fresh attempt. 72 bits: it is compared with one stored value, never searched for.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(random(entropy))
    }

    /// The attempt that a client names by an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): equal keys name
    /// the same attempt. Hashed, so the store keeps nothing that a client chose.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, key);
        let mut id = [0; 9];
        id.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(id)
    }

    /// From the bytes that the store kept; `None` when their number is wrong.
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
/// The port to the password hasher makes one from what a person typed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Username(String);

impl Username {
    /// Longest name in bytes of UTF-8; a DynamoDB partition key takes 2,048.
    pub const MAX_BYTES: usize = 256;

    /// Takes a name that has been normalised already; `None` when it is empty or too long for a key.
    #[must_use]
    pub fn from_normalised(name: String) -> Option<Self> {
        (!name.is_empty() && name.len() <= Self::MAX_BYTES).then_some(Self(name))
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

/// The name of a registered client application (RFC 6749 §2.2).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct ClientId(String);

impl ClientId {
    /// Longest client id in bytes; it is stored with every session.
    pub const MAX_BYTES: usize = 64;

    /// Reads a client id: 1 to 64 characters of `A-Z a-z 0-9 - . _ ~` that do not start like a user id
    /// (RFC 9068 §5: `sub` must not collide with a client id).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let valid = !text.is_empty()
            && text.len() <= Self::MAX_BYTES
            && !text.starts_with(UserId::PREFIX)
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        valid.then(|| Self(text.to_owned()))
    }

    /// The text.
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
