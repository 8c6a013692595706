//! `POST /password`, behind the authorizer: users change their password, and every other session of theirs ends.

use daypass_core::flow::password::{ChangePassword, PasswordRequest};
use daypass_core::http::answer::{Response, refuse, respond};
use daypass_core::http::cors::with_cors;
use daypass_core::http::request::{Request, caller_of, principal_of};
use daypass_core::ports::store::PasswordStore;

/// The methods of the function, for CORS.
pub const METHODS: &str = "POST";

/// Answers a change of the password.
pub async fn handle<S: PasswordStore>(password: &ChangePassword<S>, request: Request) -> Response {
    with_cors(&password.config.clients, METHODS, request, async |request| {
        let (caller, principal) = (caller_of(&request), principal_of(&request));
        match PasswordRequest::parse(&request) {
            Ok(parsed) => respond(password.run(principal, &parsed, &caller).await),
            Err(error) => refuse(&password.context, error, &caller),
        }
    })
    .await
}
