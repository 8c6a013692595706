//! Performs one walk on two function processes and compares every response with the model.

mod choose;
mod observe;
mod send;
mod stored;

use super::call::{Call, Grant, How, Key, Outcome, Place, Proof, Ruling, Seen, Why};
use super::coverage::{self, Coverage};
use super::mutants::Seeded;
use super::reference::{self, Reference, Time};
use super::turns::Turns;
use super::walk::{Advance, Fault, Op, Part, PasswordIs, Pick, Process};
use super::walk::{Setting, Skew, Step, Theft, Walk, Which};
use super::{Failure, Property, failed};
use crate::key::Key as ProofKey;
use crate::service::{PASSWORD, Service, post, quick_hash};
use aws_sdk_dynamodb::types::AttributeValue;
use data_encoding::BASE64URL_NOPAD;
use daypass_core::http::request::Request;
use daypass_core::ports::event::Event;
use daypass_core::ports::store::{StoreError, User, UserStatus};
use daypass_core::session::Session;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_testkit::Answer;
use daypass_testkit::recorder::Action;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Clock;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The passwords that users have in turn, and one that no user has.
const PASSWORDS: [&str; 3] = [PASSWORD, "another battery of correct horses", "guessed by somebody else"];
/// The secret of the trusted proxy, and one that it does not have.
const PROXY_SECRET: &str = "the-proxy-knows-this-secret-text";
const WRONG_SECRET: &str = "a-thief-made-up-this-secret-text";
/// Difference between the clocks of the two processes.
const SKEW: Duration = Duration::from_secs(2);

/// Tables that many walks share, one walk after the other.
pub struct World {
    url: String,
    base: Service,
    direct: DynamoDb,
    names: AtomicU64,
    hashes: [String; 2],
    /// Idle function processes, with the number of their uses. Starting new ones takes as long as several walks.
    idle: Mutex<Vec<(Setting, Processes, u32)>>,
}

/// Two processes of the functions, over the same tables.
type Processes = [Service; 2];

/// Uses of a process. Faults use up its SDK's budget of retries.
const USES: u32 = 16;

impl World {
    /// Tables on the DynamoDB at `url`.
    pub async fn new(url: &str) -> Self {
        let base = Service::quick(url, &[]).await;
        let direct = DynamoDb::local(url, TableNames::from(&base.bench.tables));
        let hashes = [quick_hash(PASSWORDS[0]), quick_hash(PASSWORDS[1])];
        Self { url: url.to_owned(), base, direct, names: AtomicU64::new(0), hashes, idle: Mutex::default() }
    }

    /// Performs a walk. Returns what it reached.
    ///
    /// # Errors
    /// The property that did not hold.
    pub async fn walk(&self, walk: &Walk, bug: Option<&Seeded>) -> Result<Coverage, Failure> {
        self.journey(walk, bug, false).await.1
    }

    /// As [`World::walk`]. Also returns the events of the walk, line by line, if they are wanted.
    pub async fn journey(
        &self,
        walk: &Walk,
        bug: Option<&Seeded>,
        told: bool,
    ) -> (Vec<String>, Result<Coverage, Failure>) {
        let (processes, uses) = self.processes(walk.setting).await;
        let mut journey = Journey::start(self, processes, walk, bug).await;
        journey.told = told;
        let result = journey.run(walk).await;
        let Journey { lines, functions, coverage, .. } = journey;
        // After a failure, the processes may still be busy.
        if result.is_ok() && uses < USES {
            functions.iter().for_each(|function| function.bench.recorder.mend());
            self.idle.lock().unwrap().push((walk.setting, functions, uses));
        }
        (lines, result.map(|()| coverage))
    }

