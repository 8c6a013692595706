//! Request for another e-mail address: the current password is checked as for a change of the password, and the mail goes to the
//! new address.

use super::ChangePassword;
use crate::account::address::EmailAddress;
use crate::flow::account::request::{MailWish, Mails, Requested};
use crate::flow::error::{Problem, require_account};
use crate::flow::outcome::Outcome;
use crate::ports::context::Principal;
use crate::ports::event::Event;
use crate::ports::mail::{Language, Occasion, Outbox};
use crate::ports::store::PasswordStore;
use crate::secret::Password;
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
        // Before the mails: without the right to the account, the caller learns nothing.
        require_account(request.principal)?;
        if !self.config.mail.is_on {
            return Err(Problem::MailOff);
        }
        let asking = self.caller(request.principal).await?;
        let (client, throttle) = (asking.client, self.throttle(&asking));
        let (admitted, user) = self.check_current(&asking, &throttle, &request.current, events).await?;
        throttle.settle(&admitted, events).await;
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
