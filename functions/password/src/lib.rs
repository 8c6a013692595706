//! `POST /password`, behind the authorizer: users change their password, and every other session of theirs ends.

use daypass_core::flow::password::{ChangePassword, PasswordRequest};
use daypass_core::http::answer::{Response, record, refuse, respond};
use daypass_core::http::cors::with_cors;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::store::PasswordStore;

/// The methods of the function, for CORS.
pub const METHODS: &str = "POST";

/// Answers a change of the password.
pub async fn handle<S: PasswordStore>(password: &ChangePassword<S>, request: Request) -> Response {
    with_cors(&password.config.clients, METHODS, request, async |mut request| {
        let caller = caller_of(&request);
        match PasswordRequest::parse(&mut request) {
            Ok(parsed) => respond(record(password.run(parsed).await, &password.context, &caller)),
            Err(error) => refuse(&password.context, error, &caller),
        }
    })
    .await
}
