//! Events and tokens with one change each. Nothing panics, each bad request is denied, and no caller
//! causes an error that API Gateway turns into a 500.

use super::*;
use daypass_testkit::depth::amount;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A runner with the same cases in each run.
fn runner() -> TestRunner {
    let cases = u32::try_from(amount("cases", 1_000, 10_000)).unwrap();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Values in the place of others.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!(true)),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[\\x00-\\x7f]{0,40}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[[[[["deep"]]]]]])),
        "(2\\.0|1\\.0|TOKEN|REQUEST)".prop_map(Value::from),
        Just(json!("a".repeat(20_000))),
    ]
}

/// Replaces the `at`-th value of the event by `odd`, or removes it.
fn mutate(event: &mut Value, at: &mut usize, odd: Option<&Value>) -> bool {
    match event {
        Value::Object(members) => {
            for name in members.keys().cloned().collect::<Vec<_>>() {
                if *at == 0 {
                    match odd {
                        Some(odd) => drop(members.insert(name, odd.clone())),
                        None => drop(members.remove(&name)),
                    }
                    return true;
                }
                *at -= 1;
                if members.get_mut(&name).is_some_and(|member| mutate(member, at, odd)) {
                    return true;
                }
            }
            false
        }
        Value::Array(items) => items.iter_mut().any(|item| {
            if *at == 0 {
                *item = odd.cloned().unwrap_or(Value::Null);
                return true;
            }
            *at -= 1;
            mutate(item, at, odd)
        }),
        _ => false,
    }
}

/// A token with one change.
fn spoiled(token: &str, how: u8, at: usize, with: &str) -> String {
    let at = at % token.len();
    let segments: Vec<&str> = token.split('.').collect();
    match how % 8 {
        0 => format!("{}{with}{}", &token[..at], &token[at + 1..]),
        1 => token[..at].to_owned(),
        2 => format!("{token}{with}"),
        3 => format!("{with}{token}"),
        4 => [segments[1], segments[0], segments[2]].join("."),
        5 => [segments[0], &BASE64URL_NOPAD.encode(with.as_bytes()), segments[2]].join("."),
        6 => [&BASE64URL_NOPAD.encode(with.as_bytes()), segments[1], segments[2]].join("."),
        _ => format!("{}.{}.{with}", segments[0], segments[1]),
    }
}

fn settings() -> [Settings<'static>; 3] {
    [
        Settings::default(),
        Settings { routes: "GET /orders/* needs orders:read; $connect any-token", ..Settings::default() },
        Settings { http_answer: Some(HttpAnswer::Policy), ..Settings::default() },
    ]
}

/// The part of API Gateway is changed too. A request passes only while it is still a valid one.
///
/// invariant: Any event from a caller gets a denial or a decision: the authorizer neither panics nor fails with another
/// error than `Unauthorized`.
#[test]
fn mutated_events_are_refused_and_nothing_panics() {
    let fixtures = settings().map(|settings| fixture(&settings));
    let bad = json!("Bearer eyJ0eXAiOiJhdCtqd3QifQ.e30.AAAA");
    let strategy = (0..6_usize, 0..60_usize, prop::option::weighted(0.8, odd()), 0..3_usize);
    runner()
        .run(&strategy, |(shape, at, odd, which)| {
            let (_, mut event) = shapes(&bad)[shape].clone();
            mutate(&mut event, &mut at.clone(), odd.as_ref());
            let answer = fixtures[which].ask(&event);
            prop_assert_ne!(passes(&answer, &format!("{STAGE}/GET/orders/7")), Some(true), "{}", event);
            prop_assert!(answer.is_ok() || answer == Err("Unauthorized".to_owned()), "{:?}", answer);
            Ok(())
        })
        .unwrap();
}

/// The parts that a caller writes: the token, the path and other headers. The only error is the 401 of REST and
/// WebSocket APIs.
#[test]
fn mutated_tokens_are_refused_in_the_form_of_each_api() {
    let fixtures = settings().map(|settings| fixture(&settings));
    let tokens = fixtures.each_ref().map(|fixture| fixture.issuer.token("orders:read"));
    let strategy =
        (0..6_usize, any::<u8>(), any::<usize>(), "[ -~]{0,3}|\\PC{0,3}|\\{.*", 0..3_usize, "/\\PC{0,30}");
    runner()
        .run(&strategy, |(shape, how, at, with, which, path)| {
            let token = spoiled(&tokens[which], how, at, &with);
            // Several blanks may precede a token.
            if token.trim_start_matches(' ') == tokens[which] {
                return Ok(());
            }
            let header = json!(format!("Bearer {token}"));
            let (api, mut event) = shapes(&header)[shape].clone();
            for name in ["path", "rawPath"] {
                event[name] = json!(path);
            }
            for name in ["methodArn", "routeArn"] {
                if event.get(name).is_some() && api != Api::WebSocket {
                    event[name] = json!(format!("{STAGE}/GET{path}"));
                }
            }
            let answer = fixtures[which].ask(&event);
            match api {
                Api::Rest | Api::WebSocket => prop_assert_eq!(answer, Err("Unauthorized".to_owned())),
                Api::HttpV1 | Api::HttpV2 => {
                    prop_assert_eq!(
                        passes(&answer, &format!("{STAGE}/GET{path}")),
                        Some(false),
                        "{:?}",
                        token
                    );
                }
            }
            Ok(())
        })
        .unwrap();
}

/// A valid token and any path: the response is the decision of the route table.
#[test]
fn good_tokens_on_odd_paths_are_answered() {
    let fixtures = settings().map(|settings| fixture(&settings));
    let headers = fixtures.each_ref().map(|fixture| json!(fixture.bearer("orders:read")));
    let strategy = (0..4_usize, 0..3_usize, "(/orders)?/\\PC{0,40}|/(a|\\.|%|2|e|/){0,12}");
    runner()
        .run(&strategy, |(shape, which, path)| {
            let header = &headers[which];
            let event = [
                rest_token(header, &format!("GET{path}")),
                rest_request(header, "GET", &path),
                http_v1(header, "GET", &path),
                http_v2(header, "GET", &path),
            ][shape]
                .clone();
            let answer = fixtures[which].ask(&event);
            let passed = passes(&answer, &format!("{STAGE}/GET{path}"));
            let target = Target::Http { method: "GET", path: &path };
            let table = fixtures[which]
                .authorizer
                .routes
                .of("abcdef1234")
                .decide(target, Bearer::scope("orders:read"));
            prop_assert_eq!(passed == Some(true), table.is_ok(), "{} {:?}", path, answer);
            Ok(())
        })
        .unwrap();
}
