//! Accounts by mail: sign-up, recovery and change of address, with what they reveal and what they cost.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]

mod mailer;
mod tokens;

use crate::throttle::write_units;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::account::{Email, Undeliverable};
use daypass_core::ports::event::Event;
use daypass_core::ports::mail::{Language, MailRequest, Occasion, Outbox};
use daypass_core::ports::store::{User, UserStatus};
use daypass_core::token::mail::{OutboxId, Purpose};
use daypass_runtime::OsEntropy;
use daypass_testkit::Answer;
use daypass_testkit::depth;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Exchange;
use daypass_testkit::ses::Mail;
use daypass_tests::mailroom::{Mailroom, code, token, token_and_code};
use daypass_tests::service::{PASSWORD, Service, from, post, request};
use daypass_verifier::base::ids::ClientId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Clock;
use serde_json::{Value, json};
use std::time::Duration;

const HOME: &str = "192.0.2.1";
const NEW: &str = "another horse and its battery";
const CLIENTS: &str = r#"[
    {"client_id":"web","scope":"orders:read","signup":"open","account_url":"https://app.example.com/account"},
    {"client_id":"team","signup":"invited","account_url":"https://team.example.com/account"},
    {"client_id":"closed","account_url":"https://app.example.com/account"},
    {"client_id":"pageless"}
]"#;

/// A service, its mailer, and the database behind both.
pub(crate) struct Stage {
    db: Embedded,
    pub(crate) service: Service,
    room: Mailroom,
}

pub(crate) async fn stage(settings: &[(&str, &str)]) -> Stage {
    let db = Embedded::start(None).unwrap();
    let settings = [&[("DAYPASS_CLIENTS", CLIENTS)], settings].concat();
    let service = Service::quick(&db.url(), &settings).await;
    over(db, service).await
}

