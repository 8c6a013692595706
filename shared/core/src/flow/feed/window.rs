//! The memory of the feed: the sessions that ended within the last lifetime of an access token.

use crate::flow::feed::{Cursor, OVERLAP};
use crate::ports::store::{EndedSession, StoreError};
use daypass_verifier::base::time::MAX_CLOCK_SKEW;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::revocation::{Answer, PAGE, SessionDigest};
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::Duration;

/// Greatest age of the window in a response. It limits the reads, however many clients there are.
const FRESH: Duration = Duration::from_millis(500);

/// The list of endings, and the time as of which it is complete.
#[derive(Debug)]
pub struct Window {
    keep: Duration,
    as_of: Option<Timestamp>,
    entries: BTreeSet<EndedSession>,
}

impl Window {
    /// Most sessions in a window: 2,500 endings a second at the default lifetime.
    pub const MOST: usize = 1_000_000;

    /// An empty window that keeps endings for `keep`.
    #[must_use]
    pub const fn new(keep: Duration) -> Self {
        Self { keep, as_of: None, entries: BTreeSet::new() }
    }

    /// The time from which the index has to be read before a response at `now`; `None` when the window is fresh.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let oldest = now.before(self.keep);
        match self.as_of {
            None => Some(oldest),
            Some(as_of) if !now.has_passed(as_of, FRESH) => None,
            Some(as_of) => Some(as_of.min(now).before(OVERLAP).max(oldest)),
        }
    }

    /// Adds what was read from [`Window::due`] at `now` on, and removes endings that no longer count.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there are more than [`Window::MOST`]. The window then stays due and takes in nothing.
    pub fn absorb(&mut self, read: Vec<EndedSession>, now: Timestamp) -> Result<(), StoreError> {
        let oldest = EndedSession { at: now.before(self.keep), session: SessionDigest::from_bytes([0; 8]) };
        self.entries = self.entries.split_off(&oldest);
        let known = &self.entries;
        let new: BTreeSet<EndedSession> =
            read.into_iter().filter(|entry| *entry >= oldest && !known.contains(entry)).collect();
        if self.entries.len() + new.len() > Self::MOST {
            return Err(too_many());
        }
        self.entries.extend(new);
        self.as_of = Some(now);
        Ok(())
    }

    /// The time as of which the list is complete.
    #[must_use]
    pub const fn as_of(&self) -> Option<Timestamp> {
        self.as_of
    }

    /// The page behind `after`, or the first one; `None` for a cursor from the future, which no feed has given out.
    #[must_use]
    pub fn page(&self, after: Option<Cursor>, now: Timestamp) -> Option<Answer> {
        self.page_of(after, now, PAGE)
    }

    fn page_of(&self, after: Option<Cursor>, now: Timestamp, most: usize) -> Option<Answer> {
        // The clock of another instance of the feed may be ahead.
        if after.is_some_and(|after| after.until > now + MAX_CLOCK_SKEW) {
            return None;
        }
        let start = match after {
            None => Unbounded,
            Some(Cursor { within: Some((at, session)), .. }) => Excluded(EndedSession { at, session }),
            Some(Cursor { until, within: None }) => Included(EndedSession {
                at: until.before(OVERLAP),
                session: SessionDigest::from_bytes([0; 8]),
            }),
        };
        let mut rest = self.entries.range((start, Unbounded));
        let page: Vec<EndedSession> = rest.by_ref().take(most).copied().collect();
        let more = rest.next().is_some();
        let until = match after {
            // All pages of one reading end at the time of the first. A later ending can sort before the current page.
            Some(Cursor { until, within: Some(_) }) => until,
            Some(Cursor { until, within: None }) => until.max(self.newest(now)),
            None => self.newest(now),
        };
        let within = page.last().filter(|_| more).map(|last| (last.at, last.session));
        Some(Answer {
            cursor: Cursor { until, within }.to_string(),
            more,
            keep: self.keep,
            sessions: page.into_iter().map(|entry| entry.session).collect(),
        })
    }

    /// The time of the newest ending, and at most the time as of which the list is complete. It stays while nothing ends, so
    /// equal requests have equal responses, which caches can keep and `304` can confirm.
    fn newest(&self, now: Timestamp) -> Timestamp {
        let complete = self.as_of.unwrap_or_default().min(now);
        self.entries.last().map_or(Timestamp::default(), |last| last.at.min(complete))
    }
}

