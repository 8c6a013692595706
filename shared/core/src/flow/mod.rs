//! The flows: what each endpoint does with a request that has been read, and the key rotation.

pub mod error;
pub mod feed;
pub mod issue;
pub mod login;
pub mod password;
pub mod refresh;
pub mod report;
pub mod revoke;
pub mod rotate_keys;
pub mod sessions;
mod throttle;
