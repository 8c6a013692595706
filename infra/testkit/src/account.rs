//! An AWS account with one Daypass stack, as far as `daypass doctor` asks about it, and the issuer of that stack.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Path of the configuration of the authorizer.
pub const AUTHORIZER: &str = "/2015-03-31/functions/daypass-authorizer/configuration";

/// Properties of the account and its stack.
#[derive(Debug, Clone)]
pub struct Health {
    /// Outputs of the stack.
    pub outputs: BTreeMap<String, String>,
    /// Status of the stack.
    pub status: String,
    /// Concurrent executions of the account.
    pub executions: u64,
    /// The issuer in the metadata document; `None`: that of the outputs.
    pub issuer: Option<String>,
    /// Whether the metadata document is a 500.
    pub discovery_fails: bool,
    /// Difference between this machine's clock and that of the feed, in milliseconds.
    pub feed_behind: u64,
    /// Days since the last rotation of the secrets.
    pub rotated_days_ago: u64,
    /// The variables of the authorizer.
    pub authorizer: BTreeMap<String, String>,
    /// State of the authorizer.
    pub authorizer_state: String,
    /// Whether tables have TTL, protection and recovery.
    pub tables_are_safe: bool,
    /// Actions that answer with `AccessDeniedException`.
    pub denied: Vec<String>,
    /// The password of the one user, `alice`.
    pub password: String,
}

/// A running account. It ends with the process.
#[derive(Debug)]
pub struct Account {
    url: String,
    health: Arc<Mutex<Health>>,
    requests: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
struct Server {
    url: String,
    health: Arc<Mutex<Health>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Account {
    /// Starts an account with a healthy stack.
    ///
    /// # Errors
    /// No port is free.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let output = |name: &str, value: String| (name.to_owned(), value);
        let outputs = BTreeMap::from([
            output("Issuer", url.clone()),
            output("ApiUrl", url.clone()),
            output("JwksUrl", format!("{url}/.well-known/jwks.json")),
            output("RevocationsUrl", format!("{url}/revocations")),
            output(
                "AuthorizerFunctionArn",
                "arn:aws:lambda:eu-west-1:123456789012:function:daypass-authorizer".to_owned(),
            ),
            output("UsersTableName", "daypass-users".to_owned()),
            output("SessionsTableName", "daypass-sessions".to_owned()),
            output("AttemptsTableName", "daypass-attempts".to_owned()),
            output("SigningKeysSecretArn", "arn:signing".to_owned()),
            output("RefreshKeysSecretArn", "arn:refresh".to_owned()),
            output("PeppersSecretArn", "arn:peppers".to_owned()),
        ]);
        let health = Arc::new(Mutex::new(Health {
            outputs,
            status: "UPDATE_COMPLETE".to_owned(),
            executions: 1000,
            issuer: None,
            discovery_fails: false,
            feed_behind: 0,
            rotated_days_ago: 3,
            authorizer: BTreeMap::from([
                output("DAYPASS_ISSUER", url.clone()),
                output("DAYPASS_AUDIENCE", "https://api.example.com".to_owned()),
                output("DAYPASS_JWKS_URL", format!("{url}/.well-known/jwks.json")),
                output("DAYPASS_ROUTES", "* /orders needs orders:read; default any-token".to_owned()),
            ]),
            authorizer_state: "Active".to_owned(),
            tables_are_safe: true,
            denied: Vec::new(),
            password: "a day pass for the doctor".to_owned(),
        }));
        let requests = Arc::default();
        let server =
            Server { url: url.clone(), health: Arc::clone(&health), requests: Arc::clone(&requests) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, Router::new().fallback(answer).with_state(server)).await
            })
        });
        Ok(Self { url, health, requests })
    }

    /// URL of all services and of the issuer.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Changes the account.
    pub fn change(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Actions and paths of all requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let health = server.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    let target = text("x-amz-target").rsplit('.').next().unwrap_or_default();
    let action = match uri.path() {
        "/" if !target.is_empty() => target.to_owned(),
        "/" => form(&body, "Action").unwrap_or_default(),
        path => path.to_owned(),
    };
    server.requests.lock().unwrap_or_else(PoisonError::into_inner).push(action.clone());
    // AWS checks the signature. Here its scope has to name the service.
    let service = match action.as_str() {
        "DescribeStacks" => "cloudformation",
        "/2016-08-19/account-settings" | AUTHORIZER => "lambda",
        "DescribeSecret" => "secretsmanager",
        "DescribeTable" | "DescribeTimeToLive" | "DescribeContinuousBackups" => "dynamodb",
        _ => {
            // `/login` takes nothing but JSON.
            let body = match text("content-type") {
                "application/json" => serde_json::from_str(&body).unwrap_or_default(),
                _ => Value::Null,
            };
            return issuer(&server.url, &health, &method, &action, &body);
        }
    };
    let authorization = text("authorization");
    let signed = authorization.starts_with("AWS4-HMAC-SHA256 Credential=")
        && authorization.contains(&format!("/eu-west-1/{service}/aws4_request"));
    if !signed || health.denied.contains(&action) {
        let error = json!({ "__type": "AccessDeniedException", "message": "you may not" });
        return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
    }
    if action == "DescribeStacks" {
        return stack(&health, &form(&body, "StackName").unwrap_or_default());
    }
    let rotated = now() / 1000 - health.rotated_days_ago * 86_400;
    let answer = match action.as_str() {
        "DescribeSecret" => json!({
            "RotationEnabled": true, "LastRotatedDate": rotated, "RotationRules": { "AutomaticallyAfterDays": 30 },
        }),
        AUTHORIZER => json!({
            "State": health.authorizer_state, "Environment": { "Variables": health.authorizer },
        }),
        "DescribeTable" => {
            json!({ "Table": { "TableStatus": "ACTIVE", "DeletionProtectionEnabled": health.tables_are_safe } })
        }
        "DescribeTimeToLive" => {
            let status = if health.tables_are_safe { "ENABLED" } else { "DISABLED" };
            json!({ "TimeToLiveDescription": { "TimeToLiveStatus": status, "AttributeName": "expires_at" } })
        }
        "DescribeContinuousBackups" => {
            let status = if health.tables_are_safe { "ENABLED" } else { "DISABLED" };
            let recovery = json!({ "PointInTimeRecoveryStatus": status });
            json!({ "ContinuousBackupsDescription": { "PointInTimeRecoveryDescription": recovery } })
        }
        _ => json!({ "AccountLimit": { "ConcurrentExecutions": health.executions } }),
    };
    answer.to_string().into_response()
}

