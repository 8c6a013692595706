//! The second step of a login: a token of the first step and a second factor become a session.
//!
//! It takes three round trips to the store, as the first step does: the read of the user, in parallel with a slot of the counter;
//! the transaction; and the read of the live sessions. The transaction uses the factor up: its condition is that the stored time
//! step is earlier, or that the recovery code is still stored. So a code works once, at any concurrency.

use super::{Login, Opens};
use crate::account::authentication::{Method, Methods};
use crate::client::{Client, Transport};
use crate::factor::{FactorKind, bound_to, recovery, totp::Totp};
use crate::flow::error::{Problem, Throttled};
use crate::flow::issue::{TokenResponse, exposed};
use crate::flow::outcome::Outcome;
use crate::flow::passkey::{Passkeys, RequestOptions, ShownPasskey};
use crate::flow::throttle::remember;
use crate::keys::FactorKeys;
use crate::passkey::ceremony::Assertion;
use crate::passkey::challenge::Purpose;
use crate::ports::event::{Event, FactorFault, FactorRefusal};
use crate::ports::passkey::{PasskeyMismatch, PasskeyRefusal, PasskeyStore};
use crate::ports::store::{AddressStore, AttemptStore, Store, UsedFactor, User, UserStatus};
use crate::secret::SecretString;
use crate::session::KeyDigest;
use crate::throttle::{Attempt, Counter, Exhausted, FactorSender, Proof, Subjects, factors_of};
use crate::token::device::Device;
use crate::token::mfa::{LIFETIME, MfaToken, MfaTokenError};
use daypass_verifier::base::digest::prefix;
use daypass_verifier::base::ids::{AttemptId, ClientId};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::dpop::Thumbprint;
use serde::Serialize;
use std::net::IpAddr;

/// The answer to the right password of a user with a second factor, in the form of an error (RFC 6749 §5.2).
#[derive(Debug, Serialize)]
pub struct SecondStep {
    error: &'static str,
    error_description: &'static str,
    #[serde(serialize_with = "exposed")]
    mfa_token: SecretString,
    /// Seconds until the token expires.
    expires_in: u64,
    /// The kinds of factors that the user can show.
    factors: Vec<FactorKind>,
    /// What a page hands to `navigator.credentials.get`, if the user has a passkey.
    #[serde(skip_serializing_if = "Option::is_none")]
    passkey: Option<RequestOptions>,
}

/// A parsed request for the second step.
#[derive(Debug)]
pub struct FactorRequest {
    /// The token of the first step.
    pub(crate) token: SecretString,
    pub(crate) proof: FactorProof,
    /// The key of the request's DPoP proof.
    pub(crate) key: Option<Thumbprint>,
    /// The cookie clients that the page of the request may act for.
    pub(crate) cookie_clients: Vec<ClientId>,
    pub(crate) source_ip: Option<IpAddr>,
    pub(crate) user_agent: Option<String>,
    /// Whether this process could not renew its keys.
    pub(crate) keys_overdue: bool,
}

/// The second factor that a request shows.
#[derive(Debug)]
pub enum FactorProof {
    /// A one-time code.
    OneTimeCode(SecretString),
    /// A recovery code.
    RecoveryCode(SecretString),
    /// The response of an authenticator.
    Passkey(Assertion),
}

impl FactorProof {
    /// The problem that a wrong factor causes.
    pub(crate) fn rejected(&self) -> Problem {
        match self {
            Self::Passkey(_) => Problem::PasskeyRejected,
            Self::OneTimeCode(_) | Self::RecoveryCode(_) => Problem::WrongCode,
        }
    }
}

impl From<PasskeyRefusal> for FactorFault {
    fn from(refusal: PasskeyRefusal) -> Self {
        match refusal {
            PasskeyRefusal::Response(fault) => Self::Passkey(fault),
            PasskeyRefusal::Stored(PasskeyMismatch::Overtaken) => Self::Overtaken,
            PasskeyRefusal::Stored(_) => Self::NoFactor,
        }
    }
}

/// A factor that is right, before the store has used it up.
pub(crate) enum Shown {
    OneTimeCode { step: u64, resealed: Option<Vec<u8>> },
    RecoveryCode(recovery::RecoveryDigest),
    Passkey(Box<ShownPasskey>),
}

impl Shown {
    /// What the transaction uses up.
    pub(crate) fn used(&self) -> UsedFactor<'_> {
        match self {
            Self::OneTimeCode { step, resealed } => {
                UsedFactor::OneTimeCode { step: *step, resealed: resealed.as_deref() }
            }
            Self::RecoveryCode(digest) => UsedFactor::RecoveryCode(*digest),
            Self::Passkey(shown) => UsedFactor::Passkey(shown.used()),
        }
    }

    pub(crate) fn method(&self) -> Method {
        match self {
            Self::OneTimeCode { .. } | Self::RecoveryCode(_) => Method::OneTimeCode,
            Self::Passkey(shown) => shown.method(),
        }
    }
}

