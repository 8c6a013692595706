//! The rate limits of logins: per account and address, per address, per account.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use daypass_core::ports::event::Event;
use daypass_core::throttle::Exhausted;
use daypass_testkit::Answer;
use daypass_testkit::depth::amount;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::{Action, Exchange};
use daypass_testkit::trips::{in_waves, round_trips};
use daypass_tests::bench::after;
use daypass_tests::service::{PASSWORD, Service};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) const HOME: &str = "192.0.2.1";
pub(crate) const WRONG: &str = "not the right password";

pub(crate) async fn service(settings: &[(&str, &str)]) -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let service = Service::quick(&embedded.url(), settings).await;
    (embedded, service)
}

pub(crate) fn elsewhere(n: usize) -> String {
    format!("198.51.{}.{}", n / 256, n % 256)
}

pub(crate) fn operations(exchanges: &[Exchange]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for exchange in exchanges {
        *counts.entry(exchange.operation.as_str()).or_default() += 1;
    }
    counts
}

pub(crate) fn write_units(exchanges: &[Exchange]) -> f64 {
    let consumed = |exchange: &Exchange| match &exchange.response()["ConsumedCapacity"] {
        serde_json::Value::Array(tables) => {
            tables.iter().map(|table| table["CapacityUnits"].as_f64().unwrap()).sum()
        }
        // A failed condition costs as much as the write.
        one => one["CapacityUnits"].as_f64().unwrap_or(1.0),
    };
    exchanges
        .iter()
        .filter(|exchange| !["GetItem", "Query"].contains(&exchange.operation.as_str()))
        .map(consumed)
        .sum()
}

/// The sorted operations since the last call, and their write units.
pub(crate) fn counted(service: &Service) -> (String, f64) {
    let exchanges = service.bench.recorder.take();
    let mut seen: Vec<&str> = exchanges.iter().map(|exchange| exchange.operation.as_str()).collect();
    seen.sort_unstable();
    (seen.join(" "), write_units(&exchanges))
}

pub(crate) fn names(names: &[&str]) -> String {
    names.join(" ")
}

/// The limits that throttled attempts, from the log.
pub(crate) fn limits(service: &Service) -> Vec<Exhausted> {
    let limit = |event: &Event| match event {
        Event::LoginThrottled { limit, .. } => Some(*limit),
        _ => None,
    };
    service.journal.take().iter().filter_map(limit).collect()
}

fn wait(answer: &Answer) -> Duration {
    assert_eq!(answer.outcome(), (429, "slow_down".to_owned()));
    Duration::from_secs(answer.header("retry-after").unwrap().parse().unwrap())
}

/// Cost of an attempt.
#[derive(Debug, PartialEq)]
struct Cost {
    /// Number of `GetItem`, `UpdateItem`, `TransactWriteItems` and `Query` requests.
    requests: [usize; 4],
    write_units: usize,
    hashes: usize,
}

/// Makes one attempt and returns its cost.
async fn cost(service: &Service, [name, password]: [&str; 2], address: &str, status: u16) -> Cost {
    let hashed = service.hashes.load(Ordering::SeqCst);
    let _ = service.bench.recorder.take();
    assert_eq!(service.login_from(address, name, password).await.status, status, "{name} from {address}");
    let exchanges = service.bench.recorder.take();
    let counts = operations(&exchanges);
    let requests = ["GetItem", "UpdateItem", "TransactWriteItems", "Query"]
        .map(|operation| counts.get(operation).copied().unwrap_or_default());
    assert_eq!(requests.iter().sum::<usize>(), exchanges.len(), "no other operation: {counts:?}");
    let units = write_units(&exchanges);
    assert!(units.fract() == 0.0, "{units} write units");
    let hashes = service.hashes.load(Ordering::SeqCst) - hashed;
    Cost { requests, write_units: units as usize, hashes }
}

