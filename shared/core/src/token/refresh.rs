//! Refresh tokens: opaque to everybody but us, and verified without a database.
//!
//! The text is `daypass_rt_` and the base64url of 81 bytes, which need no padding and leave no spare bits, so a token
//! has exactly one spelling:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 4 | id of the MAC key |
//! | 16 | user id |
//! | 16 | session id |
//! | 4 | generation, big-endian |
//! | 8 | expiry in seconds since the epoch, big-endian |
//! | 32 | HMAC-SHA-256 of the 49 bytes before it |
//!
//! The token names everything that its successor needs, so a successor is computed and never stored: a copy of the
//! tables holds nothing that can be exchanged, and a retry gets the same successor again.

use crate::keys::RefreshKeys;
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::base::ids::{SessionId, UserId};
use daypass_verifier::base::time::Timestamp;

/// One generation of a session's refresh token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefreshToken {
    /// Whose session it is.
    pub user: UserId,
    /// The session: the family of this token.
    pub session: SessionId,
    /// How many rotations came before: 0 for the token of the login.
    pub generation: u32,
    /// When the token stops working by itself.
    pub expires_at: Timestamp,
}

/// Why a text is not a refresh token that is worth a request to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshTokenError {
    /// Not the form: prefix, length, alphabet or version.
    Malformed,
    /// The MAC key it names is not in the key set: forged, or older or newer than the keys that this process has.
    UnknownKey,
    /// The MAC is wrong. Only Daypass can make a right one.
    Forged,
    /// Ours, but past its expiry.
    Expired,
}

const VERSION: u8 = 1;
const MESSAGE_BYTES: usize = 49;
const TOKEN_BYTES: usize = MESSAGE_BYTES + 32;

impl RefreshToken {
    /// What every refresh token starts with, for secret scanners to find.
    pub const PREFIX: &'static str = "daypass_rt_";
    /// Length of the text form in bytes.
    pub const TEXT_BYTES: usize = Self::PREFIX.len() + TOKEN_BYTES / 3 * 4;

    /// The text form under the active MAC key.
    #[must_use]
    pub fn mint(&self, keys: &RefreshKeys) -> String {
        let (mut bytes, mac) = keys.sign(|kid| {
            let mut message = Vec::with_capacity(TOKEN_BYTES);
            message.push(VERSION);
            message.extend(kid);
            message.extend(self.user.as_bytes());
            message.extend(self.session.as_bytes());
            message.extend(self.generation.to_be_bytes());
            message.extend(self.expires_at.seconds().to_be_bytes());
            message
        });
        bytes.extend(mac.as_ref());
        format!("{}{}", Self::PREFIX, BASE64URL_NOPAD.encode(&bytes))
    }

    /// Reads and authenticates a token at the time `now`. Costs one HMAC and no request.
    ///
    /// # Errors
    /// [`RefreshTokenError`] for everything that is not a token of ours within its time.
    pub fn authenticate(text: &str, keys: &RefreshKeys, now: Timestamp) -> Result<Self, RefreshTokenError> {
        let token = Self::authenticate_expired(text, keys)?;
        if token.expires_at <= now { Err(RefreshTokenError::Expired) } else { Ok(token) }
    }

    /// The token that was refused for `cause`, when it is ours and only past its expiry: the log may say whose it was.
    pub(crate) fn expired(text: &str, keys: &RefreshKeys, cause: RefreshTokenError) -> Option<Self> {
        Self::authenticate_expired(text, keys).ok().filter(|_| cause == RefreshTokenError::Expired)
    }

