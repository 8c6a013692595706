//! Login: a name and a password become a session.
//!
//! Two round trips to the store from an address that the user is known at: the user is read and the attempt counted at the
//! same time, before any hashing; then one transaction opens the session, unless the user has changed meanwhile. From another
//! address there are two more counters before, and a third trip gives their slots back ([`throttle`](crate::throttle)).

use crate::client::{Client, Transport};
use crate::config::LoginConfig;
use crate::flow::error::ApiError;
use crate::flow::issue::{TokenIssuer, TokenResponse};
use crate::flow::report::Report;
use crate::flow::throttle::{Admitted, Throttle};
use crate::keys::{Document, KeyError, Peppers};
use crate::ports::context::Context;
use crate::ports::event::{Event, LoginFailure};
use crate::ports::hasher::{PasswordCheck, PasswordHasher};
use crate::ports::store::{AttemptStore, NewSession, Store, User, UserStatus};
use crate::secret::Password;
use crate::session::Session;
use daypass_verifier::base::ids::SessionId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::ports::context::Caller;

/// What a login request says.
#[derive(Debug)]
pub struct LoginRequest {
    pub(crate) username: String,
    pub(crate) password: Password,
    pub(crate) client: Client,
    pub(crate) scope: Option<Scope>,
}

impl LoginRequest {
    /// How the client of the request holds its refresh token.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.client.transport
    }
}

/// The login flow with all it needs.
pub struct Login<S> {
    /// Limits and lifetimes.
    pub config: LoginConfig,
    /// The tables.
    pub store: S,
    /// Names and passwords.
    pub hasher: Box<dyn PasswordHasher>,
    /// Makes the tokens.
    pub issuer: TokenIssuer,
    /// The peppers of password hashes.
    pub peppers: Peppers,
    /// Time, randomness, log.
    pub context: Context,
}

impl<S: Store + AttemptStore> Login<S> {
    /// The flow as configured. Needs all three sections of the key set.
    ///
    /// # Errors
    /// [`KeyError`] when the key set is not usable for logins.
    pub fn new(
        config: LoginConfig,
        keys: &Document,
        store: S,
        hasher: Box<dyn PasswordHasher>,
        context: Context,
    ) -> Result<Self, KeyError> {
        let issuer = TokenIssuer::new(keys, &config.issuer, &config.audience, config.access_lifetime)?;
        let peppers = Peppers::from_document(keys)?;
        Ok(Self { config, store, hasher, issuer, peppers, context })
    }

