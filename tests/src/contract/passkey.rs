//! Passkeys of users.

use crate::bench::{Bench, NOW, after, random, session, user, username};
use data_encoding::HEXLOWER;
use daypass_core::passkey::ceremony::Used;
use daypass_core::passkey::challenge::Challenge;
use daypass_core::passkey::key::PublicKey;
use daypass_core::passkey::{Credential, PasskeyId};
use daypass_core::ports::passkey::{Passkey, PasskeyStore, UsedPasskey};
use daypass_core::ports::store::{
    FactorChange, FactorEdit, FactorStore, FactorsChanged, NewSession, Store, StoreError, UsedFactor, User,
    UserStatus, UserStore,
};
use daypass_core::session::Session;
use daypass_testkit::recorder::Action;
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::UserId;
use futures_util::future::join_all;

struct Random;

impl Entropy for Random {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill_with(|| random::<1>()[0]);
    }
}

fn challenge() -> Challenge {
    Challenge::generate(NOW, &Random)
}

/// The base point of P-256 as a COSE key.
fn public_key() -> PublicKey {
    let bytes = concat!(
        "a5010203262001215820",
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        "225820",
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    );
    PublicKey::from_bytes(&HEXLOWER.decode(bytes.as_bytes()).unwrap()).unwrap()
}

/// A passkey of this user whose credential id has this byte.
fn passkey(user: &User, byte: u8) -> Passkey {
    Passkey {
        credential: Credential {
            id: vec![byte; 20],
            user: user.id,
            public_key: public_key(),
            sign_count: 4,
            backup_eligible: true,
            backed_up: false,
            verifies_user: true,
        },
        username: user.username.clone(),
        name: format!("Key {byte}"),
        created_at: after(u64::from(byte)),
        used_at: None,
    }
}

async fn change(bench: &Bench, user: &User, edit: FactorEdit<'_>) -> FactorsChanged {
    bench.store.change_factors(&FactorChange { user, edit, notice: None }).await.unwrap()
}

/// The user as stored.
async fn now(bench: &Bench, user: &User) -> User {
    bench.store.user_named(&user.username).await.unwrap().unwrap()
}

/// Adds the passkey to its user, who may have others. Returns the user.
async fn added(bench: &Bench, user: &User, passkey: &Passkey) -> User {
    let user = now(bench, user).await;
    assert_eq!(change(bench, &user, FactorEdit::AddPasskey(passkey)).await, FactorsChanged::Now);
    now(bench, &user).await
}

async fn open(
    bench: &Bench,
    session: &Session,
    user: &User,
    passkey: &Passkey,
    (challenge, sign_count): (Challenge, u32),
) -> Result<bool, StoreError> {
    let used = Used { sign_count, backed_up: true, user_verified: true };
    let factor = Some(UsedFactor::Passkey(UsedPasskey { passkey, used, challenge }));
    let new = NewSession { session, user, rehash: None, known: None, factor, settle: None };
    bench.store.open_session(&new).await
}

/// All attributes are read back, and the oldest passkey comes first.
pub async fn a_passkey_reads_back(bench: &Bench) {
    let ada = bench.user("ada").await;
    let [second, first] = [passkey(&ada, 9), passkey(&ada, 3)];
    let mut met = ada.clone();
    for new in [&second, &first] {
        met = added(bench, &met, new).await;
        let found = bench.store.passkey(new.credential.passkey_id()).await.unwrap();
        assert_eq!(found.as_ref(), Some(new));
    }
    assert_eq!(bench.store.passkeys_of(&met).await, Ok(vec![first, second]));
    assert_eq!(bench.store.passkeys_of(&ada).await, Ok(Vec::new()));
    assert_eq!(bench.store.passkey(PasskeyId::of(b"unknown")).await, Ok(None));
}

/// invariant: A passkey has one user.
pub async fn a_credential_has_one_user(bench: &Bench) {
    let (ada, grace) = (bench.user("ada").await, bench.user("grace").await);
    let own = passkey(&ada, 1);
    let ada = added(bench, &ada, &own).await;
    for (user, again) in
        [(&ada, Passkey { name: "Again".to_owned(), ..own.clone() }), (&grace, passkey(&grace, 1))]
    {
        let taken = change(bench, user, FactorEdit::AddPasskey(&again)).await;
        assert_eq!(taken, FactorsChanged::PasskeyTaken);
    }
    assert!(now(bench, &grace).await == grace);
    assert_eq!(bench.store.passkey(own.credential.passkey_id()).await, Ok(Some(own)));
}

