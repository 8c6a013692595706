//! [`Store`] on DynamoDB: one atomic request for each change of a session or a user.

use crate::DynamoDb;
use crate::connect::{LEAST_USED_TIMEOUT, REVOKE_ALL_TIMEOUT};
use crate::error::failure;
use crate::item::{
    self, ABSOLUTE_END, ATTEMPT, BOUND_TO, CLAIMS, CLIENT, CREATED_AT, DISABLED, ENDED_AT, ENDED_BUCKET,
    EXPIRES_AT, GENERATION, ID, Item, KNOWN, NAME, NAMED, NETWORK, PASSKEYS, PASSWORD_HASH, PASSWORD_VERSION,
    RECOVERY, REVOKED_AT, REVOKED_WHY, ROTATED_AT, SCOPE, SESSION, TOTP, TOTP_STEP, USER, USERNAME,
};
use crate::retry::is_passing;
use crate::schema::bug;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Put, ReturnValue,
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use daypass_core::ports::store::{
    Creation, Ending, NewSession, Revocation, Rotation, SessionStore, Store, StoreError, UsedFactor, User,
};
use daypass_core::session::limit::{LastUse, surplus};
use daypass_core::session::{EndReason, RotationRequest, Session};
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::MAX_CLOCK_SKEW;
use daypass_verifier::base::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::HashMap;
use std::slice;
use std::time::Duration;
use tokio::time::Instant;

/// Sessions that one `revoke_all` ends in parallel.
pub(crate) const REVOKE_CONCURRENCY: usize = 16;

/// The filter of live sessions: [`Session::is_live`] as an expression.
pub(crate) const LIVE: &str =
    "attribute_not_exists(#revoked_at) AND #expires_at > :now AND #absolute_end > :now";

/// Most operands of one `IN` ("Constraints in DynamoDB", expression parameters).
const MAX_IN_OPERANDS: usize = 100;

/// Time from an ending to the removal of the item by TTL. No feed names a session for longer.
pub(crate) const KEPT_AFTER_END: Duration = Duration::from_secs(3600);

/// Attribute names with their placeholders, `#name`.
pub(crate) fn names(attributes: &[&str]) -> Option<HashMap<String, String>> {
    Some(attributes.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect())
}

/// Values with their placeholders, `:name`.
pub(crate) fn values<const N: usize>(values: [(&str, AttributeValue); N]) -> Option<Item> {
    Some(values.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect())
}

/// Outcome of a conditional update.
pub(crate) enum Conditional {
    /// The item was written. Contains the attributes that the request asked for.
    Done(Item),
    /// The condition was false. Contains the present item, if there is one.
    Refused(Option<Item>),
}

/// Sends an update whose condition may be false.
pub(crate) async fn conditional(request: UpdateItemFluentBuilder) -> Result<Conditional, StoreError> {
    let request =
        request.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    match request.send().await {
        Ok(output) => Ok(Conditional::Done(output.attributes.unwrap_or_default())),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                Ok(Conditional::Refused(refusal.item.clone()))
            }
            _ => Err(failure("UpdateItem", &error)),
        },
    }
}

/// Adds to a condition that the session belongs to one of these clients.
fn of_clients(
    mut update: UpdateItemFluentBuilder,
    condition: &mut String,
    clients: &[ClientId],
) -> UpdateItemFluentBuilder {
    for (index, client) in clients.iter().enumerate() {
        // Further clients need another `IN`.
        condition.push_str(match index {
            0 => " AND (#client IN (",
            _ if index.is_multiple_of(MAX_IN_OPERANDS) => ") OR #client IN (",
            _ => ", ",
        });
        condition.push_str(&format!(":client{index}"));
        update = update.expression_attribute_values(format!(":client{index}"), item::text(client.as_str()));
    }
    // With an empty list of clients, no session meets the condition.
    condition.push_str(if clients.is_empty() { " AND attribute_not_exists(#client)" } else { "))" });
    update.expression_attribute_names("#client", CLIENT)
}

/// The time that the caller gave, and a clock that has run since. An ending is stamped with the time of its own write:
/// a reader of the index would miss one that is stamped too early.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    /// The time that the caller gave.
    pub(crate) given: Timestamp,
    started: Instant,
}

impl Moment {
    /// Starts the clock at this time.
    pub(crate) fn new(given: Timestamp) -> Self {
        Self { given, started: Instant::now() }
    }

    fn later(self) -> Timestamp {
        self.given + self.started.elapsed()
    }
}