    /// Two processes with this configuration and the same time, and the number of their uses including this one.
    async fn processes(&self, setting: Setting) -> (Processes, u32) {
        let at_rest = {
            let mut idle = self.idle.lock().unwrap();
            let found = idle.iter().position(|(other, ..)| *other == setting);
            found.map(|index| idle.swap_remove(index))
        };
        if let Some((_, processes, uses)) = at_rest {
            let latest =
                processes.iter().map(|process| process.clock.now().millis()).max().unwrap_or_default();
            let start = latest.div_ceil(1000) * 1000;
            for process in &processes {
                process.clock.advance(Duration::from_millis(start - process.clock.now().millis()));
                let _ = (process.journal.take(), process.bench.recorder.take());
            }
            return (processes, uses + 1);
        }
        let settings = [
            ("DAYPASS_GRACE_SECONDS", setting.grace.to_string()),
            ("DAYPASS_IDLE_SECONDS", setting.idle.to_string()),
            ("DAYPASS_REFRESH_TOKEN_SECONDS", setting.life.to_string()),
            ("DAYPASS_ACCESS_TOKEN_SECONDS", reference::ACCESS_SECONDS.to_string()),
            // The limits are so high that no attempt is throttled.
            ("DAYPASS_LOGIN_ATTEMPTS", "100".to_owned()),
            ("DAYPASS_ADDRESS_ATTEMPTS", "100".to_owned()),
            ("DAYPASS_ACCOUNT_ATTEMPTS", "100".to_owned()),
            ("DAYPASS_PROXY_SECRET", if setting.proxy { PROXY_SECRET.to_owned() } else { String::new() }),
        ];
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let process = || self.base.redeployed(&self.url, &settings);
        ([process().await, process().await], 1)
    }
}

/// The tokens that the clients of one session have received and presented.
#[derive(Debug, Default)]
struct Holder {
    /// Links that the client received, oldest first.
    received: Vec<usize>,
    /// For each link, the earliest time at which it was presented, the key if it was always the same, and whether there ever
    /// was one.
    presented: HashMap<usize, (Time, Option<Key>, bool)>,
    /// Whether a token was presented that the client would not present.
    suspect: bool,
}

struct Journey<'a> {
    world: &'a World,
    functions: [Service; 2],
    users: Vec<User>,
    /// The networks of this walk. No other walk uses up the attempts of an address.
    networks: u64,
    model: Reference,
    holders: Vec<Holder>,
    coverage: Coverage,
    /// Whether the events are wanted as lines. Writing them takes as long as a request.
    told: bool,
    lines: Vec<String>,
}

impl<'a> Journey<'a> {
    async fn start(world: &'a World, mut functions: Processes, walk: &Walk, bug: Option<&Seeded>) -> Self {
        // That of all clients, and that of a thief.
        let keys = [ProofKey::es256(), ProofKey::es256()].map(Arc::new);
        for function in &mut functions {
            function.client_keys = keys.to_vec();
        }
        let mut users = Vec::new();
        for _ in 0..walk.users {
            let name = format!("user-{}", world.names.fetch_add(1, Ordering::Relaxed));
            users.push(functions[0].user_with_hash(&name, &world.hashes[0]).await);
        }
        for (process, function) in functions.iter().enumerate() {
            let ahead = match walk.skew {
                Skew::None => false,
                Skew::FirstAhead => process == 0,
                Skew::SecondAhead => process == 1,
            };
            function.clock.advance(Duration::from_millis(walk.fraction) + SKEW * u32::from(ahead));
            if let Some(bug) = bug {
                function.bench.recorder.set_tamper(bug.clone());
            }
        }
        let mut coverage = Coverage { cases: 1, ..Coverage::default() };
        coverage.skewed += u64::from(walk.skew != Skew::None);
        Self {
            world,
            functions,
            users,
            networks: world.names.fetch_add(1, Ordering::Relaxed),
            model: Reference::new(walk.setting, walk.users),
            holders: Vec::new(),
            coverage,
            told: false,
            lines: vec![format!("{:?}, clocks: {:?}, {} users", walk.setting, walk.skew, walk.users)],
        }
    }

    async fn run(&mut self, walk: &Walk) -> Result<(), Failure> {
        for user in (0..walk.users).flat_map(|user| std::iter::repeat_n(user, walk.devices)) {
            let login = Call::Login { user, password: 0, client: None, scope: None };
            self.single(0, login, Fault::None).await?;
        }
        for step in &walk.steps {
            match step {
                Step::One(process, op, fault) => {
                    if let Some(call) = self.resolve(*op) {
                        self.single(*process, call, *fault).await?;
                    }
                }
                Step::Two(one, other, first, runs) => {
                    if let (Some(one), Some(other)) = (self.resolve(*one), self.resolve(*other))
                        && one.can_meet(&other)
                    {
                        self.pair([one, other], *first, runs).await?;
                    }
                }
                Step::Change(pick, process, fault, again) => {
                    if let Some(call) = self.resolve(Op::Change(*pick, PasswordIs::Current)) {
                        self.single(*process, call.clone(), *fault).await?;
                        if *again {
                            self.single(1 - process, call, Fault::None).await?;
                        }
                    }
                }
                Step::Forged(process, op, wrong_secret) => {
                    if let Some(call) = self.resolve(*op).filter(|_| walk.setting.proxy) {
                        let call = Call::Forged { call: Box::new(call), wrong_secret: *wrong_secret };
                        self.single(*process, call, Fault::None).await?;
                    }
                }
                Step::Chain(pick, count, apart) => self.chain(*pick, *count, *apart).await?,
                Step::Retry(pick, process, late, key) => self.retry(*pick, *process, *late, *key).await?,
                Step::Thief(pick, process, theft, key) => {
                    self.thief(*pick, *process, theft, *key).await?;
                }
                Step::Everywhere(pick, process, fault, later, again) => {
                    self.everywhere(*pick, *process, *fault, *later, *again).await?;
                }
                Step::Advance(pick, advance) => self.advance(*pick, *advance),
                Step::Collect(pick) => {
                    if let Some(session) = self.pick(*pick) {
                        self.collect(session).await;
                        self.coverage.collected += 1;
                    }
                }
            }
        }
        self.check_stored().await?;
        self.last_rounds(walk).await
    }

