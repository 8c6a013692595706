//! The stage under test, and requests to it.

use data_encoding::BASE64;
use daypass_testkit::Answer;
use futures_util::stream::{self, StreamExt};
use http::request::Builder;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::process::Command;
use std::time::{Duration, Instant};

/// A request body, empty if there is none.
type Body = Full<VecDeque<u8>>;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
pub(crate) const JSON: &str = "application/json";

/// Clock difference in seconds that the authorizer permits.
pub(crate) const LEEWAY_SECONDS: u64 = 30;

/// A variable that describes the stage under test.
pub(crate) fn variable(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "where the stage under test is")]
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `cargo verify --only rehearsal`, which deploys a stage")
    })
}

/// Runs a command, whose arguments are lines.
pub(crate) async fn run(command: &str) {
    let mut lines = command.lines().map(str::to_owned);
    let mut command = Command::new(lines.next().unwrap());
    // Python writes no compiled modules beside the sources.
    command.args(lines).env("PYTHONDONTWRITEBYTECODE", "1");
    let done = tokio::task::spawn_blocking(move || command.status());
    assert!(done.await.unwrap().unwrap().success(), "the command failed");
}

/// The stage under test.
pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) username: String,
    password: String,
    pub(crate) apis: Vec<Api>,
    /// Whether the stage is MiniStack.
    pub(crate) emulated: bool,
    // A low-level HTTP client, which sends a path unchanged.
    http: Client<HttpsConnector<HttpConnector>, Body>,
}

/// A guarded API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) kind: Kind,
    /// Time for which API Gateway caches a response of the authorizer, in seconds.
    pub(crate) cache: u64,
    pub(crate) url: String,
}

/// Kind of an API and its authorizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// REST API, authorizer type `TOKEN`.
    RestToken,
    /// REST API, authorizer type `REQUEST`.
    RestRequest,
    /// HTTP API, payload 2.0, simple responses.
    HttpSimple,
    /// HTTP API, payload 2.0, policies.
    HttpPolicy,
    /// HTTP API, API Gateway's own JWT authorizer.
    HttpJwt,
    /// WebSocket API, authorizer on `$connect`.
    WebSocket,
}

impl Kind {
    fn named(name: &str) -> Self {
        match name {
            "rest-token" => Self::RestToken,
            "rest-request" => Self::RestRequest,
            "http-simple" => Self::HttpSimple,
            "http-policy" => Self::HttpPolicy,
            "http-jwt" => Self::HttpJwt,
            "websocket" => Self::WebSocket,
            _ => panic!("DAYPASS_APIS: {name} is no kind of API"),
        }
    }

    /// Whether the Daypass authorizer decides each request. It decides a WebSocket API only at its handshake.
    pub(crate) fn is_guarded(self) -> bool {
        !matches!(self, Self::HttpJwt | Self::WebSocket)
    }

    /// Status for an invalid token. On an HTTP API, a Lambda authorizer cannot answer 401.
    pub(crate) fn bad_token(self) -> u16 {
        match self {
            Self::RestToken | Self::RestRequest | Self::HttpJwt | Self::WebSocket => 401,
            Self::HttpSimple | Self::HttpPolicy => 403,
        }
    }
}

impl Api {
    pub(crate) fn request(&self, method: Method, path: &str) -> Builder {
        Request::builder().method(method).uri(format!("{}{path}", self.url))
    }
}

impl std::fmt::Display for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, cache {} s", self.kind, self.cache)
    }
}

/// Tokens of a login or a refresh.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) session: String,
    /// Lifetime of the access token in seconds, from `issued`.
    pub(crate) expires_in: u64,
    /// Time at which the tokens arrived.
    pub(crate) issued: Instant,
}

impl Tokens {
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.access)
    }
}

impl Stage {
    pub(crate) fn find() -> Self {
        let apis = variable("DAYPASS_APIS");
        let apis: Vec<Api> = apis.lines().filter(|line| !line.trim().is_empty()).map(api).collect();
        assert!(apis.iter().any(|api| api.kind.is_guarded()), "DAYPASS_APIS names no guarded API");
        Self {
            url: variable("DAYPASS_URL").trim_end_matches('/').to_owned(),
            username: variable("DAYPASS_USERNAME"),
            password: variable("DAYPASS_PASSWORD"),
            apis,
            emulated: std::env::var_os("DAYPASS_EMULATED").is_some_and(|value| value == "true"),
            http: client(),
        }
    }

    /// The APIs with the Daypass authorizer in front.
    pub(crate) fn guarded(&self) -> impl Iterator<Item = &Api> {
        self.apis.iter().filter(|api| api.kind.is_guarded())
    }

    /// Checks all of them, some in parallel, so that cached responses are used among other requests.
    pub(crate) async fn each_guarded(&self, check: impl AsyncFn(&Api)) {
        stream::iter(self.guarded()).for_each_concurrent(4, |api| check(api)).await;
    }

    /// Sends a request without a body.
    pub(crate) async fn send(&self, request: Builder) -> Answer {
        self.send_body(request, []).await
    }

