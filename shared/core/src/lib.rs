//! The rules of Daypass, as plain functions over plain values. The crate does no I/O.
//!
//! The modules are layers. Each names only those before it in this list, and `tests/it/boundaries.rs` holds that:
//!
//! 1. [`secret`]: passwords and keys, which no log shows.
//! 2. [`keys`]: the key set, its signing keys, refresh keys, peppers and keys of second factors, and their rotation.
//! 3. [`account`], [`factor`], [`token`], [`client`], [`throttle`], [`session`], [`passkey`]: the rules, each by itself.
//! 4. [`ports`]: the store, the password hasher, Secrets Manager, and what is logged.
//! 5. [`config`]: what each function reads from its environment.
//! 6. [`flow`]: login, refresh, revocation, sessions, change of password, revocation feed and key rotation.
//! 7. [`http`]: requests into flows, and their results into answers.
//!
//! Below all of them stands the crate `daypass-verifier`: time, ids, public keys, the verification of access tokens, routes and
//! the revocation list.
//!
//! The crate reads no environment variable, opens no socket and names no SDK, so each rule can be tested with a fixed
//! clock and seeded randomness. A type has one path: nothing is re-exported here.

pub mod account;
pub mod client;
pub mod config;
pub mod factor;
pub mod flow;
pub mod http;
pub mod keys;
pub mod passkey;
pub mod ports;
pub mod secret;
pub mod session;
#[cfg(test)]
mod testing;
pub mod throttle;
pub mod token;
