//! A resource server: orders that users and machine clients read and write.

mod guard;
mod proofs;

use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Extension, Router};
use daypass_verifier::jose::verify::Verified;
use daypass_verifier::revocation::{Limits, WhenStale};
use guard::{Guard, Result, require};
use proofs::Proofs;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let seconds = |name: &str, default: u64| -> Result<Duration> {
        Ok(Duration::from_secs(variable(name).map_or(Ok(default), |text| text.parse())?))
    };
    let issuer = variable("DAYPASS_ISSUER").ok_or("DAYPASS_ISSUER is not set")?;
    let audience = variable("DAYPASS_AUDIENCE").ok_or("DAYPASS_AUDIENCE is not set")?;
    let url = variable("DAYPASS_REVOCATIONS_URL").unwrap_or_else(|| format!("{issuer}/revocations"));
    let limits = Limits {
        interval: seconds("DAYPASS_REVOCATIONS_INTERVAL_SECONDS", 5)?,
        stale_after: seconds("DAYPASS_REVOCATIONS_STALE_SECONDS", 60)?,
        when_stale: match variable("DAYPASS_REVOCATIONS_WHEN_STALE").as_deref() {
            None | Some("open") => WhenStale::Open,
            Some("closed") => WhenStale::Closed,
            Some(other) => Err(format!("DAYPASS_REVOCATIONS_WHEN_STALE is {other}, not open or closed"))?,
        },
    };
    // Base URLs of this server, as clients with bound tokens call it.
    let proofs = Proofs::new(&variable("DAYPASS_DPOP_ORIGINS").unwrap_or_default());
    let guard = Guard::start(&issuer, audience, proofs, &url, limits).await?;
    let needs = |scope| from_fn_with_state((guard.clone(), scope), require);
    let app = Router::new()
        .route("/orders", get(orders).layer(needs("orders:read")))
        .route("/orders", post(orders).layer(needs("orders:write")));
    let port: u16 = variable("PORT").ok_or("PORT is not set")?.parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(listener, app).await?)
}

#[expect(clippy::disallowed_methods, reason = "here the configuration comes in")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn orders(Extension(caller): Extension<Verified>) -> String {
    caller.subject
}
