//! The tokens of a mail: its link, its code, and the handle of the request for it. They are verified without a database.
//!
//! Link and handle are a prefix and the base64url of 62 bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 1 |
//! | 4 | id of the MAC key, which is a key of refresh tokens |
//! | 1 | purpose |
//! | 16 | outbox id, random |
//! | 8 | expiry in seconds since the epoch, big-endian |
//! | 32 | HMAC-SHA-256 of the form, the issuer, and the 30 bytes before |
//!
//! The code has eight digits and follows from the same key, purpose, outbox id and expiry. All three follow from the item of
//! the outbox, so no table holds one. What a mail may do, its subject, is in the item under a MAC of its own.

use crate::keys::RefreshKeys;
use crate::secret::SecretString;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use daypass_verifier::base::digest::prefix;
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// What the recipient of a mail may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Set another password.
    Reset,
    /// Create a user who asked for it.
    SignUp,
    /// Make the address that of an existing user.
    Address,
    /// Create a user whom an operator invited.
    Invitation,
}

impl Purpose {
    /// Time from the request to the expiry of its tokens.
    #[must_use]
    pub const fn lifetime(self) -> Duration {
        const HOUR: u64 = 3600;
        Duration::from_secs(match self {
            Self::Reset => HOUR,
            Self::SignUp | Self::Address => 24 * HOUR,
            Self::Invitation => 7 * 24 * HOUR,
        })
    }

    /// The first characters of a link's token. Secret scanners can find tokens by them.
    const fn link_prefix(self) -> &'static str {
        match self {
            Self::Reset => "daypass_reset_",
            Self::SignUp | Self::Address | Self::Invitation => "daypass_verify_",
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Reset => 1,
            Self::SignUp => 2,
            Self::Address => 3,
            Self::Invitation => 4,
        }
    }

    fn of_byte(byte: u8) -> Option<Self> {
        [Self::Reset, Self::SignUp, Self::Address, Self::Invitation]
            .into_iter()
            .find(|purpose| purpose.byte() == byte)
    }
}

/// The id of an item of the outbox: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutboxId([u8; 16]);

impl OutboxId {
    const PREFIX: &'static str = "mail_";

    /// A new id.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(random(entropy))
    }

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The binary form.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Parses the text form; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.strip_prefix(Self::PREFIX)?.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for OutboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for OutboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for OutboxId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The keys of mail tokens: those of refresh tokens, for one issuer. Another deployment rejects the tokens, also if it has the
/// same keys.
#[derive(Debug)]
pub struct MailKeys {
    keys: RefreshKeys,
    issuer: Issuer,
}

impl MailKeys {
    /// The keys of this issuer.
    #[must_use]
    pub const fn new(keys: RefreshKeys, issuer: Issuer) -> Self {
        Self { keys, issuer }
    }

    /// The MAC of the subject of a mail: the id of the key and 32 bytes.
    #[must_use]
    pub fn sign_subject(&self, purpose: Purpose, id: OutboxId, subject: &str) -> Vec<u8> {
        let (mut signed, mut kid) = (Vec::new(), [0; 4]);
        let (_, mac) = self.keys.sign(|active| {
            kid = active;
            self.input(Form::Subject, &subject_message(kid, purpose, id, subject))
        });
        signed.extend(kid);
        signed.extend(mac.as_ref());
        signed
    }

    /// Whether the mailer of this deployment wrote this subject into this item.
    #[must_use]
    pub fn verify_subject(&self, purpose: Purpose, id: OutboxId, subject: &str, signed: &[u8]) -> bool {
        let Some((kid, mac)) = signed.split_first_chunk::<4>() else { return false };
        let input = self.input(Form::Subject, &subject_message(*kid, purpose, id, subject));
        self.keys.verify(*kid, &input, mac) == Some(true)
    }

    /// What a MAC covers. All before the message has a known length.
    fn input(&self, form: Form, message: &[u8]) -> Vec<u8> {
        let issuer = self.issuer.as_str().as_bytes();
        let length = u32::try_from(issuer.len()).unwrap_or(u32::MAX).to_be_bytes();
        [form.purpose(), &length, issuer, message].concat()
    }
}

fn subject_message(kid: [u8; 4], purpose: Purpose, id: OutboxId, subject: &str) -> Vec<u8> {
    [&[VERSION], kid.as_slice(), &[purpose.byte()], id.as_bytes(), subject.as_bytes()].concat()
}

/// What a MAC is for. No two inputs of the key begin alike: a refresh token's begins with its version.
#[derive(Clone, Copy)]
enum Form {
    Link,
    Handle,
    Code,
    Subject,
}

impl Form {
    const fn purpose(self) -> &'static [u8] {
        match self {
            Self::Link => b"daypass mail link\0",
            Self::Handle => b"daypass mail request\0",
            Self::Code => b"daypass mail code\0",
            Self::Subject => b"daypass mail subject\0",
        }
    }
}

/// A request for a mail, as its link, code and handle name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MailToken {
    /// What the recipient may do.
    pub purpose: Purpose,
    /// The item of the outbox.
    pub id: OutboxId,
    /// The time from which link, code and handle are invalid, in whole seconds.
    pub expires_at: Timestamp,
}

/// Why a text is not a token that is worth a request to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTokenError {
    /// Not the form: prefix, length, alphabet, version or purpose.
    Malformed,
    /// The MAC key that it names is not in the key set.
    UnknownKey,
    /// The MAC is wrong: forged, changed, or of another deployment.
    Forged,
    /// Past its expiry.
    Expired,
}

