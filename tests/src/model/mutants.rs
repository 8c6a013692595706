//! Deliberate bugs. Each changes requests or responses between the functions and DynamoDB, as a bug in the code would. The
//! walks must find each one.
//!
//! **Left out** are bugs that no walk can distinguish from the correct program. A rotation can omit the condition on
//! `expires_at` or on `absolute_end`, because the token carries both times under its MAC and is rejected before any
//! request. An ending can delete the item, because a missing session is invalid too. `all=true` can also end expired
//! sessions.

pub mod ending;
pub mod rotation;
pub mod user;

use data_encoding::BASE64;
use daypass_testkit::recorder::Tamper;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A deliberate bug.
#[derive(Clone, Copy)]
pub struct Mutant {
    /// Name of the bug, as the log prints it.
    pub name: &'static str,
    /// Description of the bug.
    pub wrong: &'static str,
    /// Changes a request, or answers in place of DynamoDB.
    request: fn(&mut Memory, &mut Request<'_>) -> Option<Reply>,
    /// Changes a response. The returned request is sent to DynamoDB in addition.
    answer: fn(&mut Memory, &Request<'_>, &mut Reply) -> Option<(&'static str, Value)>,
}

/// HTTP status and body.
type Reply = (u16, Value);

/// A request on its way to DynamoDB.
struct Request<'a> {
    operation: &'a str,
    body: &'a mut Value,
}

/// What a bug stores of earlier requests: only facts that the code around it would have too.
#[derive(Default)]
struct Memory {
    /// User and session of every login, oldest first.
    opened: Vec<(String, String)>,
    /// The last seen generation of each session.
    met: HashMap<String, Value>,
    /// The last requested scope of each session.
    asked: HashMap<String, Vec<Value>>,
}

/// A bug in use. The recorders of both processes share it.
#[derive(Clone)]
pub struct Seeded {
    mutant: Mutant,
    memory: Arc<Mutex<Memory>>,
}

impl From<Mutant> for Seeded {
    fn from(mutant: Mutant) -> Self {
        Self { mutant, memory: Arc::default() }
    }
}

impl Tamper for Seeded {
    fn request(&self, operation: &str, request: &mut Value) -> Option<Reply> {
        let mut memory = self.memory.lock().unwrap();
        for action in request["TransactItems"].as_array().into_iter().flatten() {
            let item = &action["Put"]["Item"];
            if let (Some(user), Some(session)) = (item["user"]["S"].as_str(), item["session"]["S"].as_str()) {
                memory.opened.push((user.to_owned(), session.to_owned()));
            }
        }
        (self.mutant.request)(&mut memory, &mut Request { operation, body: request })
    }

    fn answer(&self, operation: &str, request: &Value, answer: &mut Reply) -> Option<(&'static str, Value)> {
        let mut memory = self.memory.lock().unwrap();
        let mut body = request.clone();
        (self.mutant.answer)(&mut memory, &Request { operation, body: &mut body }, answer)
    }
}

fn no_request(_: &mut Memory, _: &mut Request<'_>) -> Option<Reply> {
    None
}

fn no_answer(_: &mut Memory, _: &Request<'_>, _: &mut Reply) -> Option<(&'static str, Value)> {
    None
}

