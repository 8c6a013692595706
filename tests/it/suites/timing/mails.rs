//! The time of a request for a mail does not reveal whether the address has a user. The same measurement finds a planted leak.

use super::oracle::{THRESHOLD, runs, welch};
use crate::accounts::{Stage, stage};
use daypass_core::account::address::EmailAddress;
use daypass_core::ports::store::AddressStore;
use daypass_tests::bench::random;
use std::time::{Duration, Instant};

const KNOWN: &str = "existing@example.com";
const UNKNOWN: &str = "nonesuch@example.com";

/// No limit counts a request for longer.
const WINDOW: Duration = Duration::from_secs(3600);

/// The time of the real handler, and of the lookup that a leaking handler would do before it.
async fn time(stage: &Stage, path: &str, email: &str, leaking: bool) -> f64 {
    // A full window later, both counters are as at the first request.
    stage.service.clock.advance(WINDOW);
    let address = EmailAddress::parse(email).unwrap();
    let started = Instant::now();
    if leaking {
        let store = &stage.service.bench.store;
        if let Some(owner) = store.user_by_address(&address).await.unwrap() {
            std::hint::black_box(store.user(&owner.username).await.unwrap());
        }
    }
    let answer = stage.ask(path, email).await;
    let took = started.elapsed().as_secs_f64();
    assert_eq!(answer.status, 202, "{answer:?}");
    let _ = stage.service.bench.recorder.take();
    let _ = stage.service.journal.take();
    took
}

/// Welch's t of the times for an address with a user and one without, in random order.
async fn compare(stage: &Stage, path: &str, leaking: bool) -> f64 {
    let pair = [KNOWN, UNKNOWN];
    let mut times = [Vec::new(), Vec::new()];
    for email in pair {
        // Warms up connections and caches.
        time(stage, path, email, leaking).await;
    }
    for _ in 0..runs() {
        let first = usize::from(random::<1>()[0] % 2);
        for which in [first, 1 - first] {
            times[which].push(time(stage, path, pair[which], leaking).await);
        }
    }
    welch(&times)
}

async fn with_a_user() -> Stage {
    let stage = stage(&[]).await;
    stage.user("anna", KNOWN).await;
    stage
}

/// invariant: Requests for mails to addresses with and without a user take the same time.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_does_not_tell_who_has_an_account() {
    let stage = with_a_user().await;
    for path in ["/signup", "/recover"] {
        let mut t = compare(&stage, path, false).await;
        println!("{path}: t = {t:.2} over {} runs each, {THRESHOLD} would tell", runs());
        if t.abs() >= THRESHOLD {
            // Load of the machine in one half of the runs can look the same. A leak shows again.
            t = compare(&stage, path, false).await;
            println!("{path}: once more, t = {t:.2}");
        }
        assert!(t.abs() < THRESHOLD, "{path}: t = {t}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_tells_of_a_planted_lookup() {
    let stage = with_a_user().await;
    let mut t = compare(&stage, "/recover", true).await;
    println!("a lookup: t = {t:.2} over {} runs each, {THRESHOLD} tells", runs());
    if t < THRESHOLD {
        t = compare(&stage, "/recover", true).await;
        println!("a lookup: once more, t = {t:.2}");
    }
    assert!(t >= THRESHOLD, "the lookup was not noticed: t = {t}");
}