const VERSION: u8 = 1;
const MESSAGE_BYTES: usize = 30;
const TOKEN_BYTES: usize = MESSAGE_BYTES + 32;
/// Characters of the base64url form.
const ENCODED_BYTES: usize = (TOKEN_BYTES * 4).div_ceil(3);
const CODES: u64 = 100_000_000;

impl MailToken {
    /// The first characters of a handle.
    pub const HANDLE_PREFIX: &'static str = "daypass_request_";

    /// The token of a new request.
    #[must_use]
    pub fn new(purpose: Purpose, id: OutboxId, now: Timestamp) -> Self {
        let expires_at = Timestamp::from_seconds((now + purpose.lifetime()).seconds());
        Self { purpose, id, expires_at }
    }

    /// The token of the mail's link, under the active key.
    #[must_use]
    pub fn link(&self, keys: &MailKeys) -> SecretString {
        SecretString::new(self.mint(Form::Link, self.purpose.link_prefix(), keys))
    }

    /// The handle of the request, under the active key.
    #[must_use]
    pub fn handle(&self, keys: &MailKeys) -> String {
        self.mint(Form::Handle, Self::HANDLE_PREFIX, keys)
    }

    /// The code of the mail, under the active key: eight digits.
    #[must_use]
    pub fn code(&self, keys: &MailKeys) -> SecretString {
        SecretString::new(digits(keys.keys.digest(&self.code_input(keys))))
    }

    /// Whether this is the code of the mail. Mail and handle can be under different keys, so each key of the set counts.
    #[must_use]
    pub fn has_code(&self, code: &str, keys: &MailKeys) -> bool {
        let input = self.code_input(keys);
        let codes = keys.keys.digests(&input).map(digits);
        codes.fold(false, |found, own| {
            found | verify_slices_are_equal(own.as_bytes(), code.as_bytes()).is_ok()
        })
    }

    /// Reads and authenticates the token of a link.
    ///
    /// # Errors
    /// [`MailTokenError`] for every text that is not a link's token of this deployment within its time.
    pub fn from_link(text: &str, keys: &MailKeys, now: Timestamp) -> Result<Self, MailTokenError> {
        let prefixes = [Purpose::Reset, Purpose::SignUp].map(Purpose::link_prefix);
        let encoded = prefixes.into_iter().find_map(|prefix| text.strip_prefix(prefix));
        let token = Self::read(Form::Link, encoded, keys, now)?;
        // The prefix is outside the MAC.
        if text.starts_with(token.purpose.link_prefix()) { Ok(token) } else { Err(MailTokenError::Malformed) }
    }

    /// Reads and authenticates the handle of a request.
    ///
    /// # Errors
    /// [`MailTokenError`] for every text that is not a handle of this deployment within its time.
    pub fn from_handle(text: &str, keys: &MailKeys, now: Timestamp) -> Result<Self, MailTokenError> {
        Self::read(Form::Handle, text.strip_prefix(Self::HANDLE_PREFIX), keys, now)
    }

    fn message(&self, kid: [u8; 4]) -> Vec<u8> {
        let expires_at = self.expires_at.seconds().to_be_bytes();
        [&[VERSION], kid.as_slice(), &[self.purpose.byte()], self.id.as_bytes(), &expires_at].concat()
    }

    /// The key is not part of it: a code is derived under any of them.
    fn code_input(&self, keys: &MailKeys) -> Vec<u8> {
        keys.input(Form::Code, &self.message([0; 4]))
    }

    fn mint(&self, form: Form, prefix: &str, keys: &MailKeys) -> String {
        let mut message = Vec::new();
        let (_, mac) = keys.keys.sign(|kid| {
            message = self.message(kid);
            keys.input(form, &message)
        });
        message.extend(mac.as_ref());
        format!("{prefix}{}", BASE64URL_NOPAD.encode(&message))
    }

    fn read(
        form: Form,
        encoded: Option<&str>,
        keys: &MailKeys,
        now: Timestamp,
    ) -> Result<Self, MailTokenError> {
        let malformed = MailTokenError::Malformed;
        let encoded = encoded.filter(|text| text.len() == ENCODED_BYTES).ok_or(malformed)?;
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| malformed)?;
        let (message, mac) = bytes.split_at_checked(MESSAGE_BYTES).ok_or(malformed)?;
        let ([version, kid @ ..], rest) = message.split_first_chunk::<5>().ok_or(malformed)?;
        let ([purpose, id @ ..], expires_at) = rest.split_first_chunk::<17>().ok_or(malformed)?;
        let expires_at = <[u8; 8]>::try_from(expires_at).map_err(|_| malformed)?;
        let purpose = Purpose::of_byte(*purpose).filter(|_| *version == VERSION).ok_or(malformed)?;
        match keys.keys.verify(*kid, &keys.input(form, message), mac) {
            None => return Err(MailTokenError::UnknownKey),
            Some(false) => return Err(MailTokenError::Forged),
            Some(true) => {}
        }
        let expires_at = Timestamp::from_seconds(u64::from_be_bytes(expires_at));
        if expires_at <= now {
            return Err(MailTokenError::Expired);
        }
        Ok(Self { purpose, id: OutboxId(*id), expires_at })
    }
}

/// Eight digits of a digest. The bias of the remainder is below 2⁻³⁷.
fn digits(digest: [u8; 32]) -> String {
    format!("{:08}", u64::from_be_bytes(prefix(&digest)) % CODES)
}

#[cfg(test)]
mod tests;
