//! Clock, randomness and standard output of the machine, as core's ports.

use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::time::{Clock, Timestamp};
use daypass_verifier::ports::context::{Caller, Context};
use daypass_verifier::ports::event::{Record, Severity, VERSION};
use daypass_verifier::ports::journal::Journal;
use serde::Serialize;
use std::io::Write;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place where the time comes in")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The operating system's random generator, by way of AWS-LC.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(clippy::disallowed_methods, reason = "the one place where randomness comes in")]
    #[expect(
        clippy::panic,
        reason = "without randomness nothing may be issued; the kernel's generator does not fail"
    )]
    fn fill(&self, buffer: &mut [u8]) {
        if aws_lc_rs::rand::fill(buffer).is_err() {
            panic!("the system gave no randomness");
        }
    }
}

/// Writes each event as one JSON line to standard output, where Lambda and `cargo lambda watch` pick it up.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdoutJournal;

/// A line of the log: an event with its time, request and address, as in `docs/reference/events.md`.
#[derive(Serialize)]
struct Line<'a, E> {
    v: u32,
    /// Milliseconds since the epoch. Lambda adds a timestamp in RFC 3339 to every line.
    timestamp: u64,
    level: Severity,
    #[serde(flatten)]
    event: &'a E,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<IpAddr>,
}

impl<E: Record> Journal<E> for StdoutJournal {
    fn record(&self, event: &E, caller: &Caller) {
        // A failed write to the log cannot be logged.
        let _ = std::io::stdout().lock().write_all(&line(event, caller));
    }
}

/// The line of an event: one JSON object and a line feed. `serde_json` escapes line breaks, so no input can forge a line.
#[must_use]
pub fn line<E: Record>(event: &E, caller: &Caller) -> Vec<u8> {
    let line = Line {
        v: VERSION,
        timestamp: SystemClock.now().millis(),
        level: event.severity(),
        event,
        request_id: &caller.request_id,
        source_ip: caller.source_ip,
    };
    // Text and integers always become JSON.
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The machine's clock, randomness and log.
#[must_use]
pub fn context<E: Record>() -> Context<E> {
    Context { clock: Box::new(SystemClock), entropy: Box::new(OsEntropy), journal: Box::new(StdoutJournal) }
}
