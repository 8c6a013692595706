//! What is tried again beyond the SDK's own list.

use aws_sdk_dynamodb::config::interceptors::InterceptorContext;
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;

/// Tries again what met a running transaction, or was cancelled by one: two logins of one user at the same moment touch
/// the same user and the same counter. It is over in milliseconds, and the SDK leaves it to the caller. Tries again also
/// what was answered without a body ([`RefuseEmpty`](crate::empty::RefuseEmpty)).
///
/// A cancelled transaction wrote nothing, so sending it again under the same idempotency token is sound.
#[derive(Debug)]
pub(crate) struct RetryConflicts;

impl ClassifyRetry for RetryConflicts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(error) = context.output_or_error().and_then(Result::err) else {
            return RetryAction::NoActionIndicated;
        };
        // The one interceptor of ours that fails is `RefuseEmpty`.
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

/// Whether a transaction was cancelled only by what passes.
fn cancelled_for_now(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { return false };
    let codes = || cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
    codes().any(is_passing) && codes().all(|code| code == "None" || is_passing(code))
}

/// Whether a cancellation reason goes away by itself.
pub(crate) fn is_passing(reason: &str) -> bool {
    matches!(reason, "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded")
}
