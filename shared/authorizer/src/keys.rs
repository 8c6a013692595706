//! The verifier and its keys. They are those of the configuration, or the issuer's. The issuer's keys are fetched at the start,
//! when a token names an unknown key, and when they have reached their maximum age.

use daypass_https::Document;
use daypass_runtime::{Need, Refreshing, Turn};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::config::authorizer::{AuthorizerConfig, JWKS_DEADLINE, JWKS_MAX_BYTES, KeySource};
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::jose::verify::{Rejected, Rejection, UnusableKey, Verified, Verifier};
use daypass_verifier::ports::context::{Caller, Context};
use daypass_verifier::ports::event::Event;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Fetches the issuer's JWK set.
pub type Fetch = Box<dyn Fn() -> FetchResult + Send + Sync>;
/// The JWK set as JSON, or an error text for the log.
pub type FetchResult = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// Least time from the start of a fetch to the next while there are no keys and every request fails.
const WITHOUT_KEYS: Duration = Duration::from_secs(1);
/// Least time from the start of a failed fetch to the next while tokens of unknown keys fail. A sender of forged key ids makes each
/// process wait for [`JWKS_DEADLINE`] once in this time.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The fetch from the configured address; `None` if the configuration holds the keys.
///
/// # Errors
/// If the system has no root certificates to verify the issuer's.
pub fn fetch_from(keys: &KeySource) -> std::io::Result<Option<Fetch>> {
    let KeySource::Url { url, .. } = keys else { return Ok(None) };
    let document = Arc::new(Document::new(url.clone(), JWKS_DEADLINE, JWKS_MAX_BYTES)?);
    Ok(Some(Box::new(move || {
        let document = Arc::clone(&document);
        Box::pin(async move { document.get().await.map_err(|failed| failed.to_string()) })
    })))
}

/// The reason why a token is not verified.
#[derive(Debug)]
pub(crate) enum Unverified {
    /// The token is not valid.
    Rejected(Rejected),
    /// The key is unknown, or there are none at all, and the last fetch failed. The token may be valid.
    NoKeys,
}

/// The source of the verifier's keys.
pub(crate) enum Keys {
    /// Keys of the configuration, which never change.
    Inline(Verifier),
    /// The issuer's JWK set, fetched.
    Fetched(Fetched),
}

/// Makes the verifier of a JWK set.
type VerifierOf = dyn Fn(&Jwks) -> Result<Verifier, UnusableKey> + Send + Sync;

/// Keys that are fetched. The last good ones are kept.
pub(crate) struct Fetched {
    fetch: Fetch,
    verifier_of: Box<VerifierOf>,
    interval: Duration,
    verifier: Refreshing<Verifier>,
}

impl Keys {
    /// Keys as configured. `fetch` is needed if they come from the issuer.
    pub(crate) fn new(config: &AuthorizerConfig, fetch: Option<Fetch>) -> Result<Self, UnusableKey> {
        let (issuer, audience, max_lifetime) =
            (config.issuer.clone(), config.audience.clone(), config.max_token_lifetime);
        let verifier = move |jwks: &Jwks| {
            let verifier = Verifier::new(issuer.clone(), audience.clone(), jwks)?;
            Ok(verifier.with_max_lifetime(max_lifetime))
        };
        match (&config.keys, fetch) {
            (KeySource::Inline(jwks), _) => Ok(Self::Inline(verifier(jwks)?)),
            (KeySource::Url { first, interval, max_age, .. }, Some(fetch)) => Ok(Self::Fetched(Fetched {
                fetch,
                interval: *interval,
                verifier: Refreshing::new(*max_age, first.as_ref().map(&verifier).transpose()?),
                verifier_of: Box::new(verifier),
            })),
            // `fetch_from` makes a `Fetch` for each URL.
            (KeySource::Url { url, .. }, None) => Err(UnusableKey { kid: format!("at {url}") }),
        }
    }

    /// Fetches the keys before the first response, if they come from the issuer. A failure is logged, and retried later.
    pub(crate) async fn prepare(&self, context: &Context) {
        if let Self::Fetched(fetched) = self {
            fetched.refresh(Need::Age, context.clock.now(), context, &Caller::default()).await;
        }
    }

    /// Verifies a token, and fetches keys first if they are too old or the token names an unknown one.
    pub(crate) async fn verify(
        &self,
        token: &str,
        now: Timestamp,
        context: &Context,
        caller: &Caller,
    ) -> Result<Verified, Unverified> {
        let fetched = match self {
            Self::Inline(verifier) => return verifier.examine(token, now).map_err(Unverified::Rejected),
            Self::Fetched(fetched) => fetched,
        };
        fetched.refresh(Need::Age, now, context, caller).await;
        let result = fetched.examine(token, now);
        if !names_unknown_key(&result) {
            return result;
        }
        fetched.refresh(Need::Content, now, context, caller).await;
        let result = fetched.examine(token, now);
        if names_unknown_key(&result) && fetched.verifier.has_failed() {
            Err(Unverified::NoKeys)
        } else {
            result
        }
    }
}

fn names_unknown_key(result: &Result<Verified, Unverified>) -> bool {
    matches!(result, Err(Unverified::Rejected(rejected)) if rejected.cause == Rejection::UnknownKey)
}

impl Fetched {
    fn examine(&self, token: &str, now: Timestamp) -> Result<Verified, Unverified> {
        let verifier = self.verifier.value().ok_or(Unverified::NoKeys)?;
        verifier.examine(token, now).map_err(Unverified::Rejected)
    }

    /// Fetches the keys if a fetch is due, or waits for the fetch of another request.
    async fn refresh(&self, need: Need, now: Timestamp, context: &Context, caller: &Caller) {
        let has_keys = self.verifier.value().is_some();
        let interval = match need {
            _ if !has_keys => self.interval.min(WITHOUT_KEYS),
            Need::Content if self.verifier.has_failed() => self.interval.min(AFTER_FAILURE),
            Need::Age | Need::Content => self.interval,
        };
        let attempt = match self.verifier.begin(need, interval, now) {
            Turn::Yours(attempt) => attempt,
            Turn::NotDue => return,
            // Use the old keys meanwhile. Wait only if the needed key is missing.
            Turn::Others if need == Need::Age && has_keys => return,
            Turn::Others => return self.verifier.idle().await,
        };
        let verifier = (self.fetch)().await.and_then(|document| {
            let jwks = Jwks::parse(&document).map_err(|error| error.to_string())?;
            (self.verifier_of)(&jwks).map_err(|error| error.to_string())
        });
        match verifier {
            Ok(verifier) => attempt.succeed(verifier),
            Err(detail) => {
                // The last good keys stay. Each fetch logs once, and fetches begin at least `interval` apart.
                let _ = attempt.fail();
                context.journal.record(&Event::Failure { during: "fetch_keys", detail }, caller);
            }
        }
    }
}
