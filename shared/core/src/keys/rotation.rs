//! Rotation of a key set: `next` becomes `active`, `active` becomes `retired`, and a new `next` is published.
//!
//! A key is in the document for a whole period before it signs, authenticates or hashes anything. Functions read the document
//! again at a bounded age, and verifiers of access tokens within hours. Each therefore knows a key before it meets its first use.

use super::{CounterKey, SecretEntry, SigningEntry, active_index, generate_signing_key};
use crate::keys::{Document, KeyError, Status};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Algorithm;
use std::time::Duration;

/// How long a retired signing key stays in the JWKS. Its last token was signed by a function that had read the document up to
/// five minutes before, and lived ten minutes at most; the rest is for a function that could not read it for hours.
const RETIRED_SIGNING: Duration = Duration::from_secs(24 * 3600);

/// How long a retired key still authenticates refresh tokens: the longest life of a session, and a day as above.
const RETIRED_REFRESH: Duration = Duration::from_secs(181 * 24 * 3600);

/// A part of a key set. Each is a secret of its own where it is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// Signs access tokens.
    Signing,
    /// Authenticates refresh tokens.
    Refresh,
    /// Peppers of password hashes, and the keys of second factors.
    Peppers,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Signing, Self::Refresh, Self::Peppers];

    /// Its name in the document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Refresh => "refresh",
            Self::Peppers => "peppers",
        }
    }
}

/// How a key set rotates.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// For how long a key must have been `next` before it is used.
    pub published_for: Duration,
    /// The algorithm of new signing keys.
    pub algorithm: Algorithm,
}

/// Why a key set was not rotated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRotationError {
    /// The next key was published too recently: a reader of an older document may not know it.
    #[error("key {kid} is not published long enough: it may become active from {} on (seconds since 1970)", from.seconds())]
    TooYoung {
        /// The id of the next key.
        kid: String,
        /// The time from which it may become active.
        from: Timestamp,
    },
    /// The key set is not usable, or no new key could be made.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// What the two kinds of entries have in common.
trait Entry: Sized {
    fn new(status: Status, rules: Rules, entropy: &dyn Entropy, now: Timestamp) -> Result<Self, KeyError>;
    fn kid(&self) -> &str;
    fn status(&self) -> Status;
    /// When it got its status.
    fn since(&self) -> Timestamp;
    fn turn(&mut self, status: Status, now: Timestamp);
}

impl Entry for SigningEntry {
    fn new(status: Status, rules: Rules, _: &dyn Entropy, now: Timestamp) -> Result<Self, KeyError> {
        let (public, private) = generate_signing_key(rules.algorithm)?;
        let private = Some(BASE64URL_NOPAD.encode(private.expose()));
        Ok(Self { status, created_at: now.seconds(), since: None, public, private })
    }

    fn kid(&self) -> &str {
        self.public.kid()
    }

    fn status(&self) -> Status {
        self.status
    }

    fn since(&self) -> Timestamp {
        Timestamp::from_seconds(self.since.unwrap_or(self.created_at))
    }

    fn turn(&mut self, status: Status, now: Timestamp) {
        (self.status, self.since) = (status, Some(now.seconds()));
        if status == Status::Retired {
            // It signs nothing any more.
            self.private = None;
        }
    }
}

impl Entry for SecretEntry {
    fn new(status: Status, _: Rules, entropy: &dyn Entropy, now: Timestamp) -> Result<Self, KeyError> {
        Ok(Self {
            kid: HEXLOWER.encode(&random::<4>(entropy)),
            status,
            created_at: now.seconds(),
            since: None,
            key: BASE64URL_NOPAD.encode(&random::<32>(entropy)),
        })
    }

    fn kid(&self) -> &str {
        &self.kid
    }

    fn status(&self) -> Status {
        self.status
    }

    fn since(&self) -> Timestamp {
        Timestamp::from_seconds(self.since.unwrap_or(self.created_at))
    }

    fn turn(&mut self, status: Status, now: Timestamp) {
        (self.status, self.since) = (status, Some(now.seconds()));
    }
}

