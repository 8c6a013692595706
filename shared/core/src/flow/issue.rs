//! Issuing: the pair of tokens in the response of a login or a refresh.

use crate::client::Transport;
use crate::keys::{Document, KeyError, RefreshKeys, SigningKeys};
use crate::secret::SecretString;
use crate::session::Session;
use crate::token::access::{Grant, Signer};
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::SessionId;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use serde::{Serialize, Serializer};
use std::time::Duration;

/// Issues the two tokens of a session.
#[derive(Debug)]
pub struct TokenIssuer {
    /// Signs the access token.
    pub signer: Signer,
    /// Authenticates the refresh token.
    pub refresh_keys: RefreshKeys,
}

/// The body of a successful login or refresh (RFC 6749 §5.1).
#[derive(Debug, Serialize)]
pub struct TokenResponse {
    #[serde(serialize_with = "exposed")]
    access_token: SecretString,
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed_if_any")]
    refresh_token: Option<SecretString>,
    /// Seconds until the refresh token expires.
    refresh_expires_in: u64,
    scope: Scope,
    session_id: SessionId,
    /// Whether the session is for the enrolment of a second factor alone. Only in the response of a login.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    mfa_enrolment_required: bool,
    /// Only in the response of a login.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed_if_any")]
    device_token: Option<SecretString>,
    /// The device token, for a client that holds it in the cookie.
    #[serde(skip)]
    pub(crate) device_cookie: Option<SecretString>,
    /// The refresh token and its lifetime, for a client that holds it in the cookie.
    #[serde(skip)]
    pub(crate) cookie: Option<(SecretString, Duration)>,
}

impl TokenResponse {
    /// The response of a login, with the token of the device.
    pub(crate) fn on_device(self, token: SecretString, transport: Transport) -> Self {
        let (device_token, device_cookie) = match transport {
            Transport::Body => (Some(token), None),
            Transport::Cookie => (None, Some(token)),
        };
        Self { device_token, device_cookie, ..self }
    }

    /// The response of a login whose user has to enrol a second factor first.
    pub(crate) fn for_enrolment(self) -> Self {
        Self { mfa_enrolment_required: true, ..self }
    }
}

pub(crate) fn exposed<S: Serializer>(token: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose())
}

fn exposed_if_any<S: Serializer>(token: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    token.as_ref().map(SecretString::expose).serialize(serializer)
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

    /// The tokens of `session`, the access token with `scope`, and with the right to the account endpoints if `account`. The refresh token follows from the session alone, so a second
    /// call gives the same one.
    ///
    /// # Errors
    /// [`KeyError`] when the signing key cannot sign.
    pub fn issue(
        &self,
        session: &Session,
        scope: Scope,
        account: bool,
        transport: Transport,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<TokenResponse, KeyError> {
        let token = SecretString::new(session.token().mint(&self.refresh_keys));
        let lifetime = session.expires_at.since(now);
        let (refresh_token, cookie) = match transport {
            Transport::Body => (Some(token), None),
            Transport::Cookie => (None, Some((token, lifetime))),
        };
        let grant = Grant {
            user: session.user,
            session: session.session,
            client: session.client.clone(),
            scope: scope.clone(),
            claims: session.claims.clone(),
            account,
            authentication: session.authentication,
            session_end: session.expires_at,
        };
        Ok(TokenResponse {
            access_token: SecretString::new(self.signer.issue(&grant, now, entropy)?),
            token_type: "Bearer",
            expires_in: self.signer.lifetime(&grant, now),
            refresh_token,
            refresh_expires_in: lifetime.as_secs(),
            scope,
            session_id: session.session,
            mfa_enrolment_required: false,
            device_token: None,
            device_cookie: None,
            cookie,
        })
    }
}
