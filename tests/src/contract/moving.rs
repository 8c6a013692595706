//! User import, and reads of the whole table.

use crate::bench::{Bench, after, user};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::ports::store::{StoreError, User, UserStatus};
use daypass_dynamodb::{Addition, Import, Origin, UserFilter};
use daypass_testkit::recorder::Action;
use std::collections::BTreeSet;

const LINE: Origin = Origin { line: [1; 16], with_id: false };

/// A repeated line is imported once. Another line with the same name is an error.
pub async fn a_line_is_imported_once(bench: &Bench) {
    let ada = user("ada");
    assert_eq!(bench.store.preview_import(&ada, LINE).await, Ok(Import::Added));
    assert_eq!(bench.store.import_user(&ada, LINE).await, Ok(Import::Added));
    assert!(bench.store.user(&ada.username).await.unwrap() == Some(ada.clone()));
    // The next run draws another id for this line.
    let again = user("ada");
    let other = Origin { line: [2; 16], ..LINE };
    for _ in 0..2 {
        assert_eq!(bench.store.import_user(&again, LINE).await, Ok(Import::Unchanged));
        assert_eq!(bench.store.preview_import(&again, LINE).await, Ok(Import::Unchanged));
        assert_eq!(bench.store.import_user(&again, other).await, Ok(Import::Taken));
        assert_eq!(bench.store.preview_import(&again, other).await, Ok(Import::Taken));
    }
    assert!(bench.store.user(&ada.username).await.unwrap() == Some(ada));
    let grace = bench.user("grace").await;
    assert_eq!(bench.store.import_user(&user("grace"), LINE).await, Ok(Import::Taken));
    assert!(bench.store.user(&grace.username).await.unwrap() == Some(grace));
}

/// A user who has changed since the import stays as they are.
///
/// invariant: A repeated import keeps users who have changed since.
pub async fn who_has_changed_since_is_left(bench: &Bench) {
    let ada = user("ada");
    assert_eq!(bench.store.import_user(&ada, LINE).await, Ok(Import::Added));
    bench.store.set_password(&ada.username, "$argon2id$new", after(500)).await.unwrap();
    let changed = bench.store.set_status(&ada.username, UserStatus::Disabled, after(600)).await.unwrap();
    assert_eq!(bench.store.import_user(&ada, LINE).await, Ok(Import::Unchanged));
    assert!(bench.store.user(&ada.username).await.unwrap() == changed);
}

/// An export that is imported into the same stack changes nothing, also for users who were never imported.
pub async fn an_export_changes_nothing_where_it_was_made(bench: &Bench) {
    let ada = bench.user("ada").await;
    let line = Origin { with_id: true, ..LINE };
    assert_eq!(bench.store.import_user(&ada, line).await, Ok(Import::Unchanged));
    let other = User { password_hash: "$argon2id$other".to_owned(), ..ada.clone() };
    assert_eq!(bench.store.import_user(&other, line).await, Ok(Import::Taken));
    assert!(bench.store.user(&ada.username).await.unwrap() == Some(ada));
}

/// The retry of the SDK finds the user that its first attempt put.
pub async fn an_import_whose_answer_was_lost_is_one(bench: &Bench) {
    bench.recorder.next(1, Action::DropAnswer);
    assert_eq!(bench.store.import_user(&user("ada"), LINE).await, Ok(Import::Added));
    assert_eq!(bench.recorder.take().len(), 2);
}

/// All segments together return every user once, for any page size.
pub async fn segments_give_everybody_once(bench: &Bench) {
    let mut expected = BTreeSet::new();
    for n in 0..23 {
        expected.insert(bench.user(&format!("user{n}")).await.username);
    }
    for segments in [1, 4] {
        let (found, read) = everybody(bench, segments, &UserFilter::default()).await.unwrap();
        assert_eq!(read, 23);
        assert_eq!(found.len(), 23);
        assert_eq!(found.into_iter().map(|user| user.username).collect::<BTreeSet<_>>(), expected);
    }
}

/// DynamoDB applies the filter, and reads all items anyway.
pub async fn a_filter_gives_who_fits(bench: &Bench) {
    for n in 0..6 {
        let old = User { created_at: after(n * 1000), ..user(&format!("user{n}")) };
        assert_eq!(bench.store.add_user(&old).await, Ok(Addition::Added));
    }
    let ada = bench.user("ada").await;
    bench.store.set_status(&ada.username, UserStatus::Disabled, after(1)).await.unwrap();
    let names = async |filter: UserFilter| -> Vec<String> {
        let (found, read) = everybody(bench, 2, &filter).await.unwrap();
        assert_eq!(read, 7);
        found.into_iter().map(|user| user.username.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let all = UserFilter::default();
    assert_eq!(names(UserFilter { status: Some(UserStatus::Disabled), ..all.clone() }).await, ["ada"]);
    assert_eq!(names(UserFilter { status: Some(UserStatus::Enabled), ..all.clone() }).await.len(), 6);
    assert_eq!(names(UserFilter { name_prefix: Some("user".to_owned()), ..all.clone() }).await.len(), 6);
    let between =
        UserFilter { created_from: Some(after(2000)), created_before: Some(after(4000)), ..all.clone() };
    assert_eq!(names(between.clone()).await, ["user2", "user3"]);
    let both = UserFilter { status: Some(UserStatus::Disabled), ..between };
    assert_eq!(names(both).await, [""; 0]);
}

/// An item that is no user is reported, and the other users are returned.
pub async fn an_item_that_is_no_user_hides_nobody(bench: &Bench) {
    let ada = bench.user("ada").await;
    let put = bench.raw.put_item().table_name(&bench.tables.users);
    put.item("username", AttributeValue::S("odd".to_owned())).send().await.unwrap();
    let page = bench.store.scan_users(0, 1, &UserFilter::default(), None).await.unwrap();
    assert_eq!(page.read, 2);
    assert!(page.users == [ada]);
    let unreadable: Vec<_> = page.unreadable.iter().map(|(name, _)| name.as_deref()).collect();
    assert_eq!(unreadable, [Some("odd")]);
}

async fn everybody(
    bench: &Bench,
    segments: u16,
    filter: &UserFilter,
) -> Result<(Vec<User>, u64), StoreError> {
    let (mut users, mut read) = (Vec::new(), 0);
    for segment in 0..segments {
        let mut after = None;
        loop {
            let page = bench.store.scan_users(segment, segments, filter, after.as_ref()).await?;
            users.extend(page.users);
            read += page.read;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok((users, read))
}
