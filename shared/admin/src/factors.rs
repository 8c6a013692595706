//! Second factors of users.

use crate::users::known;
use crate::{Admin, AdminError};
use daypass_core::ports::mail::{FactorNotice, Language, MailRequest, NOTICE_LIFETIME, Occasion, Outbox};
use daypass_core::ports::store::User;
use daypass_core::token::mail::OutboxId;
use daypass_verifier::base::ids::{ClientId, Username};
use daypass_verifier::base::time::Timestamp;

/// A user whose second factors an operator has removed.
#[derive(Debug)]
pub struct FactorsReset {
    /// The user as it is now.
    pub user: User,
    /// The number of sessions that were live.
    pub ended: u32,
    /// The id of the notice in the outbox; `None` for a user without a verified address.
    pub mail: Option<OutboxId>,
}

/// The client of a notice that no client caused. Its mail has no link.
const NO_CLIENT: &str = "daypass";

impl Admin<'_> {
    /// Requires a second factor of a user, or no longer. Live sessions stay.
    ///
    /// # Errors
    /// [`AdminError::UnknownUser`] and [`AdminError::Store`].
    pub async fn require_mfa(&self, username: &Username, required: bool) -> Result<User, AdminError> {
        known(username, self.store.set_mfa_required(username, required, self.clock.now()).await?)
    }

    /// Removes all second factors of a user, ends the user's sessions, and asks for the notice to the user. Repeated, it asks for
    /// another notice.
    ///
    /// # Errors
    /// [`AdminError::UnknownUser`] and [`AdminError::Store`]. The factors may be removed already: repeat it.
    pub async fn reset_factors(
        &self,
        username: &Username,
        language: Language,
    ) -> Result<FactorsReset, AdminError> {
        let now = self.clock.now();
        let (user, ended) = known(username, self.store.reset_factors(username, now).await?)?;
        let email = user.email.as_ref().filter(|email| email.verified && email.undeliverable.is_none());
        let notice = email.zip(ClientId::parse(NO_CLIENT)).map(|(email, client)| MailRequest {
            id: OutboxId::generate(self.entropy),
            occasion: Occasion::Factors(FactorNotice::Reset),
            address: email.address.clone(),
            client,
            language,
            at: now,
            expires_at: Timestamp::from_seconds((now + NOTICE_LIFETIME).seconds()),
        });
        if let Some(notice) = &notice {
            self.store.request_mail(notice).await?;
        }
        let mail = notice.map(|notice| notice.id);
        Ok(FactorsReset { user, ended, mail })
    }
}
