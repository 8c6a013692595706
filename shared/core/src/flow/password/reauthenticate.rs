//! Reauthentication: the user of a live session authenticates again. The session gets the time and the methods, and the caller an
//! access token with them. The refresh token stays as it is, and later refreshes copy the new authentication.
//!
//! There are two ways, as for a login:
//!
//! - The password, and the second factor if the user has one. Otherwise the password alone would replace a stronger
//!   authentication. The password is an attempt of the session, as in a change of the password. A code is an attempt of the user in
//!   all sessions. A signature cannot be guessed, so a passkey is no attempt.
//! - A passkey with user verification. Daypass hashes nothing and counts no attempt.
//!
//! One write sets the authentication, and its condition is that the session is live. With a factor it is a transaction, which uses
//! the factor up under the conditions of the login. So a code or a response works once, at any concurrency. The challenge of a
//! passkey is for one session.

use super::{Asking, ChangePassword};
use crate::account::authentication::{Authentication, Method, Methods};
use crate::flow::error::Problem;
use crate::flow::issue::AccessTokenResponse;
use crate::flow::login::factor::{FactorCheck, FactorProof, Shown};
use crate::flow::outcome::Outcome;
use crate::flow::passkey::{Passkeys, RequestOptions};
use crate::passkey::ceremony::Assertion;
use crate::passkey::challenge::Purpose;
use crate::ports::context::Principal;
use crate::ports::event::{Event, FactorFault};
use crate::ports::store::{FactorStore, Reauthenticated, Reauthentication, User, UserStatus};
use crate::secret::Password;
use crate::session::{DeadCause, Session};
use crate::throttle::{FactorSender, factors_of};
use daypass_verifier::routes::Challenge;
use serde::Serialize;

/// A parsed request to authenticate again.
#[derive(Debug)]
pub struct ReauthenticationRequest {
    /// The caller; `None` when no authorizer stands in front.
    pub(crate) principal: Option<Principal>,
    pub(crate) operation: ReauthenticationOperation,
}

/// What the caller wants.
#[derive(Debug)]
pub(crate) enum ReauthenticationOperation {
    /// A challenge for a passkey.
    Options,
    /// The session by the password, and the second factor if the user has one.
    Password { current: Password, factor: Option<FactorProof> },
    /// The session by a passkey alone.
    Passkey(Assertion),
}

/// The answer to a request to authenticate again.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ReauthenticationAnswer {
    /// What `navigator.credentials.get` needs.
    Options(RequestOptions),
    /// An access token with the new authentication.
    Renewed(AccessTokenResponse),
}

