//! Events of API Gateway. Their content tells the kinds of API apart. A missing member or one of another type leads to
//! a denial, and never to a panic.

use crate::arn::MethodArn;
use daypass_verifier::jose::dpop::ProofFault;
use daypass_verifier::ports::context::Caller;
use daypass_verifier::ports::event::BadAuthorizationHeader;
use serde_json::Value;

/// The kind of API that calls the authorizer. Each expects its own form of response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// A REST API with an authorizer of type `TOKEN` or `REQUEST`, also under `sam local` or serverless-offline.
    Rest,
    /// An HTTP API, payload format 1.0.
    HttpV1,
    /// An HTTP API, payload format 2.0.
    HttpV2,
    /// A WebSocket API, which calls the authorizer for `$connect`.
    WebSocket,
}

/// The access token of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// How the request presents it.
    pub scheme: Scheme,
    /// The token.
    pub token: &'a str,
}

/// The scheme of an `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750 §2.1.
    Bearer,
    /// RFC 9449 §7.1.
    Dpop,
}

/// An event of an API Gateway.
#[derive(Debug)]
pub struct Event<'a> {
    /// Kind of the calling API.
    pub api: Api,
    /// API, stage and called method.
    pub arn: MethodArn<'a>,
    /// The access token; `None` without an `Authorization` header.
    pub credentials: Result<Option<Credentials<'a>>, BadAuthorizationHeader>,
    /// The DPoP proof.
    pub proof: Result<&'a str, ProofFault>,
    /// The URL of the request without its query; `None` if the event does not have it.
    pub url: Option<String>,
    /// Request id and address. A `TOKEN` event has neither.
    pub caller: Caller,
}

impl<'a> Event<'a> {
    /// Reads an event; `None` for an unknown form.
    #[must_use]
    pub fn read(event: &'a Value) -> Option<Self> {
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let arn = |name: &str| text(name).and_then(MethodArn::parse);
        // AWS defines a TOKEN event by its type. Emulators add a version.
        if text("type") == Some("TOKEN") {
            return Some(Self {
                api: Api::Rest,
                arn: arn("methodArn").filter(|arn| !arn.is_connect())?,
                credentials: match event.get("authorizationToken") {
                    None | Some(Value::Null) => Ok(None),
                    Some(Value::String(header)) => credentials(header).map(Some),
                    Some(_) => Err(BadAuthorizationHeader::Malformed),
                },
                proof: Err(ProofFault::ProofNotInEvent),
                url: None,
                caller: Caller::default(),
            });
        }
        let proof = match header(event, "dpop") {
            Ok(proof) => proof.ok_or(ProofFault::ProofMissing),
            Err(Repeated) => Err(ProofFault::ProofRepeated),
        };
        let version = match event.get("version") {
            None | Some(Value::Null) => None,
            Some(Value::String(version)) if version == "1.0" && is_of_rest_api(event) => None,
            // Every known version is a string.
            Some(version) => Some(version.as_str()?),
        };
        match (version, text("type")) {
            (None, Some("REQUEST")) => {
                let arn = arn("methodArn")?;
                let api = if arn.is_connect() { Api::WebSocket } else { Api::Rest };
                let header =
                    header(event, AUTHORIZATION).map_err(|Repeated| BadAuthorizationHeader::Malformed);
                Some(Self {
                    api,
                    arn,
                    credentials: header.and_then(|header| header.map(credentials).transpose()),
                    proof,
                    url: url(event, if arn.is_connect() { "stage" } else { "path" }),
                    caller: caller(event, "/requestContext/identity/sourceIp"),
                })
            }
            (Some("1.0"), Some("REQUEST")) => Some(Self {
                api: Api::HttpV1,
                arn: arn("methodArn").or_else(|| arn("routeArn")).filter(|arn| !arn.is_connect())?,
                credentials: keyed(event).and_then(|header| header.map(credentials).transpose()),
                proof,
                url: url(event, "path"),
                caller: caller(event, "/requestContext/identity/sourceIp"),
            }),
            (Some("2.0"), Some("REQUEST")) => Some(Self {
                api: Api::HttpV2,
                arn: arn("routeArn").filter(|arn| !arn.is_connect())?,
                credentials: keyed(event).and_then(|header| header.map(credentials).transpose()),
                proof,
                url: url(event, "rawPath"),
                caller: caller(event, "/requestContext/http/sourceIp"),
            }),
            _ => None,
        }
    }
}

/// Whether the event of format 1.0 comes from a REST API of an emulator: serverless-offline adds `enhancedAuthContext`, and
/// `sam local` has no identity sources. AWS sends neither a version from a REST API, nor such an event from an HTTP API.
fn is_of_rest_api(event: &Value) -> bool {
    event.get("enhancedAuthContext").is_some() || event.get("identitySource").is_none()
}

