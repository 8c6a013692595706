//! Two function processes whose clocks differ by two seconds.

use crate::suites::failures::matrix::invalid_grant;
use crate::suites::failures::swarm::PERIOD;
use daypass_core::ports::event::Event;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::bench::NOW;
use daypass_tests::service::Service;
use futures_util::future::{join, join_all};
use std::time::Duration;

/// Difference between the clocks.
const SKEW: Duration = Duration::from_secs(2);

/// Two processes over the same tables. One has the true time, and the other is ahead of it.
struct Two {
    _db: Embedded,
    slow: Service,
    fast: Service,
}

impl Two {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let db = Embedded::start(None).unwrap();
        let slow = Service::quick(&db.url(), settings).await;
        let fast = slow.redeployed(&db.url(), settings).await;
        let two = Self { _db: db, slow, fast };
        two.at(Duration::ZERO);
        two.slow.quick_user("alice").await;
        two
    }

    /// Sets the true time, counted from the start.
    fn at(&self, time: Duration) {
        self.slow.clock.set(NOW + time);
        self.fast.clock.set(NOW + time + SKEW);
    }

    /// The two processes in both orders.
    fn both_ways(&self) -> [(&Service, &Service); 2] {
        [(&self.slow, &self.fast), (&self.fast, &self.slow)]
    }

    fn thefts(&self) -> usize {
        let events = self.slow.journal.take().into_iter().chain(self.fast.journal.take());
        events.filter(|event| matches!(event, Event::Reuse { .. })).count()
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Two tabs refresh alternately and in parallel. No session ends, and each process accepts the access tokens of the other.
#[tokio::test(flavor = "multi_thread")]
async fn refreshes_on_either_process() {
    for settings in [&[][..], &[("DAYPASS_IDLE_SECONDS", "600")]] {
        let two = Two::start(settings).await;
        let mut time = Duration::ZERO;
        for (one, other) in two.both_ways() {
            let login = one.login("alice").await;
            assert!(other.lets_through(&login.access_token()), "from the future, or two seconds old");
            let mut token = login.refresh_token();
            for round in 0..10 {
                time += PERIOD;
                two.at(time);
                let by_turns = if round % 2 == 0 { (one, other) } else { (other, one) };
                // One tab, the other tab at the same moment, and a repetition within the grace period.
                let (a, b) = join(by_turns.0.refresh(&token), by_turns.1.refresh(&token)).await;
                let again = by_turns.1.refresh(&token).await;
                assert_eq!(a.refresh_token(), b.refresh_token(), "round {round}");
                assert_eq!(a.refresh_token(), again.refresh_token(), "round {round}");
                for access in [a.access_token(), b.access_token()] {
                    assert!(one.lets_through(&access) && other.lets_through(&access), "round {round}");
                }
                token = a.refresh_token();
            }
        }
        assert_eq!(two.thefts(), 0);
    }
}

/// A revocation by one process holds for the other at once, also if the session began in the future of its clock.
#[tokio::test(flavor = "multi_thread")]
async fn revocations_on_either_process() {
    let two = Two::start(&[]).await;
    for (one, other) in two.both_ways() {
        for all in ["", "&all=true"] {
            let login = one.login("alice").await;
            let bystander = one.login("alice").await;
            let rotated = one.refresh(&login.refresh_token()).await;
            let answer = other.form("/revoke", &format!("token={}{all}", rotated.refresh_token())).await;
            assert_eq!(answer.status, 200);
            for service in [one, other] {
                assert_eq!(service.refresh(&rotated.refresh_token()).await.outcome(), invalid_grant());
                if !all.is_empty() {
                    assert_eq!(service.refresh(&bystander.refresh_token()).await.outcome(), invalid_grant());
                }
            }
        }
    }
    assert_eq!(two.thefts(), 0);
}

/// `all=true` is interrupted after its first write, and the client retries. A process that is ahead has opened a session
/// just before. By its clock, this was after the first write, and the session ends anyway.
///
/// invariant: `all=true` is 200 only if every session of that time has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_revoke_all_misses_no_session_of_a_clock_that_is_ahead() {
    let two = Two::start(&[]).await;
    for (one, other) in two.both_ways() {
        let asking = one.login("alice").await.refresh_token();
        let just_before = other.login("alice").await.refresh_token();
        let all = format!("token={asking}&all=true");
        one.bench.recorder.set_hook(|call| match call.operation {
            "Query" => Action::refuse(400, "ThrottlingException"),
            _ => Action::Pass,
        });
        assert_eq!(one.form("/revoke", &all).await.status, 503);
        one.bench.recorder.always(Action::Pass);
        assert_eq!(other.refresh(&just_before).await.status, 200, "it broke off");
        assert_eq!(one.form("/revoke", &all).await.status, 200);
        for token in [asking, just_before] {
            assert_eq!(other.refresh(&token).await.outcome(), invalid_grant());
        }
    }
    assert_eq!(two.thefts(), 0);
}

