//! `POST /login`: a name and a password become a session with two tokens.

use daypass_core::flow::login::{Login, LoginRequest};
use daypass_core::http::answer::{Response, refuse};
use daypass_core::http::browser::respond_with_tokens;
use daypass_core::http::cors::with_cors;
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::store::{AttemptStore, Store};
use std::time::Duration;
use tokio::time::Instant;

/// The methods of the function, for CORS.
pub const METHODS: &str = "POST";

/// A 429 leaves so long after its request came, or a whole multiple of it: an attacker can have any number of them, and so
/// could add up the microseconds by which the item of a name that is a user's takes longer to read.
const STEP: Duration = Duration::from_millis(20);

/// Answers a login.
pub async fn handle<S: Store + AttemptStore>(login: &Login<S>, request: Request) -> Response {
    let started = Instant::now();
    let clients = &login.config.clients;
    let response = with_cors(clients, METHODS, request, async |request| {
        let caller = caller_of(&request);
        match LoginRequest::parse(&request, clients) {
            Ok(parsed) => {
                let transport = parsed.transport();
                respond_with_tokens(login.run(parsed, &caller).await, transport)
            }
            Err(error) => refuse(&login.context, error, &caller),
        }
    })
    .await;
    if response.status().as_u16() == 429 {
        let steps = started.elapsed().as_millis() / STEP.as_millis() + 1;
        tokio::time::sleep_until(started + STEP * u32::try_from(steps).unwrap_or(1)).await;
    }
    response
}
