//! Security events: what the log says of every login, refresh and revocation.
//!
//! An event carries ids and causes; never a token, a password, a name or a header. Each becomes one JSON line, and what
//! is on it is a contract with the readers of the log: `docs/reference/events.md` states it, and a test holds the two together.

use crate::session::{DeadCause, EndReason, Repeat, ReuseCause};
use crate::throttle::Exhausted;
use crate::token::refresh::RefreshTokenError;
use daypass_verifier::base::ids::{ClientId, SessionId, UserId};
use daypass_verifier::jose::verify::Rejection;
use daypass_verifier::ports::event::{Record, Severity};
use serde::Serialize;

/// Something that happened, for the log and whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event")]
pub enum Event {
    /// A session was opened.
    #[serde(rename = "login.succeeded")]
    LoginSucceeded {
        /// Who.
        user: UserId,
        /// The new session.
        session: SessionId,
        /// With which client.
        client: ClientId,
    },
    /// A login was refused after its password had been looked at.
    #[serde(rename = "login.failed")]
    LoginFailed {
        /// Why: what the caller is not told.
        cause: LoginFailure,
        /// The throttle key of the name: the same for every attempt at it, and no name.
        account: String,
        /// With which client.
        client: ClientId,
        /// Who, when the name is a user's.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    },
    /// A login or a change of the password was refused unseen: too many attempts.
    #[serde(rename = "login.throttled")]
    LoginThrottled {
        /// By which limit.
        limit: Exhausted,
        /// As in `login.failed`.
        account: String,
        /// With which client.
        client: ClientId,
        /// Who, when the name is a user's.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// Until when, in seconds from now.
        retry_after: u64,
    },
    /// A refresh token was rotated.
    #[serde(rename = "refresh.rotated")]
    Rotated {
        /// Whose.
        user: UserId,
        /// The session.
        session: SessionId,
        /// The session's client.
        client: ClientId,
        /// The generation that the caller now holds.
        generation: u32,
    },
    /// A superseded token came again and got the same successor.
    #[serde(rename = "refresh.repeated")]
    Repeated {
        /// Whose.
        user: UserId,
        /// The session.
        session: SessionId,
        /// The session's client.
        client: ClientId,
        /// The generation that the caller now holds.
        generation: u32,
        /// Why that is no theft.
        cause: Repeat,
        /// Seconds since the rotation that is repeated.
        age: u64,
    },
    /// A superseded token was replayed: the session has been ended.
    #[serde(rename = "refresh.reuse")]
    Reuse {
        /// Whose.
        user: UserId,
        /// The session.
        session: SessionId,
        /// The session's client.
        client: ClientId,
        /// How it was recognised.
        cause: ReuseCause,
        /// The generation that was presented.
        presented: u32,
        /// The generation that was current.
        current: u32,
        /// Seconds since the last rotation.
        age: u64,
    },
    /// A refresh was refused without a change.
    #[serde(rename = "refresh.refused")]
    RefreshRefused {
        /// Why: what the caller is not told.
        cause: Refusal,
        /// Whose token it was, when it was one of ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// The session it named, when it was one of ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
        /// The session's client, when the store was asked and has the session.
        #[serde(skip_serializing_if = "Option::is_none")]
        client: Option<ClientId>,
        /// Why the session had ended, when it had.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<EndReason>,
    },
    /// The first keys of a section were made.
    #[serde(rename = "keys.made")]
    KeysMade {
        /// `signing`, `refresh` or `peppers`.
        section: &'static str,
        /// The active key.
        kid: String,
        /// The next one.
        next: String,
    },
    /// A function has read its keys: at start, and every few minutes in which it is called.
    #[serde(rename = "keys.loaded")]
    KeysLoaded {
        /// As in `keys.made`.
        section: &'static str,
        /// The active key.
        kid: String,
        /// Seconds since it was made.
        age: u64,
    },
    /// The keys of a section were rotated.
    #[serde(rename = "keys.rotated")]
    KeysRotated {
        /// As in `keys.made`.
        section: &'static str,
        /// The key that is active now.
        kid: String,
        /// The next one.
        next: String,
    },
    /// The keys of a section were replaced at once, because somebody else has them.
    #[serde(rename = "keys.cut")]
    KeysCut {
        /// As in `keys.made`.
        section: &'static str,
        /// The key that is active now.
        kid: String,
        /// The next one.
        next: String,
    },
    /// One session was ended.
    #[serde(rename = "session.ended")]
    SessionEnded {
        /// Whose.
        user: UserId,
        /// The session.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// All sessions of a user were ended.
    #[serde(rename = "session.ended_all")]
    SessionsEnded {
        /// Whose.
        user: UserId,
        /// The session whose token asked for it. It is not among the counted.
        session: SessionId,
        /// How many others were still live.
        count: u32,
        /// Why.
        reason: EndReason,
    },
    /// A revocation changed nothing.
    #[serde(rename = "revoke.ignored")]
    RevokeIgnored {
        /// Why: the caller is answered 200 all the same (RFC 7009 §2.2), but for another client's token (§2.1).
        cause: Ignored,
        /// Whether all sessions were to end.
        all: bool,
        /// Whose token it was, when it was one of ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// The session it named, when it was one of ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
        /// Why the session had ended before, when it had.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<EndReason>,
    },
    /// A user changed the password.
    #[serde(rename = "password.changed")]
    PasswordChanged {
        /// Who.
        user: UserId,
        /// The session that asked for it, and the only one that was spared.
        session: SessionId,
    },
    /// A change of the password was refused.
    #[serde(rename = "password.refused")]
    PasswordRefused {
        /// Why.
        cause: PasswordRefusal,
        /// Whose it is.
        user: UserId,
        /// The session that asked for it.
        session: SessionId,
    },
    /// A request behind the authorizer was denied: the session of its access token is over.
    #[serde(rename = "authorize.denied")]
    AuthorizeDenied {
        /// Why.
        cause: DeadCause,
        /// The user of the token.
        user: UserId,
        /// The session of the token.
        session: SessionId,
    },
    /// A request was refused before anything was looked up.
    #[serde(rename = "request.refused")]
    RequestRefused {
        /// The `error` code of the answer.
        error: &'static str,
        /// Its text.
        description: &'static str,
    },
    /// A dependency failed, or we did.
    #[serde(rename = "failure")]
    Failure {
        /// What was being done.
        during: &'static str,
        /// What the dependency said. It names tables and codes, never input.
        detail: String,
    },
}

/// Why a login failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFailure {
    /// There is no such user.
    UnknownUser,
    /// The password is wrong.
    WrongPassword,
    /// The password is right, the user is disabled.
    Disabled,
    /// The password or the status changed while the login was under way.
    UserChanged,
    /// The stored hash cannot be checked.
    UnusableHash,
    /// The scope was never granted to this user and client.
    ScopeNotGranted,
}

/// Why a change of the password was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordRefusal {
    /// The current password is wrong.
    WrongPassword,
    /// The stored hash cannot be checked.
    UnusableHash,
    /// The new password is not good enough.
    NewPassword,
    /// The password changed while this was under way.
    UserChanged,
    /// The session names no user that is still there, or a disabled one.
    NoUser,
}

