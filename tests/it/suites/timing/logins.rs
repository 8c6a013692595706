//! Failed logins over HTTP, through real processes.

use crate::suites::black_box::{JSON, PASSWORD, Whole, built};
use daypass_core::ports::store::UserStatus;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};

/// The medians of 50 alternating runs differ by at most a tenth. A difference in the work shows in every round. Load of
/// other processes shows only in some, so there are three rounds.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_wrong_and_disabled_take_the_same_time() {
    let whole = Whole::start(built()).await;
    let mut rounds = Vec::new();
    for round in 0..3 {
        let medians = medians_of_refused_logins(&whole, round).await;
        let least = medians.iter().copied().fold(f64::MAX, f64::min);
        let most = medians.iter().copied().fold(0.0, f64::max);
        println!("medians of unknown, wrong, disabled: {medians:.4?} s");
        if most <= least * 1.1 {
            return;
        }
        rounds.push(medians);
    }
    panic!("the times tell the kinds apart: {rounds:?}");
}

async fn medians_of_refused_logins(whole: &Whole, round: usize) -> [f64; 3] {
    const RUNS: usize = 50;
    // Five attempts at each name, which is the limit.
    let named = |kind: &str| (0..RUNS / 5).map(|n| format!("{kind}-{round}-{n}")).collect::<Vec<_>>();
    whole.users(named("wrong"), UserStatus::Enabled).await;
    whole.users(named("disabled"), UserStatus::Disabled).await;
    let kinds = [("unknown", "not the password"), ("wrong", "not the password"), ("disabled", PASSWORD)];
    let mut times = [const { Vec::new() }; 3];
    let mut answers = Vec::new();
    // One loopback address per ten runs of the three kinds, because an address has sixty attempts.
    let mut from = whole.http.clone();
    for run in 0..RUNS {
        if run % 10 == 0 {
            let address =
                Ipv4Addr::new(127, 0, u8::try_from(round + 1).unwrap(), u8::try_from(run + 1).unwrap());
            from =
                reqwest::Client::builder().no_proxy().local_address(IpAddr::from(address)).build().unwrap();
        }
        // Each kind runs at each place in turn, so that after-effects of a request affect all kinds equally.
        for kind in (0..kinds.len()).map(|place| (place + run) % kinds.len()) {
            let (name, password) = kinds[kind];
            let name = format!("{name}-{round}-{}", run / 5);
            let body = json!({ "username": name, "password": password }).to_string();
            let request = from.post(whole.url("/login")).header("content-type", JSON).body(body);
            let (answer, took) = whole.timed(request).await;
            assert_eq!(answer.status, 401, "{name} {answer:?}");
            times[kind].push(took);
            let mut names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            let challenge = answer.header("www-authenticate").unwrap();
            answers.push(format!("{names:?} {challenge} {}", answer.body_text()));
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "the same bytes");
    times.map(|mut times| {
        times.sort_unstable();
        times[RUNS / 2].as_secs_f64()
    })
}
