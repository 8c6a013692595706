//! A proxy in front of the feed. It counts requests, and fails on demand.

use daypass_runtime::SystemClock;
use daypass_testkit::proxy::{Body, Broken, Server, cut, whole};
use daypass_verifier::base::time::Clock;
use http::{Request, Response, StatusCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Behaviour of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Good,
    /// Closes the connection without a response.
    Refused,
    /// Takes longer than the authorizer waits.
    Slow,
    Status500,
    Garbage,
    /// Stops in the middle of the body.
    Truncated,
}

/// The proxy with its present behaviour.
pub(crate) struct Feed {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    /// URL of the gateway, once it is known.
    behind: Mutex<String>,
    mode: Mutex<Mode>,
    asked: AtomicUsize,
    client: reqwest::Client,
}

impl Feed {
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            behind: Mutex::default(),
            mode: Mutex::new(Mode::Good),
            asked: AtomicUsize::default(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        });
        let answering = Arc::clone(&shared);
        let server = Server::start(move |request| {
            let shared = Arc::clone(&answering);
            async move { shared.answer(request).await }
        });
        Self { server: server.await.unwrap(), shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/revocations", self.server.url())
    }

    /// Forwards requests to the gateway at this URL.
    pub(crate) fn lead_to(&self, gateway: &str) {
        gateway.clone_into(&mut self.shared.behind.lock().unwrap());
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// Number of requests since the last call.
    pub(crate) fn take(&self) -> usize {
        self.shared.asked.swap(0, Ordering::SeqCst)
    }
}

impl Shared {
    async fn answer<B>(&self, request: Request<B>) -> Result<Response<Body>, Broken> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mode = *self.mode.lock().unwrap();
        Ok(match mode {
            Mode::Good => self.forward(&request).await,
            Mode::Refused => return Err(Broken::Closed),
            Mode::Slow => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                Response::new(whole(""))
            }
            Mode::Status500 => status(StatusCode::INTERNAL_SERVER_ERROR, whole("{}")),
            Mode::Garbage => Response::builder()
                .header("daypass-as-of", SystemClock.now().millis().to_string())
                .body(whole("\u{0}<html>\u{fffd}".repeat(1000)))
                .unwrap(),
            Mode::Truncated => {
                Response::builder().header("daypass-as-of", "1").body(cut("{\"v\":1,")).unwrap()
            }
        })
    }

    async fn forward<B>(&self, request: &Request<B>) -> Response<Body> {
        let base = self.behind.lock().unwrap().clone();
        let mut forwarded = self.client.get(format!("{base}{}", request.uri().path_and_query().unwrap()));
        if let Some(tag) = request.headers().get("if-none-match") {
            forwarded = forwarded.header("if-none-match", tag);
        }
        let Ok(answer) = forwarded.send().await else { return status(StatusCode::BAD_GATEWAY, whole("")) };
        let mut response = Response::builder().status(answer.status());
        for name in ["etag", "daypass-as-of", "cache-control"] {
            if let Some(value) = answer.headers().get(name) {
                response = response.header(name, value);
            }
        }
        response.body(whole(answer.bytes().await.unwrap_or_default())).unwrap()
    }
}

fn status(status: StatusCode, body: Body) -> Response<Body> {
    Response::builder().status(status).body(body).unwrap()
}
