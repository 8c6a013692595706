//! `GET /revocations?after=CURSOR`.

use crate::flow::feed::{Cursor, Revocations};
use crate::http::answer::{Response, cacheable, record, refusal, refuse};
use crate::http::error::ApiError;
use crate::http::request::{Request, caller_of};
use crate::ports::store::EndedSessions;
use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::revocation::AS_OF;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};

/// How long a cache may keep a response, in seconds. Behind a cache, many clients become one request a second.
const MAX_AGE: u32 = 1;

/// Length of the digest in an entity tag, in bytes.
const TAG_BYTES: usize = 15;

const AS_OF_HEADER: HeaderName = HeaderName::from_static(AS_OF);

/// Answers a request. The response is public: it is the same for every caller, so no credential is read.
pub async fn answer<S: EndedSessions>(feed: &Revocations<S>, request: &Request) -> Response {
    let caller = caller_of(request);
    let after = match question(request) {
        Ok(after) => after,
        Err(error) => return refuse(&feed.context, error, &caller),
    };
    match record(feed.page(after).await, &feed.context, &caller) {
        Ok(page) => respond(request, page.answer.to_json(&feed.issuer), page.as_of.millis()),
        // A cursor is part of the request's form, which the log has as such.
        Err(error @ ApiError::InvalidRequest(_)) => refuse(&feed.context, error, &caller),
        Err(error) => refusal(&error),
    }
}

/// The cursor of a request. Other parameters are ignored.
fn question(request: &Request) -> Result<Option<Cursor>, ApiError> {
    const MALFORMED: ApiError = ApiError::InvalidRequest("The cursor is malformed.");
    // The part before is a stage or the base path of a custom domain.
    if !request.uri().path().ends_with("/revocations") {
        return Err(ApiError::NotFound);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::MethodNotAllowed("GET, HEAD"));
    }
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let mut cursors = form_urlencoded::parse(query).filter(|(name, _)| name == "after");
    match (cursors.next(), cursors.next()) {
        (None, _) => Ok(None),
        (Some((_, cursor)), None) => Cursor::parse(&cursor).map(Some).ok_or(MALFORMED),
        (Some(_), Some(_)) => Err(ApiError::InvalidRequest("There are several cursors.")),
    }
}

