//! Between API Gateway and core: proxy events of REST and HTTP APIs become `http` requests, answers become theirs.

mod ready;
mod web;

pub use web::{Pages, serve, serve_when_ready};
