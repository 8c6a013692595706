//! Revoke (RFC 7009): a session ends now, or all sessions of its user do.

use crate::client::Transport;
use crate::config::RevokeConfig;
use crate::flow::error::ApiError;
use crate::flow::report::Report;
use crate::keys::{Document, KeyError, RefreshKeys};
use crate::ports::context::Context;
use crate::ports::event::{Event, Ignored};
use crate::ports::store::{Revocation, Store, StoreError};
use crate::session::{DeadCause, EndReason, Ended};
use crate::token::refresh::RefreshToken;
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::jose::verify::{UnusableKey, Verifier};
use daypass_verifier::ports::context::Caller;
use serde::Serialize;

/// What a revocation request says (RFC 7009 §2.1).
pub struct RevokeRequest {
    pub(crate) token: String,
    pub(crate) transport: Transport,
    /// The clients whose sessions the token may end; `None` for any.
    pub(crate) clients: Option<Vec<ClientId>>,
    pub(crate) all: bool,
}

impl std::fmt::Debug for RevokeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RevokeRequest(.., all: {})", self.all)
    }
}

impl RevokeRequest {
    /// How the token came.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }
}

/// The body of a successful revocation: an empty object.
#[derive(Debug, Serialize)]
pub struct Revoked {}

/// The revocation flow with all it needs.
pub struct Revoke<S> {
    /// The registered clients.
    pub config: RevokeConfig,
    /// The tables.
    pub store: S,
    /// Authenticates refresh tokens.
    pub refresh_keys: RefreshKeys,
    /// Authenticates access tokens.
    pub verifier: Verifier,
    /// Time, randomness, log.
    pub context: Context,
}

/// Why a revocation flow cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetupError {
    /// The key set has no usable refresh keys.
    Keys(KeyError),
    /// The JWKS has a key that cannot be used.
    Jwks(UnusableKey),
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Keys(error) => error.fmt(f),
            Self::Jwks(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SetupError {}

/// Whose token it is, and of which session.
type Owner = (UserId, SessionId);

impl<S: Store> Revoke<S> {
    /// The flow as configured. Needs the section `refresh` of the key set; signing keys only as the public JWKS.
    ///
    /// # Errors
    /// [`SetupError`] when the keys are not usable.
    pub fn new(
        config: RevokeConfig,
        keys: &Document,
        jwks: &Jwks,
        store: S,
        context: Context,
    ) -> Result<Self, SetupError> {
        let refresh_keys = RefreshKeys::from_document(keys).map_err(SetupError::Keys)?;
        let verifier = Verifier::new(config.issuer.clone(), config.audience.clone(), jwks);
        Ok(Self { verifier: verifier.map_err(SetupError::Jwks)?, config, store, refresh_keys, context })
    }

    /// Ends the token's session, or with `all` every session of its user. A token that is unknown, expired or malformed
    /// is answered like one that was revoked (RFC 7009 §2.2): what was asked for is so already. With `all` it is not: such a
    /// token commands nothing, and the other sessions live.
    ///
    /// # Errors
    /// `invalid_client` for an unregistered client, `invalid_grant` for another client's token (RFC 7009 §2.1) and, with
    /// `all`, for one that commands nothing, and 503 when the store did not answer: never a false success.
    pub async fn run(&self, request: RevokeRequest, caller: &Caller) -> Result<Revoked, ApiError> {
        let now = self.context.clock.now();
        let all = request.all;
        let (user, session) = match self.identify(&request.token, now) {
            Ok(owner) => owner,
            Err((cause, owner)) => return self.ignored(cause, owner, None, all, caller),
        };
        let ignored =
            |cause, reason| self.ignored(Ignored::Session(cause), Some((user, session)), reason, all, caller);
        let failed = |during, error: &StoreError| self.context.store_failed(during, error, caller);
        let reason = if all { EndReason::RevokedAll } else { EndReason::Revoked };
        let attempt = AttemptId::generate(self.context.entropy.as_ref());
        let ending =
            self.store.revoke_session(user, session, request.clients.as_deref(), now, reason, attempt);
        let opened_before = match ending.await {
            Ok(Revocation::Ended) => {
                self.context.journal.record(&Event::SessionEnded { user, session, reason }, caller);
                None
            }
            // An earlier call with `all` got only so far: this one finishes it, and touches nothing that was opened since (by
            // more than clocks may differ). Whoever kept a token of back then could else log the user out for as long as it
            // has not expired.
            Ok(Revocation::AlreadyOver(Ended { at, reason: EndReason::RevokedAll })) if all => Some(at),
            // For another reason, it commands nothing any more.
            Ok(Revocation::AlreadyOver(before)) => {
                return ignored(DeadCause::Ended, Some(before.reason));
            }
            Ok(Revocation::Absent) => return ignored(DeadCause::Absent, None),
            Ok(Revocation::OtherClient) => {
                let _ = ignored(DeadCause::OtherClient, None);
                return Err(ApiError::AnotherClientsGrant);
            }
            Err(error) => return Err(failed("revoke_session", &error)),
        };
        if all {
            let count = self
                .store
                .revoke_all(user, now, reason, opened_before)
                .await
                .map_err(|error| failed("revoke_all", &error))?;
            self.context.journal.record(&Event::SessionsEnded { user, session, count, reason }, caller);
        }
        Ok(Revoked {})
    }

    /// Nothing changed. Who asked for one session's end has what they asked for; who asked for all must hear that they
    /// live on.
    fn ignored(
        &self,
        cause: Ignored,
        owner: Option<Owner>,
        reason: Option<EndReason>,
        all: bool,
        caller: &Caller,
    ) -> Result<Revoked, ApiError> {
        let (user, session) = owner.unzip();
        self.context.journal.record(&Event::RevokeIgnored { cause, all, user, session, reason }, caller);
        if all { Err(ApiError::InvalidGrant) } else { Ok(Revoked {}) }
    }

    /// Whose token it is, if it is one of ours and within its time. The error says whose it was, if it ever was ours.
    fn identify(&self, token: &str, now: Timestamp) -> Result<Owner, (Ignored, Option<Owner>)> {
        if token.starts_with(RefreshToken::PREFIX) {
            let keys = &self.refresh_keys;
            let owner = |token: RefreshToken| (token.user, token.session);
            return RefreshToken::authenticate(token, keys, now).map(owner).map_err(|cause| {
                (Ignored::Token(cause), RefreshToken::expired(token, keys, cause).map(owner))
            });
        }
        let verified = self
            .verifier
            .examine(token, now)
            .map_err(|rejected| (Ignored::AccessToken(rejected.cause), rejected.owner))?;
        let owner = UserId::parse(&verified.subject).zip(SessionId::parse(&verified.session));
        owner.ok_or((Ignored::Session(DeadCause::Absent), None))
    }
}
