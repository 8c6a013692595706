//! What a follower of the feed knows, and when it asks.

use crate::base::time::MAX_CLOCK_SKEW;
use crate::base::time::Timestamp;
use crate::revocation::{Answer, PAGE, SessionDigest};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most sessions that a follower remembers. Beyond that it counts as failing.
const MOST: usize = 1_000_000;
/// Most pages of one reading: an endless one ends here.
pub const MOST_PAGES: usize = MOST / PAGE + 2;
/// How old an answer may be, clocks aside: half a second in the feed, a second in a cache, and room.
const MAX_ANSWER_AGE: Duration = Duration::from_secs(5);
/// How often entries are looked through for those that count no longer.
const SWEEP: Duration = Duration::from_secs(30);

/// What to do with a token when the list has become too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenStale {
    /// Serve by what is known.
    Open,
    /// Serve nobody.
    Closed,
}

/// How a follower is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At most one question in this time.
    pub interval: Duration,
    /// From this age on the list is stale.
    pub stale_after: Duration,
    /// What that means.
    pub when_stale: WhenStale,
}

/// What a follower is to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// The parameter `after`; without it the whole list.
    pub after: Option<String>,
    /// The entity tag of the answer that is known to that.
    pub tag: Option<String>,
}

/// What the list says of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing: it lives, as far as anybody can know.
    Live,
    /// It has ended.
    Ended,
    /// The list is too old to say anything, and the follower is to serve nobody then.
    Stale,
}

/// How following goes, for the log: once for each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// As before.
    AsBefore,
    /// It follows again.
    Recovered,
    /// The feed does not answer well; the list is not stale yet.
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

/// What a follower knows: the sessions that ended, and how old that knowledge is. All times are by its own clock, unless they say
/// otherwise.
#[derive(Debug)]
pub struct RevokedSet {
    limits: Limits,
    /// With the second in which each was last told. A tree, because its time is the same whatever digests a feed makes up.
    entries: BTreeMap<SessionDigest, u32>,
    keep: Duration,
    cursor: Option<String>,
    /// The last answer that moved no cursor: the question, and its tag.
    unmoved: Option<(String, String)>,
    asked_at: Option<Timestamp>,
    /// When the last question was asked whose answer was good.
    good_at: Option<Timestamp>,
    swept_at: Timestamp,
    condition: Condition,
}

impl RevokedSet {
    /// Nothing yet.
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

    /// Whether the feed is to be asked now.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.asked_at.is_none_or(|asked| now.has_passed(asked, self.limits.interval))
    }

    /// Whether nothing is wrong with the feed, as far as is known.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.condition == Condition::Following
    }

    /// How long ago the last question was asked; `None` before the first, and when the clock was set back.
    #[must_use]
    pub fn last_asked(&self, now: Timestamp) -> Option<Duration> {
        self.asked_at.filter(|asked| *asked <= now).map(|asked| now.since(asked))
    }

    /// How many sessions are known to have ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Looks a session up by its `sid`.
    #[must_use]
    pub fn lookup(&self, sid: &str, now: Timestamp) -> Lookup {
        if self.limits.when_stale == WhenStale::Closed && self.is_stale(now) {
            return Lookup::Stale;
        }
        // Most of the time there is nothing to look through.
        let ended = !self.entries.is_empty() && self.entries.contains_key(&SessionDigest::of(sid));
        if ended { Lookup::Ended } else { Lookup::Live }
    }

    /// Whether the list is too old.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.good_at.is_none_or(|good| now.has_passed(good, self.limits.stale_after))
    }

    /// The feed is being asked, and nobody else asks within the interval. Returns the first question.
    pub fn ask(&mut self, now: Timestamp) -> Poll {
        self.asked_at = Some(now);
        self.question()
    }

    /// The next question of the same reading.
    #[must_use]
    pub fn question(&self) -> Poll {
        let tag = self.unmoved.as_ref().filter(|(after, _)| self.cursor.as_ref() == Some(after));
        Poll { after: self.cursor.clone(), tag: tag.map(|(_, tag)| tag.clone()) }
    }

    /// Takes in a page. Entries are only ever added: an answer that lies can hide nothing that is known.
    ///
    /// # Errors
    /// A text for the log when there is no room for all of it.
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
        // A feed that has been told to keep entries for less may have told longer before.
        self.keep = self.keep.max(answer.keep);
        let stays = asked.after.as_ref() == Some(&answer.cursor);
        self.unmoved = tag.filter(|_| stays).map(|tag| (answer.cursor.clone(), tag));
        self.cursor = Some(answer.cursor);
        Ok(())
    }

    /// The feed does not know the cursor (any more): the next question is for the whole list.
    pub fn start_over(&mut self) {
        self.cursor = None;
        self.unmoved = None;
    }

    /// Whether an answer that is complete as of this time, by the feed's clock, says something of now.
    ///
    /// # Errors
    /// A text for the log when it does not: a cache hands out what is old, or a clock is wrong.
    pub fn is_recent(as_of: Timestamp, now: Timestamp) -> Result<(), String> {
        if as_of + MAX_ANSWER_AGE + MAX_CLOCK_SKEW < now {
            return Err(format!("the answer is {} s old", now.since(as_of).as_secs()));
        }
        if now + MAX_CLOCK_SKEW < as_of {
            return Err(format!("the answer is {} s ahead of the clock here", as_of.since(now).as_secs()));
        }
        Ok(())
    }

    /// A reading that began at `asked` is over, well or not.
    pub fn finish(&mut self, good: bool, asked: Timestamp, now: Timestamp) -> Polled {
        if good {
            self.good_at = Some(asked);
        }
        self.sweep(now);
        let before = self.condition;
        self.condition = match good {
            true => Condition::Following,
            false if self.is_stale(now) => Condition::Stale,
            // One that was stale has been told; it is not less so because a clock was set back.
            false => Condition::Failing.max(before),
        };
        match self.condition {
            after if before == after => Polled::AsBefore,
            Condition::Following => Polled::Recovered,
            Condition::Failing => Polled::Failing,
            Condition::Stale => Polled::Stale,
        }
    }

    /// Forgets what no token can meet any more.
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
        // Told once more, one of them counts for longer.
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
        // The tag is of the answer to another question.
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
        // What is known may come again.
        let again = Answer { sessions: vec![SessionDigest::from_bytes([0; 8])], ..answer("1.5", &[]) };
        known.told(&poll, again, None, NOW).unwrap();
        let error = known.told(&poll, answer("1.5", &["ses_1"]), None, NOW).unwrap_err();
        assert_eq!(error, "more than 1000000 sessions ended");
        assert_eq!(known.len(), MOST);
    }
}
