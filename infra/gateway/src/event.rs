//! The events of an HTTP API, payload format 2.0.
//!
//! For integrations: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>.
//! For authorizers: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>.
//! As there, members that would be empty are absent. The types of `aws_lambda_events` are for reading: they would write members
//! that API Gateway does not send, such as `httpMethod` and `stageVariables`. The tests read each event with them.

use crate::request::{Incoming, Stamp, is_hop_by_hop};
use crate::routes::Found;
use data_encoding::{BASE64, HEXLOWER};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Account of all local resources: the example account of the AWS documentation.
const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-1";
const API: &str = "local";
const STAGE: &str = "$default";

/// Event for the function of a route. `context` is the authorizer's, on a guarded route.
pub(crate) fn integration(request: &Incoming, found: &Found<'_>, context: Option<&Value>) -> Value {
    let (body, is_base64) = body(request);
    let mut event = common(request, found, context);
    event.extend(members([("body", body.into()), ("isBase64Encoded", is_base64.into())]));
    event.into()
}

/// Event for a Lambda authorizer. `identity` holds the values of its identity sources.
pub(crate) fn authorizer(request: &Incoming, found: &Found<'_>, identity: &[String]) -> Value {
    let mut event = common(request, found, None);
    event.extend(members([
        ("type", "REQUEST".into()),
        ("routeArn", route_arn(request).into()),
        ("identitySource", identity.into()),
    ]));
    event.into()
}

/// The context of a route that IAM authorises. `None` for a request without a signature of AWS (Signature Version 4 in the
/// header `Authorization`).
///
/// There is no IAM on this machine, so the signature is not checked. The access key id that the caller names becomes a user of
/// the example account.
pub(crate) fn iam(request: &Incoming) -> Option<Value> {
    let header = request.header(AUTHORIZATION.as_str())?;
    let (_, credential) = header.strip_prefix("AWS4-HMAC-SHA256 ")?.split_once("Credential=")?;
    let key = credential.split('/').next()?;
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/{key}");
    Some(json!({ "accessKey": key, "accountId": ACCOUNT, "callerId": key, "userArn": arn, "userId": key }))
}

/// ARN that an authorizer's policy must allow for this request.
pub(crate) fn route_arn(request: &Incoming) -> String {
    format!("arn:aws:execute-api:{REGION}:{ACCOUNT}:{API}/{STAGE}/{}{}", request.method, request.path)
}

/// Members of both kinds of event.
fn common(request: &Incoming, found: &Found<'_>, context: Option<&Value>) -> Map<String, Value> {
    let host = request.header(HOST.as_str()).unwrap_or_default();
    // A port is not part of a domain name. An IPv6 address keeps its colons in brackets.
    let domain = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host.as_str(),
    };
    let http = json!({
        "method": request.method.as_str(),
        "path": request.path,
        "protocol": format!("{:?}", request.version),
        "sourceIp": request.source_ip(),
        "userAgent": request.header(USER_AGENT.as_str()).unwrap_or_default(),
    });
    let kind = if found.route.needs_iam() { "iam" } else { "lambda" };
    let request_context = members([
        ("accountId", ACCOUNT.into()),
        ("apiId", API.into()),
        ("authorizer", context.map(|context| json!({ kind: context })).into()),
        ("domainName", domain.into()),
        ("domainPrefix", domain.split('.').next().into()),
        ("http", http),
        ("requestId", request.stamp.id.as_str().into()),
        ("routeKey", found.route.key().into()),
        ("stage", STAGE.into()),
        ("time", clf_time(&request.stamp).into()),
        ("timeEpoch", i64::try_from(request.stamp.millis()).ok().into()),
    ]);
    members([
        ("version", "2.0".into()),
        ("routeKey", found.route.key().into()),
        ("rawPath", request.path.as_str().into()),
        ("rawQueryString", request.query.as_str().into()),
        ("cookies", cookies(request).into()),
        ("headers", json!(headers(request))),
        ("queryStringParameters", json!(query_parameters(request))),
        ("pathParameters", json!(found.parameters)),
        ("requestContext", request_context.into()),
    ])
}

/// The members that are not null, `[]` or `{}`.
fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    let is_empty = |value: &Value| value.is_null() || *value == json!([]) || *value == json!({});
    let present = members.into_iter().filter(|(_, value)| !is_empty(value));
    present.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Time in the common log format: `09/Sep/2001:01:46:40 +0000`.
