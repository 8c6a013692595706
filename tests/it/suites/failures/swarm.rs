//! Sessions, each refreshed by two tabs in parallel for 20 rotations, while responses are lost and requests are throttled.

use daypass_core::keys::RefreshKeys;
use daypass_core::ports::event::Event;
use daypass_core::token::refresh::RefreshToken;
use daypass_testkit::depth::amount;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Action;
use daypass_tests::service::Service;
use daypass_verifier::base::time::Clock;
use futures_util::future::join;
use futures_util::{StreamExt, stream};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const USERS: usize = 50;
const ROTATIONS: u32 = 20;
/// Sessions that are refreshed in parallel, by two tabs each.
const AT_A_TIME: usize = 32;
/// Time between two rotations.
pub(crate) const PERIOD: Duration = Duration::from_secs(300);
/// One response in this number is lost, both from DynamoDB to the function and from the function to the client.
const LOST: u64 = 10;
/// One request to DynamoDB in this number is throttled.
const THROTTLED: u64 = 20;
const SEED: u64 = 0x5eed_da15;

/// SplitMix64, a random sequence that is the same in each run.
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Whether this is the one case in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).is_multiple_of(n)
    }
}

/// Counts of failures between function and DynamoDB.
pub(crate) struct Weather {
    requests: AtomicUsize,
    lost: AtomicUsize,
    throttled: AtomicUsize,
}

impl Weather {
    pub(crate) const fn new() -> Self {
        Self { requests: AtomicUsize::new(0), lost: AtomicUsize::new(0), throttled: AtomicUsize::new(0) }
    }
}

/// Makes the recorder lose responses and throttle requests.
pub(crate) fn bad_weather(service: &Service, seed: u64, weather: &'static Weather) {
    let seeded = Mutex::new(Seeded::new(seed));
    service.bench.recorder.set_hook(move |_| {
        let mut seeded = seeded.lock().unwrap();
        weather.requests.fetch_add(1, Ordering::Relaxed);
        if seeded.one_in(THROTTLED) {
            weather.throttled.fetch_add(1, Ordering::Relaxed);
            Action::refuse(400, "ThrottlingException")
        } else if seeded.one_in(LOST) {
            weather.lost.fetch_add(1, Ordering::Relaxed);
            Action::DropAnswer
        } else {
            Action::Pass
        }
    });
}

/// A browser with one session and two tabs, which share its storage. The tabs follow the client rules of
/// `docs/operations/failures.md`:
///
/// 1. A tab sends the token that is in the storage when it begins.
/// 2. After a 503, or without a response, it retries soon. The first tab sends the same token. The second tab sends the
///    token that is then in the storage. Both are correct.
/// 3. A tab stores a new token only if the storage still holds the token that it sent. A late response therefore replaces
///    no newer token.
struct Browser {
    storage: Mutex<String>,
    /// The fate of the responses of each tab.
    luck: [Mutex<Seeded>; 2],
}

#[derive(Default)]
struct Tally {
    asked: AtomicUsize,
    lost: AtomicUsize,
    busy: AtomicUsize,
    answered: AtomicUsize,
    /// The only token of each session and generation.
    tokens: Mutex<HashMap<(String, u32), String>>,
}

impl Browser {
    async fn refresh(&self, tab: usize, service: &Service, keys: &RefreshKeys, tally: &Tally) {
        let stored = || self.storage.lock().unwrap().clone();
        let mut token = stored();
        loop {
            tally.asked.fetch_add(1, Ordering::Relaxed);
            let answer = service.refresh(&token).await;
            if self.luck[tab].lock().unwrap().one_in(LOST) {
                tally.lost.fetch_add(1, Ordering::Relaxed);
            } else if answer.status == 503 {
                assert!(answer.header("retry-after").is_some());
                tally.busy.fetch_add(1, Ordering::Relaxed);
            } else {
                let next = answer.refresh_token();
                assert!(service.lets_through(&answer.access_token()), "an access token that is none");
                let parts = RefreshToken::authenticate(&next, keys, service.clock.now()).unwrap();
                let key = (parts.session.to_string(), parts.generation);
                let mut tokens = tally.tokens.lock().unwrap();
                let first = tokens.entry(key).or_insert_with(|| next.clone());
                assert_eq!(*first, next, "two tokens of one generation");
                drop(tokens);
                let mut storage = self.storage.lock().unwrap();
                if *storage == token {
                    *storage = next;
                }
                tally.answered.fetch_add(1, Ordering::Relaxed);
                return;
            }
            // A real client waits longer. The test clock stands still.
            tokio::time::sleep(Duration::from_millis(5)).await;
            if tab == 1 {
                token = stored();
            }
        }
    }
}

