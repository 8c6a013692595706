//! Challenges: random, under a MAC, and verified without a database.
//!
//! A challenge is 61 bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 1 |
//! | 4 | id of the MAC key, which is one of the keys of refresh tokens |
//! | 8 | expiry in seconds since the epoch |
//! | 16 | random |
//! | 32 | HMAC-SHA-256 of a prefix, the relying party's id, the purpose with its user or session, and the 29 bytes before |
//!
//! A store that notes [`Challenge::key`] in the transaction of a ceremony makes the ceremony succeed once.

use super::Fault;
use super::relying_party::RelyingParty;
use crate::keys::RefreshKeys;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::base::ids::{SessionId, UserId};
use daypass_verifier::base::time::Timestamp;
use std::time::Duration;

/// How long a challenge is valid. Browsers wait for a person for this long.
pub const LIFETIME: Duration = Duration::from_secs(300);

const VERSION: u8 = 1;
const MESSAGE_BYTES: usize = 29;
const CHALLENGE_BYTES: usize = MESSAGE_BYTES + 32;

/// What a challenge is for. A challenge of one purpose is not valid for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A login without a name.
    Login,
    /// A new passkey of this user.
    Registration(UserId),
    /// The second factor of this user.
    SecondFactor(UserId),
    /// A reauthentication in this session.
    Reauthentication(SessionId),
}

impl Purpose {
    /// One byte, and the user, the session or zeros.
    fn as_bytes(self) -> [u8; 17] {
        let (byte, id) = match self {
            Self::Login => (1, [0; 16]),
            Self::Registration(user) => (2, *user.as_bytes()),
            Self::SecondFactor(user) => (3, *user.as_bytes()),
            Self::Reauthentication(session) => (4, *session.as_bytes()),
        };
        let mut bytes = [byte; 17];
        bytes.iter_mut().skip(1).zip(id).for_each(|(to, from)| *to = from);
        bytes
    }
}

/// The authentic challenge of a ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    random: [u8; 16],
    /// The time from which it is invalid, in whole seconds.
    pub expires_at: Timestamp,
}

impl Challenge {
    /// A new challenge.
    #[must_use]
    pub fn generate(now: Timestamp, entropy: &dyn Entropy) -> Self {
        Self { random: random(entropy), expires_at: Timestamp::from_seconds((now + LIFETIME).seconds()) }
    }

    /// The base64url form, under the active key.
    pub(super) fn seal(&self, purpose: Purpose, party: &RelyingParty, keys: &RefreshKeys) -> String {
        let expires_at = self.expires_at.seconds().to_be_bytes();
        let mut bytes = Vec::new();
        let (_, mac) = keys.sign(|kid| {
            bytes = [&[VERSION], kid.as_slice(), &expires_at, &self.random].concat();
            input(purpose, party, &bytes)
        });
        bytes.extend(mac.as_ref());
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads and authenticates the challenge of client data.
    ///
    /// # Errors
    /// [`Fault::Challenge`] for every text that is not a challenge of this purpose, [`Fault::ChallengeExpired`] after its time.
    pub(super) fn authenticate(
        text: &str,
        purpose: Purpose,
        party: &RelyingParty,
        keys: &RefreshKeys,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let wrong = Fault::Challenge;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| wrong)?;
        let bytes = <[u8; CHALLENGE_BYTES]>::try_from(bytes).map_err(|_| wrong)?;
        let (message, mac) = bytes.split_at_checked(MESSAGE_BYTES).ok_or(wrong)?;
        let ([version, kid @ ..], rest) = message.split_first_chunk::<5>().ok_or(wrong)?;
        let (expires_at, random) = rest.split_first_chunk::<8>().ok_or(wrong)?;
        let random = <[u8; 16]>::try_from(random).map_err(|_| wrong)?;
        if *version != VERSION || keys.verify(*kid, &input(purpose, party, message), mac) != Some(true) {
            return Err(wrong);
        }
        let expires_at = Timestamp::from_seconds(u64::from_be_bytes(*expires_at));
        if expires_at <= now { Err(Fault::ChallengeExpired) } else { Ok(Self { random, expires_at }) }
    }

    /// The key under which the store notes that the challenge was used.
    #[must_use]
    pub fn key(&self) -> String {
        format!("challenge:{}", HEXLOWER.encode(&self.random))
    }
}

/// What the MAC covers. All but the id has a known length, and no other input of the keys begins alike.
fn input(purpose: Purpose, party: &RelyingParty, message: &[u8]) -> Vec<u8> {
    let id = party.id().as_bytes();
    let length = u32::try_from(id.len()).unwrap_or(u32::MAX).to_be_bytes();
    [b"daypass passkey challenge\0".as_slice(), &length, id, &purpose.as_bytes(), message].concat()
}
