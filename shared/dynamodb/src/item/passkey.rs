//! Items of passkeys, in the users table.

use super::{CREATED_AT, ID, Item, NAME, OWNER, Reader, USERNAME, binary, number, precise, text};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::passkey::key::PublicKey;
use daypass_core::passkey::{Credential, PasskeyId};
use daypass_core::ports::passkey::Passkey;
use daypass_core::ports::store::StoreError;
use daypass_verifier::base::ids::{UserId, Username};

// Attributes of a passkey. It also has `username`, its key, `owner`, the name of its user, `id`, `name`, and `created_at`.
pub(crate) const CREDENTIAL: &str = "credential";
pub(crate) const PUBLIC_KEY: &str = "public_key";
pub(crate) const SIGN_COUNT: &str = "sign_count";
pub(crate) const BACKUP_ELIGIBLE: &str = "backup_eligible";
pub(crate) const BACKED_UP: &str = "backed_up";
pub(crate) const VERIFIES_USER: &str = "verifies_user";
pub(crate) const USED_AT: &str = "used_at";

/// The key of a passkey. No user name has a space (RFC 8265 section 3.3).
pub(crate) fn passkey_key(id: PasskeyId) -> Item {
    Item::from([(USERNAME.to_owned(), text(format!("passkey {id}")))])
}

/// The item of a passkey.
pub(crate) fn from_passkey(passkey: &Passkey) -> Item {
    let credential = &passkey.credential;
    let mut item = passkey_key(credential.passkey_id());
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put(OWNER, text(passkey.username.as_str()));
    put(ID, text(credential.user.to_string()));
    put(CREDENTIAL, binary(&credential.id));
    put(PUBLIC_KEY, binary(credential.public_key.as_bytes()));
    put(SIGN_COUNT, number(credential.sign_count));
    put(BACKUP_ELIGIBLE, AttributeValue::Bool(credential.backup_eligible));
    put(BACKED_UP, AttributeValue::Bool(credential.backed_up));
    put(VERIFIES_USER, AttributeValue::Bool(credential.verifies_user));
    put(NAME, text(&passkey.name));
    put(CREATED_AT, precise(passkey.created_at));
    if let Some(at) = passkey.used_at {
        put(USED_AT, precise(at));
    }
    item
}

/// Reads a passkey.
pub(crate) fn to_passkey(item: &Item) -> Result<Passkey, StoreError> {
    let read = Reader { table: "users", item };
    Ok(Passkey {
        credential: Credential {
            id: read.bytes(CREDENTIAL, |bytes| Some(bytes.to_vec()))?,
            user: read.parsed(ID, UserId::parse)?,
            public_key: read.bytes(PUBLIC_KEY, PublicKey::from_bytes)?,
            sign_count: read.number(SIGN_COUNT)?,
            backup_eligible: read.flag(BACKUP_ELIGIBLE)?,
            backed_up: read.flag(BACKED_UP)?,
            verifies_user: read.flag(VERIFIES_USER)?,
        },
        username: read.parsed(OWNER, |name| Username::from_normalised(name.to_owned()))?,
        name: read.text(NAME)?.to_owned(),
        created_at: read.time(CREATED_AT)?,
        used_at: read.optional(USED_AT, Reader::time)?,
    })
}
