//! Ids, times, scopes and strict JSON, and the ports for time and randomness.

pub(crate) mod digest;
pub mod entropy;
pub mod ids;
pub mod issuer;
pub mod json;
pub mod scope;
pub mod time;
