//! Why a flow did not do what the request asked for.

use crate::keys::KeyError;
use crate::ports::context::Principal;
use crate::ports::event::{Event, MailRefusal};
use crate::ports::migration::Unanswered;
use crate::ports::store::StoreError;
use crate::session::{DeadCause, Session};
use crate::throttle::{Exhausted, MailLimit};
use crate::token::mail::OutboxId;
use daypass_verifier::base::ids::{ClientId, UserId};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::routes::Challenge;
use std::time::Duration;

/// Why a flow did not do what the request asked for. It knows nothing of HTTP; `http::error` maps it to an error of the HTTP
/// contract.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The store failed. This is never a verdict on a token or a password.
    #[error("the store failed during {during}")]
    Store {
        /// The operation, as the event `failure` names it.
        during: &'static str,
        /// What the store said.
        source: StoreError,
    },
    /// No access token can be signed.
    #[error("no access token can be signed")]
    Sign(#[source] KeyError),
    /// The hasher cannot hash the new password.
    #[error("the new password cannot be hashed")]
    HashPassword,
    /// No authorizer has let the caller through. The flow fails closed: a route that was deployed without its authorizer
    /// would be open to everyone.
    #[error(
        "the request context names no user and session of ours: put the authorizer of Daypass in front of this route"
    )]
    NoAuthorizer,
    /// The access token has no right to the account endpoints.
    #[error("the access token has no right to the account")]
    AccountNotGranted,
    /// The response would set a cookie, and the request does not come from a page of the client.
    #[error("the request does not come from a page of the client")]
    OriginNotAllowed,
    /// The session of the caller's access token is over.
    #[error("the session of the access token is over")]
    SessionOver {
        /// How it came to be over.
        cause: DeadCause,
        /// The caller, as the authorizer names it.
        principal: Principal,
    },
    /// A rate limit is exhausted.
    #[error(transparent)]
    Throttled(Box<Throttled>),
    /// The name and the password of a login do not belong to an enabled user.
    #[error("the name and the password belong to no enabled user")]
    BadCredentials,
    /// A secret of a second factor cannot be encrypted.
    #[error("a secret of a second factor cannot be encrypted")]
    Seal(#[source] KeyError),
    /// The user of the session authenticated too long ago, or by too little.
    #[error("the authentication of the session is too old or too weak")]
    InsufficientAuthentication(Challenge),
    /// The user has no second factor.
    #[error("the user has no second factor")]
    NoFactor,
    /// The user must have a second factor, and cannot remove the last one.
    #[error("the user must have a second factor")]
    FactorRequired,
    /// The user changed during the request.
    #[error("the user changed during the request")]
    UserChanged,
    /// The second factor is wrong or was used.
    #[error("the second factor is wrong or was used")]
    WrongCode,
    /// Passkeys are off: the setting `passkey_rp_id` is not set.
    #[error("the service has no passkeys")]
    PasskeysOff,
    /// The response of an authenticator is not valid.
    #[error("the passkey is rejected")]
    PasskeyRejected,
    /// The credential of a new passkey is registered already.
    #[error("the passkey is registered already")]
    PasskeyTaken,
    /// The user has as many passkeys as a user can have.
    #[error("the user has too many passkeys")]
    TooManyPasskeys,
    /// The old system gave no answer. This is never a verdict on a password.
    #[error("the old system gave no answer")]
    Unmigrated(#[source] Unanswered),
    /// The current password, which a change of the password needs, is wrong.
    #[error("the current password is wrong")]
    WrongPassword,
    /// The new password breaks a rule; the text is for the user.
    #[error("the new password is rejected: {0}")]
    NewPasswordRejected(&'static str),
    /// The user of the session was removed or disabled.
    #[error("the user of the session was removed or disabled")]
    NoUser,
    /// The token is not valid, or its session is over.
    #[error("the token is rejected")]
    TokenRejected,
    /// The token names an unknown key, which may be a new one: this process could not renew its keys.
    #[error("a token names a key that is not in the key set, which could not be renewed")]
    KeysOverdue,
    /// The token is valid for another client than the request names.
    #[error("the token is another client's")]
    OtherClient,
    /// The session is bound to a key, and the proof of the request is by another one.
    #[error("the session is bound to another key")]
    OtherKey,
    /// The client or the session needs a DPoP proof, and the request has none.
    #[error("the request has no DPoP proof")]
    ProofRequired,
    /// The client of the session is not registered.
    #[error("the client of the session is not registered")]
    ClientGone,
    /// The request asks for more scope than was granted.
    #[error("the scope is not granted")]
    ScopeNotGranted,
    /// The machine client of the request is not authenticated.
    #[error("the client is not authenticated")]
    ClientNotAuthenticated,
    /// This process has not read the machine clients within the last two hours.
    #[error("the machine clients could not be read")]
    MachinesUnread,
    /// The machine client may not ask about tokens.
    #[error("the client may not ask about tokens")]
    IntrospectionNotAllowed,
    /// Mails are off: the setting `mail_from` is not set.
    #[error("the service sends no mails")]
    MailOff,
    /// The client has no page for the links of mails.
    #[error("the client has no account_url")]
    NoAccountUrl,
    /// The client allows no sign-up without an invitation.
    #[error("the client allows no sign-up")]
    SignUpNotAllowed,
    /// A limit on mails or codes is exhausted; the next attempt is possible after the time.
    #[error("a limit on mails is exhausted")]
    MailThrottled(MailLimit, Duration),
    /// The link, the code or the request handle is not valid.
    #[error("the link or the code is not valid")]
    MailRefused(MailRefusal, Option<OutboxId>),
    /// SES took no mail. The request has to come again.
    #[error("{0}")]
    MailNotSent(String),
    /// The user has no session of this id.
    #[error("the user has no such session")]
    NoSuchSession,
    /// No feed has given out this cursor.
    #[error("no feed has given out the cursor")]
    UnknownCursor,
}

/// An attempt that a rate limit stopped before any hashing, or that the old system did not check.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rate limit is exhausted")]
pub struct Throttled {
    /// The exhausted limit.
    pub limit: Exhausted,
    /// The keyed hash of the name.
    pub account: String,
    /// The client of the request or of its session.
    pub client: ClientId,
    /// The user of that name, if there is one.
    pub user: Option<UserId>,
    /// The time until the next attempt is possible.
    pub wait: Duration,
}

impl Problem {
    /// For `map_err`: the store failed during this operation.
    pub(crate) fn store(during: &'static str) -> impl FnOnce(StoreError) -> Self {
        move |source| Self::Store { during, source }
    }

    /// The event of a problem that no flow records by itself.
    pub(crate) fn event(&self) -> Option<Event> {
        match self {
            Self::Store { during, source } => Some(Event::failure(during, source)),
            Self::Sign(source) => Some(Event::failure("sign", source)),
            Self::Seal(source) => Some(Event::failure("seal", source)),
            Self::Unmigrated(source) => Some(Event::failure("migrate", source)),
            Self::HashPassword => Some(Event::failure("hash_password", self)),
            Self::MachinesUnread => Some(Event::failure("read_machines", self)),
            Self::KeysOverdue => Some(Event::failure("renew_keys", self)),
            Self::AccountNotGranted => Some(Event::RequestRefused {
                error: "insufficient_scope",
                description: "The access token has no right to the account.",
            }),
            Self::InsufficientAuthentication(_) => Some(Event::RequestRefused {
                error: Challenge::ERROR,
                description: "The authentication of the session is too old or too weak.",
            }),
            Self::OriginNotAllowed => Some(Event::RequestRefused {
                error: "invalid_request",
                description: "Requests from this origin are not allowed.",
            }),
            Self::UserChanged => Some(Event::RequestRefused {
                error: "temporarily_unavailable",
                description: "The user changed during the request.",
            }),
            Self::NoAuthorizer => Some(Event::failure("authorize", self)),
            Self::SessionOver { cause, principal: Principal { user, session, .. } } => {
                Some(Event::AuthorizeDenied { cause: *cause, user: *user, session: *session })
            }
            Self::Throttled(throttled) => Some(Event::LoginThrottled {
                limit: throttled.limit,
                account: throttled.account.clone(),
                client: throttled.client.clone(),
                user: throttled.user,
                retry_after: throttled.wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX),
            }),
            Self::MailThrottled(limit, wait) => Some(Event::MailThrottled {
                limit: *limit,
                retry_after: wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX),
            }),
            Self::MailNotSent(_) => Some(Event::failure("send_mail", self)),
            Self::MailRefused(cause, mail) => Some(Event::MailRefused { cause: *cause, mail: *mail }),
            Self::BadCredentials
            | Self::WrongCode
            | Self::NoFactor
            | Self::PasskeysOff
            | Self::PasskeyRejected
            | Self::PasskeyTaken
            | Self::TooManyPasskeys
            | Self::FactorRequired
            | Self::MailOff
            | Self::NoAccountUrl
            | Self::SignUpNotAllowed
            | Self::WrongPassword
            | Self::NewPasswordRejected(_)
            | Self::NoUser
            | Self::TokenRejected
            | Self::OtherClient
            | Self::OtherKey
            | Self::ProofRequired
            | Self::ClientGone
            | Self::ScopeNotGranted
            | Self::ClientNotAuthenticated
            | Self::IntrospectionNotAllowed
            | Self::NoSuchSession
            | Self::UnknownCursor => None,
        }
    }
}

