//! `GET /sessions` and `DELETE /sessions/{id}` from request to response, over the embedded DynamoDB. The authorizer
//! verifies an access token and names the caller. The recorder counts every request.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use daypass_core::ports::event::Event;
use daypass_core::session::{DeadCause, EndReason};
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::bench;
use daypass_tests::service::{Service, post, request};
use daypass_verifier::base::ids::{SessionId, UserId};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

/// A service over separate tables, with the user alice.
async fn service() -> (Embedded, Service, UserId) {
    with(&[]).await
}

async fn with(settings: &[(&str, &str)]) -> (Embedded, Service, UserId) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::with(&embedded.url(), settings).await;
    let alice = service.user("alice").await.id;
    (embedded, service, alice)
}

async fn list(service: &Service, login: &Answer) -> Answer {
    service.guarded("GET", "/sessions", &login.access_token()).await
}

async fn end(service: &Service, login: &Answer, session: &str) -> Answer {
    service.guarded("DELETE", &format!("/sessions/{session}"), &login.access_token()).await
}

fn id(login: &Answer) -> String {
    login.text("session_id")
}

/// The ids in a response, in their order.
fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let sessions = answer.json()["sessions"].as_array().unwrap().clone();
    sessions.iter().map(|session| session["session_id"].as_str().unwrap().to_owned()).collect()
}

/// The operations since the last call.
fn operations(service: &Service) -> Vec<String> {
    service.bench.recorder.take().into_iter().map(|exchange| exchange.operation).collect()
}

fn empty() -> (u16, Value) {
    (200, json!({}))
}

fn invalid_token() -> (u16, String) {
    (401, "invalid_token".to_owned())
}

fn nothing_here() -> (u16, String) {
    (404, "invalid_request".to_owned())
}

fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_their_sessions_and_which_is_theirs() {
    let (_db, service, _) = service().await;
    let phone = service.login("alice").await;
    service.clock.advance(Duration::from_secs(100));
    let body =
        json!({ "username": "alice", "password": daypass_tests::service::PASSWORD, "client_id": "narrow" });
    let laptop = service.post("/login", &body).await;
    service.clock.advance(Duration::from_secs(100));
    let phone = service.refresh(&phone.refresh_token()).await;

    let answer = list(&service, &laptop).await;
    let at = bench::NOW.seconds();
    assert_eq!(
        answer.json(),
        json!({
            "sessions": [
                {
                    "session_id": id(&laptop), "client_id": "narrow", "scope": "orders:read", "current": true,
                    "created_at": at + 100, "last_used_at": at + 100, "expires_at": at + 100 + 15_552_000,
                },
                {
                    "session_id": id(&phone), "client_id": "web", "scope": "orders:read orders:write",
                    "current": false,
                    "created_at": at, "last_used_at": at, "expires_at": at + 15_552_000,
                },
            ],
            "total": 2,
        })
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(ids(&list(&service, &phone).await), [id(&phone), id(&laptop)], "the caller's own comes first");
}

/// A token with a narrower scope calls no account endpoint, unless the request names the right. No such call sends a request to
/// DynamoDB.
///
/// invariant: An access token with a narrower scope neither shows nor ends sessions nor changes the password.
#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_token_has_no_right_to_the_account() {
    let (_db, service, _) = service().await;
    let insufficient = (403, "insufficient_scope".to_owned());
    let refresh = async |token: &str, scope: &str| {
        let body = format!("grant_type=refresh_token&refresh_token={token}{scope}");
        service.form("/refresh", &body).await
    };
    let denied = async |login: &Answer| {
        let token = login.access_token();
        let _ = (service.bench.recorder.take(), service.journal.take());
        let answers = [
            list(&service, login).await,
            end(&service, login, &id(login)).await,
            service.change_password("192.0.2.1", &token, "x", "a long new password").await,
            service.form("/revoke", &format!("token={token}&all=true")).await,
        ];
        for answer in &answers {
            assert_eq!(answer.outcome(), insufficient);
            let challenge = r#"Bearer error="insufficient_scope", scope="daypass:account""#;
            assert_eq!(answer.header("www-authenticate"), Some(challenge));
        }
        let events = service.journal.take();
        assert_eq!(events.len(), answers.len());
        let refused =
            |event: &Event| matches!(event, Event::RequestRefused { error: "insufficient_scope", .. });
        assert!(events.iter().all(refused), "{events:?}");
        assert_eq!(operations(&service), Vec::<String>::new());
    };

    let login = service.login("alice").await;
    assert_eq!(list(&service, &login).await.status, 200);
    let narrow = refresh(&login.refresh_token(), "&scope=orders:read").await;
    denied(&narrow).await;
    // The right is named in the request, and is no word of the scope.
    let named = refresh(&narrow.refresh_token(), "&scope=orders:read%20daypass:account").await;
    assert_eq!(named.text("scope"), "orders:read");
    assert_eq!(list(&service, &named).await.status, 200);
    let only = refresh(&named.refresh_token(), "&scope=daypass:account").await;
    assert_eq!((only.text("scope"), list(&service, &only).await.status), (String::new(), 200));
    let whole = refresh(&only.refresh_token(), "").await;
    assert_eq!(list(&service, &whole).await.status, 200);
    // The refresh token of the session may end all.
    let all = format!("token={}&all=true", whole.refresh_token());
    assert_eq!(service.form("/revoke", &all).await.status, 200);

    // A login with a narrower scope opens a session without the right.
    let log_in = async |scope: &str| {
        let password = daypass_tests::service::PASSWORD;
        service.post("/login", &json!({ "username": "alice", "password": password, "scope": scope })).await
    };
    let login = log_in("orders:read").await;
    denied(&login).await;
    let named = refresh(&login.refresh_token(), "&scope=orders:read%20daypass:account").await;
    denied(&named).await;
    assert_eq!(service.revoke(&named.access_token()).await.status, 200, "it ends its own session");
    let login = log_in("orders:read orders:write").await;
    assert_eq!(list(&service, &login).await.status, 200, "the whole scope is not narrower");
    let login = log_in("orders:read daypass:account").await;
    assert_eq!(list(&service, &login).await.status, 200);
    let next = refresh(&login.refresh_token(), "").await;
    assert_eq!((next.text("scope"), list(&service, &next).await.status), ("orders:read".to_owned(), 200));
    assert_eq!(log_in("daypass:other").await.outcome(), (400, "invalid_scope".to_owned()));
}

