//! The verifier and its keys: those of the configuration, or the issuer's, fetched at start, when a token names an unknown
//! one, and when they have become old.

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

/// Asks the issuer for its JWK set. The error is a text for the log.
pub type Fetch = Box<dyn Fn() -> FetchResult + Send + Sync>;
/// What comes of it.
pub type FetchResult = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// Asks the configured address, where keys come from one.
///
/// # Errors
/// When the system has no root certificates to check the issuer's with.
pub fn fetch_from(keys: &KeySource) -> std::io::Result<Option<Fetch>> {
    let KeySource::Url { url, .. } = keys else { return Ok(None) };
    let document = Arc::new(Document::new(url.clone(), JWKS_DEADLINE, JWKS_MAX_BYTES)?);
    Ok(Some(Box::new(move || {
        let document = Arc::clone(&document);
        Box::pin(async move { document.get().await.map_err(|failed| failed.to_string()) })
    })))
}

/// Why a token could not be verified.
#[derive(Debug)]
pub(crate) enum Unverified {
    /// The token is not good.
    Rejected(Rejected),
    /// There are no keys: the issuer has not answered yet.
    NoKeys,
}

/// Where the verifier's keys come from.
pub(crate) enum Keys {
    /// The configuration; they never change.
    Inline(Verifier),
    /// The issuer.
    Fetched(Fetched),
}

/// Keys that are fetched, and the last good ones kept.
pub(crate) struct Fetched {
    issuer: Issuer,
    audience: String,
    max_lifetime: Duration,
    fetch: Fetch,
    state: Mutex<State>,
    /// Held while the issuer is asked, so that those who need the answer wait for it instead of asking too.
    flight: AsyncMutex<()>,
}

struct State {
    timer: RefetchTimer,
    verifier: Option<Arc<Verifier>>,
}

impl Keys {
    /// Keys as configured. `fetch` is made where they come from the issuer, with its address.
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
            // The binary makes a `Fetch` for each URL.
            (KeySource::Url { url, .. }, None) => Err(UnusableKey { kid: format!("at {url}") }),
        }
    }

    /// Fetches what has to be there before the first answer. A failure is logged, and tried again later.
    pub(crate) async fn prepare(&self, context: &Context) {
        if let Self::Fetched(fetched) = self {
            fetched.renew_if_due(Need::Age, context.clock.now(), context, &Caller::default()).await;
        }
    }

    /// Verifies a token.
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

    /// Asks the issuer if that is due, or waits for whoever is asking. Returns whether there was an answer to wait for.
    async fn renew_if_due(&self, need: Need, now: Timestamp, context: &Context, caller: &Caller) -> bool {
        let Ok(_asking) = self.flight.try_lock() else {
            // Somebody is asking. Old keys do until the answer is there; whoever lacks a key waits for it.
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
                // The last good keys stay. Logged once per request to the issuer, which is once per interval.
                context.journal.record(&Event::Failure { during: "fetch_keys", detail }, caller);
            }
        }
        true
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
