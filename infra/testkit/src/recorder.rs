//! A proxy between an AWS SDK and DynamoDB: it records what goes over the wire, breaks it on demand, puts the requests of
//! several clients in order, and seeds bugs.

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
use hyper::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One request and what became of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The operation of `x-amz-target`, such as `UpdateItem`.
    pub operation: String,
    /// The request as the client sent it.
    pub request: Value,
    /// The number of the arrival: arrivals and answers are counted together, in their order.
    pub arrived: u64,
    /// When the request had arrived.
    pub started: Instant,
    /// The number of the answer; `None` while it was not sent, or when the client did not wait for it.
    pub answered: Option<u64>,
    /// When the answer was sent; `None` while it was not, or when the client did not wait for it.
    pub finished: Option<Instant>,
    /// The HTTP status and the answer, also where they were kept from the client.
    pub answer: Option<(u16, Value)>,
}

impl Exchange {
    /// The answer's body; `Null` without one.
    #[must_use]
    pub fn response(&self) -> &Value {
        self.answer.as_ref().map_or(&Value::Null, |(_, body)| body)
    }
}

/// A request that has arrived.
#[derive(Debug)]
pub struct Call<'a> {
    /// The operation, such as `UpdateItem`.
    pub operation: &'a str,
    /// The request.
    pub request: &'a Value,
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// Hand it on.
    Pass,
    /// Answer with this status and body instead; DynamoDB never sees it.
    Status(u16, Value),
    /// Wait this long, then hand it on, if the client is still there.
    Hang(Duration),
    /// Hand it on, and keep the answer this long: the write has landed, and the answer comes late or out of order.
    LateAnswer(Duration),
    /// Wait until the test releases it, then hand it on, whether the client is still there or not: a request that was under
    /// way for longer than its client waited, and lands all the same.
    Held(Hold),
    /// Hand it on, and keep the answer until the test releases it.
    HeldAnswer(Hold),
    /// Hand it on, and close the connection in place of the answer: the write has landed and nobody knows.
    DropAnswer,
    /// Close the connection at once; DynamoDB never sees it.
    DropRequest,
    /// Hand it on, and reset the connection (RST) in place of the answer.
    ResetAnswer,
    /// Reset the connection (RST) at once; DynamoDB never sees it.
    ResetRequest,
    /// Hand it on, and break off in the middle of the answer's body.
    CutAnswer,
    /// Hand it on, and spoil the answer's body: the write has landed, and nobody can read what came of it.
    Garbled(fn(&[u8]) -> Vec<u8>),
}

impl Action {
    /// DynamoDB's refusal of a request with this error code.
    #[must_use]
    pub fn refuse(status: u16, code: &str) -> Self {
        Self::Status(
            status,
            json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "no" }),
        )
    }
}

type Hook = Arc<dyn Fn(&Call<'_>) -> Action + Send + Sync>;

/// What a [`Gate`] gives out: dropped when DynamoDB has answered the request that it let in.
pub type Turn = Box<dyn std::any::Any + Send>;
type Gate = Arc<dyn Fn() -> BoxFuture<'static, Turn> + Send + Sync>;

/// Changes requests and answers on their way: a bug in the store, seeded on the wire.
pub trait Tamper: Send + Sync {
    /// Changes a request before DynamoDB sees it. With an answer in return, DynamoDB never does.
    fn request(&self, operation: &str, request: &mut Value) -> Option<(u16, Value)> {
        let _ = (operation, request);
        None
    }

    /// Changes DynamoDB's answer to `request` before the client sees it. What it returns, an operation and a request, is
    /// sent to DynamoDB besides.
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

/// A running proxy. It stops when this is dropped.
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
    /// Arrivals and answers so far.
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
            patience: Patience::default(),
            ask_capacity: AtomicBool::new(false),
        });
        let answering = Arc::clone(&shared);
        let server = Server::start(move |request| Box::pin(Arc::clone(&answering).answer(request)));
        Self { server: server.await.unwrap(), shared }
    }

    /// The endpoint URL for the SDK.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The clock for the timeouts of this recorder's client: it runs while a request is held back.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.shared.patience.clone()
    }

    /// Decides about every request from now on.
    pub fn set_hook(&self, hook: impl Fn(&Call<'_>) -> Action + Send + Sync + 'static) {
        *self.shared.hook.lock().unwrap() = Arc::new(hook);
    }

    /// Treats every request alike from now on.
    pub fn always(&self, action: Action) {
        self.set_hook(move |_| action.clone());
    }

    /// Treats the next `times` requests so, and hands on those after.
    pub fn next(&self, times: usize, action: Action) {
        let seen = AtomicUsize::new(0);
        self.set_hook(move |_| {
            if seen.fetch_add(1, Ordering::SeqCst) < times { action.clone() } else { Action::Pass }
        });
    }

    /// From now on every request waits for the gate before it is handed on, and what the gate gave is dropped once
    /// DynamoDB has answered: so a test decides in which order the requests of several clients are applied.
    pub fn set_gate(&self, gate: impl Fn() -> BoxFuture<'static, Turn> + Send + Sync + 'static) {
        *self.shared.gate.lock().unwrap() = Some(Arc::new(gate));
    }

    /// Takes the gate away.
    pub fn open_gate(&self) {
        *self.shared.gate.lock().unwrap() = None;
    }

    /// Seeds a bug from now on.
    pub fn set_tamper(&self, tamper: impl Tamper + 'static) {
        *self.shared.tamper.lock().unwrap() = Some(Arc::new(tamper));
    }

    /// Takes the bug out.
    pub fn mend(&self) {
        *self.shared.tamper.lock().unwrap() = None;
    }

    /// Whether DynamoDB is asked for the capacity that each request consumed (`ConsumedCapacity` in the answers).
    pub fn ask_capacity(&self, ask: bool) {
        self.shared.ask_capacity.store(ask, Ordering::SeqCst);
    }

    /// What was recorded since the last call, in the order of arrival.
    #[must_use]
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.shared.exchanges.lock().unwrap())
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Bytes>) -> Result<Response<Body>, Broken> {
        let (head, body) = request.into_parts();
        let operation = operation(&head.headers);
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
                // What it would send besides has no meaning for a request that DynamoDB never saw.
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
                // In a task of its own: hyper drops this one when the client goes away.
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

    /// Hands a request on when its turn has come, with the seeded bug on both ways.
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
        // Not there when the records were taken meanwhile.
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

/// The end of the connection that an action asks for.
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
