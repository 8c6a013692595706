//! The event loop of the Lambda function.

use crate::{Authorizer, Pruned};
use daypass_verifier::ports::follow::Follow;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

/// Handles Lambda's events until Lambda ends the process.
///
/// # Errors
/// If the Runtime API cannot be reached.
pub async fn serve<F: Follow>(authorizer: Authorizer<F>) -> Result<(), Error> {
    authorizer.prepare().await;
    let authorizer = &authorizer;
    run(service_fn(|event: LambdaEvent<Pruned>| async move { authorizer.handle(&event.payload.0).await }))
        .await
}
