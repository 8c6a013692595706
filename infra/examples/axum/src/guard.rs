//! Middleware for axum: verifies access tokens of Daypass, and rejects those of revoked sessions.

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
use daypass_verifier::jose::verify::Verifier;
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
    keys: Document,
    feed: Channel,
    interval: Duration,
    verifier: RwLock<Verifier>,
    revoked: Mutex<RevokedSet>,
}

impl Guard {
    /// Fetches the keys and the list of revoked sessions, and fetches both again in the background.
    ///
    /// # Errors
    /// A URL is malformed, or the keys cannot be fetched. A feed that fails is no error: `limits` decides.
    pub(crate) async fn start(issuer: &str, audience: String, feed: &str, limits: Limits) -> Result<Self> {
        let keys =
            Document::new(format!("{issuer}/.well-known/jwks.json").parse()?, DEADLINE, MAX_KEYS_BYTES)?;
        let issuer = Issuer::parse(issuer)?;
        let verifier = verifier(&issuer, &audience, &keys).await?;
        let guard = Self(Arc::new(Shared {
            issuer,
            audience,
            keys,
            feed: Channel::new(feed.parse()?, DEADLINE, MAX_ANSWER_BYTES)?,
            interval: limits.interval,
            verifier: RwLock::new(verifier),
            revoked: Mutex::new(RevokedSet::new(limits)),
        }));
        guard.0.poll().await;
        let (keys, feed) = (guard.clone(), guard.clone());
        tokio::spawn(async move {
            loop {
                sleep(KEYS_INTERVAL).await;
                keys.0.renew_keys().await;
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
    async fn renew_keys(&self) {
        match verifier(&self.issuer, &self.audience, &self.keys).await {
            Ok(renewed) => *self.verifier.write().unwrap_or_else(PoisonError::into_inner) = renewed,
            Err(error) => log(&format!("the keys cannot be fetched: {error}")),
        }
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
    let Some(token) = bearer(request.headers()) else {
        return reject(StatusCode::UNAUTHORIZED, "Bearer");
    };
    let invalid = || reject(StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\"");
    let verified = shared.verifier.read().unwrap_or_else(PoisonError::into_inner).verify(token, now());
    let Ok(verified) = verified else { return invalid() };
    let state = shared.revoked().lookup(&verified.session, now());
    match state {
        Lookup::Live => {}
        Lookup::Ended => return invalid(),
        Lookup::Stale => return status(StatusCode::SERVICE_UNAVAILABLE),
    }
    if !verified.scope.split(' ').any(|word| word == scope) {
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        return reject(StatusCode::FORBIDDEN, &challenge);
    }
    request.extensions_mut().insert(verified);
    next.run(request).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
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
