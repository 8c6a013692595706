//! The tokens: the access token, which is a JWT, and the refresh token and the device token, which are opaque to clients.

pub mod access;
pub mod assertion;
pub mod device;
pub mod migration;
pub mod refresh;
