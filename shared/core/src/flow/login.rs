//! Login: a name and a password become a session. A user with a second factor gets a token for the second step instead
//! ([`factor`]).
//!
//! From a known address or device a login takes three round trips to the store. The first reads the user and counts the attempt at the
//! same time, before any hashing. The second is a transaction that opens the session, unless the user has changed meanwhile.
//! The third reads the live sessions of the user, and a fourth ends those beyond the limit, if there are any.
//! From another address two more counters come before the hashing, and one more trip gives their slots back
//! ([`throttle`](crate::throttle)).
//!
//! A name that is an e-mail address costs one trip more, before all others: it reads the user of the address. The login goes on as
//! that user, with the user's counters, devices and known addresses. An address that no user has is a user name. So is an
//! address that its user has not verified, and no other user can have that name.

use crate::account::address::EmailAddress;
use crate::account::authentication::{Authentication, Methods};
use crate::account::claims::Claims;
use crate::account::device_room;
use crate::client::{Client, Transport};
use crate::config::LoginConfig;
use crate::factor::ENROLMENT_SESSION;
use crate::flow::error::Problem;
use crate::flow::issue::{Holder, TokenIssuer, TokenResponse};
use crate::flow::login::factor::SecondStep;
use crate::flow::outcome::Outcome;
use crate::flow::throttle::{RENEW_AFTER, Throttle};
use crate::keys::{Document, FactorKeys, KeyError, Peppers};
use crate::ports::context::Context;
use crate::ports::event::{Event, LoginFailure};
use crate::ports::hasher::{PasswordCheck, PasswordHasher};
use crate::ports::migration::OldSystem;
use crate::ports::passkey::PasskeyStore;
use crate::ports::store::{AddressStore, AttemptStore, NewSession, Store, UsedFactor, User, UserStatus};
use crate::secret::{Password, SecretString};
use crate::session::{EndReason, KeyDigest, Opening, Session};
use crate::throttle::{KnownAddress, Limits, Proof};
use crate::token::device::Device;
use daypass_verifier::base::ids::{AttemptId, SessionId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::jose::dpop::Thumbprint;
use serde::Serialize;
use std::net::IpAddr;

pub mod factor;
pub mod passkey;

/// Longest device hint in bytes.
pub const MAX_DEVICE_BYTES: usize = 128;

/// A parsed login request.
#[derive(Debug)]
pub struct LoginRequest {
    pub(crate) username: Username,
    /// The name before its normalisation, for the old system.
    pub(crate) typed: String,
    pub(crate) password: Password,
    pub(crate) client: Client,
    /// The key of the request's DPoP proof.
    pub(crate) key: Option<Thumbprint>,
    pub(crate) scope: Option<Scope>,
    /// Whether the request has no scope, or names the right to the account endpoints ([`Scope::ACCOUNT`]).
    pub(crate) account: bool,
    /// The address that the connection came from, for rate limiting.
    pub(crate) source_ip: Option<IpAddr>,
    /// The device token of an earlier login, as the client sent it.
    pub(crate) device_token: Option<SecretString>,
    /// The user agent as the client sent it. It becomes the device hint in the user's list of sessions.
    pub(crate) user_agent: Option<String>,
}

impl LoginRequest {
    /// How the client of the request holds its refresh token.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.client.transport
    }
}

/// The answer to the right password.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum LoginAnswer {
    /// The tokens of the new session.
    Tokens(TokenResponse),
    /// The user has a second factor: no session yet.
    SecondStep(SecondStep),
}

/// The result of a password check: whether the stored hash is outdated, or why the login fails.
pub(crate) type Checked = Result<bool, LoginFailure>;

/// The login flow and its dependencies.
pub struct Login<S> {
    /// Clients, rate limits and lifetimes.
    pub config: LoginConfig,
    /// The users, sessions and attempts tables.
    pub store: S,
    /// Normalises usernames and hashes passwords.
    pub hasher: Box<dyn PasswordHasher>,
    /// Issues the tokens.
    pub issuer: TokenIssuer,
    /// The peppers of password hashes.
    pub peppers: Peppers,
    /// The keys of second factors.
    pub factor_keys: FactorKeys,
    /// Checks the passwords of users who have no hash yet; `None` without a migration.
    pub old_system: Option<Box<dyn OldSystem>>,
    /// Time, randomness and the log.
    pub context: Context,
}

