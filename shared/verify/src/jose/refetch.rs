//! The times at which a verifier fetches the keys of the issuer.

use crate::base::time::Timestamp;
use std::time::Duration;

/// Time between two fetches while there are no keys. Until then every request is an error.
const WITHOUT_KEYS: Duration = Duration::from_secs(1);

/// The reason for a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The keys have reached their greatest age, or there are none.
    Age,
    /// A token names an unknown `kid`.
    UnknownKid,
}

/// Decides when to fetch keys: at most once per interval, whatever tokens arrive, and once per second while there are
/// none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefetchTimer {
    interval: Duration,
    max_age: Duration,
    /// Whether the configuration has keys, whose age is unknown.
    fallback: bool,
    asked_at: Option<Timestamp>,
    renewed_at: Option<Timestamp>,
}

impl RefetchTimer {
    /// A timer for at most one fetch per `interval`, and for keys up to `max_age` old. With `fallback` the
    /// configuration has keys of unknown age; the first fetch is due at once nevertheless.
    #[must_use]
    pub const fn new(interval: Duration, max_age: Duration, fallback: bool) -> Self {
        Self { interval, max_age, fallback, asked_at: None, renewed_at: None }
    }

    /// Whether a fetch is due.
    #[must_use]
    pub fn is_due(&self, need: Need, now: Timestamp) -> bool {
        // After a clock was set back, a fetch is due. Otherwise the timer would wait until the clock has caught up.
        let passed = |since: Option<Timestamp>, time: Duration| {
            since.is_none_or(|since| now < since || now.since(since) >= time)
        };
        let needed = need == Need::UnknownKid || passed(self.renewed_at, self.max_age);
        let without_keys = self.renewed_at.is_none() && !self.fallback;
        let interval = if without_keys { self.interval.min(WITHOUT_KEYS) } else { self.interval };
        needed && passed(self.asked_at, interval)
    }

    /// Notes that a fetch begins: no other one is due within the interval.
    pub fn ask(&mut self, now: Timestamp) {
        self.asked_at = Some(now);
    }

    /// Notes that a fetch brought good keys.
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
        // The issuer is down, and the keys of the configuration serve.
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
        // The issuer is down: the old keys stay, and the next fetch is due after the interval.
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
