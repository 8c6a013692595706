//! The ports to the outbox, to the accounts that mails change, and to the service that sends mails.
//!
//! An endpoint that wants a mail writes one item into the outbox and knows nothing of the user. The stream of the table starts
//! the mailer. It decides which mail that is, writes into the item what the mail permits (its subject), and sends the mail.

use crate::account::Undeliverable;
use crate::account::address::EmailAddress;
use crate::account::claims::Claims;
use crate::ports::store::{AddressOwner, AddressStore, AttemptStore, StoreError, User, UserStore};
use crate::secret::SecretString;
use crate::token::mail::{OutboxId, Purpose};
use data_encoding::BASE64;
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// The language of a mail: a primary subtag of BCP 47 in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Language(String);

impl Language {
    /// Longest tag as a request names it, in bytes (RFC 5646 §4.4.1).
    const MAX_BYTES: usize = 35;

    /// Parses a language tag such as `de` or `de-CH`, of which the first subtag counts. `None` for any other text.
    #[must_use]
    pub fn parse(tag: &str) -> Option<Self> {
        let of_tag = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let primary = tag.split('-').next()?;
        let valid = (2..=3).contains(&primary.len()) && primary.bytes().all(|b| b.is_ascii_alphabetic());
        let valid = valid && tag.len() <= Self::MAX_BYTES && tag.bytes().all(of_tag);
        valid.then(|| Self(primary.to_ascii_lowercase()))
    }

    /// The subtag, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Language {
    /// English, for requests without a language.
    fn default() -> Self {
        Self("en".to_owned())
    }
}

/// Why a mail is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occasion {
    /// A request asked for a user with this address.
    SignUp,
    /// The user of the address forgot the password.
    Recovery,
    /// A signed-in user wants this address.
    Change {
        /// The name of the user.
        username: Username,
        /// The id of the user.
        user: UserId,
        /// The version of the password that the request presented.
        password_version: u32,
        /// The address that the user has until the change.
        old: Option<EmailAddress>,
    },
    /// An operator invites the reader.
    Invitation {
        /// The scope of the new user.
        scope: Scope,
        /// The claims of the new user.
        claims: Claims,
    },
    /// The user who had this address has another one now.
    Changed,
    /// The second factors of the user of the address changed.
    Factors(FactorNotice),
}

/// What changed among the second factors of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorNotice {
    /// One-time codes were enrolled.
    Enrolled,
    /// One-time codes were removed.
    Removed,
    /// There are new recovery codes.
    RecoveryCodes,
    /// A passkey was added.
    PasskeyAdded,
    /// A passkey was removed.
    PasskeyRemoved,
    /// An operator removed all second factors.
    Reset,
}

impl FactorNotice {
    const ALL: [Self; 6] = [
        Self::Enrolled,
        Self::Removed,
        Self::RecoveryCodes,
        Self::PasskeyAdded,
        Self::PasskeyRemoved,
        Self::Reset,
    ];

    /// The text of the mail.
    #[must_use]
    pub const fn kind(self) -> MailKind {
        match self {
            Self::Enrolled => MailKind::FactorEnrolled,
            Self::Removed => MailKind::FactorRemoved,
            Self::RecoveryCodes => MailKind::RecoveryCodes,
            Self::PasskeyAdded => MailKind::PasskeyAdded,
            Self::PasskeyRemoved => MailKind::PasskeyRemoved,
            Self::Reset => MailKind::FactorsReset,
        }
    }

    /// Reads the stored form, which is the name of the mail; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.kind().as_str() == text)
    }
}

/// Time in which a notice is sent.
pub const NOTICE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

impl Occasion {
    /// What the mail permits its reader; `None` for a notice.
    #[must_use]
    pub const fn purpose(&self) -> Option<Purpose> {
        match self {
            Self::SignUp => Some(Purpose::SignUp),
            Self::Recovery => Some(Purpose::Reset),
            Self::Change { .. } => Some(Purpose::Address),
            Self::Invitation { .. } => Some(Purpose::Invitation),
            Self::Changed | Self::Factors(_) => None,
        }
    }
}

