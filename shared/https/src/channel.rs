//! Repeated requests to one address, over one connection.

use crate::{Document, Failed, Open};
use http::{HeaderMap, StatusCode, Uri};
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
        tokio::time::timeout(deadline, self.exchange(question))
            .await
            .unwrap_or(Err(Failed::TimedOut(deadline)))
    }

    async fn exchange(&self, question: Question<'_>) -> Result<Answer, Failed> {
        let Question { query, if_none_match, reuse } = question;
        let mut kept = self.kept.lock().await;
        // Taken out, so that a cancelled request leaves no partly read response to the next one.
        if let Some(mut open) = kept.take().filter(|open| reuse && !open.sender.is_closed()) {
            match self.document.exchange(&mut open, query, if_none_match).await {
                Err(Failed::Connection(_)) => {}
                answer => return Ok(keep(&mut kept, open, answer?)),
            }
        }
        let mut open = self.document.open().await?;
        let answer = self.document.exchange(&mut open, query, if_none_match).await?;
        Ok(keep(&mut kept, open, answer))
    }
}

fn keep(
    kept: &mut Option<Open>,
    open: Open,
    (status, headers, body): (StatusCode, HeaderMap, Vec<u8>),
) -> Answer {
    *kept = Some(open);
    Answer { unchanged: status == StatusCode::NOT_MODIFIED, headers, body }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("document", &self.document).finish_non_exhaustive()
    }
}
