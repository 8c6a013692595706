//! `cargo bench-functions`: start, first request and warm requests of each function at its share of a processor, beside the
//! least function of the same shape.

use crate::function::Function;
use crate::measure::median;
use crate::report::milliseconds;
use crate::share::Share;
use crate::stage::{Shape, Stage};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Most that a start with its first request, or the processor time of a warm request, takes beside the least function of the
/// same shape.
const MOST_RATIO: f64 = 1.3;
/// Factor that the gate permits over a limit. A busy machine exceeds one a little, and a regression by more.
const BUSY: f64 = 1.25;
/// Starts of each function. Few, so that the user of the logins has less than 100 sessions, from which on a login ends others.
const STARTS: usize = 7;
/// Warm requests of each function in one turn; fewer of one that hashes.
const REQUESTS: usize = 60;
const HASHING_REQUESTS: usize = 8;
const TURNS: usize = 3;

const BARE: Shape = Shape {
    name: "",
    megabytes: 256,
    secrets: 0,
    requests: 0,
    at_once: 1,
    hashes: 0,
    signatures: 0,
    pause: 0,
    first: None,
};
/// `revoke` is last, because it ends the session that the others use.
const SHAPES: [Shape; 8] = [
    Shape {
        name: "login",
        megabytes: 1769,
        secrets: 3,
        requests: 2,
        at_once: 1,
        hashes: 1,
        signatures: 1,
        pause: 0,
        first: Some(30),
    },
    Shape { name: "refresh", secrets: 2, requests: 1, signatures: 1, first: Some(15), ..BARE },
    Shape { name: "sessions", requests: 1, ..BARE },
    Shape {
        name: "password",
        megabytes: 1769,
        secrets: 3,
        requests: 6,
        hashes: 2,
        signatures: 1,
        pause: 50,
        ..BARE
    },
    Shape { name: "revocations", megabytes: 512, requests: 2, at_once: 8, ..BARE },
    Shape { name: "discovery", secrets: 1, ..BARE },
    Shape { name: "authorizer", first: Some(15), ..BARE },
    Shape { name: "revoke", secrets: 2, requests: 1, ..BARE },
];

/// Medians of a function.
struct Times {
    start: Duration,
    first: Duration,
    warm: Duration,
    /// Time of a processor for a warm request.
    processor: Duration,
}

/// Measures every function in `built`, which has `FUNCTION/bootstrap`. Returns the text, and whether all limits are kept.
///
/// # Errors
/// A function does not work, or this machine gives no share of a processor.
pub(crate) fn measure(built: &Path, gate: bool) -> Result<(String, bool)> {
    let stage = Stage::start(built)?;
    let lenient = if gate { BUSY } else { 1.0 };
    let mut text = format!(
        "Every function at its share of a processor, over TLS; in parentheses, the least function of the same shape\n  \
         {:<12} {:>6} {:>6} {:>20} {:>6} {:>20} {:>20} {:>20} {:>6}\n",
        "function",
        "MB",
        "share",
        "start",
        "ratio",
        "first request",
        "warm request",
        "its processor time",
        "ratio"
    );
    let hash = warm(&stage.floor(&Shape { secrets: 1, hashes: 1, ..BARE }))?;
    let mut kept = true;
    for shape in &SHAPES {
        let function = stage.function(shape.name)?;
        let floor = stage.floor(shape);
        for megabytes in [shape.megabytes, 1769] {
            let requests = if shape.hashes == 0 { REQUESTS } else { HASHING_REQUESTS };
            let [own, least] =
                compare(&function, &floor, megabytes, requests).with_context(|| shape.name.to_owned())?;
            let first = own.first.saturating_sub(Duration::from_millis(shape.pause));
            let ratios = [(own.start + first, least.start + least.first), (own.processor, least.processor)];
            let [start, busy] = ratios.map(|(own, least)| own.div_duration_f64(least));
            let limit = shape
                .first
                .map(|first| Duration::from_millis(first) + hash * u32::try_from(shape.hashes).unwrap_or(0));
            // The limits are for the configured memory.
            let over = megabytes == shape.megabytes
                && (start > MOST_RATIO * lenient
                    || busy > MOST_RATIO * lenient
                    || limit.is_some_and(|limit| own.first > limit.mul_f64(lenient)));
            kept &= !over;
            let both = |own, least| format!("{} ({})", milliseconds(own), milliseconds(least));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "  {:<12} {megabytes:>6} {:>6.3} {:>20} {:>20} {start:>6.2} {:>20} {:>20} {busy:>6.2}{}",
                shape.name,
                f64::from(megabytes) / 1769.0,
                both(own.start, least.start),
                both(own.first, least.first),
                both(own.warm, least.warm),
                both(own.processor, least.processor),
                if over { "  OVER" } else { "" },
            );
            if shape.megabytes == 1769 {
                break;
            }
        }
    }
    let _ = writeln!(
        text,
        "  limits: ratios {MOST_RATIO}; first request of refresh and authorizer 15 ms, of login its hash ({}) and 30 ms",
        milliseconds(hash)
    );
    Ok((text, kept))
}

/// Measures two functions in turns, so that other load of the machine affects both alike.
fn compare(function: &Function, floor: &Function, megabytes: u32, requests: usize) -> Result<[Times; 2]> {
    let mut both = [Vec::new(), Vec::new()];
    let share = Share::of_memory(megabytes)?;
    let functions = [function, floor];
    for _ in 1..STARTS {
        for (function, starts) in functions.into_iter().zip(&mut both) {
            starts.push(function.start_with(share.as_ref())?.start);
        }
    }
    let mut warm = [Vec::new(), Vec::new()];
    let mut processor = [Duration::ZERO; 2];
    {
        let mut running = functions
            .into_iter()
            .map(|function| function.start_with(share.as_ref()))
            .collect::<Result<Vec<_>>>()?;
        for (running, starts) in running.iter().zip(&mut both) {
            starts.push(running.start);
        }
        for _ in 0..TURNS {
            for ((running, times), processor) in running.iter_mut().zip(&mut warm).zip(&mut processor) {
                let used = running.processor_time().unwrap_or_default();
                // The first of a turn finds the caches of the other function.
                times.extend(running.invoke(requests)?.into_iter().skip(1));
                *processor += running.processor_time().unwrap_or_default() - used;
            }
        }
    }
    let [own, least] = [0, 1].map(|index| {
        let starts = both.get(index).map(Vec::as_slice).unwrap_or_default();
        Times {
            start: median(&starts.iter().map(|start| start.until_next).collect::<Vec<_>>()),
            first: median(
                &starts.iter().map(|start| start.until_answer - start.until_next).collect::<Vec<_>>(),
            ),
            warm: median(warm.get(index).map(Vec::as_slice).unwrap_or_default()),
            processor: processor.get(index).copied().unwrap_or_default()
                / u32::try_from(requests * TURNS).unwrap_or(u32::MAX),
        }
    });
    Ok([own, least])
}

/// Median of a warm request at a whole processor.
fn warm(function: &Function) -> Result<Duration> {
    Ok(median(&function.start()?.invoke(HASHING_REQUESTS)?))
}
