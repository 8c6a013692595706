//! The public API of a Cognito user pool: `InitiateAuth` with `USER_PASSWORD_AUTH`, for an app client without a secret.
//!
//! It follows the Amazon Cognito user pools API reference (`InitiateAuth`) and the Developer Guide ("Lockout behavior for failed
//! sign-in attempts", "Managing user existence error responses").

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Id of the app client.
pub const CLIENT: &str = "1h57kf5cpq17m0eml12example";

/// Failed attempts before the first lockout.
const FREE_FAILURES: u32 = 5;

/// A running user pool. Drop stops it.
#[derive(Debug)]
pub struct Cognito {
    url: String,
    pool: Arc<Mutex<Pool>>,
    server: AbortHandle,
}

/// A user of the pool.
#[derive(Debug, Clone)]
pub struct User {
    /// `cognito:username`. In a pool whose users sign in with their address, this is the `sub`.
    pub username: String,
    /// The UUID of the user, which never changes.
    pub sub: String,
    /// Address, which is also an alias.
    pub email: String,
    /// The permanent password, in clear.
    pub password: String,
    /// What a login with the right password leads to.
    pub state: UserState,
}

/// The state of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserState {
    /// Gets tokens for the right password.
    Confirmed,
    /// Has to confirm the account. Cognito reports it for any password.
    Unconfirmed,
    /// Has to reset the password. Cognito reports it for any password.
    ResetRequired,
    /// An administrator disabled the user.
    Disabled,
    /// A trigger of the pool denies the login.
    DeniedByTrigger,
    /// Gets this challenge after the right password.
    Challenge(&'static str),
}

/// A failure of the whole API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This error code with this status.
    Error(u16, &'static str, &'static str),
    /// No response, while the connection stays open.
    Hang,
    /// This status and body.
    Raw(u16, Vec<u8>),
}

#[derive(Debug, Default)]
struct Pool {
    users: Vec<User>,
    /// Failed attempts and the end of the lockout, by the typed name.
    lockouts: BTreeMap<String, (u32, Option<Instant>)>,
    fault: Option<Fault>,
    /// Whether unknown names get `UserNotFoundException` (`PreventUserExistenceErrors` is `LEGACY`).
    legacy: bool,
    requests: usize,
    last_body: Vec<u8>,
}

impl Cognito {
    /// Starts an empty pool.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> io::Result<Self> {
        let pool = Arc::new(Mutex::new(Pool::default()));
        let router = Router::new().route("/", post(initiate_auth)).with_state(Arc::clone(&pool));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let server = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { url, pool, server })
    }

    /// URL of the API.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Adds a user.
    pub fn add(&self, user: User) {
        lock(&self.pool).users.push(user);
    }

    /// Breaks the API, or repairs it with `None`.
    pub fn set_fault(&self, fault: Option<Fault>) {
        lock(&self.pool).fault = fault;
    }

    /// Reveals unknown names, as an app client with `PreventUserExistenceErrors` `LEGACY` does.
    pub fn reveal_unknown_names(&self) {
        lock(&self.pool).legacy = true;
    }

    /// Number of requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        lock(&self.pool).requests
    }

    /// Body of the last request.
    #[must_use]
    pub fn last_body(&self) -> Vec<u8> {
        lock(&self.pool).last_body.clone()
    }

    /// Switches the pool off: connections are refused.
    pub fn stop(&self) {
        self.server.abort();
    }
}

impl Drop for Cognito {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn initiate_auth(State(pool): State<Arc<Mutex<Pool>>>, headers: HeaderMap, request: Bytes) -> Response {
    let fault = {
        let mut pool = lock(&pool);
        pool.requests += 1;
        pool.last_body = request.to_vec();
        pool.fault.clone()
    };
    match fault {
        None => lock(&pool).answer(&headers, &request),
        Some(Fault::Error(status, code, message)) => error(status, code, message),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Raw(status, body)) => answered(status, body),
    }
}

impl Pool {
    fn answer(&mut self, headers: &HeaderMap, request: &[u8]) -> Response {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if header("x-amz-target") != "AWSCognitoIdentityProviderService.InitiateAuth"
            || header("content-type") != "application/x-amz-json-1.1"
        {
            return error(400, "UnknownOperationException", "");
        }
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if text("/ClientId") != CLIENT {
            return error(400, "ResourceNotFoundException", "User pool client does not exist.");
        }
        if text("/AuthFlow") != "USER_PASSWORD_AUTH" {
            return error(400, "InvalidParameterException", "Flow not enabled for this client");
        }
        let (name, password) = (text("/AuthParameters/USERNAME"), text("/AuthParameters/PASSWORD"));
        if name.chars().count() > 128 {
            let message = "1 validation error detected: Value at 'userName' failed to satisfy constraint: Member must have length less than or equal to 128";
            return error(400, "InvalidParameterException", message);
        }
        let wrong = || error(400, "NotAuthorizedException", "Incorrect username or password.");
        let found = self.users.iter().find(|user| [&user.username, &user.email].contains(&&name.to_owned()));
        match found.map(|user| user.state) {
            None if self.legacy => return error(400, "UserNotFoundException", "User does not exist."),
            Some(UserState::Unconfirmed) => {
                return error(400, "UserNotConfirmedException", "User is not confirmed.");
            }
            Some(UserState::ResetRequired) => {
                return error(400, "PasswordResetRequiredException", "Password reset required for the user");
            }
            _ => {}
        }
        let lockout = self.lockouts.entry(name.to_owned()).or_default();
        if lockout.1.is_some_and(|until| until > Instant::now()) {
            return error(400, "NotAuthorizedException", "Password attempts exceeded");
        }
        let Some(user) = found.filter(|user| user.password == password) else {
            lockout.0 += 1;
            let exponent = lockout.0.checked_sub(FREE_FAILURES);
            lockout.1 = exponent.map(|n| Instant::now() + Duration::from_secs((1 << n.min(9)).min(900)));
            return wrong();
        };
        *lockout = (0, None);
        match user.state {
            UserState::Disabled => error(400, "NotAuthorizedException", "User is disabled."),
            UserState::DeniedByTrigger => {
                error(400, "UserLambdaValidationException", "PreAuthentication failed with error no.")
            }
            UserState::Challenge(name) => {
                let body = json!({ "ChallengeName": name, "Session": "AYABe", "ChallengeParameters": {} });
                answered(200, body.to_string().into_bytes())
            }
            UserState::Confirmed | UserState::Unconfirmed | UserState::ResetRequired => {
                let claims = json!({
                    "sub": user.sub, "cognito:username": user.username, "email": user.email,
                    "email_verified": true, "token_use": "id", "aud": CLIENT,
                });
                let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
                let token = format!("{}.{}.c2ln", part(json!({ "alg": "RS256" })), part(claims));
                let result = json!({
                    "AccessToken": token, "IdToken": token, "RefreshToken": "opaque", "ExpiresIn": 3600,
                    "TokenType": "Bearer",
                });
                let body = json!({ "AuthenticationResult": result, "ChallengeParameters": {} });
                answered(200, body.to_string().into_bytes())
            }
        }
    }
}

fn error(status: u16, code: &str, message: &str) -> Response {
    answered(status, json!({ "__type": code, "message": message }).to_string().into_bytes())
}

fn answered(status: u16, body: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [("content-type", "application/x-amz-json-1.1")], body).into_response()
}
