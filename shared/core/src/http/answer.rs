//! Answers: JSON with the headers that each must have, and the status of each error.

use crate::flow::error::ApiError;
use crate::flow::report::Report;
use crate::ports::context::Context;
use daypass_verifier::ports::context::Caller;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use serde::Serialize;
use std::time::Duration;

/// An answer with its whole body.
pub type Response = http::Response<Vec<u8>>;

const JSON: &str = "application/json; charset=utf-8";

/// Turns the result of a flow into its answer.
#[must_use]
pub fn respond<T: Serialize>(result: Result<T, ApiError>) -> Response {
    match result.and_then(|value| serde_json::to_vec(&value).map_err(|_| ApiError::ServerError)) {
        Ok(body) => uncached(StatusCode::OK, body),
        Err(error) => refusal(&error),
    }
}

/// The answer for an error.
#[must_use]
pub fn refusal(error: &ApiError) -> Response {
    let (code, description) = error.text();
    let body = serde_json::json!({ "error": code, "error_description": description });
    let mut response = uncached(status(error), body.to_string().into_bytes());
    if let Some((name, value)) = header_of(error)
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Answers a request whose form was refused before any flow began, and records that it was.
#[must_use]
pub fn refuse(context: &Context, error: ApiError, caller: &Caller) -> Response {
    refusal(&context.refused(error, caller))
}

/// A JSON response that caches must not store (RFC 6749 §5.1).
fn uncached(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = json(status, body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// A JSON document that anybody may keep for `max_age` seconds.
#[must_use]
pub fn cacheable(body: Vec<u8>, max_age: u32) -> Response {
    let mut response = json(StatusCode::OK, body);
    let value = HeaderValue::from_str(&format!("public, max-age={max_age}"));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, value.unwrap_or(HeaderValue::from_static("no-store")));
    response
}

/// The answer for a path that names nothing.
#[must_use]
pub fn not_found() -> Response {
    refusal(&ApiError::NotFound)
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, JSON),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A year; without `includeSubDomains`, because the other hosts of a domain are not ours to decide on.
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ];
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// How long a client should wait when the store is down. Short: an on-demand table recovers in seconds.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(2);

/// The status of an error.
#[must_use]
pub const fn status(error: &ApiError) -> StatusCode {
    match error {
        ApiError::InvalidRequest(_)
        | ApiError::InvalidGrant
        | ApiError::AnotherClientsGrant
        | ApiError::UnsupportedGrantType
        | ApiError::UnknownClient
        | ApiError::InvalidScope
        | ApiError::WrongPassword
        | ApiError::PasswordRefused(_) => StatusCode::BAD_REQUEST,
        ApiError::BadCredentials | ApiError::ClientAuthentication | ApiError::InvalidToken => {
            StatusCode::UNAUTHORIZED
        }
        ApiError::OriginNotAllowed => StatusCode::FORBIDDEN,
        ApiError::NotFound => StatusCode::NOT_FOUND,
        ApiError::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
        ApiError::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ApiError::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ApiError::SlowDown(_) => StatusCode::TOO_MANY_REQUESTS,
        ApiError::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        ApiError::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The header that belongs to the error, if there is one.
fn header_of(error: &ApiError) -> Option<(HeaderName, String)> {
    match error {
        ApiError::MethodNotAllowed(allow) => Some((header::ALLOW, (*allow).to_owned())),
        // RFC 9110 §15.5.2 asks for a challenge with every 401.
        ApiError::BadCredentials => Some((header::WWW_AUTHENTICATE, r#"Bearer realm="daypass""#.to_owned())),
        ApiError::InvalidToken => {
            Some((header::WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#.to_owned()))
        }
        ApiError::ClientAuthentication => {
            Some((header::WWW_AUTHENTICATE, r#"Basic realm="daypass""#.to_owned()))
        }
        ApiError::SlowDown(wait) => Some((header::RETRY_AFTER, seconds_rounded_up(*wait))),
        ApiError::TemporarilyUnavailable => {
            Some((header::RETRY_AFTER, seconds_rounded_up(STORE_RETRY_AFTER)))
        }
        ApiError::InvalidRequest(_)
        | ApiError::BodyTooLarge
        | ApiError::UnsupportedMediaType(_)
        | ApiError::InvalidGrant
        | ApiError::AnotherClientsGrant
        | ApiError::UnsupportedGrantType
        | ApiError::UnknownClient
        | ApiError::OriginNotAllowed
        | ApiError::InvalidScope
        | ApiError::WrongPassword
        | ApiError::PasswordRefused(_)
        | ApiError::NotFound
        | ApiError::ServerError => None,
    }
}

fn seconds_rounded_up(wait: Duration) -> String {
    wait.as_millis().div_ceil(1000).max(1).to_string()
}
