//! Middleware for axum: verifies access tokens of Daypass, and rejects those of revoked sessions.

use crate::proofs::Proofs;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, ETAG, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use daypass_https::{Channel, Document, Failed, Question};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::jose::verify::{Rejected, Rejection, Verified, Verifier};
use daypass_verifier::revocation::{
    AS_OF, Answer, Limits, Lookup, MAX_ANSWER_BYTES, MOST_PAGES, Poll, RevokedSet,
};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// Deadline of a request to the issuer.
const DEADLINE: Duration = Duration::from_secs(2);
/// Time between two fetches of the keys. Daypass publishes a key long before it signs with it.
const KEYS_INTERVAL: Duration = Duration::from_secs(300);
/// Least time between two fetches for tokens with an unknown key, which anyone can send.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(5);
/// Largest set of keys, in bytes.
const MAX_KEYS_BYTES: usize = 64 * 1024;

/// Errors are for the log of the process.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Verifies access tokens, with keys and revocations in memory.
#[derive(Clone)]
pub(crate) struct Guard(Arc<Shared>);

struct Shared {
    issuer: Issuer,
    audience: String,
    proofs: Proofs,
    keys: Document,
    feed: Channel,
    interval: Duration,
    verifier: RwLock<Verifier>,
    /// When a fetch of the keys last began, and whether the last one succeeded.
    fetched: tokio::sync::Mutex<(Timestamp, bool)>,
    revoked: Mutex<RevokedSet>,
}

impl Guard {
    /// Fetches the keys and the list of revoked sessions, and fetches both again in the background. Without keys, a token makes
    /// a fetch, at most every five seconds. While the fetch fails, the response is 503.
    ///
    /// # Errors
    /// A URL is malformed.
    pub(crate) async fn start(
        issuer: &str,
        audience: String,
        proofs: Proofs,
        feed: &str,
        limits: Limits,
    ) -> Result<Self> {
        let keys =
            Document::new(format!("{issuer}/.well-known/jwks.json").parse()?, DEADLINE, MAX_KEYS_BYTES)?;
        let issuer = Issuer::parse(issuer)?;
        let without_keys = Verifier::new(issuer.clone(), audience.clone(), &Jwks::new(Vec::new()))?;
        let guard = Self(Arc::new(Shared {
            issuer,
            audience,
            proofs,
            keys,
            feed: Channel::new(feed.parse()?, DEADLINE, MAX_ANSWER_BYTES)?,
            interval: limits.interval,
            verifier: RwLock::new(without_keys),
            fetched: tokio::sync::Mutex::new((now(), false)),
            revoked: Mutex::new(RevokedSet::new(limits)),
        }));
        guard.0.renew_keys(Duration::ZERO).await;
        guard.0.poll().await;
        let (keys, feed) = (guard.clone(), guard.clone());
        tokio::spawn(async move {
            loop {
                sleep(KEYS_INTERVAL).await;
                keys.0.renew_keys(Duration::ZERO).await;
            }
        });
        tokio::spawn(async move {
            loop {
                sleep(feed.0.interval).await;
                feed.0.poll().await;
            }
        });
        Ok(guard)
    }
}

async fn verifier(issuer: &Issuer, audience: &str, keys: &Document) -> Result<Verifier> {
    let keys = keys.get().await.map_err(|failed| failed.to_string())?;
    Ok(Verifier::new(issuer.clone(), audience.to_owned(), &Jwks::parse(&keys)?)?)
}

impl Shared {
    /// Fetches the keys, unless a fetch began within the interval. Returns whether the last fetch succeeded.
    async fn renew_keys(&self, interval: Duration) -> bool {
        let mut fetched = self.fetched.lock().await;
        if now().since(fetched.0) < interval {
            return fetched.1;
        }
        // A request whose client disconnects is cancelled here.
        *fetched = (now(), false);
        let renewed = verifier(&self.issuer, &self.audience, &self.keys).await;
        fetched.1 = renewed.is_ok();
        match renewed {
            Ok(renewed) => *self.verifier.write().unwrap_or_else(PoisonError::into_inner) = renewed,
            Err(error) => log(&format!("the keys cannot be fetched: {error}")),
        }
        fetched.1
    }

    fn examine(&self, token: &str) -> std::result::Result<Verified, Rejected> {
        self.verifier.read().unwrap_or_else(PoisonError::into_inner).examine(token, now())
    }

