//! Users and sessions as JSON. Times are in seconds since the epoch.

use daypass_core::account::Undeliverable;
use daypass_core::account::claims::Claims;
use daypass_core::factor::FactorKind;
use daypass_core::ports::store::{User, UserStatus};
use daypass_core::session::{EndReason, Session};
use daypass_verifier::base::ids::{ClientId, SessionId, UserId};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;

/// A user: every attribute except the password hash and the secrets of second factors.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the members are those of `User`")]
pub struct UserView<'a> {
    pub username: &'a str,
    pub user_id: UserId,
    pub status: UserStatus,
    pub scope: &'a Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_undeliverable: Option<Undeliverable>,
    #[serde(skip_serializing_if = "Claims::is_empty")]
    pub claims: &'a Claims,
    /// Only for a user with a second factor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub factors: Vec<FactorKind>,
    /// Only for a user who must have one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mfa_required: bool,
    pub password_version: u32,
    pub created_at: u64,
    pub updated_at: u64,
}

impl<'a> From<&'a User> for UserView<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            username: user.username.as_str(),
            user_id: user.id,
            status: user.status,
            scope: &user.scope,
            email: user.email.as_ref().map(|email| email.address.as_str()),
            email_verified: user.email.as_ref().map(|email| email.verified),
            email_undeliverable: user.email.as_ref().and_then(|email| email.undeliverable),
            claims: &user.claims,
            factors: user.factors.kinds(),
            mfa_required: user.factors.required,
            password_version: user.password_version,
            created_at: user.created_at.seconds(),
            updated_at: user.updated_at.seconds(),
        }
    }
}

/// State of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It can be refreshed.
    Live,
    /// It reached its idle limit or its absolute end.
    Expired,
    /// It ended before it expired.
    Ended,
}

impl State {
    /// The state of a session at a time.
    #[must_use]
    pub fn of(session: &Session, now: Timestamp) -> Self {
        match session.ended {
            Some(_) => Self::Ended,
            None if session.is_live(now) => Self::Live,
            None => Self::Expired,
        }
    }
}

/// A session, without its claims.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the members are those of `Session`")]
pub struct SessionView<'a> {
    pub session_id: SessionId,
    pub state: State,
    pub ended_at: Option<u64>,
    pub ended_reason: Option<EndReason>,
    pub generation: u32,
    pub created_at: u64,
    pub last_used_at: u64,
    pub expires_at: u64,
    pub absolute_end: u64,
    pub client_id: &'a ClientId,
    pub scope: &'a Scope,
    pub device: Option<&'a str>,
}

impl<'a> SessionView<'a> {
    /// The session as it is at a time.
    #[must_use]
    pub fn new(session: &'a Session, now: Timestamp) -> Self {
        Self {
            session_id: session.session,
            state: State::of(session, now),
            ended_at: session.ended.map(|ended| ended.at.seconds()),
            ended_reason: session.ended.map(|ended| ended.reason),
            generation: session.generation,
            created_at: session.created_at.seconds(),
            last_used_at: session.last_used().seconds(),
            expires_at: session.expires_at.seconds(),
            absolute_end: session.absolute_end.seconds(),
            client_id: &session.client,
            scope: &session.scope,
            device: session.device.as_deref(),
        }
    }
}

/// One session, with what a list leaves out.
#[derive(Debug, Serialize)]
pub struct SessionDetail<'a> {
    /// The user of the session.
    pub user_id: UserId,
    /// The members of a list.
    #[serde(flatten)]
    pub session: SessionView<'a>,
    /// Time of the last refresh.
    pub rotated_at: Option<u64>,
}

impl<'a> SessionDetail<'a> {
    /// The session as it is at a time.
    #[must_use]
    pub fn new(session: &'a Session, now: Timestamp) -> Self {
        Self {
            user_id: session.user,
            session: SessionView::new(session, now),
            rotated_at: session.rotated_at.map(Timestamp::seconds),
        }
    }
}

/// Sessions of a user that an operator ended.
#[derive(Debug, Serialize)]
pub struct SessionsEnded {
    /// The user of the sessions.
    pub user_id: UserId,
    /// The number of sessions that were live.
    pub ended: u32,
}
