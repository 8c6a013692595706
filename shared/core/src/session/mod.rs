//! The session: a family of refresh tokens, and the one rule for what a presented token means.

pub mod limit;

use crate::account::authentication::Authentication;
use crate::account::claims::Claims;
use crate::keys::CounterKey;
use crate::throttle::network;
use crate::token::refresh::RefreshToken;
use aws_lc_rs::hmac;
use daypass_verifier::base::digest::prefix;
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::dpop::Thumbprint;
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

/// Grace of a rotation whose attempt the client named by an `Idempotency-Key`, for other attempts. The client repeats a lost
/// request under its key, so only another party or a tab that does not share the key needs grace.
pub const NAMED_GRACE: Duration = Duration::from_secs(5);

/// A session in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The id of its user.
    pub user: UserId,
    /// The id of the session.
    pub session: SessionId,
    /// The generation of the current refresh token.
    pub generation: u32,
    /// The time of the last rotation; `None` before the first.
    pub rotated_at: Option<Timestamp>,
    /// The attempt of the last rotation, or of the end; `None` before the first.
    pub attempt: Option<AttemptId>,
    /// Whether the client named the attempt of the last rotation by an `Idempotency-Key`.
    pub named: bool,
    /// The network of the last rotation; `None` before the first, or if an older version rotated.
    pub network: Option<NetworkDigest>,
    /// The time of the login.
    pub created_at: Timestamp,
    /// When the current token expires: the absolute end, or the idle limit when that comes first. After an early end, the
    /// absolute end.
    pub expires_at: Timestamp,
    /// When the session ends, whatever happens.
    pub absolute_end: Timestamp,
    /// The client that logged in.
    pub client: ClientId,
    /// The widest scope of its access tokens.
    pub scope: Scope,
    /// The claims of its access tokens: those of its user.
    pub claims: Claims,
    /// Whether its access tokens can have the right to the account endpoints.
    pub account: bool,
    /// Whether the session only permits the enrolment of a second factor: it has no scope and no claims.
    pub for_enrolment: bool,
    /// The last authentication of its user.
    pub authentication: Authentication,
    /// The key whose proof each refresh needs (RFC 9449 §5); `None` for a session that is not bound to a key.
    pub key: Option<KeyDigest>,
    /// Set when the session ended early.
    pub ended: Option<Ended>,
    /// The user agent of the login, shortened.
    pub device: Option<String>,
}

/// What is decided at the opening of a session.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The id of its user.
    pub(crate) user: UserId,
    /// The id of the session.
    pub(crate) session: SessionId,
    /// The client.
    pub(crate) client: ClientId,
    /// The widest scope of its access tokens.
    pub(crate) scope: Scope,
    /// The claims of its user.
    pub(crate) claims: Claims,
    /// Whether its access tokens can have the right to the account endpoints.
    pub(crate) account: bool,
    /// Whether the session only permits the enrolment of a second factor.
    pub(crate) for_enrolment: bool,
    /// The authentication of its user.
    pub(crate) authentication: Authentication,
    /// The key that the session is bound to.
    pub(crate) key: Option<KeyDigest>,
    /// The user agent of the login, shortened.
    pub(crate) device: Option<String>,
}

/// An early end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The time of the end.
    pub at: Timestamp,
    /// The cause of the end.
    pub reason: EndReason,
}

/// Why a session ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The client revoked it (logout).
    Revoked,
    /// The user ended all sessions (`all=true`).
    RevokedAll,
    /// An old refresh token was replayed: another party has one.
    Reuse,
    /// The password changed.
    PasswordChanged,
    /// The user was disabled.
    UserDisabled,
    /// The user was deleted.
    UserRemoved,
    /// An operator ended it.
    Operator,
    /// The user ended it from another session.
    EndedByUser,
    /// An operator took every scope that it had from the user.
    ScopeRemoved,
    /// The user logged in once more than [`limit::MAX_SESSIONS`] allows, and this session was used least recently.
    SessionLimit,
}

impl EndReason {
    /// All reasons, for reading one back.
    pub const ALL: [Self; 10] = [
        Self::Revoked,
        Self::RevokedAll,
        Self::Reuse,
        Self::PasswordChanged,
        Self::UserDisabled,
        Self::UserRemoved,
        Self::Operator,
        Self::EndedByUser,
        Self::ScopeRemoved,
        Self::SessionLimit,
    ];

