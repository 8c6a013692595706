//! Conversion of second factors to attributes of a user and back.

use super::{MFA, RECOVERY, Reader, TOTP, TOTP_STEP, binary, number};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::factor::recovery::RecoveryDigest;
use daypass_core::factor::{EnrolledTotp, Factors};
use daypass_core::ports::store::StoreError;

/// The attributes of second factors.
pub(super) fn from_factors(factors: &Factors) -> impl Iterator<Item = (String, AttributeValue)> {
    let totp = factors.totp.iter().flat_map(|totp| {
        [(TOTP.to_owned(), binary(&totp.sealed)), (TOTP_STEP.to_owned(), number(totp.step))]
    });
    let recovery = recovery_set(&factors.recovery).map(|digests| (RECOVERY.to_owned(), digests));
    totp.chain(recovery).chain(factors.required.then(|| (MFA.to_owned(), AttributeValue::Bool(true))))
}

/// The stored form of recovery codes: a set, of which one update can remove one digest. `None` without codes.
pub(crate) fn recovery_set(digests: &[RecoveryDigest]) -> Option<AttributeValue> {
    (!digests.is_empty()).then(|| recovery_set_of(digests))
}

/// As [`recovery_set`], for at least one digest: DynamoDB has no empty set.
pub(crate) fn recovery_set_of(digests: &[RecoveryDigest]) -> AttributeValue {
    AttributeValue::Bs(digests.iter().map(|digest| digest.as_bytes().to_vec().into()).collect())
}

impl Reader<'_> {
    /// Reads the second factors of a user.
    pub(super) fn factors(&self) -> Result<Factors, StoreError> {
        let sealed = self.optional(TOTP, |read, name| read.bytes(name, |bytes| Some(bytes.to_vec())))?;
        let step = |read: &Self| read.digits(TOTP_STEP)?.parse().map_err(|_| read.odd(TOTP_STEP));
        let totp = sealed.map(|sealed| Ok(EnrolledTotp { sealed, step: step(self)? })).transpose()?;
        let recovery = self.optional(RECOVERY, |read, name| {
            let set = read.item.get(name).and_then(|value| value.as_bs().ok());
            let digests = set.into_iter().flatten().map(|bytes| RecoveryDigest::from_bytes(bytes.as_ref()));
            let mut digests = digests.collect::<Option<Vec<_>>>().filter(|_| set.is_some());
            // A set has no order.
            digests.iter_mut().for_each(|digests| digests.sort_unstable());
            digests.ok_or_else(|| read.odd(name))
        })?;
        let required = self.optional(MFA, Reader::flag)?.unwrap_or(false);
        Ok(Factors { totp, recovery: recovery.unwrap_or_default(), required })
    }
}
