//! Invitations by mail.

use crate::{Admin, AdminError, require_room};
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::ports::mail::{Language, MailRequest, Occasion, Outbox};
use daypass_core::ports::store::AddressStore;
use daypass_core::token::mail::{MailToken, OutboxId, Purpose};
use daypass_verifier::base::ids::{ClientId, UserId, Username};
use daypass_verifier::base::scope::Scope;
use serde::Serialize;

/// Whom to invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The address of the person.
    pub email: EmailAddress,
    /// The client whose `account_url` the mail links to.
    pub client: ClientId,
    /// The scope of the new user.
    pub scope: Scope,
    /// The claims of the new user.
    pub claims: Claims,
    /// The language of the mail.
    pub language: Language,
}

/// An invitation that waits in the outbox. The function `mailer` sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invited {
    /// The id of its item, as the events of mails name it.
    pub mail: OutboxId,
    /// The address of the person.
    pub email: String,
    /// Seconds since the epoch: the link is invalid from then on.
    pub expires_at: u64,
}

impl Admin<'_> {
    /// Asks for the mail that invites a person. One read and one write. Repeated, it sends another mail.
    ///
    /// # Errors
    /// [`AdminError::AddressTaken`], [`AdminError::TooLarge`] and [`AdminError::Store`].
    pub async fn invite(&self, invitation: Invitation) -> Result<Invited, AdminError> {
        let Invitation { email, client, scope, claims, language } = invitation;
        // The name will be the user id, and ids have one length.
        if let Some(name) = Username::from_normalised(UserId::from_bytes([0; 16]).to_string()) {
            require_room(&name, &scope, &claims)?;
        }
        // The mailer looks again, because the address can be taken meanwhile.
        if self.store.user_by_address(&email).await?.is_some() {
            return Err(AdminError::AddressTaken);
        }
        let now = self.clock.now();
        let token = MailToken::new(Purpose::Invitation, OutboxId::generate(self.entropy), now);
        let request = MailRequest {
            id: token.id,
            occasion: Occasion::Invitation { scope, claims },
            address: email,
            client,
            language,
            at: now,
            expires_at: token.expires_at,
        };
        self.store.request_mail(&request).await?;
        Ok(Invited {
            mail: token.id,
            email: request.address.as_str().to_owned(),
            expires_at: token.expires_at.seconds(),
        })
    }
}
