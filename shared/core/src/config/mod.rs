//! Configuration, parsed once at start from a look-up of names, with every problem reported at once.
//!
//! Each function reads the names of its list ([`LOGIN`], [`REFRESH`], …) and no others; a test holds the lists against
//! `template.yaml`.

use crate::client::Clients;
use crate::throttle::{Limit, Limits};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::config::authorizer::{
    JWKS_INTERVAL_SECONDS, JWKS_MAX_AGE_SECONDS, MAX_ACCESS_TOKEN_SECONDS, REVOCATIONS_INTERVAL_SECONDS,
    REVOCATIONS_STALE_SECONDS,
};
use daypass_verifier::config::{self, ConfigError, Setting};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

mod keys;

pub use keys::{
    KEYS_MAX_AGE_SECONDS, KEYS_PUBLISHED_SECONDS, PublicKeys, ROTATE_KEYS, RotateKeysConfig, rotate_keys,
};

/// What `login` reads.
pub const LOGIN: &[&str] = &[
    "DAYPASS_ISSUER",
    "DAYPASS_AUDIENCE",
    "DAYPASS_CLIENTS",
    "DAYPASS_ACCESS_TOKEN_SECONDS",
    "DAYPASS_REFRESH_TOKEN_SECONDS",
    "DAYPASS_IDLE_SECONDS",
    "DAYPASS_LOGIN_ATTEMPTS",
    "DAYPASS_LOGIN_WINDOW_SECONDS",
    "DAYPASS_ADDRESS_ATTEMPTS",
    "DAYPASS_ADDRESS_WINDOW_SECONDS",
    "DAYPASS_ACCOUNT_ATTEMPTS",
    "DAYPASS_ACCOUNT_WINDOW_SECONDS",
    "DAYPASS_KNOWN_ADDRESS_DAYS",
    "DAYPASS_USERS_TABLE",
    "DAYPASS_SESSIONS_TABLE",
    "DAYPASS_ATTEMPTS_TABLE",
    "DAYPASS_KEYS",
    "DAYPASS_KEYS_MAX_AGE_SECONDS",
];
/// What `refresh` reads.
pub const REFRESH: &[&str] = &[
    "DAYPASS_ISSUER",
    "DAYPASS_AUDIENCE",
    "DAYPASS_CLIENTS",
    "DAYPASS_ACCESS_TOKEN_SECONDS",
    "DAYPASS_IDLE_SECONDS",
    "DAYPASS_GRACE_SECONDS",
    "DAYPASS_SESSIONS_TABLE",
    "DAYPASS_KEYS",
    "DAYPASS_KEYS_MAX_AGE_SECONDS",
];
/// What `revoke` reads.
pub const REVOKE: &[&str] = &[
    "DAYPASS_ISSUER",
    "DAYPASS_AUDIENCE",
    "DAYPASS_CLIENTS",
    "DAYPASS_SESSIONS_TABLE",
    "DAYPASS_KEYS",
    "DAYPASS_KEYS_MAX_AGE_SECONDS",
    "DAYPASS_JWKS",
];
/// What `sessions` reads.
pub const SESSIONS: &[&str] = &["DAYPASS_CLIENTS", "DAYPASS_SESSIONS_TABLE"];
/// What `password` reads.
pub const PASSWORD: &[&str] = &[
    "DAYPASS_CLIENTS",
    "DAYPASS_LOGIN_ATTEMPTS",
    "DAYPASS_LOGIN_WINDOW_SECONDS",
    "DAYPASS_ADDRESS_ATTEMPTS",
    "DAYPASS_ADDRESS_WINDOW_SECONDS",
    "DAYPASS_ACCOUNT_ATTEMPTS",
    "DAYPASS_ACCOUNT_WINDOW_SECONDS",
    "DAYPASS_KNOWN_ADDRESS_DAYS",
    "DAYPASS_USERS_TABLE",
    "DAYPASS_SESSIONS_TABLE",
    "DAYPASS_ATTEMPTS_TABLE",
    "DAYPASS_KEYS",
    "DAYPASS_KEYS_MAX_AGE_SECONDS",
];
/// What `revocations` reads.
pub const REVOCATIONS: &[&str] =
    &["DAYPASS_ISSUER", "DAYPASS_ACCESS_TOKEN_SECONDS", "DAYPASS_SESSIONS_TABLE"];
