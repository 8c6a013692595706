//! `POST /signup`, `/signup/confirm`, `/recover`, `/recover/confirm` and `/email/confirm`: accounts by mail.

use daypass_core::flow::account::Account;
use daypass_core::http::account::AccountRequest;
use daypass_core::http::answer::{Response, record, refuse, respond_with, respond_without_body};
use daypass_core::http::cors::with_cors;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::mail::AccountStore;
use daypass_core::ports::store::PasswordStore;
use http::StatusCode;

/// The methods of the function, for CORS.
pub const METHODS: &str = "POST";

/// Answers a request for a mail, or the confirmation of one.
pub async fn handle<S: AccountStore + PasswordStore>(account: &Account<S>, request: Request) -> Response {
    let (clients, context) = (&account.config.clients, &account.context);
    with_cors(clients, METHODS, request, async |mut request| {
        use AccountRequest::{ConfirmAddress, ConfirmSignUp, Recover, Reset, SignUp};
        let caller = caller_of(&request);
        match AccountRequest::parse(&mut request, clients) {
            Ok(SignUp(wish)) => {
                let result = record(account.sign_up(wish).await, context, &caller);
                respond_with(StatusCode::ACCEPTED, result)
            }
            Ok(Recover(wish)) => {
                let result = record(account.recover(wish).await, context, &caller);
                respond_with(StatusCode::ACCEPTED, result)
            }
            Ok(ConfirmSignUp(confirmation, password)) => {
                let outcome = account.confirm_sign_up(confirmation, password).await;
                respond_with(StatusCode::CREATED, record(outcome, context, &caller))
            }
            Ok(Reset(confirmation, password)) => {
                let outcome = account.reset(confirmation, password).await;
                respond_without_body(record(outcome, context, &caller))
            }
            Ok(ConfirmAddress(confirmation)) => {
                let outcome = account.confirm_address(confirmation).await;
                respond_without_body(record(outcome, context, &caller))
            }
            Err(error) => refuse(context, error, &caller),
        }
    })
    .await
}