    /// Checks the password and opens a session.
    ///
    /// # Errors
    /// The [`ApiError`] for the caller. Unknown user, wrong password and disabled user are one error after the same
    /// work.
    pub async fn run(&self, request: LoginRequest, caller: &Caller) -> Result<TokenResponse, ApiError> {
        let client = &request.client;
        let username = self.hasher.username(&request.username).ok_or_else(|| {
            let error = ApiError::InvalidRequest("The username holds characters that no user name has.");
            self.context.refused(error, caller)
        })?;
        let now = self.context.clock.now();
        let throttle = Throttle {
            limits: &self.config.limits,
            store: &self.store,
            peppers: &self.peppers,
            context: &self.context,
            caller,
            now,
        };
        let admitted = match throttle.admit(&username).await {
            Ok(Ok(admitted)) => admitted,
            Ok(Err(refused)) => return Err(refused.record(&client.id, &self.context, caller)),
            Err(error) => return Err(self.context.store_failed("begin_login", &error, caller)),
        };

        let user = &admitted.user;
        let check = self.hasher.check(
            &request.password,
            user.as_ref().map(|user| user.password_hash.as_str()),
            &self.peppers,
        );
        let refused = |cause| {
            let user = user.as_ref().map(|user| user.id);
            let (account, client) = (admitted.account.clone(), client.id.clone());
            let event = Event::LoginFailed { cause, account, client, user };
            self.context.journal.record(&event, caller);
            ApiError::BadCredentials
        };
        let checked = match (user, check) {
            (None, _) => Err(LoginFailure::UnknownUser),
            (Some(_), PasswordCheck::Mismatch) => Err(LoginFailure::WrongPassword),
            (Some(_), PasswordCheck::Unusable(detail)) => {
                self.context.journal.record(&Event::Failure { during: "check_password", detail }, caller);
                Err(LoginFailure::UnusableHash)
            }
            (Some(user), PasswordCheck::Match { .. }) if user.status == UserStatus::Disabled => {
                Err(LoginFailure::Disabled)
            }
            (Some(user), PasswordCheck::Match { outdated }) => Ok((user, outdated)),
        };
        let (user, outdated) = match checked {
            Ok(checked) => checked,
            Err(cause) => {
                let charged = throttle.charge(&admitted).await;
                let refused = refused(cause);
                return Err(match charged {
                    Ok(()) => refused,
                    Err(error) => self.context.store_failed("charge", &error, caller),
                });
            }
        };
        let scope = granted_scope(user, client, request.scope).ok_or_else(|| {
            refused(LoginFailure::ScopeNotGranted);
            ApiError::InvalidScope
        })?;

        // Only now: the time of a second hash would tell that the password of a disabled user is right. A hash that cannot
        // be renewed leaves the old one standing.
        let rehash = outdated
            .then(|| self.hasher.rehash(&request.password, &self.peppers, self.context.entropy.as_ref()))
            .flatten();
        let session = self.new_session(user, client, scope, now, caller);
        let opened = self.open(&session, user, rehash.as_deref(), &admitted, caller).await?;
        if !opened {
            return Err(refused(LoginFailure::UserChanged));
        }
        throttle.give_back(&admitted).await;
        let event =
            Event::LoginSucceeded { user: user.id, session: session.session, client: session.client.clone() };
        self.context.journal.record(&event, caller);
        let scope = session.scope.clone();
        self.issuer
            .issue(&session, scope, client.transport, now, self.context.entropy.as_ref())
            .map_err(|error| self.context.signing_failed(&error, caller))
    }

    async fn open(
        &self,
        session: &Session,
        user: &User,
        rehash: Option<&str>,
        admitted: &Admitted,
        caller: &Caller,
    ) -> Result<bool, ApiError> {
        let (known, settle) = (admitted.known.as_deref(), admitted.own.as_str());
        self.store
            .open_session(&NewSession { session, user, rehash, known, settle })
            .await
            .map_err(|error| self.context.store_failed("open_session", &error, caller))
    }

    fn new_session(
        &self,
        user: &User,
        client: &Client,
        scope: Scope,
        now: Timestamp,
        caller: &Caller,
    ) -> Session {
        // Whole seconds, as the token and the TTL attribute carry them.
        let absolute_end = Timestamp::from_seconds((now + self.config.refresh_lifetime).seconds());
        Session {
            user: user.id,
            session: SessionId::generate(self.context.entropy.as_ref()),
            generation: 0,
            rotated_at: None,
            attempt: None,
            created_at: now,
            expires_at: Session::expiry(now, absolute_end, self.config.idle),
            absolute_end,
            client: client.id.clone(),
            scope,
            ended: None,
            device: caller.user_agent.as_deref().map(device_hint),
        }
    }
}

/// What the session may do: what was asked for, or else all that user and client have in common. `None` when more was
/// asked for than that.
fn granted_scope(user: &User, client: &Client, asked: Option<Scope>) -> Option<Scope> {
    let granted =
        client.scope.as_ref().map_or_else(|| user.scope.clone(), |scope| user.scope.intersection(scope));
    match asked {
        None => Some(granted),
        Some(asked) => asked.is_within(&granted).then_some(asked),
    }
}

/// Longest device hint in bytes.
pub const MAX_DEVICE_BYTES: usize = 128;

/// The user agent as a hint for a list of sessions: printable ASCII, shortened.
fn device_hint(user_agent: &str) -> String {
    user_agent.chars().filter(|c| matches!(c, ' '..='~')).take(MAX_DEVICE_BYTES).collect()
}