/// What `discovery` reads.
pub const DISCOVERY: &[&str] = &["DAYPASS_ISSUER", "DAYPASS_JWKS", "DAYPASS_KEYS_MAX_AGE_SECONDS"];

/// Life of an access token in seconds. Ten minutes at most: nothing calls one back.
pub const ACCESS_TOKEN_SECONDS: Setting =
    Setting { name: "DAYPASS_ACCESS_TOKEN_SECONDS", default: 300, range: 300..=600 };
/// The shortest life of an access token where the issuer is a stack on this machine (`http://localhost`).
const LOCAL_ACCESS_TOKEN_SECONDS: u64 = 5;
/// Life of a session in seconds, through all rotations: 180 days.
pub const REFRESH_TOKEN_SECONDS: Setting =
    Setting { name: "DAYPASS_REFRESH_TOKEN_SECONDS", default: 15_552_000, range: 60..=15_552_000 };
/// How long an unused session lives, in seconds; 0 for as long as it may.
pub const IDLE_SECONDS: Setting = Setting { name: "DAYPASS_IDLE_SECONDS", default: 0, range: 0..=15_552_000 };
/// How long a superseded refresh token still gets the same successor, in seconds.
pub const GRACE_SECONDS: Setting = Setting { name: "DAYPASS_GRACE_SECONDS", default: 30, range: 0..=120 };
/// Attempts at one name from one address within a window. SP 800-63B-4 §3.2.2 allows 100 in a row.
pub const LOGIN_ATTEMPTS: Setting = Setting { name: "DAYPASS_LOGIN_ATTEMPTS", default: 5, range: 1..=100 };
/// Length of that window in seconds.
pub const LOGIN_WINDOW_SECONDS: Setting =
    Setting { name: "DAYPASS_LOGIN_WINDOW_SECONDS", default: 900, range: 60..=86_400 };
/// Attempts from one address at all names that do not know it, within a window.
pub const ADDRESS_ATTEMPTS: Setting =
    Setting { name: "DAYPASS_ADDRESS_ATTEMPTS", default: 60, range: 1..=100 };
/// Length of that window in seconds. Short ones suit addresses that many people share: 100 in a minute are 6,000 an hour.
pub const ADDRESS_WINDOW_SECONDS: Setting =
    Setting { name: "DAYPASS_ADDRESS_WINDOW_SECONDS", default: 900, range: 60..=86_400 };
/// Attempts at one name from all addresses that it does not know, within a window.
pub const ACCOUNT_ATTEMPTS: Setting =
    Setting { name: "DAYPASS_ACCOUNT_ATTEMPTS", default: 20, range: 1..=100 };
/// Length of that window in seconds.
pub const ACCOUNT_WINDOW_SECONDS: Setting =
    Setting { name: "DAYPASS_ACCOUNT_WINDOW_SECONDS", default: 900, range: 60..=86_400 };
/// For how many days a login makes its address known; 0 for not at all.
pub const KNOWN_ADDRESS_DAYS: Setting =
    Setting { name: "DAYPASS_KNOWN_ADDRESS_DAYS", default: 30, range: 0..=365 };

/// All settings that are numbers.
pub const SETTINGS: [&Setting; 18] = [
    &KEYS_MAX_AGE_SECONDS,
    &KEYS_PUBLISHED_SECONDS,
    &ACCESS_TOKEN_SECONDS,
    &REFRESH_TOKEN_SECONDS,
    &IDLE_SECONDS,
    &GRACE_SECONDS,
    &LOGIN_ATTEMPTS,
    &LOGIN_WINDOW_SECONDS,
    &ADDRESS_ATTEMPTS,
    &ADDRESS_WINDOW_SECONDS,
    &ACCOUNT_ATTEMPTS,
    &ACCOUNT_WINDOW_SECONDS,
    &KNOWN_ADDRESS_DAYS,
    &JWKS_INTERVAL_SECONDS,
    &JWKS_MAX_AGE_SECONDS,
    &MAX_ACCESS_TOKEN_SECONDS,
    &REVOCATIONS_INTERVAL_SECONDS,
    &REVOCATIONS_STALE_SECONDS,
];

