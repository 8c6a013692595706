//! Refresh: a refresh token becomes an access token and the next refresh token.
//!
//! A refresh is one conditional write and no read. Forged, truncated and expired tokens are rejected before it.

use crate::client::Transport;
use crate::client::machine::Registry;
use crate::config::RefreshConfig;
use crate::flow::client_credentials::ClientCredentials;
use crate::flow::error::Problem;
use crate::flow::issue::{Holder, TokenIssuer, TokenResponse};
use crate::flow::outcome::Outcome;
use crate::keys::{Document, KeyError};
use crate::ports::context::Context;
use crate::ports::event::{Event, Refusal};
use crate::ports::store::{Revocation, Rotation, Store};
use crate::secret::SecretString;
use crate::session::{
    DeadCause, EndReason, Ended, KeyDigest, NetworkDigest, Presented, Repeat, ReuseCause, RotationRequest,
    Session,
};
use crate::token::refresh::{RefreshToken, RefreshTokenError};
use daypass_verifier::base::ids::{AttemptId, ClientId};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::dpop::Thumbprint;
use std::net::IpAddr;

/// A parsed refresh request (RFC 6749 §6).
#[derive(Debug)]
pub struct RefreshRequest {
    pub(crate) refresh_token: SecretString,
    pub(crate) transport: Transport,
    pub(crate) client: Option<ClientId>,
    /// The key of the request's DPoP proof.
    pub(crate) key: Option<Thumbprint>,
    /// The clients whose sessions this request may refresh. Without a proof, those that require one are not among them.
    pub(crate) registered: Vec<ClientId>,
    pub(crate) scope: Option<Scope>,
    /// Whether the request has no scope, or names the right to the account endpoints ([`Scope::ACCOUNT`]).
    pub(crate) account: bool,
    pub(crate) attempt: Option<AttemptId>,
    /// Whether this process could not renew its keys.
    pub(crate) keys_overdue: bool,
    /// The address that the connection came from.
    pub(crate) source_ip: Option<IpAddr>,
}

impl RefreshRequest {
    /// How the request carries the refresh token.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }
}

/// The refresh flow and its dependencies.
pub struct Refresh<S> {
    /// Clients, grace period and idle limit.
    pub config: RefreshConfig,
    /// The sessions table, and the used assertions of machine clients.
    pub store: S,
    /// Issues the tokens.
    pub issuer: TokenIssuer,
    /// The other grant of the token endpoint.
    pub clients: ClientCredentials,
    /// Time, randomness and the log.
    pub context: Context,
}

impl<S: Store> Refresh<S> {
    /// The flow as configured. It needs the sections `signing` and `refresh` of the key set.
    ///
    /// # Errors
    /// [`KeyError`] when the key set is not usable for refreshes.
    pub fn new(config: RefreshConfig, keys: &Document, store: S, context: Context) -> Result<Self, KeyError> {
        let issuer = TokenIssuer::new(keys, &config.issuer, &config.audience, config.access_lifetime)?;
        let clients = ClientCredentials::new(&config.issuer, Registry::default());
        Ok(Self { config, store, issuer, clients, context })
    }

