//! Login with a passkey, without a name and a password.
//!
//! A login has two requests. The first gets a challenge and costs no request to the store. The second brings the response of the
//! authenticator. It takes two reads, of the passkey and of its user, and the transaction that opens the session. Then come the
//! live sessions of the user, as in a login with a password. Nothing is hashed, and no attempt is counted: a signature cannot be
//! guessed, and a response without a challenge of this deployment costs no request.

use super::{Login, Opens};
use crate::account::authentication::Methods;
use crate::client::Client;
use crate::flow::error::Problem;
use crate::flow::issue::TokenResponse;
use crate::flow::outcome::Outcome;
use crate::flow::passkey::{Passkeys, RequestOptions};
use crate::passkey::PasskeyId;
use crate::passkey::ceremony::Assertion;
use crate::passkey::challenge::Purpose;
use crate::ports::event::Event;
use crate::ports::passkey::{PasskeyMismatch, PasskeyRefusal, PasskeyStore};
use crate::ports::store::{AddressStore, AttemptStore, Store, UsedFactor, User, UserStatus};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::jose::dpop::Thumbprint;

/// A parsed login with a passkey.
#[derive(Debug)]
pub struct PasskeyLoginRequest {
    pub(crate) response: Assertion,
    pub(crate) client: Client,
    /// The key of the request's DPoP proof.
    pub(crate) key: Option<Thumbprint>,
    pub(crate) scope: Option<Scope>,
    /// As in [`LoginRequest`](super::LoginRequest).
    pub(crate) account: bool,
    pub(crate) user_agent: Option<String>,
}

impl<S: Store + AttemptStore + AddressStore + PasskeyStore> Login<S> {
    /// A challenge for a login with any passkey.
    pub fn passkey_options(&self) -> Outcome<RequestOptions> {
        Outcome::new(self.passkeys().options(Purpose::Login, &[]), Vec::new())
    }

    /// The challenges and checks of this service.
    pub(super) fn passkeys(&self) -> Passkeys<'_, S> {
        Passkeys {
            party: self.config.passkeys.as_ref(),
            keys: &self.issuer.refresh_keys,
            store: &self.store,
            context: &self.context,
        }
    }

    /// Checks the response of an authenticator and opens a session. All causes of a rejection are one problem, except a scope that
    /// was not granted.
    pub async fn run_with_passkey(&self, request: PasskeyLoginRequest) -> Outcome<TokenResponse> {
        let mut events = Vec::new();
        let answer = self.log_in_with_passkey(request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn log_in_with_passkey(
        &self,
        request: PasskeyLoginRequest,
        events: &mut Vec<Event>,
    ) -> Result<TokenResponse, Problem> {
        let client = &request.client;
        let passkey = PasskeyId::of(&request.response.id);
        let refused = |cause, user| Event::PasskeyRefused { cause, client: client.id.clone(), user, passkey };
        let shown = match self.passkeys().check(&request.response, Purpose::Login, events).await? {
            Ok(shown) => shown,
            Err((cause, user)) => {
                events.push(refused(cause, user));
                return Err(Problem::PasskeyRejected);
            }
        };
        let owner = shown.passkey.credential.user;
        let refused = |cause| refused(PasskeyRefusal::Stored(cause), Some(owner));
        let user = self.store.user_named(&shown.passkey.username).await;
        let user = user.map_err(Problem::store("user_named"))?;
        // Another user can have the name by now.
        let is_owner =
            |user: &User| user.id == owner && user.factors.passkeys.contains(&shown.passkey.credential.id);
        let Some(user) = user.filter(is_owner) else {
            events.push(refused(PasskeyMismatch::UnknownPasskey));
            return Err(Problem::PasskeyRejected);
        };
        let methods = Methods::of(&[shown.method()]);
        let mismatch = if user.status == UserStatus::Disabled {
            Some(PasskeyMismatch::Disabled)
        } else if !methods.are_two_factors() {
            // Possession alone. The password is the other factor: `POST /login`.
            Some(PasskeyMismatch::OneFactor)
        } else {
            None
        };
        if let Some(mismatch) = mismatch {
            events.push(refused(mismatch));
            return Err(Problem::PasskeyRejected);
        }
        let whole = client.narrow(&user.scope);
        let scope = request.scope.unwrap_or_else(|| whole.clone());
        if !scope.is_within(&whole) {
            events.push(refused(PasskeyMismatch::ScopeNotGranted));
            return Err(Problem::ScopeNotGranted);
        }
        let opens = Opens {
            user: &user,
            client,
            account: request.account || scope == whole,
            scope,
            device: None,
            key: request.key,
            user_agent: request.user_agent.as_deref(),
            rehash: None,
            known: None,
            methods,
            factor: Some(UsedFactor::Passkey(shown.used())),
            settle: None,
        };
        let Some(session) = self.open(&opens).await? else {
            events.push(refused(PasskeyMismatch::Overtaken));
            return Err(Problem::PasskeyRejected);
        };
        self.answer(&opens, &session, events).await
    }
}
