//! Separate tables for one test, and values to fill them.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::{AsyncSleep, BehaviorVersion, Config, Credentials, Region, Sleep};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::account::authentication::{Authentication, Method, Methods};
use daypass_core::account::claims::Claims;
use daypass_core::account::{AUTHENTICATION_BYTES, MAX_SESSION_BYTES};
use daypass_core::config::Tables;
use daypass_core::factor::Factors;
use daypass_core::flow::login::MAX_DEVICE_BYTES;
use daypass_core::ports::store::{NewSession, Rotation, Store, StoreError, User, UserStatus};
use daypass_core::session::{NetworkDigest, Presented, RotationRequest, Session};
use daypass_core::throttle::{Counter, Limit};
use daypass_core::token::refresh::RefreshToken;
use daypass_dynamodb::{
    Addition, DynamoDb, LOCAL_ACCESS_KEY_ID, LOCAL_REGION, LOCAL_SECRET_ACCESS_KEY, TableNames,
};
use daypass_testkit::patience::Patience;
use daypass_testkit::recorder::Recorder;
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The time of the tests: far in the future, so that TTL of a DynamoDB with its own clock removes no item.
pub const NOW: Timestamp = Timestamp::from_seconds(4_000_000_000);
/// The grace period, unless a test sets another.
pub const GRACE: Duration = Duration::from_secs(30);
/// The lifetime of a session.
pub const LIFE: Duration = Duration::from_secs(86_400);

/// A time after [`NOW`].
#[must_use]
pub fn after(milliseconds: u64) -> Timestamp {
    NOW + Duration::from_millis(milliseconds)
}

/// Bytes that differ in each call.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    std::array::from_fn(|_| RandomState::new().hash_one(()).to_be_bytes()[0])
}

/// An attempt id that differs in each call.
#[must_use]
pub fn attempt_id() -> AttemptId {
    AttemptId::from_bytes(&random::<9>()).unwrap()
}

/// The clock of the recorder, for the time limits of the SDK.
#[derive(Debug)]
struct SdkClock(Patience);

impl AsyncSleep for SdkClock {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(self.0.clone().sleep(duration))
    }
}

/// The SDK's own client for the DynamoDB at `url`. It makes four attempts, as the store does.
#[must_use]
pub fn raw_client(url: &str) -> Client {
    let credentials =
        Credentials::new(LOCAL_ACCESS_KEY_ID, LOCAL_SECRET_ACCESS_KEY, None, None, "daypass_tests::bench");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(LOCAL_REGION))
        .credentials_provider(credentials)
        .endpoint_url(url)
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        // Its faults must not use up the retries of other tests.
        .retry_partition(RetryPartition::new(url.to_owned()));
    Client::from_conf(config.build())
}

/// A store over separate tables, with a recorder between store and DynamoDB, and a client that bypasses both.
pub struct Bench {
    /// The store under test. Its requests pass through the recorder.
    pub store: DynamoDb,
    /// The recorder of the store's requests.
    pub recorder: Recorder,
    /// A client that is connected directly to DynamoDB.
    pub raw: Client,
    /// Names of the tables.
    pub tables: Tables,
    /// Name of the outbox.
    pub outbox: String,
}

impl Bench {
    /// Creates tables on the DynamoDB at `url`.
    pub async fn new(url: &str) -> Self {
        let suffix = u64::from_be_bytes(random());
        let name = |role: &str| format!("{role}-{suffix:016x}");
        let tables = Tables { users: name("users"), sessions: name("sessions"), attempts: name("attempts") };
        let outbox = name("outbox");
        let names = TableNames::from(&tables).with_outbox(&outbox);
        let direct = DynamoDb::local(url, names.clone());
        direct.create_tables().await.unwrap();
        let recorder = Recorder::start(url).await;
        let store = DynamoDb::local_by(recorder.url(), names, SdkClock(recorder.patience()));
        Self { store, recorder, raw: raw_client(url), tables, outbox }
    }

    /// A store over the same tables, with another recorder.
    pub async fn again(&self, url: &str) -> Self {
        let recorder = Recorder::start(url).await;
        let names = TableNames::from(&self.tables).with_outbox(&self.outbox);
        let store = DynamoDb::local_by(recorder.url(), names, SdkClock(recorder.patience()));
        let (raw, tables, outbox) = (self.raw.clone(), self.tables.clone(), self.outbox.clone());
        Self { store, recorder, raw, tables, outbox }
    }

    /// Adds a user of this name.
    pub async fn user(&self, name: &str) -> User {
        let user = user(name);
        assert_eq!(self.store.add_user(&user).await, Ok(Addition::Added));
        user
    }

    /// Opens this session, as a login does.
    pub async fn open(&self, user: &User, session: &Session) -> Result<bool, StoreError> {
        let new =
            NewSession { session, user, rehash: None, known: None, factor: None, settle: Some("settled") };
        self.store.open_session(&new).await
    }

    /// Adds a user with one session.
    pub async fn logged_in(&self, name: &str) -> (User, Session) {
        let user = self.user(name).await;
        let session = session(&user);
        assert_eq!(self.open(&user, &session).await, Ok(true));
        let _ = self.recorder.take();
        (user, session)
    }

    /// Rotates with [`GRACE`] and without an idle limit.
    pub async fn rotate(&self, presented: &Presented, now: Timestamp) -> Result<Rotation, StoreError> {
        self.rotate_with(presented, now, GRACE, None).await
    }

    /// Rotates with this grace period and idle limit.
    pub async fn rotate_with(
        &self,
        presented: &Presented,
        now: Timestamp,
        grace: Duration,
        idle: Option<Duration>,
    ) -> Result<Rotation, StoreError> {
        let registered = registered();
        self.store.rotate(&RotationRequest { presented, registered: &registered, now, grace, idle }).await
    }

