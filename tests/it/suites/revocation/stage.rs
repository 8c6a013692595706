//! The stack under test, and actions of its users.

use crate::suites::revocation::feed::Feed;
use daypass_core::account::claims::Claims;
use daypass_core::config::Tables;
use daypass_core::factor::Factors;
use daypass_core::ports::store::{User, UserStatus};
use daypass_dev::{Runner, Settings, Stack, StoreChoice};
use daypass_dynamodb::{Addition, DynamoDb, TableNames};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_testkit::embedded::Embedded;
use daypass_testkit::functions;
use daypass_tests::service::{PASSWORD, quick_hash};
use daypass_verifier::base::ids::{UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Clock;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Polling interval of the authorizers.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);
/// Time between two requests with a token.
const TRY: Duration = Duration::from_millis(150);
/// Rejections in a row after which all authorizers know that a session has ended.
const IN_A_ROW: usize = 16;
/// Time after which the test fails, far beyond any permitted one.
const LONGEST: Duration = Duration::from_secs(60);
/// Number of processes of the authorizer.
const PROCESSES: u16 = 4;
const FORM: &str = "application/x-www-form-urlencoded";

/// A way for a session to end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Revoke,
    RevokeAll,
    Reuse,
    Password,
    Disable,
    Remove,
    /// From another session of the same user.
    Elsewhere,
}

impl Way {
    pub(crate) const ALL: [Self; 7] = [
        Self::Revoke,
        Self::RevokeAll,
        Self::Reuse,
        Self::Password,
        Self::Disable,
        Self::Remove,
        Self::Elsewhere,
    ];

    /// Whether another session of the same user lives on.
    const fn spares_others(self) -> bool {
        matches!(self, Self::Revoke | Self::Reuse | Self::Elsewhere)
    }
}

/// Result of a login.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    pub(crate) id: String,
}

/// A client of the guarded route.
#[derive(Clone)]
pub(crate) struct Caller {
    http: reqwest::Client,
    url: String,
}

impl Caller {
    pub(crate) async fn ask(&self, token: &str) -> StatusCode {
        self.http.get(&self.url).bearer_auth(token).send().await.unwrap().status()
    }
}

