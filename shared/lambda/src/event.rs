//! API Gateway proxy events (REST and HTTP API, payload 1.0 and 2.0) to core's requests and back.

use data_encoding::BASE64;
use daypass_core::http::answer::Response;
use daypass_core::http::error::ApiError;
use daypass_core::http::request::{MAX_BODY_BYTES, Request};
use daypass_core::ports::context::{Operator, Principal};
use daypass_verifier::jose::dpop::Thumbprint;
use daypass_verifier::ports::context::Caller;
use lambda_http::aws_lambda_events::encodings::Body;
use lambda_http::http::Uri;
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{LambdaEvent, RequestExt};
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::net::IpAddr;

const NOT_BASE64: ApiError =
    ApiError::InvalidRequest("The body is not the base64 that the event says it is.");
const BAD_QUERY: ApiError = ApiError::InvalidRequest("The query string is not that of a URL.");
/// The longest text of a body within the limit: base64 takes four characters for three bytes.
const MAX_TEXT: usize = MAX_BODY_BYTES.div_ceil(3) * 4;
/// Headers from which `lambda_http` makes a URL. It panics if they make none, and no code here reads them.
const URL_HEADERS: [&str; 2] = ["host", "x-forwarded-proto"];
/// Characters that end the path of a URL, separate it or are dropped from it. API Gateway passes a decoded path, so such a
/// character was percent-encoded, and a URL with it would name another path.
const NOT_IN_PATHS: [char; 6] = ['?', '#', '\\', '\t', '\n', '\r'];

/// An event that invokes a function.
pub(crate) enum Invocation {
    /// A request of API Gateway or of a function URL.
    Request(Box<LambdaRequest>),
    /// An event without a path, such as that of a schedule that keeps the function warm.
    WarmUp,
}

/// What shows that an event comes from an API.
#[derive(Deserialize)]
struct Origin {
    #[serde(rename = "requestContext")]
    context: Option<IgnoredAny>,
}

impl<'de> Deserialize<'de> for Invocation {
    /// An event of an API that cannot be read is an error, which API Gateway answers with 5xx.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str(event.get()) {
            Ok(request) if has_path(&request) => Ok(Self::Request(Box::new(request))),
            Ok(_) | Err(_) => match serde_json::from_str::<Origin>(event.get()) {
                Ok(Origin { context: Some(_) }) => {
                    Err(D::Error::custom("the event of an API cannot be read"))
                }
                Ok(_) | Err(_) => Ok(Self::WarmUp),
            },
        }
    }
}

fn has_path(request: &LambdaRequest) -> bool {
    match request {
        LambdaRequest::ApiGatewayV1(request) => request.path.is_some(),
        LambdaRequest::ApiGatewayV2(request) => request.raw_path.is_some(),
        _ => true,
    }
}

/// Removes from an event what `lambda_http` would panic on or must not decode, and returns the problem: a body that is too
/// large in any encoding or is not the base64 that it claims to be, or a query string or path that no URL can have.
pub(crate) fn unreadable(
    event: LambdaEvent<LambdaRequest>,
) -> (LambdaEvent<LambdaRequest>, Option<ApiError>) {
    let LambdaEvent { mut payload, context } = event;
    let mut problem = None;
    let (path, body, encoded) = match &mut payload {
        LambdaRequest::ApiGatewayV1(request) => {
            for name in URL_HEADERS {
                request.headers.remove(name);
                request.multi_value_headers.remove(name);
            }
            // `lambda_http` would replace all values of a header by the last one.
            for name in request.multi_value_headers.keys() {
                request.headers.remove(name);
            }
            request.request_context.domain_name = None;
            (&mut request.path, &mut request.body, request.is_base64_encoded)
        }
        LambdaRequest::ApiGatewayV2(request) => {
            for name in URL_HEADERS {
                request.headers.remove(name);
            }
            request.request_context.domain_name = None;
            let query = request.raw_query_string.as_deref().unwrap_or_default();
            if format!("/?{query}").parse::<Uri>().is_err() {
                request.raw_query_string = None;
                problem = Some(BAD_QUERY);
            }
            (&mut request.raw_path, &mut request.body, request.is_base64_encoded)
        }
        _ => return (LambdaEvent::new(payload, context), None),
    };
    if path.as_deref().is_some_and(|path| !path.starts_with('/') || path.contains(NOT_IN_PATHS)) {
        *path = Some("/".to_owned());
    }
    if let Some(found) = body.as_deref().and_then(|text| problem_with_body(text, encoded)) {
        *body = None;
        problem = Some(found);
    }
    (LambdaEvent::new(payload, context), problem)
}

