//! Machine clients, from the request for a token to its revocation, over the embedded DynamoDB. The recorder counts every request.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod once;

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, RsaKeyPair};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use daypass_core::client::machine::{
    Credential, CredentialId, Machine, MachineDocument, MachineId, Registry, SecretDigest, new_secret,
    session_of,
};
use daypass_core::http::request::Request;
use daypass_core::ports::event::{ClientRefusal, Event};
use daypass_runtime::OsEntropy;
use daypass_testkit::Answer;
use daypass_testkit::depth::amount;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::key::Key;
use daypass_tests::service::{PASSWORD, Service, post, request};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{Clock, Timestamp};
use daypass_verifier::jose::jwk::Jwk;
use daypass_verifier::revocation::{Answer as Page, SessionDigest};
use serde_json::{Value, json};
use std::time::Duration;

const ISSUER: &str = "https://id.example.com";
const ENDPOINT: &str = "https://id.example.com/token";
const FORM: &str = "application/x-www-form-urlencoded";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn id(name: &str) -> MachineId {
    MachineId::parse(&format!("client_{name}")).unwrap()
}

fn credential(jwk: Option<Jwk>, secret: Option<&str>) -> Credential {
    let secret_sha256 = secret.map(SecretDigest::of);
    Credential { id: CredentialId::generate(&OsEntropy), created_at: 1, jwk, secret_sha256 }
}

fn machine(name: &str, scope: &str, keys: Vec<Credential>) -> Machine {
    let scope = Scope::parse(scope).unwrap();
    let mut machine = Machine::new(id(name), &scope, Timestamp::from_seconds(1));
    machine.keys = keys;
    machine
}

fn document(clients: Vec<Machine>) -> MachineDocument {
    let mut document = MachineDocument::new();
    document.clients = clients;
    MachineDocument::parse(document.to_json().unwrap().as_bytes()).unwrap()
}

/// A service with three clients: `billing` with a secret, `jobs` with a key, and `gateway`, which may introspect.
struct World {
    service: Service,
    secret: String,
    key: Key,
    clients: Vec<Machine>,
    db: Embedded,
}

impl World {
    async fn new() -> Self {
        let db = Embedded::start(None).unwrap();
        let mut service = Service::quick(&db.url(), &[]).await;
        let secret = new_secret(&OsEntropy).expose().to_owned();
        let key = Key::es256();
        let mut gateway = machine("gateway", "", vec![credential(None, Some(&secret))]);
        gateway.introspect = true;
        let clients = vec![
            machine("billing", "orders:read orders:write", vec![credential(None, Some(&secret))]),
            machine("jobs", "orders:read", vec![credential(Some(key.jwk()), None)]),
            gateway,
        ];
        service.set_machines(document(clients.clone()));
        service.quick_user("alice").await;
        Self { service, secret, key, clients, db }
    }

    fn now(&self) -> u64 {
        self.service.clock.now().seconds()
    }

    fn claims(&self) -> Value {
        json!({
            "iss": "client_jobs", "sub": "client_jobs", "aud": ISSUER, "iat": self.now(), "exp": self.now() + 60,
            "jti": "1",
        })
    }

    async fn basic(&self, path: &str, client: &str, secret: &str, body: &str) -> Answer {
        self.service.send(basic(path, client, secret, body)).await
    }

    async fn token(&self, client: &str, more: &str) -> Answer {
        let body = format!("grant_type=client_credentials{more}");
        self.basic("/token", client, &self.secret, &body).await
    }

    async fn assert(&self, assertion: &str) -> Answer {
        self.service.form("/token", &with_assertion("grant_type=client_credentials", assertion)).await
    }

    async fn introspect(&self, token: &str) -> Answer {
        self.basic("/introspect", "client_gateway", &self.secret, &format!("token={token}")).await
    }

    /// Number of requests to DynamoDB since the last call.
    fn requests(&self) -> usize {
        self.service.bench.recorder.take().len()
    }

