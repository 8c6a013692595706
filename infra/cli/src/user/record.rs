//! A user on a line of a file: of Daypass, which export writes and import reads, or of another system.

use super::credentials::{self, Firebase};
use super::safeguards;
use super::spelling::{self, Spelled};
use super::system::System;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::account::{Email, Undeliverable, session_room};
use daypass_core::factor::Factors;
use daypass_core::factor::totp::Totp;
use daypass_core::ports::migration::MARKER;
use daypass_core::ports::store::{User, UserStatus};
use daypass_dynamodb::Origin;
use daypass_passwords::{Passwords, StoredHash, Typed};
use daypass_verifier::base::ids::{UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Number, Value};

/// A line as members. Members of CSV are strings or null.
pub(crate) type Row = Map<String, Value>;

/// Options of the parser.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) system: System,
    /// Member with the username, if it is not the usual one.
    pub(crate) name: Option<String>,
    /// Scope of users without one.
    pub(crate) scope: Scope,
    pub(crate) firebase: Option<Firebase>,
    /// Pepper id of each bcrypt hash.
    pub(crate) bcrypt_pepper: Option<String>,
}

/// A user of a file. The order of the members is that of exported lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    username: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    password_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<UserStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<EmailAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_undeliverable: Option<Undeliverable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<Claims>,
    /// Seconds since the epoch, with milliseconds as decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Number>,
    /// Change of the typed password. A line is identified without it, because earlier versions did not know it; an export
    /// writes it in front of the hash.
    #[serde(skip)]
    typed: Typed,
}

/// A line that can be stored.
pub(crate) struct Prepared {
    pub(crate) user: User,
    pub(crate) origin: Origin,
    /// `None` for a user whose password the old system checks.
    pub(crate) hash: Option<StoredHash>,
}

impl From<&User> for Record {
    fn from(user: &User) -> Self {
        Self {
            username: user.username.as_str().to_owned(),
            user_id: Some(user.id),
            password_hash: user.password_hash.clone(),
            password_version: Some(user.password_version),
            status: Some(user.status),
            scope: Some(user.scope.clone()),
            email: user.email.as_ref().map(|email| email.address.clone()),
            email_verified: user.email.as_ref().map(|email| email.verified),
            email_undeliverable: user.email.as_ref().and_then(|email| email.undeliverable),
            claims: (!user.claims.is_empty()).then(|| user.claims.clone()),
            created_at: seconds(user.created_at),
            updated_at: seconds(user.updated_at),
            typed: Typed::AsIs,
        }
    }
}

/// Members of Daypass' own lines.
const OURS: [&str; 12] = [
    "username",
    "user_id",
    "password_hash",
    "password_version",
    "status",
    "scope",
    "email",
    "email_verified",
    "email_undeliverable",
    "claims",
    "created_at",
    "updated_at",
];

impl Reading {
    /// The login name on a line, if it has one: for errors.
    pub(crate) fn name_on(&self, row: &Row) -> Option<String> {
        let name = self.members(row).username(self.system).ok()?;
        Some(Passwords::standard().username(&name).map_or(name, |name| name.as_str().to_owned()))
    }

    /// Members of a line. Django's `dumpdata` and Kratos nest some of them.
    pub(crate) fn members<'a>(&'a self, row: &'a Row) -> Members<'a> {
        let nested = |name: &str| row.get(name).and_then(Value::as_object);
        let (row, named) = match self.system {
            System::Django => (nested("fields").unwrap_or(row), None),
            System::Kratos => (row, nested("traits")),
            _ => (row, None),
        };
        Members { row, named: named.unwrap_or(row), name: self.name.as_deref() }
    }

    /// Parses a line.
    ///
    /// # Errors
    /// Why the line is rejected. The text does not quote the hash.
    pub(crate) fn record(&self, row: &Row, now: Timestamp) -> Result<Record, String> {
        let read = self.members(row);
        if self.system == System::Daypass {
            return self.ours(&read);
        }
        let username = self.username(&read)?;
        let user_id = if self.system == System::Cognito { Some(safeguards::cognito(read)?) } else { None };
        let spelled = self.hash(&read)?;
        let typed = self.system.typed(&spelled);
        let created_at = match self.system {
            System::Firebase => read.millis("createdAt")?,
            System::Keycloak => read.millis("createdTimestamp")?,
            _ => None,
        };
        let status = if safeguards::is_disabled(self.system, read, now)? {
            Some(UserStatus::Disabled)
        } else {
            self.system.names_enabled().then_some(UserStatus::Enabled)
        };
        // Other systems accept texts that are no address. The user is imported without it.
        let address = read.optional_text_of(self.system.members().email).unwrap_or_default();
        let email = address.and_then(|address| EmailAddress::parse(address).ok());
        let email_verified = email.as_ref().map(|email| safeguards::is_verified(self.system, read, email));
        Ok(Record {
            username,
            user_id,
            password_hash: spelled.hash,
            password_version: None,
            status,
            scope: None,
            email,
            email_verified,
            email_undeliverable: None,
            claims: None,
            created_at,
            updated_at: None,
            typed,
        })
    }

