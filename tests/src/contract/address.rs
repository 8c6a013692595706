//! E-mail addresses of users, and their claims.

use crate::bench::{Bench, NOW, after, attempt_id, claims_of, present, rotated, session, user, username};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::account::{Email, Undeliverable};
use daypass_core::ports::store::{AddressOwner, AddressStore, Creation, SessionStore, Store, User};
use daypass_core::session::{EndReason, Session};
use daypass_dynamodb::{Addition, EmailChange, Import, Origin, UserFilter};
use daypass_testkit::hold::Hold;
use daypass_testkit::recorder::Action;
use futures_util::future::join_all;
use std::collections::BTreeSet;

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

fn email(text: &str) -> Email {
    Email { address: address(text), verified: true, undeliverable: None }
}

fn with(name: &str, text: &str) -> User {
    User { email: Some(email(text)), ..user(name) }
}

/// The name of the user who has this address.
async fn owner(bench: &Bench, text: &str) -> Option<String> {
    let owner = bench.store.user_by_address(&address(text)).await.unwrap();
    owner.map(|owner| owner.username.to_string())
}

/// The keys of all items of the users table.
async fn keys(bench: &Bench) -> BTreeSet<String> {
    let scan = bench.raw.scan().table_name(&bench.tables.users).consistent_read(true).send().await.unwrap();
    let name =
        |item: &std::collections::HashMap<String, AttributeValue>| item["username"].as_s().unwrap().clone();
    scan.items().iter().map(name).collect()
}

async fn set(bench: &Bench, name: &str, email: Option<&Email>) -> EmailChange {
    bench.store.set_email(&username(name), email, after(900)).await.unwrap()
}

/// invariant: An e-mail address has one user.
pub async fn an_address_has_one_user(bench: &Bench) {
    let ada = with("ada", "ada@example.com");
    assert_eq!(bench.store.add_user(&ada).await, Ok(Addition::Added));
    assert!(bench.store.user(&ada.username).await.unwrap() == Some(ada.clone()));
    let found = bench.store.user_by_address(&address("ada@example.com")).await;
    assert_eq!(found, Ok(Some(AddressOwner { username: ada.username.clone(), id: ada.id })));
    assert_eq!(owner(bench, "grace@example.com").await, None);

    assert_eq!(bench.store.add_user(&with("eve", "ada@example.com")).await, Ok(Addition::AddressTaken));
    assert_eq!(bench.store.add_user(&with("ada", "other@example.com")).await, Ok(Addition::NameTaken));
    assert_eq!(keys(bench).await, BTreeSet::from(["ada".to_owned(), "email#ada@example.com".to_owned()]));
    bench.user("grace").await;
    assert_eq!(set(bench, "grace", Some(&email("ada@example.com"))).await, EmailChange::Taken);
    assert_eq!(set(bench, "nobody", Some(&email("a@example.com"))).await, EmailChange::NoUser);
    assert_eq!(keys(bench).await.len(), 3);
}

/// invariant: A login name means one user: a name that is an e-mail address belongs to the user of this name.
pub async fn a_name_that_is_an_address_belongs_to_its_user(bench: &Bench) {
    // A name without an address of its own excludes the claims of others.
    bench.user("ada@example.com").await;
    assert_eq!(bench.store.add_user(&with("eve", "ada@example.com")).await, Ok(Addition::AddressTaken));
    bench.user("grace").await;
    assert_eq!(set(bench, "grace", Some(&email("ada@example.com"))).await, EmailChange::Taken);
    // Its user may claim it, or another address.
    let EmailChange::Changed(_) = set(bench, "ada@example.com", Some(&email("ada@example.com"))).await else {
        unreachable!("the user's own name")
    };
    let EmailChange::Changed(_) = set(bench, "ada@example.com", Some(&email("ada@home.example"))).await
    else {
        unreachable!("another address")
    };
    assert_eq!(set(bench, "grace", Some(&email("ada@example.com"))).await, EmailChange::Taken);

    // A claimed address is no name for a new user, except for a user who claims it at the same time.
    for added in [user("ada@home.example"), with("ada@home.example", "x@example.com")] {
        assert_eq!(bench.store.add_user(&added).await, Ok(Addition::NameTaken));
    }
    let own = with("new@example.com", "new@example.com");
    assert_eq!(bench.store.add_user(&own).await, Ok(Addition::Added));
    let taken = with("ada@home.example", "ada@home.example");
    assert_eq!(bench.store.add_user(&taken).await, Ok(Addition::AddressTaken));
}

