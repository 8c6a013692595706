//! E-mail addresses of users. An item of the users table claims each address for its user, so that an address has one user.
//!
//! The item is written and deleted in the transaction that changes the user. A name that is an address belongs to its user too:
//! no other user can claim it, and no user can be added under a name that another user has claimed. So a text that a person
//! logs in with means at most one user.

use crate::DynamoDb;
use crate::error::failure;
use crate::item::{
    self, DISABLED, EMAIL, EMAIL_UNDELIVERABLE, EMAIL_VERIFIED, ID, Item, OWNER, PASSKEYS, PASSWORD_VERSION,
    UPDATED_AT, USERNAME,
};
use crate::schema::bug;
use crate::store::{Conditional, as_action, conditional, names, other_reason, refused, values};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use daypass_core::account::Email;
use daypass_core::account::address::EmailAddress;
use daypass_core::passkey::PasskeyId;
use daypass_core::ports::store::{AddressOwner, AddressStore, Creation, StoreError, User};
use daypass_verifier::base::ids::{UserId, Username};
use daypass_verifier::base::time::Timestamp;

/// Tries of a change whose user changes meanwhile. Only operators and the user change a user.
pub(crate) const MAX_TRIES: u32 = 4;

/// Outcome of the addition of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addition {
    /// The user was added.
    Added,
    /// A user has this name, or has it as e-mail address. Nothing was written.
    NameTaken,
    /// Another user has this e-mail address, or has it as name. Nothing was written.
    AddressTaken,
}

/// Outcome of [`DynamoDb::set_email`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmailChange {
    /// The user as it is now.
    Changed(Box<User>),
    /// Another user has this address, or has it as name. Nothing was written.
    Taken,
    /// There is no such user.
    NoUser,
}

/// Outcome of [`DynamoDb::create`].
pub(crate) enum Created {
    /// The item was written.
    Done,
    /// The name is taken: by a user with this item, or by the address of a user.
    NameTaken(Option<Item>),
    /// The address is taken.
    AddressTaken,
}

/// The user whose address changes, and the address that the user has. The change is cancelled if either is otherwise.
pub(crate) struct Holder<'a> {
    pub(crate) username: &'a Username,
    pub(crate) id: UserId,
    pub(crate) address: Option<&'a EmailAddress>,
    /// The password version that an enabled user needs; `None` for an operator, who changes every user.
    pub(crate) password_version: Option<u32>,
}

impl<'a> From<&'a User> for Holder<'a> {
    fn from(user: &'a User) -> Self {
        let address = user.email.as_ref().map(|email| &email.address);
        Self { username: &user.username, id: user.id, address, password_version: None }
    }
}

/// The address that a user name is, if it is one.
fn as_address(username: &Username) -> Option<EmailAddress> {
    EmailAddress::parse(username.as_str()).ok()
}

/// The user name that an address is. Every address is a valid name.
pub(crate) fn as_name(address: &EmailAddress) -> Option<Username> {
    Username::from_normalised(address.as_str().to_owned())
}

impl AddressStore for DynamoDb {
    async fn user_by_address(&self, address: &EmailAddress) -> Result<Option<AddressOwner>, StoreError> {
        self.users_item(item::address_key(address)).await?.as_ref().map(item::to_owner).transpose()
    }
}

impl DynamoDb {
    /// Sets the e-mail address of a user, or removes it for `None`, in one transaction with its claim. Its sessions stay.
    /// Writes nothing if the user has this address already.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses. The address may be set already. Call it again.
    pub async fn set_email(
        &self,
        username: &Username,
        email: Option<&Email>,
        now: Timestamp,
    ) -> Result<EmailChange, StoreError> {
        for _ in 0..MAX_TRIES {
            let Some(user) = self.read_user(username).await? else { return Ok(EmailChange::NoUser) };
            // An earlier try may have written, and its response was lost.
            if user.email.as_ref() == email {
                return Ok(EmailChange::Changed(Box::new(user)));
            }
            let parts = self.email_change(&Holder::from(&user), email, now)?;
            let sent = self.client.transact_write_items().set_transact_items(Some(parts)).send().await;
            let Err(error) = sent else {
                let user = User { email: email.cloned(), updated_at: now, ..user };
                return Ok(EmailChange::Changed(Box::new(user)));
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                return Err(failure("TransactWriteItems", &error));
            };
            other_reason(cancelled)?;
            if refused(cancelled, 0).is_none() {
                return Ok(EmailChange::Taken);
            }
        }
        Err(StoreError::Unavailable("set_email: the user changed meanwhile".to_owned()))
    }

