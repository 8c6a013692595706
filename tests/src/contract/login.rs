//! What a login asks of the store.

use super::broken;
use crate::bench::{Bench, NOW, after, attempt_id, counter, largest_session, scope, session, user, username};
use daypass_core::ports::store::{
    AttemptStore, Creation, NewSession, PasswordChange, PasswordStore, Store, User, UserStatus,
};
use daypass_core::session::{EndReason, Session};
use daypass_core::throttle::{Attempt, Counter, KnownAddress};
use daypass_testkit::recorder::Action;
use daypass_verifier::base::ids::{SessionId, UserId};
use futures_util::future::join_all;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LIMIT: u32 = 5;

/// An attempt at an unknown name is counted like any other.
pub async fn an_unknown_user_is_none_and_the_attempt_counts(bench: &Bench) {
    let begun = bench.store.begin(&username("unknown"), &counter("k", LIMIT), attempt_id()).await.unwrap();
    assert_eq!((begun.user, begun.known, begun.changed_by), (None, Vec::new(), None));
    let Attempt::Counted(ticket) = begun.attempt else { unreachable!("the first attempt of a counter") };
    assert!(ticket.key == "k" && ticket.slot < LIMIT && ticket.until == after(900_000), "{ticket:?}");
    assert_eq!(bench.attempts("k").await, Some((1, "4000000960".to_owned())));
}

/// All attributes of a user are read back, also of a user without scope.
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
        let begun = bench.store.begin(&expected.username, &counter("k", LIMIT), attempt_id()).await.unwrap();
        assert!(begun.user == Some(expected));
    }
}

/// A login creates a user once, also if its response was lost, and learns of a user who was faster.
pub async fn a_migrated_user_is_created_once(bench: &Bench) {
    let ada = User { scope: scope("a b"), ..user("ada") };
    bench.recorder.next(1, Action::DropAnswer);
    assert!(bench.store.create_user(&ada).await == Ok(Creation::Stored(Box::new(ada.clone()))));
    let other = User { id: UserId::from_bytes([9; 16]), ..ada.clone() };
    assert!(bench.store.create_user(&other).await == Ok(Creation::Stored(Box::new(ada.clone()))));
    assert!(bench.store.user(&ada.username).await == Ok(Some(ada)));
}

/// As many attempts as the limit are counted. The next one is throttled, with the time until a slot is free.
pub async fn attempts_count_up_to_the_limit(bench: &Bench) {
    for attempt in 0..u64::from(LIMIT) + 2 {
        // One attempt per second, so that the first slot that becomes free is the first that was taken.
        let counter = Counter { now: after(attempt * 1_000), ..counter("k", LIMIT) };
        let counted = bench.store.count(&counter, attempt_id()).await.unwrap();
        if attempt < u64::from(LIMIT) {
            assert!(matches!(counted, Attempt::Counted(_)), "{attempt}");
        } else {
            assert_eq!(counted, Attempt::Exhausted(after(900_000)), "{attempt}");
        }
    }
    assert_eq!(bench.attempts("k").await.unwrap().0, 5);
}

/// The window slides: any interval of its length holds at most as many attempts as the limit.
///
/// invariant: At most as many attempts are hashed as a limit allows, in any interval of its window, at any
/// concurrency.
pub async fn no_interval_holds_more_than_the_limit(bench: &Bench) {
    let mut counted: Vec<u64> = Vec::new();
    // Prime steps, so that the attempts fall on all parts of the windows of 900 s.
    for at in (0..4_000_000_u64).step_by(37_003) {
        let counter = Counter { now: after(at), ..counter("k", LIMIT) };
        match bench.store.count(&counter, attempt_id()).await.unwrap() {
            Attempt::Counted(_) => counted.push(at),
            Attempt::Exhausted(until) => {
                // The returned time is the time of the earliest attempt that still counts, plus the window.
                let first = counted[counted.len() - 5];
                assert_eq!(until, after(first + 900_000));
            }
        }
    }
    assert!(counted.windows(6).all(|six| six[5] - six[0] >= 900_000), "{counted:?}");
    assert_eq!(counted.len(), 25, "five in each of the windows that begin, and none is wasted");
}

/// The response to the write of a slot is lost. The retry of the SDK takes no second slot, and is not throttled at the last
/// permitted attempt.
pub async fn a_lost_answer_counts_once(bench: &Bench) {
    for expected in [1, 2] {
        let seen = AtomicBool::new(false);
        bench.recorder.set_hook(move |call| {
            let first = call.operation == "UpdateItem" && !seen.swap(true, Ordering::SeqCst);
            if first { Action::DropAnswer } else { Action::Pass }
        });
        let counted = bench.store.count(&counter("k", 2), attempt_id()).await.unwrap();
        assert!(matches!(counted, Attempt::Counted(_)));
        assert_eq!(bench.attempts("k").await.unwrap().0, expected);
    }
}