    async fn revoke(&self, client: &str, key: &CredentialId) {
        let (client, now) = (id(client), self.service.clock.now());
        self.service.bench.store.revoke_machine(&client, session_of(&client, key), now).await.unwrap();
    }

    /// The sessions that the feed names.
    async fn feed(&self) -> Vec<SessionDigest> {
        let answer = self.service.send(request("GET", "/revocations")).await;
        Page::parse(&answer.body, &Issuer::parse(ISSUER).unwrap()).unwrap().sessions
    }
}

fn basic(path: &str, client: &str, secret: &str, body: &str) -> Request {
    let mut request = post(path, FORM, body);
    let credentials = BASE64.encode(format!("{client}:{secret}").as_bytes());
    request.headers_mut().insert("authorization", format!("Basic {credentials}").parse().unwrap());
    request
}

fn with_assertion(body: &str, assertion: &str) -> String {
    format!("{body}&client_assertion_type={ASSERTION_TYPE}&client_assertion={assertion}")
}

fn refused() -> (u16, String) {
    (401, "invalid_client".to_owned())
}

fn payload(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

/// invariant: A token of a machine client costs no request to DynamoDB.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_a_token_by_both_methods_without_a_request() {
    let world = World::new().await;
    let by_secret = world.token("client_billing", "").await;
    let by_key = world.assert(&world.key.jwt(&world.key.header(), &world.claims())).await;
    assert_eq!(world.requests(), 0);
    for (answer, client, scope) in
        [(&by_secret, "client_billing", "orders:read orders:write"), (&by_key, "client_jobs", "orders:read")]
    {
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(300)));
        assert_eq!(body["scope"], scope);
        assert_eq!(body.get("refresh_token"), None, "RFC 6749 §4.4.3");
        let token = answer.access_token();
        assert!(world.service.lets_through(&token));
        let claims = payload(&token);
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(client), &json!(client)));
        assert_eq!((&claims["scope"], &claims["account"]), (&json!(scope), &Value::Null));
    }
    let events = world.service.journal.take();
    let [Event::ClientTokenIssued { client, key, session }, Event::ClientTokenIssued { .. }] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((client, key), (&id("billing"), &world.clients[0].keys[0].id));
    assert_eq!(payload(&by_secret.access_token())["sid"], session.to_string());

    let narrow = world.token("client_billing", "&scope=orders:read").await;
    assert_eq!(narrow.json()["scope"], "orders:read");
    let wide = world.token("client_billing", "&scope=orders:delete").await;
    assert_eq!(wide.outcome(), (400, "invalid_scope".to_owned()));
}

/// Audience and lifetime of a client. The lifetime of all access tokens is the most, because the feed forgets later ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_its_own_audience_and_lifetime() {
    let mut world = World::new().await;
    for (seconds, expected) in [(60, 60), (300, 300), (600, 300)] {
        world.clients[0].audience = Some("https://other.example".to_owned());
        world.clients[0].access_token_seconds = Some(seconds);
        world.service.set_machines(document(world.clients.clone()));
        let answer = world.token("client_billing", "").await;
        assert_eq!(answer.json()["expires_in"], expected);
        let claims = payload(&answer.access_token());
        assert_eq!(claims["aud"], "https://other.example");
        assert_eq!(claims["exp"].as_u64().unwrap() - world.now(), expected);
        assert!(!world.service.lets_through(&answer.access_token()), "another API's token");
        // A resource server asks about tokens for itself alone (RFC 7662 §4), before any read.
        let _ = world.requests();
        assert_eq!(world.introspect(&answer.access_token()).await.json(), json!({ "active": false }));
        assert_eq!(world.requests(), 0);
        world.clients[2].audience = Some("https://other.example".to_owned());
        world.service.set_machines(document(world.clients.clone()));
        assert_eq!(world.introspect(&answer.access_token()).await.json()["active"], true);
        world.clients[2].audience = None;
        world.service.set_machines(document(world.clients.clone()));
    }
}

