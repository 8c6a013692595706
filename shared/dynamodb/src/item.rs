//! Conversion of users and sessions to items and back. Reading is strict: the error names a missing or malformed attribute.

mod factors;
mod mail;
mod passkey;
mod reader;

use factors::from_factors;
pub(crate) use factors::{passkey_set, recovery_set_of};
pub(crate) use mail::{SUBJECT, SUBJECT_MAC, from_mail_request, outbox_key, to_mail_request, to_subject};
pub(crate) use passkey::{BACKED_UP, SIGN_COUNT, USED_AT, from_passkey, passkey_key, to_passkey};
use reader::Reader;

use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::account::Email;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::authentication::{Authentication, Methods};
use daypass_core::account::claims::Claims;
use daypass_core::factor::ENROLMENT_SESSION;
use daypass_core::ports::store::{AddressOwner, EndedSession, StoreError, User, UserStatus};
use daypass_core::session::limit::LastUse;
use daypass_core::session::{EndReason, Ended, KeyDigest, NetworkDigest, Session};
use daypass_core::throttle::KnownAddress;
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::revocation::SessionDigest;
use std::collections::HashMap;
use std::time::Duration;

/// An item in the SDK's form.
pub(crate) type Item = HashMap<String, AttributeValue>;

// Attributes of a user.
pub(crate) const USERNAME: &str = "username";
pub(crate) const ID: &str = "id";
pub(crate) const PASSWORD_HASH: &str = "password_hash";
pub(crate) const PASSWORD_VERSION: &str = "password_version";
pub(crate) const DISABLED: &str = "disabled";
pub(crate) const UPDATED_AT: &str = "updated_at";
pub(crate) const KNOWN: &str = "known";
pub(crate) const CHANGED_BY: &str = "changed_by";
pub(crate) const EMAIL: &str = "email";
pub(crate) const EMAIL_VERIFIED: &str = "email_verified";
pub(crate) const EMAIL_UNDELIVERABLE: &str = "email_undeliverable";
pub(crate) const TOTP: &str = "totp";
pub(crate) const TOTP_STEP: &str = "totp_step";
pub(crate) const RECOVERY: &str = "recovery";
pub(crate) const PASSKEYS: &str = "passkeys";
pub(crate) const MFA: &str = "mfa";
// A session of such a user has this attribute too.
pub(crate) const CLAIMS: &str = "claims";

// Attribute of an item of the users table that belongs to a user: the claim of an e-mail address, or a passkey. Both also have
// `username`, their key, and `id`.
pub(crate) const OWNER: &str = "owner";

// Attributes of a session. A user also has `scope` and `created_at`, and a counter also has `expires_at`.
pub(crate) const USER: &str = "user";
pub(crate) const SESSION: &str = "session";
pub(crate) const GENERATION: &str = "generation";
pub(crate) const ROTATED_AT: &str = "rotated_at";
pub(crate) const ATTEMPT: &str = "attempt";
pub(crate) const ACCOUNT: &str = "acct";
pub(crate) const FOR_ENROLMENT: &str = "enrols";
pub(crate) const AUTHENTICATION: &str = "auth";
pub(crate) const BOUND_TO: &str = "jkt";
pub(crate) const NAMED: &str = "named";
pub(crate) const NETWORK: &str = "network";
pub(crate) const CREATED_AT: &str = "created_at";
pub(crate) const EXPIRES_AT: &str = "expires_at";
pub(crate) const ABSOLUTE_END: &str = "absolute_end";
pub(crate) const CLIENT: &str = "client";
pub(crate) const SCOPE: &str = "scope";
pub(crate) const REVOKED_AT: &str = "revoked_at";
pub(crate) const REVOKED_WHY: &str = "revoked_why";
pub(crate) const DEVICE: &str = "device";
pub(crate) const NAME: &str = "name";
// Only in a session that ended early: the key of the index of ended sessions.
pub(crate) const ENDED_BUCKET: &str = "ended_bucket";
pub(crate) const ENDED_AT: &str = "ended_at";

