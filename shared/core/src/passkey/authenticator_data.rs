//! Authenticator data (WebAuthn section 6.1): what the authenticator has signed.

use super::{Fault, MAX_CREDENTIAL_ID_BYTES};
use crate::passkey::key::PublicKey;

/// The flags of authenticator data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Flags(u8);

impl Flags {
    pub(super) const fn user_present(self) -> bool {
        self.0 & 0x01 != 0
    }

    pub(super) const fn user_verified(self) -> bool {
        self.0 & 0x04 != 0
    }

    pub(super) const fn backup_eligible(self) -> bool {
        self.0 & 0x08 != 0
    }

    pub(super) const fn backed_up(self) -> bool {
        self.0 & 0x10 != 0
    }

    const fn has_attested_data(self) -> bool {
        self.0 & 0x40 != 0
    }

    const fn has_extensions(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// The new credential in the authenticator data of a registration (WebAuthn section 6.5.1).
#[derive(Debug)]
pub(super) struct Attested<'a> {
    pub(super) credential_id: &'a [u8],
    pub(super) public_key: PublicKey,
}

/// Parsed authenticator data. Extensions are ignored.
#[derive(Debug)]
pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: &'a [u8; 32],
    pub(super) flags: Flags,
    pub(super) sign_count: u32,
    pub(super) attested: Option<Attested<'a>>,
}

impl<'a> AuthenticatorData<'a> {
    /// Parses the bytes, all of them.
    ///
    /// # Errors
    /// The [`Fault`] of the first part that is not as the flags say.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let wrong = Fault::AuthenticatorData;
        let (rp_id_hash, rest) = bytes.split_first_chunk::<32>().ok_or(wrong)?;
        let (flags, rest) = rest.split_first().ok_or(wrong)?;
        let (sign_count, rest) = rest.split_first_chunk::<4>().ok_or(wrong)?;
        let flags = Flags(*flags);
        let (attested, rest) = if flags.has_attested_data() {
            let (attested, rest) = Attested::split(rest)?;
            (Some(attested), rest)
        } else {
            (None, rest)
        };
        if rest.is_empty() == flags.has_extensions() {
            return Err(wrong);
        }
        Ok(Self { rp_id_hash, flags, sign_count: u32::from_be_bytes(*sign_count), attested })
    }
}

impl<'a> Attested<'a> {
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Fault> {
        let wrong = Fault::AuthenticatorData;
        let (_aaguid, rest) = bytes.split_first_chunk::<16>().ok_or(wrong)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(wrong)?;
        let length = usize::from(u16::from_be_bytes(*length));
        if !(1..=MAX_CREDENTIAL_ID_BYTES).contains(&length) {
            return Err(Fault::CredentialId);
        }
        let (credential_id, rest) = rest.split_at_checked(length).ok_or(wrong)?;
        let (public_key, rest) = PublicKey::split(rest).ok_or(Fault::PublicKey)?;
        Ok((Self { credential_id, public_key }, rest))
    }
}