/// The old claim goes and the new one comes in the transaction that changes the user. Sessions and password stay.
pub async fn an_address_moves_in_one_transaction(bench: &Bench) {
    let ada = bench.user("ada").await;
    let _ = bench.recorder.take();
    for (email, claimed) in [
        (Some(email("one@example.com")), ["one@example.com"].as_slice()),
        (Some(email("two@example.com")), &["two@example.com"]),
        // Other attributes of the same address.
        (Some(Email { verified: false, ..email("two@example.com") }), &["two@example.com"]),
        (
            Some(Email { undeliverable: Some(Undeliverable::Bounced), ..email("two@example.com") }),
            &["two@example.com"],
        ),
        (Some(email("two@example.com")), &["two@example.com"]),
        (None, &[]),
        (Some(email("one@example.com")), &["one@example.com"]),
    ] {
        let changed = set(bench, "ada", email.as_ref()).await;
        let exchanges = bench.recorder.take();
        let sent: Vec<_> = exchanges.iter().map(|exchange| exchange.operation.as_str()).collect();
        assert_eq!(sent, ["GetItem", "TransactWriteItems"]);
        let expected = User { email, updated_at: after(900), ..ada.clone() };
        assert_eq!(changed, EmailChange::Changed(Box::new(expected.clone())));
        assert!(bench.store.user(&ada.username).await.unwrap() == Some(expected));
        let claims = claimed.iter().map(|address| format!("email#{address}"));
        assert_eq!(keys(bench).await, claims.chain(["ada".to_owned()]).collect());
        let _ = bench.recorder.take();
        // The same again writes nothing.
        set(bench, "ada", bench.store.user(&ada.username).await.unwrap().unwrap().email.as_ref()).await;
        assert!(bench.recorder.take().iter().all(|exchange| exchange.operation == "GetItem"));
    }
}

/// The retry of the SDK finds the address that its first attempt set.
pub async fn an_address_whose_answer_was_lost_is_set_once(bench: &Bench) {
    bench.user("ada").await;
    bench.recorder.next(2, Action::DropAnswer);
    let EmailChange::Changed(user) = set(bench, "ada", Some(&email("ada@example.com"))).await else {
        unreachable!("the address is free")
    };
    assert_eq!(user.email, Some(email("ada@example.com")));
    assert_eq!(owner(bench, "ada@example.com").await.as_deref(), Some("ada"));
    let grace = with("grace", "grace@example.com");
    bench.recorder.next(1, Action::DropAnswer);
    assert_eq!(bench.store.add_user(&grace).await, Ok(Addition::Added));
}

/// Of ten users who claim an address at the same time, one has it.
pub async fn of_parallel_claims_one_is_stored(bench: &Bench) {
    for n in 0..10 {
        bench.user(&format!("user{n}")).await;
    }
    let email = email("ada@example.com");
    let claims = (0..10).map(|n| {
        let (store, name, email) = (bench.store.clone(), username(&format!("user{n}")), &email);
        async move { store.set_email(&name, Some(email), after(900)).await }
    });
    let outcomes = join_all(claims).await;
    let changed = outcomes.iter().filter(|outcome| matches!(outcome, Ok(EmailChange::Changed(_)))).count();
    let (users, _) = bench.store.users(None, 100).await.unwrap();
    let holders: Vec<_> = users.into_iter().filter(|user| user.email.is_some()).collect();
    assert_eq!((changed, holders.len()), (1, 1), "{outcomes:?}");
    assert_eq!(owner(bench, "ada@example.com").await.as_deref(), Some(holders[0].username.as_str()));
}

/// invariant: The address of a removed user is free again.
pub async fn a_removed_user_frees_the_address(bench: &Bench) {
    let ada = with("ada", "ada@example.com");
    assert_eq!(bench.store.add_user(&ada).await, Ok(Addition::Added));
    assert!(bench.store.remove_user(&ada.username, after(900)).await.unwrap().is_some());
    assert_eq!(keys(bench).await, BTreeSet::new());
    assert_eq!(bench.store.add_user(&with("grace", "ada@example.com")).await, Ok(Addition::Added));
}

/// A removal whose user gets another address meanwhile frees that one.
pub async fn a_change_of_address_spares_no_removal(bench: &Bench) {
    let ada = with("ada", "ada@example.com");
    assert_eq!(bench.store.add_user(&ada).await, Ok(Addition::Added));
    let (store, name) = (bench.store.clone(), ada.username.clone());
    // The write of the status is the first request, and the transaction comes last.
    let removal = tokio::spawn(async move { store.remove_user(&name, after(900)).await });
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let changed = set(bench, "ada", Some(&email("other@example.com"))).await;
    assert!(removal.await.unwrap().unwrap().is_some());
    let left = keys(bench).await;
    assert_eq!(left, BTreeSet::new(), "{changed:?}");
}

