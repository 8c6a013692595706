//! Client credentials (RFC 6749 §4.4): a machine client gets an access token for itself. It costs no request to a table, unless
//! each assertion of the client is accepted once.

use crate::client::machine::{Authenticated, ClientAuthentication, Registry, Unauthenticated, session_of};
use crate::flow::error::Problem;
use crate::flow::issue::{exposed, token_type};
use crate::flow::outcome::Outcome;
use crate::ports::context::Context;
use crate::ports::event::{ClientRefusal, Event};
use crate::ports::store::MachineStore;
use crate::secret::SecretString;
use crate::token::access::{ClientGrant, Signer};
use daypass_verifier::base::ids::AttemptId;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::dpop::Thumbprint;
use serde::Serialize;

/// A parsed request for a token of a machine client (RFC 6749 §4.4.2).
#[derive(Debug)]
pub struct ClientCredentialsRequest {
    pub(crate) client: Option<ClientAuthentication>,
    pub(crate) scope: Option<Scope>,
    /// The key of the request's DPoP proof.
    pub(crate) key: Option<Thumbprint>,
}

/// The body of the response (RFC 6749 §5.1). There is no refresh token (§4.4.3).
#[derive(Debug, Serialize)]
pub struct ClientTokenResponse {
    #[serde(serialize_with = "exposed")]
    access_token: SecretString,
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: u64,
    scope: Scope,
}

/// The machine clients, as an endpoint authenticates them.
#[derive(Debug)]
pub struct ClientCredentials {
    registry: Registry,
    /// Values of `aud` in assertions: the issuer, and the endpoints (RFC 7523 §3, no. 3).
    audiences: [String; 3],
}

impl ClientCredentials {
    /// The clients of an issuer.
    #[must_use]
    pub fn new(issuer: &Issuer, registry: Registry) -> Self {
        let audiences =
            [issuer.as_str().to_owned(), issuer.endpoint("/token"), issuer.endpoint("/introspect")];
        Self { registry, audiences }
    }

    /// The clients as they were read last.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Issues a token.
    pub async fn run<S: MachineStore>(
        &self,
        request: ClientCredentialsRequest,
        signer: &Signer,
        store: &S,
        context: &Context,
    ) -> Outcome<ClientTokenResponse> {
        let mut events = Vec::new();
        let answer = self.issue(request, signer, store, context, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn issue<S: MachineStore>(
        &self,
        request: ClientCredentialsRequest,
        signer: &Signer,
        store: &S,
        context: &Context,
        events: &mut Vec<Event>,
    ) -> Result<ClientTokenResponse, Problem> {
        let now = context.clock.now();
        let authenticated = self.authenticate(request.client.as_ref(), now, events)?;
        let (client, key) = (authenticated.client, authenticated.key);
        if client.require_dpop && request.key.is_none() {
            let client = Some(client.client_id.clone());
            events.push(Event::ClientRefused { cause: ClientRefusal::ProofRequired, client });
            return Err(Problem::ProofRequired);
        }
        let granted = client.scope();
        let scope = request.scope.unwrap_or_else(|| granted.clone());
        if !scope.is_within(&granted) {
            let client = Some(client.client_id.clone());
            events.push(Event::ClientRefused { cause: ClientRefusal::ScopeNotGranted, client });
            return Err(Problem::ScopeNotGranted);
        }
        use_assertion(&authenticated, store, now, context, events).await?;
        let session = session_of(&client.client_id, key);
        let grant = ClientGrant {
            client: client.client_id.as_str(),
            session,
            scope: &scope,
            audience: client.audience.as_deref(),
            lifetime: client.lifetime(),
            key: request.key,
        };
        let signed = signer.issue_to_client(&grant, now, context.entropy.as_ref());
        let (token, expires_in) = signed.map_err(Problem::Sign)?;
        let (client, key) = (client.client_id.clone(), key.clone());
        events.push(Event::ClientTokenIssued { client, key, session });
        Ok(ClientTokenResponse {
            access_token: SecretString::new(token),
            token_type: token_type(request.key.as_ref()),
            expires_in,
            scope,
        })
    }

    /// The client of a request.
    pub(crate) fn authenticate<'a>(
        &'a self,
        request: Option<&'a ClientAuthentication>,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> Result<Authenticated<'a>, Problem> {
        let machines = self.registry.current(now).ok_or(Problem::MachinesUnread)?;
        let authenticated = request
            .ok_or(Unauthenticated::NoCredential)
            .and_then(|request| machines.authenticate(request, &self.audiences, now));
        authenticated.map_err(|cause| {
            let cause = ClientRefusal::Unauthenticated(cause);
            events.push(Event::ClientRefused { cause, client: None });
            Problem::ClientNotAuthenticated
        })
    }
}

/// Uses the assertion of a request, if the client may use each one once. Call it after all other checks, because none of them costs
/// a request.
pub(crate) async fn use_assertion<S: MachineStore>(
    authenticated: &Authenticated<'_>,
    store: &S,
    now: Timestamp,
    context: &Context,
    events: &mut Vec<Event>,
) -> Result<(), Problem> {
    let client = authenticated.client;
    let Some(assertion) = authenticated.assertion.as_ref().filter(|_| client.single_use_assertions) else {
        return Ok(());
    };
    let cause = match assertion.as_used() {
        None => ClientRefusal::NoJti,
        Some(used) => {
            let attempt = AttemptId::generate(context.entropy.as_ref());
            let is_first = store.use_assertion(&used, now, attempt).await;
            if is_first.map_err(Problem::store("use_assertion"))? {
                return Ok(());
            }
            ClientRefusal::Replayed
        }
    };
    events.push(Event::ClientRefused { cause, client: Some(client.client_id.clone()) });
    Err(Problem::ClientNotAuthenticated)
}
