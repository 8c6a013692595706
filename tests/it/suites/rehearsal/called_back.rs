//! The time until an authorizer that follows the revocation feed rejects the access token of an ended session.

use crate::suites::rehearsal::stage::{Api, Stage, variable};
use daypass_testkit::depth::is_full;
use futures_util::future::join_all;
use http::Method;
use std::time::{Duration, Instant};

/// Time between two requests.
const PULSE: Duration = Duration::from_millis(250);
/// Permitted time beyond the polling interval.
const MORE: Duration = Duration::from_secs(1);
/// Time after which the test fails, far beyond any permitted one.
const LONGEST: Duration = Duration::from_secs(120);

/// The polling interval of the authorizers under test.
fn interval() -> Duration {
    Duration::from_secs(variable("DAYPASS_REVOCATIONS_SECONDS").parse().unwrap())
}

/// invariant: A revoked session is rejected within the polling interval and one second. Live sessions are
/// accepted.
#[tokio::test]
async fn a_revoked_token_is_refused_within_the_interval_and_a_second() {
    let stage = Stage::find();
    // A cached response is served until it expires: see docs/security/revocation.md.
    let apis: Vec<&Api> = stage.guarded().filter(|api| api.cache == 0).collect();
    assert!(!apis.is_empty(), "no API of DAYPASS_APIS is without a cache");
    let (ended, lives) = (stage.login(Some("orders:read")).await, stage.login(Some("orders:read")).await);
    // Each authorizer is running and has polled the feed.
    for api in &apis {
        assert_eq!(ask(&stage, api, &ended.bearer()).await, 200, "{api}");
    }
    assert_eq!(stage.revoke(&ended.refresh).await.status, 200);
    watch_all(&stage, &apis, &ended.bearer(), &lives.bearer()).await;
}

/// Sends requests with a token that was revoked just now to all APIs, until they reject it.
pub(super) async fn watch_all(stage: &Stage, apis: &[&Api], ended: &str, lives: &str) {
    let answered = Instant::now();
    let watched = join_all(apis.iter().map(|api| watch(stage, api, ended, lives, answered))).await;
    println!("{:<28}{:>14}{:>12}", "API", "passed until", "then");
    for (api, (last, refusal)) in apis.iter().zip(&watched) {
        println!("{:<28}{:>12.1} s{refusal:>12}", api.to_string(), last.as_secs_f64());
    }
    for (api, (last, refusal)) in apis.iter().zip(watched) {
        assert_eq!(refusal, api.kind.bad_token(), "{api}");
        assert!(!is_full() || last <= interval() + MORE, "{api}: it passed for {last:?}");
    }
}

pub(super) async fn ask(stage: &Stage, api: &Api, bearer: &str) -> u16 {
    stage.ask(api, Method::GET, "/me", Some(bearer)).await.status
}

/// The time of the last accepted request, and the responses to the next ones. Another session of the same user is accepted
/// throughout.
async fn watch(stage: &Stage, api: &Api, ended: &str, lives: &str, answered: Instant) -> (Duration, u16) {
    let (mut last, mut refusal) = (Duration::ZERO, 0);
    // Rejected for the whole rest of the time, so no process of the authorizer accepts it. At least one request is rejected: a
    // slow one can outlast that time.
    while refusal == 0 || answered.elapsed() < last + interval() + 3 * MORE {
        assert!(answered.elapsed() < LONGEST, "{api}: it is never rejected");
        let sent = answered.elapsed();
        match ask(stage, api, ended).await {
            200 => (last, refusal) = (sent, 0),
            status => refusal = status,
        }
        assert_eq!(ask(stage, api, lives).await, 200, "{api}: another session");
        tokio::time::sleep(PULSE).await;
    }
    (last, refusal)
}

/// The feed contains digests and no ids.
///
/// invariant: The feed holds digests, and names neither sessions nor users.
#[tokio::test]
async fn the_feed_is_served_to_anybody() {
    let stage = Stage::find();
    let ended = stage.login(None).await;
    assert_eq!(stage.revoke(&ended.refresh).await.status, 200);
    tokio::time::sleep(MORE).await;
    let answer = stage.send(stage.to(Method::GET, "/revocations")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let document = answer.json();
    assert_eq!(document["v"], 1);
    assert_eq!(document["more"], false);
    let again = stage.to(Method::GET, "/revocations").header("if-none-match", answer.header("etag").unwrap());
    let again = stage.send(again).await;
    // Another session may have ended in between.
    assert!([200, 304].contains(&again.status), "{again:?}");
    for forbidden in ["ses_", "usr_", &ended.session] {
        assert!(!answer.body_text().contains(forbidden), "the feed names {forbidden}");
    }
}
