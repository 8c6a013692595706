//! The documentation against the code: generated pages, and the names that documents mention.
//!
//! The crates with a command line compare their own commands: `documented_commands_exist` in daypass-cli, daypass-dev and
//! daypass-verify.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]

use daypass_docs::root;
use std::fs;

mod configuration;
mod invariants;
mod names;

pub(crate) use names::errors;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Text from one mark to another, wherever it occurs.
fn between<'a>(text: &'a str, start: &'a str, end: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).map(move |rest| rest.split(|c| end.contains(&c)).next().unwrap_or_default())
}