    pub(crate) async fn send_body(&self, request: Builder, body: impl Into<Vec<u8>>) -> Answer {
        let request = request.body(Body::new(VecDeque::from(body.into()))).unwrap();
        let (head, body) = self.http.request(request).await.unwrap().into_parts();
        Answer::from(http::Response::from_parts(head, body.collect().await.unwrap().to_bytes()))
    }

    /// A request to an endpoint of Daypass.
    pub(crate) fn to(&self, method: Method, path: &str) -> Builder {
        Request::builder().method(method).uri(format!("{}{path}", self.url))
    }

    /// Sends a `POST` request to an endpoint of Daypass. Retries while it is busy, as a client should.
    pub(crate) async fn post(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.call(Method::POST, path, content_type, body).await
    }

    /// As [`Stage::post`], with another method.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let body = body.into();
        for _ in 0..10 {
            let request = self.to(method.clone(), path).header("content-type", content_type);
            let answer = self.send_body(request, body.clone()).await;
            let busy = answer.status == 503;
            // If the first response to a login's transaction is late, the SDK repeats it. If the session was refreshed in
            // between, MiniStack compares the repeat with the changed item and rejects it as another transaction.
            let mistaken = self.emulated && path == "/login" && answer.status == 500;
            if !busy && !mistaken {
                return answer;
            }
            tokio::time::sleep(Duration::from_secs(
                answer.header("retry-after").and_then(|seconds| seconds.parse().ok()).unwrap_or(1),
            ))
            .await;
        }
        panic!("{path} is busy all the time");
    }

    /// Logs the user in, with the whole scope or a part of it.
    pub(crate) async fn login(&self, scope: Option<&str>) -> Tokens {
        self.tokens(self.post("/login", JSON, self.credentials(scope))).await
    }

    /// The body of a login.
    pub(crate) fn credentials(&self, scope: Option<&str>) -> String {
        let mut body = json!({ "username": self.username, "password": self.password });
        if let Some(scope) = scope {
            body["scope"] = scope.into();
        }
        body.to_string()
    }

    /// Logs in another user with the same password.
    pub(crate) async fn login_as(&self, username: &str) -> Tokens {
        let body = json!({ "username": username, "password": self.password });
        self.tokens(self.post("/login", JSON, body.to_string())).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.post("/refresh", FORM, format!("grant_type=refresh_token&refresh_token={token}")).await
    }

    pub(crate) async fn revoke(&self, token: &str) -> Answer {
        self.post("/revoke", FORM, format!("token={token}")).await
    }

    /// The response to the request of a machine client for a token.
    pub(crate) async fn client_grant(&self) -> Answer {
        self.as_client("DAYPASS_CLIENT", "/token", "grant_type=client_credentials").await
    }

    /// An access token of the machine client, as soon as the functions know the client.
    pub(crate) async fn client_token(&self) -> String {
        let started = Instant::now();
        loop {
            let answer = self.client_grant().await;
            if answer.status == 200 {
                return answer.text("access_token");
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{answer:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// What the stage says about a token.
    pub(crate) async fn introspect(&self, token: &str) -> Value {
        let answer =
            self.as_client("DAYPASS_INTROSPECTING_CLIENT", "/introspect", &format!("token={token}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Sends a request as the machine client of a variable (`client_secret_basic`).
    async fn as_client(&self, client: &str, path: &str, body: &str) -> Answer {
        let credentials = BASE64.encode(variable(client).as_bytes());
        let request = self.to(Method::POST, path).header("content-type", FORM);
        self.send_body(request.header("authorization", format!("Basic {credentials}")), body).await
    }

    /// The tokens in a response.
    pub(crate) async fn tokens(&self, answer: impl Future<Output = Answer>) -> Tokens {
        let answer = answer.await;
        let issued = Instant::now();
        assert_eq!(answer.status, 200, "{answer:?}");
        Tokens {
            access: answer.text("access_token"),
            refresh: answer.text("refresh_token"),
            session: answer.text("session_id"),
            expires_in: answer.json()["expires_in"].as_u64().unwrap(),
            issued,
        }
    }

    /// Calls a guarded API, with an `Authorization` header or without.
    pub(crate) async fn ask(
        &self,
        api: &Api,
        method: Method,
        path: &str,
        authorization: Option<&str>,
    ) -> Answer {
        let request = api.request(method, path);
        self.send(match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        })
        .await
    }
}

fn client() -> Client<HttpsConnector<HttpConnector>, Body> {
    let connector = HttpsConnectorBuilder::new().with_native_roots().unwrap().https_or_http().enable_http1();
    Client::builder(TokioExecutor::new()).build(connector.build())
}

/// Parses a line of `DAYPASS_APIS`.
fn api(line: &str) -> Api {
    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        [kind, cache, url] => Api {
            kind: Kind::named(kind),
            cache: cache.parse().unwrap(),
            url: url.trim_end_matches('/').to_owned(),
        },
        _ => panic!("DAYPASS_APIS: `{line}` is not KIND SECONDS URL"),
    }
}
