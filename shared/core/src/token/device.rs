//! Device tokens: they prove that a user logged in on this device before, and are verified without a database.
//!
//! The text is `daypass_device_` and the base64url of 53 bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 1 |
//! | 4 | id of the counter key |
//! | 16 | device id, random |
//! | 32 | HMAC-SHA-256 of a purpose, the 21 bytes before, and the normalised user name |
//!
//! A device token opens no session. It gives the attempts of one device at one account a counter of their own.

use crate::keys::CounterKey;
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::base::ids::Username;

/// A device, known by its random id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device([u8; 16]);

const VERSION: u8 = 1;
const MESSAGE_BYTES: usize = 21;
const PURPOSE: &[u8] = b"daypass device token";

impl Device {
    /// The first characters of each device token. Secret scanners can find tokens by them.
    pub const PREFIX: &'static str = "daypass_device_";

    /// A new device.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(random(entropy))
    }

    /// The token of this device for this user name. It is the same at each call.
    #[must_use]
    pub fn token(&self, username: &Username, key: &CounterKey) -> String {
        let mut bytes = [&[VERSION], key.id().as_slice(), &self.0].concat();
        let mac = key.digest(&input(&bytes, username));
        bytes.extend(mac);
        format!("{}{}", Self::PREFIX, BASE64URL_NOPAD.encode(&bytes))
    }

    /// The device of a token for this user name. `None` if the token is malformed, forged, of another key or of another user.
    #[must_use]
    pub fn authenticate(text: &str, username: &Username, key: &CounterKey) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.strip_prefix(Self::PREFIX)?.as_bytes()).ok()?;
        let (message, mac) = bytes.split_at_checked(MESSAGE_BYTES)?;
        let ([version, kid @ ..], device) = message.split_first_chunk::<5>()?;
        let named = *version == VERSION && *kid == key.id();
        let device = <[u8; 16]>::try_from(device).ok()?;
        (named && key.verify(&input(message, username), mac)).then_some(Self(device))
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What the MAC covers. The name comes last, because all before it has one length.
fn input(message: &[u8], username: &Username) -> Vec<u8> {
    [PURPOSE, message, username.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Document, Peppers};
    use crate::testing::{NOW, Seeded};
    use daypass_verifier::jose::jwk::Algorithm;
    use proptest::prelude::*;

    fn peppers(seed: u64) -> Peppers {
        let document = Document::generate(Algorithm::EdDsa, &Seeded::new(seed), NOW).unwrap();
        Peppers::from_document(&document).unwrap()
    }

    fn name(text: &str) -> Username {
        Username::from_normalised(text.to_owned()).unwrap()
    }

    #[test]
    fn a_token_is_valid_for_one_user_and_one_key() {
        let (own, other) = (peppers(1), peppers(2));
        let device = Device::generate(&Seeded::new(3));
        let text = device.token(&name("alice"), own.counter_key());
        assert_eq!(text.len(), Device::PREFIX.len() + 71);
        assert_eq!(Device::authenticate(&text, &name("alice"), own.counter_key()), Some(device));
        assert_eq!(device.token(&name("alice"), own.counter_key()), text);
        for (user, peppers) in [("bob", &own), ("alic", &own), ("alice", &other)] {
            assert_eq!(Device::authenticate(&text, &name(user), peppers.counter_key()), None, "{user}");
        }
        for wrong in ["", "daypass_device_", &text[..text.len() - 1], &format!("{text}A"), &text[15..], "💥"]
        {
            assert_eq!(Device::authenticate(wrong, &name("alice"), own.counter_key()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_change_is_rejected(position in 0..86_usize, replacement in "[A-Za-z0-9_-]") {
            let peppers = peppers(1);
            let mut text = Device::generate(&Seeded::new(3)).token(&name("alice"), peppers.counter_key());
            prop_assume!(text[position..=position] != replacement);
            text.replace_range(position..=position, &replacement);
            prop_assert!(Device::authenticate(&text, &name("alice"), peppers.counter_key()).is_none());
        }
    }
}
