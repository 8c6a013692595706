//! Passkeys of the caller: registration, new name and removal. The rules of [`factors`](super::factors) apply to them.
//!
//! A registration has two requests, as a login with a passkey has. The second one adds the passkey to its user in one transaction.
//! A credential id has one user, so a response adds one passkey.

use super::ChangePassword;
use super::factors::{FactorsAnswer, FactorsRequest, Owner};
use crate::factor::MAX_PASSKEYS;
use crate::flow::error::Problem;
use crate::flow::passkey::{CredentialDescriptor, TIMEOUT};
use crate::passkey::PasskeyId;
use crate::passkey::ceremony::{Attestation, Ceremony};
use crate::passkey::challenge::Purpose;
use crate::passkey::key::ALGORITHMS;
use crate::passkey::relying_party::RelyingParty;
use crate::ports::event::{Event, FactorsChange};
use crate::ports::passkey::{Passkey, PasskeyMismatch, PasskeyRefusal};
use crate::ports::store::{FactorEdit, FactorStore};
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

/// Longest name of a passkey, in characters.
pub const MAX_NAME_CHARS: usize = 64;

/// A passkey as its user sees it. Times are seconds since the epoch.
#[derive(Debug, Serialize)]
pub struct PasskeyView {
    passkey_id: PasskeyId,
    name: String,
    created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<u64>,
    /// Whether other devices of the person have the passkey too.
    synced: bool,
    /// Whether the passkey alone is two factors.
    verifies_user: bool,
}

impl From<&Passkey> for PasskeyView {
    fn from(passkey: &Passkey) -> Self {
        Self {
            passkey_id: passkey.credential.passkey_id(),
            name: passkey.name.clone(),
            created_at: passkey.created_at.seconds(),
            last_used_at: passkey.used_at.map(Timestamp::seconds),
            synced: passkey.credential.backed_up,
            verifies_user: passkey.credential.verifies_user,
        }
    }
}

impl<S: FactorStore> ChangePassword<S> {
    /// The passkeys of the caller, the oldest first.
    pub(super) async fn passkeys_of(&self, owner: &Owner<'_>) -> Result<Vec<PasskeyView>, Problem> {
        let found = self.store.passkeys_of(&owner.user).await.map_err(Problem::store("passkeys_of"))?;
        Ok(found.iter().map(PasskeyView::from).collect())
    }

    fn party(&self) -> Result<&RelyingParty, Problem> {
        self.config.passkeys.as_ref().ok_or(Problem::PasskeysOff)
    }

    fn registration<'a>(&'a self, owner: &Owner<'_>) -> Result<Ceremony<'a>, Problem> {
        Ok(Ceremony {
            party: self.party()?,
            keys: &self.issuer.refresh_keys,
            purpose: Purpose::Registration(owner.user.id),
            now: owner.now,
        })
    }

    /// What a page hands to `navigator.credentials.create` (`PublicKeyCredentialCreationOptionsJSON`).
    pub(super) fn begin_passkey(&self, owner: &Owner<'_>) -> Result<Value, Problem> {
        let (party, user) = (self.party()?, &owner.user);
        require_room(owner)?;
        let account = owner.account_name();
        Ok(json!({
            "rp": { "id": party.id(), "name": party.id() },
            "user": {
                "id": BASE64URL_NOPAD.encode(user.id.as_bytes()),
                "name": account,
                "displayName": account,
            },
            "challenge": self.registration(owner)?.challenge(self.context.entropy.as_ref()),
            "pubKeyCredParams": ALGORITHMS.map(|alg| json!({ "type": "public-key", "alg": alg })),
            "timeout": TIMEOUT,
            "excludeCredentials": CredentialDescriptor::all(&user.factors.passkeys),
            "authenticatorSelection": {
                // Security keys without a PIN can be second factors alone.
                "residentKey": "preferred",
                "userVerification": "preferred",
            },
            "attestation": "none",
        }))
    }

    /// Adds the passkey of a response.
    pub(super) async fn add_passkey(
        &self,
        request: &FactorsRequest,
        owner: &Owner<'_>,
        response: &Attestation,
        name: &str,
        events: &mut Vec<Event>,
    ) -> Result<FactorsAnswer, Problem> {
        let ceremony = self.registration(owner)?;
        require_room(owner)?;
        let refused = |cause| Event::PasskeyRefused {
            cause,
            client: owner.client.id.clone(),
            user: Some(owner.user.id),
            passkey: PasskeyId::of(&response.id),
        };
        let credential = match ceremony.register(response, owner.user.id) {
            Ok((credential, _)) => credential,
            Err(fault) => {
                events.push(refused(PasskeyRefusal::Response(fault)));
                return Err(Problem::PasskeyRejected);
            }
        };
        let passkey = Passkey {
            credential,
            username: owner.user.username.clone(),
            name: name.to_owned(),
            created_at: owner.now,
            used_at: None,
        };
        let edit = FactorEdit::AddPasskey(&passkey);
        let added = self.edit(request, owner, edit, FactorsChange::PasskeyAdded, events).await;
        if added == Err(Problem::PasskeyTaken) {
            events.push(refused(PasskeyRefusal::Stored(PasskeyMismatch::Taken)));
        }
        added.map(|()| FactorsAnswer::Passkey(PasskeyView::from(&passkey)))
    }

    /// Gives a passkey of the caller another name.
    pub(super) async fn rename_passkey(
        &self,
        owner: &Owner<'_>,
        id: PasskeyId,
        name: &str,
    ) -> Result<FactorsAnswer, Problem> {
        let renamed = self.store.rename_passkey(id, owner.user.id, name).await;
        let renamed = renamed.map_err(Problem::store("rename_passkey"))?;
        if renamed { Ok(FactorsAnswer::Done) } else { Err(Problem::NoFactor) }
    }

    /// Removes a passkey of the caller.
    pub(super) async fn remove_passkey(
        &self,
        request: &FactorsRequest,
        owner: &Owner<'_>,
        id: PasskeyId,
        events: &mut Vec<Event>,
    ) -> Result<FactorsAnswer, Problem> {
        let factors = &owner.user.factors;
        if !factors.passkeys.iter().any(|own| PasskeyId::of(own) == id) {
            return Err(Problem::NoFactor);
        }
        if owner.needs_factor() && factors.totp.is_none() && factors.passkeys.len() == 1 {
            return Err(Problem::FactorRequired);
        }
        let edit = FactorEdit::RemovePasskey(id);
        self.edit(request, owner, edit, FactorsChange::PasskeyRemoved, events).await?;
        Ok(FactorsAnswer::Done)
    }
}

fn require_room(owner: &Owner<'_>) -> Result<(), Problem> {
    if owner.user.factors.passkeys.len() < MAX_PASSKEYS { Ok(()) } else { Err(Problem::TooManyPasskeys) }
}
