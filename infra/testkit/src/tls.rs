//! TLS in front of a local HTTP server, because verifiers and clients require `https`.

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A listener with its own certificate. Dropping it stops it.
pub struct Tls {
    url: String,
    plain: Arc<OnceLock<SocketAddr>>,
    certificate: PathBuf,
    _folder: tempfile::TempDir,
    server: JoinHandle<()>,
}

#[expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]
impl Tls {
    /// Listens on a free port. The functions need the URL of the issuer before they start.
    pub async fn listen() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let certificate = folder.path().join("certificate.pem");
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![made.cert.der().clone()],
                PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()),
            )
            .unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let plain = Arc::new(OnceLock::new());
        let server = tokio::spawn(forward(listener, Arc::new(config), Arc::clone(&plain)));
        Self { url, plain, certificate, _folder: folder, server }
    }

    /// Forwards new connections to the HTTP server at `url`.
    pub fn forward_to(&self, url: &str) {
        self.plain.set(url.strip_prefix("http://").unwrap().parse().unwrap()).unwrap();
    }

    /// URL of the issuer, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// File with the certificate that a client must trust.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Accepts TLS, and forwards each connection to the plain server at `plain`. Connections that come before it is set are closed.
pub async fn forward(listener: TcpListener, config: Arc<ServerConfig>, plain: Arc<OnceLock<SocketAddr>>) {
    let acceptor = TlsAcceptor::from(config);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Without file handles, another attempt fails at once.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (acceptor, plain) = (acceptor.clone(), plain.get().copied());
        tokio::spawn(async move {
            // A client that disconnects, or does not trust the certificate, reports this itself.
            let _ = connect(stream, &acceptor, plain?).await;
            Some(())
        });
    }
}

async fn connect(stream: TcpStream, acceptor: &TlsAcceptor, plain: SocketAddr) -> std::io::Result<()> {
    // Else half a message waits 40 ms for an acknowledgement.
    stream.set_nodelay(true)?;
    let mut client = acceptor.accept(stream).await?;
    let mut server = TcpStream::connect(plain).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
