//! Revocation for a verifier of access tokens: the sessions that ended early.
//!
//! A JWT is valid until its `exp`. A verifier can follow a short list of the sessions that ended before. [`Answer`] is
//! the format of that list, which `docs/security/revocation.md` specifies for verifiers in other languages.
//! [`RevokedSet`] is a verifier's copy of it.

mod answer;
mod revoked_set;

pub use answer::{AS_OF, Answer, MAX_ANSWER_BYTES, PAGE, Unreadable};
pub use revoked_set::{Limits, Lookup, MOST_PAGES, Poll, Polled, RevokedSet, WhenStale};

use crate::base::digest::prefix;
use aws_lc_rs::digest;
use std::fmt;

/// The digest of a session in the feed: the first 64 bits of the SHA-256 of its `sid`. It gives no access, and no two
/// of a billion sessions are likely to share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionDigest(u64);

impl SessionDigest {
    /// The digest of a `sid` claim.
    #[must_use]
    pub fn of(sid: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, sid.as_bytes());
        Self(u64::from_be_bytes(prefix(digest.as_ref())))
    }

    /// The digest with these eight bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// The eight bytes of the digest.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Debug for SessionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_head_of_a_sha_256() {
        // printf 'ses_00000000000000000000000000000000' | sha256sum
        let digest = SessionDigest::of("ses_00000000000000000000000000000000");
        assert_eq!(format!("{digest:?}"), "e20c41f5413715f9");
        assert_eq!(SessionDigest::from_bytes(digest.to_bytes()), digest);
    }
}
