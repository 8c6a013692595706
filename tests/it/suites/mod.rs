//! Suites that need other programs than Cargo. `cargo verify --only STEP` starts these programs and runs a suite.

mod arm64;
mod black_box;
mod browser;
mod dynamodb_local;
mod ending;
pub(crate) mod failures;
mod interop;
mod rehearsal;
mod revocation;
mod secrets_manager;
mod timing;