async fn over(db: Embedded, service: Service) -> Stage {
    let room = Mailroom::of(&service, &db.url()).await;
    Stage { db, service, room }
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

impl Stage {
    pub(crate) async fn ask(&self, path: &str, email: &str) -> Answer {
        let body = json!({ "email": email }).to_string();
        self.service.send(from(HOME, post(path, "application/json", body))).await
    }

    /// Asks for a mail, and delivers it. Panics unless exactly one mail comes.
    async fn mail(&self, path: &str, email: &str) -> Mail {
        assert_eq!(self.ask(path, email).await.status, 202);
        self.one_mail().await
    }

    async fn one_mail(&self) -> Mail {
        let mut mails = self.room.mails().await;
        assert_eq!(mails.len(), 1, "{mails:?}");
        mails.remove(0)
    }

    async fn confirm(&self, path: &str, token: &str, password: &str) -> Answer {
        self.service.post(path, &json!({ "token": token, "password": password })).await
    }

    /// A user with an address.
    pub(crate) async fn user(&self, name: &str, email: &str) -> User {
        let user = self.service.quick_user(name).await;
        self.set_email(&user, email, true, None).await;
        user
    }

    async fn set_email(
        &self,
        user: &User,
        email: &str,
        verified: bool,
        undeliverable: Option<Undeliverable>,
    ) {
        let email = Email { address: address(email), verified, undeliverable };
        let store = &self.service.bench.store;
        store.set_email(&user.username, Some(&email), self.service.clock.now()).await.unwrap();
        let _ = self.service.bench.recorder.take();
    }

    async fn stored(&self, user: &User) -> User {
        self.service.bench.store.user(&user.username).await.unwrap().unwrap()
    }

    async fn ask_for_address(&self, session: &Answer, email: &str) -> Answer {
        let body = json!({ "current_password": PASSWORD, "email": email }).to_string();
        let request = from(HOME, post("/email", "application/json", body));
        self.service.send_as(&session.access_token(), request).await
    }

    /// All items of all tables, as text.
    async fn tables(&self) -> String {
        let bench = &self.service.bench;
        let mut text = String::new();
        let names = [&bench.tables.users, &bench.tables.sessions, &bench.tables.attempts, &bench.outbox];
        for name in names {
            let scan = bench.raw.scan().table_name(name).send().await.unwrap();
            text.push_str(&format!("{:?}", scan.items()));
        }
        text
    }
}

fn outcome(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

/// Sign up, confirm on another device by code, sign in, forget, reset, all other sessions gone, change the address, the old
/// address told.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_story() {
    let stage = stage(&[]).await;
    let service = &stage.service;
    let asked = stage.ask("/signup", "Ada@Example.com").await;
    assert_eq!((asked.status, asked.json()["expires_in"].as_u64()), (202, Some(86_400)));
    let mail = stage.one_mail().await;
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("\"Acme\" <no-reply@acme.example>", &["ada@example.com".to_owned()][..])
    );
    assert!(mail.text.contains("https://app.example.com/account#daypass_verify_"), "{}", mail.text);
    let (_, code) = token_and_code(&mail);
    let body = json!({ "request": asked.text("request"), "code": code, "password": PASSWORD });
    let created = service.post("/signup/confirm", &body).await;
    assert_eq!(created.status, 201, "{created:?}");
    let name = created.text("user");
    assert!(created.json().get("access_token").is_none(), "a confirmation opens no session");

    let first = service.login_from(HOME, &name, PASSWORD).await;
    let second = service.login_from("198.51.100.7", &name, PASSWORD).await;
    assert_eq!((first.status, first.text("scope").as_str()), (200, "orders:read"));

    let (token, _) = token_and_code(&stage.mail("/recover", "ada@example.com").await);
    assert!(token.starts_with("daypass_reset_"));
    let reset = stage.confirm("/recover/confirm", &token, NEW).await;
    assert_eq!((reset.status, reset.body.as_slice()), (204, &b""[..]));
    for ended in [&first, &second] {
        assert_eq!(service.refresh(&ended.refresh_token()).await.outcome(), outcome(400, "invalid_grant"));
    }
    assert_eq!(service.login_from(HOME, &name, PASSWORD).await.status, 401);
    let third = service.login_from(HOME, &name, NEW).await;
    assert_eq!(third.status, 200);

    let body =
        json!({ "current_password": NEW, "email": "ada@example.org", "language": "de-CH" }).to_string();
    let asked = service.send_as(&third.access_token(), post("/email", "application/json", body)).await;
    assert_eq!(asked.status, 202);
    let mail = stage.one_mail().await;
    assert_eq!(mail.to, ["ada@example.org"]);
    assert!(mail.subject.contains("Bestätigen"), "{}", mail.subject);
    let (token, _) = token_and_code(&mail);
    assert_eq!(service.post("/email/confirm", &json!({ "token": token })).await.status, 204);
    let notice = stage.one_mail().await;
    assert_eq!(notice.to, ["ada@example.com"]);
    assert!(notice.subject.contains("geändert") && !notice.text.contains('#'), "{}", notice.text);
    // The session stays, and the old address is free.
    assert_eq!(service.refresh(&third.refresh_token()).await.status, 200);
    assert!(stage.mail("/signup", "ada@example.com").await.text.contains("#daypass_verify_"));
    assert!(stage.mail("/recover", "ada@example.org").await.text.contains("#daypass_reset_"));

    let events = service.journal.take();
    let created = events.iter().find_map(|event| match event {
        Event::UserCreated { user, purpose, .. } => Some((user.to_string(), *purpose)),
        _ => None,
    });
    assert_eq!(created, Some((name, Purpose::SignUp)));
    assert!(events.iter().any(|event| matches!(event, Event::PasswordReset { count: 2, .. })));
    assert!(events.iter().any(|event| matches!(event, Event::EmailChanged { .. })));
}

/// What a caller can see of a request: the response, without the random handle, and the requests to DynamoDB.
async fn seen(
    stage: &Stage,
    answer: impl Future<Output = Answer>,
) -> (u16, Vec<(String, String)>, Value, Vec<String>, u64) {
    let recorder = &stage.service.bench.recorder;
    let _ = recorder.take();
    recorder.ask_capacity(true);
    let answer = answer.await;
    recorder.ask_capacity(false);
    let exchanges = recorder.take();
    let mut body = answer.json();
    assert!(
        body["request"].as_str().is_some_and(|handle| handle.starts_with("daypass_request_")),
        "{answer:?}"
    );
    body["request"] = json!("…");
    let mut headers: Vec<(String, String)> =
        answer.headers.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    headers.sort();
    let form = |exchange: &Exchange| {
        // Names and lengths of the members, without random values. The random slot of a counter has one or two digits.
        let of_counter = exchange.operation == "UpdateItem";
        let length = if of_counter { 0 } else { exchange.request.to_string().len() };
        format!("{} {length}", exchange.operation)
    };
    // Some run at the same time, in any order.
    let mut requests: Vec<String> = exchanges.iter().map(form).collect();
    requests.sort();
    (answer.status, headers, body, requests, write_units(&exchanges) as u64)
}

