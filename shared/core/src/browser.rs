//! Browsers: which pages may call, what they may read, and the refresh token in a cookie that no script reaches.
//!
//! A cookie goes along with every request to its host, whoever made the page send it. So a request that comes with the
//! cookie, or that would get one, has to show that a page of the client made it: its `Origin` is on the client's list,
//! `Sec-Fetch-Site` does not say `cross-site`, and its content type is one that no HTML form can send. All of that is
//! decided before anything is read or written. `SameSite=Strict` stands behind it, never alone: a site is more than an
//! origin.

use crate::config::Clients;
use crate::issue::TokenResponse;
use crate::web::{Request, Response, refusal, respond};
use crate::{ApiError, ClientId};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use std::fmt;
use std::time::Duration;

/// The cookie of the refresh token. `__Host-` makes browsers take it from this host alone, over TLS, for all paths
/// (RFC 6265bis §4.1.3.2).
pub const COOKIE: &str = "__Host-daypass_refresh";

/// Longest life that browsers give a cookie (RFC 6265bis §5.5): 400 days.
const MAX_COOKIE_AGE: Duration = Duration::from_secs(400 * 24 * 3600);

/// How long a browser may keep the answer to a preflight, in seconds: two hours, the most that Chromium takes.
const PREFLIGHT_MAX_AGE: &str = "7200";

/// Headers that a page may send besides those that every page may.
const ALLOWED_HEADERS: &str = "authorization, content-type, idempotency-key";

/// Headers that a page may read besides those that every page may.
const EXPOSED_HEADERS: &str = "retry-after";

/// The origin of a page as browsers send it: scheme, host and, unless it is the scheme's own, port (RFC 6454 §6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Reads an origin. It must be spelled as browsers do, since it is compared as text: `https://`, a host in lower
    /// case, a port that is not 443, and nothing behind. `http://` only on this machine.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (host, local_only, standard_port) =
            match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
                (Some(host), _) => (host, false, "443"),
                (None, Some(host)) => (host, true, "80"),
                (None, None) => return Err("does not start with https://"),
            };
        let (name, port) = match host.rsplit_once(':') {
            // The colons of an IPv6 address stand within its brackets.
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let valid = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !name.is_empty() && name.bytes().all(plain),
        };
        if !valid {
            return Err("has no host in lower case, or something behind it");
        }
        if let Some(port) = port
            && (port == standard_port || port.starts_with('0') || port.parse::<u16>().is_err())
        {
            return Err("has a port that browsers would not send");
        }
        if local_only && !["localhost", "127.0.0.1", "[::1]"].contains(&name) && !name.ends_with(".localhost")
        {
            return Err("is http:// and not on this machine");
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a client holds its refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// In its own keeping, sent in bodies.
    #[default]
    Body,
    /// In the cookie [`COOKIE`], sent by the browser.
    Cookie,
}

/// What a request says of the page that sent it.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The one `Origin`; `None` without one, and with several.
    origin: Option<&'a str>,
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
            json: crate::web::content_type(request).as_deref() == Some("application/json"),
        }
    }

    /// The cookie clients that this page may act for.
    ///
    /// # Errors
    /// 403 when there is none, and 415 for a body that a form could have sent.
    pub(crate) fn clients(&self, clients: &Clients) -> Result<Vec<ClientId>, ApiError> {
        let origin = self.origin.filter(|_| !self.cross_site).ok_or(ApiError::OriginNotAllowed)?;
        let ids = clients.of_cookie(origin);
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
fn set_cookie(token: &str, age: Duration) -> Option<HeaderValue> {
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

/// Cross-origin resource sharing (the Fetch standard): answers a preflight, or has `handle` answer and says which page may
/// read that. `methods` are those of the path. Without an origin on any client's list nothing of it is there.
pub async fn share<F: Future<Output = Response>>(
    clients: &Clients,
    methods: &'static str,
    request: Request,
    handle: impl FnOnce(Request) -> F,
) -> Response {
    if !clients.have_origins() {
        return handle(request).await;
    }
    let origin = Page::of(&request).origin.filter(|origin| clients.know(origin)).map(str::to_owned);
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (preflight, &origin) {
        (false, _) => handle(request).await,
        (true, None) => refusal(&ApiError::OriginNotAllowed),
        (true, Some(_)) => allowed(methods),
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin
        && let Ok(value) = HeaderValue::from_str(&origin)
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
        if !clients.of_cookie(&origin).is_empty() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    }
    response
}

/// The good answer to a preflight.
fn allowed(methods: &'static str) -> Response {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
