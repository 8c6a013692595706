//! Repeated requests to one address, over one connection.

use crate::{Body, Document, Failed, Open, Response, broken};
use http::header::{HeaderName, IF_NONE_MATCH};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use std::time::Duration;
use tokio::sync::Mutex;

/// An address for frequent requests. Keeps the connection between them.
pub struct Channel {
    document: Document,
    kept: Mutex<Option<Open>>,
}

/// Variable parts of a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Question<'a> {
    /// Query string, without the question mark.
    pub query: Option<&'a str>,
    /// Entity tag of the response that the caller has (RFC 9110 §13.1.2).
    pub if_none_match: Option<&'a str>,
    /// Whether to use the connection of the last request. Do not reuse it after a pause: while Lambda freezes the process,
    /// NATs and load balancers may silently drop the connection.
    pub reuse: bool,
}

/// The content of a `POST`.
#[derive(Debug, Clone)]
pub struct Post<'a> {
    /// Headers in addition to `Host`, `Accept` and `User-Agent`.
    pub headers: &'a [(HeaderName, String)],
    /// The body.
    pub body: Vec<u8>,
    /// As [`Question::reuse`].
    pub reuse: bool,
}

/// A response with status 200 or 304.
#[derive(Debug)]
pub struct Answer {
    /// Whether the status is 304, so that the response that the caller has is still valid.
    pub unchanged: bool,
    /// Headers of the response.
    pub headers: HeaderMap,
    /// Body of the response. Empty for 304.
    pub body: Vec<u8>,
}

impl Channel {
    /// As [`Document::new`]. `deadline` is the longest time of one request.
    ///
    /// # Errors
    /// As [`Document::new`].
    pub fn new(uri: Uri, deadline: Duration, most: usize) -> std::io::Result<Self> {
        Ok(Self { document: Document::new(uri, deadline, most)?, kept: Mutex::new(None) })
    }

    /// Sends a request. If the kept connection is closed, opens a new one within the same deadline.
    ///
    /// # Errors
    /// [`Failed`], also for a status other than 200 and 304.
    pub async fn ask(&self, question: Question<'_>) -> Result<Answer, Failed> {
        let deadline = self.document.deadline;
        let ask = async {
            let request = || {
                let request = self.document.request(&Method::GET, question.query);
                let request = match question.if_none_match {
                    Some(tag) => request.header(IF_NONE_MATCH, tag),
                    None => request,
                };
                request.body(Body::default()).map_err(|error| broken(&error))
            };
            let (status, headers, body) = self.exchange(request, question.reuse).await?;
            match status {
                StatusCode::OK | StatusCode::NOT_MODIFIED => {
                    Ok(Answer { unchanged: status == StatusCode::NOT_MODIFIED, headers, body })
                }
                other => Err(Failed::Status(other)),
            }
        };
        tokio::time::timeout(deadline, ask).await.unwrap_or(Err(Failed::TimedOut(deadline)))
    }

    /// Sends a `POST`. The peer may get it twice. Returns status and body, whatever the status.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn post(&self, post: Post<'_>) -> Result<(StatusCode, Vec<u8>), Failed> {
        let deadline = self.document.deadline;
        let request = || {
            let mut request = self.document.request(&Method::POST, None);
            for (name, value) in post.headers {
                request = request.header(name, value);
            }
            request.body(Body::new(post.body.clone().into())).map_err(|error| broken(&error))
        };
        let sent = tokio::time::timeout(deadline, self.exchange(request, post.reuse)).await;
        sent.unwrap_or(Err(Failed::TimedOut(deadline))).map(|(status, _, body)| (status, body))
    }

    async fn exchange(
        &self,
        request: impl Fn() -> Result<Request<Body>, Failed>,
        reuse: bool,
    ) -> Result<Response, Failed> {
        let mut kept = self.kept.lock().await;
        // Taken out, so that a cancelled request leaves no partly read response to the next one.
        if let Some(mut open) = kept.take().filter(|open| reuse && !open.sender.is_closed()) {
            match self.document.exchange(&mut open, request()?).await {
                Err(Failed::Connection(_)) => {}
                response => {
                    let response = response?;
                    *kept = Some(open);
                    return Ok(response);
                }
            }
        }
        let mut open = self.document.open().await?;
        let response = self.document.exchange(&mut open, request()?).await?;
        *kept = Some(open);
        Ok(response)
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("document", &self.document).finish_non_exhaustive()
    }
}
