//! The port to the stored passkeys.

use crate::passkey::ceremony::Used;
use crate::passkey::challenge::Challenge;
use crate::passkey::{Credential, Fault, PasskeyId};
use crate::ports::store::{StoreError, User, UserStore};
use daypass_verifier::base::ids::{AttemptId, UserId, Username};
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use std::future::Future;

/// A stored passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// What verifies its responses.
    pub credential: Credential,
    /// The name of its user.
    pub username: Username,
    /// The name that the user gave it.
    pub name: String,
    /// The time of the registration.
    pub created_at: Timestamp,
    /// The time of the last login; `None` before the first.
    pub used_at: Option<Timestamp>,
}

/// A passkey that a login shows. The transaction that opens the session notes counter, flags and challenge, if the stored
/// counter has not changed since, and no login has used the challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedPasskey<'a> {
    /// The passkey against which the response was checked.
    pub passkey: &'a Passkey,
    /// Its new counter and flags.
    pub used: Used,
    /// The challenge of the login.
    pub challenge: Challenge,
}

/// The users table with its passkeys. Every verb is safe to repeat.
pub trait PasskeyStore: UserStore {
    /// The passkey of this id; strongly consistent. `None` when there is none.
    fn passkey(&self, id: PasskeyId) -> impl Future<Output = Result<Option<Passkey>, StoreError>> + Send;

    /// The passkeys of a user, the oldest first; strongly consistent.
    fn passkeys_of(&self, user: &User) -> impl Future<Output = Result<Vec<Passkey>, StoreError>> + Send;

    /// Uses a challenge up without a passkey, with one conditional write. Returns whether no request had used it. `attempt` is new
    /// for each call: the store recognises its own write by it when the response was lost.
    fn use_up(
        &self,
        challenge: &Challenge,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Gives a passkey of this user another name, with one conditional write. Returns whether the user has the passkey.
    fn rename_passkey(
        &self,
        id: PasskeyId,
        user: UserId,
        name: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Why a passkey was rejected, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PasskeyRefusal {
    /// The response of the authenticator.
    Response(Fault),
    /// What the store has.
    Stored(PasskeyMismatch),
}

/// What the store has against a response that is right in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PasskeyMismatch {
    /// There is no such passkey, or its user was removed.
    UnknownPasskey,
    /// The user is disabled.
    Disabled,
    /// The authenticator verified no person, and the user needs two factors.
    OneFactor,
    /// The scope was never granted to this user and client.
    ScopeNotGranted,
    /// The challenge was used, or the user or the passkey changed during the request.
    Overtaken,
    /// The new credential is that of another passkey.
    Taken,
}
