mod ended;
mod fetched;
mod fuzz;
mod routes;
mod shapes;

use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use data_encoding::BASE64URL_NOPAD;
use daypass_core::account::authentication::{Authentication, Methods};
use daypass_core::account::claims::Claims;
use daypass_core::keys::{Document, SigningKeys};
use daypass_core::token::access::{Grant, Signer};
use daypass_runtime::OsEntropy;
use daypass_verifier::base::ids::ClientId;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{Clock, Timestamp};
use daypass_verifier::config::authorizer::KeySource;
use daypass_verifier::jose::jwk::Algorithm;
use daypass_verifier::jose::verify::Rejection;
use daypass_verifier::ports::journal::Journal;
use serde_json::{Value, json};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Polled, Poll, Waker};
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A clock that a test can move.
#[derive(Clone)]
struct Moved(Arc<Mutex<Timestamp>>);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<Vec<(JournalEvent, Caller)>>>);

impl Recorded {
    fn take(&self) -> Vec<JournalEvent> {
        std::mem::take(&mut *self.0.lock().unwrap()).into_iter().map(|(event, _)| event).collect()
    }
}

impl Journal for Recorded {
    fn record(&self, event: &JournalEvent, caller: &Caller) {
        self.0.lock().unwrap().push((event.clone(), caller.clone()));
    }
}

/// The state of every session, as a revocation list would have it.
#[derive(Clone)]
struct Told(Arc<Mutex<Lookup>>);

impl Default for Told {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Lookup::Live)))
    }
}

impl Follow for Told {
    async fn prepare(&self, _: &Context) {}

    async fn lookup(&self, sid: &str, _: &Context, _: &Caller) -> Lookup {
        assert_eq!(sid, SessionId::from_bytes([2; 16]).to_string(), "the session of the token");
        *self.0.lock().unwrap()
    }
}

/// An issuer with one key.
struct TestIssuer {
    document: Document,
    signer: Signer,
}

impl TestIssuer {
    fn new() -> Self {
        let document = Document::generate(Algorithm::Es256, &OsEntropy, NOW).unwrap();
        let signer = Signer {
            keys: SigningKeys::from_document(&document).unwrap(),
            issuer: issuer(),
            audience: "api".to_owned(),
            lifetime: Duration::from_secs(300),
        };
        Self { document, signer }
    }

    /// A token with this scope, issued at [`NOW`].
    fn token(&self, scope: &str) -> String {
        let grant = Grant {
            user: UserId::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            client: ClientId::parse("web").unwrap(),
            scope: Scope::parse(scope).unwrap(),
            claims: Claims::default(),
            account: false,
            authentication: Authentication::new(NOW, Methods::PASSWORD),
            session_end: Timestamp::from_seconds(9_000_000_000),
        };
        self.signer.issue(&grant, NOW, &OsEntropy).unwrap()
    }

    /// A token with one more claim, signed with the same key.
    fn token_with(&self, name: &str, value: &Value) -> String {
        let token = self.token("");
        let [header, payload, _] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
        let mut claims: Value = serde_json::from_slice(&decode(payload)).unwrap();
        claims[name] = value.clone();
        let input = format!("{header}.{}", BASE64URL_NOPAD.encode(claims.to_string().as_bytes()));
        let keys: Value = serde_json::from_str(&self.document.to_json().unwrap()).unwrap();
        let pkcs8 = decode(keys["signing"][0]["private"].as_str().unwrap());
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap();
        let signature = pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

fn decode(segment: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(segment.as_bytes()).unwrap()
}

fn issuer() -> Issuer {
    Issuer::parse("https://id.example.com").unwrap()
}

/// The settings of a fixture.
#[derive(Default)]
struct Settings<'a> {
    routes: &'a str,
    http_answer: Option<HttpAnswer>,
    context_claims: &'a [&'a str],
}

struct Fixture {
    authorizer: Authorizer<Told>,
    ended: Told,
    journal: Recorded,
    clock: Moved,
    issuer: TestIssuer,
}

