//! Plays every row of the table, and compares the response, the tables, the outcome of the client's retry and the validity
//! of every issued token.

use crate::suites::failures::rows::{Effect, Expected, Operation, Page, Row, Sees, Site, State, Times, rows};
use daypass_core::ports::event::Event;
use daypass_core::ports::store::User;
use daypass_core::session::Session;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::hold::Hold;
use daypass_testkit::recorder::{Action, Exchange, Tamper};
use daypass_tests::service::{PASSWORD, Service};
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Rows that are played in parallel. Most of them wait.
const AT_A_TIME: usize = 32;
/// Sessions per page of a query. DynamoDB has a megabyte per page.
const PAGE: usize = 3;
/// Sessions of the user whose sessions are all revoked: two pages.
const SESSIONS: usize = 5;

/// Makes the pages of queries short.
pub(crate) struct ShortPages;

impl Tamper for ShortPages {
    fn request(&self, operation: &str, request: &mut Value) -> Option<(u16, Value)> {
        if operation == "Query" {
            request["Limit"] = json!(PAGE);
        }
        None
    }
}

/// An operation that is ready to be sent.
pub(crate) struct Scene {
    pub(crate) user: User,
    name: String,
    operation: Operation,
    /// The token that the operation presents. Empty for a login.
    pub(crate) token: String,
    /// All issued refresh tokens: those of the session, the newest last, and those of the user's other sessions.
    own: Vec<String>,
    others: Vec<String>,
    /// Session ids: that of the token, and those of the other sessions on each page.
    pub(crate) session: String,
    pages: [Vec<String>; 2],
}

impl Scene {
    /// Logs in, and rotates as often as the operation needs.
    pub(crate) async fn set(service: &Service, operation: Operation, name: &str) -> Self {
        let user = service.quick_user(name).await;
        let mut scene = Self {
            user,
            name: name.to_owned(),
            operation,
            token: String::new(),
            own: Vec::new(),
            others: Vec::new(),
            session: String::new(),
            pages: [Vec::new(), Vec::new()],
        };
        if operation != Operation::Login {
            let login = service.login(name).await;
            scene.session = login.text("session_id");
            scene.token = login.refresh_token();
            scene.own.push(login.refresh_token());
            let mut ids = vec![scene.session.clone()];
            for _ in 1..if operation == Operation::RevokeAll { SESSIONS } else { 2 } {
                let other = service.login(name).await;
                ids.push(other.text("session_id"));
                scene.others.push(other.refresh_token());
            }
            // A query returns items in the order of the sort key.
            ids.sort();
            for (place, id) in ids.into_iter().enumerate().filter(|(_, id)| *id != scene.session) {
                scene.pages[place / PAGE].push(id);
            }
        }
        if operation == Operation::Replay {
            for n in 0..2 {
                let next = service.refresh(&scene.own[n]).await.refresh_token();
                scene.own.push(next);
            }
        }
        let _ = (service.bench.recorder.take(), service.journal.take());
        scene
    }

    /// Sends the request of the operation.
    pub(crate) async fn ask(&self, service: &Service) -> Answer {
        match self.operation {
            Operation::Login => service.login(&self.name).await,
            Operation::Refresh | Operation::Replay => service.refresh(&self.token).await,
            Operation::Revoke => service.revoke(&self.token).await,
            Operation::RevokeAll => service.form("/revoke", &format!("token={}&all=true", self.token)).await,
        }
    }

    /// The same request as a function gets it: name of the function, content type and body.
    pub(crate) fn as_event(&self) -> (&'static str, &'static str, String) {
        const FORM: &str = "application/x-www-form-urlencoded";
        let token = &self.token;
        match self.operation {
            Operation::Login => {
                let body = json!({ "username": self.name, "password": PASSWORD });
                ("login", "application/json", body.to_string())
            }
            Operation::Refresh | Operation::Replay => {
                ("refresh", FORM, format!("grant_type=refresh_token&refresh_token={token}"))
            }
            Operation::Revoke => ("revoke", FORM, format!("token={token}")),
            Operation::RevokeAll => ("revoke", FORM, format!("token={token}&all=true")),
        }
    }

