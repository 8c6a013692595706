//! Operations of an operator.

use super::{assert_unavailable, broken};
use crate::bench::{Bench, NOW, after, attempt_id, present, rotated, scope, session, user, username};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TimeToLiveStatus,
};
use daypass_core::config::Tables;
use daypass_core::ports::store::{Rotation, Store, StoreError, User, UserStatus};
use daypass_core::session::{DeadCause, EndReason, Presented, Session};
use daypass_dynamodb::{Addition, Cursor, DynamoDb, ScopeChange, TableNames};
use daypass_testkit::recorder::{Action, Turn};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Adding a user never replaces an existing one.
pub async fn a_name_is_taken_once(bench: &Bench) {
    let ada = bench.user("ada").await;
    assert_eq!(bench.store.add_user(&user("ada")).await, Ok(Addition::NameTaken));
    assert!(bench.store.user(&ada.username).await.unwrap() == Some(ada));
    assert!(bench.store.user(&username("unknown")).await.unwrap().is_none());
}

/// The retry of the SDK finds the user that its first attempt added.
pub async fn an_added_user_whose_answer_was_lost_is_added(bench: &Bench) {
    bench.recorder.next(1, Action::DropAnswer);
    assert_eq!(bench.store.add_user(&user("ada")).await, Ok(Addition::Added));
    assert_eq!(bench.recorder.take().len(), 2);
}

/// Each user is listed once, for any page size.
pub async fn users_come_page_by_page(bench: &Bench) {
    assert!(bench.store.users(None, 10).await.unwrap().0.is_empty());
    let mut expected = BTreeSet::new();
    for n in 0..7 {
        expected.insert(bench.user(&format!("user{n}")).await.username);
    }
    let mut found = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let (page, next) = bench.store.users(after.as_ref(), 3).await.unwrap();
        assert!(page.len() <= 3);
        found.extend(page.into_iter().map(|user| user.username));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 7);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
}

async fn assert_ended(bench: &Bench, session: &Session, reason: EndReason) {
    assert_eq!(bench.stored(session).await.unwrap().ended.unwrap().reason, reason);
    let rotation = bench.rotate(&present(session, 0), after(900)).await;
    assert!(matches!(rotation, Ok(Rotation::Dead(DeadCause::Ended, Some(_)))), "{rotation:?}");
}

/// Another session of the user that the first query misses: its login commits just before the change.
async fn comes_to_light_late(bench: &Bench, ada: &User, opened: &Session) -> Session {
    let late = session(ada);
    let mut item = bench.item(opened).await.unwrap();
    item.insert("session".to_owned(), AttributeValue::S(late.session.to_string()));
    let put = bench.raw.put_item().table_name(&bench.tables.sessions).set_item(Some(item));
    let seen = AtomicUsize::new(0);
    bench.recorder.set_gate(move || {
        // The user was changed and the sessions were queried. The next request ends the first session.
        let comes_to_light = (seen.fetch_add(1, Ordering::SeqCst) == 2).then(|| put.clone());
        Box::pin(async move {
            if let Some(put) = comes_to_light {
                put.send().await.unwrap();
            }
            Box::new(()) as Turn
        })
    });
    late
}

/// The second query finds and ends a session that the first one missed.
pub async fn a_session_that_comes_to_light_late_ends_too(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let late = comes_to_light_late(bench, &ada, &opened).await;
    let disabled = bench.store.set_status(&ada.username, UserStatus::Disabled, after(700)).await;
    bench.recorder.open_gate();
    assert!(disabled.is_ok_and(|user| user.is_some()));
    assert_ended(bench, &opened, EndReason::UserDisabled).await;
    assert_ended(bench, &late, EndReason::UserDisabled).await;
}

/// A disabled user has no sessions, and enabling restores none.
pub async fn disabling_ends_the_sessions_and_enabling_revives_none(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let disabled = bench.store.set_status(&ada.username, UserStatus::Disabled, after(500)).await.unwrap();
    let expected = User { status: UserStatus::Disabled, updated_at: after(500), ..ada.clone() };
    assert!(disabled == Some(expected));
    assert_ended(bench, &opened, EndReason::UserDisabled).await;
    assert_eq!(bench.open(&ada, &session(&ada)).await, Ok(false));

    let enabled = bench.store.set_status(&ada.username, UserStatus::Enabled, after(600)).await.unwrap();
    assert!(enabled == Some(User { updated_at: after(600), ..ada.clone() }));
    assert_ended(bench, &opened, EndReason::UserDisabled).await;
    assert_eq!(bench.open(&ada, &session(&ada)).await, Ok(true));
}

