//! A walk: actions of users, clients, thieves, operators, the network and the clock, one after the other or two at once.
//!
//! A walk does not name tokens. A step selects among the tokens that exist at its turn, so a walk stays meaningful when
//! proptest removes steps.

use super::call::{Key, Place};
use proptest::collection::vec;
use proptest::prelude::*;

/// One walk with its setting.
#[derive(Debug, Clone)]
pub struct Walk {
    /// Configuration of the functions.
    pub setting: Setting,
    /// Difference between the clocks of the two processes.
    pub skew: Skew,
    /// Milliseconds of the start time.
    pub fraction: u64,
    /// Number of users, 1 or 2.
    pub users: usize,
    /// Number of sessions of each user at the start.
    pub devices: usize,
    /// Steps in their order.
    pub steps: Vec<Step>,
    /// Whether the last round presents old tokens before the newest.
    pub oldest_first: bool,
    /// Whether there is another round after the items were deleted.
    pub deleted: bool,
}

/// A configuration of the functions, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// Grace period of a rotation.
    pub grace: u64,
    /// Idle limit; 0 for none.
    pub idle: u64,
    /// Lifetime of a session.
    pub life: u64,
    /// Whether a trusted proxy stands in front.
    pub proxy: bool,
}

/// The configurations of the walks.
pub const SETTINGS: [Setting; 6] = [
    Setting { grace: 30, idle: 0, life: 3600, proxy: false },
    Setting { grace: 30, idle: 120, life: 600, proxy: false },
    Setting { grace: 0, idle: 0, life: 900, proxy: false },
    Setting { grace: 0, idle: 90, life: 240, proxy: false },
    // The session ends within a few grace periods.
    Setting { grace: 30, idle: 40, life: 75, proxy: false },
    Setting { grace: 30, idle: 0, life: 3600, proxy: true },
];

/// The configurations of the walks around the account: with an idle limit, and with a proxy.
const ACCOUNT_SETTINGS: [Setting; 2] = [SETTINGS[1], SETTINGS[5]];

/// Difference between the clocks of the two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// Both clocks agree.
    None,
    /// The first clock is 2 s ahead.
    FirstAhead,
    /// The second clock is 2 s ahead.
    SecondAhead,
}

/// A selection among the existing users, sessions or tokens.
pub type Pick = u8;

/// Index of one of the two function processes.
pub type Process = usize;

/// One step of a walk.
#[derive(Debug, Clone)]
pub enum Step {
    /// One operation, with a fault of the network.
    One(Process, Op, Fault),
    /// Two simultaneous operations, one in each process. Their requests to DynamoDB are applied in this order, given as the
    /// lengths of runs of requests of one process. The first process begins if the flag is `true`.
    Two(Op, Op, bool, Vec<u8>),
    /// A client that refreshes this number of times, with this number of seconds in between, alternating between the
    /// processes.
    Chain(Pick, u8, u8),
    /// A client whose response is lost. After some time, it retries through the other process, with the same key if it uses
    /// one.
    Retry(Pick, Process, Option<Advance>, Option<Key>),
    /// A client that refreshes twice. Then a thief presents its oldest token through the given process. All of them use the
    /// same key, if there is one.
    Thief(Pick, Process, Theft, Option<Key>),
    /// Another device logs in through the other process. All sessions of the user are revoked through this one, perhaps
    /// with an interruption. Some seconds later, another device logs in, and the same token revokes all sessions once more,
    /// through either process.
    Everywhere(Pick, Process, Fault, u8, Process),
    /// A user who changes the password, and another time with the same request, through the other process. Contains whether
    /// there is a second time.
    Change(Pick, Process, Fault, bool),
    /// An operation beside the trusted proxy. Contains whether the request has a secret, which is wrong.
    Forged(Process, Op, bool),
    /// The clock is advanced.
    Advance(Pick, Advance),
    /// The item of a session is deleted, as TTL does.
    Collect(Pick),
}

/// What happens together with a theft.
#[derive(Debug, Clone)]
pub enum Theft {
    /// The client presents its newest token at the same time. Contains whether the thief's requests come first, and the
    /// lengths of the runs, as in [`Step::Two`].
    AtOnce(bool, Vec<u8>),
    /// The network fails.
    With(Fault),
}

