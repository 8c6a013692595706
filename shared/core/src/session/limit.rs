//! The limit of live sessions per user.

use daypass_verifier::base::ids::SessionId;
use daypass_verifier::base::time::Timestamp;

/// Most live sessions of one user. A login ends the least recently used ones beyond it.
///
/// The limit also bounds the work of ending all sessions of a user, which has to finish within the time of a function.
pub const MAX_SESSIONS: usize = 100;

/// Most sessions that one login ends. Only users of older versions have more beyond the limit; their next logins end the
/// rest.
pub const MAX_SURPLUS: usize = 50;

/// A live session and the time of its last use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastUse {
    /// The id of the session.
    pub session: SessionId,
    /// The last rotation, or the login.
    pub at: Timestamp,
}

/// The sessions beyond [`MAX_SESSIONS`], the least recently used first, and at most [`MAX_SURPLUS`]. The session `spared` counts
/// as live, but is not among them.
#[must_use]
pub fn surplus(mut live: Vec<LastUse>, spared: SessionId) -> Vec<SessionId> {
    live.retain(|other| other.session != spared);
    live.sort_unstable_by_key(|other| other.at);
    let beyond = (live.len() + 1).saturating_sub(MAX_SESSIONS).min(MAX_SURPLUS);
    live.into_iter().take(beyond).map(|other| other.session).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> SessionId {
        SessionId::from_bytes([number; 16])
    }

    /// The surplus of the sessions `0..count`, of which the last one was used first and the session 0 is new.
    fn check(count: u8, expected: &[u8]) {
        let live = (0..count).map(|number| LastUse {
            session: id(number),
            at: Timestamp::from_seconds(1_000 - u64::from(number)),
        });
        let expected: Vec<SessionId> = expected.iter().map(|number| id(*number)).collect();
        assert_eq!(surplus(live.collect(), id(0)), expected, "{count}");
    }

    #[test]
    fn the_least_recently_used_sessions_are_beyond_the_limit() {
        check(0, &[]);
        check(1, &[]);
        check(100, &[]);
        check(101, &[100]);
        check(103, &[102, 101, 100]);
        check(200, &(150..200).rev().collect::<Vec<u8>>());
    }

    #[test]
    fn the_new_session_stays_and_counts_although_it_is_not_listed() {
        let old = |number: u8| LastUse { session: id(number), at: Timestamp::from_seconds(2_000) };
        let mut live: Vec<LastUse> = (1..=100).map(old).collect();
        assert_eq!(surplus(live.clone(), id(0)).len(), 1, "not listed");
        live.push(LastUse { session: id(0), at: Timestamp::from_seconds(1) });
        assert_eq!(surplus(live.clone(), id(0)).len(), 1, "listed once");
        assert!(!surplus(live, id(0)).contains(&id(0)), "by a clock that is behind");
    }
}
