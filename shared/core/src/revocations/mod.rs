//! The revocation feed: which sessions ended early, told to whoever verifies access tokens.
//!
//! A JWT cannot be called back, but a verifier can follow a short list of what was. [`Revocations`] answers
//! `GET /revocations` from a [`Window`] that it keeps in memory; [`Known`] is what a follower knows of it. [`Answer`] is the
//! format between them, which `docs/security/revocation.md` states for verifiers in other languages.

mod answer;
mod cursor;
mod endpoint;
mod follow;
mod known;
mod window;

pub use answer::{AS_OF, Answer, MAX_ANSWER_BYTES, PAGE, Unreadable};
pub use cursor::Cursor;
pub use endpoint::Revocations;
pub use follow::{Follow, NotFollowed};
pub use known::{Known, Limits, Lookup, MOST_PAGES, Poll, Polled, WhenStale};
pub use window::{EndedSession, EndedSessions, Window};

use aws_lc_rs::digest;
use std::fmt;
use std::time::Duration;

/// By how much the clocks of two of the processes may differ that take part: as much as verifiers allow
/// ([`LEEWAY`](crate::access::LEEWAY)). Clocks further apart do not go unnoticed: fresh access tokens are refused then.
pub const CLOCKS: Duration = Duration::from_secs(30);

/// How far before the last read the next one begins. What is read then and was not before is what came into the index late:
/// written by a clock that is behind ([`CLOCKS`]), by a request that took its time (a function has 5 s from the moment that it
/// takes the time), or shown by the index with delay (5 s; AWS says a fraction of a second).
pub const OVERLAP: Duration = Duration::from_secs(40);

/// How long an ending counts, from its time on. A verifier takes a token until 30 s after its `exp`, and its clock may be 30 s
/// behind the signer's, which may be 30 s ahead of the clock that the ending was written by; the feed's own differs from the
/// verifier's by as much at most, which is the same 30 s. Ten more are for a token that was issued while the ending was on its way.
#[must_use]
pub fn keep(access_lifetime: Duration) -> Duration {
    access_lifetime + 3 * CLOCKS + Duration::from_secs(10)
}

/// What the feed says of a session: the first 64 bits of the SHA-256 of its id, in the spelling of the `sid` claim. It opens
/// nothing, and no two of a billion sessions are likely to share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionDigest(u64);

impl SessionDigest {
    /// Of a `sid`.
    #[must_use]
    pub fn of(sid: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, sid.as_bytes());
        let mut first = [0; 8];
        first.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(u64::from_be_bytes(first))
    }

    /// From its eight bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// Its eight bytes.
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