// Attributes of a counter of attempts.
pub(crate) const KEY: &str = "key";

/// An attribute of the type string.
pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// An attribute of the type number.
pub(crate) fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

/// A time in whole seconds since the epoch, as TTL needs it.
pub(crate) fn seconds(time: Timestamp) -> AttributeValue {
    AttributeValue::N(time.seconds().to_string())
}

/// A time in seconds since the epoch, with milliseconds as decimals. Conditions can compare it with [`seconds`].
pub(crate) fn precise(time: Timestamp) -> AttributeValue {
    AttributeValue::N(format!("{}.{:03}", time.seconds(), time.millis() % 1000))
}

/// Whether the last write of the item was of this attempt.
pub(crate) fn is_attempt(item: &Item, attempt: AttemptId) -> bool {
    item.get(ATTEMPT)
        .and_then(|value| value.as_b().ok())
        .is_some_and(|bytes| bytes.as_ref() == attempt.as_bytes())
}

/// An attribute of the type binary.
pub(crate) fn binary(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(bytes.to_vec().into())
}

/// Stores the scope as a string set, so that a condition can test for one word. A set cannot be empty, so an empty scope has
/// no attribute.
fn put_scope(item: &mut Item, scope: &Scope) {
    if let Some(words) = scope_set(scope) {
        item.insert(SCOPE.to_owned(), words);
    }
}

fn put_claims(item: &mut Item, claims: &Claims) {
    if let Some(claims) = claims_text(claims) {
        item.insert(CLAIMS.to_owned(), claims);
    }
}

/// The stored form of claims: compact JSON. `None` if there are none.
pub(crate) fn claims_text(claims: &Claims) -> Option<AttributeValue> {
    (!claims.is_empty()).then(|| text(claims.to_string()))
}

/// The stored form of a scope. `None` for the empty scope.
pub(crate) fn scope_set(scope: &Scope) -> Option<AttributeValue> {
    (!scope.is_empty()).then(|| AttributeValue::Ss(scope.words().map(str::to_owned).collect()))
}

/// The buckets of the index of ended sessions: the last hexadecimal digit of the session id, which is random.
pub(crate) const ENDED_BUCKETS: [&str; 16] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"];

/// The bucket of the session with this key. An id of another form has a bucket too, because its ending counts as well.
pub(crate) fn ended_bucket(key: &Item) -> &'static str {
    let id = key.get(SESSION).and_then(|id| id.as_s().ok());
    let digit = id.and_then(|id| id.chars().next_back()).and_then(|last| last.to_digit(16));
    digit.and_then(|digit| ENDED_BUCKETS.get(digit as usize)).copied().unwrap_or("0")
}

/// The key of a session.
pub(crate) fn session_key(user: UserId, session: SessionId) -> Item {
    Item::from([(USER.to_owned(), text(user.to_string())), (SESSION.to_owned(), text(session.to_string()))])
}

/// The key of a user.
pub(crate) fn user_key(username: &Username) -> Item {
    Item::from([(USERNAME.to_owned(), text(username.as_str()))])
}

/// The key of the item that claims an e-mail address.
pub(crate) fn address_key(address: &EmailAddress) -> Item {
    Item::from([(USERNAME.to_owned(), text(format!("{}{address}", Username::RESERVED_PREFIX)))])
}

/// The item that claims an e-mail address for a user.
pub(crate) fn from_claim(address: &EmailAddress, username: &Username, id: UserId) -> Item {
    let mut item = address_key(address);
    item.insert(OWNER.to_owned(), text(username.as_str()));
    item.insert(ID.to_owned(), text(id.to_string()));
    item
}

/// Whether an item of the users table is the claim of an e-mail address or a passkey, and no user.
pub(crate) fn is_claim(item: &Item) -> bool {
    item.contains_key(OWNER)
}

/// Reads the item that claims an e-mail address.
pub(crate) fn to_owner(item: &Item) -> Result<AddressOwner, StoreError> {
    let read = Reader { table: "users", item };
    Ok(AddressOwner {
        username: read.parsed(OWNER, |name| Username::from_normalised(name.to_owned()))?,
        id: read.parsed(ID, UserId::parse)?,
    })
}