    /// The parts of a transaction that changes the address of a user. The first is the change of the user, whose condition is
    /// that the user is the `holder` still. The conditions of the others are that nobody else has the new address.
    pub(crate) fn email_change(
        &self,
        holder: &Holder<'_>,
        email: Option<&Email>,
        now: Timestamp,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut parts = vec![self.put_email(holder, email, now)?];
        let new = email.map(|email| &email.address);
        if new == holder.address {
            return Ok(parts);
        }
        if let Some(address) = new {
            parts.extend(self.claim(address, holder.username, holder.id)?);
        }
        if let Some(address) = holder.address {
            parts.push(self.release(address, holder.username)?);
        }
        Ok(parts)
    }

    fn put_email(
        &self,
        holder: &Holder<'_>,
        email: Option<&Email>,
        now: Timestamp,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut update = Update::builder()
            .table_name(self.users_table()?)
            .set_key(Some(item::user_key(holder.username)))
            .set_expression_attribute_names(names(&[
                ID,
                EMAIL,
                EMAIL_VERIFIED,
                EMAIL_UNDELIVERABLE,
                UPDATED_AT,
            ]))
            .set_expression_attribute_values(values([
                ("id", item::text(holder.id.to_string())),
                ("now", item::precise(now)),
            ]));
        let same = if let Some(address) = holder.address {
            update = update.expression_attribute_values(":old", item::text(address.as_str()));
            "#email = :old"
        } else {
            "attribute_not_exists(#email)"
        };
        let mut condition = format!("#id = :id AND {same}");
        if let Some(version) = holder.password_version {
            condition.push_str(" AND #password_version = :password_version AND #disabled = :disabled");
            update = update
                .expression_attribute_names("#password_version", PASSWORD_VERSION)
                .expression_attribute_names("#disabled", DISABLED)
                .expression_attribute_values(":password_version", item::number(version))
                .expression_attribute_values(":disabled", AttributeValue::Bool(false));
        }
        let attributes = email.map(item::from_email).unwrap_or_default();
        let (mut set, mut removed) = ("SET #updated_at = :now".to_owned(), Vec::new());
        for name in [EMAIL, EMAIL_VERIFIED, EMAIL_UNDELIVERABLE] {
            match attributes.iter().find(|(attribute, _)| attribute == name) {
                Some((_, value)) => {
                    set.push_str(&format!(", #{name} = :{name}"));
                    update = update.expression_attribute_values(format!(":{name}"), value.clone());
                }
                None => removed.push(format!("#{name}")),
            }
        }
        if !removed.is_empty() {
            set.push_str(&format!(" REMOVE {}", removed.join(", ")));
        }
        let update = update.update_expression(set).condition_expression(condition);
        Ok(TransactWriteItem::builder().update(update.build().map_err(|error| bug(&error))?).build())
    }

    /// The parts that claim an address: nobody has claimed it, and no other user has it as name.
    fn claim(
        &self,
        address: &EmailAddress,
        username: &Username,
        id: UserId,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let update = self.creating(item::address_key(address), item::from_claim(address, username, id))?;
        let mut parts = vec![as_action(&update)?];
        if let Some(name) = as_name(address).filter(|name| name != username) {
            parts.push(self.absent(item::user_key(&name))?);
        }
        Ok(parts)
    }

