//! API Gateway proxy events (REST and HTTP API, payload 1.0 and 2.0) to core's requests and back.

use data_encoding::BASE64;
use daypass_ambient::BoxError;
use daypass_core::ApiError;
use daypass_core::web::{Caller, MAX_BODY_BYTES, Request, Response, refusal};
use lambda_http::aws_lambda_events::encodings::Body;
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Adapter, LambdaEvent, RequestExt, Service, service_fn};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

/// Serves API Gateway's events with `handle` until Lambda ends the process.
///
/// # Errors
/// [`BoxError`] when the Runtime API cannot be reached.
pub async fn serve<H, F>(handle: H) -> Result<(), BoxError>
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let handle = Arc::new(handle);
    let service = service_fn(move |event: LambdaEvent<LambdaRequest>| {
        let handle = Arc::clone(&handle);
        async move {
            let (event, problem) = unreadable(event);
            let mut adapter = Adapter::from(service_fn(|request: lambda_http::Request| async {
                let response = match problem {
                    None => handle(to_core(request)).await,
                    Some(error) => refusal(&error),
                };
                Ok::<_, Infallible>(to_lambda(response))
            }));
            adapter.call(event).await
        }
    });
    lambda_http::lambda_runtime::run(service).await
}

const NOT_BASE64: ApiError =
    ApiError::InvalidRequest("The body is not the base64 that the event says it is.");
/// Longest text of a body that may still be short enough: base64 takes four characters for three bytes.
const MAX_TEXT: usize = MAX_BODY_BYTES.div_ceil(3) * 4;

/// Takes away a body that must not be decoded, and says why: one that is too large anyway, however it is written, and one
/// that claims to be base64 and is not, on which `lambda_http` would panic. API Gateway sends no such event; whoever may
/// invoke the function directly can.
fn unreadable(event: LambdaEvent<LambdaRequest>) -> (LambdaEvent<LambdaRequest>, Option<ApiError>) {
    let LambdaEvent { mut payload, context } = event;
    let (body, encoded) = match &mut payload {
        LambdaRequest::ApiGatewayV1(request) => (&mut request.body, request.is_base64_encoded),
        LambdaRequest::ApiGatewayV2(request) => (&mut request.body, request.is_base64_encoded),
        _ => return (LambdaEvent::new(payload, context), None),
    };
    let problem = body.as_deref().and_then(|text| problem(text, encoded));
    if problem.is_some() {
        *body = None;
    }
    (LambdaEvent::new(payload, context), problem)
}

fn problem(text: &str, encoded: bool) -> Option<ApiError> {
    if text.len() > MAX_TEXT {
        return Some(ApiError::BodyTooLarge);
    }
    (encoded && BASE64.decode(text.as_bytes()).is_err()).then_some(NOT_BASE64)
}

fn to_core(request: lambda_http::Request) -> Request {
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
    let (mut parts, body) = request.into_parts();
    parts.extensions.clear();
    parts.extensions.insert(caller);
    let body = match body {
        Body::Text(text) => text.into_bytes(),
        Body::Binary(bytes) => bytes,
        _ => Vec::new(),
    };
    Request::from_parts(parts, body)
}

fn address(text: Option<&str>) -> Option<IpAddr> {
    text.and_then(|text| text.parse().ok())
}

fn to_lambda(response: Response) -> lambda_http::Response<Body> {
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
    use lambda_http::Context;
    use serde_json::json;

    fn event(body: &str, encoded: bool) -> LambdaEvent<LambdaRequest> {
        let event = json!({
            "version": "2.0", "routeKey": "ANY /login", "rawPath": "/login", "rawQueryString": "",
            "headers": { "content-type": "application/json" }, "isBase64Encoded": encoded, "body": body,
            "requestContext": {
                "http": { "method": "POST", "path": "/login", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
                "requestId": "r1", "stage": "$default", "timeEpoch": 0,
            },
        });
        LambdaEvent::new(serde_json::from_value(event).unwrap(), Context::default())
    }

    fn check(body: &str, encoded: bool, expected: Option<ApiError>) {
        let (event, problem) = unreadable(event(body, encoded));
        assert_eq!(problem, expected, "{} bytes", body.len());
        // Whatever it was, lambda_http can read what is left of it.
        let request = to_core(event.payload.into());
        assert_eq!(Caller::of(&request).source_ip, "192.0.2.1".parse().ok());
        assert_eq!(request.body().is_empty(), expected.is_some() || body.is_empty());
    }

    #[test]
    fn bodies_that_lambda_http_must_not_see() {
        check("{}", false, None);
        check("e30=", true, None);
        check("", true, None);
        for broken in ["e30", "!", "e30==", "e3 0=", "ü"] {
            check(broken, true, Some(NOT_BASE64));
        }
        check(&"x".repeat(MAX_TEXT + 1), false, Some(ApiError::BodyTooLarge));
        check(&"x".repeat(MAX_TEXT + 4), true, Some(ApiError::BodyTooLarge));
        check(&"A".repeat(MAX_TEXT), true, None);
    }
}
