//! Comparison of the security events with `docs/reference/events.md`, which readers of the log rely on.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]

mod walk;

use daypass_core::account::Undeliverable;
use daypass_core::client::machine::{CredentialId, MachineId, Unauthenticated};
use daypass_core::http::request::Request;
use daypass_core::passkey::{Fault, PasskeyId};
use daypass_core::ports::event::{
    AdminAction, ClientRefusal, Event, FactorFault, FactorRefusal, FactorsChange, Ignored, LoginFailure,
    MailFault, MailRefusal, MailSkipped, PasswordRefusal, Refusal,
};
use daypass_core::ports::mail::MailKind;
use daypass_core::ports::passkey::{PasskeyMismatch, PasskeyRefusal};
use daypass_core::ports::store::UserStatus;
use daypass_core::session::{DeadCause, EndReason, Repeat, ReuseCause};
use daypass_core::throttle::{Exhausted, MailLimit};
use daypass_core::token::mail::{MailTokenError, OutboxId, Purpose};
use daypass_core::token::mfa::MfaTokenError;
use daypass_core::token::refresh::RefreshTokenError;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::service::{PASSWORD, Service, operator, post};
use daypass_verifier::base::ids::{ClientId, SessionId, UserId};
use daypass_verifier::base::json;
use daypass_verifier::jose::dpop::ProofFault;
use daypass_verifier::jose::verify::Rejection;
use daypass_verifier::ports::context::Caller;
use daypass_verifier::ports::event::{
    BadAuthorizationHeader, BadScheme, Denial, Event as VerifierEvent, Record, SessionDenial,
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
    OutboxId => [Self::from_bytes([3; 16])],
    UserId => [Self::from_bytes([1; 16])],
    PasskeyId => [Self::of(b"credential")],
    SessionId => [Self::from_bytes([2; 16])],
    ClientId => [Self::parse("web").unwrap()],
    MachineId => [Self::parse("client_billing").unwrap()],
    CredentialId => [Self::parse("key_0123456789abcdef").unwrap()],
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
    LoginFailure {
        UnknownUser, AddressNotVerified, WrongPassword, Disabled, UserChanged, UnusableHash, ScopeNotGranted, OtherOldUser,
        OldSecondFactor, OldTemporaryPassword, OldUnconfirmed, OldResetRequired, OldDenied,
    }
    AdminAction {
        Added, Invited, Enabled, Disabled, ScopeSet, ClaimsSet, EmailSet, PasswordSet, MfaSet, FactorsReset, Removed, SessionEnded, SessionsEnded,
        ClientCreated, ClientRotated, ClientRevoked,
    }
    Exhausted { AccountAndAddress, AccountAndDevice, Session, Address, Account, OldSystem, SecondFactor }
    PasswordRefusal { WrongPassword, UnusableHash, NewPassword, UserChanged, NoUser }
    Repeat { OwnRetry, Grace }
    ReuseCause { AfterGrace, SuccessorUsed }
    DeadCause { Absent, Ended, Expired, OtherClient, ClientGone, OtherKey, ScopeNotGranted, AheadOfStore }
    EndReason {
        Revoked, RevokedAll, Reuse, PasswordChanged, UserDisabled, UserRemoved, EndedByUser, ScopeRemoved,
        SessionLimit, Operator,
    }
    RefreshTokenError { Malformed, UnknownKey, Forged, Expired }
    MailTokenError { Malformed, UnknownKey, Forged, Expired }
    MailFault { OtherPurpose, WrongCode, Absent, ForgedSubject, Outdated }
    MailSkipped { UnknownUser, Disabled, Unverified, Undeliverable, Taken, Sent, Expired, NoClient }
    MailLimit { Address, Network, Code }
    MailKind {
        SignUp, SignUpExisting, Reset, Email, EmailChanged, Invitation, FactorEnrolled, FactorRemoved, RecoveryCodes,
        PasskeyAdded, PasskeyRemoved, FactorsReset,
    }
    MfaTokenError { Malformed, UnknownKey, Forged, Expired, OtherKey }
    FactorsChange { TotpEnrolled, TotpRemoved, RecoveryCodesReplaced, PasskeyAdded, PasskeyRemoved }
    Fault {
        ClientData, Type, Challenge, ChallengeExpired, Origin, CrossOrigin, AuthenticatorData, RelyingParty, NotPresent,
        NotVerified, Backup, AttestedData, CredentialId, PublicKey, UserHandle, Signature, Counter,
    }
    PasskeyMismatch { UnknownPasskey, Disabled, OneFactor, ScopeNotGranted, Overtaken, Taken }
    Purpose { Reset, SignUp, Address, Invitation }
    Undeliverable { Bounced, Complained }
    SessionDenial { Ended }
    BadScheme { BoundTokenAsBearer, BearerTokenAsDpop }
    ProofFault {
        ProofMissing, ProofNotInEvent, ProofRepeated, ProofMalformed, ProofWrongType, ProofWrongAlgorithm, ProofWrongKeyType,
        ProofPrivateKey, ProofBadSignature, ProofWrongMethod, ProofWrongUrl, ProofTooOld, ProofFromTheFuture,
        ProofOtherToken, ProofOtherKey, ProofReplayed,
    }
    BadAuthorizationHeader { Missing, UnsupportedEvent, Malformed, NotTheCacheKey }
    RouteDenial { NoRoute, ScopeMissing, ClaimMissing, KeyMissing, StepUpNeeded, NoUser, AmbiguousPath }
    Rejection {
        TooLong, NotCompact, NotBase64Url, MalformedHeader, WrongType, CriticalExtension, UnsupportedContent,
        UnknownKey, WrongAlgorithm,
        BadSignature, MalformedClaims, WrongIssuer, WrongAudience, Expired, NotYetValid, LifetimeTooLong,
        MalformedIdentity, ControlCharacter, UnknownConfirmation, BoundToKey,
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
    MailRefusal { Token, Mail }
    PasskeyRefusal { Response, Stored }
    FactorRefusal { Token, Factor }
    Denial { AuthorizationHeader, Token, Scheme, Proof, Session, Route }
}

impl Sample for Unauthenticated {
    fn samples() -> Vec<Self> {
        let _all_listed = |value: Self| match value {
            Self::NoCredential | Self::UnknownClient | Self::WrongSecret | Self::OtherClient => {}
            Self::Assertion(_) => {}
        };
        let mut all = vec![Self::NoCredential, Self::UnknownClient, Self::WrongSecret, Self::OtherClient];
        all.extend(Rejection::samples().into_iter().map(Self::Assertion));
        all
    }
}

impl Sample for FactorFault {
    fn samples() -> Vec<Self> {
        use FactorFault::{
            NoFactor, OneFactor, Overtaken, Passkey, ScopeNotGranted, Unreadable, UsedCode, UserChanged,
            WrongCode,
        };
        let _all_listed = |value: Self| match value {
            WrongCode | UsedCode | Overtaken | UserChanged | NoFactor | OneFactor | Unreadable
            | ScopeNotGranted => {}
            Passkey(_) => {}
        };
        let mut all = vec![
            WrongCode,
            UsedCode,
            Overtaken,
            UserChanged,
            NoFactor,
            OneFactor,
            Unreadable,
            ScopeNotGranted,
        ];
        all.extend(Fault::samples().into_iter().map(Passkey));
        all
    }
}

impl Sample for ClientRefusal {
    fn samples() -> Vec<Self> {
        let _all_listed = |value: Self| match value {
            Self::ScopeNotGranted | Self::ProofRequired | Self::IntrospectionNotAllowed => {}
            Self::NoJti | Self::Replayed => {}
            Self::Unauthenticated(_) => {}
        };
        let mut all = vec![
            Self::ScopeNotGranted,
            Self::ProofRequired,
            Self::IntrospectionNotAllowed,
            Self::NoJti,
            Self::Replayed,
        ];
        all.extend(Unauthenticated::samples().into_iter().map(Self::Unauthenticated));
        all
    }
}

/// Samples of every event. A missing variant or field does not compile. Each field has each of its values in some sample.
/// The first sample leaves all optional fields out.
macro_rules! sample_events {
    ($name:ident: $event:ident, $($variant:ident { $($field:ident),* $(,)? })+) => {
        fn $name() -> Vec<$event> {
            let _all_listed = |event: &$event| match event { $($event::$variant { .. } => {})+ };
            let mut all = Vec::new();
            $({
                $(let $field = Sample::samples();)*
                let most = [1, $($field.len()),*].into_iter().max().unwrap_or_default();
                all.extend((0..most).map(|_n| $event::$variant { $($field: pick(&$field, _n)),* }));
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
    LoginMigrated { user, client, created, email_taken }
    LoginFailed { cause, account, client, user }
    LoginMfaRequired { user, client }
    LoginFactorRefused { cause, user, client }
    PasskeyRefused { cause, client, user, passkey }
    PasskeyCopied { user, passkey }
    RecoveryCodeUsed { user, session, left }
    FactorsChanged { change, user, session }
    LoginThrottled { limit, account, client, user, retry_after }
    ClientTokenIssued { client, key, session }
    ClientRefused { cause, client }
    Rotated { user, session, client, generation }
    Repeated { user, session, client, generation, cause, age }
    OtherNetwork { user, session, client, generation, age }
    Reuse { user, session, client, cause, presented, current, age }
    RefreshRefused { cause, user, session, client, reason }
    SessionEnded { user, session, reason }
    SessionsEnded { user, session, count, reason }
    SessionReplaced { user, session, replaced, client }
    PasswordChanged { user, session }
    PasswordRefused { cause, user, session }
    Reauthenticated { user, session, two_factors }
    ReauthenticationRefused { cause, user, session }
    MailRequested { purpose, mail, client }
    MailThrottled { limit, retry_after }
    MailRefused { cause, mail }
    MailSent { mail, kind, age }
    MailSkipped { mail, cause }
    MailRejected { mail, kind, detail }
    MailGivenUp { mail }
    MailUndeliverable { cause, user }
    UserCreated { user, purpose, client }
    PasswordReset { user, count }
    EmailChanged { user }
    RevokeIgnored { cause, all, user, session, reason }
    AuthorizeDenied { cause, user, session }
    KeysMade { section, kid, next }
    KeysLoaded { section, kid, age }
    KeysRotated { section, kid, next }
    KeysCut { section, kid, next }
    AdminChanged { operator, action, user, session, client, complete }
    RequestRefused { error, description }
    Failure { during, detail }
}

sample_events! {
    of_verifier: VerifierEvent,
    AuthorizeDenied { cause, user, session }
    FeedFailing { sessions, detail }
    FeedStale { sessions, detail }
    FeedRecovered { sessions }
    FunctionWarmed {}
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
    /// Values of the fields in [`LISTED`].
    values: BTreeMap<String, BTreeSet<String>>,
}

/// Fields whose possible values the document lists.
const LISTED: [&str; 5] = ["cause", "reason", "limit", "action", "change"];

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

/// The pages of the events and of the templates name each kind of mail.
#[test]
fn the_kinds_of_mails_are_documented() {
    let events = include_str!("../../docs/reference/events.md");
    let row =
        events.lines().find(|line| line.starts_with("| `kind` | text | always | text of the mail")).unwrap();
    for kind in MailKind::ALL {
        let name = format!("`{}`", kind.as_str());
        assert!(row.contains(&name), "docs/reference/events.md: {name}");
        assert!(
            include_str!("../../docs/guides/accounts.md").contains(&name),
            "docs/guides/accounts.md: {name}"
        );
    }
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

/// The events of the mailer, which has no caller. `accounts.rs` causes them.
const OF_MAILER: [&str; 5] =
    ["mail.sent", "mail.skipped", "mail.rejected", "mail.given_up", "mail.undeliverable"];

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
        // A function that starts, fails or is kept warm has no caller.
        let has_caller =
            !matches!(name, "function.warmed" | "init.failed" | "panic") && !name.starts_with("keys.");
        // The stream calls the mailer.
        let has_caller = has_caller && !OF_MAILER.contains(&name);
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
