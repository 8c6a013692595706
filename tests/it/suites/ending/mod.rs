//! Endings of sessions on DynamoDB Local, which `cargo verify` installs and starts. When an ending was answered, its
//! sessions have ended, although clients refresh and the user logs in at the same time.
//!
//! Each way to end sessions first plays every [`Race`] in a given order. Then it runs 10 rounds (200 with `cargo verify
//! --full`) in a random order. Each round has its own user with [`SESSIONS`] sessions. [`client::TABS`] tabs refresh each of them
//! repeatedly in parallel, and [`LOGINS`] clients log in and refresh. The ending comes in the middle. After its response,
//! each client sends one more request. Then the round presents every refresh token that any client has received.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]

mod client;
mod cost;

use client::{Client, Login, Sent, log_in};
use daypass_core::ports::event::{Event, LoginFailure};
use daypass_core::ports::store::{StoreError, User, UserStatus};
use daypass_core::session::EndReason;
use daypass_testkit::Answer;
use daypass_testkit::depth::amount;
use daypass_testkit::hold::Hold;
use daypass_testkit::recorder::Action;
use daypass_tests::service::{PASSWORD, Recorded, Service, post, quick_hash};
use daypass_verifier::base::time::Clock;
use futures_util::future::join_all;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Sessions that exist before the ending.
const SESSIONS: usize = 4;
/// Clients that log in meanwhile. Together with the tabs of all sessions, these are 32 parallel requests.
const LOGINS: usize = 4;
/// Number of these clients that log in once more after the response.
const LATE_LOGINS: usize = 2;
/// The password that `Way::Password` sets.
const NEW_PASSWORD: &str = "another horse, the same staple";

/// One way at a time. Six in parallel would compete for the processors.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A way to end sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `POST /revoke`, for one session.
    Revoke,
    /// `POST /revoke` with `all=true`.
    RevokeAll,
    /// `daypass user password NAME`.
    Password,
    /// `POST /password`: the session of the caller is replaced.
    Change,
    /// `daypass user disable NAME`.
    Disable,
    /// `daypass user remove NAME`.
    Remove,
}

impl Way {
    const fn reason(self) -> EndReason {
        match self {
            Self::Revoke => EndReason::Revoked,
            Self::RevokeAll => EndReason::RevokedAll,
            Self::Password | Self::Change => EndReason::PasswordChanged,
            Self::Disable => EndReason::UserDisabled,
            Self::Remove => EndReason::UserRemoved,
        }
    }

    /// Number of the earlier sessions that end.
    const fn ends(self) -> usize {
        match self {
            Self::Revoke => 1,
            Self::RevokeAll | Self::Password | Self::Change | Self::Disable | Self::Remove => SESSIONS,
        }
    }

    /// Whether a login with this password that begins after the response opens a live session.
    fn admits(self, password: &str) -> bool {
        match self {
            Self::Revoke | Self::RevokeAll => true,
            Self::Password | Self::Change => password == NEW_PASSWORD,
            Self::Disable | Self::Remove => false,
        }
    }

    /// Whether all logins that began before the response leave no live session, even if they are answered later. `all=true`
    /// permits such a session: the query may not have seen it, as with a login that begins a moment later.
    fn shuts_out(self, password: &str) -> bool {
        !self.admits(password)
    }

    /// Whether a login at the same time finds its user changed.
    const fn overtakes(self) -> bool {
        matches!(self, Self::Password | Self::Change | Self::Disable | Self::Remove)
    }

    /// Ends the sessions, and returns after the response. Repeats the request while the response is 503, as a client does.
    async fn end(self, service: &Service, user: &User, first: &Answer) {
        while !self.try_end(service, user, first).await {}
    }