/// An operation of a user, client, thief or operator.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    /// A login of a user.
    Login(Pick, PasswordIs, Client, Scope),
    /// A refresh, with or without an `Idempotency-Key`, from a network.
    Refresh(Pick, Which, Ask, Option<Key>, Place),
    /// A revocation of one session, or of all sessions of its user.
    Revoke(Pick, Credential, Ask, bool),
    /// A user changes the password.
    Change(Pick, PasswordIs),
    /// An operator sets the scope of the user.
    SetScope(Pick, &'static str),
    /// An operator sets the claim `tenant` of the user; empty for no claims.
    SetClaims(Pick, &'static str),
    /// An operator sets another password.
    SetPassword(Pick),
    /// An operator disables the user.
    Disable(Pick),
    /// An operator enables the user.
    Enable(Pick),
    /// An operator removes the user.
    Remove(Pick),
}

/// The password of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordIs {
    /// The current password.
    Current,
    /// The password that the next change sets, or the one before the last change.
    Other,
    /// A password that no user has.
    Wrong,
}

/// The client of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The default client, because the request names none.
    Default,
    /// The client with the scope `orders:read`.
    Narrow,
}

/// The scope of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole scope, because the request names none.
    All,
    /// The scope `orders:read`.
    Read,
    /// A scope that the user does not have.
    Foreign,
}

/// The presented refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The newest one that the client has received.
    Newest,
    /// The one before the newest.
    Previous,
    /// Any one that was issued, also if its response was lost.
    Any(Pick),
}

/// The token of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A refresh token.
    Refresh(Which),
    /// The last access token of the session.
    Access,
}

/// Parameters of a request beside the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// The request has no parameters.
    Plain,
    /// The client of the session.
    OwnClient,
    /// A registered client that is not that of the session.
    OtherClient,
    /// The scope `orders:read`.
    Narrower,
    /// A scope that was never granted, together with one that was.
    NeverGranted,
    /// No proof, where the session is bound to a key.
    NoProof,
    /// A proof of another key, where the session is bound to one.
    OtherKey,
}

/// The target of the clock: a time in the life of a session, or just before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// This number of seconds later.
    Seconds(u8),
    /// The end of the grace period.
    Grace {
        /// Whether a millisecond before it.
        before: bool,
    },
    /// A time after the grace period.
    PastGrace,
    /// The expiry of the newest token.
    Expiry {
        /// Whether a millisecond before it.
        before: bool,
    },
    /// The absolute end.
    End {
        /// Whether a millisecond before it.
        before: bool,
    },
}

/// A fault of the network or of DynamoDB during one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every request is answered.
    None,
    /// The response to the request with this number is lost once, and the SDK repeats the request.
    LostOnce(usize),
    /// All responses are lost from this part of the operation on. The writes are applied.
    LostAlways(Part),
    /// All requests are throttled from this part of the operation on.
    Throttled(Part),
    /// The response of the function is lost, and the client keeps its old token.
    Unheard,
}

/// A part of an operation that sends several requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From the first request on.
    First,
    /// From the second part on: opening the session, ending a stolen one, ending all sessions.
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
        1 => Just(Ask::NoProof),
        2 => Just(Ask::OtherKey),
    ]
}

/// Few different keys, so that a key is reused by chance, also for another token and in another session.
fn key() -> impl Strategy<Value = Option<Key>> {
    prop_oneof![3 => Just(None), 1 => (0_u8..3).prop_map(Some)]
}

fn refresh() -> impl Strategy<Value = Op> {
    (any::<Pick>(), which(), ask(), key())
        .prop_map(|(pick, which, ask, key)| Op::Refresh(pick, which, ask, key, 0))
}

