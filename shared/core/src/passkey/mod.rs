//! Passkeys: the two ceremonies of WebAuthn level 3 (<https://www.w3.org/TR/webauthn-3/>), registration (section 7.1) and
//! authentication (section 7.2), without I/O.
//!
//! Daypass asks for no attestation, so it needs no general CBOR: the authenticator data have a fixed layout, and the public key
//! in them has one of three shapes ([`key`]). Each check of the two sections is one [`Fault`], and `tests.rs` has a test of each.

pub mod authenticator_data;
pub mod ceremony;
pub mod challenge;
mod client_data;
pub mod key;
pub mod relying_party;
#[cfg(test)]
mod tests;

use crate::passkey::key::PublicKey;
use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use daypass_verifier::base::digest::prefix;
use daypass_verifier::base::ids::UserId;
use serde::Serialize;
use std::fmt;

/// Longest credential id in bytes (WebAuthn section 7.1, step 25).
pub const MAX_CREDENTIAL_ID_BYTES: usize = 1023;

/// A check that a response of an authenticator has failed, for the log. The response to the caller does not contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// `clientDataJSON` is not one JSON object with distinct members, or a member that is needed is absent or of another type.
    ClientData,
    /// `type` is that of the other ceremony.
    Type,
    /// The challenge is malformed, forged, of another purpose or of another user.
    Challenge,
    /// The challenge has expired.
    ChallengeExpired,
    /// The page is not of a configured origin.
    Origin,
    /// The page was in a frame of another origin (`crossOrigin` or `topOrigin`).
    CrossOrigin,
    /// The authenticator data are shorter or longer than their flags say.
    AuthenticatorData,
    /// The hash of the relying party's id is another one.
    RelyingParty,
    /// The flag UP is not set: no person was present.
    NotPresent,
    /// The flag UV is not set: the authenticator has not verified its person, and did so at the registration.
    NotVerified,
    /// The flags of the backup contradict each other, or the registration.
    Backup,
    /// A registration without the new credential, or an authentication with one (flag AT).
    AttestedData,
    /// The credential id is empty or too long, or another one than the response names.
    CredentialId,
    /// The key is not one of the three shapes, or not valid.
    PublicKey,
    /// `userHandle` is absent or of another user.
    UserHandle,
    /// The signature does not verify.
    Signature,
    /// The signature counter has not grown: there are two copies of the credential.
    Counter,
}

/// The id of a passkey: 16 bytes of the SHA-256 of its credential id. It has one length, and credential ids have any.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PasskeyId([u8; 16]);

impl PasskeyId {
    const PREFIX: &'static str = "psk_";

    /// The id of the passkey with this credential id.
    #[must_use]
    pub fn of(credential_id: &[u8]) -> Self {
        Self(prefix(digest::digest(&digest::SHA256, credential_id).as_ref()))
    }

    /// Parses the text form; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.strip_prefix(Self::PREFIX)?.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for PasskeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for PasskeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for PasskeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A registered credential (WebAuthn section 4, "credential record").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The id that the authenticator chose.
    pub id: Vec<u8>,
    /// The user whose `userHandle` the authenticator keeps.
    pub user: UserId,
    /// The key that verifies its signatures.
    pub public_key: PublicKey,
    /// The last signature counter; 0 for an authenticator that does not count.
    pub sign_count: u32,
    /// Whether the authenticator may copy the credential to other devices (flag BE). It never changes.
    pub backup_eligible: bool,
    /// Whether it has done so (flag BS).
    pub backed_up: bool,
    /// Whether the authenticator verified its person at the registration (flag UV; `uvInitialized` of the specification). It never
    /// changes: the finder of an authenticator without a PIN can set one.
    pub verifies_user: bool,
}

impl Credential {
    /// The id of the passkey.
    #[must_use]
    pub fn passkey_id(&self) -> PasskeyId {
        PasskeyId::of(&self.id)
    }
}
