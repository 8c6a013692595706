//! How often somebody may guess: before any hashing, each attempt takes a slot of up to three counters.
//!
//! A counter has as many slots as its limit allows attempts, and a slot that was taken is busy for the whole window. So
//! no interval as long as the window ever holds more attempts than the limit, wherever it begins; there is no turn of a
//! window at which twice as many pass. One slot is taken by one conditional write, so it holds however many guess at once.
//!
//! - **Account and address.** Asked first, in parallel with the read of the user. Who guesses at one account from one address
//!   gets no further than this, and uses up no more of the others.
//! - **Address.** Over all accounts: what one address may try, and the most that it can use up of all accounts together.
//! - **Account.** Over all addresses.
//!
//! Each is asked only when the one before let the attempt pass. An address from which the user logged in lately is *known*:
//! it is held by its own counter alone, so that whoever uses up the account's attempts from elsewhere does not keep the
//! owner out. A failure from a known address takes a slot of the other two afterwards, so it costs the same requests as
//! any failure and counts as what it is.
//!
//! A success forgets the counter of account and address (SP 800-63B-4 §3.2.2: failures from the same address are
//! disregarded), and gives back its own slot of the other two: nobody who owns one account gets more attempts at others.
//!
//! Keys are keyed hashes, so the table names neither accounts nor addresses. IPv6 addresses count by their /64, which is what
//! one subscriber has. A request whose context has no address (API Gateway always gives one) is held by one counter for its
//! account and is never known.

use crate::event::Event;
use crate::keys::Peppers;
use crate::web::{Ambient, Caller};
use crate::{ApiError, AttemptId, ClientId, SessionId, StoreError, Timestamp, User, UserId, Username};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

/// So many attempts in any interval as long as the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many; at least 1.
    pub attempts: u32,
    /// How long an attempt counts.
    pub window: Duration,
}

/// The limits of a login and of a change of the password, which share their counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For one account from one address.
    pub pair: Limit,
    /// For one account from all addresses that are not known.
    pub account: Limit,
    /// For one address and all accounts that do not know it.
    pub address: Limit,
    /// For how long a success makes an address known; `None` for not at all.
    pub known_for: Option<Duration>,
}

/// Which limit refused an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exhausted {
    /// That of the account from this address.
    AccountAndAddress,
    /// That of the address.
    Address,
    /// That of the account.
    Account,
}

/// A counter at the time of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// Its key in the attempts table: a keyed hash.
    pub key: String,
    /// Its limit.
    pub limit: Limit,
    /// The time of the attempt.
    pub now: Timestamp,
}

/// A slot that an attempt took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The key of the counter.
    pub key: String,
    /// The number of the slot.
    pub slot: u32,
    /// Until when it is busy.
    pub until: Timestamp,
}

/// What counting an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It took a slot: go on.
    Counted(Ticket),
    /// All slots were busy, and nothing was counted. The first is free again at this time.
    Exhausted(Timestamp),
}

/// An address from which a user logged in, as the user's item keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownAddress {
    /// A keyed hash of name and address.
    pub key: [u8; 16],
    /// How long it is known.
    pub until: Timestamp,
}

/// Most addresses that a user's item keeps: home, work, and what a phone goes through.
pub const MAX_KNOWN: usize = 10;

/// How much older than new an entry may be before a login renews it: at most one write of the user a day.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What is known of a user at the beginning of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The user of that name.
    pub user: Option<User>,
    /// Where they logged in from.
    pub known: Vec<KnownAddress>,
    /// The session that changed the password last, if the user did it themselves.
    pub changed_by: Option<SessionId>,
    /// What the first counter says.
    pub attempt: Attempt,
}

