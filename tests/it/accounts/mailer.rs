//! The mailer: what it sends, and that no failure loses a mail or makes more than one duplicate.

use super::*;
use daypass_core::ports::event::MailSkipped;
use daypass_testkit::hold::Hold;
use daypass_testkit::recorder::Action;
use daypass_testkit::ses::{Behaviour, Ses};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Delivers an event until no record has to come again. Returns how often it was delivered.
async fn until_done(stage: &Stage, event: &Value) -> usize {
    for n in 1..=10 {
        if stage.room.deliver(event).await.is_empty() {
            return n;
        }
    }
    panic!("the record comes again and again");
}

/// The events of the mailer since the last call.
fn skipped(stage: &Stage) -> Vec<MailSkipped> {
    let cause = |event: &Event| match event {
        Event::MailSkipped { cause, .. } => Some(*cause),
        _ => None,
    };
    stage.service.journal.take().iter().filter_map(cause).collect()
}

/// An event with one recovery of an existing user, and a stage whose mailer starts afresh.
async fn recovery(settings: &[(&str, &str)]) -> (Stage, Value) {
    let stage = stage(settings).await;
    stage.user("ada", "ada@example.com").await;
    assert_eq!(stage.ask("/recover", "ada@example.com").await.status, 202);
    let event = stage.room.records().await;
    assert_eq!(event["Records"].as_array().unwrap().len(), 1);
    let _ = (stage.service.journal.take(), stage.room.bench.recorder.take());
    (stage, event)
}

/// Ends the mailer at an event. Dropping the future is what Lambda does to a process that it ends.
async fn kill(stage: &Stage, event: &Value, there: impl Future<Output = ()>) {
    tokio::select! {
        failed = stage.room.deliver(event) => panic!("the mailer was not at work: {failed:?}"),
        () = there => {}
    }
}

/// The mailer is killed at each of its requests to DynamoDB, before and after DynamoDB has applied it, and while SES handles
/// the mail.
///
/// invariant: A mailer that breaks off anywhere loses no mail, and sends at most one more.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_mailer_loses_no_mail() {
    const STEPS: [&str; 4] = ["read the claim", "read the user", "begin", "end"];
    for (step, name) in STEPS.iter().enumerate() {
        for landed in [false, true] {
            let (stage, event) = recovery(&[]).await;
            let (count, arrived, hold) = (AtomicUsize::new(0), Arc::new(Notify::new()), Hold::default());
            let (arrival, held) = (Arc::clone(&arrived), hold.clone());
            stage.room.bench.recorder.set_hook(move |_| {
                if count.fetch_add(1, Ordering::SeqCst) != step {
                    return Action::Pass;
                }
                arrival.notify_one();
                if landed { Action::HeldAnswer(held.clone()) } else { Action::Hang(Duration::from_secs(60)) }
            });
            kill(&stage, &event, async {
                arrived.notified().await;
                if landed {
                    hold.landed().await;
                }
            })
            .await;
            hold.release();
            stage.room.bench.recorder.always(Action::Pass);
            until_done(&stage, &event).await;
            let mails = stage.room.ses.take();
            // Only after the mail was sent and before that is written, a repeat sends it again.
            let expected = if *name == "end" && !landed { 2 } else { 1 };
            assert_eq!(mails.len(), expected, "{name}, landed: {landed}");
            let (token, _) = token_and_code(mails.last().unwrap());
            assert_eq!(stage.confirm("/recover/confirm", &token, NEW).await.status, 204, "{name}");
        }
    }
    // Within SES: before it took the mail, and after.
    for (behaviour, expected) in [(Behaviour::Hang, 1), (Behaviour::LoseResponse, 2)] {
        let (stage, event) = recovery(&[]).await;
        stage.room.ses.next([behaviour.clone()]);
        kill(&stage, &event, stage.room.ses.arrived()).await;
        until_done(&stage, &event).await;
        let mails = stage.room.ses.take();
        assert_eq!(mails.len(), expected, "{behaviour:?}");
        for mail in &mails {
            assert_eq!(token_and_code(mail), token_and_code(&mails[0]), "both mails have one link");
        }
    }
}

