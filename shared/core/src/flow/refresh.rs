//! Refresh: a day pass becomes a new single-ride ticket and the next day pass.
//!
//! One conditional write, no read. Forged, truncated and expired tokens are refused before it.

use crate::client::Transport;
use crate::config::RefreshConfig;
use crate::flow::error::ApiError;
use crate::flow::issue::{TokenIssuer, TokenResponse};
use crate::flow::report::Report;
use crate::keys::{Document, KeyError};
use crate::ports::context::Context;
use crate::ports::event::{Event, Refusal};
use crate::ports::store::{Revocation, Rotation, Store};
use crate::session::{DeadCause, EndReason, Ended, Presented, ReuseCause, RotationRequest, Session};
use crate::token::refresh::RefreshToken;
use daypass_verifier::base::ids::{AttemptId, ClientId};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::ports::context::Caller;

/// What a refresh request says (RFC 6749 §6).
pub struct RefreshRequest {
    pub(crate) refresh_token: String,
    pub(crate) transport: Transport,
    pub(crate) client: Option<ClientId>,
    /// The clients whose sessions may be refreshed by this request.
    pub(crate) registered: Vec<ClientId>,
    pub(crate) scope: Option<Scope>,
    pub(crate) attempt: Option<AttemptId>,
}

impl std::fmt::Debug for RefreshRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshRequest(..)")
    }
}

impl RefreshRequest {
    /// How the refresh token came.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }
}

/// The refresh flow with all it needs.
pub struct Refresh<S> {
    /// Clients, grace and idle limit.
    pub config: RefreshConfig,
    /// The tables.
    pub store: S,
    /// Makes the tokens.
    pub issuer: TokenIssuer,
    /// Time, randomness, log.
    pub context: Context,
}

impl<S: Store> Refresh<S> {
    /// The flow as configured. Needs the sections `signing` and `refresh` of the key set.
    ///
    /// # Errors
    /// [`KeyError`] when the key set is not usable for refreshes.
    pub fn new(config: RefreshConfig, keys: &Document, store: S, context: Context) -> Result<Self, KeyError> {
        let issuer = TokenIssuer::new(keys, &config.issuer, &config.audience, config.access_lifetime)?;
        Ok(Self { config, store, issuer, context })
    }

    /// Rotates the token.
    ///
    /// # Errors
    /// The [`ApiError`] for the caller: `invalid_grant` only when the token is known to be no good, never because the
    /// store did not answer.
    pub async fn run(&self, request: RefreshRequest, caller: &Caller) -> Result<TokenResponse, ApiError> {
        let now = self.context.clock.now();
        let token = RefreshToken::authenticate(&request.refresh_token, &self.issuer.refresh_keys, now)
            .map_err(|cause| {
                let keys = &self.issuer.refresh_keys;
                let expired = RefreshToken::expired(&request.refresh_token, keys, cause);
                self.refused(Refusal::Token(cause), expired.as_ref(), None, caller)
            })?;
        let presented = Presented {
            token,
            client: request.client,
            scope: request.scope,
            attempt: request.attempt.unwrap_or_else(|| AttemptId::generate(self.context.entropy.as_ref())),
        };
        let rotation = self
            .store
            .rotate(&RotationRequest {
                presented: &presented,
                registered: &request.registered,
                now,
                grace: self.config.grace,
                idle: self.config.idle,
            })
            .await
            .map_err(|error| self.context.store_failed("rotate", &error, caller))?;
        let (user, session) = (token.user, token.session);
        match rotation {
            Rotation::Rotated(item) => {
                let (client, generation) = (item.client.clone(), item.generation);
                self.context.journal.record(&Event::Rotated { user, session, client, generation }, caller);
                self.answer(&item, presented.scope, request.transport, now, caller)
            }
            Rotation::SameSuccessor(item, cause) => {
                let (client, generation, age) = (item.client.clone(), item.generation, age(&item, now));
                let event = Event::Repeated { user, session, client, generation, cause, age };
                self.context.journal.record(&event, caller);
                self.answer(&item, presented.scope, request.transport, now, caller)
            }
            Rotation::Reuse(item, cause) => Err(self.reuse(&token, &item, cause, now, caller).await),
            Rotation::Dead(cause, item) => {
                let _ = self.refused(Refusal::Session(cause), Some(&token), item.as_ref(), caller);
                Err(match cause {
                    DeadCause::ScopeNotGranted => ApiError::InvalidScope,
                    // The token is good, and `invalid_grant` would make the client throw it away.
                    DeadCause::ClientGone => ApiError::UnknownClient,
                    // The token is good, and `invalid_grant` would take the cookie of the client that it belongs to.
                    DeadCause::OtherClient => ApiError::AnotherClientsGrant,
                    DeadCause::Absent | DeadCause::Ended | DeadCause::Expired | DeadCause::AheadOfStore => {
                        ApiError::InvalidGrant
                    }
                })
            }
        }
    }

