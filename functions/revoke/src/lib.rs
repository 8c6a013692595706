//! `POST /revoke` (RFC 7009): a session ends, or all sessions of its user.

use daypass_core::Store;
use daypass_core::revoke::{Revoke, RevokeRequest};
use daypass_core::web::{Caller, Request, Response, respond};

/// Answers a revocation.
pub async fn handle<S: Store>(revoke: &Revoke<S>, request: Request) -> Response {
    let caller = Caller::of(&request);
    match RevokeRequest::parse(&request) {
        Ok(parsed) => respond(revoke.run(parsed, &caller).await),
        Err(error) => revoke.ambient.refuse(error, &caller),
    }
}
