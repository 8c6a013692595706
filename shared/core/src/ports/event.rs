//! Security events: one line in the log for each login, refresh, revocation and change of a password or a key.
//!
//! An event carries ids and causes, and no token, password, username or header. Its JSON line is a contract with the readers
//! of the log: `docs/reference/events.md` states it, and a test compares the two.

use crate::account::Undeliverable;
use crate::client::machine::{CredentialId, MachineId, Unauthenticated};
use crate::passkey::{Fault, PasskeyId};
use crate::ports::mail::MailKind;
use crate::ports::passkey::PasskeyRefusal;
use crate::session::{DeadCause, EndReason, Repeat, ReuseCause};
use crate::throttle::{Exhausted, MailLimit};
use crate::token::mail::{MailTokenError, OutboxId, Purpose};
use crate::token::mfa::MfaTokenError;
use crate::token::refresh::RefreshTokenError;
use daypass_verifier::base::ids::{ClientId, SessionId, UserId};
use daypass_verifier::jose::verify::Rejection;
use daypass_verifier::ports::event::{Record, Severity};
use serde::Serialize;
use std::fmt::Display;

/// A line of the log. An optional field is left out when it is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event")]
#[expect(missing_docs, reason = "a field without a comment is what its name says")]
pub enum Event {
    /// A login opened a session.
    #[serde(rename = "login.succeeded")]
    LoginSucceeded { user: UserId, session: SessionId, client: ClientId },
    /// The old system accepted the password of a user, and Daypass has stored its hash.
    #[serde(rename = "login.migrated")]
    LoginMigrated {
        user: UserId,
        client: ClientId,
        /// Whether the user was unknown before.
        created: bool,
        /// Whether the user was created without the e-mail address of the old system, because another user has it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        email_taken: bool,
    },
    /// A login was rejected after its password had been checked.
    #[serde(rename = "login.failed")]
    LoginFailed {
        /// The cause, which the response does not reveal.
        cause: LoginFailure,
        /// The keyed hash of the username: equal for all attempts at it.
        account: String,
        client: ClientId,
        /// The user of that name, if there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    },
    /// The password was right, and the login waits for a second factor.
    #[serde(rename = "login.mfa_required")]
    LoginMfaRequired { user: UserId, client: ClientId },
    /// The second step of a login was rejected.
    #[serde(rename = "login.factor_refused")]
    LoginFactorRefused {
        cause: FactorRefusal,
        /// The user of the first step, when its token was authentic.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// The client of the first step, when its token was authentic.
        #[serde(skip_serializing_if = "Option::is_none")]
        client: Option<ClientId>,
    },
    /// A passkey was rejected as the only factor of a login, or at its registration.
    #[serde(rename = "passkey.refused")]
    PasskeyRefused {
        /// The cause, which the response does not reveal.
        cause: PasskeyRefusal,
        client: ClientId,
        /// The user of the passkey, when known.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// The passkey that the response names.
        passkey: PasskeyId,
    },
    /// The signature counter of a passkey did not grow: there is a copy. The login was rejected.
    #[serde(rename = "passkey.copied")]
    PasskeyCopied { user: UserId, passkey: PasskeyId },
    /// A recovery code opened a session.
    #[serde(rename = "login.recovery_code_used")]
    RecoveryCodeUsed {
        user: UserId,
        session: SessionId,
        /// The codes that the user has left.
        left: u64,
    },
    /// A user changed the second factors.
    #[serde(rename = "factors.changed")]
    FactorsChanged {
        change: FactorsChange,
        user: UserId,
        /// The session that asked for it.
        session: SessionId,
    },
    /// Rate limiting rejected a login or a change of the password before any hashing.
    #[serde(rename = "login.throttled")]
    LoginThrottled {
        limit: Exhausted,
        /// As in `login.failed`.
        account: String,
        client: ClientId,
        /// The user of that name, if there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// Seconds until the next attempt is possible.
        retry_after: u64,
    },
    /// A refresh token was rotated.
    #[serde(rename = "refresh.rotated")]
    Rotated {
        user: UserId,
        session: SessionId,
        client: ClientId,
        /// The generation that the client holds now.
        generation: u32,
    },
    /// A machine client got an access token.
    #[serde(rename = "client.token_issued")]
    ClientTokenIssued {
        client: MachineId,
        /// The key or secret with which it authenticated itself.
        key: CredentialId,
        /// The `sid` of all tokens of this client and key.
        session: SessionId,
    },
    /// A machine client was not authenticated, or denied, and no table was asked.
    #[serde(rename = "client.refused")]
    ClientRefused {
        /// The cause, which the response does not reveal.
        cause: ClientRefusal,
        /// The client, when it was authenticated.
        #[serde(skip_serializing_if = "Option::is_none")]
        client: Option<MachineId>,
    },
    /// A superseded token came again and got the same successor.
    #[serde(rename = "refresh.repeated")]
    Repeated {
        user: UserId,
        session: SessionId,
        client: ClientId,
        /// The generation that the client holds now.
        generation: u32,
        /// Why it does not count as reuse.
        cause: Repeat,
        /// Seconds since the rotation that is repeated.
        age: u64,
    },
    /// A superseded token came again within the grace period, from another network than the rotation.
    #[serde(rename = "refresh.other_network")]
    OtherNetwork {
        user: UserId,
        session: SessionId,
        client: ClientId,
        /// The generation that the client holds now.
        generation: u32,
        /// Seconds since the rotation that is repeated.
        age: u64,
    },
    /// A superseded token was replayed, and its session was ended.
    #[serde(rename = "refresh.reuse")]
    Reuse {
        user: UserId,
        session: SessionId,
        client: ClientId,
        /// How the reuse was detected.
        cause: ReuseCause,
        /// The generation of the presented token.
        presented: u32,
        /// The generation of the session.
        current: u32,
        /// Seconds since the last rotation.
        age: u64,
    },
    /// A refresh was rejected, and nothing changed.
    #[serde(rename = "refresh.refused")]
    RefreshRefused {
        /// The cause, which the response does not reveal.
        cause: Refusal,
        /// The user of the token, when it was authentic.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// The session of the token, when it was authentic.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
        /// The client of the session, when the store has the session.
        #[serde(skip_serializing_if = "Option::is_none")]
        client: Option<ClientId>,
        /// Why the session had ended, if it had.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<EndReason>,
    },
    /// The first keys of a section were made.
    #[serde(rename = "keys.made")]
    KeysMade {
        /// `signing`, `refresh` or `peppers`.
        section: &'static str,
        /// The id of the active key.
        kid: String,
        /// The id of the next key.
        next: String,
    },
    /// A function has read its keys: at start, and every few minutes while it is called.
    #[serde(rename = "keys.loaded")]
    KeysLoaded {
        /// As in `keys.made`.
        section: &'static str,
        /// The id of the active key.
        kid: String,
        /// Seconds since the active key was made.
        age: u64,
    },
    /// The keys of a section were rotated.
    #[serde(rename = "keys.rotated")]
    KeysRotated {
        /// As in `keys.made`.
        section: &'static str,
        /// The id of the key that is active now.
        kid: String,
        /// The id of the next key.
        next: String,
    },
    /// The keys of a section were replaced at once, because they leaked.
    #[serde(rename = "keys.cut")]
    KeysCut {
        /// As in `keys.made`.
        section: &'static str,
        /// The id of the key that is active now.
        kid: String,
        /// The id of the next key.
        next: String,
    },
    /// One session was ended.
    #[serde(rename = "session.ended")]
    SessionEnded { user: UserId, session: SessionId, reason: EndReason },
    /// All sessions of a user were ended.
    #[serde(rename = "session.ended_all")]
    SessionsEnded {
        user: UserId,
        /// The session whose token asked for it. The count leaves it out.
        session: SessionId,
        /// The number of other sessions that were still live.
        count: u32,
        reason: EndReason,
    },
    /// A revocation changed nothing.
    #[serde(rename = "revoke.ignored")]
    RevokeIgnored {
        /// The cause. The response is 200 all the same (RFC 7009 §2.2), except for a token of another client (§2.1).
        cause: Ignored,
        /// Whether the request asked to end all sessions.
        all: bool,
        /// The user of the token, when it was authentic.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// The session of the token, when it was authentic.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
        /// Why the session had ended before, if it had.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<EndReason>,
    },
    /// A user changed the password.
    #[serde(rename = "password.changed")]
    PasswordChanged {
        user: UserId,
        /// The session that asked for it.
        session: SessionId,
    },
    /// A session took the place of the one that asked for a change of the password.
    #[serde(rename = "session.replaced")]
    SessionReplaced {
        user: UserId,
        /// The new session.
        session: SessionId,
        /// The session that ended.
        replaced: SessionId,
        client: ClientId,
    },
    /// The user of a session authenticated again.
    #[serde(rename = "session.reauthenticated")]
    Reauthenticated {
        user: UserId,
        session: SessionId,
        /// Whether the user showed two factors.
        two_factors: bool,
    },
    /// The second factor of a reauthentication, or its passkey, was rejected.
    #[serde(rename = "session.reauthentication_refused")]
    ReauthenticationRefused { cause: FactorFault, user: UserId, session: SessionId },
    /// The current password was wrong, or a change of the password was rejected.
    #[serde(rename = "password.refused")]
    PasswordRefused { cause: PasswordRefusal, user: UserId, session: SessionId },
    /// An endpoint asked for a mail. Whether one is sent is known to the mailer alone.
    #[serde(rename = "mail.requested")]
    MailRequested {
        purpose: Purpose,
        /// The id of the item in the outbox.
        mail: OutboxId,
        client: ClientId,
    },
    /// A limit rejected a request for a mail, or a code.
    #[serde(rename = "mail.throttled")]
    MailThrottled {
        limit: MailLimit,
        /// Seconds until the next attempt is possible.
        retry_after: u64,
    },
    /// A link, a code or a request handle was rejected.
    #[serde(rename = "mail.refused")]
    MailRefused {
        /// The cause, which the response does not reveal.
        cause: MailRefusal,
        /// The id of the item in the outbox, when the token was authentic.
        #[serde(skip_serializing_if = "Option::is_none")]
        mail: Option<OutboxId>,
    },
    /// A mail was handed to SES.
    #[serde(rename = "mail.sent")]
    MailSent {
        mail: OutboxId,
        kind: MailKind,
        /// Seconds from the request to the mail.
        age: u64,
    },
    /// A request led to no mail.
    #[serde(rename = "mail.skipped")]
    MailSkipped { mail: OutboxId, cause: MailSkipped },
    /// SES does not accept a mail, now or later.
    #[serde(rename = "mail.rejected")]
    MailRejected {
        mail: OutboxId,
        kind: MailKind,
        /// What SES said. It names no recipient.
        detail: String,
    },
    /// The mailer has used up its attempts to send a mail, and does not know whether it was sent.
    #[serde(rename = "mail.given_up")]
    MailGivenUp { mail: OutboxId },
    /// SES reported that a mail bounced or was marked as spam. The address gets no more mails.
    #[serde(rename = "mail.undeliverable")]
    MailUndeliverable {
        cause: Undeliverable,
        /// The user who has the address, if there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    },
    /// A mail created a user.
    #[serde(rename = "user.created")]
    UserCreated {
        user: UserId,
        /// `sign_up` or `invitation`.
        purpose: Purpose,
        client: ClientId,
    },
    /// A mail set another password, and every session of the user ended.
    #[serde(rename = "password.reset")]
    PasswordReset {
        user: UserId,
        /// The number of sessions that were still live.
        count: u32,
    },
    /// A mail gave a user another address.
    #[serde(rename = "email.changed")]
    EmailChanged { user: UserId },
    /// A request behind the authorizer was denied: the session of its access token is over.
    #[serde(rename = "authorize.denied")]
    AuthorizeDenied { cause: DeadCause, user: UserId, session: SessionId },
    /// An operator changed a user or sessions through the Admin API.
    #[serde(rename = "admin.changed")]
    AdminChanged {
        /// The ARN of the operator.
        operator: String,
        action: AdminAction,
        /// The changed user, when known.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// The session that the operator named.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
        /// The machine client that the operator named.
        #[serde(skip_serializing_if = "Option::is_none")]
        client: Option<MachineId>,
        /// Whether the change is complete. Otherwise a dependency failed, and it may have happened in part.
        complete: bool,
    },
    /// A request was rejected before any request to the store, or because its user changed meanwhile. It stored nothing.
    #[serde(rename = "request.refused")]
    RequestRefused {
        /// The `error` of the response.
        error: &'static str,
        /// The `error_description` of the response.
        description: &'static str,
    },
    /// A dependency failed, or Daypass did.
    #[serde(rename = "failure")]
    Failure {
        /// The operation that failed.
        during: &'static str,
        /// What the dependency said. It names tables and codes, never input.
        detail: String,
    },
}

impl Event {
    /// The failure of an operation.
    pub(crate) fn failure(during: &'static str, detail: &impl Display) -> Self {
        Self::Failure { during, detail: detail.to_string() }
    }
}

/// What an operator changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminAction {
    /// A user was added.
    Added,
    /// A person was invited by mail.
    Invited,
    /// A disabled user was enabled.
    Enabled,
    /// A user was disabled, and all sessions ended.
    Disabled,
    /// A user has another scope.
    ScopeSet,
    /// A user has other claims.
    ClaimsSet,
    /// A user has another e-mail address, or none.
    EmailSet,
    /// A user has another password, and all sessions ended.
    PasswordSet,
    /// A second factor is required of a user, or no longer.
    MfaSet,
    /// All second factors of a user were removed, and all sessions ended.
    FactorsReset,
    /// A user was removed, and all sessions ended.
    Removed,
    /// One session was ended.
    SessionEnded,
    /// All sessions of a user were ended.
    SessionsEnded,
    /// A machine client was created.
    ClientCreated,
    /// A machine client has a second key or secret.
    ClientRotated,
    /// A machine client, or one of its two keys, was revoked.
    ClientRevoked,
}

/// Why a login failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFailure {
    /// No user has this name.
    UnknownUser,
    /// The name is an e-mail address that its user has not verified. It is no user's name.
    AddressNotVerified,
    /// The password is wrong.
    WrongPassword,
    /// The password is right, and the user is disabled.
    Disabled,
    /// The password or the status changed during the login.
    UserChanged,
    /// The stored hash cannot be checked.
    UnusableHash,
    /// The scope was never granted to this user and client.
    ScopeNotGranted,
    /// The password is right in the old system, for another user than the stored one, or under another name.
    OtherOldUser,
    /// The password is right in the old system, which asks for a second factor or another step.
    OldSecondFactor,
    /// The password is right in the old system, and it is a temporary one that the user must change there.
    OldTemporaryPassword,
    /// The user has not confirmed the account in the old system.
    OldUnconfirmed,
    /// The user must reset the password in the old system.
    OldResetRequired,
    /// A rule of the old system denies this user the login.
    OldDenied,
}