/// Sessions from the old password end.
pub async fn a_new_password_ends_the_sessions(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let changed = bench.store.set_password(&ada.username, "$argon2id$new", after(500)).await.unwrap();
    let expected = User {
        password_hash: "$argon2id$new".to_owned(),
        password_version: 2,
        updated_at: after(500),
        ..ada.clone()
    };
    assert!(changed == Some(expected.clone()));
    assert_ended(bench, &opened, EndReason::PasswordChanged).await;
    assert_eq!(bench.open(&ada, &session(&ada)).await, Ok(false));
    assert_eq!(bench.open(&expected, &session(&ada)).await, Ok(true));
}

/// Live sessions lose the words that the user has lost, at the cost of one write each, and gain none. A session that would
/// lose all of them ends.
pub async fn a_scope_that_was_taken_leaves_the_sessions(bench: &Bench) {
    let (ada, both) = bench.logged_in("ada").await;
    let of = |words: &str| Session { scope: scope(words), ..session(&ada) };
    let (read, write, bare, over) = (of("orders:read"), of("orders:write"), of(""), of("orders:write"));
    for opened in [&read, &write, &bare, &over] {
        assert_eq!(bench.open(&ada, opened).await, Ok(true));
    }
    let key = (ada.id, over.session);
    bench.store.revoke_session(key.0, key.1, None, NOW, EndReason::Revoked, attempt_id()).await.unwrap();
    let _ = bench.recorder.take();

    let changed = bench.store.set_scope(&ada.username, &scope("admin orders:read"), after(500)).await;
    let expected = User { scope: scope("admin orders:read"), updated_at: after(500), ..ada.clone() };
    let first = ScopeChange { user: expected.clone(), narrowed: 1, ended: 1 };
    assert!(changed == Ok(Some(first)), "{changed:?}");
    let sent: Vec<_> = bench.recorder.take().iter().map(|exchange| exchange.operation.clone()).collect();
    assert_eq!(sent, ["UpdateItem", "Query", "UpdateItem", "UpdateItem", "Query"]);
    assert!(bench.store.user(&ada.username).await.unwrap() == Some(expected.clone()));

    assert_ended(bench, &write, EndReason::ScopeRemoved).await;
    assert_eq!(bench.stored(&over).await.unwrap().ended.unwrap().reason, EndReason::Revoked);
    for (session, left) in [(&both, "orders:read"), (&read, "orders:read"), (&bare, "")] {
        let wider = Presented { scope: Some(scope("orders:write")), ..present(session, 0) };
        let rotation = bench.rotate(&wider, after(900)).await;
        assert!(matches!(rotation, Ok(Rotation::Dead(DeadCause::ScopeNotGranted, Some(_)))), "{rotation:?}");
        assert_eq!(rotated(bench.rotate(&present(session, 0), after(900)).await).scope, scope(left));
    }

    let again = bench.store.set_scope(&ada.username, &scope("admin orders:read"), after(500)).await;
    assert!(again == Ok(Some(ScopeChange { user: expected, narrowed: 0, ended: 0 })), "{again:?}");
    let none = bench.store.set_scope(&ada.username, &scope(""), after(600)).await.unwrap().unwrap();
    assert_eq!((none.user.scope, none.narrowed, none.ended), (scope(""), 0, 2));
    assert!(bench.stored(&bare).await.unwrap().ended.is_none(), "it had no scope to lose");
}

/// The second query finds and narrows a session that the first one missed.
pub async fn a_session_that_comes_to_light_late_is_narrowed_too(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    let late = comes_to_light_late(bench, &ada, &opened).await;
    let changed = bench.store.set_scope(&ada.username, &scope("orders:read"), after(700)).await;
    bench.recorder.open_gate();
    assert_eq!(changed.unwrap().unwrap().narrowed, 2);
    for session in [&opened, &late] {
        assert_eq!(bench.stored(session).await.unwrap().scope, scope("orders:read"));
    }
}

