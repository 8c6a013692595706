//! The requests of a refresh: one conditional write, and the verdict if the condition fails.

use crate::bench::{
    Bench, GRACE, LIFE, NOW, after, attempt_id, client, largest_session, present, rotated, scope, session,
};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::client::Clients;
use daypass_core::ports::store::{Rotation, Store, StoreError};
use daypass_core::session::{
    DeadCause, EndReason, Presented, Repeat, ReuseCause, RotationRequest, Session, Verdict,
};
use daypass_testkit::recorder::{Action, Exchange};
use daypass_verifier::base::ids::ClientId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use futures_util::future::join_all;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Panics unless the rotation was rejected for this reason and the stored session is unchanged.
async fn assert_refused(
    bench: &Bench,
    stored: &Session,
    presented: &Presented,
    now: Timestamp,
    expected: Verdict,
) {
    let before = bench.item(stored).await;
    let rotation = bench.rotate(presented, now).await;
    assert_eq!(verdict(&rotation), Some(expected), "{presented:?}");
    let met = match rotation {
        Ok(Rotation::SameSuccessor(met, _) | Rotation::Reuse(met, _) | Rotation::Rotated(met)) => Some(met),
        Ok(Rotation::Dead(_, met)) => met,
        Err(_) => None,
    };
    assert_eq!(met, bench.stored(stored).await);
    assert_eq!(bench.item(stored).await, before, "nothing is written");
}

fn verdict(rotation: &Result<Rotation, StoreError>) -> Option<Verdict> {
    Some(match rotation {
        Ok(Rotation::Rotated(_)) => Verdict::Rotate,
        Ok(Rotation::SameSuccessor(_, cause)) => Verdict::SameSuccessor(*cause),
        Ok(Rotation::Reuse(_, cause)) => Verdict::Reuse(*cause),
        Ok(Rotation::Dead(cause, _)) => Verdict::Dead(*cause),
        Err(_) => return None,
    })
}

/// A rotation stores generation, time and attempt id, and changes nothing else.
pub async fn the_session_moves_on(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    let presented = present(&opened, 0);
    let now = after(5_007);
    let presented = Presented { named: true, ..presented };
    let expected = Session {
        generation: 1,
        rotated_at: Some(now),
        attempt: Some(presented.attempt),
        named: true,
        network: Some(presented.network),
        ..opened.clone()
    };
    assert_eq!(rotated(bench.rotate(&presented, now).await), expected);
    assert_eq!(bench.stored(&opened).await, Some(expected));
}

/// An unnamed rotation after a named one has the whole grace period again.
pub async fn a_named_rotation_shortens_its_own_grace_only(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    rotated(bench.rotate(&Presented { named: true, ..present(&opened, 0) }, NOW).await);
    let judged = async |generation, milliseconds| {
        verdict(&bench.rotate(&present(&opened, generation), after(milliseconds)).await)
    };
    assert_eq!(judged(0, 4_999).await, Some(Verdict::SameSuccessor(Repeat::Grace)));
    assert_eq!(judged(0, 5_000).await, Some(Verdict::Reuse(ReuseCause::AfterGrace)));
    rotated(bench.rotate(&present(&opened, 1), NOW).await);
    assert_eq!(judged(1, 5_000).await, Some(Verdict::SameSuccessor(Repeat::Grace)));
}

/// In a chain of rotations, each one makes the token before it old.
pub async fn every_generation_rotates_once(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let other = session(&ada);
    bench.open(&ada, &other).await.unwrap();
    for generation in 0..5 {
        let now = after(60_000 * u64::from(generation));
        let session = rotated(bench.rotate(&present(&opened, generation), now).await);
        assert_eq!(session.generation, generation + 1);
    }
    assert_eq!(bench.stored(&other).await, Some(other), "another session of the user is not touched");
}

