//! The requests of a revocation. An ended session stays ended.

use super::sessions::put_padded;
use crate::bench::{self, Bench, GRACE, LIFE, NOW, after, attempt_id, client, present, rotated, session};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::client::Clients;
use daypass_core::ports::store::{Revocation, Rotation, Store};
use daypass_core::session::{DeadCause, EndReason, Ended, Session};
use daypass_testkit::recorder::Action;
use daypass_verifier::base::ids::ClientId;
use futures_util::future::join_all;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The first reason stays. A second ending changes nothing.
pub async fn a_session_ends_once(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let other = session(&ada);
    bench.open(&ada, &other).await.unwrap();
    let attempt = attempt_id();
    let end = async |now, reason, attempt| {
        let (user, session) = (opened.user, opened.session);
        bench.store.revoke_session(user, session, None, now, reason, attempt).await.unwrap()
    };
    assert_eq!(end(after(1_007), EndReason::Revoked, attempt).await, Revocation::Ended);
    let ended = Some(Ended { at: after(1_007), reason: EndReason::Revoked });
    let expected = Session { ended, attempt: Some(attempt), ..opened.clone() };
    assert_eq!(bench.stored(&opened).await, Some(expected.clone()));
    assert_eq!(
        end(after(2_000), EndReason::Reuse, attempt_id()).await,
        Revocation::AlreadyOver(Ended { at: after(1_007), reason: EndReason::Revoked })
    );
    assert_eq!(bench.stored(&opened).await, Some(expected));
    assert_eq!(bench.stored(&other).await, Some(other), "another session of the user lives on");
}

/// One of several parallel revocations reports that it ended the session, so that the event is logged once.
pub async fn of_parallel_revocations_one_ends_the_session(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    let revocations = join_all((0..16_u64).map(|n| {
        bench.store.revoke_session(
            opened.user,
            opened.session,
            None,
            after(n),
            EndReason::Reuse,
            attempt_id(),
        )
    }))
    .await;
    let ended = revocations.into_iter().filter(|revocation| *revocation == Ok(Revocation::Ended)).count();
    assert_eq!(ended, 1);
}

/// A revocation of a session that does not exist creates no item.
pub async fn an_absent_session_is_not_made(bench: &Bench) {
    let ada = bench.user("ada").await;
    let never = session(&ada);
    let web = client("web");
    for client in [None, Some(slice::from_ref(&web))] {
        let revocation = bench
            .store
            .revoke_session(never.user, never.session, client, NOW, EndReason::Revoked, attempt_id())
            .await;
        assert_eq!(revocation, Ok(Revocation::Absent));
    }
    assert_eq!(bench.item(&never).await, None);
}

/// A client can only end its own sessions (RFC 7009 §2.1).
pub async fn another_clients_session_stays(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    let revoke = async |id: &str| {
        let client = client(id);
        bench
            .store
            .revoke_session(
                opened.user,
                opened.session,
                Some(&[client]),
                NOW,
                EndReason::Revoked,
                attempt_id(),
            )
            .await
            .unwrap()
    };
    assert_eq!(revoke("other").await, Revocation::OtherClient);
    assert_eq!(bench.stored(&opened).await, Some(opened.clone()));
    assert_eq!(revoke("web").await, Revocation::Ended);
    assert_eq!(revoke("web").await, Revocation::AlreadyOver(Ended { at: NOW, reason: EndReason::Revoked }));
    assert_eq!(revoke("other").await, Revocation::OtherClient, "also when it is over");

    // A list of clients that is longer than one `IN` allows, and an empty one.
    let (_, opened) = bench.logged_in("bob").await;
    let revoke = async |clients: &[ClientId]| {
        let ending = bench.store.revoke_session(
            opened.user,
            opened.session,
            Some(clients),
            NOW,
            EndReason::Revoked,
            attempt_id(),
        );
        ending.await.unwrap()
    };
    let mut clients: Vec<ClientId> = (1..Clients::MAX).map(|n| client(&format!("c{n}"))).collect();
    assert_eq!(revoke(&[]).await, Revocation::OtherClient);
    assert_eq!(revoke(&clients).await, Revocation::OtherClient);
    assert_eq!(bench.stored(&opened).await, Some(opened.clone()));
    clients.push(client("web"));
    assert_eq!(revoke(&clients).await, Revocation::Ended);
}