/// The mail arrives, and its response is lost. The mailer tries again after its reader used the link, or changed the password.
///
/// invariant: No repeat of the mailer makes the link of a used mail valid again.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_revives_no_link() {
    let third = "and one more long password";
    for by_link in [true, false] {
        let (stage, event) = recovery(&[]).await;
        stage.room.ses.next([Behaviour::LoseResponse]);
        assert_eq!(stage.room.deliver(&event).await.len(), 1, "the outcome is unknown");
        let (link, _) = token_and_code(&stage.room.ses.take()[0]);
        if by_link {
            assert_eq!(stage.confirm("/recover/confirm", &link, NEW).await.status, 204);
        } else {
            let session = stage.service.login_from(HOME, "ada", PASSWORD).await;
            let changed = stage.service.change_password(HOME, &session.access_token(), PASSWORD, NEW).await;
            assert_eq!(changed.status, 200);
        }
        until_done(&stage, &event).await;
        assert_eq!(token(&stage.room.ses.take()[0]), link, "one mail more, with the same link");
        let again = stage.confirm("/recover/confirm", &link, third).await;
        assert_eq!(again.outcome(), outcome(400, "invalid_token"), "by link: {by_link}");
        assert_eq!(stage.service.login_from(HOME, "ada", NEW).await.status, 200);
    }
}

/// Each request of the mailer fails for longer than the SDK retries.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_loses_no_mail() {
    for step in 0..4 {
        for landed in [false, true] {
            let (stage, event) = recovery(&[]).await;
            let count = AtomicUsize::new(0);
            stage.room.bench.recorder.set_hook(move |_| {
                // Four attempts of the SDK.
                let n = count.fetch_add(1, Ordering::SeqCst);
                match (n >= step && n < step + 4, landed) {
                    (false, _) => Action::Pass,
                    (true, false) => Action::DropRequest,
                    (true, true) => Action::DropAnswer,
                }
            });
            assert_eq!(stage.room.deliver(&event).await.len(), 1, "step {step}: the record comes again");
            stage.room.bench.recorder.always(Action::Pass);
            until_done(&stage, &event).await;
            let sent = stage.room.ses.take().len();
            assert!((1..=2).contains(&sent), "step {step}, landed: {landed}: {sent} mails");
        }
    }
}

/// invariant: A pause of SES loses no mail, however often the mailer tries.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_outlasts_refusals_that_pass() {
    let (stage, event) = recovery(&[]).await;
    for behaviour in [
        Behaviour::throttle(),
        Behaviour::pause(),
        Behaviour::Refuse(403, "AccessDeniedException".to_owned()),
        Behaviour::Refuse(500, "InternalFailure".to_owned()),
        Behaviour::Refuse(503, "ServiceUnavailable".to_owned()),
    ] {
        stage.room.ses.always(behaviour.clone());
        for _ in 0..4 {
            assert_eq!(stage.room.deliver(&event).await.len(), 1, "{behaviour:?}");
        }
    }
    stage.room.ses.always(Behaviour::Send);
    assert_eq!(until_done(&stage, &event).await, 1);
    assert_eq!(stage.room.ses.take().len(), 1);
    // One failing record holds up no other of its batch.
    for email in ["b@example.com", "c@example.com"] {
        stage.ask("/signup", email).await;
    }
    let event = stage.room.records().await;
    stage.room.ses.next([Behaviour::throttle()]);
    assert_eq!(stage.room.deliver(&event).await.len(), 1);
    assert_eq!(stage.room.ses.take().len(), 1);
}

/// A mailer without a way to SES sends no byte, so no try is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_outlasts_a_closed_port() {
    let (mut stage, event) = recovery(&[]).await;
    let port = stage.room.ses.url().rsplit_once(':').unwrap().1.parse().unwrap();
    stage.room.ses.stop().await;
    for _ in 0..4 {
        assert_eq!(stage.room.deliver(&event).await.len(), 1);
    }
    stage.room.ses = Ses::start_on(port).await.unwrap();
    assert_eq!(until_done(&stage, &event).await, 1);
    assert_eq!(stage.room.ses.take().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_mail_is_not_tried_again() {
    let malformed = Behaviour::Refuse(400, "BadRequestException".to_owned());
    for (behaviour, code) in [(Behaviour::reject(), "MessageRejected"), (malformed, "BadRequestException")] {
        let (stage, event) = recovery(&[]).await;
        stage.room.ses.always(behaviour);
        assert_eq!(until_done(&stage, &event).await, 1);
        let rejected =
            |event: &Event| matches!(event, Event::MailRejected { detail, .. } if detail.contains(code));
        assert_eq!(stage.service.journal.take().iter().filter(|event| rejected(event)).count(), 1);
        until_done(&stage, &event).await;
        assert_eq!(skipped(&stage), [MailSkipped::Sent]);
        assert_eq!(stage.room.ses.requests(), 1);
    }
}

/// The answer of a proxy is none of SES, and a connection that breaks can have carried the mail.
///
/// invariant: The mailer hands a mail to SES at most twice without an answer of SES.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_without_an_answer_is_tried_twice() {
    for behaviour in [Behaviour::Refuse(504, String::new()), Behaviour::Close] {
        let (stage, event) = recovery(&[]).await;
        stage.room.ses.always(behaviour);
        for _ in 0..2 {
            assert_eq!(stage.room.deliver(&event).await.len(), 1);
        }
        assert_eq!(until_done(&stage, &event).await, 1);
        let given_up = |event: &Event| matches!(event, Event::MailGivenUp { .. });
        assert_eq!(stage.service.journal.take().iter().filter(|event| given_up(event)).count(), 1);
        assert_eq!(stage.room.ses.requests(), 2);
    }
}

