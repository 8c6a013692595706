//! No oracle: whether a user exists shows neither in the time of a refusal, nor in its bytes and headers, nor in the number of
//! requests to DynamoDB. And the same measurement finds each leak that is planted.
//!
//! The times are those of the real handler over the embedded DynamoDB, for two kinds of attempts in random turns. They are
//! compared with Welch's t-test, without the slowest quarter, in which a busy machine shows (the method, and the threshold of 4.5,
//! are dudect's: Reparaz, Balasch, Verbauwhede, "Dude, is my code constant time?", 2017).
//! Argon2 runs with 8 MiB here, so that a thousand of them take seconds and a request to DynamoDB does not drown in them.
//! `the_real_hash_takes_its_time_for_everybody` uses the real parameters.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use argon2::{Algorithm, Argon2, Params, Version};
use daypass_ambient::OsEntropy;
use daypass_core::jwks::Algorithm as Signing;
use daypass_core::keys::{Document, Peppers};
use daypass_core::login::Login;
use daypass_core::session::EndReason;
use daypass_core::throttle::{Attempt, AttemptStore, Begun, Counter, Ticket};
use daypass_core::web::Ambient;
use daypass_core::{
    AttemptId, ClientId, Credentials, Entropy, NewSession, Password, PasswordCheck, Revocation, Rotation,
    RotationRequest, SessionId, Store, StoreError, Timestamp, User, UserId, UserStatus, Username, config,
};
use daypass_credentials::Passwords;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_tests::bench::{Bench, NOW, random, user};
use daypass_tests::service::{PASSWORD, Recorded, TestClock, from, post};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A leak, seeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    Nothing,
    /// No work for a name that is no user's.
    EarlyReturn,
    /// For a name that is no user's the account is not counted.
    OneRequestFewer,
    /// An answer for a name that is no user's has another header.
    OtherHeader,
}

/// The store, with its leak.
struct Leaky {
    store: DynamoDb,
    plant: Plant,
    /// Whether the attempt under way is at a name that is no user's.
    unknown: AtomicBool,
    counted: AtomicBool,
}

impl AttemptStore for Leaky {
    async fn begin(
        &self,
        username: &Username,
        counter: &Counter,
        attempt: AttemptId,
    ) -> Result<Begun, StoreError> {
        let begun = self.store.begin(username, counter, attempt).await?;
        self.unknown.store(begun.user.is_none(), Ordering::SeqCst);
        self.counted.store(false, Ordering::SeqCst);
        Ok(begun)
    }

    async fn count(&self, counter: &Counter, attempt: AttemptId) -> Result<Attempt, StoreError> {
        // The address first, then the account.
        let account = self.counted.swap(true, Ordering::SeqCst);
        if self.plant == Plant::OneRequestFewer && account && self.unknown.load(Ordering::SeqCst) {
            let until = counter.now + counter.limit.window;
            return Ok(Attempt::Counted(Ticket { key: counter.key.clone(), slot: 0, until }));
        }
        self.store.count(counter, attempt).await
    }

    async fn settle(&self, forget: Option<&str>, tickets: &[Ticket]) -> Result<(), StoreError> {
        self.store.settle(forget, tickets).await
    }
}

impl Store for Leaky {
    async fn open_session(&self, new: &NewSession<'_>) -> Result<bool, StoreError> {
        self.store.open_session(new).await
    }

    async fn rotate(&self, request: &RotationRequest<'_>) -> Result<Rotation, StoreError> {
        self.store.rotate(request).await
    }

    async fn revoke_session(
        &self,
        user: UserId,
        session: SessionId,
        clients: Option<&[ClientId]>,
        now: Timestamp,
        reason: EndReason,
        attempt: AttemptId,
    ) -> Result<Revocation, StoreError> {
        self.store.revoke_session(user, session, clients, now, reason, attempt).await
    }

    async fn revoke_all(
        &self,
        user: UserId,
        now: Timestamp,
        reason: EndReason,
        opened_by: Option<Timestamp>,
    ) -> Result<u32, StoreError> {
        self.store.revoke_all(user, now, reason, opened_by).await
    }
}

/// The hasher with 8 MiB, the same work for every name; with its leak.
struct Small(Plant);

/// What is stored of [`PASSWORD`] in this test.
fn small(password: &str) -> String {
    let params = Params::new(8192, 1, 1, Some(32)).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; 32];
    argon2.hash_password_into(password.as_bytes(), b"sixteen bytes of", &mut output).unwrap();
    format!("{output:02x?}")
}

impl Credentials for Small {
    fn username(&self, typed: &str) -> Option<Username> {
        Credentials::username(&Passwords::standard(), typed)
    }

    fn check(&self, password: &Password, stored: Option<&str>, _: &Peppers) -> PasswordCheck {
        if self.0 == Plant::EarlyReturn && stored.is_none() {
            return PasswordCheck::Mismatch;
        }
        let hash = std::hint::black_box(small(password.expose()));
        if stored == Some(hash.as_str()) {
            PasswordCheck::Match { outdated: false }
        } else {
            PasswordCheck::Mismatch
        }
    }