/// An authorizer with the keys of an issuer in memory.
fn fixture(settings: &Settings<'_>) -> Fixture {
    let issuer = TestIssuer::new();
    let keys = KeySource::Inline(issuer.document.jwks());
    with_keys(settings, issuer, keys, None)
}

fn with_keys(
    settings: &Settings<'_>,
    test_issuer: TestIssuer,
    keys: KeySource,
    fetch: Option<Fetch>,
) -> Fixture {
    let (journal, clock) = (Recorded::default(), Moved(Arc::new(Mutex::new(NOW))));
    let context = Context {
        clock: Box::new(clock.clone()),
        entropy: Box::new(OsEntropy),
        journal: Box::new(journal.clone()),
    };
    let routes =
        if settings.routes.is_empty() { Routes::default() } else { Routes::parse(settings.routes).unwrap() };
    let config = AuthorizerConfig {
        issuer: issuer(),
        audience: "api".to_owned(),
        keys,
        max_token_lifetime: Duration::from_secs(600),
        routes,
        http_answer: settings.http_answer.unwrap_or(HttpAnswer::Simple),
        context_claims: settings.context_claims.iter().map(|&name| name.to_owned()).collect(),
        revocations: None,
    };
    let ended = Told::default();
    let authorizer = Authorizer::new(config, fetch, ended.clone(), context).unwrap();
    Fixture { authorizer, ended, journal, clock, issuer: test_issuer }
}

impl Fixture {
    /// The response as JSON, or the text of the error. Everything is in memory, so nothing waits.
    fn ask(&self, event: &Value) -> Result<Value, String> {
        // As text, as Lambda delivers it.
        let Pruned(event) = serde_json::from_str(&event.to_string()).unwrap();
        at_once(self.authorizer.handle(&event))
            .map(|answer| serde_json::to_value(answer).unwrap())
            .map_err(|error| error.to_string())
    }

    fn bearer(&self, scope: &str) -> String {
        format!("Bearer {}", self.issuer.token(scope))
    }
}

/// The output of a future that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Polled::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

const STAGE: &str = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/prod";
const ADDRESS: &str = "192.0.2.1";

/// One event of each form, as AWS documents it, for `GET /orders/7`. `authorization` is the header as the client sent
/// it, or null for none.
fn shapes(authorization: &Value) -> [(Api, Value); 6] {
    [
        (Api::Rest, rest_token(authorization, "GET/orders/7")),
        (Api::Rest, rest_request(authorization, "GET", "/orders/7")),
        (Api::HttpV1, http_v1(authorization, "GET", "/orders/7")),
        (Api::HttpV2, http_v2(authorization, "GET", "/orders/7")),
        (Api::HttpV2, without_identity_source(authorization)),
        (Api::WebSocket, web_socket(authorization)),
    ]
}

fn rest_token(authorization: &Value, called: &str) -> Value {
    json!({ "type": "TOKEN", "authorizationToken": authorization, "methodArn": format!("{STAGE}/{called}") })
}

fn headers(name: &str, authorization: &Value) -> (Value, Value) {
    let mut headers = json!({ "Host": "api.example.com", "X-Forwarded-For": "198.51.100.1, 203.0.113.9" });
    let mut several =
        json!({ "Host": ["api.example.com"], "X-Forwarded-For": ["198.51.100.1, 203.0.113.9"] });
    if !authorization.is_null() {
        headers[name] = authorization.clone();
        several[name] = json!([authorization]);
    }
    (headers, several)
}

fn rest_request(authorization: &Value, method: &str, path: &str) -> Value {
    let (headers, several) = headers("Authorization", authorization);
    json!({
        "type": "REQUEST", "methodArn": format!("{STAGE}/{method}{path}"), "resource": "/orders/{id}", "path": path,
        "httpMethod": method, "headers": headers, "multiValueHeaders": several, "queryStringParameters": { "q": "1" },
        "multiValueQueryStringParameters": { "q": ["1"] }, "pathParameters": { "id": "7" }, "stageVariables": {},
        "requestContext": { "resourceId": "rid", "resourcePath": "/orders/{id}", "httpMethod": method, "requestId": "r1",
            "path": format!("/prod{path}"), "accountId": "123456789012", "protocol": "HTTP/1.1", "stage": "prod",
            "identity": { "sourceIp": ADDRESS, "userAgent": "curl", "apiKey": null }, "apiId": "abcdef1234",
            "extendedRequestId": "x=", "a_key_of_next_year": { "deep": [1] } },
    })
}

