//! Reauthentication: the user of a live session authenticates again. The session gets the time and the methods, and the caller an
//! access token with them. The refresh token stays as it is, and later refreshes copy the new authentication.
//!
//! A user with a second factor shows it too, as in a login. Otherwise the password alone would replace a stronger authentication.
//! The password is an attempt of the session, as in a change of the password. A code is an attempt of the user in all sessions.
//!
//! One write sets the authentication, and its condition is that the session is live. With a second factor it is a transaction, which
//! uses the factor up under the conditions of the login. So a code works once, at any concurrency.

use super::ChangePassword;
use crate::account::authentication::{Authentication, Method, Methods};
use crate::flow::error::Problem;
use crate::flow::issue::AccessTokenResponse;
use crate::flow::login::factor::{FactorProof, Shown, check_code};
use crate::flow::outcome::Outcome;
use crate::ports::context::Principal;
use crate::ports::event::{Event, FactorFault};
use crate::ports::store::{PasswordStore, Reauthenticated, Reauthentication};
use crate::secret::Password;
use crate::session::{DeadCause, Session};
use crate::throttle::{FactorSender, factors_of};
use daypass_verifier::routes::Challenge;

/// A parsed request to authenticate again.
#[derive(Debug)]
pub struct ReauthenticationRequest {
    /// The caller; `None` when no authorizer stands in front.
    pub(crate) principal: Option<Principal>,
    pub(crate) current: Password,
    /// The second factor, if the user has one.
    pub(crate) factor: Option<FactorProof>,
}

impl<S: PasswordStore> ChangePassword<S> {
    /// Checks the password and the second factor, and renews the authentication of the caller's session.
    pub async fn reauthenticate(&self, request: ReauthenticationRequest) -> Outcome<AccessTokenResponse> {
        let mut events = Vec::new();
        let answer = self.renew_authentication(&request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn renew_authentication(
        &self,
        request: &ReauthenticationRequest,
        events: &mut Vec<Event>,
    ) -> Result<AccessTokenResponse, Problem> {
        let asking = self.caller(request.principal).await?;
        let (throttle, session) = (self.throttle(&asking), asking.session.session);
        let (admitted, user) = self.check_current(&asking, &throttle, &request.current, events).await?;
        // Another counter than that of the password: all sessions of the user share it, and only a right code resets it.
        let codes = factors_of(self.peppers.counter_key(), &asking.name, FactorSender::Session);
        let refused = |cause| Event::ReauthenticationRefused { cause, user: user.id, session };
        let (keys, entropy) = (&self.factor_keys, self.context.entropy.as_ref());
        // Hashing takes long, and the time must not be earlier than the proof.
        let now = self.context.clock.now();
        let shown = match &request.factor {
            None if user.factors.is_enrolled() => {
                // The other slots stay taken: they can be those of wrong passwords.
                throttle.give_back_all(&admitted, events).await;
                let needed = Challenge { two_factors: true, max_age: None };
                return Err(Problem::InsufficientAuthentication(needed));
            }
            None => None,
            Some(proof) => {
                throttle.admit_code(&codes, &asking.name, user.id).await?;
                match check_code(proof, &user, keys, entropy, now, events) {
                    Ok(shown) => Some(shown),
                    Err(cause) => {
                        events.push(refused(cause));
                        return Err(Problem::WrongCode);
                    }
                }
            }
        };
        let second = shown.as_ref().map(|_| Method::OneTimeCode);
        let methods: Vec<Method> = [Method::Password].into_iter().chain(second).collect();
        let authentication = Authentication::new(now, Methods::of(&methods));
        let renewal = Reauthentication {
            user: &user,
            session: &asking.session,
            authentication,
            factor: shown.as_ref().map(Shown::used),
            now,
        };
        match self.store.reauthenticate(&renewal).await.map_err(Problem::store("reauthenticate"))? {
            Reauthenticated::Now => {}
            Reauthenticated::Ended => {
                let principal = asking.principal;
                return Err(Problem::SessionOver { cause: DeadCause::Ended, principal });
            }
            Reauthenticated::Overtaken => {
                events.push(refused(FactorFault::Overtaken));
                return Err(Problem::WrongCode);
            }
        }
        throttle.settle(&admitted, events).await;
        if shown.is_some() {
            throttle.reset(&codes, events).await;
        }
        if let Some(Shown::RecoveryCode(_)) = shown {
            let left = user.factors.recovery.len().saturating_sub(1) as u64;
            events.push(Event::RecoveryCodeUsed { user: user.id, session, left });
        }
        let two_factors = authentication.methods.are_two_factors();
        events.push(Event::Reauthenticated { user: user.id, session, two_factors });
        let scope = asking.client.narrow(&asking.session.scope);
        let session = Session { authentication, ..asking.session.clone() };
        let (account, key) = (session.account, asking.principal.key);
        self.issuer.issue_access(&session, scope, account, key, now, entropy).map_err(Problem::Sign)
    }
}
