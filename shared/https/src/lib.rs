//! A small HTTPS client for the authorizer and for the answers of custom resources.
//!
//! Requests are limited in time, and responses in size. The client follows no redirects and trusts the roots of the system. A
//! [`Document`] is for rare requests and opens a new connection each time. A [`Channel`] is for frequent requests and keeps
//! its connection. This is a separate crate, so that functions without outgoing requests do not link it. It links no AWS SDK.

mod channel;
mod put;
#[cfg(test)]
mod tests;
mod tls;

pub use channel::{Answer, Channel, Post, Question};
pub use put::put;

use http::header::{ACCEPT, HOST, USER_AGENT};
use http::request::Builder;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The body of a request.
type Body = Full<VecDeque<u8>>;

/// A response: its status, headers and body.
type Response = (StatusCode, HeaderMap, Vec<u8>);

/// A plain or a TLS connection, so that the code of hyper is compiled only once.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// An address for rare requests, with limits of time and size.
pub struct Document {
    uri: Uri,
    deadline: Duration,
    most: usize,
    tls: Option<TlsConnector>,
}

/// Reason why a request failed. Its text is for the log. It contains no data that the server sent.
#[derive(Debug)]
pub enum Failed {
    /// No complete response within the deadline.
    TimedOut(Duration),
    /// The connection failed or was interrupted: DNS, TCP, TLS or HTTP.
    Connection(String),
    /// The status was not a success. A redirect is not followed.
    Status(StatusCode),
    /// The document is larger than this number of bytes.
    TooLarge(usize),
}

impl Document {
    /// The document at `uri` (`https`, or `http` if the configuration allows it), of at most `most` bytes. `deadline` is the
    /// longest time from the DNS query to the last byte.
    ///
    /// # Errors
    /// If `uri` is `https` and the system has no root certificates.
    pub fn new(uri: Uri, deadline: Duration, most: usize) -> std::io::Result<Self> {
        let tls = match uri.scheme_str() {
            Some("https") => Some(system_connector()?),
            _ => None,
        };
        Ok(Self { uri, deadline, most, tls })
    }

    /// Requests the document.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn get(&self) -> Result<Vec<u8>, Failed> {
        tokio::time::timeout(self.deadline, self.fetch())
            .await
            .unwrap_or(Err(Failed::TimedOut(self.deadline)))
    }

    /// Opens a new connection each time. Between two requests, Lambda can freeze the process for longer than the peer waits.
    async fn fetch(&self) -> Result<Vec<u8>, Failed> {
        let request = self.request(&Method::GET, None).body(Body::default());
        let request = request.map_err(|error| broken(&error))?;
        let (status, _, body) = self.exchange(&mut self.open().await?, request).await?;
        if status == StatusCode::OK { Ok(body) } else { Err(Failed::Status(status)) }
    }

    async fn open(&self) -> Result<Open, Failed> {
        let (sender, connection) =
            http1::handshake(TokioIo::new(self.connect().await?)).await.map_err(|error| broken(&error))?;
        // The task ends with the sender, or when the peer closes the connection. Its error also reaches the sender.
        let connection = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
        Ok(Open { sender, _connection: connection })
    }

    /// A request to the address, with the headers of all requests.
    fn request(&self, method: &Method, query: Option<&str>) -> Builder {
        let path = self.uri.path();
        let target = query.map(|query| format!("{path}?{query}"));
        Request::builder()
            .method(method)
            .uri(target.as_deref().unwrap_or(path))
            .header(HOST, self.uri.authority().map_or("", |authority| authority.as_str()))
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("daypass/", env!("CARGO_PKG_VERSION")))
    }

    /// Sends one request. After an error, the connection cannot be used.
    async fn exchange(&self, open: &mut Open, request: Request<Body>) -> Result<Response, Failed> {
        open.sender.ready().await.map_err(|error| broken(&error))?;
        let response = open.sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (head, body) = response.into_parts();
        match Limited::new(body, self.most).collect().await {
            Ok(body) => Ok((head.status, head.headers, body.to_bytes().into())),
            Err(error) if error.is::<LengthLimitError>() => Err(Failed::TooLarge(self.most)),
            Err(error) => Err(broken(error.as_ref())),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Failed> {
        // A URL has an IPv6 address in brackets.
        let host = self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = self.uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await.map_err(|error| broken(&error))?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| broken(&error))?;
        Ok(Box::new(tls.connect(name, stream).await.map_err(|error| broken(&error))?))
    }
}

/// An open HTTP connection.
struct Open {
    sender: http1::SendRequest<Body>,
    _connection: AbortOnDrop,
}

/// A task that is aborted when this value is dropped.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn broken(error: &(dyn Error + 'static)) -> Failed {
    Failed::Connection(chain(error))
}

/// A TLS connector that trusts these roots.
fn connector(roots: rustls::RootCertStore) -> std::io::Result<TlsConnector> {
    Ok(TlsConnector::from(Arc::new(tls::client(roots).map_err(std::io::Error::other)?)))
}

/// The connector that trusts the roots of the system. All clients of a process share it, so that the roots are
/// parsed once.
fn system_connector() -> std::io::Result<TlsConnector> {
    static CONNECTOR: OnceLock<TlsConnector> = OnceLock::new();
    match CONNECTOR.get() {
        Some(connector) => Ok(connector.clone()),
        None => {
            let connector = connector(system_roots()?)?;
            Ok(CONNECTOR.get_or_init(|| connector).clone())
        }
    }
}

/// The root certificates of the system, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
fn system_roots() -> std::io::Result<rustls::RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    // Skips single certificates that cannot be read, as OpenSSL does.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(std::io::Error::other(format!("the system has no usable root certificates{why}")));
    }
    Ok(roots)
}

/// An error and its causes, in one line.
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