fn http_v1(authorization: &Value, method: &str, path: &str) -> Value {
    let (headers, _) = headers("Authorization", authorization);
    json!({
        "version": "1.0", "type": "REQUEST", "methodArn": format!("{STAGE}/{method}{path}"),
        "identitySource": authorization, "authorizationToken": authorization, "resource": "/orders/{id}", "path": path,
        "httpMethod": method, "headers": headers, "queryStringParameters": {}, "pathParameters": { "id": "7" },
        "stageVariables": {}, "requestContext": { "requestId": "r1", "identity": { "sourceIp": ADDRESS } },
    })
}

fn http_v2(authorization: &Value, method: &str, path: &str) -> Value {
    let (headers, _) = headers("authorization", authorization);
    let identity = if authorization.is_null() { Value::Null } else { json!([authorization]) };
    json!({
        "version": "2.0", "type": "REQUEST", "routeArn": format!("{STAGE}/{method}{path}"), "identitySource": identity,
        "routeKey": "GET /orders/{id}", "rawPath": format!("/prod{path}"), "rawQueryString": "q=1", "cookies": ["a=b"],
        "headers": headers, "queryStringParameters": { "q": "1" }, "pathParameters": { "id": "7" },
        "stageVariables": null,
        "requestContext": { "accountId": "123456789012", "apiId": "abcdef1234", "domainName": "abcdef1234.execute-api",
            "domainPrefix": "abcdef1234", "http": { "method": method, "path": format!("/prod{path}"),
            "protocol": "HTTP/1.1", "sourceIp": ADDRESS, "userAgent": "curl" }, "requestId": "r1",
            "routeKey": "GET /orders/{id}", "stage": "prod", "time": "x", "timeEpoch": 1 },
    })
}

/// API Gateway can send null for both members.
fn without_identity_source(authorization: &Value) -> Value {
    let mut event = http_v2(authorization, "GET", "/orders/7");
    event["identitySource"] = Value::Null;
    event["cookies"] = Value::Null;
    event
}

fn web_socket(authorization: &Value) -> Value {
    let (headers, several) = headers("Authorization", authorization);
    json!({
        "type": "REQUEST", "methodArn": format!("{STAGE}/$connect"), "headers": headers, "multiValueHeaders": several,
        "queryStringParameters": {}, "multiValueQueryStringParameters": {}, "stageVariables": {},
        "requestContext": { "routeKey": "$connect", "eventType": "CONNECT", "messageDirection": "IN", "stage": "prod",
            "connectedAt": 1, "requestTimeEpoch": 1, "identity": { "sourceIp": ADDRESS }, "requestId": "r1",
            "domainName": "abcdef1234.execute-api", "connectionId": "c=", "apiId": "abcdef1234" },
    })
}

/// The decision of API Gateway on a response, evaluated by the rules of IAM; `None` for an error.
fn passes(answer: &Result<Value, String>, arn: &str) -> Option<bool> {
    let answer = answer.as_ref().ok()?;
    if let Some(allowed) = answer.get("isAuthorized") {
        return Some(allowed.as_bool().unwrap());
    }
    let statements = answer["policyDocument"]["Statement"].as_array().unwrap();
    let matching = |effect: &str| {
        statements.iter().filter(|statement| statement["Effect"] == effect).any(|statement| {
            assert_eq!(statement["Action"], "execute-api:Invoke");
            statement["Resource"]
                .as_array()
                .unwrap()
                .iter()
                .any(|resource| matches(resource.as_str().unwrap(), arn))
        })
    };
    Some(matching("Allow") && !matching("Deny"))
}

/// The wildcard `*` of IAM, which also matches slashes.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|tail| matches(after, tail)))
        }),
    }
}
