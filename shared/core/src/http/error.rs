//! The errors of the HTTP contract.

use crate::client::UnknownClient;
use crate::flow::error::Problem;
use crate::ports::store::StoreError;
use daypass_verifier::base::scope::ScopeError;
use daypass_verifier::routes::Challenge;
use std::time::Duration;

/// An error as the client sees it. Each variant is one row of the error table of the HTTP contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiError {
    /// The request is malformed; the text names the fault and repeats no input.
    InvalidRequest(&'static str),
    /// The request has no refresh token, neither in the named parameter nor in the cookie.
    NoToken(&'static str),
    /// The body is over the limit.
    BodyTooLarge,
    /// The endpoint does not read this content type; the text names those that it reads.
    UnsupportedMediaType(&'static str),
    /// The endpoint does not have this method; the text is the `Allow` header.
    MethodNotAllowed(&'static str),
    /// Unknown user, wrong password or disabled user.
    BadCredentials,
    /// The refresh token is unknown, expired, revoked, reused or malformed; or the token of a request with `all=true` is not
    /// valid.
    InvalidGrant,
    /// The refresh token is another client's. The client gets the texts of [`ApiError::InvalidGrant`], but a browser keeps its
    /// cookie: the token is valid for the client that it belongs to.
    AnotherClientsGrant,
    /// The request has no DPoP proof, or one that is not valid (RFC 9449 §5); the text names the fault.
    InvalidProof(&'static str),
    /// The DPoP proof has no nonce, or one that is no longer valid (RFC 9449 §8).
    NonceNeeded,
    /// The second factor is wrong or was used. The token of the first step stays valid.
    WrongCode,
    /// The endpoint does not have this `grant_type`.
    UnsupportedGrantType,
    /// The client is not registered.
    UnknownClient,
    /// The page that sent the request is not a page of the client.
    OriginNotAllowed,
    /// A trusted proxy is configured, and the request did not come through it; the text names what is missing.
    NotThroughProxy(&'static str),
    /// The request authenticates the client in the `Authorization` header; clients have no secrets here.
    ClientAuthentication,
    /// A machine client is not authenticated.
    InvalidClient,
    /// The machine client may not ask about tokens.
    UnauthorizedClient,
    /// The scope is malformed or not granted.
    InvalidScope,
    /// The current password, which a change of the password needs, is wrong. This is neither [`ApiError::InvalidGrant`] nor a
    /// 401, because the client must keep its tokens and must not renew them.
    WrongPassword,
    /// The new password breaks a rule; the text is for the user.
    PasswordRefused(&'static str),
    /// No access token was verified, or the session of the access token is over (RFC 6750 §3.1).
    InvalidToken,
    /// The access token has no right to the account endpoints (RFC 6750 §3.1).
    InsufficientScope,
    /// The endpoint needs a newer authentication, or one by two factors (RFC 9470 §3).
    InsufficientAuthentication(Challenge),
    /// The user must have a second factor, and cannot remove the last one.
    FactorRequired,
    /// The link, the code or the request handle of a mail is not valid.
    MailRefused,
    /// The service has no passkeys.
    PasskeysOff,
    /// The response of an authenticator is not valid.
    WrongPasskey,
    /// The client allows no sign-up without an invitation.
    SignUpNotAllowed,
    /// The service sends no mails.
    MailOff,
    /// API Gateway did not authorise an operator by IAM.
    NoOperator,
    /// The path names nothing, or nothing of the caller's.
    NotFound,
    /// What an operator wants to add is there already; the text names it.
    AlreadyExists(&'static str),
    /// A rate limit is exhausted; the next attempt is possible after this time.
    SlowDown(Duration),
    /// The store is throttled, slow or down.
    TemporarilyUnavailable,
    /// Daypass itself failed.
    ServerError,
}

impl ApiError {
    /// The `error` code (RFC 6749 §5.2, RFC 7009 §2.2.1) and the `error_description`.
    #[must_use]
    pub const fn text(&self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidRequest(text) => ("invalid_request", text),
            Self::NoToken(_) => ("invalid_request", "There is no token, in the body or in the cookie."),
            Self::BodyTooLarge => ("invalid_request", "The body is too large."),
            Self::UnsupportedMediaType(text) => ("invalid_request", text),
            Self::MethodNotAllowed(_) => ("invalid_request", "The method is not allowed here."),
            Self::BadCredentials => ("invalid_grant", "The user name or the password is wrong."),
            Self::InvalidGrant | Self::AnotherClientsGrant => ("invalid_grant", "The token is not valid."),
            Self::InvalidProof(text) => ("invalid_dpop_proof", text),
            Self::NonceNeeded => (
                "use_dpop_nonce",
                "Repeat the request with a DPoP proof that has the nonce from the header DPoP-Nonce.",
            ),
            Self::WrongCode => ("wrong_code", "The code is wrong or was used."),
            Self::FactorRequired => {
                ("factor_required", "A second factor is required: enrol another one first.")
            }
            Self::UnsupportedGrantType => ("unsupported_grant_type", "The grant_type is not supported here."),
            Self::UnknownClient => {
                ("invalid_client", "The client is not registered, or not for this kind of request.")
            }
            Self::OriginNotAllowed => ("invalid_request", "Requests from this origin are not allowed."),
            Self::NotThroughProxy(text) => ("invalid_request", text),
            Self::ClientAuthentication => {
                ("invalid_client", "Clients have no secret here: send client_id alone.")
            }
            Self::InvalidClient => (
                "invalid_client",
                "The client is not authenticated: use private_key_jwt or client_secret_basic.",
            ),
            Self::UnauthorizedClient => {
                ("unauthorized_client", "The client is not allowed to introspect tokens.")
            }
            Self::InvalidScope => ("invalid_scope", "The scope is malformed or not granted."),
            Self::WrongPassword => ("wrong_password", "The current password is wrong."),
            Self::PasswordRefused(text) => ("password_refused", text),
            Self::InvalidToken => ("invalid_token", "The access token is not valid."),
            Self::InsufficientScope => {
                ("insufficient_scope", "The access token has no right to the account.")
            }
            Self::InsufficientAuthentication(_) => {
                (Challenge::ERROR, "The authentication of the session is too old or too weak.")
            }
            Self::MailRefused => ("invalid_token", "The link or the code is not valid, or was used."),
            Self::SignUpNotAllowed => {
                ("signup_not_allowed", "The client allows no sign-up without an invitation.")
            }
            Self::MailOff => {
                ("invalid_request", "This service sends no mails: its setting mail_from is not set.")
            }
            Self::PasskeysOff => {
                ("invalid_request", "This service has no passkeys: its setting passkey_rp_id is not set.")
            }
            Self::WrongPasskey => {
                ("wrong_passkey", "The passkey is not valid here, or its response was used.")
            }
            Self::NoOperator => ("access_denied", "The request is not authorised by IAM."),
            Self::NotFound => ("invalid_request", "There is nothing here."),
            Self::AlreadyExists(text) => ("already_exists", text),
            Self::SlowDown(_) => ("slow_down", "Too many attempts. Try again later."),
            Self::TemporarilyUnavailable => {
                ("temporarily_unavailable", "The service is busy. The same request may work in a moment.")
            }
            Self::ServerError => ("server_error", "Something went wrong on our side."),
        }
    }
}

impl From<&Problem> for ApiError {
    fn from(problem: &Problem) -> Self {
        match problem {
            // A failing store or key source is never `invalid_grant`: the client would discard its session.
            Problem::Store { source: StoreError::Unavailable(_), .. }
            | Problem::KeysOverdue
            | Problem::MachinesUnread
            | Problem::MailNotSent(_)
            | Problem::UserChanged
            | Problem::Unmigrated(_) => Self::TemporarilyUnavailable,
            Problem::Store { source: StoreError::Broken(_), .. }
            | Problem::Sign(_)
            | Problem::Seal(_)
            | Problem::HashPassword => Self::ServerError,
            Problem::NoAuthorizer | Problem::SessionOver { .. } | Problem::NoUser => Self::InvalidToken,
            Problem::OriginNotAllowed => Self::OriginNotAllowed,
            Problem::AccountNotGranted => Self::InsufficientScope,
            Problem::Throttled(throttled) => Self::SlowDown(throttled.wait),
            Problem::BadCredentials => Self::BadCredentials,
            Problem::WrongCode => Self::WrongCode,
            Problem::WrongPassword => Self::WrongPassword,
            Problem::NewPasswordRejected(text) => Self::PasswordRefused(text),
            Problem::TokenRejected => Self::InvalidGrant,
            // The texts are those of a token that is not valid, but its owner keeps the cookie.
            Problem::OtherClient | Problem::OtherKey => Self::AnotherClientsGrant,
            Problem::ProofRequired => Self::InvalidProof("The request has no DPoP proof, and it needs one."),
            // Not `invalid_grant`: the token is valid, and the client would discard it.
            Problem::ClientGone => Self::UnknownClient,
            Problem::ClientNotAuthenticated => Self::InvalidClient,
            Problem::IntrospectionNotAllowed => Self::UnauthorizedClient,
            Problem::ScopeNotGranted => Self::InvalidScope,
            Problem::MailOff => Self::MailOff,
            Problem::NoAccountUrl => {
                Self::InvalidRequest("The client has no account_url, which the links of mails need.")
            }
            Problem::SignUpNotAllowed => Self::SignUpNotAllowed,
            Problem::MailThrottled(_, wait) => Self::SlowDown(*wait),
            Problem::MailRefused(..) => Self::MailRefused,
            Problem::InsufficientAuthentication(needed) => Self::InsufficientAuthentication(*needed),
            Problem::FactorRequired => Self::FactorRequired,
            Problem::PasskeysOff => Self::PasskeysOff,
            Problem::PasskeyRejected => Self::WrongPasskey,
            Problem::PasskeyTaken => Self::AlreadyExists("The passkey is registered already."),
            Problem::TooManyPasskeys => Self::InvalidRequest("A user has at most ten passkeys."),
            Problem::NoSuchSession | Problem::NoFactor => Self::NotFound,
            Problem::UnknownCursor => Self::InvalidRequest("The cursor is none that was given out here."),
        }
    }
}

impl From<ScopeError> for ApiError {
    fn from(_: ScopeError) -> Self {
        Self::InvalidScope
    }
}

impl From<UnknownClient> for ApiError {
    fn from(_: UnknownClient) -> Self {
        Self::UnknownClient
    }
}
