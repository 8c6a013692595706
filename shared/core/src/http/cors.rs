//! CORS: the pages that may call, and what they may read.

use crate::client::Clients;
use crate::http::answer::{Response, refusal};
use crate::http::browser::Page;
use crate::http::error::ApiError;
use crate::http::request::Request;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};

/// How long a browser may keep the response to a preflight, in seconds: two hours, the limit of Chromium.
const PREFLIGHT_MAX_AGE: &str = "7200";

/// Request headers that a page may send in addition to the safelisted ones and to those that its preflight names.
const ALLOWED_HEADERS: &str = "authorization, content-type, dpop, idempotency-key";

/// Longest list of headers in a preflight that is repeated, in bytes.
const MAX_ASKED: usize = 2048;

/// Response headers that a page may read in addition to the safelisted ones. With `date`, a page whose clock is wrong makes proofs
/// by the clock of the server.
const EXPOSED_HEADERS: &str = "date, dpop-nonce, retry-after, www-authenticate";

/// As [`EXPOSED_HEADERS`], for the public documents.
const PUBLIC_EXPOSED_HEADERS: &str = "daypass-as-of, etag, retry-after";

/// CORS (the Fetch standard): answers a preflight, or adds to the response of `handle` which page may read it. `methods` are
/// those of the path. If no client has an origin, there are no CORS headers.
pub async fn with_cors<F: Future<Output = Response>>(
    clients: &Clients,
    methods: &'static str,
    request: Request,
    handle: impl FnOnce(Request) -> F,
) -> Response {
    if !clients.have_origins() {
        return handle(request).await;
    }
    let origin = Page::of(&request).origin.filter(|origin| clients.allow_origin(origin)).map(str::to_owned);
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (preflight, &origin) {
        (false, _) => handle(request).await,
        (true, None) => refusal(&ApiError::OriginNotAllowed),
        (true, Some(_)) => allowed(methods, &allowed_headers(&request)),
    };
    let headers = response.headers_mut();
    let vary = if preflight { "Origin, Access-Control-Request-Headers" } else { "Origin" };
    headers.append(header::VARY, HeaderValue::from_static(vary));
    if let Some(origin) = origin
        && let Ok(value) = HeaderValue::from_str(&origin)
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
        if !clients.cookie_clients_for(&origin).is_empty() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    }
    response
}

/// The response to a preflight of an allowed page.
fn allowed(methods: &'static str, headers: &str) -> Response {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, headers),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// [`ALLOWED_HEADERS`], and the headers that the preflight names. Tracing libraries add their own, such as `traceparent`, and one
/// header that is not allowed fails the request (Fetch standard, "CORS-preflight fetch"). No code here reads them.
fn allowed_headers(request: &Request) -> String {
    let asked = request.headers().get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let asked = asked.filter_map(|value| value.to_str().ok()).filter(|value| value.len() <= MAX_ASKED);
    let is_new = |name: &str| ALLOWED_HEADERS.split(", ").all(|known| known != name);
    let mut list = ALLOWED_HEADERS.to_owned();
    for name in asked.flat_map(|value| value.split(',')) {
        if let Ok(name) = HeaderName::from_bytes(name.trim().as_bytes())
            && is_new(name.as_str())
            && list.len() <= MAX_ASKED
        {
            list.push_str(", ");
            list.push_str(name.as_str());
        }
    }
    list
}

/// CORS of a public document: each page may read it, without credentials (RFC 9700 §2.6). Answers `OPTIONS`.
pub async fn with_public_cors<F: Future<Output = Response>>(
    request: Request,
    handle: impl FnOnce(Request) -> F,
) -> Response {
    let mut response = match *request.method() {
        // `*` covers each header but `authorization`.
        Method::OPTIONS => allowed("GET, HEAD", "*, authorization"),
        _ => handle(request).await,
    };
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, PUBLIC_EXPOSED_HEADERS),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