    /// The session as it is stored, or `None` if there is none.
    pub async fn stored(&self, session: &Session) -> Option<Session> {
        let sessions = self.store.sessions(session.user).await.unwrap();
        sessions.into_iter().find(|stored| stored.session == session.session)
    }

    /// The stored item of a session.
    pub async fn item(&self, session: &Session) -> Option<HashMap<String, AttributeValue>> {
        let request = self.raw.get_item().table_name(&self.tables.sessions).consistent_read(true);
        let request = request
            .key("user", AttributeValue::S(session.user.to_string()))
            .key("session", AttributeValue::S(session.session.to_string()));
        request.send().await.unwrap().item
    }

    /// The number of busy slots of a counter and the expiry of its item, or `None` if there is no item.
    pub async fn attempts(&self, key: &str) -> Option<(usize, String)> {
        let request = self.raw.get_item().table_name(&self.tables.attempts).consistent_read(true);
        let item = request.key("key", AttributeValue::S(key.to_owned())).send().await.unwrap().item?;
        let slot = |name: &str| name.strip_prefix('s').is_some_and(|number| number.parse::<u32>().is_ok());
        let taken = item.keys().filter(|name| slot(name)).count();
        Some((taken, item.get("expires_at")?.as_n().ok()?.clone()))
    }
}

/// A user with a new id.
#[must_use]
pub fn user(name: &str) -> User {
    User {
        username: username(name),
        id: UserId::from_bytes(random()),
        password_hash: "$argon2id$of-the-first-password".to_owned(),
        password_version: 1,
        status: UserStatus::Enabled,
        scope: scope("orders:read orders:write"),
        email: None,
        claims: Claims::default(),
        factors: Factors::default(),
        created_at: after(1),
        updated_at: after(20),
    }
}

/// A session of this user with a new id, as a login at [`NOW`] creates it.
#[must_use]
pub fn session(user: &User) -> Session {
    Session {
        user: user.id,
        session: SessionId::from_bytes(random()),
        generation: 0,
        rotated_at: None,
        attempt: None,
        named: false,
        network: None,
        created_at: after(123),
        expires_at: NOW + LIFE,
        absolute_end: NOW + LIFE,
        client: client("web"),
        scope: user.scope.clone(),
        claims: user.claims.clone(),
        account: true,
        for_enrolment: false,
        authentication: Authentication::new(after(123), Methods::PASSWORD),
        key: None,
        ended: None,
        device: Some("curl/8.5.0".to_owned()),
    }
}

/// The clients of all sessions in these tests.
#[must_use]
pub fn registered() -> [ClientId; 2] {
    [client("web"), client(&"c".repeat(ClientId::MAX_BYTES))]
}

/// The largest possible session of a user with this name, after a rotation: with the largest scope, and claims and a device hint
/// in the rest.
#[must_use]
pub fn largest_session(user: &User) -> Session {
    // As many words as a scope may have, in the longest text.
    let mut words: Vec<String> = (1..Scope::MAX_WORDS).map(|n| format!("{n:07}")).collect();
    words.push("x".repeat(Scope::MAX_BYTES - words.join(" ").len() - 1));
    let rest = MAX_SESSION_BYTES - AUTHENTICATION_BYTES - Scope::MAX_BYTES - user.username.as_str().len();
    let device = rest.min(MAX_DEVICE_BYTES);
    Session {
        client: client(&"c".repeat(ClientId::MAX_BYTES)),
        scope: scope(&words.join(" ")),
        claims: claims_of(rest - device),
        account: false,
        authentication: Authentication::new(after(123), Methods::of(&Method::ALL)),
        device: Some("d".repeat(device)),
        ..session(user)
    }
}

/// Claims of this many bytes; none for fewer than 8.
#[must_use]
pub fn claims_of(bytes: usize) -> Claims {
    let text = bytes.checked_sub(8).map(|rest| format!("{{\"a\":\"{}\"}}", "x".repeat(rest)));
    text.map_or_else(Claims::default, |text| Claims::parse(&text).unwrap())
}

/// A new attempt that presents this generation of a session's token.
#[must_use]
pub fn present(session: &Session, generation: u32) -> Presented {
    Presented {
        token: RefreshToken { generation, ..session.token() },
        client: None,
        scope: None,
        attempt: AttemptId::from_bytes(&random::<9>()).unwrap(),
        named: false,
        network: NetworkDigest::from_bytes(&[7; 8]).unwrap(),
        key: None,
    }
}

/// The counter of this name at [`NOW`], with a window of 15 minutes.
#[must_use]
pub fn counter(key: &str, attempts: u32) -> Counter {
    let limit = Limit { attempts, window: Duration::from_secs(900) };
    Counter { key: key.to_owned(), limit, now: NOW }
}

/// A normalised user name.
#[must_use]
pub fn username(name: &str) -> Username {
    Username::from_normalised(name.to_owned()).unwrap()
}

/// A parsed client id.
#[must_use]
pub fn client(id: &str) -> ClientId {
    ClientId::parse(id).unwrap()
}

/// A parsed scope.
#[must_use]
pub fn scope(words: &str) -> Scope {
    Scope::parse(words).unwrap()
}

/// The session after a rotation. Panics if the token was not rotated.
#[expect(clippy::panic, reason = "fails as the test does")]
pub fn rotated(rotation: Result<Rotation, StoreError>) -> Session {
    match rotation {
        Ok(Rotation::Rotated(session)) => session,
        other => panic!("not rotated: {other:?}"),
    }
}