    async fn try_end(self, service: &Service, user: &User, first: &Answer) -> bool {
        let (store, name, now) = (&service.bench.store, &user.username, service.clock.now());
        let changed = match self {
            Self::Revoke => return is_done(&service.revoke(&first.refresh_token()).await),
            Self::RevokeAll => {
                let body = format!("all=true&token={}", first.access_token());
                return is_done(&service.form("/revoke", &body).await);
            }
            Self::Change => {
                let words = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD }).to_string();
                let request = post("/password", "application/json", words);
                let answer = service.send_as(&first.access_token(), request).await;
                assert!([200, 503].contains(&answer.status), "{answer:?}");
                return answer.status == 200;
            }
            Self::Password => store.set_password(name, &quick_hash(NEW_PASSWORD), now).await,
            Self::Disable => store.set_status(name, UserStatus::Disabled, now).await,
            Self::Remove => store.remove_user(name, now).await,
        };
        match changed {
            // At the second attempt, the user does not exist any more: the response to the first one was lost.
            Ok(user) => user.is_some() || self == Self::Remove,
            Err(StoreError::Unavailable(_)) => false,
            Err(StoreError::Broken(detail)) => panic!("{self:?}: {detail}"),
        }
    }
}

/// Whether a revocation succeeded. The only other permitted response is 503.
fn is_done(answer: &Answer) -> bool {
    match answer.status {
        200 => answer.json() == json!({}),
        status => {
            assert_eq!(status, 503, "{answer:?}");
            false
        }
    }
}

/// Counts of the rounds of one way.
#[derive(Default)]
struct Tally {
    rounds: u32,
    /// Rounds in which a refresh got a new token between the request and the response of the ending.
    raced: u32,
    refreshes: usize,
    /// Refreshes that were running when the ending began.
    met: usize,
    /// Refreshes that got a new token between the request and the response of the ending.
    landed: usize,
    logins: usize,
    /// Logins that were running when the ending began, and opened a session.
    logins_met: usize,
    /// Logins with a right password whose user had changed in the meantime.
    overtaken: usize,
    /// Requests with the response 503. Their effect is unknown, and not checked.
    unavailable: usize,
    presented: usize,
    took: Duration,
    ending: Duration,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds in {:.1} s; an ending took {:.1} ms\n  \
             {} refreshes, of which {} were under way when an ending began; {} got a token before its answer, in {} rounds\n  \
             {} logins, of which {} were under way when an ending began and opened a session; {} were overtaken\n  \
             {} tokens presented again; {} answers of 503",
            self.rounds,
            self.took.as_secs_f64(),
            self.ending.as_secs_f64() * 1000.0 / f64::from(self.rounds.max(1)),
            self.refreshes,
            self.met,
            self.landed,
            self.raced,
            self.logins,
            self.logins_met,
            self.overtaken,
            self.presented,
            self.unavailable,
        )
    }
}

/// Presents a token. It is rejected, and the reason is not theft.
async fn assert_dead(service: &Service, token: &str, case: &str) {
    let answer = service.refresh(token).await;
    assert_eq!(answer.outcome(), (400, "invalid_grant".to_owned()), "{case}");
}

async fn assert_live(service: &Service, client: &mut Client, case: &str) {
    client.refresh(service, 1).await;
    assert_eq!(client.refreshes.last().unwrap().answer.status, 200, "{case}");
}

async fn url() -> String {
    #[expect(clippy::disallowed_methods, reason = "the one thing that this test is told")]
    let url = std::env::var("DAYPASS_TEST_DYNAMODB");
    url.expect(
        "DAYPASS_TEST_DYNAMODB is not set: start DynamoDB Local and set it to its URL, such as \
         http://127.0.0.1:8000, or run `cargo verify --only dynamodb`, which does both",
    )
}

/// Prints a line at once. The test runner keeps the output of passing tests.
#[expect(clippy::explicit_write, reason = "the test runner keeps what `println!` writes")]
fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").unwrap();
}

async fn rounds(way: Way) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let service =
        Arc::new(Service::quick_unrecorded(&url().await, &[("DAYPASS_LOGIN_ATTEMPTS", "100")]).await);
    let mut tally = Tally::default();
    let before = Instant::now();
    let rounds = u32::try_from(amount("rounds", 10, 200)).unwrap();
    for round in 0..rounds {
        one_round(&service, way, round, &mut tally).await;
    }
    tally.took = before.elapsed();
    say(&format!("{way:?}: {tally}"));
    // The number of parallel requests depends on the machine. `forced` plays each race with certainty.
    assert_eq!(tally.rounds, rounds);
    assert!(tally.met + tally.logins_met + tally.overtaken > 0, "{tally}");
    assert!(tally.presented > 0, "{tally}");
    assert!(way.overtakes() || tally.overtaken == 0, "{tally}");
}