    /// The stored form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::RevokedAll => "revoked_all",
            Self::Reuse => "reuse",
            Self::PasswordChanged => "password_changed",
            Self::UserDisabled => "user_disabled",
            Self::UserRemoved => "user_removed",
            Self::Operator => "operator",
            Self::EndedByUser => "ended_by_user",
            Self::ScopeRemoved => "scope_removed",
            Self::SessionLimit => "session_limit",
        }
    }

    /// Reads the stored form. What a newer version wrote is still an end: it reads as [`EndReason::Operator`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).unwrap_or(Self::Operator)
    }
}

impl Session {
    /// The refresh token that is good now.
    #[must_use]
    pub fn token(&self) -> RefreshToken {
        RefreshToken {
            user: self.user,
            session: self.session,
            generation: self.generation,
            expires_at: self.expires_at,
        }
    }

    /// How the session came to be over by `now`: ended or expired. `None` while it is live. TTL removes items late, so the
    /// time is checked here.
    #[must_use]
    pub fn over(&self, now: Timestamp) -> Option<DeadCause> {
        if self.ended.is_some() {
            Some(DeadCause::Ended)
        } else if now >= self.expires_at || now >= self.absolute_end {
            Some(DeadCause::Expired)
        } else {
            None
        }
    }

    /// Whether the session can be refreshed at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.over(now).is_none()
    }

    /// The last rotation, or the login.
    #[must_use]
    pub fn last_used(&self) -> Timestamp {
        self.rotated_at.unwrap_or(self.created_at)
    }

    /// A session that is opened at `now`, for `lifetime` at most. Its first refresh token was not used.
    pub(crate) fn open(opening: Opening, now: Timestamp, lifetime: Duration, idle: Option<Duration>) -> Self {
        let Opening {
            user,
            session,
            client,
            scope,
            claims,
            account,
            for_enrolment,
            authentication,
            key,
            device,
        } = opening;
        // Whole seconds, as the token and the TTL attribute carry them.
        let absolute_end = Timestamp::from_seconds((now + lifetime).seconds());
        Self {
            user,
            session,
            generation: 0,
            rotated_at: None,
            attempt: None,
            named: false,
            network: None,
            created_at: now,
            expires_at: Self::expiry(now, absolute_end, idle),
            absolute_end,
            client,
            scope,
            claims,
            account,
            for_enrolment,
            authentication,
            key,
            ended: None,
            device,
        }
    }

    /// The id of the session that takes the place of this one when its user changes the password. A repeat of the change finds
    /// the session by it.
    pub(crate) fn replacement_id(&self, key: &CounterKey) -> SessionId {
        let input = [b"daypass session after ".as_slice(), self.user.as_bytes(), self.session.as_bytes()];
        SessionId::from_bytes(prefix(&key.digest(&input.concat())))
    }

    /// When a token that is issued at `now` expires: the absolute end, or `idle` from now when that is sooner.
    #[must_use]
    pub fn expiry(now: Timestamp, absolute_end: Timestamp, idle: Option<Duration>) -> Timestamp {
        // Whole seconds, as the token and the TTL attribute carry them.
        idle.map_or(absolute_end, |idle| Timestamp::from_seconds((now + idle).seconds()).min(absolute_end))
    }
}

/// The network that a refresh came from, as the session stores it: 8 bytes of an HMAC-SHA-256, so the table names no address.
/// The key is the text of the presented refresh token, so only requests with the same token can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkDigest([u8; 8]);

impl NetworkDigest {
    /// The digest of an IPv4 address or of the /64 of an IPv6 address.
    #[must_use]
    pub fn of(token: &str, address: Option<IpAddr>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        Self(prefix(hmac::sign(&key, &network(address, 8)).as_ref()))
    }

    /// From stored bytes; `None` when their number is wrong.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The key that a session is bound to, as the session stores it: the first 16 bytes of its thumbprint. To find another key with
/// these bytes takes 2^128 attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest([u8; 16]);

impl KeyDigest {
    /// The digest of a key.
    #[must_use]
    pub fn of(key: &Thumbprint) -> Self {
        Self(prefix(key.as_bytes()))
    }