/// What authenticates no client: one status and one body for all of it, no request, and a cause in the log.
///
/// invariant: A request that authenticates no machine client costs no request to DynamoDB.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_authenticates_a_client() {
    let world = World::new().await;
    let key = &world.key;
    let good = key.jwt(&key.header(), &world.claims());
    assert_eq!(world.assert(&good).await.status, 200);
    let changed = |name: &str, value: Value| {
        let mut claims = world.claims();
        claims[name] = value;
        key.jwt(&key.header(), &claims)
    };
    let headed = |name: &str, value: Value| {
        let mut header = key.header();
        header[name] = value;
        key.jwt(&header, &world.claims())
    };
    let now = world.now();
    let without = |name: &str| {
        let mut claims = world.claims();
        claims.as_object_mut().unwrap().remove(name);
        key.jwt(&key.header(), &claims)
    };
    let (signed, _) = good.rsplit_once('.').unwrap();
    let hmac = {
        let public = serde_json::to_vec(&key.jwk()).unwrap();
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let mut header = key.header();
        header["alg"] = json!("HS256");
        let input = format!("{}.{}", encode(&header), encode(&world.claims()));
        let mac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
        let mac = aws_lc_rs::hmac::sign(&mac, input.as_bytes());
        format!("{input}.{}", BASE64URL_NOPAD.encode(mac.as_ref()))
    };
    let access_token = world.token("client_billing", "").await.access_token();
    let _ = (world.service.journal.take(), world.requests());
    let cases = [
        ("another audience", changed("aud", json!("https://elsewhere.example")), "wrong_audience"),
        ("ours and another", changed("aud", json!([ISSUER, "https://elsewhere.example"])), "wrong_audience"),
        ("no audience in a list", changed("aud", json!([])), "wrong_audience"),
        ("no audience", without("aud"), "wrong_audience"),
        ("no expiry", without("exp"), "expired"),
        ("expired", changed("exp", json!(now - 30)), "expired"),
        ("good for too long", changed("exp", json!(now + 91)), "lifetime_too_long"),
        ("from the future", changed("iat", json!(now + 31)), "not_yet_valid"),
        ("not yet", changed("nbf", json!(now + 31)), "not_yet_valid"),
        ("two names", changed("iss", json!("client_billing")), "wrong_issuer"),
        ("no subject", without("sub"), "wrong_issuer"),
        (
            "of an unknown client",
            {
                let claims = json!({ "iss": "client_x", "sub": "client_x", "aud": ISSUER, "exp": now + 60 });
                key.jwt(&key.header(), &claims)
            },
            "unknown_client",
        ),
        (
            "of a client with a secret",
            {
                let claims = json!({ "iss": "client_billing", "sub": "client_billing", "aud": ISSUER, "exp": now + 60 });
                key.jwt(&key.header(), &claims)
            },
            "unknown_key",
        ),
        ("another key", Key::es256().jwt(&key.header(), &world.claims()), "bad_signature"),
        ("another kid", headed("kid", json!("other")), "unknown_key"),
        ("alg none", format!("{}.", headed("alg", json!("none")).rsplit_once('.').unwrap().0), "not_compact"),
        ("alg none, signed", headed("alg", json!("none")), "wrong_algorithm"),
        ("HMAC over the public key", hmac, "wrong_algorithm"),
        ("another algorithm", headed("alg", json!("RS256")), "wrong_algorithm"),
        ("no signature", format!("{signed}."), "not_compact"),
        ("critical extension", headed("crit", json!(["exp"])), "critical_extension"),
        ("an access token's type", headed("typ", json!("at+jwt")), "wrong_type"),
        ("an access token", access_token, "wrong_type"),
        ("garbage", "x".to_owned(), "not_compact"),
        ("too long", "x".repeat(9000), "too_long"),
    ];
    for (name, assertion, cause) in &cases {
        let answer = world.assert(assertion).await;
        assert_eq!(answer.outcome(), refused(), "{name}: {answer:?}");
        assert_eq!(answer.header("www-authenticate"), Some(r#"Basic realm="daypass""#));
        let events = world.service.journal.take();
        let [event @ Event::ClientRefused { .. }] = &events[..] else { panic!("{name}: {events:?}") };
        assert_eq!(serde_json::to_value(event).unwrap()["cause"], *cause, "{name}");
    }
    for (client, secret, cause) in [
        ("client_billing", "wrong", "wrong_secret"),
        ("client_billing", "", "wrong_secret"),
        ("client_jobs", world.secret.as_str(), "wrong_secret"),
        ("client_x", &world.secret, "unknown_client"),
        ("", &world.secret, "unknown_client"),
    ] {
        let answer = world.basic("/token", client, secret, "grant_type=client_credentials").await;
        assert_eq!(answer.outcome(), refused(), "{client}");
        let events = world.service.journal.take();
        assert_eq!(serde_json::to_value(&events[0]).unwrap()["cause"], cause, "{client}");
    }
    let none = world.service.form("/token", "grant_type=client_credentials").await;
    assert_eq!(none.outcome(), refused());
    let in_body =
        format!("grant_type=client_credentials&client_id=client_billing&client_secret={}", world.secret);
    assert_eq!(world.service.form("/token", &in_body).await.outcome(), refused());
    assert_eq!(world.requests(), 0);
}

/// One body for two ways to authenticate, malformed headers, and parameters in the wrong place.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_request_is_named() {
    let world = World::new().await;
    let good = world.key.jwt(&world.key.header(), &world.claims());
    let invalid_request = (400, "invalid_request".to_owned());
    let both = with_assertion("grant_type=client_credentials", &good);
    let both = world.basic("/token", "client_billing", &world.secret, &both).await;
    assert_eq!(both.outcome(), invalid_request);
    let two = world.token("client_billing", "&client_id=client_jobs").await;
    assert_eq!(two.outcome(), invalid_request);
    let untyped = format!("grant_type=client_credentials&client_assertion={good}");
    assert_eq!(world.service.form("/token", &untyped).await.outcome(), invalid_request);
    let other = with_assertion("grant_type=client_credentials&client_id=client_billing", &good);
    assert_eq!(world.service.form("/token", &other).await.outcome(), refused());
    let in_query = format!("/token?client_assertion={good}");
    let in_query = world.service.form(&in_query, "grant_type=client_credentials").await;
    assert_eq!(in_query.outcome(), invalid_request);
    for header in ["Basic", "Basic !", "Basic eA==", "Basic OjpiJng6"] {
        let mut request = post("/token", FORM, "grant_type=client_credentials");
        request.headers_mut().insert("authorization", header.parse().unwrap());
        assert_eq!(world.service.send(request).await.outcome(), refused(), "{header}");
    }
    let mut twice = basic("/token", "client_billing", &world.secret, "grant_type=client_credentials");
    twice.headers_mut().append("authorization", "Basic eDp4".parse().unwrap());
    assert_eq!(world.service.send(twice).await.outcome(), invalid_request);
    for (path, grant, expected) in [
        ("/token", "password", (400, "unsupported_grant_type".to_owned())),
        ("/refresh", "client_credentials", refused()),
    ] {
        let answer = world.basic(path, "client_billing", &world.secret, &format!("grant_type={grant}")).await;
        let public = world.service.form(path, &format!("grant_type={grant}")).await;
        let (answer, public) = (answer.outcome(), public.outcome());
        assert!(answer == refused() || answer == expected, "{path}: {answer:?}");
        assert_eq!(public, (400, "unsupported_grant_type".to_owned()), "{path}");
    }
    assert_eq!(world.requests(), 0);
}

