//! The confirmation of a mail.

use super::Account;
use super::subject::Subject;
use crate::account::Email;
use crate::client::SignUp;
use crate::factor::Factors;
use crate::flow::error::Problem;
use crate::flow::outcome::Outcome;
use crate::flow::password::RETRIED_WITHIN;
use crate::ports::event::{Event, MailFault, MailRefusal};
use crate::ports::hasher::PasswordCheck;
use crate::ports::mail::{
    AccountStore, AddressChange, MailRequest, NOTICE_LIFETIME, NewAccount, Occasion, PasswordReset, Reset,
};
use crate::ports::store::{PasswordStore, User, UserStatus};
use crate::secret::{Password, SecretString};
use crate::session::EndReason;
use crate::throttle::{Attempt, Counter, Limit, MailLimit, codes_of};
use crate::token::mail::{MailToken, MailTokenError, OutboxId, Purpose};
use daypass_verifier::base::ids::{AttemptId, SessionId, UserId, Username};
use serde::Serialize;

/// Codes that can be tried for one mail.
const CODES: u32 = 5;

/// What proves that the caller reads the mail.
#[derive(Debug)]
pub enum MailProof {
    /// The token of the link.
    Link(SecretString),
    /// The handle of the request, and the code of the mail.
    Code {
        /// The handle of the request.
        request: SecretString,
        /// The code as typed.
        code: SecretString,
    },
}

/// A parsed confirmation.
#[derive(Debug)]
pub struct Confirmation {
    pub(crate) proof: MailProof,
    /// Whether this process could not renew its keys.
    pub(crate) keys_overdue: bool,
}

/// The answer to the confirmation of a sign-up.
#[derive(Debug, Serialize)]
pub struct Created {
    /// The id of the new user.
    user: UserId,
}

impl<S: AccountStore + PasswordStore> Account<S> {
    /// Creates a user with this password. Opens no session.
    pub async fn confirm_sign_up(&self, confirmation: Confirmation, password: Password) -> Outcome<Created> {
        let mut events = Vec::new();
        let answer = self.create(&confirmation, &password, &mut events).await;
        Outcome::new(answer, events)
    }

    /// Sets another password and ends every session of the user. Opens no session.
    pub async fn reset(&self, confirmation: Confirmation, password: Password) -> Outcome<()> {
        let mut events = Vec::new();
        let answer = self.set_password(&confirmation, &password, &mut events).await;
        Outcome::new(answer, events)
    }

