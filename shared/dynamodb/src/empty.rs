//! An answer without a body is no answer.

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

/// Takes an answer without a body for one that broke off. DynamoDB always sends a JSON object, if only `{}`; the SDK reads
/// nothing as `{}`, which would be "no such user" to a login and "no more sessions" to `revoke_all`.
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
        match response.headers().get("content-length") {
            // A refusal says what it has to say by its status.
            Some("0") if response.status().is_success() => Err("an answer without a body".into()),
            _ => Ok(()),
        }
    }
}
