//! The ports to the tables and to the password hasher. The store speaks in verbs that are atomic by themselves: with a
//! `get` and a `put` nobody can rotate safely.

use crate::keys::Peppers;
use crate::session::{DeadCause, EndReason, Ended, Presented, Repeat, ReuseCause, Session, Verdict, judge};
use crate::throttle::KnownAddress;
use crate::{AttemptId, ClientId, Password, Scope, SessionId, Timestamp, UserId, Username};
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// A user as the store holds them.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The normalised name: the key.
    pub username: Username,
    /// The id that tokens carry; it outlives a change of name.
    pub id: UserId,
    /// argon2id hash in PHC string format.
    pub password_hash: String,
    /// Counts the changes of the password; a login checks that it has not moved meanwhile.
    pub password_version: u32,
    /// Whether the user may log in.
    pub status: UserStatus,
    /// What the user may be granted.
    pub scope: Scope,
    /// When the user was added.
    pub created_at: Timestamp,
    /// When the user, the password or the status last changed.
    pub updated_at: Timestamp,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A hash is no secret as a password is, but a log is no place for it.
        write!(f, "User({}, {:?})", self.id, self.status)
    }
}

/// Whether a user may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// May log in.
    Enabled,
    /// May not; all sessions were ended when this was set.
    Disabled,
}

/// A session to be opened by a login whose password was right.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// The session as it will be stored.
    pub session: &'a Session,
    /// The user as the password was checked against: the session opens only if the password version and the status
    /// are still these.
    pub user: &'a User,
    /// A hash under newer parameters to store in the same transaction.
    pub rehash: Option<&'a str>,
    /// The addresses that the user is known at, to store in the same transaction.
    pub known: Option<&'a [KnownAddress]>,
    /// The key of the counter that the success settles.
    pub settle: &'a str,
}

/// A rotation to be tried.
#[derive(Debug)]
pub struct RotationRequest<'a> {
    /// What the client presented.
    pub presented: &'a Presented,
    /// The clients whose sessions may be refreshed. One that is taken off the list loses nothing: its sessions stay as
    /// they are, for the day it is back.
    pub registered: &'a [ClientId],
    /// The time of the attempt: condition and verdict use the same.
    pub now: Timestamp,
    /// How long a superseded token still gets the same successor.
    pub grace: Duration,
    /// How long an unused session lives; `None` for as long as the absolute end allows.
    pub idle: Option<Duration>,
}

/// What became of a rotation. In all but the first case nothing was written.
#[derive(Debug, Clone)]
pub enum Rotation {
    /// The token was current and is rotated: the session as it is now.
    Rotated(Session),
    /// The token was rotated before, and this is the session that it gets the same successor of.
    SameSuccessor(Session, Repeat),
    /// The token was used up before, in this session, which is to be ended.
    Reuse(Session, ReuseCause),
    /// The session cannot be refreshed by anybody, or not by this request. The session, unless it is absent.
    Dead(DeadCause, Option<Session>),
}

impl Rotation {
    /// What it means that the condition of a rotation failed on this item.
    ///
    /// # Errors
    /// [`StoreError`] when the item fulfils the condition: the store does not do what it says. That leaves the client its
    /// token.
    pub fn refused(item: Option<Session>, request: &RotationRequest<'_>) -> Result<Self, StoreError> {
        match (judge(item.as_ref(), request), item) {
            (Verdict::SameSuccessor(cause), Some(session)) => Ok(Self::SameSuccessor(session, cause)),
            (Verdict::Reuse(cause), Some(session)) => Ok(Self::Reuse(session, cause)),
            (Verdict::Dead(cause), item) => Ok(Self::Dead(cause, item)),
            (Verdict::Rotate, _) | (_, None) => {
                Err(StoreError::Unavailable("the condition failed on an item that fulfils it".to_owned()))
            }
        }
    }
}

/// What became of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// The session has ended now.
    Ended,
    /// It had ended before, so: nothing was written.
    AlreadyOver(Ended),
    /// There is no such session: nothing was written.
    Absent,
    /// It belongs to another client: nothing was written.
    OtherClient,
}

/// Why the store gave no answer. Never an answer about a token or a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Throttled, slow or down: the same request may work later. The text is for the log.
    Unavailable(String),
    /// A bug, a missing table or right, an item that cannot be read: retrying will not help. The text is for the log.
    Broken(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(detail) | Self::Broken(detail) => f.write_str(detail),
        }
    }
}

impl std::error::Error for StoreError {}

/// The tables, as the functions use them. Every verb is safe to repeat.
pub trait Store: Send + Sync {
    /// Opens a session and settles the attempt, in one transaction that fails if the user has changed meanwhile.
    /// Returns whether the session was opened.
    fn open_session(&self, new: &NewSession<'_>) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Rotates the session's token with one conditional write.
    fn rotate(
        &self,
        request: &RotationRequest<'_>,
    ) -> impl Future<Output = Result<Rotation, StoreError>> + Send;

    /// Ends one session, if it belongs to one of `clients` where they are given. `attempt` is new for each call: by it the store knows
    /// its own write again when the answer was lost.
    fn revoke_session(
        &self,
        user: UserId,
        session: SessionId,
        clients: Option<&[ClientId]>,
        now: Timestamp,
        reason: EndReason,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<Revocation, StoreError>> + Send;

    /// Ends every session of a user that was opened before the call, or with `opened_by` only those that were opened by then,
    /// as far as clocks tell: one that another process opened may carry a time that is later by what clocks differ, and
    /// ends too. Returns how many this call ended, as far as it learned.
    fn revoke_all(
        &self,
        user: UserId,
        now: Timestamp,
        reason: EndReason,
        opened_by: Option<Timestamp>,
    ) -> impl Future<Output = Result<u32, StoreError>> + Send;
}

/// What a password turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordCheck {
    /// The right one.
    Match {
        /// Whether the stored hash was made with older parameters or an older pepper.
        outdated: bool,
    },
    /// A wrong one.
    Mismatch,
    /// The stored hash cannot be checked: malformed, or its pepper is gone. The text is for the log.
    Unusable(String),
}

/// Names and passwords: how they are normalised and hashed.
pub trait Credentials: Send + Sync {
    /// Normalises a name as it was typed; `None` when no user can have it.
    fn username(&self, typed: &str) -> Option<Username>;

    /// Checks a password against a stored hash, or against a decoy when there is none: both take the same time.
    fn check(&self, password: &Password, stored: Option<&str>, peppers: &Peppers) -> PasswordCheck;

    /// Why this cannot be the new password of that user; `None` when it can. The text is for the person who chose it, in the
    /// characters of an `error_description` (RFC 6749 §5.2).
    fn refusal(&self, password: &Password, username: &Username) -> Option<&'static str>;

    /// A new hash of a password, to store in place of another; `None` when it cannot be made.
    fn rehash(&self, password: &Password, peppers: &Peppers, entropy: &dyn crate::Entropy) -> Option<String>;
}
