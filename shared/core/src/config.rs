//! Configuration, parsed once at start from a look-up of names, with every problem reported at once.
//!
//! Each function reads the names of its list ([`LOGIN`], [`REFRESH`], …) and no others; a test holds the lists against
//! `template.yaml`.

use crate::browser::{Origin, Transport};
use crate::jwks::Jwks;
use crate::throttle::{Limit, Limits};
use crate::{ApiError, ClientId, Scope};
use serde::Deserialize;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

mod authorizer;
mod keys;

pub use keys::{
    KEYS_MAX_AGE_SECONDS, KEYS_PUBLISHED_SECONDS, PublicKeys, ROTATE_KEYS, RotateKeysConfig, rotate_keys,
};

pub use authorizer::{
    AUTHORIZER, AuthorizerConfig, FollowedFeed, HttpAnswer, JWKS_DEADLINE, JWKS_INTERVAL_SECONDS,
    JWKS_MAX_AGE_SECONDS, JWKS_MAX_BYTES, KeySource, REVOCATIONS_INTERVAL_SECONDS, REVOCATIONS_STALE_SECONDS,
    authorizer,
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

/// A setting that is a number, with its limits: `template.yaml` states the same ones, and a test compares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The name of the variable.
    pub name: &'static str,
    /// What it is when it is not set.
    pub default: u64,
    /// The least and the most.
    pub range: RangeInclusive<u64>,
}

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
pub const SETTINGS: [&Setting; 17] = [
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
    &REVOCATIONS_INTERVAL_SECONDS,
    &REVOCATIONS_STALE_SECONDS,
];

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not usable: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigError {}

/// The issuer identifier: an https URL without query, fragment or trailing slash (RFC 8414 §2), compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    url: String,
    path_at: usize,
}

impl Issuer {
    /// Reads an issuer. `http` is taken for loopback hosts, so that it all runs on a laptop.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(url: &str) -> Result<Self, String> {
        secure_url(url)?;
        if url.ends_with('/') {
            return Err("must not end with a slash".to_owned());
        }
        let authority_at = url.find("://").map_or(0, |at| at + 3);
        let path_at =
            url.get(authority_at..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| authority_at + at);
        Ok(Self { url: url.to_owned(), path_at })
    }

    /// The identifier, exactly as configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The path of the identifier: empty, or starting with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.url.get(self.path_at..).unwrap_or_default()
    }

    /// Whether it is a stack on this machine, as only `http` tells.
    fn is_local(&self) -> bool {
        self.url.starts_with("http://")
    }

    /// The URL of an endpoint below the issuer.
    pub(crate) fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// Reads a URL that is good for keys and names: https, or http on this machine, and nothing behind the path.
fn secure_url(url: &str) -> Result<http::Uri, String> {
    let uri: http::Uri = url.parse().map_err(|_| "is not a URL".to_owned())?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("is not a URL with a host")?;
    let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if loopback => {}
        _ => return Err("must start with https:// (http:// only for localhost)".to_owned()),
    }
    if url.contains(['?', '#']) || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("must have no query, fragment or user".to_owned());
    }
    Ok(uri)
}

/// A registered client application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// What it may ask for; `None` for all that the user has.
    pub scope: Option<Scope>,
    /// How it holds its refresh tokens.
    pub transport: Transport,
    /// The origins of its pages, which may call from a browser.
    pub origins: Vec<Origin>,
}

impl Client {
    fn has(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own.as_str() == origin)
    }
}

/// The registered clients, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    default: Client,
    others: Vec<Client>,
    /// The ids of those that send their tokens in bodies.
    pub of_body: Vec<ClientId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientEntry {
    client_id: String,
    #[serde(default)]
    transport: Transport,
    #[serde(default)]
    origins: Vec<String>,
    scope: Option<String>,
}

impl Clients {
    /// Most clients: their ids stand in the condition of each rotation, and an expression of DynamoDB takes 4 KB.
    pub const MAX: usize = 200;