/// Wherever a change of the scope is interrupted, the next call finishes it.
pub async fn a_change_of_scope_that_broke_off_is_finished_by_the_next(bench: &Bench) {
    for (name, fails_at) in [("ada", "Query"), ("bob", "UpdateItem of a session")] {
        let (user, opened) = bench.logged_in(name).await;
        let sessions = bench.tables.sessions.clone();
        bench.recorder.set_hook(move |call| {
            let on_sessions = call.request["TableName"] == sessions.as_str();
            let fails = call.operation == fails_at
                || on_sessions && call.operation == "UpdateItem" && fails_at.starts_with("UpdateItem");
            if fails { Action::refuse(500, "InternalServerError") } else { Action::Pass }
        });
        let broken_off = bench.store.set_scope(&user.username, &scope("orders:read"), after(500)).await;
        assert_unavailable(&broken_off, fails_at);
        bench.recorder.always(Action::Pass);
        assert_eq!(bench.stored(&opened).await.unwrap().scope, user.scope, "{fails_at}");
        assert_eq!(
            bench.open(&user, &session(&user)).await,
            Ok(false),
            "{fails_at}: no login on the old scope"
        );
        let next = bench.store.set_scope(&user.username, &scope("orders:read"), after(600)).await;
        assert_eq!(next.unwrap().unwrap().narrowed, 1, "{fails_at}");
        assert_eq!(bench.stored(&opened).await.unwrap().scope, scope("orders:read"), "{fails_at}");
    }
}

/// The name can be used again. The old id and its sessions have ended.
pub async fn a_removed_user_is_gone_with_the_sessions(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    assert!(bench.store.remove_user(&ada.username, after(500)).await.unwrap().is_some());
    assert!(bench.store.user(&ada.username).await.unwrap().is_none());
    assert_ended(bench, &opened, EndReason::UserRemoved).await;
    let next = bench.user("ada").await;
    assert_eq!(bench.store.sessions(next.id).await, Ok(Vec::new()));
}

/// Wherever a removal is interrupted, the user can still be found, and the next call finishes the removal.
pub async fn a_removal_that_broke_off_is_finished_by_the_next(bench: &Bench) {
    for fails_at in ["Query", "UpdateItem of a session", "TransactWriteItems"] {
        let (ada, opened) = bench.logged_in("ada").await;
        let sessions = bench.tables.sessions.clone();
        bench.recorder.set_hook(move |call| {
            let on_sessions = call.request["TableName"] == sessions.as_str();
            let fails = match call.operation {
                "UpdateItem" => on_sessions && fails_at.starts_with("UpdateItem"),
                operation => operation == fails_at,
            };
            if fails { Action::refuse(500, "InternalServerError") } else { Action::Pass }
        });
        assert_unavailable(&bench.store.remove_user(&ada.username, after(500)).await, fails_at);
        bench.recorder.always(Action::Pass);
        let left = bench.store.user(&ada.username).await.unwrap().unwrap();
        assert_eq!(left.status, UserStatus::Disabled, "{fails_at}: no login in between");
        assert!(bench.store.remove_user(&ada.username, after(600)).await.unwrap().is_some());
        assert!(bench.store.user(&ada.username).await.unwrap().is_none());
        assert_ended(bench, &opened, EndReason::UserRemoved).await;
    }
}

/// Removes a user, and plays `meanwhile` between the disabling and the deletion.
async fn removed_with<T>(
    bench: &Bench,
    user: &User,
    meanwhile: impl Future<Output = T>,
) -> (Result<Option<User>, StoreError>, T) {
    bench.recorder.set_hook(|call| match call.operation {
        "TransactWriteItems" => Action::Hang(Duration::from_millis(500)),
        _ => Action::Pass,
    });
    let removal = bench.store.remove_user(&user.username, after(500));
    let meanwhile = async {
        while !bench.recorder.take().iter().any(|exchange| exchange.operation == "TransactWriteItems") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        meanwhile.await
    };
    tokio::join!(removal, meanwhile)
}

/// Another operator removes the user between the disabling and the deletion, and a new user gets the name.
pub async fn a_removal_spares_the_next_of_that_name(bench: &Bench) {
    let ada = bench.user("ada").await;
    let replacement = async {
        let request = bench.raw.delete_item().table_name(&bench.tables.users);
        request.key("username", AttributeValue::S("ada".to_owned())).send().await.unwrap();
        bench.user("ada").await
    };
    let (removed, next) = removed_with(bench, &ada, replacement).await;
    assert!(removed.unwrap().is_some());
    assert!(bench.store.user(&ada.username).await.unwrap() == Some(next));
}

