//! `cargo bench-revocations`: costs of the revocation feed and of its client in the authorizer.

use crate::dynamodb::{Ended, bytes};
use crate::feed::Feed;
use crate::function::Function;
use crate::measure::{median, percentile};
use crate::report::{megabytes, microseconds, milliseconds};
use crate::token::get_revocations;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

/// Largest ratio of a warm invocation with the list to one without.
const MOST_RATIO: f64 = 1.10;
/// Tries, as in the comparison with the floor: a busy machine exceeds a limit now and then.
const BUSY: f64 = 1.25;
/// Endings in the authorizer's list in that comparison.
const LIVE: usize = 10_000;
/// Endings within one window.
const MANY: usize = 100_000;
/// Most endings that a client remembers.
const MOST: usize = 1_000_000;
const ROUNDS: usize = 40;
const INVOCATIONS: usize = 250;
/// Number of polls that are measured.
const POLLS: usize = 30;
/// Cold starts per length of the list.
const STARTS: usize = 9;
/// Poll interval that is longer than a measurement, so that no poll disturbs it.
const NEVER: &str = "60";

/// Measures, and returns the text and whether the limit is kept.
///
/// # Errors
/// Something does not work, or an unexpected poll occurs.
pub(crate) fn measure(authorizer: &Function, feed: &Path, gate: bool) -> Result<(String, bool)> {
    let mut text = String::from("The authorizer with the revocation feed\n");
    let ratio = warm(authorizer, &mut text)?;
    carried(authorizer, &mut text)?;
    starts(authorizer, &mut text)?;
    text.push_str("\nThe feed, with 100,000 endings in its window\n");
    of_the_feed(feed, &mut text)?;
    Ok((text, ratio <= MOST_RATIO * if gate { BUSY } else { 1.0 }))
}

fn following(authorizer: &Function, feed: &Feed, interval: &str) -> Function {
    let mut function = authorizer.clone();
    function.environment.push(("DAYPASS_REVOCATIONS_URL", feed.url().into()));
    function.environment.push(("DAYPASS_REVOCATIONS_INTERVAL_SECONDS", interval.into()));
    function.environment.push(("DAYPASS_REVOCATIONS_STALE_SECONDS", "600".into()));
    function
}

/// Warm invocations with and without a list, in turns.
fn warm(authorizer: &Function, text: &mut String) -> Result<f64> {
    let feed = Feed::start(LIVE)?;
    let mut plain = authorizer.start()?;
    let mut follower = following(authorizer, &feed, NEVER).start()?;
    let _ = feed.asked();
    let (mut ratios, mut times) = (Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        let [without, with] = [plain.invoke(INVOCATIONS)?, follower.invoke(INVOCATIONS)?];
        let counted = |times: &[Duration]| times.iter().copied().skip(10).collect::<Vec<_>>();
        let (without, with) = (counted(&without), counted(&with));
        ratios.push(median(&with).div_duration_f64(median(&without)));
        times[0].extend(without);
        times[1].extend(with);
    }
    anyhow::ensure!(feed.asked() == 0, "between two questions the authorizer asked the feed");
    ratios.sort_unstable_by(f64::total_cmp);
    let ratio = ratios.get(ROUNDS / 2).copied().unwrap_or(f64::INFINITY);
    for (what, times) in ["without a feed", "with 10,000 live entries"].into_iter().zip(&mut times) {
        times.sort_unstable();
        let [p50, p99] = [50, 99].map(|percent| microseconds(percentile(times, percent)));
        let _ = writeln!(text, "  warm, {what:<27} p50 {p50:>8}   p99 {p99:>8}");
    }
    let remark = if ratio > MOST_RATIO { "  OVER" } else { "" };
    let _ = writeln!(
        text,
        "  ratio of the p50, median of {ROUNDS} rounds {ratio:>11.2}   limit {MOST_RATIO:.2}{remark}"
    );
    Ok(ratio)
}

/// An invocation with a poll, beside one after the same pause without a poll.
fn carried(authorizer: &Function, text: &mut String) -> Result<()> {
    let feed = Feed::start(LIVE)?;
    let mut plain = authorizer.start()?;
    let mut follower = following(authorizer, &feed, "1").start()?;
    let _ = feed.asked();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..POLLS {
        sleep(Duration::from_millis(1020));
        for (running, times) in [&mut plain, &mut follower].into_iter().zip(&mut times) {
            times.extend(running.invoke(1)?);
        }
    }
    let asked = feed.asked();
    anyhow::ensure!(asked == POLLS, "{asked} questions in {POLLS} intervals");
    for (what, times) in
        ["rested, carries no question", "rested, carries a question"].into_iter().zip(&mut times)
    {
        times.sort_unstable();
        let [p50, p99] = [50, 99].map(|percent| microseconds(percentile(times, percent)));
        let _ = writeln!(text, "  {what:<33} p50 {p50:>8}   p99 {p99:>8}");
    }
    Ok(())
}

/// Cold starts with lists of different lengths, which are fetched completely before the first response.
fn starts(authorizer: &Function, text: &mut String) -> Result<()> {
    let plain = authorizer.start()?;
    let bare = plain.resident().unwrap_or_default();
    drop(plain);
    for count in [0, LIVE, MANY, MOST] {
        let feed = Feed::start(count)?;
        let function = following(authorizer, &feed, NEVER);
        let (mut until, mut resident) = (Vec::new(), 0);
        for _ in 0..STARTS {
            let running = function.start()?;
            until.push(running.start.until_next);
            resident = running.resident().unwrap_or_default();
        }
        let (until, more) = (milliseconds(median(&until)), megabytes(resident.saturating_sub(bare)));
        let _ =
            writeln!(text, "  cold start with {count:>9} entries   until ready {until:>9}   memory +{more}");
    }
    Ok(())
}

fn of_the_feed(program: &Path, text: &mut String) -> Result<()> {
    let ended = Ended::start(MANY).context("the endings could not be stored")?;
    for (what, units) in [
        ("the whole window", ended.read_units(0)?),
        ("a question when nothing ended", ended.read_units(u64::MAX)?),
    ] {
        let _ = writeln!(text, "  read units, {what:<33} {units:>9.1}");
    }
    let function = Function {
        program: program.to_owned(),
        arguments: vec![],
        environment: ended.environment(),
        exchange: Arc::new(get_revocations()),
        expected: "\"statusCode\":200",
    };
    let mut until = Vec::new();
    for _ in 0..3 {
        until.push(function.start()?.start.until_answer);
    }
    let mut running = function.start()?;
    let mut times = running.invoke(50)?;
    times.sort_unstable();
    let _ = writeln!(
        text,
        "  cold start until its first page is there           {:>9}",
        milliseconds(median(&until))
    );
    let _ = writeln!(
        text,
        "  a page of 50,000 from memory, p50                  {:>9}",
        milliseconds(percentile(&times, 50))
    );
    let _ = writeln!(
        text,
        "  memory                                             {:>9}",
        running.resident().map(megabytes).unwrap_or_default()
    );
    for (what, count) in [("with 100,000 entries", MANY), ("with 100 entries", 100), ("with none", 0)] {
        let (plain, compressed) = bytes(count)?;
        let _ = writeln!(text, "  an answer {what:<22} {plain:>9} bytes, {compressed:>9} with gzip");
    }
    Ok(())
}
