//! Request bodies: JSON or a form, read strictly into the type of an endpoint.

use crate::http::error::ApiError;
use crate::http::request::{MAX_BODY_BYTES, Request, content_type};
use crate::secret::SecretString;
use http::Method;
use http::header::{self, HeaderValue};
use serde::Deserialize;
use serde::de::value::{Error as FormError, MapDeserializer};
use serde::de::{
    DeserializeOwned, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use zeroize::Zeroizing;

/// Most parameters of a form. No endpoint knows more than six, and each name is compared with all before it.
const MAX_FORM_PARAMETERS: usize = 64;

/// The content types that an endpoint reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    /// `application/json` alone, which no plain HTML form can send.
    Json,
    /// `application/json` and `application/x-www-form-urlencoded` (RFC 6749 §6).
    JsonOrForm,
}

/// Parameters that no endpoint accepts in the query string (RFC 6749 §2.3.1, RFC 9700 §4.3.2): URLs end up in logs.
const BODY_ONLY: [&str; 23] = [
    "username",
    "password",
    "current_password",
    "new_password",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "scope",
    "grant_type",
    "refresh_token",
    "device_token",
    "token",
    "token_type_hint",
    "all",
    "email",
    "language",
    "request",
    "code",
    "mfa_token",
    "recovery_code",
    "enrolment_token",
    "passkey",
];

/// The body of a POST request, which is taken out of the request and wiped after reading.
///
/// `T` has a [`Parameter`] or a [`Flag`] for each member that the endpoint knows. Other members are ignored, except
/// `client_secret`.
///
/// # Errors
/// The first fault, in this order: method, query string, credentials in a header, size, content type, body, `client_secret`.
pub(super) fn read<T: DeserializeOwned>(request: &mut Request, accepts: Accepts) -> Result<T, ApiError> {
    read_by(&Method::POST, request, accepts)
}

/// As [`read`], for PATCH, which the endpoint has checked.
pub(super) fn read_patch<T: DeserializeOwned>(request: &mut Request) -> Result<T, ApiError> {
    read_by(&Method::PATCH, request, Accepts::Json)
}

fn read_by<T: DeserializeOwned>(
    method: &Method,
    request: &mut Request,
    accepts: Accepts,
) -> Result<T, ApiError> {
    check_line(method, request)?;
    if accepts == Accepts::JsonOrForm && authenticates_a_client(request) {
        return Err(ApiError::ClientAuthentication);
    }
    let (Authentication { client_secret }, body) = read_body(request, accepts)?;
    if client_secret.text()?.is_some() {
        return Err(ApiError::ClientAuthentication);
    }
    Ok(body)
}

/// As [`read`], for an endpoint where clients authenticate themselves. The second value is that of the `Authorization` header
/// with the scheme `Basic`, if it authenticates a client.
///
/// # Errors
/// As [`read`], but `client_secret` in the body is [`ApiError::InvalidClient`], and several headers are `invalid_request`.
pub(super) fn read_of_client<T: DeserializeOwned>(
    request: &mut Request,
) -> Result<(T, Option<SecretString>), ApiError> {
    check_line(&Method::POST, request)?;
    let basic = if authenticates_a_client(request) {
        let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (Some(one), None) => {
                Some(SecretString::new(one.to_str().map_err(|_| ApiError::InvalidClient)?.to_owned()))
            }
            _ => return Err(ApiError::InvalidRequest("The Authorization header is there twice.")),
        }
    } else {
        None
    };
    let (Authentication { client_secret }, body) = read_body(request, Accepts::JsonOrForm)?;
    if client_secret.text()?.is_some() {
        return Err(ApiError::InvalidClient);
    }
    Ok((body, basic))
}

/// Checks the method and the query string.
fn check_line(method: &Method, request: &Request) -> Result<(), ApiError> {
    if request.method() != method {
        return Err(ApiError::MethodNotAllowed("POST"));
    }
    let query = request.uri().query().unwrap_or_default();
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| BODY_ONLY.contains(&name.as_ref())) {
        return Err(ApiError::InvalidRequest("Parameters belong in the body, not in the query string."));
    }
    Ok(())
}