/// Why a request of a machine client was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientRefusal {
    /// The client may not have the scope.
    ScopeNotGranted,
    /// The client must send a DPoP proof.
    ProofRequired,
    /// Each assertion of the client is accepted once, and this one has no `jti`.
    NoJti,
    /// Each assertion of the client is accepted once, and this one was used.
    Replayed,
    /// The client may not ask about tokens.
    IntrospectionNotAllowed,
    /// The client is not authenticated.
    #[serde(untagged)]
    Unauthenticated(Unauthenticated),
}

/// What a user changed among the second factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorsChange {
    /// One-time codes were enrolled, or replaced former ones.
    TotpEnrolled,
    /// The one-time codes were removed.
    TotpRemoved,
    /// There are new recovery codes.
    RecoveryCodesReplaced,
    /// A passkey was added.
    PasskeyAdded,
    /// A passkey was removed.
    PasskeyRemoved,
}

/// Why the second step of a login was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FactorRefusal {
    /// The token of the first step, without a request to the store.
    Token(MfaTokenError),
    /// The factor or its user.
    Factor(FactorFault),
}

/// What is wrong with a factor that the right password, a live session or an authentic token comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorFault {
    /// The code is wrong.
    WrongCode,
    /// The one-time code was right, and was used before.
    UsedCode,
    /// Another login used the factor at the same time, or the user changed.
    Overtaken,
    /// The password, the status or the id of the user changed since the first step.
    UserChanged,
    /// The user has no such factor any more.
    NoFactor,
    /// The authenticator verified no person, and the request has no password.
    OneFactor,
    /// The stored secret cannot be decrypted.
    Unreadable,
    /// The scope was taken from the user or the client since the first step.
    ScopeNotGranted,
    /// The response of an authenticator is rejected.
    #[serde(untagged)]
    Passkey(Fault),
}

