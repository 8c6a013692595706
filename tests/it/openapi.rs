//! `docs/reference/openapi.yaml` against OpenAPI 3.1, against the routes, the errors and the responses of the code, and as
//! the source of the page of the HTTP API.
//!
//! `Service` and the black box check each exchange against it: `daypass_tests::openapi`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]

mod coverage;
mod page;

use crate::docs::errors;
use daypass_core::http::request::Request;
use daypass_docs::{root, snapshot};
use daypass_gateway::template;
use daypass_testkit::Answer;
use daypass_tests::openapi::schema::Schemas;
use daypass_tests::openapi::{Description, description};
use daypass_tests::service::{post, request};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `tests/fixtures/openapi-3.1.json` is the schema that the OpenAPI Initiative publishes.
#[test]
fn the_description_conforms_to_openapi_3_1() {
    let schema: Value = serde_json::from_str(&read("tests/fixtures/openapi-3.1.json")).unwrap();
    let schemas = Schemas { root: &schema, closed: false };
    let mut document = description().0.clone();
    assert_eq!(schemas.problems(&schema, &document), [""; 0]);
    for (place, value) in [
        ("/openapi", json!("3.0.3")),
        ("/info", json!({ "title": "x" })),
        ("/paths/~1login/post/respones", json!({})),
        ("/paths/~1login/post/parameters/0", json!({ "in": "header" })),
        ("/paths/~1sessions~1{id}/parameters/0/required", json!(false)),
        ("/components/headers/Vary/schema", json!("text")),
    ] {
        let (parent, name) = place.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap();
        let before = match parent {
            Value::Array(items) => std::mem::replace(&mut items[name.parse::<usize>().unwrap()], value),
            parent => std::mem::replace(&mut parent[name], value),
        };
        assert_ne!(schemas.problems(&schema, &document), [""; 0], "{place}");
        match document.pointer_mut(place.rsplit_once('/').unwrap().0).unwrap() {
            Value::Array(items) => items[name.parse::<usize>().unwrap()] = before,
            Value::Object(members) if before.is_null() => drop(members.remove(name)),
            parent => parent[name] = before,
        }
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// Each value below a value, with the name of the member that holds it.
fn each<'a>(name: &'a str, value: &'a Value, visit: &mut impl FnMut(&'a str, &'a Value)) {
    visit(name, value);
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| each(name, value, visit)),
        Value::Array(items) => items.iter().for_each(|value| each(name, value, visit)),
        _ => {}
    }
}

/// References lead somewhere, components are in use, keywords are known, and examples conform.
#[test]
fn schemas_and_examples_are_sound() {
    let document = &description().0;
    let schemas = Schemas { root: document, closed: true };
    let mut used = BTreeSet::new();
    let mut examples = 0;
    each("", document, &mut |name, value| {
        if let Some(reference) = value["$ref"].as_str() {
            let _ = schemas.target(reference);
            used.insert(reference.to_owned());
        }
        if let ("schema", Value::Object(_)) = (name, value) {
            let _ = schemas.problems(value, &json!({}));
        }
        if let (Some(schema), Some(example)) = (value.get("schema"), value.get("example")) {
            assert_eq!(schemas.problems(schema, example), [""; 0], "{example}");
            examples += 1;
        }
    });
    assert!(examples > 15, "{examples}");
    for kind in ["headers", "parameters", "responses", "schemas"] {
        for (name, schema) in document["components"][kind].as_object().unwrap() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(used.contains(&reference) || name == "MethodNotAllowed", "{reference} is not used");
            if kind == "schemas" {
                let _ = schemas.problems(schema, &json!({}));
            }
        }
    }
}

/// What stands in front of a route, by the name of its security scheme.
fn guard(authorizer: bool, iam: bool) -> &'static str {
    match (authorizer, iam) {
        (true, _) => "accessToken",
        (_, true) => "iam",
        _ => "",
    }
}

