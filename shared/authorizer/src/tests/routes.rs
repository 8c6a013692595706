//! The route table in front of each kind of API, and the context.

use super::*;

const TABLE: &str = "
GET /orders/*     needs orders:read
POST /orders      needs orders:write
* /health         public
$connect          needs chat
default           deny
";

/// One event of each kind of API that has paths.
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

/// One response, cached and applied to each route, is right for all of them.
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
        assert_eq!(
            answer.as_ref().unwrap().get("context"),
            None,
            "{api:?}: an anonymous caller has no context"
        );
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

/// The attacks of a holder of `orders:read`, in front of each kind of API. API Gateway passes the path on as the client
/// sent it.
///
/// invariant: A line of the route table holds for the spellings that a lenient server serves by the same handler.
#[test]
fn a_carve_out_holds_behind_a_lenient_server() {
    use RouteDenial::{AmbiguousPath, ScopeMissing};
    let routes = "GET /orders/* needs orders:read; GET /orders/all needs orders:admin; GET /admin needs admin; \
                  default any-token";
    for http_answer in [HttpAnswer::Simple, HttpAnswer::Policy] {
        let fixture = fixture(&Settings { routes, http_answer: Some(http_answer), ..Settings::default() });
        let header = json!(fixture.bearer("orders:read"));
        let kept = fixture.ask(&rest_request(&header, "GET", "/orders/7"));
        fixture.journal.take();
        for (method, path, cause, cached) in [
            ("GET", "/orders/all/", ScopeMissing, false),
            ("GET", "/orders/ALL", AmbiguousPath, true),
            ("GET", "/orders/all;v=1", AmbiguousPath, false),
            ("HEAD", "/orders/all", ScopeMissing, false),
            ("HEAD", "/admin", ScopeMissing, false),
            ("GET", "/admin/", ScopeMissing, false),
        ] {
            let arn = format!("{STAGE}/{method}{path}");
            for (api, event) in requests(&header, method, path) {
                assert_ne!(passes(&fixture.ask(&event), &arn), Some(true), "{api:?} {method} {path}");
                let (user, session) =
                    (Some(UserId::from_bytes([1; 16])), Some(SessionId::from_bytes([2; 16])));
                let denied = JournalEvent::AuthorizeDenied { cause: Denial::Route(cause), user, session };
                assert_eq!(fixture.journal.take(), [denied], "{api:?} {method} {path}");
            }
            // The cached policy of another request.
            assert_eq!(passes(&kept, &arn), Some(cached), "{method} {path}");
        }
        for (api, event) in requests(&header, "GET", "/orders/AbC_d-9") {
            let passed = passes(&fixture.ask(&event), &format!("{STAGE}/GET/orders/AbC_d-9"));
            assert_eq!(passed, Some(true), "{api:?}: an id in mixed case");
        }
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
            ["acr", "aud", "auth_time", "client_id", "exp", "jti", "scope", "sid", "sub"],
            "{api:?}: tenant is not there"
        );
        assert_eq!(context["exp"], NOW.seconds() + 300);
        assert!(context.values().all(|value| !value.is_array() && !value.is_object()), "flat");
    }
}

/// Claims of users: scalars as they are, others as JSON.
#[test]
fn the_context_carries_claims_of_users() {
    for (value, carried) in [
        (json!("acme"), json!("acme")),
        (json!(3), json!(3)),
        (json!(0.5), json!(0.5)),
        (json!(false), json!(false)),
        (json!(["a", "b"]), json!(r#"["a","b"]"#)),
        (json!({ "unit": "x" }), json!(r#"{"unit":"x"}"#)),
    ] {
        let fixture = fixture(&Settings { context_claims: &["tenant"], ..Settings::default() });
        let token = fixture.issuer.token_with("tenant", &value);
        for (api, event) in requests(&json!(format!("Bearer {token}")), "GET", "/orders/7") {
            assert_eq!(fixture.ask(&event).unwrap()["context"]["tenant"], carried, "{api:?}");
        }
    }
}

/// A line that needs a claim, in every kind of API. The denial is 403 with its cause in the log.
#[test]
fn a_route_can_need_a_claim() {
    for (value, allowed) in
        [(json!("acme"), true), (json!(["acme", "b"]), true), (json!("other"), false), (json!(""), false)]
    {
        let settings =
            Settings { routes: "GET /orders/* needs claim:tenant=acme; default deny", ..Settings::default() };
        let fixture = fixture(&settings);
        let token = fixture.issuer.token_with("tenant", &value);
        for (api, event) in requests(&json!(format!("Bearer {token}")), "GET", "/orders/7") {
            let answer = fixture.ask(&event);
            let passed = passes(&answer, &format!("{STAGE}/GET/orders/7")) == Some(true);
            assert_eq!(passed, allowed, "{api:?} {value}");
            let (user, session) = (Some(UserId::from_bytes([1; 16])), Some(SessionId::from_bytes([2; 16])));
            let cause = Denial::Route(RouteDenial::ClaimMissing);
            let denied = (!allowed).then_some(JournalEvent::AuthorizeDenied { cause, user, session });
            assert_eq!(fixture.journal.take(), Vec::from_iter(denied), "{api:?} {value}");
        }
    }
}

/// The challenge is in the context, which a gateway response of a REST API turns into a header. The age is that of the
/// authentication, so a token that was issued just now can be too old.
///
/// invariant: A route with `within` denies a token whose authentication is older, in REST, HTTP and WebSocket APIs.
#[test]
fn a_route_can_need_a_recent_authentication() {
    const ROUTES: &str = "GET /orders/* needs acr:2 within 300; $connect needs within 300; default deny";
    for http_answer in [HttpAnswer::Simple, HttpAnswer::Policy] {
        let settings = Settings { routes: ROUTES, http_answer: Some(http_answer), ..Settings::default() };
        let fixture = fixture(&settings);
        for (age, acr, allowed, connects) in [
            (300, "2", true, true),
            (301, "2", false, false),
            (0, "1", false, true),
            (301, "1", false, false),
        ] {
            let at = json!(NOW.seconds() - age);
            let token = fixture.issuer.token_with_all(&[("auth_time", &at), ("acr", &json!(acr))]);
            let bearer = json!(format!("Bearer {token}"));
            for (api, event) in requests(&bearer, "GET", "/orders/7") {
                let answer = fixture.ask(&event);
                let case = format!("{api:?} {age} {acr}");
                assert_eq!(passes(&answer, &format!("{STAGE}/GET/orders/7")), Some(allowed), "{case}");
                let context = &answer.unwrap()["context"];
                assert_eq!((&context["auth_time"], &context["acr"]), (&at, &json!(acr)), "{case}");
                let member = |name: &str| context.get(name).cloned();
                let if_denied = |value: Value| (!allowed).then_some(value);
                assert_eq!(member("acr_values"), if_denied("2".into()), "{case}");
                assert_eq!(member("max_age"), if_denied(300.into()), "{case}");
                let header =
                    r#"Bearer error="insufficient_user_authentication", acr_values="2", max_age="300""#;
                assert_eq!(member("challenge"), if_denied(header.into()), "{case}");
                let denied = fixture.journal.take().into_iter().map(|event| match event {
                    JournalEvent::AuthorizeDenied { cause, .. } => cause,
                    other => panic!("{other:?}"),
                });
                let step_up = Denial::Route(RouteDenial::StepUpNeeded);
                assert_eq!(
                    denied.collect::<Vec<_>>(),
                    Vec::from_iter((!allowed).then_some(step_up)),
                    "{case}"
                );
            }
            let answer = fixture.ask(&web_socket(&bearer));
            assert_eq!(passes(&answer, &format!("{STAGE}/$connect")), Some(connects), "{age} {acr}");
            let _ = fixture.journal.take();
        }
        // A token of an older version counts as too old and as one factor. A machine client gets no challenge.
        let (none, machine) = (Value::Null, json!("client_a"));
        let nothing: [(&str, &Value); 2] = [("auth_time", &none), ("acr", &none)];
        let of_machine = [nothing[0], nothing[1], ("sub", &machine), ("client_id", &machine)];
        for (claims, cause, challenge) in [
            (
                &nothing[..],
                RouteDenial::StepUpNeeded,
                Some(json!(
                    "Bearer error=\"insufficient_user_authentication\", acr_values=\"2\", max_age=\"300\""
                )),
            ),
            (&of_machine[..], RouteDenial::NoUser, None),
        ] {
            let bearer = json!(format!("Bearer {}", fixture.issuer.token_with_all(claims)));
            for (api, event) in requests(&bearer, "GET", "/orders/7") {
                let answer = fixture.ask(&event);
                assert_eq!(
                    passes(&answer, &format!("{STAGE}/GET/orders/7")),
                    Some(false),
                    "{api:?} {cause:?}"
                );
                assert_eq!(
                    answer.unwrap()["context"].get("challenge").cloned(),
                    challenge,
                    "{api:?} {cause:?}"
                );
                let events = fixture.journal.take();
                let is_cause = |event: &JournalEvent| matches!(event, JournalEvent::AuthorizeDenied { cause: Denial::Route(given), .. } if *given == cause);
                assert!(events.len() == 1 && is_cause(&events[0]), "{api:?} {events:?}");
            }
        }
    }
}

/// A claim that another program with the key wrote. Integrations log their context.
#[test]
fn a_control_character_in_a_context_claim() {
    for (value, allowed) in [
        (json!("acme"), true),
        (json!("acme\nroot logged in"), false),
        (json!({ "name": "\u{85}" }), false),
        (json!(["two\nlines"]), true),
    ] {
        let fixture = fixture(&Settings { context_claims: &["tenant"], ..Settings::default() });
        let token = fixture.issuer.token_with("tenant", &value);
        for (api, event) in requests(&json!(format!("Bearer {token}")), "GET", "/orders/7") {
            let answer = fixture.ask(&event);
            assert_eq!(
                passes(&answer, &format!("{STAGE}/GET/orders/7")) == Some(true),
                allowed,
                "{api:?} {value}"
            );
            let (user, session) = (Some(UserId::from_bytes([1; 16])), Some(SessionId::from_bytes([2; 16])));
            let denied = JournalEvent::AuthorizeDenied {
                cause: Denial::Token(Rejection::ControlCharacter),
                user,
                session,
            };
            assert_eq!(
                fixture.journal.take(),
                if allowed { vec![] } else { vec![denied] },
                "{api:?} {value}"
            );
        }
        let plain = super::fixture(&Settings::default());
        let token = plain.issuer.token_with("tenant", &value);
        let answer = plain.ask(&http_v2(&json!(format!("Bearer {token}")), "GET", "/orders/7"));
        assert_eq!(
            passes(&answer, &format!("{STAGE}/GET/orders/7")),
            Some(true),
            "no context carries the claim"
        );
    }
}

/// A table with the most resources and long paths. API Gateway would answer 500, so the authorizer denies and logs a
/// failure.
#[test]
fn an_answer_that_is_too_large_is_a_refusal() {
    let lines: Vec<_> = (0..9).map(|line| format!("* /{line}{}* any-token", "x".repeat(200))).collect();
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