fn newest() -> impl Strategy<Value = Op> {
    any::<Pick>().prop_map(|pick| Op::Refresh(pick, Which::Newest, Ask::Plain, None, 0))
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

/// A login that succeeds, unless another operation prevents it.
fn good_login() -> impl Strategy<Value = Op> {
    let password = prop_oneof![3 => Just(PasswordIs::Current), 1 => Just(PasswordIs::Other)];
    (any::<Pick>(), password).prop_map(|(pick, p)| Op::Login(pick, p, Client::Default, Scope::All))
}

fn revoke(all: impl Strategy<Value = bool>) -> impl Strategy<Value = Op> {
    let credential = prop_oneof![3 => which().prop_map(Credential::Refresh), 2 => Just(Credential::Access)];
    let ask = prop_oneof![6 => Just(Ask::Plain), 1 => Just(Ask::OwnClient), 2 => Just(Ask::OtherClient)];
    (any::<Pick>(), credential, ask, all).prop_map(|(pick, c, ask, all)| Op::Revoke(pick, c, ask, all))
}

/// An operation that ends all sessions of a user.
fn ending() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => revoke(Just(true)),
        3 => any::<Pick>().prop_map(Op::SetPassword),
        2 => any::<Pick>().prop_map(Op::Disable),
        1 => any::<Pick>().prop_map(Op::Remove),
    ]
}

/// The scopes of a user. The sessions of the narrow client end with one of them.
fn set_scope() -> impl Strategy<Value = Op> {
    let scope = proptest::sample::select(&["orders:read", "orders:write", "orders:read orders:write"][..]);
    (any::<Pick>(), scope).prop_map(|(pick, scope)| Op::SetScope(pick, scope))
}

fn set_claims() -> impl Strategy<Value = Op> {
    (any::<Pick>(), proptest::sample::select(&["acme", "other", ""][..]))
        .prop_map(|(pick, tenant)| Op::SetClaims(pick, tenant))
}

/// A change that live sessions follow.
fn set_attributes() -> impl Strategy<Value = Op> {
    prop_oneof![3 => set_scope(), 2 => set_claims()]
}

fn change() -> impl Strategy<Value = Op> {
    let password = prop_oneof![
        2 => Just(PasswordIs::Current),
        1 => Just(PasswordIs::Other),
        1 => Just(PasswordIs::Wrong),
    ];
    (any::<Pick>(), password).prop_map(|(pick, password)| Op::Change(pick, password))
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

/// A refresh from the network of the owner or from another one.
fn refresh_from() -> impl Strategy<Value = Op> {
    let which = prop_oneof![3 => Just(Which::Newest), 3 => Just(Which::Previous)];
    (any::<Pick>(), which, key(), 0_u8..2)
        .prop_map(|(pick, which, key, place)| Op::Refresh(pick, which, Ask::Plain, key, place))
}

/// An operation of a client, and not of an operator.
fn request() -> impl Strategy<Value = Op> {
    prop_oneof![3 => refresh_from(), 2 => login(), 1 => revoke(any::<bool>()), 2 => change()]
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

/// The order of the requests of two operations: runs of requests of one operation, beginning with either. Mostly any order,
/// and sometimes one that is known to be critical.
fn order(known: &'static [u8]) -> impl Strategy<Value = (bool, Vec<u8>)> {
    // The first part of an operation has one or two requests. The rest has at most six.
    let run = prop_oneof![3 => Just(1_u8), 4 => Just(2_u8), 1 => Just(3_u8), 2 => Just(6_u8)];
    prop_oneof![3 => (any::<bool>(), vec(run, 0..5)), 2 => Just((true, known.to_vec()))]
}

/// A refresh with a token that may be used already.
fn replay() -> impl Strategy<Value = Op> {
    (any::<Pick>(), any::<Pick>())
        .prop_map(|(pick, link)| Op::Refresh(pick, Which::Any(link), Ask::Plain, None, 1))
}

/// Two operations that can affect each other. Most pairs of random operations would be independent.
fn pair() -> impl Strategy<Value = Step> {
    let presented = || (which(), key());
    let same = (any::<Pick>(), presented(), presented()).prop_map(|(pick, (one, key), (other, its))| {
        (Op::Refresh(pick, one, Ask::Plain, key, 0), Op::Refresh(pick, other, Ask::Plain, its, 1))
    });
    let pairs = prop_oneof![
        // A duplicated request, or two tabs.
        5 => (same, order(&[1, 1])),
        // The query has found the sessions, and one of them is refreshed before it is ended.
        4 => ((ending(), newest()), order(&[2, 1])),
        // The password has been read, and all sessions end before the login opens its own.
        4 => ((good_login(), ending()), order(&[2, 6])),
        1 => ((revoke(any::<bool>()), refresh()), order(&[1, 1])),
        // A theft is detected, and another operation ends the session first.
        1 => ((replay(), ending()), order(&[1, 6])),
        1 => ((ending(), ending()), order(&[2, 2])),
        2 => ((op(), op()), order(&[1, 1])),
    ];
    (pairs, any::<bool>()).prop_map(|(((one, other), (starts, runs)), swap)| {
        if swap { Step::Two(other, one, !starts, runs) } else { Step::Two(one, other, starts, runs) }
    })
}

/// A theft is detected, and the owner refreshes before the session ends, or the response to the ending is lost.
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
    // Near the permitted difference between clocks, by clocks that differ.
    let later = prop_oneof![2 => Just(0_u8), 1 => 27_u8..34, 2 => 34_u8..70];
    (any::<Pick>(), 0_usize..2, breaks_off, later, 0_usize..2).prop_map(
        |(pick, process, breaks_off, later, again)| Step::Everywhere(pick, process, breaks_off, later, again),
    )
}

/// A change that breaks off before or after the new password is stored, or whose response is lost, and its repeat.
fn changed() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        3 => Just(Fault::None),
        3 => Just(Fault::Unheard),
        2 => (0_usize..12).prop_map(Fault::LostOnce),
        1 => Just(Fault::Throttled(Part::First)),
        2 => prop_oneof![Just(Fault::LostAlways(Part::Second)), Just(Fault::Throttled(Part::Second))],
    ];
    (any::<Pick>(), 0_usize..2, fault, any::<bool>())
        .prop_map(|(pick, process, fault, again)| Step::Change(pick, process, fault, again))
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

