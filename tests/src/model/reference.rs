//! The reference model: the behaviour that clients may rely on.
//!
//! A session is a **chain** of refresh tokens. The last link is the current token: presenting it adds a link. The link
//! before it gets the last link again, within the grace period or with the key that made the last link. A last link that was
//! made with a key has a grace period of at most 5 s. Once the last link
//! is used, another link is the last one, so both cases end by themselves. Any other link means theft and ends the chain.
//! The model has no generations, attempts or conditions.
//!
//! A user who **changes the password** gets a new chain in place of the old one, which ends like all others. A repeat of the request
//! gets the first link of the new chain again, until that is used.
//!
//! **Two simultaneous operations** have the outcome of one of their two orders, with five exceptions:
//! - A login can check a password that a simultaneous change has just set. It may succeed, and the change may still end its
//!   session.
//! - A login whose user gets another scope or other claims meanwhile may be rejected.
//! - Two removals of one user may both report success, because a removal disables the user first and deletes the item last.
//! - If two operations end all sessions of a user, each session has the reason of either of them.
//! - A theft that was detected while the session was live is reported, even if another ending comes first.
//!
//! **Accepted behaviour**, which is no bug:
//! - If all responses to a rotation are lost, a retry after the grace period looks like theft.
//! - If the ending after a theft gets no response, the theft is reported at once. If the session did not end, the next
//!   replay reports it again: rather twice than never.

mod account;
pub mod chain;

use super::call::{Call, Grant, How, Key, Outcome, Place, Proof, Ruling, Seen, Why};
use super::{Failure, Property, failed};
use crate::model::walk::{Fault, Part, Setting};
use chain::{Access, Chain, Link};
use std::collections::BTreeSet;

/// Milliseconds since the epoch.
pub type Time = u64;

/// Lifetime of an access token in seconds, as the functions are configured.
pub const ACCESS_SECONDS: u64 = 300;
/// Time after its expiry for which an access token is still accepted, because clocks differ.
const ACCESS_LEEWAY: Time = 30_000;
/// Permitted difference between the clocks of two processes. An operation that ends all sessions also ends those that are
/// expired or too young only by its own clock.
pub const CLOCK_SKEW: Time = 30_000;
/// Time for which a change of the password can be repeated.
const REPEATED_WITHIN: Time = 15 * 60_000;
/// Longest grace period of a link that was made with a key.
const GRACE_WITH_A_KEY: Time = 5_000;
/// The scope of a new user.
const GRANTED: [&str; 2] = ["orders:read", "orders:write"];
/// A client with a restricted scope, and this scope.
pub const NARROW: (&str, &str) = ("narrow", "orders:read");
/// The client of a request that names none.
pub const DEFAULT_CLIENT: &str = "web";

/// Whether the client of this user sends DPoP proofs, so that all sessions of the user are bound to its key.
#[must_use]
pub const fn is_bound(user: usize) -> bool {
    user.is_multiple_of(2)
}

/// State of a user.
#[derive(Debug, Clone)]
pub struct Person {
    /// Whether the user was not removed.
    pub exists: bool,
    /// Whether the user may log in.
    pub enabled: bool,
    /// Index of the current password.
    pub password: usize,
    /// Scope of the user.
    pub scope: BTreeSet<&'static str>,
    /// Claim `tenant` of the user; empty without it.
    pub tenant: &'static str,
    /// Index of the session that changed the password last; `None` if an operator did.
    pub changed_by: Option<usize>,
    /// Time of the last change of the user.
    pub updated_at: Time,
}

/// Meaning of a presented token.
enum Meaning {
    Rotate,
    Again(How),
    Theft,
    Scope,
    No(Why),
}

/// State of the model.
#[derive(Debug, Clone)]
pub struct Reference {
    grace: Time,
    idle: Option<Time>,
    life: Time,
    /// Whether a trusted proxy tells the networks of requests.
    pub proxy: bool,
    /// Users, by index.
    pub users: Vec<Person>,
    /// Sessions in the order of their logins.
    pub chains: Vec<Chain>,
}

