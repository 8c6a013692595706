//! Starting a function: one clear line when it cannot.

use crate::StdoutJournal;
use daypass_verifier::ports::context::Caller;
use daypass_verifier::ports::event::Event;
use daypass_verifier::ports::journal::Journal;
use std::process::ExitCode;

/// Whatever kept a function from starting.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Looks a name up in the process environment.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment comes in")]
    std::env::var(name).ok()
}

/// Runs a function until Lambda ends it. What goes wrong before the first event is written as one JSON line and ends
/// the process, which Lambda reports as a failed init.
pub async fn start(function: impl Future<Output = Result<(), BoxError>>) -> ExitCode {
    // A panic's own text is kept out of the log: it could hold input.
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
