//! Responses do not reveal whether a user exists. The tests compare bytes and headers of rejections, and count requests to
//! DynamoDB and hashes. They also find each deliberate leak. `suites::timing` compares the times.
//!
//! Argon2 uses 8 MiB here, so that a thousand hashes take seconds, and a request to DynamoDB is visible beside a hash.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use argon2::{Algorithm, Argon2, Params, Version};
use daypass_core::account::address::EmailAddress;
use daypass_core::config;
use daypass_core::flow::login::Login;
use daypass_core::http::answer::Response;
use daypass_core::http::request::Request;
use daypass_core::keys::{Document, Peppers};
use daypass_core::passkey::PasskeyId;
use daypass_core::passkey::challenge::Challenge;
use daypass_core::ports::context::Context;
use daypass_core::ports::hasher::{PasswordCheck, PasswordHasher};
use daypass_core::ports::passkey::{Passkey, PasskeyStore};
use daypass_core::ports::store::{
    AddressOwner, AddressStore, AttemptStore, Begun, Creation, NewSession, Revocation, Rotation, Store,
    StoreError, User, UserStatus, UserStore,
};
use daypass_core::secret::Password;
use daypass_core::session::{EndReason, RotationRequest};
use daypass_core::throttle::{Attempt, Counter, Ticket};
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_passwords::Passwords;
use daypass_runtime::OsEntropy;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_tests::bench::{Bench, NOW, user};
use daypass_tests::service::{PASSWORD, Recorded, TestClock, from, post};
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId, Username};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Algorithm as Signing;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A deliberate leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    Nothing,
    /// No hash for an unknown name.
    EarlyReturn,
    /// No counter of the account for an unknown name.
    OneRequestFewer,
    /// Another header in the response for an unknown name.
    OtherHeader,
}

/// The store with a deliberate leak.
pub(crate) struct Leaky {
    store: DynamoDb,
    plant: Plant,
    /// Whether the present attempt is at an unknown name.
    unknown: AtomicBool,
    counted: AtomicBool,
}

impl UserStore for Leaky {
    async fn user_named(&self, username: &Username) -> Result<Option<User>, StoreError> {
        self.store.user_named(username).await
    }
}

impl PasskeyStore for Leaky {
    async fn passkey(&self, id: PasskeyId) -> Result<Option<Passkey>, StoreError> {
        self.store.passkey(id).await
    }

    async fn passkeys_of(&self, user: &User) -> Result<Vec<Passkey>, StoreError> {
        self.store.passkeys_of(user).await
    }

    async fn use_up(&self, challenge: &Challenge, attempt: AttemptId) -> Result<bool, StoreError> {
        self.store.use_up(challenge, attempt).await
    }

    async fn rename_passkey(&self, id: PasskeyId, user: UserId, name: &str) -> Result<bool, StoreError> {
        self.store.rename_passkey(id, user, name).await
    }
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
        // The counter of the address comes first, then that of the account.
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

impl AddressStore for Leaky {
    async fn user_by_address(&self, address: &EmailAddress) -> Result<Option<AddressOwner>, StoreError> {
        self.store.user_by_address(address).await
    }
}

impl Store for Leaky {
    async fn create_user(&self, user: &User) -> Result<Creation, StoreError> {
        self.store.create_user(user).await
    }

    async fn open_session(&self, new: &NewSession<'_>) -> Result<bool, StoreError> {
        self.store.open_session(new).await
    }

    async fn renew_hash(&self, user: &User, hash: &str) -> Result<(), StoreError> {
        self.store.renew_hash(user, hash).await
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
        opened_before: Option<Timestamp>,
    ) -> Result<u32, StoreError> {
        self.store.revoke_all(user, now, reason, opened_before).await
    }

    async fn end_least_used(
        &self,
        user: UserId,
        spared: SessionId,
        now: Timestamp,
        reason: EndReason,
        attempt: AttemptId,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.store.end_least_used(user, spared, now, reason, attempt).await
    }
}

/// The hasher with 8 MiB and the same work for every name, with a deliberate leak.
struct Small {
    plant: Plant,
    hashes: Arc<AtomicUsize>,
}

/// The stored hash of [`PASSWORD`] in this test.
fn small(password: &str) -> String {
    let params = Params::new(8192, 1, 1, Some(32)).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; 32];
    argon2.hash_password_into(password.as_bytes(), b"sixteen bytes of", &mut output).unwrap();
    format!("{output:02x?}")
}

impl PasswordHasher for Small {
    fn username(&self, typed: &str) -> Option<Username> {
        PasswordHasher::username(&Passwords::standard(), typed)
    }

    fn check(&self, password: &Password, stored: Option<&str>, _: &Peppers) -> PasswordCheck {
        if self.plant == Plant::EarlyReturn && stored.is_none() {
            return PasswordCheck::Mismatch;
        }
        self.hashes.fetch_add(1, Ordering::SeqCst);
        let hash = std::hint::black_box(small(password.expose()));
        if stored == Some(hash.as_str()) {
            PasswordCheck::Match { outdated: false }
        } else {
            PasswordCheck::Mismatch
        }
    }

    fn refusal(&self, _: &Password, _: Option<&Username>) -> Option<&'static str> {
        None
    }

    fn rehash(&self, _: &Password, _: &Peppers, _: &dyn Entropy) -> Option<String> {
        None
    }
}

