//! Every response that `openapi.yaml` lists is seen: each status of each operation, with each error code.

mod factors;
mod passkeys;

use data_encoding::BASE64;
use daypass_admin::ClientDocument;
use daypass_core::client::machine::{
    Credential, CredentialId, Machine, MachineDocument, MachineId, SecretDigest, new_secret,
};
use daypass_core::http::request::Request;
use daypass_key_loader::SecretsManager as Vault;
use daypass_runtime::OsEntropy;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_testkit::secrets_manager::{ARN, SecretsManager};
use daypass_tests::aws::aws_at;
use daypass_tests::bench::NOW;
use daypass_tests::key::Key;
use daypass_tests::mailroom::{Mailroom, token_and_code};
use daypass_tests::openapi::{Shown, description};
use daypass_tests::service::{PASSWORD, Service, operator, post, request};
use daypass_verifier::base::scope::Scope;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const PAGE: &str = "https://app.example.com";
const CLIENTS: &str = r#"[{"client_id":"web","signup":"open","account_url":"https://app.example.com/account","scope":"orders:read orders:write"},
    {"client_id":"app","transport":"cookie","origins":["https://app.example.com"]}]"#;
/// The operations about mails, and whether the authorizer is in front.
const MAILS: [(&str, bool); 6] = [
    ("/signup", false),
    ("/signup/confirm", false),
    ("/recover", false),
    ("/recover/confirm", false),
    ("/email", true),
    ("/email/confirm", false),
];
/// The operations about second factors.
const FACTORS: [(&str, &str); 11] = [
    ("POST", "/reauthenticate"),
    ("POST", "/reauthenticate/passkey/options"),
    ("GET", "/factors"),
    ("POST", "/factors/totp"),
    ("DELETE", "/factors/totp"),
    ("POST", "/factors/totp/confirm"),
    ("POST", "/factors/recovery-codes"),
    ("POST", "/factors/passkeys/options"),
    ("POST", "/factors/passkeys"),
    ("PATCH", PASSKEY),
    ("DELETE", PASSKEY),
];
const PASSKEY: &str = "/factors/passkeys/psk_000102030405060708090a0b0c0d0e0f";
/// The steps of a login.
const STEPS: [&str; 3] = ["/login/factor", "/login/passkey", "/login/passkey/options"];
const SESSION: &str = "/sessions/ses_000102030405060708090a0b0c0d0e0f";
const DOCUMENTS: [&str; 4] = [
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/auth",
];

