//! The change of a user's scope. Live sessions follow: each keeps the words that the user still has.

use crate::DynamoDb;
use crate::admin::{SETTLING, changed};
use crate::error::failure;
use crate::item::{self, Item, REVOKED_AT, SCOPE, SESSION, UPDATED_AT, USERNAME};
use crate::store::{Conditional, Moment, REVOKE_CONCURRENCY, conditional, names, values};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::ports::store::{StoreError, User};
use daypass_core::session::EndReason;
use daypass_verifier::base::ids::{UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{MAX_CLOCK_SKEW, Timestamp};
use futures_util::{StreamExt, TryStreamExt, stream};

/// The outcome of [`DynamoDb::set_scope`].
#[derive(Debug, PartialEq, Eq)]
pub struct ScopeChange {
    /// The changed user.
    pub user: User,
    /// Live sessions that lost a part of their scope in this call.
    pub narrowed: u32,
    /// Live sessions that would have lost their whole scope. This call ended them.
    pub ended: u32,
}

/// What a live session needs to follow its user.
pub(crate) enum Step {
    Change(UpdateItemFluentBuilder),
    End(UpdateItemFluentBuilder),
}

impl DynamoDb {
    /// Sets the scope of a user and takes the words that the user has lost from every live session. A session gains no word,
    /// and a session that would lose its whole scope ends. Returns `None` if there is no such user.
    ///
    /// Queries the sessions twice, for the same reason as `DynamoDb::end_twice`: a login that checked the old scope has either
    /// committed before the change of the user, or its transaction is cancelled.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses. The scope may be set already, and some sessions may have the old
    /// one. Call it again.
    pub async fn set_scope(
        &self,
        username: &Username,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<Option<ScopeChange>, StoreError> {
        let moment = Moment::new(now);
        let set = item::scope_set(scope);
        let update = match set {
            Some(_) => "SET #updated_at = :now, #scope = :scope",
            None => "SET #updated_at = :now REMOVE #scope",
        };
        let mut request = self
            .change(username)?
            .update_expression(update)
            .set_expression_attribute_names(names(&[USERNAME, UPDATED_AT, SCOPE]))
            .set_expression_attribute_values(values([("now", item::precise(now))]));
        if let Some(set) = set {
            request = request.expression_attribute_values(":scope", set);
        }
        let Some(user) = changed(request).await? else { return Ok(None) };
        let first = self.narrow_sessions(&user, moment).await?;
        tokio::time::sleep(SETTLING).await;
        let second = self.narrow_sessions(&user, moment).await?;
        Ok(Some(ScopeChange { narrowed: first.0 + second.0, ended: first.1 + second.1, user }))
    }

    /// Makes every live session follow its user. Returns how many were narrowed, and how many were ended.
    async fn narrow_sessions(&self, user: &User, now: Moment) -> Result<(u32, u32), StoreError> {
        self.follow(user.id, now, &[SCOPE], |item| self.following(item, &user.scope, now)).await
    }

    /// Makes every live session of a user follow a change. `step` gets the key of each session with these attributes. Returns how
    /// many sessions were changed, and how many were ended.
    pub(crate) async fn follow(
        &self,
        user: UserId,
        now: Moment,
        attributes: &[&str],
        step: impl Fn(Item) -> Option<Step>,
    ) -> Result<(u32, u32), StoreError> {
        let (mut changed, mut ended) = (0, 0);
        let mut query = self.sessions_query(user, now.given.before(MAX_CLOCK_SKEW)).consistent_read(true);
        let mut projection = "#user, #session".to_owned();
        for name in attributes {
            projection.push_str(&format!(", #{name}"));
            query = query.expression_attribute_names(format!("#{name}"), *name);
        }
        let mut pages = query.projection_expression(projection).into_paginator().send();
        while let Some(page) = pages.next().await {
            let items = page.map_err(|error| failure("Query", &error))?.items.unwrap_or_default();
            let mut done = stream::iter(items.into_iter().filter_map(&step))
                .map(|step| async {
                    let (request, ends) = match step {
                        Step::Change(request) => (request, false),
                        Step::End(request) => (request, true),
                    };
                    // A session that has ended meanwhile needs nothing.
                    let written = matches!(conditional(request).await?, Conditional::Done(_));
                    Ok::<_, StoreError>((written, ends))
                })
                .buffer_unordered(REVOKE_CONCURRENCY);
            while let Some((written, ends)) = done.try_next().await? {
                *(if ends { &mut ended } else { &mut changed }) += u32::from(written);
            }
        }
        Ok((changed, ended))
    }

    /// The update of a live session with this key.
    pub(crate) fn live_session(&self, key: Item) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.tables.sessions)
            .set_key(Some(key))
            .condition_expression("attribute_exists(#session) AND attribute_not_exists(#revoked_at)")
            .set_expression_attribute_names(names(&[SESSION, REVOKED_AT]))
    }

    /// The write that takes from a session the words that its user has lost; `None` if there are none.
    fn following(&self, mut item: Item, scope: &Scope, now: Moment) -> Option<Step> {
        let had = item.remove(SCOPE).and_then(|words| words.as_ss().cloned().ok())?;
        let (kept, lost): (Vec<_>, Vec<_>) =
            had.into_iter().partition(|word| scope.words().any(|granted| granted == word));
        if lost.is_empty() {
            return None;
        }
        if kept.is_empty() {
            return Some(Step::End(self.ending(item, now, EndReason::ScopeRemoved, None)));
        }
        let request = self
            .live_session(item)
            // Removes words instead of setting the rest, so that two parallel changes both hold.
            .update_expression("DELETE #scope :lost")
            .expression_attribute_names("#scope", SCOPE)
            .expression_attribute_values(":lost", AttributeValue::Ss(lost));
        Some(Step::Change(request))
    }
}
