//! Configuration of the keys: where the public ones are, and what `rotate-keys` reads.

use super::Reader;
use crate::keys::rotation::{Rules, Section};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::config::{ConfigError, Setting};
use daypass_verifier::jose::jwk::{Algorithm, Jwks};
use std::time::Duration;

/// What `rotate-keys` reads.
pub const ROTATE_KEYS: &[&str] = &[
    "DAYPASS_ISSUER",
    "DAYPASS_SIGNING_SECRET",
    "DAYPASS_REFRESH_SECRET",
    "DAYPASS_PEPPERS_SECRET",
    "DAYPASS_JWKS_SECRET",
    "DAYPASS_SIGNING_ALGORITHM",
    "DAYPASS_KEYS_PUBLISHED_SECONDS",
];

/// How long a key must have been published before it is used, in seconds: three hours, since API Gateway's own JWT authorizer
/// keeps a JWKS for two.
pub const KEYS_PUBLISHED_SECONDS: Setting =
    Setting { name: "DAYPASS_KEYS_PUBLISHED_SECONDS", default: 10_800, range: 10_800..=43_200 };

/// Keys that a function read longer ago are read anew, in seconds.
pub const KEYS_MAX_AGE_SECONDS: Setting =
    Setting { name: "DAYPASS_KEYS_MAX_AGE_SECONDS", default: 300, range: 5..=3600 };

/// Where the public signing keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKeys {
    /// In the configuration.
    Inline(Jwks),
    /// In this secret of Secrets Manager, which holds a JWKS and nothing secret.
    Secret(String),
}

impl PublicKeys {
    /// Those of the configuration, if they are there.
    #[must_use]
    pub const fn inline(&self) -> Option<&Jwks> {
        match self {
            Self::Inline(jwks) => Some(jwks),
            Self::Secret(_) => None,
        }
    }
}

/// Configuration of `rotate-keys`.
#[derive(Debug)]
pub struct RotateKeysConfig {
    /// ARN of the secret with the signing keys.
    pub signing_secret: String,
    /// ARN of the secret with the MAC keys of refresh tokens.
    pub refresh_secret: String,
    /// ARN of the secret with the peppers.
    pub peppers_secret: String,
    /// ARN of the secret with the public JWKS.
    pub jwks_secret: String,
    /// How the keys rotate.
    pub rules: Rules,
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

/// Reads the configuration of `rotate-keys`.
///
/// # Errors
/// [`ConfigError`] with everything that is missing or wrong.
pub fn rotate_keys(lookup: impl Fn(&str) -> Option<String>) -> Result<RotateKeysConfig, ConfigError> {
    let mut read = Reader::new(&lookup);
    let issuer = read.issuer();
    let signing_secret = read.secret("DAYPASS_SIGNING_SECRET");
    let refresh_secret = read.secret("DAYPASS_REFRESH_SECRET");
    let peppers_secret = read.secret("DAYPASS_PEPPERS_SECRET");
    let jwks_secret = read.secret("DAYPASS_JWKS_SECRET");
    let algorithm = read.algorithm();
    // On this machine as short as somebody needs it who wants to watch rotations.
    let shortest =
        if issuer.as_ref().is_some_and(Issuer::is_local) { 1 } else { *KEYS_PUBLISHED_SECONDS.range.start() };
    let range = shortest..=*KEYS_PUBLISHED_SECONDS.range.end();
    let published_for = read.seconds(&Setting { range, ..KEYS_PUBLISHED_SECONDS });
    read.finish(|| {
        Some(RotateKeysConfig {
            signing_secret: signing_secret?,
            refresh_secret: refresh_secret?,
            peppers_secret: peppers_secret?,
            jwks_secret: jwks_secret?,
            rules: Rules { published_for: published_for?, algorithm: algorithm? },
        })
    })
}

impl Reader<'_> {
    pub(super) fn keys_max_age(&mut self) -> Option<Duration> {
        self.seconds(&KEYS_MAX_AGE_SECONDS)
    }

    fn secret(&mut self, name: &str) -> Option<String> {
        self.required(name, |arn| match arn.starts_with("arn:") {
            true => Ok(arn.to_owned()),
            false => Err("is not the ARN of a secret".to_owned()),
        })
    }

    fn algorithm(&mut self) -> Option<Algorithm> {
        self.required("DAYPASS_SIGNING_ALGORITHM", |name| {
            let known = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];
            known
                .into_iter()
                .find(|known| known.as_str() == name)
                .ok_or("is not ES256, EdDSA or RS256".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:daypass-AbCdEf";

    fn read(settings: &[(&str, &str)]) -> Result<RotateKeysConfig, ConfigError> {
        rotate_keys(|name| {
            let set = settings.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            let usual = match name {
                "DAYPASS_ISSUER" => Some("https://id.example.com"),
                "DAYPASS_SIGNING_ALGORITHM" => Some("ES256"),
                "DAYPASS_KEYS_PUBLISHED_SECONDS" => None,
                _ => Some(ARN),
            };
            set.or(usual).map(str::to_owned)
        })
    }

    #[test]
    fn keys_are_published_for_hours_except_on_this_machine() {
        assert_eq!(read(&[]).unwrap().rules.published_for.as_secs(), 10_800);
        let short = ("DAYPASS_KEYS_PUBLISHED_SECONDS", "2");
        assert!(read(&[short]).unwrap_err().to_string().contains("from 10800 to"));
        let local = ("DAYPASS_ISSUER", "http://127.0.0.1:3000");
        assert_eq!(read(&[short, local]).unwrap().rules.published_for.as_secs(), 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value, expected) in [
            ("DAYPASS_SIGNING_SECRET", "", "is not set"),
            ("DAYPASS_JWKS_SECRET", "keys.json", "not the ARN"),
            ("DAYPASS_SIGNING_ALGORITHM", "HS256", "ES256, EdDSA or RS256"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(expected), "{error}");
        }
    }
}