/// Every byte of an assertion counts. No mutation is accepted, costs a request, fails the function or uses the assertion.
#[tokio::test(flavor = "multi_thread")]
async fn no_mutation_of_an_assertion_is_accepted() {
    let mut world = World::new().await;
    world.clients[1].single_use_assertions = true;
    world.service.set_machines(document(world.clients.clone()));
    let good = world.key.jwt(&world.key.header(), &world.claims());
    let alphabet = b"ABCXYZabcxyz0189-_.=+/ %";
    let mut bytes = [0_u8; 3];
    for round in 0..amount("mutations", 1_000, 10_000) {
        daypass_verifier::base::entropy::Entropy::fill(&OsEntropy, &mut bytes);
        let at = usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) % good.len();
        let new = char::from(alphabet[usize::from(bytes[2]) % alphabet.len()]);
        let mut mutated: String = good.clone();
        match round % 4 {
            0 | 1 => mutated.replace_range(at..=at, new.encode_utf8(&mut [0; 4])),
            2 => mutated.insert(at, new),
            _ => drop(mutated.remove(at)),
        }
        if mutated == good {
            continue;
        }
        let encoded: String = form_urlencoded::byte_serialize(mutated.as_bytes()).collect();
        let answer = world.assert(&encoded).await;
        assert_eq!(answer.outcome(), refused(), "{mutated}");
    }
    assert_eq!(world.requests(), 0);
    assert_eq!(world.assert(&good).await.status, 200);
    assert_eq!(world.assert(&good).await.outcome(), refused(), "a replay");
}

