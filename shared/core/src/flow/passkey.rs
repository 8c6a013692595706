//! Challenges for passkeys, and the check of a response, for logins and reauthentications.

use crate::account::authentication::Method;
use crate::flow::error::Problem;
use crate::keys::RefreshKeys;
use crate::passkey::ceremony::{Assertion, Ceremony, Used};
use crate::passkey::challenge::{Challenge, LIFETIME, Purpose};
use crate::passkey::relying_party::RelyingParty;
use crate::passkey::{Fault, PasskeyId};
use crate::ports::context::Context;
use crate::ports::event::Event;
use crate::ports::passkey::{Passkey, PasskeyMismatch, PasskeyRefusal, PasskeyStore, UsedPasskey};
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::base::ids::{AttemptId, UserId};
use serde::Serialize;

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

/// Milliseconds for which a browser waits for the user.
pub(crate) const TIMEOUT: u64 = LIFETIME.as_secs() * 1000;

/// A passkey whose response is right, before the store has noted its use.
pub(crate) struct ShownPasskey {
    pub(crate) passkey: Passkey,
    used: Used,
    challenge: Challenge,
}

impl ShownPasskey {
    pub(crate) fn used(&self) -> UsedPasskey<'_> {
        UsedPasskey { passkey: &self.passkey, used: self.used, challenge: self.challenge }
    }

    /// The method that the user showed.
    pub(crate) const fn method(&self) -> Method {
        if self.used.user_verified { Method::VerifiedPasskey } else { Method::Passkey }
    }
}

/// What the endpoints with passkeys share.
pub(crate) struct Passkeys<'a, S> {
    /// `None` if the service has no passkeys.
    pub(crate) party: Option<&'a RelyingParty>,
    pub(crate) keys: &'a RefreshKeys,
    pub(crate) store: &'a S,
    pub(crate) context: &'a Context,
}

impl<S: PasskeyStore> Passkeys<'_, S> {
    /// What a page needs for a response to a new challenge. No credential ids mean any credential.
    pub(crate) fn options(&self, purpose: Purpose, ids: &[Vec<u8>]) -> Result<RequestOptions, Problem> {
        let ceremony = self.ceremony(purpose)?;
        Ok(RequestOptions {
            challenge: ceremony.challenge(self.context.entropy.as_ref()),
            timeout: TIMEOUT,
            rp_id: ceremony.party.id().to_owned(),
            allow_credentials: CredentialDescriptor::all(ids),
            // Authenticators that can verify their person do. One that was registered so must (`Fault::NotVerified`).
            user_verification: "preferred",
        })
    }

    fn ceremony(&self, purpose: Purpose) -> Result<Ceremony<'_>, Problem> {
        let party = self.party.ok_or(Problem::PasskeysOff)?;
        Ok(Ceremony { party, keys: self.keys, purpose, now: self.context.clock.now() })
    }

    /// Checks the response of an authenticator with the stored passkey. The inner error is why it is rejected, with the user of the
    /// passkey, when known.
    pub(crate) async fn check(
        &self,
        response: &Assertion,
        purpose: Purpose,
        events: &mut Vec<Event>,
    ) -> Result<Result<ShownPasskey, (PasskeyRefusal, Option<UserId>)>, Problem> {
        let presented = match self.ceremony(purpose)?.authenticate(response) {
            Ok(presented) => presented,
            Err(fault) => return Ok(Err((PasskeyRefusal::Response(fault), None))),
        };
        let id = PasskeyId::of(&response.id);
        let passkey = self.store.passkey(id).await.map_err(Problem::store("passkey"))?;
        let Some(passkey) = passkey else {
            return Ok(Err((PasskeyRefusal::Stored(PasskeyMismatch::UnknownPasskey), None)));
        };
        let (user, challenge) = (passkey.credential.user, presented.challenge);
        let fault = match presented.verify(&passkey.credential) {
            Ok(used) => return Ok(Ok(ShownPasskey { passkey, used, challenge })),
            Err(fault) => fault,
        };
        if fault == Fault::Counter {
            // A repeat of a request shows a counter that has not grown either. Its challenge was used.
            let attempt = AttemptId::generate(self.context.entropy.as_ref());
            if !self.store.use_up(&challenge, attempt).await.map_err(Problem::store("use_up"))? {
                return Ok(Err((PasskeyRefusal::Stored(PasskeyMismatch::Overtaken), Some(user))));
            }
            events.push(Event::PasskeyCopied { user, passkey: id });
        }
        Ok(Err((PasskeyRefusal::Response(fault), Some(user))))
    }
}