    /// The part that deletes the claim of a user to an address.
    fn release(&self, address: &EmailAddress, username: &Username) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(self.users_table()?)
            .set_key(Some(item::address_key(address)))
            .condition_expression("attribute_not_exists(#owner) OR #owner = :owner")
            .set_expression_attribute_names(names(&[OWNER]))
            .set_expression_attribute_values(values([("owner", item::text(username.as_str()))]))
            .build()
            .map_err(|error| bug(&error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// The part whose condition is that there is no item of this key.
    fn absent(&self, key: Item) -> Result<TransactWriteItem, StoreError> {
        let check = ConditionCheck::builder()
            .table_name(self.users_table()?)
            .set_key(Some(key))
            .condition_expression("attribute_not_exists(#username)")
            .set_expression_attribute_names(names(&[USERNAME]))
            .build()
            .map_err(|error| bug(&error))?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }

    /// The parts of a transaction that adds a user by this item. The first is the user. The second is about the claim of
    /// another user to the name, if the name is an address and not the user's own. The others are the claim of the address.
    pub(crate) fn creation(&self, user: &User, item: Item) -> Result<Vec<TransactWriteItem>, StoreError> {
        let put = Put::builder()
            .table_name(self.users_table()?)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#username)")
            .set_expression_attribute_names(names(&[USERNAME]))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| bug(&error))?;
        let mut parts = vec![TransactWriteItem::builder().put(put).build()];
        parts.extend(self.creation_claims(user)?);
        Ok(parts)
    }

    /// The parts of [`DynamoDb::creation`] after the first.
    fn creation_claims(&self, user: &User) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut parts = Vec::new();
        if let Some(address) = claimable_name(user) {
            parts.push(self.absent(item::address_key(&address))?);
        }
        if let Some(email) = &user.email {
            parts.extend(self.claim(&email.address, &user.username, user.id)?);
        }
        Ok(parts)
    }

    /// Adds a user by this item: one put, or a transaction if the user has an address or is named like one.
    pub(crate) async fn create(&self, user: &User, item: Item) -> Result<Created, StoreError> {
        if !has_claims(user) {
            return self.put_user(item).await;
        }
        self.create_with_claims(user, self.creation(user, item)?).await
    }

    /// As [`DynamoDb::create`], by updates: the role of a login may not replace an item.
    pub(crate) async fn create_by_update(&self, user: &User) -> Result<Creation, StoreError> {
        let update = self.creating(item::user_key(&user.username), item::from_user(user))?;
        let created = if has_claims(user) {
            let all_old = ReturnValuesOnConditionCheckFailure::AllOld;
            let mut parts = vec![as_action(&update.return_values_on_condition_check_failure(all_old))?];
            parts.extend(self.creation_claims(user)?);
            self.create_with_claims(user, parts).await?
        } else {
            match conditional(update).await? {
                Conditional::Done(_) => Created::Done,
                Conditional::Refused(item) => Created::NameTaken(item),
            }
        };
        Ok(match created {
            Created::Done => Creation::Stored(Box::new(user.clone())),
            Created::NameTaken(Some(item)) => Creation::Stored(Box::new(item::to_user(&item)?)),
            Created::NameTaken(None) => Creation::NameTaken,
            Created::AddressTaken => Creation::AddressTaken,
        })
    }

    /// The update that writes an item of the users table, if there is none of this key.
    pub(crate) fn creating(&self, key: Item, item: Item) -> Result<UpdateItemFluentBuilder, StoreError> {
        let mut update = self
            .client
            .update_item()
            .table_name(self.users_table()?)
            .condition_expression("attribute_not_exists(#username)")
            .expression_attribute_names("#username", USERNAME);
        let mut assignments = Vec::new();
        for (name, value) in item.into_iter().filter(|(name, _)| !key.contains_key(name)) {
            assignments.push(format!("#{name} = :{name}"));
            update = update
                .expression_attribute_values(format!(":{name}"), value)
                .expression_attribute_names(format!("#{name}"), name);
        }
        Ok(update.set_key(Some(key)).update_expression(format!("SET {}", assignments.join(", "))))
    }

