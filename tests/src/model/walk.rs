//! A walk: what users, clients, thieves, operators, the network and the clock do, one after the other or two at once.
//!
//! Nothing here names a token: a step picks among what there is when its turn comes, so a walk keeps its sense while
//! proptest leaves steps out of it.

use super::reference::Key;
use proptest::collection::vec;
use proptest::prelude::*;

/// One case.
#[derive(Debug, Clone)]
pub struct Walk {
    /// How the functions are configured.
    pub setting: Setting,
    /// The clocks of the two function processes.
    pub skew: Skew,
    /// Fraction of a second that the clocks start with, in milliseconds.
    pub fraction: u64,
    /// One user or two.
    pub users: usize,
    /// How many sessions each of them has to begin with.
    pub devices: usize,
    /// What happens.
    pub steps: Vec<Step>,
    /// Whether the last round presents old tokens before the newest.
    pub oldest_first: bool,
    /// Whether there is a round after the items were deleted.
    pub deleted: bool,
}

/// A configuration of the functions, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// How long a superseded token gets the same successor.
    pub grace: u64,
    /// How long an unused session lives; 0 for as long as it may.
    pub idle: u64,
    /// The life of a session.
    pub life: u64,
}

/// The configurations that walks are drawn from.
pub const SETTINGS: [Setting; 5] = [
    Setting { grace: 30, idle: 0, life: 3600 },
    Setting { grace: 30, idle: 120, life: 600 },
    Setting { grace: 0, idle: 0, life: 900 },
    Setting { grace: 0, idle: 90, life: 240 },
    // The session ends within a few grace windows.
    Setting { grace: 30, idle: 40, life: 75 },
];

/// How far apart the clocks of two processes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// They agree.
    None,
    /// The first is 2 s ahead.
    FirstAhead,
    /// The second is 2 s ahead.
    SecondAhead,
}

/// A choice among what there is.
pub type Pick = u8;

/// One of the two function processes.
pub type Process = usize;

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    /// One operation, and what the network does meanwhile.
    One(Process, Op, Fault),
    /// Two operations at once, the first through the first process, the second through the second, with their
    /// requests to DynamoDB applied in this order: runs of requests of one process, starting with the first when
    /// `true`.
    Two(Op, Op, bool, Vec<u8>),
    /// A client that refreshes so many times, with so many seconds in between, each time through the other process.
    Chain(Pick, u8, u8),
    /// A client whose answer is lost on its way, and who asks again through the other process, under the same key if it
    /// names one, when so much time has passed.
    Retry(Pick, Process, Option<Advance>, Option<Key>),
    /// A client that refreshes twice; then a thief presents its oldest token through the given process. All of them under
    /// one key, if there is one.
    Thief(Pick, Process, Theft, Option<Key>),
    /// Another device logs in through the other process, and all sessions of the user are revoked through this one, which
    /// may break off; some seconds later yet another device logs in; then the same token revokes all once more, through
    /// either process.
    Everywhere(Pick, Process, Fault, u8, Process),
    /// Time passes.
    Advance(Pick, Advance),
    /// A session's item is deleted behind the functions' back, as TTL does.
    Collect(Pick),
}

/// What happens while a thief is at work.
#[derive(Debug, Clone)]
pub enum Theft {
    /// The client presents its newest token at the same time. Whether the thief's requests come first, and the runs, as in
    /// [`Step::Two`].
    AtOnce(bool, Vec<u8>),
    /// The network fails.
    With(Fault),
}

/// What a user, client, thief or operator does.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    /// Logs in.
    Login(Pick, PasswordIs, Client, Scope),
    /// Refreshes, under an `Idempotency-Key` or without.
    Refresh(Pick, Which, Ask, Option<Key>),
    /// Revokes one session, or all sessions of its user.
    Revoke(Pick, Credential, Ask, bool),
    /// Gives the user another password.
    SetPassword(Pick),
    /// Disables the user.
    Disable(Pick),
    /// Enables the user.
    Enable(Pick),
    /// Removes the user.
    Remove(Pick),
}