/// The attempts table, as the flows that check passwords use it. Every verb is safe to repeat. `attempt` is new for each call: by
/// it the store knows its own write again when the answer was lost.
pub trait AttemptStore: Send + Sync {
    /// Reads the user, strongly consistent, and takes a slot of `counter` at the same time.
    fn begin(
        &self,
        username: &Username,
        counter: &Counter,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<Begun, StoreError>> + Send;

    /// Takes a slot of `counter`.
    fn count(
        &self,
        counter: &Counter,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<Attempt, StoreError>> + Send;

    /// Frees slots, each unless somebody else has it by now, and with `forget` all of one counter.
    fn settle(
        &self,
        forget: Option<&str>,
        tickets: &[Ticket],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The keys of an attempt.
struct Subjects {
    pair: String,
    account: String,
    address: Option<Address>,
}

struct Address {
    counter: String,
    known: [u8; 16],
}

impl Subjects {
    fn of(peppers: &Peppers, username: &Username, address: Option<IpAddr>) -> Self {
        // What kind of key it is, then the address in a length that its first byte tells, then the name: no two subjects
        // have the same bytes.
        let network = network(address);
        let digest = |kind: u8, network: &[u8], name: &str| {
            peppers.throttle_digest(&[&[kind], network, name.as_bytes()].concat())
        };
        let text = |digest: [u8; 32]| BASE64URL_NOPAD.encode(&digest);
        let name = username.as_str();
        Self {
            pair: text(digest(1, &network, name)),
            account: text(digest(2, &[], name)),
            address: address.map(|_| {
                let mut known = [0; 16];
                known.iter_mut().zip(digest(4, &network, name)).for_each(|(to, from)| *to = from);
                Address { counter: text(digest(3, &network, "")), known }
            }),
        }
    }
}

/// What counts as one address: all of IPv4, and the /64 of IPv6, within which a subscriber may take any. One that says
/// the same thing in both (`::ffff:192.0.2.1`) is the IPv4 one.
fn network(address: Option<IpAddr>) -> Vec<u8> {
    let canonical = address.map(|address| address.to_canonical());
    match canonical {
        None => vec![0],
        Some(IpAddr::V4(address)) => [&[4], address.octets().as_slice()].concat(),
        Some(IpAddr::V6(address)) => [6].into_iter().chain(address.octets().into_iter().take(8)).collect(),
    }
}

/// The counters with all they need, for one request.
pub(crate) struct Throttle<'a, S> {
    pub(crate) limits: &'a Limits,
    pub(crate) store: &'a S,
    pub(crate) peppers: &'a Peppers,
    pub(crate) ambient: &'a Ambient,
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
    pub(crate) fn record(self, client: &ClientId, ambient: &Ambient, caller: &Caller) -> ApiError {
        let event = Event::LoginThrottled {
            limit: self.by,
            account: self.account,
            client: client.clone(),
            user: self.user,
            retry_after: self.wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX),
        };
        ambient.journal.record(&event, caller);
        ApiError::SlowDown(self.wait)
    }
}

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
            let _ = self.ambient.store_failed("settle", &error, self.caller);
        }
    }

    fn counter(&self, key: String, limit: Limit) -> Counter {
        Counter { key, limit, now: self.now }
    }

    fn attempt(&self) -> AttemptId {
        AttemptId::generate(self.ambient.entropy.as_ref())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    fn of(text: &str) -> Vec<u8> {
        network(Some(text.parse().unwrap()))
    }

    #[test]
    fn an_address_is_what_one_subscriber_has() {
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"), "one /64");
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"), "another /64");
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"), "the same address in two spellings");
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        // All of `::/64` would be `::ffff:0:0/96` too, if it were not told apart.
        assert_ne!(of("::1"), of("::ffff:192.0.2.1"));
        assert_ne!(network(None), of("0.0.0.0"));
    }

    #[test]
    fn the_keys_of_subjects_differ_and_name_nobody() {
        let keys = crate::keys::Document::generate(
            crate::jwks::Algorithm::Es256,
            &crate::testing::Seeded::new(1),
            NOW,
        )
        .unwrap();
        let peppers = Peppers::from_document(&keys).unwrap();
        let subjects = |name: &str, address: Option<&str>| {
            let name = Username::from_normalised(name.to_owned()).unwrap();
            Subjects::of(&peppers, &name, address.map(|address| address.parse().unwrap()))
        };
        let (home, work) = (subjects("alice", Some("192.0.2.1")), subjects("alice", Some("192.0.2.2")));
        let bob = subjects("bob", Some("192.0.2.1"));
        assert_eq!(home.account, work.account);
        assert_ne!(home.account, bob.account);
        let address = |subjects: &Subjects| subjects.address.as_ref().unwrap().counter.clone();
        assert_eq!(address(&home), address(&bob));
        assert_ne!(address(&home), address(&work));
        assert_ne!(home.address.as_ref().unwrap().known, bob.address.as_ref().unwrap().known);
        let nowhere = subjects("alice", None);
        assert!(nowhere.address.is_none());
        let mut all = vec![home.pair, work.pair, bob.pair, nowhere.pair, nowhere.account, bob.account];
        assert!(all.iter().all(|key| key.len() == 43));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
    }
}
