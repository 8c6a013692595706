//! `POST /revoke` (RFC 7009): a session ends, or all sessions of its user.

use daypass_core::flow::revoke::{Revoke, RevokeRequest};
use daypass_core::http::answer::{Response, record, refuse};
use daypass_core::http::browser::respond_to_revocation;
use daypass_core::http::cors::with_cors;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::store::Store;

/// The methods of the function, for CORS.
pub const METHODS: &str = "POST";

/// Answers a revocation.
pub async fn handle<S: Store>(revoke: &Revoke<S>, request: Request) -> Response {
    let clients = &revoke.config.clients;
    with_cors(clients, METHODS, request, async |mut request| {
        let caller = caller_of(&request);
        match RevokeRequest::parse(&mut request, clients) {
            Ok(parsed) => {
                let transport = parsed.transport();
                let result = record(revoke.run(parsed).await, &revoke.context, &caller);
                respond_to_revocation(result, transport)
            }
            Err(error) => refuse(&revoke.context, error, &caller),
        }
    })
    .await
}
