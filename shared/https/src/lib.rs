//! Asking one address for a small document: what an authorizer needs of HTTP, and nothing else.
//!
//! Bounded in time and size, no redirects, TLS against the roots of the system. A [`Document`] is asked for now and then, each time
//! over a connection of its own; a [`Channel`] again and again, over one that it keeps. The crate is apart so that a function
//! which asks nobody does not link it, and it brings no AWS SDK.

mod channel;
mod put;
#[cfg(test)]
mod tests;
mod tls;

pub use channel::{Answer, Channel, Question};
pub use put::put;

use http::header::{ACCEPT, HOST, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A request has no body.
type NoBody = Empty<&'static [u8]>;

/// A connection of either kind: the code of HTTP is there once.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// One address, and how long and how much may come from it.
pub struct Document {
    uri: Uri,
    deadline: Duration,
    most: usize,
    tls: Option<TlsConnector>,
}

/// Why no document came. The text is for the log: it names the address of the configuration and no input.
#[derive(Debug)]
pub enum Failed {
    /// No whole answer within the deadline.
    TimedOut(Duration),
    /// The connection failed, or broke off: DNS, TCP, TLS or HTTP.
    Connection(String),
    /// The answer was not 200. A redirect is not followed.
    Status(StatusCode),
    /// The document has more bytes than are taken.
    TooLarge(usize),
}

impl Document {
    /// The document at `uri` (`https`, or `http` where the configuration allows it), of at most `most` bytes, within
    /// `deadline` from the look-up of the name to the last byte.
    ///
    /// # Errors
    /// When `https` is asked for and the system has no root certificates.
    pub fn new(uri: Uri, deadline: Duration, most: usize) -> std::io::Result<Self> {
        let tls = match uri.scheme_str() {
            Some("https") => Some(connector(system_roots()?)?),
            _ => None,
        };
        Ok(Self { uri, deadline, most, tls })
    }

    /// Asks for it.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn get(&self) -> Result<Vec<u8>, Failed> {
        tokio::time::timeout(self.deadline, self.fetch())
            .await
            .unwrap_or(Err(Failed::TimedOut(self.deadline)))
    }

    /// A connection of its own each time: between two requests Lambda freezes the process for longer than a peer waits.
    async fn fetch(&self) -> Result<Vec<u8>, Failed> {
        let (status, _, body) = self.exchange(&mut self.open().await?, None, None).await?;
        if status == StatusCode::OK { Ok(body) } else { Err(Failed::Status(status)) }
    }

    async fn open(&self) -> Result<Open, Failed> {
        let (sender, connection) =
            http1::handshake(TokioIo::new(self.connect().await?)).await.map_err(|error| broken(&error))?;
        // It ends with the sender, or when the peer closes; what it says of that, the answer says too.
        let connection = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
        Ok(Open { sender, _connection: connection })
    }

    /// One request and its answer: 200 with its body, or 304. Anything else is an error, and the connection is spent.
    async fn exchange(
        &self,
        open: &mut Open,
        query: Option<&str>,
        if_none_match: Option<&str>,
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), Failed> {
        let path = self.uri.path();
        let target = query.map(|query| format!("{path}?{query}"));
        let mut request = Request::get(target.as_deref().unwrap_or(path))
            .header(HOST, self.uri.authority().map_or("", |authority| authority.as_str()))
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("daypass/", env!("CARGO_PKG_VERSION")));
        if let Some(tag) = if_none_match {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = request.body(NoBody::new()).map_err(|error| broken(&error))?;
        open.sender.ready().await.map_err(|error| broken(&error))?;
        let response = open.sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (head, body) = response.into_parts();
        if !matches!(head.status, StatusCode::OK | StatusCode::NOT_MODIFIED) {
            return Err(Failed::Status(head.status));
        }
        match Limited::new(body, self.most).collect().await {
            Ok(body) => Ok((head.status, head.headers, body.to_bytes().into())),
            Err(error) if error.is::<LengthLimitError>() => Err(Failed::TooLarge(self.most)),
            Err(error) => Err(broken(error.as_ref())),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Failed> {
        // An IPv6 address stands in brackets in a URL.
        let host = self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = self.uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await.map_err(|error| broken(&error))?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| broken(&error))?;
        Ok(Box::new(tls.connect(name, stream).await.map_err(|error| broken(&error))?))
    }
}

/// A connection that speaks HTTP.
struct Open {
    sender: http1::SendRequest<NoBody>,
    _connection: AbortOnDrop,
}

/// A task that does not outlive the request it is for.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn broken(error: &(dyn Error + 'static)) -> Failed {
    Failed::Connection(chain(error))
}

/// TLS against these roots.
fn connector(roots: rustls::RootCertStore) -> std::io::Result<TlsConnector> {
    Ok(TlsConnector::from(Arc::new(tls::client(roots).map_err(std::io::Error::other)?)))
}

/// The roots that the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
fn system_roots() -> std::io::Result<rustls::RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    // Single ones that cannot be read are passed over, as OpenSSL does.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(std::io::Error::other(format!("the system has no usable root certificates{why}")));
    }
    Ok(roots)
}

/// An error and what caused it, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(deadline) => write!(f, "no answer within {} ms", deadline.as_millis()),
            Self::Connection(why) => f.write_str(why),
            Self::Status(status) => write!(f, "the answer was HTTP {}", status.as_u16()),
            Self::TooLarge(most) => write!(f, "the document is larger than {most} bytes"),
        }
    }
}

impl Error for Failed {}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("uri", &self.uri).finish_non_exhaustive()
    }
}
