//! A function dies between its steps. Real processes get SIGKILL when one of their requests reaches DynamoDB, before or
//! after it is applied. A new process handles the client's retry.

use crate::suites::failures::matrix::{Scene, ShortPages, attempts_key, check_answer, counter};
use crate::suites::failures::process::Process;
use crate::suites::failures::rows::{Operation, Sees};
use daypass_runtime::SystemClock;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::{Action, Exchange, Tamper};
use daypass_tests::service::Service;
use daypass_verifier::base::time::Clock;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Processes that run in parallel.
const AT_A_TIME: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// DynamoDB does not receive the request.
    Before,
    /// DynamoDB has applied the request, and its response is lost.
    After,
}

type Killer = Arc<dyn Fn() + Send + Sync>;

/// Kills the process when the response to the k-th request has come from DynamoDB. Requests are identified by their
/// content, because parallel ones are answered in any order.
struct KillAfter {
    doomed: Arc<Mutex<Option<Value>>>,
    kill: Killer,
}

impl Tamper for KillAfter {
    fn request(&self, operation: &str, request: &mut Value) -> Option<(u16, Value)> {
        ShortPages.request(operation, request)
    }

    fn answer(
        &self,
        operation: &str,
        request: &Value,
        _: &mut (u16, Value),
    ) -> Option<(&'static str, Value)> {
        let mut sent = request.clone();
        // The limit that `ShortPages` has inserted.
        if operation == "Query" {
            sent.as_object_mut().unwrap().remove("Limit");
        }
        if self.doomed.lock().unwrap().as_ref() == Some(&sent) {
            (self.kill)();
        }
        None
    }
}

/// Number of requests of an operation, as this test sends it.
async fn requests(base: &Service, url: &str, keys: &Path, operation: Operation) -> usize {
    let service = base.redeployed(url, &[]).await;
    service.clock.set(SystemClock.now());
    let scene = Scene::set(&service, operation, &format!("count{operation:?}")).await;
    let (function, content_type, body) = scene.as_event();
    let mut process = Process::start(function, &service, keys).await;
    service.bench.recorder.set_tamper(ShortPages);
    let _ = service.bench.recorder.take();
    process.send(function, content_type, &body);
    check_answer(&process.answer().await, Sees::Done, operation, "counting");
    service.bench.recorder.take().len()
}

async fn crash(base: &Service, url: &str, keys: &Path, operation: Operation, k: usize, when: When) {
    let case = format!("{}, killed {when:?} request {k}", operation.name());
    let service = base.redeployed(url, &[]).await;
    service.clock.set(SystemClock.now());
    let scene = Scene::set(&service, operation, &format!("{operation:?}{k}{when:?}")).await;
    let (function, content_type, body) = scene.as_event();

    let first = Process::start(function, &service, keys).await;
    let kill: Killer = Arc::new(first.killer());
    let doomed = Arc::new(Mutex::new(None));
    service.bench.recorder.set_tamper(KillAfter { doomed: Arc::clone(&doomed), kill: Arc::clone(&kill) });
    let seen = AtomicUsize::new(0);
    let (mark, kill_before) = (Arc::clone(&doomed), Arc::clone(&kill));
    service.bench.recorder.set_hook(move |call| {
        let number = seen.fetch_add(1, Ordering::SeqCst) + 1;
        match when {
            _ if number < k => Action::Pass,
            When::Before if number == k => {
                *mark.lock().unwrap() = Some(call.request.clone());
                kill_before();
                Action::DropRequest
            }
            When::After if number == k => {
                *mark.lock().unwrap() = Some(call.request.clone());
                Action::DropAnswer
            }
            // Requests that the dying process still sends.
            _ => Action::DropRequest,
        }
    });
    first.send(function, content_type, &body);
    let mut log = first.died().await;
    let exchanges = service.bench.recorder.take();
    let doomed = doomed.lock().unwrap().clone().unwrap_or_else(|| panic!("{case}: no such request"));
    // Whether the session was already open when the process died. After that, only slots are freed.
    let opening =
        |exchange: &Exchange| exchange.operation == "TransactWriteItems" && exchange.request != doomed;
    let opened = exchanges.iter().any(opening);
    check(base, &scene, operation, k, when, &doomed, opened, &attempts_key(&exchanges), &case).await;

    // The client's retry, in another process.
    service.bench.recorder.set_tamper(ShortPages);
    service.bench.recorder.always(Action::Pass);
    let before = base.bench.store.sessions(scene.user.id).await.unwrap().len();
    let mut second = Process::start(function, &service, keys).await;
    second.send(function, content_type, &body);
    let answer = second.answer().await;
    check_answer(&answer, Sees::Done, operation, &format!("{case}, again"));
    log.extend(second.end().await);
    let sessions = base.bench.store.sessions(scene.user.id).await.unwrap();
    let own = sessions.iter().find(|session| session.session.to_string() == scene.session);
    match operation {
        Operation::Login => {
            assert_eq!(sessions.len(), before + 1, "{case}");
            assert_eq!(counter(base, &attempts_key(&service.bench.recorder.take())).await, 0, "{case}");
        }
        Operation::Refresh => assert_eq!(own.unwrap().generation, 1, "{case}"),
        Operation::Replay | Operation::Revoke => assert!(own.unwrap().ended.is_some(), "{case}"),
        Operation::RevokeAll => assert!(sessions.iter().all(|session| session.ended.is_some()), "{case}"),
    }
    service.clock.set(SystemClock.now());
    scene.present(&service, &[answer], &case).await;
    let reuse = log.iter().filter(|line| line["event"] == "refresh.reuse").count();
    match operation {
        // The process died after it had ended the session, and before it logged that.
        Operation::Replay if k == 2 && when == When::After => assert!(reuse <= 1, "{case}"),
        Operation::Replay => assert_eq!(reuse, 1, "{case}"),
        _ => assert_eq!(reuse, 0, "{case}"),
    }
}

