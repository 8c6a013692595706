//! Errors for responses without a body.

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

/// Turns a response without a body into an error that is retried.
///
/// DynamoDB always sends a JSON object, at least `{}`. The SDK reads an empty body as `{}`, which a login would take for "no
/// such user" and `revoke_all` for "no more sessions". Errors of DynamoDB, which have the status 400, need their body too: it
/// says whether a condition was false, and holds the item. Other statuses come from proxies or other servers, and need no body.
#[derive(Debug)]
pub(crate) struct RefuseEmpty;

impl Intercept for RefuseEmpty {
    fn name(&self) -> &'static str {
        "Empty answers"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let of_dynamodb = response.status().is_success() || response.status().as_u16() == 400;
        match response.headers().get("content-length") {
            Some("0") if of_dynamodb => Err("an answer without a body".into()),
            _ => Ok(()),
        }
    }
}
