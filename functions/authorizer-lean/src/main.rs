//! The `authorizer-lean` binary: the authorizer for whom access tokens may live until they expire. It does not hold what follows a
//! revocation feed.

use daypass_ambient::{ambient, environment, start};
use daypass_authorizer::{Authorizer, fetch_from, serve};
use daypass_core::config;
use daypass_core::revocations::NotFollowed;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::authorizer(environment)?;
        if config.revocations.is_some() {
            return Err(
                "DAYPASS_REVOCATIONS_URL is set, and this build follows no feed: deploy `authorizer`".into(),
            );
        }
        let fetch = fetch_from(&config.keys)?;
        serve(Authorizer::new(config, fetch, NotFollowed, ambient())?).await
    })
    .await
}