    /// Gives the user the new address, and asks for the notice to the old one.
    pub async fn confirm_address(&self, confirmation: Confirmation) -> Outcome<()> {
        let mut events = Vec::new();
        let answer = self.set_address(&confirmation, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn create(
        &self,
        confirmation: &Confirmation,
        password: &Password,
        events: &mut Vec<Event>,
    ) -> Result<Created, Problem> {
        self.require_good(password, None)?;
        let token = self.admit(confirmation, &[Purpose::SignUp, Purpose::Invitation]).await?;
        let Subject::User { address, client, scope, claims } = self.subject(&token).await? else {
            return Err(refused(MailFault::OtherPurpose, token.id));
        };
        // The client may have lost the right since the mail.
        let allows = |signup| match token.purpose {
            Purpose::SignUp => signup == SignUp::Open,
            _ => signup != SignUp::Off,
        };
        if !self.config.clients.find(Some(client.as_str())).is_some_and(|client| allows(client.signup)) {
            return Err(Problem::SignUpNotAllowed);
        }
        self.require_good(password, Username::from_normalised(address.as_str().to_owned()).as_ref())?;
        let (now, entropy) = (self.context.clock.now(), self.context.entropy.as_ref());
        let id = UserId::generate(entropy);
        let username = Username::from_normalised(id.to_string()).ok_or(Problem::HashPassword)?;
        let password_hash = self.hasher.rehash(password, &self.peppers, entropy);
        let user = User {
            username,
            id,
            password_hash: password_hash.ok_or(Problem::HashPassword)?,
            password_version: 1,
            status: UserStatus::Enabled,
            scope,
            email: Some(Email { address, verified: true, undeliverable: None }),
            claims,
            factors: Factors::default(),
            created_at: now,
            updated_at: now,
        };
        let new = NewAccount { user: &user, mail: token.id };
        if !self.store.create_account(&new).await.map_err(Problem::store("create_account"))? {
            return Err(refused(MailFault::Outdated, token.id));
        }
        events.push(Event::UserCreated { user: id, purpose: token.purpose, client });
        Ok(Created { user: id })
    }

    async fn set_password(
        &self,
        confirmation: &Confirmation,
        password: &Password,
        events: &mut Vec<Event>,
    ) -> Result<(), Problem> {
        self.require_good(password, None)?;
        let token = self.admit(confirmation, &[Purpose::Reset]).await?;
        let Subject::Reset { username, user, password_version, email } = self.subject(&token).await? else {
            return Err(refused(MailFault::OtherPurpose, token.id));
        };
        self.require_good(password, Some(&username))?;
        let hash = self.hasher.rehash(password, &self.peppers, self.context.entropy.as_ref());
        let now = self.context.clock.now();
        let reset = PasswordReset {
            username: &username,
            user,
            password_version,
            email: &email,
            hash: &hash.ok_or(Problem::HashPassword)?,
            by: SessionId::from_bytes(*token.id.as_bytes()),
            now,
        };
        match self.store.reset_password(&reset).await.map_err(Problem::store("reset_password"))? {
            Reset::Now => {}
            // A repeat of the same request: the first call may have broken off before all sessions had ended.
            Reset::Before(stored, at)
                if now.since(at) < RETRIED_WITHIN
                    && matches!(
                        self.hasher.check(password, Some(&stored), &self.peppers),
                        PasswordCheck::Match { .. }
                    ) => {}
            Reset::Before(..) | Reset::Refused => return Err(refused(MailFault::Outdated, token.id)),
        }
        let ended = self.store.end_others(user, &[], self.context.clock.now(), EndReason::PasswordChanged);
        let ended = ended.await.map_err(Problem::store("end_others"));
        events.push(Event::PasswordReset { user, count: *ended.as_ref().unwrap_or(&0) });
        ended.map(drop)
    }

    async fn set_address(&self, confirmation: &Confirmation, events: &mut Vec<Event>) -> Result<(), Problem> {
        let token = self.admit(confirmation, &[Purpose::Address]).await?;
        let Subject::Address { username, user, password_version, old, new, client, language } =
            self.subject(&token).await?
        else {
            return Err(refused(MailFault::OtherPurpose, token.id));
        };
        let now = self.context.clock.now();
        let notice = old.as_ref().filter(|old| **old != new).map(|old| MailRequest {
            id: OutboxId::generate(self.context.entropy.as_ref()),
            occasion: Occasion::Changed,
            address: old.clone(),
            client,
            language,
            at: now,
            expires_at: now + NOTICE_LIFETIME,
        });
        let change = AddressChange {
            username: &username,
            user,
            password_version,
            old: old.as_ref(),
            new: &new,
            mail: token.id,
            notice: notice.as_ref(),
            now,
        };
        if !self.store.change_address(&change).await.map_err(Problem::store("change_address"))? {
            return Err(refused(MailFault::Outdated, token.id));
        }
        events.push(Event::EmailChanged { user });
        Ok(())
    }

    /// The token of a mail that permits one of `purposes`. A link costs no request. A code is counted first.
    async fn admit(&self, confirmation: &Confirmation, purposes: &[Purpose]) -> Result<MailToken, Problem> {
        self.require_on()?;
        let now = self.context.clock.now();
        let read = match &confirmation.proof {
            MailProof::Link(token) => MailToken::from_link(token.expose(), &self.keys, now),
            MailProof::Code { request, .. } => MailToken::from_handle(request.expose(), &self.keys, now),
        };
        let token = read.map_err(|cause| match cause {
            MailTokenError::UnknownKey if confirmation.keys_overdue => Problem::KeysOverdue,
            cause => Problem::MailRefused(MailRefusal::Token(cause), None),
        })?;
        if !purposes.contains(&token.purpose) {
            return Err(refused(MailFault::OtherPurpose, token.id));
        }
        let MailProof::Code { code, .. } = &confirmation.proof else { return Ok(token) };
        let counter = Counter {
            key: codes_of(self.peppers.counter_key(), token.id),
            limit: Limit { attempts: CODES, window: token.purpose.lifetime() },
            now,
        };
        let attempt = AttemptId::generate(self.context.entropy.as_ref());
        let counted = self.store.count(&counter, attempt).await.map_err(Problem::store("count_code"))?;
        if let Attempt::Exhausted(until) = counted {
            // No code is valid after the expiry.
            let wait = until.min(token.expires_at).since(now);
            return Err(Problem::MailThrottled(MailLimit::Code, wait));
        }
        if token.has_code(code.expose(), &self.keys) {
            Ok(token)
        } else {
            Err(refused(MailFault::WrongCode, token.id))
        }
    }

    /// What the mail permits.
    async fn subject(&self, token: &MailToken) -> Result<Subject, Problem> {
        let found = self.store.subject(token.id).await.map_err(Problem::store("subject"))?;
        let signed = found.ok_or_else(|| refused(MailFault::Absent, token.id))?;
        if !self.keys.verify_subject(token.purpose, token.id, &signed.subject, &signed.mac) {
            return Err(refused(MailFault::ForgedSubject, token.id));
        }
        Subject::parse(&signed.subject).ok_or_else(|| refused(MailFault::ForgedSubject, token.id))
    }

    fn require_good(&self, password: &Password, name: Option<&Username>) -> Result<(), Problem> {
        self.hasher.refusal(password, name).map_or(Ok(()), |text| Err(Problem::NewPasswordRejected(text)))
    }
}

fn refused(cause: MailFault, mail: OutboxId) -> Problem {
    Problem::MailRefused(MailRefusal::Mail(cause), Some(mail))
}
