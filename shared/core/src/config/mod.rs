//! Settings of the functions, and the table of each function.
//!
//! A function is stated once, in [`tables!`]: from its table come the struct, the reader, and the names that a test compares
//! with `template.yaml` and writes into `docs/reference/configuration.md`.

mod check;
mod read;
#[cfg(test)]
mod tests;

use crate::client::Clients;
use crate::keys::rotation::{Rules, Section};
use crate::passkey::relying_party::RelyingParty;
use crate::ports::mail::Sender;
use crate::secret::ProxySecrets;
use crate::throttle::{Limit, Limits};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::config::authorizer;
use daypass_verifier::config::{AUDIENCE, DPOP_ORIGINS, ISSUER, JWKS, Lookup, Reader, Sources, Table};
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::{settings, tables};
use read::{
    access_lifetime, clients, clients_secret, configuration_set, idle, limit, limits, machines, mail,
    migrate_from, passkeys, proxy, public_keys, rules, secret, sender, sources, table, table_names,
    templates,
};
use std::time::Duration;

pub use check::{check, environment_with};
pub use read::is_secret;

settings! {
    /// The client applications as a JSON array, or the ARN of a secret that holds it. A login without client_id uses the first one. "scope" limits what a
    /// client may ask for; without it, everything that the user has. "require_mfa" requires a second factor, and "require_dpop" a DPoP proof. Without a list, one client `default`. Example:
    /// [{"client_id":"web","transport":"body","scope":"orders:read orders:write"}]
    CLIENTS = "DAYPASS_CLIENTS" as JSON;

    /// Lifetime of an access token, in seconds. Without the revocation feed, a revoked session can call your APIs for
    /// this long.
    ACCESS_TOKEN_SECONDS = "DAYPASS_ACCESS_TOKEN_SECONDS": 300 in 300..=600 seconds;

    /// Lifetime of a session, in seconds, whatever its use. The default is 180 days.
    REFRESH_TOKEN_SECONDS = "DAYPASS_REFRESH_TOKEN_SECONDS": 15_552_000 in 60..=15_552_000 seconds;

    /// A session ends without a refresh for this many seconds. 0 turns the limit off.
    IDLE_SECONDS = "DAYPASS_IDLE_SECONDS": 0 in 0..=15_552_000 seconds;

    /// For this many seconds after a refresh, the previous refresh token gets the same successor (a retry or a second
    /// tab). After that, its use is reuse and ends the session. After a refresh with an Idempotency-Key, at most 5.
    GRACE_SECONDS = "DAYPASS_GRACE_SECONDS": 30 in 0..=120 seconds;

    /// Attempts at one user name from one address in any interval of login_window_seconds. Further attempts get 429.
    LOGIN_ATTEMPTS = "DAYPASS_LOGIN_ATTEMPTS": 5 in 1..=100 attempts;

    /// Seconds that an attempt at a user name counts for its address.
    LOGIN_WINDOW_SECONDS = "DAYPASS_LOGIN_WINDOW_SECONDS": 900 in 60..=86_400 seconds;

    /// Attempts from one address (an IPv6 /56) at all user names that do not know it, in any interval of
    /// address_window_seconds. Addresses that many people share need more, or a shorter window.
    ADDRESS_ATTEMPTS = "DAYPASS_ADDRESS_ATTEMPTS": 60 in 1..=100 attempts;

    /// Seconds that an attempt counts for its address.
    ADDRESS_WINDOW_SECONDS = "DAYPASS_ADDRESS_WINDOW_SECONDS": 900 in 60..=86_400 seconds;

    /// Attempts at one user name from all addresses that it does not know, in any interval of account_window_seconds.
    ACCOUNT_ATTEMPTS = "DAYPASS_ACCOUNT_ATTEMPTS": 20 in 1..=100 attempts;

    /// Seconds that an attempt counts for its user name.
    ACCOUNT_WINDOW_SECONDS = "DAYPASS_ACCOUNT_WINDOW_SECONDS": 900 in 60..=86_400 seconds;

    /// Days after a login for which its address is known to the user, at least a day longer than sessions live. Only
    /// login_attempts limits a known address, so attempts from elsewhere cannot lock the user out. 0 turns this off.
    /// Device tokens protect the user all the same.
    KNOWN_ADDRESS_DAYS = "DAYPASS_KNOWN_ADDRESS_DAYS": 180 in 0..=365 days;

    /// Value of the header X-Daypass-Proxy, with which a CDN in front authenticates its requests: 32 to 64 characters, and a
    /// second value after a space during a rotation. Requests without it then get 403, and the CDN's headers name the
    /// address of the caller (docs/operations/cdn.md). Empty: no CDN.
    PROXY_SECRET = "DAYPASS_PROXY_SECRET";

    /// Memory in KiB and passes of new password hashes; `daypass user calibrate` recommends values. A login replaces
    /// hashes with other parameters. Default: m=19456,t=2
    ARGON2 = "DAYPASS_ARGON2";

    /// Kinds of imported password hashes, as `daypass user import` prints them. They equalise the time of all logins,
    /// and each adds the time of one such hash. Example: bcrypt,c=10. Empty: none.
    IMPORTED_HASHES = "DAYPASS_IMPORTED_HASHES";

    /// Minimum length of a password that a user sets (POST /password). NIST SP 800-63B-4 asks for 15 without a second
    /// factor.
    MIN_PASSWORD_CHARS = "DAYPASS_MIN_PASSWORD_CHARS": 15 in 8..=64 characters;

    /// Sender of all mails, such as "Acme <no-reply@acme.example>". SES must know the address or its domain. The name is also
    /// that of the service in the texts. Empty: no sign-up, recovery or change of address, and no mail.
    MAIL_FROM = "DAYPASS_MAIL_FROM";

    /// Prefix of SES templates that replace the built-in texts: PREFIX-KIND-LANGUAGE, such as acme-reset-de. Empty: built-in
    /// texts.
    MAIL_TEMPLATES = "DAYPASS_MAIL_TEMPLATES";

    /// Mails to one address in any interval of mail_address_window_seconds. Further requests get 429.
    MAIL_ADDRESS_ATTEMPTS = "DAYPASS_MAIL_ADDRESS_ATTEMPTS": 3 in 1..=100 mails;

    /// Seconds that a request for a mail counts for its recipient.
    MAIL_ADDRESS_WINDOW_SECONDS = "DAYPASS_MAIL_ADDRESS_WINDOW_SECONDS": 3600 in 60..=86_400 seconds;

    /// Mails that one network (an IPv4 address or an IPv6 /56) can ask for in any interval of mail_network_window_seconds.
    MAIL_NETWORK_ATTEMPTS = "DAYPASS_MAIL_NETWORK_ATTEMPTS": 20 in 1..=100 mails;

    /// Seconds that a request for a mail counts for its network.
    MAIL_NETWORK_WINDOW_SECONDS = "DAYPASS_MAIL_NETWORK_WINDOW_SECONDS": 3600 in 60..=86_400 seconds;

    /// Configuration set of SES that publishes bounces and complaints.
    MAIL_CONFIGURATION_SET = "DAYPASS_MAIL_CONFIGURATION_SET";

    /// Name of the table `outbox`.
    OUTBOX_TABLE = "DAYPASS_OUTBOX_TABLE";

    /// Moves the users of an Amazon Cognito user pool at their first login: REGION:APP_CLIENT_ID, such as
    /// eu-west-1:1h57kf5cpq17m0eml12EXAMPLE. The app client has no secret and allows USER_PASSWORD_AUTH
    /// (docs/guides/migration.md). Empty: no migration.
    MIGRATE_COGNITO = "DAYPASS_MIGRATE_COGNITO";

    /// Moves the users of another system at their first login: an https URL of at most 128 characters that checks a name and
    /// a password (docs/guides/migration.md). Excludes DAYPASS_MIGRATE_COGNITO. Empty: no migration.
    MIGRATE_URL = "DAYPASS_MIGRATE_URL";

    /// Domain of the passkeys, such as example.com: the id of the relying party. Passkeys belong to it permanently, so choose it
    /// before the first one (docs/guides/passkeys.md). Empty: no passkeys.
    PASSKEY_RP_ID = "DAYPASS_PASSKEY_RP_ID";

    /// Origins of the pages that may use passkeys, separated by spaces, such as https://app.example.com. Each belongs to the
    /// domain. Empty: the https origin of the domain.
    PASSKEY_ORIGINS = "DAYPASS_PASSKEY_ORIGINS";

    /// Name of the table `users`.
    USERS_TABLE = "DAYPASS_USERS_TABLE";

    /// Name of the table `sessions`.
    SESSIONS_TABLE = "DAYPASS_SESSIONS_TABLE";

    /// Name of the table `attempts`.
    ATTEMPTS_TABLE = "DAYPASS_ATTEMPTS_TABLE";

    /// Key sets, separated by spaces: ARNs of secrets, or files. Their sections are merged.
    KEYS = "DAYPASS_KEYS";

    /// The machine clients, as `daypass client` writes them: the ARN of a secret, or a file. Empty: none.
    MACHINES = "DAYPASS_MACHINES";

    /// A warm function reads its keys again when they are older than this, in parallel to requests.
    KEYS_MAX_AGE_SECONDS = "DAYPASS_KEYS_MAX_AGE_SECONDS": 300 in 5..=3600 seconds;

    /// ARN of the secret with the private signing keys.
    SIGNING_SECRET = "DAYPASS_SIGNING_SECRET";

    /// ARN of the secret with the MAC keys of refresh tokens.
    REFRESH_SECRET = "DAYPASS_REFRESH_SECRET";

    /// ARN of the secret with the peppers.
    PEPPERS_SECRET = "DAYPASS_PEPPERS_SECRET";

    /// ARN of the secret with the public JWKS.
    JWKS_SECRET = "DAYPASS_JWKS_SECRET";

    /// Algorithm of new signing keys. Use RS256 for the native JWT authorizer of an HTTP API, which accepts RSA alone.
    /// A later change takes effect with the next key, after two rotations. Default: ES256
    SIGNING_ALGORITHM = "DAYPASS_SIGNING_ALGORITHM";

    /// A key is published for this many seconds before it is used. This must exceed the time that verifiers cache keys;
    /// API Gateway caches them for two hours.
    KEYS_PUBLISHED_SECONDS = "DAYPASS_KEYS_PUBLISHED_SECONDS": 10_800 in 10_800..=43_200 seconds;
}

