//! Authorizer events, read tolerantly: whatever is missing or of the wrong type denies, nothing panics.

use daypass_core::event::{BadCredentials, Denial};
use daypass_core::web::Caller;
use serde_json::Value;

/// An event of an API Gateway, told apart by its content.
#[derive(Debug)]
pub enum Event<'a> {
    /// HTTP API, payload format 2.0.
    HttpV2 {
        /// The bearer token.
        token: Result<&'a str, Denial>,
        /// Who asks.
        caller: Caller,
    },
    /// REST API, type `TOKEN`.
    RestToken {
        /// The bearer token.
        token: Result<&'a str, Denial>,
        /// The API and stage: `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE`.
        api: &'a str,
        /// Who asks; `TOKEN` events do not say.
        caller: Caller,
    },
    /// Nothing that we know.
    Unknown,
}

impl<'a> Event<'a> {
    /// Reads an event.
    #[must_use]
    pub fn read(event: &'a Value) -> Self {
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        match (text("version"), text("type")) {
            (Some("2.0"), _) => {
                Self::HttpV2 { token: authorization(event).and_then(bearer), caller: caller(event) }
            }
            (None, Some("TOKEN")) => match text("methodArn").and_then(api_and_stage) {
                Some(api) => {
                    let header =
                        text("authorizationToken").ok_or(Denial::Credentials(BadCredentials::Missing));
                    Self::RestToken { token: header.and_then(bearer), api, caller: Caller::default() }
                }
                None => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }
}

/// The one `Authorization` header. HTTP APIs send names in lower case, but whoever tests by hand may not.
fn authorization(event: &Value) -> Result<&str, Denial> {
    let headers = event.get("headers").and_then(Value::as_object);
    let mut values = headers
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value);
    let value = values.next().ok_or(Denial::Credentials(BadCredentials::Missing))?;
    match (value.as_str(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(Denial::Credentials(BadCredentials::Malformed)),
    }
}

/// The token of `Bearer TOKEN` (RFC 6750 §2.1). The scheme is case-insensitive (RFC 9110 §11.1); a comma means that
/// two headers were joined, a second space that something else was sent.
fn bearer(header: &str) -> Result<&str, Denial> {
    let malformed = Denial::Credentials(BadCredentials::Malformed);
    let (scheme, token) = header.split_once(' ').ok_or(malformed)?;
    let one_token = !token.is_empty() && !token.contains([' ', ',', '\t']);
    if scheme.eq_ignore_ascii_case("bearer") && one_token { Ok(token) } else { Err(malformed) }
}

/// API and stage of a method ARN: `arn:PARTITION:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH`, cut behind the
/// stage. A wildcard in either would widen the policy, so such an ARN is refused.
fn api_and_stage(method_arn: &str) -> Option<&str> {
    let is_api_gateway =
        method_arn.starts_with("arn:") && method_arn.split(':').nth(2) == Some("execute-api");
    let (end, _) = method_arn.match_indices('/').nth(1)?;
    let api = method_arn.get(..end)?;
    (is_api_gateway && !api.contains(['*', '?'])).then_some(api)
}

fn caller(event: &Value) -> Caller {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    Caller {
        request_id: text("/requestContext/requestId").unwrap_or_default().to_owned(),
        source_ip: text("/requestContext/http/sourceIp").and_then(|ip| ip.parse().ok()),
        user_agent: None,
    }
}
