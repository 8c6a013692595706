//! Login with a passkey, without a name and a password, and the check of a passkey as second factor.
//!
//! A login has two requests. The first gets a challenge and costs no request to the store. The second brings the response of the
//! authenticator. It takes two reads, of the passkey and of its user, and the transaction that opens the session. Then come the
//! live sessions of the user, as in a login with a password. Nothing is hashed, and no attempt is counted: a signature cannot be
//! guessed, and a response without a challenge of this deployment costs no request.

use super::{Login, Opens};
use crate::account::authentication::{Method, Methods};
use crate::client::Client;
use crate::flow::error::Problem;
use crate::flow::issue::TokenResponse;
use crate::flow::outcome::Outcome;
use crate::passkey::ceremony::{Assertion, Ceremony, Used};
use crate::passkey::challenge::{Challenge, LIFETIME, Purpose};
use crate::passkey::relying_party::RelyingParty;
use crate::passkey::{Fault, PasskeyId};
use crate::ports::event::Event;
use crate::ports::passkey::{Passkey, PasskeyMismatch, PasskeyRefusal, PasskeyStore, UsedPasskey};
use crate::ports::store::{AddressStore, AttemptStore, Store, UsedFactor, User, UserStatus};
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::base::ids::UserId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::jose::dpop::Thumbprint;
use serde::Serialize;

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

/// What a page hands to `navigator.credentials.get` (`PublicKeyCredentialRequestOptionsJSON`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestOptions {
    challenge: String,
    /// In milliseconds.
    timeout: u64,
    rp_id: String,
    /// Empty for a login without a name: the browser offers what it has.
    allow_credentials: Vec<CredentialDescriptor>,
    user_verification: &'static str,
}

/// A credential (`PublicKeyCredentialDescriptorJSON`).
#[derive(Debug, Serialize)]
pub(crate) struct CredentialDescriptor {
    r#type: &'static str,
    id: String,
}

impl CredentialDescriptor {
    /// The descriptors of these credential ids.
    pub(crate) fn all(ids: &[Vec<u8>]) -> Vec<Self> {
        ids.iter().map(|id| Self { r#type: "public-key", id: BASE64URL_NOPAD.encode(id) }).collect()
    }
}

/// Milliseconds for which a browser waits for its person.
pub(crate) const TIMEOUT: u64 = LIFETIME.as_secs() * 1000;

/// A passkey whose response is right, before the store has noted its use.
pub(crate) struct ShownPasskey {
    pub(super) passkey: Passkey,
    pub(super) used: Used,
    pub(super) challenge: Challenge,
}

impl ShownPasskey {
    pub(super) fn used(&self) -> UsedPasskey<'_> {
        UsedPasskey { passkey: &self.passkey, used: self.used, challenge: self.challenge }
    }

    /// The method that the user showed.
    pub(super) const fn method(&self) -> Method {
        if self.used.user_verified { Method::VerifiedPasskey } else { Method::Passkey }
    }
}

impl<S: Store + AttemptStore + AddressStore + PasskeyStore> Login<S> {
    /// A challenge for a login with any passkey.
    pub fn passkey_options(&self) -> Outcome<RequestOptions> {
        let options = self.config.passkeys.as_ref().map(|party| self.options(party, Purpose::Login, &[]));
        Outcome::new(options.ok_or(Problem::PasskeysOff), Vec::new())
    }

    /// What a page needs for a response to a new challenge. No credential ids mean any credential.
    pub(super) fn options(&self, party: &RelyingParty, purpose: Purpose, ids: &[Vec<u8>]) -> RequestOptions {
        RequestOptions {
            challenge: self.ceremony(party, purpose).challenge(self.context.entropy.as_ref()),
            timeout: TIMEOUT,
            rp_id: party.id().to_owned(),
            allow_credentials: CredentialDescriptor::all(ids),
            // Authenticators that can verify their person do. One that was registered so must (`Fault::NotVerified`).
            user_verification: "preferred",
        }
    }

    fn ceremony<'a>(&'a self, party: &'a RelyingParty, purpose: Purpose) -> Ceremony<'a> {
        Ceremony { party, keys: &self.issuer.refresh_keys, purpose, now: self.context.clock.now() }
    }

    /// Checks the response of an authenticator with the stored passkey. The inner error is why it is rejected, with the user of the
    /// passkey, when known.
    pub(super) async fn check_passkey(
        &self,
        response: &Assertion,
        purpose: Purpose,
        events: &mut Vec<Event>,
    ) -> Result<Result<ShownPasskey, (PasskeyRefusal, Option<UserId>)>, Problem> {
        let party = self.config.passkeys.as_ref().ok_or(Problem::PasskeysOff)?;
        let ceremony = self.ceremony(party, purpose);
        let presented = match ceremony.authenticate(response) {
            Ok(presented) => presented,
            Err(fault) => return Ok(Err((PasskeyRefusal::Response(fault), None))),
        };
        let id = PasskeyId::of(&response.id);
        let passkey = self.store.passkey(id).await.map_err(Problem::store("passkey"))?;
        let Some(passkey) = passkey else {
            return Ok(Err((PasskeyRefusal::Stored(PasskeyMismatch::UnknownPasskey), None)));
        };
        let user = passkey.credential.user;
        match presented.verify(&passkey.credential) {
            Ok(used) => Ok(Ok(ShownPasskey { passkey, used, challenge: presented.challenge })),
            Err(fault) => {
                if fault == Fault::Counter {
                    events.push(Event::PasskeyCopied { user, passkey: id });
                }
                Ok(Err((PasskeyRefusal::Response(fault), Some(user))))
            }
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
        let shown = match self.check_passkey(&request.response, Purpose::Login, events).await? {
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
