//! A sample of a function behind the authorizer: it answers with who is calling.
//!
//! The function checks no token. API Gateway has asked the Daypass authorizer already, and passes the caller in
//! `requestContext.authorizer.lambda` of the event. It passes the request's headers too, with the access token and all cookies,
//! so a function that logs its event stores tokens. This one logs nothing.

use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use serde_json::{Value, json};

/// Answers 200 with `{"sub", "sid", "client_id", "scope"}` from the authorizer's context.
///
/// A member is `null` when the context lacks it, which means that the route is not behind the authorizer.
///
/// # Errors
/// When the answer cannot be built, which its constant parts rule out.
pub async fn handle(request: Request) -> Result<Response<Body>, lambda_http::Error> {
    let context = request.request_context_ref().and_then(RequestContext::authorizer);
    let member = |name: &str| context.and_then(|context| context.fields.get(name)).unwrap_or(&Value::Null);
    let caller = json!({
        "sub": member("sub"),
        "sid": member("sid"),
        "client_id": member("client_id"),
        "scope": member("scope"),
    });
    let answer = Response::builder().status(200).header("content-type", "application/json; charset=utf-8");
    Ok(answer.body(caller.to_string().into())?)
}

#[cfg(test)]
mod tests {
    use super::handle;
    use serde_json::{Value, json};

    async fn answer(authorizer: Value) -> Value {
        let event = json!({
            "version": "2.0", "routeKey": "GET /whoami", "rawPath": "/whoami", "rawQueryString": "", "headers": {},
            "isBase64Encoded": false,
            "requestContext": {
                "accountId": "123456789012", "apiId": "local", "domainName": "localhost", "requestId": "1",
                "routeKey": "GET /whoami", "stage": "$default", "time": "", "timeEpoch": 0, "authorizer": authorizer,
                "http": {
                    "method": "GET", "path": "/whoami", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""
                },
            },
        });
        let request = lambda_http::request::from_str(&event.to_string()).unwrap();
        let response = handle(request).await.unwrap();
        assert_eq!(response.status(), 200);
        serde_json::from_slice(response.body()).unwrap()
    }

    #[tokio::test]
    async fn the_context_of_the_authorizer_is_the_answer() {
        let caller = json!({"sub": "u1", "sid": "s1", "client_id": "web", "scope": "orders:read"});
        assert_eq!(answer(json!({"lambda": caller})).await, caller);
    }

    #[tokio::test]
    async fn without_an_authorizer_nobody_is_known() {
        let nobody = json!({"sub": null, "sid": null, "client_id": null, "scope": null});
        assert_eq!(answer(json!({"lambda": null})).await, nobody);
    }
}