#[tokio::test(flavor = "multi_thread")]
async fn assertions_of_every_algorithm_and_form() {
    let mut world = World::new().await;
    for key in [
        Key::EdDsa(Ed25519KeyPair::generate().unwrap()),
        Key::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        Key::es256(),
    ] {
        world.clients[1].keys = vec![credential(Some(key.jwk()), None)];
        world.service.set_machines(document(world.clients.clone()));
        for (name, value) in [
            ("aud", json!(ENDPOINT)),
            ("aud", json!([ISSUER])),
            ("aud", json!([ISSUER, ENDPOINT])),
            ("jti", Value::Null),
            ("exp", json!(world.now() + 90)),
        ] {
            let mut claims = world.claims();
            claims[name] = value;
            let mut header = key.header();
            assert_eq!(world.assert(&key.jwt(&header, &claims)).await.status, 200, "{name}");
            header["typ"] = json!("JWT");
            header.as_object_mut().unwrap().remove("kid");
            assert_eq!(world.assert(&key.jwt(&header, &claims)).await.status, 200, "{name}");
        }
        // The name of EdDSA in RFC 9864.
        let mut header = key.header();
        header["alg"] = json!("Ed25519");
        let status = world.assert(&key.jwt(&header, &world.claims())).await.status;
        assert_eq!(status, if matches!(key, Key::EdDsa(_)) { 200 } else { 401 });
    }
}

/// invariant: During the rotation of a machine client, the old and the new key both work.
#[tokio::test(flavor = "multi_thread")]
async fn two_keys_work_side_by_side_and_then_one() {
    let mut world = World::new().await;
    let second = Key::es256();
    world.clients[1].keys.push(credential(Some(second.jwk()), None));
    world.service.set_machines(document(world.clients.clone()));
    let get = async |world: &World, key: &Key| world.assert(&key.jwt(&key.header(), &world.claims())).await;
    let (by_old, by_new) = (get(&world, &world.key).await, get(&world, &second).await);
    assert_eq!((by_old.status, by_new.status), (200, 200));
    let sid = |answer: &Answer| payload(&answer.access_token())["sid"].as_str().unwrap().to_owned();
    assert_ne!(sid(&by_old), sid(&by_new));

    let old = world.clients[1].keys.remove(0);
    world.revoke("jobs", &old.id).await;
    world.service.set_machines(document(world.clients.clone()));
    assert_eq!(get(&world, &world.key).await.outcome(), refused());
    assert_eq!(get(&world, &second).await.status, 200);
    assert_eq!(world.feed().await, [SessionDigest::of(&sid(&by_old))]);
    assert_eq!(world.introspect(&by_old.access_token()).await.json(), json!({ "active": false }));
    assert_eq!(world.introspect(&by_new.access_token()).await.json()["active"], true);
}

