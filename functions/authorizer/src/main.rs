//! The `authorizer` binary: wires the configuration. It knows public keys only, and asks nobody but the issuer, for them and for
//! what was revoked.

use daypass_authorizer::{Authorizer, fetch_from, serve};
use daypass_feed_client::Follower;
use daypass_runtime::{context, environment, start};
use daypass_verifier::config;
use daypass_verifier::ports::follow::NotFollowed;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::authorizer::read(environment)?;
        let fetch = fetch_from(&config.keys)?;
        // Two programs in one: without a feed nothing on the way of a request asks for one.
        match config.revocations.clone() {
            None => serve(Authorizer::new(config, fetch, NotFollowed, context())?).await,
            Some(feed) => {
                let follower = Follower::new(config.issuer.clone(), &feed)?;
                serve(Authorizer::new(config, fetch, follower, context())?).await
            }
        }
    })
    .await
}
