//! Accounts by mail: sign-up, recovery and change of address.
//!
//! A request for a mail reads no user. It counts, and writes one item into the outbox. The answer is the same for every address,
//! and so are the requests to the store. The mailer decides later what the mail is ([`mailer`](crate::flow::mailer)).
//!
//! A confirmation presents the token of the mail's link, or the handle of the request and the code of the mail. Both are
//! authenticated before any request to the store. One conditional write or one transaction then does what the subject of the
//! mail permits. Its conditions name what the mailer saw, so it happens once, and not after the user has changed.

mod confirm;
pub mod request;
pub(crate) mod subject;

use crate::config::AccountConfig;
use crate::flow::account::request::{MailWish, Mails, Requested};
use crate::flow::error::Problem;
use crate::flow::outcome::Outcome;
use crate::keys::{Document, KeyError, Peppers, RefreshKeys};
use crate::ports::context::Context;
use crate::ports::hasher::PasswordHasher;
use crate::ports::mail::{AccountStore, Occasion};
use crate::ports::store::PasswordStore;
use crate::token::mail::MailKeys;

pub use confirm::{Confirmation, Created, MailProof};

/// The flows and their dependencies.
pub struct Account<S> {
    /// Clients and limits.
    pub config: AccountConfig,
    /// The users, sessions, attempts and outbox tables.
    pub store: S,
    /// Checks and hashes passwords.
    pub hasher: Box<dyn PasswordHasher>,
    /// The peppers of password hashes.
    pub peppers: Peppers,
    /// The keys of the tokens of mails.
    pub keys: MailKeys,
    /// Time, randomness and the log.
    pub context: Context,
}

impl<S: AccountStore + PasswordStore> Account<S> {
    /// The flows as configured. They need the sections `refresh` and `peppers` of the key set.
    ///
    /// # Errors
    /// [`KeyError`] when the key set is not usable.
    pub fn new(
        config: AccountConfig,
        keys: &Document,
        store: S,
        hasher: Box<dyn PasswordHasher>,
        context: Context,
    ) -> Result<Self, KeyError> {
        let peppers = Peppers::from_document(keys)?;
        let keys = MailKeys::new(RefreshKeys::from_document(keys)?, config.issuer.clone());
        Ok(Self { config, store, hasher, peppers, keys, context })
    }

    /// Asks for the mail that confirms a sign-up.
    pub async fn sign_up(&self, wish: MailWish) -> Outcome<Requested> {
        self.wish(wish, Occasion::SignUp).await
    }

    /// Asks for the mail that permits another password.
    pub async fn recover(&self, wish: MailWish) -> Outcome<Requested> {
        self.wish(wish, Occasion::Recovery).await
    }

    async fn wish(&self, wish: MailWish, occasion: Occasion) -> Outcome<Requested> {
        let mails = Mails {
            rules: self.config.mail,
            store: &self.store,
            key: self.peppers.counter_key(),
            keys: &self.keys,
            context: &self.context,
        };
        let mut events = Vec::new();
        let answer = match mails.require_possible(&wish.client, &occasion) {
            Ok(()) => mails.request(wish, occasion, &mut events).await,
            Err(problem) => Err(problem),
        };
        Outcome::new(answer, events)
    }

    fn require_on(&self) -> Result<(), Problem> {
        if self.config.mail.is_on { Ok(()) } else { Err(Problem::MailOff) }
    }
}
