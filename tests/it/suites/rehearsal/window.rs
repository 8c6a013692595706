//! How long an access token is accepted after its session was revoked, without the revocation feed.
//!
//! The token is valid until its expiry and the permitted clock difference. A cache in front of the authorizer adds all of
//! its time if it was filled at the last moment, as this test does.

use crate::suites::rehearsal::stage::{Api, Kind, LEEWAY_SECONDS, Stage, Tokens};
use futures_util::future::join_all;
use http::Method;
use std::time::{Duration, Instant};

/// Time between two requests.
const PULSE: Duration = Duration::from_millis(250);
/// Time before the last moment at which the cache is filled.
const JUST_BEFORE: Duration = Duration::from_secs(3);

/// Result of one API.
struct Window {
    api: Api,
    /// Time from the issue of the token to the last accepted request.
    open: Duration,
    /// Status of the rejection.
    refusal: u16,
}

/// invariant: Without the feed, a revoked access token is rejected after expiry, leeway and cache.
#[tokio::test]
async fn how_long_a_revoked_token_works() {
    let stage = Stage::find();
    let tokens = stage.login(Some("orders:read")).await;
    assert_eq!(stage.revoke(&tokens.refresh).await.status, 200);
    assert_eq!(stage.refresh(&tokens.refresh).await.status, 400, "the session is over");

    let apis = stage.apis.iter().filter(|api| api.kind != Kind::WebSocket);
    let windows = join_all(apis.map(|api| watch(&stage, api, &tokens))).await;
    println!("{:<28}{:>10}{:>12}{:>12}", "API", "token", "worked for", "then");
    for Window { api, open, refusal } in &windows {
        println!(
            "{:<28}{:>8} s{:>10.1} s{refusal:>12}",
            api.to_string(),
            tokens.expires_in,
            open.as_secs_f64()
        );
    }
    println!("The sum of lifetime, {LEEWAY_SECONDS} s and cache. Where tokens live for 300 s (the default):");
    for cache in [0, 300] {
        let least = 300 + LEEWAY_SECONDS;
        println!("  cache {cache:>3} s: {} s after the login at the latest", least + cache);
    }
    for window in &windows {
        window.check(&stage, tokens.expires_in);
    }
}

async fn watch(stage: &Stage, api: &Api, tokens: &Tokens) -> Window {
    if api.cache > 0 {
        let last_moment = Duration::from_secs(tokens.expires_in + LEEWAY_SECONDS);
        tokio::time::sleep_until((tokens.issued + last_moment - JUST_BEFORE).into()).await;
    }
    let mut open = Duration::ZERO;
    loop {
        let asked = Instant::now();
        let status = stage.ask(api, Method::GET, "/me", Some(&tokens.bearer())).await.status;
        if status != 200 {
            return Window { api: api.clone(), open, refusal: status };
        }
        open = asked - tokens.issued;
        tokio::time::sleep(PULSE).await;
    }
}

impl Window {
    fn check(&self, stage: &Stage, lifetime: u64) {
        let Self { api, open, refusal } = self;
        assert_eq!(*refusal, api.kind.bad_token(), "{api}: an expired token");
        // API Gateway's own authorizer has its own leeway. That of MiniStack has none.
        let leeway = if api.kind == Kind::HttpJwt { 0 } else { LEEWAY_SECONDS };
        let most = Duration::from_secs(lifetime + leeway + api.cache);
        assert!(*open <= most || api.kind == Kind::HttpJwt, "{api}: {open:?} is more than {most:?}");
        // AWS does not document whether a cached response is served after the expiry of its token. MiniStack does so.
        if stage.emulated {
            let least = most.saturating_sub(JUST_BEFORE + Duration::from_secs(2));
            assert!(*open >= least, "{api}: {open:?} is less than {least:?}: is there a cache at all?");
        }
    }
}
