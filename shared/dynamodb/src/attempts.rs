//! [`AttemptStore`] on DynamoDB: counters with slots.
//!
//! A counter is one item. Each slot is an attribute with the time until which the slot is busy. An attempt takes a slot by an
//! update with the condition that the slot is free. DynamoDB orders the writes to one item, so two attempts never get the
//! same slot. The first update tries a random slot. If it is busy, the failed condition returns the item, and the next update
//! tries a free slot. It fails again only if another attempt has taken this slot in between.
//!
//! docs/adr/0003-slots-instead-of-attempt-counts.md compares alternatives.

use crate::DynamoDb;
use crate::error::failure;
use crate::item::{self, ATTEMPT, EXPIRES_AT, Item};
use crate::store::{Conditional, conditional, names, values};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use daypass_core::ports::store::{AttemptStore, Begun, StoreError, User};
use daypass_core::throttle::{Attempt, Counter, Ticket};
use daypass_verifier::base::ids::{AttemptId, Username};
use daypass_verifier::base::time::Timestamp;
use futures_util::future::try_join_all;
use std::time::Duration;

/// Updates of one counter per attempt. Each update after the first tries a slot that was free in the last response. Losing it
/// this often needs hundreds of attempts at the same moment.
const MAX_TRIES: u32 = 8;

/// `Retry-After` of an attempt that lost all its updates.
const CROWDED: Duration = Duration::from_secs(1);

/// Time between the moment at which an item is no longer needed and its TTL. It covers clock differences, so that TTL never frees a
/// busy slot, and removes no challenge or assertion that is still accepted.
pub(crate) const KEPT: Duration = Duration::from_secs(60);

impl DynamoDb {
    /// Reads a user. Strongly consistent, so that a password that has just changed counts.
    pub(crate) async fn read_user(&self, username: &Username) -> Result<Option<User>, StoreError> {
        self.read_user_item(username).await?.as_ref().map(item::to_user).transpose()
    }

    async fn read_user_item(&self, username: &Username) -> Result<Option<Item>, StoreError> {
        self.users_item(item::user_key(username)).await
    }

    /// Reads an item of the users table; strongly consistent.
    pub(crate) async fn users_item(&self, key: Item) -> Result<Option<Item>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(self.users_table()?)
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failure("GetItem", &error))?;
        Ok(output.item)
    }

    /// The update that takes a slot. If its response is lost, the SDK repeats it. The repeat finds its own attempt id in the
    /// item and takes no second slot, unless another attempt has written to the item in between.
    fn taking(
        &self,
        ticket: &Ticket,
        now: Timestamp,
        attempt: AttemptId,
    ) -> Result<UpdateItemFluentBuilder, StoreError> {
        Ok(self
            .client
            .update_item()
            .table_name(self.attempts_table()?)
            .set_key(Some(item::attempt_key(&ticket.key)))
            .update_expression("SET #slot = :until, #expires_at = :expires_at, #attempt = :attempt")
            .condition_expression(
                "(attribute_not_exists(#slot) OR #slot <= :now) \
                 AND (attribute_not_exists(#attempt) OR #attempt <> :attempt)",
            )
            .set_expression_attribute_names(names(&[EXPIRES_AT, ATTEMPT]))
            .expression_attribute_names("#slot", item::slot_name(ticket.slot))
            .set_expression_attribute_values(values([
                ("now", item::millis(now)),
                ("until", item::millis(ticket.until)),
                ("expires_at", item::seconds(ticket.until + KEPT)),
                ("attempt", item::binary(attempt.as_bytes())),
            ])))
    }

    async fn take(&self, counter: &Counter, attempt: AttemptId) -> Result<Attempt, StoreError> {
        let Counter { key, limit, now } = counter;
        let ticket = |slot| Ticket { key: key.clone(), slot, until: *now + limit.window };
        let mut free: Vec<u32> = (0..limit.attempts).collect();
        for round in 0..MAX_TRIES {
            let Some(slot) = pick(&free, attempt, round) else { break };
            let ticket = ticket(slot);
            let item = match conditional(self.taking(&ticket, *now, attempt)?).await? {
                Conditional::Done(_) => return Ok(Attempt::Counted(ticket)),
                Conditional::Refused(item) => item.unwrap_or_default(),
            };
            if item::is_attempt(&item, attempt) {
                return Ok(Attempt::Counted(ticket));
            }
            let busy = (0..limit.attempts).map(|slot| Ok((slot, item::busy_until(&item, slot)?)));
            let busy = busy.collect::<Result<Vec<(u32, Timestamp)>, StoreError>>()?;
            free = busy.iter().filter(|(_, until)| until <= now).map(|(slot, _)| *slot).collect();
            if free.is_empty() {
                let first = busy.iter().map(|(_, until)| *until).min();
                return Ok(Attempt::Exhausted(first.unwrap_or(*now + CROWDED)));
            }
        }
        Ok(Attempt::Exhausted(*now + CROWDED))
    }

    async fn free(&self, ticket: &Ticket) -> Result<(), StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(self.attempts_table()?)
            .set_key(Some(item::attempt_key(&ticket.key)))
            .update_expression("REMOVE #slot")
            .condition_expression("#slot = :until")
            .expression_attribute_names("#slot", item::slot_name(ticket.slot))
            .set_expression_attribute_values(values([("until", item::millis(ticket.until))]));
        conditional(request).await.map(drop)
    }

    async fn forget(&self, key: Option<&str>) -> Result<(), StoreError> {
        let Some(key) = key else { return Ok(()) };
        self.client
            .delete_item()
            .table_name(self.attempts_table()?)
            .set_key(Some(item::attempt_key(key)))
            .send()
            .await
            .map_err(|error| failure("DeleteItem", &error))?;
        Ok(())
    }
}

/// A free slot, selected by random bits of the attempt id.
fn pick(free: &[u32], attempt: AttemptId, round: u32) -> Option<u32> {
    let bits = attempt.as_bytes().first_chunk().map_or(0, |bits| u64::from_be_bytes(*bits));
    let at = bits.rotate_left(round * 11).checked_rem(free.len() as u64)?;
    free.get(usize::try_from(at).ok()?).copied()
}

impl AttemptStore for DynamoDb {
    async fn begin(
        &self,
        username: &Username,
        counter: &Counter,
        attempt: AttemptId,
    ) -> Result<Begun, StoreError> {
        let (item, attempt) = tokio::join!(self.read_user_item(username), self.take(counter, attempt));
        let (item, attempt) = (item?, attempt?);
        let Some(item) = item else {
            return Ok(Begun { user: None, known: Vec::new(), changed_by: None, attempt });
        };
        Ok(Begun {
            user: Some(item::to_user(&item)?),
            known: item::to_known(&item)?,
            changed_by: item::to_changed_by(&item)?,
            attempt,
        })
    }

    async fn count(&self, counter: &Counter, attempt: AttemptId) -> Result<Attempt, StoreError> {
        self.take(counter, attempt).await
    }

    async fn settle(&self, forget: Option<&str>, tickets: &[Ticket]) -> Result<(), StoreError> {
        let freed = try_join_all(tickets.iter().map(|ticket| self.free(ticket)));
        let (freed, forgotten) = tokio::join!(freed, self.forget(forget));
        freed?;
        forgotten
    }
}
