//! API Gateway proxy events (REST and HTTP API, payload 1.0 and 2.0) to core's requests and back.

use daypass_ambient::BoxError;
use daypass_core::ApiError;
use daypass_core::web::{Caller, Request, Response, refusal};
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
            let (event, readable) = readable(event);
            let mut adapter = Adapter::from(service_fn(|request: lambda_http::Request| async {
                let response = if readable { handle(to_core(request)).await } else { refusal(&UNREADABLE) };
                Ok::<_, Infallible>(to_lambda(response))
            }));
            adapter.call(event).await
        }
    });
    lambda_http::lambda_runtime::run(service).await
}

const UNREADABLE: ApiError =
    ApiError::InvalidRequest("The body is not the base64 that the event says it is.");

/// Takes away a body that claims to be base64 and is not, on which `lambda_http` would panic. API Gateway sends no such
/// event; whoever may invoke the function directly can.
fn readable(event: LambdaEvent<LambdaRequest>) -> (LambdaEvent<LambdaRequest>, bool) {
    let LambdaEvent { mut payload, context } = event;
    let (body, encoded) = match &mut payload {
        LambdaRequest::ApiGatewayV1(request) => (&mut request.body, request.is_base64_encoded),
        LambdaRequest::ApiGatewayV2(request) => (&mut request.body, request.is_base64_encoded),
        _ => return (LambdaEvent::new(payload, context), true),
    };
    let sound = !encoded || body.as_deref().is_none_or(is_base64);
    if !sound {
        *body = None;
    }
    (LambdaEvent::new(payload, context), sound)
}

fn is_base64(text: &str) -> bool {
    data_encoding::BASE64.decode(text.as_bytes()).is_ok()
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
