//! What a flow returns: its answer, and the events on the way to it.

use crate::flow::error::Problem;
use crate::ports::event::Event;

/// The answer of a flow, and every event up to it in order.
///
/// A flow that changed something before it failed returns the events of the changes with the error. Only
/// [`record`](crate::http::answer::record) opens an outcome from outside this crate, so no event is lost.
#[must_use = "its events have to be recorded"]
#[derive(Debug)]
pub struct Outcome<T> {
    pub(crate) answer: Result<T, Problem>,
    pub(crate) events: Vec<Event>,
}

impl<T> Outcome<T> {
    /// An outcome whose last event is that of the problem, if it has one.
    pub(crate) fn new(answer: Result<T, Problem>, mut events: Vec<Event>) -> Self {
        events.extend(answer.as_ref().err().and_then(Problem::event));
        Self { answer, events }
    }
}
