//! JSON Web Keys and Tokens (RFC 7517, RFC 7515), for verifiers.

pub mod dpop;
pub mod jwk;
pub(crate) mod signature;
pub mod verify;
