//! The flows: one use case each, from a parsed request to an [`Outcome`](outcome::Outcome).

pub mod account;
pub mod client_credentials;
pub mod error;
pub mod feed;
pub mod introspect;
pub mod issue;
pub mod login;
pub mod mailer;
mod migrate;
pub mod outcome;
pub mod passkey;
pub mod password;
pub mod refresh;
pub mod revoke;
pub mod rotate_keys;
pub mod sessions;
mod throttle;
