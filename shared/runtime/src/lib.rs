//! The machine as core sees it: the system's clock and random generator, the log on standard output, the environment,
//! the start of a function, and values that are refreshed in a process that Lambda freezes. It names neither AWS nor HTTP.

mod machine;
mod refreshing;
mod single_flight;
mod start;

pub use machine::{OsEntropy, StdoutJournal, SystemClock, context, line};
pub use refreshing::{Attempt, Need, Refreshing, Turn};
pub use single_flight::{Running, SingleFlight};
pub use start::{BoxError, environment, start};
