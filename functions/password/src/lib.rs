//! `POST /password` and `POST /email`, behind the authorizer: users change their password and get a new session in place of all
//! others, or ask for another e-mail address.

use daypass_core::client::Transport;
use daypass_core::flow::password::email::EmailRequest;
use daypass_core::flow::password::{ChangePassword, PasswordRequest};
use daypass_core::http::answer::{Response, record, refuse, respond_with};
use daypass_core::http::browser::respond_with_tokens;
use daypass_core::http::cors::with_cors;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::mail::Outbox;
use daypass_core::ports::store::PasswordStore;
use http::StatusCode;

/// The methods of the function, for CORS.
pub const METHODS: &str = "POST";

/// Answers a change of the password, or a request for another address.
pub async fn handle<S: PasswordStore + Outbox>(password: &ChangePassword<S>, request: Request) -> Response {
    let (clients, context) = (&password.config.clients, &password.context);
    with_cors(clients, METHODS, request, async |mut request| {
        let caller = caller_of(&request);
        if request.uri().path().ends_with("/email") {
            return match EmailRequest::parse(&mut request) {
                Ok(parsed) => {
                    let result = record(password.request_address(parsed).await, context, &caller);
                    respond_with(StatusCode::ACCEPTED, result)
                }
                Err(error) => refuse(context, error, &caller),
            };
        }
        match PasswordRequest::parse(&mut request, clients) {
            Ok(parsed) => {
                let result = record(password.run(parsed).await, context, &caller);
                // The request presents no refresh token.
                respond_with_tokens(result, Transport::Body)
            }
            Err(error) => refuse(context, error, &caller),
        }
    })
    .await
}