    /// Reads the JSON array of `DAYPASS_CLIENTS`. The first one is meant by a login that names none.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(json: &str) -> Result<Self, String> {
        let entries: Vec<ClientEntry> = serde_json::from_str(json).map_err(|error| {
            format!("is not a list like [{{\"client_id\":\"web\",\"transport\":\"body\"}}] ({error})")
        })?;
        if entries.len() > Self::MAX {
            return Err(format!("names more than {} clients", Self::MAX));
        }
        let mut clients: Vec<Client> = Vec::new();
        for entry in entries {
            let id = ClientId::parse(&entry.client_id).ok_or_else(|| {
                format!(
                    "client_id `{}` is not 1 to 64 of A-Z a-z 0-9 - . _ ~, or starts with usr_",
                    entry.client_id
                )
            })?;
            if clients.iter().any(|other| other.id == id) {
                return Err(format!("client_id `{id}` stands there twice"));
            }
            let scope = entry.scope.map(|scope| Scope::parse(&scope)).transpose();
            let scope = scope
                .map_err(|_| format!("the scope of `{id}` is malformed or over 256 bytes or 32 words"))?;
            let origins = entry.origins.iter().map(|origin| {
                Origin::parse(origin).map_err(|problem| format!("the origin `{origin}` of `{id}` {problem}"))
            });
            let origins = origins.collect::<Result<Vec<_>, _>>()?;
            if entry.transport == Transport::Cookie && origins.is_empty() {
                return Err(format!("`{id}` has the transport cookie and names no origins"));
            }
            clients.push(Client { id, scope, transport: entry.transport, origins });
        }
        let of_body = clients.iter().filter(|client| client.transport == Transport::Body);
        let of_body = of_body.map(|client| client.id.clone()).collect();
        let mut clients = clients.into_iter();
        let default = clients.next().ok_or("names no client")?;
        Ok(Self { default, others: clients.collect(), of_body })
    }

    /// The id that a request names, if it names one.
    ///
    /// # Errors
    /// `invalid_client` for one that is not registered, or none of those `allowed`.
    pub(crate) fn named(
        &self,
        id: Option<&str>,
        allowed: Option<&[ClientId]>,
    ) -> Result<Option<ClientId>, ApiError> {
        let Some(id) = id else { return Ok(None) };
        let client = self.find(Some(id)).ok_or(ApiError::UnknownClient)?;
        if allowed.is_some_and(|allowed| !allowed.contains(&client.id)) {
            return Err(ApiError::UnknownClient);
        }
        Ok(Some(client.id.clone()))
    }

    fn all(&self) -> impl Iterator<Item = &Client> {
        std::iter::once(&self.default).chain(&self.others)
    }

    /// Whether any client has pages.
    #[must_use]
    pub fn have_origins(&self) -> bool {
        self.all().any(|client| !client.origins.is_empty())
    }

    /// Whether any client has pages of this origin.
    #[must_use]
    pub fn know(&self, origin: &str) -> bool {
        self.all().any(|client| client.has(origin))
    }

    /// The ids of the cookie clients that have pages of this origin.
    #[must_use]
    pub fn of_cookie(&self, origin: &str) -> Vec<ClientId> {
        let cookie = |client: &&Client| client.transport == Transport::Cookie && client.has(origin);
        self.all().filter(cookie).map(|client| client.id.clone()).collect()
    }

    /// The client of that name, or the first one when the request names none.
    #[must_use]
    pub fn find(&self, id: Option<&str>) -> Option<&Client> {
        let Some(id) = id else { return Some(&self.default) };
        self.all().find(|client| client.id.as_str() == id)
    }
}

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
struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    /// An empty variable counts as unset: CloudFormation cannot leave one out conditionally without repeating all.
    fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let parsed = match self.get(name) {
            Some(value) => parse(&value),
            None => Err("is not set".to_owned()),
        };
        parsed.map_err(|problem| self.problems.push(format!("{name} {problem}"))).ok()
    }

    fn issuer(&mut self) -> Option<Issuer> {
        self.required("DAYPASS_ISSUER", Issuer::parse)
    }

    fn audience(&mut self) -> Option<String> {
        self.required("DAYPASS_AUDIENCE", |audience| {
            let printable = audience.chars().all(|c| !c.is_control() && !c.is_whitespace());
            if printable && audience.len() <= 256 {
                Ok(audience.to_owned())
            } else {
                Err("is longer than 256 bytes or holds a space or control character".to_owned())
            }
        })
    }

    fn clients(&mut self) -> Option<Clients> {
        match self.get("DAYPASS_CLIENTS") {
            Some(_) => self.required("DAYPASS_CLIENTS", Clients::parse),
            None => Clients::parse(r#"[{"client_id":"default"}]"#).ok(),
        }
    }

    fn jwks(&mut self) -> Option<Jwks> {
        self.required("DAYPASS_JWKS", |json| {
            Jwks::parse(json.as_bytes()).map_err(|error| format!("is wrong: {error}"))
        })
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

    fn number(&mut self, setting: &Setting) -> Option<u64> {
        if self.get(setting.name).is_none() {
            return Some(setting.default);
        }
        self.required(setting.name, |value| match value.parse() {
            Ok(number) if setting.range.contains(&number) => Ok(number),
            _ => Err(format!(
                "is not a whole number from {} to {}",
                setting.range.start(),
                setting.range.end()
            )),
        })
    }

    /// On this machine as short as somebody needs it who wants to watch renewals.
    fn access_lifetime(&mut self, issuer: Option<&Issuer>) -> Option<Duration> {
        if !issuer.is_some_and(Issuer::is_local) {
            return self.seconds(&ACCESS_TOKEN_SECONDS);
        }
        let range = LOCAL_ACCESS_TOKEN_SECONDS..=*ACCESS_TOKEN_SECONDS.range.end();
        self.seconds(&Setting { range, ..ACCESS_TOKEN_SECONDS })
    }

    fn seconds(&mut self, setting: &Setting) -> Option<Duration> {
        self.number(setting).map(Duration::from_secs)
    }

    fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, ConfigError> {
        build().ok_or(ConfigError(self.problems))
    }
}

#[cfg(test)]
mod tests;
