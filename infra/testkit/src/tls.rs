//! TLS in front of a local HTTP server, because verifiers and clients require `https`.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A listener with its own certificate. Dropping it stops it.
pub struct Tls {
    url: String,
    gateway: Arc<OnceLock<String>>,
    certificate: PathBuf,
    _folder: tempfile::TempDir,
    server: JoinHandle<()>,
}

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
        let gateway = Arc::new(OnceLock::new());
        let server = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&gateway)));
        Self { url, gateway, certificate, _folder: folder, server }
    }

    /// Forwards new connections to the HTTP server at `url`.
    pub fn forward_to(&self, url: &str) {
        self.gateway.set(url.strip_prefix("http://").unwrap().to_owned()).unwrap();
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

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, gateway: Arc<OnceLock<String>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, gateway) = (acceptor.clone(), Arc::clone(&gateway));
        tokio::spawn(async move {
            // Else half a message waits 40 ms for an acknowledgement.
            stream.set_nodelay(true).unwrap();
            // A client that disconnects, or does not trust the certificate, reports this itself.
            let Ok(mut client) = acceptor.accept(stream).await else { return };
            let mut server = TcpStream::connect(gateway.get().unwrap()).await.unwrap();
            server.set_nodelay(true).unwrap();
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
