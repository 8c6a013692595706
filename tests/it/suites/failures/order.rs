//! Two parallel requests, of which the first to be applied is the last to be answered. And requests that are applied after
//! their session has ended.

use crate::suites::failures::matrix::invalid_grant;
use daypass_core::ports::store::UserStatus;
use daypass_core::session::EndReason;
use daypass_testkit::Answer;
use daypass_testkit::hold::Hold;
use daypass_testkit::recorder::Action;
use daypass_tests::service::Service;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The pair of requests and its outcome. The document lists each.
pub(crate) struct Pair {
    pub(crate) first: Ask,
    pub(crate) second: Ask,
    /// Status of both responses.
    pub(crate) sees: (u16, u16),
    pub(crate) after: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Login,
    Refresh,
    Revoke,
    RevokeAll,
}

impl Ask {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::Revoke => "revoke",
            Self::RevokeAll => "revoke all",
        }
    }

    /// The request of this operation whose response is delayed.
    fn overtaken(self) -> &'static str {
        match self {
            Self::Login => "TransactWriteItems",
            Self::Refresh | Self::Revoke => "UpdateItem",
            Self::RevokeAll => "Query",
        }
    }

    async fn send(self, service: &Service, token: &str) -> Answer {
        match self {
            Self::Login => service.login("alice").await,
            Self::Refresh => service.refresh(token).await,
            Self::Revoke => service.revoke(token).await,
            Self::RevokeAll => service.form("/revoke", &format!("token={token}&all=true")).await,
        }
    }
}

pub(crate) const PAIRS: [Pair; 6] = [
    Pair {
        first: Ask::Refresh,
        second: Ask::Refresh,
        sees: (200, 200),
        after: "both hold the same successor",
    },
    Pair {
        first: Ask::Refresh,
        second: Ask::Revoke,
        sees: (200, 200),
        after: "session ended; the refresh's late tokens are of an ended session",
    },
    Pair { first: Ask::Revoke, second: Ask::Refresh, sees: (200, 400), after: "session ended" },
    Pair { first: Ask::Login, second: Ask::Login, sees: (200, 200), after: "two sessions, both work" },
    Pair {
        first: Ask::Login,
        second: Ask::RevokeAll,
        sees: (200, 200),
        after: "all sessions ended; the login's late tokens are of an ended session",
    },
    Pair {
        first: Ask::RevokeAll,
        second: Ask::Login,
        sees: (200, 200),
        after: "the login's session lives, all others ended",
    },
];

async fn overtake(pair: &Pair) {
    let (_db, service) = crate::suites::failures::service().await;
    let user = service.quick_user("alice").await;
    let token = service.login("alice").await.refresh_token();
    let case = format!("{:?}, overtaken by {:?}", pair.first, pair.second);
    let seen = AtomicUsize::new(0);
    let overtaken = pair.first.overtaken();
    let hold = Hold::default();
    let kept = hold.clone();
    service.bench.recorder.set_hook(move |call| {
        let first = call.operation == overtaken
            && call.request["Key"]["key"].is_null()
            && seen.fetch_add(1, Ordering::SeqCst) == 0;
        if first { Action::HeldAnswer(kept.clone()) } else { Action::Pass }
    });
    let second = async {
        // The first request was applied. Its response is delayed until the second one is answered.
        hold.landed().await;
        let answer = pair.second.send(&service, &token).await;
        hold.release();
        answer
    };
    let (first, second) = tokio::join!(pair.first.send(&service, &token), second);
    assert_eq!((first.status, second.status), pair.sees, "{case}: {first:?} {second:?}");
    let dead = async |token: &str| {
        assert_eq!(service.refresh(token).await.outcome(), invalid_grant(), "{case}");
    };
    let lives = async |token: &str| assert_eq!(service.refresh(token).await.status, 200, "{case}");
    let sessions = service.bench.store.sessions(user.id).await.unwrap();
    let ended = sessions.iter().filter(|session| session.ended.is_some()).count();
    match (pair.first, pair.second) {
        (Ask::Refresh, Ask::Refresh) => {
            assert_eq!(first.refresh_token(), second.refresh_token());
            assert_eq!((sessions[0].generation, ended), (1, 0));
            assert!(
                service.lets_through(&first.access_token()) && service.lets_through(&second.access_token())
            );
            lives(&first.refresh_token()).await;
        }
        (Ask::Refresh, Ask::Revoke) => {
            assert_eq!((sessions[0].generation, ended), (1, 1));
            dead(&first.refresh_token()).await;
            dead(&token).await;
        }
        (Ask::Revoke, Ask::Refresh) => {
            assert_eq!(second.outcome(), invalid_grant());
            assert_eq!((sessions[0].generation, ended), (0, 1));
            dead(&token).await;
        }
        (Ask::Login, Ask::Login) => {
            assert_eq!((sessions.len(), ended), (3, 0));
            lives(&first.refresh_token()).await;
            lives(&second.refresh_token()).await;
            lives(&token).await;
        }
        (Ask::Login, Ask::RevokeAll) => {
            assert_eq!((sessions.len(), ended), (2, 2));
            dead(&first.refresh_token()).await;
            dead(&token).await;
        }
        (Ask::RevokeAll, Ask::Login) => {
            assert_eq!((sessions.len(), ended), (2, 1));
            dead(&token).await;
            lives(&second.refresh_token()).await;
        }
        other => panic!("{other:?} has no expectation"),
    }
}

