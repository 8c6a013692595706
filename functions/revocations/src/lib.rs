//! `GET /revocations`: the sessions that ended, for verifiers of access tokens.

mod gzip;

use daypass_core::flow::feed::Revocations;
use daypass_core::http::answer::Response;
use daypass_core::http::cors::with_public_cors;
use daypass_core::http::feed::answer;
use daypass_core::http::request::Request;
use daypass_core::ports::store::EndedSessions;

/// Answers a request for the list, compressed if the client accepts that.
pub async fn handle<S: EndedSessions>(revocations: &Revocations<S>, request: Request) -> Response {
    with_public_cors(request, async |request| {
        let response = answer(revocations, &request).await;
        gzip::compressed(&request, response)
    })
    .await
}