/// A request that runs while a session ends, and the order in which DynamoDB applies both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Race {
    /// A refresh before the ending. Its response comes after the ending.
    RefreshBefore,
    /// A refresh after the ending.
    RefreshAfter,
    LoginBefore,
    LoginAfter,
}

impl Race {
    const ALL: [Self; 4] = [Self::RefreshBefore, Self::RefreshAfter, Self::LoginBefore, Self::LoginAfter];

    /// The DynamoDB operation of the request that is held back.
    const fn operation(self) -> &'static str {
        match self {
            Self::RefreshBefore | Self::RefreshAfter => "UpdateItem",
            Self::LoginBefore | Self::LoginAfter => "TransactWriteItems",
        }
    }

    const fn lands_before(self) -> bool {
        matches!(self, Self::RefreshBefore | Self::LoginBefore)
    }
}

/// Plays every race in its order.
async fn forced(way: Way) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let url = url().await;
    let settings = [("DAYPASS_LOGIN_ATTEMPTS", "100")];
    let service = Service::quick(&url, &settings).await;
    let ending = service.redeployed(&url, &settings).await;
    ending.clock.advance(Duration::from_millis(7));
    for race in Race::ALL {
        force(&service, &ending, way, race).await;
    }
}

/// `service` handles the running request, and `ending` is the process that ends the session.
async fn force(service: &Service, ending: &Service, way: Way, race: Race) {
    let case = format!("{way:?}, {race:?}");
    let name = case.replace(", ", "-").to_lowercase();
    let user = service.quick_user(&name).await;
    let (ends, other) = (service.login(&name).await, service.login(&name).await);
    let _ = (service.bench.recorder.take(), service.journal.take(), ending.journal.take());
    let hold = Hold::default();
    let (held, operation) = (hold.clone(), race.operation());
    service.bench.recorder.set_hook(move |call| {
        // The request of a login that counts the attempt is not held back.
        if call.operation != operation {
            Action::Pass
        } else if race.lands_before() {
            Action::HeldAnswer(held.clone())
        } else {
            Action::Held(held.clone())
        }
    });
    let token = ends.refresh_token();
    let under_way = async {
        if operation == "UpdateItem" { service.refresh(&token).await } else { service.login(&name).await }
    };
    let end = async {
        if race.lands_before() {
            hold.landed().await;
        } else {
            hold.arrived().await;
        }
        way.end(ending, &user, &ends).await;
        hold.release();
    };
    let (answer, ()) = tokio::join!(under_way, end);
    service.bench.recorder.always(Action::Pass);
    let tries = service.bench.recorder.take();
    let tries = tries.iter().filter(|exchange| exchange.operation == operation).count();
    let expected = match race {
        Race::RefreshBefore | Race::LoginBefore => 200,
        Race::RefreshAfter => 400,
        Race::LoginAfter if way.overtakes() => 401,
        Race::LoginAfter => 200,
    };
    // If the machine stalls for a second, the SDK repeats the request, which then finds the session ended.
    assert!(answer.status == expected || tries > 1, "{case}: {answer:?}");
    let events: Vec<Event> =
        [&service.journal, &ending.journal].into_iter().flat_map(Recorded::take).collect();
    if race == Race::LoginAfter && tries == 1 {
        let overtaken = events
            .iter()
            .any(|event| matches!(event, Event::LoginFailed { cause: LoginFailure::UserChanged, .. }));
        assert_eq!(overtaken, way.overtakes(), "{case}: {events:?}");
    }
    assert_dead(service, &token, &case).await;
    if answer.status == 200 {
        let ended = match race {
            Race::RefreshBefore | Race::RefreshAfter => true,
            Race::LoginBefore => way != Way::Revoke,
            Race::LoginAfter => way.overtakes(),
        };
        let mut client = Client::of(&answer);
        if ended {
            assert_dead(service, client.newest(), &case).await;
        } else {
            assert_live(service, &mut client, &case).await;
        }
    }
    let reuse = [&service.journal, &ending.journal].into_iter().flat_map(Recorded::take).chain(events);
    let reuse: Vec<Event> = reuse.filter(|event| matches!(event, Event::Reuse { .. })).collect();
    assert_eq!(reuse, [], "{case}: the session is over, not stolen");
    let other = service.refresh(&other.refresh_token()).await.status;
    assert_eq!(other, if way == Way::Revoke { 200 } else { 400 }, "{case}: the other session");
}