/// Cost of a login: requests, write units and hashes. docs/reference/http-api.md has these figures.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_login_costs() {
    let (_db, service) =
        service(&[("DAYPASS_ADDRESS_ATTEMPTS", "6"), ("DAYPASS_ACCOUNT_ATTEMPTS", "4")]).await;
    for name in ["alice", "bob", "carol", "dave", "erin"] {
        service.quick_user(name).await;
    }
    service.bench.recorder.ask_capacity(true);
    // Each attempt below uses counters that no other attempt has used. Otherwise it may try a busy slot first, which is one
    // more write.
    for _ in 0..5 {
        service.login_from(&elsewhere(3), "carol", WRONG).await;
        service.login_from(&elsewhere(4), "unknown", WRONG).await;
    }
    for n in 0..6 {
        service.login_from(&elsewhere(5), &format!("unknown{n}"), WRONG).await;
    }
    for n in 0..4 {
        service.login_from(&elsewhere(6 + n), "dave", WRONG).await;
    }
    let rows = [
        ("first login from an address", ["alice", PASSWORD], HOME, 200, ([1, 5, 1, 1], 11, 1)),
        ("login from a known address", ["alice", PASSWORD], HOME, 200, ([1, 1, 1, 1], 7, 1)),
        ("wrong password, known address", ["alice", WRONG], HOME, 401, ([1, 3, 0, 0], 3, 1)),
        ("wrong password, other address", ["bob", WRONG], &elsewhere(1), 401, ([1, 3, 0, 0], 3, 1)),
        ("no such user", ["unknown9", WRONG], &elsewhere(2), 401, ([1, 3, 0, 0], 3, 1)),
        // The first slot is busy, and the returned item shows that all slots are.
        (
            "over the limit of account and address",
            ["carol", PASSWORD],
            &elsewhere(3),
            429,
            ([1, 1, 0, 0], 1, 0),
        ),
        ("over it, no such user", ["unknown", PASSWORD], &elsewhere(4), 429, ([1, 1, 0, 0], 1, 0)),
        ("over the limit of the address", ["erin", PASSWORD], &elsewhere(5), 429, ([1, 2, 0, 0], 2, 0)),
        ("over the limit of the account", ["dave", PASSWORD], &elsewhere(20), 429, ([1, 3, 0, 0], 3, 0)),
    ];
    for (what, attempt, address, status, (requests, write_units, hashes)) in rows {
        let cost = cost(&service, attempt, address, status).await;
        assert_eq!(cost, Cost { requests, write_units, hashes }, "{what}");
        println!("{what:<38} {} requests, {write_units} write units, {hashes} hashes", {
            requests.iter().sum::<usize>()
        });
    }
}

/// A login from a known address has three round trips. From another address it has two more for the counters, and one to free
/// their slots.
#[tokio::test(flavor = "multi_thread")]
async fn round_trips_of_a_login() {
    let (_db, service) = service(&[]).await;
    service.quick_user("alice").await;
    let waves: [&[usize]; 2] = [&[2, 1, 1, 1, 2, 1], &[2, 1, 1]];
    for waves in waves {
        in_waves(&service.bench.recorder, waves);
        assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 200);
        let exchanges = service.bench.recorder.take();
        let expected = (waves.iter().sum(), waves.len());
        assert_eq!((exchanges.len(), round_trips(&exchanges)), expected, "{waves:?}");
    }
}

