//! The ports to the tables. Each change of one session or one user is atomic: a rotation built from `get` and `put` would be
//! unsafe. A verb that ends several sessions ends them one by one, and an error leaves some of them ended.

use crate::account::Email;
use crate::account::address::EmailAddress;
use crate::account::authentication::Authentication;
use crate::account::claims::Claims;
use crate::client::machine::MachineId;
use crate::factor::recovery::RecoveryDigest;
use crate::factor::{EnrolledTotp, Factors};
use crate::passkey::PasskeyId;
use crate::ports::mail::MailRequest;
use crate::ports::passkey::{Passkey, PasskeyStore, UsedPasskey};
use crate::session::{
    DeadCause, EndReason, Ended, Repeat, ReuseCause, RotationRequest, Session, Verdict, judge,
};
use crate::throttle::{Attempt, Counter, KnownAddress, Ticket};
use crate::token::assertion::AssertionUse;
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::revocation::SessionDigest;
use std::fmt;
use std::future::Future;

/// A user in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The normalised name, which is the key of the table.
    pub username: Username,
    /// The id that tokens carry; it outlives a change of name.
    pub id: UserId,
    /// argon2id hash in PHC string format, an imported hash, or the marker of [`migration`](crate::ports::migration::MARKER).
    pub password_hash: String,
    /// The number of changes of the password. A login checks that it has not changed meanwhile.
    pub password_version: u32,
    /// Whether the user may log in.
    pub status: UserStatus,
    /// The widest scope of the user's sessions.
    pub scope: Scope,
    /// The e-mail address.
    pub email: Option<Email>,
    /// The claims of the user's access tokens.
    pub claims: Claims,
    /// The second factors.
    pub factors: Factors,
    /// The time when the user was added.
    pub created_at: Timestamp,
    /// The time of the last change of the user, the password or the status.
    pub updated_at: Timestamp,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A hash is less secret than a password, and still does not belong in a log.
        write!(f, "User({}, {:?})", self.id, self.status)
    }
}

/// Whether a user may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// The user may log in.
    Enabled,
    /// The user may not log in. The change to this status ended all sessions.
    Disabled,
}

/// The result of [`Store::create_user`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// The stored user: the new one, or the one that has the name already.
    Stored(Box<User>),
    /// The name is the e-mail address of another user. Nothing was written.
    NameTaken,
    /// Another user has the e-mail address, or has it as name. Nothing was written.
    AddressTaken,
}

/// A session that a login opens after it has checked the password.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// The session as it is stored.
    pub session: &'a Session,
    /// The user against whom the password was checked. The session opens only if the password version, the status, the scope,
    /// the claims and the enrolled second factors are still the same.
    pub user: &'a User,
    /// A hash under newer parameters, stored in the same transaction.
    pub rehash: Option<&'a str>,
    /// The known addresses of the user, stored in the same transaction.
    pub known: Option<&'a [KnownAddress]>,
    /// The second factor that the login showed. The session opens only if no other login has used it.
    pub factor: Option<UsedFactor<'a>>,
    /// The key of the counter that the success resets; `None` for a login that was not counted.
    pub settle: Option<&'a str>,
}

/// A factor beside the password that a login shows. The transaction that opens the session uses it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedFactor<'a> {
    /// A one-time code.
    OneTimeCode {
        /// The time step of the code, which must be later than the stored one.
        step: u64,
        /// The secret under a newer key, stored in the same transaction.
        resealed: Option<&'a [u8]>,
    },
    /// The recovery code of this digest, which must still be stored.
    RecoveryCode(RecoveryDigest),
    /// A passkey, also as the only factor.
    Passkey(UsedPasskey<'a>),
}

/// The result of a rotation. Only the first case writes.
#[derive(Debug, Clone)]
pub enum Rotation {
    /// The token was current and is rotated. The session as it is now.
    Rotated(Session),
    /// The token was rotated before, and gets the same successor. The session as it is.
    SameSuccessor(Session, Repeat),
    /// The token was superseded before, in this session, which the flow ends.
    Reuse(Session, ReuseCause),
    /// The session cannot be refreshed, or not by this request. The session, unless it is absent.
    Dead(DeadCause, Option<Session>),
}

