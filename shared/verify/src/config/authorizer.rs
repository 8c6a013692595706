//! The configuration of the authorizer.

use super::{ConfigError, Reader, Setting};
use crate::base::issuer::Issuer;
use crate::base::issuer::secure_url;
use crate::jose::jwk::Jwks;
use crate::jose::verify::MAX_LIFETIME;
use crate::revocation::{Limits, WhenStale};
use crate::routes::Routes;
use std::time::Duration;

/// The variables of the authorizer.
pub const AUTHORIZER: &[&str] = &[
    "DAYPASS_ISSUER",
    "DAYPASS_AUDIENCE",
    "DAYPASS_JWKS",
    "DAYPASS_JWKS_URL",
    "DAYPASS_JWKS_INTERVAL_SECONDS",
    "DAYPASS_JWKS_MAX_AGE_SECONDS",
    "DAYPASS_MAX_ACCESS_TOKEN_SECONDS",
    "DAYPASS_ROUTES",
    "DAYPASS_HTTP_ANSWER",
    "DAYPASS_CONTEXT_CLAIMS",
    "DAYPASS_REVOCATIONS_URL",
    "DAYPASS_REVOCATIONS_INTERVAL_SECONDS",
    "DAYPASS_REVOCATIONS_STALE_SECONDS",
    "DAYPASS_REVOCATIONS_WHEN_STALE",
];

/// Shortest time between two fetches of keys, in seconds, however many unknown `kid`s arrive.
pub const JWKS_INTERVAL_SECONDS: Setting =
    Setting { name: "DAYPASS_JWKS_INTERVAL_SECONDS", default: 60, range: 5..=3600 };
/// Greatest age of keys, in seconds. A withdrawn key is accepted for at most this time.
pub const JWKS_MAX_AGE_SECONDS: Setting =
    Setting { name: "DAYPASS_JWKS_MAX_AGE_SECONDS", default: 900, range: 60..=86_400 };

/// The longest lifetime of an access token, `exp - iat`, in seconds. The least value is the longest lifetime that
/// Daypass issues.
pub const MAX_ACCESS_TOKEN_SECONDS: Setting = Setting {
    name: "DAYPASS_MAX_ACCESS_TOKEN_SECONDS",
    default: MAX_LIFETIME.as_secs(),
    range: 600..=86_400,
};

/// Shortest time between two polls of the revocation feed by one process, in seconds.
pub const REVOCATIONS_INTERVAL_SECONDS: Setting =
    Setting { name: "DAYPASS_REVOCATIONS_INTERVAL_SECONDS", default: 5, range: 1..=60 };
/// Age from which a revocation list is stale, in seconds: see [`WhenStale`]. A value under two intervals counts as two.
pub const REVOCATIONS_STALE_SECONDS: Setting =
    Setting { name: "DAYPASS_REVOCATIONS_STALE_SECONDS", default: 60, range: 5..=600 };

/// Deadline of a fetch of keys. API Gateway waits 10 s for an authorizer, and the function has 3 s.
pub const JWKS_DEADLINE: Duration = Duration::from_millis(1500);
/// The largest JWK set, in bytes. 32 RSA keys of 8,192 bits are smaller.
pub const JWKS_MAX_BYTES: usize = 64 * 1024;

/// Most claims in `DAYPASS_CONTEXT_CLAIMS`: a response of an authorizer has at most 8 KB.
const MAX_CONTEXT_CLAIMS: usize = 16;

/// The configuration of the authorizer.
#[derive(Debug)]
pub struct AuthorizerConfig {
    /// Issuer of the accepted tokens.
    pub issuer: Issuer,
    /// Audience of the accepted tokens.
    pub audience: String,
    /// Source of the public signing keys.
    pub keys: KeySource,
    /// The longest lifetime of an access token, `exp - iat`.
    pub max_token_lifetime: Duration,
    /// The route tables.
    pub routes: Routes,
    /// The response that HTTP APIs of payload format 2.0 expect.
    pub http_answer: HttpAnswer,
    /// Claims in the context besides `sub`, `sid`, `client_id` and `scope`.
    pub context_claims: Vec<String>,
    /// The revocation feed to follow; `None` without one.
    pub revocations: Option<FollowedFeed>,
}

