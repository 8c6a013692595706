//! Between API Gateway and core: proxy events of REST and HTTP APIs become `http` requests, answers become theirs.

mod refreshing;
mod web;

pub use web::{Cors, serve, serve_when_ready};
