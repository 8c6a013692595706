//! Change of the password: the current one is checked as in a login, all sessions of the user end, and a new one opens.
//!
//! The caller is the [`Principal`] that the authorizer names, and the session of that access token must be live. The current
//! password is required all the same: an unlocked laptop must not be enough to lock its owner out. Attempts
//! count by the session, where others cannot use them up.
//!
//! One conditional write stores the new hash. Its condition is the version of the password that was checked, and it raises
//! that version, so one of two parallel changes wins. A parallel login with the old password either opened its session before,
//! which then ends, or fails by its own condition. Then the other sessions end. Last, one transaction ends the session of the
//! caller and opens another one: another party may hold a copy of its tokens.
//!
//! If a call breaks off in between, a repeat of the request finishes it. The repeat finds that the current password does not
//! match, that the new one does, and that this session set it. The session of the caller ends last, because its access token
//! identifies the repeat. If only the response to the transaction is lost, the repeat gets the tokens of the new session, whose
//! id follows from that of the old one.

pub mod email;
pub mod factors;
pub mod passkeys;
pub mod reauthenticate;

use crate::account::claims::Claims;
use crate::client::{Client, Transport};
use crate::config::PasswordConfig;
use crate::factor::ENROLMENT_SESSION;
use crate::flow::error::{Problem, require_account, require_live};
use crate::flow::issue::{Holder, TokenIssuer, TokenResponse};
use crate::flow::outcome::Outcome;
use crate::flow::throttle::{Admitted, Throttle};
use crate::keys::{Document, FactorKeys, KeyError, Peppers, RefreshKeys};
use crate::ports::context::{Context, Principal};
use crate::ports::event::{Event, PasswordRefusal};
use crate::ports::hasher::{PasswordCheck, PasswordHasher};
use crate::ports::store::{
    PasswordChange, PasswordStore, Replaced, Replacement, StoreError, User, UserStatus,
};
use crate::secret::Password;
use crate::session::{DeadCause, EndReason, KeyDigest, Opening, Session};
use crate::throttle::Proof;
use crate::token::mail::MailKeys;
use daypass_verifier::base::ids::{ClientId, Username};
use daypass_verifier::base::time::Timestamp;
use std::time::Duration;

/// How long after a change a repeat of the request finishes it. Later, a wrong current password counts as one attempt again
/// and not as two.
pub(crate) const RETRIED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// A parsed request to change the password.
#[derive(Debug)]
pub struct PasswordRequest {
    /// The caller; `None` when no authorizer stands in front.
    pub(crate) principal: Option<Principal>,
    /// The cookie clients that the page of the request may act for.
    pub(crate) cookie_clients: Vec<ClientId>,
    pub(crate) current: Password,
    pub(crate) new: Password,
}

/// The flow and its dependencies.
pub struct ChangePassword<S> {
    /// Clients, rate limits and lifetimes.
    pub config: PasswordConfig,
    /// The users, sessions and attempts tables.
    pub store: S,
    /// Checks and hashes passwords.
    pub hasher: Box<dyn PasswordHasher>,
    /// Issues the tokens.
    pub issuer: TokenIssuer,
    /// The peppers of password hashes.
    pub peppers: Peppers,
    /// The keys of second factors.
    pub factor_keys: FactorKeys,
    /// The keys of the tokens of mails.
    pub mail_keys: MailKeys,
    /// Time, randomness and the log.
    pub context: Context,
}

/// The caller of a request. Its session is live, or `opened` is.
struct Asking<'a> {
    principal: Principal,
    session: Session,
    /// The name that the session was opened under.
    name: Username,
    client: &'a Client,
    /// The session that an earlier call of this request opened, and whose refresh token was not used yet.
    opened: Option<Session>,
    now: Timestamp,
}

impl Asking<'_> {
    fn refused(&self, cause: PasswordRefusal) -> Event {
        Event::PasswordRefused { cause, user: self.principal.user, session: self.principal.session }
    }
}

