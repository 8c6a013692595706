//! [`SessionStore`] on DynamoDB: a user lists and ends their own sessions.

use crate::DynamoDb;
use crate::connect::LIST_TIMEOUT;
use crate::error::failure;
use crate::item::{self, USER};
use crate::store::{Conditional, Moment, conditional, known_by, names, values};
use daypass_core::ports::store::{Ending, SessionStore, StoreError, StoredSessions};
use daypass_core::session::{EndReason, Session};
use daypass_verifier::base::ids::{AttemptId, SessionId, UserId};
use daypass_verifier::base::time::Timestamp;

impl DynamoDb {
    /// Reads all pages. An item that cannot be read is counted, and is not an error: see the port.
    pub(crate) async fn all_pages(&self, user: UserId) -> Result<StoredSessions, StoreError> {
        let mut found = StoredSessions::default();
        let mut pages = self
            .client
            .query()
            .table_name(&self.tables.sessions)
            .consistent_read(true)
            .key_condition_expression("#user = :user")
            .set_expression_attribute_names(names(&[USER]))
            .set_expression_attribute_values(values([("user", item::text(user.to_string()))]))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            for item in page.map_err(|error| failure("Query", &error))?.items() {
                match item::to_session(item) {
                    Ok(session) => found.sessions.push(session),
                    Err(error) => found.unreadable.push(error),
                }
            }
        }
        Ok(found)
    }
}

impl SessionStore for DynamoDb {
    /// Has the time limit of a function. A user with too many sessions for it gets [`StoreError::Unavailable`].
    async fn stored_sessions(&self, user: UserId) -> Result<StoredSessions, StoreError> {
        let late = "stored_sessions: not all sessions could be read in time";
        self.within(LIST_TIMEOUT, late, self.all_pages(user)).await
    }

    async fn stored_session(&self, user: UserId, session: SessionId) -> Result<Option<Session>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.tables.sessions)
            .set_key(Some(item::session_key(user, session)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failure("GetItem", &error))?;
        output.item.as_ref().map(item::to_session).transpose()
    }

    /// The same write as [`revoke_session`](daypass_core::ports::store::Store::revoke_session).
    async fn end_session(
        &self,
        user: UserId,
        session: SessionId,
        now: Timestamp,
        reason: EndReason,
        attempt: AttemptId,
    ) -> Result<Ending, StoreError> {
        let ending = self.ending(item::session_key(user, session), Moment::new(now), reason, None);
        let request = known_by(ending, attempt);
        Ok(match conditional(request).await? {
            Conditional::Done(_) => Ending::Ended,
            Conditional::Refused(Some(item)) if item::is_attempt(&item, attempt) => Ending::Ended,
            Conditional::Refused(Some(_)) => Ending::AlreadyOver,
            Conditional::Refused(None) => Ending::Absent,
        })
    }
}
