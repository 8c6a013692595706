//! The second factors of the caller: enrolment, removal and new recovery codes.
//!
//! A change needs a session whose user authenticated lately: an unlocked laptop must not be enough. One transaction changes the
//! user and asks for the notice by mail, so no change goes without its notice. Its condition is that password, status and factor are
//! still those that were read.
//!
//! An enrolment writes nothing before its confirmation. The new secret is in the enrolment token, encrypted for user and session.

use super::passkeys::PasskeyView;
use super::{Asking, ChangePassword};
use crate::account::Email;
use crate::client::Client;
use crate::factor::totp::{Totp, uri};
use crate::factor::{EnrolledTotp, recovery};
use crate::flow::error::{Problem, fresh};
use crate::flow::issue::exposed;
use crate::flow::outcome::Outcome;
use crate::passkey::PasskeyId;
use crate::passkey::ceremony::Attestation;
use crate::ports::context::Principal;
use crate::ports::event::{Event, FactorsChange};
use crate::ports::mail::{FactorNotice, Language, MailRequest, NOTICE_LIFETIME, Occasion};
use crate::ports::store::{FactorChange, FactorEdit, FactorStore, FactorsChanged, User};
use crate::secret::SecretString;
use crate::session::EndReason;
use crate::token::mail::OutboxId;
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::routes::Challenge;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::time::Duration;

/// Longest time since the authentication of a session that changes second factors, in which a user with a second factor has shown
/// it.
pub const FRESH: Duration = Duration::from_secs(600);

/// Time from an enrolment to its confirmation.
const ENROLMENT: Duration = Duration::from_secs(600);

/// The first characters of an enrolment token. Secret scanners can find tokens by them.
pub const ENROLMENT_PREFIX: &str = "daypass_enrol_";

/// A parsed request about the caller's second factors.
#[derive(Debug)]
pub struct FactorsRequest {
    /// The caller; `None` when no authorizer stands in front.
    pub(crate) principal: Option<Principal>,
    pub(crate) operation: FactorsOperation,
    /// Whether a change ends the other sessions of the user.
    pub(crate) end_others: bool,
    /// The language of the notice.
    pub(crate) language: Language,
}

/// What the caller wants.
#[derive(Debug)]
pub enum FactorsOperation {
    /// The list of factors.
    Show,
    /// A secret for an app.
    BeginTotp,
    /// The first code of the app, which makes its secret a factor.
    ConfirmTotp {
        /// The token of the enrolment.
        enrolment: SecretString,
        /// The code as typed.
        code: SecretString,
    },
    /// The end of the one-time codes.
    RemoveTotp,
    /// New recovery codes.
    RecoveryCodes,
    /// A challenge for a new passkey.
    BeginPasskey,
    /// A new passkey.
    AddPasskey {
        /// The response of the authenticator.
        response: Attestation,
        /// The name that the user gives it.
        name: String,
    },
    /// Another name for a passkey.
    RenamePasskey(PasskeyId, String),
    /// The end of a passkey.
    RemovePasskey(PasskeyId),
}

/// The answer to a request about second factors.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum FactorsAnswer {
    /// The list of factors.
    Shown {
        /// Whether one-time codes are enrolled.
        totp: bool,
        /// The number of unused recovery codes.
        recovery_codes: usize,
        /// The passkeys, the oldest first.
        passkeys: Vec<PasskeyView>,
        /// Whether the user or the client needs a second factor.
        required: bool,
    },
    /// What an app needs.
    Begun {
        /// The secret in base32.
        #[serde(serialize_with = "exposed")]
        secret: SecretString,
        /// The URI of a QR code.
        #[serde(serialize_with = "exposed")]
        uri: SecretString,
        /// The token for the confirmation.
        #[serde(serialize_with = "exposed")]
        enrolment_token: SecretString,
        /// Seconds until the token expires.
        expires_in: u64,
    },
    /// The recovery codes, which are shown once.
    Codes {
        /// Ten codes.
        #[serde(serialize_with = "all_exposed")]
        recovery_codes: Vec<SecretString>,
    },
    /// What `navigator.credentials.create` needs.
    CreationOptions(Value),
    /// The new passkey.
    Passkey(PasskeyView),
    /// The factor is removed, or has its new name.
    Done,
}

fn all_exposed<S: Serializer>(codes: &[SecretString], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(codes.iter().map(SecretString::expose))
}

/// The caller, whose session is live.
pub(super) struct Owner<'a> {
    principal: Principal,
    pub(super) user: User,
    pub(super) client: &'a Client,
    pub(super) now: Timestamp,
}

