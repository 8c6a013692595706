//! Counts of what the walks reached, and the minimum that they must reach. A generator that no longer makes some kind of
//! step is found this way.

use super::walk::{Fault, Part};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Counts of one run.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// Number of walks.
    pub cases: u64,
    /// Walks in which the clocks of the two processes differed.
    pub skewed: u64,
    /// Calls by kind and outcome.
    pub calls: BTreeMap<(&'static str, &'static str), u64>,
    /// Faults of the network and of DynamoDB, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Pairs of simultaneous calls, by outcome.
    pub pairs: BTreeMap<&'static str, u64>,
    /// Pairs of simultaneous calls: their kinds, and the order of their requests.
    pub interleavings: BTreeSet<String>,
    /// Replays of used tokens, by their time.
    pub replays: BTreeMap<&'static str, u64>,
    /// Ended sessions, by reason.
    pub ended: BTreeMap<&'static str, u64>,
    /// Items that were deleted as TTL does.
    pub collected: u64,
    /// Number of times that the clock was advanced.
    pub advances: u64,
    /// Length of the longest chain.
    pub longest_chain: usize,
    /// Tokens that were presented again at the end, by what had happened before.
    pub last_round: BTreeMap<&'static str, u64>,
}

/// Name of a fault.
#[must_use]
pub fn fault_name(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::None => None,
        Fault::LostOnce(_) => Some("DynamoDB's answer lost once, our SDK asks again"),
        Fault::LostAlways(Part::First) => Some("DynamoDB's answer lost every time"),
        Fault::LostAlways(Part::Second) => Some("DynamoDB's answer lost every time, from the second part on"),
        Fault::Throttled(Part::First) => Some("throttled"),
        Fault::Throttled(Part::Second) => Some("throttled from the second part on"),
        Fault::Unheard => Some("the function's answer lost on its way to the client"),
    }
}

/// Outcomes that the walks of the gate reach, each at least ten times.
pub const ALWAYS: [(&str, &str); 46] = [
    ("login", "logged in"),
    ("login", "credentials refused"),
    ("refresh, current", "rotated"),
    ("refresh, current", "refused: ended"),
    ("refresh, current", "503"),
    ("refresh, predecessor", "the same successor"),
    ("refresh, predecessor", "theft noticed"),
    ("refresh, older", "theft noticed"),
    ("refresh, older", "refused: ended"),
    ("revoke", "ended"),
    ("revoke all", "ended"),
    ("set password", "done"),
    ("disable", "done"),
    ("enable", "done"),
    ("login", "scope refused"),
    ("login", "503"),
    ("refresh, current", "refused: token expired"),
    ("refresh, current", "refused: no such session"),
    ("refresh, current, another client", "refused: another client's"),
    ("refresh, another key", "refused: another key"),
    ("refresh, current, scope never granted", "scope refused"),
    ("refresh, predecessor", "refused: token expired"),
    ("refresh, predecessor", "refused: no such session"),
    ("refresh, predecessor", "refused: ended"),
    ("refresh, older", "refused: token expired"),
    ("refresh, older", "refused: no such session"),
    ("revoke", "nothing to end"),
    ("revoke", "refused: another client's"),
    ("revoke by access token", "ended"),
    ("revoke by access token", "nothing to end"),
    ("refresh, predecessor", "the same successor, by its key"),
    ("revoke all", "an earlier one finished"),
    ("revoke all", "refused: ended"),
    ("revoke all", "refused: token expired"),
    ("revoke all", "refused: another client's"),
    ("revoke all", "503"),
    ("revoke all", "no right to the account"),
    ("remove", "done"),
    ("set scope", "done"),
    ("set claims", "done"),
    ("change password", "a new session"),
    ("change password", "the same new session"),
    ("change password", "wrong password"),
    ("change password", "the session is over"),
    ("change password", "503"),
    ("beside the proxy", "not through the proxy"),
];

/// Outcomes that only the walks of `--full` reach.
pub const FULL: [(&str, &str); 12] = [
    ("refresh, current, narrower scope", "rotated"),
    ("refresh, predecessor", "503"),
    ("refresh, predecessor, another client", "refused: another client's"),
    ("refresh, predecessor, narrower scope", "the same successor"),
    ("refresh, predecessor, scope never granted", "scope refused"),
    ("refresh, predecessor, scope never granted", "theft noticed"),
    ("revoke by access token", "refused: another client's"),
    ("revoke all", "refused: no such session"),
    ("set password", "503"),
    ("set password", "no such user"),
    ("disable", "503"),
    ("change password", "no right to the account"),
];

