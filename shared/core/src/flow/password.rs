//! Change of the password: the current one is checked as in a login, and every other session of the user ends.
//!
//! The caller is the [`Principal`] that the authorizer names, and the session of that access token must be live. The current
//! password is required all the same: an unlocked laptop must not be enough to lock its owner out. Attempts
//! count by the session, where others cannot use them up.
//!
//! One conditional write stores the new hash. Its condition is the version of the password that was checked, and it raises
//! that version, so one of two parallel changes wins. A parallel login with the old password either opened its session before,
//! which then ends, or fails by its own condition. Then the other sessions end.
//!
//! If a call breaks off in between, a repeat of the request finishes it. The repeat finds that the current password does not
//! match, that the new one does, and that this session set it.

use crate::config::PasswordConfig;
use crate::flow::error::{Problem, require_account, require_live};
use crate::flow::outcome::Outcome;
use crate::flow::revoke::Revoked;
use crate::flow::throttle::{Admitted, Throttle};
use crate::keys::{Document, KeyError, Peppers};
use crate::ports::context::{Context, Principal};
use crate::ports::event::{Event, PasswordRefusal};
use crate::ports::hasher::{PasswordCheck, PasswordHasher};
use crate::ports::store::{PasswordChange, PasswordStore, User, UserStatus};
use crate::secret::Password;
use crate::session::{DeadCause, EndReason, Session};
use crate::throttle::Proof;
use daypass_verifier::base::ids::Username;
use daypass_verifier::base::time::Timestamp;
use std::time::Duration;

/// How long after a change a repeat of the request finishes it. Later, a wrong current password counts as one attempt again
/// and not as two.
const RETRIED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// A parsed request to change the password.
#[derive(Debug)]
pub struct PasswordRequest {
    /// The caller; `None` when no authorizer stands in front.
    pub(crate) principal: Option<Principal>,
    pub(crate) current: Password,
    pub(crate) new: Password,
}

/// The flow and its dependencies.
pub struct ChangePassword<S> {
    /// Clients and rate limits.
    pub config: PasswordConfig,
    /// The users, sessions and attempts tables.
    pub store: S,
    /// Checks and hashes passwords.
    pub hasher: Box<dyn PasswordHasher>,
    /// The peppers of password hashes.
    pub peppers: Peppers,
    /// Time, randomness and the log.
    pub context: Context,
}

/// The caller of a request, with a live session.
struct Asking {
    principal: Principal,
    session: Session,
    /// The name that the session was opened under.
    name: Username,
    now: Timestamp,
}

impl Asking {
    fn refused(&self, cause: PasswordRefusal) -> Event {
        Event::PasswordRefused { cause, user: self.principal.user, session: self.principal.session }
    }
}