/// Parallel attempts cannot exceed the limit. Attempts that a busy machine leaves without a response are no guesses.
///
/// invariant: At most as many attempts are hashed as a limit allows, in any interval of its window, at any
/// concurrency.
pub async fn of_fifty_parallel_attempts_five_are_counted(bench: &Bench) {
    let counter = counter("k", LIMIT);
    let attempts = join_all((0..50).map(|_| bench.store.count(&counter, attempt_id()))).await;
    let counted = attempts.iter().filter(|attempt| matches!(attempt, Ok(Attempt::Counted(_)))).count();
    let unanswered = attempts.iter().filter(|attempt| attempt.is_err()).count();
    assert!(counted <= 5 && counted + unanswered >= 5, "{counted} counted, {unanswered} without an answer");
    while matches!(bench.store.count(&counter, attempt_id()).await.unwrap(), Attempt::Counted(_)) {}
    assert_eq!(bench.attempts("k").await.unwrap().0, 5);
}

/// Counters are independent.
pub async fn each_key_counts_for_itself(bench: &Bench) {
    for key in ["one", "two"] {
        let counted = bench.store.count(&counter(key, 1), attempt_id()).await.unwrap();
        assert!(matches!(counted, Attempt::Counted(_)), "{key}");
        let counted = bench.store.count(&counter(key, 1), attempt_id()).await.unwrap();
        assert_eq!(counted, Attempt::Exhausted(after(900_000)), "{key}");
    }
}

/// A success frees only its own slot. If it is freed twice, the second time frees no slot of another attempt.
pub async fn a_slot_is_given_back_once(bench: &Bench) {
    let take = async |now| {
        let counter = Counter { now, ..counter("k", 2) };
        match bench.store.count(&counter, attempt_id()).await.unwrap() {
            Attempt::Counted(ticket) => Some(ticket),
            Attempt::Exhausted(_) => None,
        }
    };
    let (first, second) = (take(NOW).await.unwrap(), take(after(1)).await.unwrap());
    assert_ne!(first.slot, second.slot);
    bench.store.settle(None, std::slice::from_ref(&first)).await.unwrap();
    assert_eq!(bench.attempts("k").await.unwrap().0, 1);
    let third = take(after(2)).await.unwrap();
    assert_eq!(third.slot, first.slot);
    bench.store.settle(None, std::slice::from_ref(&first)).await.unwrap();
    assert_eq!(bench.attempts("k").await.unwrap().0, 2, "it is the third's by now");
    assert_eq!(take(after(3)).await, None);
    bench.store.settle(Some("k"), &[]).await.unwrap();
    assert_eq!(bench.attempts("k").await, None, "forgotten");
    bench.store.settle(Some("k"), &[first, second]).await.unwrap();
    assert_eq!(bench.attempts("k").await, None, "nothing is made of what is not there");
}

/// A lowered or raised limit holds at once.
pub async fn another_limit_holds_for_the_same_counter(bench: &Bench) {
    let counts = async |limit| {
        let counted = bench.store.count(&counter("k", limit), attempt_id()).await.unwrap();
        matches!(counted, Attempt::Counted(_))
    };
    for _ in 0..3 {
        assert!(counts(3).await);
    }
    assert!(!counts(2).await);
    assert!(counts(4).await && !counts(4).await);
}

/// Known addresses are read back. A login without a change to them leaves them as they are.
pub async fn known_addresses_are_kept_with_the_user(bench: &Bench) {
    let ada = bench.user("ada").await;
    let list = [1_u8, 2].map(|n| KnownAddress { key: [n; 16], until: after(u64::from(n) * 1_000) });
    for known in [Some(list.as_slice()), None] {
        let opened = session(&ada);
        let new =
            NewSession { session: &opened, user: &ada, rehash: None, known, factor: None, settle: Some("k") };
        assert_eq!(bench.store.open_session(&new).await, Ok(true));
        let begun = bench.store.begin(&ada.username, &counter("k", 5), attempt_id()).await.unwrap();
        assert_eq!(begun.known, list);
        assert_eq!(begun.user.as_ref(), Some(&ada));
    }
}

/// A change of the password forgets the known addresses: the one who knew the old password could be a thief.
pub async fn a_new_password_forgets_known_addresses(bench: &Bench) {
    let mut ada = bench.user("ada").await;
    let list = [KnownAddress { key: [1; 16], until: after(1_000) }];
    for by_operator in [false, true] {
        let opened = session(&ada);
        let new = NewSession {
            session: &opened,
            user: &ada,
            rehash: None,
            known: Some(&list),
            factor: None,
            settle: Some("k"),
        };
        assert_eq!(bench.store.open_session(&new).await, Ok(true));
        if by_operator {
            assert!(bench.store.set_password(&ada.username, "by the operator", NOW).await.unwrap().is_some());
        } else {
            let change = PasswordChange { user: &ada, hash: "by the user", by: opened.session, now: NOW };
            assert_eq!(bench.store.change_password(&change).await, Ok(true));
        }
        let begun = bench.store.begin(&ada.username, &counter("k", 5), attempt_id()).await.unwrap();
        assert_eq!(begun.known, [], "by the operator: {by_operator}");
        ada = begun.user.unwrap();
    }
}

