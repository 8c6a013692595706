//! Failures that are retried in addition to those that the SDK retries.

use aws_sdk_dynamodb::config::interceptors::InterceptorContext;
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;

/// Retries a request that conflicts with a running transaction, and a transaction that another one cancelled. The SDK leaves
/// these to the caller. They happen when a user logs in twice at the same moment, and pass within milliseconds. Also retries a
/// request whose response had no body ([`RefuseEmpty`](crate::empty::RefuseEmpty)).
///
/// A cancelled transaction has written nothing, so a repeat with the same idempotency token is safe.
#[derive(Debug)]
pub(crate) struct RetryConflicts;

impl ClassifyRetry for RetryConflicts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(error) = context.output_or_error().and_then(Result::err) else {
            return RetryAction::NoActionIndicated;
        };
        // `RefuseEmpty` is the only interceptor that can fail.
        if error.is_interceptor_error() {
            return RetryAction::transient_error();
        }
        let Some(error) = error.as_operation_error() else { return RetryAction::NoActionIndicated };
        let code = error
            .downcast_ref::<UpdateItemError>()
            .map(ProvideErrorMetadata::code)
            .or_else(|| error.downcast_ref::<PutItemError>().map(ProvideErrorMetadata::code))
            .or_else(|| error.downcast_ref::<DeleteItemError>().map(ProvideErrorMetadata::code))
            .flatten();
        let conflict = code == Some("TransactionConflictException")
            || error.downcast_ref::<TransactWriteItemsError>().is_some_and(cancelled_for_now);
        if conflict { RetryAction::transient_error() } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "Transaction conflicts"
    }
}

/// Whether all reasons of a cancelled transaction are temporary.
fn cancelled_for_now(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { return false };
    let codes = || cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
    codes().any(is_passing) && codes().all(|code| code == "None" || is_passing(code))
}

/// Whether a cancellation reason is temporary.
pub(crate) fn is_passing(reason: &str) -> bool {
    matches!(reason, "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded")
}
