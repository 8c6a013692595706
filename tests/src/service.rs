//! All functions in the process of the test, wired as in their `main.rs`. The clock can be set, the log can be read, and
//! password hashes are counted. The store behind them is a real DynamoDB API, with a recorder in between.

use crate::aws::aws_at;
use crate::bench::{Bench, NOW};
use crate::key::Key;
use crate::openapi::assert_described;
use argon2::PasswordHasher as _;
use data_encoding::BASE64URL_NOPAD;
use daypass_admin::ClientDocument;
use daypass_admin_function::AdminApi;
use daypass_authorizer::Authorizer;
use daypass_core::account::claims::Claims;
use daypass_core::client::machine::{MachineDocument, Machines, Registry};
use daypass_core::config::{self, MailerConfig};
use daypass_core::factor::Factors;
use daypass_core::flow::account::Account;
use daypass_core::flow::client_credentials::ClientCredentials;
use daypass_core::flow::feed::Revocations;
use daypass_core::flow::introspect::Introspect;
use daypass_core::flow::login::Login;
use daypass_core::flow::password::ChangePassword;
use daypass_core::flow::refresh::Refresh;
use daypass_core::flow::revoke::Revoke;
use daypass_core::flow::sessions::Sessions;
use daypass_core::http::answer::refuse;
use daypass_core::http::discovery::Discovery;
use daypass_core::http::proxy::admit;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::keys::{Document, Peppers};
use daypass_core::ports::context::{Context, Operator, Principal};
use daypass_core::ports::event::Event;
use daypass_core::ports::hasher::{PasswordCheck, PasswordHasher};
use daypass_core::ports::store::{User, UserStatus};
use daypass_core::secret::{Password, ProxySecrets};
use daypass_core::token::nonce;
use daypass_dynamodb::{Addition, DynamoDb, TableNames};
use daypass_key_loader::SecretsManager;
use daypass_migration::COGNITO_ENDPOINT;
use daypass_passwords::Passwords;
use daypass_runtime::OsEntropy;
use daypass_testkit::{Answer, event};
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::{UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{Clock, Timestamp};
use daypass_verifier::config::authorizer;
use daypass_verifier::jose::dpop::Thumbprint;
use daypass_verifier::jose::jwk::Algorithm;
use daypass_verifier::ports::context::{self, Caller};
use daypass_verifier::ports::event::Event as VerifierEvent;
use daypass_verifier::ports::follow::NotFollowed;
use daypass_verifier::ports::journal::Journal;
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The password of every user that [`Service::user`] adds.
pub const PASSWORD: &str = "correct horse battery staple";

/// A clock that stands still until a test changes it.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    /// A clock at this time.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(time.millis())))
    }

    /// Sets the clock.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.millis(), Ordering::SeqCst);
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A journal that keeps the events of the issuer's functions and of the authorizer.
#[derive(Clone, Default)]
pub struct Recorded(Arc<Mutex<Vec<(Entry, Caller)>>>);

enum Entry {
    Issuer(Event),
    Verifier(VerifierEvent),
}

impl Recorded {
    /// Events of the issuer's functions since the last call. Drops those of the authorizer.
    #[must_use]
    pub fn take(&self) -> Vec<Event> {
        let issuers = |(entry, _)| match entry {
            Entry::Issuer(event) => Some(event),
            Entry::Verifier(_) => None,
        };
        std::mem::take(&mut *self.0.lock().unwrap()).into_iter().filter_map(issuers).collect()
    }

    /// All events since the last call, as the lines that a function writes to standard output.
    #[must_use]
    pub fn take_lines(&self) -> Vec<String> {
        let recorded = std::mem::take(&mut *self.0.lock().unwrap());
        let line = |(entry, caller)| match entry {
            Entry::Issuer(event) => daypass_runtime::line(&event, &caller),
            Entry::Verifier(event) => daypass_runtime::line(&event, &caller),
        };
        recorded.into_iter().map(line).map(|line| String::from_utf8(line).unwrap()).collect()
    }
}