/// Names of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// `users`.
    pub users: String,
    /// `sessions`.
    pub sessions: String,
    /// `attempts`.
    pub attempts: String,
}

/// Configuration of `login`.
#[derive(Debug)]
pub struct LoginConfig {
    /// `iss` of the tokens.
    pub issuer: Issuer,
    /// `aud` of the tokens.
    pub audience: String,
    /// Who may log users in.
    pub clients: Clients,
    /// Life of an access token.
    pub access_lifetime: Duration,
    /// Life of a session.
    pub refresh_lifetime: Duration,
    /// Life of an unused session.
    pub idle: Option<Duration>,
    /// How often somebody may guess.
    pub limits: Limits,
    /// The tables.
    pub tables: Tables,
    /// Where the key set is.
    pub keys: Vec<String>,
    /// Older keys are read anew.
    pub keys_max_age: Duration,
}

/// Configuration of `refresh`.
#[derive(Debug)]
pub struct RefreshConfig {
    /// `iss` of the tokens.
    pub issuer: Issuer,
    /// `aud` of the tokens.
    pub audience: String,
    /// Whose tokens are refreshed.
    pub clients: Clients,
    /// Life of an access token.
    pub access_lifetime: Duration,
    /// Life of an unused session.
    pub idle: Option<Duration>,
    /// The grace window.
    pub grace: Duration,
    /// The sessions table.
    pub sessions_table: String,
    /// Where the key set is.
    pub keys: Vec<String>,
    /// Older keys are read anew.
    pub keys_max_age: Duration,
}

/// Configuration of `revoke`.
#[derive(Debug)]
pub struct RevokeConfig {
    /// `iss` of the tokens.
    pub issuer: Issuer,
    /// `aud` of the tokens.
    pub audience: String,
    /// Who may revoke.
    pub clients: Clients,
    /// The sessions table.
    pub sessions_table: String,
    /// Where the key set is.
    pub keys: Vec<String>,
    /// Older keys are read anew.
    pub keys_max_age: Duration,
    /// Where the public signing keys are.
    pub jwks: PublicKeys,
}

/// Configuration of `sessions`.
#[derive(Debug)]
pub struct SessionsConfig {
    /// Whose pages may call.
    pub clients: Clients,
    /// The sessions table.
    pub sessions_table: String,
}

/// Configuration of `password`.
#[derive(Debug)]
pub struct PasswordConfig {
    /// Whose pages may call.
    pub clients: Clients,
    /// How often somebody may guess: the counters are those of `login`.
    pub limits: Limits,
    /// The tables.
    pub tables: Tables,
    /// Where the peppers are.
    pub keys: Vec<String>,
    /// Older keys are read anew.
    pub keys_max_age: Duration,
}

/// Configuration of `revocations`.
#[derive(Debug)]
pub struct RevocationsConfig {
    /// Whose sessions.
    pub issuer: Issuer,
    /// Life of an access token: so long an ending counts.
    pub access_lifetime: Duration,
    /// The sessions table.
    pub sessions_table: String,
}

/// Configuration of `discovery`.
#[derive(Debug)]
pub struct DiscoveryConfig {
    /// Who we are.
    pub issuer: Issuer,
    /// Where the public signing keys are.
    pub jwks: PublicKeys,
    /// Older keys are read anew.
    pub keys_max_age: Duration,
}

/// Reads the configuration of `login`.
///
/// # Errors
/// [`ConfigError`] with everything that is missing or wrong.
pub fn login(lookup: impl Fn(&str) -> Option<String>) -> Result<LoginConfig, ConfigError> {
    let mut read = Reader::new(&lookup);
    let issuer = read.issuer();
    let audience = read.audience();
    let clients = read.clients();
    let access_lifetime = read.access_lifetime(issuer.as_ref());
    let refresh_lifetime = read.seconds(&REFRESH_TOKEN_SECONDS);
    let idle = read.seconds(&IDLE_SECONDS);
    let limits = read.limits();
    let tables = read.tables();
    let keys = read.keys();
    let keys_max_age = read.keys_max_age();
    read.finish(|| {
        Some(LoginConfig {
            issuer: issuer?,
            audience: audience?,
            clients: clients?,
            access_lifetime: access_lifetime?,
            refresh_lifetime: refresh_lifetime?,
            idle: idle.map(|idle| Some(idle).filter(|idle| !idle.is_zero()))?,
            limits: limits?,
            tables: tables?,
            keys: keys?,
            keys_max_age: keys_max_age?,
        })
    })
}

