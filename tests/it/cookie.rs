//! Requests of browsers with cookie clients: which page may send which request, and what the response contains.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::http::browser::COOKIE;
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::service::{PASSWORD, Service};
use serde_json::{Value, json};
use std::time::Duration;

const APP: &str = "https://app.example.com";
const ADMIN: &str = "https://admin.example.com";
const SPA: &str = "https://spa.example.com";
const CLIENTS: &str = r#"[
    {"client_id":"app","transport":"cookie","origins":["https://app.example.com"]},
    {"client_id":"admin","transport":"cookie","origins":["https://admin.example.com"]},
    {"client_id":"spa","origins":["https://spa.example.com"]},
    {"client_id":"cli"}
]"#;

async fn service() -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::quick(&embedded.url(), &[("DAYPASS_CLIENTS", CLIENTS)]).await;
    service.quick_user("alice").await;
    (embedded, service)
}

/// A request with its headers.
#[derive(Clone)]
struct Sent<'a> {
    method: &'a str,
    path: &'a str,
    content_type: Option<&'a str>,
    origin: Option<&'a str>,
    site: Option<&'a str>,
    cookie: Option<String>,
    body: String,
}

impl<'a> Sent<'a> {
    /// A request as the module of `infra/browser` sends it, from a page of the client `app`.
    fn json(path: &'a str, body: &Value) -> Self {
        Sent {
            method: "POST",
            path,
            content_type: Some("application/json"),
            origin: Some(APP),
            site: Some("same-site"),
            cookie: None,
            body: body.to_string(),
        }
    }

    fn login() -> Self {
        Self::json("/login", &json!({ "username": "alice", "password": PASSWORD, "client_id": "app" }))
    }

    fn refresh(token: &str) -> Self {
        Self::json("/refresh", &json!({ "grant_type": "refresh_token" })).with(token)
    }

    fn revoke(token: &str) -> Self {
        Self::json("/revoke", &json!({})).with(token)
    }

    fn with(self, token: &str) -> Self {
        Self { cookie: Some(format!("{COOKIE}={token}")), ..self }
    }

    fn from(self, origin: &'a str) -> Self {
        Self { origin: Some(origin), ..self }
    }

    async fn to(self, service: &Service) -> Answer {
        let mut request = http::Request::builder().method(self.method).uri(self.path);
        let headers = [
            ("content-type", self.content_type),
            ("origin", self.origin),
            ("sec-fetch-site", self.site),
            ("cookie", self.cookie.as_deref()),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        service.send(request.body(self.body.into_bytes()).unwrap()).await
    }
}

/// The token and the attributes of the cookie that a response sets, or `None` if it sets none.
fn set_cookie(answer: &Answer) -> Option<(String, String)> {
    let all = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    assert!(all.clone().all(|(_, set)| set.len() < 4096));
    assert_eq!(
        all.filter(|(_, set)| set.starts_with(COOKIE)).count(),
        usize::from(answer.cookie(COOKIE).is_some())
    );
    let (value, attributes) = answer.cookie(COOKIE)?;
    Some((value.to_owned(), attributes.to_owned()))
}

fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    set_cookie(answer).unwrap().0
}

const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

fn is_cleared(answer: &Answer) -> bool {
    set_cookie(answer) == Some((String::new(), format!("Max-Age=0; {ATTRIBUTES}")))
}

fn outcome(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

/// invariant: The response to a cookie client has the refresh token in the cookie, and none in the body.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_in_the_cookie_and_in_no_body() {
    let (_db, service) = service().await;
    let login = Sent::login().to(&service).await;
    assert!(service.lets_through(&login.access_token()));
    let (first, attributes) = set_cookie(&login).unwrap();
    assert_eq!(attributes, format!("Max-Age=15552000; {ATTRIBUTES}"));
    service.clock.advance(Duration::from_secs(3600));
    let refreshed = Sent::refresh(&first).to(&service).await;
    let (second, attributes) = set_cookie(&refreshed).unwrap();
    assert_eq!(
        attributes,
        format!("Max-Age={}; {ATTRIBUTES}", 15_552_000 - 3600),
        "what is left of the session"
    );
    assert_ne!(first, second);
    for answer in [&login, &refreshed] {
        assert!(answer.json().get("refresh_token").is_none());
        assert!(!String::from_utf8_lossy(&answer.body).contains("daypass_rt_"));
        assert!(answer.json()["refresh_expires_in"].is_u64());
    }
    let revoked = Sent::revoke(&second).to(&service).await;
    assert_eq!((revoked.status, revoked.json()), (200, json!({})));
    assert!(is_cleared(&revoked));
    let over = Sent::refresh(&second).to(&service).await;
    assert_eq!(over.outcome(), outcome(400, "invalid_grant"));
    assert!(is_cleared(&over), "a token that is no good leaves the browser");
}