    // The clock.

    fn now(&self, process: Process) -> Time {
        self.functions[process].clock.now().millis()
    }

    fn pass(&mut self, time: Duration) {
        self.functions.iter().for_each(|function| function.clock.advance(time));
        self.coverage.advances += 1;
        if self.told {
            self.lines.push(format!("{time:?} pass"));
        }
    }

    fn advance(&mut self, pick: Pick, advance: Advance) {
        let now = self.now(0);
        let until = |to: Option<Time>, before: bool| {
            let to = to.map(|to| to - u64::from(before)).filter(|to| *to > now);
            Duration::from_millis(to.map_or(1_000, |to| to - now))
        };
        let session = self.pick(pick);
        let chain = session.map(|session| &self.model.chains[session]);
        let grace_end = session.and_then(|session| self.model.grace_end(session));
        let time = match advance {
            Advance::Seconds(seconds) => Duration::from_secs(seconds.into()),
            Advance::Grace { before } => until(grace_end, before),
            Advance::PastGrace => until(grace_end, false) + Duration::from_secs(3),
            Advance::Expiry { before } => until(chain.map(reference::chain::Chain::expires), before),
            Advance::End { before } => until(chain.map(|chain| chain.absolute_end), before),
        };
        self.pass(time);
    }

    // The steps.

    /// A client that refreshes several times.
    async fn chain(&mut self, pick: Pick, count: u8, apart: u8) -> Result<(), Failure> {
        let Some(session) = self.pick(pick) else { return Ok(()) };
        for turn in 0..count {
            let Some(link) = self.link(session, Which::Newest) else { return Ok(()) };
            let call = Call::refresh(session, link, None);
            self.single(usize::from(turn % 2), call, Fault::None).await?;
            self.pass(Duration::from_secs(apart.into()));
        }
        Ok(())
    }

    /// A thief with the oldest token of a client that refreshes twice.
    async fn thief(
        &mut self,
        pick: Pick,
        process: Process,
        theft: &Theft,
        key: Option<Key>,
    ) -> Result<(), Failure> {
        let Some(session) = self.pick(pick) else { return Ok(()) };
        let refresh = |link| Call::refresh(session, link, key);
        let stolen = |link| {
            let proof = Proof::Own;
            Call::Refresh { session, link, client: None, scope: None, key, place: 1, proof }
        };
        for process in [0, 1] {
            if let Some(newest) = self.link(session, Which::Newest) {
                self.single(process, refresh(newest), Fault::None).await?;
            }
        }
        let newest = self.link(session, Which::Newest);
        let (Some(oldest), Some(newest)) = (self.known(session).first().copied(), newest) else {
            return Ok(());
        };
        match theft {
            Theft::With(fault) => self.single(process, stolen(oldest), *fault).await,
            Theft::AtOnce(starts, runs) => {
                let (thief, own) = (stolen(oldest), refresh(newest));
                // The first call of a pair goes through the first process.
                let (calls, first) =
                    if process == 0 { ([thief, own], *starts) } else { ([own, thief], !starts) };
                self.pair(calls, first, runs).await
            }
        }
    }

    /// A client that received no response.
    async fn retry(
        &mut self,
        pick: Pick,
        process: Process,
        late: Option<Advance>,
        key: Option<Key>,
    ) -> Result<(), Failure> {
        let Some(session) = self.pick(pick) else { return Ok(()) };
        let Some(link) = self.link(session, Which::Newest) else { return Ok(()) };
        let call = Call::refresh(session, link, key);
        self.single(process, call.clone(), Fault::Unheard).await?;
        if let Some(late) = late {
            self.advance(pick, late);
        }
        self.single(1 - process, call, Fault::None).await
    }

