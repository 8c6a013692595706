//! The second factors of users on DynamoDB.

use crate::DynamoDb;
use crate::address::MAX_TRIES;
use crate::admin::changed;
use crate::item::{
    self, DISABLED, ID, MFA, PASSKEYS, PASSWORD_VERSION, RECOVERY, TOTP, TOTP_STEP, UPDATED_AT, USERNAME,
};
use crate::schema::bug;
use crate::store::{Moment, as_action, names, refused, values};
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use daypass_core::factor::Factors;
use daypass_core::passkey::PasskeyId;
use daypass_core::ports::store::{
    FactorChange, FactorEdit, FactorStore, FactorsChanged, StoreError, User, UserStore,
};
use daypass_core::session::EndReason;
use daypass_verifier::base::ids::Username;
use daypass_verifier::base::time::Timestamp;

impl UserStore for DynamoDb {
    async fn user_named(&self, username: &Username) -> Result<Option<User>, StoreError> {
        self.read_user(username).await
    }
}

impl FactorStore for DynamoDb {
    async fn change_factors(&self, change: &FactorChange<'_>) -> Result<FactorsChanged, StoreError> {
        let FactorChange { user, edit, notice } = change;
        let factors = &user.factors;
        let enrolled = factors.totp.as_ref();
        let same_totp = if enrolled.is_some() { "#totp = :totp_read" } else { "attribute_not_exists(#totp)" };
        let listed = item::passkey_set(&factors.passkeys);
        let same_passkeys =
            if listed.is_some() { "#passkeys = :passkeys_read" } else { "attribute_not_exists(#passkeys)" };
        let mut attributes = vec![USERNAME, ID, PASSWORD_VERSION, DISABLED, TOTP, PASSKEYS];
        let mut present = values([
            ("id", item::text(user.id.to_string())),
            ("password_version", item::number(user.password_version)),
            ("disabled", AttributeValue::Bool(false)),
        ])
        .unwrap_or_default();
        present.extend(enrolled.map(|totp| (":totp_read".to_owned(), item::binary(&totp.sealed))));
        present.extend(listed.map(|ids| (":passkeys_read".to_owned(), ids)));
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        let mut put = |name: &'static str, value: AttributeValue| {
            set.push(name);
            present.insert(format!(":{name}"), value);
        };
        // The item of the passkey that comes or goes.
        let mut passkey = None;
        match edit {
            FactorEdit::Enrol(totp, codes) => {
                put(TOTP, item::binary(&totp.sealed));
                put(TOTP_STEP, item::number(totp.step));
                put(RECOVERY, item::recovery_set_of(codes));
            }
            FactorEdit::RecoveryCodes(codes) => put(RECOVERY, item::recovery_set_of(codes)),
            FactorEdit::RemoveTotp => {
                remove.extend([TOTP, TOTP_STEP]);
                remove.extend(factors.passkeys.is_empty().then_some(RECOVERY));
            }
            FactorEdit::AddPasskey(new) => {
                // A set: a credential of the list stands there once, and its item refuses the second passkey.
                let others = factors.passkeys.iter().filter(|other| **other != new.credential.id);
                let ids: Vec<Vec<u8>> = others.chain([&new.credential.id]).cloned().collect();
                passkey = Some(self.adding_passkey(new)?);
                item::passkey_set(&ids).into_iter().for_each(|ids| put(PASSKEYS, ids));
            }
            FactorEdit::RemovePasskey(id) => {
                let others = factors.passkeys.iter().filter(|other| PasskeyId::of(other) != *id);
                let others: Vec<Vec<u8>> = others.cloned().collect();
                passkey = Some(self.delete_passkey(*id, user.id)?);
                match item::passkey_set(&others) {
                    Some(ids) => put(PASSKEYS, ids),
                    None => {
                        remove.push(PASSKEYS);
                        remove.extend(enrolled.is_none().then_some(RECOVERY));
                    }
                }
            }
        }
        attributes.extend(set.iter().chain(&remove));
        let set: Vec<String> = set.iter().map(|name| format!("#{name} = :{name}")).collect();
        let remove: Vec<String> = remove.iter().map(|name| format!("#{name}")).collect();
        let clauses = [("SET", set), ("REMOVE", remove)];
        let clauses = clauses.iter().filter(|(_, parts)| !parts.is_empty());
        let clauses: Vec<String> =
            clauses.map(|(verb, parts)| format!("{verb} {}", parts.join(", "))).collect();
        let update = Update::builder()
            .table_name(self.users_table()?)
            .set_key(Some(item::user_key(&user.username)))
            .update_expression(clauses.join(" "))
            .condition_expression(format!(
                "attribute_exists(#username) AND #id = :id AND #password_version = :password_version \
                 AND #disabled = :disabled AND {same_totp} AND {same_passkeys}"
            ))
            .set_expression_attribute_names(names(&attributes))
            .set_expression_attribute_values(Some(present))
            .build()
            .map_err(|error| bug(&error))?;
        let mut parts = vec![TransactWriteItem::builder().update(update).build()];
        parts.extend(passkey);
        parts.extend(notice.map(|notice| self.requesting(notice)).transpose()?);
        let Some(cancelled) = self.cancelled(parts).await? else { return Ok(FactorsChanged::Now) };
        let FactorEdit::AddPasskey(new) = edit else { return Ok(FactorsChanged::UserChanged) };
        let Some(met) = refused(&cancelled, 1) else { return Ok(FactorsChanged::UserChanged) };
        // This call has added it: the response was lost, and the SDK retried.
        let own = met.item.as_ref().map(item::to_passkey).transpose()?.as_ref() == Some(*new);
        Ok(if own { FactorsChanged::Now } else { FactorsChanged::PasskeyTaken })
    }
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
        for _ in 0..MAX_TRIES {
            let Some(user) = self.read_user(username).await? else { return Ok(None) };
            let listed = item::passkey_set(&user.factors.passkeys);
            let same =
                if listed.is_some() { "#passkeys = :passkeys" } else { "attribute_not_exists(#passkeys)" };
            let mut present = values([("id", item::text(user.id.to_string())), ("now", item::precise(now))]);
            present.iter_mut().for_each(|present| {
                present.extend(listed.clone().map(|ids| (":passkeys".to_owned(), ids)));
            });
            let update = self
                .client
                .update_item()
                .table_name(self.users_table()?)
                .set_key(Some(item::user_key(username)))
                .update_expression("SET #updated_at = :now REMOVE #totp, #totp_step, #recovery, #passkeys")
                .condition_expression(format!("#id = :id AND {same}"))
                .set_expression_attribute_names(names(&[ID, TOTP, TOTP_STEP, RECOVERY, PASSKEYS, UPDATED_AT]))
                .set_expression_attribute_values(present);
            let mut parts = vec![as_action(&update)?];
            for id in &user.factors.passkeys {
                parts.push(self.delete_passkey(PasskeyId::of(id), user.id)?);
            }
            if self.transact(parts).await? {
                let required = user.factors.required;
                let factors = Factors { required, ..Factors::default() };
                let ended = self.end_twice(user.id, moment, EndReason::Operator, &[]).await?;
                return Ok(Some((User { factors, updated_at: now, ..user }, ended)));
            }
        }
        Err(StoreError::Unavailable("reset_factors: the user changed meanwhile".to_owned()))
    }
}