fn read_body<T: DeserializeOwned>(
    request: &mut Request,
    accepts: Accepts,
) -> Result<(Authentication, T), ApiError> {
    if request.body().len() > MAX_BODY_BYTES {
        return Err(ApiError::BodyTooLarge);
    }
    if request.body().is_empty() {
        return Err(ApiError::InvalidRequest("The body is empty."));
    }
    let bytes = Zeroizing::new(std::mem::take(request.body_mut()));
    let body = match (content_type(request).as_deref(), accepts) {
        (Some("application/json"), _) => Body::json(&bytes)?,
        (Some("application/x-www-form-urlencoded"), Accepts::JsonOrForm) => Body::form(&bytes)?,
        (_, Accepts::Json) => {
            return Err(ApiError::UnsupportedMediaType("The content type must be application/json."));
        }
        (_, Accepts::JsonOrForm) => {
            return Err(ApiError::UnsupportedMediaType(
                "The content type must be application/x-www-form-urlencoded or application/json.",
            ));
        }
    };
    Ok((body.decode()?, body.decode()?))
}

/// The JSON body of a request of an operator, which is taken out of the request and wiped after reading. `T` refuses unknown
/// members (`deny_unknown_fields`): an operator learns of a misspelt member, and nothing is changed by half.
///
/// # Errors
/// The first fault, in this order: size, content type, JSON with distinct members, members.
pub fn read_strict<T: DeserializeOwned>(request: &mut Request) -> Result<T, ApiError> {
    if request.body().len() > MAX_BODY_BYTES {
        return Err(ApiError::BodyTooLarge);
    }
    if request.body().is_empty() {
        return Err(ApiError::InvalidRequest("The body is empty."));
    }
    let bytes = Zeroizing::new(std::mem::take(request.body_mut()));
    if content_type(request).as_deref() != Some("application/json") {
        return Err(ApiError::UnsupportedMediaType("The content type must be application/json."));
    }
    Body::json(&bytes)?;
    serde_json::from_slice(&bytes)
        .map_err(|_| ApiError::InvalidRequest("A member is unknown, missing, or not of its type."))
}

/// Whether the `Authorization` header authenticates a client at the token endpoint (RFC 6749 §2.3.1). Browsers add `Basic` to
/// the requests of a page on a site that a CDN protects with HTTP authentication. Such a request has an `Origin`, and the header
/// is for the CDN.
fn authenticates_a_client(request: &Request) -> bool {
    let basic =
        |value: &HeaderValue| value.as_bytes().get(..5).is_some_and(|s| s.eq_ignore_ascii_case(b"basic"));
    !request.headers().contains_key(header::ORIGIN)
        && request.headers().get_all(header::AUTHORIZATION).iter().any(basic)
}

#[derive(Deserialize)]
struct Authentication {
    #[serde(default)]
    client_secret: Parameter<SecretString>,
}

/// A body whose members are distinct.
enum Body<'a> {
    Json(&'a [u8]),
    Form(Vec<(String, Zeroizing<String>)>),
}

const NOT_JSON: ApiError = ApiError::InvalidRequest("The body is not one JSON object with distinct members.");
const NOT_A_FORM: ApiError =
    ApiError::InvalidRequest("The body is not a UTF-8 form with distinct parameters.");