impl Reference {
    /// A model with this number of users and without sessions.
    #[must_use]
    pub fn new(setting: Setting, users: usize) -> Self {
        Self {
            grace: setting.grace * 1000,
            idle: (setting.idle > 0).then_some(setting.idle * 1000),
            life: setting.life * 1000,
            proxy: setting.proxy,
            users: vec![
                Person {
                    exists: true,
                    enabled: true,
                    password: 0,
                    scope: GRANTED.into(),
                    tenant: "",
                    changed_by: None,
                    updated_at: 0,
                };
                users
            ],
            chains: Vec::new(),
        }
    }

    /// End of the grace period of the last rotation.
    #[must_use]
    pub fn grace_end(&self, session: usize) -> Option<Time> {
        let chain = &self.chains[session];
        chain.rotated_at.map(|at| at + self.grace(chain.made_under.is_some()))
    }

    /// The grace period of a rotation with or without a key.
    #[must_use]
    pub fn grace(&self, with_a_key: bool) -> Time {
        if with_a_key { self.grace.min(GRACE_WITH_A_KEY) } else { self.grace }
    }

    /// Expiry of a token that is issued now.
    fn expiry(&self, now: Time, absolute_end: Time) -> Time {
        self.idle.map_or(absolute_end, |idle| whole_seconds(now + idle).min(absolute_end))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one call")]
    fn meaning(
        &self,
        session: usize,
        link: usize,
        client: Option<&str>,
        scope: Option<&str>,
        key: Option<Key>,
        proof: Proof,
        now: Time,
    ) -> Meaning {
        let chain = &self.chains[session];
        if now >= chain.links[link].expires {
            return Meaning::No(Why::TokenExpired);
        }
        if chain.gone {
            return Meaning::No(Why::Absent);
        }
        if !chain.ended.is_empty() {
            return Meaning::No(Why::Ended);
        }
        if client.is_some_and(|client| client != chain.client) {
            return Meaning::No(Why::OtherClient);
        }
        if is_bound(chain.user) && proof != Proof::Own {
            return Meaning::No(Why::OtherKey);
        }
        if now >= chain.expires() {
            return Meaning::No(Why::Expired);
        }
        let granted = scope.is_none_or(|scope| scope.split(' ').all(|word| chain.scope.contains(word)));
        if link == chain.last() {
            return if granted { Meaning::Rotate } else { Meaning::Scope };
        }
        // A clock that is behind that of the rotation counts no time.
        let grace = self.grace(chain.made_under.is_some());
        let in_grace = chain.rotated_at.is_some_and(|at| now.saturating_sub(at) < grace);
        let how = if in_grace { How::Again } else { How::ByKey };
        if link + 1 == chain.last() && (in_grace || key.is_some() && key == chain.made_under) {
            return if granted { Meaning::Again(how) } else { Meaning::Scope };
        }
        Meaning::Theft
    }

    /// Applies one call to the model, at a time by the clock of its process. Returns the expected response.
    pub fn apply(&mut self, call: &Call, now: Time, fault: Fault) -> Outcome {
        match *call {
            Call::Login { user, password, client, scope } => {
                self.login(user, password, client, scope, now, fault).into()
            }
            Call::Refresh { session, link, client, scope, key, place, proof } => {
                // Without a proxy, no request of a walk has an address.
                let place = if self.proxy { place } else { 0 };
                self.refresh(session, link, client, scope, key, place, proof, now, fault)
            }
            Call::Change { session, link, current, new } => {
                self.change_password(session, link, current, new, now, fault).into()
            }
            Call::Forged { ref call, .. } => match **call {
                Call::Change { session, link, .. } if !self.has_access(session, link, now) => {
                    Ruling::Unauthorized.into()
                }
                _ => Ruling::NotThroughProxy.into(),
            },
            Call::SetScope { user, scope } => self.set_scope(user, &words(scope), now, fault),
            Call::SetClaims { user, tenant } => self.set_claims(user, tenant, now, fault),
            Call::Revoke { session, link, access, client, all } => {
                self.revoke(session, link, access, client, all, now, fault).into()
            }
            Call::SetPassword { user, password } => {
                let change = |person: &mut Person| {
                    person.password = password;
                    person.changed_by = None;
                };
                self.change(user, change, Some("password_changed"), now, fault)
            }
            Call::SetEnabled { user, enabled } => {
                let why = (!enabled).then_some("user_disabled");
                self.change(user, |person| person.enabled = enabled, why, now, fault)
            }
            Call::Remove { user } => {
                let outcome =
                    self.change(user, |person| person.enabled = false, Some("user_removed"), now, fault);
                if outcome.ruling == Ruling::Operator(true) {
                    self.users[user].exists = false;
                }
                outcome
            }
        }
    }

    fn login(
        &mut self,
        user: usize,
        password: usize,
        client: Option<&'static str>,
        scope: Option<&'static str>,
        now: Time,
        fault: Fault,
    ) -> Ruling {
        if matches!(fault, Fault::LostAlways(Part::First) | Fault::Throttled(Part::First)) {
            return Ruling::Unavailable;
        }
        let person = &self.users[user];
        if !person.exists || !person.enabled || password != person.password {
            return Ruling::Credentials;
        }
        let client = client.unwrap_or(DEFAULT_CLIENT);
        let mut granted = person.scope.clone();
        if client == NARROW.0 {
            granted.retain(|word| *word == NARROW.1);
        }
        let mut whole = true;
        if let Some(asked) = scope {
            let asked = words(asked);
            if !asked.is_subset(&granted) {
                return Ruling::Scope;
            }
            whole = asked == granted;
            granted = asked;
        }
        if fault == Fault::Throttled(Part::Second) {
            return Ruling::Unavailable;
        }
        let absolute_end = whole_seconds(now + self.life);
        let expires = self.expiry(now, absolute_end);
        self.chains.push(Chain {
            user,
            id: None,
            client,
            scope: granted,
            tenant: person.tenant,
            whole,
            created_at: now,
            absolute_end,
            links: vec![Link { expires, text: None, access: None }],
            rotated_at: None,
            made_under: None,
            place: 0,
            replaced_by: None,
            ended: Vec::new(),
            gone: false,
        });
        // The session was opened, but the response is lost.
        if fault == Fault::LostAlways(Part::Second) {
            return Ruling::Unavailable;
        }
        self.granted(self.chains.len() - 1, How::Login, None, now)
    }

    fn granted(&self, session: usize, how: How, narrowed: Option<&'static str>, now: Time) -> Ruling {
        let chain = &self.chains[session];
        let granted = match narrowed {
            Some(scope) => words(scope),
            None => chain.scope.clone(),
        };
        let account = chain.whole && granted == chain.scope;
        let scope = granted.into_iter().collect::<Vec<_>>().join(" ");
        let expires_in = chain.expires().saturating_sub(now) / 1000;
        Ruling::Granted { session, link: chain.last(), how, scope, expires_in, account, tenant: chain.tenant }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one call")]
    fn refresh(
        &mut self,
        session: usize,
        link: usize,
        client: Option<&str>,
        scope: Option<&'static str>,
        key: Option<Key>,
        place: Place,
        proof: Proof,
        now: Time,
        fault: Fault,
    ) -> Outcome {
        let meaning = self.meaning(session, link, client, scope, key, proof, now);
        // Rejected before any request to DynamoDB.
        if matches!(meaning, Meaning::No(Why::TokenExpired)) {
            return Ruling::Refused(Why::TokenExpired).into();
        }
        let landed = !matches!(fault, Fault::Throttled(_));
        let unavailable = matches!(fault, Fault::LostAlways(Part::First) | Fault::Throttled(Part::First));
        if matches!(meaning, Meaning::Rotate) && (landed || !unavailable) {
            let expires = self.expiry(now, self.chains[session].absolute_end);
            let chain = &mut self.chains[session];
            chain.links.push(Link { expires, text: None, access: None });
            chain.rotated_at = Some(now);
            chain.made_under = key;
            chain.place = place;
        }
        if unavailable {
            return Ruling::Unavailable.into();
        }
        match meaning {
            Meaning::Rotate => self.granted(session, How::Rotated, scope, now).into(),
            Meaning::Again(how) => {
                let chain = &self.chains[session];
                // A request with the key of the rotation is its retry, wherever it comes from.
                let retries = key.is_some() && key == chain.made_under;
                let elsewhere = usize::from(!retries && place != chain.place);
                Outcome { elsewhere, ..self.granted(session, how, scope, now).into() }
            }
            Meaning::Scope => Ruling::Scope.into(),
            Meaning::No(why) => Ruling::Refused(why).into(),
            Meaning::Theft => {
                if fault != Fault::Throttled(Part::Second) {
                    self.chains[session].end("reuse", now);
                }
                let ruling = match fault {
                    Fault::LostAlways(_) | Fault::Throttled(_) => Ruling::Unavailable,
                    Fault::None | Fault::LostOnce(_) | Fault::Unheard => Ruling::Refused(Why::Theft),
                };
                Outcome { thefts: 1, ..ruling.into() }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one call")]
    fn revoke(
        &mut self,
        session: usize,
        link: usize,
        access: bool,
        client: Option<&str>,
        all: bool,
        now: Time,
        fault: Fault,
    ) -> Ruling {
        let chain = &mut self.chains[session];
        let (good_until, account) = match &chain.links[link].access {
            _ if !access => (chain.links[link].expires, true),
            Some(token) => (token.expires + ACCESS_LEEWAY, token.account),
            None => (0, true),
        };
        // For one session, the caller has what they wanted. For all sessions, the caller must learn that the others are
        // live.
        let nothing = |why| if all { Ruling::Refused(why) } else { Ruling::Revoked(false) };
        if now >= good_until {
            return nothing(Why::TokenExpired);
        }
        if all && !account {
            return Ruling::NoAccount;
        }
        let others = client.is_some_and(|client| client != chain.client);
        let why = if all { "revoked_all" } else { "revoked" };
        if fault == Fault::Throttled(Part::First) {
            return Ruling::Unavailable;
        }
        let ends = !others && chain.end(why, now);
        if fault == Fault::LostAlways(Part::First) {
            return Ruling::Unavailable;
        }
        if chain.gone {
            return nothing(Why::Absent);
        }
        if others {
            return Ruling::Refused(Why::OtherClient);
        }
        // The token of an ended session cannot end others. One exception: if `all=true` ended it, the call can be finished.
        // It ends no session that was opened later.
        let opened_before = if ends { None } else { chain.revoked_all_at() };
        let finishes = all && opened_before.is_some();
        if !(ends || finishes) {
            return nothing(Why::Ended);
        }
        if all {
            if matches!(fault, Fault::LostAlways(_) | Fault::Throttled(_)) {
                return Ruling::Unavailable;
            }
            let user = chain.user;
            self.end_all(user, why, opened_before, now);
        }
        if ends { Ruling::Revoked(true) } else { Ruling::Finished }
    }

    /// Ends sessions that are live by this clock or by one that is behind it. With `opened_before`, only sessions that were
    /// opened before this time, by its clock or by one that is ahead of it.
    fn end_all(&mut self, user: usize, why: &'static str, opened_before: Option<Time>, now: Time) {
        let lives = |chain: &&mut Chain| {
            chain.user == user
                && now < chain.expires() + CLOCK_SKEW
                && opened_before.is_none_or(|at| chain.created_at <= at + CLOCK_SKEW)
        };
        self.chains.iter_mut().filter(lives).for_each(|chain| {
            chain.end(why, now);
        });
    }

    /// The possible outcomes of two simultaneous calls: the state afterwards, and the outcome of each call.
    #[must_use]
    pub fn both(&self, calls: [(&Call, Time); 2]) -> Vec<(Self, [Outcome; 2], &'static str)> {
        let in_order = |first: usize| {
            let mut after = self.clone();
            let (one, other) = (calls[first], calls[1 - first]);
            let one = after.apply(one.0, one.1, Fault::None);
            let other = after.apply(other.0, other.1, Fault::None);
            (after, if first == 0 { [one, other] } else { [other, one] })
        };
        let mut results = vec![];
        for (first, name) in
            [(0, "the first before the second, or either order"), (1, "the second before the first")]
        {
            let (mut after, outcomes) = in_order(first);
            if calls.iter().all(|(call, _)| call.ends_all()) {
                let (turned, _) = in_order(1 - first);
                for (chain, turned) in after.chains.iter_mut().zip(turned.chains) {
                    if !chain.ended.is_empty() && !turned.ended.is_empty() && chain.ended != turned.ended {
                        chain.ended.extend(turned.ended);
                    }
                }
            }
            results.push((after, outcomes, name));
        }
        for (login, change) in [(0, 1), (1, 0)] {
            if let (Call::Login { user, .. }, Call::SetPassword { user: changed, .. }) =
                (calls[login].0, calls[change].0)
                && user == changed
            {
                let (mut after, outcomes) = in_order(change);
                after.end_all(*user, "password_changed", None, calls[change].1);
                results.push((after, outcomes, "the login with the new password within the change"));
            }
        }
        for (login, change) in [(0, 1), (1, 0)] {
            let differs = |changed: usize| match calls[change].0 {
                Call::SetScope { user, scope } => {
                    *user == changed && self.users[changed].scope != words(scope)
                }
                Call::SetClaims { user, tenant } => *user == changed && self.users[changed].tenant != *tenant,
                _ => false,
            };
            if let Call::Login { user, .. } = calls[login].0
                && differs(*user)
            {
                let mut after = self.clone();
                let changed = after.apply(calls[change].0, calls[change].1, Fault::None);
                let refused = Outcome::from(Ruling::Credentials);
                let outcomes = if login == 0 { [refused, changed] } else { [changed, refused] };
                results.push((after, outcomes, "the login of a user whose scope or claims have changed"));
            }
        }
        for (refresh, ending) in [(0, 1), (1, 0)] {
            if let Call::Refresh { session, link, client, scope, key, proof, .. } = *calls[refresh].0
                && matches!(
                    self.meaning(session, link, client, scope, key, proof, calls[refresh].1),
                    Meaning::Theft
                )
            {
                let (after, mut outcomes) = in_order(ending);
                let otherwise = after.chains[session].ended.first().is_some_and(|end| end.why != "reuse");
                if otherwise && outcomes[refresh].thefts == 0 {
                    outcomes[refresh] = Outcome { thefts: 1, ..Ruling::Refused(Why::Theft).into() };
                    results.push((after, outcomes, "a theft noticed before another ending"));
                }
            }
        }
        if let (Call::Remove { user }, Call::Remove { user: other }) = (calls[0].0, calls[1].0)
            && user == other
            && self.users[*user].exists
        {
            // Either call ends the sessions, at the time of its own clock.
            for first in [0, 1] {
                let (after, _) = in_order(first);
                let found = Outcome::from(Ruling::Operator(true));
                results.push((after, [found.clone(), found], "two removals of one user"));
            }
        }
        results
    }

    /// Compares a response with the expected one, and stores its tokens. `honest` means that only the client has presented
    /// tokens of this session, each in its turn.
    pub fn compare(
        &mut self,
        ruling: &Ruling,
        seen: &Seen,
        now: Time,
        call: &Call,
        honest: bool,
    ) -> Result<(), Failure> {
        match (ruling, seen) {
            (
                Ruling::Granted { session, link, scope, expires_in, account, tenant, .. },
                Seen::Granted(grant),
            ) => {
                self.learn(*session, *link, grant, *account, now)?;
                if grant.expires_in > self.chains[*session].absolute_end.saturating_sub(now) / 1000 {
                    return failed(
                        Property::AbsoluteEnd,
                        format!("a token that outlives its session by the answer: {grant:?}"),
                    );
                }
                if (&grant.scope, grant.expires_in, grant.tenant.as_str()) != (scope, *expires_in, *tenant) {
                    return failed(Property::Answer, format!("expected {ruling:?}, got {grant:?}"));
                }
                return Ok(());
            }
            (Ruling::Refused(Why::OtherKey), Seen::Status(400, code)) if code == "invalid_dpop_proof" => {
                return Ok(());
            }
            (Ruling::Refused(_), Seen::Status(400, code)) if code == "invalid_grant" => return Ok(()),
            (Ruling::Scope, Seen::Status(400, code)) if code == "invalid_scope" => return Ok(()),
            (Ruling::NoAccount, Seen::Status(403, code)) if code == "insufficient_scope" => return Ok(()),
            (Ruling::Credentials, Seen::Status(401, code)) if code == "invalid_grant" => return Ok(()),
            (Ruling::Unauthorized, Seen::Status(401, code)) if code == "invalid_token" => return Ok(()),
            (Ruling::WrongPassword, Seen::Status(400, code)) if code == "wrong_password" => return Ok(()),
            (Ruling::NotThroughProxy, Seen::Status(403, code)) if code == "invalid_request" => return Ok(()),
            (Ruling::Unavailable, Seen::Status(503, code)) if code == "temporarily_unavailable" => {
                return Ok(());
            }
            (Ruling::Unavailable, Seen::OperatorFailed)
            | (Ruling::Revoked(_) | Ruling::Finished, Seen::Empty) => {
                return Ok(());
            }
            (Ruling::Operator(found), Seen::Operator(seen)) if found == seen => return Ok(()),
            _ => {}
        }
        let property = match (ruling, seen) {
            (Ruling::Unavailable, _) | (_, Seen::Status(503, _) | Seen::OperatorFailed) => {
                Property::Unavailable
            }
            (Ruling::Refused(why), Seen::Granted(_)) => self.revived(*why, call, now),
            (Ruling::Granted { .. }, Seen::Status(400, code)) if code == "invalid_grant" && honest => {
                Property::Honest
            }
            _ => Property::Answer,
        };
        failed(property, format!("expected {ruling:?}, got {seen:?}"))
    }

    /// The property that is violated if a token is accepted although it should be rejected for this reason.
    fn revived(&self, why: Why, call: &Call, now: Time) -> Property {
        let Call::Refresh { session, .. } = call else { return Property::Answer };
        let chain = &self.chains[*session];
        match why {
            Why::Theft => Property::Theft,
            Why::Ended if chain.ended.iter().any(|end| end.why == "reuse") => Property::Theft,
            Why::TokenExpired | Why::Expired if now >= chain.absolute_end => Property::AbsoluteEnd,
            Why::TokenExpired | Why::Expired | Why::Ended | Why::Absent => Property::Dead,
            Why::OtherClient | Why::OtherKey => Property::Answer,
        }
    }

    fn learn(
        &mut self,
        session: usize,
        link: usize,
        grant: &Grant,
        account: bool,
        now: Time,
    ) -> Result<(), Failure> {
        let known = self.chains.iter().flat_map(|chain| &chain.links);
        let mut known = known.filter_map(|link| link.text.as_ref());
        let expected = self.chains[session].links[link].text.as_ref();
        if expected.map_or_else(|| known.any(|text| *text == grant.refresh), |text| *text != grant.refresh) {
            return failed(
                Property::OneSuccessor,
                format!("link {link} of session {session} has one text, and this is another: {grant:?}"),
            );
        }
        let taken = self.chains.iter().any(|chain| chain.id.as_ref() == Some(&grant.session));
        let chain = &mut self.chains[session];
        if chain.id.as_ref().map_or(taken, |id| *id != grant.session) {
            return failed(Property::Access, format!("not the id of session {session}: {grant:?}"));
        }
        chain.id = Some(grant.session.clone());
        let access = Access {
            text: grant.access.clone(),
            // No access token outlives its session.
            expires: (whole_seconds(now) + ACCESS_SECONDS * 1000).min(chain.links[link].expires),
            account,
        };
        let link = &mut chain.links[link];
        link.text = Some(grant.refresh.clone());
        link.access = Some(access);
        Ok(())
    }
}

/// The words of a scope.
fn words(scope: &'static str) -> BTreeSet<&'static str> {
    scope.split(' ').collect()
}

/// Rounds down to whole seconds, as tokens and TTL have them.
fn whole_seconds(time: Time) -> Time {
    time / 1000 * 1000
}
