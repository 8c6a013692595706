//! The keys of second factors: they encrypt what one-time codes are computed from, and hash recovery codes.
//!
//! They are in the document of the peppers, because they belong to the users table as peppers do: a stored secret names its key
//! for as long as its user stays away. A document of an older version has none. Its one key then follows from the active pepper,
//! until a rotation writes it down.

use crate::keys::{Document, KeyError, SecretEntry, Status, active_index, bad, secret_bytes};
use crate::secret::Secret;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use daypass_verifier::base::digest::prefix;
use daypass_verifier::base::entropy::{Entropy, random};
use std::fmt;

/// The version of the sealed form.
const VERSION: u8 = 1;

/// The keys of second factors.
pub struct FactorKeys {
    keys: Vec<FactorKey>,
    active: usize,
}

/// What follows from one key of the document: a key for each use, so that the uses share no input.
struct FactorKey {
    kid: [u8; 4],
    seal: LessSafeKey,
    digest: hmac::Key,
}

impl FactorKey {
    fn new(kid: [u8; 4], secret: &Secret) -> Result<Self, KeyError> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        let derive = |purpose: &[u8]| Secret::new(hmac::sign(&secret, purpose).as_ref().to_vec());
        let seal = UnboundKey::new(&AES_256_GCM, derive(b"daypass factor encryption v1").expose());
        Ok(Self {
            kid,
            seal: LessSafeKey::new(seal.map_err(|_| bad("AWS-LC refuses a key of second factors"))?),
            digest: hmac::Key::new(hmac::HMAC_SHA256, derive(b"daypass factor digest v1").expose()),
        })
    }
}

impl FactorKeys {
    /// The keys of a document.
    ///
    /// # Errors
    /// [`KeyError`] when there is not exactly one active key, or a key or `kid` is malformed or repeated.
    pub fn from_document(document: &Document) -> Result<Self, KeyError> {
        let derived = document.derived_factor_key()?;
        let entries = derived.as_ref().map_or(document.factors.as_slice(), std::slice::from_ref);
        let active = active_index("factors", entries.iter().map(|entry| entry.status))?;
        let mut keys: Vec<FactorKey> = Vec::with_capacity(entries.len());
        for entry in entries {
            let kid = HEXLOWER.decode(entry.kid.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
            let kid: [u8; 4] =
                kid.ok_or_else(|| bad("a factor key's `kid` is not eight lower-case hexadecimal digits"))?;
            if keys.iter().any(|other| other.kid == kid) {
                return Err(bad(format!("factor key {} stands in the key set twice", entry.kid)));
            }
            keys.push(FactorKey::new(kid, &secret_bytes("factors", entry)?)?);
        }
        Ok(Self { keys, active })
    }

    /// Encrypts under the active key (AES-256-GCM, NIST SP 800-38D). Only [`FactorKeys::open`] with the same `context` decrypts it.
    /// The form: version, key id, nonce, ciphertext, tag.
    ///
    /// The nonce is random. A key encrypts one secret for each enrolment of a month, far below the 2³² of SP 800-38D §8.3.
    ///
    /// # Errors
    /// [`KeyError`] when AWS-LC cannot encrypt.
    pub(crate) fn seal(
        &self,
        plain: &[u8],
        context: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, KeyError> {
        // `active` was found among `keys` when they were read; an empty set cannot be built.
        #[expect(clippy::indexing_slicing, reason = "the index was made from this list, which never changes")]
        let key = &self.keys[self.active];
        let nonce = random::<NONCE_LEN>(entropy);
        let mut sealed = [&[VERSION], key.kid.as_slice(), &nonce].concat();
        let mut text = plain.to_vec();
        let context = Aad::from([&sealed, context].concat());
        let done = key.seal.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), context, &mut text);
        done.map_err(|_| bad("AWS-LC cannot encrypt a secret of a second factor"))?;
        sealed.extend(text);
        Ok(sealed)
    }

    /// Decrypts what [`FactorKeys::seal`] made. `None` for another context, an unknown key, and anything else.
    pub(crate) fn open(&self, sealed: &[u8], context: &[u8]) -> Option<Opened> {
        let (header, text) = sealed.split_at_checked(1 + 4 + NONCE_LEN)?;
        let ([version, kid @ ..], nonce) = header.split_first_chunk::<5>()?;
        let at = self.keys.iter().position(|key| key.kid == *kid && *version == VERSION)?;
        let (key, mut text) = (self.keys.get(at)?, text.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain =
            key.seal.open_in_place(nonce, Aad::from([header, context].concat()), &mut text).ok()?.len();
        text.truncate(plain);
        Some(Opened { plain: Secret::new(text), outdated: at != self.active })
    }

    /// A keyed digest under the active key.
    pub(crate) fn digest(&self, input: &[u8]) -> [u8; 16] {
        #[expect(clippy::indexing_slicing, reason = "the index was made from this list, which never changes")]
        let key = &self.keys[self.active];
        prefix(hmac::sign(&key.digest, input).as_ref())
    }

    /// The keyed digests under each key.
    pub(crate) fn digests(&self, input: &[u8]) -> impl Iterator<Item = [u8; 16]> {
        self.keys.iter().map(move |key| prefix(hmac::sign(&key.digest, input).as_ref()))
    }
}

/// A decrypted secret.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) plain: Secret,
    /// Whether another key than the active one encrypted it.
    pub(crate) outdated: bool,
}