/// The key of an attempt counter.
pub(crate) fn attempt_key(key: &str) -> Item {
    Item::from([(KEY.to_owned(), text(key))])
}

/// Name of the attribute of a slot. Its value is the time in milliseconds until which the slot is busy.
pub(crate) fn slot_name(slot: u32) -> String {
    format!("s{slot}")
}

/// A time in milliseconds since the epoch.
pub(crate) fn millis(time: Timestamp) -> AttributeValue {
    AttributeValue::N(time.millis().to_string())
}

/// The time until which a slot is busy. The epoch for a slot that was never used.
pub(crate) fn busy_until(item: &Item, slot: u32) -> Result<Timestamp, StoreError> {
    let name = slot_name(slot);
    let read = Reader { table: "attempts", item };
    if !item.contains_key(&name) {
        return Ok(Timestamp::default());
    }
    read.digits(&name)?.parse().map(Timestamp::from_millis).map_err(|_| read.odd(&name))
}

/// Bytes of one known address: its keyed hash, and its expiry in seconds since the epoch.
const KNOWN_BYTES: usize = 16 + 8;

/// The known addresses of a user as one attribute.
pub(crate) fn from_known(known: &[KnownAddress]) -> AttributeValue {
    let entry = |known: &KnownAddress| [known.key.as_slice(), &known.until.seconds().to_be_bytes()].concat();
    binary(&known.iter().flat_map(entry).collect::<Vec<u8>>())
}

/// Reads the known addresses of a user.
pub(crate) fn to_known(item: &Item) -> Result<Vec<KnownAddress>, StoreError> {
    let Some(value) = item.get(KNOWN) else { return Ok(Vec::new()) };
    let read = Reader { table: "users", item };
    let bytes = value.as_b().map_err(|_| read.odd(KNOWN))?.as_ref();
    let (entries, []) = bytes.as_chunks::<KNOWN_BYTES>() else { return Err(read.odd(KNOWN)) };
    let entry = |entry: &[u8; KNOWN_BYTES]| {
        let (key, seconds) = (entry.first_chunk()?, entry.last_chunk()?);
        Some(KnownAddress { key: *key, until: Timestamp::from_seconds(u64::from_be_bytes(*seconds)) })
    };
    entries.iter().map(entry).collect::<Option<_>>().ok_or_else(|| read.odd(KNOWN))
}

/// The session that last changed the password of the user. `None` if an operator did.
pub(crate) fn to_changed_by(item: &Item) -> Result<Option<SessionId>, StoreError> {
    let read = Reader { table: "users", item };
    if !item.contains_key(CHANGED_BY) {
        return Ok(None);
    }
    read.parsed(CHANGED_BY, SessionId::parse).map(Some)
}

/// The user name in the item of a session. `None` if an older version wrote the item.
pub(crate) fn to_session_name(item: &Item) -> Result<Option<Username>, StoreError> {
    if !item.contains_key(NAME) {
        return Ok(None);
    }
    let read = Reader { table: "sessions", item };
    read.parsed(NAME, |name| Username::from_normalised(name.to_owned())).map(Some)
}

