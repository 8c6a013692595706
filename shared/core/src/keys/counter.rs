//! The counter key: it hashes what attempts are counted by, and authenticates device tokens.

use crate::secret::Secret;
use aws_lc_rs::hmac;
use std::fmt;

/// The counter key (HMAC-SHA-256, RFC 2104). Each caller starts its input with other bytes, which say what the input is.
pub struct CounterKey {
    id: [u8; 4],
    key: hmac::Key,
}

impl CounterKey {
    pub(super) fn new(secret: &Secret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        Self { id: truncated(&hmac::sign(&key, b"daypass counter key id")), key }
    }

    /// The counter key that follows from a pepper, so that counters and password hashes share no input.
    pub(super) fn secret_of(pepper: &Secret) -> Secret {
        let pepper = hmac::Key::new(hmac::HMAC_SHA256, pepper.expose());
        Secret::new(hmac::sign(&pepper, b"daypass throttle key v1").as_ref().to_vec())
    }

    /// Its id, which follows from the key.
    pub(crate) const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// A keyed hash of `input`.
    pub(crate) fn digest(&self, input: &[u8]) -> [u8; 32] {
        truncated(&hmac::sign(&self.key, input))
    }

    /// Whether `digest` is the keyed hash of `input`, compared in constant time.
    pub(crate) fn verify(&self, input: &[u8], digest: &[u8]) -> bool {
        hmac::verify(&self.key, input, digest).is_ok()
    }
}

/// The first `N` bytes of a tag, which has 32.
fn truncated<const N: usize>(tag: &hmac::Tag) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

impl fmt::Debug for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CounterKey")
    }
}