/// invariant: Two tabs, lost responses and throttling leave a session live, with one token per generation.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_tabs_through_twenty_rotations_in_bad_weather() {
    static WEATHER: Weather = Weather::new();
    let _turn = crate::suites::failures::ONE_AT_A_TIME.lock().await;
    let embedded = Embedded::start(None).unwrap();
    let service = Service::quick(&embedded.url(), &[]).await;
    let keys = RefreshKeys::from_document(&service.keys).unwrap();
    let started = Instant::now();
    let sessions = amount("sessions", 100, 500);
    let mut users = Vec::new();
    let mut browsers = Vec::new();
    for n in 0..USERS {
        users.push(service.quick_user(&format!("user{n}")).await);
    }
    for n in 0..sessions {
        let login = service.login(&format!("user{}", n % USERS)).await;
        let seed = SEED + 2 * u64::try_from(n).unwrap();
        browsers.push(Browser {
            storage: Mutex::new(login.refresh_token()),
            luck: [Mutex::new(Seeded::new(seed)), Mutex::new(Seeded::new(seed + 1))],
        });
    }
    let _ = service.journal.take();
    bad_weather(&service, SEED, &WEATHER);

    let tally = Tally::default();
    let mut repeated = 0;
    for _ in 0..ROTATIONS {
        service.clock.advance(PERIOD);
        stream::iter(&browsers)
            .for_each_concurrent(AT_A_TIME, |browser| {
                let tab = |tab| browser.refresh(tab, &service, &keys, &tally);
                async move {
                    join(tab(0), tab(1)).await;
                }
            })
            .await;
        // All events are rotations, their repetitions, or failures of the store. None is a rejection or a reuse.
        for event in service.journal.take() {
            match event {
                Event::Rotated { .. } | Event::Failure { .. } => {}
                Event::Repeated { .. } => repeated += 1,
                other => panic!("{other:?}"),
            }
        }
        let _ = service.bench.recorder.take();
    }

    service.bench.recorder.always(Action::Pass);
    let mut rotations = 0;
    for user in &users {
        for session in service.bench.store.sessions(user.id).await.unwrap() {
            assert_eq!(session.ended, None, "a session ended");
            assert!(session.generation >= ROTATIONS, "{}", session.generation);
            rotations += session.generation;
        }
    }
    stream::iter(&browsers)
        .for_each_concurrent(AT_A_TIME, |browser| async {
            let token = browser.storage.lock().unwrap().clone();
            assert_eq!(service.refresh(&token).await.status, 200, "what the storage holds is good");
        })
        .await;
    let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!(
        "swarm: {sessions} sessions, {rotations} rotations, {repeated} repeated, in {:.0?}; {} refreshes asked, {} answered; \
         {} answers lost between function and client, {} answers 503; {} requests to DynamoDB, {} answers lost, {} throttled",
        started.elapsed(),
        read(&tally.asked),
        read(&tally.answered),
        read(&tally.lost),
        read(&tally.busy),
        read(&WEATHER.requests),
        read(&WEATHER.lost),
        read(&WEATHER.throttled),
    );
    assert_eq!(read(&tally.answered), sessions * 2 * usize::try_from(ROTATIONS).unwrap());
    // The number of failures was as intended.
    let share = |part: usize, of: usize| of / part.max(1);
    assert!((8..=12).contains(&share(read(&tally.lost), read(&tally.asked))));
    assert!((8..=13).contains(&share(read(&WEATHER.lost), read(&WEATHER.requests))));
    assert!((17..=23).contains(&share(read(&WEATHER.throttled), read(&WEATHER.requests))));
}