/// The entries of a section that rotates: one more `next`, and none that was retired before `kept` ago.
fn advance<T: Entry>(
    section: Section,
    entries: &mut Vec<T>,
    kept: Option<Duration>,
    rules: Rules,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<(), KeyRotationError> {
    if entries.is_empty() {
        return Ok(());
    }
    let active = active_index(section.name(), entries.iter().map(Entry::status))?;
    let next = entries.iter().position(|entry| entry.status() == Status::Next);
    // A key set that `daypass key generate` made has no next key: this time it gets one.
    if let Some(next) = next {
        let (kid, from) = entries
            .get(next)
            .map(|entry| (entry.kid().to_owned(), entry.since() + rules.published_for))
            .unwrap_or_default();
        if now < from {
            return Err(KeyRotationError::TooYoung { kid, from });
        }
        for (at, entry) in entries.iter_mut().enumerate() {
            if at == active {
                entry.turn(Status::Retired, now);
            } else if at == next {
                entry.turn(Status::Active, now);
            }
        }
    }
    entries.retain(|entry| {
        entry.status() != Status::Retired || kept.is_none_or(|kept| now < entry.since() + kept)
    });
    entries.push(fresh(entries, Status::Next, rules, entropy, now)?);
    Ok(())
}

/// A new entry, whose id no other has: ids of four bytes do meet.
fn fresh<T: Entry>(
    entries: &[T],
    status: Status,
    rules: Rules,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<T, KeyError> {
    loop {
        let entry = T::new(status, rules, entropy, now)?;
        if entries.iter().all(|other| other.kid() != entry.kid()) {
            return Ok(entry);
        }
    }
}

/// Retires all entries, and adds an active one and the next one.
fn retire(
    entries: &mut Vec<SecretEntry>,
    rules: Rules,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<(), KeyError> {
    for entry in entries.iter_mut().filter(|entry| entry.status != Status::Retired) {
        entry.turn(Status::Retired, now);
    }
    for status in [Status::Active, Status::Next] {
        let entry = fresh(entries, status, rules, entropy, now)?;
        entries.push(entry);
    }
    Ok(())
}

fn pair<T: Entry>(rules: Rules, entropy: &dyn Entropy, now: Timestamp) -> Result<Vec<T>, KeyError> {
    let active = T::new(Status::Active, rules, entropy, now)?;
    let next = fresh(std::slice::from_ref(&active), Status::Next, rules, entropy, now)?;
    Ok(vec![active, next])
}

impl Document {
    /// The first document of a section: an active key and the next one.
    ///
    /// # Errors
    /// [`KeyError`] when AWS-LC cannot make a key pair.
    pub fn first(
        section: Section,
        rules: Rules,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Self, KeyError> {
        let mut document = Self::empty();
        match section {
            Section::Signing => document.signing = pair(rules, entropy, now)?,
            Section::Refresh => document.refresh = pair(rules, entropy, now)?,
            Section::Peppers => {
                document.peppers = pair(rules, entropy, now)?;
                document.factors = pair(rules, entropy, now)?;
                document.counter_key = Some(CounterKey::generate(entropy));
            }
        }
        Ok(document)
    }

    /// The document after a rotation of every section that it has. Retired signing keys are dropped after a day, retired refresh
    /// keys after the longest life of a session; peppers and keys of second factors never, since a user may stay away for years. The
    /// counter key stays.
    ///
    /// # Errors
    /// [`KeyRotationError`].
    pub fn advance(
        &self,
        rules: Rules,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Self, KeyRotationError> {
        let mut document = self.clone();
        document.fix_counter_key()?;
        document.fix_factor_key()?;
        advance(Section::Signing, &mut document.signing, Some(RETIRED_SIGNING), rules, entropy, now)?;
        advance(Section::Refresh, &mut document.refresh, Some(RETIRED_REFRESH), rules, entropy, now)?;
        advance(Section::Peppers, &mut document.peppers, None, rules, entropy, now)?;
        advance(Section::Peppers, &mut document.factors, None, rules, entropy, now)?;
        Ok(document)
    }

    /// Whether it has keys of this section.
    #[must_use]
    pub fn has(&self, section: Section) -> bool {
        match section {
            Section::Signing => !self.signing.is_empty(),
            Section::Refresh => !self.refresh.is_empty(),
            Section::Peppers => !self.peppers.is_empty(),
        }
    }

    /// Whether it comes after `earlier`: every key that is in use there, or will be, is known here. So is every pepper and every
    /// key of second factors, retired ones too: some peppers were adopted from another system.
    #[must_use]
    pub fn follows(&self, earlier: &Self) -> bool {
        let own = self.summary();
        earlier
            .summary()
            .iter()
            .filter(|key| key.status != Status::Retired || ["peppers", "factors"].contains(&key.section))
            .all(|key| own.iter().any(|other| (other.section, &other.kid) == (key.section, &key.kid)))
    }

    /// Since when the key is known that the next rotation makes active, if there is one.
    #[must_use]
    pub fn next_since(&self) -> Option<Timestamp> {
        let signing = self.signing.iter().filter(|entry| entry.status == Status::Next).map(Entry::since);
        let others = self.refresh.iter().chain(&self.peppers).chain(&self.factors);
        signing.chain(others.filter(|entry| entry.status == Status::Next).map(Entry::since)).max()
    }

    /// The document after its keys have leaked, next ones too: a new active key and a new next one in each section that it has.
    /// Signing and refresh keys are gone at once, and every token of theirs is invalid. Peppers and keys of second factors stay as
    /// retired ones, because stored passwords and secrets need them. With the peppers, the counter key is new: all counters start again, and device tokens are
    /// invalid.
    ///
    /// # Errors
    /// [`KeyError`] when AWS-LC cannot make a key pair.
    pub fn cut(&self, rules: Rules, entropy: &dyn Entropy, now: Timestamp) -> Result<Self, KeyError> {
        let mut document = self.clone();
        if !self.signing.is_empty() {
            document.signing = pair(rules, entropy, now)?;
        }
        if !self.refresh.is_empty() {
            document.refresh = pair(rules, entropy, now)?;
        }
        if !self.peppers.is_empty() {
            document.counter_key = Some(CounterKey::generate(entropy));
            document.fix_factor_key()?;
            retire(&mut document.peppers, rules, entropy, now)?;
            retire(&mut document.factors, rules, entropy, now)?;
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Peppers;
    use crate::keys::{RefreshKeys, SigningKeys};
    use crate::testing::{NOW, Seeded};

    const RULES: Rules = Rules { published_for: Duration::from_secs(3 * 3600), algorithm: Algorithm::Es256 };
    const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Ids by status, in the order active, next, retired ones.
    fn kids(document: &Document, section: Section) -> (String, String, Vec<String>) {
        let of = |status| {
            let keys = document.summary().into_iter();
            let keys = keys.filter(move |key| key.section == section.name() && key.status == status);
            keys.map(|key| key.kid).collect::<Vec<_>>()
        };
        let one = |status| {
            let kids = of(status);
            assert_eq!(kids.len(), 1, "{status:?}");
            kids[0].clone()
        };
        (one(Status::Active), one(Status::Next), of(Status::Retired))
    }

    fn usable(document: &Document, section: Section) {
        match section {
            Section::Signing => drop(SigningKeys::from_document(document).unwrap()),
            Section::Refresh => drop(RefreshKeys::from_document(document).unwrap()),
            Section::Peppers => drop(Peppers::from_document(document).unwrap()),
        }
    }

    #[test]
    fn next_becomes_active_and_active_retires() {
        let entropy = Seeded::new(1);
        for section in Section::ALL {
            let first = Document::first(section, RULES, &entropy, NOW).unwrap();
            usable(&first, section);
            let (active, next, retired) = kids(&first, section);
            assert!(retired.is_empty());

            let second = first.advance(RULES, &entropy, NOW + RULES.published_for).unwrap();
            usable(&second, section);
            let (now_active, now_next, retired) = kids(&second, section);
            assert_eq!((now_active.as_str(), retired.as_slice()), (next.as_str(), [active].as_slice()));
            assert!(now_next != next);
        }
    }

    /// invariant: A key is used after verifiers know it.
    #[test]
    fn a_key_that_is_not_known_everywhere_is_not_used() {
        let entropy = Seeded::new(2);
        for section in Section::ALL {
            let first = Document::first(section, RULES, &entropy, NOW).unwrap();
            let soon = NOW + (RULES.published_for - Duration::from_secs(1));
            let error = first.advance(RULES, &entropy, soon).unwrap_err();
            let (_, next, _) = kids(&first, section);
            assert_eq!(error, KeyRotationError::TooYoung { kid: next, from: NOW + RULES.published_for });
            // Nor is the one that a rotation has made just now.
            let later = NOW + MONTH;
            let second = first.advance(RULES, &entropy, later).unwrap();
            assert!(second.advance(RULES, &entropy, later + Duration::from_secs(60)).is_err());
        }
    }

    /// invariant: A key is withdrawn after everything that it made has expired.
    #[test]
    fn retired_keys_stay_as_long_as_something_needs_them() {
        let entropy = Seeded::new(3);
        let kept = |section, periods: u32| {
            let mut document = Document::first(section, RULES, &entropy, NOW).unwrap();
            for period in 1..=periods {
                document = document.advance(RULES, &entropy, NOW + MONTH * period).unwrap();
            }
            usable(&document, section);
            kids(&document, section).2.len()
        };
        assert_eq!(kept(Section::Signing, 12), 1, "until the rotation after");
        assert_eq!(kept(Section::Refresh, 12), 7, "181 days");
        assert_eq!(kept(Section::Peppers, 12), 12, "for good");
    }

    #[test]
    fn a_retired_signing_key_has_lost_its_private_half() {
        let entropy = Seeded::new(4);
        let first = Document::first(Section::Signing, RULES, &entropy, NOW).unwrap();
        let second = first.advance(RULES, &entropy, NOW + MONTH).unwrap();
        assert_eq!(first.jwks().iter().count(), 2);
        assert_eq!(second.jwks().iter().count(), 3, "verifiers still know it");
        let json = second.to_json().unwrap();
        assert_eq!(json.matches("\"private\"").count(), 2);
        usable(&Document::parse(json.as_bytes()).unwrap(), Section::Signing);
    }

    #[test]
    fn a_key_set_without_a_next_key_gets_one_first() {
        let entropy = Seeded::new(5);
        let made = Document::generate(Algorithm::Es256, &entropy, NOW).unwrap();
        let prepared = made.advance(RULES, &entropy, NOW).unwrap();
        for section in Section::ALL {
            let (active, next, retired) = kids(&prepared, section);
            assert!(made.summary().iter().any(|key| key.kid == active) && retired.is_empty());
            let rotated = prepared.advance(RULES, &entropy, NOW + MONTH).unwrap();
            assert_eq!(kids(&rotated, section).0, next);
        }
    }

    #[test]
    fn another_algorithm_comes_with_the_next_key() {
        let entropy = Seeded::new(6);
        let first = Document::first(Section::Signing, RULES, &entropy, NOW).unwrap();
        let rules = Rules { algorithm: Algorithm::EdDsa, ..RULES };
        let second = first.advance(rules, &entropy, NOW + MONTH).unwrap();
        assert_eq!(SigningKeys::from_document(&second).unwrap().algorithm(), Algorithm::Es256);
        let third = second.advance(rules, &entropy, NOW + MONTH * 2).unwrap();
        assert_eq!(SigningKeys::from_document(&third).unwrap().algorithm(), Algorithm::EdDsa);
    }

    /// invariant: A replacement of leaked keys removes all of them.
    #[test]
    fn a_cut_leaves_nothing_that_had_leaked() {
        let entropy = Seeded::new(7);
        for section in Section::ALL {
            let first = Document::first(section, RULES, &entropy, NOW).unwrap();
            let leaked = first.advance(RULES, &entropy, NOW + MONTH).unwrap();
            let cut = leaked.cut(RULES, &entropy, NOW + MONTH).unwrap();
            usable(&cut, section);
            let (active, next, retired) = kids(&cut, section);
            for kid in [&active, &next] {
                assert!(leaked.summary().iter().all(|key| key.kid != *kid));
            }
            match section {
                Section::Signing | Section::Refresh => assert!(retired.is_empty()),
                Section::Peppers => assert_eq!(retired.len(), 3, "hashes name them"),
            }
        }
    }

    /// invariant: Counters and device tokens outlive a rotation of the peppers, and end with leaked ones.
    #[test]
    fn the_counter_key_outlives_a_pepper() {
        let entropy = Seeded::new(10);
        let digest =
            |document: &Document| Peppers::from_document(document).unwrap().counter_key().digest(b"alice");
        let first = Document::first(Section::Peppers, RULES, &entropy, NOW).unwrap();
        let earlier = Document { counter_key: None, ..first.clone() };
        for document in [first, earlier] {
            let own = digest(&document);
            let mut rotated = document;
            for period in 1..=3 {
                let later = NOW + MONTH * period;
                let next = rotated.advance(RULES, &entropy, later).unwrap();
                assert_ne!(kids(&next, Section::Peppers).0, kids(&rotated, Section::Peppers).0);
                assert_eq!(digest(&next), own);
                rotated = Document::parse(next.to_json().unwrap().as_bytes()).unwrap();
                assert_eq!(digest(&rotated), own);
                let cut = rotated.cut(RULES, &entropy, later).unwrap();
                assert_ne!(digest(&cut), own);
            }
        }
    }

    #[test]
    fn a_pepper_that_was_adopted_meanwhile_is_not_forgotten() {
        let entropy = Seeded::new(9);
        let mut current = Document::first(Section::Peppers, RULES, &entropy, NOW).unwrap();
        let prepared = current.advance(RULES, &entropy, NOW + MONTH).unwrap();
        assert!(prepared.follows(&current));
        current.adopt_pepper(b"of another system", &entropy, NOW + MONTH).unwrap();
        assert!(!prepared.follows(&current), "hashes name it");
        // A refresh key that was dropped because nothing needs it is another matter.
        let first = Document::first(Section::Refresh, RULES, &entropy, NOW).unwrap();
        let mut document = first;
        for period in 1..=8 {
            let next = document.advance(RULES, &entropy, NOW + MONTH * period).unwrap();
            assert!(next.follows(&document));
            document = next;
        }
    }

    #[test]
    fn two_active_keys_are_no_key_set() {
        let entropy = Seeded::new(8);
        let mut twice = Document::first(Section::Refresh, RULES, &entropy, NOW).unwrap();
        twice.merge(Document::first(Section::Refresh, RULES, &entropy, NOW).unwrap());
        let error = twice.advance(RULES, &entropy, NOW + MONTH).unwrap_err();
        assert!(error.to_string().contains("2 active keys"), "{error}");
    }
}
