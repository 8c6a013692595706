//! The ports to the tables and to the password hasher. The store speaks in verbs that are atomic by themselves: with a
//! `get` and a `put` nobody can rotate safely.

use crate::session::{
    DeadCause, EndReason, Ended, Repeat, ReuseCause, RotationRequest, Session, Verdict, judge,
};
use crate::throttle::{Attempt, Counter, KnownAddress, Ticket};
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::revocation::SessionDigest;
use std::fmt;
use std::future::Future;

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

    /// Ends every session of a user that was opened before the call, or with `opened_before` only those that were opened by then,
    /// as far as clocks tell: one that another process opened may carry a time that is later by what clocks differ, and
    /// ends too. Returns how many this call ended, as far as it learned.
    fn revoke_all(
        &self,
        user: UserId,
        now: Timestamp,
        reason: EndReason,
        opened_before: Option<Timestamp>,
    ) -> impl Future<Output = Result<u32, StoreError>> + Send;
}

/// The sessions table, as this flow uses it.
pub trait SessionStore: Send + Sync {
    /// All sessions of a user that are still stored, also ended and expired ones, in no order; strongly consistent.
    fn stored_sessions(
        &self,
        user: UserId,
    ) -> impl Future<Output = Result<StoredSessions, StoreError>> + Send;

    /// One session of a user; strongly consistent. `None` when there is none.
    fn stored_session(
        &self,
        user: UserId,
        session: SessionId,
    ) -> impl Future<Output = Result<Option<Session>, StoreError>> + Send;

    /// Ends one session of a user with one conditional write, whether or not the rest of its item can be read. Safe to
    /// repeat. `attempt` is new for each call: by it the store knows its own write again when the answer was lost.
    fn end_session(
        &self,
        user: UserId,
        session: SessionId,
        now: Timestamp,
        reason: EndReason,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<Ending, StoreError>> + Send;
}

/// What [`SessionStore::stored_sessions`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredSessions {
    /// Those that could be read.
    pub sessions: Vec<Session>,
    /// Why others could not be read, for the log: one text for each item.
    pub unreadable: Vec<StoreError>,
}

/// What became of [`SessionStore::end_session`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The session has ended now.
    Ended,
    /// It had ended before: nothing was written.
    AlreadyOver,
    /// The user has no such session: nothing was written.
    Absent,
}

/// What is known of a user at the beginning of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The user of that name.
    pub user: Option<User>,
    /// Where they logged in from.
    pub known: Vec<KnownAddress>,
    /// The session that changed the password last, if the user did it themselves.
    pub changed_by: Option<SessionId>,
    /// What the first counter says.
    pub attempt: Attempt,
}

/// The attempts table, as the flows that check passwords use it. Every verb is safe to repeat. `attempt` is new for each call: by
/// it the store knows its own write again when the answer was lost.
pub trait AttemptStore: Send + Sync {
    /// Reads the user, strongly consistent, and takes a slot of `counter` at the same time.
    fn begin(
        &self,
        username: &Username,
        counter: &Counter,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<Begun, StoreError>> + Send;

    /// Takes a slot of `counter`.
    fn count(
        &self,
        counter: &Counter,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<Attempt, StoreError>> + Send;

    /// Frees slots, each unless somebody else has it by now, and with `forget` all of one counter.
    fn settle(
        &self,
        forget: Option<&str>,
        tickets: &[Ticket],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The tables, as this flow uses them. Every verb is safe to repeat.
pub trait PasswordStore: AttemptStore {
    /// One session of a user and the name that it was opened under; strongly consistent. `None` when there is none, or none
    /// that says its name.
    fn session_and_name(
        &self,
        user: UserId,
        session: SessionId,
    ) -> impl Future<Output = Result<Option<(Session, Username)>, StoreError>> + Send;

    /// Stores a hash of a new password with one conditional write. Returns whether the user was still as the password was
    /// checked against.
    fn change_password(
        &self,
        change: &PasswordChange<'_>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Ends every live session of a user but one, within the time that a function has. Returns how many it ended.
    fn end_others(
        &self,
        user: UserId,
        spared: SessionId,
        now: Timestamp,
        reason: EndReason,
    ) -> impl Future<Output = Result<u32, StoreError>> + Send;
}

/// A new password, to be stored.
#[derive(Debug)]
pub struct PasswordChange<'a> {
    /// The user as the current password was checked against: nothing is stored unless the password version and the status
    /// are still these.
    pub user: &'a User,
    /// The hash of the new password. Its salt is random, so it is known again when an answer was lost.
    pub hash: &'a str,
    /// The session that asked.
    pub by: SessionId,
    /// When.
    pub now: Timestamp,
}

/// A session that ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndedSession {
    /// When, by the clock of whoever ended it.
    pub at: Timestamp,
    /// Which.
    pub session: SessionDigest,
}

/// The index of ended sessions, as the feed reads it.
pub trait EndedSessions: Send + Sync {
    /// All sessions that ended at `since` or later, in no order. Eventually consistent: what ended within the last moments may be
    /// missing.
    ///
    /// # Errors
    /// [`StoreError`] when there is no answer, and when there are more than `most` (unavailable: it passes with time).
    fn ended_since(
        &self,
        since: Timestamp,
        most: usize,
    ) -> impl Future<Output = Result<Vec<EndedSession>, StoreError>> + Send;
}
