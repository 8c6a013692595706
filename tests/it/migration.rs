//! Users move at their first login: from a Cognito user pool, and through a migration endpoint.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use data_encoding::BASE64URL_NOPAD;
use daypass_core::ports::event::{Event, LoginFailure};
use daypass_core::ports::migration::MARKER;
use daypass_core::ports::store::{User, UserStatus};
use daypass_core::throttle::Exhausted;
use daypass_dynamodb::Addition;
use daypass_testkit::cognito::{self, CLIENT, Cognito, Fault, UserState};
use daypass_testkit::depth::amount;
use daypass_testkit::embedded::Embedded;
use daypass_tests::bench::{self, NOW};
use daypass_tests::service::{PASSWORD, Service};
use daypass_verifier::base::ids::UserId;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const HOME: &str = "192.0.2.1";

struct Moving {
    _db: Embedded,
    pool: Cognito,
    service: Service,
}

/// A stack that moves users from an empty pool.
async fn moving(settings: &[(&str, &str)]) -> Moving {
    with(settings, true).await
}

/// As [`moving`], with hashes as in production unless `quick`.
async fn with(settings: &[(&str, &str)], quick: bool) -> Moving {
    let (db, pool) = (Embedded::start(None).unwrap(), Cognito::start().await.unwrap());
    let from = format!("eu-west-1:{CLIENT}");
    let endpoint = ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", pool.url());
    let all = [settings, &[("DAYPASS_MIGRATE_COGNITO", from.as_str()), endpoint]].concat();
    let service = match quick {
        true => Service::quick(&db.url(), &all).await,
        false => Service::with(&db.url(), &all).await,
    };
    Moving { _db: db, pool, service }
}