/// invariant: A request for a mail has the same response, requests and write units for every address.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_depends_on_the_address() {
    let stage = stage(&[]).await;
    let users = [
        ("anna", "existing@example.com", true, None),
        ("bert", "disabled@example.com", true, None),
        ("carl", "u-fied@example.com01", false, None),
        ("dora", "bounced1@example.com", true, Some(Undeliverable::Bounced)),
        ("emil", "spamming@example.com", true, Some(Undeliverable::Complained)),
    ];
    for (name, email, verified, undeliverable) in users {
        let user = stage.service.quick_user(name).await;
        stage.set_email(&user, email, verified, undeliverable).await;
        if email.starts_with("disabled") {
            let now = stage.service.clock.now();
            stage.service.bench.store.set_status(&user.username, UserStatus::Disabled, now).await.unwrap();
        }
    }
    stage.service.quick_user("signed-in").await;
    let addresses: Vec<&str> =
        users.iter().map(|(_, email, ..)| *email).chain(["unknown1@example.com"]).collect();
    assert!(addresses.iter().all(|email| email.len() == addresses[0].len()), "equal lengths");
    for path in ["/signup", "/recover", "/email"] {
        let mut first = None;
        for email in &addresses {
            // An hour later, no slot of a counter is busy, so the requests are equal.
            stage.service.clock.advance(Duration::from_secs(3601));
            let session = stage.service.login_from(HOME, "signed-in", PASSWORD).await;
            let answer = async {
                if path == "/email" {
                    stage.ask_for_address(&session, email).await
                } else {
                    stage.ask(path, email).await
                }
            };
            let seen = seen(&stage, answer).await;
            assert_eq!(seen.0, 202, "{path} {email}");
            assert_eq!(&seen, first.get_or_insert_with(|| seen.clone()), "{path} {email}");
        }
    }
}

