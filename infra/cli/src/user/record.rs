//! A user on a line of a file: of Daypass, which export writes and import reads, or of another system.

use super::spelling::{self, Firebase};
use clap::ValueEnum;
use daypass_core::ports::store::{User, UserStatus};
use daypass_dynamodb::Origin;
use daypass_passwords::{Passwords, StoredHash};
use daypass_verifier::base::ids::{UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Number, Value};

/// A line as members. Members of CSV are strings or null.
pub(crate) type Row = Map<String, Value>;

/// System that wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    /// `daypass user export`, or your own table with the same names
    Daypass,
    /// Auth0's export with password hashes
    Auth0,
    /// Devise: the users table of a Rails application
    Devise,
    /// Django: the table auth_user, or `dumpdata`
    Django,
    /// `firebase auth:export`; needs --firebase-signer
    Firebase,
    /// Keycloak: the users of an exported realm
    Keycloak,
    /// `WordPress`: the table wp_users
    Wordpress,
}

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
    /// Seconds since the epoch, with milliseconds as decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Number>,
}

/// A line that can be stored.
pub(crate) struct Prepared {
    pub(crate) user: User,
    pub(crate) origin: Origin,
    pub(crate) hash: StoredHash,
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
            created_at: seconds(user.created_at),
            updated_at: seconds(user.updated_at),
        }
    }
}

/// Members of Daypass' own lines.
const OURS: [&str; 8] = [
    "username",
    "user_id",
    "password_hash",
    "password_version",
    "status",
    "scope",
    "created_at",
    "updated_at",
];

impl Reading {
    /// Parses a line.
    ///
    /// # Errors
    /// Why the line is rejected. The text does not quote the hash.
    pub(crate) fn record(&self, row: &Row) -> Result<Record, String> {
        let read = Members { row, name: self.name.as_deref() };
        let record = match self.system {
            System::Daypass => return self.ours(&read),
            System::Auth0 => Record {
                username: read.username(&["email", "username"])?,
                password_hash: match row.get("custom_password_hash").and_then(Value::as_object) {
                    Some(custom) => spelling::auth0(custom)?,
                    None => spelling::from_text(read.text_of(&["passwordHash", "password_hash"])?)?,
                },
                status: Some(status(read.flag("blocked")?.unwrap_or(false))),
                ..Record::bare()
            },
            System::Devise => Record {
                username: read.username(&["email"])?,
                password_hash: spelling::from_text(read.text_of(&["encrypted_password"])?)?,
                status: disabled(read.is_filled("locked_at")),
                ..Record::bare()
            },
            System::Django => {
                // `dumpdata` nests the members.
                let fields = row.get("fields").and_then(Value::as_object).unwrap_or(row);
                let read = Members { row: fields, ..read };
                Record {
                    username: read.username(&["username"])?,
                    password_hash: spelling::from_text(read.text_of(&["password"])?)?,
                    status: Some(status(!read.flag("is_active")?.unwrap_or(true))),
                    ..Record::bare()
                }
            }
            System::Firebase => {
                let username = read.username(&["email"])?;
                let firebase =
                    self.firebase.as_ref().ok_or("--firebase-signer names the key of the hashes")?;
                Record {
                    username,
                    password_hash: firebase
                        .stored(read.text_of(&["passwordHash"])?, read.text_of(&["salt"])?)?,
                    status: Some(status(read.flag("disabled")?.unwrap_or(false))),
                    created_at: read.millis("createdAt")?,
                    ..Record::bare()
                }
            }
            System::Keycloak => Record {
                username: read.username(&["username"])?,
                password_hash: spelling::keycloak(
                    row.get("credentials").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default(),
                )?,
                status: Some(status(!read.flag("enabled")?.unwrap_or(true))),
                created_at: read.millis("createdTimestamp")?,
                ..Record::bare()
            },
            System::Wordpress => Record {
                username: read.username(&["user_login"])?,
                password_hash: spelling::from_text(read.text_of(&["user_pass"])?)?,
                status: disabled(read.flag("spam")? == Some(true) || read.flag("deleted")? == Some(true)),
                ..Record::bare()
            },
        };
        Ok(record)
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
                    return Err(format!("`scope` has a word that begins with {}", Scope::RESERVED));
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
        Ok(Record {
            username: read.username(&["username"])?,
            user_id,
            password_hash: spelling::from_text(read.text_of(&["password_hash"])?)?,
            password_version,
            status,
            scope,
            created_at: read.number("created_at")?,
            updated_at: read.number("updated_at")?,
        })
    }

