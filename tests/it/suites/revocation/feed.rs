//! A proxy in front of the feed: it counts the questions, and fails on demand.

use axum::body::Body;
use axum::extract::{Request, State};
use daypass_ambient::SystemClock;
use daypass_core::Clock;
use http::{Response, StatusCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// What the feed does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Good,
    /// Hangs up, on connections that are open already in the middle of the answer.
    Refused,
    /// Takes longer than anybody waits.
    Slow,
    Status500,
    Garbage,
    /// Breaks off.
    Truncated,
}

/// The proxy.
#[derive(Clone)]
pub(crate) struct Feed {
    port: u16,
    /// Set when the stack runs that is asked.
    behind: Arc<Mutex<String>>,
    mode: Arc<Mutex<Mode>>,
    asked: Arc<AtomicUsize>,
    client: reqwest::Client,
}

impl Feed {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let feed = Self {
            port: listener.local_addr().unwrap().port(),
            behind: Arc::default(),
            mode: Arc::new(Mutex::new(Mode::Good)),
            asked: Arc::default(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let app = axum::Router::new().fallback(answer).with_state(feed.clone());
        let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = inner.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(inner, app).await });
        let door = feed.clone();
        tokio::spawn(async move {
            while let Ok((mut outside, _)) = listener.accept().await {
                if *door.mode.lock().unwrap() == Mode::Refused {
                    // Closed at once: no byte comes back.
                    door.asked.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                tokio::spawn(async move {
                    let mut inside = TcpStream::connect(address).await?;
                    tokio::io::copy_bidirectional(&mut outside, &mut inside).await
                });
            }
        });
        feed
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/revocations", self.port)
    }

    /// Hands the questions on to the gateway at this URL.
    pub(crate) fn lead_to(&self, gateway: &str) {
        gateway.clone_into(&mut self.behind.lock().unwrap());
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// How many questions there were since the last look.
    pub(crate) fn take(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

async fn answer(State(feed): State<Feed>, request: Request) -> Response<Body> {
    feed.asked.fetch_add(1, Ordering::SeqCst);
    let broken = || {
        // The server closes the connection in the middle of a body that fails.
        let body = futures_util::stream::iter([Ok("{\"v\":1,"), Err(std::io::Error::other("broken off"))]);
        Body::from_stream(body)
    };
    let mode = *feed.mode.lock().unwrap();
    match mode {
        Mode::Good => {
            let base = feed.behind.lock().unwrap().clone();
            let url = format!("{base}{}", request.uri().path_and_query().unwrap());
            let mut asking = feed.client.get(url);
            if let Some(tag) = request.headers().get("if-none-match") {
                asking = asking.header("if-none-match", tag);
            }
            match asking.send().await {
                Ok(answer) => {
                    let mut response = Response::builder().status(answer.status());
                    for name in ["etag", "daypass-as-of", "cache-control"] {
                        if let Some(value) = answer.headers().get(name) {
                            response = response.header(name, value);
                        }
                    }
                    response.body(Body::from(answer.bytes().await.unwrap_or_default())).unwrap()
                }
                Err(_) => status(StatusCode::BAD_GATEWAY, Body::empty()),
            }
        }
        Mode::Refused => Response::new(broken()),
        Mode::Slow => {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Response::new(Body::empty())
        }
        Mode::Status500 => status(StatusCode::INTERNAL_SERVER_ERROR, Body::from("{}")),
        Mode::Garbage => Response::builder()
            .header("daypass-as-of", SystemClock.now().millis().to_string())
            .body(Body::from("\u{0}<html>\u{fffd}".repeat(1000)))
            .unwrap(),
        Mode::Truncated => {
            let mut response = Response::new(broken());
            response.headers_mut().insert("daypass-as-of", "1".parse().unwrap());
            response
        }
    }
}

fn status(status: StatusCode, body: Body) -> Response<Body> {
    Response::builder().status(status).body(body).unwrap()
}
