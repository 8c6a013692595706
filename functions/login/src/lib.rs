//! `POST /login`: a name and a password become a session with two tokens.

use daypass_core::Store;
use daypass_core::browser::{respond_with_tokens, share};
use daypass_core::login::{Login, LoginRequest};
use daypass_core::throttle::AttemptStore;
use daypass_core::web::{Caller, Request, Response};

/// Answers a login.
pub async fn handle<S: Store + AttemptStore>(login: &Login<S>, request: Request) -> Response {
    let clients = &login.config.clients;
    share(clients, "POST", request, async |request| {
        let caller = Caller::of(&request);
        match LoginRequest::parse(&request, clients) {
            Ok(parsed) => {
                let transport = parsed.transport();
                respond_with_tokens(login.run(parsed, &caller).await, transport)
            }
            Err(error) => login.ambient.refuse(error, &caller),
        }
    })
    .await
}
