//! The longest time of each operation, compared with the limits in `shared/dynamodb/src/connect.rs` and the time after
//! which Lambda ends the function.

use crate::suites::failures;
use crate::suites::failures::matrix::{Scene, ShortPages};
use crate::suites::failures::process::Process;
use crate::suites::failures::rows::Operation;
use crate::suites::failures::slow::{Timed, check_busy, hang, play};
use crate::suites::timing::pulse::Pulse;
use daypass_runtime::SystemClock;
use daypass_testkit::secrets_manager::SecretsManager;
use daypass_verifier::base::time::Clock;
use futures_util::{StreamExt, stream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Time for the network, hashing, and other load of the machine.
const SLACK: Duration = Duration::from_millis(600);
/// Operations that are timed in parallel. More of them would slow each other down.
const AT_A_TIME: usize = 5;

/// The response is 503 before Lambda ends the function. In one case no request is answered. In the other, each is answered
/// at the last moment, and the last one never.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_says_so_in_time() {
    let (db, base) = failures::service().await;
    let url = db.url();
    let cases = Timed::ALL.into_iter().flat_map(|timed| [(timed, false), (timed, true)]);
    let pulse = Pulse::start(&base);
    let (base, url) = (&base, &url);
    let number = AtomicUsize::new(0);
    let measure = async |timed: Timed, in_turn: bool| {
        let service = base.redeployed(url, &[]).await;
        service.bench.recorder.patience().run_always();
        let name = format!("user{}", number.fetch_add(1, Ordering::Relaxed));
        let took = play(&service, timed, in_turn, &name).await;
        let (at_once, at_most) = timed.promised();
        let promised = if in_turn { at_most } else { at_once };
        let case = format!("{timed:?}, in turn: {in_turn}, {took:?}");
        assert!(took < promised + SLACK && took > promised - SLACK, "{case}: promised {promised:?}");
        assert!(took < timed.limit(), "{case}");
        (timed, in_turn, took, promised)
    };
    let results: Vec<_> = stream::iter(cases)
        .map(|(timed, in_turn)| pulse.play(move || measure(timed, in_turn)))
        .buffered(AT_A_TIME)
        .collect()
        .await;
    assert!(results.iter().all(Option::is_some), "see above");
    println!(
        "DynamoDB hangs for good (at once: from the first request on; in turn: each answers at the last moment)"
    );
    for (timed, in_turn, took, promised) in results.into_iter().flatten() {
        println!(
            "  {:<32}{:<8}{:.2} s, promised {:.1} s, Lambda's limit {} s",
            timed.name(),
            if in_turn { "in turn" } else { "at once" },
            took.as_secs_f64(),
            promised.as_secs_f64(),
            timed.limit().as_secs(),
        );
    }
}

/// The slowest operation in a process that must load its keys first, as slowly as a request may wait for them. The response
/// is 503 before Lambda ends the function.
#[tokio::test(flavor = "multi_thread")]
async fn the_slowest_of_all_after_its_keys_came_late() {
    /// Less than the 0.3 s that a request waits, with a margin for a busy machine.
    const KEYS_TAKE: Duration = Duration::from_millis(220);
    let (db, base) = failures::service().await;
    let url = db.url();
    let pulse = Pulse::start(&base);
    let (base, url) = (&base, &url);
    let number = AtomicUsize::new(0);
    let timed = Timed::Operation(Operation::RevokeAll);
    let measure = async || {
        let service = base.redeployed(url, &[]).await;
        service.clock.set(SystemClock.now());
        let name = format!("late{}", number.fetch_add(1, Ordering::Relaxed));
        let scene = Scene::set(&service, Operation::RevokeAll, &name).await;
        service.bench.recorder.set_tamper(ShortPages);
        hang(&service.bench.recorder, timed, true, scene.session.clone());
        let secrets = SecretsManager::start(service.keys.to_json().unwrap().to_string()).await.unwrap();
        let (function, content_type, body) = scene.as_event();
        let mut process = Process::start_with(function, &service, &secrets.variables()).await;
        process.send(function, content_type, &body);
        check_busy(&process.answer().await, "without keys");
        secrets.set_delay(KEYS_TAKE);
        secrets.answer();
        let before = Instant::now();
        process.send(function, content_type, &body);
        let answer = process.answer().await;
        let took = before.elapsed();
        check_busy(&answer, "with keys");
        let log = process.end().await;
        let stopped_at = log.last().unwrap()["during"].clone();
        assert_eq!(stopped_at, "revoke_all", "the keys came in time, and all time was used: {log:?}");
        assert!(took > timed.promised().1 - SLACK && took < timed.limit(), "{took:?}");
        took
    };
    let took = pulse.play(measure).await.expect("see above");
    println!(
        "revoke all, each request at the last moment, after keys that took {:.2} s: 503 after {:.2} s, Lambda's limit {} s",
        KEYS_TAKE.as_secs_f64(),
        took.as_secs_f64(),
        timed.limit().as_secs(),
    );
}