/// A process that cannot read the clients again still issues tokens of a revoked client for two hours. The feed names them
/// until the last one has expired, and then no longer.
///
/// invariant: The revocation feed names a revoked machine client for as long as one of its tokens can be valid.
#[tokio::test(flavor = "multi_thread")]
async fn the_feed_names_a_revoked_client_for_as_long_as_its_tokens_live() {
    let world = World::new().await;
    let key = world.clients[0].keys[0].id.clone();
    let start = world.service.clock.now();
    world.revoke("billing", &key).await;
    assert_eq!(world.requests(), 1);
    let digest = SessionDigest::of(&session_of(&id("billing"), &key).to_string());
    let last = (start + Registry::MAX_AGE).before(Duration::from_secs(1));
    for at in [start, start + Duration::from_secs(3600), last] {
        world.service.clock.set(at);
        assert_eq!(world.feed().await, [digest]);
    }
    let token = world.token("client_billing", "").await.access_token();
    assert_eq!(world.introspect(&token).await.json(), json!({ "active": false }));
    world.service.clock.advance(Duration::from_secs(329));
    assert!(world.service.lets_through(&token), "without the feed");
    assert_eq!(world.feed().await, [digest]);

    world.service.clock.set(start + Registry::MAX_AGE);
    let late = world.token("client_billing", "").await;
    assert_eq!(late.outcome(), (503, "temporarily_unavailable".to_owned()), "the clients are two hours old");
    world.service.clock.advance(Duration::from_secs(500));
    assert_eq!(world.feed().await, []);
}

/// invariant: An introspection costs one read of DynamoDB, and one of a token that is not valid costs none.
#[tokio::test(flavor = "multi_thread")]
async fn introspection_is_one_read() {
    let world = World::new().await;
    let login = world.service.login("alice").await;
    let machine = world.token("client_billing", "").await.access_token();
    let _ = (world.requests(), world.service.journal.take());
    let reads = |world: &World, expected: &[&str]| {
        let seen = world.service.bench.recorder.take();
        let operations: Vec<_> = seen.iter().map(|call| call.operation.as_str()).collect();
        assert_eq!(operations, expected);
        for call in seen {
            assert_eq!(call.request["ConsistentRead"], true);
        }
    };
    for (token, subject) in [(login.access_token(), "usr_"), (machine.clone(), "client_billing")] {
        let answer = world.introspect(&token).await;
        reads(&world, &["GetItem"]);
        let body = answer.json();
        assert_eq!(body["active"], true, "{answer:?}");
        let claims = payload(&token);
        assert!(claims["sub"].as_str().unwrap().starts_with(subject));
        for name in ["iss", "sub", "aud", "client_id", "exp", "iat", "jti", "sid", "scope"] {
            assert_eq!(body[name], claims[name], "{name}");
        }
        assert_eq!(body["token_type"], "Bearer");
    }
    // RFC 9110 §12.4.1: the response may ignore `Accept`. docs/adr/0114.
    let mut signed = basic("/introspect", "client_gateway", &world.secret, &format!("token={machine}"));
    signed.headers_mut().insert("accept", "application/token-introspection+jwt".parse().unwrap());
    let answer = world.service.send(signed).await;
    assert_eq!((answer.status, &answer.json()["active"]), (200, &json!(true)));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    reads(&world, &["GetItem"]);
    let inactive = json!({ "active": false });
    let (signed, _) = machine.rsplit_once('.').unwrap();
    for token in ["x", &login.refresh_token(), &format!("{signed}.AAAA")] {
        assert_eq!(world.introspect(token).await.json(), inactive);
        reads(&world, &[]);
    }
    world.service.revoke(&login.access_token()).await;
    let _ = world.requests();
    assert_eq!(world.introspect(&login.access_token()).await.json(), inactive);
    reads(&world, &["GetItem"]);
    world.service.clock.advance(Duration::from_secs(331));
    assert_eq!(world.introspect(&machine).await.json(), inactive);
    reads(&world, &[]);

    // A failing store is no verdict on the token.
    world.service.clock.advance(Duration::from_secs(1));
    let machine = world.token("client_billing", "").await.access_token();
    world.service.bench.recorder.always(Action::refuse(400, "ThrottlingException"));
    assert_eq!(world.introspect(&machine).await.status, 503);
}