/// A list, a scan and an export leave the claims out, and a page has as many users as it may.
pub async fn claims_of_addresses_are_no_users(bench: &Bench) {
    let mut expected = BTreeSet::new();
    for n in 0..7 {
        let user = with(&format!("user{n}"), &format!("user{n}@example.com"));
        assert_eq!(bench.store.add_user(&user).await, Ok(Addition::Added));
        expected.insert(user.username);
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = bench.store.users(after.as_ref(), 3).await.unwrap();
        assert!(page.len() == 3 || (next.is_none() && page.len() <= 3), "{}", page.len());
        found.extend(page.into_iter().map(|user| user.username));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 7);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    for name_prefix in [None, Some("user".to_owned()), Some("e".to_owned())] {
        let filter = UserFilter { name_prefix: name_prefix.clone(), ..UserFilter::default() };
        let page = bench.store.scan_users(0, 1, &filter, None).await.unwrap();
        let users = if name_prefix.as_deref() == Some("e") { 0 } else { 7 };
        assert_eq!((page.users.len(), page.unreadable.len(), page.read), (users, 0, 14));
    }
}

/// An import is atomic too, and its preview gives the same outcome.
pub async fn an_import_claims_the_address(bench: &Bench) {
    let line = |line: u8| Origin { line: [line; 16], with_id: false };
    let check = async |user: &User, number: u8, expected: Import| {
        assert_eq!(bench.store.preview_import(user, line(number)).await, Ok(expected));
        assert_eq!(bench.store.import_user(user, line(number)).await, Ok(expected));
    };
    let ada = with("ada", "ada@example.com");
    check(&ada, 1, Import::Added).await;
    assert_eq!(owner(bench, "ada@example.com").await.as_deref(), Some("ada"));
    assert_eq!(bench.store.import_user(&ada, line(1)).await, Ok(Import::Added), "its own put");
    assert_eq!(
        bench.store.import_user(&with("ada", "ada@example.com"), line(1)).await,
        Ok(Import::Unchanged)
    );
    check(&with("eve", "ada@example.com"), 2, Import::AddressTaken).await;
    check(&user("ada@example.com"), 3, Import::Taken).await;
    check(&user("grace@example.com"), 4, Import::Added).await;
    check(&with("eve", "grace@example.com"), 5, Import::AddressTaken).await;
    check(&with("eve@example.com", "eve@example.com"), 6, Import::Added).await;
}

/// A login from the old system creates a user with an address, or without it if another user has it.
pub async fn a_migrated_user_claims_the_address(bench: &Bench) {
    let create = async |user: &User| bench.store.create_user(user).await.unwrap();
    let ada = with("ada", "ada@example.com");
    bench.recorder.next(1, Action::DropAnswer);
    for _ in 0..2 {
        assert_eq!(create(&ada).await, Creation::Stored(Box::new(ada.clone())));
    }
    assert_eq!(owner(bench, "ada@example.com").await.as_deref(), Some("ada"));
    let other = with("ada", "other@example.com");
    assert_eq!(create(&other).await, Creation::Stored(Box::new(ada.clone())), "the name has a user");
    assert_eq!(create(&with("eve", "ada@example.com")).await, Creation::AddressTaken);
    assert_eq!(create(&user("ada@example.com")).await, Creation::NameTaken);
    assert_eq!(create(&with("ada@example.com", "ada@example.com")).await, Creation::AddressTaken);
    let own = with("grace@example.com", "grace@example.com");
    assert_eq!(create(&own).await, Creation::Stored(Box::new(own.clone())));
    let named = user("joan@example.com");
    assert_eq!(create(&named).await, Creation::Stored(Box::new(named.clone())));
    assert_eq!(create(&with("eve", "joan@example.com")).await, Creation::AddressTaken);
    assert_eq!(keys(bench).await.len(), 5);
}