impl Owner<'_> {
    pub(super) fn needs_factor(&self) -> bool {
        self.user.factors.required || self.client.require_mfa
    }

    /// What apps and authenticators show as the account.
    pub(super) fn account_name(&self) -> &str {
        let address = self.user.email.as_ref().map(|email| email.address.as_str());
        address.unwrap_or(self.user.username.as_str())
    }
}

impl<S: FactorStore> ChangePassword<S> {
    /// Shows or changes the second factors of the caller.
    pub async fn factors(&self, request: FactorsRequest) -> Outcome<FactorsAnswer> {
        let mut events = Vec::new();
        let answer = self.turn(&request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn turn(
        &self,
        request: &FactorsRequest,
        events: &mut Vec<Event>,
    ) -> Result<FactorsAnswer, Problem> {
        let owner = self.owner(request).await?;
        let (user, entropy) = (&owner.user, self.context.entropy.as_ref());
        if let FactorsOperation::Show = request.operation {
            return Ok(FactorsAnswer::Shown {
                totp: user.factors.totp.is_some(),
                recovery_codes: user.factors.recovery.len(),
                passkeys: self.passkeys_of(&owner).await?,
                required: owner.needs_factor(),
            });
        }
        // A user who has a factor has to have shown it.
        let needed = Challenge { two_factors: user.factors.is_enrolled(), max_age: Some(FRESH.as_secs()) };
        fresh(owner.principal, needed, owner.now)?;
        match &request.operation {
            FactorsOperation::Show | FactorsOperation::BeginTotp => self.begin(&owner),
            FactorsOperation::ConfirmTotp { enrolment, code } => {
                let totp = self.read_enrolment(enrolment.expose(), &owner).ok_or(Problem::TokenRejected)?;
                let step = totp.accept(code.expose(), owner.now, 0).ok_or(Problem::WrongCode)?;
                let enrolled = EnrolledTotp::seal(&totp, user.id, step, &self.factor_keys, entropy);
                let enrolled = enrolled.map_err(Problem::Seal)?;
                let (codes, digests) = recovery::generate(user.id, &self.factor_keys, entropy);
                let edit = FactorEdit::Enrol(&enrolled, &digests);
                self.edit(request, &owner, edit, FactorsChange::TotpEnrolled, events).await?;
                Ok(FactorsAnswer::Codes { recovery_codes: codes })
            }
            FactorsOperation::RecoveryCodes => {
                require_enrolled(user)?;
                let (codes, digests) = recovery::generate(user.id, &self.factor_keys, entropy);
                let edit = FactorEdit::RecoveryCodes(&digests);
                self.edit(request, &owner, edit, FactorsChange::RecoveryCodesReplaced, events).await?;
                Ok(FactorsAnswer::Codes { recovery_codes: codes })
            }
            FactorsOperation::RemoveTotp => {
                user.factors.totp.as_ref().ok_or(Problem::NoFactor)?;
                if owner.needs_factor() && user.factors.passkeys.is_empty() {
                    return Err(Problem::FactorRequired);
                }
                self.edit(request, &owner, FactorEdit::RemoveTotp, FactorsChange::TotpRemoved, events)
                    .await?;
                Ok(FactorsAnswer::Done)
            }
            FactorsOperation::BeginPasskey => self.begin_passkey(&owner).map(FactorsAnswer::CreationOptions),
            FactorsOperation::AddPasskey { response, name } => {
                self.add_passkey(request, &owner, response, name, events).await
            }
            FactorsOperation::RenamePasskey(id, name) => self.rename_passkey(&owner, *id, name).await,
            FactorsOperation::RemovePasskey(id) => self.remove_passkey(request, &owner, *id, events).await,
        }
    }

    /// The caller, with session and user as they are now.
    async fn owner(&self, request: &FactorsRequest) -> Result<Owner<'_>, Problem> {
        let asking = self.caller(request.principal).await?;
        let user = self.user_of(&asking).await?;
        let Asking { principal, client, now, .. } = asking;
        Ok(Owner { principal, user, client, now })
    }

    /// A new secret, with its token.
    fn begin(&self, owner: &Owner<'_>) -> Result<FactorsAnswer, Problem> {
        let entropy = self.context.entropy.as_ref();
        let totp = Totp::generate(entropy);
        let expiry = (owner.now + ENROLMENT).seconds().to_be_bytes();
        let sealed = self.factor_keys.seal(totp.to_bytes().expose(), &enrolment_of(owner, expiry), entropy);
        let token = [&expiry, sealed.map_err(Problem::Seal)?.as_slice()].concat();
        let issuer = self.config.issuer.as_str();
        // The host: apps show it above the code.
        let service = issuer.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or(issuer);
        Ok(FactorsAnswer::Begun {
            uri: SecretString::new(uri(&totp, service, owner.account_name())),
            secret: SecretString::new(totp.base32()),
            enrolment_token: SecretString::new(format!(
                "{ENROLMENT_PREFIX}{}",
                BASE64URL_NOPAD.encode(&token)
            )),
            expires_in: ENROLMENT.as_secs(),
        })
    }

    /// The secret of an enrolment token of this session within its time.
    fn read_enrolment(&self, text: &str, owner: &Owner<'_>) -> Option<Totp> {
        let bytes = BASE64URL_NOPAD.decode(text.strip_prefix(ENROLMENT_PREFIX)?.as_bytes()).ok()?;
        let (expiry, sealed) = bytes.split_first_chunk::<8>()?;
        let opened = self.factor_keys.open(sealed, &enrolment_of(owner, *expiry))?;
        let is_valid = Timestamp::from_seconds(u64::from_be_bytes(*expiry)) > owner.now;
        Totp::from_bytes(opened.plain.expose()).filter(|_| is_valid)
    }

    /// Changes the factors, asks for the notice and ends the other sessions if the caller wants that.
    pub(super) async fn edit(
        &self,
        request: &FactorsRequest,
        owner: &Owner<'_>,
        edit: FactorEdit<'_>,
        change: FactorsChange,
        events: &mut Vec<Event>,
    ) -> Result<(), Problem> {
        let (user, session) = (owner.user.id, owner.principal.session);
        let notice = self.notice(request, owner, change);
        let stored = FactorChange { user: &owner.user, edit, notice: notice.as_ref() };
        let stored = self.store.change_factors(&stored).await.map_err(Problem::store("change_factors"))?;
        match stored {
            FactorsChanged::Now => {}
            FactorsChanged::UserChanged => return Err(Problem::UserChanged),
            FactorsChanged::PasskeyTaken => return Err(Problem::PasskeyTaken),
        }
        events.push(Event::FactorsChanged { change, user, session });
        if request.end_others {
            let (now, reason) = (self.context.clock.now(), EndReason::EndedByUser);
            let count = self.store.end_others(user, &[session], now, reason).await;
            let count = count.map_err(Problem::store("end_others"))?;
            events.push(Event::SessionsEnded { user, session, count, reason });
        }
        Ok(())
    }

    /// The notice to the user. `None` if the service sends no mails, or the user has no address that is known to work.
    fn notice(
        &self,
        request: &FactorsRequest,
        owner: &Owner<'_>,
        change: FactorsChange,
    ) -> Option<MailRequest> {
        let email = owner.user.email.as_ref().filter(|email| self.config.mail.is_on && reads(email))?;
        Some(MailRequest {
            id: OutboxId::generate(self.context.entropy.as_ref()),
            occasion: Occasion::Factors(match change {
                FactorsChange::TotpEnrolled => FactorNotice::Enrolled,
                FactorsChange::TotpRemoved => FactorNotice::Removed,
                FactorsChange::RecoveryCodesReplaced => FactorNotice::RecoveryCodes,
                FactorsChange::PasskeyAdded => FactorNotice::PasskeyAdded,
                FactorsChange::PasskeyRemoved => FactorNotice::PasskeyRemoved,
            }),
            address: email.address.clone(),
            client: owner.client.id.clone(),
            language: request.language.clone(),
            at: owner.now,
            expires_at: Timestamp::from_seconds((owner.now + NOTICE_LIFETIME).seconds()),
        })
    }
}

/// Whether the user gets notices at this address.
fn reads(email: &Email) -> bool {
    email.verified && email.undeliverable.is_none()
}

fn require_enrolled(user: &User) -> Result<(), Problem> {
    if user.factors.is_enrolled() { Ok(()) } else { Err(Problem::NoFactor) }
}

/// What binds an enrolment token: the associated data of its encryption.
fn enrolment_of(owner: &Owner<'_>, expiry: [u8; 8]) -> Vec<u8> {
    let (user, session) = (owner.user.id, owner.principal.session);
    [b"daypass enrolment of ".as_slice(), user.as_bytes(), session.as_bytes(), &expiry].concat()
}
