//! The store of Daypass on Amazon DynamoDB: the only crate that names its SDK.
//!
//! [`DynamoDb`] implements the ports of [`daypass_core::ports::store`] by atomic requests. The operations of an operator
//! (`add_user`, `set_status`, …) are methods of [`DynamoDb`] too. [`schema`] is the only definition of the tables.
//!
//! Every condition compares the time itself, because DynamoDB's TTL can remove an expired item days late. Text from a
//! caller is always a value and never part of an expression.

mod address;
mod admin;
mod attempts;
mod claims;
mod connect;
mod empty;
mod ended;
mod error;
mod factors;
mod item;
mod machine;
mod moving;
mod outbox;
mod passkey;
mod password;
mod retry;
pub mod schema;
mod scope;
mod sessions;
mod store;
mod warm_up;

pub use address::{Addition, Cursor, EmailChange};
pub use claims::ClaimsChange;
pub use connect::{LOCAL_ACCESS_KEY_ID, LOCAL_REGION, LOCAL_SECRET_ACCESS_KEY};
pub use moving::{Import, Origin, Segment, UserFilter};
pub use outbox::mail_request;
pub use scope::ScopeChange;

use aws_sdk_dynamodb::Client;
use daypass_core::config::Tables;
use daypass_core::ports::store::StoreError;

/// Names of the tables that one function uses. A function has no name of a table that its role cannot access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNames {
    users: Option<String>,
    sessions: String,
    attempts: Option<String>,
    outbox: Option<String>,
}

impl TableNames {
    /// For `revoke`, `sessions` and `revocations`, which use only the sessions table.
    #[must_use]
    pub fn sessions_only(sessions: impl Into<String>) -> Self {
        Self { users: None, sessions: sessions.into(), attempts: None, outbox: None }
    }

    /// For `refresh` and `introspect`, which note the used assertions of machine clients in the attempts table.
    #[must_use]
    pub fn sessions_and_attempts(sessions: impl Into<String>, attempts: impl Into<String>) -> Self {
        Self { attempts: Some(attempts.into()), ..Self::sessions_only(sessions) }
    }

    /// For `mailer`, which uses no other table.
    #[must_use]
    pub fn mailer_only(users: impl Into<String>, outbox: impl Into<String>) -> Self {
        let (users, outbox) = (Some(users.into()), Some(outbox.into()));
        Self { users, sessions: String::new(), attempts: None, outbox }
    }

    /// The same, with the outbox.
    #[must_use]
    pub fn with_outbox(self, outbox: impl Into<String>) -> Self {
        Self { outbox: Some(outbox.into()), ..self }
    }

    /// For `admin`, which counts no attempts.
    #[must_use]
    pub fn users_and_sessions(users: impl Into<String>, sessions: impl Into<String>) -> Self {
        Self { users: Some(users.into()), sessions: sessions.into(), attempts: None, outbox: None }
    }
}

impl From<&Tables> for TableNames {
    fn from(tables: &Tables) -> Self {
        Self {
            users: Some(tables.users.clone()),
            sessions: tables.sessions.clone(),
            attempts: Some(tables.attempts.clone()),
            outbox: None,
        }
    }
}

/// The store. Cheap to clone: the clones share one pool of connections.
#[derive(Debug, Clone)]
pub struct DynamoDb {
    client: Client,
    tables: TableNames,
}

impl DynamoDb {
    fn users_table(&self) -> Result<&str, StoreError> {
        self.tables.users.as_deref().ok_or_else(|| not_given("users"))
    }

    fn attempts_table(&self) -> Result<&str, StoreError> {
        self.tables.attempts.as_deref().ok_or_else(|| not_given("attempts"))
    }

    fn outbox_table(&self) -> Result<&str, StoreError> {
        self.tables.outbox.as_deref().ok_or_else(|| not_given("outbox"))
    }
}

fn not_given(table: &str) -> StoreError {
    StoreError::Broken(format!("the {table} table is needed here: construct the store with its name"))
}
