//! Revoked access tokens in a whole stack: function processes, four processes of the authorizer, and the local API Gateway
//! in front. A proxy between the authorizers and the feed counts requests and fails on demand.
//!
//! `cargo verify --only revocation` runs it and prints the distribution.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the helpers of a test fail as the test does, and it tells what it measures"
)]

pub(crate) mod feed;
mod load;
mod stage;
mod verifiers;

use daypass_testkit::depth::{amount, is_full};
use feed::Mode;
use load::Load;
use reqwest::StatusCode;
use stage::{INTERVAL, Stage, Way};
use std::time::{Duration, Instant};

/// Rounds that run in parallel.
const AT_ONCE: usize = 25;
/// Permitted time of a revoked token beyond the polling interval.
const MORE: Duration = Duration::from_secs(1);

/// One stack for all checks, because its start takes longer than most of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_end_are_dead_at_the_gateway() {
    let stage = Stage::start(&[("DAYPASS_REVOCATIONS_STALE_SECONDS", "20")]).await;
    // The programs of `docs/security/revocation.md`, for verifiers in other languages.
    verifiers::check(&stage).await;
    within_the_interval_and_a_second(&stage).await;
    between_two_questions_there_is_none(&stage).await;
    a_process_that_starts_knows_all_before_its_first_answer(&stage).await;
    while_the_feed_fails_the_routes_are_served(&stage).await;
}

/// The time from the response of an ending to the last request that any of four authorizers accepts. The token is then
/// rejected for good. With `cargo verify --full`, the time is at most the interval and a second.
///
/// invariant: A revoked session is rejected within the polling interval and one second. Live sessions are
/// accepted.
async fn within_the_interval_and_a_second(stage: &Stage) {
    let load = Load::start(stage).await;
    let mut last = Vec::new();
    for rounds in (0..amount("rounds", 20, 200)).collect::<Vec<_>>().chunks(AT_ONCE) {
        let rounds = rounds.iter().map(|round| stage.round(*round, Way::ALL[round % Way::ALL.len()]));
        last.extend(futures_util::future::join_all(rounds).await);
    }
    let load = load.end().await;
    stage.print("until the last request that passed", last.clone());
    println!("  meanwhile {} requests of other sessions passed, {} were refused", load.passed, load.refused);
    assert_eq!((load.refused, load.failed), (0, 0), "a session that lives is never refused");
    let most = *last.iter().max().unwrap();
    assert!(!is_full() || most <= INTERVAL + MORE, "a token worked for {most:?} after its session had ended");
}

/// Each process polls once per interval, for any number of requests.
async fn between_two_questions_there_is_none(stage: &Stage) {
    let load = Load::start(stage).await;
    tokio::time::sleep(INTERVAL).await;
    let (started, _) = (Instant::now(), stage.feed.take());
    tokio::time::sleep(5 * INTERVAL).await;
    let (asked, intervals) = (stage.feed.take(), started.elapsed().div_duration_f64(INTERVAL));
    let load = load.end().await;
    println!(
        "  {asked} questions of 4 processes in {intervals:.1} intervals, under {} requests",
        load.passed
    );
    assert!(asked >= 1, "they follow");
    assert!(load.passed > asked, "{asked} questions under {} requests", load.passed);
    // Four processes, and the interval that had begun.
    assert!(asked as f64 <= 4.0 * (intervals + 1.0), "{asked}");
}

/// A process fetches the whole list before its first response.
///
/// invariant: A process knows all revocations before its first response.
async fn a_process_that_starts_knows_all_before_its_first_answer(stage: &Stage) {
    let (ended, lives) = (stage.ended().await, stage.login("late").await);
    let fresh = stage.another_gateway().await;
    assert_eq!(fresh.guarded(&ended).await, StatusCode::FORBIDDEN, "its very first request");
    assert_eq!(fresh.guarded(&lives.access_token).await, StatusCode::OK);
}

/// A feed that fails in several ways, under load.
///
/// invariant: Feed failures leave requests running, valid tokens accepted and known revocations in place.
/// They are logged once per change of state.
async fn while_the_feed_fails_the_routes_are_served(stage: &Stage) {
    let ended = stage.ended().await;
    stage.until_refused(&ended).await;
    let before = ["feed.failing", "feed.stale", "feed.recovered"].map(|name| stage.events(name));
    let since = |name: &str, before: usize| stage.events(name) - before;
    let load = Load::start(stage).await;
    // Together, long enough for the list to become stale.
    let each = amount("seconds of each failure", 5, 12);
    for mode in [Mode::Refused, Mode::Slow, Mode::Status500, Mode::Garbage, Mode::Truncated] {
        stage.feed.set(mode);
        tokio::time::sleep(Duration::from_secs(each.try_into().unwrap())).await;
        assert_eq!(stage.guarded(&ended).await, StatusCode::FORBIDDEN, "{mode:?}: what was known stays so");
    }
    let load = load.end().await;
    println!(
        "  {} s of a failing feed: {} requests passed, p50 {:?}, p99 {:?}, slowest {:?}",
        5 * each,
        load.passed,
        load.p50,
        load.p99,
        load.slowest
    );
    assert_eq!((load.refused, load.failed), (0, 0));
    // Each process logs each change once, not once per request.
    assert!((1..=4).contains(&since("feed.failing", before[0])), "{}", since("feed.failing", before[0]));
    assert!((1..=4).contains(&since("feed.stale", before[1])), "{}", since("feed.stale", before[1]));
    assert!(
        !is_full() || load.slowest < Duration::from_millis(2500),
        "no request waits long: {:?}",
        load.slowest
    );
    stage.feed.set(Mode::Good);
    let ended = stage.ended().await;
    let again = Instant::now();
    stage.until_refused(&ended).await;
    println!("  once it works again, an ending is known after {:?}", again.elapsed());
    assert!(!is_full() || again.elapsed() <= 2 * INTERVAL + MORE);
    assert!((1..=4).contains(&since("feed.recovered", before[2])), "{}", since("feed.recovered", before[2]));
}

/// With `closed`, no request is accepted while the list is stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_serves_nobody_while_the_list_is_stale() {
    let closed = [("DAYPASS_REVOCATIONS_WHEN_STALE", "closed"), ("DAYPASS_REVOCATIONS_STALE_SECONDS", "5")];
    let stage = Stage::start(&closed).await;
    let session = stage.login("closed").await;
    assert_eq!(stage.guarded(&session.access_token).await, StatusCode::OK);
    let before = stage.events("feed.stale");
    stage.feed.set(Mode::Status500);
    tokio::time::sleep(Duration::from_secs(6)).await;
    for _ in 0..8 {
        let status = stage.guarded(&session.access_token).await;
        assert_eq!(
            status,
            StatusCode::INTERNAL_SERVER_ERROR,
            "what an HTTP API makes of an authorizer's error"
        );
    }
    // An invalid token is rejected, also while the list is stale.
    assert_eq!(stage.guarded("a.b.c").await, StatusCode::FORBIDDEN);
    stage.feed.set(Mode::Good);
    stage.until_served(&session.access_token).await;
    assert!((1..=4).contains(&(stage.events("feed.stale") - before)));
}