    /// A user who logs out everywhere and logs in again, and the old token, which requests it once more.
    async fn everywhere(
        &mut self,
        pick: Pick,
        process: Process,
        fault: Fault,
        later: u8,
        again: Process,
    ) -> Result<(), Failure> {
        let Some(session) = self.pick(pick) else { return Ok(()) };
        let Some(link) = self.link(session, Which::Newest) else { return Ok(()) };
        let user = self.model.chains[session].user;
        let password = self.model.users[user].password;
        let login = Call::Login { user, password, client: None, scope: None };
        let all = Call::Revoke { session, link, access: false, client: None, all: true };
        self.single(1 - process, login.clone(), Fault::None).await?;
        self.single(process, all.clone(), fault).await?;
        self.pass(Duration::from_secs(later.into()));
        self.single(1 - process, login, Fault::None).await?;
        self.single(again, all, Fault::None).await
    }

    async fn single(&mut self, process: Process, call: Call, fault: Fault) -> Result<(), Failure> {
        let now = self.now(process);
        let honest = self.present(&call, now);
        if let Some(fault) = coverage::fault_name(fault) {
            *self.coverage.faults.entry(fault).or_default() += 1;
        }
        self.disturb(process, &call, fault);
        let seen = self.perform(process, &call).await;
        self.functions[process].bench.recorder.always(Action::Pass);
        let kind = self.kind(&call);
        let before = self.model.chains.clone();
        let outcome = self.model.apply(&call, now, fault);
        if self.told {
            self.lines.push(format!(
                "{}{call:?}, {fault:?}\n      model {outcome:?}\n      got   {:?}",
                name(process),
                seen
            ));
        }
        let told = self.told();
        self.grow();
        self.model
            .compare(&outcome.ruling, &seen, now, &call, honest)
            .map_err(|failure| failure.of(&call))?;
        let (thefts, elsewhere) = (outcome.thefts, outcome.elsewhere);
        self.expect_told(&told, thefts, elsewhere).map_err(|failure| failure.of(&call))?;
        self.tally(kind, &call, &before, &outcome);
        self.accept(process, &outcome.ruling, &seen, fault != Fault::Unheard)?;
        if outcome.ruling == Ruling::Refused(Why::Theft)
            && let Call::Refresh { session, .. } = call
            && let Some(link) = self.known(session).last().copied()
        {
            // The newest token is rejected at once too.
            let newest = Call::refresh(session, link, None);
            Box::pin(self.single(1 - process, newest, Fault::None)).await?;
        }
        Ok(())
    }

    async fn pair(&mut self, calls: [Call; 2], first: bool, runs: &[u8]) -> Result<(), Failure> {
        let times = [self.now(0), self.now(1)];
        // A call is honest only if it is honest in both orders.
        let honest = [
            self.present(&calls[0], times[0]),
            self.present(&calls[1], times[1]),
            self.present(&calls[0], times[0]),
        ];
        let turns = Turns::new(first, runs);
        for (process, function) in self.functions.iter().enumerate() {
            function.bench.recorder.set_gate(turns.gate(process));
        }
        let one = async |process: Process| {
            let seen = self.perform(process, &calls[process]).await;
            turns.finish(process);
            seen
        };
        let seen: [Seen; 2] = tokio::join!(one(0), one(1)).into();
        self.functions.iter().for_each(|function| function.bench.recorder.open_gate());
        let kinds = [self.kind(&calls[0]), self.kind(&calls[1])];
        if self.told {
            self.lines.push(format!(
            "{}{:?}\n  {}{:?}\n      at once, requests in the order {}\n      got   {:?}\n      got   {:?}",
            name(0),
            calls[0],
            name(1),
            calls[1],
            turns.taken(),
            seen[0],
            seen[1]
        ));
        }
        let told = self.told();
        let mut why = Vec::new();
        let mut stored = None;
        for (mut after, outcomes, order) in self.model.both([(&calls[0], times[0]), (&calls[1], times[1])]) {
            let mut fits = Ok(());
            // In the order of the calls. Their real order does not matter, because a token is stored at the link that the
            // order determined.
            for process in [0, 1] {
                let (ruling, honest) = (&outcomes[process].ruling, honest[process] && honest[2]);
                let fit = after.compare(ruling, &seen[process], times[process], &calls[process], honest);
                fits = fits.and(fit);
            }
            let thefts = outcomes[0].thefts + outcomes[1].thefts;
            let elsewhere = outcomes[0].elsewhere + outcomes[1].elsewhere;
            fits = fits.and_then(|()| told.counts(thefts, elsewhere));
            if fits.is_ok() {
                let items = match &stored {
                    Some(items) => items,
                    None => stored.insert(self.stored().await?),
                };
                fits = stored::adopt(&mut after, &self.users, items);
            }
            match fits {
                Ok(()) => {
                    let was = std::mem::replace(&mut self.model, after).chains;
                    self.grow();
                    *self.coverage.pairs.entry(order).or_default() += 1;
                    let interleaving = format!("{} + {}: {}", kinds[0], kinds[1], turns.taken());
                    self.coverage.interleavings.insert(interleaving);
                    self.expect_told(&told, thefts, elsewhere)?;
                    for process in [0, 1] {
                        self.tally(kinds[process], &calls[process], &was, &outcomes[process]);
                        self.accept(process, &outcomes[process].ruling, &seen[process], true)?;
                    }
                    return Ok(());
                }
                Err(failure) => why.push((order, failure)),
            }
        }
        self.grow();
        let mut text = String::new();
        for (order, failure) in &why {
            let _ = write!(text, "\n      not {order}: {failure}");
        }
        // If both orders fail for the same property, this property is violated. Otherwise it is a race.
        let property = why[0].1.property;
        let same = why.iter().all(|(_, failure)| failure.property == property);
        let property = if same && property != Property::Stored { property } else { Property::Race };
        failed(property, format!("{calls:?}{text}"))
    }

