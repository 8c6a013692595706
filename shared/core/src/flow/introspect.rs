//! Introspection (RFC 7662): whether an access token is active now, for resource servers that follow no revocation feed.

use crate::client::machine::{ClientAuthentication, MachineId, Registry};
use crate::config::IntrospectConfig;
use crate::flow::client_credentials::{ClientCredentials, use_assertion};
use crate::flow::error::Problem;
use crate::flow::issue::token_type;
use crate::flow::outcome::Outcome;
use crate::ports::context::Context;
use crate::ports::event::{ClientRefusal, Event};
use crate::ports::store::{MachineStore, SessionStore};
use crate::secret::SecretString;
use daypass_verifier::base::ids::{SessionId, UserId};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::jose::verify::{Rejection, UnusableKey, Verified, Verifier};
use serde_json::{Map, Value};

/// A parsed introspection request (RFC 7662 §2.1).
#[derive(Debug)]
pub struct IntrospectRequest {
    pub(crate) client: Option<ClientAuthentication>,
    pub(crate) token: SecretString,
    /// Whether this process could not renew its keys.
    pub(crate) keys_overdue: bool,
}

/// The introspection flow and its dependencies.
pub struct Introspect<S> {
    /// The sessions table, and the used assertions.
    pub store: S,
    /// Verifies access tokens of any audience.
    pub verifier: Verifier,
    /// The audience of callers that have none of their own.
    pub audience: String,
    /// Authenticates the callers.
    pub clients: ClientCredentials,
    /// Time, randomness and the log.
    pub context: Context,
}

impl<S: SessionStore + MachineStore> Introspect<S> {
    /// The flow as configured.
    ///
    /// # Errors
    /// [`UnusableKey`] when AWS-LC rejects a key of the JWKS.
    pub fn new(
        config: &IntrospectConfig,
        jwks: &Jwks,
        registry: Registry,
        store: S,
        context: Context,
    ) -> Result<Self, UnusableKey> {
        let verifier = Verifier::of_any_audience(config.issuer.clone(), jwks)?;
        let clients = ClientCredentials::new(&config.issuer, registry);
        Ok(Self { store, verifier, audience: config.audience.clone(), clients, context })
    }

    /// The claims of an active token and `active: true`, or `active: false` alone (RFC 7662 §2.2). A token for another audience than
    /// that of the caller is not active. Signature and audience are checked before
    /// the one read of the store, so a forged token costs no request. A failing store is never `active: false`.
    pub async fn run(&self, request: IntrospectRequest) -> Outcome<Map<String, Value>> {
        let mut events = Vec::new();
        let answer = self.introspect(&request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn introspect(
        &self,
        request: &IntrospectRequest,
        events: &mut Vec<Event>,
    ) -> Result<Map<String, Value>, Problem> {
        let now = self.context.clock.now();
        let authenticated = self.clients.authenticate(request.client.as_ref(), now, events)?;
        let client = authenticated.client;
        if !client.introspect {
            let client = Some(client.client_id.clone());
            events.push(Event::ClientRefused { cause: ClientRefusal::IntrospectionNotAllowed, client });
            return Err(Problem::IntrospectionNotAllowed);
        }
        let audience = client.audience.as_deref().unwrap_or(&self.audience);
        let verified = match self.verifier.examine(request.token.expose(), now) {
            Err(rejected) if rejected.cause == Rejection::UnknownKey && request.keys_overdue => {
                return Err(Problem::KeysOverdue);
            }
            Err(_) => None,
            // RFC 7662 §4: the caller may use a token only if it is for the caller.
            Ok(token) if token.claims.get("aud").and_then(Value::as_str) != Some(audience) => None,
            Ok(token) => Some(token),
        };
        use_assertion(&authenticated, &self.store, now, &self.context, events).await?;
        let active = match verified {
            Some(token) if self.is_live(&token, now).await? => Some(token),
            Some(_) | None => None,
        };
        let mut answer = active.map_or_else(Map::new, |token| {
            let (token_type, mut claims) = (token_type(token.key.as_ref()), token.claims);
            claims.insert("token_type".to_owned(), token_type.into());
            claims
        });
        let is_active = !answer.is_empty();
        answer.insert("active".to_owned(), is_active.into());
        Ok(answer)
    }

    /// Whether the session of a verified token is live, by one strongly consistent read.
    async fn is_live(&self, token: &Verified, now: Timestamp) -> Result<bool, Problem> {
        let Some(session) = SessionId::parse(&token.session) else { return Ok(false) };
        if let Some(user) = UserId::parse(&token.subject) {
            let stored = self.store.stored_session(user, session).await;
            let stored = stored.map_err(Problem::store("stored_session"))?;
            return Ok(stored.is_some_and(|session| session.is_live(now)));
        }
        let Some(client) = MachineId::parse(&token.subject) else { return Ok(false) };
        let revoked = self.store.is_revoked(&client, session).await;
        revoked.map(|revoked| !revoked).map_err(Problem::store("is_revoked"))
    }
}