    async fn create_with_claims(
        &self,
        user: &User,
        parts: Vec<TransactWriteItem>,
    ) -> Result<Created, StoreError> {
        let sent = self.client.transact_write_items().set_transact_items(Some(parts)).send().await;
        let Err(error) = sent else { return Ok(Created::Done) };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
        else {
            return Err(failure("TransactWriteItems", &error));
        };
        other_reason(cancelled)?;
        if let Some(reason) = refused(cancelled, 0) {
            return Ok(Created::NameTaken(reason.item.clone()));
        }
        let name_claimed = claimable_name(user).is_some() && refused(cancelled, 1).is_some();
        Ok(if name_claimed { Created::NameTaken(None) } else { Created::AddressTaken })
    }

    async fn put_user(&self, item: Item) -> Result<Created, StoreError> {
        let sent = self
            .client
            .put_item()
            .table_name(self.users_table()?)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#username)")
            .set_expression_attribute_names(names(&[USERNAME]))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = sent else { return Ok(Created::Done) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                Ok(Created::NameTaken(refusal.item.clone()))
            }
            _ => Err(failure("PutItem", &error)),
        }
    }

    /// Deletes a disabled user, if it is still this one with this address and these passkeys, the claim of the address, and the
    /// passkeys. Returns whether it was.
    pub(crate) async fn delete_user(&self, user: &User) -> Result<bool, StoreError> {
        let holder = Holder::from(user);
        let passkeys = &user.factors.passkeys;
        let mut expected = vec![
            (":id".to_owned(), item::text(user.id.to_string())),
            (":disabled".to_owned(), AttributeValue::Bool(true)),
        ];
        let mut same = |name: &str, value: Option<AttributeValue>| match value {
            Some(value) => {
                expected.push((format!(":{name}"), value));
                format!("#{name} = :{name}")
            }
            None => format!("attribute_not_exists(#{name})"),
        };
        let same_email = same(EMAIL, holder.address.map(|address| item::text(address.as_str())));
        let same_passkeys = same(PASSKEYS, item::passkey_set(passkeys));
        let delete = Delete::builder()
            .table_name(self.users_table()?)
            .set_key(Some(item::user_key(holder.username)))
            // Only the user that was disabled, not a new user of the same name. A user who was enabled meanwhile can have a new
            // session.
            .condition_expression(format!(
                "#id = :id AND #disabled = :disabled AND {same_email} AND {same_passkeys}"
            ))
            .set_expression_attribute_names(names(&[ID, DISABLED, EMAIL, PASSKEYS]))
            .set_expression_attribute_values(Some(expected.into_iter().collect()))
            .build()
            .map_err(|error| bug(&error))?;
        let mut parts = vec![TransactWriteItem::builder().delete(delete).build()];
        if let Some(address) = holder.address {
            parts.push(self.release(address, holder.username)?);
        }
        for id in passkeys {
            parts.push(self.delete_passkey(PasskeyId::of(id), user.id)?);
        }
        let sent = self.client.transact_write_items().set_transact_items(Some(parts)).send().await;
        let Err(error) = sent else { return Ok(true) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                other_reason(cancelled)?;
                match refused(cancelled, 0) {
                    Some(_) => Ok(false),
                    None => Err(StoreError::Broken(
                        "TransactWriteItems: the e-mail address of the user is claimed by another one"
                            .to_owned(),
                    )),
                }
            }
            _ => Err(failure("TransactWriteItems", &error)),
        }
    }
}

/// Whether the addition of a user touches claims of addresses.
fn has_claims(user: &User) -> bool {
    user.email.is_some() || as_address(&user.username).is_some()
}

/// The name of a user as an address that another user could have claimed.
pub(crate) fn claimable_name(user: &User) -> Option<EmailAddress> {
    let own = user.email.as_ref().map(|email| &email.address);
    as_address(&user.username).filter(|address| Some(address) != own)
}

/// The key of an item of the users table after which a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// The cursor with this text; `None` if no item can have this key.
    #[must_use]
    pub fn parse(text: String) -> Option<Self> {
        (1..=2048).contains(&text.len()).then_some(Self(text))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn key(&self) -> Item {
        Item::from([(USERNAME.to_owned(), item::text(&self.0))])
    }

    pub(crate) fn of(key: Option<&Item>) -> Option<Self> {
        let AttributeValue::S(text) = key?.get(USERNAME)? else { return None };
        Some(Self(text.clone()))
    }
}
