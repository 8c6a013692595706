//! `GET /sessions` and `DELETE /sessions/{id}`, behind the authorizer: users see and end their own sessions.

use daypass_core::sessions::{SessionStore, Sessions, SessionsRequest};
use daypass_core::web::{Caller, Principal, Request, Response, respond};

/// Answers a request about the caller's sessions.
pub async fn handle<S: SessionStore>(sessions: &Sessions<S>, request: Request) -> Response {
    let (caller, principal) = (Caller::of(&request), Principal::of(&request));
    match SessionsRequest::parse(&request) {
        Ok(SessionsRequest::List) => respond(sessions.list(principal, &caller).await),
        Ok(SessionsRequest::End(id)) => respond(sessions.end(principal, id, &caller).await),
        Err(error) => sessions.ambient.refuse(error, &caller),
    }
}
