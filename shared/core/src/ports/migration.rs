//! The port to the system that users come from. It checks the password of a user whom Daypass has no hash of.

use crate::account::Email;
use crate::account::claims::Claims;
use crate::ports::event::LoginFailure;
use crate::secret::Password;
use daypass_verifier::base::ids::{ClientId, UserId};
use daypass_verifier::base::time::Timestamp;
use std::pin::Pin;

/// The stored hash of a user whose password only the old system knows.
pub const MARKER: &str = "$migrate$";

/// The id of a user whose `sub` in Cognito is this UUID; `None` for other texts.
#[must_use]
pub fn id_of_sub(sub: &str) -> Option<UserId> {
    UserId::parse(&format!("{}{}", UserId::PREFIX, sub.replace('-', "")))
}

/// A login that the old system decides.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The name as typed: the old system has its own rules for case and aliases.
    pub name: &'a str,
    /// The typed password.
    pub password: &'a Password,
    /// The client of the login.
    pub client: &'a ClientId,
    /// The time of the login.
    pub now: Timestamp,
}

/// A user in the old system whose password is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldUser {
    /// The id, if the old system names one. A stored user must have the same id, and a new one gets it.
    pub id: Option<UserId>,
    /// The name, if the old system knows several for one user. A user is created under this name alone.
    pub name: Option<String>,
    /// The e-mail address, for a user who is created.
    pub email: Option<Email>,
    /// The claims, for a user who is created.
    pub claims: Claims,
}

/// The answer of the old system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The password is right, and nothing else is needed for a login.
    Right(OldUser),
    /// There is no such user, or the password is wrong.
    Wrong,
    /// The old system does not let this user log in with the password alone.
    Refused(LoginFailure),
    /// The old system has locked the name after too many attempts, and did not check the password.
    Locked,
}

/// The old system gave no answer about the password. The text is for the log, and holds no input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(pub String);

/// A pending answer.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<Answer, Unanswered>> + Send + 'a>>;

/// The system that users come from.
pub trait OldSystem: Send + Sync {
    /// Checks a name and a password with one request, within two seconds.
    fn ask<'a>(&'a self, question: Question<'a>) -> Pending<'a>;
}
