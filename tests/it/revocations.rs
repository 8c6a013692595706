//! The revocation feed, from the request that ends a session to the response that lists it. The recorder counts every
//! request.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use daypass_testkit::Answer;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::service::{Service, request};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::Clock;
use daypass_verifier::revocation::{AS_OF, Answer as Page, SessionDigest};
use std::collections::BTreeSet;
use std::time::Duration;

/// A verifier that polls the feed.
#[derive(Default)]
struct Follower {
    cursor: Option<String>,
    ended: BTreeSet<SessionDigest>,
}

impl Follower {
    async fn poll(&mut self, service: &Service) {
        let query = self.cursor.as_ref().map(|cursor| format!("?after={cursor}")).unwrap_or_default();
        let answer = service.send(request("GET", &format!("/revocations{query}"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header(AS_OF).unwrap(), service.clock.now().millis().to_string());
        let page = Page::parse(&answer.body, &Issuer::parse("https://id.example.com").unwrap()).unwrap();
        assert!(!page.more);
        self.cursor = Some(page.cursor);
        self.ended.extend(page.sessions);
    }

    fn knows(&self, login: &Answer) -> bool {
        self.ended.contains(&SessionDigest::of(&login.text("session_id")))
    }
}

async fn service() -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::quick(&embedded.url(), &[("DAYPASS_LOGIN_ATTEMPTS", "100")]).await;
    service.quick_user("alice").await;
    (embedded, service)
}

/// A session that a request ends is in the next response of the feed, at no further request. Live sessions are not.
///
/// invariant: Each session that ends early is in the revocation feed, and its ending costs no further
/// request.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_that_ends_a_session_is_told() {
    let (_db, service) = service().await;
    let mut follower = Follower::default();
    let lives = service.login("alice").await;
    follower.poll(&service).await;
    assert_eq!(follower.ended, BTreeSet::new());
    let refreshed = service.refresh(&lives.refresh_token()).await;
    let sole_write = |service: &Service| {
        let seen = service.bench.recorder.take();
        assert_eq!(seen.iter().map(|call| call.operation.as_str()).collect::<Vec<_>>(), ["UpdateItem"]);
    };

    let by_refresh = service.login("alice").await;
    let _ = service.bench.recorder.take();
    service.revoke(&by_refresh.refresh_token()).await;
    sole_write(&service);
    let by_access = service.login("alice").await;
    let _ = service.bench.recorder.take();
    service.revoke(&by_access.access_token()).await;
    sole_write(&service);
    let elsewhere = service.login("alice").await;
    let path = format!("/sessions/{}", elsewhere.text("session_id"));
    assert!(service.guarded("DELETE", &path, &refreshed.access_token()).await.status < 300);
    let stolen = service.login("alice").await;
    let second = service.refresh(&stolen.refresh_token()).await;
    service.refresh(&second.refresh_token()).await;
    assert_eq!(service.refresh(&stolen.refresh_token()).await.status, 400, "reuse");

    service.clock.advance(Duration::from_secs(5));
    follower.poll(&service).await;
    for ended in [&by_refresh, &by_access, &elsewhere, &stolen] {
        assert!(follower.knows(ended), "{ended:?}");
    }
    assert!(!follower.knows(&lives));

    let all = service.form("/revoke", &format!("all=true&token={}", refreshed.access_token())).await;
    assert_eq!(all.status, 200);
    service.clock.advance(Duration::from_secs(5));
    follower.poll(&service).await;
    assert!(follower.knows(&lives));
    // The entry leaves when no token of the session is valid: after the lifetime of an access token, three times the
    // permitted clock difference, and some seconds.
    service.clock.advance(Duration::from_secs(300 + 101));
    let mut late = Follower::default();
    late.poll(&service).await;
    assert_eq!(late.ended, BTreeSet::new());
}

/// The feed does not miss endings of a process whose clock is 30 s behind or ahead.
///
/// invariant: The feed lists endings of processes whose clocks differ by up to 30 s.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_hide_nothing() {
    let (db, service) = service().await;
    let behind = service.redeployed(&db.url(), &[]).await;
    let ahead = service.redeployed(&db.url(), &[]).await;
    let mut follower = Follower::default();
    for round in 0..20 {
        service.clock.advance(Duration::from_secs(5));
        behind.clock.set(service.clock.now().before(Duration::from_secs(30)));
        ahead.clock.set(service.clock.now() + Duration::from_secs(30));
        let logins =
            [service.login("alice").await, service.login("alice").await, service.login("alice").await];
        for (login, process) in logins.iter().zip([&service, &behind, &ahead]) {
            assert_eq!(process.revoke(&login.refresh_token()).await.status, 200);
        }
        // The last response has moved the cursor past the time of the clock that is behind.
        service.clock.advance(Duration::from_secs(1));
        follower.poll(&service).await;
        for (login, clock) in logins.iter().zip(["right", "behind", "ahead"]) {
            assert!(follower.knows(login), "round {round}, a clock that is {clock}");
        }
    }
}

/// One query per bucket, at most once in half a second, for any number and kind of requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_followers_is_one_read() {
    let (_db, service) = service().await;
    let _ = service.bench.recorder.take();
    let mut crowd: Vec<Follower> = (0..50).map(|_| Follower::default()).collect();
    for seconds in [0, 5, 5] {
        service.clock.advance(Duration::from_secs(seconds));
        for follower in &mut crowd {
            follower.poll(&service).await;
        }
        let seen = service.bench.recorder.take();
        assert_eq!(seen.len(), 16);
        assert!(seen.iter().all(|call| call.operation == "Query"));
    }
}

/// If the index cannot be read, the feed is an error, and not an empty list.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_is_no_empty_list() {
    let (_db, service) = service().await;
    let ended = service.login("alice").await;
    service.revoke(&ended.refresh_token()).await;
    service.bench.recorder.always(Action::refuse(400, "ThrottlingException"));
    let answer = service.send(request("GET", "/revocations")).await;
    assert_eq!((answer.status, answer.text("error").as_str()), (503, "temporarily_unavailable"));
    assert!(answer.header("retry-after").is_some());
    service.bench.recorder.always(Action::Pass);
    let mut follower = Follower::default();
    follower.poll(&service).await;
    assert!(follower.knows(&ended));
}