impl fmt::Debug for FactorKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| HEXLOWER.encode(&key.kid))).finish()
    }
}

impl Document {
    /// The factor key that follows from the active pepper, in a document that holds peppers and no factor key.
    fn derived_factor_key(&self) -> Result<Option<SecretEntry>, KeyError> {
        if !self.factors.is_empty() || self.peppers.is_empty() {
            return Ok(None);
        }
        let active = active_index("peppers", self.peppers.iter().map(|entry| entry.status))?;
        let Some(entry) = self.peppers.get(active) else { return Ok(None) };
        let pepper = hmac::Key::new(hmac::HMAC_SHA256, secret_bytes("peppers", entry)?.expose());
        let key = Secret::new(hmac::sign(&pepper, b"daypass factor key v1").as_ref().to_vec());
        let id = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
        Ok(Some(SecretEntry {
            kid: HEXLOWER.encode(&prefix::<4>(hmac::sign(&id, b"daypass factor key id").as_ref())),
            status: Status::Active,
            created_at: entry.created_at,
            since: entry.since,
            key: BASE64URL_NOPAD.encode(key.expose()),
        }))
    }

    /// Writes down the factor key that has followed from the active pepper until now, so that stored secrets outlive this pepper.
    ///
    /// # Errors
    /// [`KeyError`] when the active pepper is not usable.
    pub(super) fn fix_factor_key(&mut self) -> Result<(), KeyError> {
        self.factors.extend(self.derived_factor_key()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::rotation::{Rules, Section};
    use crate::testing::{NOW, Seeded};
    use daypass_verifier::jose::jwk::Algorithm;
    use std::time::Duration;

    const RULES: Rules = Rules { published_for: Duration::from_secs(3 * 3600), algorithm: Algorithm::Es256 };
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn keys(document: &Document) -> FactorKeys {
        FactorKeys::from_document(document).unwrap()
    }

    /// invariant: What a second factor is computed from can be decrypted for its own user alone.
    #[test]
    fn a_sealed_secret_opens_in_its_own_context() {
        let entropy = Seeded::new(1);
        let document = Document::first(Section::Peppers, RULES, &entropy, NOW).unwrap();
        let keys = keys(&document);
        let sealed = keys.seal(b"secret", b"ada", &entropy).unwrap();
        assert_ne!(sealed, keys.seal(b"secret", b"ada", &entropy).unwrap(), "a nonce is used once");
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        let opened = keys.open(&sealed, b"ada").unwrap();
        assert_eq!((opened.plain.expose(), opened.outdated), (b"secret".as_slice(), false));
        assert!(keys.open(&sealed, b"bob").is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.open(&changed, b"ada").is_none(), "byte {at}");
            assert!(keys.open(&sealed[..at], b"ada").is_none(), "{at} bytes");
        }
        let other = Document::first(Section::Peppers, RULES, &Seeded::new(2), NOW).unwrap();
        assert!(self::keys(&other).open(&sealed, b"ada").is_none());
    }

    /// invariant: Rotations of the keys lose no second factor.
    #[test]
    fn a_sealed_secret_and_a_digest_outlive_rotations() {
        let entropy = Seeded::new(3);
        let mut document = Document::first(Section::Peppers, RULES, &entropy, NOW).unwrap();
        let first = keys(&document);
        let (sealed, digest) = (first.seal(b"secret", b"", &entropy).unwrap(), first.digest(b"code"));
        for day in 1..=3 {
            let before = document;
            document = before.advance(RULES, &entropy, NOW + DAY * day).unwrap();
            assert!(document.follows(&before));
            let keys = keys(&document);
            assert!(keys.open(&sealed, b"").unwrap().outdated);
            assert_ne!(keys.digest(b"code"), digest);
            assert_eq!(keys.digests(b"code").filter(|other| *other == digest).count(), 1);
        }
        let cut = keys(&document.cut(RULES, &entropy, NOW + DAY * 9).unwrap());
        assert!(cut.open(&sealed, b"").unwrap().outdated, "the user needs it after a leak too");
    }

    /// A stack of a version without second factors has a document without their keys.
    #[test]
    fn an_older_document_has_a_key_that_outlives_its_pepper() {
        let entropy = Seeded::new(4);
        let mut document = Document::first(Section::Peppers, RULES, &entropy, NOW).unwrap();
        document.factors.clear();
        let sealed = keys(&document).seal(b"secret", b"", &entropy).unwrap();
        assert!(!keys(&document).open(&sealed, b"").unwrap().outdated);
        for (next, count) in [
            (document.advance(RULES, &entropy, NOW + DAY).unwrap(), 2),
            (document.cut(RULES, &entropy, NOW + DAY).unwrap(), 3),
        ] {
            assert!(keys(&next).open(&sealed, b"").is_some());
            assert_eq!(next.summary().iter().filter(|key| key.section == "factors").count(), count);
        }
    }
}
