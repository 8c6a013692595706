//! The settings of `authorizer`.

use super::{AUDIENCE, DPOP_ORIGINS, ISSUER, JWKS, Number, Reader, Text};
use crate::base::issuer::{Issuer, secure_url};
use crate::jose::jwk::Jwks;
use crate::revocation::{Limits, WhenStale};
use crate::routes::Routes;
use crate::{settings, tables};
use std::time::Duration;

settings! {
    /// Where the authorizer fetches public keys: "direct" for a URL of the function that only your stacks know,
    /// "issuer" for ISSUER/.well-known/jwks.json, or the URL of a cache. It fetches when a token names an unknown key,
    /// and when its keys are older than jwks_max_age_seconds.
    JWKS_URL = "DAYPASS_JWKS_URL";

    /// The authorizer fetches keys at most once per this many seconds, or 5 if a fetch failed.
    JWKS_INTERVAL_SECONDS = "DAYPASS_JWKS_INTERVAL_SECONDS": 60 in 5..=3600 seconds;

    /// The authorizer fetches keys again when they are older than this. A withdrawn key is accepted for at most this
    /// time.
    JWKS_MAX_AGE_SECONDS = "DAYPASS_JWKS_MAX_AGE_SECONDS": 900 in 60..=86_400 seconds;

    /// The authorizer rejects an access token whose lifetime is longer than this. Daypass issues tokens for at most 600
    /// seconds.
    MAX_ACCESS_TOKEN_SECONDS = "DAYPASS_MAX_ACCESS_TOKEN_SECONDS": 3600 in 600..=86_400 seconds;

    /// The route table: which token may call which route of the guarded APIs, as lines separated by ";". Every line
    /// that matches must be met, and * stands for any text. Example: GET /orders/* needs orders:read claim:tenant;
    /// * /health public; default deny. Empty: a valid token may call everything.
    ROUTES = "DAYPASS_ROUTES";

    /// Name of the DynamoDB table in which routes with `dpop once` keep used proofs: key attribute "key" (S), TTL attribute
    /// "expires_at". The role of the function needs dynamodb:PutItem for keys that begin with "proof#". Empty: no such
    /// routes.
    PROOFS_TABLE = "DAYPASS_PROOFS_TABLE";

    /// "simple" for HTTP APIs with EnableSimpleResponses, "policy" for those without. REST and WebSocket APIs always
    /// get policies.
    HTTP_ANSWER = "DAYPASS_HTTP_ANSWER";

    /// Claims that the authorizer passes to the integration besides sub, sid, client_id and scope, separated by spaces.
    /// Claims of users are among them. Example: jti tenant
    CONTEXT_CLAIMS = "DAYPASS_CONTEXT_CLAIMS";

    /// The revocation feed of the authorizer: "direct" for a URL of the function that only your stacks know, "issuer"
    /// for ISSUER/revocations, or the URL of a cache. Empty: no feed, and an access token is valid until it expires.
    REVOCATIONS_URL = "DAYPASS_REVOCATIONS_URL";

    /// Each warm authorizer polls the feed at most once per this many seconds. A revoked token can pass for this time.
    REVOCATIONS_INTERVAL_SECONDS = "DAYPASS_REVOCATIONS_INTERVAL_SECONDS": 5 in 1..=60 seconds;

    /// Age in seconds from which the list of revocations is stale. At least twice revocations_interval_seconds.
    REVOCATIONS_STALE_SECONDS = "DAYPASS_REVOCATIONS_STALE_SECONDS": 60 in 5..=600 seconds;

    /// When the feed has not answered for revocations_stale_seconds: "open" decides by the known revocations, "closed"
    /// answers with an error (5xx). "closed" is a remote off-switch: a person who keeps your authorizers from the feed
    /// stops every guarded API. Use it with RevocationsUrl=direct alone. Default: open
    REVOCATIONS_WHEN_STALE = "DAYPASS_REVOCATIONS_WHEN_STALE";
}

/// Deadline of a key fetch. API Gateway waits 10 s for an authorizer, and the function has 5 s.
pub const JWKS_DEADLINE: Duration = Duration::from_millis(1500);
/// The largest JWK set, in bytes: 32 RSA keys of 8,192 bits are smaller.
pub const JWKS_MAX_BYTES: usize = 64 * 1024;

/// The most extra claims in the context: the response of an authorizer is at most 8 KB.
const MAX_CONTEXT_CLAIMS: usize = 16;

tables! {
    "authorizer" read -> AuthorizerConfig {
        issuer: Issuer = Reader::issuer(ISSUER);
        audience: String = Reader::audience(AUDIENCE);
        keys: KeySource = key_source(JWKS, JWKS_URL, JWKS_INTERVAL_SECONDS, JWKS_MAX_AGE_SECONDS);
        max_token_lifetime: Duration = Reader::seconds(MAX_ACCESS_TOKEN_SECONDS);
        routes: Routes = routes(ROUTES);
        proofs_table: Option<String> = proofs_table(PROOFS_TABLE, ROUTES);
        dpop_origins: Vec<String> = Reader::base_urls(DPOP_ORIGINS);
        http_answer: HttpAnswer = http_answer(HTTP_ANSWER);
        context_claims: Vec<String> = context_claims(CONTEXT_CLAIMS);
        revocations: Option<FollowedFeed> = followed_feed(
            REVOCATIONS_URL, REVOCATIONS_INTERVAL_SECONDS, REVOCATIONS_STALE_SECONDS, REVOCATIONS_WHEN_STALE
        );
    }
}