impl<S: FactorStore> ChangePassword<S> {
    /// Renews the authentication of the caller's session, or returns a challenge for one of the caller's passkeys.
    pub async fn reauthenticate(&self, request: ReauthenticationRequest) -> Outcome<ReauthenticationAnswer> {
        let mut events = Vec::new();
        let answer = self.renew_authentication(&request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn renew_authentication(
        &self,
        request: &ReauthenticationRequest,
        events: &mut Vec<Event>,
    ) -> Result<ReauthenticationAnswer, Problem> {
        use ReauthenticationOperation::{Options, Passkey, Password};
        let asking = self.caller(request.principal).await?;
        let renewed = match &request.operation {
            Options => return self.options_of(&asking).await.map(ReauthenticationAnswer::Options),
            Password { current, factor } => self.by_password(&asking, current, factor.as_ref(), events).await,
            Passkey(response) => self.by_passkey(&asking, response, events).await,
        };
        renewed.map(ReauthenticationAnswer::Renewed)
    }

    async fn options_of(&self, asking: &Asking<'_>) -> Result<RequestOptions, Problem> {
        let user = self.user_of(asking).await?;
        let ids = &user.factors.passkeys;
        if ids.is_empty() {
            return Err(Problem::NoFactor);
        }
        self.passkeys().options(Purpose::Reauthentication(asking.session.session), ids)
    }

    async fn by_password(
        &self,
        asking: &Asking<'_>,
        current: &Password,
        factor: Option<&FactorProof>,
        events: &mut Vec<Event>,
    ) -> Result<AccessTokenResponse, Problem> {
        let throttle = self.throttle(asking);
        let (admitted, user) = self.check_current(asking, &throttle, current, events).await?;
        // Another counter than that of the password: all sessions of the user share it, and only a right code resets it.
        let codes = factors_of(self.peppers.counter_key(), &asking.name, FactorSender::Session);
        // Hashing takes long, and the time must not be earlier than the proof.
        let now = self.context.clock.now();
        let shown = match factor {
            None if user.factors.is_enrolled() => {
                // The other slots stay taken: they can be those of wrong passwords.
                throttle.give_back_all(&admitted, events).await;
                let needed = Challenge { two_factors: true, max_age: None };
                return Err(Problem::InsufficientAuthentication(needed));
            }
            None => None,
            Some(proof) => {
                let is_code = !matches!(proof, FactorProof::Passkey(_));
                if is_code {
                    throttle.admit_code(&codes, &asking.name, user.id).await?;
                }
                let check = FactorCheck {
                    user: &user,
                    keys: &self.factor_keys,
                    passkeys: self.passkeys(),
                    purpose: Purpose::Reauthentication(asking.session.session),
                    now,
                };
                match check.run(proof, events).await? {
                    Ok(shown) => Some((shown, is_code)),
                    Err(cause) => {
                        events.push(refused(asking, cause));
                        return Err(proof.rejected());
                    }
                }
            }
        };
        let shown_factor = shown.as_ref().map(|(shown, _)| shown);
        let second = shown_factor.map(Shown::method);
        let methods: Vec<Method> = [Method::Password].into_iter().chain(second).collect();
        let authentication = Authentication::new(now, Methods::of(&methods));
        let overtaken = factor.map_or(Problem::WrongCode, FactorProof::rejected);
        self.store_authentication(asking, &user, authentication, shown_factor, overtaken, events).await?;
        throttle.settle(&admitted, events).await;
        if let Some((shown, is_code)) = &shown {
            if *is_code {
                throttle.reset(&codes, events).await;
            }
            if let Shown::RecoveryCode(_) = shown {
                let left = user.factors.recovery.len().saturating_sub(1) as u64;
                events.push(Event::RecoveryCodeUsed { user: user.id, session: asking.session.session, left });
            }
        }
        self.answer(asking, authentication, events)
    }

    async fn by_passkey(
        &self,
        asking: &Asking<'_>,
        response: &Assertion,
        events: &mut Vec<Event>,
    ) -> Result<AccessTokenResponse, Problem> {
        let purpose = Purpose::Reauthentication(asking.session.session);
        let shown = match self.passkeys().check(response, purpose, events).await? {
            Ok(shown) => shown,
            Err((cause, _)) => {
                events.push(refused(asking, FactorFault::from(cause)));
                return Err(Problem::PasskeyRejected);
            }
        };
        let user = self.user_of(asking).await?;
        let methods = Methods::of(&[shown.method()]);
        let fault = if !user.factors.passkeys.contains(&response.id) {
            Some(FactorFault::NoFactor)
        } else if !methods.are_two_factors() {
            // Possession alone. The password is the other factor.
            Some(FactorFault::OneFactor)
        } else {
            None
        };
        if let Some(fault) = fault {
            events.push(refused(asking, fault));
            return Err(Problem::PasskeyRejected);
        }
        let authentication = Authentication::new(self.context.clock.now(), methods);
        let (shown, overtaken) = (Shown::Passkey(Box::new(shown)), Problem::PasskeyRejected);
        self.store_authentication(asking, &user, authentication, Some(&shown), overtaken, events).await?;
        self.answer(asking, authentication, events)
    }

    /// `overtaken` is the answer if another request has used the factor.
    async fn store_authentication(
        &self,
        asking: &Asking<'_>,
        user: &User,
        authentication: Authentication,
        shown: Option<&Shown>,
        overtaken: Problem,
        events: &mut Vec<Event>,
    ) -> Result<(), Problem> {
        let renewal = Reauthentication {
            user,
            session: &asking.session,
            authentication,
            factor: shown.map(Shown::used),
            now: self.context.clock.now(),
        };
        match self.store.reauthenticate(&renewal).await.map_err(Problem::store("reauthenticate"))? {
            Reauthenticated::Now => Ok(()),
            Reauthenticated::Ended => {
                Err(Problem::SessionOver { cause: DeadCause::Ended, principal: asking.principal })
            }
            Reauthenticated::Overtaken => {
                events.push(refused(asking, FactorFault::Overtaken));
                Err(overtaken)
            }
        }
    }

    fn answer(
        &self,
        asking: &Asking<'_>,
        authentication: Authentication,
        events: &mut Vec<Event>,
    ) -> Result<AccessTokenResponse, Problem> {
        let Principal { user, session, key, .. } = asking.principal;
        let two_factors = authentication.methods.are_two_factors();
        events.push(Event::Reauthenticated { user, session, two_factors });
        let scope = asking.client.narrow(&asking.session.scope);
        let session = Session { authentication, ..asking.session.clone() };
        let (account, now, entropy) =
            (session.account, self.context.clock.now(), self.context.entropy.as_ref());
        self.issuer.issue_access(&session, scope, account, key, now, entropy).map_err(Problem::Sign)
    }

    /// The user of the caller. Another user can have the name by now.
    pub(super) async fn user_of(&self, asking: &Asking<'_>) -> Result<User, Problem> {
        let user = self.store.user_named(&asking.name).await.map_err(Problem::store("user_named"))?;
        let is_same = |user: &User| user.id == asking.principal.user && user.status == UserStatus::Enabled;
        user.filter(is_same).ok_or(Problem::NoUser)
    }

    /// The challenges and checks of this service.
    fn passkeys(&self) -> Passkeys<'_, S> {
        Passkeys {
            party: self.config.passkeys.as_ref(),
            keys: &self.issuer.refresh_keys,
            store: &self.store,
            context: &self.context,
        }
    }
}

fn refused(asking: &Asking<'_>, cause: FactorFault) -> Event {
    let Principal { user, session, .. } = asking.principal;
    Event::ReauthenticationRefused { cause, user, session }
}
