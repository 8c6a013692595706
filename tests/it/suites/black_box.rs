//! The whole stack over HTTP: function processes behind the local API Gateway, and DynamoDB Local behind them. A proxy
//! between the functions and DynamoDB records and breaks requests.
//!
//! `cargo verify --only black-box` runs these tests. They check what needs real processes and real HTTP. The flows
//! themselves are tested in `flows`, `cookie`, `sessions`, `password`, `requests` and `throttle`, and deployed functions in
//! `rehearsal`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the helpers of a test fail as the test does, and it tells what it checks"
)]

mod watch;

use daypass_core::account::claims::Claims;
use daypass_core::config::Tables;
use daypass_core::factor::Factors;
use daypass_core::keys::Peppers;
use daypass_core::ports::store::{User, UserStatus};
use daypass_core::secret::Password;
use daypass_dev::{DEMO_PASSWORD, DEMO_USER, Runner, Settings, Stack, StoreChoice};
use daypass_dynamodb::{Addition, DynamoDb, TableNames};
use daypass_passwords::Passwords;
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_testkit::recorder::{Action, Exchange, Recorder};
use daypass_testkit::{Answer, functions};
use daypass_tests::bench::{random, raw_client};
use daypass_tests::openapi::assert_described;
use daypass_verifier::base::ids::UserId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Clock;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub(crate) const PASSWORD: &str = "a password for the black box";
/// The password of the demo user after its change.
const NEW_PASSWORD: &str = "another password for the black box";
const FORM: &str = "application/x-www-form-urlencoded";
pub(crate) const JSON: &str = "application/json";

/// The route of the sample behind the authorizer.
const GUARDED: &str = "/whoami";

/// The origin of a page whose client uses the cookie.
const PAGE: &str = "https://app.example.com";
const COOKIE: &str = "__Host-daypass_refresh";
const CLIENTS: &str = r#"[{"client_id":"default"},{"client_id":"app","transport":"cookie","origins":["https://app.example.com"]}]"#;

#[tokio::test(flavor = "multi_thread")]
async fn over_http() {
    Whole::start(built()).await.check().await;
}

/// A scope for all orders but one route, and requests that a lenient server would serve by the handler of that route.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_line_holds_for_lenient_spellings() {
    let table = "GET /orders/* needs orders:read; GET /orders/all needs orders:admin; default deny";
    // Nothing listens at the service, so a request that the authorizer allows is a 502.
    let guarded = |settings: Settings| Settings {
        guards: vec!["/orders=http://localhost:1".parse().unwrap()],
        ..settings.variable("DAYPASS_ROUTES", table)
    };
    let whole = Whole::start_with(built(), guarded).await;
    let bearer = format!("Bearer {}", whole.logged_in("reader").await.text("access_token"));
    for (method, path, status) in [
        (Method::GET, "/orders/7", 502),
        (Method::GET, "/orders/AbC_d-9", 502),
        (Method::HEAD, "/orders/7", 502),
        (Method::GET, "/orders/all", 403),
        (Method::GET, "/orders/ALL", 403),
        (Method::GET, "/orders/all/", 403),
        (Method::GET, "/orders/all;v=1", 403),
        (Method::HEAD, "/orders/all", 403),
    ] {
        let request = whole.http.request(method.clone(), whole.url(path)).header("authorization", &bearer);
        assert_eq!(request.send().await.unwrap().status(), status, "{method} {path}");
    }
}

/// The functions that were built for this run.
pub(crate) fn built() -> Runner {
    Runner::Built(functions::built("black-box"))
}

/// The running stack, and all secrets that the tests have received.
pub(crate) struct Whole {
    stack: Stack,
    recorder: Recorder,
    store: DynamoDb,
    tables: Tables,
    pub(crate) http: reqwest::Client,
    secrets: Mutex<Vec<String>>,
    _folder: tempfile::TempDir,
}

fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

impl Whole {
    /// Starts a stack with separate tables on the DynamoDB Local of this run.
    pub(crate) async fn start(runner: Runner) -> Self {
        Self::start_with(runner, |settings| settings).await
    }

