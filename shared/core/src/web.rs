//! HTTP, as the endpoints speak it: reading parameters strictly, writing JSON with the right headers.

use crate::event::{Event, Journal};
use crate::keys::KeyError;
use crate::{ApiError, AttemptId, Clock, Entropy, SessionId, StoreError, UserId};
use http::header::{self, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::Value;
use std::net::IpAddr;

/// A request with its whole body. The [`Caller`] travels in its extensions, and so does the [`Principal`].
pub type Request = http::Request<Vec<u8>>;

/// An answer with its whole body.
pub type Response = http::Response<Vec<u8>>;

/// Longest body that is read, in bytes. The longest valid one is a password of 1,024 astral characters, each escaped
/// as twelve bytes of JSON.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// Most parameters of a form: no endpoint knows more than six, and each is compared with all before it.
const MAX_FORM_PARAMETERS: usize = 64;

/// Who sent a request, as API Gateway's own context tells it: never from a header that the caller can write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The gateway's id of the request.
    pub request_id: String,
    /// The address that the connection came from.
    pub source_ip: Option<IpAddr>,
    /// What the device calls itself. Written by the caller: a hint for the user's own list of sessions, nothing more.
    pub user_agent: Option<String>,
}

impl Caller {
    /// The caller of a request; empty when nobody noted one.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }
}

/// Whom the authorizer in front of a route let through, as API Gateway's own context tells it: never from a header or body
/// that the caller can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// The user: the access token's `sub`.
    pub user: UserId,
    /// The session of the access token: its `sid`.
    pub session: SessionId,
}

impl Principal {
    /// The one that these claims name; `None` unless both are ids of ours.
    #[must_use]
    pub fn parse(sub: &str, sid: &str) -> Option<Self> {
        Some(Self { user: UserId::parse(sub)?, session: SessionId::parse(sid)? })
    }

    /// The principal of a request; `None` when no authorizer of ours stood in front.
    #[must_use]
    pub fn of(request: &Request) -> Option<Self> {
        request.extensions().get::<Self>().copied()
    }
}

/// The world as the flows see it: time, randomness and the log.
pub struct Ambient {
    /// The time.
    pub clock: Box<dyn Clock>,
    /// Randomness.
    pub entropy: Box<dyn Entropy>,
    /// The log.
    pub journal: Box<dyn Journal>,
}

impl Ambient {
    /// Answers a request whose form was refused before any flow began, and records that it was.
    #[must_use]
    pub fn refuse(&self, error: ApiError, caller: &Caller) -> Response {
        refusal(&self.refused(error, caller))
    }

    /// Fails closed: a route that was deployed without its authorizer would let everybody in.
    ///
    /// # Errors
    /// `invalid_token` when nobody was let through.
    pub(crate) fn guarded(
        &self,
        principal: Option<Principal>,
        caller: &Caller,
    ) -> Result<Principal, ApiError> {
        principal.ok_or_else(|| {
            let detail = "the request context names no user and session of ours: put the authorizer of Daypass in front \
                          of this route";
            let event = Event::Failure { during: "authorize", detail: detail.to_owned() };
            self.journal.record(&event, caller);
            ApiError::InvalidToken
        })
    }

    /// Records that a request was refused before anything was looked up, and gives the error back.
    pub(crate) fn refused(&self, error: ApiError, caller: &Caller) -> ApiError {
        let (_, code, description) = error.parts();
        self.journal.record(&Event::RequestRefused { error: code, description }, caller);
        error
    }

    /// Records that the store failed, and says what the caller is told of it.
    pub(crate) fn store_failed(&self, during: &'static str, error: &StoreError, caller: &Caller) -> ApiError {
        self.journal.record(&Event::Failure { during, detail: error.to_string() }, caller);
        ApiError::from(error)
    }

    /// Records that no token could be signed, and says what the caller is told of it.
    pub(crate) fn signing_failed(&self, error: &KeyError, caller: &Caller) -> ApiError {
        self.journal.record(&Event::Failure { during: "sign", detail: error.to_string() }, caller);
        ApiError::ServerError
    }
}

