//! `GET /.well-known/*`: the key set and the metadata for verifiers and OAuth clients.

use daypass_core::http::answer::Response;
use daypass_core::http::cors::with_public_cors;
use daypass_core::http::discovery::Discovery;
use daypass_core::http::request::Request;

/// Answers a request for a well-known document.
pub async fn handle(discovery: &Discovery, request: Request) -> Response {
    with_public_cors(request, async |request| discovery.answer(&request)).await
}