/// The request that is applied first is answered last.
#[tokio::test(flavor = "multi_thread")]
async fn answers_out_of_order() {
    let _turn = crate::suites::failures::ONE_AT_A_TIME.lock().await;
    futures_util::future::join_all(PAIRS.iter().map(overtake)).await;
    println!("answers out of order: {} pairs", PAIRS.len());
}

/// The change of the user while a request is delayed.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    Revoked,
    RevokedAll,
    Disabled,
    NewPassword,
}

/// A request is applied after its client has given up and the session has ended. A rotation revives no session. A login
/// opens none for a user who was disabled or has another password.
async fn lands_too_late(meanwhile: Meanwhile) {
    let (db, service) = crate::suites::failures::service().await;
    let user = service.quick_user("alice").await;
    let token = service.login("alice").await.refresh_token();
    let straight = service.redeployed(&db.url(), &[]).await;
    let hold = Hold::default();
    let held = hold.clone();
    service.bench.recorder.set_hook(move |call| {
        // The requests that count the attempt and read the user are not delayed.
        let first_half = call.operation == "GetItem" || !call.request["Key"]["key"].is_null();
        if first_half { Action::Pass } else { Action::Held(held.clone()) }
    });
    let (refresh, login) = tokio::join!(service.refresh(&token), service.login("alice"));
    assert_eq!((refresh.status, login.status), (503, 503), "{meanwhile:?}");
    let store = &straight.bench.store;
    let now = user.created_at;
    match meanwhile {
        Meanwhile::Revoked => assert_eq!(straight.revoke(&token).await.status, 200),
        Meanwhile::RevokedAll => {
            assert_eq!(straight.form("/revoke", &format!("token={token}&all=true")).await.status, 200);
        }
        Meanwhile::Disabled => {
            store.set_status(&user.username, UserStatus::Disabled, now).await.unwrap();
        }
        Meanwhile::NewPassword => {
            store
                .set_password(&user.username, &daypass_tests::service::quick_hash("another"), now)
                .await
                .unwrap();
        }
    }
    let ended = store.sessions(user.id).await.unwrap();
    assert_eq!(ended.len(), 1, "{meanwhile:?}: nothing has landed yet");
    hold.release();
    hold.landed().await;

    let sessions = store.sessions(user.id).await.unwrap();
    let old = sessions.iter().find(|session| session.session == ended[0].session).unwrap();
    assert_eq!(*old, ended[0], "{meanwhile:?}: the session that ended is as it was");
    let reason = match meanwhile {
        Meanwhile::Revoked => EndReason::Revoked,
        Meanwhile::RevokedAll => EndReason::RevokedAll,
        Meanwhile::Disabled => EndReason::UserDisabled,
        Meanwhile::NewPassword => EndReason::PasswordChanged,
    };
    assert_eq!(old.ended.map(|ended| ended.reason), Some(reason));
    assert_eq!(straight.refresh(&token).await.outcome(), invalid_grant(), "{meanwhile:?}");
    // After a revocation, a delayed login opens its session, as a later login would. No client has its tokens.
    let opened = match meanwhile {
        Meanwhile::Revoked | Meanwhile::RevokedAll => 1,
        Meanwhile::Disabled | Meanwhile::NewPassword => 0,
    };
    assert_eq!(sessions.len() - 1, opened, "{meanwhile:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lands_too_late_revives_nothing() {
    let _turn = crate::suites::failures::ONE_AT_A_TIME.lock().await;
    let ways = [Meanwhile::Revoked, Meanwhile::RevokedAll, Meanwhile::Disabled, Meanwhile::NewPassword];
    futures_util::future::join_all(ways.map(lands_too_late)).await;
    println!(
        "requests that land when the session is no more: {} ways, a rotation and a login each",
        ways.len()
    );
}
