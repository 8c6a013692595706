//! What operators do with users, sessions and machine clients: the operations behind the command `daypass` and the Admin API.
//!
//! Each operation that changes something can be repeated. To finish an interrupted one, repeat it.

mod clients;
mod factors;
mod invite;
mod scope;
mod sessions;
mod users;
pub mod view;

pub use clients::{
    ClientDocument, ClientError, ClientView, Clients, KeyView, NewKey, NewKeyView, RevokedView, public_key,
};
pub use factors::FactorsReset;
pub use invite::{Invitation, Invited};
pub use scope::{ScopeRefused, scope};
pub use users::{NewUser, Page, require_room};

use daypass_core::account::TooLarge;
use daypass_core::ports::store::StoreError;
use daypass_dynamodb::DynamoDb;
use daypass_passwords::{HashError, PasswordRefused};
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::{SessionId, Username};
use daypass_verifier::base::time::Clock;

/// The operations, over a store with all tables.
#[derive(Clone, Copy)]
pub struct Admin<'a> {
    /// The store. Its role may read and write users and sessions.
    pub store: &'a DynamoDb,
    /// Source of the current time.
    pub clock: &'a dyn Clock,
    /// Source of ids and salts.
    pub entropy: &'a dyn Entropy,
}

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No user has this name.
    #[error("there is no user {0}")]
    UnknownUser(Username),
    /// Another user has this name.
    #[error("the user {0} already exists")]
    UserExists(Username),
    /// Another user has the e-mail address, or has it as name.
    #[error("another user has this address, or has it as name")]
    AddressTaken,
    /// Name, scope and claims do not fit into a session.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The user has no session of this id.
    #[error("the user has no session {0}")]
    UnknownSession(SessionId),
    /// The new password breaks a rule.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// The new password cannot be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The store does not answer or refuses. A change may have happened in part: repeat it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