impl<'a> Body<'a> {
    fn json(bytes: &'a [u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(bytes) {
            Ok(Distinct::Object) => Ok(Self::Json(bytes)),
            // The text of the cause is dropped on purpose: it can quote the input.
            Ok(Distinct::Other) | Err(_) => Err(NOT_JSON),
        }
    }

    fn form(bytes: &[u8]) -> Result<Self, ApiError> {
        let mut pairs: Vec<(String, Zeroizing<String>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(bytes) {
            // The decoder replaces what is not UTF-8, and no parameter contains a replacement character.
            if name.contains(char::REPLACEMENT_CHARACTER) || value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(NOT_A_FORM);
            }
            if pairs.len() == MAX_FORM_PARAMETERS || pairs.iter().any(|(other, _)| *other == name) {
                return Err(NOT_A_FORM);
            }
            pairs.push((name.into_owned(), Zeroizing::new(value.into_owned())));
        }
        Ok(Self::Form(pairs))
    }

    fn decode<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        match self {
            Self::Json(bytes) => serde_json::from_slice(bytes).map_err(|_| NOT_JSON),
            Self::Form(pairs) => {
                let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                T::deserialize(MapDeserializer::<_, FormError>::new(pairs)).map_err(|_| NOT_A_FORM)
            }
        }
    }
}

/// JSON whose objects have distinct members at any depth. It keeps no value, so there is none to wipe.
enum Distinct {
    Object,
    Other,
}

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DistinctVisitor)
    }
}

struct DistinctVisitor;

