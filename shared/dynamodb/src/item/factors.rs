//! Conversion of second factors to attributes of a user and back.

use super::{MFA, PASSKEYS, RECOVERY, Reader, TOTP, TOTP_STEP, binary, number};
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
    let passkeys = passkey_set(&factors.passkeys).map(|ids| (PASSKEYS.to_owned(), ids));
    totp.chain(recovery)
        .chain(passkeys)
        .chain(factors.required.then(|| (MFA.to_owned(), AttributeValue::Bool(true))))
}

/// The stored form of recovery codes: a set, of which one update can remove one digest. `None` without codes.
pub(crate) fn recovery_set(digests: &[RecoveryDigest]) -> Option<AttributeValue> {
    (!digests.is_empty()).then(|| recovery_set_of(digests))
}

/// As [`recovery_set`], for at least one digest: DynamoDB has no empty set.
pub(crate) fn recovery_set_of(digests: &[RecoveryDigest]) -> AttributeValue {
    AttributeValue::Bs(digests.iter().map(|digest| digest.as_bytes().to_vec().into()).collect())
}

/// The stored form of credential ids. `None` without passkeys.
pub(crate) fn passkey_set(ids: &[Vec<u8>]) -> Option<AttributeValue> {
    (!ids.is_empty()).then(|| AttributeValue::Bs(ids.iter().map(|id| id.clone().into()).collect()))
}

impl Reader<'_> {
    /// Reads the second factors of a user.
    pub(super) fn factors(&self) -> Result<Factors, StoreError> {
        let sealed = self.optional(TOTP, |read, name| read.bytes(name, |bytes| Some(bytes.to_vec())))?;
        let step = |read: &Self| read.digits(TOTP_STEP)?.parse().map_err(|_| read.odd(TOTP_STEP));
        let totp = sealed.map(|sealed| Ok(EnrolledTotp { sealed, step: step(self)? })).transpose()?;
        let recovery = self.set(RECOVERY, RecoveryDigest::from_bytes)?;
        let passkeys = self.set(PASSKEYS, |bytes| Some(bytes.to_vec()))?;
        let required = self.optional(MFA, Reader::flag)?.unwrap_or(false);
        Ok(Factors { totp, recovery, passkeys, required })
    }

    /// Reads a set of binary values, in order: a set has none.
    fn set<T: Ord>(&self, name: &str, parse: impl Fn(&[u8]) -> Option<T>) -> Result<Vec<T>, StoreError> {
        let values = self.optional(name, |read, name| {
            let set = read.item.get(name).and_then(|value| value.as_bs().ok());
            let values = set.into_iter().flatten().map(|bytes| parse(bytes.as_ref()));
            let mut values = values.collect::<Option<Vec<_>>>().filter(|_| set.is_some());
            values.iter_mut().for_each(|values| values.sort_unstable());
            values.ok_or_else(|| read.odd(name))
        })?;
        Ok(values.unwrap_or_default())
    }
}
