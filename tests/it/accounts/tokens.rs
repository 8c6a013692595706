//! Links and codes: used once, for one purpose and in one deployment, and not guessed.

use super::*;
use daypass_core::session::EndReason;
use daypass_testkit::recorder::Action;
use daypass_tests::bench::random;
use std::sync::atomic::Ordering;

/// invariant: The link of a recovery sets one password, and none after another change of the password.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_sets_one_password() {
    let stage = stage(&[]).await;
    let user = stage.user("ada", "ada@example.com").await;
    stage.user("bob", "bob@example.com").await;
    let (one, _) = token_and_code(&stage.mail("/recover", "ada@example.com").await);
    let (two, _) = token_and_code(&stage.mail("/recover", "ada@example.com").await);
    let refused = outcome(400, "invalid_token");
    for path in ["/signup/confirm", "/email/confirm"] {
        assert_eq!(stage.confirm(path, &one, NEW).await.outcome(), refused, "another purpose: {path}");
    }
    assert_eq!(stage.confirm("/recover/confirm", &one, NEW).await.status, 204);
    assert_eq!(
        stage.confirm("/recover/confirm", &one, "and one more long password").await.outcome(),
        refused
    );
    assert_eq!(
        stage.confirm("/recover/confirm", &two, "and one more long password").await.outcome(),
        refused
    );
    assert_eq!(stage.stored(&user).await.password_version, 2);
    assert_eq!(
        stage.service.login_from(HOME, "bob", PASSWORD).await.status,
        200,
        "another user is not affected"
    );

    // A change by the user, and one by an operator.
    for change in ["user", "operator"] {
        stage.service.clock.advance(Duration::from_secs(3601));
        let (token, _) = token_and_code(&stage.mail("/recover", "ada@example.com").await);
        let current = if change == "user" { NEW } else { PASSWORD };
        if change == "user" {
            let session = stage.service.login_from(HOME, "ada", current).await;
            let changed =
                stage.service.change_password(HOME, &session.access_token(), current, PASSWORD).await;
            assert_eq!(changed.status, 200);
        } else {
            let hash = daypass_tests::service::quick_hash(NEW);
            let now = stage.service.clock.now();
            stage.service.bench.store.set_password(&user.username, &hash, now).await.unwrap();
        }
        assert_eq!(
            stage.confirm("/recover/confirm", &token, "and one more long password").await.outcome(),
            refused
        );
    }
    // A mailbox that the user gave up.
    stage.service.clock.advance(Duration::from_secs(3601));
    let (token, _) = token_and_code(&stage.mail("/recover", "ada@example.com").await);
    stage.set_email(&user, "new@example.com", true, None).await;
    assert_eq!(stage.confirm("/recover/confirm", &token, NEW).await.outcome(), refused);
    stage.set_email(&user, "ada@example.com", true, None).await;
    // A disabled user gets no password.
    stage.service.clock.advance(Duration::from_secs(3601));
    let (token, _) = token_and_code(&stage.mail("/recover", "ada@example.com").await);
    let now = stage.service.clock.now();
    stage.service.bench.store.set_status(&user.username, UserStatus::Disabled, now).await.unwrap();
    assert_eq!(stage.confirm("/recover/confirm", &token, NEW).await.outcome(), refused);
}

/// A thief knows the password and asks for a change of address. The owner recovers the account before the thief confirms.
///
/// invariant: No change of address outlasts the password that asked for it, nor an enabled user.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_stops_a_change_of_address() {
    for disabled in [false, true] {
        let stage = stage(&[]).await;
        let user = stage.user("ada", "ada@example.com").await;
        let session = stage.service.login_from(HOME, "ada", PASSWORD).await;
        assert_eq!(stage.ask_for_address(&session, "thief@example.com").await.status, 202);
        let (change, _) = token_and_code(&stage.one_mail().await);
        if disabled {
            let now = stage.service.clock.now();
            stage.service.bench.store.set_status(&user.username, UserStatus::Disabled, now).await.unwrap();
        } else {
            let (link, _) = token_and_code(&stage.mail("/recover", "ada@example.com").await);
            assert_eq!(stage.confirm("/recover/confirm", &link, NEW).await.status, 204);
        }
        let answer = stage.service.post("/email/confirm", &json!({ "token": change })).await;
        assert_eq!(answer.outcome(), outcome(400, "invalid_token"), "disabled: {disabled}");
        assert_eq!(stage.stored(&user).await.email.unwrap().address.as_str(), "ada@example.com");
    }
}

