//! `POST /password` and `POST /email`, behind the authorizer: users change their password and get a new session in place of all
//! others, or ask for another e-mail address. `POST /reauthenticate…`: users authenticate again. `/factors…`: users list and change
//! their second factors.

use daypass_core::client::Transport;
use daypass_core::flow::password::email::EmailRequest;
use daypass_core::flow::password::factors::{FactorsAnswer, FactorsRequest};
use daypass_core::flow::password::reauthenticate::ReauthenticationRequest;
use daypass_core::flow::password::{ChangePassword, PasswordRequest};
use daypass_core::http::answer::{Response, record, refuse, respond, respond_with, respond_without_body};
use daypass_core::http::browser::respond_with_tokens;
use daypass_core::http::cors::with_cors;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::mail::Outbox;
use daypass_core::ports::store::FactorStore;
use http::StatusCode;

/// The methods of the function, for CORS.
pub const METHODS: &str = "GET, POST, PATCH, DELETE";

/// Answers a change of the password, a request for another address, a reauthentication, or a request about second factors.
pub async fn handle<S: FactorStore + Outbox>(password: &ChangePassword<S>, request: Request) -> Response {
    let (clients, context) = (&password.config.clients, &password.context);
    with_cors(clients, METHODS, request, async |mut request| {
        let caller = caller_of(&request);
        match endpoint(request.uri().path()) {
            Some("factors") => match FactorsRequest::parse(&mut request) {
                Ok(parsed) => match record(password.factors(parsed).await, context, &caller) {
                    Ok(FactorsAnswer::Done) => respond_without_body(Ok(())),
                    result => respond(result),
                },
                Err(error) => refuse(context, error, &caller),
            },
            Some("reauthenticate") => match ReauthenticationRequest::parse(&mut request) {
                Ok(parsed) => respond(record(password.reauthenticate(parsed).await, context, &caller)),
                Err(error) => refuse(context, error, &caller),
            },
            Some("email") => match EmailRequest::parse(&mut request) {
                Ok(parsed) => {
                    let result = record(password.request_address(parsed).await, context, &caller);
                    respond_with(StatusCode::ACCEPTED, result)
                }
                Err(error) => refuse(context, error, &caller),
            },
            _ => match PasswordRequest::parse(&mut request, clients) {
                Ok(parsed) => {
                    let result = record(password.run(parsed).await, context, &caller);
                    // The request presents no refresh token.
                    respond_with_tokens(result, Transport::Body)
                }
                Err(error) => refuse(context, error, &caller),
            },
        }
    })
    .await
}

/// The endpoint of a path: its first segment that names one. The segments before are a stage or the base path of a custom domain. A
/// route table decides by the whole path, so no endpoint answers below the path of another.
fn endpoint(path: &str) -> Option<&str> {
    path.split('/').find(|segment| ["factors", "reauthenticate", "email", "password"].contains(segment))
}
