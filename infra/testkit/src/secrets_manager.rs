//! A Secrets Manager whose secrets answer, are slow, or fail on demand.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Name of the secret with the functions' keys.
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
    /// Texts of the secrets, by their ARNs.
    secrets: BTreeMap<String, String>,
    /// Error code while it fails.
    error: Option<String>,
    delay: Duration,
}

impl SecretsManager {
    /// Starts with this text of [`ARN`]. It fails with `ThrottlingException` until [`SecretsManager::answer`].
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(secret: String) -> io::Result<Self> {
        let error = Some("ThrottlingException".to_owned());
        let state = Arc::new(Mutex::new(Reply {
            secrets: [(ARN.to_owned(), secret)].into(),
            error,
            delay: Duration::ZERO,
        }));
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

    /// Replaces the text of [`ARN`].
    pub fn set_secret(&self, secret: String) {
        self.set_secret_of(ARN, secret);
    }

    /// Sets the text of another secret.
    pub fn set_secret_of(&self, arn: &str, secret: String) {
        self.change(|reply| drop(reply.secrets.insert(arn.to_owned(), secret)));
    }

    /// URL of the service, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
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

async fn get_secret_value(State(state): State<Arc<Mutex<Reply>>>, request: Bytes) -> impl IntoResponse {
    let delay = state.lock().unwrap_or_else(PoisonError::into_inner).delay;
    tokio::time::sleep(delay).await;
    let Reply { secrets, error, .. } = state.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let request: Value = serde_json::from_slice(&request).unwrap_or_default();
    let arn = request.get("SecretId").and_then(Value::as_str).unwrap_or_default();
    let found = secrets.get(arn).ok_or_else(|| "ResourceNotFoundException".to_owned());
    let (status, body) = match error.map_or(found, Err) {
        Ok(secret) => (StatusCode::OK, json!({ "ARN": arn, "Name": "daypass", "SecretString": secret })),
        Err(code) => (StatusCode::BAD_REQUEST, json!({ "__type": code, "message": "not now" })),
    };
    (status, [("content-type", "application/x-amz-json-1.1")], body.to_string())
}
