//! Assertions of a client that are accepted once (RFC 7523 §3, no. 7): at both endpoints, in all processes, in parallel, and while the
//! store fails.

#![expect(clippy::panic, clippy::indexing_slicing, reason = "the helpers of a test fail as the test does")]

use super::*;
use crate::suites::failures::rows::{Effect, Fault, Times, faults};
use daypass_core::token::assertion::AssertionUse;
use daypass_testkit::hold::Hold;
use daypass_testkit::recorder::Exchange;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use std::sync::atomic::{AtomicUsize, Ordering};

const GRANT: &str = "grant_type=client_credentials";

impl World {
    /// The clients, where each assertion of `jobs` is accepted once. It may introspect, and has a secret too.
    async fn once() -> Self {
        let mut world = Self::new().await;
        world.clients[1].single_use_assertions = true;
        world.clients[1].introspect = true;
        world.clients[1].keys.push(credential(None, Some(&world.secret)));
        world.service.set_machines(document(world.clients.clone()));
        world
    }

    /// The same tables and clients in another process.
    async fn process(&self) -> Service {
        let mut service = self.service.redeployed(&self.db.url(), &[]).await;
        service.set_machines(document(self.clients.clone()));
        service
    }

    /// An assertion with this `jti`.
    fn named(&self, jti: &Value) -> String {
        let mut claims = self.claims();
        claims["jti"] = jti.clone();
        self.key.jwt(&self.key.header(), &claims)
    }

    /// An assertion with a fresh `jti`.
    fn fresh(&self) -> String {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        self.named(&json!(format!("fresh-{}", NUMBER.fetch_add(1, Ordering::Relaxed))))
    }

    /// The cause of the only event, which names the client.
    fn cause(&self) -> Value {
        let events = self.service.journal.take();
        let [event @ Event::ClientRefused { client: Some(client), .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(*client, id("jobs"));
        serde_json::to_value(event).unwrap()["cause"].clone()
    }
}

/// Sends a request for a token, or a question about an unknown token.
async fn send(service: &Service, path: &str, assertion: &str) -> Answer {
    let body = if path == "/token" { GRANT } else { "token=unknown" };
    service.form(path, &with_assertion(body, assertion)).await
}

fn operations(exchanges: &[Exchange]) -> Vec<&str> {
    exchanges.iter().map(|exchange| exchange.operation.as_str()).collect()
}

/// invariant: A single-use assertion is accepted once, at both endpoints and in all processes together.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_use_assertion_is_accepted_once() {
    let world = World::once().await;
    let (one, other) = (&world.service, world.process().await);
    for [first, second] in
        [["/token", "/token"], ["/token", "/introspect"], ["/introspect", "/token"], ["/introspect"; 2]]
    {
        let assertion = world.fresh();
        assert_eq!(send(one, first, &assertion).await.status, 200, "{first}");
        let _ = one.journal.take();
        for (process, path) in [(one, first), (one, second), (&other, first), (&other, second)] {
            let replayed = send(process, path, &assertion).await;
            assert_eq!(replayed.outcome(), refused(), "{first}, then {path}");
        }
        let events = one.journal.take();
        let expected = Event::ClientRefused { cause: ClientRefusal::Replayed, client: Some(id("jobs")) };
        assert_eq!(events, [expected.clone(), expected]);
    }
    // Until the last moment at which a process may accept it.
    let assertion = world.fresh();
    assert_eq!(send(one, "/token", &assertion).await.status, 200);
    one.clock.advance(Duration::from_millis(89_999));
    other.clock.advance(Duration::from_millis(89_999));
    let _ = one.journal.take();
    assert_eq!(send(one, "/token", &assertion).await.outcome(), refused());
    assert_eq!(world.cause(), "replayed");
    assert_eq!(send(&other, "/token", &assertion).await.outcome(), refused());
}

/// What the requests cost: a write of an item that expires, and a read as before. Other clients, and the secret of the same one,
/// cost what they did.
///
/// invariant: A single-use assertion costs one conditional write, and all others none.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_use_assertion_is_one_write() {
    let world = World::once().await;
    let recorder = &world.service.bench.recorder;
    recorder.ask_capacity(true);
    let token = world.assert(&world.fresh()).await.access_token();
    let exchanges = recorder.take();
    assert_eq!(operations(&exchanges), ["UpdateItem"]);
    let request = &exchanges[0].request;
    assert_eq!(request["TableName"], world.service.bench.tables.attempts.as_str());
    let key = request["Key"]["key"]["S"].as_str().unwrap();
    let digits = key.strip_prefix(AssertionUse::PREFIX).unwrap();
    assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    // `exp`, 30 s for clocks, and 60 s for the clock of TTL.
    let removed_at = (world.now() + 60 + 30 + 60).to_string();
    assert_eq!(request["ExpressionAttributeValues"][":expires_at"]["N"], removed_at);
    assert_eq!(exchanges[0].response()["ConsumedCapacity"]["CapacityUnits"], 1.0);