/// A step around the account: changes of the password, scopes of a user, and requests through a proxy or beside it.
fn account_step() -> impl Strategy<Value = Step> {
    // The user has been read, and loses scope or gets other claims before the login opens its session.
    let overtaken = (good_login(), set_attributes(), order(&[2, 6]))
        .prop_map(|(login, set, (starts, runs))| Step::Two(login, set, starts, runs));
    let meets = (prop_oneof![request(), refresh()], set_attributes(), order(&[1, 1]))
        .prop_map(|(one, set, (starts, runs))| Step::Two(one, set, starts, runs));
    prop_oneof![
        6 => (0_usize..2, request(), fault()).prop_map(|(process, op, fault)| Step::One(process, op, fault)),
        4 => (0_usize..2, set_attributes(), fault()).prop_map(|(process, op, fault)| Step::One(process, op, fault)),
        4 => changed(),
        2 => (0_usize..2, request(), any::<bool>())
            .prop_map(|(process, op, wrong)| Step::Forged(process, op, wrong)),
        2 => overtaken,
        2 => meets,
        6 => step(),
    ]
}

/// The two kinds of walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Logins, refreshes, thefts and endings.
    Sessions,
    /// The same with changes of the account, half of them behind a proxy.
    Accounts,
}

/// Walks of this kind.
pub fn walks(kind: Kind) -> BoxedStrategy<Walk> {
    match kind {
        Kind::Sessions => walks_of(&SETTINGS[..5], step()).boxed(),
        Kind::Accounts => walks_of(&ACCOUNT_SETTINGS, account_step()).boxed(),
    }
}

fn walks_of(settings: &'static [Setting], step: impl Strategy<Value = Step>) -> impl Strategy<Value = Walk> {
    let skew = prop_oneof![2 => Just(Skew::None), 1 => Just(Skew::FirstAhead), 1 => Just(Skew::SecondAhead)];
    let setting = proptest::sample::select(settings);
    let users = prop_oneof![3 => Just(1_usize), 1 => Just(2_usize)];
    let seldom = || prop_oneof![3 => Just(false), 1 => Just(true)];
    let devices = prop_oneof![3 => Just(1_usize), 1 => Just(2_usize)];
    (setting, skew, 0_u64..1000, users, devices, vec(step, 2..8), seldom(), seldom()).prop_map(
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
