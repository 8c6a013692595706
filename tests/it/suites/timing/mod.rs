//! Comparisons of times. They run alone, and only in full depth (`cargo verify --full`).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the helpers of a test fail as the test does, and it prints what it measured"
)]

mod logins;
