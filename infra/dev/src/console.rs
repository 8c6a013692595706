//! How much a stack says while it starts and runs.

use daypass_tools::say;

/// Where progress and the lines of the functions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// To standard error.
    Terminal,
    /// Nowhere: for tests. Errors hold what there was to see.
    Quiet,
}

impl Console {
    /// Says one line.
    pub(super) fn say(self, line: &str) {
        match self {
            Self::Terminal => say(line),
            Self::Quiet => {}
        }
    }
}
