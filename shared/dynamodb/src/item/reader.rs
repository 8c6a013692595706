//! Reading of attributes.

use super::{CLAIMS, EMAIL, EMAIL_UNDELIVERABLE, EMAIL_VERIFIED, Item, SCOPE};
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::account::{Email, Undeliverable};
use daypass_core::ports::store::StoreError;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;

/// Reads attributes. Its errors name the attribute that is missing or malformed.
pub(super) struct Reader<'a> {
    pub(super) table: &'static str,
    pub(super) item: &'a Item,
}

impl<'a> Reader<'a> {
    pub(super) fn odd(&self, name: &str) -> StoreError {
        StoreError::Broken(format!(
            "an item of the {} table has no readable attribute `{name}`: was it written by something else?",
            self.table
        ))
    }

    pub(super) fn text(&self, name: &str) -> Result<&'a str, StoreError> {
        let value = self.item.get(name).and_then(|value| value.as_s().ok());
        value.map(String::as_str).ok_or_else(|| self.odd(name))
    }

    pub(super) fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        parse(self.text(name)?).ok_or_else(|| self.odd(name))
    }

    pub(super) fn digits(&self, name: &str) -> Result<&'a str, StoreError> {
        let value = self.item.get(name).and_then(|value| value.as_n().ok());
        value.map(String::as_str).ok_or_else(|| self.odd(name))
    }

    pub(super) fn number(&self, name: &str) -> Result<u32, StoreError> {
        self.digits(name)?.parse().map_err(|_| self.odd(name))
    }

    pub(super) fn time(&self, name: &str) -> Result<Timestamp, StoreError> {
        parse_time(self.digits(name)?).ok_or_else(|| self.odd(name))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, StoreError> {
        let value = self.item.get(name).and_then(|value| value.as_bool().ok());
        value.copied().ok_or_else(|| self.odd(name))
    }

    pub(super) fn bytes<T>(&self, name: &str, parse: impl Fn(&[u8]) -> Option<T>) -> Result<T, StoreError> {
        let value = self.item.get(name).and_then(|value| value.as_b().ok());
        value.and_then(|bytes| parse(bytes.as_ref())).ok_or_else(|| self.odd(name))
    }

    pub(super) fn scope(&self) -> Result<Scope, StoreError> {
        let Some(value) = self.item.get(SCOPE) else { return Ok(Scope::default()) };
        let words = value.as_ss().map_err(|_| self.odd(SCOPE))?;
        Scope::parse(&words.join(" ")).map_err(|_| self.odd(SCOPE))
    }

    pub(super) fn email(&self) -> Result<Option<Email>, StoreError> {
        let Some(address) = self.optional(EMAIL, |read, name| {
            // An address that is not normalised would not be found by its claim.
            read.parsed(name, |text| {
                EmailAddress::parse(text).ok().filter(|address| address.as_str() == text)
            })
        })?
        else {
            return Ok(None);
        };
        Ok(Some(Email {
            address,
            verified: self.flag(EMAIL_VERIFIED)?,
            undeliverable: self
                .optional(EMAIL_UNDELIVERABLE, |read, name| read.parsed(name, Undeliverable::parse))?,
        }))
    }

    pub(super) fn claims(&self) -> Result<Claims, StoreError> {
        let claims =
            self.optional(CLAIMS, |read, name| read.parsed(name, |text| Claims::stored(text).ok()))?;
        Ok(claims.unwrap_or_default())
    }

    pub(super) fn optional<T>(
        &self,
        name: &str,
        read: impl Fn(&Self, &str) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if self.item.contains_key(name) { read(self, name).map(Some) } else { Ok(None) }
    }
}

/// Reads seconds with up to three decimals. DynamoDB drops trailing zeros: `.120` comes back as `.12`.
fn parse_time(number: &str) -> Option<Timestamp> {
    let (seconds, decimals) = number.split_once('.').unwrap_or((number, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis: u64 = format!("{decimals:0<3}").parse().ok()?;
    let seconds: u64 = seconds.parse().ok()?;
    Some(Timestamp::from_millis(seconds.checked_mul(1000)?.checked_add(millis)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_milliseconds_through_a_database_that_trims_zeros() {
        for (text, millis) in [
            ("1763926785", Some(1_763_926_785_000)),
            ("1763926785.1", Some(1_763_926_785_100)),
            ("1763926785.12", Some(1_763_926_785_120)),
            ("1763926785.007", Some(1_763_926_785_007)),
            ("1763926785.0071", None),
            ("1763926785.+1", None),
            ("-1", None),
            ("1e9", None),
            ("", None),
            (".5", None),
            ("99999999999999999999", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(parse_time(text).map(Timestamp::millis), millis, "{text}");
        }
    }
}