/// If a revocation and a rotation run in parallel, the session has ended afterwards, in any order.
pub async fn a_rotation_in_between_saves_no_session(bench: &Bench) {
    let ada = bench.user("ada").await;
    for round in 0..16 {
        let opened = session(&ada);
        bench.open(&ada, &opened).await.unwrap();
        let presented = present(&opened, 0);
        let rotate = bench.rotate(&presented, after(1_000));
        let revoke = bench.store.revoke_session(
            ada.id,
            opened.session,
            None,
            after(1_000),
            EndReason::Revoked,
            attempt_id(),
        );
        // Polled in this order, so that each is first in every second round.
        let (rotation, revocation) = if round % 2 == 0 {
            tokio::join!(rotate, revoke)
        } else {
            let (revocation, rotation) = tokio::join!(revoke, rotate);
            (rotation, revocation)
        };
        assert_eq!(revocation, Ok(Revocation::Ended));
        let generation = match rotation.unwrap() {
            Rotation::Rotated(session) => session.generation,
            Rotation::Dead(DeadCause::Ended, Some(_)) => 0,
            other => unreachable!("{other:?}"),
        };
        assert_dead(bench, &opened, generation).await;
    }
}

async fn assert_dead(bench: &Bench, session: &Session, generations: u32) {
    for generation in 0..=generations {
        let rotation = bench.rotate(&present(session, generation), after(1_001)).await;
        assert!(
            matches!(rotation, Ok(Rotation::Dead(DeadCause::Ended, Some(_)))),
            "generation {generation} of {generations}: {rotation:?}"
        );
    }
}

/// Ended and expired sessions are not written again, and sessions of other users are not written at all.
pub async fn all_live_sessions_end_and_no_others(bench: &Bench) {
    let (ada, first) = bench.logged_in("ada").await;
    let (_, other) = bench.logged_in("bob").await;
    let second = session(&ada);
    let expired = Session { expires_at: after(1_000), ..session(&ada) };
    let over = Session { absolute_end: after(1_000), expires_at: after(1_000), ..session(&ada) };
    let ended = session(&ada);
    for session in [&second, &expired, &over, &ended] {
        bench.open(&ada, session).await.unwrap();
    }
    bench
        .store
        .revoke_session(ada.id, ended.session, None, after(7), EndReason::Revoked, attempt_id())
        .await
        .unwrap();
    let untouched = [&expired, &over, &ended, &other];
    let before = join_all(untouched.map(|session| bench.item(session))).await;
    let _ = bench.recorder.take();

    // More than the permitted clock difference.
    let now = after(62_000);
    assert_eq!(bench.store.revoke_all(ada.id, now, EndReason::RevokedAll, None).await, Ok(2));
    let operations: Vec<String> =
        bench.recorder.take().into_iter().map(|exchange| exchange.operation).collect();
    assert_eq!(operations, ["Query", "UpdateItem", "UpdateItem"]);
    for session in [&first, &second] {
        let ended = bench.stored(session).await.unwrap().ended;
        assert_eq!(ended, Some(Ended { at: now, reason: EndReason::RevokedAll }));
    }
    assert_eq!(join_all(untouched.map(|session| bench.item(session))).await, before);
    assert_eq!(bench.store.revoke_all(ada.id, after(63_000), EndReason::RevokedAll, None).await, Ok(0));
    assert_eq!(
        bench.store.revoke_all(bench::user("unknown").id, now, EndReason::RevokedAll, None).await,
        Ok(0)
    );
}

/// A repeat of an interrupted call ends the sessions of that time. It spares sessions that were opened later by more than
/// the permitted clock difference.
pub async fn what_was_opened_since_is_spared(bench: &Bench) {
    let (ada, before) = bench.logged_in("ada").await;
    let by_a_clock_ahead = Session { created_at: after(35_000), ..session(&ada) };
    let since = Session { created_at: after(35_001), ..session(&ada) };
    for session in [&by_a_clock_ahead, &since] {
        bench.open(&ada, session).await.unwrap();
    }
    let end = bench.store.revoke_all(ada.id, after(40_000), EndReason::RevokedAll, Some(after(5_000)));
    assert_eq!(end.await, Ok(2));
    for session in [&before, &by_a_clock_ahead] {
        assert!(bench.stored(session).await.unwrap().ended.is_some());
    }
    assert_eq!(bench.stored(&since).await, Some(since));
}