impl DynamoDb {
    /// The only write of a refresh.
    ///
    /// Its condition is the row [`Rotate`](daypass_core::session::Verdict::Rotate) of [`judge`](daypass_core::session::judge):
    /// change both together.
    ///
    /// A session expires at its idle limit or its absolute end, whichever is earlier. The absolute end is in the item, and
    /// DynamoDB's expressions have no minimum. The write therefore sets `expires_at` to the idle limit. The condition tests
    /// both times, and [`item::to_session`] takes the earlier one. TTL may remove the item one idle period late. If there is
    /// no idle limit, the write sets `expires_at` to the absolute end, also if the session had an idle limit before.
    fn rotation(&self, request: &RotationRequest<'_>) -> Result<UpdateItemFluentBuilder, StoreError> {
        let presented = request.presented;
        let token = &presented.token;
        let next = token
            .generation
            .checked_add(1)
            .ok_or_else(|| StoreError::Broken("a session has used up all its generations".to_owned()))?;
        let expiry = if request.idle.is_some() { ":expires_at" } else { "#absolute_end" };
        let mut condition = "#generation = :presented AND attribute_not_exists(#revoked_at) \
                             AND #expires_at > :now AND #absolute_end > :now"
            .to_owned();
        let mut update = self
            .client
            .update_item()
            .table_name(&self.tables.sessions)
            .set_key(Some(item::session_key(token.user, token.session)))
            .return_values(ReturnValue::AllNew)
            .update_expression(format!(
                "SET #generation = :next, #rotated_at = :now, #attempt = :attempt, #named = :named, \
                 #network = :network, #expires_at = {expiry}"
            ))
            .set_expression_attribute_names(names(&[
                GENERATION,
                REVOKED_AT,
                EXPIRES_AT,
                ABSOLUTE_END,
                ROTATED_AT,
                ATTEMPT,
                NAMED,
                NETWORK,
            ]))
            .set_expression_attribute_values(values([
                ("presented", item::number(token.generation)),
                ("next", item::number(next)),
                ("now", item::precise(request.now)),
                ("attempt", item::binary(presented.attempt.as_bytes())),
                ("named", AttributeValue::Bool(presented.named)),
                ("network", item::binary(presented.network.as_bytes())),
            ]));
        condition.push_str(match presented.key {
            Some(_) => " AND (attribute_not_exists(#bound_to) OR #bound_to = :key)",
            None => " AND attribute_not_exists(#bound_to)",
        });
        update = update.expression_attribute_names("#bound_to", BOUND_TO);
        if let Some(key) = presented.key {
            update = update.expression_attribute_values(":key", item::binary(key.as_bytes()));
        }
        if let Some(idle) = request.idle {
            update = update.expression_attribute_values(":expires_at", item::seconds(request.now + idle));
        }
        let clients = presented.client.as_ref().map_or(request.registered, slice::from_ref);
        update = of_clients(update, &mut condition, clients);
        let asked = presented.scope.iter().flat_map(Scope::words);
        for (index, word) in asked.enumerate() {
            condition.push_str(&format!(" AND contains(#scope, :scope{index})"));
            update = update
                .expression_attribute_names("#scope", SCOPE)
                .expression_attribute_values(format!(":scope{index}"), item::text(word));
        }
        Ok(update.condition_expression(condition))
    }

    /// The write that ends a session of any generation. It also puts the session into the index of ended sessions. One
    /// request, one write unit of the table and one of the index.
    ///
    /// TTL deletes the item an hour later: an absent session is as invalid as an ended one. DynamoDB's expressions have no
    /// minimum, so the item of a session in its last hour stays up to an hour longer than without the ending.
    pub(crate) fn ending(
        &self,
        key: Item,
        now: Moment,
        reason: EndReason,
        clients: Option<&[ClientId]>,
    ) -> UpdateItemFluentBuilder {
        let mut condition = "attribute_exists(#session) AND attribute_not_exists(#revoked_at)".to_owned();
        let bucket = item::ended_bucket(&key);
        let mut update = self
            .client
            .update_item()
            .table_name(&self.tables.sessions)
            .set_key(Some(key))
            .update_expression(
                "SET #revoked_at = :now, #revoked_why = :why, #ended_bucket = :bucket, #ended_at = :ended_at, \
                 #expires_at = :removed_at",
            )
            .set_expression_attribute_names(names(&[
                SESSION,
                REVOKED_AT,
                REVOKED_WHY,
                ENDED_BUCKET,
                ENDED_AT,
                EXPIRES_AT,
            ]))
            .set_expression_attribute_values(values([
                ("removed_at", item::seconds(now.given + KEPT_AFTER_END)),
                ("now", item::precise(now.given)),
                ("why", item::text(reason.as_str())),
                ("bucket", item::text(bucket)),
                ("ended_at", item::precise(now.later())),
            ]));
        if let Some(clients) = clients {
            update = of_clients(update, &mut condition, clients);
        }
        update.condition_expression(condition)
    }

