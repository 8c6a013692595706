//! A request for a mail: two counters and one item of the outbox, whatever the address.

use crate::account::address::EmailAddress;
use crate::client::{Client, SignUp};
use crate::config::MailRules;
use crate::flow::error::Problem;
use crate::keys::CounterKey;
use crate::ports::context::Context;
use crate::ports::event::Event;
use crate::ports::mail::{Language, MailRequest, Occasion, Outbox};
use crate::ports::store::AttemptStore;
use crate::throttle::{Attempt, Counter, Limit, MailLimit, mails_from, mails_to};
use crate::token::mail::{MailKeys, MailToken, OutboxId};
use daypass_verifier::base::ids::AttemptId;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use std::net::IpAddr;

/// A parsed request for a mail.
#[derive(Debug)]
pub struct MailWish {
    pub(crate) address: EmailAddress,
    pub(crate) client: Client,
    pub(crate) language: Language,
    /// The address that the connection came from, for the limit of a network.
    pub(crate) source_ip: Option<IpAddr>,
}

/// The answer to a request for a mail. It does not reveal whether a mail is sent.
#[derive(Debug, Serialize)]
pub struct Requested {
    /// The handle of the request: with the code of the mail, it confirms on another device.
    request: String,
    /// Seconds until link and code are invalid.
    expires_in: u64,
}

/// Limits and the outbox.
pub(crate) struct Mails<'a, S> {
    pub(crate) rules: MailRules,
    pub(crate) store: &'a S,
    pub(crate) key: &'a CounterKey,
    pub(crate) keys: &'a MailKeys,
    pub(crate) context: &'a Context,
}

impl<S: AttemptStore + Outbox> Mails<'_, S> {
    /// Checks that the service sends mails, and this client wants them. Costs no request.
    ///
    /// # Errors
    /// [`Problem`] for the first obstacle.
    pub(crate) fn require_possible(&self, client: &Client, occasion: &Occasion) -> Result<(), Problem> {
        if !self.rules.is_on {
            return Err(Problem::MailOff);
        }
        if *occasion == Occasion::SignUp && client.signup != SignUp::Open {
            return Err(Problem::SignUpNotAllowed);
        }
        if client.account_url.is_none() { Err(Problem::NoAccountUrl) } else { Ok(()) }
    }

    /// Counts and writes the item.
    ///
    /// # Errors
    /// [`Problem::MailThrottled`] when a limit is exhausted, and [`Problem::Store`].
    pub(crate) async fn request(
        &self,
        wish: MailWish,
        occasion: Occasion,
        events: &mut Vec<Event>,
    ) -> Result<Requested, Problem> {
        let purpose = occasion.purpose().ok_or(Problem::MailOff)?;
        let now = self.context.clock.now();
        // A network whose limit is exhausted uses up no slot of an address.
        let network = mails_from(self.key, wish.source_ip);
        self.count(network, self.rules.network, MailLimit::Network, now).await?;
        let address = mails_to(self.key, &wish.address);
        self.count(address, self.rules.address, MailLimit::Address, now).await?;
        let token = MailToken::new(purpose, OutboxId::generate(self.context.entropy.as_ref()), now);
        let client = wish.client.id;
        let request = MailRequest {
            id: token.id,
            occasion,
            address: wish.address,
            client: client.clone(),
            language: wish.language,
            at: now,
            expires_at: token.expires_at,
        };
        self.store.request_mail(&request).await.map_err(Problem::store("request_mail"))?;
        events.push(Event::MailRequested { purpose, mail: token.id, client });
        Ok(Requested { request: token.handle(self.keys), expires_in: purpose.lifetime().as_secs() })
    }

    async fn count(
        &self,
        key: String,
        limit: Limit,
        exhausted: MailLimit,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let attempt = AttemptId::generate(self.context.entropy.as_ref());
        let counted = self.store.count(&Counter { key, limit, now }, attempt).await;
        match counted.map_err(Problem::store("count_mail"))? {
            Attempt::Counted(_) => Ok(()),
            Attempt::Exhausted(until) => Err(Problem::MailThrottled(exhausted, until.since(now))),
        }
    }
}
