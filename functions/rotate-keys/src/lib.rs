//! `rotate-keys`: makes a stack's first keys, rotates them, and replaces them when they have leaked.

mod custom_resource;

use daypass_core::flow::rotate_keys::{Done, Failure, RotateKeys};
use daypass_core::ports::event::Event;
use daypass_core::ports::vault::{Vault, VaultError};
use daypass_verifier::ports::context::Caller;
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

/// AWS can need seconds until it knows a new role everywhere.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(5);

/// Does what an event asks for. CloudFormation waits for an answer at an address of its own, and is told of a failure there.
///
/// # Errors
/// [`Failure`] of an event that AWS repeats or the operator sees, or no answer to CloudFormation.
pub async fn handle<V: Vault>(
    rotate: &RotateKeys<V>,
    event: &Value,
) -> Result<Done, Box<dyn Error + Send + Sync>> {
    if custom_resource::is(event)
        && let Some(problems) = custom_resource::problems(event)
    {
        let failed = Event::Failure { during: "rotate_keys", detail: problems.clone() };
        rotate.context.journal.record(&failed, &Caller::default());
        return refuse(problems, event).await;
    }
    let mut done = rotate.run(event).await;
    if custom_resource::is(event) {
        for _ in 1..TRIES {
            if !matches!(done, Err(Failure::Vault(VaultError::Denied { .. }))) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            done = rotate.run(event).await;
        }
        custom_resource::answer(event, &done).await?;
        // CloudFormation knows of the failure, and expects no second answer.
        return Ok(done.unwrap_or_default());
    }
    Ok(done?)
}

/// Answers for a function that cannot start with its settings. CloudFormation learns the problems, and may always delete.
///
/// # Errors
/// [`Failure::Settings`] for every other caller, or no answer to CloudFormation.
pub async fn refuse(problems: String, event: &Value) -> Result<Done, Box<dyn Error + Send + Sync>> {
    if !custom_resource::is(event) {
        return Err(Failure::Settings(problems).into());
    }
    let deletes = event["RequestType"] == "Delete";
    let done = if deletes { Ok(Done::default()) } else { Err(Failure::Settings(problems)) };
    custom_resource::answer(event, &done).await?;
    Ok(Done::default())
}

#[cfg(test)]
mod tests;
