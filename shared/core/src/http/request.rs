//! Requests, and what the endpoints read from their headers.

use crate::http::error::ApiError;
use crate::ports::context::{Operator, Principal};
use daypass_verifier::base::ids::AttemptId;
use daypass_verifier::ports::context::Caller;
use http::header;

/// A request with its whole body. Its extensions hold the [`Caller`], the [`Principal`] or the [`Operator`], and
/// [`KeysOverdue`].
pub type Request = http::Request<Vec<u8>>;

/// Longest body in bytes. The longest valid one is a password of 1,024 astral characters, each escaped as twelve bytes of
/// JSON.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// The caller of a request; empty when the request names none.
#[must_use]
pub fn caller_of(request: &Request) -> Caller {
    request.extensions().get::<Caller>().cloned().unwrap_or_default()
}

/// The principal of a request; `None` when no authorizer of Daypass stands in front.
#[must_use]
pub fn principal_of(request: &Request) -> Option<Principal> {
    request.extensions().get::<Principal>().copied()
}

/// The operator of a request; `None` when API Gateway did not authorise it by IAM.
#[must_use]
pub fn operator_of(request: &Request) -> Option<Operator> {
    request.extensions().get::<Operator>().cloned()
}

/// Marks a request to a process that could not renew its keys. A key that it does not know may be a new one.
#[derive(Debug, Clone, Copy)]
pub struct KeysOverdue;

pub(crate) fn keys_are_overdue(request: &Request) -> bool {
    request.extensions().get::<KeysOverdue>().is_some()
}

/// Fewest and most characters of an `Idempotency-Key`: a UUID has 36.
const IDEMPOTENCY_KEY_CHARS: std::ops::RangeInclusive<usize> = 16..=128;

/// The attempt id of the request's `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), if it has one. Quotes are part
/// of the value.
///
/// # Errors
/// `invalid_request` for several keys, and for one outside [`IDEMPOTENCY_KEY_CHARS`]: a shorter one is hardly unique.
pub(crate) fn idempotency_key(request: &Request) -> Result<Option<AttemptId>, ApiError> {
    let mut values = request.headers().get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.as_bytes();
    let visible = key.iter().all(u8::is_ascii_graphic);
    if values.next().is_some() || !visible || !IDEMPOTENCY_KEY_CHARS.contains(&key.len()) {
        return Err(ApiError::InvalidRequest(
            "The Idempotency-Key is not one of 16 to 128 visible characters.",
        ));
    }
    Ok(Some(AttemptId::from_key(key)))
}

/// The media type of the body in lower case; `None` without one, with several, and with the charset UTF-16 or UTF-32.
///
/// Another charset has no effect, as RFC 8259 §11 requires: the body is read as UTF-8.
pub(crate) fn content_type(request: &Request) -> Option<String> {
    let mut values = request.headers().get_all(header::CONTENT_TYPE).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let mut parts = value.split(';');
    let essence = parts.next()?.trim().to_ascii_lowercase();
    let is_wide = |charset: &str| {
        let charset = charset.trim().trim_matches('"').to_ascii_lowercase();
        charset.starts_with("utf-16") || charset.starts_with("utf-32")
    };
    let wide = parts
        .filter_map(|parameter| parameter.split_once('='))
        .any(|(name, value)| name.trim().eq_ignore_ascii_case("charset") && is_wide(value));
    (!wide).then_some(essence)
}
