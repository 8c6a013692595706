//! Configuration: parsed once at start from a lookup of names. The error has every problem.

use crate::base::issuer::Issuer;
use crate::jose::jwk::Jwks;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

pub mod authorizer;

/// A numeric setting with its limits. `template.yaml` has the same ones, and a test compares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The name of the variable.
    pub name: &'static str,
    /// Value when the variable is not set.
    pub default: u64,
    /// The least and the greatest value.
    pub range: RangeInclusive<u64>,
}

/// All problems of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not usable: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigError {}

/// Reads variables and collects their problems.
pub struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader of the variables that `lookup` finds.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    /// The value of a variable. An empty one counts as unset: CloudFormation cannot leave a variable out conditionally
    /// without repeating all.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// The parsed value of a variable that must be set.
    pub fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let parsed = match self.get(name) {
            Some(value) => parse(&value),
            None => Err("is not set".to_owned()),
        };
        parsed.map_err(|problem| self.problems.push(format!("{name} {problem}"))).ok()
    }

    /// The value of `DAYPASS_ISSUER`.
    pub fn issuer(&mut self) -> Option<Issuer> {
        self.required("DAYPASS_ISSUER", Issuer::parse)
    }

    /// The value of `DAYPASS_AUDIENCE`: at most 256 bytes without spaces.
    pub fn audience(&mut self) -> Option<String> {
        self.required("DAYPASS_AUDIENCE", |audience| {
            let printable = audience.chars().all(|c| !c.is_control() && !c.is_whitespace());
            if printable && audience.len() <= 256 {
                Ok(audience.to_owned())
            } else {
                Err("is longer than 256 bytes or holds a space or control character".to_owned())
            }
        })
    }

    /// The JWK set in `DAYPASS_JWKS`.
    pub fn jwks(&mut self) -> Option<Jwks> {
        self.required("DAYPASS_JWKS", |json| {
            Jwks::parse(json.as_bytes()).map_err(|error| format!("is wrong: {error}"))
        })
    }

    /// The number of a setting, or its default.
    pub fn number(&mut self, setting: &Setting) -> Option<u64> {
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

    /// The duration of a setting in seconds, or its default.
    pub fn seconds(&mut self, setting: &Setting) -> Option<Duration> {
        self.number(setting).map(Duration::from_secs)
    }

    /// Adds a problem.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// The configuration that `build` makes of the values.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems, when `build` returns `None`.
    pub fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, ConfigError> {
        build().ok_or(ConfigError(self.problems))
    }
}
