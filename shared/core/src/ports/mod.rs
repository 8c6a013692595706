//! The ports: what the flows need from outside, as traits, and the values that go through them.

pub mod context;
pub mod event;
pub mod follow;
pub mod hasher;
pub mod journal;
pub mod store;
pub mod vault;
