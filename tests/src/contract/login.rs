//! What a login asks of the store.

use super::broken;
use crate::bench::{Bench, NOW, after, attempt_id, largest_session, session, throttle, user, username};
use crate::recorder::Action;
use daypass_core::session::{EndReason, Session};
use daypass_core::{Attempt, NewSession, SessionId, Store, User, UserId, UserStatus};
use futures_util::future::join_all;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LIMIT: u32 = 5;

/// An unknown name costs its attempt like any other.
pub async fn an_unknown_user_is_none_and_the_attempt_counts(bench: &Bench) {
    let key = throttle("k");
    let begun = bench.store.begin_login(&username("nobody"), &key, LIMIT, attempt_id()).await.unwrap();
    assert!(begun == (None, Attempt::Counted));
    assert_eq!(bench.attempts(&key).await, Some(("1".to_owned(), "4000000900".to_owned())));
}

/// All that is stored of a user comes back, a user without scope included.
pub async fn a_user_reads_back(bench: &Bench) {
    let ada = bench.user("ada").await;
    let bare = User {
        scope: Default::default(),
        status: UserStatus::Disabled,
        password_version: u32::MAX,
        ..user("bare")
    };
    bench.store.add_user(&bare).await.unwrap();
    for expected in [ada, bare] {
        let (found, _) =
            bench.store.begin_login(&expected.username, &throttle("k"), LIMIT, attempt_id()).await.unwrap();
        assert!(found == Some(expected));
    }
}

/// The limit is the number that is counted; one more is not.
pub async fn attempts_count_up_to_the_limit(bench: &Bench) {
    let key = throttle("k");
    for attempt in 0..LIMIT + 2 {
        let (_, counted) =
            bench.store.begin_login(&username("ada"), &key, LIMIT, attempt_id()).await.unwrap();
        assert_eq!(counted, if attempt < LIMIT { Attempt::Counted } else { Attempt::Exhausted }, "{attempt}");
    }
    assert_eq!(bench.attempts(&key).await.unwrap().0, "5");
}

/// The count landed and its answer was lost: the SDK's own retry counts nothing more, and at the last allowed attempt it
/// is not taken for one too many.
pub async fn a_lost_answer_counts_once(bench: &Bench) {
    let key = throttle("k");
    for expected in ["1", "2"] {
        let seen = AtomicBool::new(false);
        bench.recorder.set_hook(move |call| {
            let first = call.operation == "UpdateItem" && !seen.swap(true, Ordering::SeqCst);
            if first { Action::DropAnswer } else { Action::Pass }
        });
        let (_, counted) = bench.store.begin_login(&username("ada"), &key, 2, attempt_id()).await.unwrap();
        assert_eq!(counted, Attempt::Counted);
        assert_eq!(bench.attempts(&key).await.unwrap().0, expected);
    }
}

/// Parallel guesses cannot slip past the counter.
pub async fn of_twenty_parallel_attempts_five_are_counted(bench: &Bench) {
    let (name, key) = (username("ada"), throttle("k"));
    let attempts = join_all((0..20).map(|_| bench.store.begin_login(&name, &key, LIMIT, attempt_id()))).await;
    let counted =
        attempts.into_iter().filter(|attempt| attempt.as_ref().unwrap().1 == Attempt::Counted).count();
    assert_eq!(counted, 5);
    assert_eq!(bench.attempts(&key).await.unwrap().0, "5");
}

/// A key stands for one subject in one window.
pub async fn each_window_counts_for_itself(bench: &Bench) {
    let ada = username("ada");
    for key in ["one", "two"] {
        let (_, counted) = bench.store.begin_login(&ada, &throttle(key), 1, attempt_id()).await.unwrap();
        assert_eq!(counted, Attempt::Counted, "{key}");
        let (_, counted) = bench.store.begin_login(&ada, &throttle(key), 1, attempt_id()).await.unwrap();
        assert_eq!(counted, Attempt::Exhausted, "{key}");
    }
}

/// A right password costs the user none of their attempts.
pub async fn a_login_stores_the_session_and_settles_the_counter(bench: &Bench) {
    let ada = bench.user("ada").await;
    let (settled, other) = (throttle("settled"), throttle("other"));
    for key in [&settled, &other] {
        bench.store.begin_login(&ada.username, key, LIMIT, attempt_id()).await.unwrap();
    }
    let opened = session(&ada);
    assert_eq!(bench.open(&ada, &opened).await, Ok(true));
    assert_eq!(bench.stored(&opened).await, Some(opened));
    assert_eq!(bench.attempts(&settled).await, None);
    assert!(bench.attempts(&other).await.is_some());
    assert!(
        bench.store.user(&ada.username).await.unwrap() == Some(ada),
        "a login changes nothing of the user"
    );
}

/// The longest values that the types let through can be stored.
pub async fn the_largest_session_reads_back(bench: &Bench) {
    let ada = bench.user("ada").await;
    let largest = largest_session(&ada);
    let smallest = Session { device: None, scope: Default::default(), ..session(&ada) };
    for opened in [largest, smallest] {
        assert_eq!(bench.open(&ada, &opened).await, Ok(true));
        assert_eq!(bench.stored(&opened).await, Some(opened));
    }
}