/// A login with the right password uses up no attempt.
pub async fn a_login_stores_the_session_and_settles_the_counter(bench: &Bench) {
    let ada = bench.user("ada").await;
    for key in ["settled", "other"] {
        bench.store.count(&counter(key, LIMIT), attempt_id()).await.unwrap();
    }
    let opened = session(&ada);
    assert_eq!(bench.open(&ada, &opened).await, Ok(true));
    assert_eq!(bench.stored(&opened).await, Some(opened));
    assert_eq!(bench.attempts("settled").await, None);
    assert!(bench.attempts("other").await.is_some());
    assert!(
        bench.store.user(&ada.username).await.unwrap() == Some(ada),
        "a login changes nothing of the user"
    );
}

/// The longest values of all types can be stored.
pub async fn the_largest_session_reads_back(bench: &Bench) {
    let ada = bench.user("ada").await;
    let largest = largest_session(&ada);
    let smallest = Session { device: None, scope: Default::default(), ..session(&ada) };
    for opened in [largest, smallest] {
        assert_eq!(bench.open(&ada, &opened).await, Ok(true));
        assert_eq!(bench.stored(&opened).await, Some(opened));
    }
}

/// The user has changed since the password was checked.
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
    let narrowed = bench.user("narrowed").await;
    store.set_scope(&narrowed.username, &scope("orders:read"), NOW).await.unwrap();
    let emptied = bench.user("emptied").await;
    store.set_scope(&emptied.username, &scope(""), NOW).await.unwrap();
    let widened = User { scope: scope(""), ..user("widened") };
    store.add_user(&widened).await.unwrap();
    store.set_scope(&widened.username, &scope("orders:read"), NOW).await.unwrap();

    for met in [disabled, changed, removed, replaced, narrowed, emptied, widened] {
        let before = store.user(&met.username).await.unwrap();
        for rehash in [None, Some("$argon2id$rehashed")] {
            let settle = met.username.as_str();
            store.count(&counter(settle, LIMIT), attempt_id()).await.unwrap();
            let session = session(&met);
            let settle = Some(settle);
            let new = NewSession { session: &session, user: &met, rehash, known: None, factor: None, settle };
            assert_eq!(store.open_session(&new).await, Ok(false), "{}", met.username);
            assert_eq!(bench.stored(&session).await, None, "{}", met.username);
            let attempts = bench.attempts(met.username.as_str()).await;
            assert!(attempts.is_some(), "{}: the attempt still counts", met.username);
        }
        assert!(store.user(&met.username).await.unwrap() == before, "{}", met.username);
    }
}

/// A new hash with other parameters is of the same password. The version stays, so that a parallel login still succeeds.
pub async fn a_new_hash_is_stored_with_the_session(bench: &Bench) {
    let ada = bench.user("ada").await;
    let (first, second) = (session(&ada), session(&ada));
    let renewed = NewSession {
        session: &first,
        user: &ada,
        rehash: Some("$argon2id$rehashed"),
        known: None,
        factor: None,
        settle: Some("settled"),
    };
    assert_eq!(bench.store.open_session(&renewed).await, Ok(true));
    let expected = User { password_hash: "$argon2id$rehashed".to_owned(), ..ada.clone() };
    assert!(bench.store.user(&ada.username).await.unwrap() == Some(expected));
    assert_eq!(bench.open(&ada, &second).await, Ok(true), "the version is still that one");
}

/// Each method can be repeated. Opening an identical session again succeeds.
pub async fn opening_again_changes_nothing(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    assert_eq!(bench.open(&ada, &opened).await, Ok(true));
    assert_eq!(bench.stored(&opened).await, Some(opened.clone()));
    bench.store.revoke_all(ada.id, after(9), EndReason::RevokedAll, None).await.unwrap();
    assert_eq!(bench.open(&ada, &opened).await, Ok(false), "ended meanwhile");
    assert!(bench.stored(&opened).await.unwrap().ended.is_some());
}

/// Random ids are distinct. If two were equal, the older session would stay.
pub async fn a_session_id_is_never_taken_over(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let other = Session { created_at: after(77), ..opened.clone() };
    let text = broken(bench.open(&ada, &other).await, "same id");
    assert!(text.contains("id"), "{text}");
    assert_eq!(bench.stored(&opened).await, Some(opened));
}

/// A login and a disabling in parallel leave no live session, in any order.
pub async fn no_session_opens_while_the_user_is_disabled(bench: &Bench) {
    race_with_logins(bench, async |ada: &User| {
        bench.store.set_status(&ada.username, UserStatus::Disabled, after(500)).await.unwrap();
    })
    .await;
}

/// A login and a change of the password in parallel leave no session of the old password, in any order.
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
            // A little later in each round, so that the change meets the logins at different points.
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
