//! Ending sessions for real, on the real DynamoDB Local, which `cargo verify` installs and starts: whoever ends a session while
//! its clients refresh and its user logs in has ended it once the answer is there.
//!
//! Each of the six ways plays every [`Race`] in a given order, and then 25 rounds (200 in `cargo verify --full`) in whatever order
//! comes up. A round has a user of its own with [`SESSIONS`] sessions. [`TABS`] refresh each
//! of them at once, over and over, and [`LOGINS`] clients log in and refresh; in the middle of that comes the ending. When
//! it has been answered, each of them sends one request more, and then every refresh token that any of them ever got is
//! presented again.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]

use daypass_core::ports::event::{Event, LoginFailure};
use daypass_core::ports::store::{StoreError, User, UserStatus};
use daypass_core::session::EndReason;
use daypass_testkit::Answer;
use daypass_testkit::depth::amount;
use daypass_testkit::hold::Hold;
use daypass_testkit::recorder::{Action, Exchange};
use daypass_tests::service::{PASSWORD, Recorded, Service, post, quick_hash};
use daypass_verifier::base::time::Clock;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Sessions that exist before the ending.
const SESSIONS: usize = 4;
/// Refreshes of each of them at once.
const TABS: usize = 7;
/// Clients that log in meanwhile. With the tabs of all sessions these are 32 requests at once.
const LOGINS: usize = 4;
/// Of those, how many log in once more after the answer.
const LATE_LOGINS: usize = 2;
/// Rest of a client between two requests. Without one, 32 of them would keep the store so busy that most of the time went
/// into refreshes long after the race.
const REST: Duration = Duration::from_millis(20);
/// The password that `Way::Password` sets.
const NEW_PASSWORD: &str = "another horse, the same staple";

/// One way at a time: six would compete for the processors, and the store for none of them.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A way to end sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `POST /revoke`: one session.
    Revoke,
    /// `POST /revoke` with `all=true`.
    RevokeAll,
    /// `daypass user password`.
    Password,
    /// `POST /password`: all but the one that asks.
    Change,
    /// `daypass user disable`.
    Disable,
    /// `daypass user remove`.
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

    /// How many of the sessions end that there were before.
    const fn ends(self) -> usize {
        match self {
            Self::Revoke => 1,
            Self::Change => SESSIONS - 1,
            Self::RevokeAll | Self::Password | Self::Disable | Self::Remove => SESSIONS,
        }
    }

    /// What becomes of a login with this password that begins after the answer: whether it opens a session that lives.
    fn admits(self, password: &str) -> bool {
        match self {
            Self::Revoke | Self::RevokeAll => true,
            Self::Password | Self::Change => password == NEW_PASSWORD,
            Self::Disable | Self::Remove => false,
        }
    }

    /// Whether no login that began before the answer may leave a live session, even if it is answered later. With
    /// `all=true` it may: its session may have come to be after the sessions were listed, by the same right as one whose
    /// login began a moment later.
    fn shuts_out(self, password: &str) -> bool {
        !self.admits(password)
    }

    /// Whether a login that is under way finds its user changed.
    const fn overtakes(self) -> bool {
        matches!(self, Self::Password | Self::Change | Self::Disable | Self::Remove)
    }

    /// Ends what there is to end; returns when that has been answered. As a client does, it asks again as long as the answer is
    /// 503.
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
                return is_done(&service.send_as(&first.access_token(), request).await);
            }
            Self::Password => store.set_password(name, &quick_hash(NEW_PASSWORD), now).await,
            Self::Disable => store.set_status(name, UserStatus::Disabled, now).await,
            Self::Remove => store.remove_user(name, now).await,
        };
        match changed {
            // Gone at the second try: the first had an answer that was lost.
            Ok(user) => user.is_some() || self == Self::Remove,
            Err(StoreError::Unavailable(_)) => false,
            Err(StoreError::Broken(detail)) => panic!("{self:?}: {detail}"),
        }
    }
}

/// Whether a revocation is done; the one other answer that there may be is 503.
fn is_done(answer: &Answer) -> bool {
    match answer.status {
        200 => answer.json() == json!({}),
        status => {
            assert_eq!(status, 503, "{answer:?}");
            false
        }
    }
}

/// How often a client sends a refresh that is answered with 503.
const TRIES: usize = 5;

/// A request with when it was sent and answered.
struct Sent {
    begun: Instant,
    answered: Instant,
    answer: Answer,
}

async fn sent(answer: impl Future<Output = Answer>) -> Sent {
    let begun = Instant::now();
    let answer = answer.await;
    Sent { begun, answered: Instant::now(), answer }
}

/// A session as its client sees it.
struct Client {
    session: String,
    /// Every refresh token that it ever got, the newest last.
    tokens: Vec<String>,
    refreshes: Vec<Sent>,
}

impl Client {
    fn of(login: &Answer) -> Self {
        Self { session: login.text("session_id"), tokens: vec![login.refresh_token()], refreshes: Vec::new() }
    }

    fn newest(&self) -> &str {
        self.tokens.last().unwrap()
    }

