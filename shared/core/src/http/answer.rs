//! Responses: JSON with its headers, and the status of each error.

use crate::flow::outcome::Outcome;
use crate::http::error::ApiError;
use crate::ports::context::Context;
use crate::ports::event::Event;
use daypass_verifier::ports::context::Caller;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use serde::Serialize;
use std::time::Duration;

/// A response with its whole body.
pub type Response = http::Response<Vec<u8>>;

const JSON: &str = "application/json; charset=utf-8";

/// Records the events of an outcome with the caller, and returns its answer with the error of the HTTP contract. This is the
/// one place where the events of a flow reach the log.
///
/// # Errors
/// The [`ApiError`] of the flow's problem.
pub fn record<T>(outcome: Outcome<T>, context: &Context, caller: &Caller) -> Result<T, ApiError> {
    for event in &outcome.events {
        context.journal.record(event, caller);
    }
    outcome.answer.map_err(|problem| ApiError::from(&problem))
}

/// The response for the answer of a flow.
#[must_use]
pub fn respond<T: Serialize>(result: Result<T, ApiError>) -> Response {
    respond_with(StatusCode::OK, result)
}

/// As [`respond`], with another status of success.
#[must_use]
pub fn respond_with<T: Serialize>(status: StatusCode, result: Result<T, ApiError>) -> Response {
    match result.and_then(|value| serde_json::to_vec(&value).map_err(|_| ApiError::ServerError)) {
        Ok(body) => uncached(status, body),
        Err(error) => refusal(&error),
    }
}

/// The response for the end of a flow that answers nothing: 204, or the error.
#[must_use]
pub fn respond_without_body(result: Result<(), ApiError>) -> Response {
    match result {
        Ok(()) => {
            let mut response = uncached(StatusCode::NO_CONTENT, Vec::new());
            response.headers_mut().remove(header::CONTENT_TYPE);
            response
        }
        Err(error) => refusal(&error),
    }
}