    /// As [`RefreshToken::authenticate`], but a token past its expiry is read too.
    fn authenticate_expired(text: &str, keys: &RefreshKeys) -> Result<Self, RefreshTokenError> {
        let malformed = RefreshTokenError::Malformed;
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(malformed)?;
        if text.len() != Self::TEXT_BYTES {
            return Err(malformed);
        }
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| malformed)?;
        let (message, mac) = bytes.split_at_checked(MESSAGE_BYTES).ok_or(malformed)?;
        let (version, rest) = take::<1>(message).ok_or(malformed)?;
        let (kid, rest) = take::<4>(rest).ok_or(malformed)?;
        let (user, rest) = take::<16>(rest).ok_or(malformed)?;
        let (session, rest) = take::<16>(rest).ok_or(malformed)?;
        let (generation, rest) = take::<4>(rest).ok_or(malformed)?;
        let (expires_at, _) = take::<8>(rest).ok_or(malformed)?;
        if version != [VERSION] {
            return Err(malformed);
        }
        match keys.verify(kid, message, mac) {
            None => return Err(RefreshTokenError::UnknownKey),
            Some(false) => return Err(RefreshTokenError::Forged),
            Some(true) => {}
        }
        let seconds = u64::from_be_bytes(expires_at);
        let expires_at = Timestamp::from_seconds(seconds);
        // Over the range of a timestamp. A token has one spelling, and `mint` would write another time.
        if expires_at.seconds() != seconds {
            return Err(malformed);
        }
        Ok(Self {
            user: UserId::from_bytes(user),
            session: SessionId::from_bytes(session),
            generation: u32::from_be_bytes(generation),
            expires_at,
        })
    }
}

/// Splits `N` bytes off the front.
fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    bytes.split_first_chunk::<N>().map(|(head, tail)| (*head, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Document;
    use crate::testing::{NOW, Seeded};
    use daypass_verifier::jose::jwk::Algorithm;
    use proptest::prelude::*;

    fn keys(seed: u64) -> RefreshKeys {
        let document = Document::generate(Algorithm::EdDsa, &Seeded::new(seed), NOW).unwrap();
        RefreshKeys::from_document(&document).unwrap()
    }

    fn token() -> RefreshToken {
        RefreshToken {
            user: UserId::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            generation: 7,
            expires_at: Timestamp::from_seconds(NOW.seconds() + 60),
        }
    }

    #[test]
    fn reads_back_until_its_expiry() {
        let keys = keys(1);
        let text = token().mint(&keys);
        assert_eq!(text.len(), RefreshToken::TEXT_BYTES);
        assert!(text.starts_with("daypass_rt_"));
        assert_eq!(RefreshToken::authenticate(&text, &keys, NOW), Ok(token()));
        let at = |seconds| Timestamp::from_seconds(NOW.seconds() + seconds);
        assert!(RefreshToken::authenticate(&text, &keys, at(59)).is_ok());
        assert_eq!(RefreshToken::authenticate(&text, &keys, at(60)), Err(RefreshTokenError::Expired));
    }

    #[test]
    fn another_key_set_forges_nothing() {
        let text = token().mint(&keys(1));
        assert_eq!(RefreshToken::authenticate(&text, &keys(2), NOW), Err(RefreshTokenError::UnknownKey));
    }

    #[test]
    fn malformed() {
        let keys = keys(1);
        let text = token().mint(&keys);
        for wrong in [
            "",
            "daypass_rt_",
            &text[..text.len() - 1],
            &format!("{text}A"),
            &text[11..],
            &format!(" {text}"),
            "💥",
        ] {
            assert_eq!(
                RefreshToken::authenticate(wrong, &keys, NOW),
                Err(RefreshTokenError::Malformed),
                "{wrong}"
            );
        }
    }

    /// A good MAC over a time that no timestamp expresses, as the fuzz target found.
    #[test]
    fn an_expiry_over_the_range_of_a_timestamp() {
        let keys = keys(1);
        let (mut bytes, mac) = keys.sign(|kid| {
            let ids = [[1; 16], [2; 16]].concat();
            [&[VERSION][..], &kid, &ids, &[0; 4], &u64::MAX.to_be_bytes()].concat()
        });
        bytes.extend(mac.as_ref());
        let text = format!("{}{}", RefreshToken::PREFIX, BASE64URL_NOPAD.encode(&bytes));
        assert_eq!(RefreshToken::authenticate(&text, &keys, NOW), Err(RefreshTokenError::Malformed));
    }

    proptest! {
        /// One changed character anywhere: never accepted, never read as another token.
        #[test]
        fn any_change_is_refused(position in 0..RefreshToken::TEXT_BYTES, replacement in "[A-Za-z0-9_-]") {
            let keys = keys(1);
            let mut text = token().mint(&keys);
            prop_assume!(text[position..=position] != replacement);
            text.replace_range(position..=position, &replacement);
            prop_assert!(RefreshToken::authenticate(&text, &keys, NOW).is_err());
        }

        #[test]
        fn any_text_is_refused(text in ".*") {
            prop_assert!(RefreshToken::authenticate(&text, &keys(1), NOW).is_err());
        }
    }
}
