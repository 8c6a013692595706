//! `POST /login`: a username and a password become a session with two tokens. `POST /login/factor`: the second step of users with a
//! second factor. `POST /login/passkey/options` and `POST /login/passkey`: a passkey becomes a session.

use daypass_core::client::Transport;
use daypass_core::flow::login::factor::FactorRequest;
use daypass_core::flow::login::passkey::PasskeyLoginRequest;
use daypass_core::flow::login::{Login, LoginRequest};
use daypass_core::http::answer::{Response, record, refuse, respond};
use daypass_core::http::browser::{respond_to_login, respond_with_tokens};
use daypass_core::http::cors::with_cors;
use daypass_core::http::dpop::{Proofs, has_proof};
use daypass_core::http::error::ApiError;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::passkey::PasskeyStore;
use daypass_core::ports::store::{AddressStore, AttemptStore, Store};
use std::time::Duration;
use tokio::time::Instant;

/// The methods of the function, for CORS.
pub const METHODS: &str = "POST";

/// 429 responses leave at a multiple of this time after their request. Otherwise an attacker could average many of them and
/// learn from the read latency whether a user exists.
const STEP: Duration = Duration::from_millis(20);

/// Answers a step of a login.
pub async fn handle<S: Store + AttemptStore + AddressStore + PasskeyStore>(
    login: &Login<S>,
    request: Request,
) -> Response {
    let started = Instant::now();
    let clients = &login.config.clients;
    let response = with_cors(clients, METHODS, request, async |mut request| {
        let (issuer, now) = (&login.issuer, login.context.clock.now());
        let (proofs, has_proof) =
            (Proofs { issuer, origins: &login.config.dpop_origins, now }, has_proof(&request));
        let response = answer(login, &mut request, &proofs).await;
        proofs.with_nonce(response, has_proof)
    })
    .await;
    if response.status().as_u16() == 429 {
        let steps = started.elapsed().as_millis() / STEP.as_millis() + 1;
        tokio::time::sleep_until(started + STEP * u32::try_from(steps).unwrap_or(1)).await;
    }
    response
}

async fn answer<S: Store + AttemptStore + AddressStore + PasskeyStore>(
    login: &Login<S>,
    request: &mut Request,
    proofs: &Proofs<'_>,
) -> Response {
    let (clients, caller) = (&login.config.clients, caller_of(request));
    // The segments before are a stage or the base path of a custom domain.
    let step = request.uri().path().split_once("/login").map(|(_, step)| step.to_owned());
    match step.as_deref() {
        Some("") => match LoginRequest::parse(request, clients, login.hasher.as_ref(), proofs) {
            Ok(parsed) => {
                let transport = parsed.transport();
                let result = record(login.run(parsed).await, &login.context, &caller);
                respond_to_login(result, transport)
            }
            Err(error) => refuse(&login.context, error, &caller),
        },
        Some("/factor") => match FactorRequest::parse(request, clients, proofs) {
            Ok(parsed) => {
                let result = record(login.complete(parsed).await, &login.context, &caller);
                // The request presents no refresh token.
                respond_with_tokens(result, Transport::Body)
            }
            Err(error) => refuse(&login.context, error, &caller),
        },
        Some("/passkey") => match PasskeyLoginRequest::parse(request, clients, proofs) {
            Ok(parsed) => {
                let result = record(login.run_with_passkey(parsed).await, &login.context, &caller);
                respond_with_tokens(result, Transport::Body)
            }
            Err(error) => refuse(&login.context, error, &caller),
        },
        Some("/passkey/options") if request.method().as_str() == METHODS => {
            respond(record(login.passkey_options(), &login.context, &caller))
        }
        Some("/passkey/options") => refuse(&login.context, ApiError::MethodNotAllowed(METHODS), &caller),
        _ => refuse(&login.context, ApiError::NotFound, &caller),
    }
}
