//! Tests with correct and faulty servers, plain and with TLS.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Deadline for servers that never answer.
const DEADLINE: Duration = Duration::from_millis(400);
/// Deadline for servers that answer: far more than they need.
const AMPLE: Duration = Duration::from_secs(20);

/// Behaviour of a server after it has read the request of a connection.
#[derive(Clone, Copy)]
enum Answer {
    Bytes(&'static [u8]),
    /// Announces more bytes than it sends, and closes.
    Truncated,
    Silence,
    /// Sends a byte from time to time, without end.
    Trickle,
    /// Sends data at full speed, without end.
    Endless,
}

const GOOD: Answer = Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"keys\":[]}");

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
    assert!(text.starts_with("get /jwks http/1.1\r\n") && text.contains("user-agent: daypass/"), "{text}");
    let open = b"HTTP/1.1 200 OK\r\n\r\n";
    match answer {
        Answer::Bytes(bytes) => stream.write_all(bytes).await?,
        Answer::Truncated => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await?,
        Answer::Silence => std::future::pending().await,
        Answer::Trickle => {
            stream.write_all(open).await?;
            loop {
                stream.write_all(b" ").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Answer::Endless => {
            stream.write_all(open).await?;
            loop {
                stream.write_all(&[b' '; 8192]).await?;
            }
        }
    }
    stream.shutdown().await
}

/// Starts a server, with TLS if there is an acceptor. Returns its port.
async fn serve(with: Answer, tls: Option<TlsAcceptor>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                // The client may close the connection at any time.
                let _ = match tls {
                    None => answer(stream, with).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => answer(stream, with).await,
                        Err(refused) => Err(refused),
                    },
                };
            });
        }
    });
    port
}

fn uri(scheme: &str, host: &str, port: u16) -> Uri {
    format!("{scheme}://{host}:{port}/jwks").parse().unwrap()
}

async fn get(with: Answer) -> Result<Vec<u8>, Failed> {
    let deadline = if matches!(with, Answer::Silence | Answer::Trickle) { DEADLINE } else { AMPLE };
    let uri = uri("http", "127.0.0.1", serve(with, None).await);
    Document::new(uri, deadline, 1000).unwrap().get().await
}

#[tokio::test]
async fn a_document_comes_whole() {
    assert_eq!(get(GOOD).await.unwrap(), b"{\"keys\":[]}");
    let chunked = Answer::Bytes(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    assert_eq!(get(chunked).await.unwrap(), b"abcde");
}

/// invariant: An outgoing request ends in time, whatever the server does.
#[tokio::test]
async fn whatever_the_server_does_it_ends_in_time() {
    for (with, expected) in [
        (Answer::Silence, "no answer within 400 ms"),
        (Answer::Trickle, "no answer within 400 ms"),
        (Answer::Endless, "larger than 1000 bytes"),
        (Answer::Bytes(b""), "connection closed before message completed"),
        (Answer::Bytes(b"SSH-2.0-OpenSSH\r\n\r\n"), "invalid HTTP"),
        (Answer::Truncated, "end of file before message length reached"),
        (Answer::Bytes(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"), "HTTP 503"),
        (Answer::Bytes(b"HTTP/1.1 304 Same\r\n\r\n"), "HTTP 304"),
        (
            Answer::Bytes(
                b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            ),
            "HTTP 302",
        ),
    ] {
        let failed = get(with).await.unwrap_err().to_string();
        assert!(failed.contains(expected), "{failed}");
    }
    let nobody = Document::new(uri("http", "127.0.0.1", 1), AMPLE, 1000).unwrap();
    assert!(nobody.get().await.unwrap_err().to_string().contains("refused"));
}

#[tokio::test]
async fn a_document_is_put_where_the_url_says() {
    let put_to = async |answer: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"{\"Status\":\"SUCCESS\"}") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        let uri = format!("http://127.0.0.1:{port}/bucket/answer?X-Amz-Signature=a%2Fb").parse().unwrap();
        let done = put(uri, b"{\"Status\":\"SUCCESS\"}".to_vec(), AMPLE).await;
        (done, server.await.unwrap())
    };
    let (done, request) = put_to(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    done.unwrap();
    assert!(request.starts_with("PUT /bucket/answer?X-Amz-Signature=a%2Fb HTTP/1.1\r\n"), "{request}");
    let head = request.to_ascii_lowercase();
    assert!(head.contains("content-length: 20") && !head.contains("content-type"), "{request}");
    let (refused, _) = put_to(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(refused.unwrap_err().to_string(), "the answer was HTTP 403");
}

/// A certificate authority, and a server with a certificate of this authority for `localhost`.
fn authority() -> (RootCertStore, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key);
    (roots, TlsAcceptor::from(Arc::new(config.unwrap())))
}

#[tokio::test]
async fn tls_is_checked_against_the_roots_and_the_name() {
    let (roots, acceptor) = authority();
    let port = serve(GOOD, Some(acceptor)).await;
    let deadline = AMPLE;
    let document = |host, roots| {
        let tls = Some(connector(roots).unwrap());
        Document { uri: uri("https", host, port), deadline, most: 1000, tls }
    };
    assert_eq!(document("localhost", roots.clone()).get().await.unwrap(), b"{\"keys\":[]}");
    let other_name = document("127.0.0.1", roots).get().await.unwrap_err().to_string();
    assert!(other_name.contains("not valid for name"), "{other_name}");
    let (stranger, _) = authority();
    let unknown = document("localhost", stranger).get().await.unwrap_err().to_string();
    assert!(unknown.contains("invalid peer certificate"), "{unknown}");
    let of_the_system = Document::new(uri("https", "localhost", port), deadline, 1000).unwrap();
    assert!(of_the_system.get().await.is_err(), "the system does not know this authority");
}
