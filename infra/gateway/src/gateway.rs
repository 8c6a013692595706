//! The server.

use crate::answer::{self, message};
use crate::authorizer::{Cache, Verdict, authorize};
use crate::cors;
use crate::event;
use crate::guard::forward;
use crate::identity::Authorizer;
use crate::lambda::{InvokeError, Lambda};
use crate::request::{Incoming, Stamp, head_size, read_body};
use crate::routes::{Found, Routes, Target};
use crate::site::Site;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Header with the request id of API Gateway.
const REQUEST_ID: HeaderName = HeaderName::from_static("apigw-requestid");
/// Time for running requests after the shutdown begins.
const FAREWELL: Duration = Duration::from_secs(1);

/// Limits of HTTP APIs. AWS does not raise them. Tests lower them.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest body, in bytes; 413 above it.
    pub body: usize,
    /// Largest sum of request line and header values, in bytes; 431 above it.
    pub head: usize,
    /// Time limit of a function or service; 503 after it.
    pub integration: Duration,
    /// Time limit of an authorizer; 500 after it.
    pub authorizer: Duration,
    /// Time after which an invocation without an answer is given up and [`Gateway::stuck`] is set. No limit of API Gateway: its
    /// functions have at most 20 s, and `cargo lambda watch` can hang for good.
    pub invocation: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 10 * 1024 * 1024,
            head: 10_240,
            integration: Duration::from_secs(30),
            authorizer: Duration::from_secs(10),
            invocation: Duration::from_secs(90),
        }
    }
}

/// Configuration of [`serve`].
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Routes and authorizers.
    pub routes: Routes,
    /// URL of Lambda's Invoke API, such as `http://127.0.0.1:9001`.
    pub invoke_base: String,
    /// Limits, by default those of API Gateway.
    pub limits: Limits,
    /// Files for paths without a route. API Gateway has none.
    pub site: Option<Site>,
    /// Set when the Invoke API leaves an invocation without an answer for [`Limits::invocation`].
    pub stuck: Arc<AtomicBool>,
    /// Public port, if a TLS server is in front of this one.
    pub https: Option<u16>,
}

impl Gateway {
    /// A gateway with the limits of HTTP APIs.
    pub fn new(routes: Routes, invoke_base: impl Into<String>) -> Self {
        let (limits, stuck) = (Limits::default(), Arc::default());
        Self { routes, invoke_base: invoke_base.into(), limits, site: None, stuck, https: None }
    }
}

/// Serves the gateway on `listener` until `shutdown` completes. Running requests get one more second.
///
/// Each request is one `tracing` event at level INFO with method, path, status, function and milliseconds. The cause of
/// a 5xx is an event at level WARN. Headers, queries, bodies and requests for files are not logged.
///
/// # Errors
/// The listener has no address, or the HTTP client cannot be built.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let server = Arc::new(Server::new(gateway, listener.local_addr()?.port())?);
    let app =
        Router::new().fallback(answer).with_state(server).into_make_service_with_connect_info::<SocketAddr>();
    let (stopping, stopped) = oneshot::channel();
    let signal = async move {
        shutdown.await;
        // The receiver is gone if the server has ended by itself.
        let _ = stopping.send(());
    };
    tokio::select! {
        result = axum::serve(listener, app).with_graceful_shutdown(signal) => result,
        () = farewell(stopped) => Ok(()),
    }
}

/// Completes [`FAREWELL`] after the shutdown begins. Otherwise it is pending forever.
async fn farewell(stopped: oneshot::Receiver<()>) {
    match stopped.await {
        Ok(()) => tokio::time::sleep(FAREWELL).await,
        Err(_) => pending().await,
    }
}

struct Server {
    routes: Routes,
    limits: Limits,
    lambda: Lambda,
    client: reqwest::Client,
    cache: Cache,
    scheme: &'static str,
    port: u16,
    site: Option<Site>,
}

/// A response with its log fields.
struct Outcome {
    response: Response<Body>,
    /// Function or service of the route; empty without a route.
    target: String,
    /// Cause of a 5xx.
    problem: Option<String>,
    /// Whether the response is a file of the site.
    file: bool,
}

impl Outcome {
    fn gateway(status: StatusCode, text: &str) -> Self {
        Self { response: message(status, text), target: String::new(), problem: None, file: false }
    }

