//! Measurement of functions in turns, so that other load of the machine affects all alike.

use crate::function::{Function, Running, Start};
use crate::token::Ticket;
use anyhow::{Context, Result};
use std::process::Command;
use std::time::Duration;

/// Rounds. They are short, because the load of a shared machine changes within a second.
const ROUNDS: usize = 40;
/// Invocations per turn, and verifications per turn.
const INVOCATIONS: usize = 250;
/// Invocations that are not counted at the beginning of a turn, because the processor's caches hold the other function.
const NOT_COUNTED: usize = 10;
/// Cold starts per function.
const STARTS: usize = 31;
/// Cold starts per peer. One takes a hundred times as long.
const PEER_STARTS: usize = 7;
/// Invocations per peer.
const PEER_INVOCATIONS: usize = 2000;

/// Figures of one function.
pub(crate) struct Figures {
    pub(crate) until_next: Duration,
    pub(crate) until_answer: Duration,
    pub(crate) p50: Duration,
    pub(crate) p90: Duration,
    pub(crate) p99: Duration,
    /// Resident memory in bytes, after the last invocation.
    pub(crate) resident: Option<u64>,
}

/// Compared functions: the authorizer and its baselines.
pub(crate) struct Functions {
    pub(crate) authorizer: Function,
    /// The authorizer, called with bound tokens and proofs.
    pub(crate) bound: Function,
    /// Returns a constant.
    pub(crate) round_trip: Function,
    /// Returns a constant after a bare verification.
    pub(crate) verifying: Function,
    /// Returns a constant after two bare verifications.
    pub(crate) verifying_two: Function,
}

/// Figures of the authorizer and its baselines.
pub(crate) struct Comparison {
    pub(crate) authorizer: Figures,
    pub(crate) bound: Figures,
    pub(crate) round_trip: Figures,
    pub(crate) verifying: Figures,
    pub(crate) verifying_two: Figures,
    /// One verification of the same signature by AWS-LC, in a loop.
    pub(crate) verification: Duration,
    /// Time of the authorizer divided by the sum of a verification and a round trip.
    pub(crate) over_sum: f64,
    /// Time of the authorizer with a proof divided by that of the function that verifies two signatures.
    pub(crate) bound_over_two: f64,
    /// Time of the authorizer divided by that of the function that does both. Both together take more than the sum,
    /// because a loop keeps AWS-LC in the processor's caches.
    pub(crate) over_both: f64,
}

/// Measures the functions in turns. Each ratio is the median of the rounds. A round compares measurements within a few
/// tenths of a second.
///
/// # Errors
/// A function does not work.
pub(crate) fn compare(functions: &Functions, ticket: &Ticket) -> Result<Comparison> {
    let mut all = [
        Turns::start("authorizer", &functions.authorizer)?,
        Turns::start("authorizer with proofs", &functions.bound)?,
        Turns::start("bare function", &functions.round_trip)?,
        Turns::start("bare function that verifies", &functions.verifying)?,
        Turns::start("bare function that verifies two signatures", &functions.verifying_two)?,
    ];
    for _ in 1..STARTS {
        for turns in &mut all {
            turns.start_again()?;
        }
    }
    let (mut verifications, mut over_sum, mut over_both) = (Vec::new(), Vec::new(), Vec::new());
    let mut bound_over_two = Vec::new();
    for _ in 0..ROUNDS {
        let mut medians = [Duration::ZERO; 5];
        for (turns, median) in all.iter_mut().zip(&mut medians) {
            *median = turns.invoke()?;
        }
        let verification =
            verify(&functions.round_trip, ticket).context("a bare verification could not be measured")?;
        let [authorizer, bound, round_trip, verifying, verifying_two] = medians;
        over_sum.push(authorizer.div_duration_f64(verification + round_trip));
        bound_over_two.push(bound.div_duration_f64(verifying_two));
        over_both.push(authorizer.div_duration_f64(verifying));
        verifications.push(verification);
    }
    let [authorizer, bound, round_trip, verifying, verifying_two] = all.map(Turns::figures);
    let verification = median(&verifications);
    let [over_sum, bound_over_two, over_both] = [over_sum, bound_over_two, over_both].map(|mut ratios| {
        ratios.sort_unstable_by(f64::total_cmp);
        ratios.get(ROUNDS / 2).copied().unwrap_or(f64::INFINITY)
    });
    Ok(Comparison {
        authorizer,
        bound,
        round_trip,
        verifying,
        verifying_two,
        verification,
        over_sum,
        bound_over_two,
        over_both,
    })
}

