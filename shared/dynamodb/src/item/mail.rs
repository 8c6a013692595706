//! Conversion of requests for mails to items of the outbox and back.

use super::{
    CLAIMS, CLIENT, EXPIRES_AT, ID, Item, PASSWORD_VERSION, Reader, SCOPE, USER, USERNAME, number, precise,
    seconds, text,
};
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::ports::mail::{FactorNotice, Language, MailRequest, Occasion, SignedSubject};
use daypass_core::ports::store::StoreError;
use daypass_core::token::mail::OutboxId;
use daypass_verifier::base::ids::{ClientId, UserId, Username};
use daypass_verifier::base::scope::Scope;

// Attributes of a request for a mail. It also has `id`, its key, `client`, `expires_at`, and for some purposes `username`,
// `user`, `password_version`, `scope` and `claims`.
const ADDRESS: &str = "address";
const AT: &str = "at";
const LANGUAGE: &str = "language";
const OLD: &str = "old";
const PURPOSE: &str = "purpose";
pub(crate) const SUBJECT: &str = "subject";
pub(crate) const SUBJECT_MAC: &str = "subject_mac";

/// The key of an item of the outbox.
pub(crate) fn outbox_key(id: OutboxId) -> Item {
    Item::from([(ID.to_owned(), text(id.to_string()))])
}

/// The item of a request for a mail. All attributes are texts or numbers, which the records of a stream show as they are.
pub(crate) fn from_mail_request(request: &MailRequest) -> Item {
    let mut item = outbox_key(request.id);
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put(ADDRESS, text(request.address.as_str()));
    put(CLIENT, text(request.client.as_str()));
    put(LANGUAGE, text(request.language.as_str()));
    put(AT, precise(request.at));
    put(EXPIRES_AT, seconds(request.expires_at));
    let purpose = match &request.occasion {
        Occasion::SignUp => "sign_up",
        Occasion::Recovery => "reset",
        Occasion::Change { username, user, password_version, old } => {
            put(USERNAME, text(username.as_str()));
            put(USER, text(user.to_string()));
            put(PASSWORD_VERSION, number(*password_version));
            if let Some(old) = old {
                put(OLD, text(old.as_str()));
            }
            "address"
        }
        Occasion::Invitation { scope, claims } => {
            put(SCOPE, text(scope.to_string()));
            put(CLAIMS, text(claims.to_string()));
            "invitation"
        }
        Occasion::Changed => "changed",
        Occasion::Factors(notice) => notice.kind().as_str(),
    };
    put(PURPOSE, text(purpose));
    item
}

/// Reads a request for a mail.
pub(crate) fn to_mail_request(item: &Item) -> Result<MailRequest, StoreError> {
    let read = Reader { table: "outbox", item };
    let address = |name: &str| read.parsed(name, |text| EmailAddress::parse(text).ok());
    let occasion = match read.text(PURPOSE)? {
        "sign_up" => Occasion::SignUp,
        "reset" => Occasion::Recovery,
        "address" => Occasion::Change {
            username: read.parsed(USERNAME, |name| Username::from_normalised(name.to_owned()))?,
            user: read.parsed(USER, UserId::parse)?,
            password_version: read.number(PASSWORD_VERSION)?,
            old: read.optional(OLD, |_, name| address(name))?,
        },
        "invitation" => Occasion::Invitation {
            scope: read.parsed(SCOPE, |text| Scope::parse(text).ok())?,
            claims: read.parsed(CLAIMS, |text| Claims::parse(text).ok())?,
        },
        "changed" => Occasion::Changed,
        other => match FactorNotice::parse(other) {
            Some(notice) => Occasion::Factors(notice),
            None => return Err(read.odd(PURPOSE)),
        },
    };
    Ok(MailRequest {
        id: read.parsed(ID, OutboxId::parse)?,
        occasion,
        address: address(ADDRESS)?,
        client: read.parsed(CLIENT, ClientId::parse)?,
        language: read.parsed(LANGUAGE, Language::parse)?,
        at: read.time(AT)?,
        expires_at: read.time(EXPIRES_AT)?,
    })
}

/// Reads what the mail of an item of the outbox permits. `None` before the mailer has written it.
pub(crate) fn to_subject(item: &Item) -> Result<Option<SignedSubject>, StoreError> {
    let read = Reader { table: "outbox", item };
    let Some(subject) = read.optional(SUBJECT, Reader::text)? else { return Ok(None) };
    let mac = read.bytes(SUBJECT_MAC, |bytes| Some(bytes.to_vec()))?;
    Ok(Some(SignedSubject { subject: subject.to_owned(), mac }))
}