fn problem_with_body(text: &str, encoded: bool) -> Option<ApiError> {
    if text.len() > MAX_TEXT {
        return Some(ApiError::BodyTooLarge);
    }
    (encoded && BASE64.decode(text.as_bytes()).is_err()).then_some(NOT_BASE64)
}

pub(crate) fn to_core(request: lambda_http::Request) -> Request {
    let caller = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => Caller {
            request_id: context.request_id.clone().unwrap_or_default(),
            source_ip: address(context.http.source_ip.as_deref()),
            user_agent: context.http.user_agent.clone(),
        },
        Some(RequestContext::ApiGatewayV1(context)) => Caller {
            request_id: context.request_id.clone().unwrap_or_default(),
            source_ip: address(context.identity.source_ip.as_deref()),
            user_agent: context.identity.user_agent.clone(),
        },
        _ => Caller::default(),
    };
    let principal = request.request_context_ref().and_then(principal);
    let operator = request.request_context_ref().and_then(operator);
    let (mut parts, body) = request.into_parts();
    parts.extensions.clear();
    parts.extensions.insert(caller);
    if let Some(principal) = principal {
        parts.extensions.insert(principal);
    }
    if let Some(operator) = operator {
        parts.extensions.insert(operator);
    }
    let body = match body {
        Body::Text(text) => text.into_bytes(),
        Body::Binary(bytes) => bytes,
        _ => Vec::new(),
    };
    Request::from_parts(parts, body)
}

/// The caller that the authorizer accepted, from the context of Daypass's authorizer or from the claims of the native JWT
/// authorizer of an HTTP API.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
fn principal(context: &RequestContext) -> Option<Principal> {
    let authorizer = context.authorizer()?;
    let claim = |name: &str| match &authorizer.jwt {
        Some(jwt) => jwt.claims.get(name).map(String::as_str),
        // `authorizer.lambda` of payload 2.0; `authorizer` itself of REST APIs and payload 1.0.
        None => authorizer.fields.get(name)?.as_str(),
    };
    // A boolean in the context of an HTTP API, and its text in a REST API and in the claims of the native JWT authorizer.
    let is_true = |name: &str| authorizer.fields.get(name).is_some_and(|claim| claim.as_bool() == Some(true));
    let account = claim("account") == Some("true") || (authorizer.jwt.is_none() && is_true("account"));
    if authorizer.jwt.as_ref().is_some_and(|jwt| jwt.claims.contains_key("cnf")) {
        // The native JWT authorizer checks no proof.
        return None;
    }
    // Only the authorizer of Daypass checks proofs: there, it is no claim of a user.
    let key = authorizer.fields.get("jkt").filter(|_| authorizer.jwt.is_none());
    let key = key.map(|key| key.as_str().and_then(Thumbprint::parse));
    if key == Some(None) {
        return None;
    }
    // Likewise a number or its text.
    let seconds = authorizer.fields.get("auth_time").filter(|_| authorizer.jwt.is_none());
    let auth_time = seconds.and_then(serde_json::Value::as_u64).or_else(|| claim("auth_time")?.parse().ok());
    let principal = Principal::parse(claim("sub")?, claim("sid")?, account)?;
    let principal = Principal { key: key.flatten(), ..principal };
    Some(principal.authenticated(auth_time, claim("acr")))
}

/// The operator that API Gateway authorised by IAM, from `authorizer.iam` of payload 2.0.
fn operator(context: &RequestContext) -> Option<Operator> {
    let RequestContext::ApiGatewayV2(context) = context else { return None };
    let arn = context.authorizer.as_ref()?.iam.as_ref()?.user_arn.clone()?;
    arn.starts_with("arn:").then_some(Operator { arn })
}

fn address(text: Option<&str>) -> Option<IpAddr> {
    text.and_then(|text| text.parse().ok())
}