/// A request for a mail: a new item of the outbox.
#[derive(Clone, PartialEq, Eq)]
pub struct MailRequest {
    /// The id, which the link and the handle contain.
    pub id: OutboxId,
    /// Why the mail is wanted.
    pub occasion: Occasion,
    /// The address of the recipient.
    pub address: EmailAddress,
    /// The client, whose `account_url` the link begins with.
    pub client: ClientId,
    /// The language of the mail.
    pub language: Language,
    /// The time of the request.
    pub at: Timestamp,
    /// The time from which no mail is sent and the link is invalid, in whole seconds.
    pub expires_at: Timestamp,
}

impl fmt::Debug for MailRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailRequest({})", self.id)
    }
}

/// What a mail permits, as its item holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedSubject {
    /// The subject as JSON.
    pub subject: String,
    /// Its MAC, by [`MailKeys::sign_subject`](crate::token::mail::MailKeys::sign_subject).
    pub mac: Vec<u8>,
}

impl fmt::Debug for SignedSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedSubject(..)")
    }
}

/// The outbox, as the endpoints that want a mail use it.
pub trait Outbox: Send + Sync {
    /// Writes the item. One request, and the same for every address. Safe to repeat.
    fn request_mail(&self, request: &MailRequest) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Outbox and users, as the confirmation of a mail uses them. Every verb is safe to repeat, and none reads a user.
pub trait AccountStore: Outbox + AttemptStore {
    /// What a mail permits; strongly consistent. `None` without the item, and before its mail.
    fn subject(&self, id: OutboxId)
    -> impl Future<Output = Result<Option<SignedSubject>, StoreError>> + Send;