impl<S: Store + AttemptStore + AddressStore + PasskeyStore> Login<S> {
    /// The flow as configured. It needs all three sections of the key set.
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
        let (peppers, factor_keys) = (Peppers::from_document(keys)?, FactorKeys::from_document(keys)?);
        // An address stays known for as long as a session from it lives. A login renews the entry of its address once a day.
        let known_for = config.limits.known_for.map(|time| time.max(config.refresh_lifetime + RENEW_AFTER));
        let config = LoginConfig { limits: Limits { known_for, ..config.limits }, ..config };
        Ok(Self { config, store, hasher, issuer, peppers, factor_keys, old_system: None, context })
    }

    /// Checks the password and opens a session, or begins the second step. An unknown user, a wrong password and a disabled user
    /// are one problem, after the same work. Nothing reveals a second factor before the password was right.
    pub async fn run(&self, request: LoginRequest) -> Outcome<LoginAnswer> {
        let mut events = Vec::new();
        let answer = self.log_in(request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn log_in(&self, request: LoginRequest, events: &mut Vec<Event>) -> Result<LoginAnswer, Problem> {
        let (now, entropy) = (self.context.clock.now(), self.context.entropy.as_ref());
        let client = &request.client;
        let key = self.peppers.counter_key();
        let device = request.device_token.as_ref();
        let by_address = self.by_address(&request.username).await?;
        let username = by_address.as_ref().map_or(&request.username, |(username, _)| username);
        let device = device.and_then(|text| Device::authenticate(text.expose(), username, key));
        let throttle = Throttle {
            own: self.config.limits.pair,
            wider: Some(&self.config.limits),
            store: &self.store,
            key,
            entropy,
            client: &client.id,
            source_ip: request.source_ip,
            proof: device.map_or(Proof::Nothing, Proof::Device),
            during: "begin_login",
            now,
        };
        let mut admitted = throttle.admit(username).await?;
        // The name is an address that its user has not verified: another person may read the mail.
        let unverified = by_address
            .as_ref()
            .and_then(|(_, address)| admitted.user.take_if(|user| !has_verified(user, address)))
            .map(|user| user.id);
        let checked = self.check(&request.password, admitted.user.as_ref(), events);
        let checked = self.migrate(&request, &throttle, &mut admitted, checked, events).await?;
        let failed = |cause| Event::LoginFailed {
            cause: match cause {
                LoginFailure::UnknownUser if unverified.is_some() => LoginFailure::AddressNotVerified,
                cause => cause,
            },
            account: admitted.account.clone(),
            client: client.id.clone(),
            user: admitted.user.as_ref().map(|user| user.id).or(unverified),
        };
        let user = admitted.user.as_ref().ok_or(LoginFailure::UnknownUser);
        let (user, outdated) = match checked.and_then(|outdated| Ok((user?, outdated))) {
            Ok(checked) => checked,
            Err(cause) => {
                events.push(failed(cause));
                throttle.charge(&admitted).await?;
                return Err(Problem::BadCredentials);
            }
        };
        let whole = client.narrow(&user.scope);
        let scope = request.scope.unwrap_or_else(|| whole.clone());
        if !scope.is_within(&whole) {
            events.push(failed(LoginFailure::ScopeNotGranted));
            return Err(Problem::ScopeNotGranted);
        }
        let account = request.account || scope == whole;
        // Not before the status is checked: the time of a second hash would reveal that the password of a disabled user is
        // right. If the hash cannot be renewed, the old one stays.
        let rehash =
            outdated.then(|| self.hasher.rehash(&request.password, &self.peppers, entropy)).flatten();
        let migrated = (user.is_marked() && rehash.is_some()).then(|| Event::LoginMigrated {
            user: user.id,
            client: client.id.clone(),
            created: false,
            email_taken: false,
        });
        if user.factors.is_enrolled() {
            if let Some(hash) = &rehash {
                // The second step has no password.
                self.store.renew_hash(user, hash).await.map_err(Problem::store("renew_hash"))?;
            }
            events.extend(migrated);
            throttle.forget(&admitted, events).await;
            let step =
                self.second_step(user, client, scope, account, device, admitted.from, request.key, events);
            return Ok(LoginAnswer::SecondStep(step));
        }
        let opens = Opens {
            user,
            client,
            scope,
            account,
            device,
            key: request.key,
            user_agent: request.user_agent.as_deref(),
            rehash: rehash.as_deref(),
            known: admitted.known.as_deref(),
            methods: Methods::PASSWORD,
            factor: None,
            settle: Some(&admitted.own.key),
        };
        let Some(session) = self.open(&opens).await? else {
            events.push(failed(LoginFailure::UserChanged));
            return Err(Problem::BadCredentials);
        };
        throttle.give_back(&admitted, events).await;
        events.extend(migrated);
        self.answer(&opens, &session, events).await.map(LoginAnswer::Tokens)
    }

    /// Opens the session of a login in one transaction. `None` if the user has changed, or the second factor was used.
    ///
    /// A user without the required second factor gets a session for the enrolment alone: an hour, without scope and claims,
    /// and with the right to the account endpoints.
    async fn open(&self, opens: &Opens<'_>) -> Result<Option<Session>, Problem> {
        let Opens { user, client, .. } = *opens;
        let enrols = opens.must_enrol();
        let now = self.context.clock.now();
        let opening = Opening {
            user: user.id,
            session: SessionId::generate(self.context.entropy.as_ref()),
            client: client.id.clone(),
            scope: if enrols { Scope::default() } else { opens.scope.clone() },
            claims: if enrols { Claims::default() } else { user.claims.clone() },
            account: enrols || opens.account,
            for_enrolment: enrols,
            authentication: Authentication::new(now, opens.methods),
            key: opens.key.as_ref().map(KeyDigest::of),
            device: opens.user_agent.and_then(|agent| device_hint(agent, user, opens.key.is_some())),
        };
        let longest = self.config.refresh_lifetime;
        let lifetime = if enrols { longest.min(ENROLMENT_SESSION) } else { longest };
        let session = Session::open(opening, now, lifetime, self.config.idle);
        let new = NewSession {
            session: &session,
            user,
            rehash: opens.rehash,
            known: opens.known,
            factor: opens.factor,
            settle: opens.settle,
        };
        let opened = self.store.open_session(&new).await.map_err(Problem::store("open_session"))?;
        Ok(opened.then_some(session))
    }

    /// Ends the sessions beyond the limit, and issues the tokens.
    async fn answer(
        &self,
        opens: &Opens<'_>,
        session: &Session,
        events: &mut Vec<Event>,
    ) -> Result<TokenResponse, Problem> {
        let (client, entropy) = (opens.client, self.context.entropy.as_ref());
        events.push(Event::LoginSucceeded {
            user: session.user,
            session: session.session,
            client: client.id.clone(),
        });
        self.end_surplus(session, events).await;
        let (scope, now) = (session.scope.clone(), session.created_at);
        let holder = Holder { transport: client.transport, key: opens.key };
        let tokens = self.issuer.issue(session, scope, session.account, holder, now, entropy);
        let device = opens.device.unwrap_or_else(|| Device::generate(entropy));
        let device = SecretString::new(device.token(&opens.user.username, self.peppers.counter_key()));
        let tokens = tokens.map_err(Problem::Sign)?.on_device(device, client.transport);
        Ok(if opens.must_enrol() { tokens.for_enrolment() } else { tokens })
    }

    /// The name of the user who has the typed name as e-mail address, with the address; `None` if the text is a user name.
    async fn by_address(&self, typed: &Username) -> Result<Option<(Username, EmailAddress)>, Problem> {
        let Ok(address) = EmailAddress::parse(typed.as_str()) else { return Ok(None) };
        let owner = self.store.user_by_address(&address).await;
        let owner = owner.map_err(Problem::store("user_by_address"))?;
        // The user's own name needs no verified address.
        Ok(owner.filter(|owner| owner.username != *typed).map(|owner| (owner.username, address)))
    }

    /// Whether the stored hash of the right password is outdated. Each cause of a failure costs the same work.
    pub(crate) fn check(&self, password: &Password, user: Option<&User>, events: &mut Vec<Event>) -> Checked {
        let stored = user.map(|user| user.password_hash.as_str());
        match (user, self.hasher.check(password, stored, &self.peppers)) {
            (None, _) => Err(LoginFailure::UnknownUser),
            (Some(_), PasswordCheck::Mismatch) => Err(LoginFailure::WrongPassword),
            (Some(_), PasswordCheck::Unusable(detail)) => {
                events.push(Event::failure("check_password", &detail));
                Err(LoginFailure::UnusableHash)
            }
            (Some(user), PasswordCheck::Match { outdated }) => match user.status {
                UserStatus::Enabled => Ok(outdated),
                UserStatus::Disabled => Err(LoginFailure::Disabled),
            },
        }
    }

    /// Ends the sessions beyond the limit. A failure is an event and no error: the next login ends them.
    async fn end_surplus(&self, opened: &Session, events: &mut Vec<Event>) {
        let (user, reason) = (opened.user, EndReason::SessionLimit);
        let attempt = AttemptId::generate(self.context.entropy.as_ref());
        match self.store.end_least_used(user, opened.session, opened.created_at, reason, attempt).await {
            Ok(ended) => {
                events.extend(ended.into_iter().map(|session| Event::SessionEnded { user, session, reason }));
            }
            Err(error) => events.push(Event::failure("end_least_used", &error)),
        }
    }
}

/// A login that has shown all that it needs.
struct Opens<'a> {
    user: &'a User,
    client: &'a Client,
    scope: Scope,
    account: bool,
    /// The device that the login proved.
    device: Option<Device>,
    /// The key that the session is bound to.
    key: Option<Thumbprint>,
    user_agent: Option<&'a str>,
    rehash: Option<&'a str>,
    known: Option<&'a [KnownAddress]>,
    methods: Methods,
    factor: Option<UsedFactor<'a>>,
    settle: Option<&'a str>,
}

impl Opens<'_> {
    /// Whether the user has no second factor and must have one.
    fn must_enrol(&self) -> bool {
        self.user.factors.must_enrol(self.client.require_mfa)
    }
}

/// Whether this is the verified address of the user.
fn has_verified(user: &User, address: &EmailAddress) -> bool {
    user.email.as_ref().is_some_and(|email| email.verified && email.address == *address)
}

/// The user agent in printable ASCII, cut to [`MAX_DEVICE_BYTES`] and to the room that the user leaves in the session.
fn device_hint(user_agent: &str, user: &User, is_bound: bool) -> Option<String> {
    let room = device_room(&user.username, &user.scope, &user.claims, is_bound).min(MAX_DEVICE_BYTES);
    (room > 0).then(|| user_agent.chars().filter(|c| matches!(c, ' '..='~')).take(room).collect())
}