fn clf_time(stamp: &Stamp) -> String {
    let at = stamp.at;
    let month: String = at.month().to_string().chars().take(3).collect();
    format!(
        "{:02}/{month}/{}:{:02}:{:02}:{:02} +0000",
        at.day(),
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// Headers by lower-case name, with duplicates joined by commas, without cookies, and with the headers of API Gateway.
fn headers(request: &Incoming) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<_, _> = request
        .headers
        .keys()
        .filter(|name| **name != COOKIE && !is_hop_by_hop(name, &request.headers))
        .filter_map(|name| Some((name.as_str().to_owned(), request.header(name.as_str())?)))
        .collect();
    headers.insert(CONTENT_LENGTH.as_str().to_owned(), request.body.len().to_string());
    headers.insert("x-forwarded-for".to_owned(), request.forwarded_for());
    headers.insert("x-forwarded-port".to_owned(), request.port.to_string());
    headers.insert("x-forwarded-proto".to_owned(), request.scheme.to_owned());
    headers.entry("x-amzn-trace-id".to_owned()).or_insert_with(|| trace_id(&request.stamp));
    headers
}

/// X-Ray trace id: `Root=1-`, the time in seconds, and 24 hexadecimal digits of the request id.
fn trace_id(stamp: &Stamp) -> String {
    let id = format!("{}{}", HEXLOWER.encode(stamp.id.as_bytes()), "0".repeat(24));
    format!("Root=1-{:08x}-{}", stamp.at.unix_timestamp(), id.get(..24).unwrap_or_default())
}

/// One member per cookie.
fn cookies(request: &Incoming) -> Vec<String> {
    request
        .headers
        .get_all(COOKIE)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .flat_map(|value| value.split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>())
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

fn query_parameters(request: &Incoming) -> BTreeMap<String, String> {
    form_urlencoded::parse(request.query.as_bytes())
        .filter_map(|(name, _)| Some((name.to_string(), request.query_parameter(&name)?)))
        .collect()
}

/// Body of the event, and whether it is base64. `None` for an empty body.
fn body(request: &Incoming) -> (Option<String>, bool) {
    if request.body.is_empty() {
        return (None, false);
    }
    match std::str::from_utf8(&request.body) {
        Ok(text) if is_text(request) => (Some(text.to_owned()), false),
        // JSON cannot carry bytes that are not UTF-8, whatever the content type.
        _ => (Some(BASE64.encode(&request.body)), true),
    }
}

/// Whether HTTP APIs pass a body of this content type as text. A form is not passed as text.
fn is_text(request: &Incoming) -> bool {
    let content_type = request.header(CONTENT_TYPE.as_str()).unwrap_or_default().to_ascii_lowercase();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].contains(&essence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::incoming;
    use crate::routes::Routes;
    use aws_lambda_events::event::apigw::{
        ApiGatewayV2CustomAuthorizerV2Request, ApiGatewayV2httpRequest, ApiGatewayV2httpRequestContext,
    };

    fn event_of(key: &str, request: &Incoming, build: impl Fn(&Incoming, &Found<'_>) -> Value) -> Value {
        let mut routes = Routes::default();
        routes.add_function(key, "f", None).unwrap();
        let event = build(request, &routes.find(&request.method, &request.path).unwrap());
        if event.get("type").is_none() {
            check_integration(&event, request);
        } else {
            check_authorizer(&event, request);
        }
        event
    }

    /// Reads an event as a function in Rust does.
    fn check_integration(event: &Value, request: &Incoming) {
        let read: ApiGatewayV2httpRequest = serde_json::from_value(event.clone()).unwrap();
        assert_eq!(read.raw_path.as_deref(), Some(request.path.as_str()));
        assert_eq!(read.cookies.unwrap_or_default(), cookies(request));
        assert_eq!(read.body.as_deref(), body(request).0.as_deref());
        check_context(&read.request_context, request);
    }

    fn check_authorizer(event: &Value, request: &Incoming) {
        let read: ApiGatewayV2CustomAuthorizerV2Request = serde_json::from_value(event.clone()).unwrap();
        assert_eq!(read.type_.as_deref(), Some("REQUEST"));
        assert_eq!(read.route_arn.as_deref(), Some(route_arn(request).as_str()));
        check_context(&read.request_context, request);
    }

    fn check_context(context: &ApiGatewayV2httpRequestContext, request: &Incoming) {
        assert_eq!(context.http.method, request.method);
        assert_eq!(context.http.source_ip, Some(request.source_ip()));
        assert_eq!(context.request_id.as_deref(), Some(request.stamp.id.as_str()));
        assert_eq!(i128::from(context.time_epoch), request.stamp.millis());
    }

    #[test]
    fn an_integration_event_is_that_of_payload_2_0() {
        let headers = [
            ("Host", "localhost:9000"),
            ("User-Agent", "curl/8"),
            ("X-Twice", "a"),
            ("X-Twice", "b"),
            ("Cookie", "one=1; two=2"),
            ("Cookie", "three=3"),
            ("Content-Type", "application/json"),
            ("Connection", "keep-alive"),
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Amzn-Trace-Id", "Root=1-2-3"),
        ];
        let request = incoming("POST", "/pets/a%20b?x=1&x=2%2B&y=&z", &headers, br#"{"a":1}"#);
        let context = json!({"sub": "u"});
        let event = event_of("POST /pets/{id}", &request, |request, found| {
            integration(request, found, Some(&context))
        });
        assert_eq!(
            event,
            json!({
                "version": "2.0",
                "routeKey": "POST /pets/{id}",
                "rawPath": "/pets/a b",
                "rawQueryString": "x=1&x=2%2B&y=&z",
                "cookies": ["one=1", "two=2", "three=3"],
                "headers": {
                    "content-length": "7",
                    "content-type": "application/json",
                    "host": "localhost:9000",
                    "user-agent": "curl/8",
                    "x-amzn-trace-id": "Root=1-2-3",
                    "x-forwarded-for": "203.0.113.9, 192.0.2.7",
                    "x-forwarded-port": "9000",
                    "x-forwarded-proto": "http",
                    "x-twice": "a,b",
                },
                "queryStringParameters": {"x": "1,2+", "y": "", "z": ""},
                "pathParameters": {"id": "a b"},
                "requestContext": {
                    "accountId": "123456789012",
                    "apiId": "local",
                    "authorizer": {"lambda": {"sub": "u"}},
                    "domainName": "localhost",
                    "domainPrefix": "localhost",
                    "http": {
                        "method": "POST",
                        "path": "/pets/a b",
                        "protocol": "HTTP/1.1",
                        "sourceIp": "192.0.2.7",
                        "userAgent": "curl/8",
                    },
                    "requestId": "JKJaXmPLvHcESHA=",
                    "routeKey": "POST /pets/{id}",
                    "stage": "$default",
                    "time": "09/Sep/2001:01:46:40 +0000",
                    "timeEpoch": 1_000_000_000_123_u64,
                },
                "body": "{\"a\":1}",
                "isBase64Encoded": false,
            })
        );
    }

    #[test]
    fn what_is_empty_is_absent() {
        let request = incoming("GET", "/", &[], b"");
        let event = event_of("$default", &request, |request, found| integration(request, found, None));
        let event = event.as_object().unwrap();
        let members: Vec<_> = event.keys().map(String::as_str).collect();
        assert_eq!(
            members,
            [
                "headers",
                "isBase64Encoded",
                "rawPath",
                "rawQueryString",
                "requestContext",
                "routeKey",
                "version"
            ]
        );
        assert!(event["requestContext"].get("authorizer").is_none());
        assert_eq!(event["rawQueryString"], "");
        let trace = event["headers"]["x-amzn-trace-id"].as_str().unwrap();
        assert_eq!(trace, "Root=1-3b9aca00-4a4b4a61586d504c76486345");
    }

    #[test]
    fn an_authorizer_event_has_the_route_and_the_identity_and_no_body() {
        let headers = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")];
        let request = incoming("GET", "/pets/1", &headers, b"body");
        let identity = ["Bearer a,Bearer b".to_owned()];
        let event =
            event_of("ANY /pets/{id}", &request, |request, found| authorizer(request, found, &identity));
        assert_eq!(event["version"], "2.0");
        assert_eq!(event["type"], "REQUEST");
        assert_eq!(event["routeArn"], "arn:aws:execute-api:us-east-1:123456789012:local/$default/GET/pets/1");
        assert_eq!(event["identitySource"], json!(["Bearer a,Bearer b"]));
        assert_eq!(event["headers"]["authorization"], "Bearer a,Bearer b");
        assert_eq!(event["pathParameters"], json!({"id": "1"}));
        assert_eq!(event["requestContext"]["routeKey"], "ANY /pets/{id}");
        for absent in ["body", "isBase64Encoded", "methodArn"] {
            assert!(event.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn only_text_arrives_as_text() {
        let table: [(Option<&str>, &[u8], &str, bool); 11] = [
            (Some("application/json"), b"{}", "{}", false),
            (Some("Application/JSON; charset=utf-8"), b"{}", "{}", false),
            (Some("text/plain"), b"t", "t", false),
            (Some("application/xml"), b"<a/>", "<a/>", false),
            (Some("application/javascript"), b"1", "1", false),
            (Some("application/x-www-form-urlencoded"), b"a=b", "YT1i", true),
            (Some("application/problem+json"), b"{}", "e30=", true),
            (Some("application/jsonx"), b"{}", "e30=", true),
            (Some("image/png"), b"\x89PNG", "iVBORw==", true),
            (Some("application/json"), b"\xff", "/w==", true),
            (None, b"{}", "e30=", true),
        ];
        for (content_type, bytes, expected, is_base64) in table {
            let headers: Vec<_> =
                content_type.into_iter().map(|content_type| ("content-type", content_type)).collect();
            let request = incoming("POST", "/", &headers, bytes);
            let event = event_of("$default", &request, |request, found| integration(request, found, None));
            assert_eq!(event["body"], expected, "{content_type:?}");
            assert_eq!(event["isBase64Encoded"], is_base64, "{content_type:?}");
        }
    }

    #[test]
    fn a_domain_has_no_port() {
        for (host, domain, prefix) in [
            ("localhost", "localhost", "localhost"),
            ("127.0.0.1:9000", "127.0.0.1", "127"),
            ("api.example.com:443", "api.example.com", "api"),
            ("[::1]:9000", "[::1]", "[::1]"),
            ("[::1]", "[::1]", "[::1]"),
        ] {
            let request = incoming("GET", "/", &[("host", host)], b"");
            let event = event_of("$default", &request, |request, found| integration(request, found, None));
            assert_eq!(event["requestContext"]["domainName"], domain, "{host}");
            assert_eq!(event["requestContext"]["domainPrefix"], prefix, "{host}");
        }
    }
}