/// The table of verdicts, with each verdict from the store.
pub async fn what_cannot_rotate_is_left_alone(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    for generation in 0..3 {
        rotated(bench.rotate(&present(&opened, generation), after(1_000)).await);
    }
    let now = after(2_000);
    let check = async |generation, expected| {
        assert_refused(bench, &opened, &present(&opened, generation), now, expected).await;
    };
    check(4, Verdict::Dead(DeadCause::AheadOfStore)).await;
    check(2, Verdict::SameSuccessor(Repeat::Grace)).await;
    check(1, Verdict::Reuse(ReuseCause::SuccessorUsed)).await;
    check(0, Verdict::Reuse(ReuseCause::SuccessorUsed)).await;
    bench
        .store
        .revoke_session(opened.user, opened.session, None, now, EndReason::Reuse, attempt_id())
        .await
        .unwrap();
    for generation in 0..=4 {
        check(generation, Verdict::Dead(DeadCause::Ended)).await;
    }
}

/// The condition compares the time, because TTL removes items late.
pub async fn time_ends_a_session_to_the_millisecond(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    let last = Timestamp::from_millis(opened.expires_at.millis() - 1);
    let expired = Verdict::Dead(DeadCause::Expired);
    assert_refused(bench, &opened, &present(&opened, 0), opened.expires_at, expired).await;
    rotated(bench.rotate(&present(&opened, 0), last).await);
}

/// A session ends at its idle limit or its absolute end, whichever is earlier.
pub async fn either_end_counts(bench: &Bench) {
    let ada = bench.user("ada").await;
    let idle = Session { expires_at: NOW + HOUR, ..session(&ada) };
    bench.open(&ada, &idle).await.unwrap();
    let expired = Verdict::Dead(DeadCause::Expired);
    assert_refused(bench, &idle, &present(&idle, 0), NOW + HOUR, expired).await;

    let over = session(&ada);
    bench.open(&ada, &over).await.unwrap();
    let request = bench.raw.update_item().table_name(&bench.tables.sessions);
    request
        .key("user", AttributeValue::S(over.user.to_string()))
        .key("session", AttributeValue::S(over.session.to_string()))
        .update_expression("SET absolute_end = :end")
        .expression_attribute_values(":end", AttributeValue::N((NOW + HOUR).seconds().to_string()))
        .send()
        .await
        .unwrap();
    assert_refused(bench, &over, &present(&over, 0), NOW + HOUR, expired).await;
    assert_eq!(bench.stored(&over).await.unwrap().expires_at, NOW + HOUR);
}

/// A request that names a client rotates only sessions of this client (RFC 6749 §6).
pub async fn a_client_gets_its_own_tokens_only(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    let other = Presented { client: Some(client("other")), ..present(&opened, 0) };
    assert_refused(bench, &opened, &other, NOW, Verdict::Dead(DeadCause::OtherClient)).await;
    let own = Presented { client: Some(client("web")), ..present(&opened, 0) };
    rotated(bench.rotate(&own, NOW).await);
}

/// A client that was removed from the list cannot refresh, and its sessions stay. The list may be longer than one `IN`
/// allows.
pub async fn a_client_that_is_not_registered_keeps_its_sessions(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    let rotate = async |generation, registered: &[ClientId]| {
        let presented = present(&opened, generation);
        let request =
            RotationRequest { presented: &presented, registered, now: NOW, grace: GRACE, idle: None };
        bench.store.rotate(&request).await
    };
    let others: Vec<ClientId> = (1..Clients::MAX).map(|n| client(&format!("{n:064}"))).collect();
    let before = bench.item(&opened).await;
    for registered in [&others[..], &others[..1], &others[..100], &others[..101]] {
        let rotation = rotate(0, registered).await;
        assert_eq!(verdict(&rotation), Some(Verdict::Dead(DeadCause::ClientGone)));
        assert_eq!(bench.item(&opened).await, before, "nothing is written");
    }
    let back = [others, vec![client("web")]].concat();
    assert_eq!(back.len(), Clients::MAX);
    rotated(rotate(0, &back).await);
}