/// The response to a registration is lost, and the SDK sends it again.
pub async fn an_added_passkey_whose_answer_was_lost_is_added(bench: &Bench) {
    let ada = bench.user("ada").await;
    bench.recorder.next(1, Action::DropAnswer);
    let own = passkey(&ada, 1);
    assert_eq!(added(bench, &ada, &own).await.factors.passkeys, [own.credential.id]);
}

/// Of parallel changes of a user's factors, one is stored: the others have read another list.
pub async fn of_parallel_registrations_one_is_stored(bench: &Bench) {
    let ada = bench.user("ada").await;
    let new: Vec<Passkey> = (1..=8).map(|byte| passkey(&ada, byte)).collect();
    let sent = join_all(new.iter().map(|passkey| {
        let change = FactorChange { user: &ada, edit: FactorEdit::AddPasskey(passkey), notice: None };
        async move { bench.store.change_factors(&change).await }
    }))
    .await;
    let stored = sent.iter().filter(|sent| **sent == Ok(FactorsChanged::Now)).count();
    assert_eq!((stored, now(bench, &ada).await.factors.passkeys.len()), (1, 1), "{sent:?}");
}

/// One transaction opens the session, counts the use and notes the challenge.
pub async fn a_passkey_opens_a_session(bench: &Bench) {
    let ada = bench.user("ada").await;
    let own = passkey(&ada, 1);
    let ada = added(bench, &ada, &own).await;
    let new = session(&ada);
    let _ = bench.recorder.take();
    assert_eq!(open(bench, &new, &ada, &own, (challenge(), 5)).await, Ok(true));
    let sent: Vec<String> = bench.recorder.take().into_iter().map(|exchange| exchange.operation).collect();
    assert_eq!(sent, ["TransactWriteItems"]);
    assert!(bench.stored(&new).await.is_some());
    let expected = Passkey {
        credential: Credential { sign_count: 5, backed_up: true, ..own.credential.clone() },
        used_at: Some(new.created_at),
        ..own.clone()
    };
    assert_eq!(bench.store.passkey(own.credential.passkey_id()).await, Ok(Some(expected)));
    assert!(now(bench, &ada).await == ada);
}

/// The response is lost, and the SDK sends the transaction again.
pub async fn a_passkey_login_whose_answer_was_lost_is_one_login(bench: &Bench) {
    let ada = bench.user("ada").await;
    let own = passkey(&ada, 1);
    let ada = added(bench, &ada, &own).await;
    bench.recorder.next(1, Action::DropAnswer);
    assert_eq!(open(bench, &session(&ada), &ada, &own, (challenge(), 5)).await, Ok(true));
    let found = bench.store.passkey(own.credential.passkey_id()).await.unwrap().unwrap();
    assert_eq!(found.credential.sign_count, 5);
}

/// Of 64 parallel logins with one response of an authenticator that does not count, one opens a session.
///
/// invariant: A challenge of a passkey opens one session, at any concurrency.
pub async fn a_challenge_opens_one_session(bench: &Bench) {
    let ada = bench.user("ada").await;
    let own = passkey(&ada, 1);
    let own = Passkey { credential: Credential { sign_count: 0, ..own.credential.clone() }, ..own };
    let ada = added(bench, &ada, &own).await;
    let shown = (challenge(), 0);
    let sessions: Vec<Session> = (0..64).map(|_| session(&ada)).collect();
    let outcomes = join_all(sessions.iter().map(|session| open(bench, session, &ada, &own, shown))).await;
    let opened = join_all(sessions.iter().map(|session| bench.stored(session))).await;
    assert_eq!(opened.iter().flatten().count(), 1, "{outcomes:?}");
    // Once more, alone: the challenge is the reason.
    assert_eq!(open(bench, &session(&ada), &ada, &own, shown).await, Ok(false));
    assert_eq!(open(bench, &session(&ada), &ada, &own, (challenge(), 0)).await, Ok(true));
}

