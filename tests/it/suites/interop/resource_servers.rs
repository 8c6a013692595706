//! Resource servers that are not behind API Gateway: the examples of the guide, in front of a whole stack. A proxy between
//! them and the revocation feed fails on demand.

use super::machines::{GRANT, daypass_client, until_known};
use super::programs::tool;
use super::tokens::Refused;
use super::{bound, tell, tokens};
use crate::suites::revocation::feed::{Feed, Mode};
use daypass_dev::{AUDIENCE, DEMO_PASSWORD, DEMO_SCOPE, DEMO_USER, Runner, Settings, Stack};
use daypass_testkit::depth::is_full;
use daypass_testkit::functions;
use daypass_tools::{free_port, workspace_root};
use daypass_verifier::jose::jwk::Algorithm;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// Polling interval of the servers.
const INTERVAL: Duration = Duration::from_secs(1);
/// Age at which their list is stale.
const STALE: Duration = Duration::from_secs(5);
/// Permitted time of a revoked token beyond the interval.
const MORE: Duration = Duration::from_secs(1);
/// Time after which the test fails, far beyond any permitted one.
const LONGEST: Duration = Duration::from_secs(60);

const INVALID: &str = "Bearer error=\"invalid_token\"";
const ACCEPTED: (u16, &str) = (200, "");
const REJECTED: (u16, &str) = (401, INVALID);
const UNAVAILABLE: (u16, &str) = (503, "");

/// A running example.
pub(super) struct Example {
    name: String,
    is_closed: bool,
    pub(super) url: String,
    http: reqwest::Client,
    _process: Child,
}

