//! Requests that cause every event of requests. Each line agrees with the document, and holds no secret.

use super::*;
use daypass_core::client::machine::{Credential, Machine, MachineDocument, SecretDigest, new_secret};
use daypass_core::factor::totp::{Totp, TotpHash};
use daypass_core::secret::Secret;
use daypass_runtime::OsEntropy;
use daypass_testkit::cognito::{Cognito, Fault};
use daypass_tests::authenticator::{Authenticator, ORIGIN, RP_ID};
use daypass_tests::mailroom::{Mailroom, token_and_code};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;

/// Headers of the caller, which must not appear in any line. Addresses in them must not become the `source_ip`.
const HEADERS: [(&str, &str); 9] = [
    ("x-forwarded-for", "198.51.100.1"),
    ("forwarded", "for=198.51.100.2"),
    ("x-real-ip", "198.51.100.3"),
    ("user-agent", "marker-agent/1.0"),
    ("cookie", "session=marker-cookie"),
    ("authorization", "Bearer marker-bearer"),
    ("referer", "https://marker-referer.example"),
    ("x-amzn-trace-id", "Root=marker-trace"),
    ("x-request-id", "marker-request"),
];

/// Requests that cause all events of requests, each sent with [`HEADERS`] by [`caller`].
struct Walk {
    service: Service,
    /// Texts that no line may contain.
    secrets: Vec<String>,
    lines: Vec<String>,
}

