//! `POST /password`, behind the authorizer: users change their password, and get a new session in place of all others.

use daypass_core::client::Transport;
use daypass_core::flow::password::{ChangePassword, PasswordRequest};
use daypass_core::http::answer::{Response, record, refuse};
use daypass_core::http::browser::respond_with_tokens;
use daypass_core::http::cors::with_cors;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::store::PasswordStore;

/// The methods of the function, for CORS.
pub const METHODS: &str = "POST";

/// Answers a change of the password.
pub async fn handle<S: PasswordStore>(password: &ChangePassword<S>, request: Request) -> Response {
    let clients = &password.config.clients;
    with_cors(clients, METHODS, request, async |mut request| {
        let caller = caller_of(&request);
        match PasswordRequest::parse(&mut request, clients) {
            Ok(parsed) => {
                let result = record(password.run(parsed).await, &password.context, &caller);
                // The request presents no refresh token.
                respond_with_tokens(result, Transport::Body)
            }
            Err(error) => refuse(&password.context, error, &caller),
        }
    })
    .await
}