/// The item of a session.
pub(crate) fn from_session(session: &Session) -> Item {
    let mut item = session_key(session.user, session.session);
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put(GENERATION, number(session.generation));
    put(CREATED_AT, precise(session.created_at));
    put(EXPIRES_AT, seconds(session.expires_at));
    put(ABSOLUTE_END, seconds(session.absolute_end));
    put(CLIENT, text(session.client.as_str()));
    if let Some(at) = session.rotated_at {
        put(ROTATED_AT, precise(at));
    }
    if let Some(attempt) = session.attempt {
        put(ATTEMPT, binary(attempt.as_bytes()));
    }
    // Sessions of earlier versions have the right and no attribute.
    if !session.account {
        put(ACCOUNT, AttributeValue::Bool(false));
    }
    let (scope, lifetime) = (&session.scope, session.absolute_end.since(session.created_at));
    if session.for_enrolment || has_shape_of_enrolment(scope.is_empty(), lifetime) {
        put(FOR_ENROLMENT, AttributeValue::Bool(session.for_enrolment));
    }
    if session.authentication != by_password(session.created_at) {
        put(AUTHENTICATION, authentication(session.authentication, session.created_at));
    }
    if let Some(key) = session.key {
        put(BOUND_TO, binary(key.as_bytes()));
    }
    if session.named {
        put(NAMED, AttributeValue::Bool(true));
    }
    if let Some(network) = session.network {
        put(NETWORK, binary(network.as_bytes()));
    }
    if let Some(ended) = session.ended {
        put(REVOKED_AT, precise(ended.at));
        put(REVOKED_WHY, text(ended.reason.as_str()));
    }
    if let Some(device) = &session.device {
        put(DEVICE, text(device));
    }
    put_claims(&mut item, &session.claims);
    put_scope(&mut item, &session.scope);
    item
}

/// The authentication of a session without the attribute: the password at the login. Sessions of earlier versions have none.
fn by_password(created_at: Timestamp) -> Authentication {
    Authentication::new(created_at, Methods::PASSWORD)
}

/// The stored form of an authentication: the bits of its methods, and the seconds since the epoch in four bytes unless they are
/// those of the login. [`AUTHENTICATION_BYTES`](daypass_core::account::AUTHENTICATION_BYTES) is the room of the largest one.
pub(crate) fn authentication(authentication: Authentication, created_at: Timestamp) -> AttributeValue {
    let mut bytes = vec![authentication.methods.bits()];
    if authentication.at.seconds() != created_at.seconds() {
        // Enough until the year 2106.
        let seconds = u32::try_from(authentication.at.seconds()).unwrap_or(u32::MAX);
        bytes.extend(seconds.to_be_bytes());
    }
    binary(&bytes)
}

fn to_authentication(bytes: &[u8], created_at: Timestamp) -> Option<Authentication> {
    let (methods, at) = bytes.split_first()?;
    let at = match at {
        [] => created_at,
        _ => Timestamp::from_seconds(u32::from_be_bytes(at.try_into().ok()?).into()),
    };
    Some(Authentication::new(at, Methods::from_bits(*methods)))
}

/// Reads a session.
///
/// The stored `expires_at` may be later than the absolute end (see `rotation`). The earlier of both becomes the expiry of the
/// [`Session`]. In an ended session it is the time of the removal (see `ending`), so the expiry is the absolute end.
pub(crate) fn to_session(item: &Item) -> Result<Session, StoreError> {
    let read = Reader { table: "sessions", item };
    let (created_at, absolute_end) = (read.time(CREATED_AT)?, read.time(ABSOLUTE_END)?);
    let expires_at = read.time(EXPIRES_AT)?.min(absolute_end);
    let revoked_at = read.optional(REVOKED_AT, Reader::time)?;
    let ended = match revoked_at {
        Some(at) => Some(Ended { at, reason: EndReason::parse(read.text(REVOKED_WHY)?) }),
        None => None,
    };
    Ok(Session {
        user: read.parsed(USER, UserId::parse)?,
        session: read.parsed(SESSION, SessionId::parse)?,
        generation: read.number(GENERATION)?,
        rotated_at: read.optional(ROTATED_AT, Reader::time)?,
        attempt: read.optional(ATTEMPT, |read, name| read.bytes(name, AttemptId::from_bytes))?,
        named: read.optional(NAMED, Reader::flag)?.unwrap_or(false),
        network: read.optional(NETWORK, |read, name| read.bytes(name, NetworkDigest::from_bytes))?,
        created_at,
        expires_at: if ended.is_some() { absolute_end } else { expires_at },
        absolute_end,
        client: read.parsed(CLIENT, ClientId::parse)?,
        scope: read.scope()?,
        claims: read.claims()?,
        account: read.optional(ACCOUNT, Reader::flag)?.unwrap_or(true),
        for_enrolment: is_for_enrolment(item)?,
        authentication: read
            .optional(AUTHENTICATION, |read, name| {
                read.bytes(name, |bytes| to_authentication(bytes, created_at))
            })?
            .unwrap_or_else(|| by_password(created_at)),
        key: read.optional(BOUND_TO, |read, name| read.bytes(name, KeyDigest::from_bytes))?,
        ended,
        device: read.optional(DEVICE, Reader::text)?.map(str::to_owned),
    })
}

