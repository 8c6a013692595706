//! Tokens that are bound to a key (RFC 9449), from the login to the guarded call, over the embedded DynamoDB. The recorder counts
//! every request. `shared/authorizer/src/tests/dpop.rs` has the checks of a proof one by one.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use crate::factors::enrolled;
use crate::throttle::write_units;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, RsaKeyPair};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use daypass_authorizer::{Authorizer, Error, ProofTable};
use daypass_core::client::machine::{
    Credential, CredentialId, Machine, MachineDocument, MachineId, SecretDigest, new_secret,
};
use daypass_core::ports::context::Principal;
use daypass_core::ports::event::{ClientRefusal, Event, FactorRefusal, Refusal};
use daypass_core::session::DeadCause;
use daypass_core::token::mfa::MfaTokenError;
use daypass_runtime::OsEntropy;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::key::Key;
use daypass_tests::service::{PASSWORD, Service, post};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{Clock, Timestamp};
use daypass_verifier::config::authorizer;
use daypass_verifier::jose::dpop::Thumbprint;
use daypass_verifier::ports::follow::NotFollowed;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;
use std::time::Duration;

const ISSUER: &str = "https://id.example.com";
const FORM: &str = "application/x-www-form-urlencoded";
const CLIENTS: &str = r#"[{"client_id":"web"},{"client_id":"bank","require_dpop":true}]"#;

/// A client with the key of its proofs and the last nonce.
pub(crate) struct Device {
    key: Key,
    nonce: RefCell<Option<String>>,
    proofs: Cell<u64>,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self::with(Key::es256())
    }

    fn with(key: Key) -> Self {
        Self { key, nonce: RefCell::default(), proofs: Cell::new(0) }
    }

    pub(crate) fn thumbprint(&self) -> String {
        self.key.jwk().kid().to_owned()
    }

    /// The claims of a fresh proof.
    fn claims(&self, service: &Service, method: &str, url: &str) -> Value {
        self.proofs.set(self.proofs.get() + 1);
        let mut claims = json!({
            "jti": self.proofs.get().to_string(), "htm": method, "htu": url, "iat": service.clock.now().seconds(),
        });
        if let Some(nonce) = &*self.nonce.borrow() {
            claims["nonce"] = json!(nonce);
        }
        claims
    }

    fn proof(&self, service: &Service, path: &str) -> String {
        let claims = self.claims(service, "POST", &format!("{ISSUER}{path}"));
        self.key.jwt(&self.key.proof_header(), &claims)
    }

    /// Sends a request with a proof, and keeps the nonce of the response.
    pub(crate) async fn send(&self, service: &Service, path: &str, content_type: &str, body: &str) -> Answer {
        let answer = with_proof(service, path, content_type, body, &self.proof(service, path)).await;
        self.nonce.replace(answer.header("dpop-nonce").map(str::to_owned));
        answer
    }

    /// Logs in. The first response has the nonce alone.
    async fn login(&self, service: &Service, client: &str) -> Answer {
        let body = json!({ "username": "alice", "password": PASSWORD, "client_id": client }).to_string();
        let first = self.send(service, "/login", "application/json", &body).await;
        if first.outcome() != (400, "use_dpop_nonce".to_owned()) {
            return first;
        }
        self.send(service, "/login", "application/json", &body).await
    }

    pub(crate) async fn refresh(&self, service: &Service, token: &str) -> Answer {
        let body = format!("grant_type=refresh_token&refresh_token={token}");
        self.send(service, "/refresh", FORM, &body).await
    }

    /// Whether a guarded route of an HTTP API accepts an access token with a fresh proof of this key.
    pub(crate) fn passes(&self, service: &Service, token: &str) -> bool {
        service.authorize(&self.call(service, token))["isAuthorized"] == true
    }

    /// The event of a guarded call with a fresh proof.
    fn call(&self, service: &Service, token: &str) -> Value {
        service.call_with(&self.key, token)
    }
}

