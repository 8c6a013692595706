//! The mailer: requests of the outbox become mails.
//!
//! It looks up who has the address and decides which mail that is, if any. It then writes into the item what the mail permits,
//! with the state `sending` and the number of the try, hands the mail to SES, and writes the state `sent`. It can break off at
//! any point, and a record of the stream can come twice:
//!
//! - Before the first write, nothing has happened.
//! - After it, a repeat counts a second try. If the first one had reached SES, that makes a second mail. There is no third try.
//!   What the mail permits stays as the first try wrote it, so a link that was used meanwhile stays used.
//! - A mail that SES refuses for now, or that was not sent, gives its try back. So a mail outlasts a pause or a failure of SES.
//! - After the last write, a repeat finds `sent`.

use crate::account::Undeliverable;
use crate::account::address::EmailAddress;
use crate::client::Client;
use crate::config::MailerConfig;
use crate::flow::account::subject::Subject;
use crate::flow::error::Problem;
use crate::flow::outcome::Outcome;
use crate::keys::{Document, KeyError, RefreshKeys};
use crate::ports::context::Context;
use crate::ports::event::{Event, MailSkipped};
use crate::ports::mail::{
    Begin, Mail, MailKind, MailRequest, MailSender, MailerStore, Occasion, SendError, SignedSubject,
};
use crate::ports::store::{AddressOwner, User, UserStatus};
use crate::secret::SecretString;
use crate::token::mail::{MailKeys, MailToken, Purpose};
use daypass_verifier::base::ids::{AttemptId, UserId, Username};

/// The flow and its dependencies.
pub struct Mailer<S, M> {
    /// Clients and sender.
    pub config: MailerConfig,
    /// The outbox and the users table.
    pub store: S,
    /// The service that sends mails.
    pub sender: M,
    /// The keys of the tokens of mails.
    pub keys: MailKeys,
    /// Time, randomness and the log.
    pub context: Context,
}

/// A mail to send, or why there is none.
type Decision = Result<(MailKind, Option<Subject>), MailSkipped>;

impl<S: MailerStore, M: MailSender> Mailer<S, M> {
    /// The flow as configured. It needs the section `refresh` of the key set.
    ///
    /// # Errors
    /// [`KeyError`] when the key set is not usable.
    pub fn new(
        config: MailerConfig,
        keys: &Document,
        store: S,
        sender: M,
        context: Context,
    ) -> Result<Self, KeyError> {
        let keys = MailKeys::new(RefreshKeys::from_document(keys)?, config.issuer.clone());
        Ok(Self { config, store, sender, keys, context })
    }

    /// Sends the mail of a request, if there is one to send. After an error, the record of the request has to come again.
    pub async fn deliver(&self, request: &MailRequest) -> Outcome<()> {
        let mut events = Vec::new();
        let answer = self.send(request, &mut events).await;
        Outcome::new(answer, events)
    }

    /// Marks an address to which SES could not deliver. After an error, the report has to come again.
    pub async fn mark(&self, address: &EmailAddress, cause: Undeliverable) -> Outcome<()> {
        let mut events = Vec::new();
        let answer = self.mark_owner(address, cause).await;
        let answer = answer.map(|user| events.push(Event::MailUndeliverable { cause, user }));
        Outcome::new(answer, events)
    }

    async fn mark_owner(
        &self,
        address: &EmailAddress,
        cause: Undeliverable,
    ) -> Result<Option<UserId>, Problem> {
        let Some(owner) = self.owner(address).await? else { return Ok(None) };
        let marked = self.store.mark_undeliverable(&owner, address, cause).await;
        Ok(marked.map_err(Problem::store("mark_undeliverable"))?.then_some(owner.id))
    }

    async fn send(&self, request: &MailRequest, events: &mut Vec<Event>) -> Result<(), Problem> {
        let (id, now) = (request.id, self.context.clock.now());
        if self.config.from.is_none() {
            return Err(Problem::MailNotSent("the setting mail_from is not set".to_owned()));
        }
        let skipped = |cause| Event::MailSkipped { mail: id, cause };
        if request.expires_at <= now {
            events.push(skipped(MailSkipped::Expired));
            return Ok(());
        }
        let client = self.config.clients.find(Some(request.client.as_str()));
        let decision = match (&request.occasion, client.filter(|client| client.account_url.is_some())) {
            // It links to nothing that it needs, and an operator has no client.
            (Occasion::Factors(notice), client) => Ok((client, (notice.kind(), None))),
            (_, Some(client)) => self.decide(request, client).await?.map(|decided| (Some(client), decided)),
            (_, None) => Err(MailSkipped::NoClient),
        };
        let (client, (kind, subject)) = match decision {
            Ok(decided) => decided,
            Err(cause) => {
                events.push(skipped(cause));
                return Ok(());
            }
        };
        let mail = self.mail(request, client, kind, subject.is_some());
        let subject = request.occasion.purpose().zip(subject).map(|(purpose, subject)| {
            let subject = subject.to_json();
            SignedSubject { mac: self.keys.sign_subject(purpose, id, &subject), subject }
        });
        let attempt = AttemptId::generate(self.context.entropy.as_ref());
        let begun = self.store.begin_mail(id, subject.as_ref(), attempt).await;
        match begun.map_err(Problem::store("begin_mail"))? {
            Begin::Go => {}
            Begin::Sent => {
                events.push(skipped(MailSkipped::Sent));
                return Ok(());
            }
            Begin::Absent => {
                events.push(skipped(MailSkipped::Expired));
                return Ok(());
            }
            Begin::UsedUp => {
                events.push(Event::MailGivenUp { mail: id });
                return Ok(());
            }
        }
        match self.sender.send(&mail).await {
            Ok(()) => events.push(Event::MailSent { mail: id, kind, age: now.since(request.at).as_secs() }),
            Err(SendError::Rejected(detail)) => {
                events.push(Event::MailRejected { mail: id, kind, detail });
            }
            Err(SendError::NotNow(detail)) => {
                if let Err(error) = self.store.return_try(id, attempt).await {
                    events.push(Event::failure("return_try", &error));
                }
                return Err(Problem::MailNotSent(detail));
            }
            Err(SendError::Unknown(detail)) => return Err(Problem::MailNotSent(detail)),
        }
        self.store.end_mail(id).await.map_err(Problem::store("end_mail"))
    }

