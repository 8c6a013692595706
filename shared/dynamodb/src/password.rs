//! [`PasswordStore`] on DynamoDB: a user changes the password.

use crate::DynamoDb;
use crate::connect::REVOKE_ALL_TIMEOUT;
use crate::error::failure;
use crate::item::{
    self, ABSOLUTE_END, AUTHENTICATION, CHANGED_BY, DISABLED, EXPIRES_AT, ID, KNOWN, PASSWORD_HASH,
    PASSWORD_VERSION, REVOKED_AT, SESSION, UPDATED_AT, USERNAME,
};
use crate::store::{
    Conditional, LIVE, Moment, SESSION_REASON, USER_REASON, as_action, conditional, met_session, names,
    other_reason, put_session, refused, same_user, values,
};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::ports::store::{
    PasswordChange, PasswordStore, Reauthenticated, Reauthentication, Replaced, Replacement, StoreError,
    UsedFactor,
};
use daypass_core::session::{EndReason, Session};
use daypass_verifier::base::ids::{SessionId, UserId, Username};
use daypass_verifier::base::time::Timestamp;

impl PasswordStore for DynamoDb {
    async fn session_and_name(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<Option<(Session, Username)>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.tables.sessions)
            .set_key(Some(item::session_key(user, session)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failure("GetItem", &error))?;
        let Some(item) = &output.item else { return Ok(None) };
        // An older version stored no name. The user of this session has to log in again.
        let Some(name) = item::to_session_name(item)? else { return Ok(None) };
        Ok(Some((item::to_session(item)?, name)))
    }

    async fn change_password(&self, change: &PasswordChange<'_>) -> Result<bool, StoreError> {
        let PasswordChange { user, hash, by, now } = change;
        let request = self
            .client
            .update_item()
            .table_name(self.users_table()?)
            .set_key(Some(item::user_key(&user.username)))
            .update_expression(
                "SET #password_hash = :hash, #updated_at = :now, #changed_by = :by REMOVE #known ADD #password_version :one",
            )
            .condition_expression(
                "attribute_exists(#username) AND #id = :id AND #password_version = :password_version \
                 AND #disabled = :disabled",
            )
            .set_expression_attribute_names(names(&[
                USERNAME,
                ID,
                DISABLED,
                PASSWORD_HASH,
                PASSWORD_VERSION,
                UPDATED_AT,
                CHANGED_BY,
                KNOWN,
            ]))
            .set_expression_attribute_values(values([
                ("id", item::text(user.id.to_string())),
                ("password_version", item::number(user.password_version)),
                ("disabled", AttributeValue::Bool(false)),
                ("hash", item::text(*hash)),
                ("by", item::text(by.to_string())),
                ("now", item::precise(*now)),
                ("one", item::number(1_u32)),
            ]));
        match conditional(request).await? {
            Conditional::Done(_) => Ok(true),
            // The random salt of the hash is equal too, so this call wrote the item: its response was lost, and the SDK retried.
            Conditional::Refused(item) => Ok(item
                .as_ref()
                .and_then(|item| item.get(PASSWORD_HASH)?.as_s().ok())
                .is_some_and(|stored| stored == hash)),
        }
    }

    /// Queries the sessions twice, as after a password that an operator set: see `DynamoDb::end_twice`.
    async fn end_others(
        &self,
        user: UserId,
        spared: &[SessionId],
        now: Timestamp,
        reason: EndReason,
    ) -> Result<u32, StoreError> {
        let ending = self.end_twice(user, Moment::new(now), reason, spared);
        self.within(REVOKE_ALL_TIMEOUT, "end_others: not all sessions could be ended in time", ending).await
    }

    async fn replace_session(&self, replacement: &Replacement<'_>) -> Result<Replaced, StoreError> {
        let Replacement { user, ends, reason, opens } = replacement;
        let moment = Moment::new(opens.created_at);
        let ending = self.ending(item::session_key(user.id, *ends), moment, *reason, None);
        let sent = self
            .client
            .transact_write_items()
            .transact_items(put_session(&self.tables.sessions, opens, user)?)
            .transact_items(same_user(self.users_table()?, user, std::iter::empty(), None)?)
            .transact_items(as_action(&ending)?)
            .send()
            .await;
        let Err(error) = sent else { return Ok(Replaced::Now) };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
        else {
            return Err(failure("TransactWriteItems", &error));
        };
        if let Some(opened) = met_session(cancelled)? {
            return Ok(Replaced::Before(Box::new(opened)));
        }
        if refused(cancelled, USER_REASON).is_some() {
            return Ok(Replaced::UserChanged);
        }
        other_reason(cancelled)?;
        Ok(Replaced::Ended)
    }

    async fn reauthenticate(&self, renewal: &Reauthentication<'_>) -> Result<Reauthenticated, StoreError> {
        let Reauthentication { user, session, authentication, factor, now } = renewal;
        let update = self
            .client
            .update_item()
            .table_name(&self.tables.sessions)
            .set_key(Some(item::session_key(session.user, session.session)))
            .update_expression("SET #auth = :auth")
            .condition_expression(format!("attribute_exists(#session) AND {LIVE}"))
            .set_expression_attribute_names(names(&[
                SESSION,
                AUTHENTICATION,
                REVOKED_AT,
                EXPIRES_AT,
                ABSOLUTE_END,
            ]))
            .set_expression_attribute_values(values([
                ("auth", item::authentication(*authentication, session.created_at)),
                ("now", item::precise(*now)),
            ]));
        if factor.is_none() {
            return Ok(match conditional(update).await? {
                Conditional::Done(_) => Reauthenticated::Now,
                Conditional::Refused(_) => Reauthenticated::Ended,
            });
        }
        let same_user = same_user(self.users_table()?, user, std::iter::empty(), *factor)?;
        let mut parts = vec![as_action(&update)?, same_user];
        if let Some(UsedFactor::Passkey(shown)) = factor {
            parts.extend(self.using(shown, *now)?);
        }
        let sent = self.client.transact_write_items().set_transact_items(Some(parts)).send().await;
        let Err(error) = sent else { return Ok(Reauthenticated::Now) };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
        else {
            return Err(failure("TransactWriteItems", &error));
        };
        if refused(cancelled, SESSION_REASON).is_some() {
            return Ok(Reauthenticated::Ended);
        }
        let mut others = USER_REASON..cancelled.cancellation_reasons().len();
        if others.any(|index| refused(cancelled, index).is_some()) {
            return Ok(Reauthenticated::Overtaken);
        }
        other_reason(cancelled)?;
        Err(StoreError::Broken("TransactWriteItems: cancelled without a reason".to_owned()))
    }
}
