//! Route tables, with requests. The input is a table, an empty line, a scope (`-` for no token), an empty line, and a
//! request on each line.
#![no_main]

use daypass_fuzz::parts;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::routes::{Bearer, Permissions, RouteDenial, Routes, Target};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

/// The star of IAM: any text, including slashes.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let Some(at) = pattern.iter().position(|byte| *byte == b'*') else { return pattern == text };
    let (before, after) = (&pattern[..at], &pattern[at + 1..]);
    text.strip_prefix(before).is_some_and(|rest| (0..=rest.len()).any(|at| matches(after, &rest[at..])))
}

/// The decision of API Gateway with a policy.
fn passes(permissions: &Permissions<'_>, resource: &str) -> bool {
    let any = |patterns: &[&_]| {
        patterns
            .iter()
            .flat_map(|pattern: &&daypass_verifier::routes::Pattern| pattern.resources())
            .any(|pattern| matches(pattern.as_bytes(), resource.as_bytes()))
    };
    (permissions.all || any(&permissions.allow)) && !any(&permissions.deny)
}

fuzz_target!(|input: &[u8]| {
    let Some([table, scope, requests]) = parts(input) else { return };
    let [Ok(table), Ok(scope), Ok(requests)] = [table, scope, requests].map(std::str::from_utf8) else {
        return;
    };
    // Many stars would make the comparison below exponential.
    if table.bytes().filter(|byte| *byte == b'*').count() > 12 {
        return;
    }
    let Ok(routes) = Routes::parse(table) else { return };
    let printed = routes.to_string();
    assert_eq!(Routes::parse(&printed).as_ref(), Ok(&routes), "{printed}");
    // Claims follow the scope, as JSON.
    let (scope, claims) =
        scope.split_once('{').map_or((scope, None), |(words, _)| (words, Some(&scope[words.len()..])));
    let claims: Option<Map<String, Value>> = claims.and_then(|claims| serde_json::from_str(claims).ok());
    let bearer = match scope.trim_end() {
        "-" => Bearer::Anonymous,
        scope => Bearer::Token { scope, claims: claims.as_ref(), now: Timestamp::from_seconds(10_000) },
    };
    for request in requests.lines().take(8).filter(|request| request.len() <= 80) {
        for api in ["abc", "other"] {
            let table = routes.of(api);
            let (target, connect) = match request.split_once('/') {
                Some((method, _)) => {
                    let path = &request[method.len()..];
                    (Target::Http { method: method.trim_end(), path }, false)
                }
                None if request == "$connect" => (Target::Connect, true),
                None => continue,
            };
            let resource = match target {
                Target::Http { method, path } => format!("{method}{path}"),
                Target::Connect => request.to_owned(),
            };
            let cached = passes(&table.permissions(bearer, connect), &resource);
            match table.decide(target, bearer) {
                // A policy can neither decode a path nor ignore case.
                Err(RouteDenial::AmbiguousPath) => assert!(!(cached && resource.contains(';')), "{request}"),
                decision => {
                    assert_eq!(decision.is_ok(), cached, "{request} {bearer:?} {decision:?}\n{printed}")
                }
            }
        }
    }
});
