//! Browsers: the page that sent a request, and the refresh token in a cookie that no script can read.
//!
//! A browser adds a cookie to every request to its host, from any page. So a request with the cookie, or one that would set it,
//! must come from a page of the client. Its `Origin` is on the client's list, `Sec-Fetch-Site` does not say `cross-site`, and no
//! HTML form can send its content type. This is decided before any request to the store, except
//! by a change of the password, whose client is that of the session. `SameSite=Strict` is a second defence
//! and not enough alone, because a site is more than an origin.

use crate::client::{Clients, Transport};
use crate::flow::issue::TokenResponse;
use crate::flow::login::LoginAnswer;
use crate::http::answer::{Response, respond, respond_with};
use crate::http::error::ApiError;
use crate::http::request::{Request, content_type};
use crate::secret::SecretString;
use daypass_verifier::base::ids::ClientId;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use std::time::Duration;

/// The cookie of the refresh token. For the prefix `__Host-`, browsers accept it only from this host, over TLS, for all paths
/// (RFC 6265bis §4.1.3.2).
pub const COOKIE: &str = "__Host-daypass_refresh";

/// The cookie of the device token. It stays after a logout.
pub const DEVICE_COOKIE: &str = "__Host-daypass_device";

/// Longest lifetime that browsers give a cookie (RFC 6265bis §5.5): 400 days.
const MAX_COOKIE_AGE: Duration = Duration::from_secs(400 * 24 * 3600);

/// The page that sent a request, according to its headers.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The `Origin`; `None` without one, and with several.
    pub(crate) origin: Option<&'a str>,
    /// Whether `Sec-Fetch-Site` names another site, or no page.
    cross_site: bool,
    /// Whether the body is JSON. No form sends JSON, and a page of another origin needs a preflight for it.
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
    /// 403 when there is none, and 415 for a body that a form can send.
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
/// `invalid_request` when it is there twice: a browser has one cookie of that name.
pub(super) fn cookie(request: &Request) -> Result<Option<SecretString>, ApiError> {
    let mut values = values(request, COOKIE);
    let token = values.next();
    if values.next().is_some() {
        return Err(ApiError::InvalidRequest("The refresh cookie is there more than once."));
    }
    Ok(token)
}

/// The device token of the cookie. `None` if the cookie is absent or there twice: it must not change the response.
pub(super) fn device_cookie(request: &Request) -> Option<SecretString> {
    let mut values = values(request, DEVICE_COOKIE);
    values.next().filter(|_| values.next().is_none())
}

fn values(request: &Request, name: &str) -> impl Iterator<Item = SecretString> {
    let headers = request.headers().get_all(header::COOKIE).iter();
    let pairs = headers.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let value = std::str::from_utf8(pair).ok()?.trim_ascii().strip_prefix(name)?.strip_prefix('=')?;
        Some(SecretString::new(value.to_owned()))
    })
}

/// The `Set-Cookie` value that removes the refresh token.
fn removal() -> Option<HeaderValue> {
    set_cookie(COOKIE, "", Duration::ZERO)
}

/// The `Set-Cookie` value that keeps a token for `age`.
pub(super) fn set_cookie(name: &str, token: &str, age: Duration) -> Option<HeaderValue> {
    let age = age.min(MAX_COOKIE_AGE).as_secs();
    let text = format!("{name}={token}; Max-Age={age}; Path=/; Secure; HttpOnly; SameSite=Strict");
    HeaderValue::from_str(&text).ok()
}

/// The response of a login, a refresh or a change of the password. A token in the cookie is in no body. A presented token that is
/// no longer valid leaves the browser, and one of another client stays: it is valid for that client.
#[must_use]
pub fn respond_with_tokens(result: Result<TokenResponse, ApiError>, presented: Transport) -> Response {
    let cookies = match (presented, &result) {
        (_, Ok(tokens)) => {
            let refresh = tokens.cookie.as_ref();
            let device = tokens.device_cookie.as_ref();
            [
                refresh.and_then(|(token, age)| set_cookie(COOKIE, token.expose(), *age)),
                device.and_then(|token| set_cookie(DEVICE_COOKIE, token.expose(), MAX_COOKIE_AGE)),
            ]
        }
        (Transport::Cookie, Err(ApiError::InvalidGrant)) => [removal(), None],
        (_, Err(_)) => [None, None],
    };
    with_cookies(respond(result), cookies)
}

/// The response of a login: that of [`respond_with_tokens`], or 403 with the token for the second step.
#[must_use]
pub fn respond_to_login(result: Result<LoginAnswer, ApiError>, transport: Transport) -> Response {
    match result {
        Ok(LoginAnswer::Tokens(tokens)) => respond_with_tokens(Ok(tokens), transport),
        Ok(LoginAnswer::SecondStep(step)) => respond_with(StatusCode::FORBIDDEN, Ok(step)),
        Err(error) => respond_with_tokens(Err(error), transport),
    }
}

/// The response of a revocation. A browser drops its cookie with `200`, and when the token is not valid. With any other response
/// it keeps it: the page of another client must not remove what it cannot end.
#[must_use]
pub fn respond_to_revocation<T: serde::Serialize>(
    result: Result<T, ApiError>,
    transport: Transport,
) -> Response {
    let over = matches!(result, Ok(_) | Err(ApiError::InvalidGrant));
    let clear = transport == Transport::Cookie && over;
    with_cookies(respond(result), [clear.then(removal).flatten()])
}

fn with_cookies(mut response: Response, cookies: impl IntoIterator<Item = Option<HeaderValue>>) -> Response {
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
