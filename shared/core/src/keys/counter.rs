//! The counter key: it hashes what attempts are counted by, and authenticates device tokens.

use crate::keys::{Document, KeyError, active_index, bad, secret_bytes};
use crate::secret::Secret;
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::base::digest::prefix;
use daypass_verifier::base::entropy::{Entropy, random};
use std::fmt;

/// The counter key (HMAC-SHA-256, RFC 2104). Each caller starts its input with other bytes, which say what the input is.
pub struct CounterKey {
    id: [u8; 4],
    key: hmac::Key,
}

impl CounterKey {
    /// A new key, as a document holds it.
    pub(super) fn generate(entropy: &dyn Entropy) -> String {
        BASE64URL_NOPAD.encode(&random::<32>(entropy))
    }

    /// The key of a document.
    ///
    /// # Errors
    /// [`KeyError`] when it is not 32 bytes of base64url.
    pub(super) fn parse(text: &str) -> Result<Self, KeyError> {
        match BASE64URL_NOPAD.decode(text.as_bytes()).map(Secret::new) {
            Ok(secret) if secret.expose().len() == 32 => Ok(Self::new(&secret)),
            _ => Err(bad("the counter key is not 32 bytes of base64url")),
        }
    }

    pub(super) fn new(secret: &Secret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        Self { id: prefix(hmac::sign(&key, b"daypass counter key id").as_ref()), key }
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
        prefix(hmac::sign(&self.key, input).as_ref())
    }

    /// Whether `digest` is the keyed hash of `input`, compared in constant time.
    pub(crate) fn verify(&self, input: &[u8], digest: &[u8]) -> bool {
        hmac::verify(&self.key, input, digest).is_ok()
    }
}

impl Document {
    /// Writes down the counter key that has followed from the active pepper until now, so that counters and device tokens outlive
    /// this pepper.
    ///
    /// # Errors
    /// [`KeyError`] when the active pepper is not usable.
    pub(super) fn fix_counter_key(&mut self) -> Result<(), KeyError> {
        if self.counter_key.is_none() && !self.peppers.is_empty() {
            let active = active_index("peppers", self.peppers.iter().map(|entry| entry.status))?;
            let pepper = self.peppers.get(active).map(|entry| secret_bytes("peppers", entry)).transpose()?;
            self.counter_key =
                pepper.map(|pepper| BASE64URL_NOPAD.encode(CounterKey::secret_of(&pepper).expose()));
        }
        Ok(())
    }
}

impl fmt::Debug for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CounterKey")
    }
}