pub(super) fn too_many() -> StoreError {
    StoreError::Unavailable(format!("more than {} sessions ended within the window", Window::MOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    const KEEP: Duration = Duration::from_secs(390);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(NOW.millis().saturating_add_signed(seconds * 1000))
    }

    fn entry(at: Timestamp, number: u8) -> EndedSession {
        EndedSession { at, session: digest(number) }
    }

    fn digest(number: u8) -> SessionDigest {
        SessionDigest::from_bytes([number; 8])
    }

    fn window(entries: &[EndedSession]) -> Window {
        let mut window = Window::new(KEEP);
        window.absorb(entries.to_vec(), NOW).unwrap();
        window
    }

    fn told(answer: &Answer) -> Vec<u8> {
        answer.sessions.iter().map(|digest| digest.to_bytes()[0]).collect()
    }

    #[test]
    fn the_index_is_read_whole_and_then_from_the_overlap_on() {
        let mut window = Window::new(KEEP);
        assert_eq!(window.due(NOW), Some(NOW.before(KEEP)));
        window.absorb(vec![], NOW).unwrap();
        assert_eq!(window.due(NOW), None);
        assert_eq!(window.due(NOW + Duration::from_millis(499)), None);
        assert_eq!(window.due(NOW + Duration::from_millis(500)), Some(NOW.before(OVERLAP)));
        assert_eq!(window.due(at(-1)), Some(at(-1).before(OVERLAP)), "a clock that was set back");
        // Frozen for longer than anything counts.
        assert_eq!(window.due(at(1000)), Some(at(1000).before(KEEP)));
    }

    #[test]
    fn an_ending_is_forgotten_when_no_token_can_meet_it() {
        let mut window = window(&[entry(at(-300), 1), entry(at(-10), 2)]);
        window.absorb(vec![], at(90)).unwrap();
        assert_eq!(told(&window.page(None, at(90)).unwrap()), [1, 2]);
        window.absorb(vec![], at(91)).unwrap();
        assert_eq!(told(&window.page(None, at(91)).unwrap()), [2]);
    }

    /// While nothing ends, equal requests have equal responses.
    #[test]
    fn the_cursor_stays_while_nothing_ends() {
        let mut window = window(&[entry(at(-10), 1)]);
        let first = window.page(None, NOW).unwrap();
        assert_eq!(first.cursor, format!("1.{}", at(-10).millis()));
        let after = Cursor::parse(&first.cursor);
        for seconds in [0, 1, 60, 379] {
            window.absorb(vec![], at(seconds)).unwrap();
            let next = window.page(after, at(seconds)).unwrap();
            assert_eq!((told(&next), &next.cursor), (vec![1], &first.cursor), "{seconds}");
        }
        window.absorb(vec![], at(400)).unwrap();
        assert_eq!(window.page(after, at(400)).unwrap().cursor, first.cursor, "also when it has left");
        assert_eq!(Window::new(KEEP).page(None, NOW).unwrap().cursor, "1.0");
    }

    /// An ending that comes late is within the overlap of the next request of each client.
    #[test]
    fn an_ending_that_comes_late_is_sent() {
        let mut window = window(&[entry(NOW, 1)]);
        let first = window.page(None, NOW).unwrap();
        // Written by a clock that is 30 s behind, 5 s after that clock was read, shown after 5 more.
        window.absorb(vec![entry(NOW.before(OVERLAP), 2)], at(1)).unwrap();
        let next = window.page(Cursor::parse(&first.cursor), at(1)).unwrap();
        assert_eq!(told(&next), [2, 1]);
        // A clock that is ahead moves the cursor to now at most, and hides no later ending.
        window.absorb(vec![entry(at(31), 3)], at(1)).unwrap();
        let next = window.page(Cursor::parse(&next.cursor), at(1)).unwrap();
        assert_eq!((told(&next), next.cursor), (vec![2, 1, 3], format!("1.{}", at(1).millis())));
    }

    #[test]
    fn pages_are_bounded_and_lose_nothing() {
        // Several have the same time, as after one call that ends many.
        let entries: Vec<EndedSession> = (0..100).map(|n| entry(at(-i64::from(n / 7)), n)).collect();
        let mut window = window(&entries);
        let mut all = BTreeSet::new();
        let mut after = None;
        for page in 0.. {
            let answer = window.page_of(after, NOW, 9).unwrap();
            assert!(answer.sessions.len() <= 9);
            all.extend(answer.sessions);
            after = Cursor::parse(&answer.cursor);
            // Another ending arrives while the pages are read, and sorts onto a page that was read. The next reading has it.
            window.absorb(vec![entry(at(-20), 200)], NOW).unwrap();
            if !answer.more {
                assert_eq!(page, 11);
                break;
            }
        }
        assert_eq!(all.len(), 100);
        assert_eq!(after, Some(Cursor { until: NOW, within: None }));
        assert!(window.page(after, at(1)).unwrap().sessions.contains(&digest(200)));
    }

    #[test]
    fn a_cursor_from_the_future_is_rejected() {
        let window = window(&[]);
        let cursor = |at| Some(Cursor { until: at, within: None });
        assert!(window.page(cursor(at(30)), NOW).is_some());
        assert!(window.page(cursor(at(31)), NOW).is_none());
        assert!(window.page(cursor(Timestamp::default()), NOW).is_some());
    }

    #[test]
    fn a_window_that_overflows_gives_no_answer() {
        let mut window = window(&[entry(at(-1), 1)]);
        let many = (0..=Window::MOST as u64)
            .map(|n| EndedSession { at: NOW, session: SessionDigest::from_bytes(n.to_be_bytes()) });
        assert!(matches!(window.absorb(many.collect(), NOW), Err(StoreError::Unavailable(_))));
        assert_eq!(window.as_of(), Some(NOW));
        assert_eq!(told(&window.page(None, NOW).unwrap()), [1], "it is as it was");
        // They leave the window with time.
        window.absorb(vec![], at(400)).unwrap();
        assert_eq!(window.page(None, at(400)).unwrap().sessions, []);
    }
}
