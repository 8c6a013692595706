//! The requests of users about their own sessions.

use super::{assert_unavailable, broken};
use crate::bench::{self, Bench, LIFE, NOW, after, attempt_id, present, random, session};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::ports::store::{Ending, Rotation, SessionStore, Store, StoredSessions};
use daypass_core::session::{DeadCause, EndReason, Ended, Session};
use daypass_testkit::recorder::{Action, Exchange};
use daypass_verifier::base::ids::{SessionId, UserId};
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;

fn operations(exchanges: &[Exchange]) -> Vec<&str> {
    exchanges.iter().map(|exchange| exchange.operation.as_str()).collect()
}

fn sorted(mut sessions: Vec<Session>) -> Vec<Session> {
    sessions.sort_by_key(|session| session.session);
    sessions
}

/// Puts an item into the partition of the user that is not a valid session.
async fn put_odd(bench: &Bench, user: UserId, key: &str) {
    let end = AttributeValue::N((NOW + LIFE).seconds().to_string());
    let request = bench.raw.put_item().table_name(&bench.tables.sessions);
    let request = request
        .item("user", AttributeValue::S(user.to_string()))
        .item("session", AttributeValue::S(key.to_owned()))
        .item("expires_at", end.clone())
        .item("absolute_end", end);
    request.send().await.unwrap();
}

/// Puts copies of a session, each with another id and this number of bytes of padding.
pub(crate) async fn put_padded(bench: &Bench, like: &Session, count: usize, padding: usize) {
    let template = bench.item(like).await.unwrap();
    // A few in parallel: these are megabytes, and a client waits two seconds for each write.
    let puts = futures_util::stream::iter(0..count).for_each_concurrent(4, |_| async {
        let mut item = template.clone();
        item.insert("session".to_owned(), AttributeValue::S(SessionId::from_bytes(random()).to_string()));
        item.insert("padding".to_owned(), AttributeValue::S("x".repeat(padding)));
        let request = bench.raw.put_item().table_name(&bench.tables.sessions);
        request.set_item(Some(item)).send().await.unwrap();
    });
    puts.await;
}

/// Live, expired and ended sessions of this user, and of no other. One query, strongly consistent.
pub async fn a_users_sessions_are_read_with_one_query(bench: &Bench) {
    let (ada, first) = bench.logged_in("ada").await;
    bench.logged_in("bob").await;
    let expired = Session { expires_at: after(1_000), ..session(&ada) };
    let other = session(&ada);
    for session in [&expired, &other] {
        bench.open(&ada, session).await.unwrap();
    }
    let attempt = attempt_id();
    bench
        .store
        .revoke_session(ada.id, other.session, None, after(7), EndReason::Reuse, attempt)
        .await
        .unwrap();
    let ended = Some(Ended { at: after(7), reason: EndReason::Reuse });
    let ended = Session { ended, attempt: Some(attempt), ..other };
    let _ = bench.recorder.take();

    let found = bench.store.stored_sessions(ada.id).await.unwrap();
    assert_eq!(found.unreadable, []);
    assert_eq!(sorted(found.sessions), sorted(vec![first, expired, ended]));
    let exchanges = bench.recorder.take();
    assert_eq!(operations(&exchanges), ["Query"]);
    assert_eq!(exchanges[0].request["ConsistentRead"], json!(true));
    assert_eq!(exchanges[0].request["KeyConditionExpression"], "#user = :user");

    let unknown = bench.store.stored_sessions(bench::user("unknown").id).await;
    assert_eq!(unknown, Ok(StoredSessions::default()));
}

/// A query returns at most 1 MB per page.
pub async fn all_pages_are_read(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    put_padded(bench, &opened, 30, 100_000).await;
    let _ = bench.recorder.take();
    assert_eq!(bench.store.stored_sessions(ada.id).await.unwrap().sessions.len(), 31);
    let exchanges = bench.recorder.take();
    assert!(exchanges.len() >= 3, "{} pages", exchanges.len());
    assert!(exchanges.iter().all(|page| page.request["ConsistentRead"] == json!(true)));
}

/// An item that cannot be read is reported with its malformed attribute, and the other sessions are returned.
pub async fn an_item_that_cannot_be_read_hides_no_other(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    for key in ["!", "ses_odd", "~"] {
        put_odd(bench, ada.id, key).await;
    }
    let found = bench.store.stored_sessions(ada.id).await.unwrap();
    assert_eq!(found.sessions, [opened]);
    assert_eq!(found.unreadable.len(), 3);
    for error in found.unreadable {
        let text = error.to_string();
        assert!(
            text.contains("sessions table") && !text.contains("odd ") && !text.contains("ses_"),
            "{text}"
        );
    }
}