/// Reads the configuration of `refresh`.
///
/// # Errors
/// [`ConfigError`] with everything that is missing or wrong.
pub fn refresh(lookup: impl Fn(&str) -> Option<String>) -> Result<RefreshConfig, ConfigError> {
    let mut read = Reader::new(&lookup);
    let issuer = read.issuer();
    let audience = read.audience();
    let clients = read.clients();
    let access_lifetime = read.access_lifetime(issuer.as_ref());
    let idle = read.seconds(&IDLE_SECONDS);
    let grace = read.seconds(&GRACE_SECONDS);
    let sessions_table = read.table("DAYPASS_SESSIONS_TABLE");
    let keys = read.keys();
    let keys_max_age = read.keys_max_age();
    read.finish(|| {
        Some(RefreshConfig {
            issuer: issuer?,
            audience: audience?,
            clients: clients?,
            access_lifetime: access_lifetime?,
            idle: idle.map(|idle| Some(idle).filter(|idle| !idle.is_zero()))?,
            grace: grace?,
            sessions_table: sessions_table?,
            keys: keys?,
            keys_max_age: keys_max_age?,
        })
    })
}

/// Reads the configuration of `revoke`.
///
/// # Errors
/// [`ConfigError`] with everything that is missing or wrong.
pub fn revoke(lookup: impl Fn(&str) -> Option<String>) -> Result<RevokeConfig, ConfigError> {
    let mut read = Reader::new(&lookup);
    let issuer = read.issuer();
    let audience = read.audience();
    let clients = read.clients();
    let sessions_table = read.table("DAYPASS_SESSIONS_TABLE");
    let keys = read.keys();
    let keys_max_age = read.keys_max_age();
    let jwks = read.public_keys();
    read.finish(|| {
        Some(RevokeConfig {
            issuer: issuer?,
            audience: audience?,
            clients: clients?,
            sessions_table: sessions_table?,
            keys: keys?,
            keys_max_age: keys_max_age?,
            jwks: jwks?,
        })
    })
}

/// Reads the configuration of `sessions`.
///
/// # Errors
/// [`ConfigError`] with everything that is missing or wrong.
pub fn sessions(lookup: impl Fn(&str) -> Option<String>) -> Result<SessionsConfig, ConfigError> {
    let mut read = Reader::new(&lookup);
    let clients = read.clients();
    let sessions_table = read.table("DAYPASS_SESSIONS_TABLE");
    read.finish(|| Some(SessionsConfig { clients: clients?, sessions_table: sessions_table? }))
}

/// Reads the configuration of `password`.
///
/// # Errors
/// [`ConfigError`] with everything that is missing or wrong.
pub fn password(lookup: impl Fn(&str) -> Option<String>) -> Result<PasswordConfig, ConfigError> {
    let mut read = Reader::new(&lookup);
    let clients = read.clients();
    let limits = read.limits();
    let tables = read.tables();
    let keys = read.keys();
    let keys_max_age = read.keys_max_age();
    read.finish(|| {
        Some(PasswordConfig {
            clients: clients?,
            limits: limits?,
            tables: tables?,
            keys: keys?,
            keys_max_age: keys_max_age?,
        })
    })
}

/// Reads the configuration of `revocations`.
///
/// # Errors
/// [`ConfigError`] with everything that is missing or wrong.
pub fn revocations(lookup: impl Fn(&str) -> Option<String>) -> Result<RevocationsConfig, ConfigError> {
    let mut read = Reader::new(&lookup);
    let issuer = read.issuer();
    let access_lifetime = read.access_lifetime(issuer.as_ref());
    let sessions_table = read.table("DAYPASS_SESSIONS_TABLE");
    read.finish(|| {
        Some(RevocationsConfig {
            issuer: issuer?,
            access_lifetime: access_lifetime?,
            sessions_table: sessions_table?,
        })
    })
}

