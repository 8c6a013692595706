//! Comparison of the security events with `docs/reference/events.md`, which readers of the log rely on.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]

use daypass_core::http::request::Request;
use daypass_core::ports::event::{Event, Ignored, LoginFailure, PasswordRefusal, Refusal};
use daypass_core::ports::store::UserStatus;
use daypass_core::session::{DeadCause, EndReason, Repeat, ReuseCause};
use daypass_core::throttle::Exhausted;
use daypass_core::token::refresh::RefreshTokenError;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::service::{PASSWORD, Service, post};
use daypass_verifier::base::ids::{ClientId, SessionId, UserId};
use daypass_verifier::base::json;
use daypass_verifier::jose::verify::Rejection;
use daypass_verifier::ports::context::Caller;
use daypass_verifier::ports::event::{
    BadAuthorizationHeader, Denial, Event as VerifierEvent, Record, SessionDenial,
};
use daypass_verifier::routes::RouteDenial;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Values of the type of a field. The first one leaves optional parts out.
trait Sample: Sized {
    fn samples() -> Vec<Self>;
}

impl<T: Sample> Sample for Option<T> {
    fn samples() -> Vec<Self> {
        std::iter::once(None).chain(T::samples().into_iter().map(Some)).collect()
    }
}

macro_rules! sample {
    ($($type:ty => [$($value:expr),+ $(,)?]),+ $(,)?) => {$(
        impl Sample for $type {
            fn samples() -> Vec<Self> {
                vec![$($value),+]
            }
        }
    )+};
}

sample! {
    UserId => [Self::from_bytes([1; 16])],
    SessionId => [Self::from_bytes([2; 16])],
    ClientId => [Self::parse("web").unwrap()],
    u32 => [7],
    u64 => [420],
    bool => [false, true],
    String => ["text".to_owned()],
    &'static str => ["text"],
}

/// All values of an enum without fields. A missing variant does not compile.
macro_rules! sample_units {
    ($($type:ident { $($variant:ident),+ $(,)? })+) => {$(
        impl Sample for $type {
            fn samples() -> Vec<Self> {
                let _all_listed = |value: Self| match value { $(Self::$variant => {})+ };
                vec![$(Self::$variant),+]
            }
        }
    )+};
}

sample_units! {
    LoginFailure { UnknownUser, WrongPassword, Disabled, UserChanged, UnusableHash, ScopeNotGranted }
    Exhausted { AccountAndAddress, AccountAndDevice, Session, Address, Account }
    PasswordRefusal { WrongPassword, UnusableHash, NewPassword, UserChanged, NoUser }
    Repeat { OwnRetry, Grace }
    ReuseCause { AfterGrace, SuccessorUsed }
    DeadCause { Absent, Ended, Expired, OtherClient, ClientGone, ScopeNotGranted, AheadOfStore }
    EndReason {
        Revoked, RevokedAll, Reuse, PasswordChanged, UserDisabled, UserRemoved, EndedByUser, ScopeRemoved,
        SessionLimit, Operator,
    }
    RefreshTokenError { Malformed, UnknownKey, Forged, Expired }
    SessionDenial { Ended }
    BadAuthorizationHeader { Missing, UnsupportedEvent, Malformed, NotTheCacheKey }
    RouteDenial { NoRoute, ScopeMissing, AmbiguousPath }
    Rejection {
        TooLong, NotCompact, NotBase64Url, MalformedHeader, WrongType, CriticalExtension, UnsupportedContent,
        UnknownKey, WrongAlgorithm,
        BadSignature, MalformedClaims, WrongIssuer, WrongAudience, Expired, NotYetValid, LifetimeTooLong,
        MalformedIdentity, ControlCharacter,
    }
}

/// All values of an enum of enums. A missing variant does not compile.
macro_rules! sample_sums {
    ($($type:ident { $($variant:ident),+ $(,)? })+) => {$(
        impl Sample for $type {
            fn samples() -> Vec<Self> {
                let _all_listed = |value: Self| match value { $(Self::$variant(_) => {})+ };
                let mut all = Vec::new();
                $(all.extend(Sample::samples().into_iter().map(Self::$variant));)+
                all
            }
        }
    )+};
}