/// invariant: A cookie client sends its token in the cookie, a body client in the body; the other form is
/// rejected. A page of another client leaves the cookie in place.
#[tokio::test(flavor = "multi_thread")]
async fn each_way_round_is_refused_and_nothing_is_written() {
    let (_db, service) = service().await;
    let app = token(&Sent::login().to(&service).await);
    let cli = service
        .post("/login", &json!({ "username": "alice", "password": PASSWORD, "client_id": "cli" }))
        .await
        .refresh_token();
    let _ = service.bench.recorder.take();
    let unknown = outcome(400, "invalid_client");

    // The token of a cookie client, in a body.
    assert_eq!(service.refresh(&app).await.outcome(), unknown);
    let named = format!("grant_type=refresh_token&refresh_token={app}&client_id=app");
    assert_eq!(service.form("/refresh", &named).await.outcome(), unknown);
    assert_eq!(service.revoke(&app).await.outcome(), outcome(400, "invalid_grant"));
    assert_eq!(service.form("/revoke", &format!("token={app}&client_id=app")).await.outcome(), unknown);
    // The token of a body client, in the cookie.
    assert_eq!(Sent::refresh(&cli).to(&service).await.outcome(), unknown);
    assert_eq!(Sent::revoke(&cli).to(&service).await.outcome(), outcome(400, "invalid_grant"));
    // The page of another cookie client.
    let foreign = Sent::refresh(&app).from(ADMIN).to(&service).await;
    assert_eq!(foreign.outcome(), unknown);
    assert_eq!(set_cookie(&foreign), None, "the cookie of the good client stays");
    let foreign = Sent::revoke(&app).from(ADMIN).to(&service).await;
    assert_eq!(foreign.outcome(), outcome(400, "invalid_grant"));
    assert_eq!(set_cookie(&foreign), None, "nor can it take the cookie away");
    let of_admin = json!({ "grant_type": "refresh_token", "client_id": "app" });
    let named = Sent::json("/refresh", &of_admin).with(&app).from(ADMIN).to(&service).await;
    assert_eq!(named.outcome(), unknown);
    // With the client id of the page, as the module of `infra/browser` sends it. The response is that of a dead token, but
    // the cookie stays.
    let own_name = json!({ "grant_type": "refresh_token", "client_id": "admin" });
    let own_name = Sent::json("/refresh", &own_name).with(&app).from(ADMIN).to(&service).await;
    assert_eq!(set_cookie(&own_name), None, "the cookie of the good client stays");
    let dead = Sent::refresh("daypass_rt_").from(ADMIN).to(&service).await;
    assert_eq!((own_name.status, &own_name.body), (dead.status, &dead.body));
    for all in [false, true] {
        let body = json!({ "client_id": "admin", "all": all });
        let own_name = Sent::json("/revoke", &body).with(&app).from(ADMIN).to(&service).await;
        assert_eq!(own_name.outcome(), outcome(400, "invalid_grant"));
        assert_eq!(set_cookie(&own_name), None);
    }

    // All sessions are still live.
    assert_eq!(Sent::refresh(&app).to(&service).await.status, 200);
    assert_eq!(service.refresh(&cli).await.status, 200);
}

/// The token in the body of a body client counts. Daypass ignores a cookie that the browser adds.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_body_is_the_one_that_is_meant() {
    let (_db, service) = service().await;
    let app = token(&Sent::login().to(&service).await);
    let body = json!({ "username": "alice", "password": PASSWORD, "client_id": "spa" });
    let spa = Sent::json("/login", &body).from(SPA).to(&service).await;
    assert_eq!(set_cookie(&spa), None);
    let body = json!({ "grant_type": "refresh_token", "refresh_token": spa.refresh_token() });
    let refreshed = Sent::json("/refresh", &body).with(&app).from(SPA).to(&service).await;
    assert_eq!(set_cookie(&refreshed), None);
    assert_eq!(refreshed.text("session_id"), spa.text("session_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_leaves_the_cookie() {
    let (_db, service) = service().await;
    let app = token(&Sent::login().to(&service).await);
    service.bench.recorder.always(Action::refuse(400, "ThrottlingException"));
    for sent in [Sent::refresh(&app), Sent::revoke(&app), Sent::login()] {
        let answer = sent.to(&service).await;
        assert_eq!(answer.outcome(), outcome(503, "temporarily_unavailable"));
        assert_eq!(set_cookie(&answer), None);
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some("date, dpop-nonce, retry-after, www-authenticate"),
            "the page can wait, or ask the user"
        );
    }
    service.bench.recorder.always(Action::Pass);
    assert_eq!(Sent::refresh(&app).to(&service).await.status, 200);
}

