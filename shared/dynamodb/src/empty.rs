//! An answer without a body is no answer.

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

/// Takes an answer without a body for one that broke off. DynamoDB always sends a JSON object, if only `{}`; the SDK reads
/// nothing as `{}`, which would be "no such user" to a login and "no more sessions" to `revoke_all`. The same holds for a
/// refusal of DynamoDB, which is always a 400: without its body nobody knows whether a condition was false, and with which
/// item. Any other status is somebody else's (a proxy, a server that is no DynamoDB) and says all there is to say.
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
