//! Why a stack does not start or no longer runs.

/// What went wrong with a [`Stack`](crate::Stack), and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({hint}){}{details}", if details.is_empty() { "" } else { "\n" })]
pub struct StackError {
    what: String,
    hint: String,
    /// Lines of another program's output; empty when there are none.
    details: String,
}

impl StackError {
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), details: String::new() }
    }

    /// With the output of another program that shows the cause.
    pub(super) fn with_details(self, details: impl Into<String>) -> Self {
        Self { details: details.into(), ..self }
    }

    /// The error at a terminal: the details first, then one line for the error and one for the next step.
    pub(super) fn report(&self) -> String {
        let Self { what, hint, details } = self;
        let end = if details.is_empty() { "" } else { "\n" };
        format!("{details}{end}error: {what}\nhint: {hint}")
    }

    /// The start was cancelled: not a failure, but there is no stack either.
    pub(super) fn cancelled() -> Self {
        Self::new("the start was cancelled", "start it again")
    }
}