/// Why a refresh was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Refusal {
    /// The refresh token itself: nothing was asked of the store.
    Token(RefreshTokenError),
    /// The session.
    Session(DeadCause),
}

/// Why a revocation changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Ignored {
    /// The refresh token itself: nothing was asked of the store.
    Token(RefreshTokenError),
    /// The access token itself: nothing was asked of the store.
    AccessToken(Rejection),
    /// The session.
    Session(DeadCause),
}

impl Record for Event {
    fn severity(&self) -> Severity {
        match self {
            Self::Failure { .. } => Severity::Error,
            Self::Reuse { .. } | Self::LoginThrottled { .. } | Self::KeysCut { .. } => Severity::Warning,
            Self::LoginSucceeded { .. }
            | Self::LoginFailed { .. }
            | Self::Rotated { .. }
            | Self::Repeated { .. }
            | Self::RefreshRefused { .. }
            | Self::SessionEnded { .. }
            | Self::SessionsEnded { .. }
            | Self::PasswordChanged { .. }
            | Self::PasswordRefused { .. }
            | Self::RevokeIgnored { .. }
            | Self::AuthorizeDenied { .. }
            | Self::KeysMade { .. }
            | Self::KeysLoaded { .. }
            | Self::KeysRotated { .. }
            | Self::RequestRefused { .. } => Severity::Info,
        }
    }
}
