//! The embedded DynamoDB: it stores items, works under load, and stops when it is dropped.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use daypass_dynamodb::{Addition, DynamoDb, TableNames};
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::Recorder;
use daypass_tests::bench::{self, Bench, username};
use futures_util::future::join_all;
use std::io::ErrorKind;
use std::net::TcpStream;

fn port(embedded: &Embedded) -> u16 {
    embedded.url().rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_file_keeps_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dynamodb.sqlite");
    let first = Embedded::start(Some(&file)).unwrap();
    let bench = Bench::new(&first.url()).await;
    let ada = bench.user("ada").await;
    drop(first);
    assert!(bench.store.user(&ada.username).await.is_err());

    let second = Embedded::start(Some(&file)).unwrap();
    let store = DynamoDb::local(&second.url(), TableNames::from(&bench.tables));
    store.create_tables().await.unwrap();
    assert!(store.user(&ada.username).await.unwrap() == Some(ada));
}

#[tokio::test]
async fn each_in_memory_is_alone() {
    let (one, two) = (Embedded::start(None).unwrap(), Embedded::start(None).unwrap());
    let bench = Bench::new(&one.url()).await;
    let store = DynamoDb::local(&two.url(), TableNames::from(&bench.tables));
    assert!(store.user(&username("ada")).await.is_err(), "no table here");
}

#[test]
fn a_port_that_is_taken_is_said_to_be() {
    let first = Embedded::start(None).unwrap();
    let error = Embedded::start_on(port(&first), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn what_is_no_database_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "certainly not a database, and long enough to tell".repeat(100)).unwrap();
    assert!(Embedded::start(Some(file.path())).is_err());
}

#[tokio::test]
async fn it_stops_when_it_is_dropped_and_frees_the_port() {
    let embedded = Embedded::start(None).unwrap();
    let port = port(&embedded);
    // Neither an idle connection nor an unfinished request may delay the stop.
    let recorder = Recorder::start(&embedded.url()).await;
    let store = DynamoDb::local(recorder.url(), TableNames::sessions_only("none"));
    assert!(store.sessions(bench::user("ada").id).await.is_err());
    let mut half = TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(&mut half, b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n{").unwrap();
    drop(embedded);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    Embedded::start_on(port, None).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_at_a_time_are_answered() {
    let embedded = Embedded::start(None).unwrap();
    let bench = Bench::new(&embedded.url()).await;
    let names: Vec<_> = (0..64).map(|n| username(&format!("user{n}"))).collect();
    for round in 0..4 {
        let added = join_all(
            names.iter().map(|name| async { bench.store.add_user(&bench::user(name.as_str())).await }),
        );
        let expected = if round == 0 { Addition::Added } else { Addition::NameTaken };
        assert!(added.await.iter().all(|added| *added == Ok(expected)), "round {round}");
        let found = join_all(names.iter().map(|name| bench.store.user(name)));
        assert!(found.await.iter().all(|found| matches!(found, Ok(Some(_)))), "round {round}");
    }
}