/// Whether an event comes from no API, such as the event of a schedule that keeps the function warm. An event of an API has one
/// of these members.
#[must_use]
pub(crate) fn is_warm_up(event: &Value) -> bool {
    const OF_AN_API: [&str; 7] = [
        "type",
        "methodArn",
        "routeArn",
        "authorizationToken",
        "identitySource",
        "headers",
        "requestContext",
    ];
    OF_AN_API.iter().all(|member| event.get(member).is_none())
}

/// The one `Authorization` header, if it is an identity source. API Gateway caches the response under the identity
/// sources, and would otherwise give it to other tokens too.
fn keyed(event: &Value) -> Result<Option<&str>, BadAuthorizationHeader> {
    let header = header(event, AUTHORIZATION).map_err(|Repeated| BadAuthorizationHeader::Malformed)?;
    let is_a_key = |header: &str| match event.get("identitySource") {
        // Without identity sources, API Gateway caches nothing.
        None | Some(Value::Null) => true,
        // Format 2.0 lists their values, format 1.0 joins them with commas. serverless-offline lists null for none.
        Some(Value::Array(values)) => {
            values.iter().all(Value::is_null) || values.iter().any(|value| value == header)
        }
        Some(Value::String(values)) => values.is_empty() || values.split(',').any(|value| value == header),
        Some(_) => false,
    };
    match header {
        Some(header) if !is_a_key(header) => Err(BadAuthorizationHeader::NotTheCacheKey),
        header => Ok(header),
    }
}

/// The name of the header of credentials, in lower case.
const AUTHORIZATION: &str = "authorization";

/// A header is there several times, or its value is no string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Repeated;

/// The one header of this name. HTTP APIs send header names in lower case and join repeated headers. REST APIs keep
/// the client's case, and send the last value in `headers` and all values in `multiValueHeaders`.
fn header<'a>(event: &'a Value, header: &str) -> Result<Option<&'a str>, Repeated> {
    let named = |member: &str| {
        let headers = event.get(member).and_then(Value::as_object).into_iter().flatten();
        headers.filter(|(name, _)| name.eq_ignore_ascii_case(header)).map(|(_, value)| value)
    };
    let single = one(named("headers").map(text_of))?;
    let listed = named("multiValueHeaders").flat_map(|values| match values {
        Value::Array(values) => values.iter().map(text_of).collect(),
        other => vec![text_of(other)],
    });
    match (single, one(listed)?) {
        (Some(single), Some(listed)) if single != listed => Err(Repeated),
        (single, listed) => Ok(single.or(listed)),
    }
}

fn text_of(value: &Value) -> Option<&str> {
    value.as_str()
}

/// The value of an iterator with one element, if it is a string.
fn one<'a>(mut values: impl Iterator<Item = Option<&'a str>>) -> Result<Option<&'a str>, Repeated> {
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(Some(value)), None) => Ok(Some(value)),
        _ => Err(Repeated),
    }
}

/// The URL of the request: the host, and the path in the member of this name. `rawPath` is a member of the event, and the
/// others are members of its context. A path of a custom domain has the base path of the mapping, and another has the stage.
fn url(event: &Value, path: &str) -> Option<String> {
    let context = event.get("requestContext")?;
    let path = if path == "rawPath" { event.get(path) } else { context.get(path) }?.as_str()?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(format!("https://{}{slash}{path}", context.get("domainName")?.as_str()?))
}

/// The token of a scheme, `1*SP` and a token (RFC 6750 §2.1, RFC 9449 §7.1). The scheme is case-insensitive (RFC 9110 §11.1). A comma means that
/// API Gateway joined two headers.
fn credentials(header: &str) -> Result<Credentials<'_>, BadAuthorizationHeader> {
    let (scheme, token) = header.split_once(' ').ok_or(BadAuthorizationHeader::Malformed)?;
    let token = token.trim_start_matches(' ');
    let one_token = !token.is_empty() && !token.contains([' ', ',', '\t']);
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Scheme::Bearer,
        "dpop" => Scheme::Dpop,
        _ => return Err(BadAuthorizationHeader::Malformed),
    };
    if one_token { Ok(Credentials { scheme, token }) } else { Err(BadAuthorizationHeader::Malformed) }
}

/// The caller according to `requestContext`, which API Gateway writes.
fn caller(event: &Value, address: &str) -> Caller {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    Caller {
        request_id: text("/requestContext/requestId").unwrap_or_default().to_owned(),
        source_ip: text(address).and_then(|ip| ip.parse().ok()),
        user_agent: None,
    }
}
