//! `rotate-keys`: makes a stack's first keys, rotates them, and replaces them when they have leaked.

mod custom_resource;

use daypass_core::flow::rotate_keys::{Done, RotateKeys};
use daypass_core::ports::vault::Vault;
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

/// A role that was made a moment ago is not known everywhere in AWS.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(5);

/// Does what an event asks for. CloudFormation waits for an answer at an address of its own, and is told of a failure there.
///
/// # Errors
/// What was not done. Whoever sent the event tries again, or tells the operator.
pub async fn handle<V: Vault>(
    rotate: &RotateKeys<V>,
    event: &Value,
) -> Result<Done, Box<dyn Error + Send + Sync>> {
    let mut done = rotate.run(event).await;
    if custom_resource::is(event) {
        for _ in 1..TRIES {
            if done.as_ref().is_err_and(|failure| failure.to_string().contains("AccessDenied")) {
                tokio::time::sleep(PAUSE).await;
                done = rotate.run(event).await;
            }
        }
        custom_resource::answer(event, &done).await?;
        // It was told of the failure; another try would be told to nobody.
        return Ok(done.unwrap_or(Done { jwks: None }));
    }
    Ok(done?)
}