/// Each limit holds, and an attempt that one limit throttles uses up nothing of the next.
///
/// invariant: At most as many attempts are hashed as a limit allows, in any interval of its window, at any
/// concurrency.
#[tokio::test(flavor = "multi_thread")]
async fn each_limit_holds() {
    let (_db, service) = service(&[]).await;
    service.quick_user("alice").await;
    let hashes = || service.hashes.load(Ordering::SeqCst);

    // One machine guesses at one name: five attempts.
    for n in 0..20 {
        let answer = service.login_from(HOME, "alice", WRONG).await;
        assert_eq!(answer.status, if n < 5 { 401 } else { 429 }, "{n}");
    }
    assert_eq!((hashes(), limits(&service)), (5, vec![Exhausted::AccountAndAddress; 15]));

    // Other machines guess at this name: fifteen more, because throttled attempts used up nothing of the account.
    for n in 0..20 {
        let answer = service.login_from(&elsewhere(n), "alice", WRONG).await;
        assert_eq!(answer.status, if n < 15 { 401 } else { 429 }, "{n}");
    }
    assert_eq!((hashes(), limits(&service)), (20, vec![Exhausted::Account; 5]));

    // One machine guesses at many names: sixty attempts.
    for n in 0..80 {
        let answer = service.login_from("203.0.113.9", &format!("user{n}"), WRONG).await;
        assert_eq!(answer.status, if n < 60 { 401 } else { 429 }, "{n}");
    }
    assert_eq!((hashes(), limits(&service)), (80, vec![Exhausted::Address; 20]));
    // Its throttled attempts used up nothing of these accounts.
    for n in 0..20 {
        let answer = service.login_from(&elsewhere(100 + n), "user79", WRONG).await;
        assert_eq!(answer.status, 401, "{n}");
    }
}

/// A subscriber has a /64 network of IPv6, and can use all of its addresses.
#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_subscriber_is_one_address() {
    let (_db, service) = service(&[]).await;
    service.quick_user("alice").await;
    for n in 0..8 {
        let answer = service.login_from(&format!("2001:db8:1:2::{n:x}"), "alice", WRONG).await;
        assert_eq!(answer.status, if n < 5 { 401 } else { 429 }, "{n}");
    }
    assert_eq!(service.login_from("2001:db8:1:3::1", "alice", WRONG).await.status, 401, "another subscriber");
    for n in 0..6 {
        let spelled = if n % 2 == 0 { "192.0.2.7" } else { "::ffff:192.0.2.7" };
        let answer = service.login_from(spelled, "alice", WRONG).await;
        assert_eq!(answer.status, if n < 5 { 401 } else { 429 }, "{n}");
    }
}

/// A line can have a /56 network of IPv6, which is 256 subscribers' networks. Together they have the limit of one address.
///
/// invariant: An IPv6 /56 has the attempts of one address.
#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_line_has_the_limit_of_one_address() {
    let (_db, service) = service(&[]).await;
    for n in 0..80 {
        let answer = service.login_from(&format!("2001:db8:9:{n:x}::1"), &format!("user{n}"), WRONG).await;
        assert_eq!(answer.status, if n < 60 { 401 } else { 429 }, "{n}");
    }
    assert_eq!(limits(&service), vec![Exhausted::Address; 20]);
    assert_eq!(service.login_from("2001:db8:9:100::1", "user1", WRONG).await.status, 401, "another line");
}

/// Attempts from elsewhere use up the account or the address. Users at known addresses still get in.
///
/// invariant: A user gets in from a known address, whatever others guess from elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_gets_in_from_a_known_address() {
    let limits = [("DAYPASS_ADDRESS_ATTEMPTS", "10"), ("DAYPASS_ACCOUNT_ATTEMPTS", "10")];
    let (_db, service) = service(&limits).await;
    service.quick_user("alice").await;
    assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 200);
    for n in 0..12 {
        service.login_from(&elsewhere(n), "alice", WRONG).await;
        service.login_from(HOME, &format!("user{n}"), WRONG).await;
    }
    assert_eq!(service.login_from(&elsewhere(99), "alice", PASSWORD).await.status, 429, "the account");
    assert_eq!(service.login_from(HOME, "bob", PASSWORD).await.status, 429, "the address");
    // Some wrong passwords first, as people make typing errors.
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(service.login_from(HOME, "alice", WRONG).await.status, 401);
        }
        assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 200);
    }
    for n in 0..7 {
        let answer = service.login_from(HOME, "alice", WRONG).await;
        assert_eq!(answer.status, if n < 5 { 401 } else { 429 }, "{n}: a budget of its own, not none");
    }

    // An address is no longer known 181 days after the login.
    service.clock.advance(Duration::from_secs(181 * 24 * 3600));
    for n in 0..10 {
        service.login_from(&elsewhere(n), "alice", WRONG).await;
    }
    assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 429);
}

