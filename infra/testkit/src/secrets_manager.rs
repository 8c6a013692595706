//! A Secrets Manager with one secret that answers, is slow, or fails on demand.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use serde_json::json;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Name of the secret.
pub const ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:daypass-AbCdEf";

/// A running Secrets Manager. Drop stops it.
#[derive(Debug)]
pub struct SecretsManager {
    url: String,
    state: Arc<Mutex<Reply>>,
    server: AbortHandle,
}

#[derive(Debug, Clone)]
struct Reply {
    secret: String,
    /// Error code while it fails.
    error: Option<String>,
    delay: Duration,
}

impl SecretsManager {
    /// Starts with this secret. It fails with `ThrottlingException` until [`SecretsManager::answer`].
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(secret: String) -> io::Result<Self> {
        let error = Some("ThrottlingException".to_owned());
        let state = Arc::new(Mutex::new(Reply { secret, error, delay: Duration::ZERO }));
        let router = Router::new().route("/", post(get_secret_value)).with_state(Arc::clone(&state));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { url, state, server })
    }

    /// Variables of a function that reads its keys here.
    #[must_use]
    pub fn variables(&self) -> [(&str, &str); 2] {
        [("DAYPASS_KEYS", ARN), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.url)]
    }

    /// Starts to answer.
    pub fn answer(&self) {
        self.change(|reply| reply.error = None);
    }

    /// Starts to fail with an error code such as `ResourceNotFoundException`.
    pub fn fail(&self, code: &str) {
        self.change(|reply| reply.error = Some(code.to_owned()));
    }

    /// Delays each response by this time.
    pub fn set_delay(&self, delay: Duration) {
        self.change(|reply| reply.delay = delay);
    }

    /// Replaces the secret.
    pub fn set_secret(&self, secret: String) {
        self.change(|reply| reply.secret = secret);
    }

    fn change(&self, change: impl FnOnce(&mut Reply)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for SecretsManager {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn get_secret_value(State(state): State<Arc<Mutex<Reply>>>) -> impl IntoResponse {
    let delay = state.lock().unwrap_or_else(PoisonError::into_inner).delay;
    tokio::time::sleep(delay).await;
    let Reply { secret, error, .. } = state.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (status, body) = match error {
        None => (StatusCode::OK, json!({ "ARN": ARN, "Name": "daypass", "SecretString": secret })),
        Some(code) => (StatusCode::BAD_REQUEST, json!({ "__type": code, "message": "not now" })),
    };
    (status, [("content-type", "application/x-amz-json-1.1")], body.to_string())
}
