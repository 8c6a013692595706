//! The start of a function, and the log line of a start that failed.

use crate::StdoutJournal;
use daypass_verifier::ports::context::Caller;
use daypass_verifier::ports::event::Event;
use daypass_verifier::ports::journal::Journal;
use std::process::ExitCode;

/// Any error of a start.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The value of an environment variable.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment comes in")]
    std::env::var(name).ok()
}

/// Runs a function until Lambda ends it. An error is logged as `init.failed` and ends the process, which Lambda reports as a failed
/// init.
pub async fn start(function: impl Future<Output = Result<(), BoxError>>) -> ExitCode {
    // The text of a panic could hold input, so it is not logged.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        StdoutJournal.record(&Event::Panic { at }, &Caller::default());
    }));
    match function.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let event = Event::InitFailed { detail: error.to_string() };
            StdoutJournal.record(&event, &Caller::default());
            ExitCode::FAILURE
        }
    }
}
