//! Logins: requests, the limit of sessions, hashes and attempts.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_login_takes_three_round_trips() {
    let (_db, service) = service().await;
    service.user("alice").await;
    in_waves(&service.bench.recorder, &[2, 1, 1]);
    assert_eq!(service.login("alice").await.status, 200);
    let exchanges = service.bench.recorder.take();
    assert_eq!((exchanges.len(), round_trips(&exchanges)), (4, 3));
}

/// A login beyond the limit of live sessions ends the one that was used least recently, and says so. If that fails, the
/// login succeeds all the same, and the next one makes up for it.
///
/// invariant: A user has at most 100 live sessions when a login has been answered, unless the store failed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_least_recently_used_session_ends_beyond_the_limit() {
    let (_db, service) = service().await;
    let user = service.quick_user("alice").await;
    let first = service.login("alice").await;
    for _ in 1..MAX_SESSIONS {
        assert_eq!(service.bench.open(&user, &bench::session(&user)).await, Ok(true));
    }
    service.clock.advance(Duration::from_secs(60));
    let second = service.refresh(&first.refresh_token()).await;
    let live = async || {
        let sessions = service.bench.store.sessions(user.id).await.unwrap();
        sessions.iter().filter(|session| session.ended.is_none()).count()
    };
    let ends = |events: &[Event]| {
        let limit =
            |event: &&Event| matches!(event, Event::SessionEnded { reason: EndReason::SessionLimit, .. });
        events.iter().filter(limit).count()
    };
    let _ = service.journal.take();
    service.bench.recorder.set_hook(|call| match call.operation {
        "Query" => Action::refuse(400, "ThrottlingException"),
        _ => Action::Pass,
    });
    assert_eq!(service.login("alice").await.status, 200);
    let events = service.journal.take();
    let failed = |event: &Event| matches!(event, Event::Failure { during: "end_least_used", .. });
    assert!(ends(&events) == 0 && events.iter().any(failed), "{events:?}");
    service.bench.recorder.always(Action::Pass);
    assert_eq!(live().await, MAX_SESSIONS + 1);

    assert_eq!(service.login("alice").await.status, 200);
    assert_eq!((live().await, ends(&service.journal.take())), (MAX_SESSIONS, 2));
    let told = service.bench.store.ended_since(bench::NOW, 10).await.unwrap();
    assert_eq!(told.len(), 2, "the feed lists them");
    let refreshed = service.refresh(&second.refresh_token()).await;
    assert_eq!(refreshed.status, 200, "it was refreshed, so it is not the least recently used");
}

/// argon2id with weaker parameters and without a pepper, as from another system.
fn outdated_hash() -> String {
    let params = Params::new(8192, 1, 1, Some(32)).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_with_salt(PASSWORD.as_bytes(), b"0123456789abcdef").unwrap().to_string()
}

/// Daypass replaces an outdated hash only after a successful login. Otherwise the time of a second hash would reveal that
/// the password of a disabled user is right.
#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_hash_is_renewed_after_success_alone() {
    let (_db, service) = service().await;
    let outdated = outdated_hash();
    for (name, disabled, hashes) in [("active", false, 2), ("gone", true, 1)] {
        let user = service.user_with_hash(name, &outdated).await;
        if disabled {
            let status = daypass_core::ports::store::UserStatus::Disabled;
            service.bench.store.set_status(&user.username, status, user.created_at).await.unwrap();
        }
        let before = service.hashes.load(Ordering::SeqCst);
        let status = service.login(name).await.status;
        assert_eq!(status, if disabled { 401 } else { 200 });
        assert_eq!(service.hashes.load(Ordering::SeqCst) - before, hashes, "{name}");
    }
    let renewed = service.bench.store.user(&bench::username("active")).await.unwrap().unwrap();
    assert!(renewed.password_hash.contains("m=19456"), "{}", renewed.password_hash);
    assert_eq!(service.login("active").await.status, 200);
}

/// invariant: An unknown user, a wrong password and a disabled user get the same response.
#[tokio::test(flavor = "multi_thread")]
async fn one_answer_for_unknown_wrong_and_disabled() {
    let (_db, service) = service().await;
    let gone = service.user("gone").await;
    service.user("alice").await;
    let disabled = daypass_core::ports::store::UserStatus::Disabled;
    service.bench.store.set_status(&gone.username, disabled, gone.created_at).await.unwrap();
    let _ = service.bench.recorder.take();
    let login = |name: &str, password: &str| {
        service.send(post(
            "/login",
            "application/json",
            json!({ "username": name, "password": password }).to_string(),
        ))
    };
    let mut answers = Vec::new();
    let mut requests = Vec::new();
    for (name, password) in [("unknown", PASSWORD), ("alice", "wrong password, but long"), ("gone", PASSWORD)]
    {
        answers.push(login(name, password).await);
        let mut seen: Vec<String> =
            operations(&service.bench.recorder.take()).into_iter().map(str::to_owned).collect();
        seen.sort();
        requests.push(seen);
    }
    assert_eq!(answers[0].outcome(), (401, "invalid_grant".to_owned()));
    assert!(answers[0].header("www-authenticate").is_some());
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert!(requests.iter().all(|seen| *seen == ["GetItem", "UpdateItem"]), "{requests:?}");
    let causes: Vec<LoginFailure> = service
        .journal
        .take()
        .iter()
        .filter_map(|event| match event {
            Event::LoginFailed { cause, .. } => Some(*cause),
            _ => None,
        })
        .collect();
    assert_eq!(causes, [LoginFailure::UnknownUser, LoginFailure::WrongPassword, LoginFailure::Disabled]);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_guesses_at_once_hash_five_times() {
    let (_db, service) = service().await;
    service.user("alice").await;
    let body = json!({ "username": "alice", "password": "a wrong password" });
    let answers = together(20, || service.post("/login", &body)).await;
    assert_eq!(service.hashes.load(Ordering::SeqCst), 5);
    assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 5);
    let throttled: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert_eq!(throttled.len(), 15);
    for answer in throttled {
        assert_eq!(answer.outcome().1, "slow_down");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=900).contains(&wait));
    }
    assert_eq!(service.login("ALICE").await.status, 429, "another spelling is the same account");
    assert_eq!(service.hashes.load(Ordering::SeqCst), 5);
    service.clock.advance(Duration::from_secs(900));
    assert_eq!(service.login("alice").await.status, 200, "the window has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn success_settles_the_attempts() {
    let (_db, service) = service().await;
    service.user("alice").await;
    for _ in 0..3 {
        for _ in 0..4 {
            let wrong = json!({ "username": "alice", "password": "a wrong password" });
            assert_eq!(service.post("/login", &wrong).await.status, 401);
        }
        assert_eq!(service.login("alice").await.status, 200);
    }
}
