//! The two ceremonies: registration (WebAuthn section 7.1) and authentication (section 7.2).
//!
//! An authentication has two steps. The first needs no credential, so a forged response costs no request to the store. The
//! second compares with the stored credential.

use super::authenticator_data::AuthenticatorData;
use super::challenge::{Challenge, Purpose};
use super::client_data::{self, Kind};
use super::relying_party::RelyingParty;
use super::{Credential, Fault};
use crate::keys::RefreshKeys;
use aws_lc_rs::digest;
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::UserId;
use daypass_verifier::base::time::Timestamp;

/// One ceremony: its relying party, purpose and time.
#[derive(Debug, Clone, Copy)]
pub struct Ceremony<'a> {
    /// The domain and its origins.
    pub party: &'a RelyingParty,
    /// The keys of challenges.
    pub keys: &'a RefreshKeys,
    /// What the challenge is for.
    pub purpose: Purpose,
    /// The time.
    pub now: Timestamp,
}

/// The response of an authenticator to a registration (`AuthenticatorAttestationResponse`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The credential id, as the browser names it.
    pub id: Vec<u8>,
    /// The bytes of `clientDataJSON`.
    pub client_data: Vec<u8>,
    /// What `getAuthenticatorData()` returns.
    pub authenticator_data: Vec<u8>,
}

/// The response of an authenticator to an authentication (`AuthenticatorAssertionResponse`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// The credential id, as the browser names it.
    pub id: Vec<u8>,
    /// The bytes of `clientDataJSON`.
    pub client_data: Vec<u8>,
    /// The bytes of `authenticatorData`.
    pub authenticator_data: Vec<u8>,
    /// The signature over the authenticator data and the SHA-256 of the client data.
    pub signature: Vec<u8>,
    /// The user handle, which discoverable credentials have.
    pub user_handle: Option<Vec<u8>>,
}

impl Ceremony<'_> {
    /// A new challenge, in base64url.
    #[must_use]
    pub fn challenge(&self, entropy: &dyn Entropy) -> String {
        Challenge::generate(self.now, entropy).seal(self.purpose, self.party, self.keys)
    }

    /// Checks a registration. Returns the new credential, and the challenge that it used.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn register(&self, response: &Attestation, user: UserId) -> Result<(Credential, Challenge), Fault> {
        let challenge = self.client_data(&response.client_data, Kind::Registration)?;
        let data = AuthenticatorData::parse(&response.authenticator_data)?;
        self.check_flags(&data)?;
        let attested = data.attested.ok_or(Fault::AttestedData)?;
        if attested.credential_id != response.id {
            return Err(Fault::CredentialId);
        }
        let credential = Credential {
            id: response.id.clone(),
            user,
            public_key: attested.public_key,
            sign_count: data.sign_count,
            backup_eligible: data.flags.backup_eligible(),
            backed_up: data.flags.backed_up(),
            verifies_user: data.flags.user_verified(),
        };
        Ok((credential, challenge))
    }

    /// The first step of an authentication: all checks that need no credential.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn authenticate<'r>(&self, response: &'r Assertion) -> Result<Presented<'r>, Fault> {
        let challenge = self.client_data(&response.client_data, Kind::Authentication)?;
        let data = AuthenticatorData::parse(&response.authenticator_data)?;
        self.check_flags(&data)?;
        if data.attested.is_some() {
            return Err(Fault::AttestedData);
        }
        // A login has no name, so the handle must name the user (step 6).
        if self.purpose == Purpose::Login && response.user_handle.is_none() {
            return Err(Fault::UserHandle);
        }
        Ok(Presented { response, data, challenge, is_login: self.purpose == Purpose::Login })
    }

    fn client_data(&self, bytes: &[u8], kind: Kind) -> Result<Challenge, Fault> {
        let challenge = client_data::check(bytes, kind, self.party)?;
        Challenge::authenticate(&challenge, self.purpose, self.party, self.keys, self.now)
    }

    fn check_flags(&self, data: &AuthenticatorData<'_>) -> Result<(), Fault> {
        let flags = data.flags;
        if data.rp_id_hash != self.party.id_hash() {
            return Err(Fault::RelyingParty);
        }
        if !flags.user_present() {
            return Err(Fault::NotPresent);
        }
        if flags.backed_up() && !flags.backup_eligible() {
            return Err(Fault::Backup);
        }
        Ok(())
    }
}

/// An assertion that has passed the checks that need no credential.
#[derive(Debug)]
pub struct Presented<'r> {
    response: &'r Assertion,
    data: AuthenticatorData<'r>,
    /// The challenge of the ceremony, which the store has to note.
    pub challenge: Challenge,
    is_login: bool,
}

impl Presented<'_> {
    /// The second step: compares with the stored credential. Returns it as it is after this use.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn verify(&self, stored: &Credential) -> Result<Used, Fault> {
        let (response, data) = (self.response, &self.data);
        if response.id != stored.id {
            return Err(Fault::CredentialId);
        }
        if response.user_handle.as_ref().is_some_and(|handle| handle != stored.user.as_bytes()) {
            return Err(Fault::UserHandle);
        }
        if data.flags.backup_eligible() != stored.backup_eligible {
            return Err(Fault::Backup);
        }
        // A thief without the PIN can ask the authenticator for a response without user verification.
        if self.is_login && stored.verifies_user && !data.flags.user_verified() {
            return Err(Fault::NotVerified);
        }
        let hash = digest::digest(&digest::SHA256, &response.client_data);
        let message = [response.authenticator_data.as_slice(), hash.as_ref()].concat();
        if !stored.public_key.verifies(&message, &response.signature) {
            return Err(Fault::Signature);
        }
        // 0 is the counter of an authenticator that does not count (section 6.1.1).
        let counts = data.sign_count != 0 || stored.sign_count != 0;
        if counts && data.sign_count <= stored.sign_count {
            return Err(Fault::Counter);
        }
        Ok(Used {
            sign_count: data.sign_count,
            backed_up: data.flags.backed_up(),
            user_verified: stored.verifies_user && data.flags.user_verified(),
        })
    }
}

/// What changes in a credential when it is used, and what the use has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// The new signature counter.
    pub sign_count: u32,
    /// Whether the credential has copies on other devices.
    pub backed_up: bool,
    /// Whether the authenticator has verified its person, now and at the registration. Then the passkey is two factors.
    pub user_verified: bool,
}