/// A hanging SES ends by the mailer's own time limit, before Lambda's.
#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_ses_is_given_up_in_time() {
    let (stage, event) = recovery(&[]).await;
    stage.room.ses.next([Behaviour::LoseResponse]);
    assert_eq!(stage.room.deliver(&event).await.len(), 1, "the outcome is unknown");
    assert_eq!(until_done(&stage, &event).await, 1);
    assert_eq!(stage.room.ses.take().len(), 2, "one mail more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_stream_sends_nothing_twice() {
    let (stage, event) = recovery(&[]).await;
    for _ in 0..3 {
        until_done(&stage, &event).await;
    }
    assert_eq!(stage.room.ses.take().len(), 1);
    assert_eq!(skipped(&stage), [MailSkipped::Sent; 2]);
    // Twice at once: at most one more.
    stage.ask("/recover", "ada@example.com").await;
    let event = stage.room.records().await;
    tokio::join!(stage.room.deliver(&event), stage.room.deliver(&event));
    assert!((1..=2).contains(&stage.room.ses.take().len()));
    // The replay of a used mail.
    let (token, _) = {
        stage.service.clock.advance(Duration::from_secs(3601));
        token_and_code(&stage.mail("/signup", "new@example.com").await)
    };
    stage.confirm("/signup/confirm", &token, PASSWORD).await;
    // Changes and removals are no requests, and unreadable records do not come again.
    for odd in [
        json!({ "Records": [{ "eventName": "MODIFY", "dynamodb": { "SequenceNumber": "1" } }] }),
        json!({ "Records": [{ "eventName": "REMOVE", "dynamodb": { "SequenceNumber": "1" } }] }),
        json!({ "Records": [{ "eventName": "INSERT", "dynamodb": { "SequenceNumber": "1", "NewImage": {} } }] }),
        json!({ "Records": [] }),
        json!({}),
        json!({ "source": "aws.events" }),
    ] {
        assert_eq!(stage.room.deliver(&odd).await, Vec::<Value>::new(), "{odd}");
    }
}