/// The response for an error.
#[must_use]
pub fn refusal(error: &ApiError) -> Response {
    let (code, description) = error.text();
    let body = match error {
        ApiError::NoToken(parameter) => {
            serde_json::json!({ "error": code, "error_description": description, "missing": parameter })
        }
        ApiError::InsufficientAuthentication(challenge) => {
            let mut body = challenge.members();
            body.insert("error".to_owned(), code.into());
            body.insert("error_description".to_owned(), description.into());
            body.into()
        }
        _ => serde_json::json!({ "error": code, "error_description": description }),
    };
    let mut response = uncached(status(error), body.to_string().into_bytes());
    if let Some((name, value)) = header_of(error)
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Records that a request is rejected before any flow begins, and returns the response.
#[must_use]
pub fn refuse(context: &Context, error: ApiError, caller: &Caller) -> Response {
    let (code, description) = error.text();
    // The first request of each client: no event.
    if error == ApiError::NonceNeeded {
        return refusal(&error);
    }
    context.journal.record(&Event::RequestRefused { error: code, description }, caller);
    refusal(&error)
}

/// A JSON response that caches must not store (RFC 6749 §5.1).
fn uncached(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = json(status, body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// A public JSON document, which caches may keep for `max_age` seconds.
#[must_use]
pub fn cacheable(body: Vec<u8>, max_age: u32) -> Response {
    let mut response = json(StatusCode::OK, body);
    let value = HeaderValue::from_str(&format!("public, max-age={max_age}"));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, value.unwrap_or(HeaderValue::from_static("no-store")));
    response
}

/// The response for a path that names nothing.
#[must_use]
pub fn not_found() -> Response {
    refusal(&ApiError::NotFound)
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, JSON),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // One year; without `includeSubDomains`, because the other hosts of the domain may not be ours.
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ];
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// How long a client waits when the store is down. An on-demand table recovers in seconds.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(2);

/// The status of an error.
#[must_use]
pub const fn status(error: &ApiError) -> StatusCode {
    match error {
        ApiError::InvalidRequest(_)
        | ApiError::NoToken(_)
        | ApiError::InvalidGrant
        | ApiError::AnotherClientsGrant
        | ApiError::UnsupportedGrantType
        | ApiError::UnknownClient
        | ApiError::InvalidScope
        | ApiError::WrongPassword
        | ApiError::WrongCode
        | ApiError::InvalidProof(_)
        | ApiError::NonceNeeded
        | ApiError::WrongPasskey
        | ApiError::PasswordRefused(_)
        | ApiError::MailRefused => StatusCode::BAD_REQUEST,
        ApiError::BadCredentials
        | ApiError::ClientAuthentication
        | ApiError::InvalidClient
        | ApiError::InvalidToken => StatusCode::UNAUTHORIZED,
        ApiError::UnauthorizedClient
        | ApiError::OriginNotAllowed
        | ApiError::NotThroughProxy(_)
        | ApiError::InsufficientScope
        | ApiError::InsufficientAuthentication(_)
        | ApiError::FactorRequired
        | ApiError::SignUpNotAllowed
        | ApiError::NoOperator => StatusCode::FORBIDDEN,
        ApiError::NotFound | ApiError::MailOff | ApiError::PasskeysOff => StatusCode::NOT_FOUND,
        ApiError::AlreadyExists(_) => StatusCode::CONFLICT,
        ApiError::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
        ApiError::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ApiError::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ApiError::SlowDown(_) => StatusCode::TOO_MANY_REQUESTS,
        ApiError::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        ApiError::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The header that an error adds, if it adds one.
fn header_of(error: &ApiError) -> Option<(HeaderName, String)> {
    match error {
        ApiError::MethodNotAllowed(allow) => Some((header::ALLOW, (*allow).to_owned())),
        // RFC 9110 §15.5.2 requires a challenge with every 401.
        ApiError::BadCredentials => Some((header::WWW_AUTHENTICATE, r#"Bearer realm="daypass""#.to_owned())),
        ApiError::InvalidToken => {
            Some((header::WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#.to_owned()))
        }
        ApiError::InsufficientScope => Some((
            header::WWW_AUTHENTICATE,
            r#"Bearer error="insufficient_scope", scope="daypass:account""#.to_owned(),
        )),
        ApiError::InsufficientAuthentication(challenge) => {
            Some((header::WWW_AUTHENTICATE, challenge.to_string()))
        }
        ApiError::ClientAuthentication | ApiError::InvalidClient => {
            Some((header::WWW_AUTHENTICATE, r#"Basic realm="daypass""#.to_owned()))
        }
        ApiError::SlowDown(wait) => Some((header::RETRY_AFTER, seconds_rounded_up(*wait))),
        ApiError::TemporarilyUnavailable => {
            Some((header::RETRY_AFTER, seconds_rounded_up(STORE_RETRY_AFTER)))
        }
        ApiError::InvalidRequest(_)
        | ApiError::NoToken(_)
        | ApiError::BodyTooLarge
        | ApiError::UnsupportedMediaType(_)
        | ApiError::InvalidGrant
        | ApiError::AnotherClientsGrant
        | ApiError::UnsupportedGrantType
        | ApiError::UnknownClient
        | ApiError::UnauthorizedClient
        | ApiError::OriginNotAllowed
        | ApiError::NotThroughProxy(_)
        | ApiError::InvalidScope
        | ApiError::WrongPassword
        | ApiError::WrongCode
        | ApiError::InvalidProof(_)
        | ApiError::NonceNeeded
        | ApiError::WrongPasskey
        | ApiError::PasskeysOff
        | ApiError::FactorRequired
        | ApiError::PasswordRefused(_)
        | ApiError::MailRefused
        | ApiError::SignUpNotAllowed
        | ApiError::MailOff
        | ApiError::NoOperator
        | ApiError::NotFound
        | ApiError::AlreadyExists(_)
        | ApiError::ServerError => None,
    }
}

fn seconds_rounded_up(wait: Duration) -> String {
    wait.as_millis().div_ceil(1000).max(1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_verifier::routes::Challenge;

    #[test]
    fn error_texts_keep_to_the_characters_of_rfc_6749() {
        let all = [
            ApiError::InvalidRequest("x"),
            ApiError::NoToken("token"),
            ApiError::BodyTooLarge,
            ApiError::UnsupportedMediaType("x"),
            ApiError::MethodNotAllowed("POST"),
            ApiError::BadCredentials,
            ApiError::InvalidGrant,
            ApiError::UnsupportedGrantType,
            ApiError::UnknownClient,
            ApiError::OriginNotAllowed,
            ApiError::NotThroughProxy("x"),
            ApiError::ClientAuthentication,
            ApiError::InvalidClient,
            ApiError::UnauthorizedClient,
            ApiError::InvalidScope,
            ApiError::SlowDown(Duration::from_millis(1001)),
            ApiError::TemporarilyUnavailable,
            ApiError::ServerError,
            ApiError::InvalidToken,
            ApiError::InsufficientScope,
            ApiError::InsufficientAuthentication(Challenge { two_factors: true, max_age: Some(600) }),
            ApiError::NoOperator,
            ApiError::NotFound,
            ApiError::AlreadyExists("x"),
            ApiError::AnotherClientsGrant,
            ApiError::WrongPassword,
            ApiError::WrongCode,
            ApiError::InvalidProof("x"),
            ApiError::NonceNeeded,
            ApiError::WrongPasskey,
            ApiError::PasskeysOff,
            ApiError::FactorRequired,
            ApiError::PasswordRefused("x"),
            ApiError::MailRefused,
            ApiError::SignUpNotAllowed,
            ApiError::MailOff,
        ];
        for error in all {
            let (status, (code, text)) = (status(&error).as_u16(), error.text());
            let legal = |s: &str| s.bytes().all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
            assert!(legal(code) && legal(text), "{error:?}");
            let response = refusal(&error);
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["cache-control"], "no-store");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            assert_eq!(
                response.headers().contains_key("retry-after"),
                matches!(status, 429 | 503),
                "{error:?}"
            );
            let challenged = status == 401 || error.text().0.starts_with("insufficient_");
            assert_eq!(response.headers().contains_key("www-authenticate"), challenged, "{error:?}");
        }
        let needed = Challenge { two_factors: true, max_age: Some(600) };
        let body = refusal(&ApiError::InsufficientAuthentication(needed)).into_body();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["error"], &body["acr_values"]), (&Challenge::ERROR.into(), &"2".into()));
        assert_eq!(body["max_age"], 600);
        let slow_down = refusal(&ApiError::SlowDown(Duration::from_millis(1001)));
        assert_eq!(slow_down.headers()["retry-after"], "2", "rounded up");
    }
}