/// What an endpoint reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// `application/json` alone, which no plain HTML form can send.
    Json,
    /// `application/json` and `application/x-www-form-urlencoded` (RFC 6749 §6).
    JsonOrForm,
}

/// Parameters that no endpoint takes from a query string (RFC 6749 §2.3.1, RFC 9700 §4.3.2): URLs end up in logs.
const BODY_ONLY: [&str; 12] = [
    "username",
    "password",
    "current_password",
    "new_password",
    "client_id",
    "client_secret",
    "scope",
    "grant_type",
    "refresh_token",
    "token",
    "token_type_hint",
    "all",
];

/// The parameters of a request, each present at most once.
#[derive(Debug)]
pub struct Params(Vec<(String, Value)>);

impl Params {
    /// Reads the parameters of a POST request from its body.
    ///
    /// # Errors
    /// The [`ApiError`] of the first thing that is wrong: method, query string, credentials in a header, size, content
    /// type, or the body itself.
    pub fn read(request: &Request, accepts: Accepts) -> Result<Self, ApiError> {
        if request.method() != http::Method::POST {
            return Err(ApiError::MethodNotAllowed("POST"));
        }
        let query = request.uri().query().unwrap_or_default();
        if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| BODY_ONLY.contains(&name.as_ref())) {
            return Err(ApiError::InvalidRequest("Parameters belong in the body, not in the query string."));
        }
        let basic =
            |value: &HeaderValue| value.as_bytes().get(..5).is_some_and(|s| s.eq_ignore_ascii_case(b"basic"));
        if request.headers().get_all(header::AUTHORIZATION).iter().any(basic) {
            return Err(ApiError::ClientAuthentication);
        }
        if request.body().len() > MAX_BODY_BYTES {
            return Err(ApiError::BodyTooLarge);
        }
        if request.body().is_empty() {
            return Err(ApiError::InvalidRequest("The body is empty."));
        }
        let params = match (content_type(request).as_deref(), accepts) {
            (Some("application/json"), _) => Self::from_json(request.body())?,
            (Some("application/x-www-form-urlencoded"), Accepts::JsonOrForm) => {
                Self::from_form(request.body())?
            }
            (_, Accepts::Json) => {
                return Err(ApiError::UnsupportedMediaType("The content type must be application/json."));
            }
            (_, Accepts::JsonOrForm) => {
                return Err(ApiError::UnsupportedMediaType(
                    "The content type must be application/x-www-form-urlencoded or application/json.",
                ));
            }
        };
        if params.text("client_secret")?.is_some() {
            return Err(ApiError::ClientAuthentication);
        }
        Ok(params)
    }

    fn from_json(body: &[u8]) -> Result<Self, ApiError> {
        crate::json::object(body)
            .map(|members| Self(members.into_iter().collect()))
            .map_err(|_| ApiError::InvalidRequest("The body is not one JSON object with distinct members."))
    }

    fn from_form(body: &[u8]) -> Result<Self, ApiError> {
        let malformed = ApiError::InvalidRequest("The body is not a UTF-8 form with distinct parameters.");
        let mut params: Vec<(String, Value)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            // The decoder replaces what is not UTF-8; no parameter of ours holds a replacement character.
            if name.contains(char::REPLACEMENT_CHARACTER) || value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(malformed);
            }
            if params.len() == MAX_FORM_PARAMETERS || params.iter().any(|(other, _)| *other == name) {
                return Err(malformed);
            }
            params.push((name.into_owned(), Value::String(value.into_owned())));
        }
        Ok(Self(params))
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// A text parameter. One without a value counts as left out (RFC 6749 §3.2), and so does `null`.
    ///
    /// # Errors
    /// `invalid_request` when it has another type.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(ApiError::InvalidRequest("A parameter that must be text is not.")),
        }
    }

    /// A text parameter that must be there; `missing` says so.
    ///
    /// # Errors
    /// `invalid_request` when it is missing or has another type.
    pub fn required(&self, name: &str, missing: &'static str) -> Result<&str, ApiError> {
        self.text(name)?.ok_or(ApiError::InvalidRequest(missing))
    }

    /// A parameter that is `true` or `false`, as JSON or as text; false when it is left out.
    ///
    /// # Errors
    /// `invalid_request` when it is anything else.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) if text.is_empty() || text == "false" => Ok(false),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(_) => Err(ApiError::InvalidRequest("A parameter that must be true or false is not.")),
        }
    }
}

