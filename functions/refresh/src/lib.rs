//! `POST /refresh`: a day pass becomes a new single-ride ticket and the next day pass.

use daypass_core::Store;
use daypass_core::browser::{respond_with_tokens, share};
use daypass_core::refresh::{Refresh, RefreshRequest};
use daypass_core::web::{Caller, Request, Response};

/// Answers a refresh.
pub async fn handle<S: Store>(refresh: &Refresh<S>, request: Request) -> Response {
    let clients = &refresh.config.clients;
    share(clients, "POST", request, async |request| {
        let caller = Caller::of(&request);
        match RefreshRequest::parse(&request, clients) {
            Ok(parsed) => {
                let transport = parsed.transport();
                respond_with_tokens(refresh.run(parsed, &caller).await, transport)
            }
            Err(error) => refresh.ambient.refuse(error, &caller),
        }
    })
    .await
}
