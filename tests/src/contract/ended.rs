//! The index of ended sessions, which the revocation feed reads.

use super::assert_unavailable;
use crate::bench::{self, Bench, NOW, after, attempt_id, present, rotated, session};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::ports::store::{EndedSessions, SessionStore, Store, User, UserStatus};
use daypass_core::session::{EndReason, Session};
use daypass_testkit::recorder::Action;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::revocation::SessionDigest;
use std::collections::BTreeSet;
use std::time::Duration;

const MOST: usize = 10_000;

async fn ended(bench: &Bench, since: Timestamp) -> BTreeSet<SessionDigest> {
    let read = bench.store.ended_since(since, MOST).await.unwrap();
    let all: BTreeSet<SessionDigest> = read.iter().map(|entry| entry.session).collect();
    assert_eq!(all.len(), read.len(), "each once");
    all
}

fn digest(session: &Session) -> SessionDigest {
    SessionDigest::of(&session.session.to_string())
}

/// The write of each ending puts the session into the index. A login, a refresh and an expiry do not.
///
/// invariant: Each session that ends early is in the revocation feed, and its ending costs no further
/// request.
pub async fn every_ending_is_in_the_index_and_nothing_else(bench: &Bench) {
    let open = async |user: &User| {
        let opened = session(user);
        assert_eq!(bench.open(user, &opened).await, Ok(true));
        opened
    };
    let mut expected = BTreeSet::new();
    let ada = bench.user("ada").await;
    let lives = open(&ada).await;
    rotated(bench.rotate(&present(&lives, 0), after(1_000)).await);
    assert_eq!(ended(bench, NOW).await, expected);

    for reason in EndReason::ALL {
        let opened = open(&ada).await;
        let _ = bench.recorder.take();
        bench
            .store
            .revoke_session(ada.id, opened.session, None, after(5_000), reason, attempt_id())
            .await
            .unwrap();
        assert_eq!(bench.recorder.take().len(), 1, "{reason:?}: not one request more");
        expected.insert(digest(&opened));
        assert_eq!(ended(bench, NOW).await, expected, "{reason:?}");
    }
    let opened = open(&ada).await;
    let reason = EndReason::EndedByUser;
    bench.store.end_session(ada.id, opened.session, after(5_000), reason, attempt_id()).await.unwrap();
    expected.insert(digest(&opened));
    assert_eq!(ended(bench, NOW).await, expected);
    // A second ending does not move the entry.
    bench
        .store
        .revoke_session(ada.id, opened.session, None, after(90_000), reason, attempt_id())
        .await
        .unwrap();
    assert!(!ended(bench, after(60_000)).await.contains(&digest(&opened)));

    let users = ["all", "password", "disable", "remove"].map(bench::user);
    for user in &users {
        bench.store.add_user(user).await.unwrap();
        for _ in 0..3 {
            expected.insert(digest(&open(user).await));
        }
    }
    let [all, password, disable, remove] = &users;
    bench.store.revoke_all(all.id, after(5_000), EndReason::RevokedAll, None).await.unwrap();
    bench.store.set_password(&password.username, "$argon2id$new", after(5_000)).await.unwrap();
    bench.store.set_status(&disable.username, UserStatus::Disabled, after(5_000)).await.unwrap();
    bench.store.remove_user(&remove.username, after(5_000)).await.unwrap();
    assert_eq!(ended(bench, NOW).await, expected);

    // The start of the range is included.
    let read = bench.store.ended_since(NOW, MOST).await.unwrap();
    let last = read.iter().max().unwrap();
    assert!(last.at >= after(5_000) && last.at < after(7_000), "{last:?}");
    assert!(ended(bench, last.at).await.contains(&last.session));
    assert!(!ended(bench, last.at + Duration::from_millis(1)).await.contains(&last.session));
    assert_eq!(ended(bench, after(60_000)).await, BTreeSet::new());
}

/// One query for each of sixteen buckets. An item with an id of another form is returned like any other.
pub async fn all_buckets_are_read(bench: &Bench) {
    let ada = bench.user("ada").await;
    let (mut expected, mut template) = (BTreeSet::new(), None);
    for digit in 0..16 {
        let mut id = bench::random::<16>();
        id[15] = digit;
        let opened =
            Session { session: daypass_verifier::base::ids::SessionId::from_bytes(id), ..session(&ada) };
        bench.open(&ada, &opened).await.unwrap();
        expected.insert(digest(&opened));
        template = bench.item(&opened).await;
    }
    let mut odd = template.unwrap();
    odd.insert("session".to_owned(), AttributeValue::S("no id of ours".to_owned()));
    bench.raw.put_item().table_name(&bench.tables.sessions).set_item(Some(odd)).send().await.unwrap();
    expected.insert(SessionDigest::of("no id of ours"));
    assert_eq!(bench.store.end_sessions(ada.id, NOW, EndReason::Operator).await, Ok(17));
    let _ = bench.recorder.take();
    assert_eq!(ended(bench, NOW).await, expected);
    let queries = bench.recorder.take();
    assert_eq!(queries.len(), 16, "one query for each bucket");
    let buckets: BTreeSet<String> = queries
        .iter()
        .map(|query| query.request["ExpressionAttributeValues"][":bucket"]["S"].to_string())
        .collect();
    assert_eq!(buckets.len(), 16);
    for query in &queries {
        assert_eq!(query.request["IndexName"], "ended");
        assert!(query.request.get("ConsistentRead").is_none_or(|consistent| consistent == false));
    }
}

/// An ending that is written late has the time of its write. A reader would miss an earlier time.
pub async fn what_is_written_late_says_so(bench: &Bench) {
    let ada = bench.user("ada").await;
    let opened = session(&ada);
    bench.open(&ada, &opened).await.unwrap();
    // The query for the session is slow. The write follows.
    bench.recorder.next(1, Action::Hang(Duration::from_millis(700)));
    bench.store.end_sessions(ada.id, NOW, EndReason::Operator).await.unwrap();
    let read = bench.store.ended_since(NOW, MOST).await.unwrap();
    assert!(read[0].at >= after(700), "{read:?}");
    let stored = bench.stored(&opened).await.unwrap();
    assert_eq!(stored.ended.unwrap().at, NOW, "it was ended by a call of that time all the same");
}

/// An incomplete list is an error.
pub async fn too_many_are_no_list(bench: &Bench) {
    let ada = bench.user("ada").await;
    for _ in 0..5 {
        bench.open(&ada, &session(&ada)).await.unwrap();
    }
    bench.store.end_sessions(ada.id, NOW, EndReason::Operator).await.unwrap();
    assert_eq!(bench.store.ended_since(NOW, 5).await.unwrap().len(), 5);
    assert_unavailable(&bench.store.ended_since(NOW, 4).await, "one more than the most");
}

/// A list without one of the buckets is an error.
pub async fn a_failing_index_is_unavailable(bench: &Bench) {
    bench.recorder.always(Action::refuse(400, "ProvisionedThroughputExceededException"));
    assert_unavailable(&bench.store.ended_since(NOW, MOST).await, "throttled");
    bench.recorder.always(Action::DropAnswer);
    assert_unavailable(&bench.store.ended_since(NOW, MOST).await, "lost answers");
}
