//! The session: the life of a family of refresh tokens, and the one place that says what a presented token means.

use crate::{AttemptId, ClientId, RefreshToken, Scope, SessionId, Timestamp, UserId};
use serde::Serialize;
use std::time::Duration;

/// A session as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub user: UserId,
    /// Its id.
    pub session: SessionId,
    /// The generation of the refresh token that is good now.
    pub generation: u32,
    /// When that generation came to be; `None` for the login's own.
    pub rotated_at: Option<Timestamp>,
    /// The attempt that made that generation; `None` for the login's own.
    pub attempt: Option<AttemptId>,
    /// The login.
    pub created_at: Timestamp,
    /// When the current token expires: the absolute end, or the idle limit when that comes first.
    pub expires_at: Timestamp,
    /// When the session ends, whatever happens.
    pub absolute_end: Timestamp,
    /// The client that logged in.
    pub client: ClientId,
    /// What its access tokens may say at most.
    pub scope: Scope,
    /// Set when the session ended early.
    pub ended: Option<Ended>,
    /// What the user's device called itself at login, shortened.
    pub device: Option<String>,
}

/// An early end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Why.
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
    /// An old refresh token was replayed: somebody else has one.
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
}

impl EndReason {
    /// All reasons, for reading one back.
    pub const ALL: [Self; 8] = [
        Self::Revoked,
        Self::RevokedAll,
        Self::Reuse,
        Self::PasswordChanged,
        Self::UserDisabled,
        Self::UserRemoved,
        Self::Operator,
        Self::EndedByUser,
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

    /// Whether the session can still be refreshed at `now`. TTL removes items late, so time is checked here.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now < self.expires_at && now < self.absolute_end
    }

    /// When a token that is issued at `now` expires: the absolute end, or `idle` from now when that is sooner.
    #[must_use]
    pub fn expiry(now: Timestamp, absolute_end: Timestamp, idle: Option<Duration>) -> Timestamp {
        // Whole seconds, as the token and the TTL attribute carry them.
        idle.map_or(absolute_end, |idle| Timestamp::from_seconds((now + idle).seconds()).min(absolute_end))
    }
}

/// What a client presents with a refresh token that has been authenticated.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The token.
    pub token: RefreshToken,
    /// The client that the request names, if it names one.
    pub client: Option<ClientId>,
    /// The narrower scope that the request asks for, if it does.
    pub scope: Option<Scope>,
    /// The id of this attempt, which the rotation stores.
    pub attempt: AttemptId,
}

/// What a presented token means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the current one: rotate.
    Rotate,
    /// It was rotated just now: answer with the same successor.
    SameSuccessor(Repeat),
    /// It was used up long ago and comes again: end the session.
    Reuse(ReuseCause),
    /// The session cannot be refreshed by anybody, or not by this request. Nothing changes.
    Dead(DeadCause),
    /// The token is good but the request asks for scope that was never granted. Nothing changes.
    ScopeNotGranted,
}

/// Why an older token is no theft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// Our own write: its answer was lost and the SDK sent it again.
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
    /// The session's client is no longer registered.
    ClientGone,
    /// The token is newer than the session, as after a table was restored from a backup.
    AheadOfStore,
}