    /// Creates a user and uses the mail up, in one transaction. Returns `false`, and changes nothing, if the mail was used or
    /// another user has the address, as address or as name.
    fn create_account(&self, new: &NewAccount<'_>) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Stores the hash of a new password with one conditional write, which raises the password version.
    fn reset_password(
        &self,
        reset: &PasswordReset<'_>,
    ) -> impl Future<Output = Result<Reset, StoreError>> + Send;

    /// Gives a user another address, asks for the notice to the old one and uses the mail up, in one transaction. Returns
    /// `false`, and changes nothing, if the mail was used, the user has another address or password by now or is disabled, or
    /// another user has the address.
    fn change_address(
        &self,
        change: &AddressChange<'_>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// A user whom a mail creates.
#[derive(Debug)]
pub struct NewAccount<'a> {
    /// The user, with a verified address.
    pub user: &'a User,
    /// The mail that permits it.
    pub mail: OutboxId,
}

/// A new password after a recovery.
#[derive(Debug)]
pub struct PasswordReset<'a> {
    /// The name of the user.
    pub username: &'a Username,
    /// The id of the user.
    pub user: UserId,
    /// The version of the password that the mail replaces.
    pub password_version: u32,
    /// The address that the mail went to.
    pub email: &'a EmailAddress,
    /// The hash of the new password. Its random salt identifies this write when the response was lost.
    pub hash: &'a str,
    /// The mail that permits it, in the place of the session that changed the password.
    pub by: SessionId,
    /// The time of the change.
    pub now: Timestamp,
}

/// The result of [`AccountStore::reset_password`]. Only the first case writes.
#[derive(Clone, PartialEq, Eq)]
pub enum Reset {
    /// The password is new.
    Now,
    /// This mail set the password before, at this time. The stored hash.
    Before(String, Timestamp),
    /// The user was removed or disabled, or has another password or address since the mail.
    Refused,
}

/// Another address of a user.
#[derive(Debug)]
pub struct AddressChange<'a> {
    /// The name of the user.
    pub username: &'a Username,
    /// The id of the user.
    pub user: UserId,
    /// The version of the password that the request presented.
    pub password_version: u32,
    /// The address until now.
    pub old: Option<&'a EmailAddress>,
    /// The address from now on, verified.
    pub new: &'a EmailAddress,
    /// The mail that permits it.
    pub mail: OutboxId,
    /// The request for the notice to the old address.
    pub notice: Option<&'a MailRequest>,
    /// The time of the change.
    pub now: Timestamp,
}

/// Outbox and users, as the mailer uses them. Every verb is safe to repeat. `attempt` is new for each attempt to send.
pub trait MailerStore: AddressStore + UserStore {
    /// Writes the subject into the item, unless an earlier attempt has, and counts an attempt to send its mail, of which
    /// [`MAX_TRIES`] are possible.
    fn begin_mail(
        &self,
        id: OutboxId,
        subject: Option<&SignedSubject>,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<Begin, StoreError>> + Send;

    /// Records that the mail was sent.
    fn end_mail(&self, id: OutboxId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Gives an attempt back, whose mail was certainly not sent.
    fn return_try(
        &self,
        id: OutboxId,
        attempt: AttemptId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Marks the address of a user, unless the user has another one by now. Returns whether it is marked.
    fn mark_undeliverable(
        &self,
        owner: &AddressOwner,
        address: &EmailAddress,
        cause: Undeliverable,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Most attempts to send one mail whose outcome is unknown: a second one can make a second mail.
pub const MAX_TRIES: u32 = 2;

/// The result of [`MailerStore::begin_mail`]. Only the first case writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// The mail may be sent.
    Go,
    /// It was sent before.
    Sent,
    /// All attempts are used up, and nothing is known of the last one.
    UsedUp,
    /// There is no such item: its mail was used, or its time is over.
    Absent,
}

/// A text of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailKind {
    /// Confirms a sign-up.
    SignUp,
    /// Answers a sign-up with the address of a user.
    SignUpExisting,
    /// Permits another password.
    Reset,
    /// Confirms another address.
    Email,
    /// Tells the old address of a change.
    EmailChanged,
    /// Invites the reader.
    Invitation,
    /// Tells of enrolled one-time codes.
    FactorEnrolled,
    /// Tells of removed one-time codes.
    FactorRemoved,
    /// Tells of new recovery codes.
    RecoveryCodes,
    /// Tells of a new passkey.
    PasskeyAdded,
    /// Tells of a removed passkey.
    PasskeyRemoved,
    /// Tells that an operator removed all second factors.
    FactorsReset,
}

impl MailKind {
    /// All kinds of mails.
    pub const ALL: [Self; 12] = [
        Self::SignUp,
        Self::SignUpExisting,
        Self::Reset,
        Self::Email,
        Self::EmailChanged,
        Self::Invitation,
        Self::FactorEnrolled,
        Self::FactorRemoved,
        Self::RecoveryCodes,
        Self::PasskeyAdded,
        Self::PasskeyRemoved,
        Self::FactorsReset,
    ];

    /// The name, as templates and tags have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignUp => "sign-up",
            Self::SignUpExisting => "sign-up-existing",
            Self::Reset => "reset",
            Self::Email => "email",
            Self::EmailChanged => "email-changed",
            Self::Invitation => "invitation",
            Self::FactorEnrolled => "factor-enrolled",
            Self::FactorRemoved => "factor-removed",
            Self::RecoveryCodes => "recovery-codes",
            Self::PasskeyAdded => "passkey-added",
            Self::PasskeyRemoved => "passkey-removed",
            Self::FactorsReset => "factors-reset",
        }
    }
}

/// A mail, without its texts.
#[derive(Debug)]
pub struct Mail {
    /// Decides on the text.
    pub kind: MailKind,
    /// The address of the recipient.
    pub to: EmailAddress,
    /// The language of the text.
    pub language: Language,
    /// The team's page, or the page with a token behind `#`; `None` for a notice of a client without a page.
    pub link: Option<SecretString>,
    /// The code for another device, if the mail permits something.
    pub code: Option<SecretString>,
    /// The hours for which link and code are valid.
    pub hours: u64,
}

/// The service that sends mails.
pub trait MailSender: Send + Sync {
    /// Sends a mail once.
    fn send(&self, mail: &Mail) -> impl Future<Output = Result<(), SendError>> + Send;
}

/// Why a mail was not sent, or perhaps not. The texts are for the log. They name no recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It was not sent as far as the service or the network reports, and can be sent later: a quota, a pause, an error, no connection,
    /// or a wrong configuration.
    #[error("{0}")]
    NotNow(String),
    /// It was not sent, and never will be: the service rejects this recipient or text.
    #[error("{0}")]
    Rejected(String),
    /// It is unknown whether it was sent: the service did not answer, or a proxy answered in its place.
    #[error("{0}")]
    Unknown(String),
}

/// The sender of all mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    name: String,
    address: EmailAddress,
}