    /// Ends every live session of a user, without a time limit. Returns the number of sessions that it ended.
    ///
    /// The query is strongly consistent, so it finds every session that was opened before. The writes apply to any
    /// generation, so a refresh in between does not matter. The query reads only keys, so that items that cannot be read are
    /// ended too.
    ///
    /// # Errors
    /// [`StoreError`] at the first request that fails. Ended sessions stay ended, and the next call ends the others.
    pub async fn end_sessions(
        &self,
        user: UserId,
        now: Timestamp,
        reason: EndReason,
    ) -> Result<u32, StoreError> {
        self.end_opened_by(user, Moment::new(now), reason, None, &[]).await
    }

    /// A query for the sessions of a user, with the names and values of the filter [`LIVE`] at `now`.
    pub(crate) fn sessions_query(&self, user: UserId, now: Timestamp) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.tables.sessions)
            .key_condition_expression("#user = :user")
            .filter_expression(LIVE)
            .set_expression_attribute_names(names(&[USER, SESSION, REVOKED_AT, EXPIRES_AT, ABSOLUTE_END]))
            .set_expression_attribute_values(values([
                ("user", item::text(user.to_string())),
                ("now", item::precise(now)),
            ]))
    }

    /// As [`DynamoDb::end_sessions`], but only for sessions opened before `opened_before`, and without the sessions `spared`.
    pub(crate) async fn end_opened_by(
        &self,
        user: UserId,
        now: Moment,
        reason: EndReason,
        opened_before: Option<Timestamp>,
        spared: &[SessionId],
    ) -> Result<u32, StoreError> {
        let mut ended = 0;
        let mut filter = LIVE.to_owned();
        // The clock of another process may be behind, so that a session is live there and expired here.
        let mut query = self
            .sessions_query(user, now.given.before(MAX_CLOCK_SKEW))
            .consistent_read(true)
            .projection_expression("#user, #session");
        if let Some(opened_before) = opened_before {
            // The clock of the login may be ahead of the clock that set `opened_before`.
            let opened_before = opened_before + MAX_CLOCK_SKEW;
            filter.push_str(" AND #created_at <= :opened_before");
            query = query
                .expression_attribute_names("#created_at", CREATED_AT)
                .expression_attribute_values(":opened_before", item::precise(opened_before));
        }
        let mut pages = query.filter_expression(filter).into_paginator().send();
        while let Some(page) = pages.next().await {
            let mut keys = page.map_err(|error| failure("Query", &error))?.items.unwrap_or_default();
            keys.retain(|key| spared.iter().all(|spared| *key != item::session_key(user, *spared)));
            ended += stream::iter(keys)
                .map(|key| conditional(self.ending(key, now, reason, None)))
                .buffer_unordered(REVOKE_CONCURRENCY)
                .try_fold(0, |count, outcome| async move {
                    Ok(count + u32::from(matches!(outcome, Conditional::Done(_))))
                })
                .await?;
        }
        Ok(ended)
    }
}

impl Store for DynamoDb {
    async fn create_user(&self, user: &User) -> Result<Creation, StoreError> {
        self.create_by_update(user).await
    }

