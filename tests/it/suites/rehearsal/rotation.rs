//! Keys rotate under load. No session ends, and no valid access token is rejected.

use crate::suites::rehearsal::stage::{Api, Stage, Tokens, run, variable};
use daypass_testkit::depth::{amount, is_full};
use futures_util::future::join_all;
use http::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Sessions that are refreshed and used all the time.
const SESSIONS: usize = 4;
/// The pause of a session between two APIs. Without it, the load would take a whole core from the other tests.
const BETWEEN: Duration = Duration::from_millis(250);

/// Counts of the responses under load.
#[derive(Debug, Default)]
struct Counts {
    refreshes: AtomicU64,
    logins: AtomicU64,
    asked: AtomicU64,
    /// 503 because MiniStack was slow. The same request works later.
    busy: AtomicU64,
    /// 500 because the authorizer could not fetch a new key in time. The same request works later.
    unverified: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

async fn published(stage: &Stage) -> BTreeSet<String> {
    let answer = stage.send(stage.to(Method::GET, "/.well-known/jwks.json")).await;
    let kids = answer.json()["keys"].as_array().unwrap().clone();
    kids.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(token: &str) -> String {
    let header = data_encoding::BASE64URL_NOPAD.decode(token.split('.').next().unwrap().as_bytes()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

/// Refreshes a session until the rotations are complete. Calls every API with the new access token and with the previous
/// one.
async fn refresh(stage: &Stage, apis: Vec<&Api>, over: &AtomicBool, counts: &Counts) {
    let mut before = stage.login(None).await;
    while !over.load(Ordering::Relaxed) {
        let answer = stage.refresh(&before.refresh).await;
        assert_eq!(answer.status, 200, "a refresh failed: {answer:?}");
        count(&counts.refreshes);
        let tokens = stage.tokens(std::future::ready(answer)).await;
        for api in &apis {
            for token in [&tokens, &before] {
                pass(stage, api, token, counts).await;
            }
            tokio::time::sleep(BETWEEN).await;
        }
        before = tokens;
    }
}

async fn pass(stage: &Stage, api: &Api, tokens: &Tokens, counts: &Counts) {
    for _ in 0..20 {
        let answer = stage.ask(api, Method::GET, "/orders/7", Some(&tokens.bearer())).await;
        if matches!(answer.status, 500 | 503) {
            count(if answer.status == 503 { &counts.busy } else { &counts.unverified });
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        }
        count(&counts.asked);
        assert_eq!(answer.status, 200, "{api} refused a token of {}: {answer:?}", kid(&tokens.access));
        return;
    }
    panic!("{api} is busy all the time");
}

/// Logs in and out all the time. After each rotation, passwords are hashed with another pepper. A session that stayed would
/// count toward the user's limit, and the sessions of the other calls would end.
async fn log_in(stage: &Stage, over: &AtomicBool, counts: &Counts) {
    while !over.load(Ordering::Relaxed) {
        let tokens = stage.login(None).await;
        let answer = stage.revoke(&tokens.refresh).await;
        assert_eq!(answer.status, 200, "a revocation failed: {answer:?}");
        count(&counts.logins);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// invariant: Refreshes, logins and guarded calls succeed while keys rotate.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_that_keys_rotate() {
    let stage = Stage::find();
    // After the second rotation, a key is in use that did not exist at the start.
    let number = amount("rotations", 2, 3);
    let wait = Duration::from_secs(variable("DAYPASS_PUBLISHED_SECONDS").parse().unwrap());
    let apis: Vec<&Api> = stage.guarded().collect();
    let kids_before = published(&stage).await;
    // These tokens are used only at the end. Tokens of the first keys must still be valid then.
    let kept = stage.login(None).await;
    let (over, counts) = (AtomicBool::new(false), Counts::default());
    let started = Instant::now();
    let rotations = async {
        for _ in 0..number {
            // The next key has been published since the deployment, or since the last rotation.
            tokio::time::sleep(wait).await;
            run(&variable("DAYPASS_ROTATE")).await;
        }
        tokio::time::sleep(wait).await;
        over.store(true, Ordering::Relaxed);
    };
    // Each session begins with another API, so that some call each of them soon after a rotation.
    let orders = (0..SESSIONS).map(|session| {
        let mut order = apis.clone();
        order.rotate_left(session * apis.len() / SESSIONS);
        order
    });
    let load = join_all(orders.map(|apis| refresh(&stage, apis, &over, &counts)));
    tokio::join!(rotations, load, log_in(&stage, &over, &counts));
    println!("{number} rotations in {:.0} s: {counts:?}", started.elapsed().as_secs_f64());

    let now = published(&stage).await;
    let last = stage.login(None).await;
    assert!(now.contains(&kid(&last.access)), "the key in use is published");
    assert!(!kids_before.contains(&kid(&last.access)), "a key is in use that did not exist before");
    assert!(now.contains(&kid(&kept.access)), "and the first one still, for tokens that live");
    for api in &apis {
        pass(&stage, api, &kept, &counts).await;
    }
    let renewed = stage.refresh(&kept.refresh).await;
    assert_eq!(
        renewed.status, 200,
        "the first key of refresh tokens is good for as long as a session: {renewed:?}"
    );
    assert!(counts.refreshes.load(Ordering::Relaxed) > 20, "there was a load: {counts:?}");
    assert!(
        !is_full() || counts.unverified.load(Ordering::Relaxed) == 0,
        "keys were fetched in time: {counts:?}"
    );
}