    /// The login name. In a Cognito pool whose users sign in with an address, the user name is the `sub`.
    fn username(&self, read: &Members<'_>) -> Result<String, String> {
        let username = read.username(self.system)?;
        if self.system != System::Cognito || read.optional_text("sub")? != Some(username.as_str()) {
            return Ok(username);
        }
        let address = read.optional_text("email")?.or(read.optional_text("phone_number")?);
        Ok(address.map_or(username, str::to_owned))
    }

    /// The hash of a line of another system.
    fn hash(&self, read: &Members<'_>) -> Result<Spelled, String> {
        let text = || read.text_of(self.system.members().hash);
        match self.system {
            System::Auth0 => match read.row.get("custom_password_hash").and_then(Value::as_object) {
                Some(custom) => credentials::auth0(custom),
                None => spelling::from_text(read.text_of(&["passwordHash", "password_hash"])?),
            },
            System::Clerk => credentials::clerk(read.optional_text("password_hasher")?, text()?),
            System::Firebase => {
                let firebase =
                    self.firebase.as_ref().ok_or("--firebase-signer names the key of the hashes")?;
                Ok(firebase.stored(text()?, read.optional_text("salt")?)?.into())
            }
            System::Fusionauth => {
                let factor = read.number("factor")?.map(|factor| factor.to_string());
                let scheme =
                    read.optional_text("encryption_scheme")?.ok_or("`encryption_scheme` is missing")?;
                let salt = read.optional_text("salt")?.unwrap_or_default();
                Ok(credentials::fusionauth(scheme, factor.as_deref(), salt, text()?)?.into())
            }
            System::Keycloak => {
                let all = read.row.get("credentials").and_then(Value::as_array);
                credentials::keycloak(all.map(Vec::as_slice).unwrap_or_default())
            }
            System::Cognito => Ok(MARKER.to_owned().into()),
            System::Kratos => credentials::kratos(read.row),
            _ => spelling::from_text(text()?),
        }
    }

