//! Client of Lambda's Invoke API, as `cargo lambda watch` serves it.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use axum::body::Bytes;
use http::StatusCode;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Invocations of one function that the Invoke API has at once. `cargo lambda watch` 1.9.2 never answers again after about 100.
const IN_FLIGHT: usize = 32;
/// Invocations of one function that wait here. Further ones are rejected.
const WAITING: usize = 256;

/// Why an invocation has no answer.
#[derive(Debug)]
pub(crate) enum InvokeError {
    /// The time limit passed.
    TimedOut,
    /// Too many invocations of the function wait.
    Busy,
    /// The function reported an error, with its `errorMessage` if present.
    Function(Option<String>),
    /// The invocation failed. The text is for the developer.
    Unavailable(String),
}

/// A client of the Invoke API.
#[derive(Debug, Clone)]
pub(crate) struct Lambda {
    client: reqwest::Client,
    base: String,
    functions: Arc<Mutex<HashMap<String, Places>>>,
    stuck: Arc<AtomicBool>,
    given_up: Duration,
}

/// The places of one function.
#[derive(Debug, Clone)]
struct Places {
    /// Of those that the Invoke API has.
    in_flight: Arc<Semaphore>,
    /// Of all invocations, including those that wait here.
    all: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        let places = |number| Arc::new(Semaphore::new(number));
        Self { in_flight: places(IN_FLIGHT), all: places(IN_FLIGHT + WAITING) }
    }
}

impl Lambda {
    /// `base` is the URL of the Invoke API, such as `http://127.0.0.1:9001`. `stuck` is set when it does not answer
    /// within `given_up`.
    pub(crate) fn new(
        client: reqwest::Client,
        base: &str,
        stuck: Arc<AtomicBool>,
        given_up: Duration,
    ) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self { client, base, functions: Arc::default(), stuck, given_up }
    }

    /// Invokes `function` with `event`, and returns its answer. At most [`IN_FLIGHT`] invocations of a function are on the way at
    /// once, including those whose caller has gone: the Invoke API does not notice that.
    pub(crate) async fn invoke(
        &self,
        function: &str,
        event: &Value,
        limit: Duration,
    ) -> Result<Bytes, InvokeError> {
        let places = self.places(function);
        let place = places.all.try_acquire_owned().map_err(|_| InvokeError::Busy)?;
        let invocation = async {
            let turn = places.in_flight.acquire_owned().await.map_err(|_| InvokeError::Busy)?;
            let (lambda, function, event) = (self.clone(), function.to_owned(), event.clone());
            let call = tokio::spawn(async move {
                let _places = (place, turn);
                tokio::time::timeout(lambda.given_up, lambda.call(&function, &event)).await.unwrap_or_else(
                    |_| {
                        lambda.stuck.store(true, Ordering::Relaxed);
                        Err(InvokeError::TimedOut)
                    },
                )
            });
            call.await.unwrap_or(Err(InvokeError::TimedOut))
        };
        tokio::time::timeout(limit, invocation).await.unwrap_or(Err(InvokeError::TimedOut))
    }

    fn places(&self, function: &str) -> Places {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        functions.entry(function.to_owned()).or_default().clone()
    }

    async fn call(&self, function: &str, event: &Value) -> Result<Bytes, InvokeError> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.base);
        let request = self.client.post(url).json(event);
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let marked = response.headers().contains_key("x-amz-function-error");
        let answer = response.bytes().await.map_err(|error| self.unreachable(error))?;
        outcome(status, marked, answer)
    }

    fn unreachable(&self, error: reqwest::Error) -> InvokeError {
        InvokeError::Unavailable(format!(
            "no answer from {} ({}); check that `cargo lambda watch` runs there",
            self.base,
            error.without_url()
        ))
    }
}

/// Distinguishes answers of the function, errors of the function, and errors of the Invoke API.
fn outcome(status: StatusCode, marked: bool, answer: Bytes) -> Result<Bytes, InvokeError> {
    let message = || {
        let error: Value = serde_json::from_slice(&answer).ok()?;
        Some(error.get("errorMessage")?.as_str()?.to_owned())
    };
    if marked {
        return Err(InvokeError::Function(message()));
    }
    if status.is_success() {
        return Ok(answer);
    }
    // AWS marks a function's error with a header and status 200; `cargo lambda watch` responds with status 500.
    match message() {
        Some(message) => Err(InvokeError::Function(Some(message))),
        None => Err(InvokeError::Unavailable(format!(
            "the Invoke API responded with {status}; the output of `cargo lambda watch` shows the cause"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_errors_and_refusals_are_told_apart() {
        let of = |status: u16, marked, answer: &'static str| {
            outcome(StatusCode::from_u16(status).unwrap(), marked, Bytes::from_static(answer.as_bytes()))
        };
        assert_eq!(of(200, false, r#"{"errorMessage":"x"}"#).unwrap(), r#"{"errorMessage":"x"}"#);
        for (status, marked) in [(200, true), (500, false)] {
            let error = of(status, marked, r#"{"errorType":"E","errorMessage":"Unauthorized"}"#).unwrap_err();
            assert!(matches!(error, InvokeError::Function(Some(message)) if message == "Unauthorized"));
        }
        assert!(matches!(of(200, true, "?").unwrap_err(), InvokeError::Function(None)));
        assert!(matches!(
            of(404, false, r#"{"title":"Missing function"}"#).unwrap_err(),
            InvokeError::Unavailable(_)
        ));
    }
}