/// Reads the id of a session and the time of its last rotation, or of its login.
pub(crate) fn to_last_use(item: &Item) -> Result<LastUse, StoreError> {
    let read = Reader { table: "sessions", item };
    let rotated_at = read.optional(ROTATED_AT, Reader::time)?;
    let at = rotated_at.map_or_else(|| read.time(CREATED_AT), Ok)?;
    Ok(LastUse { session: read.parsed(SESSION, SessionId::parse)?, at })
}

/// Whether a session is open for the enrolment of a second factor alone. An item without the attribute, as earlier versions
/// wrote it, is judged by its shape: no scope, and an hour at most.
pub(crate) fn is_for_enrolment(item: &Item) -> Result<bool, StoreError> {
    let read = Reader { table: "sessions", item };
    if let Some(stored) = read.optional(FOR_ENROLMENT, Reader::flag)? {
        return Ok(stored);
    }
    let lifetime = read.time(ABSOLUTE_END)?.since(read.time(CREATED_AT)?);
    Ok(has_shape_of_enrolment(!item.contains_key(SCOPE), lifetime))
}

fn has_shape_of_enrolment(is_without_scope: bool, lifetime: Duration) -> bool {
    is_without_scope && lifetime <= ENROLMENT_SESSION
}

/// Reads an entry of the index of ended sessions: session id and time. The id is not parsed.
pub(crate) fn to_ended(item: &Item) -> Result<EndedSession, StoreError> {
    let read = Reader { table: "sessions", item };
    Ok(EndedSession { at: read.time(ENDED_AT)?, session: SessionDigest::of(read.text(SESSION)?) })
}

/// The item of a user.
pub(crate) fn from_user(user: &User) -> Item {
    let mut item = user_key(&user.username);
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put(ID, text(user.id.to_string()));
    put(PASSWORD_HASH, text(&user.password_hash));
    put(PASSWORD_VERSION, number(user.password_version));
    put(DISABLED, AttributeValue::Bool(user.status == UserStatus::Disabled));
    put(CREATED_AT, precise(user.created_at));
    put(UPDATED_AT, precise(user.updated_at));
    put_claims(&mut item, &user.claims);
    put_scope(&mut item, &user.scope);
    item.extend(user.email.iter().flat_map(from_email));
    item.extend(from_factors(&user.factors));
    item
}

/// The attributes of an e-mail address.
pub(crate) fn from_email(email: &Email) -> Vec<(String, AttributeValue)> {
    let mut attributes = vec![
        (EMAIL.to_owned(), text(email.address.as_str())),
        (EMAIL_VERIFIED.to_owned(), AttributeValue::Bool(email.verified)),
    ];
    if let Some(cause) = email.undeliverable {
        attributes.push((EMAIL_UNDELIVERABLE.to_owned(), text(cause.as_str())));
    }
    attributes
}

