//! The table of routes in front of each kind of API, and what the context carries.

use super::*;

const TABLE: &str = "
GET /orders/*     needs orders:read
POST /orders      needs orders:write
* /health         public
$connect          needs chat
default           deny
";

/// A request of each kind that has paths.
fn requests(authorization: &Value, method: &str, path: &str) -> [(Api, Value); 4] {
    [
        (Api::Rest, rest_token(authorization, &format!("{method}{path}"))),
        (Api::Rest, rest_request(authorization, method, path)),
        (Api::HttpV1, http_v1(authorization, method, path)),
        (Api::HttpV2, http_v2(authorization, method, path)),
    ]
}

#[test]
fn each_route_wants_its_scope() {
    for http_answer in [HttpAnswer::Simple, HttpAnswer::Policy] {
        let fixture =
            fixture(&Settings { routes: TABLE, http_answer: Some(http_answer), ..Settings::default() });
        for (scope, method, path, allowed) in [
            ("orders:read", "GET", "/orders/7", true),
            ("orders:read", "POST", "/orders", false),
            ("orders:write", "POST", "/orders", true),
            ("orders:write", "GET", "/orders/7", false),
            ("", "GET", "/orders/7", false),
            ("", "DELETE", "/health", true),
            ("orders:read", "GET", "/elsewhere", false),
            ("chat", "GET", "/$connect", false),
        ] {
            for (api, event) in requests(&json!(fixture.bearer(scope)), method, path) {
                let answer = fixture.ask(&event);
                let passes = passes(&answer, &format!("{STAGE}/{method}{path}"));
                assert_eq!(passes, Some(allowed), "{api:?} {scope} {method} {path} {answer:?}");
            }
        }
        for (scope, allowed) in [("chat", true), ("orders:read", false)] {
            let answer = fixture.ask(&web_socket(&json!(fixture.bearer(scope))));
            assert_eq!(passes(&answer, &format!("{STAGE}/$connect")), Some(allowed), "{scope}");
        }
    }
}

/// One answer, kept and used for each route: right for all of them, whichever came first.
///
/// invariant: A cached policy decides each route as the route table does.
#[test]
fn a_policy_is_right_for_every_route() {
    let fixture = fixture(&Settings { routes: TABLE, ..Settings::default() });
    let header = json!(fixture.bearer("orders:read"));
    let routes = [
        ("GET", "/orders/7", true),
        ("POST", "/orders", false),
        ("PUT", "/health", true),
        ("GET", "/x", false),
    ];
    for (method, path, _) in routes {
        let kept = fixture.ask(&rest_request(&header, method, path));
        for (method, path, allowed) in routes {
            assert_eq!(passes(&kept, &format!("{STAGE}/{method}{path}")), Some(allowed), "{method} {path}");
        }
    }
}

#[test]
fn a_public_route_needs_no_token_and_takes_no_bad_one() {
    let fixture = fixture(&Settings { routes: TABLE, ..Settings::default() });
    for (api, event) in requests(&Value::Null, "GET", "/health") {
        let answer = fixture.ask(&event);
        assert_eq!(passes(&answer, &format!("{STAGE}/GET/health")), Some(true), "{api:?}");
        assert_eq!(answer.as_ref().unwrap().get("context"), None, "{api:?}: nobody is nobody");
        if api != Api::HttpV2 {
            assert_eq!(answer.as_ref().unwrap()["principalId"], "anonymous");
            assert_eq!(
                passes(&answer, &format!("{STAGE}/GET/orders/7")),
                Some(false),
                "{api:?}: and nothing else"
            );
        }
    }
    for (api, event) in requests(&Value::Null, "GET", "/orders/7") {
        assert_ne!(passes(&fixture.ask(&event), &format!("{STAGE}/GET/orders/7")), Some(true), "{api:?}");
    }
    for (api, event) in requests(&json!("Bearer x"), "GET", "/health") {
        assert_ne!(passes(&fixture.ask(&event), &format!("{STAGE}/GET/health")), Some(true), "{api:?}");
    }
}

#[test]
fn what_the_routes_refuse_is_logged_with_its_cause() {
    let fixture = fixture(&Settings { routes: TABLE, ..Settings::default() });
    let header = json!(fixture.bearer("orders:read"));
    for (method, path, cause) in [
        ("POST", "/orders", RouteDenial::ScopeMissing),
        ("GET", "/x", RouteDenial::NoRoute),
        ("GET", "/orders/../x", RouteDenial::AmbiguousPath),
    ] {
        for (api, event) in requests(&header, method, path) {
            let answer = fixture.ask(&event);
            assert_ne!(passes(&answer, &format!("{STAGE}/{method}{path}")), Some(true), "{api:?} {path}");
            let (user, session) = (Some(UserId::from_bytes([1; 16])), Some(SessionId::from_bytes([2; 16])));
            let denied = JournalEvent::AuthorizeDenied { cause: Denial::Route(cause), user, session };
            assert_eq!(fixture.journal.take(), [denied], "{api:?}");
        }
    }
}

#[test]
fn the_context_carries_the_claims_that_were_asked_for() {
    let claims = ["jti", "exp", "aud", "tenant"];
    let fixture = fixture(&Settings { context_claims: &claims, ..Settings::default() });
    for (api, event) in shapes(&json!(fixture.bearer("orders:read"))) {
        let answer = fixture.ask(&event).unwrap();
        let context = answer["context"].as_object().unwrap();
        let names: Vec<_> = context.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["aud", "client_id", "exp", "jti", "scope", "sid", "sub"],
            "{api:?}: tenant is not there"
        );
        assert_eq!(context["exp"], NOW.seconds() + 300);
        assert!(context.values().all(|value| !value.is_array() && !value.is_object()), "flat");
    }
}

/// As many resources as a table may have, with long paths. API Gateway would turn the response into 500, so it is a logged denial.
#[test]
fn an_answer_that_is_too_large_is_a_refusal() {
    let lines: Vec<_> = (0..9).map(|line| format!("* /{line}{} any-token", "x".repeat(200))).collect();
    let long = lines.join("\n");
    let fixture = fixture(&Settings { routes: &long, ..Settings::default() });
    let header = json!(fixture.bearer("orders:read"));
    let stage = format!("arn:aws:execute-api:eu-west-1:123456789012:abc/{}", "s".repeat(128));
    let event = |path: &str| json!({ "type": "TOKEN", "authorizationToken": header, "methodArn": format!("{stage}/GET{path}") });
    let answer = fixture.ask(&event("/0"));
    assert_eq!(answer, Err("Unauthorized".to_owned()));
    let events = fixture.journal.take();
    let told = |event: &JournalEvent| matches!(event, JournalEvent::Failure { during: "answer", detail } if detail.contains("8 KB"));
    assert!(events.iter().any(told), "{events:?}");
}