/// The kinds of attempts whose responses must be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unknown,
    Wrong,
    /// The right password of a disabled user.
    Disabled,
    /// An unknown name whose attempts are used up.
    UnknownLocked,
    /// A known name whose attempts are used up.
    WrongLocked,
}

pub(crate) struct Stage {
    _database: Embedded,
    bench: Bench,
    login: Login<Leaky>,
    clock: TestClock,
    plant: Plant,
    hashes: Arc<AtomicUsize>,
}

impl Stage {
    /// With `counted`, the requests pass through the recorder, which takes time.
    pub(crate) async fn set(plant: Plant, counted: bool, real: bool) -> Self {
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
        let context = Context {
            clock: Box::new(clock.clone()),
            entropy: Box::new(OsEntropy),
            journal: Box::new(Recorded::default()),
        };
        let store = Leaky { store, plant, unknown: AtomicBool::default(), counted: AtomicBool::default() };
        let hashes = Arc::<AtomicUsize>::default();
        let small = Small { plant, hashes: Arc::clone(&hashes) };
        let credentials: Box<dyn PasswordHasher> =
            if real { Box::new(Passwords::standard()) } else { Box::new(small) };
        let config = config::login(lookup).unwrap();
        let login = Login::new(config, &keys, store, credentials, context).unwrap();
        let stage = Self { _database: database, bench, login, clock, plant, hashes };
        for kind in [Kind::UnknownLocked, Kind::WrongLocked] {
            for _ in 0..6 {
                stage.attempt(kind).await;
            }
        }
        stage
    }

    /// The request of an attempt.
    pub(crate) fn request(&self, kind: Kind) -> Request {
        let (name, password) = match kind {
            Kind::Unknown | Kind::UnknownLocked => ("unknown", PASSWORD),
            Kind::Wrong | Kind::WrongLocked => ("alice", "not the right password"),
            Kind::Disabled => ("gone", PASSWORD),
        };
        let address = match kind {
            Kind::UnknownLocked | Kind::WrongLocked => "203.0.113.1",
            // Later than any window, so that all slots are free.
            Kind::Unknown | Kind::Wrong | Kind::Disabled => {
                self.clock.advance(Duration::from_secs(1_000));
                "192.0.2.1"
            }
        };
        let body = json!({ "username": name, "password": password }).to_string();
        from(address, post("/login", "application/json", body))
    }

    /// The response of the function.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        daypass_login::handle(&self.login, request).await
    }

    async fn attempt(&self, kind: Kind) -> Answer {
        let mut response = self.answer(self.request(kind)).await;
        if self.plant == Plant::OtherHeader && matches!(kind, Kind::Unknown | Kind::UnknownLocked) {
            response.headers_mut().insert("x-cache", "miss".parse().unwrap());
        }
        Answer::from(response)
    }
}

pub(crate) const PAIRS: [[Kind; 2]; 3] =
    [[Kind::Unknown, Kind::Wrong], [Kind::Unknown, Kind::Disabled], [Kind::UnknownLocked, Kind::WrongLocked]];

/// The observable parts of an attempt: response, requests to DynamoDB, number of hashes.
type Seen = (Answer, Vec<String>, usize);

async fn seen(plant: Plant) -> Vec<(Kind, Seen)> {
    let stage = Stage::set(plant, true, false).await;
    let mut all = Vec::new();
    for kind in [Kind::Unknown, Kind::Wrong, Kind::Disabled, Kind::UnknownLocked, Kind::WrongLocked] {
        if matches!(kind, Kind::UnknownLocked) {
            // The clock has advanced.
            for kind in [Kind::UnknownLocked, Kind::WrongLocked] {
                for _ in 0..5 {
                    stage.attempt(kind).await;
                }
            }
        }
        let _ = stage.bench.recorder.take();
        let hashed = stage.hashes.load(Ordering::SeqCst);
        let answer = stage.attempt(kind).await;
        let hashes = stage.hashes.load(Ordering::SeqCst) - hashed;
        let mut requests: Vec<String> =
            stage.bench.recorder.take().into_iter().map(|exchange| exchange.operation).collect();
        requests.sort();
        all.push((kind, (answer, requests, hashes)));
    }
    all
}

/// The pairs of attempts that can be distinguished.
async fn told_apart(plant: Plant) -> Vec<[Kind; 2]> {
    let seen = seen(plant).await;
    let of = |kind| &seen.iter().find(|(other, _)| *other == kind).unwrap().1;
    PAIRS.into_iter().filter(|[one, other]| of(*one) != of(*other)).collect()
}

/// invariant: Responses for existing and unknown users have the same bytes, headers and requests.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_headers_and_requests_tell_nothing() {
    let seen = seen(Plant::Nothing).await;
    let outcomes: Vec<(u16, usize)> =
        seen.iter().map(|(_, (answer, _, hashes))| (answer.status, *hashes)).collect();
    assert_eq!(outcomes, [(401, 1), (401, 1), (401, 1), (429, 0), (429, 0)]);
    assert_eq!(told_apart(Plant::Nothing).await, Vec::<[Kind; 2]>::new());
    assert_eq!(told_apart(Plant::OtherHeader).await, PAIRS, "a header");
    let fewer = told_apart(Plant::OneRequestFewer).await;
    assert_eq!(fewer, [PAIRS[0], PAIRS[1]], "a request");
    assert_eq!(told_apart(Plant::EarlyReturn).await, [PAIRS[0], PAIRS[1]], "a hash");
}
