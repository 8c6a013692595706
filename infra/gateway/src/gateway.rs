//! The server: one request, from its head to its answer.

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
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The id that API Gateway gives every answer of an HTTP API.
const REQUEST_ID: HeaderName = HeaderName::from_static("apigw-requestid");
/// Requests that are under way when the gateway stops have this long to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The limits of HTTP APIs, which cannot be raised there. Tests lower them.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in bytes; 413 above it.
    pub body: usize,
    /// The largest sum of the request line and all header values, in bytes; 431 above it.
    pub head: usize,
    /// How long a function or service may take; 503 after it.
    pub integration: Duration,
    /// How long an authorizer may take; 500 after it.
    pub authorizer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 10 * 1024 * 1024,
            head: 10_240,
            integration: Duration::from_secs(30),
            authorizer: Duration::from_secs(10),
        }
    }
}

/// What [`serve`] serves.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// The routes and their authorizers.
    pub routes: Routes,
    /// Where Lambda's Invoke API listens (`cargo lambda watch`), such as `http://127.0.0.1:9001`.
    pub invoke_base: String,
    /// The limits of API Gateway, unless a test needs others.
    pub limits: Limits,
    /// Files for paths that no route takes. API Gateway has none.
    pub site: Option<Site>,
}

impl Gateway {
    /// A gateway with the limits of the real one.
    pub fn new(routes: Routes, invoke_base: impl Into<String>) -> Self {
        Self { routes, invoke_base: invoke_base.into(), limits: Limits::default(), site: None }
    }
}

/// Serves the gateway on `listener` until `shutdown` completes. Requests under way get one more second.
///
/// Each request is one `tracing` event at level INFO with method, path, status, function and milliseconds; what went
/// wrong behind a 5xx is one at level WARN. No header, query or body is logged, and no request for a file of the site.
///
/// # Errors
/// When the listener has no address or the HTTP client for the functions cannot be built.
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
        // Nobody listens when the server has ended by itself.
        let _ = stopping.send(());
    };
    tokio::select! {
        result = axum::serve(listener, app).with_graceful_shutdown(signal) => result,
        () = farewell(stopped) => Ok(()),
    }
}

/// Ends [`FAREWELL`] after the shutdown has begun; never when it does not.
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
    port: u16,
    site: Option<Site>,
}

/// An answer with what the log says of it.
struct Outcome {
    response: Response<Body>,
    /// The function or service that the route leads to; empty without a route.
    target: String,
    /// What went wrong behind a 5xx.
    problem: Option<String>,
    /// Whether it is a file and not the API's answer.
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

/// The path is the caller's text: as debug text it cannot break out of its line.
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
            // What listens on loopback is not behind the developer's proxy.
            .no_proxy()
            // A redirect is an answer for the caller.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(io::Error::other)?;
        Ok(Self {
            routes: gateway.routes,
            limits: gateway.limits,
            lambda: Lambda::new(client.clone(), &gateway.invoke_base),
            client,
            cache: Cache::default(),
            port,
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
        let request = Incoming::new(parts, body, peer, self.port, stamp);
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
        let Some(name) = found.route.authorizer() else {
            return self.integrate(request, found, None).await;
        };
        // `Routes` takes no route whose authorizer it does not have; should it ever be missing, nobody gets in.
        let Some(authorizer) = self.routes.authorizer(name) else {
            return Outcome::broken(format!("there is no authorizer {name}"));
        };
        match self.authorize(authorizer, request, found).await {
            Verdict::Allow(context) => self.integrate(request, found, Some(&context)).await,
            Verdict::Unauthorized => Outcome::gateway(StatusCode::UNAUTHORIZED, "Unauthorized"),
            Verdict::Forbidden => Outcome::gateway(StatusCode::FORBIDDEN, "Forbidden"),
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
        Err(InvokeError::TimedOut) => {
            let outcome = Outcome::gateway(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
            Outcome { problem: Some("the function did not answer in time".to_owned()), ..outcome }
        }
        Err(InvokeError::Function(_)) => Outcome::broken("the function failed; its log says why".to_owned()),
        Err(InvokeError::Unavailable(problem)) => Outcome::broken(problem),
    }
}