impl<S: Store + AttemptStore + AddressStore + PasskeyStore> Login<S> {
    /// The answer to the right password of a user with a second factor.
    #[expect(clippy::too_many_arguments, reason = "each is a member of the token")]
    pub(super) fn second_step(
        &self,
        user: &User,
        client: &Client,
        scope: Scope,
        account: bool,
        device: Option<Device>,
        known: Option<[u8; 16]>,
        key: Option<Thumbprint>,
        events: &mut Vec<Event>,
    ) -> SecondStep {
        let now = self.context.clock.now();
        let token = MfaToken {
            user: user.id,
            username: user.username.clone(),
            client: client.id.clone(),
            scope,
            account,
            password_version: user.password_version,
            device,
            known,
            key: key.map(|key| prefix(key.as_bytes())),
            expires_at: Timestamp::from_seconds((now + LIFETIME).seconds()),
        };
        let (ids, mut factors) = (&user.factors.passkeys, user.factors.kinds());
        let options = || self.passkeys().options(Purpose::SecondFactor(user.id), ids).ok();
        let passkey = if ids.is_empty() { None } else { options() };
        // The passkeys of a service that has none any more.
        factors.retain(|kind| *kind != FactorKind::Passkey || passkey.is_some());
        events.push(Event::LoginMfaRequired { user: user.id, client: client.id.clone() });
        SecondStep {
            error: "mfa_required",
            error_description: "The password is right. Show a second factor.",
            mfa_token: SecretString::new(token.mint(&self.issuer.refresh_keys, &self.config.issuer)),
            expires_in: LIFETIME.as_secs(),
            factors,
            passkey,
        }
    }

    /// Checks the second factor and opens the session.
    pub async fn complete(&self, request: FactorRequest) -> Outcome<TokenResponse> {
        let mut events = Vec::new();
        let answer = self.show(&request, &mut events).await;
        Outcome::new(answer, events)
    }

    async fn show(&self, request: &FactorRequest, events: &mut Vec<Event>) -> Result<TokenResponse, Problem> {
        let now = self.context.clock.now();
        let (keys, issuer) = (&self.issuer.refresh_keys, &self.config.issuer);
        let token = match MfaToken::read(request.token.expose(), keys, issuer, now) {
            Ok(token) => token,
            Err(MfaTokenError::UnknownKey) if request.keys_overdue => return Err(Problem::KeysOverdue),
            Err(cause) => {
                let cause = FactorRefusal::Token(cause);
                events.push(Event::LoginFactorRefused { cause, user: None, client: None });
                return Err(Problem::TokenRejected);
            }
        };
        let client = self.config.clients.find(Some(token.client.as_str())).ok_or(Problem::ClientGone)?;
        if client.transport == Transport::Cookie && !request.cookie_clients.contains(&client.id) {
            return Err(Problem::OriginNotAllowed);
        }
        let proven = request.key.as_ref().map(KeyDigest::of);
        if proven.is_none() && (client.require_dpop || token.key.is_some()) {
            events.push(Event::RequestRefused {
                error: "invalid_dpop_proof",
                description: "The request has no DPoP proof, and it needs one.",
            });
            return Err(Problem::ProofRequired);
        }
        if token.key.is_some_and(|key| proven != KeyDigest::from_bytes(&key)) {
            let (user, client) = (Some(token.user), Some(client.id.clone()));
            let cause = FactorRefusal::Token(MfaTokenError::OtherKey);
            events.push(Event::LoginFactorRefused { cause, user, client });
            return Err(Problem::TokenRejected);
        }
        let refused = |cause| Event::LoginFactorRefused {
            cause: FactorRefusal::Factor(cause),
            user: Some(token.user),
            client: Some(client.id.clone()),
        };
        let key = self.peppers.counter_key();
        let subjects = Subjects::of(key, &token.username, request.source_ip, Proof::Nothing);
        let here = subjects.address.as_ref().map(|address| address.known);
        let sender = match (token.device, token.known) {
            (Some(device), _) => FactorSender::Device(device),
            (None, Some(known)) if here == Some(known) => FactorSender::KnownAddress(known),
            (None, _) => FactorSender::Anyone,
        };
        let (limits, attempt) = (&self.config.limits, AttemptId::generate(self.context.entropy.as_ref()));
        let counter = Counter { key: factors_of(key, &token.username, sender), limit: limits.pair, now };
        let begun = self.store.begin(&token.username, &counter, attempt).await;
        let begun = begun.map_err(Problem::store("begin_factor"))?;
        if let Attempt::Exhausted(until) = begun.attempt {
            return Err(Problem::Throttled(Box::new(Throttled {
                limit: Exhausted::SecondFactor,
                account: subjects.account,
                client: client.id.clone(),
                user: Some(token.user),
                wait: until.since(now),
            })));
        }
        let is_same = |user: &User| {
            user.id == token.user
                && user.status == UserStatus::Enabled
                && user.password_version == token.password_version
        };
        let Some(user) = begun.user.filter(is_same) else {
            events.push(refused(FactorFault::UserChanged));
            return Err(Problem::TokenRejected);
        };
        if !token.scope.is_within(&client.narrow(&user.scope)) {
            events.push(refused(FactorFault::ScopeNotGranted));
            return Err(Problem::ScopeNotGranted);
        }
        let check = FactorCheck {
            user: &user,
            keys: &self.factor_keys,
            passkeys: self.passkeys(),
            purpose: Purpose::SecondFactor(user.id),
            now,
        };
        let shown = match check.run(&request.proof, events).await? {
            Ok(shown) => shown,
            Err(cause) => {
                events.push(refused(cause));
                return Err(request.proof.rejected());
            }
        };
        let known = here.and_then(|here| remember(limits.known_for, &begun.known, here, now));
        let opens = Opens {
            user: &user,
            client,
            scope: token.scope.clone(),
            account: token.account,
            device: token.device,
            key: request.key,
            user_agent: request.user_agent.as_deref(),
            rehash: None,
            known: known.as_deref(),
            methods: Methods::of(&[Method::Password, shown.method()]),
            factor: Some(shown.used()),
            settle: Some(&counter.key),
        };
        let Some(session) = self.open(&opens).await? else {
            events.push(refused(FactorFault::Overtaken));
            return Err(request.proof.rejected());
        };
        if let Shown::RecoveryCode(_) = shown {
            let left = user.factors.recovery.len().saturating_sub(1) as u64;
            events.push(Event::RecoveryCodeUsed { user: user.id, session: session.session, left });
        }
        self.answer(&opens, &session, events).await
    }
}

