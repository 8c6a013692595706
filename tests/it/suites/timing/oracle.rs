//! The time of a rejection does not reveal whether a user exists. The same measurement finds each deliberate leak.
//!
//! The times are those of the real handler over the embedded DynamoDB, for two kinds of attempts in random order. Welch's
//! t-test compares them without the slowest quarter, in which other load shows. Method and threshold are those of dudect:
//! Reparaz, Balasch, Verbauwhede, "Dude, is my code constant time?", 2017.

use crate::oracle::{Kind, PAIRS, Plant, Stage};
use daypass_testkit::depth::amount;
use daypass_tests::bench::random;
use std::time::{Duration, Instant};

async fn time(stage: &Stage, kind: Kind) -> Duration {
    let request = stage.request(kind);
    let started = Instant::now();
    std::hint::black_box(stage.answer(request).await);
    started.elapsed()
}

/// Welch's t of the times of two kinds in random order.
async fn compare(stage: &Stage, pair: [Kind; 2], runs: usize) -> f64 {
    let mut times = [Vec::with_capacity(runs), Vec::with_capacity(runs)];
    for kind in pair {
        // Warms up connections and caches.
        time(stage, kind).await;
    }
    while times.iter().any(|times| times.len() < runs) {
        let first = usize::from(random::<1>()[0] % 2);
        for which in [first, 1 - first] {
            times[which].push(time(stage, pair[which]).await.as_secs_f64());
        }
    }
    welch(&times)
}

/// Welch's t of two samples, without the slowest quarter of both together.
pub(super) fn welch(samples: &[Vec<f64>; 2]) -> f64 {
    let mut all: Vec<f64> = samples.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let most = all[all.len() * 3 / 4];
    let [(mean, error), (other_mean, other_error)] = [0, 1].map(|which: usize| {
        let kept: Vec<f64> = samples[which].iter().copied().filter(|time| *time <= most).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    (mean - other_mean) / (error + other_error).sqrt()
}

/// For two samples of the same distribution, a larger t occurs less than once in a hundred thousand.
pub(super) const THRESHOLD: f64 = 4.5;

pub(super) fn runs() -> usize {
    amount("attempts of each kind", 150, 500)
}

/// invariant: Responses for existing and unknown users take the same time.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_tells_nothing() {
    let runs = runs();
    let stage = Stage::set(Plant::Nothing, false, false).await;
    for pair in PAIRS {
        let mut t = compare(&stage, pair, runs).await;
        println!("{pair:?}: t = {t:.2} over {runs} runs each, {THRESHOLD} would tell");
        if t.abs() >= THRESHOLD {
            // Load of the machine in one half of the runs can look the same. A leak shows again.
            t = compare(&stage, pair, runs).await;
            println!("{pair:?}: once more, t = {t:.2}");
        }
        assert!(t.abs() < THRESHOLD, "{pair:?}: t = {t}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_tells_of_a_planted_leak() {
    for plant in [Plant::EarlyReturn, Plant::OneRequestFewer] {
        let stage = Stage::set(plant, false, false).await;
        let runs = runs();
        let mut t = compare(&stage, [Kind::Unknown, Kind::Wrong], runs).await;
        println!("{plant:?}: t = {t:.2} over {runs} runs each, {THRESHOLD} tells");
        if t > -THRESHOLD {
            t = compare(&stage, [Kind::Unknown, Kind::Wrong], runs).await;
            println!("{plant:?}: once more, t = {t:.2}");
        }
        assert!(t < -THRESHOLD, "{plant:?} was not noticed: t = {t}");
    }
}

/// The whole login, with a hash of today's parameters.
#[tokio::test(flavor = "multi_thread")]
async fn the_real_hash_takes_its_time_for_everybody() {
    let stage = Stage::set(Plant::Nothing, false, true).await;
    let mut t = compare(&stage, [Kind::Unknown, Kind::Wrong], 40).await;
    if t.abs() >= THRESHOLD {
        t = compare(&stage, [Kind::Unknown, Kind::Wrong], 40).await;
    }
    println!("19 MiB: t = {t:.2} over 40 runs each");
    assert!(t.abs() < THRESHOLD, "t = {t}");
}