impl Rotation {
    /// The meaning of a rotation whose condition failed on this item.
    ///
    /// # Errors
    /// [`StoreError`] when the item fulfils the condition: the store contradicts itself. The client keeps its token.
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

/// The result of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// The session has ended now.
    Ended,
    /// It had ended before, and nothing was written.
    AlreadyOver(Ended),
    /// There is no such session, and nothing was written.
    Absent,
    /// It belongs to another client, and nothing was written.
    OtherClient,
}

/// Why the store gave no answer. This is never an answer about a token or a password. The texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store is throttled, slow or down: the same request may work later.
    #[error("{0}")]
    Unavailable(String),
    /// A bug, a missing table or permission, or an unreadable item: a retry does not help.
    #[error("{0}")]
    Broken(String),
}

/// The sessions table, as login, refresh and revocation use it. Every verb is safe to repeat.
pub trait Store: Send + Sync {
    /// Adds a user whom a login has brought from the old system, with one conditional write, or a transaction with the claim of
    /// the e-mail address.
    fn create_user(&self, user: &User) -> impl Future<Output = Result<Creation, StoreError>> + Send;

    /// Opens a session and resets the counter of the attempt, in one transaction that fails if the user has changed meanwhile,
    /// or the second factor was used. Returns whether the session was opened.
    fn open_session(&self, new: &NewSession<'_>) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Stores another hash of the same password with one conditional write, before a second factor is shown. Writes nothing
    /// if the user has changed meanwhile.
    fn renew_hash(&self, user: &User, hash: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Rotates the session's token with one conditional write.
    fn rotate(
        &self,
        request: &RotationRequest<'_>,
    ) -> impl Future<Output = Result<Rotation, StoreError>> + Send;

    /// Ends one session, if it belongs to one of `clients`, or to any for `None`. `attempt` is new for each call: the store
    /// recognises its own write by it when the response was lost.
    fn revoke_session(
        &self,
        user: UserId,
        session: SessionId,
        clients: Option<&[ClientId]>,
        now: Timestamp,
        reason: EndReason,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<Revocation, StoreError>> + Send;

    /// Ends every session of a user that was opened before the call, or until `opened_before`. Clocks differ, so a session that
    /// another process opened slightly later ends too. Returns how many sessions this call ended, as far as it learned.
    fn revoke_all(
        &self,
        user: UserId,
        now: Timestamp,
        reason: EndReason,
        opened_before: Option<Timestamp>,
    ) -> impl Future<Output = Result<u32, StoreError>> + Send;

    /// Ends the [`surplus`](crate::session::limit::surplus) of a user's live sessions after the login that opened `spared`.
    /// Returns the sessions that this call ended. Some can have ended when it fails, and the next login ends the rest.
    /// `attempt` is new for each call.
    fn end_least_used(
        &self,
        user: UserId,
        spared: SessionId,
        now: Timestamp,
        reason: EndReason,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<Vec<SessionId>, StoreError>> + Send;
}

/// The sessions table, as the flow `sessions` uses it.
pub trait SessionStore: Send + Sync {
    /// All stored sessions of a user, ended and expired ones among them, in no order; strongly consistent.
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

    /// Ends one session of a user with one conditional write, even if the rest of its item is unreadable. Safe to repeat.
    /// `attempt` is new for each call: the store recognises its own write by it when the response was lost.
    fn end_session(
        &self,
        user: UserId,
        session: SessionId,
        now: Timestamp,
        reason: EndReason,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<Ending, StoreError>> + Send;
}

/// The tables, as the flows of machine clients use them.
pub trait MachineStore: Send + Sync {
    /// Whether tokens of this client and `sid` were revoked; strongly consistent.
    fn is_revoked(
        &self,
        client: &MachineId,
        session: SessionId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Notes the use of an assertion with one conditional write. Returns whether it is the first one. `attempt` is new for each call:
    /// the store recognises its own write by it when the response was lost.
    fn use_assertion(
        &self,
        used: &AssertionUse,
        now: Timestamp,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// The result of [`SessionStore::stored_sessions`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredSessions {
    /// The readable sessions.
    pub sessions: Vec<Session>,
    /// Why others are unreadable, for the log: one error for each item.
    pub unreadable: Vec<StoreError>,
}

/// The result of [`SessionStore::end_session`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The session has ended now.
    Ended,
    /// It had ended before, and nothing was written.
    AlreadyOver,
    /// The user has no such session, and nothing was written.
    Absent,
}

/// The result of [`AttemptStore::begin`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The user of that name.
    pub user: Option<User>,
    /// The known addresses of the user.
    pub known: Vec<KnownAddress>,
    /// The session that changed the password last; `None` if an operator did.
    pub changed_by: Option<SessionId>,
    /// The result of counting the attempt.
    pub attempt: Attempt,
}

/// The attempts table, as the flows that check passwords use it. Every verb is safe to repeat. `attempt` is new for each call:
/// the store recognises its own write by it when the response was lost.
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

    /// Frees each slot that is still held by its ticket, and all slots of the counter `forget`.
    fn settle(
        &self,
        forget: Option<&str>,
        tickets: &[Ticket],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The e-mail addresses of users, as a login by address reads them.
pub trait AddressStore: Send + Sync {
    /// The user who has this address, verified or not; strongly consistent. `None` when no user has it.
    fn user_by_address(
        &self,
        address: &EmailAddress,
    ) -> impl Future<Output = Result<Option<AddressOwner>, StoreError>> + Send;
}

/// The user who has an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressOwner {
    /// The name of the user.
    pub username: Username,
    /// The id of the user.
    pub id: UserId,
}

/// The tables, as the change of the password uses them. Every verb is safe to repeat.
pub trait PasswordStore: AttemptStore {
    /// One session of a user and the name that it was opened under; strongly consistent. `None` when there is none, or its item
    /// has no name.
    fn session_and_name(
        &self,
        user: UserId,
        session: SessionId,
    ) -> impl Future<Output = Result<Option<(Session, Username)>, StoreError>> + Send;

    /// Stores the hash of a new password with one conditional write. Returns whether the user was unchanged since the current
    /// password was checked.
    fn change_password(
        &self,
        change: &PasswordChange<'_>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Ends every live session of a user except those `spared`, within the time limit of a function. Returns how many it ended.
    fn end_others(
        &self,
        user: UserId,
        spared: &[SessionId],
        now: Timestamp,
        reason: EndReason,
    ) -> impl Future<Output = Result<u32, StoreError>> + Send;

    /// Ends a session and opens another one in its place, in one transaction that fails if the user has changed meanwhile.
    fn replace_session(
        &self,
        replacement: &Replacement<'_>,
    ) -> impl Future<Output = Result<Replaced, StoreError>> + Send;

    /// Sets the authentication of a live session with one conditional write, or with a transaction that uses a factor up.
    fn reauthenticate(
        &self,
        renewal: &Reauthentication<'_>,
    ) -> impl Future<Output = Result<Reauthenticated, StoreError>> + Send;
}

/// A new authentication of a session.
#[derive(Debug)]
pub struct Reauthentication<'a> {
    /// The user against whom the request was checked. With a factor, the store writes only if the user has not changed, as for
    /// [`NewSession`].
    pub user: &'a User,
    /// The session as read before. The store writes only if it is still live.
    pub session: &'a Session,
    /// The authentication that the session gets.
    pub authentication: Authentication,
    /// The second factor or the passkey that the user showed. The store writes only if no other request has used it.
    pub factor: Option<UsedFactor<'a>>,
    /// The time of the write, at which the session must be live.
    pub now: Timestamp,
}

/// The result of [`PasswordStore::reauthenticate`]. Only the first case writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reauthenticated {
    /// The session has the new authentication.
    Now,
    /// The session has ended.
    Ended,
    /// Another request used the factor, or the user has changed.
    Overtaken,
}

/// The users table, as flows that know the name read it.
pub trait UserStore: Send + Sync {
    /// The user of that name; strongly consistent.
    fn user_named(
        &self,
        username: &Username,
    ) -> impl Future<Output = Result<Option<User>, StoreError>> + Send;
}

/// The second factors of a user, as the user changes them.
pub trait FactorStore: PasswordStore + PasskeyStore {
    /// Changes the second factors and asks for the notice, in one transaction. Safe to repeat.
    fn change_factors(
        &self,
        change: &FactorChange<'_>,
    ) -> impl Future<Output = Result<FactorsChanged, StoreError>> + Send;
}

/// The result of [`FactorStore::change_factors`]. Only the first case writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorsChanged {
    /// The change is stored.
    Now,
    /// The password, the status or the enrolled factors changed meanwhile.
    UserChanged,
    /// A passkey has this credential id.
    PasskeyTaken,
}

/// A change of the second factors of a user.
#[derive(Debug)]
pub struct FactorChange<'a> {
    /// The user as read before.
    pub user: &'a User,
    /// What changes.
    pub edit: FactorEdit<'a>,
    /// The request for the notice to the user.
    pub notice: Option<&'a MailRequest>,
}

/// What changes among the second factors of a user.
#[derive(Debug, Clone, Copy)]
pub enum FactorEdit<'a> {
    /// One-time codes, with new recovery codes. They replace the former ones.
    Enrol(&'a EnrolledTotp, &'a [RecoveryDigest]),
    /// New recovery codes in place of the former ones.
    RecoveryCodes(&'a [RecoveryDigest]),
    /// The one-time codes end, and with the last factor the recovery codes.
    RemoveTotp,
    /// Another passkey.
    AddPasskey(&'a Passkey),
    /// A passkey ends, and with the last factor the recovery codes.
    RemovePasskey(PasskeyId),
}

/// A session that takes the place of another one.
#[derive(Debug)]
pub struct Replacement<'a> {
    /// The user with the new password. The store writes only if password version, status, scope, claims and second factor are
    /// still the same.
    pub user: &'a User,
    /// The session that ends, if it is still live.
    pub ends: SessionId,
    /// The cause of its end.
    pub reason: EndReason,
    /// The session that is opened, as it is stored. Its `created_at` is also the time of the end.
    pub opens: &'a Session,
}

/// The result of [`PasswordStore::replace_session`]. Only the first case writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// The one session has ended, and the other is open.
    Now,
    /// An earlier call opened a session of this id. The session as it is.
    Before(Box<Session>),
    /// The session that was to end has ended otherwise.
    Ended,
    /// The user has changed.
    UserChanged,
}

/// A new password for the store.
#[derive(Debug)]
pub struct PasswordChange<'a> {
    /// The user against whom the current password was checked. The store writes only if the password version and the status are
    /// still the same.
    pub user: &'a User,
    /// The hash of the new password. Its random salt identifies this write when the response was lost.
    pub hash: &'a str,
    /// The session that asked for the change.
    pub by: SessionId,
    /// The time of the change.
    pub now: Timestamp,
}

/// A session that ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndedSession {
    /// The time of the ending, by the clock of the process that wrote it.
    pub at: Timestamp,
    /// The digest of the session id.
    pub session: SessionDigest,
}

/// The index of ended sessions, as the feed reads it.
pub trait EndedSessions: Send + Sync {
    /// All sessions that ended at `since` or later, in no order. Eventually consistent: the latest endings may be missing.
    ///
    /// # Errors
    /// [`StoreError`] when there is no answer, and [`StoreError::Unavailable`] when there are more than `most`.
    fn ended_since(
        &self,
        since: Timestamp,
        most: usize,
    ) -> impl Future<Output = Result<Vec<EndedSession>, StoreError>> + Send;
}