/// The password that a login tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordIs {
    /// The one that is good now.
    Current,
    /// The one that the next change of the password sets, or the last one replaced.
    Other,
    /// One that nobody has.
    Wrong,
}

/// The client that logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The request names none.
    Default,
    /// One that may have `orders:read` alone.
    Narrow,
}

/// The scope that a login asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// None by name.
    All,
    /// `orders:read`.
    Read,
    /// One that the user does not have.
    Foreign,
}

/// The refresh token that is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The newest that the client has received.
    Newest,
    /// The one before.
    Previous,
    /// Any that was ever handed out, also where the answer was lost on its way.
    Any(Pick),
}

/// The token that a revocation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A refresh token.
    Refresh(Which),
    /// The session's last access token.
    Access,
}

/// What a request names besides the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Nothing.
    Plain,
    /// The session's client.
    OwnClient,
    /// A registered client that is not the session's.
    OtherClient,
    /// `orders:read`.
    Narrower,
    /// A scope that was never granted, beside one that was.
    NeverGranted,
}

/// How far the clock goes: to a moment in the life of a session, or just before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// Some seconds.
    Seconds(u8),
    /// To the end of the grace window, or a millisecond before it.
    Grace {
        /// A millisecond before.
        before: bool,
    },
    /// Past the grace window.
    PastGrace,
    /// To the moment when the newest token expires, or a millisecond before it.
    Expiry {
        /// A millisecond before.
        before: bool,
    },
    /// To the absolute end, or a millisecond before it.
    End {
        /// A millisecond before.
        before: bool,
    },
}

/// What the network and DynamoDB do to one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The answer to the request of this number is lost once, and our SDK asks again.
    LostOnce(usize),
    /// Every answer is lost, from this part of the operation on. The writes land.
    LostAlways(Part),
    /// Every request is throttled, from this part of the operation on.
    Throttled(Part),
    /// The function's answer is lost on its way to the client, which keeps the token that it has.
    Unheard,
}

/// A part of an operation that takes more than one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From its first request on.
    First,
    /// From its second part on: opening the session, ending a stolen one, ending all.
    Second,
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        10 => Just(Which::Newest),
        5 => Just(Which::Previous),
        3 => any::<Pick>().prop_map(Which::Any),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        20 => Just(Ask::Plain),
        1 => Just(Ask::OwnClient),
        2 => Just(Ask::OtherClient),
        1 => Just(Ask::Narrower),
        2 => Just(Ask::NeverGranted),
    ]
}

/// Few keys: one comes again by chance, for another token and in another session too.
fn key() -> impl Strategy<Value = Option<Key>> {
    prop_oneof![3 => Just(None), 1 => (0_u8..3).prop_map(Some)]
}

fn refresh() -> impl Strategy<Value = Op> {
    (any::<Pick>(), which(), ask(), key())
        .prop_map(|(pick, which, ask, key)| Op::Refresh(pick, which, ask, key))
}

fn newest() -> impl Strategy<Value = Op> {
    any::<Pick>().prop_map(|pick| Op::Refresh(pick, Which::Newest, Ask::Plain, None))
}

fn login() -> impl Strategy<Value = Op> {
    let password = prop_oneof![
        6 => Just(PasswordIs::Current),
        3 => Just(PasswordIs::Other),
        1 => Just(PasswordIs::Wrong),
    ];
    let client = prop_oneof![3 => Just(Client::Default), 1 => Just(Client::Narrow)];
    let scope = prop_oneof![8 => Just(Scope::All), 2 => Just(Scope::Read), 1 => Just(Scope::Foreign)];
    (any::<Pick>(), password, client, scope).prop_map(|(pick, p, c, s)| Op::Login(pick, p, c, s))
}

