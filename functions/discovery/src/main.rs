//! The `discovery` binary: wires the configuration. It knows public keys only.

use daypass_ambient::{environment, start};
use daypass_core::{config, discovery::Discovery};
use daypass_lambda::{Pages, serve};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async {
        let discovery = Arc::new(Discovery::new(&config::discovery(environment)?)?);
        serve(Pages::none(), move |request| {
            let discovery = Arc::clone(&discovery);
            async move { daypass_discovery::handle(&discovery, request).await }
        })
        .await
    })
    .await
}