pub(crate) fn to_lambda(response: Response) -> lambda_http::Response<Body> {
    let (parts, body) = response.into_parts();
    let body = match String::from_utf8(body) {
        Ok(text) if text.is_empty() => Body::Empty,
        Ok(text) => Body::Text(text),
        Err(binary) => Body::Binary(binary.into_bytes()),
    };
    lambda_http::Response::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_core::http::request::{caller_of, principal_of};
    use lambda_http::Context;
    use serde_json::{Value, json};

    fn event(changes: &Value) -> LambdaEvent<LambdaRequest> {
        LambdaEvent::new(serde_json::from_value(json_of(changes)).unwrap(), Context::default())
    }

    fn json_of(changes: &Value) -> Value {
        let mut event = json!({
            "version": "2.0", "routeKey": "ANY /login", "rawPath": "/login", "rawQueryString": "",
            "headers": { "content-type": "application/json" }, "isBase64Encoded": false, "body": "{}",
            "requestContext": {
                "http": { "method": "POST", "path": "/login", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
                "requestId": "r1", "stage": "$default", "timeEpoch": 0,
            },
        });
        event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        event
    }

    /// What the runtime makes of the text of an event.
    fn is_request(event: &Value) -> bool {
        matches!(serde_json::from_str(&event.to_string()).unwrap(), Invocation::Request(_))
    }

    #[test]
    fn an_event_without_a_path_is_a_warm_up() {
        for warm_up in [
            json!({ "source": "serverless-plugin-warmup" }),
            json!({ "version": "0", "id": "1", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {},
                "account": "123456789012", "region": "eu-west-1", "resources": ["arn"], "time": "2026-01-01T00:00:00Z" }),
            json!({ "source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}" }),
            json!({ "warmer": true, "concurrency": 3 }),
            json!({ "key1": "value1" }),
            json!({ "Records": [{ "eventSource": "aws:sqs", "body": "x" }] }),
            json!({ "requestContext": null }),
            json!({}),
            json!(null),
            json!([]),
            json!("ping"),
            json!(1),
        ] {
            assert!(!is_request(&warm_up), "{warm_up}");
        }
        assert!(is_request(&json_of(&json!({}))), "payload 2.0");
        assert!(is_request(&json!({
            "resource": "/login", "path": "/login", "httpMethod": "POST", "headers": {}, "multiValueHeaders": {},
            "isBase64Encoded": false, "body": "{}", "requestContext": { "httpMethod": "POST", "stage": "prod" },
        })));
    }

    #[test]
    fn an_event_of_an_api_that_cannot_be_read_is_an_error() {
        for unreadable in [
            json!({ "requestContext": {} }).to_string(),
            json_of(&json!({ "headers": { "x-a": "\u{7f}" } })).to_string(),
            json_of(&json!({ "headers": { "no token": "x" } })).to_string(),
            json_of(&json!({ "rawPath": null })).to_string(),
            // Half of a surrogate pair is no text.
            json_of(&json!({ "body": "@" })).to_string().replace('@', r"\ud800"),
        ] {
            assert!(serde_json::from_str::<Invocation>(&unreadable).is_err(), "{unreadable}");
        }
    }

    fn check(changes: &Value, expected: Option<ApiError>) -> Request {
        let (event, problem) = unreadable(event(changes));
        assert_eq!(problem, expected, "{changes}");
        // lambda_http can read the rest.
        let request = to_core(event.payload.into());
        assert_eq!(caller_of(&request).source_ip, "192.0.2.1".parse().ok());
        request
    }

    fn check_body(body: &str, encoded: bool, expected: Option<ApiError>) {
        let request = check(&json!({ "body": body, "isBase64Encoded": encoded }), expected);
        assert_eq!(request.body().is_empty(), expected.is_some() || body.is_empty());
    }

    #[test]
    fn bodies_that_lambda_http_must_not_see() {
        check_body("{}", false, None);
        check_body("e30=", true, None);
        check_body("", true, None);
        for broken in ["e30", "!", "e30==", "e3 0=", "ü"] {
            check_body(broken, true, Some(NOT_BASE64));
        }
        check_body(&"x".repeat(MAX_TEXT + 1), false, Some(ApiError::BodyTooLarge));
        check_body(&"x".repeat(MAX_TEXT + 4), true, Some(ApiError::BodyTooLarge));
        check_body(&"A".repeat(MAX_TEXT), true, None);
    }

    /// Headers in which proxies name their client. Any caller of the gateway can write them.
    const CLAIMS: [&str; 10] = [
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "x-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x-amzn-request-id",
        "x-amzn-requestid",
        "x-request-id",
        "x-original-forwarded-for",
    ];

    fn caller_of_event(event: Value) -> Caller {
        let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), Context::default());
        let (event, problem) = unreadable(event);
        assert_eq!(problem, None);
        caller_of(&to_core(event.payload.into()))
    }

    /// The address and the id come from the gateway's own context, and without it there is none: never from a header.
    ///
    /// invariant: Without a trusted proxy, the caller's address comes from API Gateway's context, and from no header.
    #[test]
    fn a_header_is_no_address() {
        for claim in
            ["198.51.100.1", "198.51.100.1, 192.0.2.1", "for=198.51.100.1;by=192.0.2.1", "", "unknown"]
        {
            let headers: Value = CLAIMS.iter().map(|name| ((*name).to_owned(), json!(claim))).collect();
            let several: Value =
                CLAIMS.iter().map(|name| ((*name).to_owned(), json!([claim, claim]))).collect();
            let http = |context: Value| {
                json!({
                    "version": "2.0", "routeKey": "ANY /login", "rawPath": "/login", "rawQueryString": "",
                    "headers": headers, "isBase64Encoded": false, "body": "{}",
                    "requestContext": {
                        "http": context, "requestId": "r1", "stage": "$default", "timeEpoch": 0,
                    },
                })
            };
            let rest = |identity: Value| {
                json!({
                    "resource": "/login", "path": "/login", "httpMethod": "POST", "headers": headers,
                    "multiValueHeaders": several, "isBase64Encoded": false, "body": "{}",
                    "requestContext": {
                        "httpMethod": "POST", "path": "/login", "requestId": "r1", "stage": "prod",
                        "identity": identity,
                    },
                })
            };
            for ip in ["192.0.2.1", "2001:db8::1"] {
                let v2 = caller_of_event(http(json!({ "method": "POST", "path": "/login", "sourceIp": ip })));
                let v1 = caller_of_event(rest(json!({ "sourceIp": ip })));
                for caller in [v2, v1] {
                    assert_eq!(
                        (caller.source_ip, caller.request_id.as_str()),
                        (ip.parse().ok(), "r1"),
                        "{claim}"
                    );
                }
            }
            for nothing in [json!(null), json!(""), json!("no address")] {
                let v2 =
                    caller_of_event(http(json!({ "method": "POST", "path": "/login", "sourceIp": nothing })));
                let v1 = caller_of_event(rest(json!({ "sourceIp": nothing })));
                assert_eq!((v2.source_ip, v1.source_ip), (None, None), "{claim}");
            }
        }
    }

    #[test]
    fn queries_paths_and_hosts_that_are_no_url() {
        for query in ["q=a b", "q=<", "q=\u{1}", "q=\u{7f}"] {
            check(&json!({ "rawQueryString": query }), Some(BAD_QUERY));
        }
        assert_eq!(check(&json!({ "rawQueryString": "a=1&b=%20" }), None).uri().query(), Some("a=1&b=%20"));
        for host in ["[", "a b", "", "x:99999999", "\u{e9}"] {
            check(&json!({ "headers": { "host": host, "x-forwarded-proto": host } }), None);
        }
        for path in ["", ":x", "@evil", "/a b", "/<>", "/%", "/\u{e9}", "//", "/\u{0}"] {
            check(&json!({ "rawPath": path }), None);
        }
    }

    #[test]
    fn a_path_is_read_as_one_path_or_not_at_all() {
        assert_eq!(check(&json!({ "rawPath": "/a/b" }), None).uri().path(), "/a/b");
        for path in ["/a/b?c", "/a/b#c", "/a\\b", "/a/\tb", "/a/b\n", "/a/b\r"] {
            assert_eq!(check(&json!({ "rawPath": path }), None).uri(), "/", "{path:?}");
        }
    }

    const SUB: &str = "usr_11111111111111111111111111111111";
    const SID: &str = "ses_22222222222222222222222222222222";

    /// Whom core takes for the caller of an event with this authorizer in its context.
    fn check_principal(authorizer: &Value, expected: bool) {
        let expected = if expected { Principal::parse(SUB, SID, false) } else { None };
        let mut context = json!({
            "http": { "method": "GET", "path": "/sessions", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
            "stage": "$default", "timeEpoch": 0,
        });
        context["authorizer"] = authorizer.clone();
        let request = check(&json!({ "rawPath": "/sessions", "requestContext": context }), None);
        assert_eq!(principal_of(&request), expected, "{authorizer}");
    }

    /// Only the authorizer of Daypass checks proofs.
    #[test]
    fn the_key_of_a_token_comes_from_our_authorizer() {
        let jkt = "A".repeat(43);
        let key = Thumbprint::parse(&jkt);
        for (authorizer, expected) in [
            (json!({ "lambda": { "sub": SUB, "sid": SID } }), Some(None)),
            (json!({ "lambda": { "sub": SUB, "sid": SID, "jkt": jkt } }), Some(key)),
            (json!({ "lambda": { "sub": SUB, "sid": SID, "jkt": "short" } }), None),
            (json!({ "lambda": { "sub": SUB, "sid": SID, "jkt": 7 } }), None),
            (json!({ "jwt": { "claims": { "sub": SUB, "sid": SID, "jkt": jkt } } }), Some(None)),
            (json!({ "jwt": { "claims": { "sub": SUB, "sid": SID, "cnf": "{jkt=x}" } } }), None),
        ] {
            let context = json!({
                "http": { "method": "GET", "path": "/sessions", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
                "stage": "$default", "timeEpoch": 0, "authorizer": authorizer,
            });
            let request = check(&json!({ "rawPath": "/sessions", "requestContext": context }), None);
            assert_eq!(principal_of(&request).map(|principal| principal.key), expected, "{context}");
        }
    }

    /// Only `true` is a right.
    #[test]
    fn the_right_to_the_account_is_a_claim() {
        for (claim, expected) in [
            (json!({}), false),
            (json!({ "lambda": { "account": true } }), true),
            (json!({ "lambda": { "account": false } }), false),
            (json!({ "lambda": { "account": "yes" } }), false),
            (json!({ "lambda": { "account": 1 } }), false),
            (json!({ "jwt": { "claims": { "account": "true" } } }), true),
            (json!({ "jwt": { "claims": {} }, "lambda": { "account": true } }), false),
        ] {
            let mut authorizer = claim.clone();
            let at = if claim.get("jwt").is_some() { "/jwt/claims" } else { "/lambda" };
            if claim.get("lambda").is_none() && claim.get("jwt").is_none() {
                authorizer["lambda"] = json!({});
            }
            let claims = authorizer.pointer_mut(at).unwrap();
            claims["sub"] = json!(SUB);
            claims["sid"] = json!(SID);
            let context = json!({
                "http": { "method": "GET", "path": "/sessions", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
                "stage": "$default", "timeEpoch": 0, "authorizer": authorizer,
            });
            let request = check(&json!({ "rawPath": "/sessions", "requestContext": context }), None);
            assert_eq!(principal_of(&request), Principal::parse(SUB, SID, expected), "{claim}");
        }
    }

    #[test]
    fn the_authentication_is_a_claim() {
        for (authorizer, auth_time, acr) in [
            (json!({ "lambda": { "auth_time": 7, "acr": "2" } }), Some(7), Some("2")),
            (json!({ "lambda": { "auth_time": "7", "acr": "1" } }), Some(7), Some("1")),
            (json!({ "lambda": { "auth_time": -7, "acr": 2 } }), None, None),
            (json!({ "jwt": { "claims": { "auth_time": "7", "acr": "2" } } }), Some(7), Some("2")),
            (json!({ "jwt": { "claims": {} }, "lambda": { "auth_time": 7, "acr": "2" } }), None, None),
        ] {
            let mut authorizer = authorizer.clone();
            let at = if authorizer.get("jwt").is_some() { "/jwt/claims" } else { "/lambda" };
            let claims = authorizer.pointer_mut(at).unwrap();
            claims["sub"] = json!(SUB);
            claims["sid"] = json!(SID);
            let context = json!({
                "http": { "method": "GET", "path": "/sessions", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
                "stage": "$default", "timeEpoch": 0, "authorizer": authorizer,
            });
            let request = check(&json!({ "rawPath": "/sessions", "requestContext": context }), None);
            let expected =
                Principal::parse(SUB, SID, false).map(|caller| caller.authenticated(auth_time, acr));
            assert_eq!(principal_of(&request), expected, "{authorizer}");
        }
    }

    #[test]
    fn the_authorizers_context_says_who_is_calling() {
        let ids = json!({ "sub": SUB, "sid": SID, "client_id": "web", "scope": "a b" });
        check_principal(&json!({ "lambda": ids }), true);
        check_principal(&json!({ "jwt": { "claims": ids, "scopes": null } }), true);
        for nobody in [
            json!(null),
            json!({}),
            json!({ "lambda": null }),
            json!({ "lambda": {} }),
            json!({ "lambda": { "sub": SUB } }),
            json!({ "lambda": { "sub": SUB, "sid": "ses_1" } }),
            json!({ "lambda": { "sub": SID, "sid": SUB } }),
            json!({ "lambda": { "sub": [SUB], "sid": SID } }),
            json!({ "lambda": { "claims": ids } }),
            json!({ "jwt": { "claims": { "sub": "alice", "sid": SID } } }),
            // Claims and context do not mix.
            json!({ "jwt": { "claims": { "sub": SUB } }, "lambda": ids }),
            json!({ "iam": { "userId": SUB } }),
            // The form of REST APIs.
            ids.clone(),
        ] {
            check_principal(&nobody, false);
        }
    }

    /// An event of a REST API, or of an HTTP API with payload 1.0, with this authorizer in its context.
    fn rest(authorizer: &Value) -> LambdaEvent<LambdaRequest> {
        let event = json!({
            "resource": "/sessions", "path": "/sessions", "httpMethod": "GET", "headers": {}, "multiValueHeaders": {},
            "queryStringParameters": null, "pathParameters": null, "stageVariables": null,
            "requestContext": {
                "resourcePath": "/sessions", "httpMethod": "GET", "path": "/sessions", "stage": "prod",
                "requestId": "r1", "identity": { "sourceIp": "192.0.2.1" }, "authorizer": authorizer,
            },
            "body": null, "isBase64Encoded": false,
        });
        LambdaEvent::new(serde_json::from_value(event).unwrap(), Context::default())
    }

    #[test]
    fn a_rest_apis_context_says_it_without_a_level_between() {
        let principal = |authorizer: &Value| {
            let (event, problem) = unreadable(rest(authorizer));
            assert_eq!(problem, None);
            let request = to_core(event.payload.into());
            assert_eq!(request.uri().path(), "/prod/sessions");
            principal_of(&request)
        };
        let ids = json!({ "principalId": SUB, "sub": SUB, "sid": SID });
        assert_eq!(principal(&ids), Principal::parse(SUB, SID, false));
        let account = json!({ "sub": SUB, "sid": SID, "account": "true" });
        assert_eq!(principal(&account), Principal::parse(SUB, SID, true));
        for nobody in [
            json!(null),
            json!({}),
            json!({ "principalId": SUB }),
            json!({ "lambda": ids }),
            json!({ "claims": ids }),
        ] {
            assert_eq!(principal(&nobody), None, "{nobody}");
        }
    }

    #[test]
    fn a_caller_cannot_write_who_is_calling() {
        let forged = json!({ "requestContext": { "authorizer": { "lambda": { "sub": SUB, "sid": SID } } } });
        let request = check(
            &json!({
                "headers": { "x-daypass-sub": SUB, "x-daypass-sid": SID, "authorizer": forged.to_string() },
                "body": forged.to_string(), "rawQueryString": format!("sub={SUB}&sid={SID}"),
                "queryStringParameters": { "sub": SUB, "sid": SID }, "pathParameters": { "sub": SUB, "sid": SID },
                "stageVariables": { "sub": SUB, "sid": SID }, "authorizer": { "lambda": { "sub": SUB, "sid": SID } },
            }),
            None,
        );
        assert_eq!(principal_of(&request), None);
    }
}