/// The last login does not renew the entry of its address, because a login of the same day did. The user has to log in again
/// when the session ends, during an attack.
///
/// invariant: An address is known for as long as a session from it lives, whatever `DAYPASS_KNOWN_ADDRESS_DAYS` says.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_known_for_as_long_as_its_sessions_live() {
    for days in ["1", "30", "180"] {
        let (_db, service) = service(&[("DAYPASS_KNOWN_ADDRESS_DAYS", days)]).await;
        service.quick_user("alice").await;
        service.login_from(HOME, "alice", PASSWORD).await;
        service.clock.advance(Duration::from_secs(11 * 3600));
        let last = service.login_from(HOME, "alice", PASSWORD).await;
        service.clock.advance(Duration::from_secs(180 * 24 * 3600 - 60));
        for n in 0..20 {
            service.login_from(&elsewhere(n), "alice", WRONG).await;
        }
        assert_eq!(service.login_from(&elsewhere(99), "alice", PASSWORD).await.status, 429, "{days} days");
        assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 200, "{days} days");
        assert_eq!(service.refresh(&last.refresh_token()).await.status, 200, "the session lives");
    }
}

/// An operator can turn known addresses off.
#[tokio::test(flavor = "multi_thread")]
async fn without_days_no_address_is_known() {
    let (_db, service) = service(&[("DAYPASS_KNOWN_ADDRESS_DAYS", "0")]).await;
    service.quick_user("alice").await;
    assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 200);
    for n in 0..20 {
        service.login_from(&elsewhere(n), "alice", WRONG).await;
    }
    assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 429);
}

/// An attacker who also logs in to an account of their own gains no attempts at other accounts.
///
/// invariant: An attacker's own logins gain no attempts at other accounts.
#[tokio::test(flavor = "multi_thread")]
async fn owning_an_account_buys_no_guesses() {
    let (_db, service) = service(&[("DAYPASS_ADDRESS_ATTEMPTS", "10")]).await;
    service.quick_user("mallory").await;
    for known in [false, true] {
        let address = if known { "203.0.113.1" } else { "203.0.113.2" };
        let mut hashed = 0;
        for n in 0..20 {
            hashed +=
                usize::from(service.login_from(address, &format!("v{known}{n}"), WRONG).await.status == 401);
            if known || n % 7 == 0 {
                service.login_from(address, "mallory", PASSWORD).await;
            }
        }
        assert_eq!(hashed, 10, "known: {known}");
    }
}

/// Many people share one address. Their successful logins use up no attempts.
#[tokio::test(flavor = "multi_thread")]
async fn who_gets_in_uses_nothing_up() {
    let limits = [("DAYPASS_ADDRESS_ATTEMPTS", "10"), ("DAYPASS_ACCOUNT_ATTEMPTS", "5")];
    let (_db, service) = service(&limits).await;
    for n in 0..14 {
        service.quick_user(&format!("user{n}")).await;
        assert_eq!(service.login_from(HOME, &format!("user{n}"), PASSWORD).await.status, 200, "{n}");
    }
    service.quick_user("traveller").await;
    for n in 0..8 {
        assert_eq!(service.login_from(&elsewhere(n), "traveller", PASSWORD).await.status, 200, "{n}");
    }
}

