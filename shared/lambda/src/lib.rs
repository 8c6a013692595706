//! Between Lambda and core: API Gateway's events become `http` requests and answers become API Gateway's; events of
//! the journal become JSON lines; the clock and the random generator are the machine's.

mod ambient;
mod start;
mod web;

pub use ambient::{OsEntropy, StdoutJournal, SystemClock, ambient};
pub use start::{BoxError, environment, start};
pub use web::serve;
