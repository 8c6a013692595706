//! The whole over HTTP, as its users meet it: function processes under `cargo lambda watch`, the local API Gateway in
//! front, a DynamoDB behind, and between the functions and DynamoDB a proxy that records and breaks what it sees.
//!
//! `cargo verify --only black-box` runs it on the embedded DynamoDB and on DynamoDB Local.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the helpers of a test fail as the test does, and it tells what it checks"
)]

use daypass_ambient::{OsEntropy, SystemClock};
use daypass_core::config::Tables;
use daypass_core::keys::Peppers;
use daypass_core::{Clock, Password, Scope, User, UserId, UserStatus};
use daypass_credentials::Passwords;
use daypass_dev::{Settings, Stack, StoreChoice};
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_embedded::Embedded;
use daypass_tests::recorder::{Action, Recorder};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const PASSWORD: &str = "a password for the black box";
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// A page, and the cookie of its client.
const PAGE: &str = "https://app.example.com";
const COOKIE: &str = "__Host-daypass_refresh";
const CLIENTS: &str = r#"[{"client_id":"default"},{"client_id":"app","transport":"cookie","origins":["https://app.example.com"]}]"#;

/// One stack at a time: two would compete for the two processors that the times are measured on.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_dynamodb() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let dynamodb = Embedded::start(None).unwrap();
    Whole::start(&dynamodb.url()).await.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_dynamodb_local() {
    let _turn = ONE_AT_A_TIME.lock().await;
    #[expect(clippy::disallowed_methods, reason = "where the test's DynamoDB Local is")]
    let dynamodb = std::env::var("DAYPASS_TEST_DYNAMODB")
        .expect("run `cargo verify --only black-box`: it starts a DynamoDB Local");
    Whole::start(&dynamodb).await.check().await;
}

/// Everything that runs, and every secret that was seen on the way.
struct Whole {
    stack: Stack,
    recorder: Recorder,
    store: DynamoDb,
    tables: Tables,
    http: reqwest::Client,
    secrets: Mutex<Vec<String>>,
    _folder: tempfile::TempDir,
}

/// What a client gets.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
    took: Duration,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_default().to_owned()
    }

    /// The token that the answer puts into the cookie; empty when it takes it away.
    fn cookie(&self) -> Option<String> {
        let set = self.headers.get("set-cookie")?.to_str().unwrap();
        let (pair, _) = set.split_once(';').unwrap();
        Some(pair.strip_prefix(COOKIE).unwrap().strip_prefix('=').unwrap().to_owned())
    }

    fn outcome(&self) -> (u16, String) {
        (self.status, self.text("error"))
    }
}

fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

impl Whole {
    async fn start(dynamodb: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::start(dynamodb).await;
        let settings = Settings {
            store: StoreChoice::Url(dynamodb.to_owned()),
            concurrency: 8,
            ..Settings::new(folder.path().to_path_buf())
                .variable("AWS_ENDPOINT_URL_DYNAMODB", recorder.url())
                .variable("DAYPASS_GRACE_SECONDS", "4")
                .variable("DAYPASS_CLIENTS", CLIENTS)
        };
        let stack = tokio::task::spawn_blocking(move || Stack::start(&settings)).await.unwrap().unwrap();
        let variable = |name: &str| stack.variables()[name].clone();
        let tables = Tables {
            users: variable("DAYPASS_USERS_TABLE"),
            sessions: variable("DAYPASS_SESSIONS_TABLE"),
            attempts: variable("DAYPASS_ATTEMPTS_TABLE"),
        };
        let store = DynamoDb::local(dynamodb, TableNames::from(&tables));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { stack, recorder, store, tables, http, secrets: Mutex::default(), _folder: folder }
    }

