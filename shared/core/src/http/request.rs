//! Requests: parameters are read strictly, from the body alone.

use crate::flow::error::ApiError;
use crate::ports::context::Principal;
use daypass_verifier::base::ids::AttemptId;
use daypass_verifier::ports::context::Caller;
use http::header::{self, HeaderValue};
use serde_json::Value;

/// A request with its whole body. The [`Caller`] travels in its extensions, and so does the [`Principal`].
pub type Request = http::Request<Vec<u8>>;

/// The caller of a request; empty when none was noted.
#[must_use]
pub fn caller_of(request: &Request) -> Caller {
    request.extensions().get::<Caller>().cloned().unwrap_or_default()
}

/// The principal of a request; `None` when no authorizer of ours stood in front.
#[must_use]
pub fn principal_of(request: &Request) -> Option<Principal> {
    request.extensions().get::<Principal>().copied()
}

/// Longest body that is read, in bytes. The longest valid one is a password of 1,024 astral characters, each escaped
/// as twelve bytes of JSON.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// Most parameters of a form: no endpoint knows more than six, and each is compared with all before it.
const MAX_FORM_PARAMETERS: usize = 64;

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
        daypass_verifier::base::json::object(body)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::answer::refusal;
    use crate::http::answer::status;

    fn post(content_type: &str, body: impl Into<Vec<u8>>) -> Request {
        http::Request::post("/x").header("content-type", content_type).body(body.into()).unwrap()
    }

    fn check(request: &Request, accepts: Accepts, expected: u16) {
        let result = Params::read(request, accepts);
        let got = result.as_ref().err().map_or(200, |error| status(error).as_u16());
        assert_eq!(got, expected, "{request:?} {result:?}");
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
            assert_eq!(response.headers().contains_key("www-authenticate"), status == 401, "{error:?}");
        }
        assert_eq!(refusal(&all[10]).headers()["retry-after"], "2", "rounded up");
    }
}
