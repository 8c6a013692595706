//! The runner of the functions behind API Gateway. Proxy events of REST and HTTP APIs become `http` requests, and responses
//! become theirs.

mod built;
mod event;
mod function;

pub use built::Built;
pub use function::{Cors, Environment, Function};
