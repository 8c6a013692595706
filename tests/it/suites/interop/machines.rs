//! Machine clients: registered by `daypass client`, used by OAuth clients of others.

use super::oauth2_client::{refused, scope_of, send, version};
use super::programs::Covered;
use super::{CLIENT_ID, Whole};
use daypass_core::keys::Document;
use daypass_dev::{DEMO_PASSWORD, DEMO_SCOPE, DEMO_USER, Stack};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_testkit::functions;
use daypass_verifier::base::time::Clock;
use daypass_verifier::jose::jwk::Algorithm;
use futures_util::future::join_all;
use oauth2::basic::{BasicClient, BasicErrorResponseType};
use oauth2::{
    AccessToken, AuthType, ClientId, ClientSecret, HttpRequest, IntrospectionUrl, Scope,
    TokenIntrospectionResponse, TokenResponse, TokenUrl,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Parallel requests, so that each process of the function answers one.
const AT_ONCE: usize = 16;
/// The parameter of a request for a token.
pub(crate) const GRANT: [(&str, &str); 1] = [("grant_type", "client_credentials")];
/// Time after which the test fails: many times the age at which the functions read the clients again.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs `daypass client` on the stack. Returns its output.
pub(crate) async fn daypass_client(stack: &Stack, arguments: &[&str]) -> Value {
    let output = Command::new(functions::built("interop").join("daypass"))
        .args(["--json", "client"])
        .args(arguments)
        .env_clear()
        .envs(stack.variables())
        // Outside the checkout, where the command would find the stack of `cargo dev`.
        .current_dir(std::env::temp_dir())
        .output()
        .await
        .unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "daypass client {arguments:?}: {problem}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until every process behind an endpoint answers requests with these secrets with these statuses.
pub(crate) async fn until_known(
    stack: &Stack,
    path: &str,
    form: [(&str, &str); 1],
    client: &str,
    secrets: &[(&str, StatusCode)],
) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}{path}", stack.plain_url());
    let started = Instant::now();
    let ask = async |secret: &str| {
        http.post(&url).basic_auth(client, Some(secret)).form(&form).send().await.unwrap().status()
    };
    for (secret, expected) in secrets {
        while join_all((0..AT_ONCE).map(|_| ask(secret))).await.iter().any(|status| status != expected) {
            assert!(started.elapsed() < LONGEST, "{path}: the function does not read the clients");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The input of a program: two clients, each with two keys after a rotation, and a revoked key, where each assertion is accepted once; a client whose tokens must be bound to
/// a key; and the login of a user.
pub(crate) async fn case(whole: &Whole) -> Value {
    let stack = &whole.stack;
    let keys: Vec<Key> = (0..3).map(|_| Key::new(whole.algorithm)).collect();
    let create = ["--scope", DEMO_SCOPE, "--introspect"];
    let mut secrets = Vec::new();
    let mut ids = Vec::new();
    for (count, key) in keys.iter().enumerate() {
        let file = whole.folder.path().join("public.json");
        std::fs::write(&file, key.public.to_string()).unwrap();
        let public = ["--public-key", file.to_str().unwrap()];
        let arguments = |client: &'static str| match count {
            0 => [["create", client].as_slice(), &create].concat(),
            _ => vec!["rotate", client],
        };
        let by_secret = daypass_client(stack, &arguments("client_secrets")).await;
        let once = if count == 0 { ["--single-use-assertions"].as_slice() } else { &[] };
        let by_key = [arguments("client_keys").as_slice(), &public, once].concat();
        let by_key = daypass_client(stack, &by_key).await;
        secrets.push(by_secret["client_secret"].clone());
        ids.push([by_secret["key"].clone(), by_key["key"].clone()]);
        if count == 1 {
            for (client, key) in ["client_secrets", "client_keys"].into_iter().zip(&ids[0]) {
                daypass_client(stack, &["revoke", client, key.as_str().unwrap()]).await;
            }
        }
    }
    let create = ["create", "client_bound", "--scope", DEMO_SCOPE, "--require-dpop"];
    let bound = daypass_client(stack, &create).await["client_secret"].clone();
    let expected = [StatusCode::UNAUTHORIZED, StatusCode::OK, StatusCode::OK];
    let known: Vec<_> = secrets.iter().map(|secret| secret.as_str().unwrap()).zip(expected).collect();
    until_known(stack, "/token", GRANT, "client_secrets", &known).await;
    until_known(stack, "/introspect", [("token", "unknown")], "client_secrets", &known).await;
    // Without a proof.
    let known = [(bound.as_str().unwrap(), StatusCode::BAD_REQUEST)];
    until_known(stack, "/token", GRANT, "client_bound", &known).await;
    let user = whole.case().await;
    let private: Vec<Value> =
        keys.iter().map(|key| json!({ "kid": key.public["kid"], "pkcs8": key.pkcs8 })).collect();
    json!({
        "issuer": stack.url(),
        "algorithm": whole.algorithm,
        "secret_client": "client_secrets",
        "key_client": "client_keys",
        "secrets": &secrets[1..],
        "revoked_secret": secrets[0],
        "keys": &private[1..],
        "revoked_key": private[0],
        "scope": user["scope"],
        "narrower_scope": user["narrower_scope"],
        "wider_scope": user["wider_scope"],
        "bound_client": "client_bound",
        "bound_secret": bound,
        "login": { "username": DEMO_USER, "password": DEMO_PASSWORD, "client_id": CLIENT_ID },
        "user": user["subject"],
        "user_token": user["good"],
        "forged_token": user["refused"]["changed_signature"],
    })
}

/// A key of a client: the public JWK, and the private key as PKCS #8 in PEM.
struct Key {
    public: Value,
    pkcs8: String,
}

impl Key {
    fn new(algorithm: Algorithm) -> Self {
        let document = Document::generate(algorithm, &OsEntropy, SystemClock.now()).unwrap();
        let jwks: Value = serde_json::from_str(&document.jwks().to_json().unwrap()).unwrap();
        let private: Value = serde_json::from_str(&document.to_json().unwrap()).unwrap();
        let private = private["signing"][0]["private"].as_str().unwrap();
        let pkcs8 = data_encoding::BASE64URL_NOPAD.decode(private.as_bytes()).unwrap();
        let pkcs8 = data_encoding::BASE64.encode(&pkcs8);
        let pkcs8 = format!("-----BEGIN PRIVATE KEY-----\n{pkcs8}\n-----END PRIVATE KEY-----\n");
        Self { public: jwks["keys"][0].clone(), pkcs8 }
    }
}

/// The crate `oauth2` as a machine client, and as a resource server that introspects. It does not know `private_key_jwt`.
pub(crate) async fn oauth2_client(case: &Value, gateway: &str) -> Covered {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let issuer = text(&case["issuer"]);
    let send = |request: HttpRequest| send(http.clone(), request, issuer.clone(), gateway.to_owned());
    let client = |secret: &Value| {
        BasicClient::new(ClientId::new(text(&case["secret_client"])))
            .set_client_secret(ClientSecret::new(text(secret)))
            .set_auth_type(AuthType::BasicAuth)
            .set_token_uri(TokenUrl::new(format!("{issuer}/token")).unwrap())
            .set_introspection_url(IntrospectionUrl::new(format!("{issuer}/introspect")).unwrap())
    };
    let first = client(&case["secrets"][0]);
    let whole = first.exchange_client_credentials().request_async(&send).await.unwrap();
    assert_eq!(scope_of(&whole), case["scope"]);
    let narrower = Scope::new(text(&case["narrower_scope"]));
    let rotated = client(&case["secrets"][1]);
    let narrowed = rotated.exchange_client_credentials().add_scope(narrower).request_async(&send).await;
    let narrowed = narrowed.unwrap();
    assert_eq!(scope_of(&narrowed), case["narrower_scope"]);
    let revoked = client(&case["revoked_secret"]).exchange_client_credentials().request_async(&send).await;
    refused(revoked, &BasicErrorResponseType::InvalidClient);

    let introspect = async |token: &AccessToken| first.introspect(token).request_async(&send).await.unwrap();
    let answer = introspect(narrowed.access_token()).await;
    assert!(answer.active());
    assert_eq!(answer.sub(), case["secret_client"].as_str());
    assert!(!introspect(&AccessToken::new(text(&case["forged_token"]))).await.active());
    Covered {
        library: "oauth2".to_owned(),
        version: version(),
        cases: ["basic", "basic_rotated", "basic_revoked", "basic_introspection"].map(str::to_owned).into(),
    }
}
