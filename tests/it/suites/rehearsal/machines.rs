//! Machine clients: their tokens at the guarded APIs, introspection, and revocation.

use crate::suites::rehearsal::called_back::{ask, watch_all};
use crate::suites::rehearsal::stage::{Api, Stage, run, variable};
use http::Method;
use serde_json::json;

/// The token of a machine client and the answer about it at `/introspect`, until the client is revoked.
///
/// invariant: The tokens of a revoked machine client are rejected within the polling interval and one second.
#[tokio::test]
async fn a_revoked_client_is_refused_within_the_interval_and_a_second() {
    let stage = Stage::find();
    let apis: Vec<&Api> = stage.guarded().filter(|api| api.cache == 0).collect();
    let lives = stage.login(Some("orders:read")).await;
    let token = stage.client_token().await;
    let bearer = format!("Bearer {token}");
    for api in &apis {
        assert_eq!(ask(&stage, api, &bearer).await, 200, "{api}");
    }
    assert_eq!(stage.introspect(&token).await["client_id"], "client_rehearsed");
    // A machine client has no account.
    let sessions = stage.to(Method::GET, "/sessions").header("authorization", &bearer);
    assert_eq!(stage.send(sessions).await.status, 401);
    run(&variable("DAYPASS_REVOKE_CLIENT")).await;
    assert_eq!(stage.introspect(&token).await, json!({ "active": false }));
    watch_all(&stage, &apis, &bearer, &lives.bearer()).await;
    let again = stage.client_grant().await;
    assert_eq!(again.outcome(), (401, "invalid_client".to_owned()));
}
