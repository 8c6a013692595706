//! Used assertions of machine clients.

use crate::bench::{Bench, NOW, after, attempt_id, random};
use daypass_core::ports::store::MachineStore;
use daypass_core::token::assertion::AssertionUse;
use daypass_testkit::recorder::Action;
use daypass_verifier::base::time::Timestamp;
use futures_util::future::join_all;
use std::time::Duration;

/// Time from the last acceptable moment of an assertion to the removal of its item.
const KEPT: Duration = Duration::from_secs(60);

/// The use of an assertion of its own, which expires at this time.
fn used(expires_at: Timestamp) -> AssertionUse {
    AssertionUse {
        key: format!("{}{:032x}", AssertionUse::PREFIX, u128::from_be_bytes(random())),
        expires_at,
    }
}

/// Another call at this time.
async fn is_first(bench: &Bench, used: &AssertionUse, now: Timestamp) -> bool {
    bench.store.use_assertion(used, now, attempt_id()).await.unwrap()
}

/// TTL removes items late, so the time in the item counts.
pub async fn an_assertion_is_used_once_until_its_time(bench: &Bench) {
    let one = used(after(60_000));
    assert!(is_first(bench, &one, NOW).await);
    assert!(is_first(bench, &used(after(60_000)), NOW).await, "another one");
    let end = one.expires_at + KEPT;
    for now in [NOW, one.expires_at, end.before(Duration::from_millis(1))] {
        assert!(!is_first(bench, &one, now).await, "{now:?}");
    }
    let next = AssertionUse { expires_at: end + Duration::from_secs(60), ..one.clone() };
    assert!(is_first(bench, &next, end).await, "a later assertion with the same name");
    assert!(!is_first(bench, &next, end).await);
}

/// DynamoDB orders the writes to one item.
pub async fn of_parallel_uses_one_is_the_first(bench: &Bench) {
    let one = used(after(60_000));
    let uses = join_all((0..64).map(|_| is_first(bench, &one, NOW))).await;
    assert_eq!(uses.into_iter().filter(|first| *first).count(), 1);
}

/// The SDK repeats the write, and finds its own attempt.
pub async fn a_use_whose_answer_was_lost_is_the_first(bench: &Bench) {
    for action in
        [Action::DropAnswer, Action::ResetAnswer, Action::CutAnswer, Action::Garbled(|_| Vec::new())]
    {
        let one = used(after(60_000));
        let _ = bench.recorder.take();
        bench.recorder.next(1, action.clone());
        assert!(is_first(bench, &one, NOW).await, "{action:?}");
        assert_eq!(bench.recorder.take().len(), 2, "{action:?}");
        assert!(!is_first(bench, &one, NOW).await, "{action:?}");
    }
}