/// A replayed, a forged and an expired token get the same response, and the cookie is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_good_is_cleared() {
    let (_db, service) = service().await;
    let first = token(&Sent::login().to(&service).await);
    let second = token(&Sent::refresh(&first).to(&service).await);
    token(&Sent::refresh(&second).to(&service).await);
    let long = "x".repeat(8000);
    for bad in [first.as_str(), second.as_str(), "", "x", "daypass_rt_", &long] {
        let answer = Sent::refresh(bad).to(&service).await;
        assert_eq!(answer.outcome(), outcome(400, "invalid_grant"), "{bad:.20}");
        assert!(is_cleared(&answer));
        let answer = Sent::revoke(bad).to(&service).await;
        assert_eq!((answer.status, answer.json()), (200, json!({})), "{bad:.20}");
        assert!(is_cleared(&answer));
    }
}

/// The session has ended, or its item was deleted. The first request that finds this deletes the cookie.
///
/// invariant: The end of a session clears its cookie.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_wiped_leaves_no_cookie() {
    let (_db, service) = service().await;
    let all = || Sent::json("/revoke", &json!({ "all": true }));
    for wiped in [false, true] {
        for asks in ["refresh", "revoke", "revoke all"] {
            let login = Sent::login().to(&service).await;
            let cookie = token(&login);
            let caller = service.principal(&login.access_token());
            if wiped {
                let request = service.bench.raw.delete_item().table_name(&service.bench.tables.sessions);
                let request = request.key("user", AttributeValue::S(caller.user.to_string()));
                let request = request.key("session", AttributeValue::S(caller.session.to_string()));
                request.send().await.unwrap();
            } else {
                assert_eq!(Sent::revoke(&cookie).to(&service).await.status, 200);
            }
            let (sent, status) = match asks {
                "refresh" => (Sent::refresh(&cookie), 400),
                "revoke" => (Sent::revoke(&cookie), 200),
                // No other session has ended, and the response says so.
                _ => (all().with(&cookie), 400),
            };
            let answer = sent.to(&service).await;
            let error = if status == 400 { "invalid_grant" } else { "" };
            assert_eq!(answer.outcome(), outcome(status, error), "{asks}, wiped: {wiped}");
            assert!(is_cleared(&answer), "{asks}, wiped: {wiped}");
        }
    }
}