fn sub(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

fn id(n: usize) -> UserId {
    UserId::parse(&format!("{}{}", UserId::PREFIX, sub(n).replace('-', ""))).unwrap()
}

fn password(n: usize) -> String {
    format!("old password {n}")
}

fn name(n: usize) -> String {
    format!("user{n}@example.com")
}

/// A user of a pool whose users sign in with their address.
fn old_user(n: usize, state: UserState) -> cognito::User {
    cognito::User { username: sub(n), sub: sub(n), email: name(n), password: password(n), state }
}

impl Moving {
    async fn mark(&self, name: &str, id: UserId, status: UserStatus) {
        let user = User { id, status, password_hash: MARKER.to_owned(), ..bench::user(name) };
        assert_eq!(self.service.bench.store.add_user(&user).await, Ok(Addition::Added));
        let _ = self.service.bench.recorder.take();
    }

    async fn stored(&self, name: &str) -> Option<User> {
        self.service.bench.store.user(&bench::username(name)).await.unwrap()
    }

    async fn login(&self, name: &str, password: &str) -> (u16, String) {
        self.service.login_from(HOME, name, password).await.outcome()
    }

    /// Causes of failed logins since the last call.
    fn causes(&self) -> Vec<LoginFailure> {
        let cause = |event: &Event| match event {
            Event::LoginFailed { cause, .. } => Some(*cause),
            _ => None,
        };
        self.service.journal.take().iter().filter_map(cause).collect()
    }
}

/// Logins at once. The time limits of requests are real, and many hashes at once would exceed them on a busy machine.
const AT_ONCE: usize = 4;

fn rejected() -> (u16, String) {
    (401, "invalid_grant".to_owned())
}

fn busy() -> (u16, String) {
    (503, "temporarily_unavailable".to_owned())
}

/// Half of the users are marked and half are unknown.
///
/// invariant: Users of a Cognito pool log in with their old passwords, and afterwards without Cognito.
#[tokio::test(flavor = "multi_thread")]
async fn users_log_in_with_their_old_passwords_and_then_without_cognito() {
    let Moving { _db, pool, service } = &moving(&[]).await;
    let users = amount("users", 60, 1000);
    for n in 0..users {
        pool.add(old_user(n, UserState::Confirmed));
        if n % 2 == 0 {
            let user = User { id: id(n), password_hash: MARKER.to_owned(), ..bench::user(&name(n)) };
            assert_eq!(service.bench.store.add_user(&user).await, Ok(Addition::Added));
        }
    }
    let login = async |n: usize, password: String| {
        let body = json!({ "username": name(n), "password": password });
        service.post("/login", &body).await.status
    };
    let all: Vec<usize> = (0..users).collect();
    for some in all.chunks(AT_ONCE) {
        let answers = join_all(some.iter().map(|n| login(*n, password(*n)))).await;
        assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    }
    assert_eq!(pool.requests(), users, "one request for each user");
    let moved = service.journal.take();
    let moved = |created| {
        let is = |event: &&Event| matches!(event, Event::LoginMigrated { created: c, .. } if *c == created);
        moved.iter().filter(is).count()
    };
    assert_eq!((moved(true), moved(false)), (users / 2, users - users / 2));

    pool.stop();
    for some in all.chunks(AT_ONCE) {
        let answers = join_all(some.iter().map(|n| login(*n, password(*n)))).await;
        assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    }
    assert_eq!(login(0, password(1)).await, 401);
    for n in 0..4 {
        let user = service.bench.store.user(&bench::username(&name(n))).await.unwrap().unwrap();
        assert!(user.id == id(n) && user.password_hash.starts_with("$argon2id$"), "{user:?}");
    }
}

/// A created user has the scope of the first client, whichever client the login names.
#[tokio::test(flavor = "multi_thread")]
async fn a_created_user_has_the_scope_of_the_first_client() {
    let clients = r#"[{"client_id":"web","scope":"orders:read"},{"client_id":"admin","scope":"admin:all"}]"#;
    let moving = moving(&[("DAYPASS_CLIENTS", clients)]).await;
    moving.pool.add(old_user(1, UserState::Confirmed));
    let body = json!({ "username": name(1), "password": password(1), "client_id": "admin" });
    let answer = moving.service.post("/login", &body).await;
    assert_eq!((answer.status, answer.text("scope").as_str()), (200, ""));
    assert_eq!(moving.stored(&name(1)).await.unwrap().scope.to_string(), "orders:read");
}

/// The same answers and requests as without a migration, and one request to Cognito. Only the marked and the unknown name cost
/// it.
///
/// invariant: During a migration, an unknown name, a marked user with a wrong password and a disabled marked user cost the same
/// requests and hashes and get the same response.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_wrong_and_disabled_cost_the_same() {
    let moving = moving(&[]).await;
    moving.pool.reveal_unknown_names();
    for n in [1, 2] {
        moving.pool.add(old_user(n, UserState::Confirmed));
    }
    moving.mark(&name(1), id(1), UserStatus::Enabled).await;
    moving.mark(&name(2), id(2), UserStatus::Disabled).await;
    let mut seen = Vec::new();
    for (name, password) in [("unknown@example.com", PASSWORD), (&name(1), "wrong"), (&name(2), &password(2))]
    {
        let hashes = moving.service.hashes.load(std::sync::atomic::Ordering::SeqCst);
        let before = moving.pool.requests();
        let answer = moving.service.post("/login", &json!({ "username": name, "password": password })).await;
        let mut requests: Vec<String> =
            moving.service.bench.recorder.take().into_iter().map(|exchange| exchange.operation).collect();
        requests.sort();
        let hashed = moving.service.hashes.load(std::sync::atomic::Ordering::SeqCst) - hashes;
        seen.push((answer, requests, hashed, moving.pool.requests() - before));
    }
    assert_eq!(seen[0].0.outcome(), rejected());
    assert_eq!((seen[0].2, seen[0].3), (1, 1), "one decoy, and one question");
    assert_eq!((&seen[1], &seen[2]), (&seen[0], &seen[0]));
    let causes = [LoginFailure::UnknownUser, LoginFailure::WrongPassword, LoginFailure::Disabled];
    assert_eq!(moving.causes(), causes);
    assert_eq!(moving.stored(&name(2)).await.unwrap().password_hash, MARKER, "still disabled and marked");
    assert_eq!(moving.stored("unknown@example.com").await, None);
}

