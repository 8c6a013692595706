//! An AWS for the measured functions, over TLS: DynamoDB with a user, Secrets Manager with the keys, the revocation feed.

use crate::feed::Feed;
use crate::function::Function;
use crate::runtime_api::Exchange;
use crate::token::{AUDIENCE, ISSUER, Ticket, get_revocations};
use anyhow::{Context, Result, anyhow};
use daypass_core::config::Tables;
use daypass_core::keys::{Document, Peppers};
use daypass_core::ports::store::{User, UserStatus};
use daypass_core::secret::Password;
use daypass_dynamodb::{DynamoDb, LOCAL_ACCESS_KEY_ID, LOCAL_REGION, LOCAL_SECRET_ACCESS_KEY, TableNames};
use daypass_passwords::Passwords;
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_testkit::embedded::Embedded;
use daypass_testkit::event;
use daypass_testkit::secrets_manager::SecretsManager;
use daypass_testkit::tls::Tls;
use daypass_verifier::base::ids::UserId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Clock;
use daypass_verifier::jose::jwk::Algorithm;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Runtime;

/// The certificates that this system trusts, on Debian and Amazon Linux.
const ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
const NAME: &str = "ada";
const PASSWORDS: [&str; 2] = ["correct horse 2026 battery", "battery 2026 horse correct"];

/// The running services.
pub(crate) struct Stage {
    built: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    feed_url: String,
    ticket: Ticket,
    tokens: Arc<Tokens>,
    _database: Embedded,
    _secrets: SecretsManager,
    _tls: [Tls; 3],
    _folder: tempfile::TempDir,
    _runtime: Runtime,
}