/// A login opens nothing if the user or the passkey has changed since it read them.
pub async fn what_changed_meanwhile_opens_nothing(bench: &Bench) {
    let ada = bench.user("ada").await;
    let own = passkey(&ada, 1);
    let ada = added(bench, &ada, &own).await;
    let open = async |user: &User, count| {
        let (new, challenge) = (session(user), challenge());
        let opened = open(bench, &new, user, &own, (challenge, count)).await.unwrap();
        assert_eq!(bench.stored(&new).await.is_some(), opened);
        opened
    };
    for changed in [
        User { password_version: ada.password_version + 1, ..ada.clone() },
        User { id: UserId::from_bytes([9; 16]), ..ada.clone() },
    ] {
        assert!(!open(&changed, 5).await);
    }
    assert!(open(&ada, 7).await);
    for copied in [0, 6, 7] {
        assert!(!open(&ada, copied).await, "the counter is at 7");
    }
    bench.store.set_status(&ada.username, UserStatus::Disabled, NOW).await.unwrap();
    assert!(!open(&ada, 8).await);
    bench.store.set_status(&ada.username, UserStatus::Enabled, NOW).await.unwrap();
    assert!(open(&ada, 8).await);
    let removed = FactorEdit::RemovePasskey(own.credential.passkey_id());
    assert_eq!(change(bench, &ada, removed).await, FactorsChanged::Now);
    assert!(!open(&ada, 9).await);
    // A password alone opens nothing after the user has enrolled a passkey.
    let new = session(&ada);
    let bare = now(bench, &ada).await;
    added(bench, &ada, &passkey(&ada, 2)).await;
    assert_eq!(bench.open(&bare, &new).await, Ok(false));
}

/// A user renames own passkeys only.
pub async fn passkeys_of_others_stay(bench: &Bench) {
    let (ada, grace) = (bench.user("ada").await, bench.user("grace").await);
    let own = passkey(&ada, 1);
    let ada = added(bench, &ada, &own).await;
    let id = own.credential.passkey_id();
    assert_eq!(bench.store.rename_passkey(id, grace.id, "Mine").await, Ok(false));
    assert_eq!(bench.store.rename_passkey(PasskeyId::of(b"unknown"), ada.id, "x").await, Ok(false));
    assert_eq!(bench.store.rename_passkey(id, ada.id, "Phone").await, Ok(true));
    assert_eq!(change(bench, &grace, FactorEdit::RemovePasskey(id)).await, FactorsChanged::UserChanged);
    let renamed = Passkey { name: "Phone".to_owned(), ..own };
    assert_eq!(bench.store.passkey(id).await, Ok(Some(renamed)));
    assert_eq!(change(bench, &ada, FactorEdit::RemovePasskey(id)).await, FactorsChanged::Now);
    assert_eq!(bench.store.passkey(id).await, Ok(None));
    assert!(now(bench, &ada).await.factors.passkeys.is_empty());
}

/// The passkeys of a removed user go with it, and so do those of a reset. They are no users.
pub async fn a_removed_user_leaves_no_passkeys(bench: &Bench) {
    let mut ada = user("ada");
    bench.store.add_user(&ada).await.unwrap();
    let items = async || {
        let items = bench.raw.scan().table_name(&bench.tables.users).consistent_read(true).send().await;
        items.unwrap().items().len()
    };
    for byte in 1..=3 {
        ada = added(bench, &ada, &passkey(&ada, byte)).await;
    }
    assert_eq!(items().await, 4);
    assert!(bench.store.users(None, 10).await == Ok((vec![ada.clone()], None)));
    let (reset, _) = bench.store.reset_factors(&ada.username, NOW).await.unwrap().unwrap();
    assert!(reset.factors.passkeys.is_empty() && now(bench, &ada).await == reset);
    assert_eq!(items().await, 1);
    for byte in 1..=2 {
        added(bench, &ada, &passkey(&ada, byte)).await;
    }
    assert!(bench.store.remove_user(&username("ada"), NOW).await.unwrap().is_some());
    assert_eq!(items().await, 0);
}