    fn refusal(&self, _: &Password, _: &Username) -> Option<&'static str> {
        None
    }

    fn rehash(&self, _: &Password, _: &Peppers, _: &dyn Entropy) -> Option<String> {
        None
    }
}

/// The kinds of attempts that must look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unknown,
    Wrong,
    /// The right password of a disabled user.
    Disabled,
    /// A name that is no user's, after its attempts are used up.
    UnknownLocked,
    /// A user's name, after its attempts are used up.
    WrongLocked,
}

struct Stage {
    _database: Embedded,
    bench: Bench,
    login: Login<Leaky>,
    clock: TestClock,
    plant: Plant,
}

impl Stage {
    /// `counted`: through the recorder, which counts and costs time.
    async fn set(plant: Plant, counted: bool, real: bool) -> Self {
        let database = Embedded::start(None).unwrap();
        let bench = Bench::new(&database.url()).await;
        let keys = Document::generate(Signing::Es256, &OsEntropy, NOW).unwrap();
        let peppers = Peppers::from_document(&keys).unwrap();
        let hash = if real {
            let password = Password::new(PASSWORD.to_owned()).unwrap();
            Passwords::standard().hash(&password, &peppers, &OsEntropy).unwrap()
        } else {
            small(PASSWORD)
        };
        for (name, status) in [("alice", UserStatus::Enabled), ("gone", UserStatus::Disabled)] {
            let user = User { password_hash: hash.clone(), status, ..user(name) };
            bench.store.add_user(&user).await.unwrap();
        }
        let direct = DynamoDb::local(&database.url(), TableNames::from(&bench.tables));
        let store = if counted { bench.store.clone() } else { direct };
        let settings = [
            ("DAYPASS_ISSUER", "https://id.example.com"),
            ("DAYPASS_AUDIENCE", "https://api.example.com"),
            ("DAYPASS_KEYS", "(in memory)"),
            ("DAYPASS_USERS_TABLE", &bench.tables.users),
            ("DAYPASS_SESSIONS_TABLE", &bench.tables.sessions),
            ("DAYPASS_ATTEMPTS_TABLE", &bench.tables.attempts),
        ];
        let lookup = |name: &str| {
            settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let clock = TestClock::at(NOW);
        let ambient = Ambient {
            clock: Box::new(clock.clone()),
            entropy: Box::new(OsEntropy),
            journal: Box::new(Recorded::default()),
        };
        let store = Leaky { store, plant, unknown: AtomicBool::default(), counted: AtomicBool::default() };
        let credentials: Box<dyn Credentials> =
            if real { Box::new(Passwords::standard()) } else { Box::new(Small(plant)) };
        let config = config::login(lookup).unwrap();
        let login = Login::new(config, &keys, store, credentials, ambient).unwrap();
        let stage = Self { _database: database, bench, login, clock, plant };
        for kind in [Kind::UnknownLocked, Kind::WrongLocked] {
            for _ in 0..6 {
                stage.attempt(kind).await;
            }
        }
        stage
    }

    async fn attempt(&self, kind: Kind) -> (Duration, Answer) {
        let (name, password) = match kind {
            Kind::Unknown | Kind::UnknownLocked => ("nobody", PASSWORD),
            Kind::Wrong | Kind::WrongLocked => ("alice", "not the right password"),
            Kind::Disabled => ("gone", PASSWORD),
        };
        let address = match kind {
            Kind::UnknownLocked | Kind::WrongLocked => "203.0.113.1",
            // Later than any window, so that all counters are free.
            Kind::Unknown | Kind::Wrong | Kind::Disabled => {
                self.clock.advance(Duration::from_secs(1_000));
                "192.0.2.1"
            }
        };
        let body = json!({ "username": name, "password": password }).to_string();
        let request = from(address, post("/login", "application/json", body));
        let started = Instant::now();
        let mut response = daypass_login::handle(&self.login, request).await;
        let took = started.elapsed();
        if self.plant == Plant::OtherHeader && name == "nobody" {
            response.headers_mut().insert("x-cache", "miss".parse().unwrap());
        }
        (took, Answer::from(response))
    }

    /// Welch's t of the times of two kinds in random turns.
    async fn compare(&self, pair: [Kind; 2], runs: usize) -> f64 {
        let mut times = [Vec::with_capacity(runs), Vec::with_capacity(runs)];
        for kind in pair {
            // Connections, caches.
            self.attempt(kind).await;
        }
        while times.iter().any(|times| times.len() < runs) {
            let first = usize::from(random::<1>()[0] % 2);
            for which in [first, 1 - first] {
                let kind = pair[which];
                times[which].push(self.attempt(kind).await.0.as_secs_f64());
            }
        }
        welch(&times)
    }
}

/// Welch's t of two samples without the slowest quarter of both together.
fn welch(samples: &[Vec<f64>; 2]) -> f64 {
    let mut all: Vec<f64> = samples.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let most = all[all.len() * 3 / 4];
    let [(mean, error), (other_mean, other_error)] = [0, 1].map(|which: usize| {
        let kept: Vec<f64> = samples[which].iter().copied().filter(|time| *time <= most).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    (mean - other_mean) / (error + other_error).sqrt()
}

/// Of two samples of the same, a t beyond this comes up once in more than a hundred thousand.
const THRESHOLD: f64 = 4.5;

/// How many attempts of each kind: 500 in the gate's step `guesses`, fewer where a build without optimisation should be done
/// soon.
#[expect(clippy::disallowed_methods, reason = "how the gate says how many")]
fn runs() -> usize {
    if std::env::var("DAYPASS_TEST_GUESSES").is_ok() { 500 } else { 150 }
}

const PAIRS: [[Kind; 2]; 3] =
    [[Kind::Unknown, Kind::Wrong], [Kind::Unknown, Kind::Disabled], [Kind::UnknownLocked, Kind::WrongLocked]];

/// One after the other: they would measure each other.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn the_time_tells_nothing() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let runs = runs();
    let stage = Stage::set(Plant::Nothing, false, false).await;
    for pair in PAIRS {
        let mut t = stage.compare(pair, runs).await;
        println!("{pair:?}: t = {t:.2} over {runs} runs each, {THRESHOLD} would tell");
        if t.abs() >= THRESHOLD {
            // A machine that does something else in one half of the runs looks like that too. A leak shows again.
            t = stage.compare(pair, runs).await;
            println!("{pair:?}: once more, t = {t:.2}");
        }
        assert!(t.abs() < THRESHOLD, "{pair:?}: t = {t}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_tells_of_a_planted_leak() {
    let _turn = ONE_AT_A_TIME.lock().await;
    for plant in [Plant::EarlyReturn, Plant::OneRequestFewer] {
        let stage = Stage::set(plant, false, false).await;
        let runs = runs();
        let mut t = stage.compare([Kind::Unknown, Kind::Wrong], runs).await;
        println!("{plant:?}: t = {t:.2} over {runs} runs each, {THRESHOLD} tells");
        if t > -THRESHOLD {
            t = stage.compare([Kind::Unknown, Kind::Wrong], runs).await;
            println!("{plant:?}: once more, t = {t:.2}");
        }
        assert!(t < -THRESHOLD, "{plant:?} was not noticed: t = {t}");
    }
}

/// The whole of it, with the hash of today's parameters.
#[tokio::test(flavor = "multi_thread")]
async fn the_real_hash_takes_its_time_for_everybody() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let stage = Stage::set(Plant::Nothing, false, true).await;
    let mut t = stage.compare([Kind::Unknown, Kind::Wrong], 40).await;
    if t.abs() >= THRESHOLD {
        t = stage.compare([Kind::Unknown, Kind::Wrong], 40).await;
    }
    println!("19 MiB: t = {t:.2} over 40 runs each");
    assert!(t.abs() < THRESHOLD, "t = {t}");
}

/// What each kind of attempt is answered, and what it asks of DynamoDB.
async fn seen(plant: Plant) -> Vec<(Kind, Answer, Vec<String>)> {
    let stage = Stage::set(plant, true, false).await;
    let mut all = Vec::new();
    for kind in [Kind::Unknown, Kind::Wrong, Kind::Disabled, Kind::UnknownLocked, Kind::WrongLocked] {
        if matches!(kind, Kind::UnknownLocked) {
            // The clock has moved on.
            for kind in [Kind::UnknownLocked, Kind::WrongLocked] {
                for _ in 0..5 {
                    stage.attempt(kind).await;
                }
            }
        }
        let _ = stage.bench.recorder.take();
        let (_, answer) = stage.attempt(kind).await;
        let mut requests: Vec<String> =
            stage.bench.recorder.take().into_iter().map(|exchange| exchange.operation).collect();
        requests.sort();
        all.push((kind, answer, requests));
    }
    all
}

/// The pairs of which one could be told from the other.
async fn told_apart(plant: Plant) -> Vec<[Kind; 2]> {
    let seen = seen(plant).await;
    let of = |kind| {
        let (_, answer, requests) = seen.iter().find(|(other, ..)| *other == kind).unwrap();
        (answer, requests)
    };
    PAIRS.into_iter().filter(|[one, other]| of(*one) != of(*other)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_headers_and_requests_tell_nothing() {
    let seen = seen(Plant::Nothing).await;
    let outcomes: Vec<u16> = seen.iter().map(|(_, answer, _)| answer.status).collect();
    assert_eq!(outcomes, [401, 401, 401, 429, 429]);
    assert_eq!(told_apart(Plant::Nothing).await, Vec::<[Kind; 2]>::new());
    assert_eq!(told_apart(Plant::OtherHeader).await, PAIRS, "a header");
    let fewer = told_apart(Plant::OneRequestFewer).await;
    assert_eq!(fewer, [PAIRS[0], PAIRS[1]], "a request");
}
