//! The table of expectations: each failure of each request of each operation, once or permanent, with its outcome.

use daypass_testkit::hold::Hold;
use daypass_testkit::recorder::{Action, Call};
use serde_json::{Value, json};
use std::time::Duration;

/// Request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Login,
    Refresh,
    /// A refresh with a token whose successor was used.
    Replay,
    Revoke,
    RevokeAll,
}

impl Operation {
    pub(crate) const ALL: [Self; 5] =
        [Self::Login, Self::Refresh, Self::Replay, Self::Revoke, Self::RevokeAll];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::Replay => "refresh with a replayed token",
            Self::Revoke => "revoke",
            Self::RevokeAll => "revoke all",
        }
    }

    /// Time after which Lambda ends the function: `Timeout` in template.yaml.
    pub(crate) fn limit(self) -> Duration {
        Duration::from_secs(if self == Self::Login { 25 } else { 5 })
    }
}

/// A request of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Site {
    ReadUser,
    CountAttempt,
    OpenSession,
    ReadSessions,
    Rotate,
    NoticeReplay,
    EndReplayed,
    EndOne,
    EndOwn,
    FirstPage,
    NextPage,
    EndOnFirstPage,
    EndOnNextPage,
}

impl Site {
    pub(crate) const ALL: [Self; 13] = [
        Self::ReadUser,
        Self::CountAttempt,
        Self::OpenSession,
        Self::ReadSessions,
        Self::Rotate,
        Self::NoticeReplay,
        Self::EndReplayed,
        Self::EndOne,
        Self::EndOwn,
        Self::FirstPage,
        Self::NextPage,
        Self::EndOnFirstPage,
        Self::EndOnNextPage,
    ];

    pub(crate) fn operation(self) -> Operation {
        match self {
            Self::ReadUser | Self::CountAttempt | Self::OpenSession | Self::ReadSessions => Operation::Login,
            Self::Rotate => Operation::Refresh,
            Self::NoticeReplay | Self::EndReplayed => Operation::Replay,
            Self::EndOne => Operation::Revoke,
            Self::EndOwn | Self::FirstPage | Self::NextPage | Self::EndOnFirstPage | Self::EndOnNextPage => {
                Operation::RevokeAll
            }
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadUser => "read the user",
            Self::CountAttempt => "count the attempt",
            Self::OpenSession => "open the session (transaction)",
            Self::ReadSessions => "query the live sessions",
            Self::Rotate | Self::NoticeReplay => "rotate",
            Self::EndReplayed => "end the session",
            Self::EndOne => "end the session",
            Self::EndOwn => "end the token's session",
            Self::FirstPage => "query, first page",
            Self::NextPage => "query, next page",
            Self::EndOnFirstPage => "end a session of the first page",
            Self::EndOnNextPage => "end a session of the next page",
        }
    }

    /// The operation of DynamoDB's API.
    pub(crate) fn api(self) -> &'static str {
        match self {
            Self::ReadUser => "GetItem",
            Self::OpenSession => "TransactWriteItems",
            Self::ReadSessions | Self::FirstPage | Self::NextPage => "Query",
            Self::CountAttempt
            | Self::Rotate
            | Self::NoticeReplay
            | Self::EndReplayed
            | Self::EndOne
            | Self::EndOwn
            | Self::EndOnFirstPage
            | Self::EndOnNextPage => "UpdateItem",
        }
    }

    /// Whether a request is this one. `session` is the session that it ends.
    pub(crate) fn is(self, call: &Call<'_>, session: &str) -> bool {
        let request = call.request;
        let says =
            |member: &str, word: &str| request[member].as_str().is_some_and(|text| text.contains(word));
        call.operation == self.api()
            && match self {
                Self::ReadUser | Self::OpenSession | Self::ReadSessions => true,
                Self::CountAttempt => says("UpdateExpression", "SET #slot"),
                Self::Rotate | Self::NoticeReplay => says("UpdateExpression", "#generation = :next"),
                Self::FirstPage => request["ExclusiveStartKey"].is_null(),
                Self::NextPage => !request["ExclusiveStartKey"].is_null(),
                Self::EndReplayed
                | Self::EndOne
                | Self::EndOwn
                | Self::EndOnFirstPage
                | Self::EndOnNextPage => {
                    says("UpdateExpression", "#revoked_why") && request["Key"]["session"]["S"] == session
                }
            }
    }
}

