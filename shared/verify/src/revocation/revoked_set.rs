//! A follower's copy of the revocation list, and the times of its polls.

use crate::base::time::MAX_CLOCK_SKEW;
use crate::base::time::Timestamp;
use crate::revocation::{Answer, PAGE, SessionDigest};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most sessions that a follower remembers. A poll that brings more fails.
const MOST: usize = 1_000_000;
/// Most pages of one poll, so that each poll ends.
pub const MOST_PAGES: usize = MOST / PAGE + 2;
/// Greatest age of a response, apart from clock skew: half a second in the feed, a second in a cache, and a margin.
const MAX_ANSWER_AGE: Duration = Duration::from_secs(5);
/// Interval in which a follower removes old entries.
const SWEEP: Duration = Duration::from_secs(30);

/// The decision on a token when the list is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenStale {
    /// Decide by the stale list.
    Open,
    /// Respond with an error to every request.
    Closed,
}

/// The configuration of a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Shortest time between two polls.
    pub interval: Duration,
    /// Age from which the list is stale.
    pub stale_after: Duration,
    /// The decision while the list is stale.
    pub when_stale: WhenStale,
}

/// The request of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// The parameter `after`; without it, the request is for the whole list.
    pub after: Option<String>,
    /// The entity tag of the known response to this request, for `If-None-Match`.
    pub tag: Option<String>,
}

/// The state of a session according to the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// The list does not contain it.
    Live,
    /// The list contains it.
    Ended,
    /// The list is stale, and the configuration is [`WhenStale::Closed`].
    Stale,
}

/// The result of a poll, for the log. Each change is reported once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// The state is the same as before the poll.
    AsBefore,
    /// The feed answers again.
    Recovered,
    /// The first failure after a good response; the list is not stale yet.
    Failing,
    /// The list has become stale.
    Stale,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    Following,
    Failing,
    Stale,
}

/// A follower's copy of the list, with its age. All times are by its own clock, unless they say otherwise.
#[derive(Debug)]
pub struct RevokedSet {
    limits: Limits,
    /// Each entry with the second of the last response that contained it. A tree, because its time does not depend on
    /// the digests that a feed chooses.
    entries: BTreeMap<SessionDigest, u32>,
    keep: Duration,
    cursor: Option<String>,
    /// The request and the entity tag of the last response that moved no cursor.
    unmoved: Option<(String, String)>,
    asked_at: Option<Timestamp>,
    /// Time of the last poll with a good response.
    good_at: Option<Timestamp>,
    swept_at: Timestamp,
    condition: Condition,
}

