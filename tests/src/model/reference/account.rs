//! What changes a user and the sessions with it: a new scope, new claims, and a change of the password by the user.

use super::{
    ACCESS_LEEWAY, CLOCK_SKEW, Chain, Link, Person, REPEATED_WITHIN, Reference, Time, whole_seconds,
};
use crate::model::call::{How, Outcome, Ruling};
use crate::model::walk::{Fault, Part};
use std::collections::BTreeSet;

impl Reference {
    /// An operator's command changes the user first, and then ends the sessions.
    pub(super) fn change(
        &mut self,
        user: usize,
        change: impl FnOnce(&mut Person),
        ending: Option<&'static str>,
        now: Time,
        fault: Fault,
    ) -> Outcome {
        if fault == Fault::Throttled(Part::First) {
            return Ruling::Unavailable.into();
        }
        let person = &mut self.users[user];
        let exists = person.exists;
        if exists {
            change(person);
            person.updated_at = now;
        }
        if fault == Fault::LostAlways(Part::First) {
            return Ruling::Unavailable.into();
        }
        if let (true, Some(why)) = (exists, ending) {
            if matches!(fault, Fault::LostAlways(_) | Fault::Throttled(_)) {
                return Ruling::Unavailable.into();
            }
            self.end_all(user, why, None, now);
        }
        Ruling::Operator(exists).into()
    }

    /// An operator's command changes the user first, and then takes the words from the sessions.
    pub(super) fn set_scope(
        &mut self,
        user: usize,
        scope: &BTreeSet<&'static str>,
        now: Time,
        fault: Fault,
    ) -> Outcome {
        let outcome = self.change(user, |person| person.scope = scope.clone(), None, now, fault);
        if outcome.ruling != Ruling::Operator(true) {
            return outcome;
        }
        if matches!(fault, Fault::LostAlways(_) | Fault::Throttled(_)) {
            return Ruling::Unavailable.into();
        }
        for chain in self.chains.iter_mut().filter(|chain| chain.user == user) {
            let lives = !chain.gone && chain.ended.is_empty() && now < chain.expires() + CLOCK_SKEW;
            if lives && !chain.scope.is_subset(scope) {
                if chain.scope.is_disjoint(scope) {
                    chain.end("scope_removed", now);
                } else {
                    chain.scope.retain(|word| scope.contains(word));
                }
            }
        }
        outcome
    }

    /// An operator's command changes the user first, and then the sessions.
    pub(super) fn set_claims(
        &mut self,
        user: usize,
        tenant: &'static str,
        now: Time,
        fault: Fault,
    ) -> Outcome {
        let outcome = self.change(user, |person| person.tenant = tenant, None, now, fault);
        if outcome.ruling != Ruling::Operator(true) {
            return outcome;
        }
        if matches!(fault, Fault::LostAlways(_) | Fault::Throttled(_)) {
            return Ruling::Unavailable.into();
        }
        for chain in self.chains.iter_mut().filter(|chain| chain.user == user) {
            if !chain.gone && chain.ended.is_empty() && now < chain.expires() + CLOCK_SKEW {
                chain.tenant = tenant;
            }
        }
        outcome
    }

    /// Whether the authorizer accepts the access token of a link.
    pub(super) fn has_access(&self, session: usize, link: usize, now: Time) -> bool {
        let access = &self.chains[session].links[link].access;
        access.as_ref().is_some_and(|access| now < access.expires + ACCESS_LEEWAY)
    }

    /// The new password is stored, the other sessions end, and a new session takes the place of this one.
    pub(super) fn change_password(
        &mut self,
        session: usize,
        link: usize,
        current: usize,
        new: usize,
        now: Time,
        fault: Fault,
    ) -> Ruling {
        let chain = &self.chains[session];
        let (user, old_scope, replaced_by) = (chain.user, chain.scope.clone(), chain.replaced_by);
        if !self.has_access(session, link, now) {
            return Ruling::Unauthorized;
        }
        if chain.links[link].access.as_ref().is_some_and(|access| !access.account) {
            return Ruling::NoAccount;
        }
        if matches!(fault, Fault::LostAlways(Part::First) | Fault::Throttled(Part::First)) {
            return Ruling::Unavailable;
        }
        let is_unused = |chain: &Chain| {
            !chain.gone && chain.ended.is_empty() && now < chain.expires() && chain.links.len() == 1
        };
        let lately = |at: Time| now.saturating_sub(at) < REPEATED_WITHIN;
        let was_replaced =
            chain.ended.first().is_some_and(|end| end.why == "password_changed" && lately(end.at));
        let opened = replaced_by.filter(|opened| was_replaced && is_unused(&self.chains[*opened]));
        let is_over = chain.gone || opened.is_none() && (!chain.ended.is_empty() || now >= chain.expires());
        let person = &mut self.users[user];
        if is_over || !person.exists || !person.enabled {
            return Ruling::Unauthorized;
        }
        if let Some(opened) = opened {
            let right = new == person.password;
            return if right {
                self.granted(opened, How::ChangedBefore, None, now)
            } else {
                Ruling::WrongPassword
            };
        }
        let repeats =
            person.changed_by == Some(session) && lately(person.updated_at) && new == person.password;
        if current == person.password {
            (person.password, person.changed_by, person.updated_at) = (new, Some(session), now);
        } else if !repeats {
            return Ruling::WrongPassword;
        }
        let tenant = person.tenant;
        let scope: BTreeSet<_> = old_scope.intersection(&person.scope).copied().collect();
        if matches!(fault, Fault::LostAlways(Part::Second) | Fault::Throttled(Part::Second)) {
            return Ruling::Unavailable;
        }
        self.end_all(user, "password_changed", None, now);
        if scope.is_empty() && !old_scope.is_empty() {
            return Ruling::Unauthorized;
        }
        let absolute_end = whole_seconds(now + self.life);
        let links = vec![Link { expires: self.expiry(now, absolute_end), text: None, access: None }];
        let opened = self.chains.len();
        let chain = &mut self.chains[session];
        chain.replaced_by = Some(opened);
        let chain = Chain {
            id: None,
            scope,
            tenant,
            created_at: now,
            absolute_end,
            links,
            rotated_at: None,
            made_under: None,
            place: 0,
            replaced_by: None,
            ended: Vec::new(),
            ..chain.clone()
        };
        self.chains.push(chain);
        self.granted(opened, How::Changed, None, now)
    }
}