/// `Retry-After` is the time until an attempt is admitted, rounded up to a second.
#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_right() {
    let (_db, service) = service(&[]).await;
    service.quick_user("alice").await;
    for (limit, address) in [(5, (|_| HOME.to_owned()) as fn(usize) -> String), (20, |n| elsewhere(n))] {
        service.clock.set(after(10_000_000 * limit));
        for n in 0..usize::try_from(limit).unwrap() {
            assert_eq!(service.login_from(&address(n), "alice", WRONG).await.status, 401, "{n}");
            service.clock.advance(Duration::from_millis(10_300));
        }
        let refused = service.login_from(&address(50), "alice", WRONG).await;
        // Whole seconds, rounded up.
        let until = wait(&refused);
        service.clock.advance(until - Duration::from_secs(1));
        assert_eq!(
            service.login_from(&address(51), "alice", WRONG).await.status,
            429,
            "{limit}: a second early"
        );
        service.clock.advance(Duration::from_secs(1));
        assert_eq!(service.login_from(&address(52), "alice", WRONG).await.status, 401, "{limit}: in time");
        assert!(wait(&service.login_from(&address(53), "alice", WRONG).await) <= Duration::from_secs(11));
    }
}

/// If a counter cannot be written, the attempt is not hashed.
///
/// invariant: An attempt that could not be counted is not hashed.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_throttles_hashes_nothing() {
    let (_db, service) = service(&[]).await;
    service.quick_user("alice").await;
    for failing in 0..3 {
        let seen = AtomicUsize::new(0);
        service.bench.recorder.set_hook(move |call| {
            // From the counter that fails on, so that retries of the SDK fail too.
            let counting = call.operation == "UpdateItem";
            let fails = counting && seen.fetch_add(1, Ordering::SeqCst) >= failing;
            if fails { Action::refuse(400, "ProvisionedThroughputExceededException") } else { Action::Pass }
        });
        let answer = service.login_from(&elsewhere(failing), "alice", PASSWORD).await;
        assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{failing}");
        assert_eq!(service.hashes.load(Ordering::SeqCst), 0, "{failing}");
    }
    service.bench.recorder.always(Action::Pass);
    assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 200);
}

/// If a slot cannot be freed, the login succeeds, and the log has a failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_success_whose_settling_fails_is_a_success() {
    let (_db, service) = service(&[]).await;
    service.quick_user("alice").await;
    service.bench.recorder.set_hook(|call| {
        let giving = call.request["UpdateExpression"] == "REMOVE #slot";
        if giving { Action::refuse(400, "AccessDeniedException") } else { Action::Pass }
    });
    assert_eq!(service.login_from(HOME, "alice", PASSWORD).await.status, 200);
    let failed = service.journal.take();
    assert!(
        failed.iter().any(|event| matches!(event, Event::Failure { during: "settle", .. })),
        "{failed:?}"
    );
}

/// The keys of attempts and sessions contain no name, address or password, and neither does the log. The users table
/// contains names.
///
/// invariant: The tables of attempts and sessions and the log hold no name, address or password as a key.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_and_logged_names_nobody() {
    let (_db, service) = service(&[]).await;
    service.quick_user("marker-alice").await;
    let (v4, v6) = ("203.0.113.77", "2001:db8:77:88::99");
    for address in [v4, v6] {
        service.login_from(address, "marker-alice", "marker-wrong-password").await;
        service.login_from(address, "marker-unknown", "marker-wrong-password").await;
        let login = service.login_from(address, "marker-alice", PASSWORD).await;
        let access = login.access_token();
        let new = "marker-new-password-1";
        let access = service.change_password(address, &access, PASSWORD, new).await.access_token();
        let access = service.change_password(address, &access, new, PASSWORD).await.access_token();
        service.change_password(address, &access, "marker-wrong-password", new).await;
    }
    let log = format!("{:?}", service.journal.take());
    let mut tables = BTreeMap::new();
    let names = &service.bench.tables;
    for table in [&names.users, &names.sessions, &names.attempts] {
        let items = service.bench.raw.scan().table_name(table).send().await.unwrap().items.unwrap();
        assert!(!items.is_empty(), "{table}");
        let text: Vec<String> = items
            .iter()
            .flat_map(|item| item.iter().map(|(name, value)| format!("{name}: {value:?}")))
            .collect();
        tables.insert(table.clone(), text.join("\n"));
    }
    let octets = |bytes: &[u8]| format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
    let secrets = [
        v4.to_owned(),
        v6.to_owned(),
        "2001:db8".to_owned(),
        octets(&[203, 0, 113, 77]),
        octets(&[0x20, 0x01, 0x0d, 0xb8]),
        "marker-wrong-password".to_owned(),
        "marker-new-password".to_owned(),
        PASSWORD.to_owned(),
        "marker-unknown".to_owned(),
    ];
    for secret in &secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
        for (table, text) in &tables {
            assert!(!text.contains(secret), "{secret} is in {table}");
        }
    }
    assert!(!log.contains("marker"), "{log}");
    assert!(!tables[&names.attempts].contains("marker"));
    println!(
        "{} bytes of tables and {} of log scanned",
        tables.values().map(String::len).sum::<usize>(),
        log.len()
    );
}