impl Walk {
    async fn send(&mut self, mut request: Request) -> Answer {
        for (name, value) in HEADERS {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        if request.extensions().get::<Caller>().is_none() {
            request.extensions_mut().insert(caller());
        }
        let answer = self.service.send(request).await;
        for token in ["access_token", "refresh_token"] {
            let token = if answer.body.is_empty() { String::new() } else { answer.text(token) };
            if !token.is_empty() {
                // The MAC and the signature alone, too.
                self.secrets.extend([token[token.len() - 40..].to_owned(), token]);
            }
        }
        answer
    }

    /// Logs in, and compares the event and its fields.
    async fn login(&mut self, name: &str, password: &str, expected: &Value) -> Answer {
        self.secrets.extend([name.to_owned(), password.to_owned()]);
        let body = json!({ "username": name, "password": password }).to_string();
        let answer = self.send(post("/login", "application/json", body)).await;
        self.expect(&[expected]);
        answer
    }

    async fn form(&mut self, path: &str, body: &str, expected: &[&Value]) -> Answer {
        let answer = self.send(post(path, "application/x-www-form-urlencoded", body)).await;
        self.expect(expected);
        answer
    }

    async fn refresh(&mut self, token: &str, expected: &Value) -> Answer {
        self.form("/refresh", &format!("grant_type=refresh_token&refresh_token={token}"), &[expected]).await
    }

    async fn revoke(&mut self, token: &str, all: bool, expected: &[&Value]) -> Answer {
        self.form("/revoke", &format!("token={token}&all={all}"), expected).await
    }

    async fn password(&mut self, login: &Answer, current: &str, new: &str, expected: &[&Value]) -> Answer {
        self.secrets.extend([current, new].map(str::to_owned));
        let body = json!({ "current_password": current, "new_password": new }).to_string();
        let mut request = post("/password", "application/json", body);
        request.extensions_mut().insert(self.service.principal(&login.access_token()));
        let answer = self.send(request).await;
        self.expect(expected);
        answer
    }

    /// Compares the lines since the last call with these events: at least these fields, and the caller in each line.
    fn expect(&mut self, expected: &[&Value]) {
        let lines = self.service.journal.take_lines();
        assert_eq!(lines.len(), expected.len(), "{expected:?}: {lines:#?}");
        for (line, expected) in lines.iter().zip(expected) {
            let members = members(line);
            for (name, value) in expected.as_object().unwrap() {
                assert_eq!(members.get(name).unwrap_or(&Value::Null), value, "{name}: {line}");
            }
            assert_eq!(members["source_ip"], "203.0.113.9", "{line}");
            assert_eq!(members["request_id"], "Xq3TYhH4IAMEVJw=", "{line}");
        }
        self.lines.extend(lines);
    }

    async fn set_status(&self, name: &str, status: UserStatus) {
        let name = daypass_tests::bench::username(name);
        let now = daypass_verifier::base::time::Clock::now(&self.service.clock);
        self.service.bench.store.set_status(&name, status, now).await.unwrap().unwrap();
    }
}

/// A document with one machine client, and its secret.
fn machines() -> (MachineDocument, String) {
    let secret = new_secret(&OsEntropy).expose().to_owned();
    let id = MachineId::parse("client_jobs").unwrap();
    let mut client = Machine::new(id, &Scope::default(), Timestamp::from_seconds(1));
    client.keys.push(Credential {
        id: CredentialId::generate(&OsEntropy),
        created_at: 1,
        jwk: None,
        secret_sha256: Some(SecretDigest::of(&secret)),
    });
    let mut document = MachineDocument::new();
    document.clients.push(client);
    (document, secret)
}

/// Causes every event that a request can cause, and compares its fields: session, client, cause. No line contains a token,
/// a password, a name or a header. `flows::events_hold_no_secret` looks for keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_past_every_event() {
    let db = Embedded::start(None).unwrap();
    let old = Cognito::start().await.unwrap();
    let decide = |body: &str| old.set_fault(Some(Fault::Raw(200, body.as_bytes().to_vec())));
    decide(r#"{"ok":false}"#);
    let clients = r#"[{"client_id":"web","signup":"open","account_url":"https://app.example.com/account"},{"client_id":"narrow","scope":"orders:read"}]"#;
    let settings =
        [("DAYPASS_LOGIN_ATTEMPTS", "3"), ("DAYPASS_CLIENTS", clients), ("DAYPASS_MIGRATE_URL", old.url())];
    let settings =
        [settings.as_slice(), &[("DAYPASS_PASSKEY_RP_ID", RP_ID), ("DAYPASS_PASSKEY_ORIGINS", ORIGIN)]]
            .concat();
    let service = Service::quick(&db.url(), &settings).await;
    let user = service.quick_user("marker-name").await.id;
    let mut walk = Walk { service, secrets: vec![PASSWORD.to_owned()], lines: Vec::new() };
    let w = &mut walk;
    let session = |answer: &Answer| answer.text("session_id");

    // Logins: success, failures, throttling.
    let first = w.login("marker-name", PASSWORD, &json!({ "event": "login.succeeded", "user": user })).await;
    let unknown = json!({ "event": "login.failed", "cause": "unknown_user", "user": null, "client": "web" });
    w.login("marker-unknown", "marker-password-1", &unknown).await;
    let wrong = json!({ "event": "login.failed", "cause": "wrong_password", "user": user, "client": "web" });
    for n in 0..3 {
        w.login("marker-name", &format!("marker-password-2{n}"), &wrong).await;
    }
    let locked = json!({
        "event": "login.throttled", "level": "WARN", "limit": "account_and_address", "user": user, "client": "web",
    });
    assert_eq!(w.login("marker-name", PASSWORD, &locked).await.status, 429);
    w.service.clock.advance(Duration::from_secs(900));
    let body = json!({ "username": "marker-name", "password": PASSWORD, "scope": "marker:scope" });
    w.send(post("/login", "application/json", body.to_string())).await;
    w.expect(&[&json!({ "event": "login.failed", "cause": "scope_not_granted", "user": user })]);

    // Malformed requests.
    for (error, body) in [
        ("invalid_request", json!({ "username": "marker\u{0}name", "password": "marker-password-3" })),
        ("invalid_request", json!({ "username": 1, "marker-member": "marker-value" })),
        (
            "invalid_client",
            json!({ "username": "marker-name", "password": "x", "client_id": "marker-client" }),
        ),
    ] {
        w.send(post("/login", "application/json", body.to_string())).await;
        w.expect(&[&json!({ "event": "request.refused", "error": error })]);
    }
    for (path, body) in [
        ("/refresh", "grant_type=refresh_token&refresh_token=x&client_id=marker-client"),
        ("/revoke", "token=x&client_id=marker-client"),
    ] {
        w.form(path, body, &[&json!({ "event": "request.refused", "error": "invalid_client" })]).await;
    }

    // A rotation, a repetition within the grace period, and a replay after it.
    let of = |login: &Answer, event: &str| json!({ "event": event, "user": user, "session": session(login) });
    let with = |mut line: Value, more: &Value| {
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let rotated = with(of(&first, "refresh.rotated"), &json!({ "client": "web", "generation": 1 }));
    let second = w.refresh(&first.refresh_token(), &rotated).await;
    w.service.clock.advance(Duration::from_millis(4_900));
    let more = json!({ "client": "web", "generation": 1, "cause": "grace", "age": 4 });
    w.refresh(&first.refresh_token(), &with(of(&first, "refresh.repeated"), &more)).await;
    let more = json!({ "cause": "other_client", "client": "web" });
    let other = format!("grant_type=refresh_token&refresh_token={}&client_id=narrow", second.refresh_token());
    w.form("/refresh", &other, &[&with(of(&first, "refresh.refused"), &more)]).await;
    // The same from another network.
    let repeat = format!("grant_type=refresh_token&refresh_token={}", first.refresh_token());
    let repeat = post("/refresh", "application/x-www-form-urlencoded", repeat);
    w.send(daypass_tests::service::from("203.0.113.10", repeat)).await;
    let lines = w.service.journal.take_lines();
    let seen: Vec<_> = lines.iter().map(|line| members(line)).collect();
    let seen: Vec<_> = seen.iter().map(|line| (line["event"].clone(), line["level"].clone())).collect();
    let expected = [("refresh.other_network", "WARN"), ("refresh.repeated", "INFO")];
    assert_eq!(seen, expected.map(|(event, level)| (json!(event), json!(level))));
    w.lines.extend(lines);
    w.service.clock.advance(Duration::from_secs(40));
    let more = json!({
        "level": "WARN", "client": "web", "cause": "after_grace", "presented": 0, "current": 1, "age": 44,
    });
    w.refresh(&first.refresh_token(), &with(of(&first, "refresh.reuse"), &more)).await;
    let more = json!({ "cause": "ended", "reason": "reuse", "client": "web" });
    w.refresh(&second.refresh_token(), &with(of(&first, "refresh.refused"), &more)).await;

    // The end of one session and of all sessions, and requests after that.
    let succeeded = json!({ "event": "login.succeeded", "user": user, "client": "web" });
    let (mine, there) = (
        w.login("marker-name", PASSWORD, &succeeded).await,
        w.login("marker-name", PASSWORD, &succeeded).await,
    );
    let out = w.login("marker-name", PASSWORD, &succeeded).await;
    let ended = with(of(&out, "session.ended"), &json!({ "reason": "revoked" }));
    w.revoke(&out.access_token(), false, &[&ended]).await;
    let more = json!({ "cause": "ended", "reason": "revoked", "all": true });
    w.revoke(&out.refresh_token(), true, &[&with(of(&out, "revoke.ignored"), &more)]).await;
    let more = json!({ "cause": "other_client", "all": false });
    let other = format!("token={}&client_id=narrow", mine.refresh_token());
    assert_eq!(w.form("/revoke", &other, &[&with(of(&mine, "revoke.ignored"), &more)]).await.status, 400);
    let ended = with(of(&mine, "session.ended"), &json!({ "reason": "revoked_all" }));
    let all = with(of(&mine, "session.ended_all"), &json!({ "reason": "revoked_all", "count": 1 }));
    w.revoke(&mine.refresh_token(), true, &[&ended, &all]).await;
    let more = json!({ "cause": "ended", "reason": "revoked_all", "client": "web" });
    w.refresh(&there.refresh_token(), &with(of(&there, "refresh.refused"), &more)).await;

    // An operator ends the sessions, which writes no line. The next refresh logs the reason.
    let kept = w.login("marker-name", PASSWORD, &succeeded).await;
    w.set_status("marker-name", UserStatus::Disabled).await;
    let more = json!({ "cause": "ended", "reason": "user_disabled" });
    w.refresh(&kept.refresh_token(), &with(of(&kept, "refresh.refused"), &more)).await;
    let disabled = json!({ "event": "login.failed", "cause": "disabled", "user": user });
    w.login("marker-name", PASSWORD, &disabled).await;
    w.set_status("marker-name", UserStatus::Enabled).await;

    // Changes of the password: rejected for the old one, rejected for the new one, and successful.
    let (asks, other) = (
        w.login("marker-name", PASSWORD, &succeeded).await,
        w.login("marker-name", PASSWORD, &succeeded).await,
    );
    let refused = |cause: &str| with(of(&asks, "password.refused"), &json!({ "cause": cause }));
    let new = "marker-password-of-its-own";
    w.secrets.push(new.to_owned());
    w.password(&asks, PASSWORD, "marker", &[&refused("new_password")]).await;
    w.password(&asks, "marker-password-4", new, &[&refused("wrong_password")]).await;
    let changed = of(&asks, "password.changed");
    let more = json!({ "reason": "password_changed", "count": 1 });
    let ended = with(of(&asks, "session.ended_all"), &more);
    let replaced = |asks: &Answer| json!({ "event": "session.replaced", "user": user, "replaced": session(asks), "client": "web" });
    let asks = w.password(&asks, PASSWORD, new, &[&changed, &ended, &replaced(&asks)]).await;
    let more = json!({ "cause": "ended", "reason": "password_changed" });
    w.refresh(&other.refresh_token(), &with(of(&other, "refresh.refused"), &more)).await;
    let changed_back = of(&asks, "password.changed");
    let more = json!({ "reason": "password_changed", "count": 0 });
    let ended = with(of(&asks, "session.ended_all"), &more);
    w.password(&asks, new, PASSWORD, &[&changed_back, &ended, &replaced(&asks)]).await;

    // Invalid tokens.
    let none = json!({ "event": "refresh.refused", "cause": "malformed", "user": null, "session": null });
    w.refresh("daypass_rt_marker-token", &none).await;
    let none = json!({ "event": "revoke.ignored", "cause": "not_compact", "user": null, "all": false });
    w.revoke("marker-token", false, &[&none]).await;
    let last = w.login("marker-name", PASSWORD, &succeeded).await;
    w.service.clock.advance(Duration::from_secs(15_552_000));
    let expired = json!({ "cause": "expired", "client": null, "reason": null });
    w.refresh(&last.refresh_token(), &with(of(&last, "refresh.refused"), &expired)).await;
    for token in [last.refresh_token(), last.access_token()] {
        let more = json!({ "cause": "expired", "all": false, "reason": null });
        w.revoke(&token, false, &[&with(of(&last, "revoke.ignored"), &more)]).await;
    }
    assert!(!w.service.lets_through(&last.access_token()));
    assert!(!w.service.lets_through("marker-token"));
    let denied = w.service.journal.take_lines();
    assert_eq!(
        denied.iter().map(|line| members(line)["event"].clone()).collect::<Vec<_>>(),
        ["authorize.denied"; 2]
    );
    assert_eq!(members(&denied[0])["session"], session(&last), "we had signed it");
    assert_eq!(members(&denied[1]).get("session"), None);
    w.lines.extend(denied);

    mails(w, &db.url()).await;
    // A machine client.
    let (document, secret) = machines();
    w.service.set_machines(document);
    w.secrets.push(secret.clone());
    let none = json!({ "event": "client.refused", "cause": "no_credential", "client": null });
    w.form("/token", "grant_type=client_credentials", &[&none]).await;
    for (body, expected) in [
        ("grant_type=client_credentials", json!({ "event": "client.token_issued", "client": "client_jobs" })),
        (
            "grant_type=client_credentials&scope=marker",
            json!({ "event": "client.refused", "cause": "scope_not_granted", "client": "client_jobs" }),
        ),
    ] {
        let mut request = post("/token", "application/x-www-form-urlencoded", body);
        let credentials = data_encoding::BASE64.encode(format!("client_jobs:{secret}").as_bytes());
        request.headers_mut().insert("authorization", format!("Basic {credentials}").parse().unwrap());
        request.extensions_mut().insert(caller());
        w.service.send(request).await;
        w.expect(&[&expected]);
    }
    second_factor(w).await;
    passkeys(w).await;

    // A user of the old system.
    decide(r#"{"ok":true}"#);
    w.secrets.push("marker-password-3".to_owned());
    let body = json!({ "username": "marker-moved", "password": "marker-password-3" }).to_string();
    w.send(post("/login", "application/json", body)).await;
    let migrated = json!({ "event": "login.migrated", "created": true, "client": "web" });
    w.expect(&[&migrated, &json!({ "event": "login.succeeded" })]);

    // An operator.
    let body = json!({ "claims": { "note": "marker-claim" } }).to_string();
    let mut request = post("/admin/user?username=marker-name", "application/json", body);
    *request.method_mut() = http::Method::PATCH;
    request.extensions_mut().insert(operator());
    w.send(request).await;
    let set = json!({ "event": "admin.changed", "operator": operator().arn, "action": "claims_set", "complete": true });
    w.expect(&[&set]);

    // A failing store.
    w.service.bench.recorder.always(Action::refuse(400, "AccessDeniedException"));
    let failure = json!({ "event": "failure", "level": "ERROR", "during": "begin_login" });
    w.login("marker-name", PASSWORD, &failure).await;

    // Events of the mailer, of a start, of a warm-up, of a key rotation and of a failing feed, which other tests check.
    let elsewhere = |name: &String| {
        matches!(name.as_str(), "function.warmed" | "init.failed" | "panic")
            || OF_MAILER.contains(&name.as_str())
            || name.starts_with("feed.")
            || name.starts_with("keys.")
    };
    let met = walk.lines.iter().map(|line| members(line)["event"].as_str().unwrap().to_owned());
    let met: BTreeSet<String> = met.filter(|name| !elsewhere(name)).collect();
    let all: BTreeSet<String> = written().into_keys().filter(|name| !elsewhere(name)).collect();
    assert_eq!(met, all, "the walk goes past every event");
    walk.secrets.extend(["marker", "198.51.100"].map(str::to_owned));
    for line in &walk.lines {
        for secret in &walk.secrets {
            assert!(!line.contains(secret.as_str()), "{secret} is in {line}");
        }
    }
    println!("{} lines, {} secrets looked for in each", walk.lines.len(), walk.secrets.len());
}

/// Sign-up, recovery and change of address by mail.
async fn mails(w: &mut Walk, dynamodb: &str) {
    let room = Mailroom::of(&w.service, dynamodb).await;
    let email = "marker-ada@example.com";
    let password = "marker-password-of-a-sign-up";
    w.secrets.extend([email, password].map(str::to_owned));
    let requested = |purpose: &str| json!({ "event": "mail.requested", "purpose": purpose, "client": "web" });
    let json = |path: &str, body: Value| post(path, "application/json", body.to_string());
    w.send(json("/signup", json!({ "email": email }))).await;
    w.expect(&[&requested("sign_up")]);
    let token = token_of(w, &room).await;
    w.send(json("/signup/confirm", json!({ "token": format!("{token}x"), "password": password }))).await;
    w.expect(&[&json!({ "event": "mail.refused", "cause": "malformed", "mail": null })]);
    let created = w.send(json("/signup/confirm", json!({ "token": token, "password": password }))).await;
    let user = json!(created.text("user"));
    w.expect(&[&json!({ "event": "user.created", "purpose": "sign_up", "client": "web", "user": user })]);
    w.send(json("/signup/confirm", json!({ "token": token, "password": password }))).await;
    w.expect(&[&json!({ "event": "mail.refused", "cause": "absent" })]);
    w.send(json("/recover", json!({ "email": email }))).await;
    w.expect(&[&requested("reset")]);
    let token = token_of(w, &room).await;
    w.send(json("/recover/confirm", json!({ "token": token, "password": password }))).await;
    w.expect(&[&json!({ "event": "password.reset", "user": user, "count": 0 })]);
    w.send(json("/recover", json!({ "email": email }))).await;
    w.expect(&[&requested("reset")]);
    token_of(w, &room).await;
    w.send(json("/recover", json!({ "email": email }))).await;
    w.expect(&[
        &json!({ "event": "mail.throttled", "level": "WARN", "limit": "address", "retry_after": 3600 }),
    ]);
    let succeeded = json!({ "event": "login.succeeded", "user": user, "client": "web" });
    let session = w.login(&created.text("user"), password, &succeeded).await;
    // The name is the id of the user, which lines hold.
    w.secrets.retain(|secret| *secret != created.text("user"));
    let body = json!({ "current_password": password, "email": "marker-eve@example.com" });
    let mut request = json("/email", body);
    request.extensions_mut().insert(w.service.principal(&session.access_token()));
    w.send(request).await;
    w.expect(&[&requested("address")]);
    let token = token_of(w, &room).await;
    w.send(json("/email/confirm", json!({ "token": token }))).await;
    w.expect(&[&json!({ "event": "email.changed", "user": user })]);
}

/// Enrolment of one-time codes, and the two steps of a login.
async fn second_factor(w: &mut Walk) {
    let user = json!(w.service.quick_user("marker-second").await.id);
    let json = |path: &str, body: Value| post(path, "application/json", body.to_string());
    let login =
        w.login("marker-second", PASSWORD, &json!({ "event": "login.succeeded", "user": user })).await;
    let principal = w.service.principal(&login.access_token());
    let mut begin = json("/factors/totp", json!({}));
    begin.extensions_mut().insert(principal);
    let begun = w.send(begin).await.json();
    let text = |name: &str| begun[name].as_str().unwrap().to_owned();
    let secret = data_encoding::BASE32_NOPAD.decode(text("secret").as_bytes()).unwrap();
    let totp = Totp::imported(TotpHash::Sha1, 6, 30, Secret::new(secret)).unwrap();
    let code = totp.code_at(daypass_verifier::base::time::Clock::now(&w.service.clock));
    w.secrets.extend([text("secret"), text("enrolment_token")]);
    let mut confirm =
        json("/factors/totp/confirm", json!({ "enrolment_token": text("enrolment_token"), "code": code }));
    confirm.extensions_mut().insert(principal);
    let codes = w.send(confirm).await.json();
    let recovery = codes["recovery_codes"][0].as_str().unwrap().to_owned();
    w.secrets.push(recovery.clone());
    w.expect(&[
        &json!({ "event": "factors.changed", "change": "totp_enrolled", "user": user, "level": "WARN" }),
    ]);
    let other = codes["recovery_codes"][1].as_str().unwrap().to_owned();
    w.secrets.push(other.clone());
    let refused = json!({ "event": "session.reauthentication_refused", "cause": "wrong_code", "user": user });
    let used = json!({ "event": "login.recovery_code_used", "user": user, "left": 9, "level": "WARN" });
    let done = json!({ "event": "session.reauthenticated", "user": user, "two_factors": true });
    for (code, lines) in [("0", &[&refused][..]), (&other, &[&used, &done])] {
        let body = json!({ "current_password": PASSWORD, "recovery_code": code });
        let mut again = json("/reauthenticate", body);
        again.extensions_mut().insert(principal);
        w.send(again).await;
        w.expect(lines);
    }
    let required = json!({ "event": "login.mfa_required", "user": user, "client": "web" });
    let first = w.login("marker-second", PASSWORD, &required).await;
    w.secrets.push(first.text("mfa_token"));
    w.send(json("/login/factor", json!({ "mfa_token": first.text("mfa_token"), "code": code }))).await;
    w.expect(&[
        &json!({ "event": "login.factor_refused", "cause": "used_code", "user": user, "client": "web" }),
    ]);
    let body = json!({ "mfa_token": first.text("mfa_token"), "recovery_code": recovery });
    w.send(json("/login/factor", body)).await;
    w.expect(&[
        &json!({ "event": "login.recovery_code_used", "user": user, "left": 8, "level": "WARN" }),
        &json!({ "event": "login.succeeded", "user": user, "client": "web" }),
    ]);
}

/// A user who registers a passkey, and a copy of it.
async fn passkeys(w: &mut Walk) {
    let user = json!(w.service.quick_user("marker-third").await.id);
    let json = |path: &str, body: Value| post(path, "application/json", body.to_string());
    let login = w.login("marker-third", PASSWORD, &json!({ "event": "login.succeeded", "user": user })).await;
    let principal = w.service.principal(&login.access_token());
    let authorized = |path: &str, body| {
        let mut request = json(path, body);
        request.extensions_mut().insert(principal);
        request
    };
    let mut authenticator = Authenticator::new(true);
    let options = w.send(authorized("/factors/passkeys/options", json!({}))).await.json();
    w.expect(&[]);
    let body = json!({ "name": "marker-passkey", "passkey": authenticator.create(&options) });
    w.send(authorized("/factors/passkeys", body)).await;
    w.expect(&[&json!({ "event": "factors.changed", "change": "passkey_added", "user": user })]);
    let options = w.send(json("/login/passkey/options", json!({}))).await.json();
    authenticator.count = Some(1);
    let body = json!({ "passkey": authenticator.get(&options) });
    w.secrets.push(body["passkey"]["response"]["signature"].as_str().unwrap().to_owned());
    w.send(json("/login/passkey", body)).await;
    w.expect(&[
        &json!({ "event": "passkey.copied", "user": user, "level": "WARN" }),
        &json!({ "event": "passkey.refused", "cause": "counter", "user": user, "client": "web" }),
    ]);
}

/// The token of the newest mail. The lines of the mailer hold no secret either.
async fn token_of(w: &mut Walk, room: &Mailroom) -> String {
    let mail = room.mails().await.pop().unwrap();
    let (token, code) = token_and_code(&mail);
    w.secrets.extend([token.clone(), code]);
    w.lines.extend(w.service.journal.take_lines());
    token
}