fn stack(health: &Health, name: &str) -> Response {
    if name != "daypass" {
        let error = format!(
            "<ErrorResponse><Error><Message>Stack with id {name} does not exist</Message></Error></ErrorResponse>"
        );
        return (StatusCode::BAD_REQUEST, error).into_response();
    }
    let member = |(name, value): (&String, &String)| {
        let value = value.replace('&', "&amp;").replace('<', "&lt;");
        format!("<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>")
    };
    let outputs: String = health.outputs.iter().map(member).collect();
    format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>daypass</StackName>\
         <StackStatus>{}</StackStatus><Outputs>{outputs}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
        health.status
    )
    .into_response()
}

/// The issuer of the stack, with its one user.
fn issuer(url: &str, health: &Health, method: &Method, path: &str, body: &Value) -> Response {
    match (method.as_str(), path) {
        ("GET", "/.well-known/openid-configuration") if health.discovery_fails => {
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        ("GET", "/.well-known/openid-configuration") => {
            json!({ "issuer": health.issuer.as_deref().unwrap_or(url) }).to_string().into_response()
        }
        ("GET", "/.well-known/jwks.json") => json!({ "keys": [{ "kid": "1" }] }).to_string().into_response(),
        ("GET", "/revocations") => {
            let as_of = (now() - health.feed_behind).to_string();
            let feed =
                json!({ "v": 1, "iss": url, "cursor": "1.1", "more": false, "keep": 400, "sessions": "" });
            ([("daypass-as-of", as_of)], feed.to_string()).into_response()
        }
        ("POST", "/login" | "/revoke") if body.is_null() => {
            StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response()
        }
        ("POST", "/login") if body["password"] == health.password => {
            json!({ "access_token": "a", "refresh_token": "r" }).to_string().into_response()
        }
        ("POST", "/login") => {
            (StatusCode::BAD_REQUEST, json!({ "error": "invalid_grant" }).to_string()).into_response()
        }
        ("POST", "/revoke") if body["token"] == "r" => StatusCode::OK.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn form(body: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(body.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "an account has a clock of its own")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
