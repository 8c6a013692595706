//! Asking one address for a small document: what an authorizer needs of HTTP, and nothing else.
//!
//! Bounded in time and size, no redirects, TLS against the roots of the system. The crate is apart so that a function
//! which asks nobody does not link it, and it brings no AWS SDK.

#[cfg(test)]
mod tests;
mod tls;

use http::header::{ACCEPT, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A request has no body.
type NoBody = Empty<&'static [u8]>;

/// One address, and how long and how much may come from it.
pub struct Document {
    uri: Uri,
    deadline: Duration,
    most: usize,
    client: Client<HttpsConnector<HttpConnector>, NoBody>,
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
        let roots =
            if uri.scheme_str() == Some("https") { system_roots()? } else { rustls::RootCertStore::empty() };
        Self::with_roots(uri, deadline, most, roots)
    }

    fn with_roots(
        uri: Uri,
        deadline: Duration,
        most: usize,
        roots: rustls::RootCertStore,
    ) -> std::io::Result<Self> {
        let tls = tls::client(roots).map_err(std::io::Error::other)?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        // Nothing is kept: between two requests Lambda freezes the process for longer than any peer waits.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { uri, deadline, most, client })
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

    async fn fetch(&self) -> Result<Vec<u8>, Failed> {
        let broken = |error: &(dyn Error + 'static)| Failed::Connection(chain(error));
        let request = Request::get(&self.uri)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("daypass/", env!("CARGO_PKG_VERSION")))
            .body(NoBody::new())
            .map_err(|error| broken(&error))?;
        let response = self.client.request(request).await.map_err(|error| broken(&error))?;
        if response.status() != StatusCode::OK {
            return Err(Failed::Status(response.status()));
        }
        match Limited::new(response.into_body(), self.most).collect().await {
            Ok(body) => Ok(body.to_bytes().into()),
            Err(error) if error.is::<LengthLimitError>() => Err(Failed::TooLarge(self.most)),
            Err(error) => Err(broken(error.as_ref())),
        }
    }
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
