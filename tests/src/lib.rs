//! Shared parts of the integration tests: functions in one process, tables, the store contract, the model.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]

pub mod authenticator;
pub mod aws;
pub mod bench;
pub mod contract;
pub mod key;
pub mod mailroom;
pub mod model;
pub mod openapi;
pub mod service;