/// A login that succeeds, if nothing comes in between.
fn good_login() -> impl Strategy<Value = Op> {
    let password = prop_oneof![3 => Just(PasswordIs::Current), 1 => Just(PasswordIs::Other)];
    (any::<Pick>(), password).prop_map(|(pick, p)| Op::Login(pick, p, Client::Default, Scope::All))
}

fn revoke(all: impl Strategy<Value = bool>) -> impl Strategy<Value = Op> {
    let credential = prop_oneof![3 => which().prop_map(Credential::Refresh), 2 => Just(Credential::Access)];
    let ask = prop_oneof![6 => Just(Ask::Plain), 1 => Just(Ask::OwnClient), 2 => Just(Ask::OtherClient)];
    (any::<Pick>(), credential, ask, all).prop_map(|(pick, c, ask, all)| Op::Revoke(pick, c, ask, all))
}

/// What ends all sessions of a user.
fn ending() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => revoke(Just(true)),
        3 => any::<Pick>().prop_map(Op::SetPassword),
        2 => any::<Pick>().prop_map(Op::Disable),
        1 => any::<Pick>().prop_map(Op::Remove),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        26 => refresh(),
        8 => login(),
        3 => revoke(Just(false)),
        5 => ending(),
        2 => any::<Pick>().prop_map(Op::Enable),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let part = || prop_oneof![3 => Just(Part::First), 2 => Just(Part::Second)];
    prop_oneof![
        74 => Just(Fault::None),
        9 => Just(Fault::LostOnce(0)),
        3 => (1_usize..3).prop_map(Fault::LostOnce),
        4 => part().prop_map(Fault::LostAlways),
        3 => part().prop_map(Fault::Throttled),
        6 => Just(Fault::Unheard),
    ]
}

/// In which order the requests of two operations go: in runs of one operation's requests, the first one's to begin
/// with or the other's. Any order, or every now and then the one in which the two are known to be in each other's
/// way.
fn order(known: &'static [u8]) -> impl Strategy<Value = (bool, Vec<u8>)> {
    // The first part of an operation is one request or two; the rest of it, six at most.
    let run = prop_oneof![3 => Just(1_u8), 4 => Just(2_u8), 1 => Just(3_u8), 2 => Just(6_u8)];
    prop_oneof![3 => (any::<bool>(), vec(run, 0..5)), 2 => Just((true, known.to_vec()))]
}

/// A token that is perhaps used up.
fn replay() -> impl Strategy<Value = Op> {
    (any::<Pick>(), any::<Pick>())
        .prop_map(|(pick, link)| Op::Refresh(pick, Which::Any(link), Ask::Plain, None))
}

/// Two operations that may get into each other's way: most pairs of independent ones would show nothing.
fn pair() -> impl Strategy<Value = Step> {
    let presented = || (which(), key());
    let same = (any::<Pick>(), presented(), presented()).prop_map(|(pick, (one, key), (other, its))| {
        (Op::Refresh(pick, one, Ask::Plain, key), Op::Refresh(pick, other, Ask::Plain, its))
    });
    let pairs = prop_oneof![
        // A duplicated request, two tabs.
        5 => (same, order(&[1, 1])),
        // The sessions have been looked up, and one is refreshed before it is ended.
        4 => ((ending(), newest()), order(&[2, 1])),
        // The password has been read, and everything ends before the session is opened.
        4 => ((good_login(), ending()), order(&[2, 6])),
        1 => ((revoke(any::<bool>()), refresh()), order(&[1, 1])),
        // A theft is noticed, and something else ends the session before that does.
        1 => ((replay(), ending()), order(&[1, 6])),
        1 => ((ending(), ending()), order(&[2, 2])),
        2 => ((op(), op()), order(&[1, 1])),
    ];
    (pairs, any::<bool>()).prop_map(|(((one, other), (starts, runs)), swap)| {
        if swap { Step::Two(other, one, !starts, runs) } else { Step::Two(one, other, starts, runs) }
    })
}

