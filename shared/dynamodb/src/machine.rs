//! Revoked tokens and used assertions of machine clients: [`MachineStore`] on DynamoDB, and the write of an operator.
//!
//! No session of a machine client is stored. A revocation writes one item into the sessions table, which has the key and the
//! attributes of the index `ended` alone. So the revocation feed names its `sid` as that of a user's session.

use crate::DynamoDb;
use crate::attempts::KEPT;
use crate::error::failure;
use crate::item::{self, ATTEMPT, ENDED_AT, ENDED_BUCKET, EXPIRES_AT, Item, KEY, SESSION, USER};
use crate::store::{Conditional, KEPT_AFTER_END, conditional, names, values};
use daypass_core::client::machine::{MachineId, Registry};
use daypass_core::ports::store::{MachineStore, StoreError};
use daypass_core::token::assertion::AssertionUse;
use daypass_verifier::base::ids::{AttemptId, SessionId};
use daypass_verifier::base::time::Timestamp;

fn key(client: &MachineId, session: SessionId) -> Item {
    Item::from([
        (USER.to_owned(), item::text(client.as_str())),
        (SESSION.to_owned(), item::text(session.to_string())),
    ])
}

impl DynamoDb {
    /// Revokes all tokens of a machine client and `sid`. Safe to repeat.
    ///
    /// The time of the ending is [`Registry::MAX_AGE`] ahead, because a process that has not read the clients again still issues
    /// such tokens until then. The feed names a session from the write on, and until the last of these tokens has expired.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses. Call it again.
    pub async fn revoke_machine(
        &self,
        client: &MachineId,
        session: SessionId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ended_at = now + Registry::MAX_AGE;
        let key = key(client, session);
        let bucket = item::ended_bucket(&key);
        // Not `PutItem`: with that right, an operator could make a session.
        let write = self
            .client
            .update_item()
            .table_name(&self.tables.sessions)
            .set_key(Some(key))
            .update_expression(
                "SET #ended_bucket = :bucket, #ended_at = :ended_at, #expires_at = :removed_at",
            )
            .set_expression_attribute_names(names(&[ENDED_BUCKET, ENDED_AT, EXPIRES_AT]))
            .set_expression_attribute_values(values([
                ("bucket", item::text(bucket)),
                ("ended_at", item::precise(ended_at)),
                ("removed_at", item::seconds(ended_at + KEPT_AFTER_END)),
            ]));
        write.send().await.map(|_| ()).map_err(|error| failure("UpdateItem", &error))
    }
}

impl MachineStore for DynamoDb {
    async fn is_revoked(&self, client: &MachineId, session: SessionId) -> Result<bool, StoreError> {
        let read = self
            .client
            .get_item()
            .table_name(&self.tables.sessions)
            .set_key(Some(key(client, session)))
            .consistent_read(true)
            .send()
            .await;
        read.map(|output| output.item.is_some()).map_err(|error| failure("GetItem", &error))
    }

    /// An item that TTL has not removed yet counts until its time. If the response is lost, the SDK repeats the write, which finds its
    /// own attempt id.
    async fn use_assertion(
        &self,
        used: &AssertionUse,
        now: Timestamp,
        attempt: AttemptId,
    ) -> Result<bool, StoreError> {
        let write = self
            .client
            .update_item()
            .table_name(self.attempts_table()?)
            .set_key(Some(item::attempt_key(&used.key)))
            .update_expression("SET #attempt = :attempt, #expires_at = :expires_at")
            .condition_expression("attribute_not_exists(#key) OR #expires_at <= :now OR #attempt = :attempt")
            .set_expression_attribute_names(names(&[KEY, ATTEMPT, EXPIRES_AT]))
            .set_expression_attribute_values(values([
                ("attempt", item::binary(attempt.as_bytes())),
                ("expires_at", item::seconds(used.expires_at + KEPT)),
                ("now", item::precise(now)),
            ]));
        Ok(matches!(conditional(write).await?, Conditional::Done(_)))
    }
}
