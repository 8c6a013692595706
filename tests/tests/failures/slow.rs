//! Build 7 in numbers: how long each operation takes at its slowest, against the time after which Lambda ends the function.
//!
//! The arithmetic is in `shared/dynamodb/src/connect.rs`. Lambda's limits are read from template.yaml.

use crate::matrix::{Scene, ShortPages, check_answer};
use crate::pulse::Pulse;
use crate::rows::{Operation, Sees};
use daypass_tests::recorder::{Action, Call};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The network, hashing, and what a busy machine adds.
const SLACK: Duration = Duration::from_millis(600);
const FOR_EVER: Duration = Duration::from_secs(60);

/// What connect.rs promises when nothing answers, and when every request but the last answers at the last moment.
pub(crate) fn promised(operation: Operation) -> (Duration, Duration) {
    let ms = Duration::from_millis;
    match operation {
        Operation::Login => (ms(2_000), ms(4_000)),
        Operation::Refresh => (ms(2_000), ms(2_000)),
        Operation::Replay => (ms(2_000), ms(4_000)),
        Operation::Revoke => (ms(2_000), ms(2_000)),
        Operation::RevokeAll => (ms(2_000), ms(4_500)),
    }
}

/// The last request of an operation, by what it asks. `session` is the token's own.
fn is_last(operation: Operation, call: &Call<'_>, session: &str) -> bool {
    let ends = call.request["UpdateExpression"].as_str().is_some_and(|text| text.contains("#revoked_why"));
    match operation {
        Operation::Login => call.operation == "TransactWriteItems",
        Operation::Refresh => true,
        Operation::Replay | Operation::Revoke => ends,
        Operation::RevokeAll => ends && call.request["Key"]["session"]["S"] != session,
    }
}

/// `Timeout` of a function in template.yaml: its own, or that of all functions.
fn limit_in_the_template(function: &str) -> Duration {
    let text = include_str!("../../../template.yaml");
    let timeout = |from: &str| {
        let section = text.split_once(from).unwrap().1;
        // Up to the next resource.
        let end = section
            .match_indices("\n  ")
            .find(|(at, _)| section[at + 3..].starts_with(|c: char| c.is_ascii_uppercase()));
        let section = &section[..end.map_or(section.len(), |(at, _)| at)];
        let line = section.lines().find_map(|line| line.trim().strip_prefix("Timeout: "))?;
        Some(Duration::from_secs(line.parse().unwrap()))
    };
    timeout(&format!("\n  {function}:\n")).or_else(|| timeout("\nGlobals:\n")).unwrap()
}

#[test]
fn the_limits_are_those_of_the_template() {
    for (operation, function) in [
        (Operation::Login, "LoginFunction"),
        (Operation::Refresh, "RefreshFunction"),
        (Operation::Replay, "RefreshFunction"),
        (Operation::Revoke, "RevokeFunction"),
        (Operation::RevokeAll, "RevokeFunction"),
    ] {
        assert_eq!(limit_in_the_template(function), operation.limit(), "{function}");
    }
}

/// 503 before Lambda ends the function: when nothing ever answers, and when each request but the last answers just in
/// time and the last one never does.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_says_so_in_time() {
    let _turn = crate::ONE_AT_A_TIME.lock().await;
    let (db, base) = crate::service().await;
    let url = db.url();
    let cases = Operation::ALL.iter().flat_map(|operation| [(*operation, false), (*operation, true)]);
    let pulse = Pulse::start(&base);
    let (base, url) = (&base, &url);
    let number = AtomicUsize::new(0);
    let measure = async |operation: Operation, in_turn: bool| {
        let service = base.redeployed(url, &[]).await;
        let name = format!("user{}", number.fetch_add(1, Ordering::Relaxed));
        let scene = Scene::set(&service, operation, &name).await;
        service.bench.recorder.set_tamper(ShortPages);
        let session = scene.session.clone();
        let tries: Mutex<BTreeMap<String, usize>> = Mutex::default();
        service.bench.recorder.set_hook(move |call| {
            let mut tries = tries.lock().unwrap();
            let tries =
                tries.entry(format!("{} {}", call.operation, call.request["UpdateExpression"])).or_default();
            *tries += 1;
            match (in_turn && !is_last(operation, call, &session), *tries) {
                // The second try starts at most 50 ms after the first one's second, and has the rest of two.
                (true, 2..) => Action::Hang(Duration::from_millis(750)),
                _ => Action::Hang(FOR_EVER),
            }
        });
        let before = Instant::now();
        let answer = scene.ask(&service).await;
        let took = before.elapsed();
        let (at_once, at_most) = promised(operation);
        let promised = if in_turn { at_most } else { at_once };
        let case = format!("{operation:?}, in turn: {in_turn}, {took:?}");
        check_answer(&answer, Sees::Busy, operation, &case);
        assert!(took < promised + SLACK && took > promised - SLACK, "{case}: promised {promised:?}");
        assert!(took < operation.limit(), "{case}");
        service.bench.recorder.always(Action::Pass);
        check_answer(&scene.ask(&service).await, Sees::Done, operation, &case);
        (operation, in_turn, took, promised)
    };
    let results = futures_util::future::join_all(
        cases.map(|(operation, in_turn)| pulse.play(move || measure(operation, in_turn))),
    )
    .await;
    assert!(results.iter().all(Option::is_some), "see above");
    println!(
        "DynamoDB hangs for good (at once: from the first request on; in turn: each answers at the last moment)"
    );
    for (operation, in_turn, took, promised) in results.into_iter().flatten() {
        println!(
            "  {:<32}{:<8}{:.2} s, promised {:.1} s, Lambda's limit {} s",
            operation.name(),
            if in_turn { "in turn" } else { "at once" },
            took.as_secs_f64(),
            promised.as_secs_f64(),
            operation.limit().as_secs(),
        );
    }
}
