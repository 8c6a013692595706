//! The rules of Daypass, and nothing that touches the world.
//!
//! Tokens, sessions, keys, configuration and the flows of login, refresh, revoke, sessions, authorize and discovery live
//! here as plain functions over plain values. Whatever they need from outside comes in through a port:
//! [`Store`] for DynamoDB, [`Credentials`] for names and passwords, [`Clock`] for the time and [`Entropy`] for
//! randomness. The crate reads no environment variable, opens no socket and knows neither AWS nor Lambda, so every
//! rule can be tested with a fixed clock and seeded randomness.

pub mod access;
pub mod browser;
pub mod config;
pub mod discovery;
mod entropy;
mod error;
pub mod event;
mod ids;
pub mod issue;
pub mod json;
pub mod jwks;
mod keyring;
pub mod keys;
pub mod login;
pub mod password;
pub mod refresh;
mod refresh_token;
pub mod revocations;
pub mod revoke;
pub mod rotate;
pub mod routes;
mod scope;
mod secret;
pub mod session;
pub mod sessions;
mod store;
#[cfg(test)]
mod testing;
pub mod throttle;
mod time;
pub mod web;

pub use entropy::Entropy;
pub use error::ApiError;
pub use ids::{AttemptId, ClientId, SessionId, UserId, Username};
pub use keyring::{Keyring, Need};
pub use refresh_token::{RefreshToken, RefreshTokenError};
pub use scope::{Scope, ScopeError};
pub use secret::{Password, Secret};
pub use store::{
    Credentials, NewSession, PasswordCheck, Revocation, Rotation, RotationRequest, Store, StoreError, User,
    UserStatus,
};
pub use time::{Clock, Timestamp};
