//! The second factors of users on DynamoDB.

use crate::DynamoDb;
use crate::admin::changed;
use crate::item::{
    self, DISABLED, ID, Item, MFA, PASSWORD_VERSION, RECOVERY, TOTP, TOTP_STEP, UPDATED_AT, USERNAME,
};
use crate::schema::bug;
use crate::store::{Moment, names, values};
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use daypass_core::ports::store::{FactorChange, FactorEdit, FactorStore, StoreError, User, UserStore};
use daypass_core::session::EndReason;
use daypass_verifier::base::ids::Username;
use daypass_verifier::base::time::Timestamp;

impl UserStore for DynamoDb {
    async fn user_named(&self, username: &Username) -> Result<Option<User>, StoreError> {
        self.read_user(username).await
    }
}

impl FactorStore for DynamoDb {
    async fn change_factors(&self, change: &FactorChange<'_>) -> Result<bool, StoreError> {
        let FactorChange { user, edit, notice } = change;
        let enrolled = user.factors.totp.as_ref();
        let same = if enrolled.is_some() { "#totp = :totp_read" } else { "attribute_not_exists(#totp)" };
        let mut attributes = vec![USERNAME, ID, PASSWORD_VERSION, DISABLED, TOTP, RECOVERY];
        let mut present = values([
            ("id", item::text(user.id.to_string())),
            ("password_version", item::number(user.password_version)),
            ("disabled", AttributeValue::Bool(false)),
        ])
        .unwrap_or_default();
        present.extend(enrolled.map(|totp| (":totp_read".to_owned(), item::binary(&totp.sealed))));
        let expression = match edit {
            FactorEdit::Enrol(totp, codes) => {
                attributes.push(TOTP_STEP);
                present.extend(new_values(codes));
                present.insert(":totp".to_owned(), item::binary(&totp.sealed));
                present.insert(":totp_step".to_owned(), item::number(totp.step));
                "SET #totp = :totp, #totp_step = :totp_step, #recovery = :recovery"
            }
            FactorEdit::RecoveryCodes(codes) => {
                present.extend(new_values(codes));
                "SET #recovery = :recovery"
            }
            FactorEdit::Remove => {
                attributes.push(TOTP_STEP);
                "REMOVE #totp, #totp_step, #recovery"
            }
        };
        let update = Update::builder()
            .table_name(self.users_table()?)
            .set_key(Some(item::user_key(&user.username)))
            .update_expression(expression)
            .condition_expression(format!(
                "attribute_exists(#username) AND #id = :id AND #password_version = :password_version \
                 AND #disabled = :disabled AND {same}"
            ))
            .set_expression_attribute_names(names(&attributes))
            .set_expression_attribute_values(Some(present))
            .build()
            .map_err(|error| bug(&error))?;
        let mut parts = vec![TransactWriteItem::builder().update(update).build()];
        parts.extend(notice.map(|notice| self.requesting(notice)).transpose()?);
        self.transact(parts).await
    }
}

fn new_values(codes: &[daypass_core::factor::recovery::RecoveryDigest]) -> Item {
    Item::from([(":recovery".to_owned(), item::recovery_set_of(codes))])
}

impl DynamoDb {
    /// Requires a second factor of a user, or no longer. Returns the changed user, or `None` if there is no such user.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses.
    pub async fn set_mfa_required(
        &self,
        username: &Username,
        required: bool,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError> {
        let request = self
            .change(username)?
            .update_expression("SET #mfa = :mfa, #updated_at = :now")
            .set_expression_attribute_names(names(&[USERNAME, MFA, UPDATED_AT]))
            .set_expression_attribute_values(values([
                ("mfa", AttributeValue::Bool(required)),
                ("now", item::precise(now)),
            ]));
        changed(request).await
    }

    /// Removes all second factors of a user and ends all sessions. Returns the changed user and the number of sessions that
    /// ended, or `None` if there is no such user.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses. The factors may be removed already, and some sessions may be
    /// live. Call it again.
    pub async fn reset_factors(
        &self,
        username: &Username,
        now: Timestamp,
    ) -> Result<Option<(User, u32)>, StoreError> {
        let moment = Moment::new(now);
        let request = self
            .change(username)?
            .update_expression("SET #updated_at = :now REMOVE #totp, #totp_step, #recovery")
            .set_expression_attribute_names(names(&[USERNAME, TOTP, TOTP_STEP, RECOVERY, UPDATED_AT]))
            .set_expression_attribute_values(values([("now", item::precise(now))]));
        let Some(user) = changed(request).await? else { return Ok(None) };
        let ended = self.end_twice(user.id, moment, EndReason::Operator, &[]).await?;
        Ok(Some((user, ended)))
    }
}