    /// Starts a stack whose settings `change` returns.
    async fn start_with(runner: Runner, change: impl FnOnce(Settings) -> Settings) -> Self {
        #[expect(clippy::disallowed_methods, reason = "where the test's DynamoDB Local is")]
        let dynamodb = std::env::var("DAYPASS_TEST_DYNAMODB")
            .expect("run `cargo verify --only black-box`: it starts a DynamoDB Local");
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::start(&dynamodb).await;
        let suffix = u64::from_be_bytes(random());
        let table = |role: &str| format!("black-box-{role}-{suffix:016x}");
        let tables =
            Tables { users: table("users"), sessions: table("sessions"), attempts: table("attempts") };
        let settings = Settings {
            store: StoreChoice::Url(dynamodb.clone()),
            runner,
            concurrency: 8,
            ..Settings::new(folder.path().to_path_buf())
                .variable("AWS_ENDPOINT_URL_DYNAMODB", recorder.url())
                .variable("DAYPASS_CLIENTS", CLIENTS)
                .variable("DAYPASS_USERS_TABLE", &tables.users)
                .variable("DAYPASS_SESSIONS_TABLE", &tables.sessions)
                .variable("DAYPASS_ATTEMPTS_TABLE", &tables.attempts)
                .variable("DAYPASS_OUTBOX_TABLE", &table("outbox"))
        };
        let settings = change(settings);
        let before = Instant::now();
        let stack = tokio::task::spawn_blocking(move || Stack::start(&settings)).await.unwrap().unwrap();
        println!("{:>6.1} s  the stack starts", before.elapsed().as_secs_f64());
        let store = DynamoDb::local(&dynamodb, TableNames::from(&tables));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { stack, recorder, store, tables, http, secrets: Mutex::default(), _folder: folder }
    }

    /// Runs all checks in turn. The last one inspects logs and tables.
    async fn check(self) {
        macro_rules! checks {
            ($($name:ident),+ $(,)?) => {$(
                let before = Instant::now();
                self.$name().await;
                println!("{:>6.1} s  {}", before.elapsed().as_secs_f64(), stringify!($name));
            )+};
        }
        checks!(
            the_main_job,
            requests_on_the_wire,
            sixty_four_refreshes_at_once,
            a_failing_store_is_never_invalid_grant,
            bad_input,
            odd_framing,
            a_page_keeps_its_token_in_the_cookie,
            no_secret_in_logs_or_tables,
        );
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.timed(request).await.0
    }

