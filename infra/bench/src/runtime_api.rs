//! Lambda's Runtime API for one function, on loopback: it sends events and measures the time.
//!
//! Uses sockets instead of `daypass_testkit::runtime_api`, whose server library would take most of the measured time.
//! The clock is read right before the event is written and right after the last byte of the response is read. Between two events
//! this program must be quick: the processor of a function that waits for long must wake up, which counts as its time.

use anyhow::{Context, Result, anyhow, bail};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Time limit of a function.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest response of a function, in bytes: 6 MB.
const MAX_REQUEST_BYTES: usize = 6 * 1024 * 1024;

/// The events of a function.
pub(crate) trait Exchange: Send + Sync {
    /// Makes the next `count` events, if they take long and do not depend on responses.
    fn prepare(&self, _count: usize) {}

    /// The next event.
    fn event(&self) -> String;

    /// Receives the response to the last event, outside of the measured time.
    fn answered(&self, _response: &str) {}
}

/// The same event each time.
impl Exchange for String {
    fn event(&self) -> String {
        self.clone()
    }
}

/// A Runtime API for one function.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    exchange: Arc<dyn Exchange>,
    /// Text that every response must contain. A denial is faster than an acceptance.
    expected: &'static str,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Events that remain to be sent.
    wanted: usize,
    first_next: Option<Instant>,
    /// Time at which the current event was sent.
    handed_out: Option<Instant>,
    /// Time at which the last response had arrived.
    answered: Option<Instant>,
    times: Vec<Duration>,
    /// Why the measurement has ended.
    failure: Option<String>,
}

impl RuntimeApi {
    /// Listens on a free port of 127.0.0.1, with `wanted` events to send at once.
    pub(crate) fn start(exchange: Arc<dyn Exchange>, expected: &'static str, wanted: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port of 127.0.0.1 is free")?;
        let address = listener.local_addr()?;
        let state = Mutex::new(State { wanted, ..State::default() });
        let shared = Arc::new(Shared { exchange, expected, state, changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        // Runs until this process ends, as the function's connections do until the function is killed.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.serve_until_closed(stream));
            }
        });
        Ok(Self { address, shared })
    }

    /// Value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits for the function's first request and first response, and returns their times.
    ///
    /// # Errors
    /// The function has ended (by `alive`), exceeds the time limit, or returns an unexpected response.
    pub(crate) fn first_answer(&self, alive: impl FnMut() -> Result<()>) -> Result<(Instant, Instant)> {
        let state = self.wait(alive, |state| !state.times.is_empty())?;
        state.first_next.zip(state.answered).ok_or_else(|| anyhow!("an answer came before any request"))
    }

    /// Sends `count` events, and returns the duration of each.
    ///
    /// # Errors
    /// As [`Self::first_answer`].
    pub(crate) fn invoke(&self, count: usize, alive: impl FnMut() -> Result<()>) -> Result<Vec<Duration>> {
        self.shared.exchange.prepare(count);
        {
            let mut state = self.shared.lock();
            state.times.clear();
            state.wanted = count;
        }
        self.shared.changed.notify_all();
        let mut state = self.wait(alive, |state| state.times.len() >= count)?;
        Ok(std::mem::take(&mut state.times))
    }

    fn wait(
        &self,
        mut alive: impl FnMut() -> Result<()>,
        done: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>> {
        let started = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if let Some(failure) = &state.failure {
                bail!("{failure}");
            }
            if done(&state) {
                return Ok(state);
            }
            alive()?;
            if started.elapsed() > PATIENCE {
                bail!("it did not finish within {PATIENCE:?}");
            }
            let waited = self.shared.changed.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve_until_closed(&self, stream: TcpStream) {
        if let Err(error) = self.serve(stream) {
            self.lock().failure = Some(format!("{error:#}"));
            self.changed.notify_all();
        }
    }

    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        while let Some(request) = Request::read(&mut stream)? {
            match request.line.split(' ').collect::<Vec<_>>().as_slice() {
                ["GET", path, _] if path.ends_with("/runtime/invocation/next") => {
                    self.wait_for_an_event(request.arrived);
                    let event = response("200 OK", &self.exchange.event());
                    self.lock().handed_out = Some(Instant::now());
                    stream.write_all(&event)?;
                }
                ["POST", path, _] if path.ends_with("/response") => {
                    if !request.body.contains(self.expected) {
                        bail!("it answered {}", request.body);
                    }
                    self.exchange.answered(&request.body);
                    self.note(request.arrived);
                    stream.write_all(&response("202 Accepted", ""))?;
                }
                _ => bail!("it sent {}\n{}", request.line, request.body),
            }
        }
        Ok(())
    }

    /// Blocks until an event is wanted, and counts it as sent.
    fn wait_for_an_event(&self, asked: Instant) {
        let mut state = self.lock();
        state.first_next.get_or_insert(asked);
        let waited = self.changed.wait_while(state, |state| state.wanted == 0);
        waited.unwrap_or_else(PoisonError::into_inner).wanted -= 1;
    }

    fn note(&self, arrived: Instant) {
        let mut state = self.lock();
        if let Some(handed_out) = state.handed_out.take() {
            state.times.push(arrived - handed_out);
            state.answered = Some(arrived);
        }
        // The waiting thread sleeps until all responses have arrived. Waking for each would take time of the other
        // core.
        if state.wanted == 0 {
            self.changed.notify_all();
        }
    }
}