/// docs/reference/http-api.md and docs/operations/cost.md have these figures.
#[tokio::test(flavor = "multi_thread")]
async fn requests_on_the_wire() {
    let stage = stage(&[]).await;
    let recorder = &stage.service.bench.recorder;
    let cost = async |answer: Answer, status: u16| {
        assert_eq!(answer.status, status, "{answer:?}");
        let exchanges = recorder.take();
        let operations: Vec<String> = exchanges.iter().map(|exchange| exchange.operation.clone()).collect();
        (operations.join(" "), write_units(&exchanges) as u64)
    };
    recorder.ask_capacity(true);
    let ask = "UpdateItem UpdateItem PutItem";
    assert_eq!(cost(stage.ask("/signup", "ada@example.com").await, 202).await, (ask.to_owned(), 3));
    let _ = stage.room.bench.recorder.take();
    stage.room.bench.recorder.ask_capacity(true);
    let (token, _) = token_and_code(&stage.one_mail().await);
    let of_mailer = stage.room.bench.recorder.take();
    let operations: Vec<&str> = of_mailer.iter().map(|exchange| exchange.operation.as_str()).collect();
    assert_eq!(operations, ["GetItem", "GetItem", "UpdateItem", "UpdateItem"], "claim, name, begin, end");
    assert_eq!(write_units(&of_mailer), 2.0);
    let created = stage.confirm("/signup/confirm", &token, PASSWORD).await;
    let name = created.text("user");
    // The user, the claim of the address, the check of the name, and the item of the outbox; a transaction costs twice.
    assert_eq!(cost(created, 201).await, ("GetItem TransactWriteItems".to_owned(), 8));
    // After an hour, no slot of a counter is busy.
    stage.service.clock.advance(Duration::from_secs(3601));
    let asked = stage.ask("/recover", "ada@example.com").await;
    assert_eq!(cost(asked, 202).await, (ask.to_owned(), 3));
    let session = stage.service.login_from(HOME, &name, PASSWORD).await;
    let (token, _) = token_and_code(&stage.one_mail().await);
    let _ = recorder.take();
    let reset = stage.confirm("/recover/confirm", &token, PASSWORD).await;
    // Each session that ends costs another two.
    let expected = "GetItem UpdateItem Query UpdateItem Query".to_owned();
    let (operations, units) = cost(reset, 204).await;
    assert_eq!((operations, units), (expected, 3));
    drop(session);
    stage.service.clock.advance(Duration::from_secs(3601));
    let session = stage.service.login_from(HOME, &name, PASSWORD).await;
    let _ = recorder.take();
    let asked = stage.ask_for_address(&session, "ada@example.org").await;
    let (operations, units) = cost(asked, 202).await;
    assert_eq!(operations.matches("GetItem").count(), 2, "{operations}");
    assert_eq!((operations.split(' ').count(), units), (7, 5), "{operations}");
    let (token, _) = token_and_code(&stage.one_mail().await);
    let changed = stage.service.post("/email/confirm", &json!({ "token": token })).await;
    // User, two claims, the check of the name, the item and the notice.
    assert_eq!(cost(changed, 204).await, ("GetItem TransactWriteItems".to_owned(), 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input() {
    let stage = stage(&[]).await;
    let service = &stage.service;
    let _ = service.bench.recorder.take();
    let long = "x".repeat(300);
    for (path, body, expected) in [
        ("/signup", json!({}), outcome(400, "invalid_request")),
        ("/signup", json!({ "email": 7 }), outcome(400, "invalid_request")),
        ("/signup", json!({ "email": "ada" }), outcome(400, "invalid_request")),
        ("/signup", json!({ "email": "a@b.example,c@d.example" }), outcome(400, "invalid_request")),
        ("/signup", json!({ "email": "a@b.example\r\nBcc: x@y.example" }), outcome(400, "invalid_request")),
        ("/signup", json!({ "email": format!("{long}@b.example") }), outcome(400, "invalid_request")),
        (
            "/signup",
            json!({ "email": "a@b.example", "language": "deutsch" }),
            outcome(400, "invalid_request"),
        ),
        ("/signup", json!({ "email": "a@b.example", "language": "../de" }), outcome(400, "invalid_request")),
        ("/signup", json!({ "email": "a@b.example", "client_id": "nobody" }), outcome(400, "invalid_client")),
        (
            "/signup",
            json!({ "email": "a@b.example", "client_id": "team" }),
            outcome(403, "signup_not_allowed"),
        ),
        (
            "/signup",
            json!({ "email": "a@b.example", "client_id": "closed" }),
            outcome(403, "signup_not_allowed"),
        ),
        (
            "/recover",
            json!({ "email": "a@b.example", "client_id": "pageless" }),
            outcome(400, "invalid_request"),
        ),
        ("/signup/confirm", json!({ "password": NEW }), outcome(400, "invalid_request")),
        ("/signup/confirm", json!({ "token": "x" }), outcome(400, "invalid_request")),
        (
            "/signup/confirm",
            json!({ "token": "x", "code": "1", "password": NEW }),
            outcome(400, "invalid_request"),
        ),
        ("/signup/confirm", json!({ "request": "x", "password": NEW }), outcome(400, "invalid_request")),
        ("/signup/confirm", json!({ "token": "x", "password": "short" }), outcome(400, "password_refused")),
        ("/signup/confirm", json!({ "token": "x", "password": NEW }), outcome(400, "invalid_token")),
        (
            "/recover/confirm",
            json!({ "request": "x", "code": "1", "password": NEW }),
            outcome(400, "invalid_token"),
        ),
        ("/email/confirm", json!({ "token": "💥" }), outcome(400, "invalid_token")),
    ] {
        assert_eq!(service.post(path, &body).await.outcome(), expected, "{path} {body}");
    }
    for path in ["/signup/x", "/signup/confirm/", "/x/confirm", "/email/confirm/x"] {
        let answer = daypass_account::handle(&service.account, post(path, "application/json", "{}")).await;
        assert_eq!(answer.status(), 404, "{path}");
    }
    assert_eq!(service.send(post("/recover?email=a@b.example", "application/json", "{}")).await.status, 400);
    assert_eq!(service.bench.recorder.take().len(), 0, "no request to the store");
    assert_eq!(stage.room.mails().await.len(), 0);
}

/// A mail scanner follows the link, and tries other methods. The token is behind `#`, so no request carries it.
///
/// invariant: A GET or HEAD request consumes no mail.
#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_consumes_nothing() {
    let stage = stage(&[]).await;
    let mail = stage.mail("/signup", "ada@example.com").await;
    let (token, _) = token_and_code(&mail);
    let links =
        mail.text.split_whitespace().chain(mail.html.split('"')).filter(|word| word.starts_with("https://"));
    let mut followed = 0;
    for link in links {
        // What a browser or a scanner sends of a link.
        let sent = link.split('#').next().unwrap();
        assert_eq!(sent, "https://app.example.com/account");
        followed += 1;
    }
    assert_eq!(followed, 2, "text and HTML");
    for path in ["/signup", "/signup/confirm", "/recover", "/recover/confirm", "/email/confirm"] {
        for method in ["GET", "HEAD"] {
            for query in [String::new(), format!("?token={token}&password=x")] {
                let answer = stage.service.send(request(method, &format!("{path}{query}"))).await;
                assert_eq!(answer.status, 405, "{method} {path}");
            }
        }
    }
    assert_eq!(stage.confirm("/signup/confirm", &token, PASSWORD).await.status, 201);
}

/// 5,000 recoveries for one address, and from one network for many addresses.
///
/// invariant: An address gets at most three mails an hour, and a network asks for at most twenty.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_flooded_with_mails() {
    let stage = stage(&[]).await;
    let rounds = depth::amount("recoveries", 300, 5_000);
    stage.user("ada", "ada@example.com").await;
    let mut accepted = 0;
    for n in 0..rounds {
        let body = json!({ "email": "ada@example.com" }).to_string();
        let network = format!("203.0.{}.{}", n / 250, n % 250);
        let answer = stage.service.send(from(&network, post("/recover", "application/json", body))).await;
        assert!(matches!(answer.status, 202 | 429), "{answer:?}");
        accepted += usize::from(answer.status == 202);
    }
    assert_eq!((accepted, stage.room.mails().await.len()), (3, 3));
    let mut accepted = 0;
    for n in 0..rounds {
        accepted += usize::from(stage.ask("/signup", &format!("u{n}@example.com")).await.status == 202);
    }
    assert_eq!((accepted, stage.room.mails().await.len()), (20, 20));
    stage.service.clock.advance(Duration::from_secs(3601));
    assert_eq!(stage.ask("/recover", "ada@example.com").await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_brings_its_scope_and_claims() {
    let stage = stage(&[]).await;
    let now = stage.service.clock.now();
    let invite = |email: &str| MailRequest {
        id: OutboxId::generate(&OsEntropy),
        occasion: Occasion::Invitation {
            scope: Scope::parse("orders:read orders:write").unwrap(),
            claims: Claims::parse(r#"{"tenant":"acme"}"#).unwrap(),
        },
        address: address(email),
        client: ClientId::parse("team").unwrap(),
        language: Language::default(),
        at: now,
        expires_at: now + Purpose::Invitation.lifetime(),
    };
    stage.service.bench.store.request_mail(&invite("ada@example.com")).await.unwrap();
    let mail = stage.one_mail().await;
    assert_eq!(code(&mail), None, "a code needs a handle, and an invitation has none");
    let token = token(&mail);
    stage.service.clock.advance(Duration::from_secs(6 * 24 * 3600));
    let created = stage.confirm("/signup/confirm", &token, PASSWORD).await;
    assert_eq!(created.status, 201);
    let name = daypass_tests::bench::username(&created.text("user"));
    let user = stage.service.bench.store.user(&name).await.unwrap().unwrap();
    assert_eq!(user.scope.to_string(), "orders:read orders:write");
    assert_eq!(user.claims.to_string(), r#"{"tenant":"acme"}"#);
    assert!(user.email.is_some_and(|email| email.verified && email.address.as_str() == "ada@example.com"));
    // A removed user does not come back by the old mail.
    stage.service.bench.store.remove_user(&name, now).await.unwrap().unwrap();
    assert_eq!(
        stage.confirm("/signup/confirm", &token, PASSWORD).await.outcome(),
        outcome(400, "invalid_token")
    );
}

/// invariant: A recovery of a removed user changes nothing, and is rejected.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_user_recovers_nothing() {
    let stage = stage(&[]).await;
    let (token, _) = token_and_code(&stage.mail("/signup", "ada@example.com").await);
    let created = stage.confirm("/signup/confirm", &token, PASSWORD).await;
    let (token, _) = token_and_code(&stage.mail("/recover", "ada@example.com").await);
    let name = daypass_tests::bench::username(&created.text("user"));
    let now = stage.service.clock.now();
    stage.service.bench.store.remove_user(&name, now).await.unwrap().unwrap();
    let reset = stage.confirm("/recover/confirm", &token, NEW).await;
    assert_eq!(reset.outcome(), outcome(400, "invalid_token"));
    assert!(stage.service.bench.store.user(&name).await.unwrap().is_none());
}

/// invariant: An address has one user, however many sign-ups are confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_one_user() {
    let stage = stage(&[]).await;
    let (one, _) = token_and_code(&stage.mail("/signup", "ada@example.com").await);
    let (two, _) = token_and_code(&stage.mail("/signup", "ada@example.com").await);
    let (a, b) = tokio::join!(
        stage.confirm("/signup/confirm", &one, PASSWORD),
        stage.confirm("/signup/confirm", &two, PASSWORD)
    );
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 400]);
    // The next one is told that there is an account, and gets no token.
    let mail = stage.mail("/signup", "ada@example.com").await;
    assert!(mail.subject.contains("already") && !mail.text.contains("daypass_"), "{}", mail.text);
    // A name that is an address belongs to its user too.
    stage.service.quick_user("bob@example.com").await;
    let mail = stage.mail("/signup", "bob@example.com").await;
    assert!(mail.subject.contains("already"), "{}", mail.subject);
    assert_eq!(stage.ask("/recover", "bob@example.com").await.status, 202);
    assert_eq!(stage.room.mails().await.len(), 0, "the address of that user is not confirmed");
}

/// The transaction fails if another user took the address between the mail and the confirmation.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_was_taken_meanwhile_is_refused() {
    let stage = stage(&[]).await;
    stage.service.quick_user("ada").await;
    let session = stage.service.login_from(HOME, "ada", PASSWORD).await;
    assert_eq!(stage.ask_for_address(&session, "new@example.com").await.status, 202);
    let (token, _) = token_and_code(&stage.one_mail().await);
    let bob = stage.user("bob", "new@example.com").await;
    let answer = stage.service.post("/email/confirm", &json!({ "token": token })).await;
    assert_eq!(answer.outcome(), outcome(400, "invalid_token"));
    assert_eq!(stage.stored(&bob).await.email.unwrap().address.as_str(), "new@example.com");
    // A request for the address of another user leads to no mail.
    assert_eq!(stage.ask_for_address(&session, "new@example.com").await.status, 202);
    assert_eq!(stage.room.mails().await.len(), 0);
    // A confirmed address that the user changes back is not set again by the old mail.
    stage.set_email(&bob, "old@example.com", true, None).await;
    assert_eq!(stage.service.post("/email/confirm", &json!({ "token": token })).await.status, 204);
    assert_eq!(stage.service.post("/email/confirm", &json!({ "token": token })).await.status, 400);
}

