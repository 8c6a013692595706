//! Verifies the access tokens of Daypass. The crate signs nothing and does no I/O.
//!
//! The Lambda authorizer uses it, and so can a Rust service without API Gateway. Such a service fetches two documents
//! of the issuer with its own HTTP client: the JWK set at `/.well-known/jwks.json`, and the revocation feed at
//! `/revocations`. Each request then costs a signature check and a lookup in memory, as in `examples/verify.rs`:
//!
//! ```no_run
#![doc = include_str!("../examples/verify.rs")]
//! ```
//!
//! The modules are layers, the lowest first: [`base`], [`jose`], [`routes`], [`revocation`], [`ports`], [`config`]. Each
//! names only those before it, and `tests/it/boundaries.rs` checks this. [`ports`] and [`config`] belong to the authorizer:
//! its events, and its variables.

pub mod base;
pub mod config;
pub mod jose;
pub mod ports;
pub mod revocation;
pub mod routes;
#[cfg(test)]
mod testing;