/// CPU time of this process: DynamoDB, the guessers and the function.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
    // Linux has 100 ticks per second.
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

const CONNECTIONS: usize = 64;

/// Guesses over 64 connections with different addresses, at one account and then at many, up to 1,000.
///
/// invariant: At most as many attempts are hashed as a limit allows, in any interval of its window, at any
/// concurrency.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guesses_from_many_addresses_pass_no_limit() {
    let guesses = amount("guesses", 400, 10_000);
    let embedded = Embedded::start(None).unwrap();
    let service = Arc::new(Service::quick_unrecorded(&embedded.url(), &[]).await);
    for name in ["alice", "user1"] {
        service.quick_user(name).await;
        assert_eq!(service.login_from(HOME, name, PASSWORD).await.status, 200);
    }
    for (accounts, most) in [(1, 20), (1_000, CONNECTIONS * 60)] {
        let (before, hashed) = (cpu(), service.hashes.load(Ordering::SeqCst));
        let started = Instant::now();
        let guess = |connection: usize| {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                let mut statuses = BTreeMap::<(usize, u16), usize>::new();
                for n in (connection..guesses).step_by(CONNECTIONS) {
                    let account = n % accounts;
                    let name = if accounts == 1 { "alice".to_owned() } else { format!("user{account}") };
                    let address = elsewhere(accounts * CONNECTIONS % 2048 + connection);
                    let status = service.login_from(&address, &name, WRONG).await.status;
                    *statuses.entry((account, status)).or_default() += 1;
                }
                statuses
            })
        };
        let mut of = BTreeMap::<(usize, u16), usize>::new();
        for statuses in join_all((0..CONNECTIONS).map(guess)).await {
            for (key, count) in statuses.unwrap() {
                *of.entry(key).or_default() += count;
            }
        }
        let took = started.elapsed();
        let spent = cpu() - before;
        let hashed = service.hashes.load(Ordering::SeqCst) - hashed;
        let count =
            |status| of.iter().filter(|((_, s), _)| *s == status).map(|(_, count)| count).sum::<usize>();
        let each =
            of.iter().filter(|((_, status), _)| *status == 401).map(|(_, count)| *count).max().unwrap();
        assert_eq!(count(401) + count(429) + count(503), guesses, "{of:?}");
        assert!(hashed <= most && hashed >= count(401), "{hashed} hashed, {most} at most");
        assert!(each <= 20, "{each} at one account");
        let allowed = most.min(guesses);
        // An attempt without a response, on a busy machine, may have taken a slot.
        let let_through = hashed + count(503);
        assert!(let_through >= allowed, "{let_through} of {allowed}: the limits let through what they allow");
        println!(
            "{guesses} guesses from {CONNECTIONS} addresses at {accounts} accounts: {hashed} hashed (limit {most}), at most \
             {each} of one account (limit 20); {} refused, {} busy; {took:.1?}, {:.2} ms CPU for each, DynamoDB and the \
             guesser included",
            count(429),
            count(503),
            spent.as_secs_f64() * 1000.0 / guesses as f64,
        );
        let name = if accounts == 1 { "alice" } else { "user1" };
        assert_eq!(service.login_from(HOME, name, PASSWORD).await.status, 200, "its owner, at home");
    }
}
