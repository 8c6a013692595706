//! Blocking wait for asynchronous work.

use super::error::StackError;
use super::no_runtime;
use tokio::runtime::Builder;

/// Runs `work` to its end on its own thread and runtime, so that a stack can start inside another runtime.
pub(super) fn wait_for<T: Send>(
    work: impl Future<Output = Result<T, StackError>> + Send,
) -> Result<T, StackError> {
    let run = || {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| no_runtime(&error))?;
        runtime.block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|_| {
        Err(StackError::new("a thread of the start panicked", "this is a bug of Daypass: please report it"))
    })
}
