//! An AWS for the measured functions, over TLS: DynamoDB with a user, Secrets Manager with the keys, the revocation feed.

use crate::feed::Feed;
use crate::function::Function;
use crate::runtime_api::Exchange;
use crate::token::{AUDIENCE, ISSUER, Ticket, get_revocations};
use anyhow::{Context, Result, anyhow};
use daypass_core::account::claims::Claims;
use daypass_core::config::Tables;
use daypass_core::factor::Factors;
use daypass_core::keys::{Document, Peppers};
use daypass_core::ports::store::{self, UserStatus};
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
/// The user of the logins, whose many sessions would make the requests of the others larger, and the user of the others.
const NAMES: [&str; 2] = ["ada", "bob"];
const PASSWORDS: [&str; 2] = ["correct horse 2026 battery", "battery 2026 horse correct"];

/// A function, and what the least function of its shape does.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// `MemorySize` of template.yaml.
    pub(crate) megabytes: u32,
    /// Secrets that a start reads.
    pub(crate) secrets: usize,
    /// Requests to DynamoDB, one after another.
    pub(crate) requests: usize,
    /// Such requests at the same time.
    pub(crate) at_once: usize,
    /// Password hashes of a request.
    pub(crate) hashes: usize,
    /// Signatures of a request.
    pub(crate) signatures: usize,
    /// Pause of a request, in milliseconds: an intended one, which is left out of the ratio.
    pub(crate) pause: u64,
    /// Longest first request, in addition to the hashes, in milliseconds.
    pub(crate) first: Option<u64>,
}

