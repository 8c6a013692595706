//! Rate limiting: before any hashing, each attempt takes a slot of up to three counters.
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
//! Each is asked only when the one before let the attempt pass. Attempts from elsewhere must not lock a user out, so one
//! counter alone limits an attempt in these cases:
//!
//! - **Device.** The attempt has a [device token](crate::token::device) of this user. It is counted by account and device.
//! - **Known address.** The user logged in from this address lately. It is counted by account and address.
//! - **Session.** A signed-in user changes the password. It is counted by the session.
//!
//! In the first two cases, a failure takes a slot of the other two counters afterwards. It costs the same requests as any
//! failure.
//!
//! A success forgets the first counter (SP 800-63B-4 §3.2.2: failures from the same address are
//! disregarded), and gives back its own slot of the other two: the owner of one account gains no attempts at others.
//!
//! Mails have counters of their own: one for the recipient, and one for the network that asks. A third one limits the codes that
//! are tried for one mail.
//!
//! Keys are keyed hashes, so the table names neither accounts nor addresses. IPv6 addresses count by their /64, the network
//! of a phone or a household, and for the limit of an address by their /56, the networks of one line. A request whose
//! context has no address (API Gateway always gives one) is held by one counter for its account and is never known.

use crate::account::address::EmailAddress;
use crate::keys::CounterKey;
use crate::token::device::Device;
use crate::token::mail::OutboxId;
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::base::digest::prefix;
use daypass_verifier::base::ids::{SessionId, Username};
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

/// The most attempts in any interval as long as the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many; at least 1.
    pub attempts: u32,
    /// How long an attempt counts.
    pub window: Duration,
}

/// The limits of a login.
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
    /// That of the account from this device.
    AccountAndDevice,
    /// That of the session.
    Session,
    /// That of the address.
    Address,
    /// That of the account.
    Account,
    /// That of the old system, during a migration.
    OldSystem,
    /// That of the second factor.
    SecondFactor,
}

/// Which limit refused a request about a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailLimit {
    /// Mails to one address.
    Address,
    /// Mails that one network asks for.
    Network,
    /// Codes for one mail.
    Code,
}

/// A counter at the time of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// Its key in the attempts table: a keyed hash.
    pub key: String,
    /// Attempts that it allows within a window.
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

/// What a request proves about its sender. It decides which counter an attempt takes a slot of first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing: the address counts.
    Nothing,
    /// The user of this name logged in on this device before.
    Device(Device),
    /// The sender is signed in.
    Session(SessionId),
}

/// The keys of an attempt.
pub(crate) struct Subjects {
    pub(crate) own: String,
    pub(crate) account: String,
    /// `None` for an attempt that no address limits.
    pub(crate) address: Option<Address>,
}

pub(crate) struct Address {
    pub(crate) counter: String,
    pub(crate) known: [u8; 16],
}

impl Subjects {
    pub(crate) fn of(key: &CounterKey, username: &Username, address: Option<IpAddr>, proof: Proof) -> Self {
        // What kind of key it is, then the sender in a length that the bytes before tell, then the name: no two subjects have
        // the same bytes.
        let network = network(address, 8);
        let digest =
            |kind: u8, sender: &[u8], name: &str| key.digest(&[&[kind], sender, name.as_bytes()].concat());
        let text = |digest: [u8; 32]| BASE64URL_NOPAD.encode(&digest);
        let name = username.as_str();
        Self {
            own: text(match proof {
                Proof::Nothing => digest(1, &network, name),
                Proof::Device(device) => digest(5, device.as_bytes(), name),
                Proof::Session(session) => digest(6, session.as_bytes(), ""),
            }),
            account: text(digest(2, &[], name)),
            address: address.filter(|_| !matches!(proof, Proof::Session(_))).map(|_| Address {
                counter: text(digest(3, &self::network(address, 7), "")),
                known: prefix(&digest(4, &network, name)),
            }),
        }
    }
}

/// The key of the counter of second factors that a login or a reauthentication shows. Attempts from a proved device and from a known address have
/// counters of their own, so that attempts from elsewhere lock no user out. All others share the counter of the user.
pub(crate) fn factors_of(key: &CounterKey, username: &Username, sender: FactorSender) -> String {
    let sender = match sender {
        FactorSender::Anyone => vec![0],
        FactorSender::Device(device) => [&[1], device.as_bytes().as_slice()].concat(),
        FactorSender::KnownAddress(known) => [&[2], known.as_slice()].concat(),
        FactorSender::Session => vec![3],
    };
    BASE64URL_NOPAD.encode(&key.digest(&[&[10], sender.as_slice(), username.as_str().as_bytes()].concat()))
}

