//! The tokens: the access token, which is a JWT, and those that are opaque to clients: refresh tokens, device tokens and the
//! tokens of mails.

pub mod access;
pub mod assertion;
pub mod device;
pub mod mail;
pub mod mfa;
pub mod migration;
pub mod refresh;
