//! Simulation of two regions with replicated tables in which the last writer wins, with the session rules of [`judge`]:
//! what breaks, and what one order of writes repairs.

use crate::seeded::Seeded;
use crate::table::{self, percent, whole};
use daypass_core::account::authentication::{Authentication, Methods};
use daypass_core::account::claims::Claims;
use daypass_core::session::{
    EndReason, Ended, NetworkDigest, Presented, RotationRequest, Session, Verdict, judge,
};
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use std::time::Duration;

/// Milliseconds.
type Millis = u64;
const SECOND: Millis = 1_000;
/// Replication delay: AWS says "usually within a second".
const LAG: (Millis, Millis) = (200, 1_200);
/// Refresh interval of a client: the lifetime of an access token.
const INTERVAL: Millis = 300 * SECOND;
/// Refresh interval of a thief.
const THIEFS_INTERVAL: Millis = 10 * SECOND;
const HOUR: Millis = 3_600 * SECOND;
const SESSIONS: u64 = 20_000;

/// Order of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Each region accepts its own writes. Of two, the later one replaces the whole item.
    LastWriter,
    /// One order: each session has a home region, or the tables are strongly consistent over regions.
    One,
}

/// Result of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The client's new token.
    Successor(u32),
    /// `invalid_grant`: the client discards the session.
    Refused,
}

/// Item of a replica, with its write time.
#[derive(Debug, Clone)]
struct Version {
    item: Session,
    written: Millis,
}

/// One session in two regions.
struct World {
    order: Order,
    replicas: [Version; 2],
    /// Replications in progress: arrival time and region.
    sent: Vec<(Millis, usize, Version)>,
    numbers: Seeded,
    /// While true, nothing arrives.
    cut: bool,
    attempts: u64,
}

impl World {
    fn new(order: Order, seed: u64) -> Option<Self> {
        let start = Timestamp::from_millis(0);
        let end = Timestamp::from_seconds(86_400);
        let item = Session {
            user: UserId::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            generation: 0,
            rotated_at: None,
            attempt: None,
            named: false,
            network: None,
            created_at: start,
            expires_at: end,
            absolute_end: end,
            client: ClientId::parse("web")?,
            scope: Scope::default(),
            claims: Claims::default(),
            account: true,
            for_enrolment: false,
            authentication: Authentication::new(start, Methods::PASSWORD),
            key: None,
            ended: None,
            device: None,
        };
        let version = Version { item, written: 0 };
        let replicas = [version.clone(), version];
        Some(Self { order, replicas, sent: Vec::new(), numbers: Seeded::new(seed), cut: false, attempts: 0 })
    }

    /// Applies arrived replications: the last writer wins.
    fn arrive(&mut self, now: Millis) {
        if self.cut {
            return;
        }
        let mut sent = std::mem::take(&mut self.sent);
        sent.sort_by_key(|(at, ..)| *at);
        for (at, region, version) in sent {
            if at > now {
                self.sent.push((at, region, version));
            } else if let Some(replica) = self.replicas.get_mut(region)
                && version.written >= replica.written
            {
                *replica = version;
            }
        }
    }

    /// Item that a request in this region reads.
    fn item(&mut self, region: usize, now: Millis) -> Session {
        self.arrive(now);
        let region = if self.order == Order::One { 0 } else { region };
        let [first, second] = &self.replicas;
        if region == 0 { first.item.clone() } else { second.item.clone() }
    }

    fn write(&mut self, region: usize, now: Millis, item: Session) {
        let region = if self.order == Order::One { 0 } else { region };
        let version = Version { item, written: now };
        let lag = LAG.0 + self.numbers.below(LAG.1 - LAG.0);
        self.sent.push((now + lag, 1 - region, version.clone()));
        if let Some(replica) = self.replicas.get_mut(region) {
            *replica = version;
        }
    }

    fn refresh(&mut self, region: usize, now: Millis, generation: u32) -> Answer {
        let item = self.item(region, now);
        self.attempts += 1;
        let mut attempt = [0; 9];
        attempt.iter_mut().zip(self.attempts.to_be_bytes()).for_each(|(to, from)| *to = from);
        let Some(attempt) = AttemptId::from_bytes(&attempt) else { return Answer::Refused };
        let token = daypass_core::token::refresh::RefreshToken { generation, ..item.token() };
        let network = NetworkDigest::of("", None);
        let presented =
            Presented { token, client: None, scope: None, attempt, named: false, network, key: None };
        let registered = [item.client.clone()];
        let at = Timestamp::from_millis(now);
        let grace = Duration::from_secs(30);
        let request =
            RotationRequest { presented: &presented, registered: &registered, now: at, grace, idle: None };
        match judge(Some(&item), &request) {
            Verdict::Rotate => {
                let generation = item.generation + 1;
                self.write(
                    region,
                    now,
                    Session { generation, rotated_at: Some(at), attempt: Some(attempt), ..item },
                );
                Answer::Successor(generation)
            }
            Verdict::SameSuccessor(_) => Answer::Successor(item.generation),
            Verdict::Reuse(_) => {
                self.end(region, now, EndReason::Reuse);
                Answer::Refused
            }
            Verdict::Dead(_) => Answer::Refused,
        }
    }

