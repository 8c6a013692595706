//! An SES v2 that keeps the mails it is asked to send, and is slow, throttles, refuses or loses its response on demand.
//!
//! It has one operation, `POST /v2/email/outbound-emails`, with the JSON of
//! [SendEmail](https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html).

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Most mails that are kept. The oldest goes first.
const MAX_MAILS: usize = 1000;

const CONTENT_TYPE: [(&str, &str); 1] = [("content-type", "application/json")];

/// Longest time that a request hangs. Clients give up sooner.
const HANG: Duration = Duration::from_secs(120);

/// A mail that SES accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// 1 for the first mail of this server; it never repeats.
    pub number: u64,
    /// The sender, as `From` shows it.
    pub from: String,
    /// Addresses of the recipients.
    pub to: Vec<String>,
    /// The subject; empty for a template.
    pub subject: String,
    /// The plain text; empty for a template.
    pub text: String,
    /// The HTML; empty for a template.
    pub html: String,
    /// Name and data (JSON text) of the SES template, if the mail is made of one.
    pub template: Option<(String, String)>,
    /// Name of the configuration set.
    pub configuration_set: Option<String>,
    /// Names and values of the tags.
    pub tags: Vec<(String, String)>,
    /// Names and values of further headers.
    pub headers: Vec<(String, String)>,
}

/// The treatment of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Keep the mail, and accept it.
    Send,
    /// Refuse it with this status and error code. [`Behaviour::throttle`] and others name the usual ones.
    /// An empty code is the answer of a proxy.
    Refuse(u16, String),
    /// Keep no mail and give no response.
    Hang,
    /// Keep the mail and give no response.
    LoseResponse,
    /// Keep no mail and close the connection.
    Close,
}

impl Behaviour {
    /// Over the rate of the account, which is temporary.
    #[must_use]
    pub fn throttle() -> Self {
        Self::Refuse(429, "TooManyRequestsException".to_owned())
    }

    /// The sending of the account or the configuration set is paused, which is temporary.
    #[must_use]
    pub fn pause() -> Self {
        Self::Refuse(400, "SendingPausedException".to_owned())
    }

    /// SES does not accept the content or an address, now or later.
    #[must_use]
    pub fn reject() -> Self {
        Self::Refuse(400, "MessageRejected".to_owned())
    }
}

/// A running SES. Drop stops it.
#[derive(Debug)]
pub struct Ses {
    url: String,
    state: Arc<Mutex<Inbox>>,
    server: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
struct Inbox {
    mails: VecDeque<Mail>,
    /// Mails so far.
    count: u64,
    /// Requests so far.
    requests: u64,
    arrived: Arc<Notify>,
    /// Treatments of the next requests.
    next: VecDeque<Behaviour>,
    /// Treatment of all others.
    always: Behaviour,
}

impl Ses {
    /// Starts on a free loopback port, and accepts every mail.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(0).await
    }

    /// As [`Ses::start`], on this port.
    ///
    /// # Errors
    /// The port is not free.
    pub async fn start_on(port: u16) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(Inbox {
            mails: VecDeque::new(),
            count: 0,
            requests: 0,
            arrived: Arc::default(),
            next: VecDeque::new(),
            always: Behaviour::Send,
        }));
        let router =
            Router::new().route("/v2/email/outbound-emails", post(send_email)).with_state(Arc::clone(&state));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, state, server })
    }

    /// URL of the service, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Variables of a function that sends its mails here.
    #[must_use]
    pub fn variables(&self) -> [(&str, &str); 1] {
        [("AWS_ENDPOINT_URL_SESV2", &self.url)]
    }

    /// The mails that are kept, the oldest first.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.lock().mails.iter().cloned().collect()
    }

    /// Takes the kept mails out, the oldest first.
    #[must_use]
    pub fn take(&self) -> Vec<Mail> {
        self.lock().mails.drain(..).collect()
    }

    /// The number of requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// Waits for a request. SES has decided on it by then.
    pub async fn arrived(&self) {
        let arrived = Arc::clone(&self.lock().arrived);
        arrived.notified().await;
    }

    /// Closes the port.
    pub async fn stop(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    /// Treats all requests alike from now on.
    pub fn always(&self, behaviour: Behaviour) {
        let mut inbox = self.lock();
        inbox.next.clear();
        inbox.always = behaviour;
    }

    /// Treats the next requests like this, one each, and those after them as before.
    pub fn next(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.lock().next.extend(behaviours);
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ses {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Inbox {
    fn keep(&mut self, request: &Value) -> u64 {
        self.count += 1;
        if self.mails.len() == MAX_MAILS {
            self.mails.pop_front();
        }
        self.mails.push_back(mail(self.count, request));
        self.count
    }
}

async fn send_email(State(state): State<Arc<Mutex<Inbox>>>, request: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&request) else {
        return refusal(StatusCode::BAD_REQUEST, "BadRequestException");
    };
    let (behaviour, number) = {
        let mut inbox = state.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.requests += 1;
        let behaviour = inbox.next.pop_front().unwrap_or_else(|| inbox.always.clone());
        let kept = matches!(behaviour, Behaviour::Send | Behaviour::LoseResponse);
        let number = if kept { inbox.keep(&request) } else { 0 };
        inbox.arrived.notify_one();
        (behaviour, number)
    };
    match behaviour {
        Behaviour::Send => {
            let id = format!("{number:016x}-00000000-0000-0000-0000-000000000000-000000");
            (StatusCode::OK, CONTENT_TYPE, json!({ "MessageId": id }).to_string()).into_response()
        }
        Behaviour::Refuse(status, code) => {
            refusal(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), &code)
        }
        Behaviour::Hang | Behaviour::LoseResponse => {
            tokio::time::sleep(HANG).await;
            refusal(StatusCode::SERVICE_UNAVAILABLE, "InternalFailure")
        }
        // Ends the task of the connection, without a message.
        Behaviour::Close => std::panic::resume_unwind(Box::new(())),
    }
}

/// An error of the AWS REST JSON protocol: the code is in a header.
fn refusal(status: StatusCode, code: &str) -> Response {
    let body = json!({ "message": "not now" }).to_string();
    let mut response = (status, CONTENT_TYPE, body).into_response();
    if let Ok(code) = HeaderValue::from_str(code)
        && !code.is_empty()
    {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    response
}

fn mail(number: u64, request: &Value) -> Mail {
    let text =
        |pointer: &str| request.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let optional = |pointer: &str| request.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let pairs = |pointer: &str| {
        let list = request.pointer(pointer).and_then(Value::as_array);
        let part = |pair: &Value, name: &str| pair[name].as_str().unwrap_or_default().to_owned();
        list.into_iter().flatten().map(|pair| (part(pair, "Name"), part(pair, "Value"))).collect()
    };
    let to = request.pointer("/Destination/ToAddresses").and_then(Value::as_array);
    Mail {
        number,
        from: text("/FromEmailAddress"),
        to: to.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        subject: text("/Content/Simple/Subject/Data"),
        text: text("/Content/Simple/Body/Text/Data"),
        html: text("/Content/Simple/Body/Html/Data"),
        template: optional("/Content/Template/TemplateName")
            .map(|name| (name, text("/Content/Template/TemplateData"))),
        configuration_set: optional("/ConfigurationSetName"),
        tags: pairs("/EmailTags"),
        headers: pairs("/Content/Simple/Headers"),
    }
}
