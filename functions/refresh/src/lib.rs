//! The token endpoint, `POST /token` and `POST /refresh`: a refresh token becomes an access token and the next refresh token, and
//! a machine client gets an access token.

use daypass_core::flow::refresh::Refresh;
use daypass_core::http::answer::{Response, record, refuse, respond};
use daypass_core::http::browser::respond_with_tokens;
use daypass_core::http::cors::with_cors;
use daypass_core::http::dpop::{Proofs, has_proof};
use daypass_core::http::forms::TokenRequest;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::store::{MachineStore, Store};

/// The methods of the function, for CORS.
pub const METHODS: &str = "POST";

/// Answers a request for tokens.
pub async fn handle<S: Store + MachineStore>(refresh: &Refresh<S>, request: Request) -> Response {
    let clients = &refresh.config.clients;
    with_cors(clients, METHODS, request, async |mut request| {
        let caller = caller_of(&request);
        let (issuer, now) = (&refresh.issuer, refresh.context.clock.now());
        let (proofs, has_proof) =
            (Proofs { issuer, origins: &refresh.config.dpop_origins, now }, has_proof(&request));
        let response = match TokenRequest::parse(&mut request, clients, &proofs) {
            Ok(TokenRequest::Client(parsed)) => {
                let (signer, store) = (&refresh.issuer.signer, &refresh.store);
                let outcome = refresh.clients.run(parsed, signer, store, &refresh.context).await;
                respond(record(outcome, &refresh.context, &caller))
            }
            Ok(TokenRequest::Refresh(parsed)) => {
                let transport = parsed.transport();
                let result = record(refresh.run(parsed).await, &refresh.context, &caller);
                respond_with_tokens(result, transport)
            }
            Err(error) => refuse(&refresh.context, error, &caller),
        };
        proofs.with_nonce(response, has_proof)
    })
    .await
}