    /// Ends the session by a request in this region.
    fn end(&mut self, region: usize, now: Millis, reason: EndReason) {
        let item = self.item(region, now);
        if item.ended.is_none() {
            let ended = Some(Ended { at: Timestamp::from_millis(now), reason });
            self.write(region, now, Session { ended, ..item });
        }
    }
}

/// Counts of the scenarios over this number of sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// A logout in the other region succeeded, and the session refreshed after the replication.
    pub revived: u64,
    /// The retry of a lost response in the other region got another token than the first try.
    pub forked: u64,
    /// Reuse was detected, and the thief still refreshes an hour later.
    pub thief_stays: u64,
    /// A region was isolated for a minute, its clients moved to the other region, and were logged out there.
    pub logged_out: u64,
}

/// Runs each scenario once per session.
#[must_use]
pub fn play(order: Order, seed: u64) -> Outcome {
    let mut outcome = Outcome::default();
    for session in 0..SESSIONS {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(session);
        let tell = |count: &mut u64, story: fn(World) -> bool| {
            *count += u64::from(World::new(order, seed).is_some_and(story));
        };
        tell(&mut outcome.revived, revived);
        tell(&mut outcome.forked, forked);
        tell(&mut outcome.thief_stays, thief_stays);
        tell(&mut outcome.logged_out, logged_out);
    }
    outcome
}

/// The user's laptop refreshes in one region, and the user ends its session from a phone in the other.
fn revived(mut world: World) -> bool {
    let logout = world.numbers.below(HOUR);
    let mut now = world.numbers.below(INTERVAL);
    let (mut token, mut ended) = (0, false);
    while now < HOUR + 2 * INTERVAL {
        if !ended && logout <= now {
            world.end(1, logout, EndReason::EndedByUser);
            ended = true;
        }
        match world.refresh(0, now, token) {
            // A request before the replication may succeed. A later request must not.
            Answer::Successor(_) if ended && now > logout + LAG.1 => return true,
            Answer::Successor(next) => token = next,
            Answer::Refused => return false,
        }
        now += INTERVAL;
    }
    false
}

/// The response of a refresh is lost, and the client retries in the other region.
fn forked(mut world: World) -> bool {
    let now = INTERVAL;
    let first = world.refresh(0, now, 0);
    let retry = now + 100 + world.numbers.below(900);
    world.refresh(1, retry, 0) != first
}

/// A thief has the token and refreshes in the other region every ten seconds. The owner detects it.
fn thief_stays(mut world: World) -> bool {
    let stolen = world.numbers.below(INTERVAL);
    let (mut owner, mut thief) = (Some(INTERVAL), Some(stolen));
    let (mut owners, mut thiefs) = (0, 0);
    let mut noticed = false;
    loop {
        let turn = owner.into_iter().chain(thief).min();
        let Some(now) = turn.filter(|now| *now < HOUR) else { return noticed && thief.is_some() };
        if owner == Some(now) {
            match world.refresh(0, now, owners) {
                Answer::Successor(next) => (owners, owner) = (next, Some(now + INTERVAL)),
                Answer::Refused => (noticed, owner) = (true, None),
            }
        } else {
            match world.refresh(1, now, thiefs) {
                Answer::Successor(next) => (thiefs, thief) = (next, Some(now + THIEFS_INTERVAL)),
                Answer::Refused => thief = None,
            }
        }
    }
}

/// The region is isolated for a minute and serves its clients, which then all move to the other region.
fn logged_out(mut world: World) -> bool {
    let first = world.numbers.below(INTERVAL);
    let (cut, moved) = (2 * INTERVAL, 2 * INTERVAL + 60 * SECOND);
    let (mut now, mut token) = (first, 0);
    while now < 4 * INTERVAL {
        if now >= cut && !world.cut && world.order == Order::LastWriter {
            world.arrive(cut);
            world.cut = true;
        }
        let region = usize::from(now >= moved);
        match world.refresh(region, now, token) {
            Answer::Successor(next) => token = next,
            Answer::Refused => return true,
        }
        now += INTERVAL;
    }
    false
}

#[must_use]
pub fn table() -> String {
    let [wins, one] = [Order::LastWriter, Order::One].map(|order| play(order, 4));
    let row = |what: &str, wins: u64, one: u64| {
        vec![what.to_owned(), whole(wins), percent(wins, SESSIONS), whole(one)]
    };
    let rows = [
        row("the retry in the other region gets another token", wins.forked, one.forked),
        row("a logout was answered, and the session lives", wins.revived, one.revived),
        row("a theft was noticed, the owner is out and the thief is in", wins.thief_stays, one.thief_stays),
        row("logged out by moving to the other region", wins.logged_out, one.logged_out),
    ];
    let of = format!("of {} sessions, last writer wins:", whole(SESSIONS));
    table::table(&["what goes wrong", &of, "share:", "one order of writes:"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_order_of_writes_breaks_nothing() {
        assert_eq!(play(Order::One, 11), Outcome::default());
    }

    #[test]
    fn the_last_writer_wins_over_logouts_and_thefts() {
        let outcome = play(Order::LastWriter, 11);
        assert!(outcome.revived > 0 && outcome.thief_stays > outcome.revived, "{outcome:?}");
        assert_eq!(outcome.forked, 0, "the successor follows from the token, in whatever region");
    }
}