    /// Refreshes in `tabs` at once. Whoever gets a successor gets the same. As a client does, it sends again what was
    /// answered with 503 alone: the rotation may have landed, and after the grace window the old token looks stolen.
    async fn refresh(&mut self, service: &Service, tabs: usize) {
        let token = self.newest().to_owned();
        for _ in 0..TRIES {
            let sent = join_all((0..tabs).map(|_| sent(service.refresh(&token)))).await;
            let successors: BTreeSet<String> = sent
                .iter()
                .filter(|sent| sent.answer.status == 200)
                .map(|sent| sent.answer.refresh_token())
                .collect();
            assert!(successors.len() <= 1, "one successor");
            self.tokens.extend(successors);
            let answered = sent.iter().any(|sent| sent.answer.status != 503);
            self.refreshes.extend(sent);
            if answered {
                break;
            }
        }
        service.clock.advance(Duration::from_millis(7));
    }

    /// Refreshes until the ending has been answered, and once more after that.
    async fn refresh_on(mut self, service: Arc<Service>, mut over: watch::Receiver<bool>) -> Self {
        loop {
            if *over.borrow() {
                self.refresh(&service, 1).await;
                return self;
            }
            self.refresh(&service, TABS).await;
            tokio::time::sleep(REST).await;
            if self.refreshes.iter().rev().take(TABS).all(|sent| sent.answer.status == 400) {
                over.wait_for(|over| *over).await.unwrap();
            }
        }
    }
}

/// A login that was sent while the sessions were ended, or just after.
struct Login {
    password: &'static str,
    sent: Sent,
    /// The session, when it opened one.
    client: Option<Client>,
}

/// Logs in until the ending has been answered, and once more after that when it is to be `late`; of each session that it
/// opens it refreshes once.
async fn log_in(
    service: Arc<Service>,
    name: String,
    password: &'static str,
    late: bool,
    over: watch::Receiver<bool>,
) -> Vec<Login> {
    let mut logins = Vec::new();
    loop {
        let last = *over.borrow();
        if last && !late {
            return logins;
        }
        let body = json!({ "username": name, "password": password });
        let sent = sent(service.post("/login", &body)).await;
        let mut client = (sent.answer.status == 200).then(|| Client::of(&sent.answer));
        if let Some(client) = &mut client {
            client.refresh(&service, 1).await;
        }
        logins.push(Login { password, sent, client });
        if last {
            return logins;
        }
        tokio::time::sleep(REST).await;
    }
}

/// What the rounds of a way have covered.
#[derive(Default)]
struct Tally {
    rounds: u32,
    /// Rounds in which a refresh got a new token between the beginning and the answer of the ending.
    raced: u32,
    refreshes: usize,
    /// Refreshes that were under way when the ending began.
    met: usize,
    /// Refreshes that got a new token between the beginning and the answer of the ending.
    landed: usize,
    logins: usize,
    /// Logins that were under way when the ending began, and opened a session.
    logins_met: usize,
    /// Logins that had found the password right, and no longer.
    overtaken: usize,
    /// Requests that were answered with 503: nothing is known of them, and nothing asked.
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

/// Presents a token. It is refused, and the session is dead for a reason that is no theft.
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

/// A line past the test runner, which keeps what a passing test prints.
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
    let rounds = u32::try_from(amount("rounds", 25, 200)).unwrap();
    for round in 0..rounds {
        one_round(&service, way, round, &mut tally).await;
    }
    tally.took = before.elapsed();
    say(&format!("{way:?}: {tally}"));
    // How often requests met depends on the machine: `forced` has each race for certain.
    assert_eq!(tally.rounds, rounds);
    assert!(tally.met + tally.logins_met + tally.overtaken > 0, "{tally}");
    assert!(tally.presented > 0, "{tally}");
    assert!(way.overtakes() || tally.overtaken == 0, "{tally}");
}

/// A request that is under way when a session ends, and when DynamoDB applies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Race {
    /// Before the ending; the answer comes after it.
    RefreshBefore,
    /// After the ending.
    RefreshAfter,
    LoginBefore,
    LoginAfter,
}

impl Race {
    const ALL: [Self; 4] = [Self::RefreshBefore, Self::RefreshAfter, Self::LoginBefore, Self::LoginAfter];