impl<S: PasswordStore> ChangePassword<S> {
    /// The flow as configured. It needs the peppers of the key set and no other section.
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
    /// A failure after the new password was stored comes with the event `password.changed`. A repeat that finishes such a call
    /// returns that event as well, because the response to the write can be lost with the event of the first call.
    pub async fn run(&self, request: PasswordRequest) -> Outcome<Revoked> {
        let mut events = Vec::new();
        let answer = self.change(&request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn change(&self, request: &PasswordRequest, events: &mut Vec<Event>) -> Result<Revoked, Problem> {
        let asking = self.asking(request.principal).await?;
        // Before the attempt is counted: the answer says nothing about the current password.
        if let Some(text) = self.rejection(request, &asking.name) {
            events.push(asking.refused(PasswordRefusal::NewPassword));
            return Err(Problem::NewPasswordRejected(text));
        }
        let throttle = self.throttle(&asking);
        let admitted = throttle.admit(&asking.name).await?;
        // Another user can have this name by now.
        let user = admitted.user.as_ref();
        let user = user.filter(|user| user.id == asking.principal.user && user.status == UserStatus::Enabled);
        let Some(user) = user else {
            events.push(asking.refused(PasswordRefusal::NoUser));
            return Err(Problem::NoUser);
        };
        if let Some(cause) =
            self.check_and_store(request, &asking, user, &throttle, &admitted, events).await?
        {
            events.push(asking.refused(cause));
            return Err(Problem::WrongPassword);
        }
        let (user, session, reason) = (user.id, asking.principal.session, EndReason::PasswordChanged);
        events.push(Event::PasswordChanged { user, session });
        // Before the endings: if they break off, the request was still no guess, and neither is its repeat.
        throttle.settle(&admitted, events).await;
        // The time of the endings, not that of the request: hashing takes long, and the feed looks only so far back.
        let now = self.context.clock.now();
        let ended = self.store.end_others(user, session, now, reason).await;
        let count = ended.map_err(Problem::store("end_others"))?;
        events.push(Event::SessionsEnded { user, session, count, reason });
        Ok(Revoked {})
    }

    /// The caller, whose session must be live.
    async fn asking(&self, principal: Option<Principal>) -> Result<Asking, Problem> {
        let principal = require_account(principal)?;
        let now = self.context.clock.now();
        let found = self.store.session_and_name(principal.user, principal.session).await;
        let found = found.map_err(Problem::store("session_and_name"))?;
        let (session, name) = found.ok_or(Problem::SessionOver { cause: DeadCause::Absent, principal })?;
        require_live(principal, Some(&session), now)?;
        Ok(Asking { principal, session, name, now })
    }

    /// Why the new password is rejected, as a text for the user.
    fn rejection(&self, request: &PasswordRequest, name: &Username) -> Option<&'static str> {
        if request.new.expose() == request.current.expose() {
            return Some("The new password is the current one.");
        }
        self.hasher.refusal(&request.new, name)
    }

    /// Stores the new password if the current one is right, or if an earlier call of this session has stored it. Otherwise
    /// returns why the current one is refused.
    async fn check_and_store(
        &self,
        request: &PasswordRequest,
        asking: &Asking,
        user: &User,
        throttle: &Throttle<'_, S>,
        admitted: &Admitted,
        events: &mut Vec<Event>,
    ) -> Result<Option<PasswordRefusal>, Problem> {
        match self.hasher.check(&request.current, Some(&user.password_hash), &self.peppers) {
            PasswordCheck::Match { .. } => {
                self.store_new(&request.new, user, asking, events).await?;
                Ok(None)
            }
            PasswordCheck::Mismatch if was_changed_by(asking, user, admitted) => {
                // The check of a second password is a second attempt.
                throttle.admit_once_more(admitted).await?;
                match self.hasher.check(&request.new, Some(&user.password_hash), &self.peppers) {
                    PasswordCheck::Match { .. } => Ok(None),
                    PasswordCheck::Mismatch | PasswordCheck::Unusable(_) => {
                        Ok(Some(PasswordRefusal::WrongPassword))
                    }
                }
            }
            PasswordCheck::Mismatch => Ok(Some(PasswordRefusal::WrongPassword)),
            PasswordCheck::Unusable(detail) => {
                events.push(Event::failure("check_password", &detail));
                Ok(Some(PasswordRefusal::UnusableHash))
            }
        }
    }

    async fn store_new(
        &self,
        new: &Password,
        user: &User,
        asking: &Asking,
        events: &mut Vec<Event>,
    ) -> Result<(), Problem> {
        let hash = self.hasher.rehash(new, &self.peppers, self.context.entropy.as_ref());
        let hash = hash.ok_or(Problem::HashPassword)?;
        let change = PasswordChange { user, hash: &hash, by: asking.principal.session, now: asking.now };
        if self.store.change_password(&change).await.map_err(Problem::store("change_password"))? {
            return Ok(());
        }
        events.push(asking.refused(PasswordRefusal::UserChanged));
        Err(Problem::WrongPassword)
    }

    fn throttle<'a>(&'a self, asking: &'a Asking) -> Throttle<'a, S> {
        Throttle {
            own: self.config.limit,
            wider: None,
            store: &self.store,
            key: self.peppers.counter_key(),
            entropy: self.context.entropy.as_ref(),
            client: &asking.session.client,
            source_ip: None,
            proof: Proof::Session(asking.principal.session),
            during: "begin_password",
            now: asking.now,
        }
    }
}

/// Whether the session of the caller changed the password within [`RETRIED_WITHIN`], so the request can be a repeat.
fn was_changed_by(asking: &Asking, user: &User, admitted: &Admitted) -> bool {
    admitted.changed_by == Some(asking.principal.session)
        && asking.now.since(user.updated_at) < RETRIED_WITHIN
}