/// The template, the local gateway and the description have the same paths, with the same guard.
#[test]
fn routes_are_those_of_the_template_and_of_the_gateway() {
    let api = read(template::API);
    let gateway: BTreeSet<(String, &str)> = template::routes(&read("template.yaml"), &api)
        .unwrap()
        .iter()
        .map(|route| (route.key().to_owned(), guard(route.authorizer().is_some(), route.needs_iam())))
        .collect();
    let parsed = template::parse(&api).unwrap();
    let resources = parsed["Resources"].as_object().unwrap().values();
    let deployed: BTreeSet<(String, &str)> = resources
        .filter(|resource| resource["Type"] == "AWS::ApiGatewayV2::Route")
        .map(|route| &route["Properties"])
        .map(|route| {
            let iam = route.get("AuthorizationType").is_some_and(|kind| kind == "AWS_IAM");
            (route["RouteKey"].as_str().unwrap().to_owned(), guard(route.get("AuthorizerId").is_some(), iam))
        })
        .collect();
    assert_eq!(gateway, deployed);

    // ANY takes all methods, of which the description lists those that the function has; a greedy route takes every
    // document below it. A preflight has a route of its own where the others need a token.
    let guards = description().operations().map(|(path, method, operation)| {
        let needs = |scheme: &str| operation["security"] == json!([{ scheme: [] }]);
        let guard = guard(needs("accessToken"), needs("iam"));
        let greedy = [
            ("/.well-known/", "/.well-known/{document+}"),
            ("/admin/", "/admin/{operation+}"),
            ("/factors/", "/factors/{operation+}"),
            ("/login/", "/login/{step+}"),
        ];
        let path = greedy.iter().find(|(start, _)| path.starts_with(start)).map_or(path, |(_, route)| route);
        let own = (format!("{} {path}", method.to_uppercase()), guard);
        if gateway.contains(&own) { own } else { (format!("ANY {path}"), guard) }
    });
    assert_eq!(guards.collect::<BTreeSet<_>>(), gateway);
}

/// The responses of the functions have exactly the errors of the code.
#[test]
fn errors_are_those_of_the_code() {
    let shown =
        description().listed().into_iter().filter(|one| !["", "message"].contains(&one.error.as_str()));
    let mut listed: BTreeSet<(u16, String)> =
        shown.map(|one| (one.status.parse().unwrap(), one.error)).collect();
    listed.insert((405, "invalid_request".to_owned()));
    let known = errors().into_iter().map(|(status, code)| (status, code.to_owned())).collect();
    assert_eq!(listed, known);
}

/// An exchange as it is described, and what a test changes in it.
struct Exchange(Request, Answer);

