//! Tests of the recorder itself: it treats connections as its actions state.

use crate::suites::failures::service;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::hold::Hold;
use daypass_testkit::recorder::Action;
use daypass_tests::bench::{Bench, after, present, raw_client};
use futures_util::future::join_all;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a request over a plain socket. Returns all bytes that come back, or the error of the connection.
async fn raw(url: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await?;
    let request = "POST / HTTP/1.1\r\nhost: proxy\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map(|_| answer)
}

/// A reset reaches the client as RST, and a lost connection as its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_a_reset_and_a_close_is_a_close() {
    let embedded = Embedded::start(None).unwrap();
    let bench = Bench::new(&embedded.url()).await;
    for action in [Action::ResetRequest, Action::ResetAnswer] {
        bench.recorder.always(action.clone());
        let error = raw(bench.recorder.url()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{action:?}");
    }
    for action in [Action::DropRequest, Action::DropAnswer] {
        bench.recorder.always(action.clone());
        assert_eq!(raw(bench.recorder.url()).await.unwrap(), b"", "{action:?}");
    }
    bench.recorder.always(Action::CutAnswer);
    let answer = String::from_utf8(raw(bench.recorder.url()).await.unwrap()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert_eq!(body.len(), length.parse::<usize>().unwrap() / 2, "{answer}");
    assert!(!body.is_empty());
}

/// The SDK treats both as errors of the connection and retries.
#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_sees_an_error_of_the_connection() {
    let (_db, service) = service().await;
    for action in [Action::ResetRequest, Action::DropRequest] {
        service.bench.recorder.always(action.clone());
        let error = raw_client(service.bench.recorder.url()).list_tables().send().await.unwrap_err();
        let mut cause: &dyn Error = &error;
        let mut text = String::new();
        while let Some(source) = cause.source() {
            text = format!("{text} {source}");
            cause = source;
        }
        let expected = if matches!(action, Action::ResetRequest) { "reset" } else { "closed" };
        assert!(text.to_lowercase().contains(expected), "{action:?}: {text}");
        assert_eq!(service.bench.recorder.take().len(), 4, "{action:?}");
    }
}

/// Sends a request, and cancels it after `when`. Panics if there was a response before.
async fn gives_up<T>(request: impl Future<Output = T>, when: impl Future<Output = ()>) {
    tokio::select! {
        _ = request => panic!("an answer to a request that is held"),
        () = when => {}
    }
}

/// The time at which a write is applied: a late request after its client has given up, one with a late response at once, a
/// lost one never.
#[tokio::test(flavor = "multi_thread")]
async fn writes_land_when_they_should() {
    let embedded = Embedded::start(None).unwrap();
    // An attempt of a client takes a second. This delay is longer, so that a lost request is never applied afterwards.
    let long = Duration::from_millis(1_500);
    let cases = [
        (Action::Held(Hold::default()), 0, 1),
        (Action::HeldAnswer(Hold::default()), 1, 1),
        (Action::Hang(long), 0, 0),
        (Action::DropRequest, 0, 0),
        (Action::ResetRequest, 0, 0),
        (Action::DropAnswer, 1, 1),
        (Action::ResetAnswer, 1, 1),
        (Action::CutAnswer, 1, 1),
        (Action::Garbled(|_| Vec::new()), 1, 1),
    ];
    let url = embedded.url();
    join_all(cases.map(async |(action, at_once, at_last)| {
        let bench = Bench::new(&url).await;
        let direct = bench.again(&url).await;
        let (_, opened) = bench.logged_in("ada").await;
        bench.recorder.always(action.clone());
        let presented = present(&opened, 0);
        let rotation = bench.rotate(&presented, after(1));
        // A client that cancels in the middle, where it would wait.
        match &action {
            Action::Held(hold) => gives_up(rotation, hold.arrived()).await,
            Action::HeldAnswer(hold) => gives_up(rotation, hold.landed()).await,
            Action::Hang(_) => gives_up(rotation, tokio::time::sleep(long / 2)).await,
            _ => drop(rotation.await),
        }
        assert_eq!(direct.stored(&opened).await.unwrap().generation, at_once, "{action:?}, at once");
        match &action {
            Action::Held(hold) | Action::HeldAnswer(hold) => {
                hold.release();
                hold.landed().await;
            }
            _ => tokio::time::sleep(long).await,
        }
        assert_eq!(direct.stored(&opened).await.unwrap().generation, at_last, "{action:?}, at last");
    }))
    .await;
}