    /// Sends a request. Also returns the time until the whole response has arrived. Fails the test if `openapi.yaml` does
    /// not describe the response of an endpoint.
    pub(crate) async fn timed(&self, request: reqwest::RequestBuilder) -> (Answer, Duration) {
        // The client of the request, because it can have a local address of its own.
        let (http, request) = request.build_split();
        let request = request.unwrap();
        let sent = as_sent(&request);
        let before = Instant::now();
        let answer = Answer::read(http.execute(request).await.unwrap()).await.unwrap();
        let took = before.elapsed();
        if sent.uri().path() != GUARDED {
            assert_described(&sent, &answer);
        }
        if let Ok(Value::Object(members)) = serde_json::from_slice(&answer.body) {
            let tokens =
                ["access_token", "refresh_token"].map(|name| members.get(name).and_then(Value::as_str));
            self.secrets.lock().unwrap().extend(tokens.into_iter().flatten().map(str::to_owned));
        }
        (answer, took)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.stack.url())
    }

    async fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.http.post(self.url(path)).header("content-type", content_type).body(body)).await
    }

    async fn login(&self, name: &str, password: &str) -> Answer {
        self.post("/login", JSON, json!({ "username": name, "password": password }).to_string()).await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.post("/refresh", FORM, format!("grant_type=refresh_token&refresh_token={token}")).await
    }

    async fn revoke(&self, token: &str) -> Answer {
        self.post("/revoke", FORM, format!("token={token}")).await
    }

    async fn whoami(&self, authorization: Option<&str>) -> Answer {
        let request = self.http.get(self.url(GUARDED));
        self.send(match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        })
        .await
    }

    /// Adds users that share one hash of [`PASSWORD`].
    pub(crate) async fn users(&self, names: impl IntoIterator<Item = String>, status: UserStatus) {
        let peppers = Peppers::from_document(self.stack.keys()).unwrap();
        let password = Password::new(PASSWORD.to_owned()).unwrap();
        let password_hash = Passwords::standard().hash(&password, &peppers, &OsEntropy).unwrap();
        for name in names {
            let now = SystemClock.now();
            let user = User {
                username: Passwords::standard().username(&name).unwrap(),
                id: UserId::generate(&OsEntropy),
                password_hash: password_hash.clone(),
                password_version: 1,
                status,
                scope: Scope::parse("orders:read").unwrap(),
                email: None,
                claims: Claims::default(),
                factors: Factors::default(),
                created_at: now,
                updated_at: now,
            };
            assert_eq!(self.store.add_user(&user).await, Ok(Addition::Added), "{name}");
        }
    }

    /// Adds a user and logs in.
    async fn logged_in(&self, name: &str) -> Answer {
        self.users([name.to_owned()], UserStatus::Enabled).await;
        let login = self.login(name, PASSWORD).await;
        assert_eq!(login.status, 200, "{login:?}");
        let _ = self.recorder.take();
        login
    }

    /// The operations since the last call, sorted.
    fn operations(&self) -> Vec<String> {
        let mut seen: Vec<String> =
            // Without requests of the feed, which the authorizer causes at any time: they query the index of ended
            // sessions.
            self.recorder
                .take()
                .into_iter()
                .filter(|exchange| exchange.request["IndexName"].is_null())
                .map(|exchange| exchange.operation)
                .collect();
        seen.sort();
        seen
    }

    /// Logs in, calls guarded routes, refreshes, changes the password and revokes: each function once, by its route.
    async fn the_main_job(&self) {
        let login = self.login(DEMO_USER, DEMO_PASSWORD).await;
        assert_eq!(login.status, 200, "{login:?}");
        assert_eq!(login.header("cache-control"), Some("no-store"));
        let missing = self.whoami(None).await;
        assert_eq!(missing.status, 401, "{missing:?}");
        // These responses are API Gateway's own, and openapi.yaml lists them.
        let sessions = || self.http.get(self.url("/sessions"));
        assert_eq!(self.send(sessions()).await.status, 401);
        assert_eq!(self.send(sessions().header("authorization", "Bearer x")).await.status, 403);
        let bearer = format!("Bearer {}", login.text("access_token"));
        let whoami = self.whoami(Some(&bearer)).await;
        assert_eq!(whoami.status, 200, "{whoami:?}");
        assert_eq!(whoami.text("sid"), login.text("session_id"), "the context reaches the integration");
        assert_eq!(whoami.text("client_id"), "default");
        assert_eq!(whoami.text("scope"), login.text("scope"));
        assert!(whoami.text("sub").starts_with("usr_"));

        let refreshed = self.refresh(&login.text("refresh_token")).await;
        assert_eq!(refreshed.status, 200, "{refreshed:?}");
        assert_ne!(refreshed.text("refresh_token"), login.text("refresh_token"));
        let bearer = format!("bearer {}", refreshed.text("access_token"));
        assert_eq!(self.whoami(Some(&bearer)).await.status, 200);

        let get = |path: &str| self.send(self.http.get(self.url(path)).header("authorization", &bearer));
        let listed = get("/sessions").await;
        assert_eq!(listed.status, 200, "{listed:?}");
        assert_eq!(listed.json()["sessions"][0]["session_id"], login.text("session_id"));
        let metadata = get("/.well-known/openid-configuration").await.json();
        assert_eq!(metadata["issuer"], self.stack.url());

        let change = json!({ "current_password": DEMO_PASSWORD, "new_password": NEW_PASSWORD }).to_string();
        let change = self.http.post(self.url("/password")).header("content-type", JSON).body(change);
        let changed = self.send(change.header("authorization", &bearer)).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        assert_ne!(changed.text("session_id"), login.text("session_id"));
        assert_eq!(self.refresh(&refreshed.text("refresh_token")).await.outcome(), invalid_grant());
        let bearer = format!("Bearer {}", changed.text("access_token"));
        assert_eq!(self.whoami(Some(&bearer)).await.status, 200);
        assert_eq!(self.login(DEMO_USER, DEMO_PASSWORD).await.status, 401);

        let revoked = self.revoke(&changed.text("refresh_token")).await;
        assert_eq!((revoked.status, revoked.body_text()), (200, "{}"));
        assert_eq!(self.refresh(&changed.text("refresh_token")).await.outcome(), invalid_grant());
        assert_eq!(get("/revocations").await.status, 200);
    }

    async fn requests_on_the_wire(&self) {
        self.users(["wire".to_owned()], UserStatus::Enabled).await;
        let _ = self.recorder.take();
        self.recorder.ask_capacity(true);
        // From a new address: two more counters, whose slots are freed again.
        self.login("wire", PASSWORD).await;
        let first = [&["GetItem", "Query", "TransactWriteItems"][..], &["UpdateItem"; 5]].concat();
        assert_eq!(self.operations(), first);
        let login = self.login("wire", PASSWORD).await;
        assert_eq!(self.operations(), ["GetItem", "Query", "TransactWriteItems", "UpdateItem"]);
        let refreshed = self.refresh(&login.text("refresh_token")).await;
        let seen = self.recorder.take();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].operation, "UpdateItem");
        assert_eq!(seen[0].response()["ConsumedCapacity"]["CapacityUnits"], 1.0);
        self.recorder.ask_capacity(false);
        assert_eq!(
            self.whoami(Some(&format!("Bearer {}", refreshed.text("access_token")))).await.status,
            200
        );
        assert_eq!(self.operations(), [""; 0], "the authorizer sends no request");
        self.revoke(&refreshed.text("refresh_token")).await;
        assert_eq!(self.operations(), ["UpdateItem"]);
    }

    async fn sixty_four_refreshes_at_once(&self) {
        let token = self.logged_in("crowd").await.text("refresh_token");
        let answers = together(64, || self.refresh(&token)).await;
        let successor = answers[0].text("refresh_token");
        for answer in &answers {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.text("refresh_token"), successor);
        }
        let rotated = |exchange: &Exchange| exchange.answer.as_ref().is_some_and(|answer| answer.0 == 200);
        let writes = self.recorder.take().iter().filter(|exchange| rotated(exchange)).count();
        assert_eq!(writes, 1, "one rotation is stored");
    }

    async fn a_failing_store_is_never_invalid_grant(&self) {
        let mut token = self.logged_in("patient").await.text("refresh_token");
        let ways = [
            Action::refuse(400, "ThrottlingException"),
            Action::Status(500, json!({ "__type": "InternalServerError" })),
            Action::Hang(Duration::from_secs(30)),
            Action::DropRequest,
        ];
        for way in ways {
            self.recorder.always(way.clone());
            let before = Instant::now();
            let answers = [
                self.refresh(&token).await,
                self.revoke(&token).await,
                self.login("patient", PASSWORD).await,
            ];
            assert!(before.elapsed() < Duration::from_secs(15), "{way:?} took {:?}", before.elapsed());
            for answer in answers {
                assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{way:?}");
                assert!(answer.header("retry-after").is_some(), "{way:?}");
            }
            self.recorder.always(Action::Pass);
            let refreshed = self.refresh(&token).await;
            assert_eq!(refreshed.status, 200, "the same token works afterwards: {refreshed:?}");
            token = refreshed.text("refresh_token");
        }
        // The write is applied, and its response is lost.
        self.recorder.next(1, Action::DropAnswer);
        assert_eq!(self.refresh(&token).await.status, 200);
    }

    /// Malformed bodies and requests that pass through a real server. `requests::bad_input` has the whole table.
    async fn bad_input(&self) {
        let cases: Vec<(&str, &str, Vec<u8>, u16)> = vec![
            ("/login", JSON, b"".to_vec(), 400),
            ("/login", JSON, b"\xff\xfe".to_vec(), 400),
            ("/login", JSON, vec![b'x'; 1 << 20], 413),
            ("/login", FORM, b"username=a&password=b".to_vec(), 415),
            ("/login?password=x", JSON, br#"{"username":"a","password":"b"}"#.to_vec(), 400),
            ("/refresh", FORM, b"\xff=\xfe".to_vec(), 400),
            ("/refresh", FORM, vec![b'x'; 1 << 20], 413),
            ("/revoke", "image/png", b"\x89PNG".to_vec(), 415),
        ];
        let _ = self.recorder.take();
        for (path, content_type, body, status) in cases {
            let answer = self.post(path, content_type, body).await;
            let expected = (status, "invalid_request".to_owned());
            assert_eq!(answer.outcome(), expected, "{path} {content_type}: {answer:?}");
        }
        for path in ["/login", "/refresh", "/revoke"] {
            let answer = self.send(self.http.put(self.url(path)).body("x")).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{path}");
        }
        assert_eq!(self.operations(), [""; 0], "nothing was asked of the store");
    }

    /// Framing and paths that no HTTP client sends.
    async fn odd_framing(&self) {
        let body = "grant_type=refresh_token&refresh_token=x";
        let post =
            format!("POST /refresh HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-type: {FORM}\r\n");
        let length = format!("content-length: {}\r\n", body.len());
        let chunks = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let _ = self.recorder.take();
        // Either the function has read the whole body, or the gateway has rejected the request.
        let (read, rejected) = ("invalid_grant", "connection: close");
        for (case, request, expected) in [
            ("a plain body", format!("{post}{length}\r\n{body}"), read),
            ("a body in chunks", format!("{post}{chunks}"), read),
            ("two equal lengths", format!("{post}{length}{length}\r\n{body}"), read),
            // RFC 9112 §6.3: the chunks count.
            ("a length and chunks", format!("{post}{length}{chunks}"), read),
            ("two lengths", format!("{post}{length}content-length: 1\r\n\r\n{body}"), rejected),
            (
                "a chunk without a length",
                format!("{post}transfer-encoding: chunked\r\n\r\nx\r\n"),
                r#"{"message":"Bad Request"}"#,
            ),
        ] {
            let answer = self.raw(request, false).await;
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(expected), "{case}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{case}: one request, one answer: {answer}");
        }
        let breaks_off = format!("{post}{length}\r\n{}", &body[..10]);
        let answer = self.raw(breaks_off, true).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "a body that breaks off: {answer}");
        assert_eq!(self.operations(), [""; 0], "nothing was asked of the store");

        // An HTTP client would normalise these paths.
        let token = self.logged_in("walker").await.text("access_token");
        for dots in ["..", ".", "%2e", "%2E%2e", "..%2fsessions", "%00"] {
            let head = format!("DELETE /sessions/{dots} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n");
            let answer = self.raw(format!("{head}authorization: Bearer {token}\r\n\r\n"), false).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{dots}: {answer}");
        }
    }

    /// Sends these bytes, and returns everything that comes back. `ends` closes the sending half of the connection after
    /// them.
    async fn raw(&self, request: String, ends: bool) -> String {
        let address = self.stack.url().strip_prefix("http://").unwrap().to_owned();
        let exchange = move || {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(request.as_bytes()).unwrap();
            if ends {
                socket.shutdown(Shutdown::Write).unwrap();
            }
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            answer
        };
        tokio::task::spawn_blocking(exchange).await.unwrap()
    }

    /// Sends a request of a page of this origin, with the cookies of its browser for the host.
    async fn of_page(&self, origin: &str, path: &str, cookies: &str, body: Value) -> Answer {
        let request = self.http.post(self.url(path)).header("content-type", JSON).header("origin", origin);
        let request = request.header("cookie", cookies).body(body.to_string());
        let answer = self.send(request).await;
        let kept = answer.cookie(COOKIE).map(|(token, _)| token.to_owned()).filter(|token| !token.is_empty());
        self.secrets.lock().unwrap().extend(kept);
        answer
    }

    /// The token passes through `cookies` of the event and of the response, as on an HTTP API. The tests in `cookie` have
    /// the tables of origins and headers.
    async fn a_page_keeps_its_token_in_the_cookie(&self) {
        self.users(["surfer".to_owned()], UserStatus::Enabled).await;
        let _ = self.recorder.take();
        let login = json!({ "username": "surfer", "password": PASSWORD, "client_id": "app" });
        let stranger = "https://app.example.com.evil.example";
        let answer = self.of_page(stranger, "/login", "theme=dark", login.clone()).await;
        assert_eq!((answer.outcome(), answer.cookie(COOKIE)), ((403, "invalid_request".to_owned()), None));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(self.operations(), [""; 0], "rejected before anything is read");
        let preflight = self.http.request(Method::OPTIONS, self.url("/login"));
        let preflight = preflight.header("origin", PAGE).header("access-control-request-method", "POST");
        let preflight = self.send(preflight).await;
        assert_eq!(preflight.status, 204, "{preflight:?}");
        assert_eq!(preflight.header("access-control-allow-origin"), Some(PAGE));

        let login = self.of_page(PAGE, "/login", "theme=dark", login).await;
        assert_eq!(login.status, 200, "{login:?}");
        assert_eq!(login.header("access-control-allow-origin"), Some(PAGE));
        assert_eq!(login.header("access-control-allow-credentials"), Some("true"));
        assert!(login.json().get("refresh_token").is_none());
        let (first, attributes) = login.cookie(COOKIE).unwrap();
        assert!(first.starts_with("daypass_rt_"), "{first}");
        let (max_age, attributes) = attributes.split_once("; ").unwrap();
        assert!(max_age.starts_with("Max-Age="), "{max_age}");
        assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Strict");
        let bearer = format!("Bearer {}", login.text("access_token"));
        assert_eq!(self.whoami(Some(&bearer)).await.text("client_id"), "app");

        // The cookie is among other cookies of the host.
        let jar = |token: &str| format!("theme=dark; {COOKIE}={token}; lang=en");
        let ask = json!({ "grant_type": "refresh_token", "client_id": "app" });
        let refreshed = self.of_page(PAGE, "/refresh", &jar(first), ask.clone()).await;
        assert_eq!(refreshed.status, 200, "{refreshed:?}");
        let (second, _) = refreshed.cookie(COOKIE).unwrap();
        assert_ne!(second, first);

        let revoked = self.of_page(PAGE, "/revoke", &jar(second), json!({})).await;
        assert_eq!((revoked.status, revoked.body_text()), (200, "{}"), "{revoked:?}");
        let token = |answer: &Answer| answer.cookie(COOKIE).map(|(token, _)| token.to_owned());
        assert_eq!(token(&revoked).as_deref(), Some(""), "taken away");
        let dead = self.of_page(PAGE, "/refresh", &jar(second), ask).await;
        assert_eq!((dead.outcome(), token(&dead).as_deref()), (invalid_grant(), Some("")));
    }

    /// The last check: neither the logs nor the tables contain a secret.
    async fn no_secret_in_logs_or_tables(&self) {
        let mut secrets = std::mem::take(&mut *self.secrets.lock().unwrap());
        assert!(secrets.len() > 100, "the run has seen {} tokens", secrets.len());
        secrets.extend([PASSWORD, NEW_PASSWORD, DEMO_PASSWORD].map(str::to_owned));
        let keys: Value = serde_json::from_str(&self.stack.keys().to_json().unwrap()).unwrap();
        for pointer in ["/signing/0/private", "/refresh/0/key", "/peppers/0/key"] {
            secrets.push(keys.pointer(pointer).unwrap().as_str().unwrap().to_owned());
        }
        let log = std::fs::read_to_string(self.stack.function_log()).unwrap();
        assert!(
            log.contains("login.succeeded") && log.contains("password.changed"),
            "the log is the functions' own"
        );
        let mut places = vec![("the log", log)];
        let direct = raw_client(self.recorder.url());
        for (name, table) in [
            ("users", &self.tables.users),
            ("sessions", &self.tables.sessions),
            ("attempts", &self.tables.attempts),
        ] {
            let items = direct.scan().table_name(table).send().await.unwrap();
            assert!(items.count > 0, "{name}");
            places.push((name, format!("{:?}", items.items())));
        }
        for (place, text) in &places {
            for secret in &secrets {
                // Also the body of a refresh token, without its prefix.
                let bare = secret.strip_prefix("daypass_rt_").unwrap_or(secret);
                assert!(!text.contains(bare), "{bare} is in {place}");
            }
            assert!(!text.contains("daypass_rt_"), "something like a refresh token is in {place}");
        }
    }
}

/// The request with its whole body.
fn as_sent(request: &reqwest::Request) -> http::Request<Vec<u8>> {
    let body = request.body().map(|body| body.as_bytes().unwrap().to_vec()).unwrap_or_default();
    let mut sent = http::Request::new(body);
    *sent.method_mut() = request.method().clone();
    *sent.uri_mut() = request.url().as_str().parse().unwrap();
    *sent.headers_mut() = request.headers().clone();
    sent
}

/// Sends `n` requests in parallel.
async fn together<F: Future<Output = Answer>>(n: usize, request: impl Fn() -> F) -> Vec<Answer> {
    futures_util::future::join_all((0..n).map(|_| request())).await
}