sample_sums! {
    Refusal { Token, Session }
    Ignored { Token, AccessToken, Session }
    Denial { AuthorizationHeader, Token, Session, Route }
}

/// Samples of every event. A missing variant or field does not compile. Each field has each of its values in some sample.
/// The first sample leaves all optional fields out.
macro_rules! sample_events {
    ($name:ident: $event:ident, $($variant:ident { $($field:ident),+ $(,)? })+) => {
        fn $name() -> Vec<$event> {
            let _all_listed = |event: &$event| match event { $($event::$variant { .. } => {})+ };
            let mut all = Vec::new();
            $({
                $(let $field = Sample::samples();)+
                let most = [$($field.len()),+].into_iter().max().unwrap_or_default();
                all.extend((0..most).map(|n| $event::$variant { $($field: pick(&$field, n)),+ }));
            })+
            all
        }
    };
}

fn pick<T: Clone>(values: &[T], n: usize) -> T {
    values.get(n).or(values.last()).unwrap().clone()
}

sample_events! {
    of_issuer: Event,
    LoginSucceeded { user, session, client }
    LoginFailed { cause, account, client, user }
    LoginThrottled { limit, account, client, user, retry_after }
    Rotated { user, session, client, generation }
    Repeated { user, session, client, generation, cause, age }
    OtherNetwork { user, session, client, generation, age }
    Reuse { user, session, client, cause, presented, current, age }
    RefreshRefused { cause, user, session, client, reason }
    SessionEnded { user, session, reason }
    SessionsEnded { user, session, count, reason }
    PasswordChanged { user, session }
    PasswordRefused { cause, user, session }
    RevokeIgnored { cause, all, user, session, reason }
    AuthorizeDenied { cause, user, session }
    KeysMade { section, kid, next }
    KeysLoaded { section, kid, age }
    KeysRotated { section, kid, next }
    KeysCut { section, kid, next }
    RequestRefused { error, description }
    Failure { during, detail }
}

sample_events! {
    of_verifier: VerifierEvent,
    AuthorizeDenied { cause, user, session }
    FeedFailing { sessions, detail }
    FeedStale { sessions, detail }
    FeedRecovered { sessions }
    Failure { during, detail }
    InitFailed { detail }
    Panic { at }
}

/// A field, as the document or the lines have it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    kind: &'static str,
    always: bool,
}

type Fields = BTreeMap<String, Field>;

/// The common form of all lines of one event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    level: String,
    fields: Fields,
    /// Values of `cause`, `reason` and `limit`.
    values: BTreeMap<String, BTreeSet<String>>,
}

/// Fields whose possible values the document lists.
const LISTED: [&str; 3] = ["cause", "reason", "limit"];

fn caller() -> Caller {
    Caller {
        request_id: "Xq3TYhH4IAMEVJw=".to_owned(),
        source_ip: "203.0.113.9".parse().ok(),
        user_agent: Some("marker-agent/1.0".to_owned()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Number(number) if number.is_u64() => "integer",
        Value::Bool(_) => "boolean",
        _ => "of no documented type",
    }
}

/// The members of a line. Duplicate members are an error, because readers would treat them differently.
fn members(line: &str) -> Map<String, Value> {
    json::object(line.as_bytes()).unwrap_or_else(|_| panic!("not one JSON object: {line}"))
}

fn line(event: &impl Record, caller: &Caller) -> Map<String, Value> {
    let line = String::from_utf8(daypass_runtime::line(event, caller)).unwrap();
    assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line}");
    members(&line)
}

/// The fields of several lines. A field that all lines have is always present.
fn fields_of(lines: &[Map<String, Value>]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines.iter().flatten() {
        let always = lines.iter().all(|line| line.contains_key(name));
        let field = Field { kind: kind(value), always };
        let met = fields.entry(name.clone()).or_insert_with(|| field.clone());
        assert_eq!(*met, field, "{name} has one type");
    }
    fields
}