/// Sessions of other users and ended ones stay as they are. A write unit for each live session with other claims.
///
/// invariant: A change of a user's claims reaches every live session: the next access token has the new claims.
pub async fn a_change_of_claims_reaches_live_sessions(bench: &Bench) {
    let (ada, first) = bench.logged_in("ada").await;
    let (_, other) = bench.logged_in("grace").await;
    let device = Some("d".repeat(128));
    let [second, over] = [(); 2].map(|()| Session { device: device.clone(), ..session(&ada) });
    for opened in [&second, &over] {
        assert_eq!(bench.open(&ada, opened).await, Ok(true));
    }
    bench.store.end_session(ada.id, over.session, NOW, EndReason::Operator, attempt_id()).await.unwrap();
    let _ = bench.recorder.take();
    let claims = Claims::parse(r#"{"tenant":"acme","n":0.1,"roles":["a","b"]}"#).unwrap();
    let change = bench.store.set_claims(&ada.username, &claims, NOW).await.unwrap().unwrap();
    assert_eq!((change.updated, &change.user.claims), (2, &claims));
    let sent: Vec<String> = bench.recorder.take().into_iter().map(|exchange| exchange.operation).collect();
    assert_eq!(sent, ["UpdateItem", "Query", "UpdateItem", "UpdateItem", "Query", "GetItem"]);
    for opened in [&first, &second] {
        assert_eq!(rotated(bench.rotate(&present(opened, 0), NOW).await).claims, claims);
    }
    for unchanged in [&over, &other] {
        assert!(bench.stored(unchanged).await.unwrap().claims.is_empty());
    }
    let again = bench.store.set_claims(&ada.username, &claims, NOW).await.unwrap().unwrap();
    assert_eq!(again.updated, 0);
    // The device hint gives way to the claims: 636 - 9 - 3 - 24 - 512 bytes are left.
    bench.store.set_claims(&ada.username, &claims_of(512), NOW).await.unwrap();
    assert_eq!(bench.stored(&second).await.unwrap().device, Some("d".repeat(88)));
    assert_eq!(bench.stored(&first).await.unwrap().device, first.device);
    let none = bench.store.set_claims(&ada.username, &Claims::default(), NOW).await.unwrap().unwrap();
    assert!(none.updated == 2 && none.user.claims.is_empty());
    let items = [bench.item(&first).await.unwrap(), bench.item(&second).await.unwrap()];
    assert!(items.iter().all(|item| !item.contains_key("claims")));
    assert_eq!(bench.store.set_claims(&username("nobody"), &claims, NOW).await, Ok(None));
}

/// The claims have changed since the password was checked.
pub async fn a_login_with_old_claims_opens_nothing(bench: &Bench) {
    let ada = bench.user("ada").await;
    let claims = claims_of(20);
    bench.store.set_claims(&ada.username, &claims, NOW).await.unwrap();
    assert_eq!(bench.open(&ada, &session(&ada)).await, Ok(false));
    let ada = User { claims: claims_of(30), ..ada };
    assert_eq!(bench.open(&ada, &session(&ada)).await, Ok(false));
    let ada = User { claims, ..ada };
    assert_eq!(bench.open(&ada, &session(&ada)).await, Ok(true));
}

/// Whichever call writes to a session last, all sessions have the claims of the user in the end.
pub async fn parallel_changes_of_claims_end_alike(bench: &Bench) {
    let (ada, first) = bench.logged_in("ada").await;
    let sessions: Vec<Session> = std::iter::once(first).chain((0..5).map(|_| session(&ada))).collect();
    for opened in &sessions[1..] {
        assert_eq!(bench.open(&ada, opened).await, Ok(true));
    }
    for round in 0..3 {
        let all: Vec<Claims> = (0..4).map(|n| claims_of(20 + round * 4 + n)).collect();
        let changes = join_all(all.iter().map(|claims| bench.store.set_claims(&ada.username, claims, NOW)));
        for change in changes.await {
            assert!(matches!(change, Ok(Some(_))), "{change:?}");
        }
        let user = bench.store.user(&ada.username).await.unwrap().unwrap();
        assert!(all.contains(&user.claims));
        for opened in &sessions {
            assert_eq!(bench.stored(opened).await.unwrap().claims, user.claims, "{round}");
        }
    }
}

/// A change that was superseded before it wrote to the sessions writes the newer claims.
pub async fn an_older_change_of_claims_does_not_win(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let (older, newer) = (claims_of(20), claims_of(30));
    let hold = Hold::default();
    let held = hold.clone();
    bench.recorder.set_hook(move |call| match call.operation {
        "Query" => Action::Held(held.clone()),
        _ => Action::Pass,
    });
    let (slow, ()) = tokio::join!(bench.store.set_claims(&ada.username, &older, NOW), async {
        hold.arrived().await;
        let update = bench.raw.update_item().table_name(&bench.tables.users);
        let update = update
            .key("username", AttributeValue::S(ada.username.to_string()))
            .update_expression("SET claims = :newer")
            .expression_attribute_values(":newer", AttributeValue::S(newer.to_string()));
        update.send().await.unwrap();
        hold.release();
    });
    assert_eq!(slow.unwrap().unwrap().user.claims, newer);
    assert_eq!(bench.stored(&opened).await.unwrap().claims, newer);
}