impl Example {
    /// Starts an example. Returns when it accepts connections.
    async fn start(name: &str, words: &[PathBuf], when_stale: &str, issuer: &str, feed: &Feed) -> Self {
        let port = free_port().unwrap().port().to_string();
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            .envs([("DAYPASS_ISSUER", issuer), ("DAYPASS_AUDIENCE", AUDIENCE), ("PORT", port.as_str())])
            .env("DAYPASS_DPOP_ORIGINS", format!("http://127.0.0.1:{port}"))
            .env("DAYPASS_REVOCATIONS_URL", feed.url())
            .env("DAYPASS_REVOCATIONS_INTERVAL_SECONDS", INTERVAL.as_secs().to_string())
            .env("DAYPASS_REVOCATIONS_STALE_SECONDS", STALE.as_secs().to_string())
            .env("DAYPASS_REVOCATIONS_WHEN_STALE", when_stale)
            .envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1"), ("PYTHONDONTWRITEBYTECODE", "1")])
            .env_remove("NODE_OPTIONS")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}/orders");
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let started = Instant::now();
        while http.get(&url).send().await.is_err() {
            assert_eq!(process.try_wait().unwrap(), None, "{name} ended");
            assert!(started.elapsed() < LONGEST, "{name} does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let name = format!("{name}, {when_stale}");
        Self { name, is_closed: when_stale == "closed", url, http, _process: process }
    }

    /// Status and challenge of a response.
    async fn ask(&self, method: Method, authorization: &str, proofs: &[String]) -> (u16, String) {
        let mut request = self.http.request(method, &self.url);
        for proof in proofs {
            request = request.header("dpop", proof);
        }
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let answer = request.send().await.unwrap();
        let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
        (answer.status().as_u16(), challenge.unwrap_or_default().to_owned())
    }

    /// Checks a response. Repeats a request while it is answered with an unexpected 503: on a slow machine a fetch of the keys
    /// can take too long.
    async fn check(&self, what: &str, method: Method, authorization: &str, expected: (u16, &str)) {
        let started = Instant::now();
        loop {
            let (status, challenge) = self.ask(method.clone(), authorization, &[]).await;
            if status != UNAVAILABLE.0 || expected == UNAVAILABLE || started.elapsed() > LONGEST {
                assert_eq!((status, challenge.as_str()), expected, "{}: {what}", self.name);
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Checks the response to a request with these headers `DPoP`.
    pub(super) async fn check_with(
        &self,
        what: &str,
        method: Method,
        authorization: &str,
        proofs: &[String],
        expected: (u16, &str),
    ) {
        let (status, challenge) = self.ask(method, authorization, proofs).await;
        assert_eq!((status, challenge.as_str()), expected, "{}: {what}", self.name);
    }

    /// Waits for a response to a token. Returns the time.
    async fn until(&self, what: &str, token: &str, expected: (u16, &str)) -> Duration {
        let started = Instant::now();
        loop {
            let sent = started.elapsed();
            let (status, challenge) = self.ask(Method::GET, &bearer(token), &[]).await;
            if (status, challenge.as_str()) == expected {
                return sent;
            }
            assert!(sent < LONGEST, "{}: {what}: still {status} {challenge}", self.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The stack and its callers.
struct World {
    stack: Stack,
    http: reqwest::Client,
}

impl World {
    async fn login(&self) -> Value {
        let body = json!({ "username": DEMO_USER, "password": DEMO_PASSWORD });
        let url = format!("{}/login", self.stack.url());
        self.http.post(url).json(&body).send().await.unwrap().json().await.unwrap()
    }

    /// Registers a machine client. Returns its access token.
    async fn machine(&self) -> String {
        let created = daypass_client(&self.stack, &["create", "jobs", "--scope", "orders:read"]).await;
        let secret = created["client_secret"].as_str().unwrap();
        until_known(&self.stack, "/token", GRANT, "client_jobs", &[(secret, reqwest::StatusCode::OK)]).await;
        let request = self.http.post(format!("{}/token", self.stack.url()));
        let request = request.basic_auth("client_jobs", Some(secret));
        let answer = request.form(&GRANT).send().await.unwrap();
        text(&answer.json().await.unwrap(), "access_token")
    }

    async fn revoke(&self, login: &Value) {
        let form = [("token", login["refresh_token"].as_str().unwrap())];
        let answer = self.http.post(format!("{}/revoke", self.stack.url())).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

fn text(answer: &Value, member: &str) -> String {
    answer[member].as_str().unwrap().to_owned()
}

/// Each example, once for each behaviour with a stale list.
async fn start_examples(issuer: &str, feed: &Feed) -> Vec<Example> {
    let sources = workspace_root().join("infra/examples");
    let programs: [(&str, Vec<PathBuf>); 3] = [
        ("Express", vec!["node".into(), tool("DAYPASS_TEST_EXPRESS").join("server.mjs")]),
        ("FastAPI", vec![tool("DAYPASS_TEST_FASTAPI"), sources.join("fastapi/server.py")]),
        ("axum", vec![functions::built("interop").join("axum-orders")]),
    ];
    let start = programs.iter().flat_map(|(name, words)| {
        ["open", "closed"].map(move |when_stale| Example::start(name, words, when_stale, issuer, feed))
    });
    join_all(start).await
}

/// A stack whose keys are in this folder.
async fn start_stack(folder: &Path, port: u16) -> Stack {
    let settings = Settings {
        algorithm: Some(Algorithm::Es256),
        runner: Runner::Built(functions::built("interop")),
        port,
        ..Settings::new(folder.join("stack")).variable("DAYPASS_KEYS_MAX_AGE_SECONDS", "5")
    };
    tokio::task::spawn_blocking(move || Stack::start(&settings)).await.unwrap().unwrap()
}

/// invariant: The resource servers of the guide accept valid tokens of users and machine clients, need the scope of a
/// route, and reject all other tokens and those of revoked sessions. Without the feed, `closed` stops them. While no keys can be
/// fetched, no token with an unknown key is rejected. A server starts without keys, and works once there are some.
#[tokio::test(flavor = "multi_thread")]
async fn the_resource_servers_of_the_guide() {
    let (feed, folder) = (Feed::start().await, tempfile::tempdir().unwrap());
    // The restarted stack listens at the same port.
    let port = free_port().unwrap().port();
    let stack = start_stack(folder.path(), port).await;
    feed.lead_to(stack.url());
    let world = World { stack, http: reqwest::Client::builder().no_proxy().build().unwrap() };
    let (examples, machine) = tokio::join!(start_examples(world.stack.url(), &feed), world.machine());
    let (login, other) = (world.login().await, world.login().await);
    let (user, ended) = (text(&login, "access_token"), text(&other, "access_token"));
    assert_eq!(tokens::claims(&user)["scope"], DEMO_SCOPE);
    let refused = Refused { good: &user, keys: world.stack.keys(), algorithm: Algorithm::Es256 }.all();

    let bound = bound::tokens(&world.stack).await;

    join_all(examples.iter().map(|one| one.until("a valid token", &user, ACCEPTED))).await;
    // On a slow machine, the list of the others may be stale for a moment.
    for example in examples.iter().filter(|example| !example.is_closed) {
        for token in [&user, &ended, &machine] {
            example.check("a valid token", Method::GET, &bearer(token), ACCEPTED).await;
        }
        example.check("a user who may write", Method::POST, &bearer(&user), ACCEPTED).await;
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"orders:write\"";
        example.check("without the scope", Method::POST, &bearer(&machine), (403, challenge)).await;
        for none in ["", "Basic eDp4", "Bearer"] {
            example.check(none, Method::GET, none, (401, "Bearer")).await;
        }
        for (name, token) in &refused {
            example.check(name, Method::GET, &bearer(token.as_str().unwrap()), REJECTED).await;
        }
        bound::check(example, &bound, &user).await;
    }

    world.revoke(&other).await;
    let revoked = join_all(examples.iter().map(|one| one.until("a revoked session", &ended, REJECTED))).await;
    daypass_client(&world.stack, &["revoke", "client_jobs"]).await;
    let machines = examples.iter().map(|one| one.until("a revoked client", &machine, REJECTED));
    let slowest = revoked.into_iter().chain(join_all(machines).await).max().unwrap();
    tell(&format!("  rejected within {:.2} s, with an interval of 1 s", slowest.as_secs_f64()));
    assert!(!is_full() || slowest <= INTERVAL + MORE, "a revoked token worked for {slowest:?}");

    feed.set(Mode::Status500);
    let closed = examples.iter().filter(|example| example.is_closed);
    join_all(closed.map(|one| one.until("a stale list", &user, UNAVAILABLE))).await;
    for example in &examples {
        if !example.is_closed {
            example.check("valid, while the list is stale", Method::GET, &bearer(&user), ACCEPTED).await;
            example.check("known, while the list is stale", Method::GET, &bearer(&ended), REJECTED).await;
        }
        example.check("invalid, while the list is stale", Method::GET, "Bearer a.b.c", REJECTED).await;
    }
    feed.set(Mode::Good);
    join_all(examples.iter().map(|one| one.until("the feed works again", &user, ACCEPTED))).await;

    // The library of Express fetches keys once in 30 s, and FastAPI's at each token.
    let unknown = refused.iter().find(|(name, _)| *name == "unknown_kid").unwrap().1.as_str().unwrap();
    let World { stack, .. } = world;
    let issuer = stack.url().to_owned();
    tokio::task::spawn_blocking(move || drop(stack)).await.unwrap();
    let fetching = examples.iter().filter(|example| !example.name.starts_with("Express"));
    join_all(fetching.map(|one| one.until("an unknown key without keys", unknown, UNAVAILABLE))).await;
    drop(examples);
    let examples = start_examples(&issuer, &feed).await;
    for example in &examples {
        example.check("valid, without keys", Method::GET, &bearer(&user), UNAVAILABLE).await;
        example.check("invalid, without keys", Method::GET, "Bearer a.b.c", REJECTED).await;
    }
    let stack = start_stack(folder.path(), port).await;
    join_all(examples.iter().map(|one| one.until("the keys are there", &user, ACCEPTED))).await;
    tokio::task::spawn_blocking(move || drop(stack)).await.unwrap();
}
