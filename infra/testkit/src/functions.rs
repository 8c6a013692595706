//! Built function binaries of a test run.

use std::path::PathBuf;

/// Variable with the folder of the binaries.
const VARIABLE: &str = "DAYPASS_TEST_FUNCTIONS";

/// Folder of the binaries of this run. There is no default, because binaries there could be old.
///
/// # Panics
/// `DAYPASS_TEST_FUNCTIONS` is unset. The message names the step of `cargo verify` that builds them.
#[must_use]
#[expect(clippy::panic, reason = "a test without its functions fails")]
pub fn built(step: &str) -> PathBuf {
    match std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => {
            panic!("{VARIABLE} is not set: `cargo verify --only {step}` builds the functions and sets it")
        }
    }
}