    /// Rotates the token. The problem is [`Problem::TokenRejected`] only when the token is known to be invalid, never because
    /// the store did not answer.
    pub async fn run(&self, request: RefreshRequest) -> Outcome<TokenResponse> {
        let mut events = Vec::new();
        let answer = self.refresh(request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn refresh(
        &self,
        request: RefreshRequest,
        events: &mut Vec<Event>,
    ) -> Result<TokenResponse, Problem> {
        let now = self.context.clock.now();
        let (text, keys) = (request.refresh_token.expose(), &self.issuer.refresh_keys);
        let token = RefreshToken::authenticate(text, keys, now).map_err(|cause| {
            if cause == RefreshTokenError::UnknownKey && request.keys_overdue {
                return Problem::KeysOverdue;
            }
            let expired = RefreshToken::expired(text, keys, cause);
            events.push(refused(Refusal::Token(cause), expired.as_ref(), None));
            Problem::TokenRejected
        })?;
        let presented = Presented {
            token,
            client: request.client,
            scope: request.scope,
            attempt: request.attempt.unwrap_or_else(|| AttemptId::generate(self.context.entropy.as_ref())),
            named: request.attempt.is_some(),
            network: NetworkDigest::of(text, request.source_ip),
            key: request.key.as_ref().map(KeyDigest::of),
        };
        let rotation = RotationRequest {
            presented: &presented,
            registered: &request.registered,
            now,
            grace: self.config.grace,
            idle: self.config.idle,
        };
        let (user, session) = (token.user, token.session);
        let item = match self.store.rotate(&rotation).await.map_err(Problem::store("rotate"))? {
            Rotation::Rotated(item) => {
                let (client, generation) = (item.client.clone(), item.generation);
                events.push(Event::Rotated { user, session, client, generation });
                item
            }
            Rotation::SameSuccessor(item, cause) => {
                let (client, generation, age) = (item.client.clone(), item.generation, age(&item, now));
                // The very attempt from another network is a device that changed its network: no other party has its key.
                let elsewhere =
                    cause == Repeat::Grace && item.network.is_some_and(|at| at != presented.network);
                if elsewhere {
                    events.push(Event::OtherNetwork {
                        user,
                        session,
                        client: client.clone(),
                        generation,
                        age,
                    });
                }
                events.push(Event::Repeated { user, session, client, generation, cause, age });
                item
            }
            Rotation::Reuse(item, cause) => return Err(self.reuse(&token, &item, cause, now, events).await),
            Rotation::Dead(cause, item) => {
                events.push(refused(Refusal::Session(cause), Some(&token), item.as_ref()));
                let needs_proof = item.is_some_and(|item| self.config.clients.require_proof(&item.client));
                return Err(match cause {
                    DeadCause::ClientGone if needs_proof && request.key.is_none() => Problem::ProofRequired,
                    DeadCause::OtherKey if request.key.is_none() => Problem::ProofRequired,
                    DeadCause::OtherKey => Problem::OtherKey,
                    DeadCause::ScopeNotGranted => Problem::ScopeNotGranted,
                    DeadCause::ClientGone => Problem::ClientGone,
                    DeadCause::OtherClient => Problem::OtherClient,
                    DeadCause::Absent | DeadCause::Ended | DeadCause::Expired | DeadCause::AheadOfStore => {
                        Problem::TokenRejected
                    }
                });
            }
        };
        let scope = self.scope(&item, presented.scope);
        // A session without the right does not get it by a refresh.
        let account = item.account && (request.account || scope == self.scope(&item, None));
        // A session that is not bound stays so: bound later, it could be bound by a thief, and the owner's token would no longer
        // count as reuse.
        let holder = Holder { transport: request.transport, key: request.key };
        self.issuer
            .issue(&item, scope, account, holder, now, self.context.entropy.as_ref())
            .map_err(Problem::Sign)
    }

    /// The scope of the access token: that of the session, or the narrower one of the request. A scope that the client has
    /// lost since the login is left out.
    fn scope(&self, session: &Session, narrowed: Option<Scope>) -> Scope {
        let scope = narrowed.unwrap_or_else(|| session.scope.clone());
        match self.config.clients.find(Some(session.client.as_str())) {
            Some(client) => client.narrow(&scope),
            None => scope,
        }
    }

    /// Ends the session of an old token that was replayed: two parties hold tokens of it, and one of them should not.
    async fn reuse(
        &self,
        token: &RefreshToken,
        item: &Session,
        cause: ReuseCause,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> Problem {
        let (user, session) = (item.user, item.session);
        let attempt = AttemptId::generate(self.context.entropy.as_ref());
        let ended = self.store.revoke_session(user, session, None, now, EndReason::Reuse, attempt).await;
        // A parallel replay ended the session first: one theft is one event.
        if let Ok(Revocation::AlreadyOver(ended @ Ended { reason: EndReason::Reuse, .. })) = ended {
            let item = Session { ended: Some(ended), ..item.clone() };
            events.push(refused(Refusal::Session(DeadCause::Ended), Some(token), Some(&item)));
            return Problem::TokenRejected;
        }
        let (presented, current) = (token.generation, item.generation);
        let (client, age) = (item.client.clone(), age(item, now));
        events.push(Event::Reuse { user, session, client, cause, presented, current, age });
        match ended {
            // It is a theft as well when the session is gone, or ended for another reason a moment before.
            Ok(_) => Problem::TokenRejected,
            // The session may live on, and the next replay ends it then. But the write may also have landed, and then no
            // later replay reports the theft. So the event is recorded here, at the risk of a second one.
            Err(error) => Problem::store("revoke_session")(error),
        }
    }
}

fn refused(cause: Refusal, token: Option<&RefreshToken>, item: Option<&Session>) -> Event {
    Event::RefreshRefused {
        cause,
        user: token.map(|token| token.user),
        session: token.map(|token| token.session),
        client: item.map(|item| item.client.clone()),
        reason: item.and_then(|item| item.ended).map(|ended| ended.reason),
    }
}

/// Seconds since the session's last rotation, or its login.
fn age(session: &Session, now: Timestamp) -> u64 {
    now.since(session.last_used()).as_secs()
}
