//! Access tokens that are bound to a key (RFC 9449), at each kind of API.

use crate::suites::rehearsal::stage::{Api, JSON, Kind, Stage};
use daypass_runtime::SystemClock;
use daypass_tests::key::{Key, proof_claims};
use daypass_verifier::base::time::Clock;
use http::Method;
use std::time::{Duration, Instant};

/// `DAYPASS_DPOP_ORIGINS` in `infra/rehearsal/apis.yaml`.
const ORIGIN: &str = "https://api.daypass.example";
/// How far `iat` of a proof is ahead of the clock. The authorizer accepts ten seconds either way, so the proof is valid for 18 s.
const AHEAD: Duration = Duration::from_secs(8);
/// Time in which all processes must have accepted a proof, so that the next one rejects it. It is valid for longer.
const REPLAYED: Duration = Duration::from_secs(16);
/// Proofs for which this may take longer on a slow machine.
const ATTEMPTS: usize = 8;

/// Logs in with a proof. The first response has the nonce alone.
async fn login(stage: &Stage, key: &Key) -> String {
    let body = stage.credentials(Some("orders:read"));
    let url = format!("{}/login", stage.url);
    let mut nonce: Option<String> = None;
    for _ in 0..10 {
        let mut claims = proof_claims("POST", &url, SystemClock.now() + AHEAD, None);
        if let Some(nonce) = &nonce {
            claims["nonce"] = nonce.as_str().into();
        }
        let proof = key.jwt(&key.proof_header(), &claims);
        let request = stage.to(Method::POST, "/login").header("content-type", JSON).header("dpop", proof);
        let answer = stage.send_body(request, body.clone()).await;
        if answer.status == 200 {
            assert_eq!(answer.text("token_type"), "DPoP");
            return answer.text("access_token");
        }
        // A busy stage answers 503, or gets a proof too late. MiniStack answers 500 to some repeated transactions: see `Stage::call`.
        let is_expected = answer.status >= 500
            || ["use_dpop_nonce", "invalid_dpop_proof"].contains(&answer.text("error").as_str());
        assert!(is_expected, "{answer:?}");
        nonce = answer.header("dpop-nonce").map(str::to_owned).or(nonce);
    }
    panic!("/login is busy all the time");
}

/// The URL in the proofs of an API's clients.
fn url(stage: &Stage, api: &Api, path: &str) -> String {
    let local = api.url.split_once("/_aws/execute-api/").filter(|_| stage.emulated);
    match local {
        None => format!("{}{path}", api.url),
        // The event of MiniStack has no domain name.
        Some(_) if api.kind == Kind::RestRequest => format!("{ORIGIN}{path}"),
        // The event has the domain name of AWS.
        Some((_, rest)) => {
            let (id, stage) =
                rest.split_once('/').map_or((rest, String::new()), |(id, stage)| (id, format!("/{stage}")));
            format!("https://{id}.execute-api.localhost{stage}{path}")
        }
    }
}

/// Status of a request with these headers.
async fn ask(api: &Api, authorization: &str, proof: Option<&str>) -> u16 {
    let is_socket = api.kind == Kind::WebSocket;
    let mut request = api.request(Method::GET, if is_socket { "" } else { "/me" });
    request = request.header("authorization", authorization);
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    if is_socket {
        request = request
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    }
    // Its own connection, because a rejected handshake closes it.
    Stage::find().send(request).await.status
}

/// invariant: Behind each kind of API that passes the proof, a bound token works with a new proof for the request, and in no other
/// way. Behind a `TOKEN` authorizer it does not work.
#[tokio::test]
async fn a_bound_token_needs_a_proof_for_the_request() {
    let stage = Stage::find();
    let (key, thief) = (Key::es256(), Key::es256());
    for api in stage.apis.iter().filter(|api| api.cache == 0 && api.kind != Kind::HttpJwt) {
        // A new one for each API, because `$connect` needs a login of the last minute.
        let token = login(&stage, &key).await;
        let (bound, bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
        let is_socket = api.kind == Kind::WebSocket;
        let (path, accepted) = if is_socket { ("", 101) } else { ("/me", 200) };
        // MiniStack turns every error of a WebSocket authorizer into 500.
        let denied = if is_socket && stage.emulated { 500 } else { api.kind.bad_token() };
        let by = |key: &Key, method: &str, path: &str| {
            let claims =
                proof_claims(method, &url(&stage, api, path), SystemClock.now() + AHEAD, Some(&token));
            key.jwt(&key.proof_header(), &claims)
        };
        let proof = || by(&key, "GET", path);
        for (what, authorization, proof) in [
            ("a bearer token", &bearer, None),
            ("a bearer token with a proof", &bearer, Some(proof())),
            ("no proof", &bound, None),
            ("another URL", &bound, Some(by(&key, "GET", "/orders/1"))),
            ("another method", &bound, Some(by(&key, "POST", path))),
            ("another key", &bound, Some(by(&thief, "GET", path))),
        ] {
            assert_eq!(ask(api, authorization, proof.as_deref()).await, denied, "{api}: {what}");
        }
        if api.kind == Kind::RestToken {
            assert_eq!(ask(api, &bound, Some(&proof())).await, denied, "{api}: its event has no proof");
            continue;
        }
        // A request that starts a process may take longer than a proof is valid.
        let (mut tried, mut is_replay_denied) = (Vec::new(), false);
        while tried.len() < ATTEMPTS && !is_replay_denied {
            let (proof, started) = (proof(), Instant::now());
            // Each process accepts a proof once. Each response comes with the age of the proof.
            let mut responses = Vec::new();
            while responses.last().is_none_or(|(status, _)| *status == accepted) {
                responses.push((ask(api, &bound, Some(&proof)).await, started.elapsed()));
            }
            is_replay_denied = responses.len() > 1 && started.elapsed() < REPLAYED;
            tried.push(responses);
        }
        assert!(is_replay_denied, "{api}: a new proof is denied, or a replayed one is accepted: {tried:?}");
    }
}
