//! The binary as Lambda runs it, against a Runtime API and a Secrets Manager that is down at first.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use daypass_core::account::authentication::{Authentication, Methods};
use daypass_core::account::claims::Claims;
use daypass_core::config::Tables;
use daypass_core::factor::Factors;
use daypass_core::keys::{Document, RefreshKeys};
use daypass_core::ports::store::{NewSession, Store, User, UserStatus};
use daypass_core::session::Session;
use daypass_dynamodb::{Addition, DynamoDb, TableNames};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_testkit::embedded::Embedded;
use daypass_testkit::runtime_api::Function;
use daypass_testkit::secrets_manager::{ARN, SecretsManager};
use daypass_testkit::{Answer, event};
use daypass_verifier::base::ids::{ClientId, SessionId, UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Clock;
use daypass_verifier::jose::jwk::Algorithm;
use serde_json::{Value, json};
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::Command;

const PAGE: &str = "https://app.example.com";
const CLIENTS: &str =
    r#"[{"client_id":"web"},{"client_id":"app","transport":"cookie","origins":["https://app.example.com"]}]"#;

fn key_set() -> Document {
    Document::generate(Algorithm::Es256, &OsEntropy, SystemClock.now()).unwrap()
}

/// The function, and the Secrets Manager that it reads its keys from.
struct Refresh {
    function: Function,
    secrets: SecretsManager,
}

impl Refresh {
    /// Starts the function before a Secrets Manager that throttles it.
    async fn start() -> Self {
        let secrets = SecretsManager::start(key_set().to_json().unwrap()).await.unwrap();
        Self::start_before(secrets).await
    }

    async fn start_before(secrets: SecretsManager) -> Self {
        Self::start_with(secrets, &[]).await
    }

    async fn start_with(secrets: SecretsManager, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refresh"));
        command.env_clear().envs(secrets.variables()).envs([
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            // Nothing listens there: no request here reaches the store.
            ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9"),
            ("DAYPASS_ISSUER", "https://id.example.com"),
            ("DAYPASS_AUDIENCE", "https://api.example.com"),
            ("DAYPASS_CLIENTS", CLIENTS),
            ("DAYPASS_SESSIONS_TABLE", "sessions"),
            ("DAYPASS_ATTEMPTS_TABLE", "attempts"),
            ("DAYPASS_KEYS_MAX_AGE_SECONDS", "5"),
        ]);
        command.envs(settings.iter().copied());
        let function = Function::start("refresh", command).await.unwrap();
        Self { function, secrets }
    }

    /// Waits for the end of the process; returns its status and its log. The Secrets Manager stays until then.
    async fn ended(self) -> (ExitStatus, Vec<Value>) {
        let Self { function, secrets: _secrets } = self;
        function.ended().await
    }

    /// Refreshes with a forged token, from a page.
    async fn refresh(&mut self) -> Answer {
        self.send(&json!({})).await
    }

    /// As [`Refresh::refresh`], with other members of the event.
    async fn send(&mut self, changes: &Value) -> Answer {
        self.send_with("daypass_rt_forged", changes).await
    }

    /// As [`Refresh::send`], with this token.
    async fn send_with(&mut self, token: &str, changes: &Value) -> Answer {
        let body = json!({ "grant_type": "refresh_token", "refresh_token": token });
        let mut event = event::http("POST", "/refresh", "application/json", &body.to_string());
        event["headers"]["origin"] = json!(PAGE);
        event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Answer::of_function(&self.function.invoke(&event).await.unwrap())
    }

    /// The next event of the log that is of one of these kinds, while requests come.
    async fn logged(&mut self, kinds: &[&str]) -> Value {
        loop {
            tokio::select! {
                event = self.function.event() => {
                    let event = event.unwrap();
                    if kinds.contains(&event["event"].as_str().unwrap()) {
                        return event;
                    }
                }
                () = tokio::time::sleep(Duration::from_millis(50)) => {
                    self.refresh().await;
                }
            }
        }
    }
}

/// Throttled at a cold start: 503 until the secret comes, and then the function works without a new start.
#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_secrets_manager_is_503_for_as_long_as_it_lasts() {
    let mut refresh = Refresh::start().await;
    for _ in 0..2 {
        let busy = refresh.refresh().await;
        assert_eq!(busy.outcome(), (503, "temporarily_unavailable".to_owned()), "{busy:?}");
        assert!(busy.header("retry-after").is_some(), "{busy:?}");
    }
    refresh.secrets.answer();
    assert_eq!(refresh.refresh().await.outcome(), (400, "invalid_grant".to_owned()));
}

