//! `POST /refresh`: a day pass becomes a new single-ride ticket and the next day pass.

use daypass_core::Store;
use daypass_core::refresh::{Refresh, RefreshRequest};
use daypass_core::web::{Caller, Request, Response, respond};

/// Answers a refresh.
pub async fn handle<S: Store>(refresh: &Refresh<S>, request: Request) -> Response {
    let caller = Caller::of(&request);
    match RefreshRequest::parse(&request) {
        Ok(parsed) => respond(refresh.run(parsed, &caller).await),
        Err(error) => refresh.ambient.refuse(error, &caller),
    }
}