    /// The session that this request ends.
    pub(crate) fn ended_by(&self, site: Site) -> String {
        match site {
            Site::EndOnFirstPage => self.pages[0].last().unwrap().clone(),
            Site::EndOnNextPage => self.pages[1].last().unwrap().clone(),
            _ => self.session.clone(),
        }
    }

    /// Panics unless the tables are as expected.
    pub(crate) async fn check(&self, base: &Service, state: State, site: Site, attempts: &str, case: &str) {
        let sessions = base.bench.store.sessions(self.user.id).await.unwrap();
        let find = |id: &str| sessions.iter().find(|session| session.session.to_string() == id).unwrap();
        let ended = |id: &str| find(id).ended.is_some();
        match state {
            State::Login { sessions: count, attempts: counted } => {
                assert_eq!(sessions.len(), count, "{case}: sessions");
                assert!(sessions.iter().all(|session| session.generation == 0 && session.ended.is_none()));
                assert_eq!(counter(base, attempts).await, counted, "{case}: attempts");
            }
            State::Generation(generation) => {
                let session = find(&self.session);
                assert_eq!((session.generation, session.ended), (generation, None), "{case}");
                assert_eq!(session.rotated_at.is_some(), generation > 0, "{case}");
                self.others_live(&sessions, case);
            }
            State::Ended(expected) => {
                assert_eq!(ended(&self.session), expected, "{case}");
                self.others_live(&sessions, case);
            }
            State::All { own, first, next } => {
                assert_eq!(ended(&self.session), own, "{case}: the token's own");
                for ((page, ids), site_of_page) in
                    [first, next].iter().zip(&self.pages).zip([Site::EndOnFirstPage, Site::EndOnNextPage])
                {
                    let one = self.ended_by(site_of_page);
                    for id in ids {
                        let fine = match page {
                            Page::Live => !ended(id),
                            Page::Ended => ended(id),
                            Page::AllButOne => ended(id) == (*id != one),
                            Page::Some => *id != one || !ended(id),
                            Page::OneAndSome => *id != one || ended(id),
                        };
                        assert!(fine, "{case}: {site:?} {id} of a page that should be {page:?}");
                    }
                }
            }
        }
    }

    fn others_live(&self, sessions: &[Session], case: &str) {
        let others = sessions.iter().filter(|session| session.session.to_string() != self.session);
        assert!(others.into_iter().all(|other| other.generation == 0 && other.ended.is_none()), "{case}");
    }

    /// Presents every token, and compares whether it is valid.
    pub(crate) async fn present(&self, service: &Service, answers: &[Answer], case: &str) {
        for answer in answers.iter().filter(|answer| answer.status == 200) {
            if matches!(self.operation, Operation::Login | Operation::Refresh) {
                assert!(service.lets_through(&answer.access_token()), "{case}: an access token that is none");
            }
        }
        let dead = |answer: &Answer| assert_eq!(answer.outcome(), invalid_grant(), "{case}: a dead token");
        match self.operation {
            Operation::Login => {
                for answer in answers.iter().filter(|answer| answer.status == 200) {
                    let next = service.refresh(&answer.refresh_token()).await;
                    assert_eq!(next.status, 200, "{case}: the token of a login");
                }
            }
            Operation::Refresh => {
                let issued: Vec<String> =
                    answers.iter().filter(|answer| answer.status == 200).map(Answer::refresh_token).collect();
                assert!(issued.iter().all(|token| *token == issued[0]), "{case}: one successor");
                let next = service.refresh(&issued[0]).await.refresh_token();
                assert!(next != issued[0] && next != self.token, "{case}");
            }
            Operation::Replay | Operation::Revoke => {
                for token in &self.own {
                    dead(&service.refresh(token).await);
                }
            }
            Operation::RevokeAll => {
                for token in self.own.iter().chain(&self.others) {
                    dead(&service.refresh(token).await);
                }
                return;
            }
        }
        for other in &self.others {
            assert_eq!(service.refresh(other).await.status, 200, "{case}: another session");
        }
    }
}

