//! The signed request to a migration endpoint: a JWT that holds the name and the password.
//!
//! The signature covers all of it, so an endpoint gets the password only out of the token that it verifies.

use crate::keys::{KeyError, SigningKeys};
use crate::secret::Password;
use crate::token::access::sign;
use daypass_verifier::base::ids::ClientId;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;

/// The `typ` of the request (RFC 8725 §3.11). An access token has another one.
const TYPE: &str = "daypass-migration+jwt";

/// The lifetime of the request, in seconds.
const LIFETIME: u64 = 60;

/// A request to check a name and a password.
#[derive(Debug, Clone, Copy)]
pub struct MigrationRequest<'a> {
    /// The stack that signs.
    pub issuer: &'a Issuer,
    /// The URL of the endpoint.
    pub audience: &'a str,
    /// The client of the login.
    pub client: &'a ClientId,
    /// The name as typed.
    pub username: &'a str,
    /// The typed password.
    pub password: &'a Password,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    client_id: &'a str,
    username: &'a str,
    password: &'a str,
}

impl MigrationRequest<'_> {
    /// The request as a JWT.
    ///
    /// # Errors
    /// [`KeyError`] when the key cannot sign.
    pub fn sign(&self, keys: &SigningKeys, now: Timestamp) -> Result<String, KeyError> {
        let iat = now.seconds();
        let claims = Claims {
            iss: self.issuer.as_str(),
            aud: self.audience,
            iat,
            exp: iat + LIFETIME,
            client_id: self.client.as_str(),
            username: self.username,
            password: self.password.expose(),
        };
        sign(keys, TYPE, &claims)
    }
}
