//! Lambda's event source mapping of a DynamoDB stream: it invokes a function with the records of a stream, in order, in
//! batches, and again after a failure.
//!
//! The response of the function can name the first record that failed (`ReportBatchItemFailures`). If the function fails
//! at its first record, the batch is split (`BisectBatchOnFunctionError`).
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>

#![expect(clippy::indexing_slicing, reason = "the members of a JSON value, which do not panic")]

use crate::stream::{Start, Stream, sequence_number};
use reqwest::Client;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Time limit of an invocation: longer than that of every function, and of its first build by `cargo lambda watch`.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// Longest pause before a retry.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Settings of a mapping, as in `AWS::Lambda::EventSourceMapping`.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// URL of the DynamoDB.
    pub dynamodb_url: String,
    /// Access key id of the table's owner.
    pub access_key_id: String,
    /// Name of the table.
    pub table: String,
    /// The first record.
    pub start: Start,
    /// `eventName`s of the records that the function gets; all others are left out.
    pub event_names: &'static [&'static str],
    /// Most records of a batch.
    pub batch: usize,
    /// Retries of a batch whose invocation failed. Then its records are discarded.
    pub retries: u32,
    /// Pause between two polls, and before the first retry of a batch.
    pub pause: Duration,
}

impl Mapping {
    /// The mapping of new items: ten records a batch, two retries, four polls a second from the first record.
    #[must_use]
    pub fn of_new_items(dynamodb_url: &str, access_key_id: &str, table: &str) -> Self {
        Self {
            dynamodb_url: dynamodb_url.to_owned(),
            access_key_id: access_key_id.to_owned(),
            table: table.to_owned(),
            start: Start::TrimHorizon,
            event_names: &["INSERT"],
            batch: 10,
            retries: 2,
            pause: Duration::from_millis(250),
        }
    }
}

/// Why an invocation has no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvokeError {
    /// The function failed, with its message.
    Failed(String),
    /// The batch did not reach the function, such as after a throttle. It is no retry.
    NotReached(String),
}

