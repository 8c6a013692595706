//! `GET /sessions` and `DELETE /sessions/{id}`, behind the authorizer: users list and end their own sessions.

use daypass_core::flow::sessions::{Sessions, SessionsRequest};
use daypass_core::http::answer::{Response, record, refuse, respond};
use daypass_core::http::cors::with_cors;
use daypass_core::http::request::{Request, caller_of, principal_of};
use daypass_core::ports::store::SessionStore;

/// The methods of the function, for CORS.
pub const METHODS: &str = "GET, DELETE";

/// Answers a request about the caller's sessions.
pub async fn handle<S: SessionStore>(sessions: &Sessions<S>, request: Request) -> Response {
    with_cors(&sessions.config.clients, METHODS, request, async |request| {
        let (caller, principal) = (caller_of(&request), principal_of(&request));
        let context = &sessions.context;
        match SessionsRequest::parse(&request) {
            Ok(SessionsRequest::List) => respond(record(sessions.list(principal).await, context, &caller)),
            Ok(SessionsRequest::End(id)) => {
                respond(record(sessions.end(principal, id).await, context, &caller))
            }
            Err(error) => refuse(context, error, &caller),
        }
    })
    .await
}
