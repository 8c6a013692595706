//! The two tokens: the access token, which is a JWT, and the refresh token, which is opaque to everybody but us.

pub mod access;
pub mod refresh;