/// Why a change of the password was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordRefusal {
    /// The current password is wrong.
    WrongPassword,
    /// The stored hash cannot be checked.
    UnusableHash,
    /// The new password breaks a rule.
    NewPassword,
    /// The password or the status changed during the request.
    UserChanged,
    /// The user of the session was removed or disabled.
    NoUser,
}

/// Why a link, a code or a request handle was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum MailRefusal {
    /// The text itself, without a request to the store.
    Token(MailTokenError),
    /// Something about its mail.
    Mail(MailFault),
}

/// What is wrong with the mail of an authentic token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailFault {
    /// The token permits something else than the endpoint does.
    OtherPurpose,
    /// The code is wrong.
    WrongCode,
    /// No mail was sent, or it was used.
    Absent,
    /// What the mail permits was not written by the mailer of this deployment.
    ForgedSubject,
    /// The user has changed, or another user has the address.
    Outdated,
}

/// Why a request led to no mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailSkipped {
    /// No user has the address.
    UnknownUser,
    /// The user is disabled.
    Disabled,
    /// The user has not shown to read mail to the address.
    Unverified,
    /// An earlier mail to the address bounced or was marked as spam.
    Undeliverable,
    /// Another user has the address.
    Taken,
    /// The mail was sent before.
    Sent,
    /// The time of the request is over, or its mail was used.
    Expired,
    /// The client is not registered, or has no `account_url`.
    NoClient,
}

