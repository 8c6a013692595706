//! The `authorizer` binary: public keys and, if configured, the client of the revocation feed.

use daypass_authorizer::{Authorizer, ProofTable, fetch_from, serve};
use daypass_feed_client::FeedClient;
use daypass_runtime::{context, environment, start};
use daypass_verifier::config;
use daypass_verifier::ports::follow::NotFollowed;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let config = config::authorizer::read(environment)?;
        let fetch = fetch_from(&config.keys)?;
        let table = config.proofs_table.as_deref().filter(|_| config.routes.accept_proofs_once());
        let table = table.map(|table| ProofTable::new(table, environment)).transpose()?;
        // Two types of authorizer: without a feed, no request looks for one.
        match config.revocations.clone() {
            None => {
                serve(Authorizer::new(config, fetch, NotFollowed, context())?.with_proof_table(table)).await
            }
            Some(feed) => {
                let client = FeedClient::new(config.issuer.clone(), &feed)?;
                serve(Authorizer::new(config, fetch, client, context())?.with_proof_table(table)).await
            }
        }
    })
    .await
}
