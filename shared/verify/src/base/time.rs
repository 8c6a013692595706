//! Times as values, and the port for the current time.

use std::fmt;
use std::time::Duration;

/// Greatest clock skew between two processes. A verifier accepts a token for this much longer (RFC 9068 §4 allows "no
/// more than a few minutes"), and the revocation feed keeps an entry for this much longer. With a greater skew, new
/// access tokens are rejected.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(30);

/// An instant in milliseconds since the Unix epoch.
///
/// Tokens and TTL attributes have whole seconds ([`Timestamp::seconds`]). The grace period is compared in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant of a number of whole seconds since the epoch (a JWT `NumericDate`, a DynamoDB TTL value).
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// The instant of a number of milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The instant that is `by` earlier; at least the epoch.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time since `earlier`; zero when it is in the future, as clocks of two machines may differ.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whether `time` has passed since `earlier`. If `earlier` lies in the future, the clock was set back: then it has, so that
    /// nothing waits until the clock has caught up.
    #[must_use]
    pub fn has_passed(self, earlier: Self, time: Duration) -> bool {
        self < earlier || self.since(earlier) >= time
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1000, self.0 % 1000)
    }
}

/// The source of the current time. The one real implementation reads the system clock.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_runs_behind_sees_no_negative_age() {
        let earlier = Timestamp::from_seconds(100);
        assert_eq!(Timestamp::from_seconds(98).since(earlier), Duration::ZERO);
        assert_eq!((earlier + Duration::from_millis(1500)).since(earlier), Duration::from_millis(1500));
    }

    #[test]
    fn a_time_has_passed_at_its_end_and_after_the_clock_was_set_back() {
        let check = |now: u64, expected: bool| {
            let passed =
                Timestamp::from_millis(now).has_passed(Timestamp::from_seconds(100), Duration::from_secs(5));
            assert_eq!(passed, expected, "{now}");
        };
        check(100_000, false);
        check(104_999, false);
        check(105_000, true);
        check(99_999, true);
    }
}
