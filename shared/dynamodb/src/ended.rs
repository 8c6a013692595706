//! The index of ended sessions, as the revocation feed reads it.

use crate::DynamoDb;
use crate::connect::WINDOW_TIMEOUT;
use crate::error::failure;
use crate::item::{self, ENDED_AT, ENDED_BUCKET, ENDED_BUCKETS, SESSION};
use crate::schema::ENDED_INDEX;
use crate::store::{names, values};
use daypass_core::ports::store::{EndedSession, EndedSessions, StoreError};
use daypass_verifier::base::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};

/// Buckets that are read in parallel. Each needs a connection at a cold start, and TLS handshakes take time.
const READ_CONCURRENCY: usize = 8;

/// Entries of one page. With a megabyte per page, DynamoDB Local can exceed the time limit of a request.
const PAGE: i32 = 1000;

impl DynamoDb {
    /// All entries of one bucket since a time, from all pages.
    async fn bucket(
        &self,
        bucket: &'static str,
        since: Timestamp,
        most: usize,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let mut ended = Vec::new();
        let mut pages = self
            .client
            .query()
            .table_name(&self.tables.sessions)
            .index_name(ENDED_INDEX.name)
            .limit(PAGE)
            .key_condition_expression("#ended_bucket = :bucket AND #ended_at >= :since")
            .projection_expression("#session, #ended_at")
            .set_expression_attribute_names(names(&[ENDED_BUCKET, ENDED_AT, SESSION]))
            .set_expression_attribute_values(values([
                ("bucket", item::text(bucket)),
                ("since", item::precise(since)),
            ]))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            for item in page.map_err(|error| failure("Query", &error))?.items() {
                ended.push(item::to_ended(item)?);
            }
            if ended.len() > most {
                break;
            }
        }
        Ok(ended)
    }
}

impl EndedSessions for DynamoDb {
    async fn ended_since(&self, since: Timestamp, most: usize) -> Result<Vec<EndedSession>, StoreError> {
        let buckets: Vec<_> = ENDED_BUCKETS.iter().map(|bucket| self.bucket(bucket, since, most)).collect();
        let reading = stream::iter(buckets).buffer_unordered(READ_CONCURRENCY).try_fold(
            Vec::new(),
            |mut all, bucket| async move {
                all.extend(bucket);
                if all.len() > most {
                    let text = format!("ended_since: more than {most} sessions ended");
                    return Err(StoreError::Unavailable(text));
                }
                Ok(all)
            },
        );
        self.within(WINDOW_TIMEOUT, "ended_since: not all buckets could be read in time", reading).await
    }
}