    fn revoked(&self) -> MutexGuard<'_, RevokedSet> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the new pages of the feed. A failed poll leaves the known revocations in place.
    async fn poll(&self) {
        let started = now();
        let first = self.revoked().ask(started);
        let result = self.read(first, started).await;
        self.revoked().finish(result.is_ok(), started, now());
        if let Err(error) = result {
            log(&format!("the revocation feed fails: {error}"));
        }
    }

    async fn read(&self, mut poll: Poll, now: Timestamp) -> Result<()> {
        for _ in 0..MOST_PAGES {
            let query = poll.after.as_ref().map(|after| format!("after={after}"));
            let question =
                Question { query: query.as_deref(), if_none_match: poll.tag.as_deref(), reuse: true };
            let answer = self.feed.ask(question).await.map_err(|failed| {
                // The feed may reject the cursor: fetch the whole list next time.
                if matches!(failed, Failed::Status(StatusCode::BAD_REQUEST)) {
                    self.revoked().start_over();
                }
                failed.to_string()
            })?;
            let as_of = text(&answer.headers, AS_OF).ok_or("the response has no time")?;
            RevokedSet::is_recent(Timestamp::from_millis(as_of.parse()?), now)?;
            if answer.unchanged {
                return Ok(());
            }
            let page = Answer::parse(&answer.body, &self.issuer).map_err(|error| error.to_string())?;
            let more = page.more;
            let tag = text(&answer.headers, ETAG.as_str()).map(str::to_owned);
            self.revoked().told(&poll, page, tag, now)?;
            if !more {
                return Ok(());
            }
            poll = self.revoked().question();
        }
        Err("the list has no end".into())
    }
}

/// Middleware of a route that needs a scope. The handler gets the claims of the caller as `Extension<Verified>`.
pub(crate) async fn require(
    State((Guard(shared), scope)): State<(Guard, &'static str)>,
    mut request: Request,
    next: Next,
) -> Response {
    // RFC 6750 §3.1. Without a token, the challenge names no error.
    let Some((scheme, token)) = credentials(request.headers()) else {
        return reject(StatusCode::UNAUTHORIZED, "Bearer");
    };
    let challenge = |error| format!("{scheme} error=\"{error}\"");
    let rejected = |error| reject(StatusCode::UNAUTHORIZED, &challenge(error));
    let mut verified = shared.examine(token);
    if verified.as_ref().is_err_and(|rejected| rejected.cause == Rejection::UnknownKey) {
        // The key can be newer than the last fetch. Without keys, the token may be valid.
        if !shared.renew_keys(UNKNOWN_KEY_INTERVAL).await {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        verified = shared.examine(token);
    }
    let Ok(verified) = verified else { return rejected("invalid_token") };
    match (scheme, verified.key) {
        ("Bearer", None) => {}
        ("DPoP", Some(key)) if shared.proofs.accepts(&request, token, key, now()) => {}
        ("DPoP", Some(_)) => return rejected("invalid_dpop_proof"),
        // Otherwise a thief could present a bound token as a bearer token (RFC 9449 §7.2).
        _ => return rejected("invalid_token"),
    }
    let state = shared.revoked().lookup(&verified.session, now());
    match state {
        Lookup::Live => {}
        Lookup::Ended => return rejected("invalid_token"),
        Lookup::Stale => return status(StatusCode::SERVICE_UNAVAILABLE),
    }
    if !verified.scope.split(' ').any(|word| word == scope) {
        let challenge = format!("{}, scope=\"{scope}\"", challenge("insufficient_scope"));
        return reject(StatusCode::FORBIDDEN, &challenge);
    }
    request.extensions_mut().insert(verified);
    next.run(request).await
}

/// The scheme and the access token.
fn credentials(headers: &HeaderMap) -> Option<(&'static str, &str)> {
    let (scheme, token) = text(headers, AUTHORIZATION.as_str())?.split_once(' ')?;
    let scheme = ["Bearer", "DPoP"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    Some((scheme, token.trim_start_matches(' ')))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn reject(code: StatusCode, challenge: &str) -> Response {
    let mut response = status(code);
    if let Ok(challenge) = challenge.parse() {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn status(code: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

#[expect(clippy::disallowed_methods, reason = "here the time comes in")]
fn now() -> Timestamp {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[expect(clippy::print_stderr, reason = "the log of the example")]
fn log(line: &str) {
    eprintln!("{line}");
}