impl Request<'_> {
    fn update(&self) -> &str {
        self.body["UpdateExpression"].as_str().unwrap_or_default()
    }

    /// Whether this is the write of a refresh.
    fn is_rotation(&self) -> bool {
        self.operation == "UpdateItem" && self.update().contains("#generation = :next")
    }

    /// Whether this is the write that ends a session, for the given reason if there is one.
    fn is_ending(&self, why: Option<&str>) -> bool {
        let reason = self.body["ExpressionAttributeValues"][":why"]["S"].as_str();
        self.operation == "UpdateItem"
            && self.update().contains("#revoked_at = :")
            && (why.is_none() || why == reason)
    }

    /// Whether this is the query for the sessions to end.
    fn is_query(&self) -> bool {
        let projection = self.body["ProjectionExpression"].as_str().unwrap_or_default();
        // A login has a query for the last uses.
        self.operation == "Query" && !projection.contains("#rotated_at")
    }

    fn value(&self, name: &str) -> &Value {
        &self.body["ExpressionAttributeValues"][name]
    }

    fn session(&self) -> String {
        self.body["Key"]["session"]["S"].as_str().unwrap_or_default().to_owned()
    }

    /// Removes the parts of the condition that contain this text.
    fn without_condition(&mut self, part: &str) {
        let condition = self.body["ConditionExpression"].as_str().unwrap_or_default();
        let kept: Vec<_> = split(condition, " AND ").into_iter().filter(|c| !c.contains(part)).collect();
        self.body["ConditionExpression"] = json!(kept.join(" AND "));
        prune(self.body);
    }

    /// Removes the parts of the filter that contain this text.
    fn without_filter(&mut self, part: &str) {
        let filter = self.body["FilterExpression"].as_str().unwrap_or_default();
        let kept: Vec<_> = split(filter, " AND ").into_iter().filter(|c| !c.contains(part)).collect();
        self.body["FilterExpression"] = json!(kept.join(" AND "));
        prune(self.body);
    }

    /// Adds a part to the condition, with its name and value.
    fn with_condition(&mut self, part: &str, name: (&str, &str), value: (&str, Value)) {
        let condition = self.body["ConditionExpression"].as_str().unwrap_or_default();
        self.body["ConditionExpression"] = json!(format!("{condition} AND {part}"));
        self.body["ExpressionAttributeNames"][name.0] = json!(name.1);
        self.body["ExpressionAttributeValues"][value.0] = value.1;
    }

    /// Removes the assignment to this attribute.
    fn without_set(&mut self, attribute: &str) {
        let update = self.update().trim_start_matches("SET ").to_owned();
        let assigned = format!("{attribute} =");
        let kept: Vec<_> = split(&update, ", ").into_iter().filter(|s| !s.starts_with(&assigned)).collect();
        self.body["UpdateExpression"] = json!(format!("SET {}", kept.join(", ")));
        prune(self.body);
    }
}

/// Splits at a separator that is not within parentheses.
fn split<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= start && text[at..].starts_with(separator) => {
                parts.push(&text[start..at]);
                start = at + separator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The members of a request that are expressions.
const EXPRESSIONS: [&str; 5] = [
    "UpdateExpression",
    "ConditionExpression",
    "FilterExpression",
    "KeyConditionExpression",
    "ProjectionExpression",
];

/// Removes names and values that no expression uses, because DynamoDB rejects them.
fn prune(request: &mut Value) {
    let expressions: String =
        EXPRESSIONS.iter().filter_map(|name| request[name].as_str()).collect::<Vec<_>>().join(" ");
    let used = |name: &str| {
        let longer = |c: char| c.is_ascii_alphanumeric() || c == '_';
        expressions.match_indices(name).any(|(at, _)| !expressions[at + name.len()..].starts_with(longer))
    };
    for list in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
        if let Some(list) = request[list].as_object_mut() {
            list.retain(|name, _| used(name));
        }
    }
}

/// The item of a failed condition.
fn refused_item(reply: &mut Reply) -> Option<&mut Value> {
    let refused =
        reply.1["__type"].as_str().is_some_and(|kind| kind.ends_with("ConditionalCheckFailedException"));
    refused.then(|| &mut reply.1["Item"]).filter(|item| item.is_object())
}

/// The value of a number attribute.
fn number(value: &Value) -> Option<u64> {
    value["N"].as_str()?.parse().ok()
}

/// The value of a time attribute in milliseconds.
fn time(value: &Value) -> Option<u64> {
    let (seconds, decimals) = value["N"].as_str().map(|n| n.split_once('.').unwrap_or((n, "")))?;
    Some(seconds.parse::<u64>().ok()? * 1000 + format!("{decimals:0<3}").parse::<u64>().ok()?)
}

fn at(time: u64) -> Value {
    json!({ "N": format!("{}.{:03}", time / 1000, time % 1000) })
}

/// How many generations the token of a failed rotation was behind, and the item.
fn behind<'r>(request: &Request<'_>, reply: &'r mut Reply) -> Option<(u64, &'r mut Value)> {
    if !request.is_rotation() {
        return None;
    }
    let presented = number(request.value(":presented"))?;
    let item = refused_item(reply)?;
    let age = number(&item["generation"])?.checked_sub(presented)?;
    Some((age, item))
}

/// DynamoDB's response to a failed condition.
fn refusal(item: Option<Value>) -> Reply {
    let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
    let mut body = json!({ "__type": kind, "message": "The conditional request failed" });
    if let Some(item) = item {
        body["Item"] = item;
    }
    (400, body)
}

/// The response to a write that was not made.
fn swallowed(request: &Request<'_>, why: &str) -> Option<Reply> {
    request.is_ending(Some(why)).then(|| (200, json!({})))
}

/// The longest grace period of the walks, in milliseconds.
const GRACE: u64 = 30_000;
