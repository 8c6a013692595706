//! When a verifier asks the issuer for its keys.

use crate::base::time::Timestamp;
use std::time::Duration;

/// How long to wait before the issuer is asked again while there are no keys at all: until then nobody gets in.
const WITHOUT_KEYS: Duration = Duration::from_secs(1);

/// Why keys might be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// They are as old as they may get, or there are none.
    Age,
    /// A token names a `kid` that is not among them.
    UnknownKid,
}

/// Decides when keys are fetched: never twice within the interval, whatever tokens come. (Within a second, while there are
/// none.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefetchTimer {
    interval: Duration,
    max_age: Duration,
    /// Whether there are keys to go on with that nobody knows the age of.
    fallback: bool,
    asked_at: Option<Timestamp>,
    renewed_at: Option<Timestamp>,
}

impl RefetchTimer {
    /// At most one request within `interval`; keys older than `max_age` are renewed. `fallback`: there are keys of the
    /// configuration, which may be of any age. The issuer's are asked for all the same.
    #[must_use]
    pub const fn new(interval: Duration, max_age: Duration, fallback: bool) -> Self {
        Self { interval, max_age, fallback, asked_at: None, renewed_at: None }
    }

    /// Whether the issuer is to be asked now.
    #[must_use]
    pub fn is_due(&self, need: Need, now: Timestamp) -> bool {
        // A clock that was set back must not silence us until it has caught up.
        let passed = |since: Option<Timestamp>, time: Duration| {
            since.is_none_or(|since| now < since || now.since(since) >= time)
        };
        let needed = need == Need::UnknownKid || passed(self.renewed_at, self.max_age);
        let without_keys = self.renewed_at.is_none() && !self.fallback;
        let interval = if without_keys { self.interval.min(WITHOUT_KEYS) } else { self.interval };
        needed && passed(self.asked_at, interval)
    }

    /// The issuer is being asked: nobody else does so within the interval.
    pub fn ask(&mut self, now: Timestamp) {
        self.asked_at = Some(now);
    }

    /// Good keys came.
    pub fn renewed(&mut self, now: Timestamp) {
        self.renewed_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    fn after(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    fn timer(renewed_at: Option<Timestamp>) -> RefetchTimer {
        let mut timer = RefetchTimer::new(Duration::from_secs(60), Duration::from_secs(900), false);
        renewed_at.into_iter().for_each(|at| timer.renewed(at));
        timer
    }

    #[test]
    fn without_keys_they_are_fetched_at_once_and_after_a_failure_again_in_a_second() {
        let mut timer = timer(None);
        assert!(timer.is_due(Need::Age, NOW));
        timer.ask(NOW);
        assert!(!timer.is_due(Need::Age, NOW + Duration::from_millis(999)));
        assert!(timer.is_due(Need::Age, after(1)));
        timer.ask(after(1));
        timer.renewed(after(1));
        assert!(!timer.is_due(Need::UnknownKid, after(2)), "with keys the interval holds");
    }

    #[test]
    fn keys_of_any_age_are_renewed_at_once_and_then_no_sooner_than_others() {
        let mut timer = RefetchTimer::new(Duration::from_secs(60), Duration::from_secs(900), true);
        assert!(timer.is_due(Need::Age, NOW));
        timer.ask(NOW);
        // The issuer is down, and they serve.
        assert!(!timer.is_due(Need::Age, after(59)));
        assert!(timer.is_due(Need::Age, after(60)));
    }

    #[test]
    fn a_thousand_unknown_kids_are_one_request_within_the_interval() {
        let mut timer = timer(Some(NOW));
        assert!(!timer.is_due(Need::Age, NOW));
        assert!(timer.is_due(Need::UnknownKid, NOW));
        timer.ask(NOW);
        timer.renewed(NOW);
        for second in 0..60 {
            assert!(!timer.is_due(Need::UnknownKid, after(second)));
        }
        assert!(timer.is_due(Need::UnknownKid, after(60)));
    }

    #[test]
    fn old_keys_are_renewed() {
        let mut timer = timer(Some(NOW));
        assert!(!timer.is_due(Need::Age, after(899)));
        assert!(timer.is_due(Need::Age, after(900)));
        timer.ask(after(900));
        // The issuer is down: the old keys stay, and it is asked again after the interval.
        assert!(!timer.is_due(Need::Age, after(959)));
        assert!(timer.is_due(Need::Age, after(960)));
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let mut timer = timer(Some(after(5000)));
        timer.ask(after(5000));
        assert!(timer.is_due(Need::Age, NOW) && timer.is_due(Need::UnknownKid, NOW));
    }
}