    async fn open_session(&self, new: &NewSession<'_>) -> Result<bool, StoreError> {
        let changes = [
            new.rehash.map(|hash| (PASSWORD_HASH, item::text(hash))),
            new.known.map(|known| (KNOWN, item::from_known(known))),
        ];
        let mut parts = vec![
            put_session(&self.tables.sessions, new.session, new.user)?,
            same_user(self.users_table()?, new.user, changes.into_iter().flatten(), new.factor)?,
        ];
        if let Some(key) = new.settle {
            parts.push(settle(self.attempts_table()?, key)?);
        }
        if let Some(UsedFactor::Passkey(shown)) = &new.factor {
            parts.extend(self.using(shown, new.session.created_at)?);
        }
        match self.client.transact_write_items().set_transact_items(Some(parts)).send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(error)) => {
                    cancelled(error, new.session, new.settle.is_some())
                }
                _ => Err(failure("TransactWriteItems", &error)),
            },
        }
    }

    async fn renew_hash(&self, user: &User, hash: &str) -> Result<(), StoreError> {
        let changes = [(PASSWORD_HASH, item::text(hash))];
        let update = as_update(same_user(self.users_table()?, user, changes.into_iter(), None)?)?;
        let request = self
            .client
            .update_item()
            .set_table_name(Some(update.table_name))
            .set_key(Some(update.key))
            .update_expression(update.update_expression)
            .set_condition_expression(update.condition_expression)
            .set_expression_attribute_names(update.expression_attribute_names)
            .set_expression_attribute_values(update.expression_attribute_values);
        conditional(request).await.map(drop)
    }

    async fn rotate(&self, request: &RotationRequest<'_>) -> Result<Rotation, StoreError> {
        match conditional(self.rotation(request)?).await? {
            Conditional::Done(item) => Ok(Rotation::Rotated(item::to_session(&item)?)),
            Conditional::Refused(item) => {
                Rotation::refused(item.as_ref().map(item::to_session).transpose()?, request)
            }
        }
    }

    async fn revoke_session(
        &self,
        user: UserId,
        session: SessionId,
        clients: Option<&[ClientId]>,
        now: Timestamp,
        reason: EndReason,
        attempt: AttemptId,
    ) -> Result<Revocation, StoreError> {
        let ending = self.ending(item::session_key(user, session), Moment::new(now), reason, clients);
        let request = known_by(ending, attempt);
        Ok(match conditional(request).await? {
            Conditional::Done(_) => Revocation::Ended,
            Conditional::Refused(None) => Revocation::Absent,
            // This call has written the item itself: its response was lost, and the SDK retried.
            Conditional::Refused(Some(item)) if item::is_attempt(&item, attempt) => Revocation::Ended,
            Conditional::Refused(Some(item)) => {
                let session = item::to_session(&item)?;
                match session.ended {
                    _ if clients.is_some_and(|clients| !clients.contains(&session.client)) => {
                        Revocation::OtherClient
                    }
                    Some(ended) => Revocation::AlreadyOver(ended),
                    // The session is live, so only the part of the condition about the client can be false.
                    None => Revocation::OtherClient,
                }
            }
        })
    }

    /// As [`DynamoDb::end_sessions`], within the time limit of a function. A user with too many sessions for it gets
    /// [`StoreError::Unavailable`], and the next call ends the others.
    async fn revoke_all(
        &self,
        user: UserId,
        now: Timestamp,
        reason: EndReason,
        opened_before: Option<Timestamp>,
    ) -> Result<u32, StoreError> {
        let ending = self.end_opened_by(user, Moment::new(now), reason, opened_before, &[]);
        self.within(REVOKE_ALL_TIMEOUT, "revoke_all: not all sessions could be ended in time", ending).await
    }

    async fn end_least_used(
        &self,
        user: UserId,
        spared: SessionId,
        now: Timestamp,
        reason: EndReason,
        attempt: AttemptId,
    ) -> Result<Vec<SessionId>, StoreError> {
        let ending = async {
            let surplus = surplus(self.last_uses(user, now).await?, spared);
            let ended: Vec<Option<SessionId>> = stream::iter(surplus)
                .map(|session| async move {
                    let ending = self.end_session(user, session, now, reason, attempt).await?;
                    Ok::<_, StoreError>((ending == Ending::Ended).then_some(session))
                })
                .buffer_unordered(REVOKE_CONCURRENCY)
                .try_collect()
                .await?;
            Ok(ended.into_iter().flatten().collect())
        };
        let late = "end_least_used: not all sessions could be ended in time";
        self.within(LEAST_USED_TIMEOUT, late, ending).await
    }
}

impl DynamoDb {
    /// The live sessions of a user and the times of their last uses. An item that cannot be read is left out.
    async fn last_uses(&self, user: UserId, now: Timestamp) -> Result<Vec<LastUse>, StoreError> {
        let mut live = Vec::new();
        let mut pages = self
            .sessions_query(user, now)
            .consistent_read(true)
            .projection_expression("#session, #created_at, #rotated_at")
            .expression_attribute_names("#created_at", CREATED_AT)
            .expression_attribute_names("#rotated_at", ROTATED_AT)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failure("Query", &error))?;
            live.extend(page.items().iter().filter_map(|item| item::to_last_use(item).ok()));
        }
        Ok(live)
    }
}