/// Where the second step of a login comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FactorSender {
    /// The first step came from an unknown address, or the second one comes from another.
    Anyone,
    /// The first step proved this device.
    Device(Device),
    /// The keyed hash of name and address, which both steps share and the user knows.
    KnownAddress([u8; 16]),
    /// A session of the user, which authenticates again. All sessions share the counter: a thief of one session and the password could
    /// open others.
    Session,
}

/// The key of the counter of mails to an address.
pub(crate) fn mails_to(key: &CounterKey, address: &EmailAddress) -> String {
    BASE64URL_NOPAD.encode(&key.digest(&[&[7], address.as_str().as_bytes()].concat()))
}

/// The key of the counter of mails that a network asks for.
pub(crate) fn mails_from(key: &CounterKey, address: Option<IpAddr>) -> String {
    BASE64URL_NOPAD.encode(&key.digest(&[&[8], network(address, 7).as_slice()].concat()))
}

/// The key of the counter of codes that are tried for a mail.
pub(crate) fn codes_of(key: &CounterKey, mail: OutboxId) -> String {
    BASE64URL_NOPAD.encode(&key.digest(&[&[9], mail.as_bytes().as_slice()].concat()))
}

/// What counts as one address: all of IPv4, and the first bytes of IPv6. One that says the same thing in both
/// (`::ffff:192.0.2.1`) is the IPv4 one.
pub(crate) fn network(address: Option<IpAddr>, v6_bytes: usize) -> Vec<u8> {
    let canonical = address.map(|address| address.to_canonical());
    match canonical {
        None => vec![0],
        Some(IpAddr::V4(address)) => [&[4], address.octets().as_slice()].concat(),
        Some(IpAddr::V6(address)) => {
            [6].into_iter().chain(address.octets().into_iter().take(v6_bytes)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Document, Peppers};
    use crate::testing::{NOW, Seeded};
    use daypass_verifier::jose::jwk::Algorithm;

    fn of(text: &str) -> Vec<u8> {
        network(Some(text.parse().unwrap()), 8)
    }

    #[test]
    fn an_address_is_what_one_subscriber_has() {
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"), "one /64");
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"), "another /64");
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"), "the same address in two spellings");
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        // All of `::/64` would be `::ffff:0:0/96` too, if it were not told apart.
        assert_ne!(of("::1"), of("::ffff:192.0.2.1"));
        assert_ne!(network(None, 8), of("0.0.0.0"));
        let line = |text: &str| network(Some(text.parse().unwrap()), 7);
        assert_eq!(line("2001:db8:1:200::1"), line("2001:db8:1:2ff::1"), "one /56");
        assert_ne!(line("2001:db8:1:200::1"), line("2001:db8:1:300::1"), "another /56");
        assert_eq!(line("192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn the_keys_of_subjects_differ_and_name_nobody() {
        let keys = Document::generate(Algorithm::Es256, &Seeded::new(1), NOW).unwrap();
        let peppers = Peppers::from_document(&keys).unwrap();
        let of = |name: &str, address: Option<&str>, proof: Proof| {
            let name = Username::from_normalised(name.to_owned()).unwrap();
            Subjects::of(peppers.counter_key(), &name, address.map(|address| address.parse().unwrap()), proof)
        };
        let subjects = |name: &str, address: Option<&str>| of(name, address, Proof::Nothing);
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
        let device = Proof::Device(Device::generate(&Seeded::new(2)));
        let session = Proof::Session(SessionId::generate(&Seeded::new(2)));
        let proved = |name: &str, proof: Proof| of(name, Some("192.0.2.1"), proof);
        assert_eq!(proved("alice", device).own, of("alice", None, device).own, "at any address");
        assert_eq!(proved("alice", device).account, home.account);
        assert!(proved("alice", session).address.is_none());
        let devices = [proved("alice", device).own, proved("bob", device).own, proved("alice", session).own];
        let mut all = vec![home.own, work.own, bob.own, nowhere.own, nowhere.account, bob.account];
        all.extend(devices);
        let ada = EmailAddress::parse("ada@example.com").unwrap();
        let key = peppers.counter_key();
        all.extend([
            mails_to(key, &ada),
            mails_from(key, None),
            codes_of(key, OutboxId::from_bytes([7; 16])),
        ]);
        for name in ["alice", "bob"] {
            let name = Username::from_normalised(name.to_owned()).unwrap();
            let device = FactorSender::Device(Device::generate(&Seeded::new(2)));
            let senders =
                [FactorSender::Anyone, device, FactorSender::KnownAddress([7; 16]), FactorSender::Session];
            all.extend(senders.map(|sender| factors_of(key, &name, sender)));
        }
        assert!(all.iter().all(|key| key.len() == 43));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 20);
    }
}
