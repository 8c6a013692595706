//! The outbox on DynamoDB: requests for mails, what the mailer writes into them, and what their confirmation changes.

use crate::DynamoDb;
use crate::address::Holder;
use crate::error::failure;
use crate::item::{
    self, CHANGED_BY, DISABLED, EMAIL, EMAIL_UNDELIVERABLE, ID, Item, KNOWN, PASSWORD_HASH, PASSWORD_VERSION,
    SUBJECT, SUBJECT_MAC, UPDATED_AT, USERNAME,
};
use crate::schema::bug;
use crate::store::{Conditional, conditional, names, other_reason, values};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use daypass_core::account::address::EmailAddress;
use daypass_core::account::{Email, Undeliverable};
use daypass_core::ports::mail::{
    AccountStore, AddressChange, Begin, MAX_TRIES, MailRequest, MailerStore, NewAccount, Outbox,
    PasswordReset, Reset, SignedSubject,
};
use daypass_core::ports::store::{AddressOwner, StoreError};
use daypass_core::token::mail::OutboxId;
use daypass_verifier::base::ids::AttemptId;
use serde_json::Value;

// Attributes of an item of the outbox that the mailer writes. It also has `attempt`, `subject` and `subject_mac`.
const STATE: &str = "state";
const TRIES: &str = "tries";

/// The state of an item while its mail is sent, or when the outcome is unknown.
const SENDING: &str = "sending";
/// The state of an item whose mail was sent.
const SENT: &str = "sent";

/// Reads the image of a new item in a record of the table's stream, in DynamoDB's JSON.
///
/// # Errors
/// [`StoreError::Broken`] names a missing or malformed attribute.
pub fn mail_request(image: &Value) -> Result<MailRequest, StoreError> {
    let attribute = |value: &Value| {
        let text = |kind: &str| value.get(kind)?.as_str().map(str::to_owned);
        text("S").map(AttributeValue::S).or_else(|| text("N").map(AttributeValue::N))
    };
    let members = image.as_object().into_iter().flatten();
    let item: Item = members.filter_map(|(name, value)| Some((name.clone(), attribute(value)?))).collect();
    item::to_mail_request(&item)
}

impl DynamoDb {
    fn outbox_update(&self, id: OutboxId) -> Result<UpdateItemFluentBuilder, StoreError> {
        Ok(self.client.update_item().table_name(self.outbox_table()?).set_key(Some(item::outbox_key(id))))
    }