    /// Every check in turn. What they leave behind is looked at by the last.
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
            forged_tokens_cost_nothing,
            sixty_four_refreshes_at_once,
            a_replay_after_grace_ends_the_session,
            a_failing_store_is_never_invalid_grant,
            guesses_are_bounded,
            unknown_wrong_and_disabled_take_the_same_time,
            bad_input,
            what_the_authorizer_refuses,
            users_see_and_end_their_sessions,
            users_change_their_password,
            a_page_keeps_its_token_in_the_cookie,
            discovery,
            no_secret_in_logs_or_tables,
        );
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let before = Instant::now();
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await.unwrap();
        let answer = Answer { status, headers, body, took: before.elapsed() };
        if let Ok(Value::Object(members)) = serde_json::from_str(&answer.body) {
            let tokens =
                ["access_token", "refresh_token"].map(|name| members.get(name).and_then(Value::as_str));
            self.secrets.lock().unwrap().extend(tokens.into_iter().flatten().map(str::to_owned));
        }
        answer
    }

    fn url(&self, path: &str) -> String {
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
        let request = self.http.get(self.url("/whoami"));
        self.send(match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        })
        .await
    }

    /// Adds users that share one hash of [`PASSWORD`].
    async fn users(&self, names: impl IntoIterator<Item = String>, status: UserStatus) {
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
                created_at: now,
                updated_at: now,
            };
            assert_eq!(self.store.add_user(&user).await, Ok(true), "{name}");
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

    /// The operations that went over the wire since the last look, sorted.
    fn operations(&self) -> Vec<String> {
        let mut seen: Vec<String> =
            // Without those of the feed, which the authorizer asks for in its own time: an index of what ended.
            self.recorder
                .take()
                .into_iter()
                .filter(|exchange| exchange.request["IndexName"].is_null())
                .map(|exchange| exchange.operation)
                .collect();
        seen.sort();
        seen
    }

    async fn the_main_job(&self) {
        let login = self.login("demo", "demo-day-pass-2026").await;
        assert_eq!(login.status, 200, "{login:?}");
        assert_eq!(login.headers["cache-control"], "no-store");
        let missing = self.whoami(None).await;
        assert_eq!(missing.status, 401, "{missing:?}");
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
        assert_eq!(
            self.whoami(Some(&format!("bearer {}", refreshed.text("access_token")))).await.status,
            200
        );
        let revoked = self.revoke(&refreshed.text("refresh_token")).await;
        assert_eq!((revoked.status, revoked.body.as_str()), (200, "{}"));
        assert_eq!(self.refresh(&refreshed.text("refresh_token")).await.outcome(), invalid_grant());
    }

    async fn requests_on_the_wire(&self) {
        self.users(["wire".to_owned()], UserStatus::Enabled).await;
        let _ = self.recorder.take();
        self.recorder.ask_capacity(true);
        // From a new address: two more counters, and their slots given back.
        self.login("wire", PASSWORD).await;
        let first = [&["GetItem", "TransactWriteItems"][..], &["UpdateItem"; 5]].concat();
        assert_eq!(self.operations(), first);
        let login = self.login("wire", PASSWORD).await;
        assert_eq!(self.operations(), ["GetItem", "TransactWriteItems", "UpdateItem"]);
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
        assert_eq!(self.operations(), [""; 0], "the authorizer asks nobody");
        self.revoke(&refreshed.text("refresh_token")).await;
        assert_eq!(self.operations(), ["UpdateItem"]);
    }

    async fn forged_tokens_cost_nothing(&self) {
        let token = self.logged_in("forger").await.text("refresh_token");
        let mut forged = token.clone().into_bytes();
        let at = forged.len() - 30;
        forged[at] = if forged[at] == b'x' { b'y' } else { b'x' };
        for bad in [String::from_utf8(forged).unwrap(), token[..100].to_owned(), "daypass_rt_".to_owned()] {
            assert_eq!(self.refresh(&bad).await.outcome(), invalid_grant());
            assert_eq!(self.revoke(&bad).await.status, 200);
        }
        assert_eq!(self.operations(), [""; 0]);
    }

    async fn sixty_four_refreshes_at_once(&self) {
        let token = self.logged_in("crowd").await.text("refresh_token");
        let answers = together(64, || self.refresh(&token)).await;
        let successor = answers[0].text("refresh_token");
        for answer in &answers {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.text("refresh_token"), successor);
        }
        let rotated = |exchange: &daypass_tests::recorder::Exchange| {
            exchange.answer.as_ref().is_some_and(|a| a.0 == 200)
        };
        let writes = self.recorder.take().iter().filter(|exchange| rotated(exchange)).count();
        assert_eq!(writes, 1, "one rotation is stored");
    }

    async fn a_replay_after_grace_ends_the_session(&self) {
        let first = self.logged_in("robbed").await;
        let elsewhere = self.login("robbed", PASSWORD).await;
        let second = self.refresh(&first.text("refresh_token")).await;
        let again = self.refresh(&first.text("refresh_token")).await;
        assert_eq!(again.text("refresh_token"), second.text("refresh_token"), "within grace");
        tokio::time::sleep(Duration::from_secs(4)).await;
        for token in [&first, &second] {
            assert_eq!(self.refresh(&token.text("refresh_token")).await.outcome(), invalid_grant());
        }
        let other = self.refresh(&elsewhere.text("refresh_token")).await;
        assert_eq!(other.status, 200, "another session of the same user lives on: {other:?}");

        // Any older generation, with the grace window still open.
        let third = self.refresh(&other.text("refresh_token")).await;
        assert_eq!(third.status, 200);
        assert_eq!(self.refresh(&elsewhere.text("refresh_token")).await.outcome(), invalid_grant());
        assert_eq!(self.refresh(&third.text("refresh_token")).await.outcome(), invalid_grant());
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
            for answer in
                [self.refresh(&token).await, self.revoke(&token).await, self.login("patient", PASSWORD).await]
            {
                assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{way:?}");
                assert!(answer.headers.contains_key("retry-after"), "{way:?}");
                assert!(answer.took < Duration::from_secs(5), "{way:?} took {:?}", answer.took);
            }
            self.recorder.always(Action::Pass);
            let refreshed = self.refresh(&token).await;
            assert_eq!(refreshed.status, 200, "the same token works afterwards: {refreshed:?}");
            token = refreshed.text("refresh_token");
        }
        // The write landed and its answer was lost.
        self.recorder.next(1, Action::DropAnswer);
        assert_eq!(self.refresh(&token).await.status, 200);
    }

    async fn guesses_are_bounded(&self) {
        self.users(["guessed".to_owned()], UserStatus::Enabled).await;
        let answers = together(20, || self.login("guessed", "not the password")).await;
        let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!(count(401), 5, "of 20 guesses so many were hashed");
        assert_eq!(count(401) + count(429), 20);
        let throttled = answers.iter().find(|answer| answer.status == 429).unwrap();
        assert_eq!(throttled.text("error"), "slow_down");
        // A second more where the slot was taken by a process that began a moment later.
        assert!(throttled.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 901);
    }

    /// The medians of 50 interleaved runs lie within a tenth of each other. A difference in the work shows in every round;
    /// another process that takes the processor away shows in some, so there are three.
    async fn unknown_wrong_and_disabled_take_the_same_time(&self) {
        let mut rounds = Vec::new();
        for round in 0..3 {
            let medians = self.medians_of_refused_logins(round).await;
            let least = medians.iter().copied().fold(f64::MAX, f64::min);
            let most = medians.iter().copied().fold(0.0, f64::max);
            println!("          medians of unknown, wrong, disabled: {medians:.4?} s");
            if most <= least * 1.1 {
                return;
            }
            rounds.push(medians);
        }
        panic!("the times tell the kinds apart: {rounds:?}");
    }

    async fn medians_of_refused_logins(&self, round: usize) -> [f64; 3] {
        const RUNS: usize = 50;
        // Five attempts at each name, which is the limit.
        let named = |kind: &str| (0..RUNS / 5).map(|n| format!("{kind}-{round}-{n}")).collect::<Vec<_>>();
        self.users(named("wrong"), UserStatus::Enabled).await;
        self.users(named("disabled"), UserStatus::Disabled).await;
        let kinds = [("unknown", "not the password"), ("wrong", "not the password"), ("disabled", PASSWORD)];
        let mut times = [const { Vec::new() }; 3];
        let mut answers = Vec::new();
        // Of all loopback addresses one for ten runs of the three, since each may try sixty times.
        let mut from = self.http.clone();
        for run in 0..RUNS {
            if run % 10 == 0 {
                let address =
                    Ipv4Addr::new(127, 0, u8::try_from(round + 1).unwrap(), u8::try_from(run + 1).unwrap());
                from = reqwest::Client::builder()
                    .no_proxy()
                    .local_address(IpAddr::from(address))
                    .build()
                    .unwrap();
            }
            // Each kind takes each place in turn: whatever one request leaves behind meets all of them alike.
            for kind in (0..kinds.len()).map(|place| (place + run) % kinds.len()) {
                let (name, password) = kinds[kind];
                let name = format!("{name}-{round}-{}", run / 5);
                let body = json!({ "username": name, "password": password }).to_string();
                let request = from.post(self.url("/login")).header("content-type", JSON).body(body);
                let answer = self.send(request).await;
                assert_eq!(answer.status, 401, "{name} {answer:?}");
                times[kind].push(answer.took);
                let mut names: Vec<&str> =
                    answer.headers.keys().map(reqwest::header::HeaderName::as_str).collect();
                names.sort_unstable();
                let challenge = answer.headers["www-authenticate"].to_str().unwrap();
                answers.push(format!("{names:?} {challenge} {}", answer.body));
            }
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "the same bytes");
        times.map(|mut times| {
            times.sort_unstable();
            times[RUNS / 2].as_secs_f64()
        })
    }

    async fn bad_input(&self) {
        let deep = format!("{{\"username\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let cases: Vec<(&str, &str, Vec<u8>, u16)> = vec![
            ("/login", JSON, b"".to_vec(), 400),
            ("/login", JSON, b"\xff\xfe".to_vec(), 400),
            ("/login", JSON, b"not json".to_vec(), 400),
            ("/login", JSON, br#"{"username":1,"password":2}"#.to_vec(), 400),
            ("/login", JSON, br#"{"username":"a","username":"a","password":"b"}"#.to_vec(), 400),
            ("/login", JSON, deep.into(), 413),
            ("/login", JSON, vec![b'x'; 1 << 20], 413),
            ("/login", FORM, b"username=a&password=b".to_vec(), 415),
            ("/login?password=x", JSON, br#"{"username":"a","password":"b"}"#.to_vec(), 400),
            ("/refresh", FORM, b"".to_vec(), 400),
            ("/refresh", FORM, b"grant_type=refresh_token&refresh_token=a&refresh_token=a".to_vec(), 400),
            ("/refresh", FORM, b"grant_type=refresh_token&refresh_token=%ff%fe".to_vec(), 400),
            ("/refresh", FORM, b"\xff=\xfe".to_vec(), 400),
            ("/refresh", "text/plain", b"grant_type=refresh_token".to_vec(), 415),
            ("/refresh", FORM, vec![b'x'; 1 << 20], 413),
            ("/refresh", JSON, br#"{"grant_type":"refresh_token","refresh_token":{}}"#.to_vec(), 400),
            ("/revoke", FORM, b"token=a&token=a".to_vec(), 400),
            ("/revoke", JSON, b"[]".to_vec(), 400),
            ("/revoke", "image/png", b"\x89PNG".to_vec(), 415),
        ];
        let _ = self.recorder.take();
        for (path, content_type, body, status) in cases {
            // The best of three: input that is expensive to refuse is slow each time, a busy machine is not.
            let mut took = Duration::MAX;
            for _ in 0..3 {
                let answer = self.post(path, content_type, body.clone()).await;
                let expected = (status, "invalid_request".to_owned());
                assert_eq!(answer.outcome(), expected, "{path} {content_type}: {answer:?}");
                took = took.min(answer.took);
            }
            // A megabyte goes through the gateway's base64 and four JSON parsers of development builds, which takes up to
            // 120 ms on a slow day; what is quadratic in it takes seconds.
            assert!(took < Duration::from_millis(250), "{path} {content_type} took {took:?}");
        }
        for path in ["/login", "/refresh", "/revoke"] {
            let answer = self.send(self.http.put(self.url(path)).body("x")).await;
            assert_eq!((answer.status, answer.headers["allow"].to_str().unwrap()), (405, "POST"), "{path}");
        }
        assert_eq!(self.operations(), [""; 0], "nothing was asked of the store");
    }

    async fn what_the_authorizer_refuses(&self) {
        let token = self.logged_in("guarded").await.text("access_token");
        let mut tampered = token.clone().into_bytes();
        let at = tampered.len() - 40;
        tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(tampered).unwrap();
        for header in [
            token.clone(),
            "Bearer".to_owned(),
            "Bearer x".to_owned(),
            format!("Basic {token}"),
            format!("Bearer {tampered}"),
        ] {
            assert_eq!(self.whoami(Some(&header)).await.status, 403, "{header}");
        }
        let twice = self.http.get(self.url("/whoami")).header("authorization", format!("Bearer {token}"));
        let twice = self.send(twice.header("authorization", format!("Bearer {token}"))).await;
        assert_eq!(twice.status, 403, "two headers: {twice:?}");
        assert_eq!(self.whoami(Some(&format!("Bearer {token}"))).await.status, 200);
    }

    /// Asks for `/sessions`, or what is below it.
    async fn sessions(&self, method: &str, below: &str, access_token: Option<&str>) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, self.url(&format!("/sessions{below}")));
        self.send(match access_token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        })
        .await
    }

    /// Sends a request with its path as it stands; returns the whole answer.
    async fn raw(&self, method: &str, path: &str, access_token: &str) -> String {
        let address = self.stack.url().strip_prefix("http://").unwrap().to_owned();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {access_token}\r\nconnection: close\r\n\r\n"
        );
        let exchange = move || {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(head.as_bytes()).unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            answer
        };
        tokio::task::spawn_blocking(exchange).await.unwrap()
    }

    async fn users_see_and_end_their_sessions(&self) {
        let phone = self.logged_in("owner").await;
        let laptop = self.login("owner", PASSWORD).await;
        let other = self.logged_in("neighbour").await;
        let id = |login: &Answer| login.text("session_id");
        let token = phone.text("access_token");

        let listed = self.sessions("GET", "", Some(&token)).await;
        assert_eq!(listed.status, 200, "{listed:?}");
        assert_eq!(listed.headers["cache-control"], "no-store");
        assert_eq!(self.operations(), ["Query"], "the authorizer asks nobody");
        let listed = listed.json();
        assert_eq!(listed["total"], 2);
        let shown = [0, 1]
            .map(|n| (listed["sessions"][n]["session_id"].clone(), listed["sessions"][n]["current"].clone()));
        assert_eq!(shown, [(json!(id(&phone)), json!(true)), (json!(id(&laptop)), json!(false))]);
        assert_eq!(listed["sessions"][0]["client_id"], "default");

        // Nobody without a token, and nobody by what a request says of itself.
        for (header, value) in
            [("x-daypass-sub", "usr_11111111111111111111111111111111"), ("x-daypass-sid", &*id(&phone))]
        {
            let request = self.http.get(self.url("/sessions")).header(header, value);
            assert_eq!(self.send(request).await.status, 401, "{header}");
        }
        for (method, below) in [("GET", String::new()), ("DELETE", format!("/{}", id(&phone)))] {
            assert_eq!(self.sessions(method, &below, None).await.status, 401, "{method}");
            for bad in ["x", &phone.text("refresh_token")] {
                assert_eq!(self.sessions(method, &below, Some(bad)).await.status, 403, "{method}");
            }
        }
        let put = self.sessions("PUT", "", Some(&token)).await;
        assert_eq!((put.status, put.headers["allow"].to_str().unwrap()), (405, "GET"));
        let get = self.sessions("GET", &format!("/{}", id(&phone)), Some(&token)).await;
        assert_eq!((get.status, get.headers["allow"].to_str().unwrap()), (405, "DELETE"));
        let hostile = [
            id(&other),
            "ses_1".to_owned(),
            "%00".to_owned(),
            "%3F".to_owned(),
            format!("{}%3Fx", id(&laptop)),
            format!("{}%0A", id(&laptop)),
            "x".repeat(4_000),
        ];
        let unknown = self.sessions("DELETE", "/ses_00000000000000000000000000000000", Some(&token)).await;
        assert_eq!(unknown.outcome(), (404, "invalid_request".to_owned()));
        for bad in hostile {
            let answer = self.sessions("DELETE", &format!("/{bad}"), Some(&token)).await;
            assert_eq!((answer.status, answer.body), (404, unknown.body.clone()), "{bad}");
        }
        // An HTTP client makes another path of these.
        for dots in ["..", ".", "%2e", "%2E%2e", "..%2fsessions"] {
            let answer = self.raw("DELETE", &format!("/sessions/{dots}"), &token).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{dots}: {answer}");
        }
        assert_eq!(
            self.operations().iter().filter(|name| *name == "UpdateItem").count(),
            2,
            "for the ids of others"
        );

        let ended = self.sessions("DELETE", &format!("/{}", id(&laptop)), Some(&token)).await;
        assert_eq!((ended.status, ended.body.as_str()), (200, "{}"), "{ended:?}");
        assert_eq!(self.operations(), ["GetItem", "UpdateItem"]);
        assert_eq!(self.refresh(&laptop.text("refresh_token")).await.outcome(), invalid_grant());
        let dead = self.sessions("GET", "", Some(&laptop.text("access_token"))).await;
        assert_eq!(
            dead.outcome(),
            (401, "invalid_token".to_owned()),
            "the authorizer lets it through: {dead:?}"
        );
        let own = self.sessions("DELETE", &format!("/{}", id(&phone)), Some(&token)).await;
        assert_eq!((own.status, own.body.as_str()), (200, "{}"), "{own:?}");
        assert_eq!(self.refresh(&phone.text("refresh_token")).await.outcome(), invalid_grant());
        assert_eq!(self.refresh(&other.text("refresh_token")).await.status, 200, "the neighbour's lives on");
    }

    async fn users_change_their_password(&self) {
        const NEW: &str = "a day pass with another stamp";
        self.secrets.lock().unwrap().push(NEW.to_owned());
        let asks = self.logged_in("changer").await;
        let other = self.login("changer", PASSWORD).await;
        let token = asks.text("access_token");
        let change = async |token: Option<&str>, current: &str, new: &str| {
            let body = json!({ "current_password": current, "new_password": new }).to_string();
            let request = self.http.post(self.url("/password")).header("content-type", JSON).body(body);
            let request = request.header("x-daypass-sub", "usr_11111111111111111111111111111111");
            self.send(match token {
                Some(token) => request.header("authorization", format!("Bearer {token}")),
                None => request,
            })
            .await
        };
        assert_eq!(change(None, PASSWORD, NEW).await.status, 401);
        assert_eq!(change(Some("x"), PASSWORD, NEW).await.status, 403);
        let wrong = change(Some(&token), "not the password", NEW).await;
        assert_eq!(wrong.outcome(), (400, "wrong_password".to_owned()));
        let weak = change(Some(&token), PASSWORD, "short").await;
        assert_eq!(weak.outcome(), (400, "password_refused".to_owned()));
        let changed = change(Some(&token), PASSWORD, NEW).await;
        assert_eq!((changed.status, changed.body.as_str()), (200, "{}"), "{changed:?}");
        assert_eq!(self.refresh(&other.text("refresh_token")).await.outcome(), invalid_grant());
        assert_eq!(self.refresh(&asks.text("refresh_token")).await.status, 200, "the one that asked");
        assert_eq!(self.login("changer", PASSWORD).await.status, 401);
        assert_eq!(self.login("changer", NEW).await.status, 200);
        assert_eq!(self.login("changer", PASSWORD).await.status, 401);
        let over = change(Some(&other.text("access_token")), NEW, PASSWORD).await;
        assert_eq!(over.outcome(), (401, "invalid_token".to_owned()));
        let get = self.http.get(self.url("/password")).header("authorization", format!("Bearer {token}"));
        let get = self.send(get).await;
        assert_eq!((get.status, get.headers["allow"].to_str().unwrap()), (405, "POST"));
    }

    /// What a page of this origin sends, with the cookies that its browser has for the host.
    async fn of_page(&self, origin: &str, path: &str, cookies: &str, body: Value) -> Answer {
        let request = self.http.post(self.url(path)).header("content-type", JSON).header("origin", origin);
        let request = request.header("cookie", cookies).body(body.to_string());
        let answer = self.send(request).await;
        let kept = answer.cookie().into_iter().filter(|token| !token.is_empty());
        self.secrets.lock().unwrap().extend(kept);
        answer
    }

    /// In and out through `cookies` of the event and of the answer, as an HTTP API has them.
    async fn a_page_keeps_its_token_in_the_cookie(&self) {
        self.users(["surfer".to_owned()], UserStatus::Enabled).await;
        let _ = self.recorder.take();
        let login = json!({ "username": "surfer", "password": PASSWORD, "client_id": "app" });
        let stranger = "https://app.example.com.evil.example";
        let refused = (403, "invalid_request".to_owned());
        let answer = self.of_page(stranger, "/login", "theme=dark", login.clone()).await;
        assert_eq!((answer.outcome(), answer.cookie()), (refused.clone(), None));
        assert_eq!(self.operations(), [""; 0], "refused before anything is read");

        let login = self.of_page(PAGE, "/login", "theme=dark", login).await;
        assert_eq!(login.status, 200, "{login:?}");
        assert_eq!(login.headers["access-control-allow-origin"], PAGE);
        assert_eq!(login.headers["access-control-allow-credentials"], "true");
        assert!(login.json().get("refresh_token").is_none());
        let first = login.cookie().unwrap();
        assert!(first.starts_with("daypass_rt_"), "{first}");
        let attributes = login.headers["set-cookie"].to_str().unwrap().split("; ").skip(2);
        assert_eq!(attributes.collect::<Vec<_>>(), ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"]);
        let bearer = format!("Bearer {}", login.text("access_token"));
        assert_eq!(self.whoami(Some(&bearer)).await.text("client_id"), "app");

        // The cookie among others of the host.
        let jar = |token: &str| format!("theme=dark; {COOKIE}={token}; lang=en");
        let ask = json!({ "grant_type": "refresh_token", "client_id": "app" });
        let refreshed = self.of_page(PAGE, "/refresh", &jar(&first), ask.clone()).await;
        assert_eq!(refreshed.status, 200, "{refreshed:?}");
        let second = refreshed.cookie().unwrap();
        assert_ne!(second, first);
        let twice = format!("{COOKIE}={first}; {COOKIE}={second}");
        let twice = self.of_page(PAGE, "/refresh", &twice, ask.clone()).await;
        assert_eq!(twice.outcome(), (400, "invalid_request".to_owned()));
        let _ = self.recorder.take();
        for (path, body) in
            [("/refresh", &ask), ("/revoke", &json!({})), ("/revoke", &json!({ "all": true }))]
        {
            for origin in [stranger, "null", "http://app.example.com", "https://app.example.com:444"] {
                let answer = self.of_page(origin, path, &jar(&second), body.clone()).await;
                assert_eq!((answer.outcome(), answer.cookie()), (refused.clone(), None), "{path} {origin}");
                assert!(!answer.headers.contains_key("access-control-allow-origin"), "{path} {origin}");
            }
        }
        assert_eq!(self.operations(), [""; 0], "refused before anything is read");

        let revoked = self.of_page(PAGE, "/revoke", &jar(&second), json!({})).await;
        assert_eq!((revoked.status, revoked.body.as_str()), (200, "{}"), "{revoked:?}");
        assert_eq!(revoked.cookie().as_deref(), Some(""), "taken away");
        let dead = self.of_page(PAGE, "/refresh", &jar(&second), ask).await;
        assert_eq!((dead.outcome(), dead.cookie().as_deref()), (invalid_grant(), Some("")));
    }

    async fn discovery(&self) {
        let get = |path: &str| self.send(self.http.get(self.url(path)));
        let metadata = get("/.well-known/openid-configuration").await.json();
        assert_eq!(metadata["issuer"], self.stack.url());
        let jwks = self.send(self.http.get(metadata["jwks_uri"].as_str().unwrap())).await;
        assert!(jwks.json()["keys"][0]["kid"].is_string());
        assert!(jwks.headers["cache-control"].to_str().unwrap().contains("max-age"));
        assert_eq!(get("/.well-known/oauth-authorization-server").await.json(), metadata);
        assert_eq!(get("/.well-known/nothing").await.status, 404);
    }

    /// The last check: nothing that must stay secret is in what the functions wrote, or in the tables.
    async fn no_secret_in_logs_or_tables(&self) {
        let mut secrets = std::mem::take(&mut *self.secrets.lock().unwrap());
        assert!(secrets.len() > 100, "the run has seen {} tokens", secrets.len());
        secrets.extend([PASSWORD.to_owned(), "demo-day-pass-2026".to_owned(), "not the password".to_owned()]);
        let keys: Value = serde_json::from_str(&self.stack.keys().to_json().unwrap()).unwrap();
        for pointer in ["/signing/0/private", "/refresh/0/key", "/peppers/0/key"] {
            secrets.push(keys.pointer(pointer).unwrap().as_str().unwrap().to_owned());
        }
        let log = std::fs::read_to_string(self.stack.function_log()).unwrap();
        assert!(
            log.contains("login.succeeded") && log.contains("refresh.reuse"),
            "the log is the functions' own"
        );
        let mut places = vec![("the log", log)];
        for (name, table) in [
            ("users", &self.tables.users),
            ("sessions", &self.tables.sessions),
            ("attempts", &self.tables.attempts),
        ] {
            let items = self.store.client().scan().table_name(table).send().await.unwrap();
            assert!(items.count > 0, "{name}");
            places.push((name, format!("{:?}", items.items())));
        }
        for (place, text) in &places {
            for secret in &secrets {
                // The body of a refresh token too, which its prefix does not mark.
                let bare = secret.strip_prefix("daypass_rt_").unwrap_or(secret);
                assert!(!text.contains(bare), "{bare} is in {place}");
            }
            assert!(!text.contains("daypass_rt_"), "something like a refresh token is in {place}");
        }
    }
}

/// Runs `n` requests at once.
async fn together<F: Future<Output = Answer>>(n: usize, request: impl Fn() -> F) -> Vec<Answer> {
    futures_util::future::join_all((0..n).map(|_| request())).await
}
