//! The rules of Daypass, as plain functions over plain values. The crate does no I/O.
//!
//! The modules are layers. Each names only those above it in this list, and `tests/it/boundaries.rs` holds that:
//!
//! 1. [`base`]: time, randomness, ids and other values.
//! 2. [`jose`]: public keys and the verification of access tokens.
//! 3. [`keys`]: the key set, its signing keys, refresh keys and peppers, and their rotation.
//! 4. [`token`], [`client`], [`session`], [`throttle`], [`routes`], [`revocation`]: the rules, each by itself.
//! 5. [`ports`]: the store, the password hasher, Secrets Manager and the log, as traits.
//! 6. [`config`]: what each function reads from its environment.
//! 7. [`flow`]: login, refresh, revocation, sessions, change of password, revocation feed and key rotation.
//! 8. [`http`]: requests into flows, and their results into answers.
//!
//! The crate reads no environment variable, opens no socket and names no SDK, so each rule can be tested with a fixed
//! clock and seeded randomness. A type has one path: nothing is re-exported here.

pub mod base;
pub mod client;
pub mod config;
pub mod flow;
pub mod http;
pub mod jose;
pub mod keys;
pub mod ports;
pub mod revocation;
pub mod routes;
pub mod session;
#[cfg(test)]
mod testing;
pub mod throttle;
pub mod token;
