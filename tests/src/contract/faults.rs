//! A store that refuses, does not answer or cannot be reached. It never causes a verdict on a token, and nothing is lost.
//! `suites::timing` measures the time of the responses.

use super::{assert_unavailable, broken};
use crate::bench::{
    self, Bench, GRACE, NOW, after, attempt_id, counter, present, rotated, session, username,
};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::ports::store::{AttemptStore, NewSession, Store, StoreError, User};
use daypass_core::session::{EndReason, RotationRequest, Session};
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_testkit::recorder::Action;
use futures_util::future::{FutureExt, TryFutureExt, join_all};
use serde_json::json;
use std::time::Duration;

/// Requests of [`every_verb`] without retries.
const REQUESTS: usize = 6;
/// Attempts at a request that is refused at once.
const TRIES: usize = 4;
/// Attempts at a request that gets no response: the time is enough for two.
const TRIES_AT_LENGTH: usize = 2;

/// Calls every method of the port in parallel, and returns the outcomes.
async fn every_verb(
    store: &DynamoDb,
    user: &User,
    session: &Session,
) -> Vec<(&'static str, Result<(), StoreError>)> {
    let (settle, presented, fresh, now) =
        (counter("k", 5), present(session, 0), bench::session(user), after(1_000));
    let new =
        NewSession { session: &fresh, user, rehash: None, known: None, factor: None, settle: Some("k") };
    let registered = bench::registered();
    let request =
        RotationRequest { presented: &presented, registered: &registered, now, grace: GRACE, idle: None };
    let calls = [
        ("begin", store.begin(&user.username, &settle, attempt_id()).map_ok(drop).boxed()),
        ("open_session", store.open_session(&new).map_ok(drop).boxed()),
        ("rotate", store.rotate(&request).map_ok(drop).boxed()),
        (
            "revoke_session",
            store
                .revoke_session(user.id, session.session, None, now, EndReason::Revoked, attempt_id())
                .map_ok(drop)
                .boxed(),
        ),
        ("revoke_all", store.revoke_all(user.id, now, EndReason::RevokedAll, None).map_ok(drop).boxed()),
    ];
    join_all(calls.map(|(verb, call)| async move { (verb, call.await) })).await
}

/// Throttling, overload and lost connections are `Unavailable` after some attempts. Afterwards, the same token rotates.
pub async fn what_passes_is_unavailable_and_the_token_still_works(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    for action in [
        Action::refuse(400, "ThrottlingException"),
        Action::refuse(400, "ProvisionedThroughputExceededException"),
        Action::refuse(400, "RequestLimitExceeded"),
        Action::refuse(400, "LimitExceededException"),
        Action::refuse(400, "TransactionInProgressException"),
        Action::refuse(400, "TransactionConflictException"),
        Action::refuse(500, "InternalServerError"),
        Action::Status(503, json!("not even an error of DynamoDB")),
        Action::Status(429, json!({})),
        Action::DropRequest,
    ] {
        bench.recorder.always(action.clone());
        let _ = bench.recorder.take();
        for (verb, result) in every_verb(&bench.store, &ada, &opened).await {
            assert_unavailable(&result, &format!("{verb}, {action:?}"));
            let text = result.unwrap_err().to_string();
            assert!(!text.contains("ada") && !text.contains("web"), "{text}");
        }
        let tries = bench.recorder.take().len();
        assert!((REQUESTS..=REQUESTS * TRIES).contains(&tries), "{action:?}: {tries} requests");
    }
    bench.recorder.always(Action::Pass);
    rotated(bench.rotate(&present(&opened, 0), after(2_000)).await);
}

/// The store gives up before Lambda would end the function, after a second attempt.
pub async fn a_store_that_hangs_is_unavailable(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    bench.recorder.always(Action::Hang(Duration::from_secs(60)));
    let _ = bench.recorder.take();
    for (verb, result) in every_verb(&bench.store, &ada, &opened).await {
        assert_unavailable(&result, verb);
    }
    assert_eq!(bench.recorder.take().len(), REQUESTS * TRIES_AT_LENGTH);
    bench.recorder.always(Action::Pass);
    rotated(bench.rotate(&present(&opened, 0), after(2_000)).await);
}

/// No process listens at the port.
pub async fn a_store_that_is_not_there_is_unavailable(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = DynamoDb::local(&format!("http://{nobody}"), TableNames::from(&bench.tables));
    for (verb, result) in every_verb(&store, &ada, &opened).await {
        assert_unavailable(&result, verb);
    }
}

/// A missing right or a bug is not retried, and the log names the problem.
pub async fn what_stays_is_broken_at_the_first_try(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    for code in [
        "AccessDeniedException",
        "ValidationException",
        "UnrecognizedClientException",
        "ResourceNotFoundException",
    ] {
        bench.recorder.always(Action::refuse(400, code));
        for (verb, result) in every_verb(&bench.store, &ada, &opened).await {
            let text = broken(result, verb);
            assert!(text.contains(code), "{text}");
        }
        assert_eq!(bench.recorder.take().len(), REQUESTS, "one try for each request of five verbs");
    }
    bench.recorder.always(Action::Status(200, json!("no answer of DynamoDB")));
    let rotation = bench.rotate(&present(&opened, 0), NOW).await;
    broken(rotation, "an answer that cannot be read");
    bench.recorder.always(Action::Pass);
    rotated(bench.rotate(&present(&opened, 0), after(2_000)).await);
}