/// Every combination of transport, origin, `Sec-Fetch-Site`, method and content type, at each endpoint. A request is
/// rejected before any read or write. The CORS headers state what the page may read.
///
/// invariant: A page of another origin reads and writes nothing with the cookie, and gets none.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_headers_and_answers() {
    let (_db, service) = service().await;
    let origins = [
        (None, false, false),
        (Some(APP), true, true),
        // The page of a body client may call the endpoint, but not with the cookie.
        (Some(SPA), false, true),
        (Some("null"), false, false),
        (Some("https://evil.example"), false, false),
        (Some("https://app.example.com:8443"), false, false),
        (Some("http://app.example.com"), false, false),
        (Some("https://www.app.example.com"), false, false),
        (Some("https://app.example.com.evil.example"), false, false),
        (Some("https://example.com"), false, false),
    ];
    let sites = [
        (None, true),
        (Some("same-origin"), true),
        (Some("same-site"), true),
        (Some("cross-site"), false),
        (Some("none"), false),
    ];
    let content_types = [
        Some("application/json"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=b"),
        Some("text/plain"),
        None,
    ];
    let mut seen = 0;
    let mut live = token(&Sent::login().to(&service).await);
    for (origin, of_app, known) in origins {
        for (site, near) in sites {
            for content_type in content_types {
                for method in ["POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS"] {
                    for (endpoint, cookie) in [
                        ("/login", true),
                        ("/login", false),
                        ("/refresh", true),
                        ("/refresh", false),
                        ("/revoke", true),
                        ("/revoke", false),
                    ] {
                        let form = content_type == Some("application/x-www-form-urlencoded");
                        let mut sent = match (endpoint, cookie) {
                            ("/login", true) => Sent::login(),
                            ("/login", false) => Sent::json(
                                "/login",
                                &json!({ "username": "alice", "password": PASSWORD, "client_id": "cli" }),
                            ),
                            ("/refresh", true) => Sent::refresh(&live),
                            ("/refresh", false) => Sent::json(
                                "/refresh",
                                &json!({ "grant_type": "refresh_token", "refresh_token": "x" }),
                            ),
                            ("/revoke", true) => Sent::revoke(&live),
                            _ => Sent::json("/revoke", &json!({ "token": "x" })),
                        };
                        if form {
                            sent.body = match (endpoint, cookie) {
                                ("/login", _) => format!("username=alice&password={PASSWORD}&client_id=app"),
                                ("/refresh", true) => "grant_type=refresh_token".to_owned(),
                                ("/refresh", false) => "grant_type=refresh_token&refresh_token=x".to_owned(),
                                ("/revoke", true) => "all=false".to_owned(),
                                _ => "token=x".to_owned(),
                            };
                        }
                        let sent = Sent { method, origin, site, content_type, ..sent };
                        let told = format!(
                            "{method} {endpoint} cookie {cookie} {origin:?} {site:?} {content_type:?}"
                        );
                        let _ = service.bench.recorder.take();
                        let answer = sent.to(&service).await;
                        let asked = service.bench.recorder.take();
                        seen += 1;

                        let json = content_type == Some("application/json");
                        let readable = json || (form && endpoint != "/login");
                        // The token `x` is malformed, so it needs no request to the store. Neither does a rejected cookie.
                        let (status, store) = match (method, cookie) {
                            ("POST", _) if !readable => (415, false),
                            ("POST", true) if !of_app || !near => (403, false),
                            ("POST", true) if !json => (415, false),
                            ("POST", true) => (200, true),
                            ("POST", false) if endpoint == "/refresh" => (400, false),
                            ("POST", false) => (200, endpoint == "/login"),
                            _ => (405, false),
                        };
                        assert_eq!(answer.status, status, "{told}: {answer:?}");
                        assert_eq!(!asked.is_empty(), store, "{told}: {asked:?}");
                        assert_eq!(set_cookie(&answer).is_some(), cookie && status == 200, "{told}");
                        assert_eq!(answer.header("vary"), Some("Origin"), "{told}");
                        assert_eq!(answer.header("cache-control"), Some("no-store"), "{told}");
                        assert_eq!(
                            answer.header("access-control-allow-origin"),
                            origin.filter(|_| known),
                            "{told}"
                        );
                        let credentials = answer.header("access-control-allow-credentials");
                        assert_eq!(credentials, of_app.then_some("true"), "{told}");
                        if status == 200 && cookie {
                            live = token(&Sent::login().to(&service).await);
                        }
                    }
                }
            }
        }
    }
    assert_eq!(Sent::refresh(&live).to(&service).await.status, 200, "nothing that was refused touched it");
    assert_eq!(seen, 10 * 5 * 5 * 6 * 6);
}

/// Pages also list sessions and change passwords. A preflight request has no token, and no authorizer stands in front of
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn pages_may_ask_for_what_is_guarded() {
    let (_db, service) = service().await;
    for (path, methods) in [
        ("/sessions", "GET, DELETE"),
        ("/sessions/ses_00000000000000000000000000000000", "GET, DELETE"),
        ("/password", "GET, POST, PATCH, DELETE"),
        ("/factors/totp", "GET, POST, PATCH, DELETE"),
    ] {
        for (origin, status) in [(APP, 204), (SPA, 204), ("https://evil.example", 403), ("null", 403)] {
            let request = http::Request::builder().method("OPTIONS").uri(path);
            let request = request.header("origin", origin).header("access-control-request-method", "DELETE");
            let answer = service.send(request.body(Vec::new()).unwrap()).await;
            assert_eq!(answer.status, status, "{path} {origin}");
            let allowed = (status == 204).then_some(origin);
            assert_eq!(answer.header("access-control-allow-origin"), allowed);
            assert_eq!(answer.header("access-control-allow-methods"), allowed.map(|_| methods));
        }
    }
    assert!(service.bench.recorder.take().is_empty(), "nothing is asked of the store");
}
