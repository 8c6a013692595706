//! `POST /refresh`: a refresh token becomes an access token and the next refresh token.

use daypass_core::flow::refresh::{Refresh, RefreshRequest};
use daypass_core::http::answer::{Response, record, refuse};
use daypass_core::http::browser::respond_with_tokens;
use daypass_core::http::cors::with_cors;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::store::Store;

/// The methods of the function, for CORS.
pub const METHODS: &str = "POST";

/// Answers a refresh.
pub async fn handle<S: Store>(refresh: &Refresh<S>, request: Request) -> Response {
    let clients = &refresh.config.clients;
    with_cors(clients, METHODS, request, async |mut request| {
        let caller = caller_of(&request);
        match RefreshRequest::parse(&mut request, clients) {
            Ok(parsed) => {
                let transport = parsed.transport();
                let result = record(refresh.run(parsed).await, &refresh.context, &caller);
                respond_with_tokens(result, transport)
            }
            Err(error) => refuse(&refresh.context, error, &caller),
        }
    })
    .await
}