/// The rules of rotation, as one function. The store rotates with a single conditional write whose condition is the
/// [`Verdict::Rotate`] row; when that condition fails it asks here what the item it met means.
#[must_use]
pub fn judge(item: Option<&Session>, presented: &Presented, now: Timestamp, grace: Duration) -> Verdict {
    let Some(item) = item else { return Verdict::Dead(DeadCause::Absent) };
    if item.ended.is_some() {
        return Verdict::Dead(DeadCause::Ended);
    }
    if presented.client.as_ref().is_some_and(|client| *client != item.client) {
        return Verdict::Dead(DeadCause::OtherClient);
    }
    if !item.is_live(now) {
        return Verdict::Dead(DeadCause::Expired);
    }
    let Some(age) = item.generation.checked_sub(presented.token.generation) else {
        return Verdict::Dead(DeadCause::AheadOfStore);
    };
    let scope_granted = presented.scope.as_ref().is_none_or(|scope| scope.is_within(&item.scope));
    match age {
        0 if scope_granted => Verdict::Rotate,
        1 if item.attempt == Some(presented.attempt) => Verdict::SameSuccessor(Repeat::OwnRetry),
        1 => match item.rotated_at {
            Some(rotated_at) if now.since(rotated_at) < grace => {
                if scope_granted {
                    Verdict::SameSuccessor(Repeat::Grace)
                } else {
                    Verdict::ScopeNotGranted
                }
            }
            _ => Verdict::Reuse(ReuseCause::AfterGrace),
        },
        0 => Verdict::ScopeNotGranted,
        _ => Verdict::Reuse(ReuseCause::SuccessorUsed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    const GRACE: Duration = Duration::from_secs(30);

    fn attempt(byte: u8) -> AttemptId {
        AttemptId::from_bytes(&[byte; 9]).unwrap()
    }

    /// A session that was rotated to generation 5 ten seconds ago.
    fn session() -> Session {
        Session {
            user: UserId::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            generation: 5,
            rotated_at: Some(Timestamp::from_seconds(NOW.seconds() - 10)),
            attempt: Some(attempt(1)),
            created_at: Timestamp::from_seconds(NOW.seconds() - 1000),
            expires_at: Timestamp::from_seconds(NOW.seconds() + 1000),
            absolute_end: Timestamp::from_seconds(NOW.seconds() + 1000),
            client: ClientId::parse("web").unwrap(),
            scope: Scope::parse("a b").unwrap(),
            ended: None,
            device: None,
        }
    }

    fn presented(generation: u32) -> Presented {
        Presented {
            token: RefreshToken { generation, ..session().token() },
            client: None,
            scope: None,
            attempt: attempt(9),
        }
    }

    fn check(item: Option<&Session>, presented: &Presented, expected: Verdict) {
        assert_eq!(judge(item, presented, NOW, GRACE), expected, "{presented:?}\n{item:?}");
    }

    #[test]
    fn generations() {
        check(Some(&session()), &presented(5), Verdict::Rotate);
        check(Some(&session()), &presented(4), Verdict::SameSuccessor(Repeat::Grace));
        check(Some(&session()), &presented(3), Verdict::Reuse(ReuseCause::SuccessorUsed));
        check(Some(&session()), &presented(0), Verdict::Reuse(ReuseCause::SuccessorUsed));
        check(Some(&session()), &presented(6), Verdict::Dead(DeadCause::AheadOfStore));
        check(None, &presented(5), Verdict::Dead(DeadCause::Absent));
    }

    #[test]
    fn grace_closes_by_time() {
        let rotated = |seconds: u64| {
            let rotated_at = Some(Timestamp::from_millis(NOW.millis() - seconds * 1000));
            Some(Session { rotated_at, ..session() })
        };
        check(rotated(29).as_ref(), &presented(4), Verdict::SameSuccessor(Repeat::Grace));
        check(rotated(30).as_ref(), &presented(4), Verdict::Reuse(ReuseCause::AfterGrace));
        assert_eq!(
            judge(rotated(0).as_ref(), &presented(4), NOW, Duration::ZERO),
            Verdict::Reuse(ReuseCause::AfterGrace),
            "a grace of zero forgives nothing"
        );
    }

    #[test]
    fn our_own_retry_is_known_without_grace() {
        let retry = Presented { attempt: attempt(1), ..presented(4) };
        assert_eq!(
            judge(Some(&session()), &retry, NOW, Duration::ZERO),
            Verdict::SameSuccessor(Repeat::OwnRetry)
        );
    }

    #[test]
    fn an_ended_or_expired_session_is_dead_for_every_generation() {
        let ended = Session { ended: Some(Ended { at: NOW, reason: EndReason::Revoked }), ..session() };
        let expired = Session { expires_at: NOW, ..session() };
        let over = Session { absolute_end: NOW, ..session() };
        for generation in 0..=6 {
            check(Some(&ended), &presented(generation), Verdict::Dead(DeadCause::Ended));
            check(Some(&expired), &presented(generation), Verdict::Dead(DeadCause::Expired));
            check(Some(&over), &presented(generation), Verdict::Dead(DeadCause::Expired));
        }
    }

    #[test]
    fn another_client_changes_nothing() {
        let other = ClientId::parse("other");
        check(
            Some(&session()),
            &Presented { client: other.clone(), ..presented(5) },
            Verdict::Dead(DeadCause::OtherClient),
        );
        check(
            Some(&session()),
            &Presented { client: other, ..presented(1) },
            Verdict::Dead(DeadCause::OtherClient),
        );
    }

    #[test]
    fn scope_narrows_only() {
        let asking =
            |scope: &str, generation| Presented { scope: Scope::parse(scope).ok(), ..presented(generation) };
        check(Some(&session()), &asking("a", 5), Verdict::Rotate);
        check(Some(&session()), &asking("a c", 5), Verdict::ScopeNotGranted);
        check(Some(&session()), &asking("a c", 4), Verdict::ScopeNotGranted);
        check(Some(&session()), &asking("a c", 3), Verdict::Reuse(ReuseCause::SuccessorUsed));
    }

    #[test]
    fn end_reasons_read_back() {
        for reason in EndReason::ALL {
            assert_eq!(EndReason::parse(reason.as_str()), reason);
        }
        assert_eq!(EndReason::parse("from the future"), EndReason::Operator);
    }
}