/// A response with the headers of an event. They do not disturb other responses.
fn response(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\n\
         content-type: application/json\r\n\
         content-length: {}\r\n\
         lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
         lambda-runtime-deadline-ms: 9999999999999\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-central-1:123456789012:function:authorizer\r\n\
         lambda-runtime-trace-id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n\
         \r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request of the function.
struct Request {
    line: String,
    body: String,
    /// Time at which its last bytes were read.
    arrived: Instant,
}

impl Request {
    /// The next request; `None` if the function has closed the connection.
    fn read(stream: &mut impl Read) -> Result<Option<Self>> {
        let mut bytes = Vec::new();
        let mut chunk = vec![0; 256 * 1024];
        loop {
            let read = match stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                // The function was killed between two requests.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                other => other?,
            };
            let arrived = Instant::now();
            bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
            if bytes.len() > MAX_REQUEST_BYTES {
                bail!("it sent more than {MAX_REQUEST_BYTES} bytes");
            }
            let text = std::str::from_utf8(&bytes).context("it sent what is no text")?;
            if let Some((line, body)) = complete(text)? {
                return Ok(Some(Self { line: line.to_owned(), body: body.to_owned(), arrived }));
            }
        }
    }
}

/// Request line and body, once complete.
fn complete(text: &str) -> Result<Option<(&str, &str)>> {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let mut length = 0;
    for (name, value) in lines.filter_map(|header| header.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().context("it sent a malformed Content-Length")?;
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("it sent a body in chunks, which is not read here");
        }
    }
    Ok((body.len() >= length).then_some((line, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_complete_with_its_last_byte() {
        let text = "POST /x/response HTTP/1.1\r\nContent-Length: 4\r\n\r\ntrue";
        for end in 0..text.len() {
            assert_eq!(complete(&text[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(complete(text).unwrap(), Some(("POST /x/response HTTP/1.1", "true")));
        assert_eq!(complete("GET /next HTTP/1.1\r\n\r\n").unwrap(), Some(("GET /next HTTP/1.1", "")));
        assert!(complete("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    /// A function in a thread that responds as told.
    fn function(api: &RuntimeApi, answer: &'static str) {
        let mut stream = TcpStream::connect(api.address()).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                stream.write_all(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n").unwrap();
                let read = stream.read(&mut buffer).unwrap();
                assert!(buffer[..read].ends_with(b"\r\n\r\n{}"));
                thread::sleep(Duration::from_millis(2));
                let length = answer.len();
                let head = "POST /2018-06-01/runtime/invocation/1/response HTTP/1.1\r\ncontent-length";
                stream.write_all(format!("{head}: {length}\r\n\r\n{answer}").as_bytes()).unwrap();
                if stream.read(&mut buffer).unwrap() == 0 {
                    return;
                }
            }
        });
    }

    #[test]
    fn each_event_is_timed() {
        let started = Instant::now();
        let api = RuntimeApi::start(Arc::new("{}".to_owned()), "true", 1).unwrap();
        function(&api, "true");
        let (next, answer) = api.first_answer(|| Ok(())).unwrap();
        assert!(started < next && next + Duration::from_millis(2) <= answer);
        let times = api.invoke(3, || Ok(())).unwrap();
        assert_eq!(times.len(), 3);
        assert!(times.iter().all(|time| *time >= Duration::from_millis(2)), "{times:?}");
    }

    #[test]
    fn another_answer_is_no_figure() {
        let api = RuntimeApi::start(Arc::new("{}".to_owned()), "true", 1).unwrap();
        function(&api, "false");
        assert_eq!(api.first_answer(|| Ok(())).unwrap_err().to_string(), "it answered false");
    }

    #[test]
    fn a_function_that_ended_is_not_waited_for() {
        let api = RuntimeApi::start(Arc::new("{}".to_owned()), "true", 1).unwrap();
        let error = api.first_answer(|| bail!("it ended")).unwrap_err();
        assert_eq!(error.to_string(), "it ended");
    }
}
