//! An answer without a body is no answer.

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

/// Takes an answer without a body for one that broke off. DynamoDB always sends a JSON object, if only `{}`; the SDK reads
/// nothing as `{}`, which would be "no such user" to a login and "no more sessions" to `revoke_all`. The same holds for a
/// refusal: without its body nobody knows whether a condition was false, and with which item.
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
        match context.response().headers().get("content-length") {
            Some("0") => Err("an answer without a body".into()),
            _ => Ok(()),
        }
    }
}