/// Effect of a failure on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The response is slow, but in time, so there is no effect.
    None,
    /// Not applied. The SDK retries.
    Kept,
    /// Applied, but the response is lost. The SDK retries.
    Applied,
    /// Applied after the SDK's retries, when the operation has ended.
    AppliedLate,
    /// Applied after the operation and the client's retry.
    AppliedLast,
    /// Not applied, and a retry cannot succeed.
    Refused,
    /// Applied, but the response cannot be read, and neither can that of a retry.
    AppliedUnread,
    /// The transaction was cancelled because the user has changed since the password was checked.
    UserChanged,
}

impl Effect {
    pub(crate) const ALL: [Self; 8] = [
        Self::None,
        Self::Kept,
        Self::Applied,
        Self::AppliedLate,
        Self::AppliedLast,
        Self::Refused,
        Self::AppliedUnread,
        Self::UserChanged,
    ];

    /// Name in the document.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "slow",
            Self::Kept => "not applied",
            Self::Applied => "applied, unknown",
            Self::AppliedLate => "applied late",
            Self::AppliedLast => "applied last",
            Self::Refused => "refused",
            Self::AppliedUnread => "applied, unreadable",
            Self::UserChanged => "user changed",
        }
    }
}

/// A failure of a request.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) name: String,
    /// Action of the recorder on the request or its response.
    pub(crate) action: Action,
    pub(crate) effect: Effect,
    /// Number of times that a request is sent if it always fails in this way.
    pub(crate) tries: usize,
    /// The only operation of DynamoDB's API with this failure; `None` for all.
    pub(crate) only: Option<&'static str>,
}

impl Fault {
    /// Whether an attempt ends by the time limit of the client.
    pub(crate) fn hangs(&self) -> bool {
        self.tries == HANGS
    }
}

/// Attempts at a request that fails at once: the SDK's standard.
const AT_ONCE: usize = 4;
/// Attempts at a request that gets no response: the time is enough for two.
const HANGS: usize = 2;

fn fault(name: &str, action: Action, effect: Effect, tries: usize) -> Fault {
    Fault { name: name.to_owned(), action, effect, tries, only: None }
}

/// Reasons that DynamoDB can give for each action of a transaction ("TransactWriteItems", Errors), and whether they are
/// temporary.
const REASONS: [(&str, bool); 9] = [
    ("None", false),
    ("ConditionalCheckFailed", false),
    ("ItemCollectionSizeLimitExceeded", false),
    ("TransactionConflict", true),
    ("ProvisionedThroughputExceeded", true),
    ("ThrottlingError", true),
    ("ValidationError", false),
    ("AccessDenied", false),
    ("DuplicateItem", false),
];
/// The actions of the transaction, in their order.
const ACTIONS: [&str; 3] = ["the session", "the user", "the counter"];

fn cancelled(position: usize, reason: &str) -> Action {
    let reasons: Vec<Value> =
        (0..ACTIONS.len()).map(|n| json!({ "Code": if n == position { reason } else { "None" } })).collect();
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    Action::Status(400, json!({ "__type": kind, "Message": "cancelled", "CancellationReasons": reasons }))
}