async fn with_proof(service: &Service, path: &str, content_type: &str, body: &str, proof: &str) -> Answer {
    let mut request = post(path, content_type, body);
    request.headers_mut().insert("dpop", proof.parse().unwrap());
    service.send(request).await
}

async fn service() -> (Embedded, Service) {
    let db = Embedded::start(None).unwrap();
    let service = Service::quick(&db.url(), &[("DAYPASS_CLIENTS", CLIENTS)]).await;
    service.quick_user("alice").await;
    (db, service)
}

fn payload(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

fn invalid_proof() -> (u16, String) {
    (400, "invalid_dpop_proof".to_owned())
}

fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

/// The operations since the last call.
fn operations(service: &Service) -> Vec<String> {
    service.bench.recorder.take().into_iter().map(|exchange| exchange.operation).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_bound_to_the_key_of_the_login() {
    let (_db, service) = service().await;
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    for device in [Device::new(), Device::with(Key::EdDsa(ed25519)), Device::with(Key::Rs256(rsa))] {
        let login = device.login(&service, "web").await;
        assert_eq!(login.status, 200, "{login:?}");
        assert_eq!(login.text("token_type"), "DPoP");
        let token = login.access_token();
        assert_eq!(payload(&token)["cnf"], json!({ "jkt": device.thumbprint() }));
        assert!(device.passes(&service, &token));
        assert!(!service.lets_through(&token), "as a bearer token");
        assert!(!Device::new().passes(&service, &token), "with another key");
        let next = device.refresh(&service, &login.refresh_token()).await;
        assert_eq!((next.status, next.text("token_type")), (200, "DPoP".to_owned()), "{next:?}");
        assert_eq!(payload(&next.access_token())["cnf"]["jkt"], device.thumbprint());
        assert!(device.passes(&service, &next.access_token()));
    }
    let bearer = service.login("alice").await;
    assert_eq!(bearer.text("token_type"), "Bearer");
    assert!(service.lets_through(&bearer.access_token()) && bearer.header("dpop-nonce").is_none());
}

/// invariant: A refresh token that is bound to a key does nothing without the key: no rotation, no ending, one request at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_refresh_token_is_worthless_without_the_key() {
    let (_db, service) = service().await;
    let (owner, thief) = (Device::new(), Device::new());
    let first = owner.login(&service, "web").await.refresh_token();
    let second = owner.refresh(&service, &first).await.refresh_token();
    assert_eq!(thief.refresh(&service, &second).await.outcome(), (400, "use_dpop_nonce".to_owned()));
    service.clock.advance(Duration::from_secs(60));
    let _ = (service.journal.take(), operations(&service));
    for stolen in [&second, &first] {
        assert_eq!(service.refresh(stolen).await.outcome(), invalid_proof(), "without a proof");
        assert_eq!(thief.refresh(&service, stolen).await.outcome(), invalid_grant(), "with another key");
        assert_eq!(operations(&service), ["UpdateItem", "UpdateItem"]);
        let causes = service.journal.take().into_iter().map(|event| match event {
            Event::RefreshRefused { cause, user: Some(_), session: Some(_), .. } => cause,
            other => panic!("{other:?}"),
        });
        let other_key = Refusal::Session(DeadCause::OtherKey);
        assert_eq!(causes.collect::<Vec<_>>(), [other_key, other_key], "no reuse, also of the old token");
    }
    let third = owner.refresh(&service, &second).await;
    assert_eq!(third.status, 200, "the owner does not notice: {third:?}");
    // With the key, an old token is reuse as ever.
    service.clock.advance(Duration::from_secs(60));
    assert_eq!(owner.refresh(&service, &first).await.outcome(), invalid_grant());
    assert!(service.journal.take().iter().any(|event| matches!(event, Event::Reuse { .. })));
    assert_eq!(owner.refresh(&service, &third.refresh_token()).await.outcome(), invalid_grant());
}

/// A session that was opened without a proof stays unbound: bound by a thief, the owner's token would be no reuse any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_binds_the_access_tokens_of_an_unbound_session_alone() {
    let (_db, service) = service().await;
    let (owner, thief) = (Device::new(), Device::new());
    let first = service.login("alice").await.refresh_token();
    let _ = thief.refresh(&service, &first).await;
    let stolen = thief.refresh(&service, &first).await;
    assert_eq!(payload(&stolen.access_token())["cnf"]["jkt"], thief.thumbprint());
    let plain = service.refresh(&stolen.refresh_token()).await;
    assert_eq!((plain.status, plain.text("token_type")), (200, "Bearer".to_owned()));
    service.clock.advance(Duration::from_secs(60));
    let _ = owner.refresh(&service, &first).await;
    assert_eq!(owner.refresh(&service, &first).await.outcome(), invalid_grant());
    assert!(
        service.journal.take().iter().any(|event| matches!(event, Event::Reuse { .. })),
        "theft is detected"
    );
}

