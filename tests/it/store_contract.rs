//! The store contract on the embedded DynamoDB.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use daypass_testkit::embedded::Embedded;
use daypass_tests::bench::Bench;

async fn embedded() -> (Embedded, Bench) {
    let embedded = Embedded::start(None).unwrap();
    let bench = Bench::new(&embedded.url()).await;
    (embedded, bench)
}

daypass_tests::store_contract!(embedded);