/// invariant: No log line holds an address, a token or a code of a mail, and no table a token or a code.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_codes_and_addresses_stay_secret() {
    let stage = stage(&[]).await;
    let mut secrets = Vec::new();
    let note = |secrets: &mut Vec<String>, mail: &Mail| {
        let (token, code) = token_and_code(mail);
        let mac = token[token.len() - 40..].to_owned();
        secrets.extend([token.clone(), mac, code]);
        token
    };
    let mail = stage.mail("/signup", "marker-1@example.com").await;
    let token = note(&mut secrets, &mail);
    let created = stage.confirm("/signup/confirm", &token, PASSWORD).await;
    let mail = stage.mail("/recover", "marker-1@example.com").await;
    let before = stage.tables().await;
    let token = note(&mut secrets, &mail);
    stage.confirm("/recover/confirm", &token, PASSWORD).await;
    let session = stage.service.login_from(HOME, &created.text("user"), PASSWORD).await;
    stage.ask_for_address(&session, "marker-2@example.com").await;
    let mail = stage.one_mail().await;
    let token = note(&mut secrets, &mail);
    for (path, body) in [
        ("/email/confirm", json!({ "token": format!("{token}x") })),
        ("/email/confirm", json!({ "token": token })),
        ("/signup/confirm", json!({ "token": token, "password": NEW })),
        ("/recover", json!({ "email": "marker-3@example.com" })),
    ] {
        let answer = stage.service.post(path, &body).await;
        assert!(!String::from_utf8_lossy(&answer.body).contains("marker"), "{answer:?}");
    }
    stage.room.mails().await;
    let after = stage.tables().await;
    for secret in &secrets {
        assert!(
            !before.contains(secret.as_str()) && !after.contains(secret.as_str()),
            "{secret} is in a table"
        );
    }
    let lines = stage.service.journal.take_lines();
    assert!(lines.len() > 12, "{}", lines.len());
    for line in &lines {
        for secret in secrets.iter().map(String::as_str).chain(["marker", "example.com", "@"]) {
            assert!(!line.contains(secret), "{secret} is in {line}");
        }
    }
}
