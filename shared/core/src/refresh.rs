//! Refresh: a day pass becomes a new single-ride ticket and the next day pass.
//!
//! One conditional write, no read. Forged, truncated and expired tokens are refused before it.

use crate::config::RefreshConfig;
use crate::event::{Event, Refusal, ScopeRefusal};
use crate::issue::{TokenIssuer, TokenResponse};
use crate::keys::{Document, KeyError};
use crate::session::{DeadCause, EndReason, Presented, ReuseCause, Session, Verdict};
use crate::web::{Accepts, Ambient, Caller, Params, Request};
use crate::{
    ApiError, AttemptId, RefreshToken, Revocation, Rotation, RotationRequest, Scope, Store, StoreError,
    Timestamp,
};

/// What a refresh request says (RFC 6749 §6).
pub struct RefreshRequest {
    refresh_token: String,
    client_id: Option<String>,
    scope: Option<Scope>,
}

impl std::fmt::Debug for RefreshRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshRequest(..)")
    }
}

impl RefreshRequest {
    /// Reads the request.
    ///
    /// # Errors
    /// The [`ApiError`] of what is wrong with its form.
    pub fn parse(request: &Request) -> Result<Self, ApiError> {
        let params = Params::read(request, Accepts::JsonOrForm)?;
        if params.required("grant_type", "The grant_type is missing.")? != "refresh_token" {
            return Err(ApiError::UnsupportedGrantType);
        }
        Ok(Self {
            refresh_token: params.required("refresh_token", "The refresh_token is missing.")?.to_owned(),
            client_id: params.text("client_id")?.map(str::to_owned),
            scope: params.text("scope")?.map(Scope::parse).transpose()?,
        })
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
    pub ambient: Ambient,
}

impl<S: Store> Refresh<S> {
    /// The flow as configured. Needs the sections `signing` and `refresh` of the key set.
    ///
    /// # Errors
    /// [`KeyError`] when the key set is not usable for refreshes.
    pub fn new(config: RefreshConfig, keys: &Document, store: S, ambient: Ambient) -> Result<Self, KeyError> {
        let issuer = TokenIssuer::new(keys, &config.issuer, &config.audience, config.access_lifetime)?;
        Ok(Self { config, store, issuer, ambient })
    }

    /// Rotates the token.
    ///
    /// # Errors
    /// The [`ApiError`] for the caller: `invalid_grant` only when the token is known to be no good, never because the
    /// store did not answer.
    pub async fn run(&self, request: RefreshRequest, caller: &Caller) -> Result<TokenResponse, ApiError> {
        let client = match request.client_id.as_deref() {
            None => None,
            some => Some(self.config.clients.find(some).ok_or(ApiError::UnknownClient)?.id.clone()),
        };
        let now = self.ambient.clock.now();
        let token = RefreshToken::authenticate(&request.refresh_token, &self.issuer.refresh_keys, now)
            .map_err(|cause| self.refused(Refusal::Token(cause), None, caller))?;
        let presented = Presented {
            token,
            client,
            scope: request.scope,
            attempt: AttemptId::generate(self.ambient.entropy.as_ref()),
        };
        let rotation = self
            .store
            .rotate(&RotationRequest {
                presented: &presented,
                now,
                grace: self.config.grace,
                idle: self.config.idle,
            })
            .await
            .map_err(|error| self.ambient.store_failed("rotate", &error, caller))?;
        let (user, session) = (token.user, token.session);
        match rotation {
            Rotation::Rotated(item) => {
                let generation = item.generation;
                self.ambient.journal.record(&Event::Rotated { user, session, generation }, caller);
                self.answer(&item, presented.scope, now, caller)
            }
            Rotation::Unchanged(Some(item), Verdict::SameSuccessor(cause)) => {
                let generation = item.generation;
                self.ambient.journal.record(&Event::Repeated { user, session, generation, cause }, caller);
                self.answer(&item, presented.scope, now, caller)
            }
            Rotation::Unchanged(Some(item), Verdict::Reuse(cause)) => {
                Err(self.reuse(&presented, &item, cause, now, caller).await)
            }
            Rotation::Unchanged(_, Verdict::ScopeNotGranted) => {
                let _ = self.refused(Refusal::Scope(ScopeRefusal::ScopeNotGranted), Some(&token), caller);
                Err(ApiError::InvalidScope)
            }
            Rotation::Unchanged(_, Verdict::Dead(cause)) => {
                Err(self.refused(Refusal::Session(cause), Some(&token), caller))
            }
            Rotation::Unchanged(None, Verdict::SameSuccessor(_) | Verdict::Reuse(_)) => {
                Err(self.refused(Refusal::Session(DeadCause::Absent), Some(&token), caller))
            }
            // The store's promise is broken: say so, and leave the client its token.
            Rotation::Unchanged(_, Verdict::Rotate) => {
                let error =
                    StoreError::Unavailable("the condition failed on an item that fulfils it".to_owned());
                Err(self.ambient.store_failed("rotate", &error, caller))
            }
        }
    }

    fn answer(
        &self,
        session: &Session,
        narrowed: Option<Scope>,
        now: Timestamp,
        caller: &Caller,
    ) -> Result<TokenResponse, ApiError> {
        // A client that is no longer registered gets no further, whether the request names it or not; one that may ask for
        // less than it could is held to that.
        let Some(client) = self.config.clients.find(Some(session.client.as_str())) else {
            return Err(self.refused(
                Refusal::Session(DeadCause::ClientGone),
                Some(&session.token()),
                caller,
            ));
        };
        let scope = narrowed.unwrap_or_else(|| session.scope.clone());
        let scope = match &client.scope {
            Some(allowed) => scope.intersection(allowed),
            None => scope,
        };
        self.issuer
            .issue(session, scope, now, self.ambient.entropy.as_ref())
            .map_err(|error| self.ambient.signing_failed(&error, caller))
    }

    /// An old token was replayed: two parties hold tokens of this session, and one of them should not. End it.
    async fn reuse(
        &self,
        presented: &Presented,
        item: &Session,
        cause: ReuseCause,
        now: Timestamp,
        caller: &Caller,
    ) -> ApiError {
        let (user, session) = (item.user, item.session);
        let ended = self.store.revoke_session(user, session, None, now, EndReason::Reuse).await;
        match ended {
            Ok(Revocation::Ended) => {
                let (presented, current) = (presented.token.generation, item.generation);
                let age = now.since(item.rotated_at.unwrap_or(item.created_at)).as_secs();
                let event = Event::Reuse { user, session, cause, presented, current, age };
                self.ambient.journal.record(&event, caller);
                ApiError::InvalidGrant
            }
            // Another replay was a moment faster: one theft is one event.
            Ok(_) => self.refused(Refusal::Session(DeadCause::Ended), Some(&presented.token), caller),
            // Not ended yet: the next replay is noticed again and ends it.
            Err(error) => self.ambient.store_failed("revoke_session", &error, caller),
        }
    }

    fn refused(&self, cause: Refusal, token: Option<&RefreshToken>, caller: &Caller) -> ApiError {
        let user = token.map(|token| token.user);
        let session = token.map(|token| token.session);
        self.ambient.journal.record(&Event::RefreshRefused { cause, user, session }, caller);
        ApiError::InvalidGrant
    }
}