    /// The request that is held, by its operation.
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

/// Every race, each in its order.
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

/// `service` has the request that is under way, `ending` is the process that ends the session.
async fn force(service: &Service, ending: &Service, way: Way, race: Race) {
    let case = format!("{way:?}, {race:?}");
    let name = case.replace(", ", "-").to_lowercase();
    let user = service.quick_user(&name).await;
    let (ends, other) = (service.login(&name).await, service.login(&name).await);
    // The one that asks is spared by `Way::Change`, and ends otherwise.
    let first = if way == Way::Change { &other } else { &ends };
    let _ = (service.bench.recorder.take(), service.journal.take(), ending.journal.take());
    let hold = Hold::default();
    let (held, operation) = (hold.clone(), race.operation());
    service.bench.recorder.set_hook(move |call| {
        // Of a login, what counts the attempt is in time.
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
        way.end(ending, &user, first).await;
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
    // On a machine that stands still for a second the SDK sends the request again: it meets what has ended.
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
    let spared = matches!(way, Way::Revoke | Way::Change);
    assert_eq!(other, if spared { 200 } else { 400 }, "{case}: the other session");
}

async fn one_round(service: &Arc<Service>, way: Way, round: u32, tally: &mut Tally) {
    let name = format!("{way:?}-{round}").to_lowercase();
    let user = service.quick_user(&name).await;
    let mut first = None;
    let mut clients = Vec::new();
    for _ in 0..SESSIONS {
        let login = service.login(&name).await;
        clients.push(Client::of(&login));
        // The one that asks is among those that end, which come first; or the last, which is spared.
        if first.is_none() || way == Way::Change {
            first = Some(login);
        }
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
    // The others are somewhere else in each round.
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

    // Whatever began after the answer was refused at once, while older requests were still under way.
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

    // Some time later, within the grace or after it: every token of every session that there was, and of every login that
    // came too late, whenever it was answered.
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

    // The others live on, and so do the sessions of logins that began after the answer.
    join_all(live.iter_mut().map(|client| assert_live(service, client, &name))).await;
    for login in admitted.into_iter().filter(|login| login.sent.begun > answered || way == Way::Revoke) {
        if let Some(client) = &mut login.client {
            assert_live(service, client, &name).await;
        }
    }
    // As the store has it: also of sessions whose login was never answered.
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

/// A user who was disabled or removed may come back. No old session does.
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
    // Of the sessions that end: what the others do is no race.
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

/// What each way asks of DynamoDB for `n` live sessions, and what that costs: one write of two units for each session and no more, one
/// query for all of them (two where the user changes). Sessions that are over already cost nothing but their place in the query.
///
/// invariant: Each ending costs the documented requests and write units.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_costs() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let service = Service::quick(&url().await, &[("DAYPASS_LOGIN_ATTEMPTS", "100")]).await;
    service.bench.recorder.ask_capacity(true);
    for way in [Way::Revoke, Way::RevokeAll, Way::Password, Way::Disable, Way::Remove] {
        for live in [1, 2, 20] {
            let name = format!("{way:?}-{live}").to_lowercase();
            let user = service.quick_user(&name).await;
            // Logged out before: they are not written again.
            for _ in 0..3 {
                assert_eq!(service.revoke(&service.login(&name).await.refresh_token()).await.status, 200);
            }
            let first = service.login(&name).await;
            for _ in 1..live {
                service.login(&name).await;
            }
            let _ = service.bench.recorder.take();
            way.end(&service, &user, &first).await;
            let exchanges = service.bench.recorder.take();

            let (sessions, users) = (&service.bench.tables.sessions, &service.bench.tables.users);
            let (update, query) = (("UpdateItem", sessions), [("Query", sessions)]);
            let ends = |n: usize| vec![update; n];
            let expected = match way {
                // `password::requests_on_the_wire` counts that.
                Way::Change => unreachable!("not on the list"),
                Way::Revoke => ends(1),
                // The session whose token asks, by which it is known that it may; then the others.
                Way::RevokeAll => [&ends(1)[..], &query, &ends(live - 1)].concat(),
                // The second query is for a login that committed just before the user changed.
                Way::Password | Way::Disable => {
                    [&[("UpdateItem", users)][..], &query, &ends(live), &query].concat()
                }
                Way::Remove => {
                    [&[("UpdateItem", users)][..], &query, &ends(live), &query, &[("DeleteItem", users)]]
                        .concat()
                }
            };
            let sent: Vec<(&str, &String)> =
                expected.iter().map(|(operation, table)| (*operation, *table)).collect();
            let seen: Vec<(&str, String)> =
                exchanges.iter().map(|exchange| (exchange.operation.as_str(), table_of(exchange))).collect();
            let seen: Vec<(&str, &String)> =
                seen.iter().map(|(operation, table)| (*operation, table)).collect();
            assert_eq!(seen, sent, "{way:?} of {live}");
            let units = |query: bool| {
                let of = exchanges.iter().filter(|exchange| (exchange.operation == "Query") == query);
                of.map(|exchange| exchange.response()["ConsumedCapacity"]["CapacityUnits"].as_f64().unwrap())
                    .fold(0.0, |sum, units| sum + units)
            };
            let ended = sent.iter().filter(|asked| **asked == update).count();
            let others = sent.iter().filter(|(operation, _)| *operation != "Query").count() - ended;
            // The item, and its place in the index of ended sessions.
            let expected = 2 * ended + others;
            assert_eq!(units(false), expected as f64, "{way:?} of {live}: write units");
            say(&format!(
                "{way:?} of {live} live sessions (3 more are over): {} requests, {} write units, {} read units",
                exchanges.len(),
                units(false),
                units(true),
            ));
        }
    }
}

fn table_of(exchange: &Exchange) -> String {
    exchange.request.get("TableName").and_then(Value::as_str).unwrap_or_default().to_owned()
}