/// The events as the code writes them, without the common fields.
fn written() -> BTreeMap<String, Shape> {
    let common = common();
    let mut lines: BTreeMap<String, Vec<Map<String, Value>>> = BTreeMap::new();
    let issuers = of_issuer().into_iter().map(|event| line(&event, &caller()));
    let verifiers = of_verifier().into_iter().map(|event| line(&event, &caller()));
    for line in issuers.chain(verifiers) {
        lines.entry(line["event"].as_str().unwrap().to_owned()).or_default().push(line);
    }
    let shape = |lines: Vec<Map<String, Value>>| {
        let levels: BTreeSet<&str> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
        assert_eq!(levels.len(), 1, "an event has one severity: {levels:?}");
        let mut fields = fields_of(&lines);
        fields.retain(|name, _| !common.contains_key(name));
        let values = |name: &str| {
            let all = lines.iter().filter_map(|line| line.get(name)?.as_str());
            all.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let values = LISTED.map(|name| (name.to_owned(), values(name)));
        let values = values.into_iter().filter(|(_, values)| !values.is_empty()).collect();
        Shape { level: levels.into_iter().collect(), fields, values }
    };
    lines.into_iter().map(|(name, lines)| (name, shape(lines))).collect()
}

/// The common fields, from lines of an event with only one field of its own.
fn common() -> Fields {
    let event = VerifierEvent::Panic { at: "x".to_owned() };
    let mut fields = fields_of(&[line(&event, &caller()), line(&event, &Caller::default())]);
    fields.remove("at").expect("the event's own");
    fields
}

/// The document by its headings. Each event has a heading `### \`name\`` below `## The events`.
struct Document {
    sections: BTreeMap<String, Vec<&'static str>>,
}

impl Document {
    fn read() -> Self {
        let mut sections: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let mut heading = String::new();
        for line in include_str!("../../docs/reference/events.md").lines() {
            match line.strip_prefix("## ").or(line.strip_prefix("### ")) {
                Some(title) => {
                    heading = title.to_owned();
                    let before = sections.insert(heading.clone(), Vec::new());
                    assert!(before.is_none(), "one section of a name: {title}");
                }
                None => sections.entry(heading.clone()).or_default().push(line),
            }
        }
        Self { sections }
    }

    /// The documented events with their sections.
    fn events(&self) -> impl Iterator<Item = (&str, &[&'static str])> {
        let events = self.sections.iter();
        events.filter_map(|(heading, lines)| Some((quoted(heading)?, lines.as_slice())))
    }

    /// The documented form of each event.
    fn shapes(&self) -> BTreeMap<String, Shape> {
        let shape = |lines: &[&'static str]| Shape {
            level: severity(lines).to_owned(),
            fields: field_table(lines),
            values: LISTED
                .map(|name| (name.to_owned(), self.values(name, lines)))
                .into_iter()
                .filter(|(_, values)| !values.is_empty())
                .collect(),
        };
        self.events().map(|(name, lines)| (name.to_owned(), shape(lines))).collect()
    }

    /// The documented values of a field: those of the table in the section, and of the lists to which it links.
    fn values(&self, field: &str, lines: &[&'static str]) -> BTreeSet<String> {
        let mut values: BTreeSet<String> = table(lines, &format!("`{field}` | meaning"))
            .into_iter()
            .map(|row| quoted(row[0]).unwrap().to_owned())
            .collect();
        let start = format!("`{field}` is one of");
        for clause in
            lines.iter().flat_map(|line| line.split("; ")).filter(|clause| clause.starts_with(&start))
        {
            for anchor in clause.split("](#").skip(1) {
                let anchor = anchor.split(')').next().unwrap();
                let list = self.sections.iter().find(|(heading, _)| slug(heading) == anchor);
                let (_, list) = list.unwrap_or_else(|| panic!("there is no section {anchor}"));
                values.extend(self.values(field, list));
            }
        }
        values
    }
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The content of a cell or heading that is a single code span.
fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('`')?.strip_suffix('`').filter(|text| !text.contains('`'))
}

/// The rows of the table whose header begins with `first`. Empty if there is no such table.
fn table(lines: &[&'static str], first: &str) -> Vec<Vec<&'static str>> {
    let cells = |line: &'static str| -> Option<Vec<&'static str>> {
        let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some(inner.split(" | ").map(str::trim).collect())
    };
    let mut lines = lines.iter().copied().skip_while(|line| !line.starts_with(&format!("| {first} |")));
    if lines.next().is_none() {
        return Vec::new();
    }
    assert!(lines.next().is_some_and(|line| line.starts_with("|---")), "a rule below {first}");
    lines.map_while(cells).collect()
}

fn field_table(lines: &[&'static str]) -> Fields {
    let field = |row: Vec<&str>| {
        let kind = match row[1].split(',').next().unwrap() {
            "text" => "text",
            "integer" => "integer",
            "boolean" => "boolean",
            other => panic!("{other} is no type"),
        };
        let always = row[2] == "always";
        assert!(always || row[2].starts_with("when ") || row[2].starts_with("with "), "{}", row[2]);
        assert!(!row[3].is_empty(), "{} has a meaning", row[0]);
        (quoted(row[0]).unwrap().to_owned(), Field { kind, always })
    };
    let rows = table(lines, "field");
    let count = rows.len();
    let fields: Fields = rows.into_iter().map(field).collect();
    assert_eq!(fields.len(), count, "a field is documented once");
    fields
}

fn severity<'a>(lines: &[&'a str]) -> &'a str {
    let line = lines.iter().find_map(|line| line.strip_prefix("Severity `")).expect("a severity");
    line.split('`').next().unwrap()
}

/// The code blocks in this language.
fn blocks(lines: &[&'static str], language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = lines.iter();
    while lines.any(|line| line.strip_prefix("```") == Some(language)) {
        let block: Vec<&str> = lines.by_ref().copied().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

/// Compares in both directions: names, types, whether a field is always present, severities, causes and reasons.
///
/// invariant: Each event, field and cause is documented, and each documented one exists.
#[test]
fn the_document_says_what_the_lines_hold() {
    let document = Document::read();
    assert_eq!(field_table(&document.sections["A line"]), common(), "the fields of every line");
    let (documented, written) = (document.shapes(), written());
    assert_eq!(documented.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>(), "the events");
    for (name, shape) in &written {
        assert_eq!(documented[name], *shape, "{name}: left the document, right the code");
    }
}

/// Each event has one example with every field that the event can have.
#[test]
fn the_examples_are_lines() {
    let document = Document::read();
    let shapes = document.shapes();
    let common = common();
    for (name, lines) in document.events() {
        let [example] = &blocks(lines, "json")[..] else { panic!("{name} has one example") };
        assert_eq!(example.lines().count(), 1, "{name}");
        let members = members(example);
        let shape = &shapes[name];
        assert_eq!((&members["event"], &members["level"]), (&json!(name), &json!(shape.level)), "{name}");
        assert_eq!(members["v"], daypass_verifier::ports::event::VERSION, "{name}");
        // A function that starts or fails has no caller.
        let has_caller = !matches!(name, "init.failed" | "panic") && !name.starts_with("keys.");
        let expected: BTreeSet<&String> = shape
            .fields
            .keys()
            .chain(common.iter().filter(|(_, field)| field.always || has_caller).map(|(name, _)| name))
            .collect();
        assert_eq!(members.keys().collect::<BTreeSet<_>>(), expected, "{name}");
        for (field, value) in &members {
            let documented = shape.fields.get(field).unwrap_or_else(|| &common[field]);
            assert_eq!(kind(value), documented.kind, "{name} {field}");
            if let Some(values) = shape.values.get(field) {
                assert!(values.contains(value.as_str().unwrap()), "{name} {field} {value}");
            }
        }
        for (field, prefix) in [("user", UserId::PREFIX), ("session", SessionId::PREFIX)] {
            if let Some(id) = members.get(field).and_then(Value::as_str) {
                let parsed = match prefix {
                    UserId::PREFIX => UserId::parse(id).is_some(),
                    _ => SessionId::parse(id).is_some(),
                };
                assert!(parsed, "{name} {field} {id}");
            }
        }
    }
}

/// A query with an unknown field or event would silently find nothing.
#[test]
fn queries_and_alarms_name_what_there_is() {
    const WORDS: [&str; 24] = [
        "fields",
        "filter",
        "stats",
        "sort",
        "limit",
        "by",
        "as",
        "in",
        "and",
        "or",
        "desc",
        "asc",
        "count",
        "count_distinct",
        "max",
        "sum",
        "coalesce",
        "strcontains",
        "ispresent",
        "timestamp",
        "usr_",
        "ses_",
        // Parts of event names.
        "failed",
        "succeeded",
    ];
    let document = Document::read();
    let shapes = document.shapes();
    let mut known: BTreeSet<&str> = WORDS.into();
    known.extend(shapes.values().flat_map(|shape| shape.fields.keys()).map(String::as_str));
    let common = common();
    known.extend(common.keys().map(String::as_str));
    let values: BTreeSet<&str> =
        shapes.values().flat_map(|shape| shape.values.values().flatten()).map(String::as_str).collect();
    let queries: Vec<String> =
        document.sections.values().flat_map(|lines| blocks(lines, "insights")).collect();
    assert!(queries.len() >= 3, "one query for each question");
    for query in &queries {
        let aliases: BTreeSet<&str> =
            query.split(" as ").skip(1).filter_map(|rest| rest.split([' ', ',', '\n']).next()).collect();
        for (n, part) in query.split('"').enumerate() {
            if n % 2 == 1 {
                let is_event = shapes.contains_key(part);
                assert!(
                    is_event || values.contains(part) || known.contains(part.trim_end_matches('.')),
                    "{part}: {query}"
                );
                continue;
            }
            let words =
                part.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
            for word in words.filter(|word| !word.chars().all(|c| c.is_ascii_digit())) {
                assert!(known.contains(word) || aliases.contains(word), "{word}: {query}");
            }
        }
    }
    let alarms = table(&document.sections["Alarms"], "filter");
    assert!(!alarms.is_empty());
    for alarm in alarms {
        for (n, part) in alarm[0].split('"').enumerate() {
            if n % 2 == 1 {
                assert!(shapes.contains_key(part) || values.contains(part), "{part}: {}", alarm[0]);
            }
        }
    }
}

/// Headers of the caller, which must not appear in any line. Addresses in them must not become the `source_ip`.
const HEADERS: [(&str, &str); 9] = [
    ("x-forwarded-for", "198.51.100.1"),
    ("forwarded", "for=198.51.100.2"),
    ("x-real-ip", "198.51.100.3"),
    ("user-agent", "marker-agent/1.0"),
    ("cookie", "session=marker-cookie"),
    ("authorization", "Bearer marker-bearer"),
    ("referer", "https://marker-referer.example"),
    ("x-amzn-trace-id", "Root=marker-trace"),
    ("x-request-id", "marker-request"),
];

/// Requests that cause all events of requests, each sent with [`HEADERS`] by [`caller`].
struct Walk {
    service: Service,
    /// Texts that no line may contain.
    secrets: Vec<String>,
    lines: Vec<String>,
}

impl Walk {
    async fn send(&mut self, mut request: Request) -> Answer {
        for (name, value) in HEADERS {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        if request.extensions().get::<Caller>().is_none() {
            request.extensions_mut().insert(caller());
        }
        let answer = self.service.send(request).await;
        for token in ["access_token", "refresh_token"].map(|name| answer.text(name)) {
            if !token.is_empty() {
                // The MAC and the signature alone, too.
                self.secrets.extend([token[token.len() - 40..].to_owned(), token]);
            }
        }
        answer
    }

    /// Logs in, and compares the event and its fields.
    async fn login(&mut self, name: &str, password: &str, expected: &Value) -> Answer {
        self.secrets.extend([name.to_owned(), password.to_owned()]);
        let body = json!({ "username": name, "password": password }).to_string();
        let answer = self.send(post("/login", "application/json", body)).await;
        self.expect(&[expected]);
        answer
    }

    async fn form(&mut self, path: &str, body: &str, expected: &[&Value]) -> Answer {
        let answer = self.send(post(path, "application/x-www-form-urlencoded", body)).await;
        self.expect(expected);
        answer
    }

    async fn refresh(&mut self, token: &str, expected: &Value) -> Answer {
        self.form("/refresh", &format!("grant_type=refresh_token&refresh_token={token}"), &[expected]).await
    }

    async fn revoke(&mut self, token: &str, all: bool, expected: &[&Value]) -> Answer {
        self.form("/revoke", &format!("token={token}&all={all}"), expected).await
    }

    async fn password(&mut self, login: &Answer, current: &str, new: &str, expected: &[&Value]) {
        self.secrets.extend([current, new].map(str::to_owned));
        let body = json!({ "current_password": current, "new_password": new }).to_string();
        let mut request = post("/password", "application/json", body);
        request.extensions_mut().insert(self.service.principal(&login.access_token()));
        self.send(request).await;
        self.expect(expected);
    }

    /// Compares the lines since the last call with these events: at least these fields, and the caller in each line.
    fn expect(&mut self, expected: &[&Value]) {
        let lines = self.service.journal.take_lines();
        assert_eq!(lines.len(), expected.len(), "{expected:?}: {lines:#?}");
        for (line, expected) in lines.iter().zip(expected) {
            let members = members(line);
            for (name, value) in expected.as_object().unwrap() {
                assert_eq!(members.get(name).unwrap_or(&Value::Null), value, "{name}: {line}");
            }
            assert_eq!(members["source_ip"], "203.0.113.9", "{line}");
            assert_eq!(members["request_id"], "Xq3TYhH4IAMEVJw=", "{line}");
        }
        self.lines.extend(lines);
    }

    async fn set_status(&self, name: &str, status: UserStatus) {
        let name = daypass_tests::bench::username(name);
        let now = daypass_verifier::base::time::Clock::now(&self.service.clock);
        self.service.bench.store.set_status(&name, status, now).await.unwrap().unwrap();
    }
}

/// Causes every event that a request can cause, and compares its fields: session, client, cause. No line contains a token,
/// a password, a name or a header. `flows::events_hold_no_secret` looks for keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_past_every_event() {
    let db = Embedded::start(None).unwrap();
    let service = Service::quick(&db.url(), &[("DAYPASS_LOGIN_ATTEMPTS", "3")]).await;
    let user = service.quick_user("marker-name").await.id;
    let mut walk = Walk { service, secrets: vec![PASSWORD.to_owned()], lines: Vec::new() };
    let w = &mut walk;
    let session = |answer: &Answer| answer.text("session_id");

    // Logins: success, failures, throttling.
    let first = w.login("marker-name", PASSWORD, &json!({ "event": "login.succeeded", "user": user })).await;
    let unknown = json!({ "event": "login.failed", "cause": "unknown_user", "user": null, "client": "web" });
    w.login("marker-nobody", "marker-password-1", &unknown).await;
    let wrong = json!({ "event": "login.failed", "cause": "wrong_password", "user": user, "client": "web" });
    for n in 0..3 {
        w.login("marker-name", &format!("marker-password-2{n}"), &wrong).await;
    }
    let locked = json!({
        "event": "login.throttled", "level": "WARN", "limit": "account_and_address", "user": user, "client": "web",
    });
    assert_eq!(w.login("marker-name", PASSWORD, &locked).await.status, 429);
    w.service.clock.advance(Duration::from_secs(900));
    let body = json!({ "username": "marker-name", "password": PASSWORD, "scope": "marker:scope" });
    w.send(post("/login", "application/json", body.to_string())).await;
    w.expect(&[&json!({ "event": "login.failed", "cause": "scope_not_granted", "user": user })]);

    // Malformed requests.
    for (error, body) in [
        ("invalid_request", json!({ "username": "marker\u{0}name", "password": "marker-password-3" })),
        ("invalid_request", json!({ "username": 1, "marker-member": "marker-value" })),
        (
            "invalid_client",
            json!({ "username": "marker-name", "password": "x", "client_id": "marker-client" }),
        ),
    ] {
        w.send(post("/login", "application/json", body.to_string())).await;
        w.expect(&[&json!({ "event": "request.refused", "error": error })]);
    }
    for (path, body) in [
        ("/refresh", "grant_type=refresh_token&refresh_token=x&client_id=marker-client"),
        ("/revoke", "token=x&client_id=marker-client"),
    ] {
        w.form(path, body, &[&json!({ "event": "request.refused", "error": "invalid_client" })]).await;
    }

    // A rotation, a repetition within the grace period, and a replay after it.
    let of = |login: &Answer, event: &str| json!({ "event": event, "user": user, "session": session(login) });
    let with = |mut line: Value, more: &Value| {
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let rotated = with(of(&first, "refresh.rotated"), &json!({ "client": "web", "generation": 1 }));
    let second = w.refresh(&first.refresh_token(), &rotated).await;
    w.service.clock.advance(Duration::from_millis(4_900));
    let more = json!({ "client": "web", "generation": 1, "cause": "grace", "age": 4 });
    w.refresh(&first.refresh_token(), &with(of(&first, "refresh.repeated"), &more)).await;
    let more = json!({ "cause": "other_client", "client": "web" });
    let other = format!("grant_type=refresh_token&refresh_token={}&client_id=narrow", second.refresh_token());
    w.form("/refresh", &other, &[&with(of(&first, "refresh.refused"), &more)]).await;
    // The same from another network.
    let repeat = format!("grant_type=refresh_token&refresh_token={}", first.refresh_token());
    let repeat = post("/refresh", "application/x-www-form-urlencoded", repeat);
    w.send(daypass_tests::service::from("203.0.113.10", repeat)).await;
    let lines = w.service.journal.take_lines();
    let seen: Vec<_> = lines.iter().map(|line| members(line)).collect();
    let seen: Vec<_> = seen.iter().map(|line| (line["event"].clone(), line["level"].clone())).collect();
    let expected = [("refresh.other_network", "WARN"), ("refresh.repeated", "INFO")];
    assert_eq!(seen, expected.map(|(event, level)| (json!(event), json!(level))));
    w.lines.extend(lines);
    w.service.clock.advance(Duration::from_secs(40));
    let more = json!({
        "level": "WARN", "client": "web", "cause": "after_grace", "presented": 0, "current": 1, "age": 44,
    });
    w.refresh(&first.refresh_token(), &with(of(&first, "refresh.reuse"), &more)).await;
    let more = json!({ "cause": "ended", "reason": "reuse", "client": "web" });
    w.refresh(&second.refresh_token(), &with(of(&first, "refresh.refused"), &more)).await;

    // The end of one session and of all sessions, and requests after that.
    let succeeded = json!({ "event": "login.succeeded", "user": user, "client": "web" });
    let (mine, there) = (
        w.login("marker-name", PASSWORD, &succeeded).await,
        w.login("marker-name", PASSWORD, &succeeded).await,
    );
    let out = w.login("marker-name", PASSWORD, &succeeded).await;
    let ended = with(of(&out, "session.ended"), &json!({ "reason": "revoked" }));
    w.revoke(&out.access_token(), false, &[&ended]).await;
    let more = json!({ "cause": "ended", "reason": "revoked", "all": true });
    w.revoke(&out.refresh_token(), true, &[&with(of(&out, "revoke.ignored"), &more)]).await;
    let more = json!({ "cause": "other_client", "all": false });
    let other = format!("token={}&client_id=narrow", mine.refresh_token());
    assert_eq!(w.form("/revoke", &other, &[&with(of(&mine, "revoke.ignored"), &more)]).await.status, 400);
    let ended = with(of(&mine, "session.ended"), &json!({ "reason": "revoked_all" }));
    let all = with(of(&mine, "session.ended_all"), &json!({ "reason": "revoked_all", "count": 1 }));
    w.revoke(&mine.refresh_token(), true, &[&ended, &all]).await;
    let more = json!({ "cause": "ended", "reason": "revoked_all", "client": "web" });
    w.refresh(&there.refresh_token(), &with(of(&there, "refresh.refused"), &more)).await;

    // An operator ends the sessions, which writes no line. The next refresh logs the reason.
    let kept = w.login("marker-name", PASSWORD, &succeeded).await;
    w.set_status("marker-name", UserStatus::Disabled).await;
    let more = json!({ "cause": "ended", "reason": "user_disabled" });
    w.refresh(&kept.refresh_token(), &with(of(&kept, "refresh.refused"), &more)).await;
    let disabled = json!({ "event": "login.failed", "cause": "disabled", "user": user });
    w.login("marker-name", PASSWORD, &disabled).await;
    w.set_status("marker-name", UserStatus::Enabled).await;

    // Changes of the password: rejected for the old one, rejected for the new one, and successful.
    let (asks, other) = (
        w.login("marker-name", PASSWORD, &succeeded).await,
        w.login("marker-name", PASSWORD, &succeeded).await,
    );
    let refused = |cause: &str| with(of(&asks, "password.refused"), &json!({ "cause": cause }));
    let new = "marker-password-of-its-own";
    w.secrets.push(new.to_owned());
    w.password(&asks, PASSWORD, "marker", &[&refused("new_password")]).await;
    w.password(&asks, "marker-password-4", new, &[&refused("wrong_password")]).await;
    let changed = of(&asks, "password.changed");
    let more = json!({ "reason": "password_changed", "count": 1 });
    w.password(&asks, PASSWORD, new, &[&changed, &with(of(&asks, "session.ended_all"), &more)]).await;
    let more = json!({ "cause": "ended", "reason": "password_changed" });
    w.refresh(&other.refresh_token(), &with(of(&other, "refresh.refused"), &more)).await;
    let changed_back = of(&asks, "password.changed");
    let more = json!({ "reason": "password_changed", "count": 0 });
    w.password(&asks, new, PASSWORD, &[&changed_back, &with(of(&asks, "session.ended_all"), &more)]).await;

    // Invalid tokens.
    let none = json!({ "event": "refresh.refused", "cause": "malformed", "user": null, "session": null });
    w.refresh("daypass_rt_marker-token", &none).await;
    let none = json!({ "event": "revoke.ignored", "cause": "not_compact", "user": null, "all": false });
    w.revoke("marker-token", false, &[&none]).await;
    let last = w.login("marker-name", PASSWORD, &succeeded).await;
    w.service.clock.advance(Duration::from_secs(15_552_000));
    let expired = json!({ "cause": "expired", "client": null, "reason": null });
    w.refresh(&last.refresh_token(), &with(of(&last, "refresh.refused"), &expired)).await;
    for token in [last.refresh_token(), last.access_token()] {
        let more = json!({ "cause": "expired", "all": false, "reason": null });
        w.revoke(&token, false, &[&with(of(&last, "revoke.ignored"), &more)]).await;
    }
    assert!(!w.service.lets_through(&last.access_token()));
    assert!(!w.service.lets_through("marker-token"));
    let denied = w.service.journal.take_lines();
    assert_eq!(
        denied.iter().map(|line| members(line)["event"].clone()).collect::<Vec<_>>(),
        ["authorize.denied"; 2]
    );
    assert_eq!(members(&denied[0])["session"], session(&last), "we had signed it");
    assert_eq!(members(&denied[1]).get("session"), None);
    w.lines.extend(denied);

    // A failing store.
    w.service.bench.recorder.always(Action::refuse(400, "AccessDeniedException"));
    let failure = json!({ "event": "failure", "level": "ERROR", "during": "begin_login" });
    w.login("marker-name", PASSWORD, &failure).await;

    let met: BTreeSet<String> =
        walk.lines.iter().map(|line| members(line)["event"].as_str().unwrap().to_owned()).collect();
    // Events of a start, of a key rotation and of a failing feed, which other tests check.
    let elsewhere = |name: &String| {
        matches!(name.as_str(), "init.failed" | "panic")
            || name.starts_with("feed.")
            || name.starts_with("keys.")
    };
    let all: BTreeSet<String> = written().into_keys().filter(|name| !elsewhere(name)).collect();
    assert_eq!(met, all, "the walk goes past every event");
    walk.secrets.extend(["marker", "198.51.100"].map(str::to_owned));
    for line in &walk.lines {
        for secret in &walk.secrets {
            assert!(!line.contains(secret.as_str()), "{secret} is in {line}");
        }
    }
    println!("{} lines, {} secrets looked for in each", walk.lines.len(), walk.secrets.len());
}