async fn one_round(service: &Arc<Service>, way: Way, round: u32, tally: &mut Tally) {
    let name = format!("{way:?}-{round}").to_lowercase();
    let user = service.quick_user(&name).await;
    let mut first = None;
    let mut clients = Vec::new();
    for _ in 0..SESSIONS {
        let login = service.login(&name).await;
        clients.push(Client::of(&login));
        // The caller's session is among those that end, which come first.
        first.get_or_insert(login);
    }
    let first = first.unwrap();
    let _ = service.journal.take();

    let (tell, over) = watch::channel(false);
    let refreshing: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(client.refresh_on(Arc::clone(service), over.clone())))
        .collect();
    let logging_in: Vec<_> = (0..LOGINS)
        .map(|n| {
            let changes = matches!(way, Way::Password | Way::Change);
            let password = if changes && n % 2 == 1 { NEW_PASSWORD } else { PASSWORD };
            tokio::spawn(log_in(Arc::clone(service), name.clone(), password, n < LATE_LOGINS, over.clone()))
        })
        .collect();
    // In each round, the other requests are at another point.
    tokio::time::sleep(Duration::from_millis(u64::from(round % 8))).await;
    let begun = Instant::now();
    way.end(service, &user, &first).await;
    let answered = Instant::now();
    tell.send(true).unwrap();
    let mut clients: Vec<Client> =
        join_all(refreshing).await.into_iter().map(|client| client.unwrap()).collect();
    let mut logins: Vec<Login> =
        join_all(logging_in).await.into_iter().flat_map(|logins| logins.unwrap()).collect();

    count(tally, way, &clients, &logins, begun, answered, &service.journal.take());

    // Requests after the response are rejected at once, while older requests are still running.
    for (n, client) in clients.iter().enumerate() {
        for sent in client.refreshes.iter().filter(|sent| sent.begun > answered) {
            let expected = if n < way.ends() { 400 } else { 200 };
            assert!([expected, 503].contains(&sent.answer.status), "{name}, session {n}: {:?}", sent.answer);
        }
    }
    for login in logins.iter().filter(|login| login.sent.begun > answered) {
        let expected = if way.admits(login.password) { 200 } else { 401 };
        assert!([expected, 503].contains(&login.sent.answer.status), "{name}: {:?}", login.sent.answer);
    }

    // Later, within the grace period or after it: every token of every ended session, and of every login that came too
    // late.
    service.clock.advance(Duration::from_secs(u64::from(round % 4) * 15));
    let (dead, live) = clients.split_at_mut(way.ends());
    let (shut_out, admitted): (Vec<&mut Login>, Vec<&mut Login>) =
        logins.iter_mut().partition(|login| way.shuts_out(login.password));
    let shut_out: Vec<&Client> = shut_out.into_iter().filter_map(|login| login.client.as_ref()).collect();
    let gone: Vec<&Client> = dead.iter().chain(shut_out).collect();
    let tokens: Vec<&str> = gone.iter().flat_map(|client| &client.tokens).map(String::as_str).collect();
    join_all(tokens.iter().map(|token| assert_dead(service, token, &name))).await;
    tally.presented += tokens.len();
    let reuse = service.journal.take().into_iter().find(|event| matches!(event, Event::Reuse { .. }));
    assert_eq!(reuse, None, "{name}: they are dead, not replayed");

    // The other sessions live on, and so do those of logins after the response.
    join_all(live.iter_mut().map(|client| assert_live(service, client, &name))).await;
    for login in admitted.into_iter().filter(|login| login.sent.begun > answered || way == Way::Revoke) {
        if let Some(client) = &mut login.client {
            assert_live(service, client, &name).await;
        }
    }
    // In the table too, also for sessions whose login got no response.
    let gone: BTreeSet<&str> = gone.iter().map(|client| client.session.as_str()).collect();
    for stored in service.bench.store.sessions(user.id).await.unwrap() {
        if gone.contains(stored.session.to_string().as_str())
            || (!way.admits(PASSWORD) && !way.admits(NEW_PASSWORD))
        {
            assert_eq!(stored.ended.map(|ended| ended.reason), Some(way.reason()), "{name}: {stored:?}");
        }
    }
    come_back(service, way, &user, &dead.iter().map(Client::newest).collect::<Vec<_>>()).await;
    tally.rounds += 1;
}

