//! The ports of a verifier, as traits, and its events.

pub mod context;
pub mod event;
pub mod follow;
pub mod journal;
