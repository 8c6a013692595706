//! The function binaries that a test run has built.

use std::path::PathBuf;

/// The variable with the folder of the binaries.
const VARIABLE: &str = "DAYPASS_TEST_FUNCTIONS";

/// The folder of the binaries that were built for this run. No folder is the default: the binaries there could be old.
///
/// # Panics
/// When `DAYPASS_TEST_FUNCTIONS` is not set. The message names the step of `cargo verify` that builds them.
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
