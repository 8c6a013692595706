//! What a verifier needs from outside, as traits, and what it logs.

pub mod context;
pub mod event;
pub mod follow;
pub mod journal;