/// invariant: A repeat of a recovery finishes what its first call began.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_ends_the_other_sessions() {
    // With real hashes, each of which has its own salt.
    let db = Embedded::start(None).unwrap();
    let service = Service::with(&db.url(), &[("DAYPASS_CLIENTS", CLIENTS)]).await;
    let stage = over(db, service).await;
    let user = stage.service.user("ada").await;
    stage.set_email(&user, "ada@example.com", true, None).await;
    let session = stage.service.login_from(HOME, "ada", PASSWORD).await;
    let (token, _) = token_and_code(&stage.mail("/recover", "ada@example.com").await);
    stage.service.bench.recorder.set_hook(|call| match call.operation {
        "Query" => Action::refuse(500, "InternalServerError"),
        _ => Action::Pass,
    });
    assert_eq!(stage.confirm("/recover/confirm", &token, NEW).await.status, 503);
    stage.service.bench.recorder.always(Action::Pass);
    assert_eq!(stage.stored(&user).await.password_version, 2, "the password is set");
    let other = stage.confirm("/recover/confirm", &token, "and one more long password").await;
    assert_eq!(other.outcome(), outcome(400, "invalid_token"), "no repeat");
    assert_eq!(stage.confirm("/recover/confirm", &token, NEW).await.status, 204);
    assert_eq!(stage.stored(&user).await.password_version, 2);
    assert_eq!(stage.service.refresh(&session.refresh_token()).await.status, 400);
    let ended = stage.service.bench.store.sessions(user.id).await.unwrap();
    assert_eq!(ended[0].ended.unwrap().reason, EndReason::PasswordChanged);
    stage.service.clock.advance(Duration::from_secs(901));
    assert_eq!(stage.confirm("/recover/confirm", &token, NEW).await.status, 400, "too late for a repeat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_works_in_its_own_time_and_deployment() {
    let stage = stage(&[]).await;
    stage.user("ada", "ada@example.com").await;
    let (token, code) = token_and_code(&stage.mail("/recover", "ada@example.com").await);
    // The same tables and keys under another issuer.
    let settings = [("DAYPASS_CLIENTS", CLIENTS), ("DAYPASS_ISSUER", "https://other.example.com")];
    let other = stage.service.redeployed(&stage.db.url(), &settings).await;
    let body = json!({ "token": token, "password": NEW });
    assert_eq!(other.post("/recover/confirm", &body).await.outcome(), outcome(400, "invalid_token"));
    // Its mailer cannot write a subject that this deployment reads, and the other way.
    let asked = stage.ask("/recover", "ada@example.com").await;
    let event = stage.room.records().await;
    let foreign = Mailroom::of(&other, &stage.db.url()).await;
    assert_eq!(foreign.deliver(&event).await.len(), 0);
    let mail = foreign.ses.take().remove(0);
    let (foreign_token, foreign_code) = token_and_code(&mail);
    assert_eq!(stage.confirm("/recover/confirm", &foreign_token, NEW).await.status, 400);
    for code in [code, foreign_code] {
        let body = json!({ "request": asked.text("request"), "code": code, "password": NEW });
        assert_eq!(stage.service.post("/recover/confirm", &body).await.status, 400);
    }
    stage.service.clock.advance(Duration::from_secs(3600));
    assert_eq!(stage.confirm("/recover/confirm", &token, NEW).await.outcome(), outcome(400, "invalid_token"));
}