/// A refresh can narrow the scope, but not widen it. A scope that was not granted leaves the token unused.
pub async fn scope_is_checked_by_the_write(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let asking =
        |words: &str, generation| Presented { scope: Some(scope(words)), ..present(&opened, generation) };
    for words in ["orders:delete", "orders:read orders:delete", "orders", "orders:read orders:writ"] {
        assert_refused(bench, &opened, &asking(words, 0), NOW, Verdict::Dead(DeadCause::ScopeNotGranted))
            .await;
    }
    for (generation, words) in (0..).zip(["orders:read", "orders:write orders:read", ""]) {
        let session = rotated(bench.rotate(&asking(words, generation), NOW).await);
        assert_eq!(session.scope, opened.scope, "the session keeps what was granted");
    }

    let bare = Session { scope: Scope::default(), ..session(&ada) };
    bench.open(&ada, &bare).await.unwrap();
    let asking = Presented { scope: Some(scope("orders:read")), ..present(&bare, 0) };
    assert_refused(bench, &bare, &asking, NOW, Verdict::Dead(DeadCause::ScopeNotGranted)).await;
    rotated(bench.rotate(&present(&bare, 0), NOW).await);

    let largest = largest_session(&ada);
    bench.open(&ada, &largest).await.unwrap();
    let all = Presented {
        scope: Some(largest.scope.clone()),
        client: Some(largest.client.clone()),
        ..present(&largest, 0)
    };
    let copied = rotated(bench.rotate(&all, NOW).await).authentication;
    assert_eq!(copied, largest.authentication, "a refresh is no authentication");
}

/// With an idle limit, each rotation sets a new expiry, at most the absolute end. Each is one request.
pub async fn an_idle_limit_moves_with_use_up_to_the_absolute_end(bench: &Bench) {
    let ada = bench.user("ada").await;
    let idle = Some(10 * HOUR);
    let opened = Session { expires_at: NOW + 10 * HOUR, ..session(&ada) };
    bench.open(&ada, &opened).await.unwrap();
    let _ = bench.recorder.take();
    for (generation, hour) in (0..).zip([9, 13, 14, 15, 23]) {
        let now = NOW + hour * HOUR + Duration::from_millis(900);
        let session = rotated(bench.rotate_with(&present(&opened, generation), now, GRACE, idle).await);
        assert_eq!(session.expires_at, Session::expiry(now, opened.absolute_end, idle), "hour {hour}");
        assert_eq!(session.expires_at, NOW + (hour + 10).min(24) * HOUR, "hour {hour}");
        assert_eq!(bench.recorder.take().len(), 1, "hour {hour}");
        assert_eq!(bench.stored(&opened).await, Some(session));
        let _ = bench.recorder.take();
    }
    let soon = NOW + 23 * HOUR + Duration::from_secs(2);
    let repeat = bench.rotate_with(&present(&opened, 4), soon, GRACE, idle).await;
    assert_eq!(verdict(&repeat), Some(Verdict::SameSuccessor(Repeat::Grace)));
    let over = bench.rotate_with(&present(&opened, 5), NOW + LIFE, GRACE, idle).await;
    assert_eq!(verdict(&over), Some(Verdict::Dead(DeadCause::Expired)));

    // Unused for longer than the idle limit.
    let unused = Session { expires_at: NOW + 10 * HOUR, ..session(&ada) };
    bench.open(&ada, &unused).await.unwrap();
    let late = bench.rotate_with(&present(&unused, 0), NOW + 10 * HOUR, GRACE, idle).await;
    assert_eq!(verdict(&late), Some(Verdict::Dead(DeadCause::Expired)));
}

/// If the operator removes the idle limit, the next refresh of a session removes it from the session.
pub async fn an_idle_limit_that_was_lifted_holds_no_longer(bench: &Bench) {
    let ada = bench.user("ada").await;
    let opened = Session { expires_at: NOW + HOUR, ..session(&ada) };
    bench.open(&ada, &opened).await.unwrap();
    let session = rotated(bench.rotate(&present(&opened, 0), NOW).await);
    assert_eq!(session.expires_at, opened.absolute_end);
    rotated(bench.rotate(&present(&opened, 1), NOW + 2 * HOUR).await);
}

