//! Issuing: the pair of tokens that login and refresh answer with.

use crate::client::Transport;
use crate::keys::{Document, KeyError, RefreshKeys, SigningKeys};
use crate::session::Session;
use crate::token::access::{Grant, Signer};
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::SessionId;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// Makes the two tokens of a session.
#[derive(Debug)]
pub struct TokenIssuer {
    /// Signs the single-ride ticket.
    pub signer: Signer,
    /// Authenticates the day pass.
    pub refresh_keys: RefreshKeys,
}

/// The body of a successful login or refresh (RFC 6749 §5.1).
#[derive(Serialize)]
pub struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Seconds until the refresh token expires.
    refresh_expires_in: u64,
    scope: Scope,
    session_id: SessionId,
    /// The refresh token and its life, where it goes in the cookie.
    #[serde(skip)]
    pub(crate) cookie: Option<(String, Duration)>,
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenResponse({})", self.session_id)
    }
}

impl TokenIssuer {
    /// An issuer with the active keys of a document.
    ///
    /// # Errors
    /// [`KeyError`] when its sections `signing` or `refresh` are not usable.
    pub fn new(
        keys: &Document,
        issuer: &Issuer,
        audience: &str,
        lifetime: Duration,
    ) -> Result<Self, KeyError> {
        let signer = Signer {
            keys: SigningKeys::from_document(keys)?,
            issuer: issuer.clone(),
            audience: audience.to_owned(),
            lifetime,
        };
        Ok(Self { signer, refresh_keys: RefreshKeys::from_document(keys)? })
    }

    /// The tokens of `session` as it stands, the access token with `scope`. The refresh token follows from the session
    /// alone, so asking twice gives the same one.
    ///
    /// # Errors
    /// [`KeyError`] when the signing key cannot sign.
    pub fn issue(
        &self,
        session: &Session,
        scope: Scope,
        transport: Transport,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<TokenResponse, KeyError> {
        let token = session.token().mint(&self.refresh_keys);
        let life = session.expires_at.since(now);
        let (refresh_token, cookie) = match transport {
            Transport::Body => (Some(token), None),
            Transport::Cookie => (None, Some((token, life))),
        };
        let grant = Grant {
            user: session.user,
            session: session.session,
            client: session.client.clone(),
            scope: scope.clone(),
        };
        Ok(TokenResponse {
            access_token: self.signer.issue(&grant, now, entropy)?,
            token_type: "Bearer",
            expires_in: self.signer.lifetime.as_secs(),
            refresh_token,
            refresh_expires_in: life.as_secs(),
            scope,
            session_id: session.session,
            cookie,
        })
    }
}
