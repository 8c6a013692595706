//! Runs the built `daypass` binary against the embedded DynamoDB.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy.toml frees test functions; here their helpers may assert too"
)]

mod admin;
mod attributes;
mod bench;
mod client;
mod cognito;
mod doctor;
mod key;
mod machine;
mod moving;
mod public_reports;
mod safeguards;
mod scale;
mod second_factors;
mod session;
mod target;
#[cfg(unix)]
mod terminal;
mod upgrades;
mod user;
