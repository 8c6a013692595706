//! HTTP response of a function's answer: response format 2.0.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use crate::request::is_hop_by_hop;
use axum::body::{Body, Bytes};
use data_encoding::BASE64;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

/// A response of API Gateway itself: `{"message": ...}`.
pub(crate) fn message(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(json!({ "message": text }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Converts a function's answer into an HTTP response.
///
/// # Errors
/// Why the answer is malformed, for the developer. API Gateway responds with 500.
pub(crate) fn response(answer: &Bytes) -> Result<Response<Body>, String> {
    let answer: Value =
        serde_json::from_slice(answer).map_err(|error| format!("the answer is not JSON: {error}"))?;
    match answer.as_object() {
        Some(members) if members.contains_key("statusCode") => formatted(members),
        _ => Ok(inferred(&answer)),
    }
}

/// An answer without `statusCode` is the body itself.
fn inferred(answer: &Value) -> Response<Body> {
    let body = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn formatted(answer: &Map<String, Value>) -> Result<Response<Body>, String> {
    let body = body(answer)?;
    let mut headers = headers(answer)?;
    if !body.is_empty() {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status(answer)?;
    *response.headers_mut() = headers;
    Ok(response)
}

fn status(answer: &Map<String, Value>) -> Result<StatusCode, String> {
    answer
        .get("statusCode")
        .and_then(Value::as_u64)
        .and_then(|code| u16::try_from(code).ok())
        .and_then(|code| StatusCode::from_u16(code).ok())
        // A status below 200 is not a final response.
        .filter(|code| !code.is_informational())
        .ok_or_else(|| "statusCode is not a number from 200 to 999".to_owned())
}

/// Headers and cookies, without the headers of the gateway's own connection. `multiValueHeaders` is not part of format
/// 2.0: lambda_http sends it empty, and API Gateway ignores it.
fn headers(answer: &Map<String, Value>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in members(answer, "headers")? {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err(format!("the header {name} is not a string"));
            }
        };
        let name = HeaderName::try_from(name).map_err(|_| format!("{name:?} is not a header name"))?;
        let value = HeaderValue::try_from(value)
            .map_err(|_| format!("the value of the header {name} is not allowed"))?;
        headers.append(name, value);
    }
    let headers_as_sent = headers.clone();
    let dropped = headers_as_sent
        .keys()
        .filter(|name| is_hop_by_hop(name, &headers_as_sent) || **name == CONTENT_LENGTH || **name == DATE);
    for name in dropped {
        headers.remove(name);
    }
    for cookie in cookies(answer)? {
        let cookie = HeaderValue::try_from(cookie).map_err(|_| "a cookie has a value that is not allowed")?;
        headers.append(SET_COOKIE, cookie);
    }
    Ok(headers)
}

fn members<'a>(
    answer: &'a Map<String, Value>,
    name: &str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, String> {
    match answer.get(name) {
        None | Some(Value::Null) => Ok(None.into_iter().flatten()),
        Some(Value::Object(members)) => Ok(Some(members).into_iter().flatten()),
        Some(_) => Err(format!("{name} is not an object")),
    }
}

fn cookies(answer: &Map<String, Value>) -> Result<Vec<&str>, String> {
    match answer.get("cookies") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(cookies)) => cookies.iter().map(Value::as_str).collect::<Option<_>>(),
        Some(_) => None,
    }
    .ok_or_else(|| "cookies is not a list of strings".to_owned())
}

fn body(answer: &Map<String, Value>) -> Result<Vec<u8>, String> {
    let body = match answer.get("body") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(body)) => body,
        Some(_) => return Err("body is not a string".to_owned()),
    };
    match answer.get("isBase64Encoded") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(body.clone().into_bytes()),
        Some(Value::Bool(true)) => {
            BASE64.decode(body.as_bytes()).map_err(|error| format!("body is not base64: {error}"))
        }
        Some(_) => Err("isBase64Encoded is not a boolean".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn check(answer: Value, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let response = response(&Bytes::from(answer.to_string())).unwrap();
        assert_eq!(response.status(), status, "{answer}");
        let got: Vec<_> =
            response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(got, headers, "{answer}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body, "{answer}");
    }

    const JSON: (&str, &str) = ("content-type", "application/json");
    const TEXT: (&str, &str) = ("content-type", "text/plain;charset=UTF-8");

    #[tokio::test]
    async fn an_answer_with_a_status_code_is_taken_as_it_stands() {
        check(json!({"statusCode": 204}), 204, &[], b"").await;
        check(json!({"statusCode": 200, "body": "hi"}), 200, &[TEXT], b"hi").await;
        check(json!({"statusCode": 200, "body": "aGk=", "isBase64Encoded": true}), 200, &[TEXT], b"hi").await;
        check(
            json!({"statusCode": 201, "headers": {"Content-Type": "a/b", "X-N": 1}, "body": "", "multiValueHeaders": {}}),
            201,
            &[("content-type", "a/b"), ("x-n", "1")],
            b"",
        )
        .await;
        check(
            json!({"statusCode": 200, "headers": null, "cookies": ["a=1; Path=/", "b=2"], "body": null}),
            200,
            &[("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2")],
            b"",
        )
        .await;
    }

    #[tokio::test]
    async fn headers_of_the_connection_are_the_gateways() {
        let headers = json!({
            "Connection": "X-Own", "X-Own": "1", "Transfer-Encoding": "chunked", "Content-Length": "99", "Date": "never",
            "X-Kept": "1",
        });
        check(json!({"statusCode": 200, "headers": headers}), 200, &[("x-kept", "1")], b"").await;
    }

    #[tokio::test]
    async fn without_a_status_code_the_answer_is_the_body() {
        check(json!({"a": 1}), 200, &[JSON], br#"{"a":1}"#).await;
        check(json!("Hello"), 200, &[JSON], b"Hello").await;
        check(json!(null), 200, &[JSON], b"null").await;
    }

    #[test]
    fn a_malformed_answer_is_an_error() {
        for (answer, why) in [
            ("", "not JSON"),
            (r#"{"statusCode":"200"}"#, "statusCode"),
            (r#"{"statusCode":99}"#, "statusCode"),
            (r#"{"statusCode":101}"#, "statusCode"),
            (r#"{"statusCode":200.5}"#, "statusCode"),
            (r#"{"statusCode":200,"headers":[]}"#, "headers is not an object"),
            (r#"{"statusCode":200,"headers":{"a":["b"]}}"#, "header a is not a string"),
            (r#"{"statusCode":200,"headers":{"a b":"c"}}"#, "not a header name"),
            (r#"{"statusCode":200,"headers":{"a":"b\r\nc: d"}}"#, "value of the header a"),
            (r#"{"statusCode":200,"cookies":"a=b"}"#, "cookies is not a list"),
            (r#"{"statusCode":200,"cookies":["a=b\n"]}"#, "cookie"),
            (r#"{"statusCode":200,"body":{}}"#, "body is not a string"),
            (r#"{"statusCode":200,"body":"?","isBase64Encoded":true}"#, "not base64"),
            (r#"{"statusCode":200,"body":"a","isBase64Encoded":"true"}"#, "isBase64Encoded"),
        ] {
            let error = response(&Bytes::from_static(answer.as_bytes())).expect_err(answer);
            assert!(error.contains(why), "{answer}: {error}");
        }
    }
}