/// Fewest and most characters of an `Idempotency-Key`: a UUID has 36.
const IDEMPOTENCY_KEY_CHARS: std::ops::RangeInclusive<usize> = 16..=128;

/// The attempt that the client names by its `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), if it does. The
/// value is taken as it stands, quoted or not.
///
/// # Errors
/// `invalid_request` for several of them, and for one that is too short to be anybody's own.
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

/// The media type of the body in lower case; `None` when there is none, several, or one with a charset that is not UTF-8.
pub(crate) fn content_type(request: &Request) -> Option<String> {
    let mut values = request.headers().get_all(header::CONTENT_TYPE).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let mut parts = value.split(';');
    let essence = parts.next()?.trim().to_ascii_lowercase();
    let utf8 = parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset")
            || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    utf8.then_some(essence)
}

const JSON: &str = "application/json; charset=utf-8";

/// Turns the result of a flow into its answer.
#[must_use]
pub fn respond<T: Serialize>(result: Result<T, ApiError>) -> Response {
    match result.and_then(|value| serde_json::to_vec(&value).map_err(|_| ApiError::ServerError)) {
        Ok(body) => uncached(200, body),
        Err(error) => refusal(&error),
    }
}

/// The answer for an error.
#[must_use]
pub fn refusal(error: &ApiError) -> Response {
    let (status, code, description) = error.parts();
    let body = serde_json::json!({ "error": code, "error_description": description });
    let mut response = uncached(status, body.to_string().into_bytes());
    if let Some((name, value)) = error.header()
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A JSON answer that nobody may keep (RFC 6749 §5.1).
fn uncached(status: u16, body: Vec<u8>) -> Response {
    let mut response = json(status, body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// A JSON document that anybody may keep for `max_age` seconds.
#[must_use]
pub fn cacheable(body: Vec<u8>, max_age: u32) -> Response {
    let mut response = json(200, body);
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

fn json(status: u16, body: Vec<u8>) -> Response {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, JSON),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A year; without `includeSubDomains`, because the other hosts of a domain are not ours to decide on.
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ];
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(content_type: &str, body: impl Into<Vec<u8>>) -> Request {
        http::Request::post("/x").header("content-type", content_type).body(body.into()).unwrap()
    }

    fn check(request: &Request, accepts: Accepts, status: u16) {
        let result = Params::read(request, accepts);
        let got = result.as_ref().err().map_or(200, |error| error.parts().0);
        assert_eq!(got, status, "{request:?} {result:?}");
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn bodies() {
        use Accepts::{Json, JsonOrForm};
        check(&post("application/json", r#"{"a":1}"#), Json, 200);
        check(&post("Application/JSON; charset=UTF-8", r#"{"a":1}"#), Json, 200);
        check(&post("application/json; charset=\"utf-8\"", "{}"), Json, 200);
        check(&post("application/json; charset=latin1", "{}"), Json, 415);
        check(&post(FORM, "a=1&b=2"), JsonOrForm, 200);
        check(&post(FORM, "a=1"), Json, 415);
        check(&post("text/plain", "{}"), JsonOrForm, 415);
        check(&post("multipart/form-data; boundary=x", "x"), JsonOrForm, 415);
        check(&post("application/json", ""), Json, 400);
        check(&post("application/json", "[1]"), Json, 400);
        check(&post("application/json", r#"["alice","secret"]"#), Json, 400);
        check(&post("application/json", r#"{"a":1,"a":1}"#), Json, 400);
        check(&post("application/json", &b"{\"a\":\"\xff\"}"[..]), Json, 400);
        check(&post("application/json", "{}x"), Json, 400);
        check(&post(FORM, "a=1&a=1"), JsonOrForm, 400);
        check(&post(FORM, "a=1&%61=1"), JsonOrForm, 400);
        check(&post(FORM, "a=%ff"), JsonOrForm, 400);
        check(&post(FORM, &b"a=\xff"[..]), JsonOrForm, 400);
        let many = |n: usize| (0..n).map(|n| format!("p{n}=")).collect::<Vec<_>>().join("&");
        check(&post(FORM, many(64)), JsonOrForm, 200);
        check(&post(FORM, many(65)), JsonOrForm, 400);
        check(&post("application/json", vec![b' '; MAX_BODY_BYTES + 1]), Json, 413);
    }

    #[test]
    fn what_is_not_the_body() {
        let mut request = post("application/json", "{}");
        *request.uri_mut() = "/x?password=p".parse().unwrap();
        check(&request, Accepts::Json, 400);
        *request.uri_mut() = "/x?pass%77ord=p".parse().unwrap();
        check(&request, Accepts::Json, 400);
        *request.uri_mut() = "/x?utm=1".parse().unwrap();
        check(&request, Accepts::Json, 200);
        request.headers_mut().insert("authorization", HeaderValue::from_static("bAsic d2ViOg=="));
        check(&request, Accepts::Json, 401);
        request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer x"));
        check(&request, Accepts::Json, 200);
        *request.method_mut() = http::Method::PUT;
        check(&request, Accepts::Json, 405);
        check(&post("application/json", r#"{"client_secret":"s"}"#), Accepts::Json, 401);
        let mut twice = post("application/json", "{}");
        twice.headers_mut().append("content-type", HeaderValue::from_static("text/plain"));
        check(&twice, Accepts::Json, 415);
    }

    #[test]
    fn types() {
        let params = Params::read(
            &post("application/json", r#"{"t":"x","e":"","n":null,"i":1,"b":true}"#),
            Accepts::Json,
        )
        .unwrap();
        assert_eq!(params.text("t"), Ok(Some("x")));
        for left_out in ["e", "n", "absent"] {
            assert_eq!(params.text(left_out), Ok(None), "{left_out}");
        }
        assert!(params.text("i").is_err());
        assert!(params.required("e", "gone").is_err());
        assert_eq!(params.flag("b"), Ok(true));
        assert_eq!(params.flag("absent"), Ok(false));
        assert!(params.flag("t").is_err() && params.flag("i").is_err());
    }

    #[test]
    fn error_texts_keep_to_the_characters_of_rfc_6749() {
        let all = [
            ApiError::InvalidRequest("x"),
            ApiError::BodyTooLarge,
            ApiError::UnsupportedMediaType("x"),
            ApiError::MethodNotAllowed("POST"),
            ApiError::BadCredentials,
            ApiError::InvalidGrant,
            ApiError::UnsupportedGrantType,
            ApiError::UnknownClient,
            ApiError::ClientAuthentication,
            ApiError::InvalidScope,
            ApiError::SlowDown(std::time::Duration::from_millis(1001)),
            ApiError::TemporarilyUnavailable,
            ApiError::ServerError,
            ApiError::InvalidToken,
            ApiError::NotFound,
            ApiError::InvalidGrant,
            ApiError::AnotherClientsGrant,
            ApiError::WrongPassword,
            ApiError::PasswordRefused("x"),
        ];
        for error in all {
            let (status, code, text) = error.parts();
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
            assert_eq!(response.headers().contains_key("www-authenticate"), status == 401, "{error:?}");
        }
        assert_eq!(refusal(&all[10]).headers()["retry-after"], "2", "rounded up");
    }
}
