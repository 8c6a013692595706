//! Rate limiting in a flow: an attempt is admitted before any hashing, charged after a failure and settled after a success.

use crate::flow::error::{Problem, Throttled};
use crate::keys::CounterKey;
use crate::ports::event::Event;
use crate::ports::store::{AttemptStore, User};
use crate::throttle::{
    Attempt, Counter, Exhausted, KnownAddress, Limit, Limits, MAX_KNOWN, Proof, Subjects, Ticket,
};
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId, Username};
use daypass_verifier::base::time::Timestamp;
use std::net::IpAddr;
use std::time::Duration;

/// Rate limiting for one request.
pub(crate) struct Throttle<'a, S> {
    /// The limit of the own counter.
    pub(crate) own: Limit,
    /// The limits of address and account; `None` if no address limits the attempt.
    pub(crate) wider: Option<&'a Limits>,
    pub(crate) store: &'a S,
    pub(crate) key: &'a CounterKey,
    pub(crate) entropy: &'a dyn Entropy,
    /// The client of the request or of its session, for the log.
    pub(crate) client: &'a ClientId,
    /// The address that the connection came from.
    pub(crate) source_ip: Option<IpAddr>,
    /// What the request proves about its sender.
    pub(crate) proof: Proof,
    /// The name of the first operation in the event `failure`.
    pub(crate) during: &'static str,
    pub(crate) now: Timestamp,
}

/// An attempt that may go on to the hashing.
pub(crate) struct Admitted {
    /// The keyed hash of the name, for the log.
    pub(crate) account: String,
    pub(crate) user: Option<User>,
    pub(crate) changed_by: Option<SessionId>,
    /// The slot of the counter that a success resets.
    pub(crate) own: Ticket,
    /// Slots of the other two counters, which a success gives back.
    wider: Vec<Ticket>,
    /// The counters that a failure has yet to take a slot of.
    charge: Vec<Counter>,
    /// The known addresses to store after a success; `None` when the stored ones are up to date.
    pub(crate) known: Option<Vec<KnownAddress>>,
    /// The keyed hash of name and address, if the address is known.
    pub(crate) from: Option<[u8; 16]>,
}

/// How much older than new an entry may be before a login renews it. This limits the writes to one a day and user.
pub(crate) const RENEW_AFTER: Duration = Duration::from_secs(24 * 3600);