/// The list of all failures.
pub(crate) fn faults() -> Vec<Fault> {
    use Effect::{Applied, AppliedLast, AppliedLate, AppliedUnread, Kept, None, Refused, UserChanged};
    let refuse = |code: &str| fault(code, Action::refuse(400, code), Kept, AT_ONCE);
    let only = |operation, fault: Fault| Fault { only: Some(operation), ..fault };
    let mut faults = vec![
        fault("answer slow, 0.4 s", Action::LateAnswer(Duration::from_millis(400)), None, 1),
        fault("answer lost, connection closed", Action::DropAnswer, Applied, AT_ONCE),
        fault("answer lost, connection reset", Action::ResetAnswer, Applied, AT_ONCE),
        fault("answer broken off in the middle", Action::CutAnswer, Applied, AT_ONCE),
        fault("answer without a body", Action::Garbled(|_| Vec::new()), Applied, AT_ONCE),
        fault("answer after the time-out", Action::LateAnswer(Duration::from_secs(60)), Applied, HANGS),
        fault("request lands after the time-out", Action::Held(Hold::default()), AppliedLate, HANGS),
        fault("request lands after everything", Action::Held(Hold::default()), AppliedLast, HANGS),
        fault("request lost, connection closed", Action::DropRequest, Kept, AT_ONCE),
        fault("request lost, connection reset", Action::ResetRequest, Kept, AT_ONCE),
        fault("no answer ever", Action::Hang(Duration::from_secs(60)), Kept, HANGS),
        fault("InternalServerError (500)", Action::refuse(500, "InternalServerError"), Kept, AT_ONCE),
        fault("503 that is not JSON", Action::Status(503, json!("busy")), Kept, AT_ONCE),
        refuse("ThrottlingException"),
        refuse("ProvisionedThroughputExceededException"),
        refuse("RequestLimitExceeded"),
        only("UpdateItem", refuse("TransactionConflictException")),
        only("TransactWriteItems", refuse("TransactionInProgressException")),
        only(
            "TransactWriteItems",
            Fault { effect: Refused, tries: 1, ..refuse("IdempotentParameterMismatchException") },
        ),
        Fault { effect: Refused, tries: 1, ..refuse("AccessDeniedException") },
        fault("answer is not JSON", Action::Garbled(|_| b"<html>".to_vec()), AppliedUnread, 1),
        fault(
            "answer is half of its JSON",
            Action::Garbled(|all| all[..all.len() / 2].to_vec()),
            AppliedUnread,
            1,
        ),
    ];
    for (reason, passes) in REASONS {
        for (position, subject) in ACTIONS.iter().enumerate() {
            let (effect, tries) = match (reason, position) {
                // DynamoDB's reason if the password or the status changed during the login.
                ("ConditionalCheckFailed", 1) => (UserChanged, 1),
                _ if passes => (Kept, AT_ONCE),
                _ => (Refused, 1),
            };
            let name = format!("TransactionCanceledException, {reason} for {subject}");
            faults.push(only("TransactWriteItems", fault(&name, cancelled(position, reason), effect, tries)));
        }
    }
    faults
}

/// Number of times that the request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Times {
    Once,
    ForGood,
}

/// The response that the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sees {
    /// As without the failure: 200, or `invalid_grant` for a replay.
    Done,
    /// 503 `temporarily_unavailable` with `Retry-After: 2`.
    Busy,
    /// The response is 500 `server_error`.
    OurFault,
    /// The response is 401, as for a wrong password.
    WrongPassword,
}

impl Sees {
    pub(crate) fn text(self, operation: Operation) -> &'static str {
        match self {
            Self::Done if operation == Operation::Replay => "400 `invalid_grant`",
            Self::Done => "200",
            Self::Busy => "503",
            Self::OurFault => "500",
            Self::WrongPassword => "401",
        }
    }
}

/// State of the tables after the failure and before the client's retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Number of opened sessions and of counted attempts.
    Login { sessions: usize, attempts: u32 },
    /// Generation of the session.
    Generation(u32),
    /// Whether the session has ended.
    Ended(bool),
    /// `all=true`: whether the token's own session has ended, and the state of the two pages of other sessions.
    All { own: bool, first: Page, next: Page },
}

/// State of the sessions on one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Live,
    Ended,
    /// All have ended, except the one whose ending failed.
    AllButOne,
    /// The one whose ending failed is live. Of the others, any may have ended.
    Some,
    /// The one whose ending was applied has ended. Of the others, any may have.
    OneAndSome,
}

impl Page {
    fn text(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Ended => "ended",
            Self::AllButOne => "all but one ended",
            Self::Some => "live or ended",
            Self::OneAndSome => "one ended, others live or ended",
        }
    }
}

impl State {
    pub(crate) fn text(self) -> String {
        match self {
            Self::Login { sessions, attempts } => {
                let sessions = match sessions {
                    0 => "no session",
                    1 => "one session",
                    _ => "two sessions, one without a holder",
                };
                let attempts = match attempts {
                    0 => "no attempt counted",
                    1 => "one attempt counted",
                    _ => "two attempts counted",
                };
                format!("{sessions}, {attempts}")
            }
            Self::Generation(0) => "session as before".to_owned(),
            Self::Generation(_) => "session rotated once".to_owned(),
            Self::Ended(true) => "session ended".to_owned(),
            Self::Ended(false) => "session live".to_owned(),
            Self::All { own, first, next } => {
                let own = if own { "ended" } else { "live" };
                format!("token's session {own}; first page {}; next page {}", first.text(), next.text())
            }
        }
    }
}

/// Outcome of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) sees: Sees,
    /// After all requests of the operation, before the client's retry.
    pub(crate) state: State,
    /// After the client's retry, if the response asks for one, and after requests that are applied last.
    pub(crate) finally: State,
    /// Number of times that the request is sent.
    pub(crate) tries: usize,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) fault: Fault,
    pub(crate) site: Site,
    pub(crate) times: Times,
    pub(crate) expected: Expected,
}