impl Journal<Event> for Recorded {
    fn record(&self, event: &Event, caller: &Caller) {
        self.0.lock().unwrap().push((Entry::Issuer(event.clone()), caller.clone()));
    }
}

impl Journal<VerifierEvent> for Recorded {
    fn record(&self, event: &VerifierEvent, caller: &Caller) {
        self.0.lock().unwrap().push((Entry::Verifier(event.clone()), caller.clone()));
    }
}

/// The real hasher, with a counter of its calls.
struct Counting {
    count: Arc<AtomicUsize>,
    /// Whether hashes with weaker parameters are accepted without a rehash.
    content: bool,
}

impl PasswordHasher for Counting {
    fn username(&self, typed: &str) -> Option<Username> {
        PasswordHasher::username(&Passwords::standard(), typed)
    }

    fn check(&self, password: &Password, stored: Option<&str>, peppers: &Peppers) -> PasswordCheck {
        self.count.fetch_add(1, Ordering::SeqCst);
        // For an unknown name, the hasher computes a standard hash.
        if self.content && stored.is_none() {
            return PasswordCheck::Mismatch;
        }
        match Passwords::standard().check(password, stored, peppers) {
            PasswordCheck::Match { .. } if self.content => PasswordCheck::Match { outdated: false },
            check => check,
        }
    }

    fn refusal(&self, password: &Password, username: Option<&Username>) -> Option<&'static str> {
        Passwords::standard().refusal(password, username)
    }

    fn rehash(&self, password: &Password, peppers: &Peppers, entropy: &dyn Entropy) -> Option<String> {
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.content {
            return Some(quick_hash(password.expose()));
        }
        Passwords::standard().rehash(password, peppers, entropy)
    }
}

/// All functions over one store.
pub struct Service {
    /// The tables and the recorder.
    pub bench: Bench,
    /// The clock of all functions.
    pub clock: TestClock,
    /// The log of all functions.
    pub journal: Recorded,
    /// Number of passwords that were hashed.
    pub hashes: Arc<AtomicUsize>,
    /// The keys of clients, with which a bound access token is presented.
    pub client_keys: Vec<Arc<Key>>,
    /// The key set of all functions.
    pub keys: Document,
    login: Login<DynamoDb>,
    refresh: Refresh<DynamoDb>,
    revoke: Revoke<DynamoDb>,
    introspect: Introspect<DynamoDb>,
    sessions: Sessions<DynamoDb>,
    password: ChangePassword<DynamoDb>,
    /// The flows of the function `account`.
    pub account: Account<DynamoDb>,
    /// The settings of the mailer, which [`Mailroom`](crate::mailroom::Mailroom) runs.
    pub mailer: MailerConfig,
    admin: AdminApi,
    authorizer: Authorizer<NotFollowed>,
    revocations: Revocations<DynamoDb>,
    discovery: Discovery,
    proxy: Option<ProxySecrets>,
    quick: bool,
    /// Holds the file of the machine clients.
    _machines: tempfile::TempDir,
}

impl Service {
    /// Functions with the default of every setting.
    pub async fn new(dynamodb: &str) -> Self {
        Self::with(dynamodb, &[]).await
    }

    /// Functions with these environment variables.
    pub async fn with(dynamodb: &str, settings: &[(&str, &str)]) -> Self {
        let keys = Document::generate(Algorithm::Es256, &OsEntropy, NOW).unwrap();
        Self::over(Bench::new(dynamodb).await, keys, settings, false)
    }

    /// For tests with thousands of logins. Passwords of [`Service::quick_user`] keep their hash, which has the weakest
    /// parameters of argon2id.
    pub async fn quick(dynamodb: &str, settings: &[(&str, &str)]) -> Self {
        let keys = Document::generate(Algorithm::Es256, &OsEntropy, NOW).unwrap();
        Self::over(Bench::new(dynamodb).await, keys, settings, true)
    }