/// A revocation feed with its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedFeed {
    /// URL with `https`, or with `http` for this machine.
    pub url: http::Uri,
    /// Times of the polls, and the decision while the list is stale.
    pub limits: Limits,
}

/// Source of the public signing keys.
#[derive(Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Keys of the configuration alone.
    Inline(Jwks),
    /// Keys of the issuer.
    Url {
        /// URL with `https`, or with `http` for this machine.
        url: http::Uri,
        /// Keys of the configuration, for a new process while the issuer does not answer. They may be of any age, so
        /// the process still fetches before its first response.
        first: Option<Jwks>,
        /// Shortest time between two fetches.
        interval: Duration,
        /// Greatest age of the keys.
        max_age: Duration,
    },
}

/// The response that an HTTP API of payload format 2.0 expects. Its event does not contain this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpAnswer {
    /// A simple response, for `EnableSimpleResponses: true`.
    Simple,
    /// An IAM policy.
    Policy,
}

/// Reads the configuration of the authorizer.
///
/// # Errors
/// [`ConfigError`] with every missing or wrong variable.
pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<AuthorizerConfig, ConfigError> {
    let mut read = Reader::new(&lookup);
    let issuer = read.issuer();
    let audience = read.audience();
    let keys = read.key_source();
    let max_token_lifetime = read.seconds(&MAX_ACCESS_TOKEN_SECONDS);
    let routes = match read.get("DAYPASS_ROUTES") {
        Some(_) => read.required("DAYPASS_ROUTES", Routes::parse),
        None => Some(Routes::default()),
    };
    let http_answer = match read.get("DAYPASS_HTTP_ANSWER") {
        Some(_) => read.required("DAYPASS_HTTP_ANSWER", parse_http_answer),
        None => Some(HttpAnswer::Simple),
    };
    let context_claims = match read.get("DAYPASS_CONTEXT_CLAIMS") {
        Some(_) => read.required("DAYPASS_CONTEXT_CLAIMS", parse_claims),
        None => Some(Vec::new()),
    };
    let revocations = read.followed_feed();
    read.finish(|| {
        Some(AuthorizerConfig {
            issuer: issuer?,
            audience: audience?,
            keys: keys?,
            max_token_lifetime: max_token_lifetime?,
            routes: routes?,
            http_answer: http_answer?,
            context_claims: context_claims?,
            revocations: revocations?,
        })
    })
}

fn parse_http_answer(text: &str) -> Result<HttpAnswer, String> {
    match text {
        "simple" => Ok(HttpAnswer::Simple),
        "policy" => Ok(HttpAnswer::Policy),
        _ => Err("is not `simple` or `policy`".to_owned()),
    }
}

fn parse_when_stale(text: &str) -> Result<WhenStale, String> {
    match text {
        "open" => Ok(WhenStale::Open),
        "closed" => Ok(WhenStale::Closed),
        _ => Err("is not `open` or `closed`".to_owned()),
    }
}

/// Parses names of claims, separated by spaces.
fn parse_claims(text: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for name in text.split_whitespace() {
        // API Gateway reserves `claims`. The context always has the others.
        if ["claims", "sub", "sid", "client_id", "scope"].contains(&name) {
            return Err(format!("names `{name}`, which is reserved or always there"));
        }
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        if name.len() > 64 || !name.bytes().all(legal) {
            return Err(format!("names `{name}`, which is not 1 to 64 of A-Z a-z 0-9 _ -"));
        }
        if names.iter().any(|other| other == name) {
            return Err(format!("names `{name}` twice"));
        }
        names.push(name.to_owned());
    }
    if names.len() > MAX_CONTEXT_CLAIMS {
        return Err(format!("names more than {MAX_CONTEXT_CLAIMS} claims"));
    }
    Ok(names)
}

