//! Revocation (RFC 7009): one session ends now, or all sessions of its user do.

use crate::client::Transport;
use crate::config::RevokeConfig;
use crate::flow::error::Problem;
use crate::flow::outcome::Outcome;
use crate::keys::{Document, KeyError, RefreshKeys};
use crate::ports::context::Context;
use crate::ports::event::{Event, Ignored};
use crate::ports::store::{Revocation, Store};
use crate::secret::SecretString;
use crate::session::{DeadCause, EndReason, Ended};
use crate::token::refresh::{RefreshToken, RefreshTokenError};
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::jose::verify::{Rejection, UnusableKey, Verifier};
use serde::Serialize;

/// A parsed revocation request (RFC 7009 §2.1).
#[derive(Debug)]
pub struct RevokeRequest {
    pub(crate) token: SecretString,
    pub(crate) transport: Transport,
    /// The clients whose sessions the token may end; `None` for any.
    pub(crate) clients: Option<Vec<ClientId>>,
    /// Whether all sessions of the user end.
    pub(crate) all: bool,
    /// Whether this process could not renew its keys.
    pub(crate) keys_overdue: bool,
}

impl RevokeRequest {
    /// How the request carries the token.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }
}

/// The body of a successful revocation: an empty object.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Revoked {}

/// The revocation flow and its dependencies.
pub struct Revoke<S> {
    /// The registered clients.
    pub config: RevokeConfig,
    /// The sessions table.
    pub store: S,
    /// Authenticates refresh tokens.
    pub refresh_keys: RefreshKeys,
    /// Verifies access tokens.
    pub verifier: Verifier,
    /// Time, randomness and the log.
    pub context: Context,
}

/// Why a revocation flow cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The key set has no usable refresh keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The JWKS has a key that cannot be used.
    #[error(transparent)]
    Jwks(#[from] UnusableKey),
}

/// The user and the session of a token.
type Owner = (UserId, SessionId);

impl<S: Store> Revoke<S> {
    /// The flow as configured. It needs the section `refresh` of the key set, and signing keys only as the public JWKS.
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
        let refresh_keys = RefreshKeys::from_document(keys)?;
        let verifier = Verifier::new(config.issuer.clone(), config.audience.clone(), jwks)?;
        Ok(Self { verifier, config, store, refresh_keys, context })
    }

    /// Ends the session of the token, or with `all` every session of its user.
    ///
    /// An unknown, expired or malformed token gets the response of a revoked one (RFC 7009 §2.2): the state that the client
    /// asks for is reached. With `all` such a token is rejected, because the other sessions live on. A token of another client
    /// is rejected (RFC 7009 §2.1). A failure of the store is never reported as a success.
    pub async fn run(&self, request: RevokeRequest) -> Outcome<Revoked> {
        let mut events = Vec::new();
        let answer = self.revoke(&request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn revoke(&self, request: &RevokeRequest, events: &mut Vec<Event>) -> Result<Revoked, Problem> {
        let (now, all) = (self.context.clock.now(), request.all);
        let mut ignored = |cause, owner: Option<Owner>, reason| {
            let (user, session) = owner.unzip();
            events.push(Event::RevokeIgnored { cause, all, user, session, reason });
            if all { Err(Problem::TokenRejected) } else { Ok(Revoked {}) }
        };
        let ((user, session), account) = match self.identify(request.token.expose(), now) {
            Ok(owner) => owner,
            Err((Ignored::Token(RefreshTokenError::UnknownKey), _)) if request.keys_overdue => {
                return Err(Problem::KeysOverdue);
            }
            Err((Ignored::AccessToken(Rejection::UnknownKey), _)) if request.keys_overdue => {
                return Err(Problem::KeysOverdue);
            }
            Err((cause, owner)) => return ignored(cause, owner, None),
        };
        if all && !account {
            return Err(Problem::AccountNotGranted);
        }
        let mut over = |cause, reason| ignored(Ignored::Session(cause), Some((user, session)), reason);
        let reason = if all { EndReason::RevokedAll } else { EndReason::Revoked };
        let attempt = AttemptId::generate(self.context.entropy.as_ref());
        let clients = request.clients.as_deref();
        let ending = self.store.revoke_session(user, session, clients, now, reason, attempt).await;
        let opened_before = match ending.map_err(Problem::store("revoke_session"))? {
            Revocation::Ended => {
                events.push(Event::SessionEnded { user, session, reason });
                None
            }
            // An earlier call with `all` broke off, and this one finishes it. It spares sessions that were opened since, as far
            // as clocks tell. Otherwise a kept token of the ended session could log the user out until it expires.
            Revocation::AlreadyOver(Ended { at, reason: EndReason::RevokedAll }) if all => Some(at),
            // A token of a session that ended for another reason may not end others.
            Revocation::AlreadyOver(before) => return over(DeadCause::Ended, Some(before.reason)),
            Revocation::Absent => return over(DeadCause::Absent, None),
            Revocation::OtherClient => {
                let _ = over(DeadCause::OtherClient, None);
                return Err(Problem::OtherClient);
            }
        };
        if all {
            let ended = self.store.revoke_all(user, now, reason, opened_before).await;
            let count = ended.map_err(Problem::store("revoke_all"))?;
            events.push(Event::SessionsEnded { user, session, count, reason });
        }
        Ok(Revoked {})
    }

    /// The owner of a token that is ours and within its time, and whether the token has the right to the account endpoints. A
    /// refresh token has it. The error names the owner of a token that was ours once.
    fn identify(&self, token: &str, now: Timestamp) -> Result<(Owner, bool), (Ignored, Option<Owner>)> {
        if token.starts_with(RefreshToken::PREFIX) {
            let keys = &self.refresh_keys;
            let owner = |token: RefreshToken| (token.user, token.session);
            let authenticated = RefreshToken::authenticate(token, keys, now);
            return authenticated.map(|token| (owner(token), true)).map_err(|cause| {
                (Ignored::Token(cause), RefreshToken::expired(token, keys, cause).map(owner))
            });
        }
        let verified = self
            .verifier
            .examine(token, now)
            .map_err(|rejected| (Ignored::AccessToken(rejected.cause), rejected.owner))?;
        let owner = UserId::parse(&verified.subject).zip(SessionId::parse(&verified.session));
        let account = verified.claims.get("account") == Some(&serde_json::Value::Bool(true));
        owner.map(|owner| (owner, account)).ok_or((Ignored::Session(DeadCause::Absent), None))
    }
}
