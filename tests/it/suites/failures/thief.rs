//! A thief at every point of a session. A copied token is detected at its first use outside the grace period, and the
//! session then ends for thief and owner.

use crate::suites::failures::matrix::invalid_grant;
use crate::suites::failures::swarm::{PERIOD, Weather, bad_weather};
use daypass_core::ports::event::Event;
use daypass_core::session::EndReason;
use daypass_testkit::depth::amount;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::service::Service;
use futures_util::{StreamExt, stream};
use std::time::{Duration, Instant};

/// Stories that run in parallel.
const AT_A_TIME: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Owner,
    Thief,
}
use Who::{Owner, Thief};

/// Outcome of a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// A new pair of tokens.
    Tokens,
    /// The reuse is detected: `invalid_grant`, and the session ends.
    Noticed,
}
use Comes::{Noticed, Tokens};

/// A copied token and its uses.
struct Story {
    name: &'static str,
    /// Whether the story applies to this copy of the owner's tokens. The newest has the index 0.
    copies: fn(usize, usize) -> bool,
    /// The uses: seconds after the copy, the party, and the outcome. The copy is made one period after the owner's last
    /// rotation.
    uses: &'static [(u64, Who, Comes)],
}

/// The current token is copied. The grace period of 30 s can hide the thief.
fn current(copy: usize, _: usize) -> bool {
    copy == 0
}

/// The previous token, the one before it, and the first one.
fn earlier(copy: usize, point: usize) -> bool {
    copy == 1 || copy == 2 || (copy > 0 && copy == point)
}

/// Tokens whose successor was used.
fn long_used(copy: usize, point: usize) -> bool {
    copy != 1 && earlier(copy, point)
}

const STORIES: [Story; 9] = [
    Story {
        name: "before the owner, whose next use is later than grace",
        copies: current,
        uses: &[(0, Thief, Tokens), (60, Owner, Noticed)],
    },
    Story {
        name: "before the owner, thief goes on alone",
        copies: current,
        uses: &[(0, Thief, Tokens), (300, Thief, Tokens), (301, Owner, Noticed)],
    },
    Story {
        name: "before the owner, who comes within grace; owner moves on",
        copies: current,
        uses: &[(0, Thief, Tokens), (10, Owner, Tokens), (310, Owner, Tokens), (400, Thief, Noticed)],
    },
    Story {
        name: "after the owner, within grace; owner moves on",
        copies: current,
        uses: &[(0, Owner, Tokens), (10, Thief, Tokens), (300, Owner, Tokens), (400, Thief, Noticed)],
    },
    Story {
        name: "after the owner, within grace; thief moves on at once",
        copies: current,
        uses: &[(0, Owner, Tokens), (10, Thief, Tokens), (12, Thief, Tokens), (300, Owner, Noticed)],
    },
    Story {
        name: "between two uses of the owner, later than grace",
        copies: current,
        uses: &[(0, Owner, Tokens), (60, Thief, Noticed)],
    },
    Story {
        name: "like a second tab for three periods, then late",
        copies: current,
        uses: &[
            (0, Owner, Tokens),
            (10, Thief, Tokens),
            (300, Owner, Tokens),
            (310, Thief, Tokens),
            (600, Owner, Tokens),
            (629, Thief, Tokens),
            (900, Owner, Tokens),
            (930, Thief, Noticed),
        ],
    },
    Story {
        name: "an earlier token, between two uses of the owner",
        copies: earlier,
        uses: &[(0, Thief, Noticed)],
    },
    Story {
        name: "an earlier token, within the grace of the owner's use",
        copies: long_used,
        uses: &[(0, Owner, Tokens), (5, Thief, Noticed)],
    },
];

async fn play(base: &Service, url: &str, number: usize, story: &Story, point: usize, copy: usize) {
    static WEATHER: Weather = Weather::new();
    let case = format!("at generation {point}, copy of {copy} before: {}", story.name);
    let service = base.redeployed(url, &[]).await;
    let name = format!("user{number}");
    let user = service.quick_user(&name).await;
    let elsewhere = service.login(&name).await.refresh_token();
    let mut tokens = vec![service.login(&name).await.refresh_token()];

    // The failures of the swarm until the theft. The number of events is exact only if DynamoDB answers.
    bad_weather(&service, u64::try_from(point * 31 + copy).unwrap(), &WEATHER);
    while tokens.len() <= point {
        service.clock.advance(PERIOD);
        let next = loop {
            let answer = service.refresh(tokens.last().unwrap()).await;
            if answer.status != 503 {
                break answer.refresh_token();
            }
        };
        tokens.push(next);
    }
    service.bench.recorder.always(Action::Pass);
    service.clock.advance(PERIOD);
    assert!(service.journal.take().iter().all(|event| !matches!(event, Event::Reuse { .. })), "{case}");

    let stolen = tokens[point - copy].clone();
    let (mut owner, mut thief) = (tokens[point].clone(), stolen.clone());
    let mut now = 0;
    for (n, (at, who, comes)) in story.uses.iter().enumerate() {
        service.clock.advance(Duration::from_secs(at - now));
        now = *at;
        let held = if *who == Owner { &mut owner } else { &mut thief };
        let answer = service.refresh(held).await;
        match comes {
            Tokens => {
                assert_eq!(answer.status, 200, "{case}, use {n}: {answer:?}");
                *held = answer.refresh_token();
            }
            Noticed => {
                assert_eq!(answer.outcome(), invalid_grant(), "{case}, use {n}");
                assert_eq!(n + 1, story.uses.len(), "a story ends when it is noticed");
            }
        }
    }
    // The session is dead for both parties, with any token. Other sessions live, and there is one event.
    for token in [&owner, &thief, &stolen, &tokens[point]] {
        assert_eq!(service.refresh(token).await.outcome(), invalid_grant(), "{case}: a token that is left");
    }
    let events = service.journal.take();
    let reuse = events.iter().filter(|event| matches!(event, Event::Reuse { .. })).count();
    assert_eq!(reuse, 1, "{case}: {events:?}");
    assert_eq!(service.refresh(&elsewhere).await.status, 200, "{case}: another session");
    let sessions = base.bench.store.sessions(user.id).await.unwrap();
    let ended: Vec<EndReason> =
        sessions.iter().filter_map(|session| session.ended).map(|ended| ended.reason).collect();
    assert_eq!((sessions.len(), ended), (2, vec![EndReason::Reuse]), "{case}");
}

/// invariant: A copy of a token is detected at its first use outside the grace period.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thief_at_every_point() {
    let _turn = crate::suites::failures::ONE_AT_A_TIME.lock().await;
    let embedded = Embedded::start(None).unwrap();
    let url = embedded.url();
    let base = Service::quick(&url, &[]).await;
    let started = Instant::now();
    // Generations of the owner's token. The thief makes a copy at each.
    let points = amount("points", 6, 20);
    let mut cases = Vec::new();
    for story in &STORIES {
        for point in 0..points {
            cases.extend(
                (0..=point).filter(|copy| (story.copies)(*copy, point)).map(|copy| (story, point, copy)),
            );
        }
    }
    stream::iter(cases.iter().enumerate())
        .for_each_concurrent(AT_A_TIME, |(n, (story, point, copy))| {
            play(&base, &url, n, story, *point, *copy)
        })
        .await;
    println!("thieves: {} thefts at {points} points in {:.0?}, each noticed", cases.len(), started.elapsed());
    for story in &STORIES {
        let count = cases.iter().filter(|case| case.0.name == story.name).count();
        println!("  {count:>4}  {}", story.name);
        assert!(count > 0);
    }
}
