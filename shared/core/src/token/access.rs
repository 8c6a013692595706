//! Access tokens: JWTs of the profile of RFC 9068, signed here. [`Verifier`](daypass_verifier::jose::verify::Verifier) reads them.

use crate::account::authentication::Authentication;
use crate::account::claims::Claims as UserClaims;
use crate::keys::{KeyError, SigningKeys};
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::base::ids::{ClientId, SessionId, UserId};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Algorithm;
use daypass_verifier::jose::verify::MEDIA_TYPE;
use serde::Serialize;
use std::time::Duration;

/// What an access token says.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The user: `sub`.
    pub user: UserId,
    /// The session that the token belongs to: `sid`.
    pub session: SessionId,
    /// The client it was issued to: `client_id`.
    pub client: ClientId,
    /// What it may be used for: `scope`, left out when empty.
    pub scope: Scope,
    /// The claims of the user, as members of their own.
    pub claims: UserClaims,
    /// Whether it may call the account endpoints: `account`, left out when it may not.
    pub account: bool,
    /// The last authentication of the session: `auth_time`, `amr` and `acr` (RFC 9068 §2.2.1).
    pub authentication: Authentication,
    /// When its session expires, in whole seconds: `exp` is no later.
    pub session_end: Timestamp,
}

/// Signs access tokens.
#[derive(Debug)]
pub struct Signer {
    /// The active key.
    pub keys: SigningKeys,
    /// `iss`.
    pub issuer: Issuer,
    /// `aud`: the one API, or family of APIs, that takes the tokens.
    pub audience: String,
    /// How long a token is good, unless its session expires before: 300 to 600 s.
    pub lifetime: Duration,
}

/// What the access token of a machine client says.
#[derive(Debug, Clone)]
pub struct ClientGrant<'a> {
    /// The client: `sub` and `client_id` (RFC 9068 §2.2).
    pub client: &'a str,
    /// Derived from the client and its key: `sid`.
    pub session: SessionId,
    /// What it may be used for: `scope`, left out when empty.
    pub scope: &'a Scope,
    /// `aud`; `None` for that of the signer.
    pub audience: Option<&'a str>,
    /// The lifetime, if it is shorter than that of the signer.
    pub lifetime: Option<Duration>,
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: Algorithm,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    client_id: &'a str,
    exp: u64,
    iat: u64,
    jti: String,
    sid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    account: bool,
    /// This and the next two are absent for a machine client, which no person authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    amr: Vec<&'static str>,
    /// None of its members has a name of the others: [`UserClaims`] reserves them.
    #[serde(flatten)]
    user: &'a UserClaims,
}

impl Signer {
    /// The lifetime of an access token that is issued at `now`, in seconds. It is at least 1 while the session is live.
    #[must_use]
    pub fn lifetime(&self, grant: &Grant, now: Timestamp) -> u64 {
        let end = (now + self.lifetime).min(grant.session_end);
        end.seconds().saturating_sub(now.seconds())
    }

    /// A new access token for `grant`.
    ///
    /// # Errors
    /// [`KeyError`] when the key cannot sign: a broken deployment, never the caller's fault.
    pub fn issue(&self, grant: &Grant, now: Timestamp, entropy: &dyn Entropy) -> Result<String, KeyError> {
        let claims = Claims {
            iss: self.issuer.as_str(),
            sub: grant.user.to_string(),
            aud: &self.audience,
            client_id: grant.client.as_str(),
            exp: now.seconds() + self.lifetime(grant, now),
            iat: now.seconds(),
            jti: BASE64URL_NOPAD.encode(&random::<16>(entropy)),
            sid: grant.session.to_string(),
            scope: grant.scope.to_string(),
            account: grant.account,
            auth_time: Some(grant.authentication.at.seconds()),
            acr: Some(grant.authentication.methods.acr()),
            amr: grant.authentication.methods.amr(),
            user: &grant.claims,
        };
        sign(&self.keys, MEDIA_TYPE, &claims)
    }

    /// A new access token for a machine client, and its lifetime in seconds.
    ///
    /// # Errors
    /// As [`Signer::issue`].
    pub fn issue_to_client(
        &self,
        grant: &ClientGrant<'_>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(String, u64), KeyError> {
        let lifetime = grant.lifetime.unwrap_or(self.lifetime).min(self.lifetime).as_secs();
        let claims = Claims {
            iss: self.issuer.as_str(),
            sub: grant.client.to_owned(),
            aud: grant.audience.unwrap_or(&self.audience),
            client_id: grant.client,
            exp: now.seconds() + lifetime,
            iat: now.seconds(),
            jti: BASE64URL_NOPAD.encode(&random::<16>(entropy)),
            sid: grant.session.to_string(),
            scope: grant.scope.to_string(),
            account: false,
            auth_time: None,
            acr: None,
            amr: Vec::new(),
            user: &UserClaims::default(),
        };
        Ok((sign(&self.keys, MEDIA_TYPE, &claims)?, lifetime))
    }
}

/// A JWT of this type with these claims.
pub(super) fn sign(keys: &SigningKeys, typ: &str, claims: &impl Serialize) -> Result<String, KeyError> {
    let header = Header { typ, alg: keys.algorithm(), kid: keys.kid() };
    let signing_input = format!("{}.{}", encode(&header), encode(claims));
    let signature = keys.sign(signing_input.as_bytes())?;
    Ok(format!("{signing_input}.{signature}"))
}

/// The base64url of the JSON of `value`.
fn encode(value: &impl Serialize) -> String {
    // Strings and integers always become JSON; an empty segment would be refused by every verifier.
    BASE64URL_NOPAD.encode(&serde_json::to_vec(value).unwrap_or_default())
}

#[cfg(test)]
mod tests;
