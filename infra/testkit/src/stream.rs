//! A reader of the stream of a local DynamoDB: the embedded one, or DynamoDB Local.
//!
//! It follows one shard after the other, because a local table has one open shard.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>

#![expect(clippy::indexing_slicing, reason = "the members of a JSON value, which do not panic")]

use reqwest::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io;

/// The first record to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The oldest record that the stream has.
    TrimHorizon,
    /// The first record after this moment.
    Latest,
}

/// A position in the stream of a table.
#[derive(Debug)]
pub struct Stream {
    client: Client,
    url: String,
    access_key_id: String,
    arn: String,
    shard: Option<Shard>,
    /// Shards that were read to their end, or begin before [`Start::Latest`].
    done: BTreeSet<String>,
}

/// A position in a shard.
#[derive(Debug)]
struct Shard {
    id: String,
    /// Place of the next records; `None` after an error.
    iterator: Option<String>,
    /// Sequence number of the last record.
    last: Option<String>,
}

impl Stream {
    /// Opens the stream of `table` of the DynamoDB at `url`. DynamoDB Local has separate tables for each `access_key_id`.
    ///
    /// # Errors
    /// The DynamoDB does not answer, or the table has no stream.
    pub async fn open(url: &str, access_key_id: &str, table: &str, start: Start) -> io::Result<Self> {
        let client = Client::builder().no_proxy().build().map_err(io::Error::other)?;
        let (url, access_key_id) = (url.to_owned(), access_key_id.to_owned());
        let mut stream =
            Self { client, url, access_key_id, arn: String::new(), shard: None, done: BTreeSet::new() };
        let list = stream.call("ListStreams", json!({ "TableName": table })).await?;
        let newest = list["Streams"].as_array().and_then(|streams| streams.last());
        let arn = newest.and_then(|stream| stream["StreamArn"].as_str());
        stream.arn =
            arn.ok_or_else(|| io::Error::other(format!("the table {table} has no stream")))?.to_owned();
        if start == Start::Latest {
            let mut shards = stream.shards().await?;
            if let Some(id) = shards.pop() {
                stream.done.extend(shards);
                let iterator = stream.iterator(&id, json!({ "ShardIteratorType": "LATEST" })).await?;
                stream.shard = Some(Shard { id, iterator: Some(iterator), last: None });
            }
        }
        Ok(stream)
    }

    /// ARN of the stream.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The next records, `limit` at most, and none if there are none for now. After an error, the next call reads the
    /// same records.
    ///
    /// # Errors
    /// The DynamoDB does not answer, or its answer is not one of DynamoDB Streams.
    pub async fn next(&mut self, limit: usize) -> io::Result<Vec<Value>> {
        let Some(mut shard) = self.next_shard().await? else { return Ok(Vec::new()) };
        let iterator = match shard.iterator.take() {
            Some(iterator) => Ok(iterator),
            None => {
                let place = shard.last.as_ref().map_or_else(
                    || json!({ "ShardIteratorType": "TRIM_HORIZON" }),
                    |last| json!({ "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": last }),
                );
                self.iterator(&shard.id, place).await
            }
        };
        let answer = match iterator {
            Ok(iterator) => {
                self.call("GetRecords", json!({ "ShardIterator": iterator, "Limit": limit })).await
            }
            Err(error) => Err(error),
        };
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.shard = Some(shard);
                return Err(error);
            }
        };
        let records = match answer["Records"].take() {
            Value::Array(records) => records,
            _ => Vec::new(),
        };
        if let Some(last) = records.last() {
            shard.last = Some(sequence_number(last).to_owned());
        }
        match answer["NextShardIterator"].as_str() {
            Some(next) => self.shard = Some(Shard { iterator: Some(next.to_owned()), ..shard }),
            None => drop(self.done.insert(shard.id)),
        }
        Ok(records)
    }

    async fn next_shard(&mut self) -> io::Result<Option<Shard>> {
        if let Some(shard) = self.shard.take() {
            return Ok(Some(shard));
        }
        let id = self.shards().await?.into_iter().find(|id| !self.done.contains(id));
        Ok(id.map(|id| Shard { id, iterator: None, last: None }))
    }

    /// Ids of the shards, the oldest first.
    async fn shards(&self) -> io::Result<Vec<String>> {
        let stream = self.call("DescribeStream", json!({ "StreamArn": self.arn })).await?;
        let shards = stream["StreamDescription"]["Shards"].as_array().cloned().unwrap_or_default();
        Ok(shards.iter().filter_map(|shard| shard["ShardId"].as_str().map(str::to_owned)).collect())
    }

    async fn iterator(&self, shard: &str, mut place: Value) -> io::Result<String> {
        place["StreamArn"] = json!(self.arn);
        place["ShardId"] = json!(shard);
        let answer = self.call("GetShardIterator", place).await?;
        let iterator = answer["ShardIterator"].as_str();
        iterator.map(str::to_owned).ok_or_else(|| io::Error::other(format!("no shard iterator in {answer}")))
    }

    async fn call(&self, operation: &str, request: Value) -> io::Result<Value> {
        let key = &self.access_key_id;
        // Local DynamoDBs check the form of a signature, and not the signature.
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
        );
        let request = self
            .client
            .post(&self.url)
            .header("authorization", authorization)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-date", "20260101T000000Z")
            .header("x-amz-target", format!("DynamoDBStreams_20120810.{operation}"))
            .body(request.to_string());
        let response = request.send().await.map_err(io::Error::other)?;
        let (status, body) = (response.status(), response.text().await.map_err(io::Error::other)?);
        match serde_json::from_str(&body) {
            Ok(answer) if status.is_success() => Ok(answer),
            _ => Err(io::Error::other(format!("{operation} of DynamoDB Streams: {status} {body}"))),
        }
    }
}

/// Sequence number of a record; empty without one.
#[must_use]
pub fn sequence_number(record: &Value) -> &str {
    record.pointer("/dynamodb/SequenceNumber").and_then(Value::as_str).unwrap_or_default()
}