impl<S: PasswordStore> ChangePassword<S> {
    /// The flow as configured. It needs all three sections of the key set.
    ///
    /// # Errors
    /// [`KeyError`] when the key set is not usable.
    pub fn new(
        config: PasswordConfig,
        keys: &Document,
        store: S,
        hasher: Box<dyn PasswordHasher>,
        context: Context,
    ) -> Result<Self, KeyError> {
        let issuer = TokenIssuer::new(keys, &config.issuer, &config.audience, config.access_lifetime)?;
        let (peppers, factor_keys) = (Peppers::from_document(keys)?, FactorKeys::from_document(keys)?);
        let mail_keys = MailKeys::new(RefreshKeys::from_document(keys)?, config.issuer.clone());
        Ok(Self { config, store, hasher, issuer, peppers, factor_keys, mail_keys, context })
    }

    /// Checks the current password, stores the new one, ends every session and opens another one.
    ///
    /// A failure after the new password was stored comes with the event `password.changed`. A repeat that finishes such a call
    /// returns that event as well, because the response to the write can be lost with the event of the first call.
    pub async fn run(&self, request: PasswordRequest) -> Outcome<TokenResponse> {
        let mut events = Vec::new();
        let answer = self.change(&request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn change(
        &self,
        request: &PasswordRequest,
        events: &mut Vec<Event>,
    ) -> Result<TokenResponse, Problem> {
        let asking = self.asking(request).await?;
        // Before the attempt is counted: the answer says nothing about the user.
        self.require_good(request, None, &asking, events)?;
        let throttle = self.throttle(&asking);
        let admitted = throttle.admit(&asking.name).await?;
        // Another user can have this name by now.
        let user = admitted.user.as_ref();
        let user = user.filter(|user| user.id == asking.principal.user && user.status == UserStatus::Enabled);
        let Some(user) = user else {
            events.push(asking.refused(PasswordRefusal::NoUser));
            return Err(Problem::NoUser);
        };
        let user = match self.check_and_store(request, &asking, user, &throttle, &admitted, events).await? {
            Ok(user) => user,
            Err(cause) => {
                events.push(asking.refused(cause));
                return Err(Problem::WrongPassword);
            }
        };
        events.push(Event::PasswordChanged { user: user.id, session: asking.principal.session });
        // Before the endings: if they break off, the request was still no guess, and neither is its repeat.
        throttle.settle(&admitted, events).await;
        let session = match &asking.opened {
            Some(opened) => opened.clone(),
            None => self.replace(&asking, &user, events).await?,
        };
        events.push(Event::SessionReplaced {
            user: user.id,
            session: session.session,
            replaced: asking.principal.session,
            client: session.client.clone(),
        });
        let (client, now, entropy) = (asking.client, self.context.clock.now(), self.context.entropy.as_ref());
        let scope = client.narrow(&session.scope);
        let holder = Holder { transport: client.transport, key: asking.principal.key };
        let tokens = self.issuer.issue(&session, scope, session.account, holder, now, entropy);
        tokens.map_err(Problem::Sign)
    }

    /// Ends all sessions of the user and opens one in place of that of the caller. It has what both the caller's session and
    /// the user still have of the scope.
    async fn replace(
        &self,
        asking: &Asking<'_>,
        user: &User,
        events: &mut Vec<Event>,
    ) -> Result<Session, Problem> {
        let (old, reason) = (&asking.session, EndReason::PasswordChanged);
        let id = old.replacement_id(self.peppers.counter_key());
        let scope = old.scope.intersection(&user.scope);
        let over = Problem::SessionOver { cause: DeadCause::Ended, principal: asking.principal };
        // A session without the rest of its scope has to end: an operator is taking the scope from the user.
        let has_lost_all = scope.is_empty() && !old.scope.is_empty();
        // A parallel repeat may have opened the new session.
        let spared = if has_lost_all { &[][..] } else { &[old.session, id] };
        // The time of the endings, not that of the request: hashing takes long, and the feed looks only so far back.
        let now = self.context.clock.now();
        let count = self.store.end_others(user.id, spared, now, reason).await;
        let count = count.map_err(Problem::store("end_others"))?;
        events.push(Event::SessionsEnded { user: user.id, session: old.session, count, reason });
        if has_lost_all {
            return Err(over);
        }
        let now = self.context.clock.now();
        let longest = self.config.refresh_lifetime;
        let lifetime = if old.for_enrolment { longest.min(ENROLMENT_SESSION) } else { longest };
        let opening = Opening {
            user: old.user,
            session: id,
            client: old.client.clone(),
            scope,
            claims: if old.for_enrolment { Claims::default() } else { user.claims.clone() },
            account: old.account,
            // Also after the enrolment: the session shows no second factor.
            for_enrolment: old.for_enrolment,
            // The change proves the password alone, and only at its own time.
            authentication: old.authentication,
            key: old.key,
            device: old.device.clone(),
        };
        let opens = Session::open(opening, now, lifetime, self.config.idle);
        let replacement = Replacement { user, ends: old.session, reason, opens: &opens };
        match self.store.replace_session(&replacement).await.map_err(Problem::store("replace_session"))? {
            Replaced::Now => Ok(opens),
            Replaced::Before(opened) if is_unused(&opened, now) => Ok(*opened),
            Replaced::Before(_) | Replaced::Ended => Err(over),
            // A repeat meets the user as it is now.
            Replaced::UserChanged => Err(Problem::store("replace_session")(StoreError::Unavailable(
                "the user changed during the request".to_owned(),
            ))),
        }
    }

    /// The caller, whose session must be live, or replaced by an earlier call of this request.
    async fn asking(&self, request: &PasswordRequest) -> Result<Asking<'_>, Problem> {
        let principal = require_account(request.principal)?;
        let now = self.context.clock.now();
        let over = |cause| Problem::SessionOver { cause, principal };
        let read = async |session| {
            let found = self.store.session_and_name(principal.user, session).await;
            found.map_err(Problem::store("session_and_name"))
        };
        let (session, name) = read(principal.session).await?.ok_or(over(DeadCause::Absent))?;
        let client = self.config.clients.find(Some(session.client.as_str()));
        let client = client.ok_or(over(DeadCause::ClientGone))?;
        if client.transport == Transport::Cookie && !request.cookie_clients.contains(&client.id) {
            return Err(Problem::OriginNotAllowed);
        }
        require_key(principal, &session, client)?;
        let may_be_replaced = session.ended.is_some_and(|ended| {
            ended.reason == EndReason::PasswordChanged && now.since(ended.at) < RETRIED_WITHIN
        });
        let opened = if may_be_replaced {
            read(session.replacement_id(self.peppers.counter_key())).await?
        } else {
            None
        };
        let opened = opened.map(|(opened, _)| opened).filter(|opened| is_unused(opened, now));
        if opened.is_none() {
            require_live(principal, Some(&session), now)?;
        }
        Ok(Asking { principal, session, name, client, opened, now })
    }

    /// The caller of a request that replaces no session. The session must be live.
    async fn caller(&self, principal: Option<Principal>) -> Result<Asking<'_>, Problem> {
        let principal = require_account(principal)?;
        let now = self.context.clock.now();
        let over = |cause| Problem::SessionOver { cause, principal };
        let found = self.store.session_and_name(principal.user, principal.session).await;
        let found = found.map_err(Problem::store("session_and_name"))?;
        let (session, name) = found.ok_or(over(DeadCause::Absent))?;
        let client = self.config.clients.find(Some(session.client.as_str()));
        let client = client.ok_or(over(DeadCause::ClientGone))?;
        require_key(principal, &session, client)?;
        require_live(principal, Some(&session), now)?;
        Ok(Asking { principal, session, name, client, opened: None, now })
    }

