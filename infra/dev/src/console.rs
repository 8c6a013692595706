//! Progress output of a stack.

use daypass_tools::say;

/// Destination of progress and of the functions' log lines.
#[derive(Debug, Clone, Copy)]
pub enum Console {
    /// The process's standard error.
    Terminal,
    /// No output, for tests. Errors contain the relevant lines.
    Quiet,
    /// A function, for tests of the output.
    To(fn(&str)),
}

impl Console {
    /// Prints one line.
    pub(super) fn say(self, line: &str) {
        match self {
            Self::Terminal => say(line),
            Self::Quiet => {}
            Self::To(print) => print(line),
        }
    }
}
