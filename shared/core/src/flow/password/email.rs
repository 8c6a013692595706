//! Request for another e-mail address: the current password is checked as for a change of the password, and the mail goes to the
//! new address.

use super::{Asking, ChangePassword};
use crate::account::address::EmailAddress;
use crate::flow::account::request::{MailWish, Mails, Requested};
use crate::flow::error::{Problem, require_account, require_live};
use crate::flow::outcome::Outcome;
use crate::ports::context::Principal;
use crate::ports::event::{Event, PasswordRefusal};
use crate::ports::hasher::PasswordCheck;
use crate::ports::mail::{Language, Occasion, Outbox};
use crate::ports::store::{PasswordStore, UserStatus};
use crate::secret::Password;
use crate::session::DeadCause;
use std::net::IpAddr;

/// A parsed request for another address.
#[derive(Debug)]
pub struct EmailRequest {
    /// The caller; `None` when no authorizer stands in front.
    pub(crate) principal: Option<Principal>,
    pub(crate) current: Password,
    pub(crate) address: EmailAddress,
    pub(crate) language: Language,
    pub(crate) source_ip: Option<IpAddr>,
}

impl<S: PasswordStore + Outbox> ChangePassword<S> {
    /// Checks the current password and asks for the mail that confirms the new address.
    pub async fn request_address(&self, request: EmailRequest) -> Outcome<Requested> {
        let mut events = Vec::new();
        let answer = self.ask_for_address(request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn ask_for_address(
        &self,
        request: EmailRequest,
        events: &mut Vec<Event>,
    ) -> Result<Requested, Problem> {
        let principal = require_account(request.principal)?;
        if !self.config.mail.is_on {
            return Err(Problem::MailOff);
        }
        let now = self.context.clock.now();
        let over = |cause| Problem::SessionOver { cause, principal };
        let found = self.store.session_and_name(principal.user, principal.session).await;
        let found = found.map_err(Problem::store("session_and_name"))?;
        let (session, name) = found.ok_or(over(DeadCause::Absent))?;
        let client = self.config.clients.find(Some(session.client.as_str()));
        let client = client.ok_or(over(DeadCause::ClientGone))?;
        require_live(principal, Some(&session), now)?;
        let asking = Asking { principal, session, name, client, opened: None, now };
        let throttle = self.throttle(&asking);
        let admitted = throttle.admit(&asking.name).await?;
        let user = admitted.user.as_ref();
        let user = user.filter(|user| user.id == principal.user && user.status == UserStatus::Enabled);
        let Some(user) = user else {
            events.push(asking.refused(PasswordRefusal::NoUser));
            return Err(Problem::NoUser);
        };
        match self.hasher.check(&request.current, Some(&user.password_hash), &self.peppers) {
            PasswordCheck::Match { .. } => throttle.settle(&admitted, events).await,
            PasswordCheck::Mismatch => {
                events.push(asking.refused(PasswordRefusal::WrongPassword));
                return Err(Problem::WrongPassword);
            }
            PasswordCheck::Unusable(detail) => {
                events.push(Event::failure("check_password", &detail));
                events.push(asking.refused(PasswordRefusal::UnusableHash));
                return Err(Problem::WrongPassword);
            }
        }
        let occasion = Occasion::Change {
            username: user.username.clone(),
            user: user.id,
            password_version: user.password_version,
            old: user.email.as_ref().map(|email| email.address.clone()),
        };
        let mails = Mails {
            rules: self.config.mail,
            store: &self.store,
            key: self.peppers.counter_key(),
            keys: &self.mail_keys,
            context: &self.context,
        };
        mails.require_possible(client, &occasion)?;
        let wish = MailWish {
            address: request.address,
            client: client.clone(),
            language: request.language,
            source_ip: request.source_ip,
        };
        mails.request(wish, occasion, events).await
    }
}
