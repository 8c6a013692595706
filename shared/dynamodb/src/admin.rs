//! The operations of an operator, for the command `daypass` and the Admin API. To finish an interrupted operation, repeat it.

use crate::DynamoDb;
use crate::address::{Addition, Created, Cursor, MAX_TRIES};
use crate::error::failure;
use crate::item::{self, CHANGED_BY, DISABLED, KNOWN, PASSWORD_HASH, PASSWORD_VERSION, UPDATED_AT, USERNAME};
use crate::store::{Conditional, Moment, conditional, names, values};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use daypass_core::ports::store::{StoreError, User, UserStatus};
use daypass_core::session::{EndReason, Session};
use daypass_verifier::base::ids::{SessionId, UserId, Username};
use daypass_verifier::base::time::Timestamp;
use std::time::Duration;

/// Time after which a query sees all writes of a committed transaction: some milliseconds, with a margin.
pub(crate) const SETTLING: Duration = Duration::from_millis(50);

impl DynamoDb {
    /// Adds a user with the claim of the e-mail address.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses.
    pub async fn add_user(&self, user: &User) -> Result<Addition, StoreError> {
        Ok(match self.create(user, item::from_user(user)).await? {
            Created::Done => Addition::Added,
            Created::AddressTaken => Addition::AddressTaken,
            Created::NameTaken(met) => {
                // The random id is equal too, so this call wrote the item: its response was lost, and the SDK retried.
                let met = met.filter(|met| !item::is_claim(met)).as_ref().map(item::to_user).transpose()?;
                if met.as_ref() == Some(user) { Addition::Added } else { Addition::NameTaken }
            }
        })
    }

    /// The user of that name.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses, or the item cannot be read.
    pub async fn user(&self, username: &Username) -> Result<Option<User>, StoreError> {
        self.read_user(username).await
    }