    /// From stored bytes; `None` when their number is wrong.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a client presents with a refresh token that has been authenticated.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The authenticated refresh token.
    pub token: RefreshToken,
    /// The client that the request names, if it names one.
    pub client: Option<ClientId>,
    /// The narrower scope that the request asks for, if it does.
    pub scope: Option<Scope>,
    /// The id of this attempt, which the rotation stores: from the client's `Idempotency-Key`, or fresh.
    pub attempt: AttemptId,
    /// Whether the attempt is from the client's `Idempotency-Key`.
    pub named: bool,
    /// The network that the request came from.
    pub network: NetworkDigest,
    /// The key of the request's DPoP proof.
    pub key: Option<KeyDigest>,
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
    /// How long a superseded token still gets the same successor; at most [`NAMED_GRACE`] if the client named the rotation.
    pub grace: Duration,
    /// How long an unused session lives; `None` for as long as the absolute end allows.
    pub idle: Option<Duration>,
}

/// What a presented token means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the current one: rotate.
    Rotate,
    /// It was rotated just now: answer with the same successor. Nothing changes.
    SameSuccessor(Repeat),
    /// It was used up and comes again: end the session.
    Reuse(ReuseCause),
    /// The session cannot be refreshed by anybody, or not by this request. Nothing changes.
    Dead(DeadCause),
}

/// Why an older token is no theft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// The very attempt that made the successor: its answer was lost, and our SDK sent it again, or the client did under
    /// the same `Idempotency-Key`.
    OwnRetry,
    /// A client's retry or second tab within the grace window, the successor still unused.
    Grace,
}

/// How a replay was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReuseCause {
    /// The token's direct successor is current, but the grace window is over.
    AfterGrace,
    /// The token's successor has been used already.
    SuccessorUsed,
}

/// Why a session is dead for this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadCause {
    /// There is no such session: it expired and was collected, or was deleted. Absent means invalid.
    Absent,
    /// It ended early.
    Ended,
    /// It is past its expiry or absolute end.
    Expired,
    /// The token belongs to another client than the request names (RFC 6749 §6).
    OtherClient,
    /// The session is bound to a key, and the request has no proof of that key (RFC 9449 §5).
    OtherKey,
    /// The session's client is not registered, or not for the way that the token came (body or cookie, and from which page).
    ClientGone,
    /// The request asks for scope that the session was never granted (RFC 6749 §6).
    ScopeNotGranted,
    /// The token is newer than the session, as after a table was restored from a backup.
    AheadOfStore,
}

/// The rules of rotation, as one function. The store rotates with a single conditional write whose condition is the
/// [`Verdict::Rotate`] row; when that condition fails, this says what the item that the write met means.
///
/// ARCHITECTURE.md has it as a table, and a test compares the two over all cases.
#[must_use]
pub fn judge(item: Option<&Session>, request: &RotationRequest<'_>) -> Verdict {
    let presented = request.presented;
    let Some(item) = item else { return Verdict::Dead(DeadCause::Absent) };
    if item.ended.is_some() {
        return Verdict::Dead(DeadCause::Ended);
    }
    if presented.client.as_ref().is_some_and(|client| *client != item.client) {
        return Verdict::Dead(DeadCause::OtherClient);
    }
    if !request.registered.contains(&item.client) {
        return Verdict::Dead(DeadCause::ClientGone);
    }
    if item.key.is_some() && item.key != presented.key {
        return Verdict::Dead(DeadCause::OtherKey);
    }
    if !item.is_live(request.now) {
        return Verdict::Dead(DeadCause::Expired);
    }
    let scope_granted = presented.scope.as_ref().is_none_or(|scope| scope.is_within(&item.scope));
    let own = item.attempt == Some(presented.attempt);
    let grace = if item.named { request.grace.min(NAMED_GRACE) } else { request.grace };
    let in_grace = item.rotated_at.is_some_and(|at| request.now.since(at) < grace);
    match item.generation.checked_sub(presented.token.generation) {
        None => Verdict::Dead(DeadCause::AheadOfStore),
        Some(1) if !own && !in_grace => Verdict::Reuse(ReuseCause::AfterGrace),
        Some(0 | 1) if !scope_granted => Verdict::Dead(DeadCause::ScopeNotGranted),
        Some(0) => Verdict::Rotate,
        Some(1) if own => Verdict::SameSuccessor(Repeat::OwnRetry),
        Some(1) => Verdict::SameSuccessor(Repeat::Grace),
        Some(_) => Verdict::Reuse(ReuseCause::SuccessorUsed),
    }
}

#[cfg(test)]
mod tests;
