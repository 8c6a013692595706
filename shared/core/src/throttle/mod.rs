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

use crate::keys::Peppers;
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::base::ids::Username;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
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

/// The keys of an attempt.
pub(crate) struct Subjects {
    pub(crate) pair: String,
    pub(crate) account: String,
    pub(crate) address: Option<Address>,
}

pub(crate) struct Address {
    pub(crate) counter: String,
    pub(crate) known: [u8; 16],
}

impl Subjects {
    pub(crate) fn of(peppers: &Peppers, username: &Username, address: Option<IpAddr>) -> Self {
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
pub(crate) fn network(address: Option<IpAddr>) -> Vec<u8> {
    let canonical = address.map(|address| address.to_canonical());
    match canonical {
        None => vec![0],
        Some(IpAddr::V4(address)) => [&[4], address.octets().as_slice()].concat(),
        Some(IpAddr::V6(address)) => [6].into_iter().chain(address.octets().into_iter().take(8)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Document;
    use crate::testing::{NOW, Seeded};
    use daypass_verifier::jose::jwk::Algorithm;

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
        let keys = Document::generate(Algorithm::Es256, &Seeded::new(1), NOW).unwrap();
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