impl<S: AttemptStore> Throttle<'_, S> {
    /// Reads the user and counts the attempt.
    ///
    /// # Errors
    /// [`Problem::Throttled`] when a limit is exhausted. [`Problem::Store`] when the store does not answer: no attempt is free.
    pub(crate) async fn admit(&self, username: &Username) -> Result<Admitted, Problem> {
        let subjects = Subjects::of(self.key, username, self.source_ip, self.proof);
        let own = self.counter(subjects.own.clone(), self.own);
        let begun = self.store.begin(username, &own, self.attempt());
        let begun = begun.await.map_err(Problem::store(self.during))?;
        let user = begun.user.as_ref().map(|user| user.id);
        let own = match begun.attempt {
            Attempt::Counted(ticket) => ticket,
            Attempt::Exhausted(until) => {
                return Err(self.throttled(self.own_limit(), until, &subjects.account, user));
            }
        };
        let (mut wider, mut charge, mut known, mut from) = (Vec::new(), Vec::new(), None, None);
        if let (Some(address), Some(limits)) = (&subjects.address, self.wider) {
            let is_listed = |known: &KnownAddress| known.key == address.known && known.until > self.now;
            if limits.known_for.is_some() && begun.known.iter().any(is_listed) {
                from = Some(address.known);
            }
            let is_known = matches!(self.proof, Proof::Device(_)) || from.is_some();
            known = remember(limits.known_for, &begun.known, address.known, self.now);
            for (limit, counter) in [
                (Exhausted::Address, self.counter(address.counter.clone(), limits.address)),
                (Exhausted::Account, self.counter(subjects.account.clone(), limits.account)),
            ] {
                if is_known {
                    charge.push(counter);
                    continue;
                }
                match self.count(&counter, self.during).await? {
                    Attempt::Counted(ticket) => wider.push(ticket),
                    Attempt::Exhausted(until) => {
                        return Err(self.throttled(limit, until, &subjects.account, user));
                    }
                }
            }
        }
        Ok(Admitted {
            account: subjects.account,
            user: begun.user,
            changed_by: begun.changed_by,
            own,
            wider,
            charge,
            known,
            from,
        })
    }

    /// Counts one more attempt of an admitted request by its own counter.
    ///
    /// # Errors
    /// As for [`Throttle::admit`].
    pub(crate) async fn admit_once_more(&self, admitted: &Admitted) -> Result<(), Problem> {
        let own = self.counter(admitted.own.key.clone(), self.own);
        match self.count(&own, self.during).await? {
            Attempt::Counted(_) => Ok(()),
            Attempt::Exhausted(until) => {
                let user = admitted.user.as_ref().map(|user| user.id);
                Err(self.throttled(self.own_limit(), until, &admitted.account, user))
            }
        }
    }

    /// Counts an attempt at a code by the counter of this key.
    ///
    /// # Errors
    /// As for [`Throttle::admit`].
    pub(crate) async fn admit_code(
        &self,
        key: &str,
        username: &Username,
        user: UserId,
    ) -> Result<(), Problem> {
        match self.count(&self.counter(key.to_owned(), self.own), "begin_factor").await? {
            Attempt::Counted(_) => Ok(()),
            Attempt::Exhausted(until) => {
                let account = Subjects::of(self.key, username, None, Proof::Nothing).account;
                Err(self.throttled(Exhausted::SecondFactor, until, &account, Some(user)))
            }
        }
    }

    /// Counts a failure from a known address or device by the other two counters. An exhausted limit changes nothing for this attempt.
    ///
    /// # Errors
    /// [`Problem::Store`] when the store does not answer.
    pub(crate) async fn charge(&self, admitted: &Admitted) -> Result<(), Problem> {
        for counter in &admitted.charge {
            // As in `admit`: an address whose limit is exhausted takes no slot of an account.
            if let Attempt::Exhausted(_) = self.count(counter, "charge").await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives back the slots of the other two counters after a success. The transaction that opened the session has reset
    /// the own counter.
    pub(crate) async fn give_back(&self, admitted: &Admitted, events: &mut Vec<Event>) {
        if !admitted.wider.is_empty() {
            self.settle_with(None, &admitted.wider, events).await;
        }
    }

    /// Gives back every slot of an attempt that nothing has decided.
    pub(crate) async fn give_back_all(&self, admitted: &Admitted, events: &mut Vec<Event>) {
        let tickets: Vec<Ticket> = admitted.wider.iter().chain([&admitted.own]).cloned().collect();
        self.settle_with(None, &tickets, events).await;
    }

    /// Resets the own counter after a right password that waits for a second factor. The slots of the other two stay taken:
    /// otherwise a thief of many passwords could try codes at all of them from one address.
    pub(crate) async fn forget(&self, admitted: &Admitted, events: &mut Vec<Event>) {
        self.settle_with(Some(&admitted.own.key), &[], events).await;
    }

    /// Resets the counter of this key.
    pub(crate) async fn reset(&self, key: &str, events: &mut Vec<Event>) {
        self.settle_with(Some(key), &[], events).await;
    }

    /// Resets the own counter and gives back the slots of the other two after a success.
    pub(crate) async fn settle(&self, admitted: &Admitted, events: &mut Vec<Event>) {
        self.settle_with(Some(&admitted.own.key), &admitted.wider, events).await;
    }

    /// A failure is an event and no error: a slot that stays taken is free after its window.
    async fn settle_with(&self, forget: Option<&str>, tickets: &[Ticket], events: &mut Vec<Event>) {
        if let Err(error) = self.store.settle(forget, tickets).await {
            events.push(Event::failure("settle", &error));
        }
    }

    async fn count(&self, counter: &Counter, during: &'static str) -> Result<Attempt, Problem> {
        self.store.count(counter, self.attempt()).await.map_err(Problem::store(during))
    }

    fn throttled(&self, limit: Exhausted, until: Timestamp, account: &str, user: Option<UserId>) -> Problem {
        Problem::Throttled(Box::new(Throttled {
            limit,
            account: account.to_owned(),
            client: self.client.clone(),
            user,
            wait: until.since(self.now),
        }))
    }

    /// The limit of the counter that an attempt takes a slot of first.
    const fn own_limit(&self) -> Exhausted {
        match self.proof {
            Proof::Nothing => Exhausted::AccountAndAddress,
            Proof::Device(_) => Exhausted::AccountAndDevice,
            Proof::Session(_) => Exhausted::Session,
        }
    }

    fn counter(&self, key: String, limit: Limit) -> Counter {
        Counter { key, limit, now: self.now }
    }

    fn attempt(&self) -> AttemptId {
        AttemptId::generate(self.entropy)
    }
}

/// The known addresses with this one among them; `None` when the list says so already.
pub(crate) fn remember(
    known_for: Option<Duration>,
    known: &[KnownAddress],
    key: [u8; 16],
    now: Timestamp,
) -> Option<Vec<KnownAddress>> {
    let known_for = known_for?;
    let until = now + known_for;
    let due = until.before(RENEW_AFTER.min(known_for / 2));
    if known.iter().any(|known| known.key == key && known.until > due) {
        return None;
    }
    let others = known.iter().filter(|known| known.key != key && known.until > now).copied();
    let mut list: Vec<KnownAddress> = [KnownAddress { key, until }].into_iter().chain(others).collect();
    // The addresses that were used last stay.
    list.sort_by_key(|known| std::cmp::Reverse(known.until));
    list.truncate(MAX_KNOWN);
    Some(list)
}