/// Reads a user.
pub(crate) fn to_user(item: &Item) -> Result<User, StoreError> {
    let read = Reader { table: "users", item };
    Ok(User {
        username: read.parsed(USERNAME, |name| Username::from_normalised(name.to_owned()))?,
        id: read.parsed(ID, UserId::parse)?,
        password_hash: read.text(PASSWORD_HASH)?.to_owned(),
        password_version: read.number(PASSWORD_VERSION)?,
        status: if read.flag(DISABLED)? { UserStatus::Disabled } else { UserStatus::Enabled },
        scope: read.scope()?,
        email: read.email()?,
        claims: read.claims()?,
        factors: read.factors()?,
        created_at: read.time(CREATED_AT)?,
        updated_at: read.time(UPDATED_AT)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_core::account::Undeliverable;
    use daypass_core::account::authentication::Method;
    use daypass_core::factor::recovery::RecoveryDigest;
    use daypass_core::factor::{EnrolledTotp, Factors};

    const NOW: Timestamp = Timestamp::from_millis(1_763_926_785_120);

    fn session() -> Session {
        Session {
            user: UserId::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            generation: u32::MAX,
            rotated_at: Some(NOW),
            attempt: AttemptId::from_bytes(&[3; 9]),
            named: true,
            network: NetworkDigest::from_bytes(&[4; 8]),
            created_at: Timestamp::from_millis(1_763_926_785_007),
            expires_at: Timestamp::from_seconds(1_763_927_000),
            absolute_end: Timestamp::from_seconds(1_763_928_000),
            client: ClientId::parse("web").unwrap(),
            scope: Scope::parse("a b").unwrap(),
            claims: Claims::parse("{\"tenant\":\"acme\"}").unwrap(),
            account: false,
            for_enrolment: true,
            authentication: Authentication::new(NOW, Methods::of(&Method::ALL)),
            key: None,
            ended: Some(Ended { at: NOW, reason: EndReason::Reuse }),
            device: Some("curl/8".to_owned()),
        }
    }

    fn user() -> User {
        User {
            username: Username::from_normalised("ada".to_owned()).unwrap(),
            id: UserId::from_bytes([1; 16]),
            password_hash: "$argon2id$".to_owned(),
            password_version: 7,
            status: UserStatus::Disabled,
            scope: Scope::parse("a b").unwrap(),
            email: Some(Email {
                address: EmailAddress::parse("ada@example.com").unwrap(),
                verified: true,
                undeliverable: Some(Undeliverable::Bounced),
            }),
            claims: Claims::parse("{\"tenant\":\"acme\"}").unwrap(),
            factors: Factors {
                totp: Some(EnrolledTotp { sealed: vec![1; 60], step: 60_000_000 }),
                recovery: [1, 2].map(|n| RecoveryDigest::from_bytes(&[n; 16]).unwrap()).into(),
                passkeys: vec![vec![1; 16], vec![2]],
                required: true,
            },
            created_at: NOW,
            updated_at: NOW,
        }
    }

    #[test]
    fn sessions_read_back() {
        let ended = Session { expires_at: session().absolute_end, ..session() };
        assert_eq!(to_session(&from_session(&session())), Ok(ended));
        let bare = Session {
            rotated_at: None,
            attempt: None,
            named: false,
            network: None,
            scope: Scope::default(),
            claims: Claims::default(),
            account: true,
            for_enrolment: false,
            authentication: by_password(session().created_at),
            key: None,
            ended: None,
            device: None,
            ..session()
        };
        let item = from_session(&bare);
        assert!(!item.contains_key(AUTHENTICATION), "as in the items of earlier versions");
        assert_eq!(to_session(&item), Ok(bare.clone()));
        let later = Authentication::new(NOW + Duration::from_secs(600), Methods::PASSWORD);
        for (authentication, bytes) in [(later, 5), (by_password(NOW), 0), (session().authentication, 1)] {
            let opened = Session { authentication, ..bare.clone() };
            let item = from_session(&opened);
            assert_eq!(item.get(AUTHENTICATION).map_or(0, |auth| auth.as_b().unwrap().as_ref().len()), bytes);
            assert_eq!(to_session(&item), Ok(opened));
        }
        // Without scope and for less than an hour: the attribute tells both kinds apart, and items of earlier versions are those of
        // an enrolment.
        for for_enrolment in [true, false] {
            let opened = Session { for_enrolment, ..bare.clone() };
            let mut item = from_session(&opened);
            assert_eq!(to_session(&item), Ok(opened));
            assert!(item.remove(FOR_ENROLMENT).is_some());
            assert_eq!(to_session(&item).map(|session| session.for_enrolment), Ok(true));
        }
    }

    #[test]
    fn users_read_back() {
        assert!(to_user(&from_user(&user())) == Ok(user()));
        let bare = User {
            status: UserStatus::Enabled,
            scope: Scope::default(),
            email: None,
            claims: Claims::default(),
            factors: Factors::default(),
            ..user()
        };
        assert!(to_user(&from_user(&bare)) == Ok(bare));
        let mut upper = from_user(&user());
        upper.insert(EMAIL.to_owned(), text("Ada@example.com"));
        assert!(to_user(&upper).is_err(), "an address that is not normalised");
    }

    #[test]
    fn the_claim_of_an_address_is_no_user() {
        let address = EmailAddress::parse("ada@example.com").unwrap();
        let claim = from_claim(&address, &user().username, user().id);
        assert!(is_claim(&claim) && !is_claim(&from_user(&user())));
        assert!(to_user(&claim).is_err());
        assert_eq!(to_owner(&claim), Ok(AddressOwner { username: user().username, id: user().id }));
        assert_eq!(claim[USERNAME], text("email#ada@example.com"));
    }

    #[test]
    fn a_session_never_outlives_its_absolute_end() {
        let mut item = from_session(&session());
        item.insert(EXPIRES_AT.to_owned(), number(1_763_928_001_u64));
        assert_eq!(to_session(&item).unwrap().expires_at, session().absolute_end);
    }

    #[test]
    fn the_buckets_are_one_for_each_last_digit() {
        for (digit, bucket) in (0..16).zip(ENDED_BUCKETS) {
            let session = SessionId::from_bytes([digit; 16]);
            assert_eq!(ended_bucket(&session_key(UserId::from_bytes([1; 16]), session)), bucket);
        }
        for odd in ["", "?", "G", "ü"] {
            assert_eq!(ended_bucket(&Item::from([(SESSION.to_owned(), text(odd))])), "0", "{odd}");
        }
        assert_eq!(ended_bucket(&Item::new()), "0");
    }

    #[test]
    fn an_odd_attribute_is_named() {
        let check = |item: &Item, name: &str, read: &dyn Fn(&Item) -> Option<StoreError>| {
            for odd in [
                None,
                Some(AttributeValue::Null(true)),
                Some(text("?!")),
                Some(AttributeValue::N("-1".to_owned())),
            ] {
                let mut item = item.clone();
                match odd {
                    None => item.remove(name),
                    Some(odd) => item.insert(name.to_owned(), odd),
                };
                // Optional attributes and free text can be read in this form too. Only the errors are tested here.
                if let Some(error) = read(&item) {
                    let StoreError::Broken(text) = error else { panic!("{error:?}") };
                    assert!(text.contains(&format!("`{name}`")), "{name}: {text}");
                    assert!(!text.contains("?!"), "{text}");
                } else {
                    assert!(
                        [
                            ROTATED_AT,
                            ATTEMPT,
                            ACCOUNT,
                            FOR_ENROLMENT,
                            PASSKEYS,
                            AUTHENTICATION,
                            NAMED,
                            NETWORK,
                            REVOKED_AT,
                            REVOKED_WHY,
                            DEVICE,
                            CLIENT,
                            SCOPE,
                            EMAIL,
                            EMAIL_VERIFIED,
                            EMAIL_UNDELIVERABLE,
                            CLAIMS,
                            PASSWORD_HASH,
                            TOTP,
                            RECOVERY,
                            MFA,
                            USERNAME
                        ]
                        .contains(&name),
                        "{name} was read as {:?}",
                        item.get(name)
                    );
                }
            }
            let mut item = item.clone();
            item.insert(name.to_owned(), AttributeValue::Null(true));
            assert!(read(&item).is_some(), "{name}: NULL was read");
        };
        let item = from_session(&session());
        for name in item.keys() {
            check(&item, name, &|item| to_session(item).err());
        }
        let item = from_user(&user());
        for name in item.keys() {
            check(&item, name, &|item| to_user(item).err());
        }
    }

    #[test]
    fn times_are_numbers_of_seconds() {
        assert_eq!(precise(NOW), AttributeValue::N("1763926785.120".to_owned()));
        assert_eq!(seconds(NOW), AttributeValue::N("1763926785".to_owned()));
    }
}