pub(crate) fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

/// The number of attempts counted under this key. 0 if no request has named a key.
pub(crate) async fn counter(base: &Service, key: &str) -> u32 {
    if key.is_empty() {
        return 0;
    }
    base.bench.attempts(key).await.map_or(0, |(count, _)| u32::try_from(count).unwrap())
}

/// The key under which these requests have counted an attempt.
pub(crate) fn attempts_key(exchanges: &[Exchange]) -> String {
    let counting = |exchange: &&Exchange| !exchange.request["Key"]["key"]["S"].is_null();
    exchanges
        .iter()
        .find(counting)
        .map_or(String::new(), |exchange| exchange.request["Key"]["key"]["S"].as_str().unwrap().to_owned())
}

/// Panics unless the client got this response.
pub(crate) fn check_answer(answer: &Answer, sees: Sees, operation: Operation, case: &str) {
    let expected = match (sees, operation) {
        (Sees::Done, Operation::Replay) => (400, "invalid_grant"),
        (Sees::Done, _) => (200, ""),
        (Sees::Busy, _) => (503, "temporarily_unavailable"),
        (Sees::OurFault, _) => (500, "server_error"),
        (Sees::WrongPassword, _) => (401, "invalid_grant"),
    };
    assert_eq!(answer.outcome(), (expected.0, expected.1.to_owned()), "{case}");
    let wait = (sees == Sees::Busy).then_some("2");
    assert_eq!(answer.header("retry-after"), wait, "{case}");
}

/// Cost of a row.
struct Played {
    operation: Operation,
    sees: Sees,
    took: Duration,
}

