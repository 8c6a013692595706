//! The port to the log.

use crate::ports::context::Caller;
use crate::ports::event::Event;

/// Where events go. The one real implementation writes a JSON line to standard output.
pub trait Journal: Send + Sync {
    /// Records an event of a request by `caller`.
    fn record(&self, event: &Event, caller: &Caller);
}
