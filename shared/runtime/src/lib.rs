//! The machine as core sees it: the system's clock and random generator, the log on standard output, the environment,
//! and how a function starts. It knows neither AWS nor HTTP.

mod machine;
mod start;

pub use machine::{OsEntropy, StdoutJournal, SystemClock, context, line};
pub use start::{BoxError, environment, start};
