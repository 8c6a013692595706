//! Sessions of a user.

use crate::{Admin, AdminError};
use daypass_core::ports::store::{Ending, SessionStore};
use daypass_core::session::{EndReason, Session};
use daypass_verifier::base::ids::{AttemptId, SessionId, UserId};

impl Admin<'_> {
    /// All stored sessions of a user, newest first: live ones, and expired and ended ones that DynamoDB has not deleted.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub async fn sessions(&self, user: UserId) -> Result<Vec<Session>, AdminError> {
        let mut sessions = self.store.sessions(user).await?;
        sessions.sort_by_key(|session| std::cmp::Reverse(session.created_at));
        Ok(sessions)
    }

    /// One session of a user.
    ///
    /// # Errors
    /// [`AdminError::UnknownSession`] and [`AdminError::Store`].
    pub async fn session(&self, user: UserId, session: SessionId) -> Result<Session, AdminError> {
        self.store.stored_session(user, session).await?.ok_or(AdminError::UnknownSession(session))
    }

    /// Ends one session of a user. Returns whether this call ended it, and not an earlier one.
    ///
    /// # Errors
    /// [`AdminError::UnknownSession`] and [`AdminError::Store`].
    pub async fn end_session(&self, user: UserId, session: SessionId) -> Result<bool, AdminError> {
        let attempt = AttemptId::generate(self.entropy);
        let (now, reason) = (self.clock.now(), EndReason::Operator);
        match self.store.end_session(user, session, now, reason, attempt).await? {
            Ending::Ended => Ok(true),
            Ending::AlreadyOver => Ok(false),
            Ending::Absent => Err(AdminError::UnknownSession(session)),
        }
    }

    /// Ends all sessions of a user, and returns how many were live. Waits for the last one, without the time limit of
    /// the functions.
    ///
    /// # Errors
    /// [`AdminError::Store`]. Some sessions may have ended.
    pub async fn end_sessions(&self, user: UserId) -> Result<u32, AdminError> {
        Ok(self.store.end_sessions(user, self.clock.now(), EndReason::Operator).await?)
    }
}