/// Makes an ending write its attempt id into the item, in place of that of the last rotation, which is no longer needed.
pub(crate) fn known_by(ending: UpdateItemFluentBuilder, attempt: AttemptId) -> UpdateItemFluentBuilder {
    let update = ending.get_update_expression().as_deref().unwrap_or_default();
    let update = format!("{update}, #attempt = :attempt");
    ending
        .update_expression(update)
        .expression_attribute_names("#attempt", ATTEMPT)
        .expression_attribute_values(":attempt", item::binary(attempt.as_bytes()))
}

/// An update as a part of a transaction.
pub(crate) fn as_action(update: &UpdateItemFluentBuilder) -> Result<TransactWriteItem, StoreError> {
    let update = Update::builder()
        .set_table_name(update.get_table_name().clone())
        .set_key(update.get_key().clone())
        .set_update_expression(update.get_update_expression().clone())
        .set_condition_expression(update.get_condition_expression().clone())
        .set_expression_attribute_names(update.get_expression_attribute_names().clone())
        .set_expression_attribute_values(update.get_expression_attribute_values().clone())
        .set_return_values_on_condition_check_failure(
            update.get_return_values_on_condition_check_failure().clone(),
        )
        .build()
        .map_err(|error| bug(&error))?;
    Ok(TransactWriteItem::builder().update(update).build())
}

// Positions of the actions. A cancelled transaction gives its reasons in this order.
pub(crate) const SESSION_REASON: usize = 0;
pub(crate) const USER_REASON: usize = 1;