/// Compares the tables after the crash. `doomed` is the request at which the process was killed.
#[expect(clippy::too_many_arguments, reason = "all that there is to know about a crash")]
async fn check(
    base: &Service,
    scene: &Scene,
    operation: Operation,
    k: usize,
    when: When,
    doomed: &Value,
    opened: bool,
    attempts: &str,
    case: &str,
) {
    let after = when == When::After;
    let sessions = base.bench.store.sessions(scene.user.id).await.unwrap();
    let own = sessions.iter().find(|session| session.session.to_string() == scene.session);
    match operation {
        Operation::Login => {
            let counted = counter(base, attempts).await;
            let opens = doomed["TransactItems"].is_array();
            let opened = opened || (opens && after);
            assert_eq!(sessions.len(), usize::from(opened), "{case}");
            match doomed["Key"]["key"]["S"].as_str() {
                _ if opened => assert_eq!(counted, 0, "{case}: a session settles the counter"),
                None if opens => assert_eq!(counted, 1, "{case}"),
                None => assert!(counted <= 1, "{case}: it was the user's; the other request was under way"),
                Some(key) if key == attempts => assert_eq!(counted, u32::from(after), "{case}"),
                // The counter of the account, which comes after the first one.
                Some(_) => assert_eq!(counted, 1, "{case}"),
            }
        }
        Operation::Refresh => assert_eq!(own.unwrap().generation, u32::from(after), "{case}"),
        Operation::Replay => assert_eq!(own.unwrap().ended.is_some(), k == 2 && after, "{case}"),
        Operation::Revoke => assert_eq!(own.unwrap().ended.is_some(), after, "{case}"),
        Operation::RevokeAll => {
            assert_eq!(own.unwrap().ended.is_some(), k > 1 || after, "{case}");
            let one = doomed["Key"]["session"]["S"].as_str();
            for session in &sessions {
                if Some(session.session.to_string().as_str()) == one {
                    assert_eq!(session.ended.is_some(), after, "{case}: the one at which it died");
                } else if k <= 2 && session.session.to_string() != scene.session {
                    assert!(session.ended.is_none(), "{case}: nothing but the token's own was asked for yet");
                }
            }
        }
    }
}

/// Kills at each request of each operation, before and after it is applied.
///
/// invariant: After the death of a function between its steps, a retry finishes what was begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_function_that_dies_between_its_steps() {
    let _turn = crate::suites::failures::ONE_AT_A_TIME.lock().await;
    let embedded = Embedded::start(None).unwrap();
    let url = embedded.url();
    let base = Service::quick(&url, &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.json");
    std::fs::write(&keys, base.keys.to_json().unwrap()).unwrap();
    let started = Instant::now();
    let mut cases = Vec::new();
    for operation in Operation::ALL {
        let count = requests(&base, &url, &keys, operation).await;
        for k in 1..=count {
            cases.extend([When::Before, When::After].map(|when| (operation, k, when)));
        }
    }
    let each = |operation| cases.iter().filter(|case| case.0 == operation).count();
    let told: Vec<String> =
        Operation::ALL.iter().map(|operation| format!("{} {}", operation.name(), each(*operation))).collect();
    stream::iter(&cases)
        .for_each_concurrent(AT_A_TIME, |(operation, k, when)| {
            crash(&base, &url, &keys, *operation, *k, *when)
        })
        .await;
    println!(
        "processes killed at a request: {} in {:.0?}: {}",
        cases.len(),
        started.elapsed(),
        told.join(", ")
    );
    assert!(cases.len() >= 28);
}
