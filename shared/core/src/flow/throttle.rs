//! Rate limiting in a flow: an attempt is admitted before any hashing, charged after a failure and settled after a success.

use crate::flow::error::ApiError;
use crate::flow::report::Report;
use crate::keys::Peppers;
use crate::ports::context::Context;
use crate::ports::event::Event;
use crate::ports::store::{AttemptStore, StoreError, User};
use crate::throttle::{
    Attempt, Counter, Exhausted, KnownAddress, Limit, Limits, MAX_KNOWN, Subjects, Ticket,
};
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId, Username};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::ports::context::Caller;
use std::time::Duration;

/// The counters with all they need, for one request.
pub(crate) struct Throttle<'a, S> {
    pub(crate) limits: &'a Limits,
    pub(crate) store: &'a S,
    pub(crate) peppers: &'a Peppers,
    pub(crate) context: &'a Context,
    pub(crate) caller: &'a Caller,
    pub(crate) now: Timestamp,
}

/// An attempt that may go on to the hashing.
pub(crate) struct Admitted {
    /// The keyed hash of the name, for the log.
    pub(crate) account: String,
    pub(crate) user: Option<User>,
    pub(crate) changed_by: Option<SessionId>,
    /// The key of the counter that a success forgets.
    pub(crate) own: String,
    /// Slots of the wider counters, which a success gives back.
    wider: Vec<Ticket>,
    /// The wider counters that a failure has yet to take a slot of.
    charge: Vec<Counter>,
    /// The addresses to keep with the user after a success, if they are others than before.
    pub(crate) known: Option<Vec<KnownAddress>>,
}

/// An attempt that gets no further.
pub(crate) struct Refused {
    pub(crate) account: String,
    pub(crate) user: Option<UserId>,
    pub(crate) by: Exhausted,
    pub(crate) wait: Duration,
}

impl Refused {
    /// Records it, and says what the caller is told.
    pub(crate) fn record(self, client: &ClientId, context: &Context, caller: &Caller) -> ApiError {
        let event = Event::LoginThrottled {
            limit: self.by,
            account: self.account,
            client: client.clone(),
            user: self.user,
            retry_after: self.wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX),
        };
        context.journal.record(&event, caller);
        ApiError::SlowDown(self.wait)
    }
}

/// How much older than new an entry may be before a login renews it: at most one write of the user a day.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 3600);

impl<S: AttemptStore> Throttle<'_, S> {
    /// Reads the user and counts the attempt.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer: never a free guess.
    pub(crate) async fn admit(&self, username: &Username) -> Result<Result<Admitted, Refused>, StoreError> {
        let subjects = Subjects::of(self.peppers, username, self.caller.source_ip);
        let own = self.counter(subjects.pair.clone(), self.limits.pair);
        let begun = self.store.begin(username, &own, self.attempt()).await?;
        let refused = |by, until: Timestamp| Refused {
            account: subjects.account.clone(),
            user: begun.user.as_ref().map(|user| user.id),
            by,
            wait: until.since(self.now),
        };
        if let Attempt::Exhausted(until) = begun.attempt {
            return Ok(Err(refused(Exhausted::AccountAndAddress, until)));
        }
        let mut admitted = Admitted {
            account: subjects.account.clone(),
            user: None,
            changed_by: begun.changed_by,
            own: subjects.pair.clone(),
            wider: Vec::new(),
            charge: Vec::new(),
            known: None,
        };
        if let Some(address) = &subjects.address {
            let is_known = self.limits.known_for.is_some()
                && begun.known.iter().any(|known| known.key == address.known && known.until > self.now);
            admitted.known = self.remember(&begun.known, address.known);
            let wider = [
                (Exhausted::Address, &address.counter, self.limits.address),
                (Exhausted::Account, &subjects.account, self.limits.account),
            ];
            for (by, key, limit) in wider {
                let counter = self.counter(key.clone(), limit);
                if is_known {
                    admitted.charge.push(counter);
                    continue;
                }
                match self.store.count(&counter, self.attempt()).await? {
                    Attempt::Counted(ticket) => admitted.wider.push(ticket),
                    Attempt::Exhausted(until) => return Ok(Err(refused(by, until))),
                }
            }
        }
        admitted.user = begun.user;
        Ok(Ok(admitted))
    }

    /// Counts one more attempt of an admitted request by its own counter.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub(crate) async fn once_more(&self, admitted: &Admitted) -> Result<Result<(), Refused>, StoreError> {
        let own = self.counter(admitted.own.clone(), self.limits.pair);
        Ok(match self.store.count(&own, self.attempt()).await? {
            Attempt::Counted(_) => Ok(()),
            Attempt::Exhausted(until) => Err(Refused {
                account: admitted.account.clone(),
                user: admitted.user.as_ref().map(|user| user.id),
                by: Exhausted::AccountAndAddress,
                wait: until.since(self.now),
            }),
        })
    }

    /// What a failure still owes: one from a known address takes its slots of the wider counters now. Whether there is one left
    /// changes nothing for this attempt.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub(crate) async fn charge(&self, admitted: &Admitted) -> Result<(), StoreError> {
        for counter in &admitted.charge {
            // As in `admit`: an address that has used up its attempts uses up none of an account's.
            if let Attempt::Exhausted(_) = self.store.count(counter, self.attempt()).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives back what a success took of the wider counters, where the transaction that opened a session has settled its own
    /// counter.
    pub(crate) async fn give_back(&self, admitted: &Admitted) {
        if !admitted.wider.is_empty() {
            self.settle_with(None, &admitted.wider).await;
        }
    }

    /// Settles all that a success should.
    pub(crate) async fn settle(&self, admitted: &Admitted) {
        self.settle_with(Some(&admitted.own), &admitted.wider).await;
    }

    /// It has succeeded whatever comes of this: a slot that stays taken is free when its window ends.
    async fn settle_with(&self, forget: Option<&str>, tickets: &[Ticket]) {
        if let Err(error) = self.store.settle(forget, tickets).await {
            let _ = self.context.store_failed("settle", &error, self.caller);
        }
    }

    fn counter(&self, key: String, limit: Limit) -> Counter {
        Counter { key, limit, now: self.now }
    }

    fn attempt(&self) -> AttemptId {
        AttemptId::generate(self.context.entropy.as_ref())
    }

    /// The list with this address on it; `None` when it says so already.
    fn remember(&self, known: &[KnownAddress], key: [u8; 16]) -> Option<Vec<KnownAddress>> {
        let known_for = self.limits.known_for?;
        let until = self.now + known_for;
        let due = until.before(RENEW_AFTER.min(known_for / 2));
        if known.iter().any(|known| known.key == key && known.until > due) {
            return None;
        }
        let others = known.iter().filter(|known| known.key != key && known.until > self.now).copied();
        let mut list: Vec<KnownAddress> = [KnownAddress { key, until }].into_iter().chain(others).collect();
        // Those that were used last stay.
        list.sort_by_key(|known| std::cmp::Reverse(known.until));
        list.truncate(MAX_KNOWN);
        Some(list)
    }
}
