//! The ports: what the flows need from outside, as traits, and the values that go through them.

pub mod context;
pub mod event;
pub mod hasher;
pub mod mail;
pub mod migration;
pub mod passkey;
pub mod store;
pub mod vault;