impl Exchange {
    fn good() -> Self {
        let body = json!({ "grant_type": "refresh_token", "refresh_token": "daypass_rt_x" }).to_string();
        let body_back = json!({
            "access_token": "a.b.c", "token_type": "Bearer", "expires_in": 300, "refresh_token": "daypass_rt_y",
            "refresh_expires_in": 600, "scope": "a b", "session_id": "ses_000102030405060708090a0b0c0d0e0f",
        });
        let headers = [
            ("cache-control", "no-store"),
            ("content-type", "application/json; charset=utf-8"),
            ("pragma", "no-cache"),
            ("strict-transport-security", "max-age=31536000"),
            ("x-content-type-options", "nosniff"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let answer = Answer { status: 200, headers, body: body_back.to_string().into_bytes() };
        Self(post("/refresh", "application/json", body), answer)
    }

    fn check(&self, description: &Description, expected: &str) {
        match description.check(&self.0, &self.1) {
            Ok(_) => assert_eq!(expected, "", "it is found"),
            Err(problems) => {
                assert!(
                    !expected.is_empty() && problems.iter().any(|one| one.contains(expected)),
                    "{problems:?}"
                );
            }
        }
    }

    fn body(&mut self, name: &str, value: Value) {
        let mut body = self.1.json();
        match value {
            Value::Null => drop(body.as_object_mut().unwrap().remove(name)),
            value => body[name] = value,
        }
        self.1.body = body.to_string().into_bytes();
    }

    fn header(&mut self, name: &str, value: Option<&str>) {
        self.1.headers.retain(|(own, _)| own != name);
        self.1.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }
}

/// An exchange that departs from the description fails, whichever of the two is wrong.
#[test]
fn a_difference_from_the_description_fails() {
    type Change = (&'static str, fn(&mut Exchange));
    Exchange::good().check(description(), "");
    let changes: [Change; 14] = [
        ("breaks required", |one| one.body("scope", Value::Null)),
        ("/later is not listed", |one| one.body("later", json!(1))),
        ("/expires_in", |one| one.body("expires_in", json!("300"))),
        ("/session_id", |one| one.body("session_id", json!("usr_0"))),
        ("body is not JSON", |one| one.1.body = b"{".to_vec()),
        ("status 402 is not listed", |one| one.1.status = 402),
        ("201 is not listed", |one| one.1.status = 201),
        ("content type", |one| one.header("content-type", Some("text/html"))),
        ("Cache-Control is missing", |one| one.header("cache-control", None)),
        ("Cache-Control", |one| one.header("cache-control", Some("public"))),
        ("x-powered-by is not listed", |one| one.header("x-powered-by", Some("me"))),
        ("grant_type", |one| *one.0.body_mut() = b"{}".to_vec()),
        ("with the content type text/plain", |one| {
            one.0.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        }),
        ("Idempotency-Key", |one| {
            one.0.headers_mut().insert("idempotency-key", "short".parse().unwrap());
        }),
    ];
    for (expected, change) in changes {
        let mut exchange = Exchange::good();
        change(&mut exchange);
        exchange.check(description(), expected);
    }
    for (place, name, value, expected) in [
        ("/components/schemas/TokenResponse/properties/token_type", "const", json!("MAC"), "breaks const"),
        (
            "/components/schemas/TokenResponse/properties",
            "expires_in",
            json!({ "type": "string" }),
            "/expires_in",
        ),
        ("/components/schemas/SessionId", "pattern", json!("^sess_"), "/session_id"),
        ("/components/headers/NoSniff/schema", "const", json!("sniff"), "X-Content-Type-Options"),
        ("/components/headers/RefreshCookie", "required", json!(true), "Set-Cookie is missing"),
        ("/paths/~1refresh/post", "responses", json!({}), "status 200 is not listed"),
        ("/paths/~1refresh", "post", Value::Null, "that is not listed"),
    ] {
        let mut changed = description().clone();
        let parent = changed.0.pointer_mut(place).unwrap().as_object_mut().unwrap();
        match value {
            Value::Null => drop(parent.remove(name)),
            value => drop(parent.insert(name.to_owned(), value)),
        }
        Exchange::good().check(&changed, expected);
    }
    let refused = |status, headers: &[(&str, &str)]| {
        let mut answer = Exchange::good().1;
        answer.status = status;
        answer.body = br#"{"error":"invalid_request","error_description":"x"}"#.to_vec();
        answer.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        answer
    };
    for (request, answer, expected) in [
        (request("PUT", "/refresh"), refused(405, &[("allow", "POST")]), ""),
        (
            request("PUT", "/sessions"),
            refused(405, &[("allow", "POST")]),
            "Allow is POST, and the path has GET",
        ),
        (request("PUT", "/refresh"), refused(405, &[]), "Allow is missing"),
        (request("PUT", "/refresh"), refused(404, &[]), "that is not listed"),
        (request("GET", "/elsewhere"), refused(404, &[]), ""),
        (request("GET", "/elsewhere"), refused(400, &[]), "that is not listed"),
    ] {
        Exchange(request, answer).check(description(), expected);
    }
}

/// `UPDATE_SNAPSHOTS=1` writes the page. Its section about cost stays as it is.
#[test]
fn the_page_is_up_to_date() {
    const PAGE: &str = "docs/reference/http-api.md";
    let present = read(PAGE);
    let tail = present.find("## Cost\n").map(|start| &present[start..]).unwrap_or_default();
    assert!(!tail.is_empty(), "the section about cost is written by hand");
    snapshot(PAGE, &format!("{}\n{tail}", page::page(description())));
}