/// A running mapping on its own thread. Drop stops it.
#[derive(Debug)]
pub struct EventSource {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EventSource {
    /// Starts a mapping to a function behind the Invoke API at `invoke_url`. It reads from its first record on at once, also
    /// while the function does not answer yet. `on_line` receives a line for each problem and each discarded record.
    ///
    /// # Errors
    /// The table has no stream, or the system has no thread.
    pub fn start(
        mapping: Mapping,
        invoke_url: &str,
        function: &str,
        on_line: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Self> {
        let url = format!("{invoke_url}/2015-03-31/functions/{function}/invocations");
        let client = Client::builder().no_proxy().timeout(TIME_LIMIT).build().map_err(io::Error::other)?;
        Self::start_with(mapping, async move |event| invoke(&client, &url, event).await, on_line)
    }

    /// As [`EventSource::start`], with any function.
    ///
    /// # Errors
    /// Those of [`EventSource::start`].
    pub fn start_with<F>(
        mapping: Mapping,
        function: F,
        on_line: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Self>
    where
        F: AsyncFn(Value) -> Result<Value, InvokeError> + Send + 'static,
    {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let (opened, opening) = std::sync::mpsc::channel();
        let run = move || {
            runtime.block_on(async {
                let Mapping { dynamodb_url, access_key_id, table, start, .. } = &mapping;
                let stream = Stream::open(dynamodb_url, access_key_id, table, *start).await;
                let stream = match stream {
                    Ok(stream) => stream,
                    Err(error) => return drop(opened.send(Err(error))),
                };
                let _ = opened.send(Ok(()));
                tokio::select! {
                    () = run(&mapping, stream, &function, &on_line) => {}
                    // Also completes when the sender is dropped.
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("event-source".to_owned()).spawn(run)?;
        opening.recv().map_err(io::Error::other)??;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for EventSource {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Delivers the records of a stream until the future is dropped.
async fn run(
    mapping: &Mapping,
    mut stream: Stream,
    function: &impl AsyncFn(Value) -> Result<Value, InvokeError>,
    on_line: &impl Fn(&str),
) {
    let arn = stream.arn().to_owned();
    loop {
        let mut records = match stream.next(mapping.batch).await {
            Ok(records) => records,
            Err(error) => {
                on_line(&format!("ERROR {error}"));
                Vec::new()
            }
        };
        let empty = records.is_empty();
        records.retain(|record| mapping.event_names.iter().any(|name| record["eventName"] == *name));
        for record in &mut records {
            record["eventSourceARN"] = json!(arn);
        }
        for record in deliver(mapping, records, function, on_line).await {
            let (table, number) = (&mapping.table, sequence_number(&record));
            on_line(&format!(
                "ERROR discarded: record {number} of {table}, after {} retries",
                mapping.retries
            ));
        }
        if empty {
            tokio::time::sleep(mapping.pause).await;
        }
    }
}

/// Invokes the function until it has processed each record or failed too often. Returns the discarded records.
async fn deliver(
    mapping: &Mapping,
    records: Vec<Value>,
    function: &impl AsyncFn(Value) -> Result<Value, InvokeError>,
    on_line: &impl Fn(&str),
) -> Vec<Value> {
    let mut discarded = Vec::new();
    // Batches with the number of their failures.
    let mut batches = VecDeque::from([(records, 0)]);
    let mut pause = mapping.pause;
    while let Some((mut batch, failures)) = batches.pop_front() {
        if batch.is_empty() {
            continue;
        }
        let failed = match function(json!({ "Records": batch })).await {
            Ok(response) => first_failure(&batch, &response),
            Err(InvokeError::Failed(message)) => {
                on_line(&format!("ERROR the function failed: {message}"));
                Some(0)
            }
            Err(InvokeError::NotReached(message)) => {
                on_line(&format!("ERROR the function was not reached: {message}"));
                batches.push_front((batch, failures));
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
                continue;
            }
        };
        let Some(failed) = failed else {
            pause = mapping.pause;
            continue;
        };
        let rest = batch.split_off(failed);
        if failures == mapping.retries {
            discarded.extend(rest);
            continue;
        }
        if failed == 0 {
            let mut first = rest;
            let second = first.split_off(first.len().div_ceil(2));
            batches.push_front((second, failures + 1));
            batches.push_front((first, failures + 1));
        } else {
            batches.push_front((rest, failures + 1));
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
    discarded
}

/// Index of the first record that failed according to the response; `None` if none did. A response that names another
/// record, or is not of the documented form, means that the whole batch failed.
fn first_failure(batch: &[Value], response: &Value) -> Option<usize> {
    let failures = match response.get("batchItemFailures") {
        None | Some(Value::Null) => return None,
        Some(Value::Array(failures)) => failures,
        Some(_) => return Some(0),
    };
    let index = |failure: &Value| {
        let number = failure["itemIdentifier"].as_str().filter(|number| !number.is_empty())?;
        batch.iter().position(|record| sequence_number(record) == number)
    };
    failures.iter().map(|failure| index(failure).unwrap_or(0)).min()
}

async fn invoke(client: &Client, url: &str, event: Value) -> Result<Value, InvokeError> {
    let not_reached = |error: &dyn fmt::Display| InvokeError::NotReached(error.to_string());
    let response = client.post(url).json(&event).send().await;
    let response = response.map_err(|error| not_reached(&error.without_url()))?;
    let (status, marked) = (response.status(), response.headers().contains_key("x-amz-function-error"));
    let answer = response.bytes().await.map_err(|error| not_reached(&error.without_url()))?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    if status.is_success() && !marked {
        return Ok(answer);
    }
    // `cargo lambda watch` marks an error of the function with status 500 and no header.
    match answer["errorMessage"].as_str() {
        Some(message) => Err(InvokeError::Failed(message.to_owned())),
        None if marked => Err(InvokeError::Failed("without a message".to_owned())),
        None => Err(not_reached(&format!("the Invoke API responded with {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::Embedded;
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Arc, Mutex};

    const SOON: Duration = Duration::from_secs(20);

    fn mapping() -> Mapping {
        Mapping { pause: Duration::from_millis(1), ..Mapping::of_new_items("", "local", "outbox") }
    }

    fn record(number: u32) -> Value {
        json!({ "eventName": "INSERT", "dynamodb": { "SequenceNumber": number.to_string() } })
    }

    fn numbers(event: &Value) -> Vec<u32> {
        let records = event["Records"].as_array().unwrap();
        records.iter().map(|record| sequence_number(record).parse().unwrap()).collect()
    }

    fn failures(failed: &[&str]) -> Value {
        let failed: Vec<_> = failed.iter().map(|number| json!({ "itemIdentifier": number })).collect();
        json!({ "batchItemFailures": failed })
    }

    /// Delivers the records 1 to `count` to a function that gives these outcomes, and then succeeds. Returns the batches and
    /// the discarded records.
    async fn played(count: u32, outcomes: Vec<Result<Value, InvokeError>>) -> (Vec<Vec<u32>>, Vec<u32>) {
        let outcomes = Mutex::new(VecDeque::from(outcomes));
        let batches = Mutex::new(Vec::new());
        let function = async |event: Value| {
            batches.lock().unwrap().push(numbers(&event));
            outcomes.lock().unwrap().pop_front().unwrap_or(Ok(Value::Null))
        };
        let discarded =
            deliver(&mapping(), (1..=count).map(record).collect(), &function, &|_: &str| {}).await;
        assert!(outcomes.lock().unwrap().is_empty(), "all outcomes were played");
        (batches.into_inner().unwrap(), numbers(&json!({ "Records": discarded })))
    }

    fn failed() -> Result<Value, InvokeError> {
        Err(InvokeError::Failed("on demand".to_owned()))
    }

    #[tokio::test]
    async fn a_batch_is_delivered_once_after_a_success() {
        for success in [Value::Null, json!({}), json!({ "batchItemFailures": null }), failures(&[])] {
            assert_eq!(played(3, vec![Ok(success)]).await, (vec![vec![1, 2, 3]], vec![]));
        }
    }

    #[tokio::test]
    async fn records_are_repeated_from_the_first_that_failed() {
        let (batches, discarded) = played(4, vec![Ok(failures(&["4", "2"]))]).await;
        assert_eq!((batches, discarded), (vec![vec![1, 2, 3, 4], vec![2, 3, 4]], vec![]));
    }

    #[tokio::test]
    async fn a_batch_that_fails_as_a_whole_is_split() {
        let halves = vec![vec![1, 2, 3], vec![1, 2], vec![3]];
        let strange = [failures(&[""]), failures(&["9"]), json!({ "batchItemFailures": "all" })];
        let strange = strange.into_iter().chain([json!({ "batchItemFailures": [{ "wrong": "1" }] })]).map(Ok);
        for outcome in strange.chain([failed(), Ok(failures(&["1"]))]) {
            assert_eq!(played(3, vec![outcome]).await, (halves.clone(), vec![]));
        }
    }

    #[tokio::test]
    async fn a_record_that_always_fails_is_discarded_alone() {
        let poison = async |event: Value| {
            let numbers = numbers(&event);
            Ok(failures(if numbers.contains(&3) { &["3"] } else { &[] }))
        };
        let records = (1..=4).map(record).collect();
        let discarded = deliver(&mapping(), records, &poison, &|_: &str| {}).await;
        assert_eq!(numbers(&json!({ "Records": discarded })), [3]);
        let (batches, discarded) = played(1, vec![failed(), failed(), failed()]).await;
        assert_eq!((batches.len(), discarded), (3, vec![1]));
    }

    #[tokio::test]
    async fn a_batch_that_did_not_reach_the_function_is_not_a_retry() {
        let throttled = || Err(InvokeError::NotReached("429".to_owned()));
        let outcomes = vec![throttled(), throttled(), throttled(), throttled(), failed(), failed()];
        let (batches, discarded) = played(1, outcomes).await;
        assert_eq!((batches.len(), discarded), (7, vec![]));
    }

    /// A table with a stream, and what a function gets of it.
    struct Table {
        dynamodb: Embedded,
        client: Client,
    }

    impl Table {
        async fn create(dynamodb: Embedded) -> Self {
            let table = Self { dynamodb, client: Client::builder().no_proxy().build().unwrap() };
            let schema = json!({
                "TableName": "outbox", "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
                "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
                "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_IMAGE" },
            });
            table.call("CreateTable", schema).await;
            table
        }

        async fn call(&self, operation: &str, request: Value) {
            let request = self
                .client
                .post(self.dynamodb.url())
                .header("authorization", "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
                .header("content-type", "application/x-amz-json-1.0")
                .header("x-amz-date", "20260101T000000Z")
                .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
                .body(request.to_string());
            let response = request.send().await.unwrap();
            assert!(response.status().is_success(), "{operation}: {}", response.text().await.unwrap());
        }

        async fn put(&self, id: &str, state: &str) {
            let item = json!({ "id": { "S": id }, "state": { "S": state } });
            self.call("PutItem", json!({ "TableName": "outbox", "Item": item })).await;
        }

        /// Starts a mapping to a function that first gives these outcomes. Returns the ids of each batch.
        fn follow(
            &self,
            start: Start,
            outcomes: Vec<Result<Value, InvokeError>>,
        ) -> (EventSource, Receiver<Vec<String>>) {
            let (send, receive) = channel();
            let outcomes = Arc::new(Mutex::new(VecDeque::from(outcomes)));
            let function = async move |event: Value| {
                let id =
                    |record: &Value| record["dynamodb"]["NewImage"]["id"]["S"].as_str().unwrap().to_owned();
                let records = event["Records"].as_array().unwrap();
                assert!(
                    records
                        .iter()
                        .all(|record| record["eventSourceARN"].as_str().unwrap().contains("outbox"))
                );
                send.send(records.iter().map(id).collect()).unwrap();
                outcomes.lock().unwrap().pop_front().unwrap_or(Ok(Value::Null))
            };
            let mapping = Mapping { dynamodb_url: self.dynamodb.url(), start, ..mapping() };
            (EventSource::start_with(mapping, function, |_: &str| {}).unwrap(), receive)
        }
    }

    fn ids(receive: &Receiver<Vec<String>>, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.extend(receive.recv_timeout(SOON).unwrap());
        }
        ids
    }

    #[tokio::test]
    async fn new_items_of_a_table_reach_the_function_in_order() {
        let table = Table::create(Embedded::start(None).unwrap()).await;
        table.put("a", "new").await;
        let (_all, all) = table.follow(Start::TrimHorizon, vec![failed()]);
        let (_later, later) = table.follow(Start::Latest, Vec::new());
        for id in ["b", "c"] {
            table.put(id, "new").await;
        }
        // A change of an item and its removal are not new items.
        table.put("a", "sent").await;
        table.call("DeleteItem", json!({ "TableName": "outbox", "Key": { "id": { "S": "a" } } })).await;
        table.put("d", "new").await;
        assert_eq!(ids(&later, 3), ["b", "c", "d"]);
        // The first invocation failed.
        assert_eq!(ids(&all, 1)[0], "a");
        assert_eq!(ids(&all, 4)[..4], ["a", "b", "c", "d"]);
    }

    #[tokio::test]
    async fn a_table_without_a_stream_is_an_error() {
        let dynamodb = Embedded::start(None).unwrap();
        let mapping = Mapping { dynamodb_url: dynamodb.url(), ..mapping() };
        let error = EventSource::start(mapping, "http://127.0.0.1:1", "mailer", |_: &str| {}).unwrap_err();
        assert!(error.to_string().contains("outbox has no stream"), "{error}");
    }
}