async fn play(base: &Service, url: &str, row: &Row) -> Played {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let Row { fault, site, times, expected } = row;
    let (site, times) = (*site, *times);
    let operation = site.operation();
    let case = format!("{}: {}, {}, {times:?}", operation.name(), site.name(), fault.name);
    let service = base.redeployed(url, &[]).await;
    let name = format!("user{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let scene = Scene::set(&service, operation, &name).await;
    service.bench.recorder.set_tamper(ShortPages);

    let target = scene.ended_by(site);
    let seen = AtomicUsize::new(0);
    let hold = Hold::default();
    let action = match &fault.action {
        Action::Held(_) => Action::Held(hold.clone()),
        other => other.clone(),
    };
    let session = target.clone();
    service.bench.recorder.set_hook(move |call| {
        let fails =
            site.is(call, &session) && (seen.fetch_add(1, Ordering::SeqCst) == 0 || times == Times::ForGood);
        if fails { action.clone() } else { Action::Pass }
    });
    let before = Instant::now();
    let answer = scene.ask(&service).await;
    let took = before.elapsed();
    check_answer(&answer, expected.sees, operation, &case);
    let exchanges = service.bench.recorder.take();
    let tries = exchanges.iter().filter(|exchange| {
        let call =
            daypass_testkit::recorder::Call { operation: &exchange.operation, request: &exchange.request };
        site.is(&call, &target)
    });
    assert_eq!(tries.count(), expected.tries, "{case}: tries");
    let key = attempts_key(&exchanges);

    let lands = async || {
        hold.release();
        hold.landed().await;
    };
    if fault.effect == Effect::AppliedLate {
        lands().await;
    }
    scene.check(base, expected.state, site, &key, &case).await;

    service.bench.recorder.always(Action::Pass);
    let mut answers = vec![answer];
    // A client that is logged in does not repeat the login.
    if operation != Operation::Login || expected.sees != Sees::Done {
        let again = scene.ask(&service).await;
        check_answer(&again, Sees::Done, operation, &format!("{case}, again"));
        answers.push(again);
    }
    if fault.effect == Effect::AppliedLast {
        lands().await;
    }
    scene.check(base, expected.finally, site, &key, &format!("{case}, finally")).await;
    check_events(&service, row, &case);
    scene.present(&service, &answers, &case).await;
    Played { operation, sees: expected.sees, took }
}

/// One theft is one event. Two are permitted if the ending seemed to fail and the retry found the session live.
fn check_events(service: &Service, row: &Row, case: &str) {
    let events = service.journal.take();
    let reuse = events.iter().filter(|event| matches!(event, Event::Reuse { .. })).count();
    if row.site.operation() != Operation::Replay {
        assert_eq!(reuse, 0, "{case}: nothing was stolen");
        return;
    }
    let failed = events.iter().any(|event| matches!(event, Event::Failure { during: "revoke_session", .. }));
    assert!(reuse == 1 || (failed && reuse == 2), "{case}: {reuse} events");
}

/// Causes every failure of every request of every operation.
///
/// invariant: After any failure of DynamoDB at any request, a retry finishes what was begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_row_of_the_table() {
    let _turn = crate::suites::failures::ONE_AT_A_TIME.lock().await;
    let embedded = Embedded::start(None).unwrap();
    let url = embedded.url();
    let base = Service::quick(&url, &[]).await;
    let rows = rows();
    let started = Instant::now();
    // The longest rows first.
    let mut order: Vec<&Row> = rows.iter().collect();
    order.sort_by_key(|row| std::cmp::Reverse(row.fault.hangs()));
    // All rows are played, even if some fail: their common parts show the cause.
    let played: Vec<Result<Played, _>> = stream::iter(order)
        .map(|row| AssertUnwindSafe(play(&base, &url, row)).catch_unwind())
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let failed = played.iter().filter(|played| played.is_err()).count();
    assert_eq!(failed, 0, "of {} rows are not as the table says: see above", played.len());
    let played: Vec<Played> = played.into_iter().flatten().collect();

    println!("failures x requests x once or for good: {} rows in {:.0?}", played.len(), started.elapsed(),);
    println!("{:<32}{:>6}{:>8}{:>8}{:>8}{:>8}{:>16}", "", "rows", "done", "503", "500", "401", "longest");
    for operation in Operation::ALL {
        let of: Vec<&Played> = played.iter().filter(|row| row.operation == operation).collect();
        let saw = |sees| of.iter().filter(|row| row.sees == sees).count();
        let longest = of.iter().map(|row| row.took).max().unwrap();
        println!(
            "{:<32}{:>6}{:>8}{:>8}{:>8}{:>8}{:>9.1} s of {}",
            operation.name(),
            of.len(),
            saw(Sees::Done),
            saw(Sees::Busy),
            saw(Sees::OurFault),
            saw(Sees::WrongPassword),
            longest.as_secs_f64(),
            operation.limit().as_secs(),
        );
        assert!(!of.is_empty());
    }
    let mut by_fault: BTreeMap<String, usize> = BTreeMap::new();
    for row in &rows {
        let name = row.fault.name.split(',').next().unwrap();
        let name = if row.fault.name.starts_with("Transaction") { name } else { row.fault.name.as_str() };
        *by_fault.entry(name.to_owned()).or_default() += 1;
    }
    for (fault, count) in by_fault {
        println!("  {fault:<44}{count:>4} rows");
    }
}

/// Each row occurs once, none is missing, and no failing store causes a verdict on a token.
#[test]
fn the_table_is_whole() {
    let rows = rows();
    let mut keys: Vec<String> =
        rows.iter().map(|row| format!("{} {:?} {:?}", row.fault.name, row.site, row.times)).collect();
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
    for site in Site::ALL {
        let of = rows.iter().filter(|row| row.site == site).count();
        let every =
            crate::suites::failures::rows::faults().iter().filter(|fault| fault.only.is_none()).count();
        assert!(of >= 2 * every, "{site:?}: {of}");
    }
    for Row { expected: Expected { sees, .. }, fault, .. } in &rows {
        assert!(*sees != Sees::WrongPassword || fault.effect == Effect::UserChanged);
    }
}
