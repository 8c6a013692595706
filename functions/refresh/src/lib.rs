//! The token endpoint, `POST /token` and `POST /refresh`: a refresh token becomes an access token and the next refresh token, and
//! a machine client gets an access token.

use daypass_core::flow::refresh::Refresh;
use daypass_core::http::answer::{Response, record, refuse, respond};
use daypass_core::http::browser::respond_with_tokens;
use daypass_core::http::cors::with_cors;
use daypass_core::http::forms::TokenRequest;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::store::Store;

/// The methods of the function, for CORS.
pub const METHODS: &str = "POST";

/// Answers a request for tokens.
pub async fn handle<S: Store>(refresh: &Refresh<S>, request: Request) -> Response {
    let clients = &refresh.config.clients;
    with_cors(clients, METHODS, request, async |mut request| {
        let caller = caller_of(&request);
        match TokenRequest::parse(&mut request, clients) {
            Ok(TokenRequest::Client(parsed)) => {
                let outcome = refresh.clients.run(parsed, &refresh.issuer.signer, &refresh.context);
                respond(record(outcome, &refresh.context, &caller))
            }
            Ok(TokenRequest::Refresh(parsed)) => {
                let transport = parsed.transport();
                let result = record(refresh.run(parsed).await, &refresh.context, &caller);
                respond_with_tokens(result, transport)
            }
            Err(error) => refuse(&refresh.context, error, &caller),
        }
    })
    .await
}
