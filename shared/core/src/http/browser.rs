//! Browsers: the page that sent a request, and the refresh token in a cookie that no script reaches.
//!
//! A cookie goes along with every request to its host, whoever made the page send it. So a request that comes with the
//! cookie, or that would get one, has to show that a page of the client made it: its `Origin` is on the client's list,
//! `Sec-Fetch-Site` does not say `cross-site`, and its content type is one that no HTML form can send. All of that is
//! decided before anything is read or written. `SameSite=Strict` stands behind it, never alone: a site is more than an
//! origin.

use crate::client::{Clients, Transport};
use crate::flow::error::ApiError;
use crate::flow::issue::TokenResponse;
use crate::http::answer::{Response, respond};
use crate::http::request::{Request, content_type};
use daypass_verifier::base::ids::ClientId;
use http::header::{self, HeaderName, HeaderValue};
use std::time::Duration;

/// The cookie of the refresh token. `__Host-` makes browsers take it from this host alone, over TLS, for all paths
/// (RFC 6265bis §4.1.3.2).
pub const COOKIE: &str = "__Host-daypass_refresh";

/// Longest life that browsers give a cookie (RFC 6265bis §5.5): 400 days.
const MAX_COOKIE_AGE: Duration = Duration::from_secs(400 * 24 * 3600);

/// What a request says of the page that sent it.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The one `Origin`; `None` without one, and with several.
    pub(crate) origin: Option<&'a str>,
    /// Whether `Sec-Fetch-Site` says that the page is of another site, or that there was no page.
    cross_site: bool,
    /// Whether the body is JSON, which no form sends and no page of another origin without a preflight.
    json: bool,
}

impl<'a> Page<'a> {
    /// Reads the headers.
    #[must_use]
    pub fn of(request: &'a Request) -> Self {
        let one = |name: HeaderName| {
            let mut values = request.headers().get_all(name).iter();
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        let sites = request.headers().get_all("sec-fetch-site");
        Self {
            origin: one(header::ORIGIN),
            cross_site: sites.iter().any(|site| site != "same-origin" && site != "same-site"),
            json: content_type(request).as_deref() == Some("application/json"),
        }
    }

    /// The cookie clients that this page may act for.
    ///
    /// # Errors
    /// 403 when there is none, and 415 for a body that a form could have sent.
    pub(crate) fn clients(&self, clients: &Clients) -> Result<Vec<ClientId>, ApiError> {
        let origin = self.origin.filter(|_| !self.cross_site).ok_or(ApiError::OriginNotAllowed)?;
        let ids = clients.cookie_clients_for(origin);
        if ids.is_empty() {
            return Err(ApiError::OriginNotAllowed);
        }
        if !self.json {
            return Err(ApiError::UnsupportedMediaType(
                "With the cookie, the content type must be application/json.",
            ));
        }
        Ok(ids)
    }
}

/// The refresh token of the cookie, if the request has the cookie.
///
/// # Errors
/// `invalid_request` when it is there twice: a browser has one of that name.
pub(crate) fn cookie(request: &Request) -> Result<Option<&str>, ApiError> {
    let mut found = None;
    for value in request.headers().get_all(header::COOKIE) {
        for pair in value.as_bytes().split(|byte| *byte == b';') {
            let Some(token) = std::str::from_utf8(pair)
                .ok()
                .and_then(|pair| pair.trim_ascii().strip_prefix(COOKIE)?.strip_prefix('='))
            else {
                continue;
            };
            if found.replace(token).is_some() {
                return Err(ApiError::InvalidRequest("The refresh cookie is there more than once."));
            }
        }
    }
    Ok(found)
}

/// The `Set-Cookie` value that keeps a token for `age`, or with an empty token takes it away.
pub(super) fn set_cookie(token: &str, age: Duration) -> Option<HeaderValue> {
    let age = age.min(MAX_COOKIE_AGE).as_secs();
    let text = format!("{COOKIE}={token}; Max-Age={age}; Path=/; Secure; HttpOnly; SameSite=Strict");
    HeaderValue::from_str(&text).ok()
}

/// The answer of a login or a refresh. A token that goes in the cookie is in no body, and one that is no good any more
/// leaves the browser. One that is another client's stays: it is good where it belongs.
#[must_use]
pub fn respond_with_tokens(result: Result<TokenResponse, ApiError>, transport: Transport) -> Response {
    let cookie = match (transport, &result) {
        (Transport::Body, _) => None,
        (Transport::Cookie, Ok(tokens)) => {
            tokens.cookie.as_ref().and_then(|(token, age)| set_cookie(token, *age))
        }
        (Transport::Cookie, Err(ApiError::InvalidGrant)) => set_cookie("", Duration::ZERO),
        (Transport::Cookie, Err(_)) => None,
    };
    with_cookie(respond(result), cookie)
}

/// The answer of a revocation: whatever the token was, a browser that is told `200`, or that the token is no good, does not
/// keep it. Told anything else it does: another client's page must not take away what it cannot end.
#[must_use]
pub fn respond_to_revocation<T: serde::Serialize>(
    result: Result<T, ApiError>,
    transport: Transport,
) -> Response {
    let over = matches!(result, Ok(_) | Err(ApiError::InvalidGrant));
    let clear = transport == Transport::Cookie && over;
    with_cookie(respond(result), clear.then(|| set_cookie("", Duration::ZERO)).flatten())
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
