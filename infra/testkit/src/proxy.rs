//! An HTTP/1.1 server that can break its connections: the common part of the tests' proxies.

use futures_util::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// End of a connection instead of a response or of the rest of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Closed: the client reads the end of the stream.
    #[error("closed on demand")]
    Closed,
    /// Reset (RST).
    #[error("reset on demand")]
    Reset,
}

/// Body of a response: [`whole`] or [`cut`].
pub type Body = UnsyncBoxBody<Bytes, Broken>;

/// A complete body.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that ends after these bytes.
pub fn cut(first: impl Into<Bytes>) -> Body {
    /// Time for the first bytes to leave.
    const FLUSHED: Duration = Duration::from_millis(20);
    let first = stream::iter([Ok(Frame::data(first.into()))]);
    let end = stream::once(async {
        tokio::time::sleep(FLUSHED).await;
        Err(Broken::Closed)
    });
    StreamBody::new(first.chain(end)).boxed_unsync()
}

/// A running server on a free loopback port. Drop stops it and closes its connections.
#[derive(Debug)]
pub struct Server {
    url: String,
    task: AbortHandle,
}

impl Server {
    /// Starts a server that answers every request with `answer`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start<A, F>(answer: A) -> io::Result<Self>
    where
        A: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response<Body>, Broken>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(serve(listener, Arc::new(answer))).abort_handle();
        Ok(Self { url, task })
    }

    /// URL of the server, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<A, F>(listener: TcpListener, answer: Arc<A>)
where
    A: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, Broken>> + Send + 'static,
{
    // Dropped with this task, with all connections.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let answer = Arc::clone(&answer);
        connections.spawn(async move {
            let reset = AtomicBool::new(false);
            let service = service_fn(|request| Box::pin(read_and_answer(request, &*answer, &reset)));
            // An error is a broken connection, on either side.
            let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
            let stream = connection.into_parts().io.into_inner();
            if reset.load(Ordering::SeqCst) {
                // Closing without lingering sends RST instead of FIN.
                let _ = stream.set_zero_linger();
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn read_and_answer<F>(
    request: Request<Incoming>,
    answer: &impl Fn(Request<Bytes>) -> F,
    reset: &AtomicBool,
) -> Result<Response<Body>, Broken>
where
    F: Future<Output = Result<Response<Body>, Broken>>,
{
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Broken::Closed)?.to_bytes();
    let answered = answer(Request::from_parts(head, body)).await;
    if matches!(answered, Err(Broken::Reset)) {
        reset.store(true, Ordering::SeqCst);
    }
    answered
}
