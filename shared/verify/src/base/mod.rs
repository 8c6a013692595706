//! Ids, times, scopes, digests and strict JSON, and the ports for time and randomness.

pub mod digest;
pub mod entropy;
pub mod ids;
pub mod issuer;
pub mod json;
pub mod scope;
pub mod time;