impl Reader<'_> {
    /// The feed; `Some(None)` without one.
    fn followed_feed(&mut self) -> Option<Option<FollowedFeed>> {
        let interval = self.seconds(&REVOCATIONS_INTERVAL_SECONDS);
        let stale_after = self.seconds(&REVOCATIONS_STALE_SECONDS);
        let when_stale = match self.get("DAYPASS_REVOCATIONS_WHEN_STALE") {
            Some(_) => self.required("DAYPASS_REVOCATIONS_WHEN_STALE", parse_when_stale),
            None => Some(WhenStale::Open),
        };
        let url = match self.get("DAYPASS_REVOCATIONS_URL") {
            Some(_) => Some(self.required("DAYPASS_REVOCATIONS_URL", secure_url)?),
            None => None,
        };
        let (interval, stale_after, when_stale) = (interval?, stale_after?, when_stale?);
        // Otherwise the list would be stale between two good polls.
        let stale_after = stale_after.max(2 * interval);
        Some(url.map(|url| FollowedFeed { url, limits: Limits { interval, stale_after, when_stale } }))
    }

    fn key_source(&mut self) -> Option<KeySource> {
        let interval = self.seconds(&JWKS_INTERVAL_SECONDS);
        let max_age = self.seconds(&JWKS_MAX_AGE_SECONDS);
        let fetched = self.get("DAYPASS_JWKS_URL").is_some();
        let inline = match self.get("DAYPASS_JWKS") {
            None if fetched => Some(None),
            _ => self.jwks().map(Some),
        };
        let url = fetched.then(|| self.required("DAYPASS_JWKS_URL", secure_url));
        let (interval, max_age, inline) = (interval?, max_age?, inline?);
        if fetched && interval > max_age {
            let problem = "DAYPASS_JWKS_INTERVAL_SECONDS is more than DAYPASS_JWKS_MAX_AGE_SECONDS";
            self.problem(problem.to_owned());
            return None;
        }
        match url {
            None => inline.map(KeySource::Inline),
            Some(url) => Some(KeySource::Url { url: url?, first: inline, interval, max_age }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::jwk::Jwk;

    fn read(settings: &[(&str, &str)]) -> Result<AuthorizerConfig, ConfigError> {
        let jwks = Jwks::new(vec![Jwk::ed25519(&[1; 32])]).to_json().unwrap();
        super::read(|name| {
            let set = settings.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
            set.or_else(|| match name {
                "DAYPASS_ISSUER" => Some("https://id.example.com".to_owned()),
                "DAYPASS_AUDIENCE" => Some("api".to_owned()),
                "DAYPASS_JWKS" => Some(jwks.clone()),
                _ => None,
            })
        })
    }

    #[test]
    fn defaults() {
        let config = read(&[]).unwrap();
        assert!(matches!(config.keys, KeySource::Inline(_)));
        assert_eq!(config.max_token_lifetime, MAX_LIFETIME);
        assert_eq!(config.routes, Routes::default());
        assert_eq!(config.http_answer, HttpAnswer::Simple);
        assert!(config.context_claims.is_empty());
        assert_eq!(config.revocations, None);
    }

    #[test]
    fn a_feed_is_followed_when_there_is_a_url() {
        let feed = |settings: &[(&str, &str)]| {
            let url = ("DAYPASS_REVOCATIONS_URL", "https://id.example.com/revocations");
            let feed = read(&[&[url], settings].concat()).unwrap().revocations.unwrap();
            assert_eq!(feed.url, url.1);
            (feed.limits.interval.as_secs(), feed.limits.stale_after.as_secs(), feed.limits.when_stale)
        };
        assert_eq!(feed(&[]), (5, 60, WhenStale::Open));
        let all = [
            ("DAYPASS_REVOCATIONS_INTERVAL_SECONDS", "1"),
            ("DAYPASS_REVOCATIONS_STALE_SECONDS", "10"),
            ("DAYPASS_REVOCATIONS_WHEN_STALE", "closed"),
        ];
        assert_eq!(feed(&all), (1, 10, WhenStale::Closed));
        let rare = [("DAYPASS_REVOCATIONS_INTERVAL_SECONDS", "60")];
        assert_eq!(feed(&rare), (60, 120, WhenStale::Open), "never less than two intervals");
    }

    #[test]
    fn keys_come_inline_or_from_the_issuer_or_both() {
        let url = ("DAYPASS_JWKS_URL", "https://id.example.com/.well-known/jwks.json");
        let source = |settings: &[(&str, &str)]| match read(settings).unwrap().keys {
            KeySource::Url { url, first, interval, max_age } => {
                (url.to_string(), first.is_some(), interval.as_secs(), max_age.as_secs())
            }
            KeySource::Inline(_) => panic!("inline"),
        };
        assert_eq!(source(&[url]), (url.1.to_owned(), true, 60, 900));
        assert_eq!(source(&[url, ("DAYPASS_JWKS", "")]), (url.1.to_owned(), false, 60, 900));
        let local = ("DAYPASS_JWKS_URL", "http://127.0.0.1:3000/jwks");
        let times = [("DAYPASS_JWKS_INTERVAL_SECONDS", "5"), ("DAYPASS_JWKS_MAX_AGE_SECONDS", "60")];
        assert_eq!(source(&[local, times[0], times[1]]), (local.1.to_owned(), true, 5, 60));
    }

    fn check(name: &str, value: &str, expected: &str) {
        let error = read(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(expected), "{error}");
    }

    #[test]
    fn refusals() {
        check("DAYPASS_JWKS", "", "is not set");
        check("DAYPASS_JWKS_URL", "http://id.example.com/jwks", "https://");
        check("DAYPASS_JWKS_URL", "http://localhost.example.com/jwks", "https://");
        check("DAYPASS_JWKS_URL", "https://id.example.com/jwks?x=1", "no query");
        check("DAYPASS_JWKS_URL", "https://user:pass@id.example.com/jwks", "no query");
        check("DAYPASS_JWKS_URL", "file:///etc/passwd", "not a URL");
        check("DAYPASS_JWKS_INTERVAL_SECONDS", "1", "from 5 to 3600");
        check("DAYPASS_JWKS_MAX_AGE_SECONDS", "never", "from 60 to 86400");
        check("DAYPASS_MAX_ACCESS_TOKEN_SECONDS", "599", "from 600 to 86400");
        let url = ("DAYPASS_JWKS_URL", "https://id.example.com/jwks");
        let slow = [url, ("DAYPASS_JWKS_INTERVAL_SECONDS", "3600"), ("DAYPASS_JWKS_MAX_AGE_SECONDS", "60")];
        assert!(read(&slow).unwrap_err().to_string().contains("is more than DAYPASS_JWKS_MAX_AGE_SECONDS"));
        check("DAYPASS_ROUTES", "GET /a needs a\nGET b public", "line 2");
        check("DAYPASS_HTTP_ANSWER", "iam", "`simple` or `policy`");
        check("DAYPASS_CONTEXT_CLAIMS", "jti claims", "`claims`");
        check("DAYPASS_CONTEXT_CLAIMS", "jti jti", "twice");
        check("DAYPASS_CONTEXT_CLAIMS", "a.b", "`a.b`");
        check("DAYPASS_REVOCATIONS_URL", "http://id.example.com/revocations", "https://");
        check("DAYPASS_REVOCATIONS_URL", "https://id.example.com/revocations?after=1", "no query");
        check("DAYPASS_REVOCATIONS_INTERVAL_SECONDS", "0", "from 1 to 60");
        check("DAYPASS_REVOCATIONS_STALE_SECONDS", "4", "from 5 to 600");
        check("DAYPASS_REVOCATIONS_WHEN_STALE", "shut", "`open` or `closed`");
    }
}
