//! A proxy between an AWS SDK and DynamoDB. It records and breaks requests, orders the requests of several clients, and
//! seeds bugs.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use crate::hold::Hold;
use crate::patience::Patience;
use crate::proxy::{Body, Broken, Server, cut, whole};
use futures_util::future::BoxFuture;
use hyper::body::Bytes;
use hyper::{HeaderMap, Method, Request, Response};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One request and its response.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Operation of `x-amz-target`, such as `UpdateItem`.
    pub operation: String,
    /// Request as the client sent it.
    pub request: Value,
    /// Number of the arrival. Arrivals and responses are numbered together, in order.
    pub arrived: u64,
    /// Time of the arrival.
    pub started: Instant,
    /// Number of the response; `None` if it was not sent or the client did not wait.
    pub answered: Option<u64>,
    /// Time of the response; `None` if it was not sent or the client did not wait.
    pub finished: Option<Instant>,
    /// HTTP status and body, even if the client did not receive them.
    pub answer: Option<(u16, Value)>,
}

impl Exchange {
    /// The answer's body; `Null` without one.
    #[must_use]
    pub fn response(&self) -> &Value {
        self.answer.as_ref().map_or(&Value::Null, |(_, body)| body)
    }
}

/// An arrived request.
#[derive(Debug)]
pub struct Call<'a> {
    /// Operation, such as `UpdateItem`.
    pub operation: &'a str,
    /// Body of the request.
    pub request: &'a Value,
}

/// Treatment of a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// Forward the request unchanged.
    Pass,
    /// Respond with this status and body. DynamoDB does not receive it.
    Status(u16, Value),
    /// Wait this long, then forward it if the client still waits.
    Hang(Duration),
    /// Forward it, and delay the response: the write landed, and the response is late or out of order.
    LateAnswer(Duration),
    /// Wait for the test, then forward it even if the client has gone: a request that outlives its client's patience
    /// and lands.
    Held(Hold),
    /// Forward it, and hold the response until the test releases it.
    HeldAnswer(Hold),
    /// Forward it, and close the connection instead of a response: the write landed unnoticed.
    DropAnswer,
    /// Close the connection at once. DynamoDB does not receive it.
    DropRequest,
    /// Forward it, and reset the connection (RST) instead of a response.
    ResetAnswer,
    /// Reset the connection (RST) at once. DynamoDB does not receive it.
    ResetRequest,
    /// Forward it, and break the connection within the response's body.
    CutAnswer,
    /// Forward it, and corrupt the response's body: the write landed, and its result is unreadable.
    Garbled(fn(&[u8]) -> Vec<u8>),
}

impl Action {
    /// DynamoDB's error response with this code.
    #[must_use]
    pub fn refuse(status: u16, code: &str) -> Self {
        Self::Status(
            status,
            json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "no" }),
        )
    }
}

