//! The port to the log.

use super::context::Caller;
use super::event::Event;

/// The log of events of the type `E`. The one real implementation writes a JSON line to standard output.
pub trait Journal<E = Event>: Send + Sync {
    /// Records an event of a request by `caller`.
    fn record(&self, event: &E, caller: &Caller);
}
