//! A single `PUT` of a small document.

use crate::{AbortOnDrop, Document, Failed, broken};
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{Request, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::time::Duration;

/// Sends `body` to `uri`, including its query, within `deadline`. Sends no content type, because the signature in the response
/// URL of a custom resource covers an empty one (AWS CloudFormation, "Custom resource request objects").
///
/// # Errors
/// [`Failed`], also for a status other than 2xx.
pub async fn put(uri: Uri, body: Vec<u8>, deadline: Duration) -> Result<(), Failed> {
    let document = Document::new(uri, deadline, 0).map_err(|error| broken(&error))?;
    tokio::time::timeout(deadline, send(&document, body)).await.unwrap_or(Err(Failed::TimedOut(deadline)))
}

async fn send(document: &Document, body: Vec<u8>) -> Result<(), Failed> {
    let uri = &document.uri;
    let request = Request::put(uri.path_and_query().map_or("/", |target| target.as_str()))
        .header(HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(USER_AGENT, concat!("daypass/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_LENGTH, body.len())
        .body(Full::new(VecDeque::from(body)))
        .map_err(|error| broken(&error))?;
    let connection = TokioIo::new(document.connect().await?);
    let (mut sender, connection) = http1::handshake(connection).await.map_err(|error| broken(&error))?;
    let _connection = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
    let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
    if response.status().is_success() { Ok(()) } else { Err(Failed::Status(response.status())) }
}
