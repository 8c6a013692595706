//! A single `PUT` of a small document.

use crate::{Body, Document, Failed, broken};
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{Request, Uri};
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
        .body(Body::new(body.into()))
        .map_err(|error| broken(&error))?;
    let response = document.open().await?.sender.send_request(request).await;
    let response = response.map_err(|error| broken(&error))?;
    if response.status().is_success() { Ok(()) } else { Err(Failed::Status(response.status())) }
}