/// Daypass rejects users whom Cognito does not accept with the password alone. The event has the cause.
///
/// invariant: A migration rejects users whom the old system asks for more than the password.
#[tokio::test(flavor = "multi_thread")]
async fn who_needs_more_than_a_password_is_rejected_with_a_cause() {
    use LoginFailure::{
        OldDenied, OldResetRequired, OldSecondFactor, OldTemporaryPassword, OldUnconfirmed, WrongPassword,
    };
    let moving = moving(&[]).await;
    let challenges = ["SMS_MFA", "SOFTWARE_TOKEN_MFA", "EMAIL_OTP", "SELECT_MFA_TYPE", "MFA_SETUP", "OTHER"];
    let cases = [
        (UserState::Unconfirmed, OldUnconfirmed),
        (UserState::ResetRequired, OldResetRequired),
        (UserState::Disabled, WrongPassword),
        (UserState::DeniedByTrigger, OldDenied),
        (UserState::Challenge("NEW_PASSWORD_REQUIRED"), OldTemporaryPassword),
    ];
    let cases = cases.into_iter().chain(challenges.map(|name| (UserState::Challenge(name), OldSecondFactor)));
    for (n, (state, cause)) in cases.enumerate() {
        moving.pool.add(old_user(n, state));
        moving.mark(&name(n), id(n), UserStatus::Enabled).await;
        assert_eq!(moving.login(&name(n), &password(n)).await, rejected(), "{state:?}");
        assert_eq!(moving.causes(), [cause], "{state:?}");
        assert_eq!(moving.stored(&name(n)).await.unwrap().password_hash, MARKER, "{state:?}");
    }
    // Cognito reports it before it checks the password, so the response is that of a wrong one.
    assert_eq!(moving.login(&name(0), "wrong").await, rejected());
}

/// An alias or another spelling must not open the account of someone else, or make a second one.
///
/// invariant: The `sub` of Cognito's id token is the id of the user that a migration logs in.
#[tokio::test(flavor = "multi_thread")]
async fn a_migrated_user_is_the_user_of_the_id_token() {
    let moving = moving(&[]).await;
    // Another person has this name in a pool that distinguishes case.
    moving.pool.add(old_user(1, UserState::Confirmed));
    moving.mark(&name(1), id(7), UserStatus::Enabled).await;
    assert_eq!(moving.login(&name(1), &password(1)).await, rejected());
    assert_eq!(moving.causes(), [LoginFailure::OtherOldUser]);

    let ada = cognito::User { username: "ada".to_owned(), ..old_user(2, UserState::Confirmed) };
    moving.pool.add(ada);
    assert_eq!(moving.login(&name(2), &password(2)).await, rejected(), "the address is an alias");
    assert_eq!(moving.causes(), [LoginFailure::OtherOldUser]);
    assert_eq!(moving.stored(&name(2)).await, None);
    assert_eq!(moving.login("ada", &password(2)).await.0, 200);
    let ada = moving.stored("ada").await.unwrap();
    assert_eq!(ada.id, id(2));
    let email = ada.email.unwrap();
    assert_eq!((email.address.as_str(), email.verified), (name(2).as_str(), true));

    // The name goes to Cognito as typed, and to the table as normalised.
    moving.pool.add(cognito::User { username: "Bob".to_owned(), ..old_user(3, UserState::Confirmed) });
    assert_eq!(moving.login("Bob", &password(3)).await.0, 200);
    assert_eq!(moving.login("bob", &password(3)).await.0, 200);
    assert_eq!(moving.stored("bob").await.unwrap().id, id(3));
}