/// A session that has just expired by the clock of this process may still be live by another clock, and is ended.
pub async fn a_clock_that_is_ahead_spares_no_session(bench: &Bench) {
    let (ada, _) = bench.logged_in("ada").await;
    let idle = Session { expires_at: after(60_000), ..session(&ada) };
    bench.open(&ada, &idle).await.unwrap();
    assert_eq!(bench.store.revoke_all(ada.id, after(62_000), EndReason::RevokedAll, None).await, Ok(2));
    let rotation =
        bench.rotate_with(&present(&idle, 0), after(59_999), GRACE, Some(Duration::from_secs(60))).await;
    assert!(matches!(rotation, Ok(Rotation::Dead(DeadCause::Ended, Some(_)))), "{rotation:?}");
}

/// The response to the ending is lost, and the SDK repeats the write. This call reports that it ended the session. Any
/// other call reports that it had already ended.
pub async fn an_ending_knows_itself_again(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    let end = async |reason| {
        let (user, session) = (opened.user, opened.session);
        bench.store.revoke_session(user, session, None, after(7), reason, attempt_id()).await
    };
    bench.recorder.next(1, Action::DropAnswer);
    assert_eq!(end(EndReason::Reuse).await, Ok(Revocation::Ended));
    assert_eq!(bench.recorder.take().len(), 2);
    assert_eq!(
        end(EndReason::Reuse).await,
        Ok(Revocation::AlreadyOver(Ended { at: after(7), reason: EndReason::Reuse }))
    );
}

/// TTL removes the item of an ended session an hour after its end. Until then it reads as ended.
pub async fn an_ended_session_is_removed_after_an_hour(bench: &Bench) {
    let (ada, one) = bench.logged_in("ada").await;
    let all = session(&ada);
    bench.open(&ada, &all).await.unwrap();
    let key = (ada.id, one.session);
    bench
        .store
        .revoke_session(key.0, key.1, None, after(5_000), EndReason::Revoked, attempt_id())
        .await
        .unwrap();
    bench.store.revoke_all(ada.id, after(5_000), EndReason::RevokedAll, None).await.unwrap();
    for ended in [&one, &all] {
        let item = bench.item(ended).await.unwrap();
        assert_eq!(item["expires_at"], AttributeValue::N((NOW.seconds() + 5 + 3_600).to_string()));
        assert_dead(bench, ended, 0).await;
    }
}

/// A login ends the sessions that were used least recently, until 100 are live. Expired and ended ones do not count. One
/// query, and one write for each ending.
pub async fn the_least_used_sessions_beyond_the_limit_end(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let template = bench.item(&opened).await.unwrap();
    let end = async || {
        let reason = EndReason::SessionLimit;
        bench.store.end_least_used(ada.id, opened.session, after(9_000), reason, attempt_id()).await
    };
    let put = async |created_at: u64, change: &[(&str, String)]| {
        let other = session(&ada);
        let mut item = template.clone();
        item.insert("session".to_owned(), AttributeValue::S(other.session.to_string()));
        item.insert("created_at".to_owned(), AttributeValue::N((NOW.seconds() - created_at).to_string()));
        for (name, value) in change {
            item.insert((*name).to_owned(), AttributeValue::N(value.clone()));
        }
        bench.raw.put_item().table_name(&bench.tables.sessions).set_item(Some(item)).send().await.unwrap();
        other
    };
    for _ in 0..98 {
        put(100, &[]).await;
    }
    put(9_000, &[("expires_at", NOW.seconds().to_string())]).await;
    let over = put(9_000, &[]).await;
    bench
        .store
        .revoke_session(ada.id, over.session, None, NOW, EndReason::Revoked, attempt_id())
        .await
        .unwrap();
    let used = put(9_000, &[("rotated_at", NOW.seconds().to_string())]).await;
    let _ = bench.recorder.take();
    assert_eq!(end().await, Ok(Vec::new()), "100 live sessions");
    assert_eq!(bench.recorder.take().len(), 1, "one query");

    let (oldest, old) = (put(500, &[]).await, put(400, &[]).await);
    let mut expected = [oldest.session, old.session];
    // The response to one ending is lost. The SDK repeats it, and the call knows its own write.
    bench.recorder.set_hook({
        let lost = AtomicBool::new(false);
        move |call| match call.operation {
            "UpdateItem" if !lost.swap(true, Ordering::SeqCst) => Action::DropAnswer,
            _ => Action::Pass,
        }
    });
    let mut ended = end().await.unwrap();
    bench.recorder.always(Action::Pass);
    expected.sort_unstable();
    ended.sort_unstable();
    assert_eq!(ended, expected);
    assert_eq!(bench.recorder.take().len(), 1 + 2 + 1);
    for session in [&oldest, &old] {
        assert_eq!(bench.stored(session).await.unwrap().ended.unwrap().reason, EndReason::SessionLimit);
    }
    assert!(bench.stored(&used).await.unwrap().ended.is_none(), "a refresh is a use");
    assert_eq!(end().await, Ok(Vec::new()));
}