/// A disabled or removed user may come back. Old sessions do not.
async fn come_back(service: &Service, way: Way, user: &User, tokens: &[&str]) {
    let name = user.username.as_str();
    match way {
        Way::Revoke | Way::RevokeAll | Way::Password | Way::Change => return,
        Way::Disable => {
            let enabled = service
                .bench
                .store
                .set_status(&user.username, UserStatus::Enabled, service.clock.now())
                .await;
            enabled.unwrap().unwrap();
        }
        Way::Remove => assert_ne!(service.quick_user(name).await.id, user.id),
    }
    join_all(tokens.iter().map(|token| assert_dead(service, token, name))).await;
    let mut again = Client::of(&service.login(name).await);
    assert_live(service, &mut again, name).await;
}

fn count(
    tally: &mut Tally,
    way: Way,
    clients: &[Client],
    logins: &[Login],
    begun: Instant,
    answered: Instant,
    events: &[Event],
) {
    // Only sessions that end. The others have no race.
    let racing = clients[..way.ends()].iter().flat_map(|client| &client.refreshes);
    let under_way = |sent: &&Sent| sent.begun < begun && sent.answered > begun;
    let landed = racing
        .filter(|sent| sent.answer.status == 200 && sent.answered > begun && sent.begun < answered)
        .count();
    let all = || clients.iter().flat_map(|client| &client.refreshes);
    tally.landed += landed;
    tally.raced += u32::from(landed > 0);
    tally.refreshes += all().count() + logins.iter().filter(|login| login.client.is_some()).count();
    tally.met += all().filter(under_way).count();
    tally.logins += logins.len();
    tally.logins_met +=
        logins.iter().filter(|login| login.client.is_some() && under_way(&&login.sent)).count();
    tally.overtaken += events
        .iter()
        .filter(|event| matches!(event, Event::LoginFailed { cause: LoginFailure::UserChanged, .. }))
        .count();
    let answers = all().chain(logins.iter().map(|login| &login.sent));
    tally.unavailable += answers.filter(|sent| sent.answer.status == 503).count();
    tally.ending += answered - begun;
}

/// invariant: After the response of an ending, no refresh token of a session that existed before works.
#[tokio::test(flavor = "multi_thread")]
async fn revoke_one() {
    forced(Way::Revoke).await;
    rounds(Way::Revoke).await;
}

/// invariant: After the response of an ending, no refresh token of a session that existed before works.
#[tokio::test(flavor = "multi_thread")]
async fn revoke_all() {
    forced(Way::RevokeAll).await;
    rounds(Way::RevokeAll).await;
}

/// invariant: After the response of an ending, no refresh token of a session that existed before works.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_password() {
    forced(Way::Password).await;
    rounds(Way::Password).await;
}

/// invariant: After the response of an ending, no refresh token of a session that existed before works.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password() {
    forced(Way::Change).await;
    rounds(Way::Change).await;
}

/// invariant: After the response of an ending, no refresh token of a session that existed before works.
#[tokio::test(flavor = "multi_thread")]
async fn disable() {
    forced(Way::Disable).await;
    rounds(Way::Disable).await;
}

/// invariant: After the response of an ending, no refresh token of a session that existed before works.
#[tokio::test(flavor = "multi_thread")]
async fn remove() {
    forced(Way::Remove).await;
    rounds(Way::Remove).await;
}
