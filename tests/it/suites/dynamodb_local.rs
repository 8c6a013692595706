//! The store contract on DynamoDB Local, which `cargo verify` installs and starts.

#![expect(clippy::expect_used, reason = "the helpers of a test fail as the test does")]

use daypass_tests::bench::Bench;

async fn dynamodb_local() -> ((), Bench) {
    #[expect(clippy::disallowed_methods, reason = "the one thing that this test is told")]
    let url = std::env::var("DAYPASS_TEST_DYNAMODB");
    let url = url.expect(
        "DAYPASS_TEST_DYNAMODB is not set: start DynamoDB Local and set it to its URL, such as \
         http://127.0.0.1:8000, or run `cargo verify`, which does both",
    );
    ((), Bench::new(&url).await)
}

daypass_tests::store_contract!(dynamodb_local);