/// Every response has CORS headers, also one that the flow does not give. Otherwise the page sees a network error, and no
/// `Retry-After`.
///
/// invariant: A page can read the error of a function whose keys are missing.
#[tokio::test(flavor = "multi_thread")]
async fn pages_may_read_that_the_keys_are_missing() {
    let mut refresh = Refresh::start().await;
    let check = |answer: &Answer, status: u16| {
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{answer:?}");
        let vary = answer.header("vary").unwrap_or_default();
        assert!(vary == "Origin" || vary.starts_with("Origin, "), "{answer:?}");
    };
    let mut preflight = event::http("OPTIONS", "/refresh", "", "");
    preflight["headers"] = json!({ "origin": PAGE, "access-control-request-method": "POST" });
    let not_base64 = json!({ "isBase64Encoded": true, "body": "!" });
    let stranger =
        json!({ "headers": { "content-type": "application/json", "origin": "https://evil.example" } });
    for ready in [false, true] {
        if ready {
            refresh.secrets.answer();
        }
        let answer = refresh.refresh().await;
        check(&answer, if ready { 400 } else { 503 });
        assert_eq!(answer.header("retry-after"), (!ready).then_some("2"));
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some("date, dpop-nonce, retry-after, www-authenticate")
        );
        let answer = refresh.send(&preflight).await;
        check(&answer, 204);
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        check(&refresh.send(&not_base64).await, 400);
        let answer = refresh.send(&stranger).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{answer:?}");
    }
}

/// The keys come late, at a request: it has no time left for a store that may be slow too. The next one has. (Unit test of
/// the limit: `ready::tests::a_request_has_its_share_for_the_first_build`.)
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waited_for_the_keys_is_503_and_the_next_is_served() {
    let mut refresh = Refresh::start().await;
    assert_eq!(refresh.refresh().await.status, 503);
    refresh.secrets.set_delay(Duration::from_millis(700));
    refresh.secrets.answer();
    assert_eq!(refresh.refresh().await.status, 503, "it had waited for the keys");
    // The keys that the request before has waited for come meanwhile.
    loop {
        let answer = refresh.refresh().await;
        if answer.status != 503 {
            assert_eq!(answer.outcome(), (400, "invalid_grant".to_owned()));
            break;
        }
    }
}

/// A warm function takes over keys that were rotated, and goes on with the keys it has while Secrets Manager is down. (Unit
/// tests with a clock of their own: `ready::tests` of daypass-lambda.)
#[tokio::test(flavor = "multi_thread")]
async fn a_warm_function_takes_over_rotated_keys() {
    let secrets = SecretsManager::start(key_set().to_json().unwrap()).await.unwrap();
    secrets.answer();
    let mut refresh = Refresh::start_before(secrets).await;
    let kinds = ["keys.loaded", "failure"];
    let before = refresh.logged(&kinds).await;
    assert_eq!((&before["event"], &before["section"]), (&json!("keys.loaded"), &json!("signing")));

    let rotated = key_set();
    refresh.secrets.set_secret(rotated.to_json().unwrap());
    let after = loop {
        let event = refresh.logged(&kinds).await;
        if event["section"] == "signing" && event["kid"] != before["kid"] {
            break event;
        }
    };
    assert_eq!(after["kid"], json!(rotated.summary()[0].kid), "{after}");

    refresh.secrets.fail("ThrottlingException");
    let failure = refresh.logged(&["failure"]).await;
    assert_eq!(failure["during"], "renew_keys", "{failure}");
    let answer = refresh.refresh().await;
    assert_eq!(answer.status, 400, "{answer:?}");
}

