//! Failures and their effect on sessions. `docs/operations/failures.md` describes this suite.
//!
//! [`rows`] is the table of expectations, and [`matrix`] plays it. [`order`] reorders responses, and [`crash`] kills real
//! processes. [`swarm`], [`thief`] and [`clocks`] run many sessions. `cargo verify --only failures` runs all of it and
//! prints what it covered.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the helpers of a test fail as the test does, and it tells what it covers"
)]

mod clocks;
mod crash;
mod doc;
pub(crate) mod matrix;
mod order;
pub(crate) mod process;
mod proxy;
pub(crate) mod rows;
pub(crate) mod slow;
mod swarm;
mod thief;

use daypass_testkit::embedded::Embedded;
use daypass_tests::service::Service;

/// One part at a time, because they share two processors.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A store, and functions over it whose password hashes take no time.
pub(crate) async fn service() -> (Embedded, Service) {
    with(&[]).await
}

async fn with(settings: &[(&str, &str)]) -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::quick(&embedded.url(), settings).await;
    (embedded, service)
}