/// The running services.
pub(crate) struct Stage {
    built: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    feed_url: String,
    jwks_url: String,
    ticket: Ticket,
    users: [Arc<User>; 2],
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
        runtime.block_on(store.create_tables())?;
        for (number, name) in (1..).zip(NAMES) {
            runtime.block_on(store.add_user(&stored_user(&keys, number, name)?))?;
        }
        let secrets = runtime.block_on(SecretsManager::start(String::new()))?;
        for section in ["signing", "refresh", "peppers"] {
            secrets.set_secret_of(&arn(section), keys.only(section)?.to_json()?);
        }
        secrets.set_secret_of(&arn("jwks"), keys.jwks().to_json()?);
        secrets.answer();
        let ticket = Ticket::issue()?;
        let feed = Feed::start_with(0, &ticket.jwks)?;
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
            ("DAYPASS_OUTBOX_TABLE", "outbox"),
        ];
        let mut environment: Vec<(&'static str, OsString)> =
            environment.map(|(name, value)| (name, value.into())).into();
        environment.push(("SSL_CERT_FILE", trusted.into()));
        let [feed_url, jwks_url] =
            ["revocations", "jwks"].map(|path| format!("{}/{path}", revocations.url()));
        let stage = Self {
            built: built.to_owned(),
            environment,
            feed_url,
            jwks_url,
            ticket,
            users: NAMES.map(|name| Arc::new(User { name, session: Mutex::default() })),
            _database: database,
            _secrets: secrets,
            _tls: tls,
            _folder: folder,
            _runtime: runtime,
        };
        let [_, other] = &stage.users;
        let mut login = stage.function("login")?;
        login.exchange = Arc::new(Chain { user: Arc::clone(other), event: self::login });
        login.start()?;
        Ok(stage)
    }

    /// A function with its events.
    pub(crate) fn function(&self, name: &'static str) -> Result<Function> {
        let path = |name: &str| self.built.join(name).join("bootstrap");
        let (keys, exchange, expected): (&[&str], Arc<dyn Exchange>, &'static str) = match name {
            "login" => {
                let [user, _] = &self.users;
                let logins = Chain { user: Arc::clone(user), event: login };
                (&["signing", "refresh", "peppers"], Arc::new(logins), "access_token")
            }
            "refresh" => (&["signing", "refresh"], self.events(refresh), "access_token"),
            "revoke" => (&["refresh"], self.events(revoke), r#""statusCode":200"#),
            "sessions" => (&[], self.events(sessions), r#""statusCode":200"#),
            "password" => (&["signing", "refresh", "peppers"], self.events(password), r#""statusCode":20"#),
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
            environment.push(("DAYPASS_JWKS_URL", self.jwks_url.clone().into()));
            environment.push(("DAYPASS_REVOCATIONS_URL", self.feed_url.clone().into()));
        } else {
            environment.push(("DAYPASS_JWKS", arn("jwks").into()));
        }
        Ok(Function { program: path(name), arguments: vec![], environment, exchange, expected })
    }

    /// The least function that reads as many secrets, makes as many requests to DynamoDB one after another, hashes as many
    /// passwords and signs as many tokens. Without secrets and requests, it requests the two documents of the authorizer, and verifies its token.
    pub(crate) fn floor(&self, shape: &Shape) -> Function {
        let Shape { secrets, requests, at_once, hashes, signatures, .. } = *shape;
        let with_aws = secrets + requests > 0;
        let program = self.built.join(if with_aws { "floor-aws" } else { "floor" }).join("bootstrap");
        let arns = ["signing", "refresh", "peppers", "jwks"].map(arn);
        let numbers = [requests, at_once, hashes, signatures].map(|number| number.to_string());
        let arguments = numbers.into_iter().chain(arns.into_iter().take(secrets)).map(OsString::from);
        let arguments = if with_aws {
            arguments.collect()
        } else {
            let fetched = ["--fetch", &self.feed_url, "--fetch", &self.jwks_url];
            fetched.into_iter().chain(self.ticket.arguments()).map(OsString::from).collect()
        };
        let event = if with_aws {
            discovery("", &mut Session::default()).to_string()
        } else {
            self.ticket.event.clone()
        };
        let exchange = Arc::new(event);
        Function { program, arguments, environment: self.environment.clone(), exchange, expected: "true" }
    }

    fn events(&self, event: Event) -> Arc<dyn Exchange> {
        let [_, user] = &self.users;
        Arc::new(Chain { user: Arc::clone(user), event })
    }
}

fn arn(secret: &str) -> String {
    format!("arn:aws:secretsmanager:{LOCAL_REGION}:000000000000:secret:daypass-{secret}-AbCdEf")
}

fn stored_user(keys: &Document, number: u8, name: &str) -> Result<store::User> {
    let passwords = Passwords::configured(|_| None)?;
    let [first, _] = PASSWORDS;
    let first = Password::new(first.to_owned()).context("the password is empty")?;
    let now = SystemClock.now();
    Ok(store::User {
        username: passwords.username(name).map_err(|error| anyhow!("{error}"))?,
        id: UserId::from_bytes([number; 16]),
        password_hash: passwords.hash(&first, &Peppers::from_document(keys)?, &OsEntropy)?,
        password_version: 1,
        status: UserStatus::Enabled,
        scope: Scope::parse("orders:read orders:write").ok().context("the scope is malformed")?,
        email: None,
        claims: Claims::default(),
        factors: Factors::default(),
        created_at: now,
        updated_at: now,
    })
}

/// Makes the next event of a user.
type Event = fn(&'static str, &mut Session) -> Value;

struct User {
    name: &'static str,
    session: Mutex<Session>,
}

/// The newest tokens of a user, which the next event needs.
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
    user: Arc<User>,
    event: Event,
}

impl Exchange for Chain {
    fn event(&self) -> String {
        let session = &mut self.user.session.lock().unwrap_or_else(PoisonError::into_inner);
        (self.event)(self.user.name, session).to_string()
    }

    fn answered(&self, response: &str) {
        let mut session = self.user.session.lock().unwrap_or_else(PoisonError::into_inner);
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

fn login(name: &'static str, session: &mut Session) -> Value {
    let [current, _] = session.passwords();
    post(
        "/login",
        "application/json",
        &json!({ "username": name, "password": current, "client_id": "web" }).to_string(),
    )
}

fn refresh(_: &'static str, session: &mut Session) -> Value {
    let mut body = String::from("grant_type=refresh_token&client_id=web&refresh_token=");
    // Writing to a String cannot fail.
    let _ = write!(body, "{}", session.refresh_token);
    post("/refresh", "application/x-www-form-urlencoded", &body)
}

/// The first revocation ends the session; each further one costs as much.
fn revoke(_: &'static str, session: &mut Session) -> Value {
    let body = format!("token={}", session.refresh_token);
    post("/revoke", "application/x-www-form-urlencoded", &body)
}

fn sessions(_: &'static str, session: &mut Session) -> Value {
    guarded("GET", "/sessions", "", session)
}

fn password(_: &'static str, session: &mut Session) -> Value {
    let [current, new] = session.passwords();
    session.changes += 1;
    guarded(
        "POST",
        "/password",
        &json!({ "current_password": current, "new_password": new }).to_string(),
        session,
    )
}

fn discovery(_: &'static str, _: &mut Session) -> Value {
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