    /// Converts a record into a user.
    ///
    /// # Errors
    /// Why the user is rejected.
    pub(crate) fn prepare(
        &self,
        mut record: Record,
        new_id: UserId,
        now: Timestamp,
    ) -> Result<Prepared, String> {
        let passwords = Passwords::standard();
        let username = passwords.new_username(&record.username).map_err(|refused| refused.to_string())?;
        if let Some(kid) = &self.bcrypt_pepper
            && record.password_hash.starts_with("$2")
        {
            record.password_hash = format!("$bcrypt-pepper$k={kid}{}", record.password_hash);
        }
        let hash = spelling::check(&record.password_hash)?;
        record.username = username.as_str().to_owned();
        record.scope.get_or_insert_with(|| self.scope.clone());
        let line = serde_json::to_vec(&record).map_err(|error| error.to_string())?;
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
        let user = User {
            username,
            id: record.user_id.unwrap_or(new_id),
            password_hash: record.password_hash,
            password_version: record.password_version.unwrap_or(1),
            status: record.status.unwrap_or(UserStatus::Enabled),
            scope: record.scope.unwrap_or_default(),
            created_at,
            updated_at,
        };
        let origin = Origin { line: line_hash(&line), with_id: record.user_id.is_some() };
        Ok(Prepared { user, origin, hash })
    }
}

impl Record {
    /// A record without optional members.
    const fn bare() -> Self {
        Self {
            username: String::new(),
            user_id: None,
            password_hash: String::new(),
            password_version: None,
            status: None,
            scope: None,
            created_at: None,
            updated_at: None,
        }
    }
}

/// Hash that identifies a line in a later import.
fn line_hash(line: &[u8]) -> [u8; 16] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, line);
    let mut hash = [0; 16];
    hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

const fn status(disabled: bool) -> UserStatus {
    if disabled { UserStatus::Disabled } else { UserStatus::Enabled }
}

/// `None` for an enabled user keeps the hash of a line that an earlier version imported.
fn disabled(disabled: bool) -> Option<UserStatus> {
    disabled.then_some(UserStatus::Disabled)
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

/// Reads members. Errors name the member.
#[derive(Clone, Copy)]
pub(super) struct Members<'a> {
    pub(super) row: &'a Row,
    /// The member with the login name, of `--name`.
    pub(super) name: Option<&'a str>,
}

impl<'a> Members<'a> {
    fn optional_text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.row.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` is not a string")),
        }
    }

    /// The first member that is present.
    fn text_of(&self, names: &[&str]) -> Result<&'a str, String> {
        for name in names {
            if let Some(text) = self.optional_text(name)? {
                return Ok(text);
            }
        }
        match names {
            ["username" | "email" | "user_login", ..] => {
                Err(format!("`{}` is missing", names.join("` or `")))
            }
            _ => Err("the user has no password".to_owned()),
        }
    }

    fn username(&self, usual: &[&str]) -> Result<String, String> {
        let text = match self.name {
            None => self.text_of(usual)?,
            Some(name) => self.optional_text(name)?.ok_or_else(|| format!("`{name}` is missing"))?,
        };
        Ok(text.to_owned())
    }

    /// Whether a member has a value: neither null nor an empty text or list.
    pub(super) fn is_filled(&self, name: &str) -> bool {
        match self.row.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(values)) => !values.is_empty(),
            Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => true,
        }
    }

    /// A boolean in the forms of databases.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        match self.row.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "1" | "yes" => Ok(Some(true)),
                "false" | "f" | "0" | "no" => Ok(Some(false)),
                _ => Err(format!("`{name}` is neither true nor false")),
            },
            Some(Value::Number(number)) if number.as_u64() == Some(1) => Ok(Some(true)),
            Some(Value::Number(number)) if number.as_u64() == Some(0) => Ok(Some(false)),
            Some(_) => Err(format!("`{name}` is neither true nor false")),
        }
    }

    fn number(&self, name: &str) -> Result<Option<Number>, String> {
        match self.row.get(name) {
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

/// Normalises an existing username.
pub(crate) fn existing_name(text: &str) -> Result<Username, String> {
    Passwords::standard().username(text).map_err(|error| error.to_string())
}
