//! Values that everything above is made of, and the two ports that they draw on: time and randomness.

pub(crate) mod digest;
pub mod entropy;
pub mod ids;
pub mod issuer;
pub mod json;
pub mod scope;
pub mod time;