/// Keys are replaced at once while Secrets Manager is down: a token of the new key waits, and loses no session.
///
/// invariant: A token of a key that a process could not fetch is 503, and works once the key is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_key_that_is_not_there_yet_is_503() {
    let secrets = SecretsManager::start(key_set().to_json().unwrap()).await.unwrap();
    secrets.answer();
    let db = Embedded::start(None).unwrap();
    let mut refresh = Refresh::start_with(secrets, &[("AWS_ENDPOINT_URL_DYNAMODB", &db.url())]).await;
    let replaced = key_set();
    let token = open_session(&db.url()).await.token().mint(&RefreshKeys::from_document(&replaced).unwrap());

    let early = refresh.send_with(&token, &json!({})).await;
    assert_eq!(early.outcome(), (400, "invalid_grant".to_owned()), "the keys are not overdue");
    refresh.secrets.set_secret(replaced.to_json().unwrap());
    refresh.secrets.fail("ThrottlingException");
    assert_eq!(refresh.logged(&["failure"]).await["during"], "renew_keys");
    let busy = refresh.send_with(&token, &json!({})).await;
    assert_eq!(busy.outcome(), (503, "temporarily_unavailable".to_owned()));
    assert_eq!(busy.header("retry-after"), Some("2"));
    let failure = refresh.logged(&["failure"]).await;
    assert_eq!(failure["during"], "renew_keys");
    assert!(failure["detail"].as_str().unwrap().contains("a key that is not in the key set"), "{failure}");
    assert_eq!(refresh.refresh().await.status, 400, "a malformed token");

    refresh.secrets.answer();
    loop {
        let answer = refresh.send_with(&token, &json!({})).await;
        if answer.status != 503 {
            assert_eq!(answer.status, 200, "{answer:?}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Opens a session of a new user on the DynamoDB at `url`, as a login does.
async fn open_session(url: &str) -> Session {
    let names = ["users", "sessions", "attempts"].map(str::to_owned);
    let [users, sessions, attempts] = names;
    let store = DynamoDb::local(url, TableNames::from(&Tables { users, sessions, attempts }));
    store.create_tables().await.unwrap();
    let now = SystemClock.now();
    let user = User {
        username: Username::from_normalised("alice".to_owned()).unwrap(),
        id: UserId::generate(&OsEntropy),
        password_hash: "unused".to_owned(),
        password_version: 1,
        status: UserStatus::Enabled,
        scope: Scope::parse("orders:read").unwrap(),
        email: None,
        claims: Claims::default(),
        factors: Factors::default(),
        created_at: now,
        updated_at: now,
    };
    assert_eq!(store.add_user(&user).await, Ok(Addition::Added));
    let end = now + Duration::from_secs(3600);
    let session = Session {
        user: user.id,
        session: SessionId::generate(&OsEntropy),
        generation: 0,
        rotated_at: None,
        attempt: None,
        named: false,
        network: None,
        account: true,
        for_enrolment: false,
        authentication: Authentication::new(now, Methods::PASSWORD),
        key: None,
        created_at: now,
        expires_at: end,
        absolute_end: end,
        client: ClientId::parse("web").unwrap(),
        scope: user.scope.clone(),
        claims: user.claims.clone(),
        ended: None,
        device: None,
    };
    let new = NewSession {
        session: &session,
        user: &user,
        rehash: None,
        known: None,
        factor: None,
        settle: Some("settled"),
    };
    assert_eq!(store.open_session(&new).await, Ok(true));
    session
}

/// A malformed key set stays malformed, so the function ends. Its one log line names the reason and shows no key.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_that_is_no_good_ends_the_function_with_one_clear_line() {
    let good = key_set().to_json().unwrap();
    let changed = |change: fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&good).unwrap();
        change(&mut value);
        value.to_string()
    };
    for (secret, expected) in [
        ("hunter2".to_owned(), "not a JSON object"),
        (changed(|set| set["version"] = json!(2)), "version 2, this build reads version 1"),
        (
            changed(|set| set["signing"][0]["status"] = json!("retired")),
            "no active key in its section `signing`",
        ),
        (changed(|set| set["refresh"] = json!([])), "no active key in its section `refresh`"),
        (changed(|set| set["signing"][0]["private"] = json!("hunter2")), "private key"),
    ] {
        let secrets = SecretsManager::start(secret).await.unwrap();
        secrets.answer();
        let (status, log) = Refresh::start_before(secrets).await.ended().await;
        assert!(!status.success(), "{expected}");
        // The function reports which keys it has read before it rejects them.
        let events: Vec<&Value> = log.iter().filter(|event| event["event"] != "keys.loaded").collect();
        let [event] = &events[..] else { panic!("{log:?}") };
        assert_eq!(event["event"], "init.failed");
        assert!(event["detail"].as_str().unwrap().contains(expected), "{event}");
        assert!(!format!("{log:?}").contains("hunter2"), "{log:?}");
    }
}

/// Waiting does not create a missing secret, so the function ends. Its one log line names the reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_ends_the_function_with_one_clear_line() {
    let secrets = SecretsManager::start(String::new()).await.unwrap();
    secrets.fail("ResourceNotFoundException");
    let (status, log) = Refresh::start_before(secrets).await.ended().await;
    assert!(!status.success());
    let [event] = &log[..] else { panic!("{log:?}") };
    assert_eq!((&event["v"], &event["event"]), (&json!(1), &json!("init.failed")));
    let detail = event["detail"].as_str().unwrap();
    assert!(detail.contains(ARN) && detail.contains("ResourceNotFoundException"), "{detail}");
}