tables! {
    #[derive(Clone)]
    "login" login -> LoginConfig {
        issuer: Issuer = Reader::issuer(ISSUER);
        audience: String = Reader::audience(AUDIENCE);
        clients: Clients = clients(CLIENTS);
        clients_secret: Option<String> = clients_secret(CLIENTS);
        proxy: Option<ProxySecrets> = proxy(PROXY_SECRET);
        access_lifetime: Duration = access_lifetime(ACCESS_TOKEN_SECONDS);
        refresh_lifetime: Duration = Reader::seconds(REFRESH_TOKEN_SECONDS);
        idle: Option<Duration> = idle(IDLE_SECONDS);
        limits: Limits = limits(
            LOGIN_ATTEMPTS, LOGIN_WINDOW_SECONDS, ADDRESS_ATTEMPTS, ADDRESS_WINDOW_SECONDS,
            ACCOUNT_ATTEMPTS, ACCOUNT_WINDOW_SECONDS, KNOWN_ADDRESS_DAYS
        );
        dpop_origins: Vec<String> = Reader::base_urls(DPOP_ORIGINS);
        migrate_from: Option<MigrateFrom> = migrate_from(MIGRATE_COGNITO, MIGRATE_URL);
        passkeys: Option<RelyingParty> = passkeys(PASSKEY_RP_ID, PASSKEY_ORIGINS);
        tables: Tables = table_names(USERS_TABLE, SESSIONS_TABLE, ATTEMPTS_TABLE);
        keys: Vec<String> = sources(KEYS);
        keys_max_age: Duration = Reader::seconds(KEYS_MAX_AGE_SECONDS);
    } + [ARGON2, IMPORTED_HASHES]

    #[derive(Clone)]
    "refresh" refresh -> RefreshConfig {
        issuer: Issuer = Reader::issuer(ISSUER);
        audience: String = Reader::audience(AUDIENCE);
        clients: Clients = clients(CLIENTS);
        clients_secret: Option<String> = clients_secret(CLIENTS);
        proxy: Option<ProxySecrets> = proxy(PROXY_SECRET);
        access_lifetime: Duration = access_lifetime(ACCESS_TOKEN_SECONDS);
        idle: Option<Duration> = idle(IDLE_SECONDS);
        grace: Duration = Reader::seconds(GRACE_SECONDS);
        dpop_origins: Vec<String> = Reader::base_urls(DPOP_ORIGINS);
        sessions_table: String = table(SESSIONS_TABLE);
        attempts_table: String = table(ATTEMPTS_TABLE);
        machines: Option<String> = machines(MACHINES);
        keys: Vec<String> = sources(KEYS);
        keys_max_age: Duration = Reader::seconds(KEYS_MAX_AGE_SECONDS);
    }

    #[derive(Clone)]
    "revoke" revoke -> RevokeConfig {
        issuer: Issuer = Reader::issuer(ISSUER);
        audience: String = Reader::audience(AUDIENCE);
        clients: Clients = clients(CLIENTS);
        clients_secret: Option<String> = clients_secret(CLIENTS);
        proxy: Option<ProxySecrets> = proxy(PROXY_SECRET);
        sessions_table: String = table(SESSIONS_TABLE);
        keys: Vec<String> = sources(KEYS);
        keys_max_age: Duration = Reader::seconds(KEYS_MAX_AGE_SECONDS);
        jwks: PublicKeys = public_keys(JWKS);
    }

    #[derive(Clone)]
    "introspect" introspect -> IntrospectConfig {
        issuer: Issuer = Reader::issuer(ISSUER);
        audience: String = Reader::audience(AUDIENCE);
        proxy: Option<ProxySecrets> = proxy(PROXY_SECRET);
        sessions_table: String = table(SESSIONS_TABLE);
        attempts_table: String = table(ATTEMPTS_TABLE);
        machines: Option<String> = machines(MACHINES);
        keys_max_age: Duration = Reader::seconds(KEYS_MAX_AGE_SECONDS);
        jwks: PublicKeys = public_keys(JWKS);
    }

    #[derive(Clone)]
    "sessions" sessions -> SessionsConfig {
        clients: Clients = clients(CLIENTS);
        clients_secret: Option<String> = clients_secret(CLIENTS);
        proxy: Option<ProxySecrets> = proxy(PROXY_SECRET);
        sessions_table: String = table(SESSIONS_TABLE);
        keys_max_age: Duration = Reader::seconds(KEYS_MAX_AGE_SECONDS);
    }

    #[derive(Clone)]
    "password" password -> PasswordConfig {
        issuer: Issuer = Reader::issuer(ISSUER);
        audience: String = Reader::audience(AUDIENCE);
        clients: Clients = clients(CLIENTS);
        clients_secret: Option<String> = clients_secret(CLIENTS);
        proxy: Option<ProxySecrets> = proxy(PROXY_SECRET);
        access_lifetime: Duration = access_lifetime(ACCESS_TOKEN_SECONDS);
        refresh_lifetime: Duration = Reader::seconds(REFRESH_TOKEN_SECONDS);
        idle: Option<Duration> = idle(IDLE_SECONDS);
        limit: Limit = limit(LOGIN_ATTEMPTS, LOGIN_WINDOW_SECONDS);
        passkeys: Option<RelyingParty> = passkeys(PASSKEY_RP_ID, PASSKEY_ORIGINS);
        mail: MailRules = mail(
            MAIL_FROM, MAIL_ADDRESS_ATTEMPTS, MAIL_ADDRESS_WINDOW_SECONDS, MAIL_NETWORK_ATTEMPTS,
            MAIL_NETWORK_WINDOW_SECONDS
        );
        tables: Tables = table_names(USERS_TABLE, SESSIONS_TABLE, ATTEMPTS_TABLE);
        outbox_table: String = table(OUTBOX_TABLE);
        keys: Vec<String> = sources(KEYS);
        keys_max_age: Duration = Reader::seconds(KEYS_MAX_AGE_SECONDS);
    } + [ARGON2, IMPORTED_HASHES, MIN_PASSWORD_CHARS]

    #[derive(Clone)]
    "admin" admin -> AdminConfig {
        users_table: String = table(USERS_TABLE);
        sessions_table: String = table(SESSIONS_TABLE);
        outbox_table: String = table(OUTBOX_TABLE);
        machines: Option<String> = machines(MACHINES);
        keys: Vec<String> = sources(KEYS);
        keys_max_age: Duration = Reader::seconds(KEYS_MAX_AGE_SECONDS);
    } + [ARGON2, IMPORTED_HASHES, MIN_PASSWORD_CHARS]

    #[derive(Clone)]
    "account" account -> AccountConfig {
        issuer: Issuer = Reader::issuer(ISSUER);
        clients: Clients = clients(CLIENTS);
        clients_secret: Option<String> = clients_secret(CLIENTS);
        proxy: Option<ProxySecrets> = proxy(PROXY_SECRET);
        mail: MailRules = mail(
            MAIL_FROM, MAIL_ADDRESS_ATTEMPTS, MAIL_ADDRESS_WINDOW_SECONDS, MAIL_NETWORK_ATTEMPTS,
            MAIL_NETWORK_WINDOW_SECONDS
        );
        tables: Tables = table_names(USERS_TABLE, SESSIONS_TABLE, ATTEMPTS_TABLE);
        outbox_table: String = table(OUTBOX_TABLE);
        keys: Vec<String> = sources(KEYS);
        keys_max_age: Duration = Reader::seconds(KEYS_MAX_AGE_SECONDS);
    } + [ARGON2, IMPORTED_HASHES, MIN_PASSWORD_CHARS]

    #[derive(Clone)]
    "mailer" mailer -> MailerConfig {
        issuer: Issuer = Reader::issuer(ISSUER);
        clients: Clients = clients(CLIENTS);
        clients_secret: Option<String> = clients_secret(CLIENTS);
        from: Option<Sender> = sender(MAIL_FROM);
        templates: Option<String> = templates(MAIL_TEMPLATES);
        configuration_set: Option<String> = configuration_set(MAIL_CONFIGURATION_SET);
        users_table: String = table(USERS_TABLE);
        outbox_table: String = table(OUTBOX_TABLE);
        keys: Vec<String> = sources(KEYS);
        keys_max_age: Duration = Reader::seconds(KEYS_MAX_AGE_SECONDS);
    }

    #[derive(Clone)]
    "discovery" discovery -> DiscoveryConfig {
        issuer: Issuer = Reader::issuer(ISSUER);
        jwks: PublicKeys = public_keys(JWKS);
        keys_max_age: Duration = Reader::seconds(KEYS_MAX_AGE_SECONDS);
    }

    #[derive(Clone)]
    "revocations" revocations -> RevocationsConfig {
        issuer: Issuer = Reader::issuer(ISSUER);
        access_lifetime: Duration = access_lifetime(ACCESS_TOKEN_SECONDS);
        sessions_table: String = table(SESSIONS_TABLE);
    }

    "rotate-keys" rotate_keys -> RotateKeysConfig {
        signing_secret: String = secret(SIGNING_SECRET);
        refresh_secret: String = secret(REFRESH_SECRET);
        peppers_secret: String = secret(PEPPERS_SECRET);
        jwks_secret: String = secret(JWKS_SECRET);
        rules: Rules = rules(ISSUER, SIGNING_ALGORITHM, KEYS_PUBLISHED_SECONDS);
    }
}

