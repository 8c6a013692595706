//! A user changes the password: the current one is checked as a login checks it, and every other session ends.
//!
//! The caller is whom the authorizer in front let through ([`Principal`]), and the session of that token must be live. The
//! current password is asked for all the same: who finds an open laptop must not keep its owner out. Guesses here and
//! guesses at the login are counted together.
//!
//! The new hash is stored by one conditional write on the version of the password that was checked, which raises the version.
//! So of two changes at once one wins, and a login with the old password either opened its session before, which is then
//! ended, or is refused by its own condition. Then the other sessions end. A call that broke off in between is finished by
//! the same request: the old password is wrong by then, the new one is right, and it was this session that set it.

use crate::config::PasswordConfig;
use crate::flow::error::ApiError;
use crate::flow::report::Report;
use crate::flow::revoke::Revoked;
use crate::flow::throttle::{Admitted, Throttle};
use crate::keys::{Document, KeyError, Peppers};
use crate::ports::context::{Context, Principal};
use crate::ports::event::{Event, PasswordRefusal};
use crate::ports::hasher::{PasswordCheck, PasswordHasher};
use crate::ports::store::{PasswordChange, PasswordStore, User, UserStatus};
use crate::secret::Password;
use crate::session::{DeadCause, EndReason, Session};
use daypass_verifier::base::ids::Username;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::ports::context::Caller;
use std::time::Duration;

/// How long after a change the same request finishes it. Beyond that whoever mistypes the current password is not charged for
/// a second one.
const RETRIED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// What a request says.
#[derive(Debug)]
pub struct PasswordRequest {
    pub(crate) current: Password,
    pub(crate) new: Password,
}

/// The flow with all it needs.
pub struct ChangePassword<S> {
    /// Whose pages may call, and the limits.
    pub config: PasswordConfig,
    /// The tables.
    pub store: S,
    /// Names and passwords.
    pub hasher: Box<dyn PasswordHasher>,
    /// The peppers of password hashes.
    pub peppers: Peppers,
    /// Time, randomness, log.
    pub context: Context,
}

/// Who asks, once all of that is known.
struct Asking<'a> {
    principal: Principal,
    session: Session,
    name: Username,
    caller: &'a Caller,
    now: Timestamp,
}

impl<S: PasswordStore> ChangePassword<S> {
    /// The flow as configured. Needs the peppers of the key set and nothing else.
    ///
    /// # Errors
    /// [`KeyError`] when the peppers are not usable.
    pub fn new(
        config: PasswordConfig,
        keys: &Document,
        store: S,
        hasher: Box<dyn PasswordHasher>,
        context: Context,
    ) -> Result<Self, KeyError> {
        let peppers = Peppers::from_document(keys)?;
        Ok(Self { config, store, hasher, peppers, context })
    }

    /// Checks the current password, stores the new one and ends every other session.
    ///
    /// # Errors
    /// `invalid_token` without an authorizer in front or when the caller's own session is over, `password_refused` for a
    /// new password that is not good enough, `wrong_password`, `slow_down`, 503 when the store did not answer: never a false
    /// success.
    pub async fn run(
        &self,
        principal: Option<Principal>,
        request: &PasswordRequest,
        caller: &Caller,
    ) -> Result<Revoked, ApiError> {
        let principal = self.context.guarded(principal, caller)?;
        let asking = self.asking(principal, caller).await?;
        // Before anything is counted: this says nothing of the current password.
        let refusal = if request.new.expose() == request.current.expose() {
            Some("The new password is the current one.")
        } else {
            self.hasher.refusal(&request.new, &asking.name)
        };
        if let Some(text) = refusal {
            self.refused(PasswordRefusal::NewPassword, &asking);
            return Err(ApiError::PasswordRefused(text));
        }
        let throttle = self.throttle(&asking);
        let admitted = match throttle.admit(&asking.name).await {
            Ok(Ok(admitted)) => admitted,
            Ok(Err(refused)) => {
                return Err(refused.record(&asking.session.client, &self.context, caller));
            }
            Err(error) => return Err(self.context.store_failed("begin_password", &error, caller)),
        };
        // The session knows the name that it was opened under, which could be another user's by now.
        let user = admitted.user.as_ref();
        let user = user.filter(|user| user.id == principal.user && user.status == UserStatus::Enabled);
        let Some(user) = user else {
            self.refused(PasswordRefusal::NoUser, &asking);
            return Err(ApiError::InvalidToken);
        };
        match self.hasher.check(&request.current, Some(&user.password_hash), &self.peppers) {
            PasswordCheck::Match { .. } => {
                self.store_new(&request.new, user, &asking).await?;
                let event = Event::PasswordChanged { user: user.id, session: asking.session.session };
                self.context.journal.record(&event, caller);
            }
            PasswordCheck::Mismatch if self.was_done(&request.new, user, &admitted, &asking).await? => {}
            PasswordCheck::Mismatch => {
                return Err(self.wrong(PasswordRefusal::WrongPassword, &admitted, &asking).await);
            }
            PasswordCheck::Unusable(detail) => {
                self.context.journal.record(&Event::Failure { during: "check_password", detail }, caller);
                return Err(self.wrong(PasswordRefusal::UnusableHash, &admitted, &asking).await);
            }
        }
        let reason = EndReason::PasswordChanged;
        let ended = self.store.end_others(user.id, principal.session, asking.now, reason).await;
        let count = ended.map_err(|error| self.context.store_failed("end_others", &error, caller))?;
        let event = Event::SessionsEnded { user: user.id, session: principal.session, count, reason };
        self.context.journal.record(&event, caller);
        throttle.settle(&admitted).await;
        Ok(Revoked {})
    }