    fn answer(
        &self,
        session: &Session,
        narrowed: Option<Scope>,
        transport: Transport,
        now: Timestamp,
        caller: &Caller,
    ) -> Result<TokenResponse, ApiError> {
        let scope = narrowed.unwrap_or_else(|| session.scope.clone());
        // A client that may ask for less than it could at login is held to that.
        let client = self.config.clients.find(Some(session.client.as_str()));
        let scope = match client.and_then(|client| client.scope.as_ref()) {
            Some(allowed) => scope.intersection(allowed),
            None => scope,
        };
        self.issuer
            .issue(session, scope, transport, now, self.context.entropy.as_ref())
            .map_err(|error| self.context.signing_failed(&error, caller))
    }

    /// An old token was replayed: two parties hold tokens of this session, and one of them should not. End it.
    async fn reuse(
        &self,
        token: &RefreshToken,
        item: &Session,
        cause: ReuseCause,
        now: Timestamp,
        caller: &Caller,
    ) -> ApiError {
        let (user, session) = (item.user, item.session);
        let attempt = AttemptId::generate(self.context.entropy.as_ref());
        let ended = self.store.revoke_session(user, session, None, now, EndReason::Reuse, attempt).await;
        let (presented, current) = (token.generation, item.generation);
        let (client, age) = (item.client.clone(), age(item, now));
        let event = Event::Reuse { user, session, client, cause, presented, current, age };
        match ended {
            // Another replay was a moment faster: one theft is one event.
            Ok(Revocation::AlreadyOver(ended @ Ended { reason: EndReason::Reuse, .. })) => {
                let item = Session { ended: Some(ended), ..item.clone() };
                self.refused(Refusal::Session(DeadCause::Ended), Some(token), Some(&item), caller)
            }
            // Ended by us, or gone or ended for another reason a moment before: a theft all the same.
            Ok(_) => {
                self.context.journal.record(&event, caller);
                ApiError::InvalidGrant
            }
            // Perhaps not ended yet: the next replay is noticed again and ends it. But perhaps it has, and nobody else would
            // report it: rather twice than never.
            Err(error) => {
                self.context.journal.record(&event, caller);
                self.context.store_failed("revoke_session", &error, caller)
            }
        }
    }

    fn refused(
        &self,
        cause: Refusal,
        token: Option<&RefreshToken>,
        item: Option<&Session>,
        caller: &Caller,
    ) -> ApiError {
        let event = Event::RefreshRefused {
            cause,
            user: token.map(|token| token.user),
            session: token.map(|token| token.session),
            client: item.map(|item| item.client.clone()),
            reason: item.and_then(|item| item.ended).map(|ended| ended.reason),
        };
        self.context.journal.record(&event, caller);
        ApiError::InvalidGrant
    }
}

/// Seconds since the session's last rotation, or its login.
fn age(session: &Session, now: Timestamp) -> u64 {
    now.since(session.rotated_at.unwrap_or(session.created_at)).as_secs()
}
