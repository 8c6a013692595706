//! The counts of `cargo scale` agree with real requests and with `template.yaml`.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use data_encoding::BASE64;
use daypass_core::client::machine::{
    Credential, CredentialId, Machine, MachineDocument, MachineId, SecretDigest, new_secret,
};
use daypass_core::token::assertion::ASSERTION_TYPE;
use daypass_gateway::template::parse;
use daypass_runtime::OsEntropy;
use daypass_scale::cost::{
    AUTHORIZE, CLIENT_TOKEN, CLIENT_TOKEN_ONCE, INTROSPECT, LOGIN_ELSEWHERE, LOGIN_KNOWN, Operation,
    PLATFORM_LOG_BYTES, REFRESH, REVOKE,
};
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Exchange;
use daypass_tests::bench::NOW;
use daypass_tests::key::Key;
use daypass_tests::service::{PASSWORD, Service, post};
use daypass_verifier::base::scope::Scope;
use serde_json::{Value, json};
use std::path::Path;

const ISSUER: &str = "https://id.example.com";
const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

/// Units that DynamoDB counted, of writing or of reading requests.
fn units(exchanges: &[Exchange], writes: bool) -> f64 {
    let of = |table: &Value| table["CapacityUnits"].as_f64().unwrap();
    exchanges
        .iter()
        .filter(|exchange| ["GetItem", "Query"].contains(&exchange.operation.as_str()) != writes)
        .map(|exchange| match &exchange.response()["ConsumedCapacity"] {
            Value::Array(tables) => tables.iter().map(of).sum(),
            one => of(one),
        })
        .sum()
}

/// invariant: The cost page multiplies prices with the units that go over the wire.
#[tokio::test(flavor = "multi_thread")]
async fn the_units_and_log_bytes_are_those_of_the_wire() {
    let embedded = Embedded::start(None).unwrap();
    let mut service = Service::quick(&embedded.url(), &[]).await;
    let (document, header, key) = machine();
    service.set_machines(document);
    let service = service;
    service.quick_user("alice").await;
    service.bench.recorder.ask_capacity(true);
    let _ = service.journal.take();
    let check = |operation: &Operation| {
        let exchanges = service.bench.recorder.take();
        let counted = [units(&exchanges, true), units(&exchanges, false)];
        let expected =
            [operation.writes, operation.reads].map(|units| f64::from(u32::try_from(units).unwrap()));
        assert_eq!(counted, expected, "{}", operation.name);
        // CloudWatch counts 26 more bytes for each line.
        let logged: usize = service.journal.take_lines().iter().map(|line| line.len() + 26).sum();
        let ours = operation.log_bytes - PLATFORM_LOG_BYTES;
        assert!(
            (logged > 0) == (ours > 0) && logged as u128 <= ours,
            "{}: {logged} of {ours}",
            operation.name
        );
    };
    // The first login is from an unknown address.
    assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 200);
    check(&LOGIN_ELSEWHERE);
    let login = service.login_from(HOME, "alice", PASSWORD).await;
    check(&LOGIN_KNOWN);
    assert_eq!(service.login_from(ELSEWHERE, "alice", PASSWORD).await.status, 200);
    check(&LOGIN_ELSEWHERE);
    let refreshed = service.refresh(&login.refresh_token()).await;
    check(&REFRESH);
    let of_client = async |path: &str, body: String| {
        let mut request = post(path, "application/x-www-form-urlencoded", body);
        request.headers_mut().insert("authorization", header.parse().unwrap());
        let answer = service.send(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    };
    let token = of_client("/token", "grant_type=client_credentials".to_owned()).await.access_token();
    check(&CLIENT_TOKEN);
    let now = NOW.seconds();
    let claims =
        json!({ "iss": "client_once", "sub": "client_once", "aud": ISSUER, "exp": now + 60, "jti": "1" });
    let assertion = key.jwt(&key.header(), &claims);
    let body = format!(
        "grant_type=client_credentials&client_assertion_type={ASSERTION_TYPE}&client_assertion={assertion}"
    );
    assert_eq!(service.form("/token", &body).await.status, 200);
    check(&CLIENT_TOKEN_ONCE);
    for token in [token, refreshed.access_token()] {
        of_client("/introspect", format!("token={token}")).await;
        check(&INTROSPECT);
    }
    assert_eq!(service.revoke(&refreshed.refresh_token()).await.status, 200);
    check(&REVOKE);
    assert!(service.lets_through(&login.access_token()));
    assert_eq!(service.bench.recorder.take().len(), 0, "the authorizer sends no request");
    assert_eq!(service.journal.take_lines(), Vec::<String>::new(), "and logs nothing");
    assert_eq!((AUTHORIZE.writes, AUTHORIZE.reads, AUTHORIZE.log_bytes), (0, 0, 0));
}

/// A document with two machine clients: the `Authorization` header of one, and the key of one whose assertions are accepted once.
fn machine() -> (MachineDocument, String, Key) {
    let secret = new_secret(&OsEntropy).expose().to_owned();
    let mut client = Machine::new(MachineId::parse("client_jobs").unwrap(), &Scope::default(), NOW);
    client.introspect = true;
    client.keys.push(Credential {
        id: CredentialId::generate(&OsEntropy),
        created_at: 1,
        jwk: None,
        secret_sha256: Some(SecretDigest::of(&secret)),
    });
    let mut document = MachineDocument::new();
    document.clients.push(client);
    let key = Key::es256();
    let mut once = Machine::new(MachineId::parse("client_once").unwrap(), &Scope::default(), NOW);
    once.single_use_assertions = true;
    let id = CredentialId::generate(&OsEntropy);
    once.keys.push(Credential { id, created_at: 1, jwk: Some(key.jwk()), secret_sha256: None });
    document.clients.push(once);
    (document, format!("Basic {}", BASE64.encode(format!("client_jobs:{secret}").as_bytes())), key)
}

#[test]
fn the_memory_is_that_of_the_template() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("template.yaml");
    let template = parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    let usual = &template["Globals"]["Function"]["MemorySize"];
    let memory = |function: &str| {
        let own = &template["Resources"][function]["Properties"]["MemorySize"];
        u128::from(if own.is_null() { usual } else { own }.as_u64().unwrap())
    };
    for (function, operation) in [
        ("LoginFunction", LOGIN_KNOWN),
        ("LoginFunction", LOGIN_ELSEWHERE),
        ("RefreshFunction", REFRESH),
        ("RefreshFunction", CLIENT_TOKEN),
        ("RefreshFunction", CLIENT_TOKEN_ONCE),
        ("IntrospectFunction", INTROSPECT),
        ("RevokeFunction", REVOKE),
        ("AuthorizerFunction", AUTHORIZE),
    ] {
        assert_eq!(memory(function), operation.memory, "{function}");
    }
}