/// Someone who can write to the outbox but has no key.
#[tokio::test(flavor = "multi_thread")]
async fn a_subject_cannot_be_forged() {
    let stage = stage(&[]).await;
    let ada = stage.user("ada", "ada@example.com").await;
    stage.user("eve", "eve@example.com").await;
    let (token, _) = token_and_code(&stage.mail("/recover", "eve@example.com").await);
    let bench = &stage.service.bench;
    let scan = bench.raw.scan().table_name(&bench.outbox).send().await.unwrap();
    let mut item = scan.items()[0].clone();
    let eves = stage.service.bench.store.user(&daypass_tests::bench::username("eve")).await.unwrap().unwrap();
    let subject = item["subject"].as_s().unwrap().replace("\"eve\"", "\"ada\"");
    let subject = subject.replace(&eves.id.to_string(), &ada.id.to_string());
    assert_ne!(&subject, item["subject"].as_s().unwrap());
    item.insert("subject".to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(subject));
    bench.raw.put_item().table_name(&bench.outbox).set_item(Some(item)).send().await.unwrap();
    let _ = stage.service.journal.take();
    assert_eq!(stage.confirm("/recover/confirm", &token, NEW).await.outcome(), outcome(400, "invalid_token"));
    let [Event::MailRefused { cause, .. }] = stage.service.journal.take()[..] else { panic!() };
    assert_eq!(serde_json::to_value(cause).unwrap(), "forged_subject");
    assert_eq!(stage.stored(&ada).await.password_version, 1);
}

/// invariant: A forged, changed or expired token of a mail costs no request to DynamoDB and no hash.
#[tokio::test(flavor = "multi_thread")]
async fn changed_tokens_cost_nothing() {
    let stage = stage(&[]).await;
    stage.user("ada", "ada@example.com").await;
    let asked = stage.ask("/recover", "ada@example.com").await;
    let (token, _) = token_and_code(&stage.one_mail().await);
    let _ = stage.service.bench.recorder.take();
    let hashes = stage.service.hashes.load(Ordering::SeqCst);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for n in 0..depth::amount("changed tokens", 1_000, 10_000) {
        let [kind, a, b, c] = random::<4>();
        let handle = asked.text("request");
        let (text, is_token) = if n % 2 == 0 { (token.clone(), true) } else { (handle, false) };
        let mut bytes = text.clone().into_bytes();
        let at = usize::from(u16::from_be_bytes([a, b])) % bytes.len();
        match kind % 4 {
            0 => bytes[at] = alphabet[usize::from(c) % 64],
            1 => bytes.truncate(at),
            2 => bytes.insert(at, alphabet[usize::from(c) % 64]),
            _ => bytes.rotate_left(at),
        }
        let changed = String::from_utf8(bytes).unwrap();
        if changed == text {
            continue;
        }
        let body = if is_token {
            json!({ "token": changed, "password": NEW })
        } else {
            json!({ "request": changed, "code": "12345678", "password": NEW })
        };
        let expected = if changed.is_empty() { "invalid_request" } else { "invalid_token" };
        assert_eq!(
            stage.service.post("/recover/confirm", &body).await.outcome(),
            outcome(400, expected),
            "{changed}"
        );
    }
    assert_eq!(stage.service.bench.recorder.take().len(), 0, "no request to the store");
    assert_eq!(stage.service.hashes.load(Ordering::SeqCst), hashes, "no hash");
    assert_eq!(stage.confirm("/recover/confirm", &token, NEW).await.status, 204, "the token itself works");
}

/// invariant: Five codes can be tried for one mail.
#[tokio::test(flavor = "multi_thread")]
async fn five_codes_can_be_tried() {
    let stage = stage(&[]).await;
    stage.user("ada", "ada@example.com").await;
    let asked = stage.ask("/recover", "ada@example.com").await;
    let (token, code) = token_and_code(&stage.one_mail().await);
    let unknown = stage.ask("/recover", "nobody@example.com").await;
    assert_eq!(stage.room.mails().await.len(), 0);
    let wrong = if code == "00000000" { "00000001" } else { "00000000" };
    let attempt = async |request: &str, code: &str| {
        let body = json!({ "request": request, "code": code, "password": NEW });
        stage.service.post("/recover/confirm", &body).await
    };
    // A request without a mail answers alike.
    for handle in [asked.text("request"), unknown.text("request")] {
        for _ in 0..5 {
            assert_eq!(attempt(&handle, wrong).await.outcome(), outcome(400, "invalid_token"));
        }
        let sixth = attempt(&handle, &code).await;
        assert_eq!(sixth.outcome(), outcome(429, "slow_down"));
        assert_eq!(sixth.header("retry-after"), Some("3600"));
    }
    // The link is not affected.
    assert_eq!(stage.confirm("/recover/confirm", &token, NEW).await.status, 204);
}