/// invariant: Only a machine client that may introspect learns anything about a token.
#[tokio::test(flavor = "multi_thread")]
async fn only_some_clients_may_introspect() {
    let world = World::new().await;
    let token = world.token("client_billing", "").await.access_token();
    let _ = (world.requests(), world.service.journal.take());
    let body = format!("token={token}");
    let denied = world.basic("/introspect", "client_billing", &world.secret, &body).await;
    assert_eq!(denied.outcome(), (403, "unauthorized_client".to_owned()));
    let expected =
        Event::ClientRefused { cause: ClientRefusal::IntrospectionNotAllowed, client: Some(id("billing")) };
    assert_eq!(world.service.journal.take(), [expected]);
    assert_eq!(world.service.form("/introspect", &body).await.outcome(), refused());
    let mut bearer = post("/introspect", FORM, body.clone());
    bearer.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    assert_eq!(world.service.send(bearer).await.outcome(), refused());
    let no_token = world.basic("/introspect", "client_gateway", &world.secret, "x=1").await;
    assert_eq!(no_token.outcome(), (400, "invalid_request".to_owned()));
    assert_eq!(world.requests(), 0);
}

/// invariant: The token of a machine client is no token of a user at any endpoint, and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_no_user_and_a_user_is_no_machine() {
    let world = World::new().await;
    let token = world.token("client_billing", "").await.access_token();
    let context = payload(&token);
    let principal = daypass_core::ports::context::Principal::parse(
        context["sub"].as_str().unwrap(),
        context["sid"].as_str().unwrap(),
        true,
    );
    assert_eq!(principal, None, "the account endpoints take a user's id alone");
    let sid = context["sid"].as_str().unwrap();
    let change = json!({ "current_password": PASSWORD, "new_password": "a longer and better password" });
    for request in [
        request("GET", "/sessions"),
        request("DELETE", &format!("/sessions/{sid}")),
        post("/password", "application/json", change.to_string()),
    ] {
        let answer = world.service.send(request).await;
        assert_eq!(answer.outcome(), (401, "invalid_token".to_owned()));
    }
    for all in [false, true] {
        let revoked = world.service.form("/revoke", &format!("token={token}&all={all}")).await;
        assert_eq!(revoked.status, if all { 400 } else { 200 });
    }
    assert_eq!(world.requests(), 0);
    assert!(world.introspect(&token).await.json()["active"] == true, "the client is not revoked");

    let login = world.service.login("alice").await;
    let user = payload(&login.access_token());
    assert!(MachineId::parse(user["sub"].as_str().unwrap()).is_none());
    let _ = world.requests();
    let (name, session) = (user["sub"].as_str().unwrap(), user["sid"].as_str().unwrap());
    for (client, secret) in [(name, PASSWORD), (session, PASSWORD), ("alice", PASSWORD), ("web", "")] {
        let answer = world.basic("/token", client, secret, "grant_type=client_credentials").await;
        assert_eq!(answer.outcome(), refused(), "{client}");
    }
    assert_eq!(world.assert(&login.access_token()).await.outcome(), refused());
    assert_eq!(world.requests(), 0);
}

/// The token endpoint refreshes as `/refresh` does. Applications of users have no secret there either.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_endpoint_refreshes() {
    let world = World::new().await;
    let login = world.service.login("alice").await;
    let _ = world.requests();
    let body = format!("grant_type=refresh_token&refresh_token={}", login.refresh_token());
    let with_secret = world.basic("/token", "client_billing", &world.secret, &body).await;
    assert_eq!(with_secret.outcome(), refused());
    assert_eq!(world.requests(), 0);
    let refreshed = world.service.form("/token", &body).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert_eq!(world.requests(), 1);
    assert_eq!(world.service.refresh(&refreshed.refresh_token()).await.status, 200);
}