/// All rows: each failure of each request that can fail in this way, once and permanently.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for fault in faults() {
        for site in Site::ALL {
            if fault.only.is_some_and(|api| api != site.api()) {
                continue;
            }
            for times in [Times::Once, Times::ForGood] {
                rows.push(Row { expected: expected(&fault, site, times), fault: fault.clone(), site, times });
            }
        }
    }
    rows
}

/// The expected outcome of a failure.
fn expected(fault: &Fault, site: Site, times: Times) -> Expected {
    let (sees, applied) = match (fault.effect, times) {
        // The session is open. What this query cannot end, that of the next login does.
        _ if site == Site::ReadSessions => (Sees::Done, true),
        (Effect::None, _) => (Sees::Done, true),
        (Effect::Kept | Effect::Applied | Effect::AppliedLate | Effect::AppliedLast, Times::Once) => {
            (Sees::Done, true)
        }
        (Effect::Kept, Times::ForGood) => (Sees::Busy, false),
        // A request that is applied last is not applied yet.
        (Effect::AppliedLast, Times::ForGood) => (Sees::Busy, false),
        (Effect::Applied | Effect::AppliedLate, Times::ForGood) => (Sees::Busy, true),
        (Effect::Refused, _) => (Sees::OurFault, false),
        (Effect::AppliedUnread, _) => (Sees::OurFault, true),
        (Effect::UserChanged, _) => (Sees::WrongPassword, false),
    };
    let tries = match (fault.tries, times) {
        (1, _) => 1,
        (_, Times::Once) => 2,
        (tries, Times::ForGood) => tries,
    };
    // An attempt that is counted after the login has deleted the counter creates the counter again.
    let late = |effect| u32::from(site == Site::CountAttempt && fault.effect == effect);
    let state = if sees == Sees::Done {
        done(site.operation(), late(Effect::AppliedLate))
    } else {
        stopped(site, applied, fault.effect)
    };
    let finally = match done(site.operation(), 0) {
        State::Login { .. } => {
            let before = match state {
                State::Login { sessions, attempts } => (sessions, attempts),
                _ => (0, 0),
            };
            // The client retries unless the response was 200. A success deletes the counter.
            let (sessions, attempts) = if sees == Sees::Done { before } else { (before.0 + 1, 0) };
            // A session that is opened last is one more, without a client.
            let opened =
                site == Site::OpenSession && fault.effect == Effect::AppliedLast && times == Times::ForGood;
            State::Login {
                sessions: sessions + usize::from(opened),
                attempts: attempts.max(late(Effect::AppliedLast)),
            }
        }
        other => other,
    };
    Expected { sees, state, finally, tries }
}

/// State after an operation without a failure.
pub(crate) fn done(operation: Operation, attempts: u32) -> State {
    match operation {
        Operation::Login => State::Login { sessions: 1, attempts },
        Operation::Refresh => State::Generation(1),
        Operation::Replay | Operation::Revoke => State::Ended(true),
        Operation::RevokeAll => State::All { own: true, first: Page::Ended, next: Page::Ended },
    }
}

/// State after an operation that ended at this request.
fn stopped(site: Site, applied: bool, effect: Effect) -> State {
    // The endings of a page run in parallel. A permanent failure of one cancels the others. While one is retried, the
    // others finish.
    let page = match (applied, effect) {
        (false, Effect::Refused) => Page::Some,
        (true, Effect::AppliedUnread) => Page::OneAndSome,
        (false, _) => Page::AllButOne,
        (true, _) => Page::Ended,
    };
    let all = |own, first, next| State::All { own, first, next };
    match site {
        Site::ReadUser => State::Login { sessions: 0, attempts: 1 },
        Site::CountAttempt => State::Login { sessions: 0, attempts: u32::from(applied) },
        Site::OpenSession if applied => State::Login { sessions: 1, attempts: 0 },
        Site::OpenSession => State::Login { sessions: 0, attempts: 1 },
        Site::ReadSessions => State::Login { sessions: 1, attempts: 0 },
        Site::Rotate => State::Generation(u32::from(applied)),
        Site::NoticeReplay => State::Ended(false),
        Site::EndReplayed | Site::EndOne => State::Ended(applied),
        Site::EndOwn => all(applied, Page::Live, Page::Live),
        Site::FirstPage => all(true, Page::Live, Page::Live),
        Site::NextPage => all(true, Page::Ended, Page::Live),
        Site::EndOnFirstPage => all(true, page, Page::Live),
        Site::EndOnNextPage => all(true, Page::Ended, page),
    }
}
