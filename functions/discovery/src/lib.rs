//! `GET /.well-known/*`: the key set and the metadata by which verifiers and OAuth clients find the rest.

use daypass_core::http::answer::Response;
use daypass_core::http::discovery::Discovery;
use daypass_core::http::request::Request;

/// Answers a request for a well-known document.
pub async fn handle(discovery: &Discovery, request: Request) -> Response {
    discovery.answer(&request)
}