/// The ends of the grace period move by two seconds, and not more.
#[tokio::test(flavor = "multi_thread")]
async fn grace_ends_two_seconds_early_or_late() {
    let two = Two::start(&[]).await;
    let mut start = Duration::ZERO;
    for (rotates, replays, last_fine) in [
        (&two.slow, &two.fast, ms(27_999)),
        (&two.fast, &two.slow, ms(31_999)),
        (&two.fast, &two.fast, ms(29_999)),
    ] {
        for (wait, status) in [(last_fine, 200), (last_fine + ms(1), 400)] {
            start += Duration::from_secs(1_000);
            two.at(start);
            let token = rotates.login("alice").await.refresh_token();
            let next = rotates.refresh(&token).await.refresh_token();
            two.at(start + wait);
            let late = replays.refresh(&token).await;
            assert_eq!(late.status, status, "after {wait:?}: {late:?}");
            let expected = if status == 200 { late.refresh_token() == next } else { two.thefts() == 1 };
            assert!(expected);
        }
    }
}

/// The expiry moves by as much: a session ends two seconds early on one process, or late on the other. No token is valid
/// after that.
#[tokio::test(flavor = "multi_thread")]
async fn expiry_is_two_seconds_early_or_late() {
    let two = Two::start(&[("DAYPASS_REFRESH_TOKEN_SECONDS", "60")]).await;
    let mut start = Duration::ZERO;
    for (logs_in, refreshes, last_fine) in [
        (&two.slow, &two.fast, ms(57_999)),
        (&two.fast, &two.slow, ms(61_999)),
        (&two.slow, &two.slow, ms(59_999)),
    ] {
        start += Duration::from_secs(1_000);
        two.at(start);
        let token = logs_in.login("alice").await.refresh_token();
        two.at(start + last_fine);
        let next = refreshes.refresh(&token).await;
        assert_eq!(next.status, 200, "{last_fine:?}");
        two.at(start + last_fine + ms(1));
        for token in [token, next.refresh_token()] {
            assert_eq!(refreshes.refresh(&token).await.outcome(), invalid_grant(), "{last_fine:?}");
        }
    }
    assert_eq!(two.thefts(), 0, "expired is not stolen");
}

/// Two tabs at the same moment on two processes: the length of the grace period from which two seconds have no effect.
#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_grace_that_bears_the_skew() {
    let harmed = join_all((0..=5_u64).map(async |grace| {
        let two = Two::start(&[("DAYPASS_GRACE_SECONDS", &grace.to_string())]).await;
        let token = two.slow.login("alice").await.refresh_token();
        two.slow.refresh(&token).await;
        let second = two.fast.refresh(&token).await;
        assert_eq!(two.thefts() == 1, second.status == 400);
        second.status == 400
    }))
    .await;
    println!(
        "two tabs at the same moment, clocks {SKEW:?} apart: a session ends with a grace of 0 to 5 s: {harmed:?}"
    );
    assert_eq!(harmed, [true, true, true, false, false, false]);
}
