//! `POST /password`, behind the authorizer: users change their password, and every other session of theirs ends.

use daypass_core::browser::share;
use daypass_core::password::{ChangePassword, PasswordRequest, PasswordStore};
use daypass_core::web::{Caller, Principal, Request, Response, respond};

/// Answers a change of the password.
pub async fn handle<S: PasswordStore>(password: &ChangePassword<S>, request: Request) -> Response {
    share(&password.config.clients, "POST", request, async |request| {
        let (caller, principal) = (Caller::of(&request), Principal::of(&request));
        match PasswordRequest::parse(&request) {
            Ok(parsed) => respond(password.run(principal, &parsed, &caller).await),
            Err(error) => password.ambient.refuse(error, &caller),
        }
    })
    .await
}