/// Theft is noticed, and the owner refreshes before the session is ended; or the answer about its end is lost.
fn thief() -> impl Strategy<Value = Step> {
    let theft = prop_oneof![
        4 => order(&[1, 1]).prop_map(|(starts, runs)| Theft::AtOnce(starts, runs)),
        1 => (0_usize..2).prop_map(|number| Theft::With(Fault::LostOnce(number))),
        1 => prop_oneof![Just(Fault::LostAlways(Part::Second)), Just(Fault::Throttled(Part::Second))]
            .prop_map(Theft::With),
    ];
    (any::<Pick>(), 0_usize..2, theft, key())
        .prop_map(|(pick, process, theft, key)| Step::Thief(pick, process, theft, key))
}

fn advance() -> impl Strategy<Value = Advance> {
    prop_oneof![
        4 => (1_u8..25).prop_map(Advance::Seconds),
        3 => any::<bool>().prop_map(|before| Advance::Grace { before }),
        3 => Just(Advance::PastGrace),
        1 => any::<bool>().prop_map(|before| Advance::Expiry { before }),
        1 => any::<bool>().prop_map(|before| Advance::End { before }),
    ]
}

fn retry() -> impl Strategy<Value = Step> {
    let late = prop_oneof![
        2 => Just(None),
        1 => (1_u8..25).prop_map(|seconds| Some(Advance::Seconds(seconds))),
        4 => any::<bool>().prop_map(|before| Some(Advance::Grace { before })),
    ];
    (any::<Pick>(), 0_usize..2, late, key())
        .prop_map(|(pick, process, late, key)| Step::Retry(pick, process, late, key))
}

fn everywhere() -> impl Strategy<Value = Step> {
    let breaks_off = prop_oneof![
        2 => Just(Fault::None),
        1 => Just(Fault::LostAlways(Part::First)),
        2 => Just(Fault::Throttled(Part::Second)),
    ];
    // About as long as clocks may differ, by clocks that do.
    let later = prop_oneof![2 => Just(0_u8), 1 => 27_u8..34, 2 => 34_u8..70];
    (any::<Pick>(), 0_usize..2, breaks_off, later, 0_usize..2).prop_map(
        |(pick, process, breaks_off, later, again)| Step::Everywhere(pick, process, breaks_off, later, again),
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        26 => (0_usize..2, op(), fault()).prop_map(|(process, op, fault)| Step::One(process, op, fault)),
        9 => pair(),
        2 => thief(),
        2 => everywhere(),
        2 => (any::<Pick>(), 2_u8..8, 0_u8..40).prop_map(|(pick, n, apart)| Step::Chain(pick, n, apart)),
        3 => retry(),
        8 => (any::<Pick>(), advance()).prop_map(|(pick, advance)| Step::Advance(pick, advance)),
        1 => any::<Pick>().prop_map(Step::Collect),
    ]
}

/// All walks.
pub fn walks() -> impl Strategy<Value = Walk> {
    let skew = prop_oneof![2 => Just(Skew::None), 1 => Just(Skew::FirstAhead), 1 => Just(Skew::SecondAhead)];
    let setting = proptest::sample::select(&SETTINGS[..]);
    let users = prop_oneof![3 => Just(1_usize), 1 => Just(2_usize)];
    let seldom = || prop_oneof![3 => Just(false), 1 => Just(true)];
    let devices = prop_oneof![3 => Just(1_usize), 1 => Just(2_usize)];
    (setting, skew, 0_u64..1000, users, devices, vec(step(), 2..8), seldom(), seldom()).prop_map(
        |(setting, skew, fraction, users, devices, steps, oldest_first, deleted)| Walk {
            setting,
            skew,
            fraction,
            users,
            devices,
            steps,
            oldest_first,
            deleted,
        },
    )
}