    /// Which mail a request becomes, and what it permits.
    async fn decide(&self, request: &MailRequest, client: &Client) -> Result<Decision, Problem> {
        let address = &request.address;
        Ok(match &request.occasion {
            Occasion::SignUp => match self.holder(address).await? {
                Some(user) if is_undeliverable(&user, address) => Err(MailSkipped::Undeliverable),
                Some(_) => Ok((MailKind::SignUpExisting, None)),
                None => {
                    let (scope, claims) = (client.scope.clone().unwrap_or_default(), Default::default());
                    let (address, client) = (address.clone(), client.id.clone());
                    Ok((MailKind::SignUp, Some(Subject::User { address, client, scope, claims })))
                }
            },
            Occasion::Recovery => {
                let Some(owner) = self.owner(address).await? else {
                    return Ok(Err(MailSkipped::UnknownUser));
                };
                let user = self.user(&owner.username).await?.filter(|user| user.id == owner.id);
                user.ok_or(MailSkipped::UnknownUser).and_then(|user| recovery(&user, address))
            }
            Occasion::Change { username, user, password_version, old } => match self.holder(address).await? {
                Some(holder) if holder.id != *user => Err(MailSkipped::Taken),
                _ => Ok((
                    MailKind::Email,
                    Some(Subject::Address {
                        username: username.clone(),
                        user: *user,
                        password_version: *password_version,
                        old: old.clone(),
                        new: address.clone(),
                        client: client.id.clone(),
                        language: request.language.clone(),
                    }),
                )),
            },
            Occasion::Invitation { scope, claims } => match self.holder(address).await? {
                Some(_) => Err(MailSkipped::Taken),
                None => {
                    let (scope, claims) = (scope.clone(), claims.clone());
                    let (address, client) = (address.clone(), client.id.clone());
                    Ok((MailKind::Invitation, Some(Subject::User { address, client, scope, claims })))
                }
            },
            Occasion::Changed => Ok((MailKind::EmailChanged, None)),
            Occasion::Factors(notice) => Ok((notice.kind(), None)),
        })
    }

    fn mail(&self, request: &MailRequest, client: Option<&Client>, kind: MailKind, permits: bool) -> Mail {
        let purpose = request.occasion.purpose().filter(|_| permits);
        let token =
            purpose.map(|purpose| MailToken { purpose, id: request.id, expires_at: request.expires_at });
        let link = client.and_then(|client| client.account_url.as_ref()).map(|url| match token {
            Some(token) => {
                let token = token.link(&self.keys);
                SecretString::new(format!("{}#{}", url.as_str(), token.expose()))
            }
            None => SecretString::new(url.as_str().to_owned()),
        });
        Mail {
            kind,
            to: request.address.clone(),
            language: request.language.clone(),
            link,
            // A code needs the handle of its request, and an operator has none.
            code: token
                .filter(|token| token.purpose != Purpose::Invitation)
                .map(|token| token.code(&self.keys)),
            hours: purpose.map_or(0, |purpose| purpose.lifetime().as_secs() / 3600),
        }
    }

    async fn owner(&self, address: &EmailAddress) -> Result<Option<AddressOwner>, Problem> {
        self.store.user_by_address(address).await.map_err(Problem::store("user_by_address"))
    }

    async fn user(&self, username: &Username) -> Result<Option<User>, Problem> {
        self.store.user_named(username).await.map_err(Problem::store("user_named"))
    }

    /// The user who has this text as address or as name.
    async fn holder(&self, address: &EmailAddress) -> Result<Option<User>, Problem> {
        let name = match self.owner(address).await? {
            Some(owner) => Some(owner.username),
            None => Username::from_normalised(address.as_str().to_owned()),
        };
        match name {
            Some(name) => self.user(&name).await,
            None => Ok(None),
        }
    }
}

fn recovery(user: &User, address: &EmailAddress) -> Decision {
    let email = user.email.as_ref().filter(|email| email.address == *address);
    let email = email.ok_or(MailSkipped::UnknownUser)?;
    if user.status == UserStatus::Disabled {
        return Err(MailSkipped::Disabled);
    }
    if !email.verified {
        return Err(MailSkipped::Unverified);
    }
    if email.undeliverable.is_some() {
        return Err(MailSkipped::Undeliverable);
    }
    let (username, password_version) = (user.username.clone(), user.password_version);
    let email = address.clone();
    Ok((MailKind::Reset, Some(Subject::Reset { username, user: user.id, password_version, email })))
}

fn is_undeliverable(user: &User, address: &EmailAddress) -> bool {
    user.email.as_ref().is_some_and(|email| email.address == *address && email.undeliverable.is_some())
}