    fn ours(&self, read: &Members<'_>) -> Result<Record, String> {
        let known =
            |name: &&String| !OURS.contains(&name.as_str()) && self.name.as_deref() != Some(name.as_str());
        if let Some(other) = read.row.keys().find(known) {
            return Err(format!(
                "{other:?} is not a member of a user; --system names the system of the file"
            ));
        }
        let user_id = match read.optional_text("user_id")? {
            None => None,
            Some(text) => Some(UserId::parse(text).ok_or("`user_id` is not usr_ and 32 hexadecimal digits")?),
        };
        let scope = match read.optional_text("scope")? {
            None => None,
            Some(text) => {
                let scope =
                    Scope::parse(text).map_err(|_| "`scope` is not words separated by single spaces")?;
                if scope.is_reserved() {
                    return Err(format!(
                        "`scope` has a word that begins with {}",
                        Scope::RESERVED.join(" or ")
                    ));
                }
                Some(scope)
            }
        };
        let status = match read.optional_text("status")? {
            None => None,
            Some("enabled") => Some(UserStatus::Enabled),
            Some("disabled") => Some(UserStatus::Disabled),
            Some(_) => return Err("`status` is neither enabled nor disabled".to_owned()),
        };
        let password_version = match read.number("password_version")? {
            None => None,
            Some(number) => Some(
                number
                    .to_string()
                    .parse()
                    .ok()
                    .filter(|version| *version > 0)
                    .ok_or("`password_version` is not a positive number")?,
            ),
        };
        let email = read.optional_text("email")?.map(EmailAddress::parse).transpose();
        let email = email.map_err(|error| format!("`email`: {error}"))?;
        let email_undeliverable = match read.optional_text("email_undeliverable")? {
            None => None,
            Some(cause) => Some(
                Undeliverable::parse(cause)
                    .ok_or("`email_undeliverable` is neither bounced nor complained")?,
            ),
        };
        let email_verified = read.flag("email_verified")?;
        if email.is_none() && (email_verified.is_some() || email_undeliverable.is_some()) {
            return Err("`email` is missing".to_owned());
        }
        let claims = match read.get("claims") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(members)) => Claims::new(members.clone()).map(Some),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Claims::parse(text).map(Some),
            Some(_) => return Err("`claims` is not an object".to_owned()),
        };
        let claims = claims.map_err(|error| format!("`claims`: {error}"))?;
        let username = read.username(self.system)?;
        let hash = read.text_of(self.system.members().hash)?;
        let Spelled { typed, hash } = match hash.trim() {
            MARKER => MARKER.to_owned().into(),
            hash => spelling::from_text(hash)?,
        };
        Ok(Record {
            username,
            user_id,
            password_hash: hash,
            typed,
            password_version,
            status,
            scope,
            email_verified: email.as_ref().map(|_| email_verified.unwrap_or(false)),
            email,
            email_undeliverable,
            claims: claims.filter(|claims| !claims.is_empty()),
            created_at: read.number("created_at")?,
            updated_at: read.number("updated_at")?,
        })
    }

    /// Converts a record into a user, without the app of the line, whose secret the caller encrypts.
    ///
    /// # Errors
    /// Why the user is rejected.
    pub(crate) fn prepare(
        &self,
        mut record: Record,
        app: Option<&Totp>,
        new_id: UserId,
        now: Timestamp,
    ) -> Result<Prepared, String> {
        let passwords = Passwords::standard();
        let username = passwords.new_username(&record.username).map_err(|refused| refused.to_string())?;
        if let Some(kid) = &self.bcrypt_pepper {
            if record.password_hash.starts_with("$2") {
                record.password_hash = format!("$bcrypt-pepper$k={kid}{}", record.password_hash);
            } else if record.password_hash.starts_with("$argon2") && !record.password_hash.contains("keyid=")
            {
                // devise-argon2 makes the pepper argon2's secret.
                return Err(
                    "the hash is argon2 with a pepper of another system, which Daypass does not check"
                        .to_owned(),
                );
            }
        }
        let password_hash = record.typed.stored(&record.password_hash);
        let hash = if password_hash == MARKER { None } else { Some(spelling::check(&password_hash)?) };
        record.username = username.as_str().to_owned();
        record.scope.get_or_insert_with(|| self.scope.clone());
        let line = match self.system {
            System::Daypass => serde_json::to_vec(&record),
            // A line is identified without the address, because earlier versions did not read it.
            _ => serde_json::to_vec(&Record { email: None, email_verified: None, ..record.clone() }),
        };
        let mut line = line.map_err(|error| error.to_string())?;
        // The secret is long and random, so its hash does not reveal it.
        line.extend(app.map(Totp::base32).unwrap_or_default().into_bytes());
        let time = |number: &Option<Number>, name: &str| match number {
            None => Ok(None),
            Some(number) => {
                timestamp(number).filter(|at| at.seconds() <= now.seconds() + 86_400).map(Some).ok_or_else(
                    || format!("`{name}` is not a time in seconds since the epoch, or is in the future"),
                )
            }
        };
        let created_at = time(&record.created_at, "created_at")?.unwrap_or(now);
        let updated_at = time(&record.updated_at, "updated_at")?.unwrap_or(now);
        let verified = record.email_verified.unwrap_or(false);
        let undeliverable = record.email_undeliverable;
        let email = record.email.map(|address| Email { address, verified, undeliverable });
        let user = User {
            username,
            id: record.user_id.unwrap_or(new_id),
            password_hash,
            password_version: record.password_version.unwrap_or(1),
            status: record.status.unwrap_or(UserStatus::Enabled),
            scope: record.scope.unwrap_or_default(),
            email,
            claims: record.claims.unwrap_or_default(),
            factors: Factors::default(),
            created_at,
            updated_at,
        };
        session_room(&user.username, &user.scope, &user.claims).map_err(|error| error.to_string())?;
        let origin = Origin { line: line_hash(&line), with_id: record.user_id.is_some() };
        Ok(Prepared { user, origin, hash })
    }
}

/// Hash that identifies a line in a later import.
fn line_hash(line: &[u8]) -> [u8; 16] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, line);
    let mut hash = [0; 16];
    hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// Seconds with milliseconds as decimals.
fn seconds(at: Timestamp) -> Option<Number> {
    Number::from_f64(at.millis() as f64 / 1000.0)
}