/// invariant: A failure of the old system is 503, is in the log and takes no slot of a rate limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_cognito_is_503_and_locks_no_user() {
    let moving = moving(&[]).await;
    moving.pool.add(old_user(1, UserState::Confirmed));
    moving.mark(&name(1), id(1), UserStatus::Enabled).await;
    let error = |status, code| Fault::Error(status, code, "text of the service");
    let tokens = |body: &str| Fault::Raw(200, body.as_bytes().to_vec());
    let faults = [
        error(400, "TooManyRequestsException"),
        error(400, "LimitExceededException"),
        error(500, "InternalErrorException"),
        error(400, "ResourceNotFoundException"),
        error(400, "InvalidParameterException"),
        error(403, "ForbiddenException"),
        Fault::Error(
            400,
            "NotAuthorizedException",
            "Client 1h is configured with secret but SECRET_HASH was not received",
        ),
        Fault::Raw(503, b"<html>".to_vec()),
        Fault::Raw(302, Vec::new()),
        Fault::Raw(200, vec![b' '; 70_000]),
        tokens("{}"),
        tokens(r#"{"AuthenticationResult":{"AccessToken":"a"}}"#),
        tokens(r#"{"AuthenticationResult":{"IdToken":"a.b.c"}}"#),
        tokens(r#"{"AuthenticationResult":{"IdToken":"e30.e30.c2ln"}}"#),
    ];
    // More attempts than any limit allows: that of an address is 60.
    for fault in faults.iter().cycle().take(70) {
        moving.pool.set_fault(Some(fault.clone()));
        let answer = moving.service.login_from(HOME, &name(1), &password(1)).await;
        assert_eq!(answer.outcome(), busy(), "{fault:?}");
        assert!(answer.header("retry-after").is_some());
        let lines = moving.service.journal.take_lines();
        assert!(lines.len() == 1 && lines[0].contains(r#""during":"migrate""#), "{lines:?}");
        assert!(!lines[0].contains("text of the service"), "{lines:?}");
    }
    moving.pool.set_fault(Some(Fault::Hang));
    let started = Instant::now();
    assert_eq!(moving.login("unknown", PASSWORD).await, busy());
    assert!(started.elapsed() >= Duration::from_secs(2), "the deadline");
    moving.pool.set_fault(None);
    assert_eq!(moving.login(&name(1), &password(1)).await.0, 200);
    moving.pool.stop();
    assert_eq!(moving.login("unknown", PASSWORD).await, busy());
    assert_eq!(moving.login(&name(1), &password(1)).await.0, 200, "moved users need no Cognito");
    assert_eq!(moving.login(&name(1), "wrong").await, rejected());
}

/// Anyone can type a name that Cognito rejects as malformed. Such an attempt is no failure, and not free.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cognito_rejects_as_malformed_is_401_and_counts() {
    let moving = moving(&[]).await;
    let long = "a".repeat(129);
    for _ in 0..5 {
        assert_eq!(moving.login(&long, PASSWORD).await, rejected());
    }
    assert_eq!(moving.causes(), [LoginFailure::UnknownUser; 5]);
    assert_eq!(moving.login(&long, PASSWORD).await.0, 429);
    assert_eq!(moving.pool.requests(), 5);
}

/// Cognito locks a name for seconds. A user with the right password must not be told that it is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_lockout_of_cognito_is_429_and_counts() {
    let moving = moving(&[("DAYPASS_LOGIN_ATTEMPTS", "10")]).await;
    moving.pool.add(old_user(1, UserState::Confirmed));
    moving.mark(&name(1), id(1), UserStatus::Enabled).await;
    for _ in 0..5 {
        assert_eq!(moving.login(&name(1), "wrong").await, rejected());
    }
    let _ = moving.service.journal.take();
    let answer = moving.service.login_from(HOME, &name(1), &password(1)).await;
    assert_eq!(answer.outcome(), (429, "slow_down".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("60"));
    let events = moving.service.journal.take();
    assert!(
        matches!(&events[..], [Event::LoginThrottled { limit: Exhausted::OldSystem, retry_after: 60, .. }]),
        "{events:?}"
    );
    for _ in 6..10 {
        let _ = moving.login(&name(1), "wrong").await;
    }
    let asked = moving.pool.requests();
    assert_eq!(moving.login(&name(1), &password(1)).await.0, 429, "the limit of Daypass");
    assert_eq!(moving.pool.requests(), asked);
}

/// Two first logins at once both succeed, and a user whom an operator gave a new password needs no Cognito.
#[tokio::test(flavor = "multi_thread")]
async fn first_logins_at_once_make_one_user() {
    let moving = with(&[], false).await;
    for n in [1, 2] {
        moving.pool.add(old_user(n, UserState::Confirmed));
    }
    moving.mark(&name(2), id(2), UserStatus::Enabled).await;
    for n in [1, 2] {
        let (name, password) = (name(n), password(n));
        let logins = join_all((0..4).map(|_| moving.login(&name, &password))).await;
        let all_in = logins.iter().all(|(status, _)| *status == 200);
        assert!(all_in, "{logins:?} {:?}", moving.service.journal.take_lines());
    }
    let created = |event: &&Event| matches!(event, Event::LoginMigrated { created: true, .. });
    assert_eq!(moving.service.journal.take().iter().filter(created).count(), 1);

    moving.mark(&name(3), id(3), UserStatus::Enabled).await;
    let hash = daypass_tests::service::quick_hash(PASSWORD);
    moving.service.bench.store.set_password(&bench::username(&name(3)), &hash, NOW).await.unwrap().unwrap();
    let asked = moving.pool.requests();
    assert_eq!(moving.login(&name(3), PASSWORD).await.0, 200);
    assert_eq!(moving.login(&name(3), &password(3)).await, rejected());
    assert_eq!(moving.pool.requests(), asked);
}

/// Without the setting, a marked user has no password.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_migration_a_marked_user_cannot_log_in() {
    let db = Embedded::start(None).unwrap();
    let service = Service::with(&db.url(), &[]).await;
    service.user_with_hash("alice", MARKER).await;
    for password in [PASSWORD, MARKER] {
        let body = json!({ "username": "alice", "password": password });
        assert_eq!(service.post("/login", &body).await.outcome(), rejected());
    }
    let events = service.journal.take();
    let wrong =
        |event: &Event| matches!(event, Event::LoginFailed { cause: LoginFailure::WrongPassword, .. });
    assert!(events.len() == 2 && events.iter().all(wrong), "{events:?}");
}

/// The programs of the guide verify the signature: `suites::interop::migration`.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_decides_and_its_failures_are_503() {
    let (db, endpoint) = (Embedded::start(None).unwrap(), Cognito::start().await.unwrap());
    let service = Service::quick(&db.url(), &[("DAYPASS_MIGRATE_URL", endpoint.url())]).await;
    service.user_with_hash("alice", MARKER).await;
    let answers = |status: u16, body: &str| Some(Fault::Raw(status, body.as_bytes().to_vec()));
    let login = async |name: &str| service.login_from(HOME, name, "Old Password").await.outcome();

    endpoint.set_fault(answers(200, r#"{"ok":false}"#));
    assert_eq!((login("Alice").await, login("bob").await), (rejected(), rejected()));
    let padded = format!("{{\"ok\":true{}}}", " ".repeat(4096));
    for (status, body) in [
        (200, ""),
        (200, "[]"),
        (200, "{}"),
        (200, r#"{"ok":"true"}"#),
        (200, r#"{"ok":1}"#),
        (200, r#"{"ok":true,"ok":true}"#),
        (200, r#"{"ok":true,"unknown":1}"#),
        (200, r#"{"ok":false,"email":"bob@example.com"}"#),
        (200, r#"{"ok":true,"email":"bob"}"#),
        (200, r#"{"ok":true,"email":null}"#),
        (200, r#"{"ok":true,"email_verified":true}"#),
        (200, r#"{"ok":true,"email":"bob@example.com","email_verified":"true"}"#),
        (200, r#"{"ok":true,"claims":[]}"#),
        (200, r#"{"ok":true,"claims":{"sub":"other"}}"#),
        (200, padded.as_str()),
        (201, r#"{"ok":true}"#),
        (302, r#"{"ok":true}"#),
        (401, r#"{"ok":false}"#),
        (500, r#"{"ok":true}"#),
    ] {
        endpoint.set_fault(answers(status, body));
        assert_eq!(login("alice").await, busy(), "{status} {}", &body[..body.len().min(40)]);
    }
    endpoint.set_fault(answers(200, r#"{"ok":true}"#));
    assert_eq!((login("Alice").await.0, login("bob").await.0), (200, 200));
    let request = String::from_utf8(endpoint.last_body()).unwrap();
    let part = |n: usize| -> Value {
        let part = request.split('.').nth(n).unwrap();
        serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
    };
    assert_eq!(part(0)["typ"], "daypass-migration+jwt");
    assert_eq!(
        part(1),
        json!({
            "iss": "https://id.example.com", "aud": endpoint.url(), "iat": NOW.seconds(), "exp": NOW.seconds() + 60,
            "client_id": "web", "username": "bob", "password": "Old Password",
        })
    );
    let attributes =
        r#"{"ok":true,"email":"Carol@Example.com","email_verified":true,"claims":{"tenant":"acme"}}"#;
    endpoint.set_fault(answers(200, attributes));
    assert_eq!((login("carol").await.0, login("carol2").await.0), (200, 200));
    let stored = async |name: &str| service.bench.store.user(&bench::username(name)).await.unwrap().unwrap();
    let carol = stored("carol").await;
    let email = carol.email.unwrap();
    assert_eq!((email.address.as_str(), email.verified), ("carol@example.com", true));
    assert_eq!(carol.claims.to_string(), r#"{"tenant":"acme"}"#);
    assert_eq!(stored("carol2").await.email, None, "the address is taken");
    let taken = service.journal.take().into_iter().filter_map(|event| match event {
        Event::LoginMigrated { email_taken, .. } => Some(email_taken),
        _ => None,
    });
    assert_eq!(taken.collect::<Vec<_>>(), [false, false, false, true]);
    // Name, scope and claims do not fit into a session together.
    let large = format!(r#"{{"ok":true,"claims":{{"a":"{}"}}}}"#, "x".repeat(504));
    endpoint.set_fault(answers(200, &large));
    assert_eq!(login(&"d".repeat(125)).await, busy());
    assert_eq!(login(&"d".repeat(60)).await.0, 200);
    let asked = endpoint.requests();
    endpoint.stop();
    assert_eq!((login("alice").await.0, login("BOB").await.0), (200, 200));
    assert_eq!(endpoint.requests(), asked);
}