impl Stage {
    /// Starts the services. `built` has the binaries as `FUNCTION/bootstrap`.
    pub(crate) fn start(built: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let database = Embedded::start(None)?;
        let keys = Document::generate(Algorithm::Es256, &OsEntropy, SystemClock.now())?;
        let names = ["users", "sessions", "attempts"];
        let [users, sessions, attempts] = names.map(str::to_owned);
        let store = DynamoDb::local(&database.url(), TableNames::from(&Tables { users, sessions, attempts }));
        let user = user(&keys)?;
        runtime.block_on(async {
            store.create_tables().await?;
            store.add_user(&user).await
        })?;
        let secrets = runtime.block_on(SecretsManager::start(String::new()))?;
        for section in ["signing", "refresh", "peppers"] {
            secrets.set_secret_of(&arn(section), keys.only(section)?.to_json()?);
        }
        secrets.set_secret_of(&arn("jwks"), keys.jwks().to_json()?);
        secrets.answer();
        let feed = Feed::start(0)?;
        let tls: [Tls; 3] =
            runtime.block_on(async { [Tls::listen().await, Tls::listen().await, Tls::listen().await] });
        let folder = tempfile::tempdir()?;
        let trusted = folder.path().join("trusted.pem");
        let mut roots: Vec<PathBuf> = ROOTS.iter().map(PathBuf::from).filter(|path| path.is_file()).collect();
        roots.extend(tls.iter().map(|tls| tls.certificate().to_owned()));
        let roots: Vec<String> = roots.iter().map(std::fs::read_to_string).collect::<Result<_, _>>()?;
        std::fs::write(&trusted, roots.join("\n"))?;
        let [dynamodb, secrets_manager, revocations] = &tls;
        dynamodb.forward_to(&database.url());
        secrets_manager.forward_to(secrets.url());
        revocations.forward_to(feed.url().trim_end_matches("/revocations"));
        let environment = [
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets_manager.url()),
            ("AWS_REGION", LOCAL_REGION),
            ("AWS_ACCESS_KEY_ID", LOCAL_ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", LOCAL_SECRET_ACCESS_KEY),
            ("DAYPASS_ISSUER", ISSUER),
            ("DAYPASS_AUDIENCE", AUDIENCE),
            ("DAYPASS_CLIENTS", r#"[{"client_id":"web"}]"#),
            ("DAYPASS_USERS_TABLE", "users"),
            ("DAYPASS_SESSIONS_TABLE", "sessions"),
            ("DAYPASS_ATTEMPTS_TABLE", "attempts"),
        ];
        let mut environment: Vec<(&'static str, OsString)> =
            environment.map(|(name, value)| (name, value.into())).into();
        environment.push(("SSL_CERT_FILE", trusted.into()));
        let feed_url = format!("{}/revocations", revocations.url());
        let stage = Self {
            built: built.to_owned(),
            environment,
            feed_url,
            ticket: Ticket::issue()?,
            tokens: Arc::default(),
            _database: database,
            _secrets: secrets,
            _tls: tls,
            _folder: folder,
            _runtime: runtime,
        };
        // The first login makes the session of the other functions.
        drop(stage.function("login")?.start()?);
        Ok(stage)
    }

    /// A function with its events.
    pub(crate) fn function(&self, name: &'static str) -> Result<Function> {
        let path = |name: &str| self.built.join(name).join("bootstrap");
        let (keys, exchange, expected): (&[&str], Arc<dyn Exchange>, &'static str) = match name {
            "login" => (&["signing", "refresh", "peppers"], self.events(login), "access_token"),
            "refresh" => (&["signing", "refresh"], self.events(refresh), "access_token"),
            "revoke" => (&["refresh"], self.events(revoke), r#""statusCode":200"#),
            "sessions" => (&[], self.events(sessions), r#""statusCode":200"#),
            "password" => (&["peppers"], self.events(password), r#""statusCode":20"#),
            "revocations" => (&[], Arc::new(get_revocations()), r#""statusCode":200"#),
            "discovery" => (&[], self.events(discovery), r#""statusCode":200"#),
            "authorizer" => (&[], Arc::new(self.ticket.event.clone()), r#""isAuthorized":true"#),
            _ => return Err(anyhow!("{name} has no events")),
        };
        let mut environment = self.environment.clone();
        environment.push((
            "DAYPASS_KEYS",
            keys.iter().map(|section| arn(section)).collect::<Vec<_>>().join(" ").into(),
        ));
        if name == "authorizer" {
            environment.push(("DAYPASS_JWKS", self.ticket.jwks.clone().into()));
            environment.push(("DAYPASS_REVOCATIONS_URL", self.feed_url.clone().into()));
        } else {
            environment.push(("DAYPASS_JWKS", arn("jwks").into()));
        }
        Ok(Function { program: path(name), arguments: vec![], environment, exchange, expected })
    }

    /// The least function that reads as many secrets, makes as many requests to DynamoDB one after another, and hashes as many
    /// passwords. Without secrets and requests, it links no AWS SDK.
    pub(crate) fn floor(&self, secrets: usize, requests: usize, hashes: usize) -> Function {
        let with_aws = secrets + requests > 0;
        let program = self.built.join(if with_aws { "floor-aws" } else { "floor" }).join("bootstrap");
        let arns = ["signing", "refresh", "peppers", "jwks"].map(arn);
        let numbers = [requests, hashes].map(|number| number.to_string());
        let arguments = numbers.into_iter().chain(arns.into_iter().take(secrets)).map(OsString::from);
        let arguments = if with_aws { arguments.collect() } else { vec![] };
        let exchange = Arc::new(self.ticket.event.clone());
        Function { program, arguments, environment: self.environment.clone(), exchange, expected: "true" }
    }

    fn events(&self, event: fn(&mut Session) -> Value) -> Arc<dyn Exchange> {
        Arc::new(Chain { tokens: Arc::clone(&self.tokens), event })
    }
}

fn arn(secret: &str) -> String {
    format!("arn:aws:secretsmanager:{LOCAL_REGION}:000000000000:secret:daypass-{secret}-AbCdEf")
}

fn user(keys: &Document) -> Result<User> {
    let passwords = Passwords::configured(|_| None)?;
    let [first, _] = PASSWORDS;
    let first = Password::new(first.to_owned()).context("the password is empty")?;
    let now = SystemClock.now();
    Ok(User {
        username: passwords.username(NAME).map_err(|error| anyhow!("{error}"))?,
        id: UserId::from_bytes([7; 16]),
        password_hash: passwords.hash(&first, &Peppers::from_document(keys)?, &OsEntropy)?,
        password_version: 1,
        status: UserStatus::Enabled,
        scope: Scope::parse("orders:read orders:write").ok().context("the scope is malformed")?,
        created_at: now,
        updated_at: now,
    })
}

/// The newest tokens of the user, which the next event needs.
type Tokens = Mutex<Session>;

#[derive(Default)]
struct Session {
    refresh_token: String,
    /// Claims `sub` and `sid` of the access token.
    claims: Value,
    /// Number of changes of the password.
    changes: usize,
}

impl Session {
    /// The current password, and another one.
    fn passwords(&self) -> [&'static str; 2] {
        let [first, second] = PASSWORDS;
        if self.changes.is_multiple_of(2) { [first, second] } else { [second, first] }
    }
}

/// Events that depend on the last response.
struct Chain {
    tokens: Arc<Tokens>,
    event: fn(&mut Session) -> Value,
}

impl Exchange for Chain {
    fn event(&self) -> String {
        (self.event)(&mut self.tokens.lock().unwrap_or_else(PoisonError::into_inner)).to_string()
    }

    fn answered(&self, response: &str) {
        let mut session = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let body = serde_json::from_str::<Value>(response).ok();
        let body = body.as_ref().and_then(|response| response.get("body")?.as_str());
        let Some(body) = body.and_then(|body| serde_json::from_str::<Value>(body).ok()) else { return };
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        if let Some(token) = text("refresh_token") {
            token.clone_into(&mut session.refresh_token);
        }
        if let Some(claims) = text("access_token").and_then(claims) {
            session.claims = claims;
        }
    }
}

fn claims(access_token: &str) -> Option<Value> {
    let claims = data_encoding::BASE64URL_NOPAD.decode(access_token.split('.').nth(1)?.as_bytes()).ok()?;
    serde_json::from_slice(&claims).ok()
}

fn login(session: &mut Session) -> Value {
    let [current, _] = session.passwords();
    post(
        "/login",
        "application/json",
        &json!({ "username": NAME, "password": current, "client_id": "web" }).to_string(),
    )
}

fn refresh(session: &mut Session) -> Value {
    let mut body = String::from("grant_type=refresh_token&client_id=web&refresh_token=");
    // Writing to a String cannot fail.
    let _ = write!(body, "{}", session.refresh_token);
    post("/refresh", "application/x-www-form-urlencoded", &body)
}

/// The first revocation ends the session; each further one costs as much.
fn revoke(session: &mut Session) -> Value {
    let body = format!("token={}", session.refresh_token);
    post("/revoke", "application/x-www-form-urlencoded", &body)
}

fn sessions(session: &mut Session) -> Value {
    guarded("GET", "/sessions", "", session)
}

fn password(session: &mut Session) -> Value {
    let [current, new] = session.passwords();
    session.changes += 1;
    guarded(
        "POST",
        "/password",
        &json!({ "current_password": current, "new_password": new }).to_string(),
        session,
    )
}

fn discovery(_: &mut Session) -> Value {
    event::http("GET", "/.well-known/jwks.json", "text/plain", "")
}

fn post(path: &str, content_type: &str, body: &str) -> Value {
    event::http("POST", path, content_type, body)
}

/// A request that the authorizer let through.
fn guarded(method: &str, path: &str, body: &str, session: &Session) -> Value {
    let mut event = event::http(method, path, "application/json", body);
    let claim = |name: &str| session.claims.get(name).cloned().unwrap_or_default();
    let context = json!({ "lambda": { "sub": claim("sub"), "sid": claim("sid"), "account": true } });
    if let Some(request) = event.get_mut("requestContext").and_then(Value::as_object_mut) {
        request.insert("authorizer".to_owned(), context);
    }
    event
}