pub(crate) fn put_session(
    table: &str,
    session: &Session,
    user: &User,
) -> Result<TransactWriteItem, StoreError> {
    let mut item = item::from_session(session);
    // A change of the password needs the name, because the authorizer passes only user id and session.
    item.insert(NAME.to_owned(), item::text(user.username.as_str()));
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(#session)")
        .set_expression_attribute_names(names(&[SESSION]))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .map_err(|error| bug(&error))?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// The update of a part that changes a user.
fn as_update(action: TransactWriteItem) -> Result<Update, StoreError> {
    action.update.ok_or_else(|| StoreError::Broken("a part of a transaction is no update".to_owned()))
}

/// Cancels the transaction if the user has changed since the password was checked, or another login has used the second factor. A
/// new hash of the same password does not raise the password version. Otherwise makes these changes to the user, and uses the
/// factor up.
pub(crate) fn same_user(
    table: &str,
    user: &User,
    changes: impl Iterator<Item = (&'static str, AttributeValue)>,
    factor: Option<UsedFactor<'_>>,
) -> Result<TransactWriteItem, StoreError> {
    let scope = item::scope_set(&user.scope);
    let same_scope = if scope.is_some() { "#scope = :scope" } else { "attribute_not_exists(#scope)" };
    let claims = item::claims_text(&user.claims);
    let same_claims = if claims.is_some() { "#claims = :claims" } else { "attribute_not_exists(#claims)" };
    let totp = user.factors.totp.as_ref().map(|totp| item::binary(&totp.sealed));
    let same_totp = if totp.is_some() { "#totp = :totp_read" } else { "attribute_not_exists(#totp)" };
    let passkeys = item::passkey_set(&user.factors.passkeys);
    let same_passkeys =
        if passkeys.is_some() { "#passkeys = :passkeys" } else { "attribute_not_exists(#passkeys)" };
    let mut condition = format!(
        "attribute_exists(#username) AND #id = :id AND #password_version = :password_version \
         AND #disabled = :disabled AND {same_scope} AND {same_claims} AND {same_totp} AND {same_passkeys}"
    );
    let attributes = [USERNAME, ID, PASSWORD_VERSION, DISABLED, SCOPE, CLAIMS, TOTP, PASSKEYS];
    let key = item::user_key(&user.username);
    let expected = values([
        ("id", item::text(user.id.to_string())),
        ("password_version", item::number(user.password_version)),
        ("disabled", AttributeValue::Bool(false)),
    ]);
    let expected = expected.map(|expected| {
        let scope = scope.map(|scope| (":scope".to_owned(), scope));
        let claims = claims.map(|claims| (":claims".to_owned(), claims));
        let totp = totp.map(|totp| (":totp_read".to_owned(), totp));
        let passkeys = passkeys.map(|passkeys| (":passkeys".to_owned(), passkeys));
        expected.into_iter().chain(scope).chain(claims).chain(totp).chain(passkeys).collect::<Item>()
    });
    let action = TransactWriteItem::builder();
    let mut changes: Vec<_> = changes.collect();
    if let Some(UsedFactor::OneTimeCode { step, resealed }) = factor {
        condition.push_str(" AND #totp_step < :totp_step");
        changes.push((TOTP_STEP, item::number(step)));
        changes.extend(resealed.map(|sealed| (TOTP, item::binary(sealed))));
    }
    let used_code = match factor {
        Some(UsedFactor::RecoveryCode(digest)) => Some(digest),
        Some(UsedFactor::OneTimeCode { .. } | UsedFactor::Passkey(_)) | None => None,
    };
    if changes.is_empty() && used_code.is_none() {
        let check = ConditionCheck::builder()
            .table_name(table)
            .set_key(Some(key))
            .condition_expression(condition)
            .set_expression_attribute_names(names(&attributes))
            .set_expression_attribute_values(expected)
            .build()
            .map_err(|error| bug(&error))?;
        return Ok(action.condition_check(check).build());
    }
    let mut update = Update::builder()
        .table_name(table)
        .set_key(Some(key))
        .set_expression_attribute_names(names(&attributes))
        .set_expression_attribute_values(expected);
    let mut expression = String::new();
    if let Some(digest) = used_code {
        condition.push_str(" AND contains(#recovery, :used_code)");
        expression.push_str("DELETE #recovery :used_codes");
        update = update
            .expression_attribute_names("#recovery", RECOVERY)
            .expression_attribute_values(":used_code", item::binary(digest.as_bytes()))
            .expression_attribute_values(":used_codes", item::recovery_set_of(&[digest]));
    }
    let mut assignments = Vec::new();
    for (name, value) in changes {
        assignments.push(format!("#{name} = :{name}"));
        update = update
            .expression_attribute_names(format!("#{name}"), name)
            .expression_attribute_values(format!(":{name}"), value);
    }
    if !assignments.is_empty() {
        expression = format!("SET {} {expression}", assignments.join(", "));
    }
    let update = update.condition_expression(condition).update_expression(expression);
    Ok(action.update(update.build().map_err(|error| bug(&error))?).build())
}

/// Deletes a counter.
fn settle(table: &str, key: &str) -> Result<TransactWriteItem, StoreError> {
    let delete = Delete::builder()
        .table_name(table)
        .set_key(Some(item::attempt_key(key)))
        .build()
        .map_err(|error| bug(&error))?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// The outcome of a cancelled transaction: `true` if an earlier attempt has opened the session, `false` if the user or the factor
/// has changed or the session has ended. If the transaction `settles` a counter, this action is the third, and has no condition.
fn cancelled(
    error: &TransactionCanceledException,
    session: &Session,
    settles: bool,
) -> Result<bool, StoreError> {
    let met = met_session(error)?;
    // An earlier attempt has opened the session. Compared in the stored form, which has no fractions of seconds.
    if met.is_some() && met == Some(item::to_session(&item::from_session(session))?) {
        return Ok(true);
    }
    let conditions = (USER_REASON..error.cancellation_reasons().len())
        .filter(|index| !settles || *index != USER_REASON + 1);
    if conditions.into_iter().any(|index| refused(error, index).is_some()) {
        return Ok(false);
    }
    other_reason(error)?;
    match met {
        Some(met) if met.ended.is_some() => Ok(false),
        _ => Err(StoreError::Broken("TransactWriteItems: another session has this id".to_owned())),
    }
}

/// The action at this position, if its condition was false.
pub(crate) fn refused(error: &TransactionCanceledException, index: usize) -> Option<&CancellationReason> {
    let reason = error.cancellation_reasons().get(index);
    reason.filter(|reason| reason.code() == Some("ConditionalCheckFailed"))
}

/// The session that was stored under the id of the new one.
pub(crate) fn met_session(error: &TransactionCanceledException) -> Result<Option<Session>, StoreError> {
    let item = refused(error, SESSION_REASON).and_then(|reason| reason.item.as_ref());
    item.map(item::to_session).transpose()
}

/// An error if anything but a false condition cancelled the transaction.
pub(crate) fn other_reason(error: &TransactionCanceledException) -> Result<(), StoreError> {
    let mut codes = error.cancellation_reasons().iter().filter_map(CancellationReason::code);
    let Some(code) = codes.find(|code| !matches!(*code, "None" | "ConditionalCheckFailed")) else {
        return Ok(());
    };
    let text = format!("TransactWriteItems: cancelled, {code}");
    Err(if is_passing(code) { StoreError::Unavailable(text) } else { StoreError::Broken(text) })
}