/// A failure that is over at the second attempt has no effect.
pub async fn one_failure_is_not_noticed(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    for (generation, action) in (0..).zip([
        Action::refuse(500, "InternalServerError"),
        Action::refuse(400, "ThrottlingException"),
        Action::refuse(400, "TransactionConflictException"),
        Action::Hang(Duration::from_millis(1_500)),
    ]) {
        bench.recorder.next(1, action);
        let _ = bench.recorder.take();
        rotated(bench.rotate_with(&present(&opened, generation), NOW, Duration::ZERO, None).await);
        assert_eq!(bench.recorder.take().len(), 2);
    }
}

fn cancelled(reasons: [&str; 3]) -> Action {
    let reasons: Vec<_> = reasons.iter().map(|code| json!({ "Code": code })).collect();
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    Action::Status(400, json!({ "__type": kind, "Message": "cancelled", "CancellationReasons": reasons }))
}

/// Two logins at the same moment conflict for some milliseconds.
pub async fn a_transaction_conflict_is_tried_again(bench: &Bench) {
    let ada = bench.user("ada").await;
    for reasons in [
        ["None", "TransactionConflict", "None"],
        ["None", "TransactionConflict", "TransactionConflict"],
        ["ThrottlingError", "None", "None"],
        ["None", "None", "ProvisionedThroughputExceeded"],
    ] {
        let _ = bench.recorder.take();
        bench.recorder.next(2, cancelled(reasons));
        assert_eq!(bench.open(&ada, &session(&ada)).await, Ok(true), "{reasons:?}");
        let requests = bench.recorder.take();
        assert_eq!(requests.len(), 3);
        let token = &requests[0].request["ClientRequestToken"];
        assert!(
            token.is_string()
                && requests.iter().all(|request| request.request["ClientRequestToken"] == *token)
        );
        bench.recorder.always(cancelled(reasons));
        assert_unavailable(&bench.open(&ada, &session(&ada)).await, "for ever");
    }
    let check = async |reasons, expected: Result<bool, ()>| {
        bench.recorder.always(cancelled(reasons));
        let _ = bench.recorder.take();
        let opened = bench.open(&ada, &session(&ada)).await;
        assert_eq!(bench.recorder.take().len(), 1, "{reasons:?}");
        match expected {
            Ok(_) => assert_eq!(opened.map_err(drop), expected, "{reasons:?}"),
            Err(()) => drop(broken(opened, "a reason that stays")),
        }
    };
    check(["None", "ConditionalCheckFailed", "None"], Ok(false)).await;
    check(["None", "ConditionalCheckFailed", "TransactionConflict"], Ok(false)).await;
    check(["None", "ValidationError", "None"], Err(())).await;
    check(["ItemCollectionSizeLimitExceeded", "None", "None"], Err(())).await;
    check(["AccessDenied", "None", "TransactionConflict"], Err(())).await;
}

/// The SDK reads an empty response as `{}`: no such user, no more sessions.
///
/// invariant: An empty response of DynamoDB is retried.
pub async fn an_answer_without_a_body_is_no_answer(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    bench.recorder.always(Action::Garbled(|_| Vec::new()));
    for (verb, result) in every_verb(&bench.store, &ada, &opened).await {
        assert_unavailable(&result, verb);
    }
    bench.recorder.next(1, Action::Garbled(|_| Vec::new()));
    assert!(bench.store.user(&ada.username).await.unwrap().is_some(), "asked again");
}

/// The error names the table that the configuration names wrongly.
pub async fn a_missing_table_is_named_as_such(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    let store = DynamoDb::local(bench.recorder.url(), TableNames::sessions_only("not-there"));
    let presented = present(&opened, 0);
    let registered = bench::registered();
    let request = RotationRequest {
        presented: &presented,
        registered: &registered,
        now: NOW,
        grace: Duration::ZERO,
        idle: None,
    };
    let text = broken(store.rotate(&request).await.map(drop), "no table");
    assert!(text.contains("create the table"), "{text}");
    let text =
        broken(store.begin(&username("ada"), &counter("k", 5), attempt_id()).await.map(drop), "not given");
    assert!(text.contains("users table"), "{text}");
}

/// An item that another program has written is an error, and not a verdict on the token.
pub async fn an_unreadable_item_is_broken_and_named(bench: &Bench) {
    let (_, opened) = bench.logged_in("ada").await;
    let request = bench.raw.update_item().table_name(&bench.tables.sessions);
    request
        .key("user", AttributeValue::S(opened.user.to_string()))
        .key("session", AttributeValue::S(opened.session.to_string()))
        .update_expression("REMOVE created_at")
        .send()
        .await
        .unwrap();
    for generation in [1, 0] {
        let text = broken(bench.rotate(&present(&opened, generation), NOW).await, "odd item");
        assert!(text.contains("`created_at`"), "{text}");
    }
}

/// A call stops at its time limit. The sessions that it has ended stay ended.
pub async fn many_sessions_are_ended_in_several_calls(bench: &Bench) {
    const SESSIONS: u32 = 100;
    let ada = bench.user("ada").await;
    for _ in 0..SESSIONS {
        bench.open(&ada, &session(&ada)).await.unwrap();
    }
    // 16 in parallel, 0.4 s each: after the query, the time is enough for four of seven rounds.
    bench.recorder.always(Action::Hang(Duration::from_millis(400)));
    assert_unavailable(&bench.store.revoke_all(ada.id, NOW, EndReason::RevokedAll, None).await, "too many");
    bench.recorder.always(Action::Pass);
    let left = bench.store.revoke_all(ada.id, NOW, EndReason::RevokedAll, None).await.unwrap();
    assert!((1..SESSIONS).contains(&left), "{left} left");
    assert!(bench.store.sessions(ada.id).await.unwrap().iter().all(|session| session.ended.is_some()));
}