    /// The session that asks, which must be live, and the name of its user.
    async fn asking<'a>(&self, principal: Principal, caller: &'a Caller) -> Result<Asking<'a>, ApiError> {
        let now = self.context.clock.now();
        let found = self.store.session_and_name(principal.user, principal.session).await;
        let found = found.map_err(|error| self.context.store_failed("session_and_name", &error, caller))?;
        let cause = match found {
            Some((session, name)) if session.is_live(now) => {
                return Ok(Asking { principal, session, name, caller, now });
            }
            None => DeadCause::Absent,
            Some((session, _)) if session.ended.is_some() => DeadCause::Ended,
            Some(_) => DeadCause::Expired,
        };
        let (user, session) = (principal.user, principal.session);
        let event = Event::AuthorizeDenied { cause, user, session };
        self.context.journal.record(&event, caller);
        Err(ApiError::InvalidToken)
    }

    /// Whether this very session has set this very password just now, and its call broke off. Looked at only where the user's
    /// item says that it was this session, and counted as an attempt of its own: it is a second password.
    async fn was_done(
        &self,
        new: &Password,
        user: &User,
        admitted: &Admitted,
        asking: &Asking<'_>,
    ) -> Result<bool, ApiError> {
        let own = admitted.changed_by == Some(asking.principal.session);
        if !own || asking.now.since(user.updated_at) >= RETRIED_WITHIN {
            return Ok(false);
        }
        match self.throttle(asking).once_more(admitted).await {
            Ok(Ok(())) => {}
            Ok(Err(refused)) => {
                return Err(refused.record(&asking.session.client, &self.context, asking.caller));
            }
            Err(error) => return Err(self.context.store_failed("begin_password", &error, asking.caller)),
        }
        let check = self.hasher.check(new, Some(&user.password_hash), &self.peppers);
        Ok(matches!(check, PasswordCheck::Match { .. }))
    }

    async fn store_new(&self, new: &Password, user: &User, asking: &Asking<'_>) -> Result<(), ApiError> {
        let hash = self.hasher.rehash(new, &self.peppers, self.context.entropy.as_ref());
        let Some(hash) = hash else {
            let detail = "the new password cannot be hashed".to_owned();
            self.context.journal.record(&Event::Failure { during: "hash_password", detail }, asking.caller);
            return Err(ApiError::ServerError);
        };
        let by = asking.principal.session;
        let change = PasswordChange { user, hash: &hash, by, now: asking.now };
        match self.store.change_password(&change).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.refused(PasswordRefusal::UserChanged, asking);
                Err(ApiError::WrongPassword)
            }
            Err(error) => Err(self.context.store_failed("change_password", &error, asking.caller)),
        }
    }

    async fn wrong(&self, cause: PasswordRefusal, admitted: &Admitted, asking: &Asking<'_>) -> ApiError {
        self.refused(cause, asking);
        match self.throttle(asking).charge(admitted).await {
            Ok(()) => ApiError::WrongPassword,
            Err(error) => self.context.store_failed("charge", &error, asking.caller),
        }
    }

    fn refused(&self, cause: PasswordRefusal, asking: &Asking<'_>) {
        let (user, session) = (asking.principal.user, asking.principal.session);
        let event = Event::PasswordRefused { cause, user, session };
        self.context.journal.record(&event, asking.caller);
    }

    fn throttle<'a>(&'a self, asking: &Asking<'a>) -> Throttle<'a, S> {
        Throttle {
            limits: &self.config.limits,
            store: &self.store,
            peppers: &self.peppers,
            context: &self.context,
            caller: asking.caller,
            now: asking.now,
        }
    }
}
