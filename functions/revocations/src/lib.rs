//! `GET /revocations`: which sessions ended, for whoever verifies access tokens.

mod gzip;

use daypass_core::revocations::{EndedSessions, Revocations};
use daypass_core::web::{Request, Response};

/// Answers a request for the list, compressed for whom that suits.
pub async fn handle<S: EndedSessions>(revocations: &Revocations<S>, request: Request) -> Response {
    let response = revocations.answer(&request).await;
    gzip::compressed(&request, response)
}