/// The check of a second factor of a user.
pub(crate) struct FactorCheck<'a, S> {
    pub(crate) user: &'a User,
    pub(crate) keys: &'a FactorKeys,
    pub(crate) passkeys: Passkeys<'a, S>,
    /// What the challenge of a passkey must be for.
    pub(crate) purpose: Purpose,
    pub(crate) now: Timestamp,
}

impl<S: PasskeyStore> FactorCheck<'_, S> {
    /// Whether the factor is that of the user. A passkey of another user costs no read.
    pub(crate) async fn run(
        &self,
        proof: &FactorProof,
        events: &mut Vec<Event>,
    ) -> Result<Result<Shown, FactorFault>, Problem> {
        match proof {
            FactorProof::Passkey(response) if self.user.factors.passkeys.contains(&response.id) => {
                let checked = self.passkeys.check(response, self.purpose, events).await?;
                let shown = checked.map(|shown| Shown::Passkey(Box::new(shown)));
                Ok(shown.map_err(|(cause, _)| FactorFault::from(cause)))
            }
            // A passkey is no code.
            FactorProof::Passkey(_) => Ok(Err(FactorFault::NoFactor)),
            FactorProof::OneTimeCode(code) => Ok(self.one_time_code(code.expose(), events)),
            FactorProof::RecoveryCode(code) => Ok(self.recovery_code(code.expose())),
        }
    }

    /// A one-time code must be later than the last accepted one.
    fn one_time_code(&self, code: &str, events: &mut Vec<Event>) -> Result<Shown, FactorFault> {
        let enrolled = self.user.factors.totp.as_ref().ok_or(FactorFault::NoFactor)?;
        let context = bound_to(self.user.id);
        let opened = self.keys.open(&enrolled.sealed, &context);
        let totp = opened.as_ref().and_then(|opened| Totp::from_bytes(opened.plain.expose()));
        let (Some(opened), Some(totp)) = (opened, totp) else {
            events.push(Event::failure("open_factor", &"no key of the key set decrypts the secret"));
            return Err(FactorFault::Unreadable);
        };
        let Some(step) = totp.accept(code, self.now, enrolled.step) else {
            let is_old = totp.accept(code, self.now, 0).is_some();
            return Err(if is_old { FactorFault::UsedCode } else { FactorFault::WrongCode });
        };
        // If it cannot be encrypted again, the old form stays.
        let entropy = self.passkeys.context.entropy.as_ref();
        let resealed = opened.outdated.then(|| self.keys.seal(opened.plain.expose(), &context, entropy).ok());
        Ok(Shown::OneTimeCode { step, resealed: resealed.flatten() })
    }

    fn recovery_code(&self, code: &str) -> Result<Shown, FactorFault> {
        let factors = &self.user.factors;
        if !factors.is_enrolled() {
            return Err(FactorFault::NoFactor);
        }
        let found = recovery::find(code, self.user.id, self.keys, &factors.recovery);
        found.map(Shown::RecoveryCode).ok_or(FactorFault::WrongCode)
    }
}