/// Why a refresh was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Refusal {
    /// The refresh token itself, without a request to the store.
    Token(RefreshTokenError),
    /// The session of the token.
    Session(DeadCause),
}

/// Why a revocation changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Ignored {
    /// The refresh token itself, without a request to the store.
    Token(RefreshTokenError),
    /// The access token itself, without a request to the store.
    AccessToken(Rejection),
    /// The session of the token.
    Session(DeadCause),
}

impl Record for Event {
    fn severity(&self) -> Severity {
        match self {
            Self::Failure { .. } | Self::MailGivenUp { .. } => Severity::Error,
            Self::OtherNetwork { .. }
            | Self::Reuse { .. }
            | Self::PasskeyCopied { .. }
            | Self::LoginThrottled { .. }
            | Self::MailThrottled { .. }
            | Self::MailRejected { .. }
            | Self::MailUndeliverable { .. }
            | Self::RecoveryCodeUsed { .. }
            | Self::FactorsChanged { .. }
            | Self::KeysCut { .. } => Severity::Warning,
            Self::LoginSucceeded { .. }
            | Self::LoginMigrated { .. }
            | Self::LoginFailed { .. }
            | Self::LoginMfaRequired { .. }
            | Self::LoginFactorRefused { .. }
            | Self::PasskeyRefused { .. }
            | Self::Rotated { .. }
            | Self::ClientTokenIssued { .. }
            | Self::ClientRefused { .. }
            | Self::Repeated { .. }
            | Self::RefreshRefused { .. }
            | Self::SessionEnded { .. }
            | Self::SessionsEnded { .. }
            | Self::SessionReplaced { .. }
            | Self::PasswordChanged { .. }
            | Self::PasswordRefused { .. }
            | Self::Reauthenticated { .. }
            | Self::ReauthenticationRefused { .. }
            | Self::MailRequested { .. }
            | Self::MailRefused { .. }
            | Self::MailSent { .. }
            | Self::MailSkipped { .. }
            | Self::UserCreated { .. }
            | Self::PasswordReset { .. }
            | Self::EmailChanged { .. }
            | Self::RevokeIgnored { .. }
            | Self::AuthorizeDenied { .. }
            | Self::AdminChanged { .. }
            | Self::KeysMade { .. }
            | Self::KeysLoaded { .. }
            | Self::KeysRotated { .. }
            | Self::RequestRefused { .. } => Severity::Info,
        }
    }
}
