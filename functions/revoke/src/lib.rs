//! `POST /revoke` (RFC 7009): a session ends, or all sessions of its user.

use daypass_core::Store;
use daypass_core::browser::{respond_to_revocation, share};
use daypass_core::revoke::{Revoke, RevokeRequest};
use daypass_core::web::{Caller, Request, Response};

/// Answers a revocation.
pub async fn handle<S: Store>(revoke: &Revoke<S>, request: Request) -> Response {
    let clients = &revoke.config.clients;
    share(clients, "POST", request, async |request| {
        let caller = Caller::of(&request);
        match RevokeRequest::parse(&request, clients) {
            Ok(parsed) => {
                let transport = parsed.transport();
                respond_to_revocation(revoke.run(parsed, &caller).await, transport)
            }
            Err(error) => revoke.ambient.refuse(error, &caller),
        }
    })
    .await
}