/// A revocation feed and the limits of its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedFeed {
    /// URL with `https`, or with `http` for this machine.
    pub url: http::Uri,
    /// Polling interval, and the behaviour while the feed does not answer.
    pub limits: Limits,
}

/// Source of the public signing keys.
#[derive(Debug, PartialEq, Eq)]
pub enum KeySource {
    /// From the configuration. They never change.
    Inline(Jwks),
    /// Keys of the issuer.
    Url {
        /// URL with `https`, or with `http` for this machine.
        url: http::Uri,
        /// Fallback keys of unknown age, for a start while the issuer does not answer. The issuer's keys are fetched before the
        /// first response all the same.
        first: Option<Jwks>,
        /// The least time between two fetches.
        interval: Duration,
        /// The age from which keys are fetched again.
        max_age: Duration,
    },
}

/// The response that an HTTP API of payload format 2.0 is configured to expect. The event does not tell which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpAnswer {
    /// The form of `EnableSimpleResponses: true`.
    Simple,
    /// An IAM policy.
    Policy,
}

fn routes(reader: &mut Reader<'_>, setting: &Text) -> Option<Routes> {
    reader.optional(setting, Routes::default(), Routes::parse)
}

/// The table of used proofs; `Some(None)` without one, if no route needs it.
fn proofs_table(reader: &mut Reader<'_>, setting: &Text, routes: &Text) -> Option<Option<String>> {
    // A wrong route table is reported by `routes`.
    let needed = reader.get(routes.name).and_then(|text| Routes::parse(&text).ok());
    let needed = needed.is_some_and(|routes| routes.accept_proofs_once());
    let table = reader.optional(setting, None, |name| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        if (3..=255).contains(&name.len()) && name.bytes().all(legal) {
            Ok(Some(name.to_owned()))
        } else {
            Err("is not 3 to 255 of A-Z a-z 0-9 _ . -".to_owned())
        }
    })?;
    if needed && table.is_none() {
        return reader.problem(format!("{} has `dpop once`, and {} is not set", routes.name, setting.name));
    }
    Some(table)
}

fn http_answer(reader: &mut Reader<'_>, setting: &Text) -> Option<HttpAnswer> {
    reader.optional(setting, HttpAnswer::Simple, |text| match text {
        "simple" => Ok(HttpAnswer::Simple),
        "policy" => Ok(HttpAnswer::Policy),
        _ => Err("is not `simple` or `policy`".to_owned()),
    })
}

fn context_claims(reader: &mut Reader<'_>, setting: &Text) -> Option<Vec<String>> {
    reader.optional(setting, Vec::new(), parse_claims)
}

/// Parses names of claims, separated by spaces.
fn parse_claims(text: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for name in text.split_whitespace() {
        // API Gateway reserves `claims`. The context always has the others.
        if ["claims", "sub", "sid", "client_id", "scope", "jkt"].contains(&name) {
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

/// The feed; `Some(None)` without one.
fn followed_feed(
    reader: &mut Reader<'_>,
    url: &Text,
    interval: &Number,
    stale_after: &Number,
    when_stale: &Text,
) -> Option<Option<FollowedFeed>> {
    let interval = reader.seconds(interval);
    let stale_after = reader.seconds(stale_after);
    let when_stale = reader.optional(when_stale, WhenStale::Open, |text| match text {
        "open" => Ok(WhenStale::Open),
        "closed" => Ok(WhenStale::Closed),
        _ => Err("is not `open` or `closed`".to_owned()),
    });
    let url = reader.optional(url, None, |url| secure_url(url).map(Some));
    let (interval, stale_after, when_stale) = (interval?, stale_after?, when_stale?);
    // With less, the list would be stale between two good responses.
    let stale_after = stale_after.max(2 * interval);
    Some(url?.map(|url| FollowedFeed { url, limits: Limits { interval, stale_after, when_stale } }))
}

fn key_source(
    reader: &mut Reader<'_>,
    jwks: &Text,
    url: &Text,
    interval: &Number,
    max_age: &Number,
) -> Option<KeySource> {
    let (interval_name, max_age_name) = (interval.name, max_age.name);
    let interval = reader.seconds(interval);
    let max_age = reader.seconds(max_age);
    let url = reader.optional(url, None, |url| secure_url(url).map(Some));
    // With a URL, the keys of the configuration are optional.
    let inline = match (reader.get(jwks.name), &url) {
        (None, Some(None)) | (Some(_), _) => reader.jwks(jwks).map(Some),
        (None, _) => Some(None),
    };
    let (interval, max_age, url, first) = (interval?, max_age?, url?, inline?);
    let Some(url) = url else { return first.map(KeySource::Inline) };
    if interval > max_age {
        return reader.problem(format!("{interval_name} is more than {max_age_name}"));
    }
    Some(KeySource::Url { url, first, interval, max_age })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;
    use crate::jose::jwk::Jwk;
    use crate::jose::verify::MAX_LIFETIME;

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
        check("DAYPASS_ROUTES", "GET /a needs dpop once", "DAYPASS_PROOFS_TABLE is not set");
        check("DAYPASS_PROOFS_TABLE", "a table", "3 to 255");
        check("DAYPASS_DPOP_ORIGINS", "http://api.example.com", "https://");
        check("DAYPASS_DPOP_ORIGINS", "https://api.example.com?x", "no query");
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