type Hook = Arc<dyn Fn(&Call<'_>) -> Action + Send + Sync>;

/// Permit of a [`Gate`]. It is dropped when DynamoDB has answered the request.
pub type Turn = Box<dyn std::any::Any + Send>;
type Gate = Arc<dyn Fn() -> BoxFuture<'static, Turn> + Send + Sync>;

/// Changes requests and responses: a bug of the store, seeded on the wire.
pub trait Tamper: Send + Sync {
    /// Changes a request before DynamoDB receives it, or answers it instead.
    fn request(&self, operation: &str, request: &mut Value) -> Option<(u16, Value)> {
        let _ = (operation, request);
        None
    }

    /// Changes DynamoDB's response to `request` before the client receives it. The returned operation and request are
    /// sent to DynamoDB in addition.
    fn answer(
        &self,
        operation: &str,
        request: &Value,
        answer: &mut (u16, Value),
    ) -> Option<(&'static str, Value)> {
        let _ = (operation, request, answer);
        None
    }
}

/// A running proxy. Drop stops it.
pub struct Recorder {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    http: reqwest::Client,
    hook: Mutex<Hook>,
    gate: Mutex<Option<Gate>>,
    tamper: Mutex<Option<Arc<dyn Tamper>>>,
    exchanges: Mutex<Vec<Exchange>>,
    /// Arrivals and responses so far.
    sequence: AtomicU64,
    patience: Patience,
    ask_capacity: AtomicBool,
}

impl Recorder {
    /// Starts a proxy on a free loopback port in front of the DynamoDB at `upstream`.
    pub async fn start(upstream: &str) -> Self {
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            hook: Mutex::new(Arc::new(|_| Action::Pass)),
            gate: Mutex::default(),
            tamper: Mutex::default(),
            exchanges: Mutex::default(),
            sequence: AtomicU64::new(0),
            patience: Patience::start(),
            ask_capacity: AtomicBool::new(false),
        });
        let answering = Arc::clone(&shared);
        let server = Server::start(move |request| Box::pin(Arc::clone(&answering).answer(request)));
        Self { server: server.await.unwrap(), shared }
    }

    /// Endpoint URL for the SDK.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Clock of the client's timeouts. It runs while a request is held.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.shared.patience.clone()
    }

    /// Sets the treatment of each request.
    pub fn set_hook(&self, hook: impl Fn(&Call<'_>) -> Action + Send + Sync + 'static) {
        *self.shared.hook.lock().unwrap() = Arc::new(hook);
    }

    /// Treats every request alike.
    pub fn always(&self, action: Action) {
        self.set_hook(move |_| action.clone());
    }

    /// Treats the next `times` requests, and forwards those after them.
    pub fn next(&self, times: usize, action: Action) {
        let seen = AtomicUsize::new(0);
        self.set_hook(move |_| {
            if seen.fetch_add(1, Ordering::SeqCst) < times { action.clone() } else { Action::Pass }
        });
    }

    /// Makes every request wait for the gate before it is forwarded. The permit is dropped after DynamoDB's response,
    /// so a test controls the order of the requests of several clients.
    pub fn set_gate(&self, gate: impl Fn() -> BoxFuture<'static, Turn> + Send + Sync + 'static) {
        *self.shared.gate.lock().unwrap() = Some(Arc::new(gate));
    }

    /// Removes the gate.
    pub fn open_gate(&self) {
        *self.shared.gate.lock().unwrap() = None;
    }

    /// Seeds a bug.
    pub fn set_tamper(&self, tamper: impl Tamper + 'static) {
        *self.shared.tamper.lock().unwrap() = Some(Arc::new(tamper));
    }

    /// Removes the bug.
    pub fn mend(&self) {
        *self.shared.tamper.lock().unwrap() = None;
    }

    /// Whether to request the consumed capacity of each request (`ConsumedCapacity` in the responses).
    pub fn ask_capacity(&self, ask: bool) {
        self.shared.ask_capacity.store(ask, Ordering::SeqCst);
    }

    /// Records since the last call, in the order of arrival.
    #[must_use]
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.shared.exchanges.lock().unwrap())
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Bytes>) -> Result<Response<Body>, Broken> {
        let (head, body) = request.into_parts();
        let operation = operation(&head.headers);
        if head.method == Method::GET {
            // No operation: DynamoDB answers `GET /`, with which a function opens its connection, with its state.
            return Ok(Response::new(whole("healthy")));
        }
        let request: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let hook = Arc::clone(&self.hook.lock().unwrap());
        let action = hook(&Call { operation: &operation, request: &request });
        let index = self.record(Exchange {
            operation: operation.clone(),
            request: request.clone(),
            arrived: 0,
            answered: None,
            started: Instant::now(),
            finished: None,
            answer: None,
        });
        let send = {
            let (shared, headers) = (Arc::clone(&self), head.headers);
            let (operation, request) = (operation.clone(), request.clone());
            async move { shared.apply(&operation, &headers, request).await }
        };
        let spoil = match action {
            Action::Garbled(spoil) => Some(spoil),
            _ => None,
        };
        let is_cut = matches!(action, Action::CutAnswer);
        let (status, body) = match action {
            Action::Pass => send.await,
            Action::CutAnswer | Action::Garbled(_) => tokio::spawn(send).await.map_err(|_| Broken::Closed)?,
            Action::Status(status, body) => {
                let mut answer = (status, body);
                let tamper = self.tamper.lock().unwrap().clone();
                // Additional requests have no meaning for a request that DynamoDB did not receive.
                let _ = tamper.and_then(|tamper| tamper.answer(&operation, &request, &mut answer));
                answer
            }
            Action::Hang(duration) => {
                let _held = self.patience.hold();
                self.patience.pass(duration).await;
                send.await
            }
            Action::LateAnswer(duration) => {
                let _held = self.patience.hold();
                let answer = tokio::spawn(send).await.map_err(|_| Broken::Closed)?;
                self.patience.pass(duration).await;
                answer
            }
            Action::Held(hold) => {
                let _held = self.patience.hold();
                hold.note_arrival();
                // In a separate task, because hyper drops this one when the client goes away.
                tokio::spawn(async move {
                    hold.released().await;
                    let answer = send.await;
                    hold.note_landing();
                    answer
                })
                .await
                .map_err(|_| Broken::Closed)?
            }
            Action::HeldAnswer(hold) => {
                let _held = self.patience.hold();
                hold.note_arrival();
                let landing = hold.clone();
                let apply = async move {
                    let answer = send.await;
                    landing.note_landing();
                    answer
                };
                let answer = tokio::spawn(apply).await.map_err(|_| Broken::Closed)?;
                hold.released().await;
                answer
            }
            Action::DropAnswer | Action::ResetAnswer => {
                let answer = tokio::spawn(send).await.map_err(|_| Broken::Closed)?;
                self.complete(index, None, answer);
                return Err(broken(&action));
            }
            Action::DropRequest | Action::ResetRequest => return Err(broken(&action)),
        };
        let bytes = serde_json::to_vec(&body).unwrap();
        let bytes = match spoil {
            Some(spoil) => spoil(&bytes),
            None => bytes,
        };
        self.complete(index, Some(Instant::now()), (status, body));
        let response = Response::builder()
            .status(status)
            .header("content-type", "application/x-amz-json-1.0")
            .header("content-length", bytes.len());
        let body = if is_cut { cut(bytes[..bytes.len() / 2].to_vec()) } else { whole(bytes) };
        Ok(response.body(body).unwrap())
    }

    /// Forwards a request at its turn, with the seeded bug in both directions.
    async fn apply(&self, operation: &str, headers: &HeaderMap, mut request: Value) -> (u16, Value) {
        let gate = self.gate.lock().unwrap().clone();
        let _turn = match gate {
            Some(gate) => Some(gate().await),
            None => None,
        };
        let tamper = self.tamper.lock().unwrap().clone();
        let Some(tamper) = tamper else { return self.forward(headers, request).await };
        if let Some(answer) = tamper.request(operation, &mut request) {
            return answer;
        }
        let mut answer = self.forward(headers, request.clone()).await;
        if let Some((operation, besides)) = tamper.answer(operation, &request, &mut answer) {
            let mut headers = headers.clone();
            let target = format!("DynamoDB_20120810.{operation}");
            headers.insert("x-amz-target", target.parse().unwrap());
            self.forward(&headers, besides).await;
        }
        answer
    }

    fn record(&self, mut exchange: Exchange) -> (usize, Instant) {
        let mut exchanges = self.exchanges.lock().unwrap();
        exchange.arrived = self.sequence.fetch_add(1, Ordering::SeqCst);
        let started = exchange.started;
        exchanges.push(exchange);
        (exchanges.len() - 1, started)
    }

    fn complete(&self, (index, started): (usize, Instant), finished: Option<Instant>, answer: (u16, Value)) {
        // Missing if the records were taken meanwhile.
        let mut exchanges = self.exchanges.lock().unwrap();
        if let Some(exchange) = exchanges.get_mut(index).filter(|exchange| exchange.started == started) {
            exchange.answered = finished.map(|_| self.sequence.fetch_add(1, Ordering::SeqCst));
            exchange.finished = finished;
            exchange.answer = Some(answer);
        }
    }

    async fn forward(&self, headers: &HeaderMap, mut request: Value) -> (u16, Value) {
        if self.ask_capacity.load(Ordering::SeqCst) {
            request["ReturnConsumedCapacity"] = json!("TOTAL");
        }
        let mut forwarded = self.http.post(&self.upstream).body(serde_json::to_vec(&request).unwrap());
        for (name, value) in headers {
            if !matches!(name.as_str(), "host" | "content-length" | "connection" | "accept-encoding") {
                forwarded = forwarded.header(name, value);
            }
        }
        match forwarded.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                (status, response.json().await.unwrap_or(Value::Null))
            }
            Err(error) => {
                (502, json!({ "message": format!("the recorder did not reach DynamoDB: {error}") }))
            }
        }
    }
}

/// End of the connection for an action.
fn broken(action: &Action) -> Broken {
    match action {
        Action::ResetAnswer | Action::ResetRequest => Broken::Reset,
        _ => Broken::Closed,
    }
}

fn operation(headers: &HeaderMap) -> String {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default().to_owned()
}
