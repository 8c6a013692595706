//! A response of the authorizer that API Gateway has cached must be right for every route, not only for the first one.

use crate::suites::rehearsal::stage::Stage;
use http::Method;

const ROUTES: [(Method, &str, u16); 3] =
    [(Method::GET, "/orders/1", 200), (Method::POST, "/orders", 403), (Method::GET, "/me", 200)];

/// invariant: A cached response of the authorizer is right for each route and for its token alone.
#[tokio::test]
async fn the_second_route_is_right_whichever_came_first() {
    let stage = Stage::find();
    assert!(stage.guarded().any(|api| api.cache > 0), "no API of DAYPASS_APIS has a cache");
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        // New tokens for each order, for which nothing is cached.
        let tokens = stage.login(Some("orders:read")).await;
        stage
            .each_guarded(async |api| {
                // Twice, so that the second response comes from the cache.
                for (method, path, status) in order.iter().chain(&order).map(|route: &usize| &ROUTES[*route])
                {
                    let answer = stage.ask(api, method.clone(), path, Some(&tokens.bearer())).await;
                    assert_eq!(answer.status, *status, "{api}: {order:?}: {method} {path}: {answer:?}");
                }
            })
            .await;
    }
}

/// invariant: A cached response of the authorizer is right for each route and for its token alone.
#[tokio::test]
async fn what_is_kept_for_one_token_says_nothing_of_another() {
    let stage = Stage::find();
    let reader = stage.login(Some("orders:read")).await;
    let other = stage.login(Some("profile")).await;
    stage
        .each_guarded(async |api| {
            for _ in 0..2 {
                for (tokens, status) in [(&reader, 200), (&other, 403)] {
                    let answer = stage.ask(api, Method::GET, "/orders/1", Some(&tokens.bearer())).await;
                    assert_eq!(answer.status, status, "{api}: {answer:?}");
                }
                let bad = stage.ask(api, Method::GET, "/orders/1", Some("Bearer x")).await;
                assert_eq!(bad.status, api.kind.bad_token(), "{api}: {bad:?}");
            }
        })
        .await;
}