    /// Records which token is presented. Returns whether the client of the session would present it.
    fn present(&mut self, call: &Call, now: Time) -> bool {
        let Call::Refresh { session, link, key, .. } = *call else { return true };
        let holder = &mut self.holders[session];
        let first = holder.presented.get(&link).copied();
        // Within the grace period, or later with the key of all earlier requests.
        let in_time = |(first, before, named): (Time, Option<Key>, bool)| {
            now.saturating_sub(first) < self.model.grace(named) || (key.is_some() && key == before)
        };
        let newest = holder.received.last().copied();
        let previous = holder.received.len().checked_sub(2).map(|at| holder.received[at]);
        let honest = if newest == Some(link) {
            // For the first time, or again in time because no response came.
            first.is_none_or(in_time)
        } else {
            previous == Some(link)
                && newest.is_some_and(|newest| !holder.presented.contains_key(&newest))
                && first.is_some_and(in_time)
        };
        holder.suspect |= !honest;
        let (first, before, named) = holder.presented.entry(link).or_insert((now, key, key.is_some()));
        *first = now.min(*first);
        *before = before.filter(|before| key == Some(*before));
        *named |= key.is_some();
        !holder.suspect
    }

    /// Adds an entry for each new session.
    fn grow(&mut self) {
        self.holders.resize_with(self.model.chains.len(), Holder::default);
    }

    /// Prepares the fault.
    fn disturb(&self, process: Process, call: &Call, fault: Fault) {
        let recorder = &self.functions[process].bench.recorder;
        let always = |part: Part, action: Action| {
            let refresh = matches!(call, Call::Refresh { .. });
            let second = AtomicBool::new(false);
            recorder.set_hook(move |request| {
                let update = request.request["UpdateExpression"].as_str().unwrap_or_default();
                if matches!(request.operation, "TransactWriteItems" | "Query")
                    || (refresh && update.contains("revoked_why"))
                {
                    second.store(true, Ordering::SeqCst);
                }
                let now = part == Part::First || second.load(Ordering::SeqCst);
                if now { action.clone() } else { Action::Pass }
            });
        };
        match fault {
            Fault::None | Fault::Unheard => {}
            Fault::LostOnce(number) => {
                let count = AtomicUsize::new(0);
                recorder.set_hook(move |_| {
                    let lost = count.fetch_add(1, Ordering::SeqCst) == number;
                    if lost { Action::DropAnswer } else { Action::Pass }
                });
            }
            Fault::LostAlways(part) => always(part, Action::DropAnswer),
            Fault::Throttled(Part::First) => {
                always(Part::First, Action::refuse(400, "ThrottlingException"));
            }
            Fault::Throttled(Part::Second) => {
                always(Part::Second, Action::refuse(400, "ProvisionedThroughputExceededException"));
            }
        }
    }
}

/// The claims of an access token, without verification.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let bytes = BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn name(process: Process) -> &'static str {
    if process == 0 { "A: " } else { "B: " }
}