/// Reasons for the end of a session.
pub const REASONS: [&str; 7] =
    ["reuse", "revoked", "revoked_all", "password_changed", "user_disabled", "user_removed", "scope_removed"];

impl Coverage {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        fn sum<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
            for (key, count) in from {
                *into.entry(key.clone()).or_default() += count;
            }
        }
        self.cases += other.cases;
        self.skewed += other.skewed;
        sum(&mut self.calls, &other.calls);
        sum(&mut self.faults, &other.faults);
        sum(&mut self.pairs, &other.pairs);
        self.interleavings.extend(other.interleavings.iter().cloned());
        sum(&mut self.replays, &other.replays);
        sum(&mut self.ended, &other.ended);
        self.collected += other.collected;
        self.advances += other.advances;
        self.longest_chain = self.longest_chain.max(other.longest_chain);
        sum(&mut self.last_round, &other.last_round);
    }

    /// Outcomes that the run should have reached and did not.
    #[must_use]
    pub fn missing(&self, full: bool) -> Vec<String> {
        let wanted = ALWAYS.iter().chain(FULL.iter().filter(|_| full));
        let mut missing: Vec<String> = wanted
            .filter(|call| !self.calls.contains_key(call))
            .map(|(kind, outcome)| format!("{kind}: {outcome}"))
            .collect();
        let reasons = REASONS.iter().filter(|reason| !self.ended.contains_key(*reason));
        missing.extend(reasons.map(|reason| format!("a session ended by {reason}")));
        let parts = [Part::First, Part::Second];
        let always = parts.map(Fault::LostAlways).into_iter().chain(parts.map(Fault::Throttled));
        for fault in always.chain([Fault::LostOnce(0), Fault::Unheard]).filter_map(fault_name) {
            if !self.faults.contains_key(fault) {
                missing.push(fault.to_owned());
            }
        }
        for name in [WITHIN_GRACE, LATE, USED, BY_KEY, ELSEWHERE] {
            if self.replays.get(name).is_none_or(|count| *count == 0) {
                missing.push(format!("a replay {name}"));
            }
        }
        missing
    }
}

/// A replay of the predecessor within the grace period.
pub const WITHIN_GRACE: &str = "within grace, the successor unused";
/// A replay of the predecessor within the grace period, from another network than the rotation.
pub const ELSEWHERE: &str = "within grace, from another network";
/// A later replay of the predecessor, with the key that made its successor.
pub const BY_KEY: &str = "after grace, under its own key";
/// A replay of the predecessor after the grace period.
pub const LATE: &str = "of a predecessor after grace";
/// A replay of an older token.
pub const USED: &str = "of a token whose successor was used";

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: u64 = self.calls.values().sum();
        let pairs: u64 = self.pairs.values().sum();
        let tokens: u64 = self.last_round.values().sum();
        writeln!(f, "{:>7} walks, {} of them with clocks 2 s apart", self.cases, self.skewed)?;
        writeln!(f, "{calls:>7} calls, by kind and outcome:")?;
        for ((kind, outcome), count) in &self.calls {
            writeln!(f, "{count:>15}  {kind}: {outcome}")?;
        }
        writeln!(
            f,
            "{pairs:>7} pairs of calls at once, in {} interleavings; they came out as",
            self.interleavings.len()
        )?;
        for (order, count) in &self.pairs {
            writeln!(f, "{count:>15}  {order}")?;
        }
        writeln!(f, "{:>7} calls with a fault:", self.faults.values().sum::<u64>())?;
        for (fault, count) in &self.faults {
            writeln!(f, "{count:>15}  {fault}")?;
        }
        writeln!(f, "{:>7} replays:", self.replays.values().sum::<u64>())?;
        for (replay, count) in &self.replays {
            writeln!(f, "{count:>15}  {replay}")?;
        }
        writeln!(f, "{:>7} sessions ended early, by", self.ended.values().sum::<u64>())?;
        for (reason, count) in &self.ended {
            writeln!(f, "{count:>15}  {reason}")?;
        }
        writeln!(f, "{:>7} items deleted on the way, {} steps of the clock", self.collected, self.advances)?;
        writeln!(f, "{:>7} links in the longest chain", self.longest_chain)?;
        writeln!(f, "{tokens:>7} tokens presented once more at the end:")?;
        for (when, count) in &self.last_round {
            writeln!(f, "{count:>15}  {when}")?;
        }
        Ok(())
    }
}
