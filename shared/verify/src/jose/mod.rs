//! JSON Web Keys and Tokens, for whoever verifies them: nothing here signs.

pub mod jwk;
pub mod verify;
