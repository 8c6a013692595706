//! Passkeys on DynamoDB. A passkey is an item of the users table, so that a credential id has one user. The item of its user lists
//! the credential ids.

use crate::DynamoDb;
use crate::attempts::KEPT;
use crate::item::{self, ATTEMPT, BACKED_UP, EXPIRES_AT, ID, KEY, NAME, SIGN_COUNT, USED_AT};
use crate::schema::bug;
use crate::store::{Conditional, as_action, conditional, names, values};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use daypass_core::passkey::PasskeyId;
use daypass_core::passkey::challenge::Challenge;
use daypass_core::ports::passkey::{Passkey, PasskeyStore, UsedPasskey};
use daypass_core::ports::store::{StoreError, User};
use daypass_verifier::base::ids::{AttemptId, UserId};
use daypass_verifier::base::time::Timestamp;
use futures_util::future::try_join_all;

impl PasskeyStore for DynamoDb {
    async fn passkey(&self, id: PasskeyId) -> Result<Option<Passkey>, StoreError> {
        self.users_item(item::passkey_key(id)).await?.as_ref().map(item::to_passkey).transpose()
    }

    async fn passkeys_of(&self, user: &User) -> Result<Vec<Passkey>, StoreError> {
        let ids = user.factors.passkeys.iter().map(|id| PasskeyId::of(id));
        let found = try_join_all(ids.map(|id| self.passkey(id))).await?;
        let mut passkeys: Vec<Passkey> = found.into_iter().flatten().collect();
        passkeys.sort_by_key(|passkey| (passkey.created_at, passkey.credential.passkey_id()));
        Ok(passkeys)
    }

    async fn use_up(&self, challenge: &Challenge, attempt: AttemptId) -> Result<bool, StoreError> {
        let write = self
            .noting(challenge)?
            .update_expression("SET #expires_at = :expires_at, #attempt = :attempt")
            .condition_expression("attribute_not_exists(#key) OR #attempt = :attempt")
            .expression_attribute_names("#attempt", ATTEMPT)
            .expression_attribute_values(":attempt", item::binary(attempt.as_bytes()));
        Ok(matches!(conditional(write).await?, Conditional::Done(_)))
    }

    async fn rename_passkey(&self, id: PasskeyId, user: UserId, name: &str) -> Result<bool, StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(self.users_table()?)
            .set_key(Some(item::passkey_key(id)))
            .update_expression("SET #name = :name")
            .condition_expression("#id = :id")
            .set_expression_attribute_names(names(&[ID, NAME]))
            .set_expression_attribute_values(values([
                ("id", item::text(user.to_string())),
                ("name", item::text(name)),
            ]));
        Ok(matches!(conditional(request).await?, Conditional::Done(_)))
    }
}

impl DynamoDb {
    /// The parts of a login that count the use of a passkey and note its challenge.
    pub(crate) fn using(
        &self,
        shown: &UsedPasskey<'_>,
        now: Timestamp,
    ) -> Result<[TransactWriteItem; 2], StoreError> {
        let (credential, used) = (&shown.passkey.credential, shown.used);
        // An authenticator that does not count says 0. All others count every use.
        let grows = if used.sign_count == 0 { "#sign_count = :new" } else { "#sign_count < :new" };
        let update = self
            .client
            .update_item()
            .table_name(self.users_table()?)
            .set_key(Some(item::passkey_key(credential.passkey_id())))
            .update_expression("SET #sign_count = :new, #backed_up = :backed_up, #used_at = :now")
            .condition_expression(format!("#id = :id AND {grows}"))
            .set_expression_attribute_names(names(&[ID, SIGN_COUNT, BACKED_UP, USED_AT]))
            .set_expression_attribute_values(values([
                ("id", item::text(credential.user.to_string())),
                ("new", item::number(used.sign_count)),
                ("backed_up", AttributeValue::Bool(used.backed_up)),
                ("now", item::precise(now)),
            ]));
        Ok([as_action(&update)?, as_action(&self.noting(&shown.challenge)?)?])
    }

    /// The write that notes a challenge, if no other request has.
    fn noting(&self, challenge: &Challenge) -> Result<UpdateItemFluentBuilder, StoreError> {
        Ok(self
            .client
            .update_item()
            .table_name(self.attempts_table()?)
            .set_key(Some(item::attempt_key(&challenge.key())))
            .update_expression("SET #expires_at = :expires_at")
            .condition_expression("attribute_not_exists(#key)")
            .set_expression_attribute_names(names(&[KEY, EXPIRES_AT]))
            .set_expression_attribute_values(values([(
                "expires_at",
                item::seconds(challenge.expires_at + KEPT),
            )])))
    }

    /// The part that adds the item of a passkey, if no passkey has its credential id.
    pub(crate) fn adding_passkey(&self, passkey: &Passkey) -> Result<TransactWriteItem, StoreError> {
        let key = item::passkey_key(passkey.credential.passkey_id());
        let all_old = ReturnValuesOnConditionCheckFailure::AllOld;
        let update = self.creating(key, item::from_passkey(passkey))?;
        as_action(&update.return_values_on_condition_check_failure(all_old))
    }

    /// The part that deletes a passkey of this user, if it is there.
    pub(crate) fn delete_passkey(
        &self,
        id: PasskeyId,
        user: UserId,
    ) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(self.users_table()?)
            .set_key(Some(item::passkey_key(id)))
            .condition_expression("attribute_not_exists(#id) OR #id = :id")
            .set_expression_attribute_names(names(&[ID]))
            .set_expression_attribute_values(values([("id", item::text(user.to_string()))]))
            .build()
            .map_err(|error| bug(&error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}