/// Which requests lead to no mail.
#[tokio::test(flavor = "multi_thread")]
async fn who_gets_no_mail() {
    let stage = stage(&[("DAYPASS_MAIL_NETWORK_ATTEMPTS", "100")]).await;
    let check = async |path: &str, email: &str, cause: MailSkipped| {
        let _ = stage.service.journal.take();
        assert_eq!(stage.ask(path, email).await.status, 202);
        assert_eq!(stage.room.mails().await.len(), 0, "{path} {email}");
        assert_eq!(skipped(&stage), [cause], "{path} {email}");
    };
    check("/recover", "nobody@example.com", MailSkipped::UnknownUser).await;
    let ada = stage.user("ada", "ada@example.com").await;
    stage.set_email(&ada, "ada@example.com", false, None).await;
    check("/recover", "ada@example.com", MailSkipped::Unverified).await;
    for cause in [Undeliverable::Bounced, Undeliverable::Complained] {
        stage.set_email(&ada, "ada@example.com", true, Some(cause)).await;
        check("/recover", "ada@example.com", MailSkipped::Undeliverable).await;
        stage.service.clock.advance(Duration::from_secs(3601));
        check("/signup", "ada@example.com", MailSkipped::Undeliverable).await;
    }
    stage.set_email(&ada, "ada@example.com", true, None).await;
    let now = stage.service.clock.now();
    stage.service.bench.store.set_status(&ada.username, UserStatus::Disabled, now).await.unwrap();
    check("/recover", "ada@example.com", MailSkipped::Disabled).await;
    // A request that waited too long.
    stage.ask("/recover", "ada@example.com").await;
    let event = stage.room.records().await;
    stage.service.clock.advance(Duration::from_secs(3600));
    let _ = stage.service.journal.take();
    until_done(&stage, &event).await;
    assert_eq!(skipped(&stage), [MailSkipped::Expired]);
    // A client that is gone since.
    stage.ask("/signup", "new@example.com").await;
    let event = stage.room.records().await;
    let other =
        stage.service.redeployed(&stage.db.url(), &[("DAYPASS_CLIENTS", r#"[{"client_id":"app"}]"#)]).await;
    let room = Mailroom::of(&other, &stage.db.url()).await;
    assert_eq!(room.deliver(&event).await.len(), 0);
    assert_eq!(room.ses.requests(), 0);
}

/// A report of SES, as EventBridge delivers it.
fn report(kind: &str, detail: &Value) -> Value {
    let mut detail = detail.clone();
    detail["eventType"] = json!(kind);
    detail["mail"] = json!({ "messageId": "1", "tags": { "kind": ["reset"] } });
    json!({ "source": "aws.ses", "detail-type": "Email Bounced", "detail": detail })
}

/// invariant: An address that bounced permanently or complained gets no more mails.
#[tokio::test(flavor = "multi_thread")]
async fn reports_mark_addresses() {
    let stage = stage(&[]).await;
    let ada = stage.user("ada", "ada@example.com").await;
    let recipients = json!([{ "emailAddress": "Ada@example.com" }, { "emailAddress": "nobody@example.com" }]);
    let bounce = |kind: &str| {
        report("Bounce", &json!({ "bounce": { "bounceType": kind, "bouncedRecipients": recipients } }))
    };
    let complaint = |kind: Value| {
        report(
            "Complaint",
            &json!({ "complaint": { "complaintFeedbackType": kind, "complainedRecipients": recipients } }),
        )
    };
    for (event, expected) in [
        (bounce("Transient"), None),
        (complaint(json!("not-spam")), None),
        (report("Delivery", &json!({})), None),
        (bounce("Permanent"), Some(Undeliverable::Bounced)),
        (complaint(json!(null)), Some(Undeliverable::Complained)),
        (complaint(json!("abuse")), Some(Undeliverable::Complained)),
    ] {
        stage.set_email(&ada, "ada@example.com", true, None).await;
        let _ = stage.service.journal.take();
        stage.room.deliver(&event).await;
        assert_eq!(stage.stored(&ada).await.email.unwrap().undeliverable, expected, "{event}");
        let users: Vec<_> = stage
            .service
            .journal
            .take()
            .iter()
            .filter_map(|event| match event {
                Event::MailUndeliverable { user, .. } => Some(*user),
                _ => None,
            })
            .collect();
        assert_eq!(users, if expected.is_some() { vec![Some(ada.id), None] } else { vec![] });
    }
    // The user has another address by now.
    stage.set_email(&ada, "new@example.com", true, None).await;
    stage.room.deliver(&bounce("Permanent")).await;
    assert_eq!(stage.stored(&ada).await.email.unwrap().undeliverable, None);
}

/// A team's own templates, and the English one for a language without a template.
#[tokio::test(flavor = "multi_thread")]
async fn templates_replace_the_texts() {
    let settings = [("DAYPASS_MAIL_TEMPLATES", "acme"), ("DAYPASS_MAIL_CONFIGURATION_SET", "daypass-mail")];
    let stage = stage(&settings).await;
    let body = json!({ "email": "ada@example.com", "language": "fr" });
    assert_eq!(stage.service.post("/signup", &body).await.status, 202);
    stage.room.ses.next([Behaviour::Refuse(404, "NotFoundException".to_owned())]);
    let mail = stage.one_mail().await;
    assert_eq!(mail.configuration_set.as_deref(), Some("daypass-mail"));
    assert_eq!(mail.tags, [("kind".to_owned(), "sign-up".to_owned())]);
    let (name, data) = mail.template.unwrap();
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(
        (name.as_str(), &data["service"], &data["hours"]),
        ("acme-sign-up-en", &json!("Acme"), &json!(24))
    );
    let link = data["link"].as_str().unwrap();
    let (_, token) = link.split_once('#').unwrap();
    assert_eq!(stage.confirm("/signup/confirm", token, PASSWORD).await.status, 201);
    assert_eq!(data["code"].as_str().unwrap().len(), 8);
    assert_eq!(stage.room.ses.requests(), 2, "the French template and the English one");
}