fn timestamp(number: &Number) -> Option<Timestamp> {
    let text = number.to_string();
    let (seconds, decimals) = text.split_once('.').unwrap_or((&text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let millis: u64 = format!("{decimals:0<3}").parse().ok()?;
    let seconds: u64 = seconds.parse().ok()?;
    Some(Timestamp::from_millis(seconds.checked_mul(1000)?.checked_add(millis)?))
}

/// Whether a value is neither missing nor false.
pub(super) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => {
            !matches!(text.to_ascii_lowercase().as_str(), "" | "0" | "f" | "false" | "no" | "n" | "[]" | "{}")
        }
        Value::Array(values) => !values.is_empty(),
        Value::Object(members) => members.values().any(is_set),
    }
}

/// Reads members. Case, `_` and blanks of a member's name do not matter. Errors name the member.
#[derive(Clone, Copy)]
pub(super) struct Members<'a> {
    pub(super) row: &'a Row,
    /// The object with the member that holds the login name.
    named: &'a Row,
    /// The member with the login name, of `--name`.
    name: Option<&'a str>,
}

impl<'a> Members<'a> {
    #[cfg(test)]
    pub(super) const fn of(row: &'a Row) -> Self {
        Self { row, named: row, name: None }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        find(self.row, name)
    }

    pub(super) fn optional_text(&self, name: &str) -> Result<Option<&'a str>, String> {
        text(self.row, name)
    }

    /// The first member that is present.
    fn text_of(&self, names: &[&str]) -> Result<&'a str, String> {
        self.optional_text_of(names)?.ok_or_else(|| "the user has no password".to_owned())
    }

    /// The first member that is present, if there is one. The login name can be in an object of its own.
    fn optional_text_of(&self, names: &[&str]) -> Result<Option<&'a str>, String> {
        for name in names {
            if let Some(found) = text(self.row, name)?.or(text(self.named, name)?) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn username(&self, system: System) -> Result<String, String> {
        let usual = system.members().name;
        let names = self.name.as_ref().map_or(usual, std::slice::from_ref);
        for name in names {
            if let Some(text) = text(self.named, name)?.or(text(self.row, name)?) {
                return Ok(text.to_owned());
            }
        }
        Err(format!("`{}` is missing", names.join("` or `")))
    }

    /// Whether a member has a value: neither null nor an empty text or list.
    pub(super) fn is_filled(&self, name: &str) -> bool {
        match self.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty() && !text.starts_with("0000-00-00"),
            Some(Value::Array(values)) => !values.is_empty(),
            Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => true,
        }
    }

    /// A boolean in the forms of databases.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
                "" => Ok(None),
                "true" | "t" | "1" | "yes" | "y" | "\u{1}" | "b'1'" | "0x01" => Ok(Some(true)),
                "false" | "f" | "0" | "no" | "n" | "\0" | "b'0'" | "0x00" => Ok(Some(false)),
                _ => Err(format!("`{name}` is neither true nor false")),
            },
            Some(Value::Number(number)) if number.as_u64() == Some(1) => Ok(Some(true)),
            Some(Value::Number(number)) if number.as_u64() == Some(0) => Ok(Some(false)),
            Some(_) => Err(format!("`{name}` is neither true nor false")),
        }
    }

    fn number(&self, name: &str) -> Result<Option<Number>, String> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number.clone())),
            Some(Value::String(text)) => {
                serde_json::from_str(text).map(Some).map_err(|_| format!("`{name}` is not a number"))
            }
            Some(_) => Err(format!("`{name}` is not a number")),
        }
    }

    /// Reads milliseconds since the epoch.
    fn millis(&self, name: &str) -> Result<Option<Number>, String> {
        let Some(number) = self.number(name)? else { return Ok(None) };
        let millis = number.as_u64().ok_or_else(|| format!("`{name}` is not a number of milliseconds"))?;
        Ok(seconds(Timestamp::from_millis(millis)))
    }
}

/// A member by its name, or by the spelling of its name in another database.
pub(super) fn find<'a>(row: &'a Row, name: &str) -> Option<&'a Value> {
    row.get(name).or_else(|| row.iter().find(|(other, _)| is_same(other, name)).map(|(_, value)| value))
}

/// Whether two names differ only in case, `_` and blanks.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    let folded = |name: &str| -> String {
        name.chars().filter(|c| !matches!(c, '_' | ' ')).map(|c| c.to_ascii_lowercase()).collect()
    };
    folded(a) == folded(b)
}

fn text<'a>(row: &'a Row, name: &str) -> Result<Option<&'a str>, String> {
    match find(row, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{name}` is not a string")),
    }
}

/// Normalises an existing username.
pub(crate) fn existing_name(text: &str) -> Result<Username, String> {
    Passwords::standard().username(text).map_err(|error| error.to_string())
}
