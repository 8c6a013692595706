//! `POST /login`: a name and a password become a session with two tokens.

use daypass_core::Store;
use daypass_core::login::{Login, LoginRequest};
use daypass_core::web::{Caller, Request, Response, respond};

/// Answers a login.
pub async fn handle<S: Store>(login: &Login<S>, request: Request) -> Response {
    let caller = Caller::of(&request);
    match LoginRequest::parse(&request) {
        Ok(parsed) => respond(login.run(parsed, &caller).await),
        Err(error) => login.ambient.refuse(error, &caller),
    }
}
