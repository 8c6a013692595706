//! Suites that need more than Cargo. `cargo verify --only STEP` starts what a suite needs and runs it.

mod arm64;
mod black_box;
mod browser;
mod dynamodb_local;
mod ending;
mod failures;
mod interop;
mod rehearsal;
mod revocation;
mod secrets_manager;
mod timing;