    let about = |assertion: String| with_assertion(&format!("token={token}"), &assertion);
    let asked = world.service.form("/introspect", &about(world.fresh())).await;
    assert_eq!(asked.json()["active"], true);
    assert_eq!(operations(&recorder.take()), ["UpdateItem", "GetItem"]);
    assert_eq!(send(&world.service, "/introspect", &world.fresh()).await.json(), json!({ "active": false }));
    assert_eq!(operations(&recorder.take()), ["UpdateItem"]);

    assert_eq!(world.token("client_jobs", "").await.status, 200, "by its secret");
    let mut clients = world.clients.clone();
    clients[1].single_use_assertions = false;
    let mut reusing = world.process().await;
    reusing.set_machines(document(clients));
    let assertion = world.named(&Value::Null);
    for _ in 0..2 {
        assert_eq!(send(&reusing, "/token", &assertion).await.status, 200);
    }
    assert_eq!(world.requests() + reusing.bench.recorder.take().len(), 0);
}

/// invariant: Of parallel copies of a single-use assertion, one is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn of_64_copies_of_an_assertion_one_is_accepted() {
    let world = World::once().await;
    let other = world.process().await;
    for _ in 0..5 {
        let assertion = world.fresh();
        let copies = (0..64).map(|n| {
            let service = if n % 2 == 0 { &world.service } else { &other };
            send(service, if n % 4 < 2 { "/token" } else { "/introspect" }, &assertion)
        });
        let answers = join_all(copies).await;
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(200), count(401)), (1, 63));
    }
}

/// The write is the last check. Whatever fails before it leaves the assertion unused.
///
/// invariant: A rejected request uses no assertion, and costs no request to DynamoDB.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_uses_no_assertion() {
    let mut world = World::once().await;
    for jti in [Value::Null, json!(""), json!(1), json!(["1"]), json!("x".repeat(257))] {
        for path in ["/token", "/introspect"] {
            let answer = send(&world.service, path, &world.named(&jti)).await;
            assert_eq!(answer.outcome(), refused(), "{jti}");
            assert_eq!(world.cause(), "no_jti", "{jti}");
        }
    }
    assert_eq!(world.requests(), 0);
    assert_eq!(world.assert(&world.named(&json!("x".repeat(256)))).await.status, 200);
    assert_eq!(world.requests(), 1);

    let assertion = world.fresh();
    let (signed, _) = assertion.rsplit_once('.').unwrap();
    let mut claims = world.claims();
    claims["aud"] = json!("https://elsewhere.example");
    for forged in [
        format!("{signed}.AAAA"),
        Key::es256().jwt(&world.key.header(), &world.claims()),
        world.key.jwt(&world.key.header(), &claims),
    ] {
        assert_eq!(world.assert(&forged).await.outcome(), refused());
    }
    let wide = world.service.form("/token", &with_assertion(&format!("{GRANT}&scope=all"), &assertion)).await;
    assert_eq!(wide.outcome(), (400, "invalid_scope".to_owned()));
    world.clients[1].require_dpop = true;
    world.clients[1].introspect = false;
    world.service.set_machines(document(world.clients.clone()));
    assert_eq!(world.assert(&assertion).await.outcome(), (400, "invalid_dpop_proof".to_owned()));
    let denied = send(&world.service, "/introspect", &assertion).await;
    assert_eq!(denied.outcome(), (403, "unauthorized_client".to_owned()));
    assert_eq!(world.requests(), 0);
    world.clients[1].require_dpop = false;
    world.service.set_machines(document(world.clients.clone()));
    assert_eq!(world.assert(&assertion).await.status, 200);
    // Each client has its own names, and its keys share them.
    let second = Key::es256();
    world.clients[1].keys[1] = credential(Some(second.jwk()), None);
    world.clients[0].keys = vec![credential(Some(second.jwk()), None)];
    world.clients[0].single_use_assertions = true;
    world.service.set_machines(document(world.clients.clone()));
    let of = |client: &str| {
        let mut claims = world.claims();
        claims["iss"] = json!(client);
        claims["sub"] = json!(client);
        second.jwt(&second.header(), &claims)
    };
    assert_eq!(world.assert(&world.named(&json!("1"))).await.status, 200);
    assert_eq!(world.assert(&of("client_billing")).await.status, 200);
    assert_eq!(world.assert(&of("client_jobs")).await.outcome(), refused());
}