impl<'de> Visitor<'de> for DistinctVisitor {
    type Value = Distinct;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with distinct members")
    }

    fn visit_unit<E: Error>(self) -> Result<Distinct, E> {
        Ok(Distinct::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Distinct, E> {
        Ok(Distinct::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Distinct, E> {
        Ok(Distinct::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Distinct, E> {
        Ok(Distinct::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Distinct, E> {
        Ok(Distinct::Other)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Distinct, E> {
        Ok(Distinct::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Distinct, A::Error> {
        while items.next_element::<Distinct>()?.is_some() {}
        Ok(Distinct::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Distinct, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member stands there twice"));
            }
            members.next_value::<Distinct>()?;
        }
        Ok(Distinct::Object)
    }
}

/// A text member of a body. It counts as absent when it is `null` or empty (RFC 6749 §3.2).
///
/// A fault surfaces when the endpoint takes the value. So the order in which an endpoint takes its parameters decides which of
/// several faults the client sees.
#[derive(Debug)]
pub(super) struct Parameter<T>(Result<Option<T>, Fault>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NotText,
    /// The text is no `T`.
    Rejected,
}

const NOT_TEXT: &str = "A parameter that must be text is not.";

impl<T> Parameter<T> {
    /// A parameter that was read before.
    pub(super) fn of(value: T) -> Self {
        Self(Ok(Some(value)))
    }

    /// Whether the body has no such parameter.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self.0, Ok(None))
    }

    /// The value of a parameter whose type takes any text.
    ///
    /// # Errors
    /// `invalid_request` when it is not text.
    pub(super) fn text(self) -> Result<Option<T>, ApiError> {
        self.value(NOT_TEXT)
    }

    /// The value, which must be present. `missing` and `rejected` are the texts for an absent one and for a text that is no `T`.
    ///
    /// # Errors
    /// `invalid_request` when it is absent, not text, or no `T`.
    pub(super) fn required(self, missing: &'static str, rejected: &'static str) -> Result<T, ApiError> {
        self.value(rejected)?.ok_or(ApiError::InvalidRequest(missing))
    }

    fn value(self, rejected: &'static str) -> Result<Option<T>, ApiError> {
        self.0.map_err(|fault| match fault {
            Fault::NotText => ApiError::InvalidRequest(NOT_TEXT),
            Fault::Rejected => ApiError::InvalidRequest(rejected),
        })
    }
}

impl<T> Default for Parameter<T> {
    fn default() -> Self {
        Self(Ok(None))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Parameter<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match deserializer.deserialize_any(MemberVisitor(PhantomData))? {
            Member::Absent => Ok(None),
            Member::Text(text) => Ok(Some(text)),
            Member::Rejected => Err(Fault::Rejected),
            Member::Bool(_) | Member::Other => Err(Fault::NotText),
        }))
    }
}

/// A member that is `true` or `false`, as JSON or as text. It counts as `false` when it is absent, `null` or empty.
///
/// As with a [`Parameter`], a fault surfaces when the endpoint takes the value.
#[derive(Debug)]
pub(super) struct Flag(Option<bool>);

impl Flag {
    /// Whether it is `true`.
    ///
    /// # Errors
    /// `invalid_request` when it is anything else than `true` or `false`.
    pub(super) fn is_set(&self) -> Result<bool, ApiError> {
        self.0.ok_or(ApiError::InvalidRequest("A parameter that must be true or false is not."))
    }
}

impl Default for Flag {
    fn default() -> Self {
        Self(Some(false))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match deserializer.deserialize_any(MemberVisitor::<String>(PhantomData))? {
            Member::Absent => Some(false),
            Member::Bool(value) => Some(value),
            Member::Text(text) => text.parse().ok(),
            Member::Rejected | Member::Other => None,
        }))
    }
}

/// Any member of a body. Only a text or a boolean is kept.
enum Member<T> {
    /// `null` or an empty text.
    Absent,
    Bool(bool),
    Text(T),
    /// A text that is no `T`.
    Rejected,
    /// A number, an array or an object.
    Other,
}

struct MemberVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MemberVisitor<T> {
    type Value = Member<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Member<T>, E> {
        Ok(Member::Absent)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Member<T>, E> {
        Ok(Member::Bool(value))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Member<T>, E> {
        Ok(Member::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Member<T>, E> {
        Ok(Member::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Member<T>, E> {
        Ok(Member::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Member<T>, E> {
        if text.is_empty() {
            return Ok(Member::Absent);
        }
        let text = T::deserialize(IntoDeserializer::<E>::into_deserializer(text));
        Ok(text.map_or(Member::Rejected, Member::Text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Member<T>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Member<T>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::answer::status;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Sample {
        text: Parameter<String>,
        flag: Flag,
    }

    fn post(content_type: &str, body: impl Into<Vec<u8>>) -> Request {
        http::Request::post("/x").header("content-type", content_type).body(body.into()).unwrap()
    }

    fn check(request: &Request, accepts: Accepts, expected: u16) {
        let result = read::<Sample>(&mut request.clone(), accepts);
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
        check(&post("application/json; charset=iso-8859-1", "{}"), Json, 200);
        check(&post("application/x-www-form-urlencoded; charset=windows-1252", "a=1"), JsonOrForm, 200);
        for wide in ["UTF-16", "utf-16le", "\"utf-32\""] {
            check(&post(&format!("application/json; charset={wide}"), "{}"), Json, 415);
        }
        check(&post(FORM, "a=1&b=2"), JsonOrForm, 200);
        check(&post(FORM, "a=1"), Json, 415);
        check(&post("text/plain", "{}"), JsonOrForm, 415);
        check(&post("multipart/form-data; boundary=x", "x"), JsonOrForm, 415);
        check(&post("application/json", ""), Json, 400);
        check(&post("application/json", "[1]"), Json, 400);
        check(&post("application/json", r#"["alice","secret"]"#), Json, 400);
        check(&post("application/json", r#"{"a":1,"a":1}"#), Json, 400);
        check(&post("application/json", r#"{"text":"x","text":"x"}"#), Json, 400);
        check(&post("application/json", r#"{"a":1,"\u0061":1}"#), Json, 400);
        check(&post("application/json", r#"{"a":[{"b":1,"b":1}]}"#), Json, 400);
        check(&post("application/json", r#"{"text":{"b":1,"b":1}}"#), Json, 400);
        check(&post("application/json", r#"{"a":[{"b":1},{"b":[null,true,-1,2,0.5,"x"]}]}"#), Json, 200);
        check(&post("application/json", r#"{"a":1e999}"#), Json, 400);
        check(&post("application/json", r#"{"a":"\ud800"}"#), Json, 400);
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
        check(&request, Accepts::JsonOrForm, 401);
        // `/login` is no token endpoint, and a page may be on a site with HTTP authentication.
        check(&request, Accepts::Json, 200);
        request.headers_mut().insert("origin", HeaderValue::from_static("https://staging.example.com"));
        check(&request, Accepts::JsonOrForm, 200);
        request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer x"));
        check(&request, Accepts::Json, 200);
        *request.method_mut() = Method::PUT;
        check(&request, Accepts::Json, 405);
        check(&post("application/json", r#"{"client_secret":"s"}"#), Accepts::Json, 401);
        check(&post(FORM, "client_secret=s"), Accepts::JsonOrForm, 401);
        check(&post("application/json", r#"{"client_secret":""}"#), Accepts::Json, 200);
        check(&post("application/json", r#"{"client_secret":null}"#), Accepts::Json, 200);
        check(&post("application/json", r#"{"client_secret":["s"]}"#), Accepts::Json, 400);
        let mut twice = post("application/json", "{}");
        twice.headers_mut().append("content-type", HeaderValue::from_static("text/plain"));
        check(&twice, Accepts::Json, 415);
    }

    /// What the members come to in JSON, and in a form that has only texts.
    fn check_members(request: &mut Request, text: Result<Option<&str>, ()>, flag: Result<bool, ()>) {
        let shown = format!("{request:?}");
        let sample: Sample = read(request, Accepts::JsonOrForm).unwrap();
        let got = sample.text.text();
        assert_eq!(got.as_ref().map(Option::as_deref).map_err(|_| ()), text, "{shown}");
        assert_eq!(sample.flag.is_set().map_err(|_| ()), flag, "{shown}");
        assert!(request.body().is_empty(), "taken out, and wiped");
    }

    #[test]
    fn members() {
        let json = |text: &str| post("application/json", text);
        for (member, text, flag) in [
            (r#""x""#, Ok(Some("x")), Err(())),
            (r#""\u0078""#, Ok(Some("x")), Err(())),
            (r#""""#, Ok(None), Ok(false)),
            ("null", Ok(None), Ok(false)),
            ("1", Err(()), Err(())),
            ("-1", Err(()), Err(())),
            ("0.5", Err(()), Err(())),
            (r#"["true"]"#, Err(()), Err(())),
            (r#"{"x":[1]}"#, Err(()), Err(())),
            ("true", Err(()), Ok(true)),
            ("false", Err(()), Ok(false)),
            (r#""true""#, Ok(Some("true")), Ok(true)),
            (r#""false""#, Ok(Some("false")), Ok(false)),
            (r#""True""#, Ok(Some("True")), Err(())),
        ] {
            check_members(&mut json(&format!(r#"{{"text":{member},"flag":{member}}}"#)), text, flag);
        }
        check_members(&mut json("{}"), Ok(None), Ok(false));
        for (body, text, flag) in [
            ("text=x&flag=true", Ok(Some("x")), Ok(true)),
            ("text=%78+y&flag=1", Ok(Some("x y")), Err(())),
            ("text=&flag=", Ok(None), Ok(false)),
            ("other=1", Ok(None), Ok(false)),
        ] {
            check_members(&mut post(FORM, body), text, flag);
        }
    }

    #[test]
    fn a_required_member_is_present_and_of_its_type() {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            password: Parameter<crate::secret::Password>,
        }
        let long = "x".repeat(1_025);
        for (body, expected) in [
            (r#"{"password":"hunter2"}"#.to_owned(), Ok("hunter2")),
            (r#"{"password":""}"#.to_owned(), Err("missing")),
            ("{}".to_owned(), Err("missing")),
            (format!(r#"{{"password":"{long}"}}"#), Err("rejected")),
            (r#"{"password":1}"#.to_owned(), Err(NOT_TEXT)),
        ] {
            let body: Body = read(&mut post("application/json", body), Accepts::Json).unwrap();
            let got = body.password.required("missing", "rejected");
            let got = got.as_ref().map(crate::secret::Password::expose).map_err(|error| error.text().1);
            assert_eq!(got, expected);
        }
    }
}