    /// As [`Service::quick`], but connected directly to DynamoDB: the recorder sees nothing and takes no time.
    pub async fn quick_unrecorded(dynamodb: &str, settings: &[(&str, &str)]) -> Self {
        let keys = Document::generate(Algorithm::Es256, &OsEntropy, NOW).unwrap();
        let mut bench = Bench::new(dynamodb).await;
        let names = TableNames::from(&bench.tables).with_outbox(&bench.outbox);
        bench.store = DynamoDb::local(dynamodb, names);
        Self::over(bench, keys, settings, true)
    }

    /// Functions with an existing key set.
    pub async fn with_keys(dynamodb: &str, keys: Document, settings: &[(&str, &str)]) -> Self {
        Self::over(Bench::new(dynamodb).await, keys, settings, false)
    }

    fn over(bench: Bench, keys: Document, settings: &[(&str, &str)], content: bool) -> Self {
        let mut env: BTreeMap<String, String> = [
            ("DAYPASS_ISSUER", "https://id.example.com"),
            ("DAYPASS_AUDIENCE", "https://api.example.com"),
            ("DAYPASS_CLIENTS", r#"[{"client_id":"web"},{"client_id":"narrow","scope":"orders:read"}]"#),
            ("DAYPASS_KEYS", "(in memory)"),
            ("DAYPASS_JWKS", &keys.jwks().to_json().unwrap()),
            ("DAYPASS_USERS_TABLE", &bench.tables.users),
            ("DAYPASS_SESSIONS_TABLE", &bench.tables.sessions),
            ("DAYPASS_ATTEMPTS_TABLE", &bench.tables.attempts),
            ("DAYPASS_OUTBOX_TABLE", &bench.outbox),
            ("DAYPASS_MAIL_FROM", "Acme <no-reply@acme.example>"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let lookup = |name: &str| env.get(name).cloned();

        let clock = TestClock::at(NOW);
        let journal = Recorded::default();
        let hashes = Arc::new(AtomicUsize::new(0));
        let context = || Context {
            clock: Box::new(clock.clone()),
            entropy: Box::new(OsEntropy),
            journal: Box::new(journal.clone()),
        };
        let of_verifier = context::Context {
            clock: Box::new(clock.clone()),
            entropy: Box::new(OsEntropy),
            journal: Box::new(journal.clone()),
        };
        let store = || bench.store.clone();
        let hasher = || Box::new(Counting { count: Arc::clone(&hashes), content });
        let password = config::password(lookup).unwrap();
        let proxy = password.proxy.clone();
        let login = config::login(lookup).unwrap();
        let endpoint = lookup(COGNITO_ENDPOINT);
        let old_system = login
            .migrate_from
            .as_ref()
            .map(|from| daypass_migration::connect(from, endpoint.as_deref(), &login.issuer, &keys).unwrap());
        let machines = tempfile::tempdir().unwrap();
        Self {
            login: Login { old_system, ..Login::new(login, &keys, store(), hasher(), context()).unwrap() },
            refresh: {
                let config = config::refresh(lookup).unwrap();
                let clients = ClientCredentials::new(&config.issuer, no_machines());
                Refresh { clients, ..Refresh::new(config, &keys, store(), context()).unwrap() }
            },
            revoke: Revoke::new(config::revoke(lookup).unwrap(), &keys, &keys.jwks(), store(), context())
                .unwrap(),
            introspect: Introspect::new(
                &config::introspect(lookup).unwrap(),
                &keys.jwks(),
                no_machines(),
                store(),
                context(),
            )
            .unwrap(),
            sessions: Sessions::new(config::sessions(lookup).unwrap(), store(), context()),
            account: Account::new(config::account(lookup).unwrap(), &keys, store(), hasher(), context())
                .unwrap(),
            mailer: config::mailer(lookup).unwrap(),
            password: ChangePassword::new(password, &keys, store(), hasher(), context()).unwrap(),
            admin: AdminApi {
                store: store(),
                clients: ClientDocument {
                    source: machines.path().join("machines.json").display().to_string(),
                    vault: SecretsManager::connect(&aws_at("http://secrets.invalid")),
                },
                peppers: Peppers::from_document(&keys).unwrap(),
                passwords: Passwords::standard(),
                context: context(),
            },
            authorizer: Authorizer::new(authorizer::read(lookup).unwrap(), None, NotFollowed, of_verifier)
                .unwrap(),
            revocations: Revocations::new(&config::revocations(lookup).unwrap(), store(), context()),
            discovery: Discovery::new(&config::discovery(lookup).unwrap().issuer, &keys.jwks()).unwrap(),
            clock: clock.clone(),
            journal: journal.clone(),
            bench,
            hashes,
            client_keys: Vec::new(),
            keys,
            proxy,
            quick: content,
            _machines: machines,
        }
    }

    /// The same tables and keys in another process, with another recorder, clock and configuration.
    pub async fn redeployed(&self, dynamodb: &str, settings: &[(&str, &str)]) -> Self {
        let bench = self.bench.again(dynamodb).await;
        Self::over(bench, self.keys.clone(), settings, self.quick)
    }

    /// The document that the Admin API changes: a file, unless a test sets another one.
    pub fn client_document(&mut self) -> &mut ClientDocument {
        &mut self.admin.clients
    }

    /// Gives these machine clients to the functions, as a process that reads them now.
    pub fn set_machines(&mut self, document: MachineDocument) {
        let registry = Registry::new(Machines::new(document).unwrap(), self.clock.now());
        let issuer = &self.refresh.config.issuer;
        self.refresh.clients = ClientCredentials::new(issuer, registry.clone());
        self.introspect.clients = ClientCredentials::new(issuer, registry);
    }

    /// Time, randomness and log of another function of the stack.
    #[must_use]
    pub fn context(&self) -> Context {
        Context {
            clock: Box::new(self.clock.clone()),
            entropy: Box::new(OsEntropy),
            journal: Box::new(self.journal.clone()),
        }
    }

    /// Adds a user with [`PASSWORD`] and the scope `orders:read orders:write`.
    pub async fn user(&self, name: &str) -> User {
        let password = Password::new(PASSWORD.to_owned()).unwrap();
        let peppers = Peppers::from_document(&self.keys).unwrap();
        let hash = Passwords::standard().hash(&password, &peppers, &OsEntropy).unwrap();
        self.user_with_hash(name, &hash).await
    }

    /// Adds a user with [`PASSWORD`]. Its hash takes a fraction of a millisecond.
    pub async fn quick_user(&self, name: &str) -> User {
        self.user_with_hash(name, &quick_hash(PASSWORD)).await
    }

    /// Adds a user with this hash and the scope `orders:read orders:write`.
    pub async fn user_with_hash(&self, name: &str, hash: &str) -> User {
        let user = User {
            username: Passwords::standard().username(name).unwrap(),
            id: UserId::generate(&OsEntropy),
            password_hash: hash.to_owned(),
            password_version: 1,
            status: UserStatus::Enabled,
            scope: Scope::parse("orders:read orders:write").unwrap(),
            email: None,
            claims: Claims::default(),
            factors: Factors::default(),
            created_at: self.clock.now(),
            updated_at: self.clock.now(),
        };
        assert_eq!(self.bench.store.add_user(&user).await, Ok(Addition::Added));
        let _ = self.bench.recorder.take();
        user
    }

    /// Sends a request to the function of its path. Fails the test if `openapi.yaml` does not describe the response.
    pub async fn send(&self, mut request: Request) -> Answer {
        let path = request.uri().path().to_owned();
        let sent = request.clone();
        let is_public =
            ["/revocations", "/.well-known/", "/admin/"].iter().any(|start| path.starts_with(start));
        let proxy = self.proxy.as_ref().filter(|_| !is_public);
        if let Err(error) = admit(proxy, &mut request) {
            let answer = Answer::from(refuse(&self.login.context, error, &caller_of(&request)));
            assert_described(&sent, &answer);
            return answer;
        }
        // Boxed, because the stack of a test that awaits dozens of these would be too large otherwise.
        let response = match path.as_str() {
            path if path == "/login" || path.starts_with("/login/") => {
                daypass_login::handle(&self.login, request).boxed()
            }
            "/refresh" | "/token" => daypass_refresh::handle(&self.refresh, request).boxed(),
            "/revoke" => daypass_revoke::handle(&self.revoke, request).boxed(),
            "/introspect" => daypass_introspect::handle(&self.introspect, request).boxed(),
            "/signup" | "/signup/confirm" | "/recover" | "/recover/confirm" | "/email/confirm" => {
                daypass_account::handle(&self.account, request).boxed()
            }
            "/password" | "/email" => daypass_password::handle(&self.password, request).boxed(),
            "/revocations" => daypass_revocations::handle(&self.revocations, request).boxed(),
            path if ["/factors", "/reauthenticate"].iter().any(|start| path.starts_with(start)) => {
                daypass_password::handle(&self.password, request).boxed()
            }
            path if path.starts_with("/admin/") => {
                daypass_admin_function::handle(&self.admin, request).boxed()
            }
            path if path.starts_with("/sessions") => {
                daypass_sessions::handle(&self.sessions, request).boxed()
            }
            _ => daypass_discovery::handle(&self.discovery, request).boxed(),
        };
        let answer = Answer::from(response.await);
        assert_described(&sent, &answer);
        answer
    }

    /// Sends a request of an operator, whom IAM authorised.
    pub async fn operate(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut request = match body {
            Some(body) => post(path, "application/json", body.to_string()),
            None => request(method, path),
        };
        *request.method_mut() = method.parse().unwrap();
        request.extensions_mut().insert(operator());
        self.send(request).await
    }

    /// Sends a `POST` request with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(post(path, "application/json", body.to_string())).await
    }

    /// Sends a `POST` request with a form as its body.
    pub async fn form(&self, path: &str, body: &str) -> Answer {
        self.send(post(path, "application/x-www-form-urlencoded", body)).await
    }

    /// Logs in with [`PASSWORD`].
    pub async fn login(&self, name: &str) -> Answer {
        self.post("/login", &serde_json::json!({ "username": name, "password": PASSWORD })).await
    }

    /// Logs in from an address, which stands in API Gateway's context.
    pub async fn login_from(&self, address: &str, name: &str, password: &str) -> Answer {
        let body = serde_json::json!({ "username": name, "password": password });
        self.send(from(address, post("/login", "application/json", body.to_string()))).await
    }

    /// As [`Service::login_from`], with a device token.
    pub async fn login_on(&self, device: &str, address: &str, name: &str, password: &str) -> Answer {
        let body = serde_json::json!({ "username": name, "password": password, "device_token": device });
        self.send(from(address, post("/login", "application/json", body.to_string()))).await
    }

    /// Changes the password with this access token, from an address.
    pub async fn change_password(
        &self,
        address: &str,
        access_token: &str,
        current: &str,
        new: &str,
    ) -> Answer {
        let body = serde_json::json!({ "current_password": current, "new_password": new });
        let request = from(address, post("/password", "application/json", body.to_string()));
        self.send_as(access_token, request).await
    }

    /// Sends a refresh with this token.
    pub async fn refresh(&self, token: &str) -> Answer {
        self.form("/refresh", &format!("grant_type=refresh_token&refresh_token={token}")).await
    }

    /// Sends a refresh with this token and an `Idempotency-Key`.
    pub async fn refresh_under(&self, key: &str, token: &str) -> Answer {
        let body = format!("grant_type=refresh_token&refresh_token={token}");
        let mut request = post("/refresh", "application/x-www-form-urlencoded", body);
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        self.send(request).await
    }

    /// Sends a revocation of this token.
    pub async fn revoke(&self, token: &str) -> Answer {
        self.form("/revoke", &format!("token={token}")).await
    }

    /// Sends a request without a body to a guarded route. The authorizer gets the access token, and the function gets the
    /// context of the authorizer.
    pub async fn guarded(&self, method: &str, path: &str, access_token: &str) -> Answer {
        self.send_as(access_token, request(method, path)).await
    }

    /// As [`Service::guarded`], with any request. Panics if the authorizer rejects the token.
    pub async fn send_as(&self, access_token: &str, mut request: Request) -> Answer {
        request.extensions_mut().insert(self.principal(access_token));
        self.send(request).await
    }

    /// The context that the authorizer returns for this access token. Panics if it rejects the token.
    #[must_use]
    pub fn principal(&self, access_token: &str) -> Principal {
        let answer = self.authorized(access_token);
        assert_eq!(answer["isAuthorized"], true, "the authorizer denied it");
        let claim = |name: &str| answer["context"][name].as_str().unwrap();
        let key = answer["context"]["jkt"].as_str().and_then(Thumbprint::parse);
        let context = &answer["context"];
        let principal = Principal::parse(claim("sub"), claim("sid"), context["account"] == true).unwrap();
        let principal = Principal { key, ..principal };
        principal.authenticated(context["auth_time"].as_u64(), context["acr"].as_str())
    }

    /// Whether a guarded route of an HTTP API accepts this access token.
    #[must_use]
    pub fn lets_through(&self, access_token: &str) -> bool {
        self.authorized(access_token)["isAuthorized"] == true
    }

    fn authorized(&self, access_token: &str) -> Value {
        let payload = access_token.split('.').nth(1).unwrap_or_default();
        let claims = BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
        let key = self.client_keys.iter().find(|key| claims["cnf"]["jkt"] == key.jwk().kid());
        let event = key.map(|key| self.call_with(key, access_token));
        self.authorize(&event.unwrap_or_else(|| event::authorizer(access_token)))
    }

    /// The event of an HTTP API for a guarded call with a fresh DPoP proof of this key.
    #[must_use]
    pub fn call_with(&self, key: &Key, access_token: &str) -> Value {
        let (host, path) = ("api.example.com", "/guarded");
        let now = self.clock.now();
        let proof = key.proof("GET", &format!("https://{host}{path}"), now, None, Some(access_token));
        let mut event = event::authorizer(access_token);
        event["headers"] = json!({ "authorization": format!("DPoP {access_token}"), "dpop": proof });
        event["rawPath"] = json!(path);
        event["requestContext"] = json!({ "domainName": host });
        event
    }

    /// A fresh DPoP proof of this key for a token endpoint.
    #[must_use]
    pub fn proof(&self, key: &Key, path: &str) -> String {
        let (issuer, now) = (&self.refresh.issuer, self.clock.now());
        let nonce = nonce::current(&issuer.refresh_keys, &issuer.signer.issuer, now);
        key.proof("POST", &issuer.signer.issuer.endpoint(path), now, Some(&nonce), None)
    }

    /// The answer of the authorizer to an event of an HTTP API.
    #[must_use]
    pub fn authorize(&self, event: &Value) -> Value {
        // The authorizer has its keys in memory, so it does not wait.
        let answer = self.authorizer.handle(event).now_or_never().unwrap();
        serde_json::to_value(answer.unwrap()).unwrap()
    }
}

/// The registry of a stack that has no machine clients.
fn no_machines() -> Registry {
    Registry::new(Machines::new(MachineDocument::new()).unwrap(), NOW)
}

/// A PHC string with the weakest parameters of argon2id and no pepper.
#[must_use]
pub fn quick_hash(password: &str) -> String {
    let params = argon2::Params::new(argon2::Params::MIN_M_COST, 1, 1, Some(32)).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    argon2.hash_password_with_salt(password.as_bytes(), b"sixteen bytes of").unwrap().to_string()
}

/// The operator of [`Service::operate`].
#[must_use]
pub fn operator() -> Operator {
    Operator { arn: "arn:aws:sts::123456789012:assumed-role/support/ada".to_owned() }
}

/// A request without a body, as API Gateway passes it.
pub fn request(method: &str, path: &str) -> Request {
    http::Request::builder().method(method).uri(path).body(Vec::new()).unwrap()
}

/// A `POST` request, as API Gateway passes it.
pub fn post(path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Request {
    http::Request::post(path).header("content-type", content_type).body(body.into()).unwrap()
}

/// A request from this address.
#[must_use]
pub fn from(address: &str, mut request: Request) -> Request {
    let source_ip = Some(address.parse().unwrap());
    request.extensions_mut().insert(Caller { source_ip, ..Caller::default() });
    request
}
