//! The verifier and its keys. They come from the configuration or from the issuer. The authorizer fetches the issuer's
//! keys at start, when a token names an unknown key, and when the keys are too old.

use daypass_https::Document;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::config::authorizer::{AuthorizerConfig, JWKS_DEADLINE, JWKS_MAX_BYTES, KeySource};
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::jose::refetch::{Need, RefetchTimer};
use daypass_verifier::jose::verify::{Rejected, Rejection, UnusableKey, Verified, Verifier};
use daypass_verifier::ports::context::{Caller, Context};
use daypass_verifier::ports::event::Event;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;

/// Requests the JWK set of the issuer. The error is a text for the log.
pub type Fetch = Box<dyn Fn() -> FetchResult + Send + Sync>;
/// The future that a [`Fetch`] returns.
pub type FetchResult = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// A [`Fetch`] for the configured URL; `None` with inline keys alone.
///
/// # Errors
/// When the system has no root certificates.
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
    /// The verifier rejected the token.
    Rejected(Rejected),
    /// There are no keys, because the issuer has not answered yet.
    NoKeys,
}

/// The source of the verifier's keys.
pub(crate) enum Keys {
    /// Keys of the configuration, which never change.
    Inline(Verifier),
    /// Keys of the issuer, fetched again and again.
    Fetched(Fetched),
}

/// Keys of the issuer. The last good ones stay while a fetch fails.
pub(crate) struct Fetched {
    issuer: Issuer,
    audience: String,
    max_lifetime: Duration,
    fetch: Fetch,
    state: Mutex<State>,
    /// Held during a fetch. Requests that need its result wait for it instead of fetching too.
    flight: AsyncMutex<()>,
}

struct State {
    timer: RefetchTimer,
    verifier: Option<Arc<Verifier>>,
}

impl Keys {
    /// Keys as configured, with a `fetch` where they come from a URL.
    pub(crate) fn new(config: &AuthorizerConfig, fetch: Option<Fetch>) -> Result<Self, UnusableKey> {
        let max_lifetime = config.max_token_lifetime;
        let verifier = |jwks: &Jwks| -> Result<Verifier, UnusableKey> {
            let verifier = Verifier::new(config.issuer.clone(), config.audience.clone(), jwks)?;
            Ok(verifier.with_max_lifetime(max_lifetime))
        };
        match (&config.keys, fetch) {
            (KeySource::Inline(jwks), _) => Ok(Self::Inline(verifier(jwks)?)),
            (KeySource::Url { first, interval, max_age, .. }, Some(fetch)) => {
                let first = first.as_ref().map(verifier).transpose()?;
                let timer = RefetchTimer::new(*interval, *max_age, first.is_some());
                Ok(Self::Fetched(Fetched {
                    issuer: config.issuer.clone(),
                    audience: config.audience.clone(),
                    max_lifetime,
                    fetch,
                    state: Mutex::new(State { timer, verifier: first.map(Arc::new) }),
                    flight: AsyncMutex::new(()),
                }))
            }
            // `fetch_from` makes a `Fetch` for each URL.
            (KeySource::Url { url, .. }, None) => Err(UnusableKey { kid: format!("at {url}") }),
        }
    }

    /// Fetches the keys before the first request. A failure is logged, and the next request tries again.
    pub(crate) async fn prepare(&self, context: &Context) {
        if let Self::Fetched(fetched) = self {
            fetched.renew_if_due(Need::Age, context.clock.now(), context, &Caller::default()).await;
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
        fetched.renew_if_due(Need::Age, now, context, caller).await;
        let unknown = match fetched.examine(token, now) {
            Err(Unverified::Rejected(rejected)) if rejected.cause == Rejection::UnknownKey => rejected,
            result => return result,
        };
        if fetched.renew_if_due(Need::UnknownKid, now, context, caller).await {
            fetched.examine(token, now)
        } else {
            Err(Unverified::Rejected(unknown))
        }
    }
}

impl Fetched {
    fn examine(&self, token: &str, now: Timestamp) -> Result<Verified, Unverified> {
        let verifier = self.state().verifier.clone().ok_or(Unverified::NoKeys)?;
        verifier.examine(token, now).map_err(Unverified::Rejected)
    }

    /// Fetches the keys if a fetch is due, or waits for the one that another request began. Returns whether there was a
    /// fetch.
    async fn renew_if_due(&self, need: Need, now: Timestamp, context: &Context, caller: &Caller) -> bool {
        let Ok(_asking) = self.flight.try_lock() else {
            // Another request is already fetching. Use the old keys meanwhile; wait only if the needed key is missing.
            if need == Need::Age && self.state().verifier.is_some() {
                return false;
            }
            drop(self.flight.lock().await);
            return true;
        };
        if !self.state().timer.is_due(need, now) {
            return false;
        }
        self.state().timer.ask(now);
        let verifier = match (self.fetch)().await {
            Err(why) => Err(why),
            Ok(document) => Jwks::parse(&document).map_err(|error| error.to_string()).and_then(|jwks| {
                let verifier = Verifier::new(self.issuer.clone(), self.audience.clone(), &jwks);
                let verifier = verifier.map_err(|error| error.to_string())?;
                Ok(verifier.with_max_lifetime(self.max_lifetime))
            }),
        };
        match verifier {
            Ok(verifier) => {
                let mut state = self.state();
                state.timer.renewed(now);
                state.verifier = Some(Arc::new(verifier));
            }
            Err(detail) => {
                // The last good keys stay. There is one event per fetch, and so one per interval.
                context.journal.record(&Event::Failure { during: "fetch_keys", detail }, caller);
            }
        }
        true
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
