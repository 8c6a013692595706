//! Second factors: what a user shows beside the password.

pub mod recovery;
pub mod totp;

use crate::factor::recovery::RecoveryDigest;
use crate::factor::totp::Totp;
use crate::keys::{FactorKeys, KeyError};
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::UserId;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// The second factors of a user, as the users table keeps them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Factors {
    /// The one-time codes of an app.
    pub totp: Option<EnrolledTotp>,
    /// Digests of the recovery codes that were not used yet.
    pub recovery: Vec<RecoveryDigest>,
    /// The credential ids of the passkeys, at most [`MAX_PASSKEYS`].
    pub passkeys: Vec<Vec<u8>>,
    /// Whether an operator requires a second factor of this user.
    pub required: bool,
}

/// Most passkeys of a user.
pub const MAX_PASSKEYS: usize = 10;

/// The one-time codes of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolledTotp {
    /// The encrypted secret.
    pub sealed: Vec<u8>,
    /// The time step of the last accepted code. A code of this step or an earlier one is not accepted again.
    pub step: u64,
}

impl EnrolledTotp {
    /// Encrypts the secret and the parameters of a user's app. `step` is the time step of the last accepted code, 0 without one.
    ///
    /// # Errors
    /// [`KeyError`] when AWS-LC cannot encrypt.
    pub fn seal(
        totp: &Totp,
        user: UserId,
        step: u64,
        keys: &FactorKeys,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeyError> {
        let sealed = keys.seal(totp.to_bytes().expose(), &bound_to(user), entropy)?;
        Ok(Self { sealed, step })
    }
}

impl fmt::Debug for EnrolledTotp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolledTotp(step {})", self.step)
    }
}

impl fmt::Debug for Factors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Factors({:?}, {} recovery codes)", self.kinds(), self.recovery.len())
    }
}

impl Factors {
    /// The kinds that a login of this user can show, none for a user without a second factor.
    #[must_use]
    pub fn kinds(&self) -> Vec<FactorKind> {
        // Recovery codes replace a lost factor, and are none by themselves.
        let has_codes = self.is_enrolled() && !self.recovery.is_empty();
        let kinds = [
            (FactorKind::Totp, self.totp.is_some()),
            (FactorKind::RecoveryCode, has_codes),
            (FactorKind::Passkey, !self.passkeys.is_empty()),
        ];
        kinds.into_iter().filter(|(_, has)| *has).map(|(kind, _)| kind).collect()
    }

    /// Whether a login of this user needs a second factor.
    #[must_use]
    pub const fn is_enrolled(&self) -> bool {
        self.totp.is_some() || !self.passkeys.is_empty()
    }

    /// Whether this user has no second factor and must have one, for a client that requires it or not.
    #[must_use]
    pub const fn must_enrol(&self, client_requires: bool) -> bool {
        !self.is_enrolled() && (self.required || client_requires)
    }
}

/// Longest lifetime of a session that is open for an enrolment alone.
pub const ENROLMENT_SESSION: Duration = Duration::from_secs(3600);

/// A kind of second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorKind {
    /// A one-time code of an app (RFC 6238).
    Totp,
    /// A recovery code.
    RecoveryCode,
    /// A passkey.
    Passkey,
}

/// What binds an encrypted secret to its user: the associated data of the encryption.
pub(crate) fn bound_to(user: UserId) -> Vec<u8> {
    [b"daypass totp of ".as_slice(), user.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_codes_alone_are_no_factor() {
        let digest = RecoveryDigest::from_bytes(&[1; 16]).unwrap();
        let only = Factors { recovery: vec![digest], ..Factors::default() };
        assert!(!only.is_enrolled() && only.kinds().is_empty());
        let totp = Some(EnrolledTotp { sealed: vec![1], step: 7 });
        let both = Factors { totp, ..only };
        assert_eq!(both.kinds(), [FactorKind::Totp, FactorKind::RecoveryCode]);
        assert!(both.is_enrolled());
        assert_eq!(Factors { recovery: Vec::new(), ..both.clone() }.kinds(), [FactorKind::Totp]);
        let passkeys = vec![vec![1]];
        let passkey = Factors { passkeys, totp: None, ..both.clone() };
        assert_eq!(passkey.kinds(), [FactorKind::RecoveryCode, FactorKind::Passkey]);
        assert!(passkey.is_enrolled() && !passkey.must_enrol(true));
        assert_eq!(format!("{both:?}"), "Factors([Totp, RecoveryCode], 1 recovery codes)");
    }
}