fn respond(request: &Request, body: Vec<u8>, as_of: u64) -> Response {
    let digest = digest::digest(&digest::SHA256, &body);
    let tag = BASE64URL_NOPAD.encode(digest.as_ref().get(..TAG_BYTES).unwrap_or_default());
    let tag = format!("\"{tag}\"");
    let unchanged = knows(request, &tag);
    let mut response = cacheable(body, MAX_AGE);
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    if unchanged || request.method() == Method::HEAD {
        response.body_mut().clear();
    }
    for (name, value) in [(header::ETAG, tag), (AS_OF_HEADER, as_of.to_string())] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Whether the caller has this response already (RFC 9110 §13.1.2).
fn knows(request: &Request, tag: &str) -> bool {
    let values = request.headers().get_all(header::IF_NONE_MATCH).iter();
    let mut tags = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    tags.any(|known| known.trim() == "*" || known.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::flow::feed::OVERLAP;
    use crate::flow::feed::keep;
    use crate::ports::context::Context;
    use crate::ports::event::Event;
    use crate::ports::store::{EndedSession, StoreError};
    use crate::testing::NOW;
    use crate::testing::Seeded;
    use daypass_verifier::base::time::{Clock, Timestamp};
    use daypass_verifier::ports::context::Caller;
    use daypass_verifier::ports::journal::Journal;
    use daypass_verifier::revocation::Answer;
    use daypass_verifier::revocation::SessionDigest;
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Poll, Waker};

    #[derive(Clone, Default)]
    struct World {
        now: Arc<AtomicU64>,
        entries: Arc<Mutex<Vec<EndedSession>>>,
        reads: Arc<Mutex<Vec<Timestamp>>>,
        broken: Arc<Mutex<Option<StoreError>>>,
    }

    impl Clock for World {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.now.load(Ordering::SeqCst))
        }
    }

    impl EndedSessions for World {
        async fn ended_since(&self, since: Timestamp, _: usize) -> Result<Vec<EndedSession>, StoreError> {
            self.reads.lock().unwrap().push(since);
            if let Some(error) = self.broken.lock().unwrap().clone() {
                return Err(error);
            }
            let entries = self.entries.lock().unwrap();
            Ok(entries.iter().filter(|entry| entry.at >= since).copied().collect())
        }
    }

    struct Silent;

    impl Journal<Event> for Silent {
        fn record(&self, _: &Event, _: &Caller) {}
    }

    fn feed(world: &World) -> Revocations<World> {
        world.now.store(NOW.millis(), Ordering::SeqCst);
        let config = config::revocations(|name| match name {
            "DAYPASS_ISSUER" => Some("https://id.example.com".to_owned()),
            "DAYPASS_SESSIONS_TABLE" => Some("sessions".to_owned()),
            _ => None,
        });
        let context = Context {
            clock: Box::new(world.clone()),
            entropy: Box::new(Seeded::new(1)),
            journal: Box::new(Silent),
        };
        Revocations::new(&config.unwrap(), world.clone(), context)
    }

    fn ask(feed: &Revocations<World>, method: &str, uri: &str, tag: Option<&str>) -> Response {
        let mut request = http::Request::builder().method(method).uri(uri);
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        let request = request.body(Vec::new()).unwrap();
        let mut answer = std::pin::pin!(answer(feed, &request));
        // The store of this test answers at once.
        match answer.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => response,
            Poll::Pending => panic!("it waits"),
        }
    }

    fn status(feed: &Revocations<World>, method: &str, uri: &str) -> u16 {
        ask(feed, method, uri, None).status().as_u16()
    }

    #[test]
    fn questions() {
        let feed = feed(&World::default());
        for (method, uri, expected) in [
            ("GET", "/revocations", 200),
            ("GET", "/v1/revocations?after=1.0", 200),
            ("GET", "/revocations?utm=x", 200),
            ("HEAD", "/revocations", 200),
            ("POST", "/revocations", 405),
            ("OPTIONS", "/revocations", 405),
            ("GET", "/", 404),
            ("GET", "/revocations/x", 404),
            ("GET", "/revocations?after=", 400),
            ("GET", "/revocations?after=2.0", 400),
            ("GET", "/revocations?after=1.0&after=1.0", 400),
            ("GET", "/revocations?after=1.9999999999999", 400),
        ] {
            assert_eq!(status(&feed, method, uri), expected, "{method} {uri}");
        }
    }

    #[test]
    fn an_answer_and_its_headers() {
        let world = World::default();
        let session = SessionDigest::of("ses_1");
        world.entries.lock().unwrap().push(EndedSession { at: NOW, session });
        let feed = feed(&world);
        let response = ask(&feed, "GET", "/revocations", None);
        assert_eq!(response.headers()["cache-control"], "public, max-age=1");
        assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
        assert_eq!(response.headers()[AS_OF], NOW.millis().to_string());
        let answer = Answer::parse(response.body(), &feed.issuer).unwrap();
        assert_eq!(answer.sessions, [session]);
        assert_eq!(answer.keep.as_secs(), 300 + 100);
        let head = ask(&feed, "HEAD", "/revocations", None);
        assert!(head.body().is_empty() && head.headers()["etag"] == response.headers()["etag"]);
    }

    #[test]
    fn an_answer_that_is_known_is_not_sent_again() {
        let world = World::default();
        let feed = feed(&world);
        let first = ask(&feed, "GET", "/revocations", None);
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        world.now.fetch_add(5_000, Ordering::SeqCst);
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let again = ask(&feed, "GET", "/revocations", Some(&known));
            assert_eq!(again.status(), 304, "{known}");
            assert!(again.body().is_empty());
            assert_eq!(again.headers()[AS_OF], (NOW.millis() + 5_000).to_string(), "but it is newer");
        }
        world.entries.lock().unwrap().push(EndedSession { at: NOW, session: SessionDigest::of("ses_1") });
        world.now.fetch_add(5_000, Ordering::SeqCst);
        assert_eq!(ask(&feed, "GET", "/revocations", Some(&tag)).status(), 200);
    }

    /// A thousand clients at one time are one read, and the next read begins at the overlap.
    #[test]
    fn a_crowd_is_one_read() {
        let world = World::default();
        let feed = feed(&world);
        for _ in 0..1000 {
            status(&feed, "GET", "/revocations");
        }
        world.now.fetch_add(1_000, Ordering::SeqCst);
        for after in 0..1000 {
            status(&feed, "GET", &format!("/revocations?after=1.{after}"));
        }
        let reads = world.reads.lock().unwrap();
        assert_eq!(*reads, [NOW.before(keep(std::time::Duration::from_secs(300))), NOW.before(OVERLAP)]);
    }

    #[test]
    fn a_store_that_fails_is_no_empty_list() {
        let world = World::default();
        let feed = feed(&world);
        *world.broken.lock().unwrap() = Some(StoreError::Unavailable("throttled".to_owned()));
        assert_eq!(status(&feed, "GET", "/revocations"), 503);
        *world.broken.lock().unwrap() = Some(StoreError::Broken("no such index".to_owned()));
        assert_eq!(status(&feed, "GET", "/revocations"), 500);
        *world.broken.lock().unwrap() = None;
        assert_eq!(status(&feed, "GET", "/revocations"), 200);
    }
}
