//! Asking the same address again and again.

use crate::{Document, Failed, Open};
use http::{HeaderMap, StatusCode, Uri};
use std::time::Duration;
use tokio::sync::Mutex;

/// One address that is asked often, over a connection that is kept in between.
pub struct Channel {
    document: Document,
    kept: Mutex<Option<Open>>,
}

/// What to ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct Question<'a> {
    /// The query string, without its question mark.
    pub query: Option<&'a str>,
    /// The entity tag of the answer that is known (RFC 9110 §13.1.2).
    pub if_none_match: Option<&'a str>,
    /// Whether the connection of the last question may do. After a pause it may not: Lambda freezes the process, and what lies
    /// between forgets a connection without a word, so that nothing would come back.
    pub reuse: bool,
}

/// An answer of 200 or 304.
#[derive(Debug)]
pub struct Answer {
    /// Whether it is 304: the known answer holds.
    pub unchanged: bool,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Channel {
    /// As [`Document::new`]; the deadline is that of one question.
    ///
    /// # Errors
    /// As [`Document::new`].
    pub fn new(uri: Uri, deadline: Duration, most: usize) -> std::io::Result<Self> {
        Ok(Self { document: Document::new(uri, deadline, most)?, kept: Mutex::new(None) })
    }

    /// Asks. A kept connection that turns out to be closed is replaced, within the same deadline.
    ///
    /// # Errors
    /// [`Failed`]; a status other than 200 and 304 is one.
    pub async fn ask(&self, question: Question<'_>) -> Result<Answer, Failed> {
        let deadline = self.document.deadline;
        tokio::time::timeout(deadline, self.exchange(question))
            .await
            .unwrap_or(Err(Failed::TimedOut(deadline)))
    }

    async fn exchange(&self, question: Question<'_>) -> Result<Answer, Failed> {
        let Question { query, if_none_match, reuse } = question;
        let mut kept = self.kept.lock().await;
        // Taken out: a question that is given up leaves no half-read answer for the next.
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
