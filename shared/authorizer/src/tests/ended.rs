//! Sessions that ended: their tokens are as bad as any, on every kind of API.

use super::*;

#[test]
fn a_token_of_a_session_that_ended_is_refused_as_a_bad_one() {
    let fixture = fixture(&Settings::default());
    let good = json!(fixture.bearer("orders:read"));
    let bad = json!("Bearer a.b.c");
    *fixture.ended.0.lock().unwrap() = Lookup::Ended;
    for ((api, event), (_, bad)) in shapes(&good).into_iter().zip(shapes(&bad)) {
        let refused = fixture.ask(&bad);
        let _ = fixture.journal.take();
        assert_eq!(fixture.ask(&event), refused, "{api:?}");
        let denied = JournalEvent::AuthorizeDenied {
            cause: Denial::Session(SessionDenial::Ended),
            user: Some(UserId::from_bytes([1; 16])),
            session: Some(SessionId::from_bytes([2; 16])),
        };
        assert_eq!(fixture.journal.take(), [denied], "{api:?}");
    }
    *fixture.ended.0.lock().unwrap() = Lookup::Live;
    for (api, event) in shapes(&good) {
        let arn = event["routeArn"].as_str().or(event["methodArn"].as_str()).unwrap();
        assert_eq!(passes(&fixture.ask(&event), arn), Some(true), "{api:?}");
    }
}

/// 5xx, not 401: the token is good as far as anybody knows, and a client that was told otherwise would refresh it in vain.
#[test]
fn without_a_list_that_is_young_enough_nobody_is_served_where_that_is_the_choice() {
    let fixture = fixture(&Settings::default());
    *fixture.ended.0.lock().unwrap() = Lookup::Stale;
    for (api, event) in shapes(&json!(fixture.bearer(""))) {
        let error = fixture.ask(&event).unwrap_err();
        assert_eq!(error, "the list of revocations is too old: the feed does not answer", "{api:?}");
    }
    // A rejected token stays rejected, without a look at its session.
    let answer = fixture.ask(&http_v2(&json!("Bearer a.b.c"), "GET", "/orders/7")).unwrap();
    assert_eq!(answer["isAuthorized"], false);
}
