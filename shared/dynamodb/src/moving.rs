//! User import and export: conditional puts that can be repeated, and reads of the whole table in segments.

use crate::DynamoDb;
use crate::address::{Created, Cursor, as_name, claimable_name};
use crate::error::failure;
use crate::item::{self, CREATED_AT, DISABLED, Item, USERNAME};
use crate::schema::patient;
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::ports::store::{StoreError, User, UserStatus};
use daypass_verifier::base::time::Timestamp;
use std::collections::HashMap;

/// Attribute with the hash of the imported line. A second import of the line recognises the user with it.
const IMPORTED: &str = "imported";

/// Items per request. They fit into a megabyte, the most that DynamoDB reads at a time, and DynamoDB Local can read them within
/// the time limit.
const PAGE: i32 = 1000;

/// Origin of an imported user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// 16 bytes of a hash of the imported line.
    pub line: [u8; 16],
    /// Whether the line has the id of the user. If not, the id is random, and identifies this very put.
    pub with_id: bool,
}

/// Outcome of the import of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    /// The user was added.
    Added,
    /// An earlier import added the user from the same line, and nothing was written. Later changes of the user stay, such as
    /// a new hash.
    Unchanged,
    /// There is a user of that name, or with that address, who was not imported from this line, and nothing was written.
    Taken,
    /// Another user has the e-mail address of the line, or has it as name, and nothing was written.
    AddressTaken,
}

/// Filter of a read of the whole table. A user must meet all parts that are set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserFilter {
    /// Users with this status.
    pub status: Option<UserStatus>,
    /// Users added at this time or later.
    pub created_from: Option<Timestamp>,
    /// Users added before this time.
    pub created_before: Option<Timestamp>,
    /// Users whose name starts with this text.
    pub name_prefix: Option<String>,
}

impl UserFilter {
    /// Whether no part is set, so that every user passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The filter as an expression of constants, with the parts as its values.
    fn expression(&self) -> Option<(String, HashMap<String, String>, Item)> {
        let mut terms = Vec::new();
        let mut names = HashMap::new();
        let mut values = Item::new();
        let mut add = |name: &'static str, term: &str, value: AttributeValue| {
            let placeholder = format!(":v{}", values.len());
            names.insert(format!("#{name}"), name.to_owned());
            let term = term.replace('#', &format!("#{name}")).replace('?', &placeholder);
            values.insert(placeholder, value);
            term
        };
        if let Some(status) = self.status {
            let disabled = AttributeValue::Bool(status == UserStatus::Disabled);
            terms.push(add(DISABLED, "# = ?", disabled));
        }
        if let Some(from) = self.created_from {
            terms.push(add(CREATED_AT, "# >= ?", item::precise(from)));
        }
        if let Some(before) = self.created_before {
            terms.push(add(CREATED_AT, "# < ?", item::precise(before)));
        }
        if let Some(prefix) = &self.name_prefix {
            terms.push(add(USERNAME, "begins_with(#, ?)", item::text(prefix)));
        }
        (!terms.is_empty()).then(|| (terms.join(" AND "), names, values))
    }
}

/// One page of a segment.
#[derive(Debug)]
pub struct Segment {
    /// Users that passed the filter.
    pub users: Vec<User>,
    /// Items that could not be read as a user: name in the key, and error.
    pub unreadable: Vec<(Option<String>, StoreError)>,
    /// Number of items that were read, before the filter, claims of addresses among them.
    pub read: u64,
    /// Last item of the page, if another page follows.
    pub next: Option<Cursor>,
}

impl DynamoDb {
    /// Adds a user who comes from `origin`, unless there is one of that name. One conditional put, or a transaction if the user
    /// has an e-mail address or is named like one.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses. The user may have been added.
    pub async fn import_user(&self, user: &User, origin: Origin) -> Result<Import, StoreError> {
        let mut new = item::from_user(user);
        new.insert(IMPORTED.to_owned(), item::binary(&origin.line));
        Ok(match self.create(user, new).await? {
            Created::Done => Import::Added,
            Created::AddressTaken => Import::AddressTaken,
            Created::NameTaken(met) => met.map_or(Import::Taken, |met| compare(&met, user, origin)),
        })
    }

    /// The outcome that [`DynamoDb::import_user`] would have now. One read, and up to three more about the address.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses.
    pub async fn preview_import(&self, user: &User, origin: Origin) -> Result<Import, StoreError> {
        if let Some(met) = self.users_item(item::user_key(&user.username)).await? {
            return Ok(compare(&met, user, origin));
        }
        if let Some(address) = claimable_name(user)
            && self.users_item(item::address_key(&address)).await?.is_some()
        {
            return Ok(Import::Taken);
        }
        if let Some(email) = &user.email {
            let name = as_name(&email.address).filter(|name| *name != user.username);
            let keys = [Some(item::address_key(&email.address)), name.as_ref().map(item::user_key)];
            for key in keys.into_iter().flatten() {
                if self.users_item(key).await?.is_some() {
                    return Ok(Import::AddressTaken);
                }
            }
        }
        Ok(Import::Added)
    }

    /// One page of one of `segments` parts of the users table, in no particular order. The page begins after the user named
    /// `after`. DynamoDB applies the filter to the items of a page, so a page can be empty and not the last one.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses.
    pub async fn scan_users(
        &self,
        segment: u16,
        segments: u16,
        filter: &UserFilter,
        after: Option<&Cursor>,
    ) -> Result<Segment, StoreError> {
        let mut request = self
            .client
            .scan()
            .table_name(self.users_table()?)
            .consistent_read(true)
            .segment(i32::from(segment))
            .total_segments(i32::from(segments))
            .limit(PAGE)
            .set_exclusive_start_key(after.map(Cursor::key));
        if let Some((expression, names, values)) = filter.expression() {
            request = request
                .filter_expression(expression)
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(Some(values));
        }
        let sent = request.customize().config_override(patient()).send().await;
        let output = sent.map_err(|error| failure("Scan", &error))?;
        let mut page = Segment {
            users: Vec::new(),
            unreadable: Vec::new(),
            read: u64::try_from(output.scanned_count).unwrap_or_default(),
            next: Cursor::of(output.last_evaluated_key.as_ref()),
        };
        for item in output.items.iter().flatten().filter(|item| !item::is_claim(item)) {
            match item::to_user(item) {
                Ok(user) => page.users.push(user),
                Err(error) => {
                    let name = item.get(USERNAME).and_then(|name| name.as_s().ok()).cloned();
                    page.unreadable.push((name, error));
                }
            }
        }
        Ok(page)
    }
}

/// The outcome of the import of `user` if the item `met` exists already.
fn compare(met: &Item, user: &User, origin: Origin) -> Import {
    let of_this_line = met
        .get(IMPORTED)
        .and_then(|value| value.as_b().ok())
        .is_some_and(|bytes| bytes.as_ref() == origin.line.as_slice());
    let found = item::to_user(met).ok();
    if of_this_line {
        // The random id is equal too, so this call wrote the item: its response was lost, and the SDK retried.
        let ours = !origin.with_id && found.as_ref() == Some(user);
        return if ours { Import::Added } else { Import::Unchanged };
    }
    // An exported user that is imported into the same stack again. An export has no second factors.
    let same = found.is_some_and(|found| {
        User { updated_at: user.updated_at, factors: user.factors.clone(), ..found } == *user
    });
    if same { Import::Unchanged } else { Import::Taken }
}