/// A function that takes turns with others.
struct Turns<'a> {
    name: &'static str,
    function: &'a Function,
    running: Running,
    starts: Vec<Start>,
    times: Vec<Duration>,
}

impl<'a> Turns<'a> {
    fn start(name: &'static str, function: &'a Function) -> Result<Self> {
        let running = function.start().with_context(|| not_measured(name))?;
        let starts = vec![running.start];
        Ok(Self { name, function, running, starts, times: Vec::new() })
    }

    fn start_again(&mut self) -> Result<()> {
        let another = self.function.start().with_context(|| not_measured(self.name))?;
        self.starts.push(another.start);
        Ok(())
    }

    /// Runs one turn, and returns its median.
    fn invoke(&mut self) -> Result<Duration> {
        let times = self.running.invoke(INVOCATIONS).with_context(|| not_measured(self.name))?;
        let times = counted(times);
        let median = median(&times);
        self.times.extend(times);
        Ok(median)
    }

    fn figures(self) -> Figures {
        Figures::of(&self.starts, self.times, self.running.resident())
    }
}

fn not_measured(name: &str) -> String {
    format!("the {name} could not be measured")
}

/// Measures one function alone.
///
/// # Errors
/// The function does not work.
pub(crate) fn alone(function: &Function) -> Result<Figures> {
    let starts: Vec<Start> = (0..PEER_STARTS).map(|_| Ok(function.start()?.start)).collect::<Result<_>>()?;
    let mut running = function.start()?;
    let times = running.invoke(PEER_INVOCATIONS)?;
    Ok(Figures::of(&starts, counted(times), running.resident()))
}

/// Median of many bare verifications by the floor program, which has the authorizer's build profile.
fn verify(bare: &Function, ticket: &Ticket) -> Result<Duration> {
    let output = Command::new(&bare.program)
        .args(ticket.arguments())
        .arg(INVOCATIONS.to_string())
        .output()
        .context("could not start it")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let nanoseconds = printed.trim().parse().with_context(|| format!("it printed {printed:?}"))?;
    Ok(Duration::from_nanos(nanoseconds))
}

fn counted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.drain(..NOT_COUNTED.min(times.len()));
    times
}

impl Figures {
    fn of(starts: &[Start], mut times: Vec<Duration>, resident: Option<u64>) -> Self {
        times.sort_unstable();
        let until = |which: fn(&Start) -> Duration| median(&starts.iter().map(which).collect::<Vec<_>>());
        Self {
            until_next: until(|start| start.until_next),
            until_answer: until(|start| start.until_answer),
            p50: percentile(&times, 50),
            p90: percentile(&times, 90),
            p99: percentile(&times, 99),
            resident,
        }
    }
}

pub(crate) fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    percentile(&sorted, 50)
}

/// Percentile of sorted times.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        for (percent, expected) in [(50, 100), (90, 180), (99, 198), (100, 200)] {
            assert_eq!(percentile(&times, percent), Duration::from_micros(expected));
        }
        assert_eq!(percentile(&times[..1], 99), Duration::from_micros(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn the_median_needs_no_order() {
        assert_eq!(median(&[30, 10, 20].map(Duration::from_micros)), Duration::from_micros(20));
    }
}
