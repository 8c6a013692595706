//! Ended sessions in an embedded DynamoDB.
//!
//! Uses DynamoDB's JSON, because only `daypass-dynamodb` names the SDK.

use crate::token::ISSUER;
use anyhow::{Context, Result, ensure};
use daypass_core::config::Tables;
use daypass_dynamodb::{DynamoDb, LOCAL_ACCESS_KEY_ID, LOCAL_REGION, LOCAL_SECRET_ACCESS_KEY, TableNames};
use daypass_runtime::SystemClock;
use daypass_testkit::embedded::Embedded;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::Clock;
use daypass_verifier::revocation::{Answer, PAGE, SessionDigest};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Limit of items per `BatchWriteItem`.
const BATCH: usize = 25;
const SESSIONS: &str = "sessions";

/// A table with sessions that ended within the last minutes.
pub(crate) struct Ended {
    database: Embedded,
    runtime: Runtime,
    client: reqwest::Client,
}

impl Ended {
    /// Starts with `count` sessions, spread evenly over the last four minutes.
    pub(crate) fn start(count: usize) -> Result<Self> {
        let database = Embedded::start(None)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let ended = Self { database, runtime, client };
        let tables = Tables {
            users: "users".to_owned(),
            sessions: SESSIONS.to_owned(),
            attempts: "attempts".to_owned(),
        };
        let store = DynamoDb::local(&ended.database.url(), TableNames::from(&tables));
        ended.runtime.block_on(store.create_tables())?;
        let numbers: Vec<usize> = (0..count).collect();
        for batch in numbers.chunks(BATCH) {
            let puts: Vec<Value> = batch
                .iter()
                .map(|number| json!({ "PutRequest": { "Item": item(*number, count) } }))
                .collect();
            let answer = ended.call("BatchWriteItem", &json!({ "RequestItems": { SESSIONS: puts } }))?;
            ensure!(
                answer
                    .get("UnprocessedItems")
                    .and_then(Value::as_object)
                    .is_none_or(serde_json::Map::is_empty),
                "not all were written"
            );
        }
        Ok(ended)
    }

    /// Read units of one query of all buckets of the index, from this time on.
    pub(crate) fn read_units(&self, since: u64) -> Result<f64> {
        let mut units = 0.0;
        for bucket in "0123456789abcdef".chars() {
            let mut start = Value::Null;
            loop {
                let mut query = json!({
                    "TableName": SESSIONS,
                    "IndexName": "ended",
                    "KeyConditionExpression": "ended_bucket = :bucket AND ended_at >= :since",
                    "ExpressionAttributeValues": {
                        ":bucket": { "S": bucket.to_string() },
                        ":since": { "N": since.to_string() },
                    },
                    "ReturnConsumedCapacity": "TOTAL",
                });
                if let (Some(query), false) = (query.as_object_mut(), start.is_null()) {
                    query.insert("ExclusiveStartKey".to_owned(), start);
                }
                let answer = self.call("Query", &query)?;
                let capacity = answer.pointer("/ConsumedCapacity/CapacityUnits");
                units += capacity.and_then(Value::as_f64).context("the answer names no capacity")?;
                start = answer.get("LastEvaluatedKey").cloned().unwrap_or_default();
                if start.is_null() {
                    break;
                }
            }
        }
        Ok(units)
    }

    /// Variables with which a function finds it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("AWS_ENDPOINT_URL_DYNAMODB", self.database.url().into()),
            ("AWS_REGION", LOCAL_REGION.into()),
            ("AWS_ACCESS_KEY_ID", LOCAL_ACCESS_KEY_ID.into()),
            ("AWS_SECRET_ACCESS_KEY", LOCAL_SECRET_ACCESS_KEY.into()),
            ("DAYPASS_ISSUER", ISSUER.into()),
            ("DAYPASS_SESSIONS_TABLE", SESSIONS.into()),
        ]
    }

    fn call(&self, operation: &str, request: &Value) -> Result<Value> {
        let scope = format!("{LOCAL_ACCESS_KEY_ID}/20260101/{LOCAL_REGION}/dynamodb/aws4_request");
        let asking = self
            .client
            .post(self.database.url())
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("x-amz-date", "20260101T000000Z")
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=0"),
            )
            .body(request.to_string());
        self.runtime.block_on(async {
            let answer = asking.send().await?;
            let status = answer.status();
            let text = answer.text().await?;
            ensure!(status.is_success(), "{operation}: {status} {text}");
            Ok(serde_json::from_str(&text)?)
        })
    }
}

/// Size of responses with this number of entries, plain and compressed, in bytes.
pub(crate) fn bytes(count: usize) -> Result<(usize, usize)> {
    let issuer = Issuer::parse(ISSUER).map_err(|error| anyhow::anyhow!("{error}"))?;
    let sessions: Vec<SessionDigest> = (0..count).map(|number| SessionDigest::of(&session(number))).collect();
    let (mut plain, mut compressed) = (0, 0);
    // An empty response counts too.
    let pages: Vec<&[SessionDigest]> = if count == 0 { vec![&[]] } else { sessions.chunks(PAGE).collect() };
    for page in pages {
        let keep = Duration::from_secs(390);
        let answer =
            Answer { cursor: "1.1800000000000".to_owned(), more: false, keep, sessions: page.to_vec() };
        let body = answer.to_json(&issuer);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&body)?;
        plain += body.len();
        compressed += encoder.finish()?.len();
    }
    Ok((plain, compressed))
}

fn session(number: usize) -> String {
    // The last digit is the bucket, so all buckets are equal.
    format!("ses_{number:032x}")
}

fn item(number: usize, count: usize) -> Value {
    let session = session(number);
    let now = SystemClock.now().millis();
    let ago = 240_000 * u64::try_from(number).unwrap_or_default() / u64::try_from(count).unwrap_or(1).max(1);
    let text = |text: &str| json!({ "S": text });
    let time = |millis: u64| json!({ "N": format!("{}.{:03}", millis / 1000, millis % 1000) });
    json!({
        "user": text(&format!("usr_{:032x}", number / 4)),
        "ended_bucket": text(session.get(35..).unwrap_or("0")),
        "session": text(&session),
        "ended_at": time(now - ago),
        "revoked_at": time(now - ago),
        "revoked_why": text("revoked"),
        "client": text("web"),
        "generation": { "N": "7" },
        "created_at": time(now - 3_600_000),
        "expires_at": { "N": (now / 1000 + 86_400).to_string() },
        "absolute_end": { "N": (now / 1000 + 86_400).to_string() },
    })
}