/// The password was checked against a user who is not that user any more.
pub async fn a_user_who_changed_meanwhile_opens_nothing(bench: &Bench) {
    let store = &bench.store;
    let disabled = bench.user("disabled").await;
    store.set_status(&disabled.username, UserStatus::Disabled, NOW).await.unwrap();
    let changed = bench.user("changed").await;
    store.set_password(&changed.username, "$argon2id$new", NOW).await.unwrap();
    let removed = bench.user("removed").await;
    store.remove_user(&removed.username, NOW).await.unwrap();
    let replaced = bench.user("replaced").await;
    store.remove_user(&replaced.username, NOW).await.unwrap();
    bench.user("replaced").await;

    for met in [disabled, changed, removed, replaced] {
        let before = store.user(&met.username).await.unwrap();
        for rehash in [None, Some("$argon2id$rehashed")] {
            let settle = throttle(met.username.as_str());
            store.begin_login(&met.username, &settle, LIMIT, attempt_id()).await.unwrap();
            let session = session(&met);
            let new = NewSession { session: &session, user: &met, rehash, settle: &settle };
            assert_eq!(store.open_session(&new).await, Ok(false), "{}", met.username);
            assert_eq!(bench.stored(&session).await, None, "{}", met.username);
            assert!(bench.attempts(&settle).await.is_some(), "{}: the attempt still counts", met.username);
        }
        assert!(store.user(&met.username).await.unwrap() == before, "{}", met.username);
    }
}

/// A hash under newer parameters is of the same password: the version stays, so that a parallel login still succeeds.
pub async fn a_new_hash_is_stored_with_the_session(bench: &Bench) {
    let ada = bench.user("ada").await;
    let (first, second) = (session(&ada), session(&ada));
    let new = |session, rehash| {
        let settle = throttle("settled");
        async move { bench.store.open_session(&NewSession { session, user: &ada, rehash, settle: &settle }).await }
    };
    let ada = bench.store.user(&username("ada")).await.unwrap().unwrap();
    assert_eq!(new(&first, Some("$argon2id$rehashed")).await, Ok(true));
    let expected = User { password_hash: "$argon2id$rehashed".to_owned(), ..ada.clone() };
    assert!(bench.store.user(&ada.username).await.unwrap() == Some(expected));
    assert_eq!(bench.open(&ada, &second).await, Ok(true), "the version is still that one");
}

/// Every verb is safe to repeat: a session that is there already, just so, is open.
pub async fn opening_again_changes_nothing(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    assert_eq!(bench.open(&ada, &opened).await, Ok(true));
    assert_eq!(bench.stored(&opened).await, Some(opened.clone()));
    bench.store.revoke_all(ada.id, after(9), EndReason::RevokedAll, None).await.unwrap();
    assert_eq!(bench.open(&ada, &opened).await, Ok(false), "ended meanwhile");
    assert!(bench.stored(&opened).await.unwrap().ended.is_some());
}

/// Random ids do not meet; if two did, the older session would stay.
pub async fn a_session_id_is_never_taken_over(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let other = Session { created_at: after(77), ..opened.clone() };
    let text = broken(bench.open(&ada, &other).await, "same id");
    assert!(text.contains("id"), "{text}");
    assert_eq!(bench.stored(&opened).await, Some(opened));
}

/// However a login and a disabling interleave, no live session is left.
pub async fn no_session_opens_while_the_user_is_disabled(bench: &Bench) {
    race_with_logins(bench, async |ada: &User| {
        bench.store.set_status(&ada.username, UserStatus::Disabled, after(500)).await.unwrap();
    })
    .await;
}

/// However a login and a change of the password interleave, no session of the old password is left.
pub async fn no_session_opens_on_the_old_password(bench: &Bench) {
    race_with_logins(bench, async |ada: &User| {
        bench.store.set_password(&ada.username, "$argon2id$new", after(500)).await.unwrap();
    })
    .await;
}

async fn race_with_logins(bench: &Bench, change: impl AsyncFn(&User)) {
    for round in 0..8_u64 {
        let ada = bench.user(&format!("ada{round}")).await;
        let sessions: Vec<Session> = (0..6).map(|_| session(&ada)).collect();
        let logins = join_all(sessions.iter().map(|session| bench.open(&ada, session)));
        let changing = async {
            // A little later in each round, to meet the logins at different points.
            tokio::time::sleep(Duration::from_millis(round)).await;
            change(&ada).await;
        };
        let (opened, ()) = tokio::join!(logins, changing);
        for (session, opened) in sessions.iter().zip(opened) {
            let stored = bench.stored(session).await;
            assert_eq!(stored.is_some(), opened.unwrap(), "an answer tells what is stored");
            assert!(stored.is_none_or(|session| !session.is_live(after(600))), "round {round}");
        }
        let late = Session { session: SessionId::from_bytes([9; 16]), ..session(&ada) };
        assert_eq!(bench.open(&ada, &late).await, Ok(false));
    }
    let never = UserId::from_bytes([0; 16]);
    assert_eq!(bench.store.sessions(never).await, Ok(Vec::new()));
}