/// A thief with a copy of both tokens polls the list and presents the copied refresh token after each poll. The owner names
/// each refresh.
///
/// invariant: A thief who watches the list of sessions is found out at the second use of a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_thief_who_watches_the_list_is_found_out() {
    for (poll, found) in [(4_999, false), (5_000, true), (20_000, true)] {
        let (_db, service, _) = service().await;
        let owner = service.login("alice").await;
        let before = list(&service, &owner).await.json();
        let mut stolen = owner.refresh_token();
        let mut own = stolen.clone();
        for turn in 0..3 {
            own = service.refresh_under(&format!("the-key-of-turn-{turn}"), &own).await.refresh_token();
            assert_eq!(list(&service, &owner).await.json(), before, "the list does not tell");
            service.clock.advance(Duration::from_millis(poll));
            let answer = service.refresh_under(&format!("the-key-of-thief-{turn}"), &stolen).await;
            if found {
                assert_eq!(answer.outcome(), invalid_grant());
                let events = service.journal.take();
                assert!(matches!(events[..], [.., Event::Reuse { .. }]), "{events:?}");
                assert_eq!(service.refresh(&own).await.outcome(), invalid_grant(), "the session ended");
                break;
            }
            stolen = answer.refresh_token();
            assert_eq!(stolen, own, "the grace that is left for tabs without a common key");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_device_and_the_idle_limit_are_shown() {
    let (_db, service, _) = with(&[("DAYPASS_IDLE_SECONDS", "600")]).await;
    let mut login = post(
        "/login",
        "application/json",
        json!({ "username": "alice", "password": daypass_tests::service::PASSWORD }).to_string(),
    );
    let user_agent = Some("Chrome on \"Mars\" <script>".to_owned());
    login
        .extensions_mut()
        .insert(daypass_verifier::ports::context::Caller { user_agent, ..Default::default() });
    let login = service.send(login).await;
    let shown = &list(&service, &login).await.json()["sessions"][0];
    assert_eq!(
        shown["device"], "Chrome on \"Mars\" <script>",
        "as data: JSON escapes it, and so must a page"
    );
    assert_eq!(shown["expires_at"], (bench::NOW.seconds() + 600).next_multiple_of(3600));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_other_users_are_neither_seen_nor_ended() {
    let (_db, service, _) = service().await;
    service.user("bob").await;
    let (alice, bob) = (service.login("alice").await, service.login("bob").await);
    assert_eq!(ids(&list(&service, &alice).await), [id(&alice)]);
    assert_eq!(list(&service, &alice).await.json()["total"], 1);

    let foreign = end(&service, &alice, &id(&bob)).await;
    let unknown = end(&service, &alice, &SessionId::from_bytes([7; 16]).to_string()).await;
    assert_eq!(foreign.outcome(), nothing_here());
    assert_eq!(foreign, unknown, "the same bytes: nothing tells whether there is such a session");
    assert_eq!(end(&service, &alice, "ses_1").await, foreign, "nor whether it could be one");
    assert_eq!(service.refresh(&bob.refresh_token()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_not_listed() {
    let (_db, service, alice) = with(&[("DAYPASS_IDLE_SECONDS", "600")]).await;
    let left = service.login("alice").await;
    service.clock.advance(Duration::from_secs(599));
    let (revoked, stolen, live) =
        (service.login("alice").await, service.login("alice").await, service.login("alice").await);
    let all = ids(&list(&service, &live).await);
    assert_eq!(all.len(), 4);
    service.revoke(&revoked.refresh_token()).await;
    let next = service.refresh(&stolen.refresh_token()).await;
    service.refresh(&next.refresh_token()).await;
    assert_eq!(service.refresh(&stolen.refresh_token()).await.outcome(), invalid_grant());
    assert_eq!(ids(&list(&service, &live).await), [id(&live), id(&left)]);
    service.clock.advance(Duration::from_secs(1));
    assert_eq!(ids(&list(&service, &live).await), [id(&live)], "expired to the second, though still stored");
    assert_eq!(service.bench.store.sessions(alice).await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_session_ends_at_once_and_for_good() {
    let (_db, service, alice) = service().await;
    let (mine, lost) = (service.login("alice").await, service.login("alice").await);
    let successor = service.refresh(&lost.refresh_token()).await;
    let _ = service.journal.take();
    for _ in 0..2 {
        let answer = end(&service, &mine, &id(&lost)).await;
        assert_eq!((answer.status, answer.json()), empty(), "also the second time");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for token in [lost.refresh_token(), successor.refresh_token()] {
        assert_eq!(service.refresh(&token).await.outcome(), invalid_grant());
    }
    assert_eq!(ids(&list(&service, &mine).await), [id(&mine)]);
    assert_eq!(service.refresh(&mine.refresh_token()).await.status, 200, "the caller's own lives on");

    let session = SessionId::parse(&id(&lost)).unwrap();
    let reason = EndReason::EndedByUser;
    assert_eq!(service.journal.take()[0], Event::SessionEnded { user: alice, session, reason });
    let stored = service.bench.store.sessions(alice).await.unwrap();
    let ended = stored.iter().find(|stored| stored.session == session).unwrap().ended.unwrap();
    assert_eq!(ended.reason, reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_session_ends_like_a_logout() {
    let (_db, service, alice) = service().await;
    let (mine, other) = (service.login("alice").await, service.login("alice").await);
    let _ = service.journal.take();
    assert_eq!(end(&service, &mine, &id(&mine)).await.json(), json!({}));
    let session = SessionId::parse(&id(&mine)).unwrap();
    let reason = EndReason::Revoked;
    assert_eq!(service.journal.take(), [Event::SessionEnded { user: alice, session, reason }]);
    assert_eq!(service.refresh(&mine.refresh_token()).await.outcome(), invalid_grant());
    let again = end(&service, &mine, &id(&mine)).await;
    assert_eq!((again.status, again.json()), empty(), "a logout that is sent again");
    assert_eq!(service.refresh(&other.refresh_token()).await.status, 200);
}

/// An expired session has ended already, so ending it is 200 and not 404.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_is_answered_like_one_that_ends() {
    let (_db, service, _) = with(&[("DAYPASS_IDLE_SECONDS", "60")]).await;
    let left = service.login("alice").await;
    service.clock.advance(Duration::from_secs(60));
    let mine = service.login("alice").await;
    let answer = end(&service, &mine, &id(&left)).await;
    assert_eq!((answer.status, answer.json()), empty());
}

/// An access token is valid for minutes after its session has ended. The function checks this, because the authorizer may
/// not know yet.
///
/// invariant: The token of an ended session lists no session and ends no other one.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_session_that_ended_shows_and_commands_nothing() {
    let (_db, service, alice) = with(&[("DAYPASS_IDLE_SECONDS", "60")]).await;
    let (ended, expired) = (service.login("alice").await, service.login("alice").await);
    service.revoke(&ended.refresh_token()).await;
    service.clock.advance(Duration::from_secs(60));
    let live = service.login("alice").await;
    let _ = service.journal.take();
    for (dead, cause) in [(&ended, DeadCause::Ended), (&expired, DeadCause::Expired)] {
        assert!(service.lets_through(&dead.access_token()), "the authorizer still takes it");
        for answer in [list(&service, dead).await, end(&service, dead, &id(&live)).await] {
            assert_eq!(answer.outcome(), invalid_token());
            assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        let principal = service.principal(&dead.access_token());
        let denied = Event::AuthorizeDenied { cause, user: principal.user, session: principal.session };
        assert_eq!(service.journal.take(), [denied.clone(), denied]);
    }
    assert_eq!(service.refresh(&live.refresh_token()).await.status, 200);

    // The operator has ended this session and all others.
    let again = service.login("alice").await;
    service.bench.store.end_sessions(alice, bench::NOW, EndReason::Operator).await.unwrap();
    assert_eq!(list(&service, &again).await.outcome(), invalid_token());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_on_the_wire() {
    let (_db, service, _) = service().await;
    let (mine, other) = (service.login("alice").await, service.login("alice").await);
    let _ = operations(&service);
    list(&service, &mine).await;
    assert_eq!(operations(&service), ["Query"]);
    for _ in 0..2 {
        end(&service, &mine, &id(&other)).await;
        assert_eq!(operations(&service), ["GetItem", "UpdateItem"]);
    }
    assert_eq!(end(&service, &other, &id(&mine)).await.outcome(), invalid_token());
    assert_eq!(operations(&service), ["GetItem"], "no write for the token of a session that ended");
    for _ in 0..2 {
        end(&service, &mine, &id(&mine)).await;
        assert_eq!(operations(&service), ["UpdateItem"]);
    }
    assert_eq!(list(&service, &mine).await.outcome(), invalid_token());
    assert_eq!(operations(&service), ["Query"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_are_shown_and_all_are_counted() {
    let (_db, service, alice) = service().await;
    let mine = service.login("alice").await;
    let stored = service.bench.store.sessions(alice).await.unwrap().remove(0);
    let template = service.bench.item(&stored).await.unwrap();
    let used = |n: u64| (bench::NOW.seconds() / 3600 + n) * 3600;
    join_all((1..=120).map(|n| {
        let mut item = template.clone();
        let text = |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text);
        let number = |number: u64| aws_sdk_dynamodb::types::AttributeValue::N(number.to_string());
        item.insert("session".to_owned(), text(SessionId::from_bytes(bench::random()).to_string()));
        item.insert("rotated_at".to_owned(), number(used(n)));
        let put = service.bench.raw.put_item().table_name(&service.bench.tables.sessions);
        let put = put.set_item(Some(item)).send();
        async move { put.await.unwrap() }
    }))
    .await;
    let answer = list(&service, &mine).await.json();
    let shown = answer["sessions"].as_array().unwrap();
    assert_eq!((shown.len(), &answer["total"]), (100, &json!(121)));
    assert_eq!((&shown[0]["session_id"], &shown[0]["current"]), (&json!(id(&mine)), &json!(true)));
    let times: Vec<u64> =
        shown.iter().skip(1).map(|session| session["last_used_at"].as_u64().unwrap()).collect();
    assert_eq!(times, (22..=120).rev().map(used).collect::<Vec<_>>(), "the last used first");
    assert!(shown.iter().skip(1).all(|session| session["current"] == false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_is_503_and_never_a_verdict_on_the_token() {
    let (_db, service, _) = service().await;
    let (mine, other) = (service.login("alice").await, service.login("alice").await);
    let (own_id, other_id) = (id(&mine), id(&other));
    for way in [
        Action::refuse(400, "ThrottlingException"),
        Action::Status(500, json!({ "__type": "InternalServerError" })),
        Action::Hang(Duration::from_secs(30)),
        Action::DropRequest,
    ] {
        service.bench.recorder.always(way.clone());
        let (listed, ended, own) = tokio::join!(
            list(&service, &mine),
            end(&service, &mine, &other_id),
            end(&service, &mine, &own_id)
        );
        for answer in [listed, ended, own] {
            assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{way:?}");
            assert_eq!(answer.header("retry-after"), Some("2"), "{way:?}");
        }
        service.bench.recorder.always(Action::Pass);
    }
    assert_eq!(ids(&list(&service, &mine).await).len(), 2, "nothing had happened");

    service.bench.recorder.always(Action::refuse(400, "AccessDeniedException"));
    assert_eq!(list(&service, &mine).await.outcome(), (500, "server_error".to_owned()), "our own fault");
    // The response to the write is lost. The SDK retries, and finds the session ended.
    service.bench.recorder.set_hook({
        let dropped = std::sync::atomic::AtomicBool::new(false);
        move |call| {
            let first =
                call.operation == "UpdateItem" && !dropped.swap(true, std::sync::atomic::Ordering::SeqCst);
            if first { Action::DropAnswer } else { Action::Pass }
        }
    });
    assert_eq!(end(&service, &mine, &id(&other)).await.status, 200);
    assert_eq!(service.refresh(&other.refresh_token()).await.outcome(), invalid_grant());
}

/// Between the read and the write of the function, another request ends the caller's session. It stays ended.
#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_that_end_each_other_end_at_most_both() {
    let (_db, service, alice) = service().await;
    for _ in 0..8 {
        let (one, two) = (service.login("alice").await, service.login("alice").await);
        let (first, second) = (id(&one), id(&two));
        let (a, b) = tokio::join!(end(&service, &one, &second), end(&service, &two, &first));
        assert!([a.status, b.status].iter().all(|status| [200, 401].contains(status)), "{a:?} {b:?}");
        assert!(a.status == 200 || b.status == 200);
        for (answer, session) in [(&a, &second), (&b, &first)] {
            let stored = service.bench.store.sessions(alice).await.unwrap();
            let stored = stored.iter().find(|stored| stored.session.to_string() == **session).unwrap();
            assert_eq!(stored.ended.is_some(), answer.status == 200, "what was answered is what happened");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_cannot_be_read_hides_no_other() {
    let (_db, service, alice) = service().await;
    let (mine, other) = (service.login("alice").await, service.login("alice").await);
    let odd = SessionId::from_bytes(bench::random()).to_string();
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let put = service.bench.raw.put_item().table_name(&service.bench.tables.sessions);
    let put =
        put.item("user", text(&alice.to_string())).item("session", text(&odd)).item("client", text("x"));
    put.send().await.unwrap();
    let _ = service.journal.take();
    let answer = list(&service, &mine).await;
    assert_eq!(ids(&answer).len(), 2);
    assert_eq!(answer.json()["total"], 2);
    let events = service.journal.take();
    assert!(
        matches!(&events[..], [Event::Failure { during: "stored_sessions", detail }]
            if detail.contains("1 left out") && !detail.contains(&odd)),
        "{events:?}"
    );
    assert_eq!(end(&service, &mine, &odd).await.status, 200, "and it can be ended");
    assert_eq!(end(&service, &mine, &id(&other)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_paths_that_are_not_there() {
    let (_db, service, _) = service().await;
    let mine = service.login("alice").await;
    let token = mine.access_token();
    let _ = operations(&service);
    for method in ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"] {
        let answer = service.guarded(method, "/sessions", &token).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")), "{method}");
    }
    for method in ["GET", "POST", "PUT", "PATCH", "HEAD", "OPTIONS"] {
        let answer = service.guarded(method, &format!("/sessions/{}", id(&mine)), &token).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("DELETE")), "{method}");
    }
    let mine = id(&mine);
    let hostile = [
        "..".to_owned(),
        ".".to_owned(),
        "%2e".to_owned(),
        "%2e%2e".to_owned(),
        "%2e%2e%2fsessions".to_owned(),
        "..%5csessions".to_owned(),
        "%00".to_owned(),
        format!("{mine}%00"),
        format!("%20{mine}"),
        format!("{mine}/"),
        format!("/{mine}"),
        format!("{mine}/{mine}"),
        format!("x/../{mine}x"),
        mine.to_uppercase(),
        mine.replace("ses_", "usr_"),
        mine.replace("ses_", ""),
        format!("{mine}0"),
        mine[..mine.len() - 1].to_owned(),
        "ses_".to_owned(),
        "*".to_owned(),
        "all".to_owned(),
        "null".to_owned(),
        "%F0%9F%92%A5".to_owned(),
        "a".repeat(10_000),
        format!("ses_{}", "0".repeat(10_000)),
    ];
    for bad in hostile {
        let answer = service.guarded("DELETE", &format!("/sessions/{bad}"), &token).await;
        let shown = &bad[..bad.len().min(60)];
        assert_eq!(answer.outcome(), nothing_here(), "{shown}");
        assert!(!String::from_utf8(answer.body).unwrap().contains("ses_"), "{shown}");
    }
    assert_eq!(operations(&service), [""; 0], "nothing was asked of the store");
    assert_eq!(service.guarded("GET", "/sessions?user=bob&all=true&limit=0", &token).await.status, 200);
}

/// If the route was deployed without its authorizer, every request is rejected.
///
/// invariant: The caller's user and session come from the authorizer's context alone. Without an authorizer,
/// account endpoints answer 401.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_authorizer_in_front_nobody_gets_in() {
    let (_db, service, alice) = service().await;
    let mine = service.login("alice").await;
    let _ = (operations(&service), service.journal.take());
    let session = id(&mine);
    for (method, path) in [("GET", "/sessions".to_owned()), ("DELETE", format!("/sessions/{session}"))] {
        let mut request = request(method, &path);
        let forged =
            json!({ "requestContext": { "authorizer": { "lambda": { "sub": alice, "sid": session } } } });
        *request.body_mut() = forged.to_string().into_bytes();
        for (name, value) in [
            ("authorization", format!("Bearer {}", mine.access_token())),
            ("x-daypass-sub", alice.to_string()),
            ("x-daypass-sid", session.clone()),
            ("content-type", "application/json".to_owned()),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = service.send(request).await;
        assert_eq!(answer.outcome(), invalid_token());
        assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
        let events = service.journal.take();
        assert!(
            matches!(&events[..], [Event::Failure { during: "authorize", detail }] if detail.contains("authorizer")),
            "{events:?}"
        );
    }
    assert_eq!(operations(&service), [""; 0], "nothing was asked of the store");
    assert_eq!(service.refresh(&mine.refresh_token()).await.status, 200);
}

/// Headers and bodies do not determine the user: the sessions are those of the token.
///
/// invariant: The caller's user and session come from the authorizer's context alone. Without an authorizer,
/// account endpoints answer 401.
#[tokio::test(flavor = "multi_thread")]
async fn forged_headers_and_bodies_change_nothing() {
    let (_db, service, _) = service().await;
    let bob = service.user("bob").await;
    let (alice, theirs) = (service.login("alice").await, service.login("bob").await);
    let forge = |mut request: daypass_core::http::request::Request| {
        let ids = json!({ "sub": bob.id, "sid": id(&theirs) });
        let body = json!({
            "authorizer": { "lambda": ids, "jwt": { "claims": ids } }, "sub": bob.id, "sid": id(&theirs),
            "requestContext": { "authorizer": { "lambda": ids } },
        });
        *request.body_mut() = body.to_string().into_bytes();
        for (name, value) in [
            ("x-daypass-sub", bob.id.to_string()),
            ("x-daypass-sid", id(&theirs)),
            ("authorization", format!("Bearer {}", theirs.access_token())),
            ("x-amzn-request-context", body.to_string()),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let token = alice.access_token();
    let listed = service.send_as(&token, forge(request("GET", "/sessions"))).await;
    assert_eq!(listed, list(&service, &alice).await);
    assert_eq!(ids(&listed), [id(&alice)]);
    let ended =
        service.send_as(&token, forge(request("DELETE", &format!("/sessions/{}", id(&theirs))))).await;
    assert_eq!(ended.outcome(), nothing_here());
    assert_eq!(service.refresh(&theirs.refresh_token()).await.status, 200);
}

/// A response contains no secret and no internals of the store.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_holds_what_it_should_and_no_more() {
    let (_db, service, alice) = service().await;
    let mine = service.login("alice").await;
    let refreshed = service.refresh(&mine.refresh_token()).await;
    let answer = list(&service, &refreshed).await;
    let text = String::from_utf8(answer.body.clone()).unwrap();
    for secret in
        [mine.refresh_token(), refreshed.refresh_token(), refreshed.access_token(), alice.to_string()]
    {
        assert!(!text.contains(&secret), "{text}");
    }
    let shown = answer.json()["sessions"][0].as_object().unwrap().clone();
    let members: Vec<&str> = shown.keys().map(String::as_str).collect();
    assert_eq!(
        members,
        ["client_id", "created_at", "current", "expires_at", "last_used_at", "scope", "session_id"]
    );
}