    /// Up to `limit` users, in no particular order, after the item `after`. Also returns the `after` of the next page, or `None`
    /// at the end. A page that met claims of addresses takes more than one request.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses, or an item cannot be read.
    pub async fn users(
        &self,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<(Vec<User>, Option<Cursor>), StoreError> {
        let (mut users, mut next) = (Vec::new(), after.cloned());
        loop {
            let missing = i32::try_from(limit).unwrap_or(i32::MAX).saturating_sub_unsigned(count(&users));
            let output = self
                .client
                .scan()
                .table_name(self.users_table()?)
                .consistent_read(true)
                .limit(missing)
                .set_exclusive_start_key(next.as_ref().map(Cursor::key))
                .send()
                .await
                .map_err(|error| failure("Scan", &error))?;
            next = Cursor::of(output.last_evaluated_key.as_ref());
            for item in output.items.unwrap_or_default().iter().filter(|item| !item::is_claim(item)) {
                users.push(item::to_user(item)?);
            }
            if next.is_none() || count(&users) >= limit {
                return Ok((users, next));
            }
        }
    }

    /// Enables or disables a user. Disabling ends all sessions. Returns the changed user, or `None` if there is no such user.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses. The status may be set already, and some sessions may be live.
    pub async fn set_status(
        &self,
        username: &Username,
        status: UserStatus,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError> {
        let reason = match status {
            UserStatus::Enabled => None,
            UserStatus::Disabled => Some(EndReason::UserDisabled),
        };
        self.change_status(username, status, now, reason).await
    }

    /// Sets the hash of a new password and ends all sessions. Returns the changed user, or `None` if there is no such user.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses. The password may be set already, and some sessions may be
    /// live.
    pub async fn set_password(
        &self,
        username: &Username,
        hash: &str,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError> {
        let moment = Moment::new(now);
        let request = self
            .change(username)?
            .update_expression(
                "SET #password_hash = :hash, #updated_at = :now REMOVE #changed_by, #known ADD #password_version :one",
            )
            .set_expression_attribute_names(names(&[
                USERNAME,
                PASSWORD_HASH,
                PASSWORD_VERSION,
                UPDATED_AT,
                CHANGED_BY,
                KNOWN,
            ]))
            .set_expression_attribute_values(values([
                ("hash", item::text(hash)),
                ("now", item::precise(now)),
                ("one", item::number(1_u32)),
            ]));
        let Some(user) = changed(request).await? else { return Ok(None) };
        self.end_twice(user.id, moment, EndReason::PasswordChanged, &[]).await?;
        Ok(Some(user))
    }

    /// Removes a user and ends all sessions. Returns the removed user, or `None` if there is no such user.
    ///
    /// Disables the user first, so that no login opens a new session meanwhile. Deletes the item last, so that a repeat of an
    /// interrupted call finds it.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses, or another operator has enabled the user meanwhile. Call it again.
    pub async fn remove_user(&self, username: &Username, now: Timestamp) -> Result<Option<User>, StoreError> {
        let reason = Some(EndReason::UserRemoved);
        let Some(user) = self.change_status(username, UserStatus::Disabled, now, reason).await? else {
            return Ok(None);
        };
        let mut met = user.clone();
        for _ in 0..MAX_TRIES {
            if self.delete_user(&met).await? {
                return Ok(Some(user));
            }
            // The address has changed meanwhile, or an earlier try has deleted the item.
            match self.read_user(username).await? {
                Some(found) if found.id == user.id && found.status == UserStatus::Enabled => break,
                Some(found) if found.id == user.id => met = found,
                _ => return Ok(Some(user)),
            }
        }
        Err(StoreError::Unavailable("remove_user: the user changed meanwhile".to_owned()))
    }

    /// All stored sessions of a user: live, expired and ended ones.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses, or an item cannot be read.
    pub async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let found = self.all_pages(user).await?;
        match found.unreadable.into_iter().next() {
            None => Ok(found.sessions),
            Some(error) => Err(error),
        }
    }

    /// Ends all sessions of a user whose item has just changed. Queries them twice.
    ///
    /// After the change, no transaction of a login commits any more. But DynamoDB does not isolate a query from a transaction
    /// as a whole, so the first query may miss the session of a transaction that committed just before the change.
    pub(crate) async fn end_twice(
        &self,
        user: UserId,
        now: Moment,
        reason: EndReason,
        spared: &[SessionId],
    ) -> Result<u32, StoreError> {
        let ended = self.end_opened_by(user, now, reason, None, spared).await?;
        tokio::time::sleep(SETTLING).await;
        Ok(ended + self.end_opened_by(user, now, reason, None, spared).await?)
    }

    async fn change_status(
        &self,
        username: &Username,
        status: UserStatus,
        now: Timestamp,
        end: Option<EndReason>,
    ) -> Result<Option<User>, StoreError> {
        let moment = Moment::new(now);
        let request = self
            .change(username)?
            .update_expression("SET #disabled = :disabled, #updated_at = :now")
            .set_expression_attribute_names(names(&[USERNAME, DISABLED, UPDATED_AT]))
            .set_expression_attribute_values(values([
                ("disabled", AttributeValue::Bool(status == UserStatus::Disabled)),
                ("now", item::precise(now)),
            ]));
        let user = changed(request).await?;
        if let (Some(user), Some(reason)) = (&user, end) {
            self.end_twice(user.id, moment, reason, &[]).await?;
        }
        Ok(user)
    }

    /// An update of a user, with the condition that the user exists.
    pub(crate) fn change(&self, username: &Username) -> Result<UpdateItemFluentBuilder, StoreError> {
        Ok(self
            .client
            .update_item()
            .table_name(self.users_table()?)
            .set_key(Some(item::user_key(username)))
            .condition_expression("attribute_exists(#username)")
            .return_values(ReturnValue::AllNew))
    }
}

fn count(users: &[User]) -> u32 {
    u32::try_from(users.len()).unwrap_or(u32::MAX)
}

/// Sends the update of a user. `None` if there is no such user.
pub(crate) async fn changed(request: UpdateItemFluentBuilder) -> Result<Option<User>, StoreError> {
    match conditional(request).await? {
        Conditional::Done(item) => Ok(Some(item::to_user(&item)?)),
        Conditional::Refused(_) => Ok(None),
    }
}
