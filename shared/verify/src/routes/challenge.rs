//! The challenge of RFC 9470: which authentication a route needs.

use crate::base::time::{MAX_CLOCK_SKEW, Timestamp};
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;

/// The authentication that a denied request needs (RFC 9470 §3). `Display` writes the value of `WWW-Authenticate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Challenge {
    /// Whether two factors are needed: `acr_values` is then `2`.
    pub two_factors: bool,
    /// Greatest age of the authentication in seconds: `max_age`.
    pub max_age: Option<u64>,
}

impl Challenge {
    /// The error code (RFC 9470 §3).
    pub const ERROR: &'static str = "insufficient_user_authentication";

    /// `acr_values`, if two factors are needed.
    #[must_use]
    pub fn acr_values(&self) -> Option<&'static str> {
        self.two_factors.then_some("2")
    }

    /// Whether an authentication meets the challenge: its time, and whether it was by two factors. The clock of the issuer can be
    /// ahead, but not by more than [`MAX_CLOCK_SKEW`].
    #[must_use]
    pub fn is_met(&self, at: Option<Timestamp>, two_factors: bool, now: Timestamp) -> bool {
        let is_recent = |seconds| {
            at.is_some_and(|at| at <= now + MAX_CLOCK_SKEW && now.since(at) <= Duration::from_secs(seconds))
        };
        (two_factors || !self.two_factors) && self.max_age.is_none_or(is_recent)
    }

    /// The parameters of the challenge as members of a JSON object: `acr_values` and `max_age`, if they are there.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        let acr = self.acr_values().map(|acr| ("acr_values", acr.into()));
        let max_age = self.max_age.map(|seconds| ("max_age", seconds.into()));
        [acr, max_age].into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// A challenge that meets both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            two_factors: self.two_factors || other.two_factors,
            max_age: self.max_age.into_iter().chain(other.max_age).min(),
        }
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearer error=\"{}\"", Self::ERROR)?;
        if let Some(acr) = self.acr_values() {
            write!(f, ", acr_values=\"{acr}\"")?;
        }
        self.max_age.map_or(Ok(()), |seconds| write!(f, ", max_age=\"{seconds}\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_a_header_of_rfc_9470() {
        let check = |two_factors, max_age, expected: &str| {
            let expected = format!("Bearer error=\"insufficient_user_authentication\"{expected}");
            assert_eq!(Challenge { two_factors, max_age }.to_string(), expected);
        };
        check(true, None, ", acr_values=\"2\"");
        check(false, Some(300), ", max_age=\"300\"");
        check(true, Some(300), ", acr_values=\"2\", max_age=\"300\"");
    }

    #[test]
    fn the_stricter_of_two_challenges_meets_both() {
        let one = Challenge { two_factors: true, max_age: Some(600) };
        let other = Challenge { two_factors: false, max_age: Some(300) };
        assert_eq!(one.and(other), Challenge { two_factors: true, max_age: Some(300) });
        assert_eq!(Challenge::default().and(one), one);
    }
}