/// All parallel requests get the same successor, and one of them has made it.
pub async fn of_sixty_four_parallel_rotations_one_is_stored(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    let presented: Vec<Presented> = (0..64).map(|_| present(&opened, 0)).collect();
    let rotations = join_all(presented.iter().map(|presented| bench.rotate(presented, after(1_000)))).await;
    let mut winners = 0;
    for rotation in rotations {
        let session = match rotation.unwrap() {
            Rotation::Rotated(session) => {
                winners += 1;
                session
            }
            Rotation::SameSuccessor(session, cause) => {
                // On a busy machine, the response to the write may be late, and the SDK repeats the request.
                winners += usize::from(cause == Repeat::OwnRetry);
                session
            }
            other @ (Rotation::Reuse(..) | Rotation::Dead(..)) => unreachable!("{other:?}"),
        };
        assert_eq!(session.generation, 1);
        assert_eq!(session.expires_at, opened.expires_at, "the token follows from the session");
    }
    assert_eq!(winners, 1);
    let written = |exchange: &Exchange| exchange.answer.as_ref().is_some_and(|(status, _)| *status == 200);
    assert_eq!(bench.recorder.take().iter().filter(|exchange| written(exchange)).count(), 1);
    assert_eq!(bench.stored(&opened).await.unwrap().generation, 1);
}

/// The grace period begins with the rotation and ends by time, however often the old token comes.
pub async fn grace_ends_by_time_and_a_replay_does_not_extend_it(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    rotated(bench.rotate(&present(&opened, 0), NOW).await);
    for milliseconds in [0, 10_000, 29_000, 29_999] {
        let grace = Verdict::SameSuccessor(Repeat::Grace);
        assert_refused(bench, &opened, &present(&opened, 0), after(milliseconds), grace).await;
    }
    let reuse = Verdict::Reuse(ReuseCause::AfterGrace);
    assert_refused(bench, &opened, &present(&opened, 0), after(30_000), reuse).await;
    let none = bench.rotate_with(&present(&opened, 0), NOW, Duration::ZERO, None).await;
    assert_eq!(verdict(&none), Some(reuse), "a grace of zero forgives nothing");
}

/// If the successor is used, its holder has received it, and the old token is no longer needed.
pub async fn grace_ends_when_the_successor_is_used(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    rotated(bench.rotate(&present(&opened, 0), after(0)).await);
    rotated(bench.rotate(&present(&opened, 1), after(1_000)).await);
    let reuse = Verdict::Reuse(ReuseCause::SuccessorUsed);
    assert_refused(bench, &opened, &present(&opened, 0), after(1_001), reuse).await;
    let grace = Verdict::SameSuccessor(Repeat::Grace);
    assert_refused(bench, &opened, &present(&opened, 1), after(1_001), grace).await;
}

/// The response to the write is lost, and the SDK repeats it. This is no reuse, also with a grace period of 0.
pub async fn our_own_retry_is_known_without_grace(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    let presented = present(&opened, 0);
    bench.recorder.next(1, Action::DropAnswer);
    let rotation = bench.rotate_with(&presented, after(1_000), Duration::ZERO, None).await;
    let Ok(Rotation::SameSuccessor(session, Repeat::OwnRetry)) = rotation else {
        unreachable!("the second write met the first: {rotation:?}")
    };
    assert_eq!(session.generation, 1);
    assert_eq!(session.attempt, Some(presented.attempt));
    let requests = bench.recorder.take();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].request, requests[1].request, "the same attempt");

    // The same token in another attempt.
    let other = bench.rotate_with(&present(&opened, 0), after(1_000), Duration::ZERO, None).await;
    assert_eq!(verdict(&other), Some(Verdict::Reuse(ReuseCause::AfterGrace)));
    rotated(bench.rotate(&present(&opened, 1), after(2_000)).await);
}

/// A lost request has written nothing.
pub async fn a_request_that_never_arrived_is_sent_again(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    bench.recorder.next(1, Action::DropRequest);
    rotated(bench.rotate_with(&present(&opened, 0), after(1_000), Duration::ZERO, None).await);
    assert_eq!(bench.recorder.take().len(), 2);
}

/// A deleted item never makes a token valid again, and a refresh creates no item.
pub async fn absent_means_invalid(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    rotated(bench.rotate(&present(&opened, 0), NOW).await);
    let request = bench.raw.delete_item().table_name(&bench.tables.sessions);
    request
        .key("user", AttributeValue::S(opened.user.to_string()))
        .key("session", AttributeValue::S(opened.session.to_string()))
        .send()
        .await
        .unwrap();
    for generation in 0..3 {
        let absent = Verdict::Dead(DeadCause::Absent);
        assert_refused(bench, &opened, &present(&opened, generation), NOW + MINUTE, absent).await;
    }
    assert_eq!(bench.item(&opened).await, None);
}