/// Plays each failure of the failure suite at the write, at both endpoints, once and for good.
///
/// invariant: A failing store accepts no single-use assertion twice, and a lost response rejects none that is new.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_accepts_no_assertion_twice() {
    let world = &World::once().await;
    let faults = faults().into_iter().filter(|fault| fault.only.is_none_or(|only| only == "UpdateItem"));
    let plays = faults.flat_map(|fault| {
        ["/token", "/introspect"].into_iter().flat_map(move |path| {
            let fault = fault.clone();
            [Times::Once, Times::ForGood].into_iter().map(move |times| (fault.clone(), path, times))
        })
    });
    stream::iter(plays)
        .for_each_concurrent(32, |(fault, path, times)| async move { play(world, &fault, path, times).await })
        .await;
}

async fn play(world: &World, fault: &Fault, path: &str, times: Times) {
    let case = format!("{path}, {}, {times:?}", fault.name);
    let service = world.process().await;
    let recorder = &service.bench.recorder;
    let hold = Hold::default();
    let action = match &fault.action {
        Action::Held(_) => Action::Held(hold.clone()),
        other => other.clone(),
    };
    match times {
        Times::Once => recorder.next(1, action),
        Times::ForGood => recorder.always(action),
    }
    let assertion = world.fresh();
    let answer = send(&service, path, &assertion).await;
    let is_stored = match (fault.effect, times) {
        (Effect::Kept, Times::ForGood) | (Effect::Refused, _) => false,
        (Effect::UserChanged, _) => panic!("{case}: not a failure of this write"),
        _ => true,
    };
    let expected = match (fault.effect, times) {
        (Effect::Refused | Effect::AppliedUnread, _) => (500, "server_error"),
        (Effect::None, _) | (_, Times::Once) => (200, ""),
        (_, Times::ForGood) => (503, "temporarily_unavailable"),
    };
    assert_eq!(answer.outcome(), (expected.0, expected.1.to_owned()), "{case}");
    assert_eq!(answer.header("retry-after"), (expected.0 == 503).then_some("2"), "{case}");
    let tries = match (fault.tries, times) {
        (1, _) => 1,
        (_, Times::Once) => 2,
        (tries, Times::ForGood) => tries,
    };
    assert_eq!(recorder.take().len(), tries, "{case}");
    recorder.always(Action::Pass);
    if matches!(fault.effect, Effect::AppliedLate | Effect::AppliedLast) {
        hold.release();
        hold.landed().await;
    }
    let again = send(&service, path, &assertion).await;
    assert_eq!(again.status, if is_stored { 401 } else { 200 }, "{case}, again");
    assert_eq!(send(&service, path, &world.fresh()).await.status, 200, "{case}, a new assertion");
}
