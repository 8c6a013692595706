//! A connection to DynamoDB before the first request.

use crate::DynamoDb;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{Config, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

impl DynamoDb {
    /// Opens a connection, which the first request uses. An error has no effect, because the first request opens a connection
    /// itself.
    ///
    /// Sends `GET /` without a signature, which is no operation of DynamoDB: it needs no right and reads no table.
    pub(crate) async fn open_connection(&self) {
        let once = Config::builder().retry_config(RetryConfig::disabled()).interceptor(AsGet);
        // The SDK can send only operations. This one has no parameters.
        let _ = self.client.describe_endpoints().customize().config_override(once).send().await;
    }
}

/// Turns the request of an operation into `GET /`.
#[derive(Debug)]
struct AsGet;

impl Intercept for AsGet {
    fn name(&self) -> &'static str {
        "GET / without a signature"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.set_method("GET")?;
        *request.body_mut() = "".into();
        for header in
            ["authorization", "content-length", "content-type", "x-amz-security-token", "x-amz-target"]
        {
            request.headers_mut().remove(header);
        }
        Ok(())
    }
}
