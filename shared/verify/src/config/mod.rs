//! Configuration: environment variables and a document of settings, which a function reads once, at its start. All problems are
//! reported together.

use crate::base::issuer::{Issuer, secure_url};
use crate::jose::jwk::Jwks;
use crate::settings;
use std::fmt;
use std::time::Duration;

pub mod authorizer;
mod document;
mod table;

pub use document::{SETTINGS, Sources};
pub use table::{Number, Setting, Table, Text};

settings! {
    /// The https URL under which clients reach this API, and the "iss" of each token. Compared byte for byte: no
    /// trailing slash, query or fragment. Empty: DomainName, or the URL that API Gateway makes. After a change, tokens of
    /// the previous issuer are rejected.
    ISSUER = "DAYPASS_ISSUER";

    /// The "aud" of the access tokens. The authorizer accepts tokens of this audience alone.
    AUDIENCE = "DAYPASS_AUDIENCE";

    /// Further base URLs through which clients call an API, separated by spaces, such as that of a CDN or of a custom domain with
    /// a path. The htu of a DPoP proof begins with one of them, with the issuer at its endpoints, or with the URL that API
    /// Gateway knows. Example: https://app.example.com/auth
    DPOP_ORIGINS = "DAYPASS_DPOP_ORIGINS";

    /// Public signing keys: a JWKS as JSON. `discovery` and `revoke` also accept the ARN of a secret that holds one.
    /// `authorizer` needs this variable or DAYPASS_JWKS_URL.
    JWKS = "DAYPASS_JWKS";
}

/// Finds the value of an environment variable.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// All problems of a configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// All problems, one line each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not usable: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigError {}

/// Reads settings and collects their problems. A method returns `None` where it has reported one.
pub struct Reader<'a> {
    sources: Sources<'a>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader of the variables that `lookup` finds, and of the document with the settings of `tables`.
    #[must_use]
    pub fn new(lookup: Lookup<'a>, tables: &[Table]) -> Self {
        let (sources, problems) = Sources::read(lookup, tables);
        Self { sources, problems }
    }

    /// The value of a setting, by its variable. An empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<String> {
        self.sources.get(name)
    }

    /// The value of a setting that must be set.
    pub fn required<T>(
        &mut self,
        setting: &Text,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.get(setting.name) {
            Some(value) => self.parsed(setting.name, &value, parse),
            None => self.problem(format!("{} is not set", setting.name)),
        }
    }

    /// The value of a setting, or `default` if it is unset.
    pub fn optional<T>(
        &mut self,
        setting: &Text,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.get(setting.name) {
            Some(value) => self.parsed(setting.name, &value, parse),
            None => Some(default),
        }
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(problem) => self.problem(format!("{name} {problem}")),
        }
    }

    /// The issuer identifier (RFC 8414 §2).
    pub fn issuer(&mut self, setting: &Text) -> Option<Issuer> {
        self.required(setting, Issuer::parse)
    }

    /// Base URLs that begin with https (http for this machine), separated by spaces. A slash at the end is dropped.
    pub fn base_urls(&mut self, setting: &Text) -> Option<Vec<String>> {
        self.optional(setting, Vec::new(), |text| {
            let url = |url: &str| match secure_url(url) {
                Ok(_) => Ok(url.trim_end_matches('/').to_owned()),
                Err(problem) => Err(format!("names `{url}`, which {problem}")),
            };
            text.split_whitespace().map(url).collect()
        })
    }

    /// An audience: at most 256 bytes without spaces.
    pub fn audience(&mut self, setting: &Text) -> Option<String> {
        self.required(setting, |audience| {
            let printable = audience.chars().all(|c| !c.is_control() && !c.is_whitespace());
            if printable && audience.len() <= 256 {
                Ok(audience.to_owned())
            } else {
                Err("is longer than 256 bytes or holds a space or control character".to_owned())
            }
        })
    }

    /// A JWK set (RFC 7517 §5) as JSON.
    pub fn jwks(&mut self, setting: &Text) -> Option<Jwks> {
        self.required(setting, |json| {
            Jwks::parse(json.as_bytes()).map_err(|error| format!("is wrong: {error}"))
        })
    }

    /// The value of a number, or its default.
    pub fn number(&mut self, setting: &Number) -> Option<u64> {
        let Some(value) = self.get(setting.name) else { return Some(setting.default) };
        self.parsed(setting.name, &value, |value| match value.parse() {
            Ok(number) if setting.range.contains(&number) => Ok(number),
            _ => Err(format!(
                "is not a whole number from {} to {}",
                setting.range.start(),
                setting.range.end()
            )),
        })
    }

    /// The value of a number of seconds, or its default.
    pub fn seconds(&mut self, setting: &Number) -> Option<Duration> {
        self.number(setting).map(Duration::from_secs)
    }

    /// Reports a problem. The result is always `None`.
    pub fn problem<T>(&mut self, problem: String) -> Option<T> {
        self.problems.push(problem);
        None
    }

    /// The configuration that `build` makes of the values.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem that was reported.
    pub fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, ConfigError> {
        match build() {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(ConfigError(self.problems)),
        }
    }
}