/// The value of a setting by its variable, from the environment or the document of settings. The tables' readers report the
/// problems of the document.
pub fn lookup(environment: Lookup<'_>) -> impl Fn(&str) -> Option<String> {
    let (sources, _) = Sources::read(environment, TABLES);
    move |name| sources.get(name)
}

/// The tables of all functions, the authorizer's included.
pub fn all_tables() -> impl Iterator<Item = &'static Table> {
    TABLES.iter().chain(authorizer::TABLES)
}

/// Names of the DynamoDB tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// One item for each user.
    pub users: String,
    /// One item for each session, with the sparse index `ended`.
    pub sessions: String,
    /// One item for each rate limit, with its slots.
    pub attempts: String,
}

/// The rules of requests for mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailRules {
    /// Whether mails are sent at all: the setting `mail_from` is set.
    pub is_on: bool,
    /// For one recipient.
    pub address: Limit,
    /// For one network.
    pub network: Limit,
}

/// The system that users come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrateFrom {
    /// A user pool of Amazon Cognito.
    Cognito {
        /// The AWS region of the pool.
        region: String,
        /// The id of an app client without a secret.
        client: String,
    },
    /// Another system, at this URL.
    Url(http::Uri),
}

/// Where the public signing keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKeys {
    /// In the configuration.
    Inline(Jwks),
    /// In the secret of this ARN, which holds a JWKS and nothing secret.
    Secret(String),
}

impl PublicKeys {
    /// The keys of the configuration, if they are there.
    #[must_use]
    pub const fn inline(&self) -> Option<&Jwks> {
        match self {
            Self::Inline(jwks) => Some(jwks),
            Self::Secret(_) => None,
        }
    }
}

impl RotateKeysConfig {
    /// The ARN of a section's secret.
    #[must_use]
    pub fn secret(&self, section: Section) -> &str {
        match section {
            Section::Signing => &self.signing_secret,
            Section::Refresh => &self.refresh_secret,
            Section::Peppers => &self.peppers_secret,
        }
    }
}
