//! Tests that need a clock: statistics of times, and durations compared with their limits.
//!
//! Other load on the machine changes all results. `cargo verify --full` therefore runs these tests alone, one after the
//! other. The gate leaves them out:
//!
//! ```sh
//! cargo nextest run --workspace --test-threads 1 -E 'test(/^suites::timing::/)'
//! ```
//!
//! If the machine stalled, a measurement is repeated: see [`pulse`] and [`oracle`].

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
mod mails;
mod oracle;
mod pulse;
mod slow;