impl RevokedSet {
    /// An empty list, which is stale from the start.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            keep: Duration::ZERO,
            cursor: None,
            unmoved: None,
            asked_at: None,
            good_at: None,
            swept_at: Timestamp::default(),
            condition: Condition::Following,
        }
    }

    /// Whether a poll is due.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.asked_at.is_none_or(|asked| now.has_passed(asked, self.limits.interval))
    }

    /// Whether no poll has failed since the last good response.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.condition == Condition::Following
    }

    /// Time since the last poll; `None` before the first one, and when the clock was set back.
    #[must_use]
    pub fn last_asked(&self, now: Timestamp) -> Option<Duration> {
        self.asked_at.filter(|asked| *asked <= now).map(|asked| now.since(asked))
    }

    /// Number of sessions on the list.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Looks up the session of a `sid` claim.
    #[must_use]
    pub fn lookup(&self, sid: &str, now: Timestamp) -> Lookup {
        if self.limits.when_stale == WhenStale::Closed && self.is_stale(now) {
            return Lookup::Stale;
        }
        // Mostly the list is empty.
        let ended = !self.entries.is_empty() && self.entries.contains_key(&SessionDigest::of(sid));
        if ended { Lookup::Ended } else { Lookup::Live }
    }

    /// Whether the list is stale.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.good_at.is_none_or(|good| now.has_passed(good, self.limits.stale_after))
    }

    /// Starts a poll, and returns its first request. No other poll is due within the interval.
    pub fn ask(&mut self, now: Timestamp) -> Poll {
        self.asked_at = Some(now);
        self.question()
    }

    /// The next request of the same poll.
    #[must_use]
    pub fn question(&self) -> Poll {
        let tag = self.unmoved.as_ref().filter(|(after, _)| self.cursor.as_ref() == Some(after));
        Poll { after: self.cursor.clone(), tag: tag.map(|(_, tag)| tag.clone()) }
    }

    /// Adds the entries of a page. No response removes an entry, so a false one can hide nothing.
    ///
    /// # Errors
    /// A text for the log when the list is full.
    pub fn told(
        &mut self,
        asked: &Poll,
        answer: Answer,
        tag: Option<String>,
        now: Timestamp,
    ) -> Result<(), String> {
        let second = u32::try_from(now.seconds()).unwrap_or(u32::MAX);
        for session in answer.sessions {
            if self.entries.len() >= MOST && !self.entries.contains_key(&session) {
                return Err(format!("more than {MOST} sessions ended"));
            }
            self.entries.insert(session, second);
        }
        // A feed that now keeps entries for a shorter time may have kept them longer before.
        self.keep = self.keep.max(answer.keep);
        let stays = asked.after.as_ref() == Some(&answer.cursor);
        self.unmoved = tag.filter(|_| stays).map(|tag| (answer.cursor.clone(), tag));
        self.cursor = Some(answer.cursor);
        Ok(())
    }

    /// Drops the cursor, which the feed does not know (any more): the next request is for the whole list.
    pub fn start_over(&mut self) {
        self.cursor = None;
        self.unmoved = None;
    }

    /// Checks the time of a response, by the feed's clock.
    ///
    /// # Errors
    /// A text for the log when it is not recent: a cache returned an old response, or a clock is wrong.
    pub fn is_recent(as_of: Timestamp, now: Timestamp) -> Result<(), String> {
        if as_of + MAX_ANSWER_AGE + MAX_CLOCK_SKEW < now {
            return Err(format!("the answer is {} s old", now.since(as_of).as_secs()));
        }
        if now + MAX_CLOCK_SKEW < as_of {
            return Err(format!("the answer is {} s ahead of the clock here", as_of.since(now).as_secs()));
        }
        Ok(())
    }

    /// Ends a poll that began at `asked`.
    pub fn finish(&mut self, good: bool, asked: Timestamp, now: Timestamp) -> Polled {
        if good {
            self.good_at = Some(asked);
        }
        self.sweep(now);
        let before = self.condition;
        self.condition = match good {
            true => Condition::Following,
            false if self.is_stale(now) => Condition::Stale,
            // A stale list was reported. A clock that is set back must not report it again.
            false => Condition::Failing.max(before),
        };
        match self.condition {
            after if before == after => Polled::AsBefore,
            Condition::Following => Polled::Recovered,
            Condition::Failing => Polled::Failing,
            Condition::Stale => Polled::Stale,
        }
    }

    /// Removes the entries that no valid token can name any more.
    fn sweep(&mut self, now: Timestamp) {
        if !now.has_passed(self.swept_at, SWEEP) {
            return;
        }
        self.swept_at = now;
        let (second, keep) = (now.seconds(), self.keep.as_secs());
        self.entries.retain(|_, told| second.saturating_sub(u64::from(*told)) < keep);
        if self.entries.is_empty() {
            self.keep = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    const LIMITS: Limits = Limits {
        interval: Duration::from_secs(5),
        stale_after: Duration::from_secs(60),
        when_stale: WhenStale::Open,
    };

    fn after(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    fn answer(cursor: &str, sids: &[&str]) -> Answer {
        Answer {
            cursor: cursor.to_owned(),
            more: false,
            keep: Duration::from_secs(390),
            sessions: sids.iter().map(|sid| SessionDigest::of(sid)).collect(),
        }
    }

    fn tell(known: &mut RevokedSet, answer: Answer, now: Timestamp) -> Polled {
        let asked = known.ask(now);
        known.told(&asked, answer, Some("\"t\"".to_owned()), now).unwrap();
        known.finish(true, now, now)
    }

    #[test]
    fn what_was_told_has_ended_until_no_token_is_left() {
        let mut known = RevokedSet::new(LIMITS);
        assert_eq!(known.lookup("ses_1", NOW), Lookup::Live);
        assert_eq!(tell(&mut known, answer("1.5", &["ses_1", "ses_2"]), NOW), Polled::AsBefore);
        assert_eq!((known.lookup("ses_1", NOW), known.lookup("ses_3", NOW)), (Lookup::Ended, Lookup::Live));
        // A second response contains one of them, which keeps it longer.
        tell(&mut known, answer("1.5", &["ses_2"]), after(100));
        tell(&mut known, answer("1.5", &[]), after(389));
        assert_eq!(known.len(), 2);
        tell(&mut known, answer("1.5", &[]), after(420));
        assert_eq!(
            (known.lookup("ses_1", after(420)), known.lookup("ses_2", after(420))),
            (Lookup::Live, Lookup::Ended)
        );
        tell(&mut known, answer("1.5", &[]), after(500));
        assert!(known.is_empty());
    }

    #[test]
    fn it_asks_once_in_an_interval() {
        let mut known = RevokedSet::new(LIMITS);
        assert!(known.is_due(NOW));
        assert_eq!(known.ask(NOW), Poll { after: None, tag: None });
        for seconds in 0..5 {
            assert!(!known.is_due(after(seconds)));
        }
        assert!(known.is_due(after(5)));
        assert!(known.is_due(NOW.before(Duration::from_secs(1))), "a clock that was set back");
    }

    #[test]
    fn it_goes_on_from_the_cursor_and_names_the_answer_that_it_has() {
        let mut known = RevokedSet::new(LIMITS);
        tell(&mut known, answer("1.5", &[]), NOW);
        // The tag belongs to another request.
        assert_eq!(known.ask(after(5)), Poll { after: Some("1.5".to_owned()), tag: None });
        tell(&mut known, answer("1.5", &[]), after(5));
        let same = Poll { after: Some("1.5".to_owned()), tag: Some("\"t\"".to_owned()) };
        assert_eq!(known.ask(after(10)), same);
        tell(&mut known, answer("1.6", &[]), after(10));
        assert_eq!(known.ask(after(15)), Poll { after: Some("1.6".to_owned()), tag: None });
        known.start_over();
        assert_eq!(known.ask(after(20)), Poll { after: None, tag: None });
    }

    #[test]
    fn each_change_is_told_once() {
        let mut known = RevokedSet::new(LIMITS);
        tell(&mut known, answer("1.5", &["ses_1"]), NOW);
        let changes: Vec<Polled> = (1..15)
            .map(|n| {
                let now = after(5 * n);
                known.ask(now);
                known.finish(n == 14, now, now)
            })
            .collect();
        let mut expected = [Polled::AsBefore; 14];
        (expected[0], expected[11], expected[13]) = (Polled::Failing, Polled::Stale, Polled::Recovered);
        assert_eq!(changes, expected);
    }

    #[test]
    fn a_list_that_is_stale_serves_by_what_is_known_or_nobody() {
        for (when_stale, expected) in [(WhenStale::Open, Lookup::Live), (WhenStale::Closed, Lookup::Stale)] {
            let mut known = RevokedSet::new(Limits { when_stale, ..LIMITS });
            assert_eq!(known.lookup("ses_9", NOW), expected, "without any list");
            known.ask(NOW);
            assert_eq!(known.finish(false, NOW, NOW), Polled::Stale);
            tell(&mut known, answer("1.5", &["ses_1"]), NOW);
            assert_eq!(known.lookup("ses_9", after(59)), Lookup::Live);
            assert_eq!(known.lookup("ses_9", after(60)), expected);
            let ended = if when_stale == WhenStale::Open { Lookup::Ended } else { Lookup::Stale };
            assert_eq!(known.lookup("ses_1", after(60)), ended);
            assert_eq!(known.lookup("ses_9", NOW.before(Duration::from_secs(1))), expected, "set back");
        }
    }

    #[test]
    fn an_answer_of_another_time_says_nothing_of_now() {
        for (as_of, good) in [(28, false), (29, true), (64, true), (94, true), (95, false)] {
            assert_eq!(RevokedSet::is_recent(after(as_of), after(64)).is_ok(), good, "{as_of}");
        }
        assert_eq!(RevokedSet::is_recent(after(0), after(36)), Err("the answer is 36 s old".to_owned()));
        assert!(RevokedSet::is_recent(after(31), after(0)).unwrap_err().contains("31 s ahead"));
    }

    #[test]
    fn it_remembers_no_more_than_it_may() {
        let mut known = RevokedSet::new(LIMITS);
        let poll = known.ask(NOW);
        for page in 0..MOST / PAGE {
            let sessions =
                (0..PAGE).map(|n| SessionDigest::from_bytes(((page * PAGE + n) as u64).to_be_bytes()));
            let answer = Answer { sessions: sessions.collect(), ..answer("1.5", &[]) };
            known.told(&poll, answer, None, NOW).unwrap();
        }
        assert_eq!(known.len(), MOST);
        // A response may repeat known entries.
        let again = Answer { sessions: vec![SessionDigest::from_bytes([0; 8])], ..answer("1.5", &[]) };
        known.told(&poll, again, None, NOW).unwrap();
        let error = known.told(&poll, answer("1.5", &["ses_1"]), None, NOW).unwrap_err();
        assert_eq!(error, "more than 1000000 sessions ended");
        assert_eq!(known.len(), MOST);
    }
}