pub(crate) struct Stage {
    pub(crate) feed: Feed,
    stack: Stack,
    store: DynamoDb,
    http: reqwest::Client,
    dynamodb: Embedded,
    count: AtomicUsize,
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let dynamodb = Embedded::start(None).unwrap();
        let feed = Feed::start().await;
        let folder = tempfile::tempdir().unwrap();
        // Chosen in advance, because the authorizers poll the feed when they start.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        feed.lead_to(&format!("http://127.0.0.1:{port}"));
        let stack = stack(&dynamodb, folder.path().join("stack"), &feed, port, settings).await;
        let stage = Self::over(stack, feed, dynamodb, folder);
        stage.all_authorizers().await;
        stage
    }

    /// Sends enough parallel requests to start all processes of the authorizer.
    async fn all_authorizers(&self) {
        let session = self.login("first").await;
        let started = || {
            let log = std::fs::read_to_string(self.stack.function_log()).unwrap();
            log.lines().filter(|line| line.starts_with("INFO process started: authorizer,")).count()
        };
        while started() < PROCESSES.into() {
            let asked = (0..4 * PROCESSES).map(|_| self.guarded(&session.access_token));
            let statuses = futures_util::future::join_all(asked).await;
            assert!(statuses.iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
        }
    }

    fn over(stack: Stack, feed: Feed, dynamodb: Embedded, folder: tempfile::TempDir) -> Self {
        let variable = |name: &str| stack.variables()[name].clone();
        let tables = Tables {
            users: variable("DAYPASS_USERS_TABLE"),
            sessions: variable("DAYPASS_SESSIONS_TABLE"),
            attempts: variable("DAYPASS_ATTEMPTS_TABLE"),
        };
        let store = DynamoDb::local(&dynamodb.url(), TableNames::from(&tables));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { feed, stack, store, http, dynamodb, count: AtomicUsize::default(), folder }
    }

    pub(crate) fn url(&self) -> &str {
        self.stack.url()
    }

    /// A number that differs in each call.
    pub(crate) fn nonce(&self) -> usize {
        self.count.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { http: self.http.clone(), url: format!("{}/whoami", self.url()) }
    }

    pub(crate) async fn guarded(&self, token: &str) -> StatusCode {
        self.caller().ask(token).await
    }

    /// Starts more authorizers with the same keys and the same feed.
    pub(crate) async fn another_gateway(&self) -> Another {
        let keys = self.folder.path().join("stack/keys.json");
        let folder = self.folder.path().join(format!("another-{}", self.nonce()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(keys, folder.join("keys.json")).unwrap();
        let issuer = ("DAYPASS_ISSUER", self.url());
        let stack = stack(&self.dynamodb, folder, &self.feed, 0, &[issuer]).await;
        let caller = Caller { http: self.http.clone(), url: format!("{}/whoami", stack.url()) };
        Another { caller, _stack: stack }
    }

    async fn user(&self, name: &str) -> Username {
        let username = Username::from_normalised(name.to_owned()).unwrap();
        let user = User {
            username: username.clone(),
            id: UserId::generate(&OsEntropy),
            password_hash: quick_hash(PASSWORD),
            password_version: 1,
            status: UserStatus::Enabled,
            scope: Scope::parse("orders:read").unwrap(),
            email: None,
            claims: Claims::default(),
            factors: Factors::default(),
            created_at: SystemClock.now(),
            updated_at: SystemClock.now(),
        };
        assert_eq!(self.store.add_user(&user).await, Ok(Addition::Added), "{name}");
        username
    }

    /// Sends a request. Retries while the store is busy, as a client should.
    async fn post(&self, path: &str, content_type: &str, body: String) -> (StatusCode, Value) {
        for _ in 0..20 {
            let request =
                self.http.post(format!("{}{path}", self.url())).header("content-type", content_type);
            let answer = request.body(body.clone()).send().await.unwrap();
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                return (answer.status(), answer.json().await.unwrap());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{path}: the store was never there");
    }

    async fn open(&self, name: &str) -> Session {
        let body = json!({ "username": name, "password": PASSWORD }).to_string();
        let (status, answer) = self.post("/login", "application/json", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        session(&answer)
    }

    /// Adds a user and logs in.
    pub(crate) async fn login(&self, name: &str) -> Session {
        self.user(name).await;
        self.open(name).await
    }

    /// The access token of a session that has just ended.
    pub(crate) async fn ended(&self) -> String {
        let session = self.login(&format!("ended-{}", self.nonce())).await;
        self.revoke(&session, false).await;
        session.access_token
    }

    pub(crate) async fn revoke(&self, session: &Session, all: bool) {
        let body = format!("token={}&all={all}", session.refresh_token);
        assert_eq!(self.post("/revoke", FORM, body).await.0, StatusCode::OK);
    }

    async fn refresh(&self, token: &str) -> (StatusCode, Value) {
        self.post("/refresh", FORM, format!("grant_type=refresh_token&refresh_token={token}")).await
    }

    pub(crate) async fn until_refused(&self, token: &str) {
        let started = Instant::now();
        // Each process must know the ending, so this number of rejections in a row is needed.
        let mut refused = 0;
        while refused < IN_A_ROW {
            refused = if self.guarded(token).await == StatusCode::FORBIDDEN { refused + 1 } else { 0 };
            assert!(started.elapsed() < LONGEST, "it is never rejected");
        }
    }

    pub(crate) async fn until_served(&self, token: &str) {
        let started = Instant::now();
        while self.guarded(token).await != StatusCode::OK {
            assert!(started.elapsed() < LONGEST, "it is never served");
            tokio::time::sleep(TRY).await;
        }
    }

    /// Ends a session. Returns the time from the response to the last accepted request.
    pub(crate) async fn round(&self, number: usize, way: Way) -> Duration {
        let name = format!("rider-{number}");
        let username = self.user(&name).await;
        let (session, other) = (self.open(&name).await, self.open(&name).await);
        assert_eq!(self.guarded(&session.access_token).await, StatusCode::OK);
        let now = SystemClock.now();
        match way {
            Way::Revoke => self.revoke(&session, false).await,
            Way::RevokeAll => self.revoke(&session, true).await,
            Way::Reuse => {
                let (_, second) = self.refresh(&session.refresh_token).await;
                assert_eq!(self.refresh(second["refresh_token"].as_str().unwrap()).await.0, StatusCode::OK);
                assert_eq!(self.refresh(&session.refresh_token).await.0, StatusCode::BAD_REQUEST);
            }
            Way::Password => {
                let hash = quick_hash("another password for the rider");
                self.store.set_password(&username, &hash, now).await.unwrap().unwrap();
            }
            Way::Disable => {
                self.store.set_status(&username, UserStatus::Disabled, now).await.unwrap().unwrap();
            }
            Way::Remove => {
                self.store.remove_user(&username, now).await.unwrap().unwrap();
            }
            Way::Elsewhere => {
                let url = format!("{}/sessions/{}", self.url(), session.id);
                let answer = self.http.delete(url).bearer_auth(&other.access_token).send().await.unwrap();
                assert!(answer.status().is_success(), "{answer:?}");
            }
        }
        let ended = Instant::now();
        let mut last = Duration::ZERO;
        let mut rejected = 0;
        while rejected < IN_A_ROW {
            let sent = ended.elapsed();
            assert!(sent < LONGEST, "{way:?}: it is never rejected");
            match self.guarded(&session.access_token).await {
                StatusCode::OK => (last, rejected) = (sent, 0),
                StatusCode::FORBIDDEN => rejected += 1,
                status => panic!("{way:?}: {status}"),
            }
            if way.spares_others() {
                assert_eq!(
                    self.guarded(&other.access_token).await,
                    StatusCode::OK,
                    "{way:?}: another session"
                );
            }
            tokio::time::sleep(TRY).await;
        }
        last
    }

    /// Number of log lines with this event.
    pub(crate) fn events(&self, name: &str) -> usize {
        let log = std::fs::read_to_string(self.stack.function_log()).unwrap();
        log.lines().filter(|line| line.contains(&format!("\"event\":\"{name}\""))).count()
    }

    pub(crate) fn print(&self, what: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64();
        println!(
            "  {what}, {} rounds, interval {} s: p50 {:.2} s, p90 {:.2} s, p99 {:.2} s, most {:.2} s",
            times.len(),
            INTERVAL.as_secs(),
            at(50),
            at(90),
            at(99),
            at(100)
        );
    }
}

/// Authorizers in addition to those of the stage.
pub(crate) struct Another {
    caller: Caller,
    _stack: Stack,
}

impl Another {
    pub(crate) async fn guarded(&self, token: &str) -> StatusCode {
        self.caller.ask(token).await
    }
}

async fn stack(
    dynamodb: &Embedded,
    folder: std::path::PathBuf,
    feed: &Feed,
    port: u16,
    settings: &[(&str, &str)],
) -> Stack {
    let interval = INTERVAL.as_secs().to_string();
    let own = [("DAYPASS_REVOCATIONS_URL", feed.url()), ("DAYPASS_REVOCATIONS_INTERVAL_SECONDS", interval)];
    let mut settings =
        settings.iter().fold(Settings::new(folder), |all, (name, value)| all.variable(name, value));
    settings.store = StoreChoice::Url(dynamodb.url());
    settings.port = port;
    settings.concurrency = PROCESSES;
    settings.runner = Runner::Built(functions::built("revocation"));
    for (name, value) in own {
        settings = settings.variable(name, &value);
    }
    tokio::task::spawn_blocking(move || Stack::start(&settings).unwrap()).await.unwrap()
}

fn session(answer: &Value) -> Session {
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    Session {
        access_token: text("access_token"),
        refresh_token: text("refresh_token"),
        id: text("session_id"),
    }
}