/// Which responses, and why.
type Exception = (fn(&Shown) -> bool, &'static str);

/// Responses that this test does not see, each with the reason.
const UNSEEN: [Exception; 2] = [
    (
        |one| one.error == "message",
        "API Gateway makes it: infra/gateway/tests/gateway.rs, and the black box for 401 and 403",
    ),
    (
        |one| one.status == "503" && of_discovery(&one.operation),
        "a cold start without keys, before any request is handled: functions/refresh/tests/start.rs",
    ),
];

fn of_discovery(operation: &str) -> bool {
    ["jwks", "openid", "authorizationServer"].iter().any(|prefix| operation.starts_with(prefix))
}

#[derive(Default)]
struct Seen(BTreeSet<Shown>);

impl Seen {
    /// Sends a request, and notes what the response shows.
    async fn see(&mut self, service: &Service, request: Request) -> Value {
        let answer = service.send(request.clone()).await;
        let shown = description().check(&request, &answer).unwrap();
        self.0.insert(shown.unwrap_or_else(|| panic!("{request:?} is of no operation")));
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    async fn json(&mut self, service: &Service, path: &str, body: Value) -> Value {
        self.see(service, post(path, "application/json", body.to_string())).await
    }
}

fn with(mut request: Request, headers: &[(&'static str, &str)]) -> Request {
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

fn login(name: &str, password: &str) -> Value {
    json!({ "username": name, "password": password })
}

fn token_of(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// invariant: Every response that openapi.yaml lists is seen by a test, or has a reason why not.
#[tokio::test(flavor = "multi_thread")]
async fn every_listed_response_is_seen() {
    let db = Embedded::start(None).unwrap();
    let passkeys = [("DAYPASS_PASSKEY_RP_ID", "example.com"), ("DAYPASS_PASSKEY_ORIGINS", PAGE)];
    let settings = [passkeys.as_slice(), &[("DAYPASS_CLIENTS", CLIENTS)]].concat();
    let mut pages = Service::quick(&db.url(), &settings).await;
    let plain = Service::quick(&db.url(), &[("DAYPASS_ISSUER", "https://id.example.com/auth")]).await;
    let mut seen = Seen::default();
    for name in ["alice", "bob", "carol"] {
        pages.quick_user(name).await;
    }
    preflights(&mut seen, &pages, &plain).await;
    documents(&mut seen, &plain).await;
    tokens(&mut seen, &pages).await;
    let (clients, machines) = machine_clients();
    pages.set_machines(clients);
    machine_tokens(&mut seen, &pages, &machines).await;
    proofs(&mut seen, &pages).await;
    account(&mut seen, &pages).await;
    mails(&mut seen, &pages, &db.url()).await;
    factors::walk(&mut seen, &pages, &db.url()).await;
    passkeys::walk(&mut seen, &pages, &db.url()).await;
    administration(&mut seen, &pages).await;
    without_clients(&mut seen, &mut pages).await;
    failures(&mut seen, &pages, &machines).await;
    let guarded = Service::quick(&db.url(), &[("DAYPASS_PROXY_SECRET", &"s".repeat(32))]).await;
    beside_the_proxy(&mut seen, &guarded).await;
    let silent = pages.redeployed(&db.url(), &[("DAYPASS_MAIL_FROM", "")]).await;
    without_mails(&mut seen, &silent).await;

    let listed: BTreeSet<Shown> = description().listed().into_iter().collect();
    assert_eq!(seen.0.difference(&listed).collect::<Vec<_>>(), Vec::<&Shown>::new());
    for (holds, reason) in UNSEEN {
        assert!(listed.iter().any(holds), "there is no such response: {reason}");
        assert!(!seen.0.iter().any(holds), "it is seen: {reason}");
    }
    assert_eq!(missing(&listed, &seen.0), Vec::<&Shown>::new());
    for one in &seen.0 {
        let mut others = seen.0.clone();
        others.remove(one);
        assert_eq!(missing(&listed, &others), [one], "the test finds what is not seen");
    }
}

fn missing<'a>(listed: &'a BTreeSet<Shown>, seen: &BTreeSet<Shown>) -> Vec<&'a Shown> {
    let unseen = listed.iter().filter(|one| !seen.contains(one));
    unseen.filter(|one| !UNSEEN.iter().any(|(holds, _)| holds(one))).collect()
}

async fn preflights(seen: &mut Seen, pages: &Service, plain: &Service) {
    let mails = MAILS.map(|(path, _)| path);
    let others = ["/login", "/refresh", "/token", "/revoke", "/password", "/sessions", SESSION];
    for path in others.into_iter().chain(mails).chain(STEPS).chain(FACTORS.map(|(_, path)| path)) {
        seen.see(plain, request("OPTIONS", path)).await;
        for origin in [PAGE, "https://elsewhere.example"] {
            let headers = [("origin", origin), ("access-control-request-method", "POST")];
            seen.see(pages, with(request("OPTIONS", path), &headers)).await;
        }
    }
}

async fn documents(seen: &mut Seen, service: &Service) {
    for path in DOCUMENTS.into_iter().chain(["/revocations"]) {
        seen.see(service, request("OPTIONS", path)).await;
    }
    for method in ["GET", "HEAD"] {
        for path in DOCUMENTS {
            seen.see(service, request(method, path)).await;
        }
        seen.see(service, request(method, "/.well-known/oauth-authorization-server/other")).await;
        seen.see(service, request(method, "/revocations")).await;
        seen.see(service, request(method, "/revocations?after=x")).await;
        seen.see(service, with(request(method, "/revocations"), &[("if-none-match", "*")])).await;
    }
}

/// DPoP proofs: a malformed one, and one without a nonce.
async fn proofs(seen: &mut Seen, service: &Service) {
    let key = Key::es256();
    for path in ["/login", "/login/factor", "/login/passkey", "/refresh", "/token"] {
        let claims = json!({
            "jti": "1", "htm": "POST", "htu": format!("https://id.example.com{path}"), "iat": NOW.seconds(),
        });
        for proof in ["x", &key.jwt(&key.proof_header(), &claims)] {
            seen.see(service, with(post(path, "application/json", "{}"), &[("dpop", proof)])).await;
        }
    }
}

/// `/login`, `/refresh` and `/revoke`.
async fn tokens(seen: &mut Seen, service: &Service) {
    for path in ["/login", "/refresh", "/revoke"] {
        seen.see(service, post(path, "application/json", vec![b' '; 20_000])).await;
        seen.see(service, post(path, "text/plain", "x")).await;
        seen.json(service, path, json!({})).await;
        seen.json(service, path, json!({ "client_secret": "s" })).await;
    }
    let tokens = seen.json(service, "/login", login("alice", PASSWORD)).await;
    let with_member = |name: &str, value: &str| {
        let mut body = login("alice", PASSWORD);
        body[name] = json!(value);
        body
    };
    seen.json(service, "/login", with_member("client_id", "unknown")).await;
    seen.json(service, "/login", with_member("client_id", "app")).await;
    seen.json(service, "/login", with_member("scope", "a  b")).await;
    for _ in 0..6 {
        seen.json(service, "/login", login("bob", "not the password")).await;
    }

    let cookie = [("cookie", "__Host-daypass_refresh=x"), ("origin", "https://elsewhere.example")];
    let refresh = |name: &str, value: &str| {
        let mut body =
            json!({ "grant_type": "refresh_token", "refresh_token": token_of(&tokens, "refresh_token") });
        body[name] = json!(value);
        body
    };
    seen.see(
        service,
        with(post("/refresh", "application/json", r#"{"grant_type":"refresh_token"}"#), &cookie),
    )
    .await;
    seen.json(service, "/refresh", refresh("grant_type", "password")).await;
    seen.json(service, "/refresh", refresh("client_id", "unknown")).await;
    seen.json(service, "/refresh", refresh("scope", "a  b")).await;
    seen.json(service, "/refresh", refresh("refresh_token", "x")).await;
    let tokens = seen.json(service, "/refresh", refresh("scope", "orders:read")).await;

    let revoke =
        |name: &str, value: &str| json!({ "token": token_of(&tokens, "refresh_token"), name: value });
    seen.see(service, with(post("/revoke", "application/json", "{}"), &cookie)).await;
    seen.json(service, "/revoke", revoke("client_id", "unknown")).await;
    seen.json(service, "/revoke", json!({ "token": "x", "all": true })).await;
    seen.json(service, "/revoke", revoke("all", "true")).await;
}

/// A document with a client that may introspect and one that may not, and their `Authorization` headers.
fn machine_clients() -> (MachineDocument, Vec<String>) {
    let mut document = MachineDocument::new();
    let headers = ["asks", "jobs"].map(|name| {
        let secret = new_secret(&OsEntropy).expose().to_owned();
        let id = MachineId::parse(&format!("client_{name}")).unwrap();
        let mut client = Machine::new(id, &Scope::parse("orders:read").unwrap(), NOW);
        client.introspect = name == "asks";
        client.keys.push(Credential {
            id: CredentialId::generate(&OsEntropy),
            created_at: 1,
            jwk: None,
            secret_sha256: Some(SecretDigest::of(&secret)),
        });
        document.clients.push(client);
        format!("Basic {}", BASE64.encode(format!("client_{name}:{secret}").as_bytes()))
    });
    (document, headers.into())
}

/// `/token` and `/introspect`. `headers` are those of the two clients.
async fn machine_tokens(seen: &mut Seen, service: &Service, headers: &[String]) {
    for path in ["/token", "/introspect"] {
        seen.see(service, post(path, "application/json", vec![b' '; 20_000])).await;
        seen.see(service, post(path, "text/plain", "x")).await;
        seen.json(service, path, json!({})).await;
        seen.json(service, path, json!({ "client_secret": "s" })).await;
    }
    let by = |index: usize, path: &str, body: &Value| {
        let request = post(path, "application/json", body.to_string());
        with(request, &[("authorization", headers[index].as_str())])
    };
    let client = |scope: &str| json!({ "grant_type": "client_credentials", "scope": scope });
    let token = seen.see(service, by(0, "/token", &client("orders:read"))).await;
    seen.see(service, by(0, "/token", &client("orders:write"))).await;
    seen.json(service, "/token", json!({ "grant_type": "password" })).await;
    let refresh =
        |client: &str| json!({ "grant_type": "refresh_token", "refresh_token": "x", "client_id": client });
    seen.json(service, "/token", refresh("web")).await;
    seen.json(service, "/token", refresh("unknown")).await;
    let cookie = [("cookie", "__Host-daypass_refresh=x"), ("origin", "https://elsewhere.example")];
    let body = r#"{"grant_type":"refresh_token"}"#;
    seen.see(service, with(post("/token", "application/json", body), &cookie)).await;
    let token = json!({ "token": token_of(&token, "access_token") });
    for index in [0, 1] {
        seen.see(service, by(index, "/introspect", &token)).await;
        seen.see(service, by(index, "/introspect", &json!({}))).await;
    }
}

/// `/sessions` and `/password`.
async fn account(seen: &mut Seen, service: &Service) {
    let tokens = seen.json(service, "/login", login("alice", PASSWORD)).await;
    let principal = service.principal(&token_of(&tokens, "access_token"));
    let own = format!("/sessions/{}", token_of(&tokens, "session_id"));
    let authorized = |mut request: Request| {
        request.extensions_mut().insert(principal);
        request
    };
    for (method, path) in [("GET", "/sessions"), ("DELETE", SESSION)] {
        seen.see(service, request(method, path)).await;
        seen.see(service, authorized(request(method, path))).await;
    }
    let change = |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new }).to_string();
        post("/password", "application/json", body)
    };
    let new = "a longer and better password";
    seen.see(service, change(PASSWORD, new)).await;
    for body in ["{}", r#"{"client_secret":"s"}"#] {
        seen.see(service, authorized(post("/password", "application/json", body))).await;
    }
    seen.see(service, authorized(post("/password", "text/plain", "x"))).await;
    seen.see(service, authorized(post("/password", "application/json", vec![b' '; 20_000]))).await;
    seen.see(service, authorized(change(PASSWORD, "short"))).await;
    seen.see(service, authorized(change(PASSWORD, new))).await;
    for _ in 0..6 {
        seen.see(service, authorized(change("not the password", PASSWORD))).await;
    }
    // A token with a narrower scope.
    let body = json!({ "username": "carol", "password": PASSWORD, "scope": "orders:read" });
    let narrow = token_of(&seen.json(service, "/login", body).await, "access_token");
    for denied in [request("GET", "/sessions"), request("DELETE", SESSION), change(PASSWORD, new)] {
        let mut denied = denied;
        denied.extensions_mut().insert(service.principal(&narrow));
        seen.see(service, denied).await;
    }
    seen.json(service, "/revoke", json!({ "token": narrow, "all": true })).await;
    seen.see(service, authorized(request("DELETE", &own))).await;
}

/// Requests that did not come through the trusted proxy.
fn operated(method: &str, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Request {
    let mut request = post(path, content_type, body);
    *request.method_mut() = method.parse().unwrap();
    request.extensions_mut().insert(operator());
    request
}

/// `/admin/…`: every operation with a body that works, and for each of its errors.
async fn administration(seen: &mut Seen, service: &Service) {
    let user = service.quick_user("managed").await;
    service.quick_user("other").await;
    let session = token_of(&seen.json(service, "/login", login("managed", PASSWORD)).await, "session_id");
    let sessions = format!("/admin/sessions?user_id={}", user.id);
    let session = format!("/admin/session?user_id={}&session_id={session}", user.id);
    let nobody = format!("/admin/session?user_id={}&session_id={}", user.id, &SESSION["/sessions/".len()..]);
    let new = r#"{"username":"other"}"#;
    let email = r#"{"email":"managed@example.com"}"#;
    let operations = [
        ("GET", "/admin/users", "/admin/users?limit=0", ""),
        ("POST", "/admin/users", "/admin/users?x", r#"{"username":"added","email":"added@example.com"}"#),
        (
            "POST",
            "/admin/invitations",
            "/admin/invitations?x",
            r#"{"email":"invited@example.com","client_id":"web"}"#,
        ),
        ("GET", "/admin/user?username=managed", "/admin/user", ""),
        ("PATCH", "/admin/user?username=managed", "/admin/user", email),
        (
            "PUT",
            "/admin/user/password?username=managed",
            "/admin/user/password",
            r#"{"password":"a longer and better password"}"#,
        ),
        ("DELETE", "/admin/user/factors?username=managed", "/admin/user/factors", ""),
        ("GET", &sessions, "/admin/sessions", ""),
        ("GET", &session, "/admin/session", ""),
        ("DELETE", &session, "/admin/session", ""),
        ("DELETE", &sessions, "/admin/sessions", ""),
        ("DELETE", "/admin/user?username=managed", "/admin/user", ""),
        ("GET", "/admin/clients", "/admin/clients?x", ""),
        ("POST", "/admin/clients", "/admin/clients?x", r#"{"name":"billing"}"#),
        ("POST", "/admin/client/keys?client_id=client_billing", "/admin/client/keys", "{}"),
        ("DELETE", "/admin/client?client_id=client_billing", "/admin/client?client_id=x", ""),
    ];
    let json = "application/json";
    for (method, path, malformed, body) in &operations {
        let mut stranger = operated(method, path, json, *body);
        stranger.extensions_mut().clear();
        seen.see(service, stranger).await;
        seen.see(service, operated(method, malformed, json, *body)).await;
        if !body.is_empty() {
            seen.see(service, operated(method, path, json, vec![b' '; 20_000])).await;
            seen.see(service, operated(method, path, "text/plain", *body)).await;
        }
        for code in ["ThrottlingException", "AccessDeniedException"] {
            service.bench.recorder.always(Action::refuse(400, code));
            seen.see(service, operated(method, path, json, *body)).await;
        }
        service.bench.recorder.always(Action::Pass);
    }
    for (method, path, body) in [
        ("POST", "/admin/users", r#"{"username":"x","scope":"\""}"#),
        ("POST", "/admin/users", r#"{"username":"x","password":"short"}"#),
        ("POST", "/admin/users", new),
        ("POST", "/admin/invitations", r#"{"email":"a@b.example","client_id":"web","scope":"\""}"#),
        ("PATCH", "/admin/user?username=managed", r#"{"scope":"\""}"#),
        ("PATCH", "/admin/user?username=managed", r#"{"email":"added@example.com"}"#),
        ("PUT", "/admin/user/password?username=managed", r#"{"password":"short"}"#),
        ("POST", "/admin/clients", r#"{"name":"x","scope":"\""}"#),
        ("POST", "/admin/clients", r#"{"name":"twice"}"#),
        ("POST", "/admin/clients", r#"{"name":"twice"}"#),
        ("POST", "/admin/client/keys?client_id=client_twice", "{}"),
        ("POST", "/admin/client/keys?client_id=client_twice", "{}"),
        ("POST", "/admin/client/keys?client_id=client_nobody", "{}"),
        ("DELETE", "/admin/client?client_id=client_nobody", ""),
    ] {
        // The address must be there before it can be taken.
        if path.contains("managed") && body.contains("added@") {
            seen.see(service, operated("POST", "/admin/users", json, operations[1].3)).await;
        }
        seen.see(service, operated(method, path, json, body)).await;
    }
    let taken = r#"{"email":"added@example.com","client_id":"web"}"#;
    seen.see(service, operated("POST", "/admin/invitations", json, taken)).await;
    for (method, path, _, body) in &operations {
        seen.see(service, operated(method, path, json, *body)).await;
        if path.contains("username=managed") {
            seen.see(service, operated(method, &path.replace("managed", "nobody"), json, *body)).await;
        }
    }
    for method in ["GET", "DELETE"] {
        seen.see(service, operated(method, "/admin/sessions?username=nobody", json, "")).await;
        seen.see(service, operated(method, &nobody, json, "")).await;
    }
}

/// The Admin API while the document of machine clients cannot be read.
async fn without_clients(seen: &mut Seen, service: &mut Service) {
    let operations = [
        ("GET", "/admin/clients", ""),
        ("POST", "/admin/clients", r#"{"name":"billing"}"#),
        ("POST", "/admin/client/keys?client_id=client_billing", "{}"),
        ("DELETE", "/admin/client?client_id=client_billing", ""),
    ];
    let secrets = SecretsManager::start("not a document".to_owned()).await.unwrap();
    let vault = Vault::connect(&aws_at(secrets.url()));
    *service.client_document() = ClientDocument { source: ARN.to_owned(), vault };
    for answers in [false, true] {
        if answers {
            secrets.answer();
        }
        for (method, path, body) in operations {
            seen.see(service, operated(method, path, "application/json", body)).await;
        }
    }
}

async fn beside_the_proxy(seen: &mut Seen, service: &Service) {
    for (method, path) in
        [("GET", "/sessions"), ("DELETE", SESSION), ("POST", "/password"), ("POST", "/introspect")]
    {
        seen.see(service, request(method, path)).await;
    }
    for (path, _) in MAILS {
        seen.see(service, request("POST", path)).await;
    }
    for (method, path) in FACTORS.into_iter().chain(STEPS.map(|path| ("POST", path))) {
        seen.see(service, request(method, path)).await;
    }
}

/// The requests for mails and their confirmations.
async fn mails(seen: &mut Seen, service: &Service, dynamodb: &str) {
    let tokens = seen.json(service, "/login", login("bob", PASSWORD)).await;
    service.clock.advance(Duration::from_secs(3600));
    let tokens = if tokens["access_token"].is_null() {
        seen.json(service, "/login", login("bob", PASSWORD)).await
    } else {
        tokens
    };
    let principal = service.principal(&token_of(&tokens, "access_token"));
    let authorized = |mut request: Request| {
        request.extensions_mut().insert(principal);
        request
    };
    for (path, guarded) in MAILS {
        for request in [
            post(path, "application/json", vec![b' '; 20_000]),
            post(path, "text/plain", "x"),
            post(path, "application/json", "{}"),
            post(path, "application/json", r#"{"client_secret":"s"}"#),
        ] {
            seen.see(service, if guarded { authorized(request) } else { request }).await;
        }
    }
    let room = Mailroom::of(service, dynamodb).await;
    let password = "a longer and better password";
    let ada = "ada@example.com";
    for path in ["/signup", "/recover"] {
        seen.json(service, path, json!({ "email": ada, "client_id": "unknown" })).await;
        seen.json(service, path, json!({ "email": ada, "client_id": "app" })).await;
    }
    seen.json(service, "/signup", json!({ "email": ada })).await;
    let (sign_up, _) = token_and_code(&room.mails().await[0]);
    seen.json(service, "/signup/confirm", json!({ "token": sign_up, "password": "short" })).await;
    let closed = service.redeployed(dynamodb, &[]).await;
    seen.json(&closed, "/signup/confirm", json!({ "token": sign_up, "password": password })).await;
    seen.json(service, "/signup/confirm", json!({ "token": sign_up, "password": password })).await;
    let asked = seen.json(service, "/recover", json!({ "email": ada })).await;
    let (reset, _) = token_and_code(&room.mails().await[0]);
    seen.json(service, "/recover/confirm", json!({ "token": reset, "password": "short" })).await;
    for _ in 0..6 {
        let code = json!({ "request": asked["request"], "code": "0", "password": password });
        seen.json(service, "/recover/confirm", code).await;
    }
    seen.json(service, "/recover/confirm", json!({ "token": reset, "password": password })).await;
    // Two more reach the limit of an address.
    for path in ["/recover", "/signup"] {
        for _ in 0..2 {
            seen.json(service, path, json!({ "email": ada })).await;
        }
    }

    let change = |password: &str, email: &str| {
        let body = json!({ "current_password": password, "email": email }).to_string();
        authorized(post("/email", "application/json", body))
    };
    seen.see(service, request("POST", "/email")).await;
    seen.see(service, post("/email", "application/json", change(PASSWORD, ada).into_body())).await;
    seen.see(service, change("not the password", "bob@example.org")).await;
    room.mails().await;
    let asked = seen.see(service, change(PASSWORD, "bob@example.org")).await;
    let (address, _) = token_and_code(&room.mails().await[0]);
    for path in ["/signup/confirm", "/email/confirm"] {
        let of_sign_up =
            seen.json(service, "/signup", json!({ "email": format!("{}@b.example", path.len()) })).await;
        let handle = if path == "/email/confirm" { &asked["request"] } else { &of_sign_up["request"] };
        for _ in 0..6 {
            let code = json!({ "request": handle, "code": "0", "password": password });
            seen.json(service, path, code).await;
        }
    }
    seen.json(service, "/email/confirm", json!({ "token": address })).await;
    for _ in 0..3 {
        seen.see(service, change(PASSWORD, "bob@example.org")).await;
    }
    let narrow = json!({ "username": "carol", "password": PASSWORD, "scope": "orders:read" });
    let narrow = token_of(&seen.json(service, "/login", narrow).await, "access_token");
    let mut denied = change(PASSWORD, ada);
    denied.extensions_mut().insert(service.principal(&narrow));
    seen.see(service, denied).await;
}

/// The endpoints of mails while mails are off.
async fn without_mails(seen: &mut Seen, service: &Service) {
    let tokens = seen.json(service, "/login", login("carol", PASSWORD)).await;
    let principal = service.principal(&token_of(&tokens, "access_token"));
    for (path, _) in MAILS {
        let body = json!({
            "email": "ada@example.com", "token": "x", "password": "a longer and better password", "current_password": PASSWORD,
        });
        let mut request = post(path, "application/json", body.to_string());
        request.extensions_mut().insert(principal);
        seen.see(service, request).await;
    }
}

/// Each operation that reads or writes a table, while the store is unavailable and while it is broken.
/// `headers` are those of the machine clients.
async fn failures(seen: &mut Seen, service: &Service, headers: &[String]) {
    let tokens = seen.json(service, "/login", login("carol", PASSWORD)).await;
    let principal = service.principal(&token_of(&tokens, "access_token"));
    let token = token_of(&tokens, "refresh_token");
    let email = |address: &str| json!({ "email": address, "current_password": PASSWORD });
    let mut handles = Vec::new();
    for (path, address) in
        [("/signup", "c1@b.example"), ("/recover", "c2@b.example"), ("/email", "c3@b.example")]
    {
        let mut request = post(path, "application/json", email(address).to_string());
        request.extensions_mut().insert(principal);
        handles.push(token_of(&seen.see(service, request).await, "request"));
    }
    let code =
        |n: usize| json!({ "request": handles[n], "code": "0", "password": "a longer and better password" });
    let bodies = [
        ("/signup", email("c1@b.example")),
        ("/recover", email("c2@b.example")),
        ("/email", email("c3@b.example")),
        ("/signup/confirm", code(0)),
        ("/recover/confirm", code(1)),
        ("/email/confirm", code(2)),
        ("/login", login("carol", PASSWORD)),
        ("/refresh", json!({ "grant_type": "refresh_token", "refresh_token": token })),
        ("/token", json!({ "grant_type": "refresh_token", "refresh_token": token })),
        ("/revoke", json!({ "token": token })),
        (
            "/password",
            json!({ "current_password": PASSWORD, "new_password": "a longer and better password" }),
        ),
    ];
    for code in ["ThrottlingException", "AccessDeniedException"] {
        service.bench.recorder.always(Action::refuse(400, code));
        for (path, body) in &bodies {
            let mut request = post(path, "application/json", body.to_string());
            request.extensions_mut().insert(principal);
            seen.see(service, request).await;
        }
        let token = json!({ "token": token_of(&tokens, "access_token") }).to_string();
        let asks = post("/introspect", "application/json", token);
        seen.see(service, with(asks, &[("authorization", headers[0].as_str())])).await;
        let others =
            [("GET", "/sessions"), ("DELETE", SESSION), ("GET", "/revocations"), ("HEAD", "/revocations")];
        for (method, path) in others {
            service.clock.advance(Duration::from_secs(5));
            let mut request = request(method, path);
            request.extensions_mut().insert(principal);
            seen.see(service, request).await;
        }
        service.bench.recorder.always(Action::Pass);
    }
}