/// invariant: A removal deletes no user who was enabled meanwhile, and the next call removes the user.
///
/// Such a user can have a new session, which no deletion would end.
pub async fn a_removal_spares_a_user_who_is_enabled_again(bench: &Bench) {
    let ada = bench.user("ada").await;
    let enabling = async {
        let request = bench.raw.update_item().table_name(&bench.tables.users);
        let request = request.key("username", AttributeValue::S("ada".to_owned()));
        let request = request.update_expression("SET disabled = :no");
        request.expression_attribute_values(":no", AttributeValue::Bool(false)).send().await.unwrap();
    };
    let (removed, ()) = removed_with(bench, &ada, enabling).await;
    assert_unavailable(&removed, "the user was enabled");
    assert!(bench.store.user(&ada.username).await.unwrap().is_some());
    bench.recorder.always(Action::Pass);
    assert!(bench.store.remove_user(&ada.username, after(600)).await.unwrap().is_some());
    assert!(bench.store.user(&ada.username).await.unwrap().is_none());
}

/// Changing a user that does not exist creates none.
pub async fn nobody_is_changed_who_is_not_there(bench: &Bench) {
    let missing = username("unknown");
    assert!(bench.store.set_status(&missing, UserStatus::Disabled, NOW).await.unwrap().is_none());
    assert!(bench.store.set_password(&missing, "$argon2id$", NOW).await.unwrap().is_none());
    assert!(bench.store.set_scope(&missing, &scope("a"), NOW).await.unwrap().is_none());
    assert!(bench.store.remove_user(&missing, NOW).await.unwrap().is_none());
    assert!(bench.store.user(&missing).await.unwrap().is_none());
}

/// Creating existing tables changes nothing. TTL is on.
pub async fn tables_are_made_once(bench: &Bench) {
    let ada = bench.user("ada").await;
    assert_eq!(bench.store.create_tables().await, Ok(()));
    assert!(bench.store.user(&ada.username).await.unwrap() == Some(ada));
    for (table, ttl) in [
        (&bench.tables.users, None),
        (&bench.tables.sessions, Some("expires_at")),
        (&bench.tables.attempts, Some("expires_at")),
    ] {
        let found = bench.raw.describe_time_to_live().table_name(table).send().await.unwrap();
        let found = found.time_to_live_description.filter(|ttl| {
            matches!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
        });
        assert_eq!(found.and_then(|ttl| ttl.attribute_name), ttl.map(str::to_owned), "{table}");
    }
}

/// Rejects a table of the same name with another partition key, or without the sort key.
pub async fn a_table_with_other_keys_is_refused(bench: &Bench) {
    let other = |role: &str| format!("{role}-other");
    let users = Tables { users: other(&bench.tables.users), ..bench.tables.clone() };
    let sessions = Tables { sessions: other(&bench.tables.sessions), ..bench.tables.clone() };
    for (tables, name, key) in [(&users, &users.users, "id"), (&sessions, &sessions.sessions, "user")] {
        let element =
            KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build().unwrap();
        let attribute =
            AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S);
        let request = bench.raw.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        request.key_schema(element).attribute_definitions(attribute.build().unwrap()).send().await.unwrap();
        let store = DynamoDb::local(bench.recorder.url(), TableNames::from(tables));
        let text = broken(store.create_tables().await, "other keys");
        assert!(text.contains(name), "{text}");
    }
}

/// Rejects a table of an older version without the index of ended sessions. Otherwise every response of the feed would
/// fail.
pub async fn a_table_without_the_index_is_refused(bench: &Bench) {
    let name = format!("{}-old", bench.tables.sessions);
    let key =
        |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let text = |name: &str| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        attribute.attribute_type(ScalarAttributeType::S).build().unwrap()
    };
    let request = bench.raw.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
    let request = request.key_schema(key("user", KeyType::Hash)).key_schema(key("session", KeyType::Range));
    request.attribute_definitions(text("user")).attribute_definitions(text("session")).send().await.unwrap();
    let tables = Tables { sessions: name, ..bench.tables.clone() };
    let store = DynamoDb::local(bench.recorder.url(), TableNames::from(&tables));
    let text = broken(store.create_tables().await, "no index");
    assert!(text.contains("no index `ended`"), "{text}");
}