/// Behind a proxy, only its requests reach the function. The log has the address of the viewer, and never the secret.
///
/// invariant: The runner checks the secret of a proxy before it answers anything, a preflight or a missing key included.
#[tokio::test(flavor = "multi_thread")]
async fn requests_past_the_proxy_are_403() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const NEXT: &str = "fedcba9876543210fedcba9876543210";
    let secrets = SecretsManager::start(key_set().to_json().unwrap()).await.unwrap();
    let settings = [("DAYPASS_PROXY_SECRET", &*format!("{SECRET} {NEXT}"))];
    let mut refresh = Refresh::start_with(secrets, &settings).await;
    let headers = |own: Value| {
        let mut headers = json!({ "content-type": "application/json", "origin": PAGE });
        headers.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        json!({ "headers": headers })
    };
    let proxied = |secret: &str| {
        headers(json!({
            "X-Daypass-PROXY": secret, "CLOUDFRONT-viewer-address": "2001:db8::9:46532",
            "X-Forwarded-For": format!("198.51.100.1, 2001:db8::9, {}", event::SOURCE_IP),
        }))
    };
    let past = [
        headers(json!({})),
        headers(json!({ "cloudfront-viewer-address": "198.51.100.1:443" })),
        proxied("wrong"),
        proxied(&format!("{SECRET},{SECRET}")),
        headers(json!({ "x-daypass-proxy": SECRET })),
    ];
    let refused = (403, "invalid_request".to_owned());
    for ready in [false, true] {
        if ready {
            refresh.secrets.answer();
        }
        for changes in &past {
            let answer = refresh.send(changes).await;
            assert_eq!(answer.outcome(), refused, "{changes}");
            let event = refresh.function.event().await.unwrap();
            let event =
                if event["event"] == "failure" { refresh.function.event().await.unwrap() } else { event };
            assert_eq!(
                (&event["event"], &event["source_ip"]),
                (&json!("request.refused"), &json!(event::SOURCE_IP))
            );
            assert!(event["description"].as_str().unwrap().contains("proxy"), "{event}");
            assert!(!event.to_string().contains(SECRET), "{event}");
        }
        let mut preflight = event::http("OPTIONS", "/refresh", "", "");
        preflight["headers"] = json!({ "origin": PAGE, "access-control-request-method": "POST" });
        assert_eq!(refresh.send(&preflight).await.outcome(), refused);
        assert_eq!(refresh.function.event().await.unwrap()["event"], "request.refused");
    }
    for secret in [SECRET, NEXT] {
        let answer = loop {
            let answer = refresh.send(&proxied(secret)).await;
            if answer.status != 503 {
                break answer;
            }
        };
        assert_eq!(answer.outcome(), (400, "invalid_grant".to_owned()));
    }

    // An event of a REST API: one list has each value of a header, the other has the last one.
    let body = json!({ "grant_type": "refresh_token", "refresh_token": "daypass_rt_forged" });
    let rest = |secrets: &[&str]| {
        json!({
            "resource": "/refresh", "path": "/refresh", "httpMethod": "POST", "body": body.to_string(),
            "headers": { "Content-Type": "application/json", "X-Daypass-Proxy": secrets.last() },
            "multiValueHeaders": {
                "Content-Type": ["application/json"], "X-Daypass-Proxy": secrets,
                "X-Forwarded-For": [format!("198.51.100.7, {}", event::SOURCE_IP)],
            },
            "isBase64Encoded": false, "requestContext": {
                "httpMethod": "POST", "path": "/refresh", "requestId": "r1", "stage": "prod",
                "identity": { "sourceIp": event::SOURCE_IP },
            },
        })
    };
    for (secrets, expected) in [(&[SECRET][..], 400), (&[SECRET, SECRET], 403), (&[SECRET, "x"], 403)] {
        let answer = refresh.function.invoke(&rest(secrets)).await.unwrap();
        assert_eq!(Answer::of_function(&answer).status, expected, "{secrets:?}");
    }

    let log = refresh.function.kill().await;
    let seen: Vec<&Value> = log.iter().filter(|event| event["event"] == "refresh.refused").collect();
    let addresses: Vec<&str> = seen.iter().map(|event| event["source_ip"].as_str().unwrap()).collect();
    assert_eq!(addresses, ["2001:db8::9", "2001:db8::9", "198.51.100.7"]);
    let text = format!("{log:?}");
    assert!(!text.contains(SECRET) && !text.contains(NEXT), "{text}");
}
