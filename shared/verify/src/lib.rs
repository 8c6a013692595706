//! Verifies the access tokens of Daypass. The crate signs nothing and does no I/O.
//!
//! The Lambda authorizer is built on it, and a Rust service that no API Gateway stands in front of can use it alone. Such a
//! service fetches two documents of the issuer with its own HTTP client: the JWK set at `/.well-known/jwks.json`, and the
//! revocation feed at `/revocations`. Then each request takes a signature check and a look-up in memory, as in
//! `examples/verify.rs`:
//!
//! ```no_run
#![doc = include_str!("../examples/verify.rs")]
//! ```
//!
//! The modules are layers, the lowest first: [`base`], [`jose`], [`routes`], [`revocation`], [`ports`], [`config`]. Each
//! names only those before it, which `tests/it/boundaries.rs` holds. [`ports`] and [`config`] are the authorizer's: what it
//! logs, and the variables that it reads.

pub mod base;
pub mod config;
pub mod jose;
pub mod ports;
pub mod revocation;
pub mod routes;
#[cfg(test)]
mod testing;