/// A query returns at most 1 MB per page.
pub async fn all_pages_are_ended(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    put_padded(bench, &opened, 30, 100_000).await;
    let _ = bench.recorder.take();
    assert_eq!(bench.store.end_sessions(ada.id, NOW, EndReason::Operator).await, Ok(31));
    let queries = bench.recorder.take().into_iter().filter(|exchange| exchange.operation == "Query").count();
    assert!(queries >= 3, "{queries} pages");
    let sessions = bench.store.sessions(ada.id).await.unwrap();
    assert_eq!(sessions.len(), 31);
    assert!(sessions.iter().all(|session| session.ended.is_some()));
}

/// Sessions that were opened before the call have ended after it, even if logins and rotations run in parallel.
pub async fn logins_and_rotations_in_between_save_no_session(bench: &Bench) {
    let ada = bench.user("ada").await;
    let before: Vec<Session> = (0..24).map(|_| session(&ada)).collect();
    join_all(before.iter().map(|session| async {
        assert_eq!(bench.open(&ada, session).await, Ok(true));
    }))
    .await;
    let meanwhile: Vec<Session> = (0..8).map(|_| session(&ada)).collect();
    let logins = join_all(meanwhile.iter().map(|session| bench.open(&ada, session)));
    let rotations = join_all(before.iter().map(|session| async {
        let mut generation = 0;
        for _ in 0..4 {
            match bench.rotate(&present(session, generation), after(1_000)).await.unwrap() {
                Rotation::Rotated(session) => generation = session.generation,
                Rotation::Dead(DeadCause::Ended, Some(_)) => break,
                other => unreachable!("{other:?}"),
            }
        }
        generation
    }));
    let revoke = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        bench.store.revoke_all(ada.id, after(1_000), EndReason::RevokedAll, None).await
    };
    let (opened, generations, ended) = tokio::join!(logins, rotations, revoke);
    assert!(ended.unwrap() >= 24);
    for (session, generation) in before.iter().zip(generations) {
        assert_dead(bench, session, generation).await;
    }
    for (session, opened) in meanwhile.iter().zip(opened) {
        assert_eq!(opened, Ok(true));
        let stored = bench.stored(session).await.unwrap();
        if stored.ended.is_none() {
            rotated(bench.rotate(&present(session, 0), after(2_000)).await);
        }
    }
}

/// Items that cannot be read are ended too.
pub async fn an_item_that_cannot_be_read_shields_no_other(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let expires_at = AttributeValue::N((NOW + LIFE).seconds().to_string());
    for key in ["!", "ses_odd", "~"] {
        let request = bench.raw.put_item().table_name(&bench.tables.sessions);
        request
            .item("user", AttributeValue::S(ada.id.to_string()))
            .item("session", AttributeValue::S(key.to_owned()))
            .item("expires_at", expires_at.clone())
            .item("absolute_end", expires_at.clone())
            .send()
            .await
            .unwrap();
    }
    assert_eq!(bench.store.revoke_all(ada.id, NOW, EndReason::RevokedAll, None).await, Ok(4));
    assert_dead(bench, &opened, 0).await;
}