    /// Counts the attempt and checks the current password. The slot of the attempt stays taken.
    async fn check_current(
        &self,
        asking: &Asking<'_>,
        throttle: &Throttle<'_, S>,
        current: &Password,
        events: &mut Vec<Event>,
    ) -> Result<(Admitted, User), Problem> {
        let mut admitted = throttle.admit(&asking.name).await?;
        // Another user can have this name by now.
        let is_same = |user: &User| user.id == asking.principal.user && user.status == UserStatus::Enabled;
        let Some(user) = admitted.user.take().filter(is_same) else {
            events.push(asking.refused(PasswordRefusal::NoUser));
            return Err(Problem::NoUser);
        };
        let cause = match self.hasher.check(current, Some(&user.password_hash), &self.peppers) {
            PasswordCheck::Match { .. } => return Ok((admitted, user)),
            PasswordCheck::Mismatch => PasswordRefusal::WrongPassword,
            PasswordCheck::Unusable(detail) => {
                events.push(Event::failure("check_password", &detail));
                PasswordRefusal::UnusableHash
            }
        };
        events.push(asking.refused(cause));
        Err(Problem::WrongPassword)
    }

    /// Checks the new password against all rules. The rule about the name needs the name of the user.
    fn require_good(
        &self,
        request: &PasswordRequest,
        name: Option<&Username>,
        asking: &Asking<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Problem> {
        let refusal = if request.new.expose() == request.current.expose() {
            Some("The new password is the current one.")
        } else {
            self.hasher.refusal(&request.new, name)
        };
        let Some(text) = refusal else { return Ok(()) };
        events.push(asking.refused(PasswordRefusal::NewPassword));
        Err(Problem::NewPasswordRejected(text))
    }

    /// Stores the new password if the current one is right, or if an earlier call of this session has stored it. Returns the
    /// user with the new password, or why the current one is refused.
    async fn check_and_store(
        &self,
        request: &PasswordRequest,
        asking: &Asking<'_>,
        user: &User,
        throttle: &Throttle<'_, S>,
        admitted: &Admitted,
        events: &mut Vec<Event>,
    ) -> Result<Result<User, PasswordRefusal>, Problem> {
        let check = |password| self.hasher.check(password, Some(&user.password_hash), &self.peppers);
        let repeats = |password| match check(password) {
            PasswordCheck::Match { .. } => Ok(user.clone()),
            PasswordCheck::Mismatch | PasswordCheck::Unusable(_) => Err(PasswordRefusal::WrongPassword),
        };
        if asking.opened.is_some() {
            return Ok(repeats(&request.new));
        }
        match check(&request.current) {
            PasswordCheck::Match { .. } => {
                // A caller without the current password must not learn the name, which is in no token.
                self.require_good(request, Some(&asking.name), asking, events)?;
                self.store_new(&request.new, user, asking, events).await.map(Ok)
            }
            PasswordCheck::Mismatch if was_changed_by(asking, user, admitted) => {
                // The check of a second password is a second attempt.
                throttle.admit_once_more(admitted).await?;
                Ok(repeats(&request.new))
            }
            PasswordCheck::Mismatch => Ok(Err(PasswordRefusal::WrongPassword)),
            PasswordCheck::Unusable(detail) => {
                events.push(Event::failure("check_password", &detail));
                Ok(Err(PasswordRefusal::UnusableHash))
            }
        }
    }

    async fn store_new(
        &self,
        new: &Password,
        user: &User,
        asking: &Asking<'_>,
        events: &mut Vec<Event>,
    ) -> Result<User, Problem> {
        let hash = self.hasher.rehash(new, &self.peppers, self.context.entropy.as_ref());
        let hash = hash.ok_or(Problem::HashPassword)?;
        let change = PasswordChange { user, hash: &hash, by: asking.principal.session, now: asking.now };
        if self.store.change_password(&change).await.map_err(Problem::store("change_password"))? {
            return Ok(User { password_version: user.password_version + 1, ..user.clone() });
        }
        events.push(asking.refused(PasswordRefusal::UserChanged));
        Err(Problem::WrongPassword)
    }

    fn throttle<'a>(&'a self, asking: &'a Asking<'_>) -> Throttle<'a, S> {
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
fn was_changed_by(asking: &Asking<'_>, user: &User, admitted: &Admitted) -> bool {
    admitted.changed_by == Some(asking.principal.session)
        && asking.now.since(user.updated_at) < RETRIED_WITHIN
}

/// Whether the session is live and its refresh token was not used.
fn is_unused(session: &Session, now: Timestamp) -> bool {
    session.is_live(now) && session.generation == 0
}

/// Checks that the authorizer has seen a proof by the key of the session. An older authorizer knows no proofs.
fn require_key(principal: Principal, session: &Session, client: &Client) -> Result<(), Problem> {
    if session.key.is_some() && session.key != principal.key.as_ref().map(KeyDigest::of) {
        return Err(Problem::NoAuthorizer);
    }
    if client.require_dpop && principal.key.is_none() {
        return Err(Problem::ProofRequired);
    }
    Ok(())
}