/// invariant: A refresh with a proof is one request and one write unit.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_costs_no_request() {
    let (_db, service) = service().await;
    let device = Device::new();
    let plain = service.login("alice").await;
    let sorted = |service: &Service| {
        let mut operations = operations(service);
        operations.sort();
        operations
    };
    let login_operations = sorted(&service);
    let bound = device.login(&service, "web").await;
    assert_eq!(sorted(&service), login_operations, "the nonce costs nothing, and comes before any hash");
    let refreshed = service.refresh(&plain.refresh_token()).await;
    let cost = |service: &Service| {
        let exchanges = service.bench.recorder.take();
        (exchanges.len(), write_units(&exchanges))
    };
    assert_eq!((refreshed.status, cost(&service)), (200, (1, 1.0)));
    assert_eq!(device.refresh(&service, &bound.refresh_token()).await.status, 200);
    assert_eq!(cost(&service), (1, 1.0));
    for bad in ["", "a.b.c"] {
        let answer =
            with_proof(&service, "/refresh", FORM, "grant_type=refresh_token&refresh_token=x", bad).await;
        assert_eq!(answer.outcome(), invalid_proof());
    }
    assert_eq!(operations(&service), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_require_proofs() {
    let (db, service) = service().await;
    let device = Device::new();
    let body = json!({ "username": "alice", "password": PASSWORD, "client_id": "bank" });
    let _ = operations(&service);
    assert_eq!(service.post("/login", &body).await.outcome(), invalid_proof());
    assert_eq!((operations(&service).len(), service.hashes.load(Ordering::SeqCst)), (0, 0));
    let login = device.login(&service, "bank").await;
    let refresh_token = login.refresh_token();
    assert_eq!(service.refresh(&refresh_token).await.outcome(), invalid_proof());
    let named = format!("grant_type=refresh_token&client_id=bank&refresh_token={refresh_token}");
    assert_eq!(service.form("/token", &named).await.outcome(), invalid_proof());
    assert_eq!(device.refresh(&service, &refresh_token).await.status, 200);
    // A session from before the requirement needs a proof too, and is not ended by a request without one.
    let old = service.login("alice").await.refresh_token();
    let strict = r#"[{"client_id":"web","require_dpop":true}]"#;
    let strict = service.redeployed(&db.url(), &[("DAYPASS_CLIENTS", strict)]).await;
    assert_eq!(strict.refresh(&old).await.outcome(), invalid_proof());
    let answer = device.refresh(&strict, &old).await;
    assert_eq!((answer.status, answer.text("token_type")), (200, "DPoP".to_owned()));
}

/// A nonce that was never issued, of another deployment, or too old: the response has the right one.
#[tokio::test(flavor = "multi_thread")]
async fn proofs_need_a_nonce_that_was_issued_lately() {
    let (_db, service) = service().await;
    let (device, other) = (Device::new(), Device::new());
    let login = device.login(&service, "web").await;
    let good = device.nonce.borrow().clone();
    for bad in
        [None, Some(String::new()), Some("x".to_owned()), good.as_ref().map(|nonce| nonce[1..].to_owned())]
    {
        device.nonce.replace(bad.clone());
        let answer = device.refresh(&service, &login.refresh_token()).await;
        assert_eq!(answer.outcome(), (400, "use_dpop_nonce".to_owned()), "{bad:?}");
        assert_eq!(*device.nonce.borrow(), good, "the response has it");
    }
    other.nonce.replace(good.clone());
    assert_eq!(other.login(&service, "web").await.status, 200, "a nonce is of no one key");
    service.clock.advance(Duration::from_secs(29 * 60));
    assert_eq!(device.refresh(&service, &login.refresh_token()).await.status, 200);
    device.nonce.replace(good);
    service.clock.advance(Duration::from_secs(31 * 60));
    let late = device.refresh(&service, &login.refresh_token()).await;
    assert_eq!(late.outcome(), (400, "use_dpop_nonce".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_by_a_minute_gets_an_error_that_says_so() {
    let (_db, service) = service().await;
    let device = Device::new();
    let refresh_token = device.login(&service, "web").await.refresh_token();
    let nonce = device.nonce.borrow().clone();
    let body = format!("grant_type=refresh_token&refresh_token={refresh_token}");
    let now = service.clock.now().seconds();
    for (iat, expected) in [
        (now - 60, "ago"),
        (now + 60, "in the future"),
        (now - 5, ""),
        (now + 5, ""),
        (now - 10, ""),
        (now + 10, ""),
    ] {
        let mut claims = device.claims(&service, "POST", &format!("{ISSUER}/refresh"));
        (claims["iat"], claims["nonce"]) = (json!(iat), json!(nonce));
        let proof = device.key.jwt(&device.key.proof_header(), &claims);
        let answer = with_proof(&service, "/refresh", FORM, &body, &proof).await;
        if expected.is_empty() {
            assert_eq!(answer.status, 200, "{answer:?}");
        } else {
            assert_eq!(answer.outcome(), invalid_proof());
            let text = answer.text("error_description");
            assert!(text.contains(expected) && text.contains("check the clock"), "{text}");
        }
    }
}

/// The URL of a proof: the issuer's, a configured one, or no other.
#[tokio::test(flavor = "multi_thread")]
async fn proofs_name_the_url_that_the_client_calls() {
    let db = Embedded::start(None).unwrap();
    let origins = ("DAYPASS_DPOP_ORIGINS", "https://app.example.com/auth/ http://localhost:3000");
    let service = Service::quick(&db.url(), &[origins]).await;
    service.quick_user("alice").await;
    let device = Device::new();
    let _ = device.login(&service, "web").await;
    let body = json!({ "username": "alice", "password": PASSWORD }).to_string();
    for (url, status) in [
        ("https://app.example.com/auth/login", 200),
        ("http://localhost:3000/login", 200),
        ("https://ID.example.com:443/login?x", 200),
        ("https://app.example.com/login", 400),
        ("https://id.example.com/refresh", 400),
        ("https://id.example.com.evil/login", 400),
    ] {
        let proof = device.key.jwt(&device.key.proof_header(), &device.claims(&service, "POST", url));
        let answer = with_proof(&service, "/login", "application/json", &body, &proof).await;
        assert_eq!(answer.status, status, "{url} {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_machine_clients_are_bound_too() {
    let (_db, mut service) = service().await;
    let secret = new_secret(&OsEntropy).expose().to_owned();
    let machine = |name: &str, introspect: bool, require_dpop: bool| {
        let id = MachineId::parse(&format!("client_{name}")).unwrap();
        let mut machine = Machine::new(id, &Scope::default(), Timestamp::from_seconds(1));
        let id = CredentialId::generate(&OsEntropy);
        let secret_sha256 = Some(SecretDigest::of(&secret));
        machine.keys = vec![Credential { id, created_at: 1, jwk: None, secret_sha256 }];
        (machine.introspect, machine.require_dpop) = (introspect, require_dpop);
        machine
    };
    let mut document = MachineDocument::new();
    document.clients = vec![machine("jobs", false, true), machine("gateway", true, false)];
    service.set_machines(MachineDocument::parse(document.to_json().unwrap().as_bytes()).unwrap());
    let call = async |client: &str, path: &str, body: &str, proof: Option<String>| {
        let mut request = post(path, FORM, body);
        let basic = BASE64.encode(format!("{client}:{secret}").as_bytes());
        request.headers_mut().insert("authorization", format!("Basic {basic}").parse().unwrap());
        if let Some(proof) = proof {
            request.headers_mut().insert("dpop", proof.parse().unwrap());
        }
        service.send(request).await
    };
    let device = Device::new();
    let grant = "grant_type=client_credentials";
    let refused = call("client_jobs", "/token", grant, None).await;
    assert_eq!(refused.outcome(), invalid_proof());
    let events = service.journal.take();
    assert!(
        matches!(events[..], [Event::ClientRefused { cause: ClientRefusal::ProofRequired, .. }]),
        "{events:?}"
    );
    let first = call("client_jobs", "/token", grant, Some(device.proof(&service, "/token"))).await;
    assert_eq!(first.outcome(), (400, "use_dpop_nonce".to_owned()));
    device.nonce.replace(first.header("dpop-nonce").map(str::to_owned));
    let answer = call("client_jobs", "/token", grant, Some(device.proof(&service, "/token"))).await;
    assert_eq!((answer.status, answer.text("token_type")), (200, "DPoP".to_owned()));
    let token = answer.access_token();
    assert!(device.passes(&service, &token) && !service.lets_through(&token));
    assert_eq!(operations(&service), [""; 0]);
    let told = call("client_gateway", "/introspect", &format!("token={token}"), None).await.json();
    assert_eq!((&told["active"], &told["token_type"]), (&json!(true), &json!("DPoP")));
    assert_eq!(told["cnf"]["jkt"], device.thumbprint(), "RFC 9449 §6.2");
}

/// invariant: The second step of a login takes the key of the first.
#[tokio::test(flavor = "multi_thread")]
async fn both_steps_of_a_login_take_the_same_key() {
    let (_db, service) = service().await;
    let ada = enrolled(&service, "ada").await;
    let (device, thief) = (Device::new(), Device::new());
    let password = json!({ "username": "ada", "password": PASSWORD }).to_string();
    // The first response of each has the nonce alone.
    for holder in [&device, &thief] {
        let first = holder.send(&service, "/login", "application/json", &password).await;
        assert_eq!(first.outcome(), (400, "use_dpop_nonce".to_owned()));
    }
    let first = device.send(&service, "/login", "application/json", &password).await;
    assert_eq!(first.outcome(), (403, "mfa_required".to_owned()));
    let code = ada.totp.code_at(service.clock.now());
    let second = json!({ "mfa_token": first.text("mfa_token"), "code": code }).to_string();
    let _ = service.journal.take();
    let stolen = thief.send(&service, "/login/factor", "application/json", &second).await;
    assert_eq!(stolen.outcome(), invalid_grant());
    let refused = |event: &Event| match event {
        Event::LoginFactorRefused { cause, .. } => Some(*cause),
        _ => None,
    };
    let causes: Vec<FactorRefusal> = service.journal.take().iter().filter_map(refused).collect();
    assert_eq!(causes, [FactorRefusal::Token(MfaTokenError::OtherKey)]);
    let unproven = service.send(post("/login/factor", "application/json", second.clone())).await;
    assert_eq!(unproven.outcome(), invalid_proof());
    // Neither attempt has used up the code.
    let login = device.send(&service, "/login/factor", "application/json", &second).await;
    assert_eq!(login.status, 200, "{login:?}");
    let access = login.access_token();
    assert_eq!(payload(&access)["cnf"]["jkt"], device.thumbprint());
    assert_eq!((payload(&access)["acr"].clone(), login.text("token_type")), (json!("2"), "DPoP".to_owned()));
    assert!(device.passes(&service, &access) && !thief.passes(&service, &access));
    assert_eq!(thief.refresh(&service, &login.refresh_token()).await.outcome(), invalid_grant());
    assert_eq!(device.refresh(&service, &login.refresh_token()).await.status, 200);
}

/// The new session of a changed password is bound to the key of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_password_keeps_the_key() {
    let (_db, service) = service().await;
    let device = Device::new();
    let claims = payload(&device.login(&service, "web").await.access_token());
    let text = |name: &str| claims[name].as_str().unwrap();
    let principal = Principal::parse(text("sub"), text("sid"), true).unwrap();
    let body = json!({ "current_password": PASSWORD, "new_password": "another long password" }).to_string();
    let mut request = post("/password", "application/json", body);
    request.extensions_mut().insert(Principal { key: Thumbprint::parse(&device.thumbprint()), ..principal });
    let changed = service.send(request).await;
    assert_eq!((changed.status, changed.text("token_type")), (200, "DPoP".to_owned()), "{changed:?}");
    assert!(device.passes(&service, &changed.access_token()));
    assert_eq!(service.refresh(&changed.refresh_token()).await.outcome(), invalid_proof());
    assert_eq!(device.refresh(&service, &changed.refresh_token()).await.status, 200);
}

/// invariant: On a route with `dpop once`, no two processes accept the same proof, and without the table of used proofs the
/// answer is an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_accepted_once_in_all_processes() {
    let (db, service) = service().await;
    let device = Device::new();
    let token = device.login(&service, "web").await.access_token();
    let process = |routes: &str, endpoint: &str| {
        let jwks = service.keys.jwks().to_json().unwrap();
        let settings = |name: &str| match name {
            "DAYPASS_ISSUER" => Some(ISSUER.to_owned()),
            "DAYPASS_AUDIENCE" => Some("https://api.example.com".to_owned()),
            "DAYPASS_JWKS" => Some(jwks.clone()),
            "DAYPASS_ROUTES" => Some(routes.to_owned()),
            "DAYPASS_PROOFS_TABLE" => Some(service.bench.tables.attempts.clone()),
            _ => None,
        };
        let table = ProofTable::new(&service.bench.tables.attempts, |name| match name {
            "AWS_REGION" => Some("us-east-1".to_owned()),
            "AWS_ENDPOINT_URL_DYNAMODB" => Some(endpoint.to_owned()),
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
            _ => None,
        });
        let context = daypass_verifier::ports::context::Context {
            clock: Box::new(service.clock.clone()),
            entropy: Box::new(OsEntropy),
            journal: Box::new(service.journal.clone()),
        };
        let config = authorizer::read(settings).unwrap();
        Authorizer::new(config, None, NotFollowed, context).unwrap().with_proof_table(Some(table.unwrap()))
    };
    let ask = async |authorizer: &Authorizer<NotFollowed>, event: &Value| {
        let answer = authorizer.handle(event).await;
        answer.map(|answer| serde_json::to_value(answer).unwrap()["isAuthorized"] == true)
    };
    let (once, each) = ("GET /guarded needs dpop once", "GET /guarded needs dpop");
    let recorded = service.bench.recorder.url().to_owned();
    let processes: Vec<_> = (0..16).map(|_| process(once, &recorded)).collect();
    let _ = operations(&service);
    for _ in 0..3 {
        let event = device.call(&service, &token);
        let answers = join_all(processes.iter().map(|process| ask(process, &event))).await;
        let allowed = answers.iter().filter(|answer| **answer == Ok(true)).count();
        assert_eq!((allowed, answers.iter().filter(|answer| answer.is_err()).count()), (1, 0));
    }
    let exchanges = service.bench.recorder.take();
    assert_eq!(exchanges.len(), 48);
    assert!(exchanges.iter().all(|exchange| exchange.operation == "PutItem"));
    // Each process for itself accepts the proof, without a request.
    let (one, other) = (process(each, &recorded), process(each, &recorded));
    let event = device.call(&service, &token);
    assert_eq!((ask(&one, &event).await, ask(&one, &event).await), (Ok(true), Ok(false)));
    assert_eq!((ask(&other, &event).await, operations(&service).len()), (Ok(true), 0));
    // A repeated request of the process itself is no replay; a table that does not answer is an error.
    let lost = process(once, &recorded);
    assert_eq!(ask(&lost, &device.call(&service, &token)).await, Ok(true));
    service.bench.recorder.next(1, Action::DropAnswer);
    assert_eq!(ask(&lost, &device.call(&service, &token)).await, Ok(true), "over the kept connection");
    assert_eq!(operations(&service), ["PutItem"; 3]);
    service.bench.recorder.next(1, Action::refuse(400, "ProvisionedThroughputExceededException"));
    assert_eq!(ask(&lost, &device.call(&service, &token)).await, Err(Error::ProofTable));
    let lines = service.journal.take_lines().join("\n");
    assert!(
        lines.contains("ProvisionedThroughputExceededException") && lines.contains("use_proof"),
        "{lines}"
    );
    drop(db);
    let gone = process(once, "http://127.0.0.1:9");
    assert_eq!(ask(&gone, &device.call(&service, &token)).await, Err(Error::ProofTable));
}

/// An authorizer that knows no proofs, or another key in its context.
#[tokio::test(flavor = "multi_thread")]
async fn account_endpoints_need_the_key_of_the_session() {
    let (_db, service) = service().await;
    let device = Device::new();
    let claims = payload(&device.login(&service, "web").await.access_token());
    let text = |name: &str| claims[name].as_str().unwrap();
    let principal = Principal::parse(text("sub"), text("sid"), true).unwrap();
    let other = Thumbprint::parse(&Device::new().thumbprint());
    let body = json!({ "current_password": PASSWORD, "new_password": "another long password" }).to_string();
    for path in ["/password", "/reauthenticate"] {
        for key in [None, other] {
            let mut request = post(path, "application/json", body.clone());
            request.extensions_mut().insert(Principal { key, ..principal });
            assert_eq!(service.send(request).await.outcome(), (401, "invalid_token".to_owned()), "{path}");
        }
    }
    let mut request = post("/reauthenticate", "application/json", body);
    let key = Thumbprint::parse(&device.thumbprint());
    request.extensions_mut().insert(Principal { key, ..principal });
    let again = service.send(request).await;
    assert_eq!((again.status, again.text("token_type")), (200, "DPoP".to_owned()), "{again:?}");
    assert!(device.passes(&service, &again.access_token()));
}

/// Two proofs, in two headers or in one.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_proof() {
    let (_db, service) = service().await;
    let device = Device::new();
    let _ = device.login(&service, "web").await;
    let mut request = post("/refresh", FORM, "grant_type=refresh_token&refresh_token=x");
    for _ in 0..2 {
        request.headers_mut().append("dpop", device.proof(&service, "/refresh").parse().unwrap());
    }
    let twice = service.send(request).await;
    assert_eq!(twice.outcome(), invalid_proof());
    assert!(twice.text("error_description").contains("more than one"));
    let joined = format!("{},{}", device.proof(&service, "/refresh"), device.proof(&service, "/refresh"));
    let answer =
        with_proof(&service, "/refresh", FORM, "grant_type=refresh_token&refresh_token=x", &joined).await;
    assert_eq!(answer.outcome(), invalid_proof());
}