    fn broken(problem: String) -> Self {
        let outcome = Self::gateway(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        Self { problem: Some(problem), ..outcome }
    }

    fn unavailable(problem: &str) -> Self {
        let outcome = Self::gateway(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        Self { problem: Some(problem.to_owned()), ..outcome }
    }

    fn of(response: Response<Body>) -> Self {
        Self { response, target: String::new(), problem: None, file: false }
    }
}

async fn answer(
    State(server): State<Arc<Server>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request<Body>,
) -> Response<Body> {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let stamp = Stamp::now();
    let id = HeaderValue::try_from(&stamp.id);
    let mut outcome = server.handle(request, peer, stamp).await;
    if outcome.file {
        return outcome.response;
    }
    log(&outcome, &method, &path, started.elapsed());
    if let Ok(id) = id {
        outcome.response.headers_mut().insert(REQUEST_ID, id);
    }
    outcome.response
}

/// Debug format escapes line breaks in the caller's path.
fn log(outcome: &Outcome, method: &Method, path: &str, took: Duration) {
    let (status, target, ms) = (outcome.response.status().as_u16(), &outcome.target, took.as_millis());
    if let Some(problem) = &outcome.problem {
        tracing::warn!(%method, ?path, function = %target, "{problem}");
    }
    tracing::info!(%method, ?path, status, function = %target, ms, "request");
}

impl Server {
    fn new(gateway: Gateway, port: u16) -> io::Result<Self> {
        let client = reqwest::Client::builder()
            // Loopback servers are not behind the developer's proxy.
            .no_proxy()
            // The caller receives redirects.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(io::Error::other)?;
        Ok(Self {
            routes: gateway.routes,
            limits: gateway.limits,
            lambda: Lambda::new(
                client.clone(),
                &gateway.invoke_base,
                gateway.stuck,
                gateway.limits.invocation,
            ),
            client,
            cache: Cache::default(),
            scheme: if gateway.https.is_some() { "https" } else { "http" },
            port: gateway.https.unwrap_or(port),
            site: gateway.site,
        })
    }

    async fn handle(&self, request: Request<Body>, peer: SocketAddr, stamp: Stamp) -> Outcome {
        let (parts, body) = request.into_parts();
        if head_size(&parts) > self.limits.head {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Outcome::gateway(status, "Request Header Fields Too Large");
        }
        let body = match read_body(body, self.limits.body).await {
            Ok(Some(body)) => body,
            Ok(None) => return Outcome::gateway(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            Err(_) => return Outcome::gateway(StatusCode::BAD_REQUEST, "Bad Request"),
        };
        let request = Incoming::new(parts, body, peer, (self.scheme, self.port), stamp);
        if let Some(response) = cors::preflight(&self.routes, &request) {
            return Outcome::of(response);
        }
        let Some(found) = self.routes.find(&request.method, &request.path) else {
            return self.without_route(&request).await;
        };
        let mut outcome = self.routed(&request, &found).await;
        cors::share(found.route, &request, &mut outcome.response);
        let target = match found.route.target() {
            Target::Function(function) => function.clone(),
            Target::Service(guard) => guard.service().to_owned(),
        };
        Outcome { target, ..outcome }
    }

    async fn without_route(&self, request: &Incoming) -> Outcome {
        let file = match &self.site {
            Some(site) => site.answer(&request.method, &request.encoded_path).await,
            None => None,
        };
        match file {
            Some(response) => Outcome { file: true, ..Outcome::of(response) },
            None => Outcome::gateway(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    async fn routed(&self, request: &Incoming, found: &Found<'_>) -> Outcome {
        if found.route.needs_iam() {
            return match event::iam(request) {
                Some(identity) => self.integrate(request, found, Some(&identity)).await,
                None => Outcome::gateway(StatusCode::FORBIDDEN, "Forbidden"),
            };
        }
        let Some(name) = found.route.authorizer() else {
            return self.integrate(request, found, None).await;
        };
        // `Routes` rejects a route without its authorizer. If it is missing nevertheless, the request fails.
        let Some(authorizer) = self.routes.authorizer(name) else {
            return Outcome::broken(format!("there is no authorizer {name}"));
        };
        match self.authorize(authorizer, request, found).await {
            Verdict::Allow(context) => self.integrate(request, found, Some(&context)).await,
            Verdict::Unauthorized => Outcome::gateway(StatusCode::UNAUTHORIZED, "Unauthorized"),
            Verdict::Forbidden => Outcome::gateway(StatusCode::FORBIDDEN, "Forbidden"),
            Verdict::Busy => Outcome::unavailable("too many requests wait for the authorizer"),
            Verdict::Broken(problem) => Outcome::broken(problem),
        }
    }

    async fn authorize(&self, authorizer: &Authorizer, request: &Incoming, found: &Found<'_>) -> Verdict {
        authorize(authorizer, request, found, &self.lambda, &self.cache, self.limits.authorizer).await
    }

    async fn integrate(&self, request: &Incoming, found: &Found<'_>, context: Option<&Value>) -> Outcome {
        let limit = self.limits.integration;
        match found.route.target() {
            Target::Function(function) => {
                let event = event::integration(request, found, context);
                invoked(self.lambda.invoke(function, &event, limit).await)
            }
            Target::Service(guard) => {
                let context = context.unwrap_or(&Value::Null);
                Outcome::of(forward(guard, request, context, &self.client, limit).await)
            }
        }
    }
}

fn invoked(result: Result<axum::body::Bytes, InvokeError>) -> Outcome {
    match result {
        Ok(answer) => answer::response(&answer).map_or_else(Outcome::broken, Outcome::of),
        Err(InvokeError::TimedOut) => Outcome::unavailable("the function did not answer in time"),
        Err(InvokeError::Busy) => Outcome::unavailable("too many requests wait for the function"),
        Err(InvokeError::Function(_)) => {
            Outcome::broken("the function failed; its log shows the cause".to_owned())
        }
        Err(InvokeError::Unavailable(problem)) => Outcome::broken(problem),
    }
}