    /// The part that uses a mail up. The transaction is cancelled if it was used before.
    fn using_up(&self, mail: OutboxId) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(self.outbox_table()?)
            .set_key(Some(item::outbox_key(mail)))
            .condition_expression("attribute_exists(#id)")
            .set_expression_attribute_names(names(&[ID]))
            .build()
            .map_err(|error| bug(&error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// The part that asks for a notice.
    pub(crate) fn requesting(&self, notice: &MailRequest) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder()
            .table_name(self.outbox_table()?)
            .set_item(Some(item::from_mail_request(notice)))
            .build()
            .map_err(|error| bug(&error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Sends a transaction. Returns `false` if a condition cancelled it.
    pub(crate) async fn transact(&self, parts: Vec<TransactWriteItem>) -> Result<bool, StoreError> {
        Ok(self.cancelled(parts).await?.is_none())
    }

    /// Sends a transaction. Returns the reasons if a condition cancelled it.
    pub(crate) async fn cancelled(
        &self,
        parts: Vec<TransactWriteItem>,
    ) -> Result<Option<TransactionCanceledException>, StoreError> {
        let sent = self.client.transact_write_items().set_transact_items(Some(parts)).send().await;
        let Err(error) = sent else { return Ok(None) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                other_reason(cancelled).map(|()| Some(cancelled.clone()))
            }
            _ => Err(failure("TransactWriteItems", &error)),
        }
    }
}

impl Outbox for DynamoDb {
    async fn request_mail(&self, request: &MailRequest) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(self.outbox_table()?)
            .set_item(Some(item::from_mail_request(request)))
            .send()
            .await
            .map(drop)
            .map_err(|error| failure("PutItem", &error))
    }
}

impl AccountStore for DynamoDb {
    async fn subject(&self, id: OutboxId) -> Result<Option<SignedSubject>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(self.outbox_table()?)
            .set_key(Some(item::outbox_key(id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failure("GetItem", &error))?;
        output.item.as_ref().map_or(Ok(None), item::to_subject)
    }

    async fn create_account(&self, new: &NewAccount<'_>) -> Result<bool, StoreError> {
        let mut parts = self.creation(new.user, item::from_user(new.user))?;
        parts.push(self.using_up(new.mail)?);
        self.transact(parts).await
    }

    async fn reset_password(&self, reset: &PasswordReset<'_>) -> Result<Reset, StoreError> {
        let by = reset.by.to_string();
        let request = self
            .client
            .update_item()
            .table_name(self.users_table()?)
            .set_key(Some(item::user_key(reset.username)))
            .update_expression(
                "SET #password_hash = :hash, #updated_at = :now, #changed_by = :by REMOVE #known ADD #password_version :one",
            )
            .condition_expression(
                "attribute_exists(#username) AND #id = :id AND #password_version = :password_version \
                 AND #disabled = :disabled AND #email = :email",
            )
            .set_expression_attribute_names(names(&[
                USERNAME,
                ID,
                DISABLED,
                EMAIL,
                PASSWORD_HASH,
                PASSWORD_VERSION,
                UPDATED_AT,
                CHANGED_BY,
                KNOWN,
            ]))
            .set_expression_attribute_values(values([
                ("id", item::text(reset.user.to_string())),
                ("password_version", item::number(reset.password_version)),
                ("disabled", AttributeValue::Bool(false)),
                ("email", item::text(reset.email.as_str())),
                ("hash", item::text(reset.hash)),
                ("by", item::text(&by)),
                ("now", item::precise(reset.now)),
                ("one", item::number(1_u32)),
            ]));
        let item = match conditional(request).await? {
            Conditional::Done(_) => return Ok(Reset::Now),
            // The user was removed.
            Conditional::Refused(None) => return Ok(Reset::Refused),
            Conditional::Refused(Some(item)) => item,
        };
        let set_by = item.get(CHANGED_BY).and_then(|by| by.as_s().ok());
        let user = item::to_user(&item)?;
        if user.id != reset.user || set_by != Some(&by) {
            return Ok(Reset::Refused);
        }
        // The random salt of the hash is equal too, so this call wrote the item: its response was lost, and the SDK retried.
        Ok(if user.password_hash == reset.hash {
            Reset::Now
        } else {
            Reset::Before(user.password_hash, user.updated_at)
        })
    }

    async fn change_address(&self, change: &AddressChange<'_>) -> Result<bool, StoreError> {
        let holder = Holder {
            username: change.username,
            id: change.user,
            address: change.old,
            password_version: Some(change.password_version),
        };
        let email = Email { address: change.new.clone(), verified: true, undeliverable: None };
        let mut parts = self.email_change(&holder, Some(&email), change.now)?;
        parts.push(self.using_up(change.mail)?);
        parts.extend(change.notice.map(|notice| self.requesting(notice)).transpose()?);
        self.transact(parts).await
    }
}

impl MailerStore for DynamoDb {
    async fn begin_mail(
        &self,
        id: OutboxId,
        subject: Option<&SignedSubject>,
        attempt: AttemptId,
    ) -> Result<Begin, StoreError> {
        let mut update = "SET #state = :sending, #attempt = :attempt".to_owned();
        let mut request = self.outbox_update(id)?;
        if let Some(SignedSubject { subject, mac }) = subject {
            // The first try decides. A later one that saw another password would make a used link valid again.
            update.push_str(
                ", #subject = if_not_exists(#subject, :subject), #subject_mac = if_not_exists(#subject_mac, :subject_mac)",
            );
            request = request
                .expression_attribute_names("#subject", SUBJECT)
                .expression_attribute_names("#subject_mac", SUBJECT_MAC)
                .expression_attribute_values(":subject", item::text(subject))
                .expression_attribute_values(":subject_mac", item::binary(mac));
        }
        let request = request
            .update_expression(format!("{update} ADD #tries :one"))
            .condition_expression(
                "attribute_exists(#id) AND (attribute_not_exists(#state) OR #state <> :sent) \
                 AND (attribute_not_exists(#tries) OR #tries < :most) \
                 AND (attribute_not_exists(#attempt) OR #attempt <> :attempt)",
            )
            .expression_attribute_names("#id", ID)
            .expression_attribute_names("#state", STATE)
            .expression_attribute_names("#tries", TRIES)
            .expression_attribute_names("#attempt", item::ATTEMPT)
            .expression_attribute_values(":sending", item::text(SENDING))
            .expression_attribute_values(":sent", item::text(SENT))
            .expression_attribute_values(":attempt", item::binary(attempt.as_bytes()))
            .expression_attribute_values(":most", item::number(MAX_TRIES))
            .expression_attribute_values(":one", item::number(1_u32));
        Ok(match conditional(request).await? {
            Conditional::Done(_) => Begin::Go,
            Conditional::Refused(None) => Begin::Absent,
            Conditional::Refused(Some(met)) if met.get(STATE) == Some(&item::text(SENT)) => Begin::Sent,
            // This call has written the item itself: its response was lost, and the SDK retried.
            Conditional::Refused(Some(met)) if item::is_attempt(&met, attempt) => Begin::Go,
            Conditional::Refused(Some(_)) => Begin::UsedUp,
        })
    }

    async fn end_mail(&self, id: OutboxId) -> Result<(), StoreError> {
        let request = self
            .outbox_update(id)?
            .update_expression("SET #state = :sent")
            // A reader who was faster has used the mail up.
            .condition_expression("attribute_exists(#id)")
            .set_expression_attribute_names(names(&[ID, STATE]))
            .set_expression_attribute_values(values([("sent", item::text(SENT))]));
        conditional(request).await.map(drop)
    }

    async fn return_try(&self, id: OutboxId, attempt: AttemptId) -> Result<(), StoreError> {
        let request = self
            .outbox_update(id)?
            .update_expression("REMOVE #attempt ADD #tries :back")
            .condition_expression("#attempt = :attempt AND #state = :sending")
            .set_expression_attribute_names(names(&[item::ATTEMPT, STATE, TRIES]))
            .set_expression_attribute_values(values([
                ("attempt", item::binary(attempt.as_bytes())),
                ("sending", item::text(SENDING)),
                ("back", AttributeValue::N("-1".to_owned())),
            ]));
        conditional(request).await.map(drop)
    }

    async fn mark_undeliverable(
        &self,
        owner: &AddressOwner,
        address: &EmailAddress,
        cause: Undeliverable,
    ) -> Result<bool, StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(self.users_table()?)
            .set_key(Some(item::user_key(&owner.username)))
            .update_expression("SET #email_undeliverable = :cause")
            .condition_expression("#id = :id AND #email = :address")
            .set_expression_attribute_names(names(&[ID, EMAIL, EMAIL_UNDELIVERABLE]))
            .set_expression_attribute_values(values([
                ("cause", item::text(cause.as_str())),
                ("id", item::text(owner.id.to_string())),
                ("address", item::text(address.as_str())),
            ]));
        Ok(matches!(conditional(request).await?, Conditional::Done(_)))
    }
}
