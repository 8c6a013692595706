//! Events as API Gateway sends them to functions (HTTP API, payload 2.0).
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use serde_json::{Value, json};

/// Source address of the events of [`fn@http`].
pub const SOURCE_IP: &str = "192.0.2.1";

/// A request with a text body.
#[must_use]
pub fn http(method: &str, path: &str, content_type: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": format!("ANY {path}"), "rawPath": path, "rawQueryString": "",
        "headers": { "content-type": content_type }, "isBase64Encoded": false, "body": body,
        "requestContext": {
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": SOURCE_IP },
            "requestId": "r1", "stage": "$default", "timeEpoch": 0,
        },
    })
}

/// The event of a Lambda authorizer for this access token.
#[must_use]
pub fn authorizer(access_token: &str) -> Value {
    json!({
        "version": "2.0", "type": "REQUEST", "headers": { "authorization": format!("Bearer {access_token}") },
        "routeArn": "arn:aws:execute-api:us-east-1:123456789012:tests/$default/GET/guarded",
    })
}
