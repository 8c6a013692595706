//! Error of a stack.

/// Error of a [`Stack`](crate::Stack), with the next step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({hint}){}{details}", if details.is_empty() { "" } else { "\n" })]
pub struct StackError {
    what: String,
    hint: String,
    /// Output lines of another program; may be empty.
    details: String,
}

impl StackError {
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), details: String::new() }
    }

    /// Adds the output of another program that shows the cause.
    pub(super) fn with_details(self, details: impl Into<String>) -> Self {
        Self { details: details.into(), ..self }
    }

    /// Text for a terminal: the details, then one line with the error and one with the next step.
    pub(super) fn report(&self) -> String {
        let Self { what, hint, details } = self;
        let end = if details.is_empty() { "" } else { "\n" };
        format!("{details}{end}error: {what}\nhint: {hint}")
    }

    /// The start was cancelled.
    pub(super) fn cancelled() -> Self {
        Self::new("the start was cancelled", "start it again")
    }
}
