//! What only a clock shows: statistics of times, and durations against their promise.
//!
//! Other work on the machine moves every figure here. `cargo verify --full` therefore runs these tests alone, one after the
//! other, and the gate of a change does not:
//!
//! ```sh
//! cargo nextest run --workspace --test-threads 1 -E 'test(/^suites::timing::/)'
//! ```
//!
//! Where the machine stood still, a measurement is repeated: see [`pulse`] and [`oracle`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the helpers of a test fail as the test does, and it prints what it measured"
)]

mod hashes;
mod logins;
mod oracle;
mod pulse;
mod slow;
