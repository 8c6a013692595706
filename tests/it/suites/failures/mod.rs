//! What goes wrong in the real world, and what becomes of sessions then: `docs/failures.md` is this suite in words.
//!
//! [`rows`] is the one table of what is expected; [`matrix`] plays it, [`order`] lets answers overtake each other,
//! [`crash`] kills real processes, [`swarm`], [`thief`] and [`clocks`] run many sessions. `cargo verify --only failures`
//! runs it all and shows what it covered.

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

/// One part at a time: they share two processors.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A store, and a service over it whose passwords cost nothing.
pub(crate) async fn service() -> (Embedded, Service) {
    with(&[]).await
}

async fn with(settings: &[(&str, &str)]) -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::quick(&embedded.url(), settings).await;
    (embedded, service)
}