/// The session is read by both parts of the key, strongly consistent.
pub async fn one_session_is_read_with_one_request(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let (bob, _) = bench.logged_in("bob").await;
    assert_eq!(bench.store.stored_session(ada.id, opened.session).await, Ok(Some(opened.clone())));
    let exchanges = bench.recorder.take();
    assert_eq!(operations(&exchanges), ["GetItem"]);
    assert_eq!(exchanges[0].request["ConsistentRead"], json!(true));

    assert_eq!(bench.store.stored_session(bob.id, opened.session).await, Ok(None), "another user's");
    assert_eq!(bench.store.stored_session(ada.id, SessionId::from_bytes(random())).await, Ok(None));
    let odd = SessionId::from_bytes(random());
    put_odd(bench, ada.id, &odd.to_string()).await;
    let text = broken(bench.store.stored_session(ada.id, odd).await, "an odd item");
    assert!(text.contains("sessions table"), "{text}");
}

/// One conditional write, for any outcome. The first reason stays.
pub async fn a_session_is_ended_with_one_write(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let attempt = attempt_id();
    let end = async |at, reason, attempt| {
        let ending = bench.store.end_session(ada.id, opened.session, after(at), reason, attempt).await;
        assert_eq!(operations(&bench.recorder.take()), ["UpdateItem"]);
        ending
    };
    assert_eq!(end(1_007, EndReason::EndedByUser, attempt).await, Ok(Ending::Ended));
    let ended = Some(Ended { at: after(1_007), reason: EndReason::EndedByUser });
    assert_eq!(
        bench.stored(&opened).await,
        Some(Session { ended, attempt: Some(attempt), ..opened.clone() })
    );
    let _ = bench.recorder.take();
    assert_eq!(end(2_000, EndReason::Revoked, attempt_id()).await, Ok(Ending::AlreadyOver));
    assert_eq!(bench.stored(&opened).await.unwrap().ended, ended);
    let rotation = bench.rotate(&present(&opened, 0), after(2_001)).await;
    assert!(matches!(rotation, Ok(Rotation::Dead(DeadCause::Ended, Some(_)))), "{rotation:?}");
}

/// The id of another user's session ends nothing and creates no item.
pub async fn a_session_of_another_user_is_absent(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let (bob, _) = bench.logged_in("bob").await;
    let never = session(&ada);
    for (user, session) in [(bob.id, opened.session), (ada.id, never.session)] {
        let ending = bench.store.end_session(user, session, NOW, EndReason::EndedByUser, attempt_id()).await;
        assert_eq!(ending, Ok(Ending::Absent));
    }
    assert_eq!(bench.item(&never).await, None);
    assert_eq!(bench.item(&Session { user: bob.id, ..opened.clone() }).await, None);
    assert_eq!(bench.stored(&opened).await, Some(opened));
}

/// An item that cannot be read can be ended, also twice.
pub async fn an_item_that_cannot_be_read_is_ended(bench: &Bench) {
    let ada = bench.user("ada").await;
    let odd = Session { session: SessionId::from_bytes(random()), ..session(&ada) };
    put_odd(bench, ada.id, &odd.session.to_string()).await;
    for expected in [Ending::Ended, Ending::AlreadyOver] {
        let ending =
            bench.store.end_session(ada.id, odd.session, NOW, EndReason::EndedByUser, attempt_id()).await;
        assert_eq!(ending, Ok(expected));
    }
    let why = bench.item(&odd).await.unwrap().remove("revoked_why");
    assert_eq!(why, Some(AttributeValue::S("ended_by_user".to_owned())));
}

/// One of several parallel endings reports that it ended the session, so that the event is logged once.
pub async fn of_parallel_endings_one_ends_the_session(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let endings = join_all((0..16).map(|n| {
        bench.store.end_session(ada.id, opened.session, after(n), EndReason::EndedByUser, attempt_id())
    }));
    let ended = endings.await.into_iter().filter(|ending| *ending == Ok(Ending::Ended)).count();
    assert_eq!(ended, 1);
}

/// Throttling, lost connections and missing responses are `Unavailable`. `suites::timing` measures the time.
pub async fn a_failing_store_is_unavailable(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    for action in [
        Action::refuse(400, "ThrottlingException"),
        Action::refuse(500, "InternalServerError"),
        Action::DropRequest,
        Action::Hang(Duration::from_secs(60)),
    ] {
        bench.recorder.always(action.clone());
        let (list, read, end) = tokio::join!(
            bench.store.stored_sessions(ada.id),
            bench.store.stored_session(ada.id, opened.session),
            bench.store.end_session(ada.id, opened.session, NOW, EndReason::EndedByUser, attempt_id()),
        );
        let case = format!("{action:?}");
        assert_unavailable(&list, &case);
        assert_unavailable(&read, &case);
        assert_unavailable(&end, &case);
    }
    bench.recorder.always(Action::Pass);
    assert_eq!(bench.stored(&opened).await, Some(opened));
}

/// Each page comes in time, but all pages together take too long. The store gives up before Lambda ends the function after
/// 5 s.
pub async fn slow_pages_are_given_up(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    // Three sessions per page.
    put_padded(bench, &opened, 21, 390_000).await;
    let _ = bench.recorder.take();
    bench.recorder.always(Action::Hang(Duration::from_millis(800)));
    assert_unavailable(&bench.store.stored_sessions(ada.id).await, "seven pages");
    let pages = bench.recorder.take().len();
    assert!((2..7).contains(&pages), "pages were followed, and not to the end: {pages}");
}