impl Sender {
    /// Longest name in bytes. Its encoded form is one encoded-word, which has at most 75 characters (RFC 2047 §2).
    const MAX_NAME_BYTES: usize = 45;

    /// Longest text in bytes. The document of settings has to hold it.
    const MAX_BYTES: usize = 120;

    /// Parses `Name <address>`. The texts of the mails name the service by the name.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > Self::MAX_BYTES {
            return Err(format!("is longer than {} bytes", Self::MAX_BYTES));
        }
        let parts = text.strip_suffix('>').and_then(|text| text.split_once(" <"));
        let (name, address) = parts.ok_or("is not of the form `Name <address>`")?;
        let address =
            EmailAddress::parse(address).map_err(|error| format!("has no usable address: {error}"))?;
        let is_plain = |c: char| !c.is_control() && !"\"\\<>".contains(c);
        if name.trim().is_empty() || name.len() > Self::MAX_NAME_BYTES || !name.chars().all(is_plain) {
            return Err(format!(
                "has a name that is empty, longer than {} bytes, or with quotes or backslashes",
                Self::MAX_NAME_BYTES
            ));
        }
        Ok(Self { name: name.trim().to_owned(), address })
    }

    /// The name of the service.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of the header `From` (RFC 5322 §3.6.2), in ASCII.
    #[must_use]
    pub fn header(&self) -> String {
        let Self { name, address } = self;
        if name.is_ascii() {
            return format!("\"{name}\" <{address}>");
        }
        format!("=?UTF-8?B?{}?= <{address}>", BASE64.encode(name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_a_name_and_an_address() {
        let header = |text: &str| Sender::parse(text).map(|sender| sender.header());
        assert_eq!(header("Acme <no-reply@acme.example>").as_deref(), Ok("\"Acme\" <no-reply@acme.example>"));
        assert_eq!(header("Acme, Inc. <A@acme.example>").as_deref(), Ok("\"Acme, Inc.\" <a@acme.example>"));
        assert_eq!(header("Käse <a@b.example>").as_deref(), Ok("=?UTF-8?B?S8Okc2U=?= <a@b.example>"));
        let longest = format!("{} <a@b.example>", "ü".repeat(22));
        assert!(header(&longest).unwrap().split(' ').next().unwrap().len() <= 75);
        for bad in [
            "",
            "a@b.example",
            "<a@b.example>",
            " <a@b.example>",
            "A <a@b>",
            "A <a@b.example> ",
            "A\r\nBcc: x <a@b.example>",
            "A\"B <a@b.example>",
            "A <a@b.example>, B <c@d.example>",
            &format!("{} <a@b.example>", "x".repeat(46)),
        ] {
            assert!(header(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_subtag_is_the_language() {
        for (tag, language) in
            [("de", Some("de")), ("DE-ch", Some("de")), ("en-US-x-a", Some("en")), ("gsw", Some("gsw"))]
        {
            assert_eq!(Language::parse(tag).as_ref().map(Language::as_str), language);
        }
        for odd in ["", "d", "deutsch", "d1", "de_CH", "de ", "-de", &format!("de-{}", "x".repeat(40))] {
            assert_eq!(Language::parse(odd), None, "{odd}");
        }
    }
}
