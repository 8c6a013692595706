//! The Admin API: `/admin/…` over the embedded DynamoDB.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use data_encoding::BASE64URL_NOPAD;
use daypass_core::ports::event::{AdminAction, Event};
use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::mailroom::Mailroom;
use daypass_tests::service::{PASSWORD, Service, operator, post, request};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

const OTHER: &str = "another long phrase of words";

async fn service() -> (Embedded, Service) {
    let db = Embedded::start(None).unwrap();
    let service = Service::new(&db.url()).await;
    (db, service)
}

/// The actions of the log with whether they are complete, and the ids of their users.
fn actions(service: &Service) -> Vec<(AdminAction, bool, Option<String>)> {
    let changed = |event| match event {
        Event::AdminChanged { operator: by, action, user, complete, .. } => {
            assert_eq!(by, operator().arn);
            Some((action, complete, user.map(|user| user.to_string())))
        }
        _ => None,
    };
    service.journal.take().into_iter().filter_map(changed).collect()
}

async fn done(service: &Service, method: &str, path: &str, body: Option<&Value>) -> Value {
    let answer = service.operate(method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
    answer.json()
}

async fn log_in(service: &Service, name: &str, password: &str) -> Answer {
    service.post("/login", &json!({ "username": name, "password": password })).await
}

/// By the Admin API; tests/it/accounts.rs follows the link of such a mail.
#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_waits_in_the_outbox() {
    let (db, service) = service().await;
    let room = Mailroom::of(&service, &db.url()).await;
    let new = json!({
        "email": "Ada@Example.com", "client_id": "web", "scope": "orders:read",
        "claims": { "tenant": "acme" }, "language": "de-CH",
    });
    let invited = done(&service, "POST", "/admin/invitations", Some(&new)).await;
    assert_eq!(invited["email"], "ada@example.com");
    assert_eq!(actions(&service), [(AdminAction::Invited, true, None)]);
    let records = room.records().await;
    let image = &records["Records"][0]["dynamodb"]["NewImage"];
    let text = |name: &str| image[name]["S"].as_str().unwrap();
    assert_eq!(
        [text("id"), text("purpose"), text("address"), text("client"), text("language")],
        [invited["mail"].as_str().unwrap(), "invitation", "ada@example.com", "web", "de"]
    );
    assert_eq!([text("scope"), text("claims")], ["orders:read", r#"{"tenant":"acme"}"#]);
    for (member, value) in [
        ("email", json!("ada")),
        ("client_id", json!("a b")),
        ("language", json!("x")),
        ("claims", json!({ "exp": 1 })),
        ("scope", json!("daypass:account")),
        ("more", json!(1)),
    ] {
        let mut body = new.clone();
        body[member] = value;
        let refused = service.operate("POST", "/admin/invitations", Some(&body)).await;
        assert_eq!(refused.status, 400, "{member}: {refused:?}");
    }
    assert_eq!(room.records().await["Records"], json!([]));
}

/// A user from addition to removal.
///
/// invariant: Each change through the Admin API is one event with the ARN of the operator.
#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_user() {
    let (_db, service) = service().await;
    let new = json!({
        "username": "Ada", "password": PASSWORD, "scope": "orders:read orders:write",
        "email": "Ada@Example.com", "email_verified": true, "claims": { "tenant": "acme" },
    });
    let added = done(&service, "POST", "/admin/users", Some(&new)).await["user"].clone();
    let id = added["user_id"].as_str().unwrap().to_owned();
    assert_eq!((&added["username"], &added["email"]), (&json!("ada"), &json!("ada@example.com")));
    assert_eq!(actions(&service), [(AdminAction::Added, true, Some(id.clone()))]);
    let path = "/admin/user?username=ADA";
    assert_eq!(done(&service, "GET", path, None).await, added);
    assert_eq!(
        done(&service, "GET", "/admin/users", None).await,
        json!({ "users": [added], "next_cursor": null })
    );

    let login = log_in(&service, "ada@example.com", PASSWORD).await;
    assert_eq!(login.status, 200, "the verified address is a login name: {login:?}");
    let change = json!({ "scope": "orders:read", "claims": { "tenant": "other" }, "email": null });
    let changed = done(&service, "PATCH", path, Some(&change)).await;
    assert_eq!(
        (&changed["sessions_narrowed"], &changed["sessions_updated"], &changed["sessions_ended"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!(changed["user"]["email"], Value::Null);
    let refreshed = service.refresh(&login.refresh_token()).await;
    assert_eq!(refreshed.text("scope"), "orders:read");
    let _ = service.journal.take();

    let listed = done(&service, "GET", &format!("/admin/sessions?user_id={id}"), None).await;
    assert_eq!((&listed["total"], &listed["sessions"][0]["state"]), (&json!(1), &json!("live")));
    let session = listed["sessions"][0]["session_id"].as_str().unwrap().to_owned();
    let one = format!("/admin/session?username=ada&session_id={session}");
    assert!(done(&service, "GET", &one, None).await["rotated_at"].is_u64());
    assert_eq!(done(&service, "DELETE", &one, None).await, json!({ "user_id": id, "ended": 1 }));
    assert_eq!(done(&service, "DELETE", &one, None).await, json!({ "user_id": id, "ended": 0 }));
    let of_user = |action| (action, true, Some(id.clone()));
    assert_eq!(actions(&service), [of_user(AdminAction::SessionEnded)], "nothing changed the second time");
    assert_eq!(service.refresh(&refreshed.refresh_token()).await.status, 400);

    done(&service, "PUT", "/admin/user/password?username=ada", Some(&json!({ "password": OTHER }))).await;
    assert_eq!(log_in(&service, "ada", PASSWORD).await.status, 401);
    assert_eq!(log_in(&service, "ada", OTHER).await.status, 200);
    assert_eq!(done(&service, "DELETE", "/admin/sessions?username=ada", None).await["ended"], 1);
    done(&service, "PATCH", path, Some(&json!({ "status": "disabled" }))).await;
    assert_eq!(log_in(&service, "ada", OTHER).await.status, 401);
    done(&service, "PATCH", path, Some(&json!({ "status": "enabled" }))).await;
    assert_eq!(log_in(&service, "ada", OTHER).await.status, 200);
    done(&service, "DELETE", path, None).await;
    assert_eq!(service.operate("GET", path, None).await.status, 404);
    assert_eq!(
        actions(&service),
        [
            AdminAction::PasswordSet,
            AdminAction::SessionsEnded,
            AdminAction::Disabled,
            AdminAction::Enabled,
            AdminAction::Removed,
        ]
        .map(of_user)
    );
}

/// invariant: A user who is added without a password cannot log in before one is set.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_password_waits_for_one() {
    let (_db, service) = service().await;
    done(&service, "POST", "/admin/users", Some(&json!({ "username": "ada" }))).await;
    done(&service, "POST", "/admin/users", Some(&json!({ "username": "bob" }))).await;
    let hash = async |name: &str| {
        let name = daypass_passwords::Passwords::standard().username(name).unwrap();
        service.bench.store.user(&name).await.unwrap().unwrap().password_hash
    };
    assert_ne!(hash("ada").await, hash("bob").await);
    assert_eq!(log_in(&service, "ada", PASSWORD).await.status, 401);
    done(&service, "PUT", "/admin/user/password?username=ada", Some(&json!({ "password": PASSWORD }))).await;
    assert_eq!(log_in(&service, "ada", PASSWORD).await.status, 200);
}

/// invariant: The Admin API serves only requests that API Gateway authorised by IAM.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_operator_nothing_is_served() {
    let (_db, service) = service().await;
    service.quick_user("ada").await;
    let login = service.login("ada").await;
    let principal = service.principal(&login.access_token());
    let _ = service.journal.take();
    let _ = service.bench.recorder.take();
    for (method, path) in [("GET", "/admin/users"), ("DELETE", "/admin/user?username=ada")] {
        for user in [false, true] {
            let mut request = request(method, path);
            request.headers_mut().insert("authorization", "AWS4-HMAC-SHA256 Credential=x".parse().unwrap());
            // A logged-in user is no operator.
            if user {
                request.extensions_mut().insert(principal);
            }
            assert_eq!(service.send(request).await.outcome(), (403, "access_denied".to_owned()));
            let events = service.journal.take();
            assert!(matches!(events[..], [Event::Failure { during: "authorize", .. }]), "{events:?}");
        }
    }
    assert_eq!(service.bench.recorder.take().len(), 0, "no request to DynamoDB");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_change_nothing() {
    let (_db, service) = service().await;
    let user = service.quick_user("ada").await;
    let (user_path, id) = ("/admin/user?username=ada", user.id);
    let patches = [
        "",
        "{",
        "[]",
        "{}",
        "null",
        r#"{"status":"gone"}"#,
        r#"{"status":null,"x":1}"#,
        r#"{"scope":1}"#,
        r#"{"scope":"a","scope":"b"}"#,
        r#"{"claims":[]}"#,
        r#"{"claims":{"exp":1}}"#,
        r#"{"claims":{"a":1,"a":2}}"#,
        r#"{"claims":{"a":{"b":{"c":{}}}}}"#,
        r#"{"email":"ada"}"#,
        r#"{"email":1}"#,
        r#"{"email_verified":true}"#,
        r#"{"email":null,"email_verified":true}"#,
        r#"{"password":"a longer and better password"}"#,
        r#"{"username":"eve"}"#,
    ];
    let long = format!(r#"{{"claims":{{"a":"{}"}}}}"#, "x".repeat(513));
    for body in patches.into_iter().chain([long.as_str()]) {
        check(&service, "PATCH", user_path, body, 400).await;
    }
    for body in [
        "{}",
        r#"{"username":""}"#,
        r#"{"username":"a b"}"#,
        r#"{"username":1}"#,
        r#"{"username":"eve","admin":true}"#,
        r#"{"username":"eve","password":"short"}"#,
        r#"{"username":"eve","password":1}"#,
        r#"{"username":"email#a@example.com"}"#,
        r#"{"username":"eve","scope":"daypass:account"}"#,
        r#"{"username":"eve","email_verified":true}"#,
    ] {
        check(&service, "POST", "/admin/users", body, 400).await;
    }
    check(&service, "POST", "/admin/users", &" ".repeat(20_000), 413).await;
    check(&service, "PUT", "/admin/user/password?username=ada", r#"{"password":"","x":1}"#, 400).await;
    // Bytes of other versions, no text, no base64url, and the cursor of the revocation feed.
    let other = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let cursors = [
        other(b"\x02ada"),
        other(b"\x01"),
        other(b"\x01\xff"),
        other(b""),
        "a".to_owned(),
        "1.1800000000123".to_owned(),
    ];
    for cursor in cursors {
        check(&service, "GET", &format!("/admin/users?cursor={cursor}"), "", 400).await;
    }
    for query in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1&limit=1", "x=1", "username=ada"] {
        check(&service, "GET", &format!("/admin/users?{query}"), "", 400).await;
    }
    for query in [
        String::new(),
        format!("username=ada&user_id={id}"),
        "user_id=ada".to_owned(),
        "username=a%20b".to_owned(),
        format!("user_id={id}&user_id={id}"),
        "username=%FF".to_owned(),
    ] {
        check(&service, "GET", &format!("/admin/sessions?{query}"), "", 400).await;
        check(&service, "DELETE", &format!("/admin/sessions?{query}"), "", 400).await;
    }
    check(&service, "DELETE", &format!("/admin/session?user_id={id}"), "", 400).await;
    check(&service, "DELETE", &format!("/admin/session?user_id={id}&session_id=all"), "", 400).await;
    for path in [
        "/admin/",
        "/admin/Users",
        "/admin/users/",
        "/admin/users/ada",
        "/admin/user/password/x",
        "/admin//users",
    ] {
        check(&service, "GET", path, "", 404).await;
    }
    for (method, path) in [
        ("PUT", "/admin/users"),
        ("POST", "/admin/user"),
        ("GET", "/admin/user/password"),
        ("OPTIONS", "/admin/sessions"),
        ("HEAD", "/admin/session"),
    ] {
        check(&service, method, path, "", 405).await;
    }
    assert_eq!(actions(&service), []);
    assert_eq!(service.bench.store.user(&user.username).await, Ok(Some(user)));
}

async fn check(service: &Service, method: &str, path: &str, body: &str, status: u16) {
    let mut request = post(path, "application/json", body);
    *request.method_mut() = method.parse().unwrap();
    request.extensions_mut().insert(operator());
    let answer = service.send(request).await;
    assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_addresses_are_taken_once() {
    let (_db, service) = service().await;
    for name in ["ada", "bob", "carol@example.com"] {
        done(&service, "POST", "/admin/users", Some(&json!({ "username": name }))).await;
    }
    done(&service, "PATCH", "/admin/user?username=ada", Some(&json!({ "email": "ada@example.com" }))).await;
    let _ = service.journal.take();
    let conflict = (409, "already_exists".to_owned());
    let again = json!({ "username": "ADA" });
    assert_eq!(service.operate("POST", "/admin/users", Some(&again)).await.outcome(), conflict);
    for address in ["ADA@example.com", "carol@example.com"] {
        let email = json!({ "email": address, "status": "disabled" });
        let answer = service.operate("PATCH", "/admin/user?username=bob", Some(&email)).await;
        assert_eq!(answer.outcome(), conflict);
        let new = json!({ "username": "eve", "email": address });
        assert_eq!(service.operate("POST", "/admin/users", Some(&new)).await.outcome(), conflict);
    }
    assert_eq!(actions(&service), [], "the status was not changed either");
    assert_eq!(done(&service, "GET", "/admin/user?username=bob", None).await["status"], "enabled");
}

/// Any order of the two would do for small ones. Each of these pairs fits only in one.
#[tokio::test(flavor = "multi_thread")]
async fn scope_and_claims_change_together_when_only_one_order_fits() {
    let (_db, service) = service().await;
    let (narrow, wide) = ("s", "w".repeat(200));
    let claims = |length: usize| json!({ "a": "x".repeat(length) });
    let name = "n".repeat(100);
    done(
        &service,
        "POST",
        "/admin/users",
        Some(&json!({ "username": name, "scope": wide, "claims": claims(320) })),
    )
    .await;
    let path = format!("/admin/user?username={name}");
    for (scope, length) in [(narrow, 500), (wide.as_str(), 320)] {
        let change = json!({ "scope": scope, "claims": claims(length) });
        let changed = done(&service, "PATCH", &path, Some(&change)).await;
        assert_eq!((&changed["user"]["scope"], &changed["user"]["claims"]), (&json!(scope), &claims(length)));
    }
    let answer = service.operate("PATCH", &path, Some(&json!({ "claims": claims(500) }))).await;
    assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_list_every_user_once() {
    let (_db, service) = service().await;
    let mut names = Vec::new();
    for number in 0..7 {
        let email =
            json!({ "username": format!("user{number}"), "email": format!("user{number}@example.com") });
        names.push(done(&service, "POST", "/admin/users", Some(&email)).await["user"]["username"].clone());
    }
    let (mut listed, mut path, mut pages) = (Vec::new(), "/admin/users?limit=3".to_owned(), 0);
    loop {
        let page = done(&service, "GET", &path, None).await;
        let users = page["users"].as_array().unwrap();
        assert!(users.len() <= 3, "{page}");
        listed.extend(users.iter().map(|user| user["username"].clone()));
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/admin/users?limit=3&cursor={cursor}");
    }
    listed.sort_by_key(Value::to_string);
    assert_eq!(listed, names);
    assert!(pages >= 3, "{pages}");
}

/// invariant: A change that a failing store interrupts is recorded as incomplete, and its repeat finishes it.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_change_is_recorded_and_can_be_repeated() {
    let (_db, service) = service().await;
    let user = service.quick_user("ada").await;
    let login = service.login("ada").await;
    let path = "/admin/user?username=ada";
    let disable = json!({ "status": "disabled" });
    let requests = {
        service.quick_user("copy").await;
        service.login("copy").await;
        let _ = service.bench.recorder.take();
        done(&service, "PATCH", "/admin/user?username=copy", Some(&disable)).await;
        service.bench.recorder.take().len()
    };
    let _ = service.journal.take();
    for failing in 0..requests {
        let sent = AtomicUsize::new(0);
        service.bench.recorder.set_hook(move |_| match sent.fetch_add(1, Ordering::SeqCst) == failing {
            true => Action::refuse(400, "AccessDeniedException"),
            false => Action::Pass,
        });
        let answer = service.operate("PATCH", path, Some(&disable)).await;
        assert_eq!(answer.outcome(), (500, "server_error".to_owned()), "request {failing}");
        let incomplete = [(AdminAction::Disabled, false, Some(user.id.to_string()))];
        // The first request reads the user.
        assert_eq!(
            actions(&service),
            if failing == 0 { vec![] } else { incomplete.to_vec() },
            "request {failing}"
        );
    }
    service.bench.recorder.always(Action::Pass);
    done(&service, "PATCH", path, Some(&disable)).await;
    assert_eq!(actions(&service), [(AdminAction::Disabled, true, Some(user.id.to_string()))]);
    assert_eq!(service.refresh(&login.refresh_token()).await.status, 400);
}

/// invariant: No password and no name of a user is in the log of the Admin API.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_no_secrets() {
    let (_db, service) = service().await;
    let marks = ["secret phrase of many words", "marked-name", "marked@example.com", "marked-claim"];
    let [password, name, email, claim] = marks;
    let new = json!({ "username": name, "password": password, "email": email, "claims": { "c": claim } });
    done(&service, "POST", "/admin/users", Some(&new)).await;
    let path = format!("/admin/user?username={name}");
    for body in [
        json!({ "claims": { "c": claim } }),
        json!({ "email": email, "x": password }),
        json!({ "email": claim }),
    ] {
        let _ = service.operate("PATCH", &path, Some(&body)).await;
    }
    let short = json!({ "password": "marked" });
    let _ = service.operate("PUT", &path.replace("user?", "user/password?"), Some(&short)).await;
    done(&service, "DELETE", &path, None).await;
    let lines = service.journal.take_lines();
    assert!(lines.len() >= 5, "{lines:?}");
    for line in lines {
        assert!(marks.iter().all(|mark| !line.contains(mark)) && !line.contains("argon2"), "{line}");
    }
}

/// From its creation to its revocation, with what each step writes into the audit trail.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_client_by_the_admin_api() {
    let (_db, service) = service().await;
    let audit = |expected: &[(AdminAction, &str, bool)]| {
        let changed = |event| match event {
            Event::AdminChanged { action, client, complete, .. } => {
                Some((action, client.unwrap().to_string(), complete))
            }
            _ => None,
        };
        let found: Vec<_> = service.journal.take().into_iter().filter_map(changed).collect();
        let found: Vec<_> =
            found.iter().map(|(action, client, complete)| (*action, client.as_str(), *complete)).collect();
        assert_eq!(found, expected);
    };
    let new = done(&service, "POST", "/admin/clients", Some(&json!({ "name": "jobs" }))).await;
    audit(&[(AdminAction::ClientCreated, "client_jobs", true)]);
    let keys = "/admin/client/keys?client_id=client_jobs";
    let second = done(&service, "POST", keys, Some(&json!({}))).await;
    audit(&[(AdminAction::ClientRotated, "client_jobs", true)]);
    assert_ne!(new["client_secret"], second["client_secret"]);
    for (method, path, body, expected) in [
        ("POST", "/admin/clients", Some(json!({ "name": "jobs" })), (409, "already_exists")),
        ("POST", keys, Some(json!({})), (409, "already_exists")),
        ("POST", "/admin/clients", Some(json!({ "name": "A" })), (400, "invalid_request")),
        ("POST", "/admin/clients", Some(json!({ "name": "a", "audience": "a b" })), (400, "invalid_request")),
        (
            "POST",
            "/admin/clients",
            Some(json!({ "name": "a", "access_token_seconds": 59 })),
            (400, "invalid_request"),
        ),
        (
            "POST",
            "/admin/clients",
            Some(json!({ "name": "a", "public_key": { "kty": "oct", "k": "AA" } })),
            (400, "invalid_request"),
        ),
        ("POST", "/admin/clients", Some(json!({ "name": "a", "secret": "mine" })), (400, "invalid_request")),
        (
            "POST",
            "/admin/clients",
            Some(json!({ "name": "a", "single_use_assertions": true })),
            (400, "invalid_request"),
        ),
        (
            "DELETE",
            "/admin/client?client_id=client_jobs&key=key_0000000000000000",
            None,
            (404, "invalid_request"),
        ),
        ("DELETE", "/admin/client?client_id=client_other", None, (404, "invalid_request")),
    ] {
        let answer = service.operate(method, path, body.as_ref()).await;
        assert_eq!(answer.outcome(), (expected.0, expected.1.to_owned()), "{method} {path} {body:?}");
    }
    audit(&[]);
    // The tokens end before the keys go, so an interrupted revocation is repeated, and recorded as incomplete.
    service.bench.recorder.always(Action::refuse(400, "AccessDeniedException"));
    let one = format!("/admin/client?client_id=client_jobs&key={}", new["key"].as_str().unwrap());
    assert_eq!(service.operate("DELETE", &one, None).await.status, 500);
    audit(&[(AdminAction::ClientRevoked, "client_jobs", false)]);
    service.bench.recorder.always(Action::Pass);
    done(&service, "DELETE", &one, None).await;
    let only = format!("/admin/client?client_id=client_jobs&key={}", second["key"].as_str().unwrap());
    assert_eq!(service.operate("DELETE", &only, None).await.status, 400);
    let ended = done(&service, "DELETE", "/admin/client?client_id=client_jobs", None).await;
    assert_eq!(ended["keys"], json!([second["key"]]));
    audit(&[
        (AdminAction::ClientRevoked, "client_jobs", true),
        (AdminAction::ClientRevoked, "client_jobs", true),
    ]);
    assert_eq!(done(&service, "GET", "/admin/clients", None).await, json!({ "clients": [] }));
}