/// Reads the configuration of `discovery`.
///
/// # Errors
/// [`ConfigError`] with everything that is missing or wrong.
pub fn discovery(lookup: impl Fn(&str) -> Option<String>) -> Result<DiscoveryConfig, ConfigError> {
    let mut read = Reader::new(&lookup);
    let issuer = read.issuer();
    let jwks = read.public_keys();
    let keys_max_age = read.keys_max_age();
    read.finish(|| Some(DiscoveryConfig { issuer: issuer?, jwks: jwks?, keys_max_age: keys_max_age? }))
}

/// Reads variables and remembers what is wrong with them.
struct Reader<'a>(config::Reader<'a>);

impl<'a> Deref for Reader<'a> {
    type Target = config::Reader<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<'a> Reader<'a> {
    fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(config::Reader::new(lookup))
    }

    fn clients(&mut self) -> Option<Clients> {
        match self.get("DAYPASS_CLIENTS") {
            Some(_) => self.required("DAYPASS_CLIENTS", Clients::parse),
            None => Clients::parse(r#"[{"client_id":"default"}]"#).ok(),
        }
    }

    fn public_keys(&mut self) -> Option<PublicKeys> {
        match self.get("DAYPASS_JWKS") {
            Some(secret) if secret.starts_with("arn:") => Some(PublicKeys::Secret(secret)),
            _ => self.jwks().map(PublicKeys::Inline),
        }
    }

    fn keys(&mut self) -> Option<Vec<String>> {
        self.required("DAYPASS_KEYS", |sources| Ok(sources.split_whitespace().map(str::to_owned).collect()))
    }

    fn table(&mut self, name: &str) -> Option<String> {
        self.required(name, |table| {
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
            if (3..=255).contains(&table.len()) && table.bytes().all(legal) {
                Ok(table.to_owned())
            } else {
                Err("is not a DynamoDB table name (3 to 255 of A-Z a-z 0-9 _ - .)".to_owned())
            }
        })
    }

    fn tables(&mut self) -> Option<Tables> {
        let users = self.table("DAYPASS_USERS_TABLE");
        let sessions = self.table("DAYPASS_SESSIONS_TABLE");
        let attempts = self.table("DAYPASS_ATTEMPTS_TABLE");
        Some(Tables { users: users?, sessions: sessions?, attempts: attempts? })
    }

    fn limits(&mut self) -> Option<Limits> {
        let pair = self.limit(&LOGIN_ATTEMPTS, &LOGIN_WINDOW_SECONDS);
        let address = self.limit(&ADDRESS_ATTEMPTS, &ADDRESS_WINDOW_SECONDS);
        let account = self.limit(&ACCOUNT_ATTEMPTS, &ACCOUNT_WINDOW_SECONDS);
        let days = self.number(&KNOWN_ADDRESS_DAYS);
        let known_for = days.map(|days| (days > 0).then(|| Duration::from_secs(days * 24 * 3600)));
        Some(Limits { pair: pair?, address: address?, account: account?, known_for: known_for? })
    }

    fn limit(&mut self, attempts: &Setting, window: &Setting) -> Option<Limit> {
        let (attempts, window) = (self.number(attempts), self.seconds(window));
        Some(Limit { attempts: u32::try_from(attempts?).ok()?, window: window? })
    }

    /// On this machine as short as somebody needs it who wants to watch renewals.
    fn access_lifetime(&mut self, issuer: Option<&Issuer>) -> Option<Duration> {
        if !issuer.is_some_and(Issuer::is_local) {
            return self.seconds(&ACCESS_TOKEN_SECONDS);
        }
        let range = LOCAL_ACCESS_TOKEN_SECONDS..=*ACCESS_TOKEN_SECONDS.range.end();
        self.seconds(&Setting { range, ..ACCESS_TOKEN_SECONDS })
    }

    fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, ConfigError> {
        self.0.finish(build)
    }
}

#[cfg(test)]
mod tests;