/// The caller, whose access token has the right to the account endpoints.
pub(crate) fn require_account(principal: Option<Principal>) -> Result<Principal, Problem> {
    let principal = principal.ok_or(Problem::NoAuthorizer)?;
    if principal.account { Ok(principal) } else { Err(Problem::AccountNotGranted) }
}

/// Checks that the caller authenticated recently enough, and by two factors if `needed` says so. It needs no read: the authorizer
/// passes the claims of the access token on.
///
/// # Errors
/// [`Problem::InsufficientAuthentication`].
pub fn fresh(principal: Principal, needed: Challenge, now: Timestamp) -> Result<(), Problem> {
    let is_met = needed.is_met(principal.authenticated_at, principal.two_factors, now);
    if is_met { Ok(()) } else { Err(Problem::InsufficientAuthentication(needed)) }
}

/// Checks that the caller's own session is live: an access token outlives its session by minutes.
pub(crate) fn require_live(
    principal: Principal,
    own: Option<&Session>,
    now: Timestamp,
) -> Result<(), Problem> {
    match own.map_or(Some(DeadCause::Absent), |own| own.over(now)) {
        None => Ok(()),
        Some(cause) => Err(Problem::SessionOver { cause, principal }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;
    use daypass_verifier::base::ids::SessionId;

    #[test]
    fn an_authentication_can_be_too_old_or_too_weak() {
        let check = |age: Option<u64>, acr: &str, two_factors, max_age, expected: bool| {
            let (user, session) = (UserId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
            let caller = Principal::parse(&user.to_string(), &session.to_string(), true).unwrap();
            let caller = caller.authenticated(age.map(|age| NOW.seconds() - age), Some(acr));
            let needed = Challenge { two_factors, max_age };
            match fresh(caller, needed, NOW) {
                Ok(()) => assert!(expected, "{age:?} {acr} {needed:?}"),
                Err(Problem::InsufficientAuthentication(asked)) => {
                    assert_eq!((asked, expected), (needed, false), "{age:?} {acr}");
                }
                Err(other) => panic!("{other:?}"),
            }
        };
        check(Some(600), "1", false, Some(600), true);
        check(Some(601), "2", false, Some(600), false);
        check(Some(600), "1", true, Some(600), false);
        check(Some(600), "2", true, Some(600), true);
        check(Some(9_000), "2", true, None, true);
        // Tokens of older versions have no such claim.
        check(None, "1", false, Some(600), false);
    }
}
