//! What can go wrong in a request, and the texts that the caller is told.

use crate::client::UnknownClient;
use crate::ports::store::StoreError;
use daypass_verifier::base::scope::ScopeError;
use std::time::Duration;

/// What the caller is told. One row each of the error table of the HTTP contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiError {
    /// The request is malformed; the text says how, without repeating any of it.
    InvalidRequest(&'static str),
    /// The body is over the limit.
    BodyTooLarge,
    /// The content type is none that the endpoint reads.
    UnsupportedMediaType(&'static str),
    /// The method is not the endpoint's; the text is the `Allow` header.
    MethodNotAllowed(&'static str),
    /// Unknown user, wrong password, disabled user.
    BadCredentials,
    /// The refresh token is unknown, expired, revoked, reused or malformed, or the token with `all=true` commands nothing.
    InvalidGrant,
    /// The refresh token is another client's. The caller is told what [`ApiError::InvalidGrant`] says and nothing more; but
    /// the token is good where it belongs, so a browser does not lose its cookie.
    AnotherClientsGrant,
    /// A `grant_type` other than `refresh_token`.
    UnsupportedGrantType,
    /// The client is not registered.
    UnknownClient,
    /// The page that sent the request is none of the client's.
    OriginNotAllowed,
    /// The request tries to authenticate the client in the `Authorization` header; our clients have no secrets.
    ClientAuthentication,
    /// The scope is malformed or not granted.
    InvalidScope,
    /// The current password, which a change asks for, is wrong. Not [`ApiError::InvalidGrant`] and not 401: the tokens are
    /// good, and a client must neither throw them away nor renew them.
    WrongPassword,
    /// The new password is not good enough; the text says why.
    PasswordRefused(&'static str),
    /// No access token was checked, or the session of the one that was is over (RFC 6750 §3.1).
    InvalidToken,
    /// The path names nothing, or nothing of the caller's.
    NotFound,
    /// Too many attempts; try again after this time.
    SlowDown(Duration),
    /// The store is throttled, slow or down.
    TemporarilyUnavailable,
    /// Our own fault.
    ServerError,
}

impl ApiError {
    /// The `error` code (RFC 6749 §5.2, RFC 7009 §2.2.1) and the `error_description`.
    #[must_use]
    pub const fn text(&self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidRequest(text) => ("invalid_request", text),
            Self::BodyTooLarge => ("invalid_request", "The body is too large."),
            Self::UnsupportedMediaType(text) => ("invalid_request", text),
            Self::MethodNotAllowed(_) => ("invalid_request", "The method is not allowed here."),
            Self::BadCredentials => ("invalid_grant", "The user name or the password is wrong."),
            Self::InvalidGrant | Self::AnotherClientsGrant => ("invalid_grant", "The token is not valid."),
            Self::UnsupportedGrantType => ("unsupported_grant_type", "The grant_type must be refresh_token."),
            Self::UnknownClient => ("invalid_client", "The client is not registered, or not for this."),
            Self::OriginNotAllowed => ("invalid_request", "Requests from this origin are not allowed."),
            Self::ClientAuthentication => {
                ("invalid_client", "Clients have no secret here: send client_id alone.")
            }
            Self::InvalidScope => ("invalid_scope", "The scope is malformed or not granted."),
            Self::WrongPassword => ("wrong_password", "The current password is wrong."),
            Self::PasswordRefused(text) => ("password_refused", text),
            Self::InvalidToken => ("invalid_token", "The access token is not valid."),
            Self::NotFound => ("invalid_request", "There is nothing here."),
            Self::SlowDown(_) => ("slow_down", "Too many attempts. Try again later."),
            Self::TemporarilyUnavailable => {
                ("temporarily_unavailable", "The service is busy. The same request may work in a moment.")
            }
            Self::ServerError => ("server_error", "Something went wrong on our side."),
        }
    }
}

impl From<ScopeError> for ApiError {
    fn from(_: ScopeError) -> Self {
        Self::InvalidScope
    }
}

impl From<&StoreError> for ApiError {
    /// A store that fails is never `invalid_grant`: the client would throw its session away.
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::TemporarilyUnavailable,
            StoreError::Broken(_) => Self::ServerError,
        }
    }
}

impl From<UnknownClient> for ApiError {
    fn from(_: UnknownClient) -> Self {
        Self::UnknownClient
    }
}
