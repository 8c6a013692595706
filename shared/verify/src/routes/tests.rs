use super::path::{glob, globs_meet};
use super::*;
use proptest::prelude::*;
use serde_json::json;

fn table(text: &str) -> Table {
    Routes::parse(text).unwrap().of("anything").clone()
}

const ORDERS: &str = "
# an API of orders
GET /orders/*        needs orders:read
POST /orders         needs orders:write or orders:admin
DELETE /orders/*     needs orders:write orders:admin
* /health            public
* /me                any-token
GET /orders/secret/* needs secrets
PUT /frozen          deny
$connect             needs chat
";

/// The target of `GET /path` or `$connect`.
fn target(text: &str) -> Target<'_> {
    text.split_once(' ').map_or(Target::Connect, |(method, path)| Target::Http { method, path })
}

fn check(request: &str, bearer: Bearer<'_>, expected: Result<(), RouteDenial>) {
    assert_eq!(table(ORDERS).decide(target(request), bearer), expected, "{request} {bearer:?}");
}

/// Claims are needed in addition to scopes, and a policy holds for them too.
///
/// invariant: A cached policy decides by the claims of the token that it was made for.
#[test]
fn a_line_can_need_claims() {
    use RouteDenial::{ClaimMissing, ScopeMissing};
    let routes = table(
        "GET /reports/* needs reports claim:tenant; GET /reports/eu needs claim:region=eu; default deny",
    );
    for (claims, request, expected) in [
        (json!({ "tenant": "acme" }), "GET /reports/7", Ok(())),
        (json!({ "tenant": "" }), "GET /reports/7", Err(ClaimMissing)),
        (json!({}), "GET /reports/7", Err(ClaimMissing)),
        (json!({ "tenant": "acme" }), "GET /reports/eu", Err(ClaimMissing)),
        (json!({ "tenant": "acme", "region": ["eu", "us"] }), "GET /reports/eu", Ok(())),
        (json!({ "region": "eu" }), "GET /reports/eu", Err(ClaimMissing)),
    ] {
        let bearer =
            |scope| Bearer::Token { scope, claims: claims.as_object(), now: Timestamp::from_seconds(9) };
        assert_eq!(routes.decide(target(request), bearer("reports")), expected, "{claims} {request}");
        let cached = as_iam(&routes.permissions(bearer("reports"), false), target(request));
        assert_eq!(cached, expected.is_ok(), "{claims} {request}");
        assert_eq!(routes.decide(target(request), bearer("other")), Err(ScopeMissing), "{claims} {request}");
    }
}

#[test]
fn decisions() {
    use Bearer::Anonymous;
    use RouteDenial::{AmbiguousPath, NoRoute, ScopeMissing};
    check("GET /orders/7", Bearer::scope("orders:read"), Ok(()));
    check("GET /orders/7/lines/8", Bearer::scope("a orders:read b"), Ok(()));
    check("GET /orders/", Bearer::scope("orders:read"), Ok(()));
    check("GET /orders/7", Bearer::scope(""), Err(ScopeMissing));
    check("GET /orders/7", Bearer::scope("orders:reads xorders:read ORDERS:READ"), Err(ScopeMissing));
    check("GET /orders/7", Anonymous, Err(ScopeMissing));
    check("GET /orders", Bearer::scope("orders:read"), Err(NoRoute));
    check("GET /Orders/7", Bearer::scope("orders:read"), Err(NoRoute));
    check("HEAD /orders/7", Bearer::scope("orders:read"), Ok(()));
    check("HEAD /orders/7", Bearer::scope(""), Err(ScopeMissing));
    check("HEAD /me", Bearer::scope(""), Ok(()));
    check("HEAD /orders", Bearer::scope("orders:write"), Err(NoRoute));
    check("get /orders/7", Bearer::scope("orders:read"), Err(NoRoute));
    check("POST /orders", Bearer::scope("orders:admin"), Ok(()));
    check("POST /orders", Bearer::scope("orders:write"), Ok(()));
    check("DELETE /orders/7", Bearer::scope("orders:write"), Err(ScopeMissing));
    check("DELETE /orders/7", Bearer::scope("orders:write orders:admin"), Ok(()));
    // Both lines match, and both have to be met.
    check("GET /orders/secret/1", Bearer::scope("orders:read"), Err(ScopeMissing));
    check("GET /orders/secret/1", Bearer::scope("secrets"), Err(ScopeMissing));
    check("GET /orders/secret/1", Bearer::scope("secrets orders:read"), Ok(()));
    check("PATCH /health", Anonymous, Ok(()));
    check("GET /health", Bearer::scope(""), Ok(()));
    check("GET /admin/health", Anonymous, Err(NoRoute));
    check("GET /me", Anonymous, Err(ScopeMissing));
    check("GET /me", Bearer::scope(""), Ok(()));
    check("PUT /frozen", Bearer::scope("orders:admin"), Err(NoRoute));
    check("$connect", Bearer::scope("chat"), Ok(()));
    check("$connect", Bearer::scope("orders:read"), Err(ScopeMissing));
    for odd in [
        "/orders/../me",
        "/orders/./7",
        "/orders//7",
        "//me",
        "/orders/%2e%2e/me",
        "/orders/%2E",
        "/orders/a%2Fb",
        "/orders/%61",
        "/orders/%5c",
        "/orders/\\",
        "/orders/%",
        "/orders/%4",
        "/orders/%zz",
        "/orders/%00",
        "/orders/7;v=1",
        "/orders;/7",
        "/orders/7%3b",
    ] {
        check(&format!("GET {odd}"), Bearer::scope("orders:read"), Err(AmbiguousPath));
    }
    check("GET /orders/a%20b%C3%A9%40", Bearer::scope("orders:read"), Ok(()));
}

/// The table of the guide, whose second line a lenient server could be led around.
const CARVED: &str = "GET /orders/* needs orders:read; GET /orders/all needs orders:admin; GET /admin needs admin; \
                      default any-token";

/// Express ignores case and a slash at the end, Spring drops `;v=1`, and most frameworks serve `HEAD` by the handler of `GET`.
///
/// invariant: A line of the route table holds for the spellings that a lenient server serves by the same handler.
#[test]
fn a_carve_out_holds_behind_a_lenient_server() {
    use RouteDenial::{AmbiguousPath, ScopeMissing};
    let routes = table(CARVED);
    let scope = "orders:read";
    let policy = routes.permissions(Bearer::scope(scope), false);
    for (request, expected, cached) in [
        ("GET /orders/all", ScopeMissing, false),
        ("GET /orders/all/", ScopeMissing, false),
        ("GET /orders/all;v=1", AmbiguousPath, false),
        ("HEAD /orders/all", ScopeMissing, false),
        ("GET /admin/", ScopeMissing, false),
        ("HEAD /admin", ScopeMissing, false),
        ("HEAD /admin/", ScopeMissing, false),
        // No resource of a policy can ignore case: ADR 0066.
        ("GET /orders/ALL", AmbiguousPath, true),
        ("GET /orders/All/", AmbiguousPath, true),
        ("GET /ADMIN", AmbiguousPath, true),
    ] {
        let target = target(request);
        assert_eq!(routes.decide(target, Bearer::scope(scope)), Err(expected), "{request}");
        assert_eq!(as_iam(&policy, target), cached, "{request}");
    }
    let all = Bearer::scope("orders:read orders:admin admin");
    for request in ["GET /orders/all/", "HEAD /admin", "GET /orders/ALL", "GET /admin/"] {
        assert_eq!(routes.decide(target(request), all), Ok(()), "{request}: every reading is met");
    }
}

/// Ids are often base64url. They match a star, which has no case.
#[test]
fn ids_in_mixed_case_are_no_ambiguous_paths() {
    let routes = table("GET /Orders/*/Lines needs a; GET /orders/* needs a; GET /orders/all needs b");
    for (request, expected) in [
        ("GET /orders/AbC-123_xYz", Ok(())),
        ("GET /orders/ALLOWED", Ok(())),
        ("GET /orders/x/ALL", Ok(())),
        ("GET /Orders/aBc/Lines", Ok(())),
        ("GET /Orders/aBc", Err(RouteDenial::NoRoute)),
        ("GET /orders/aLL", Err(RouteDenial::AmbiguousPath)),
    ] {
        assert_eq!(routes.decide(target(request), Bearer::scope("a")), expected, "{request}");
    }
}

#[test]
fn a_line_covers_its_path_with_and_without_a_slash_at_the_end() {
    for line in ["GET /a needs a", "GET /a/ needs a"] {
        let routes = table(line);
        for (request, expected) in [
            ("GET /a", Ok(())),
            ("GET /a/", Ok(())),
            ("GET /a/b", Err(RouteDenial::NoRoute)),
            ("GET /a//", Err(RouteDenial::AmbiguousPath)),
            ("GET /", Err(RouteDenial::NoRoute)),
        ] {
            assert_eq!(routes.decide(target(request), Bearer::scope("a")), expected, "{line}: {request}");
        }
    }
    let root = table("GET / needs a");
    assert_eq!(root.decide(target("GET /"), Bearer::scope("a")), Ok(()));
    assert_eq!(root.decide(target("GET /a/"), Bearer::scope("a")), Err(RouteDenial::NoRoute));
}

#[test]
fn without_a_table_every_valid_token_may_call_everything() {
    let routes = Table::default();
    for request in ["GET /", "GET /a/../b", "TRACE /x", "$connect"] {
        assert_eq!(routes.decide(target(request), Bearer::scope("")), Ok(()), "{request}");
        assert_eq!(
            routes.decide(target(request), Bearer::Anonymous),
            Err(RouteDenial::ScopeMissing),
            "{request}"
        );
    }
    let everything = Permissions { all: true, allow: vec![], deny: vec![] };
    assert_eq!(routes.permissions(Bearer::scope("a"), false), everything);
    assert!(!routes.permissions(Bearer::Anonymous, false).all);
}

/// A policy's denials name methods. Another method must not pass by the default.
#[test]
fn a_method_that_no_line_can_name_is_no_route() {
    let routes = table("default any-token; * /admin/* needs admin");
    for request in ["TRACE /admin/x", "FOO /x", "$default /", "get /x"] {
        let Some((method, path)) = request.split_once(' ') else { panic!("{request}") };
        let target = Target::Http { method, path };
        assert_eq!(routes.decide(target, Bearer::scope("admin")), Err(RouteDenial::NoRoute), "{request}");
        assert!(!as_iam(&routes.permissions(Bearer::scope(""), false), target), "{request}");
    }
    assert_eq!(routes.decide(target("GET /x"), Bearer::scope("")), Ok(()));
    assert!(as_iam(&routes.permissions(Bearer::scope(""), false), target("GET /x")));
}

#[test]
fn what_stands_in_a_remark_is_not_in_force() {
    let routes = table(
        "GET /b any-token\n# off: GET /a public; GET /debug public\nGET /c any-token; GET /d any-token",
    );
    assert!(routes.decide(target("GET /debug"), Bearer::Anonymous).is_err());
    assert_eq!(routes.decide(target("GET /d"), Bearer::scope("")), Ok(()));
}

#[test]
fn the_default_is_a_choice() {
    for (text, expected) in [
        ("GET /a needs a", Err(RouteDenial::NoRoute)),
        ("GET /a needs a;default deny", Err(RouteDenial::NoRoute)),
        ("default any-token; GET /a needs a", Ok(())),
        ("default any-token", Ok(())),
    ] {
        assert_eq!(table(text).decide(target("GET /b"), Bearer::scope("")), expected, "{text}");
    }
}

fn check_refused(text: &str, expected: &[&str]) {
    let error = Routes::parse(text).unwrap_err();
    for part in expected {
        assert!(error.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn an_api_may_have_a_table_of_its_own() {
    let text = "GET /shared any-token\napi abc123\nGET /a needs a\ndefault deny\napi shut\napi open99\ndefault any-token";
    let routes = Routes::parse(text).unwrap();
    for (api, request, expected) in [
        ("abc123", "GET /a", Ok(())),
        ("abc123", "GET /shared", Err(RouteDenial::NoRoute)),
        ("other", "GET /shared", Ok(())),
        ("other", "GET /a", Err(RouteDenial::NoRoute)),
        ("ABC123", "GET /a", Err(RouteDenial::NoRoute)),
        ("shut", "GET /shared", Err(RouteDenial::NoRoute)),
        ("open99", "GET /whatever", Ok(())),
    ] {
        assert_eq!(routes.of(api).decide(target(request), Bearer::scope("a")), expected, "{api} {request}");
    }
    let only = Routes::parse("api abc123; GET /a needs a").unwrap();
    assert_eq!(*only.of("other"), Table::default(), "others are as without a table");
    check_refused("api abc; api abc", &["line 2", "twice"]);
    check_refused("api a/b; GET /a any-token", &["line 1", "one API"]);
    check_refused("api; GET /a any-token", &["line 1"]);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    check_refused("", &["no line says anything"]);
    check_refused("# only a remark", &["no line says anything"]);
    check_refused("GET /a needs a\nFETCH /b public", &["line 2 `FETCH /b public`", "one of DELETE GET"]);
    check_refused("get /a public", &["line 1"]);
    check_refused("GET a public; POST  public", &["line 1 ", "line 2 ", "starts with a slash"]);
    check_refused("GET /a", &["line 1", "needs SCOPE"]);
    check_refused("GET /a needs", &["followed by a scope"]);
    check_refused("GET /a needs a or", &["followed by a scope"]);
    check_refused("GET /a needs or b", &["followed by a scope"]);
    check_refused("GET /a needs \"a\"", &["no scope"]);
    check_refused("GET /a everybody", &["needs SCOPE"]);
    check_refused("GET /a public too", &["needs SCOPE"]);
    check_refused("GET /orders/{id} any-token", &["write *"]);
    check_refused("GET /a?b any-token", &["`?`"]);
    check_refused("GET /\u{e9} any-token", &["`\u{e9}`"]);
    check_refused("GET /a//b any-token", &["no empty segment"]);
    check_refused("GET /a/../b any-token", &["no empty segment"]);
    check_refused("GET /%61 any-token", &["no empty segment"]);
    check_refused(&format!("GET /{} any-token", "a".repeat(MAX_PATH)), &["longer than 256"]);
    check_refused("default maybe", &["the default is"]);
    check_refused("default deny; default deny", &["line 2", "line 1"]);
    check_refused("GET /* needs a\n\n* /health public", &["lines 1 and 3 overlap"]);
    check_refused("* /a/*/z public; GET /a/b/* any-token", &["lines 1 and 2 overlap"]);
    check_refused(&"* /a any-token;".repeat(10), &["140 resources"]);
    check_refused("GET /a/*/ any-token", &["ends in `*`"]);
    check_refused("GET /a public; HEAD /a any-token", &["lines 1 and 2 overlap"]);
    check_refused("GET /a public; GET /a/ any-token", &["lines 1 and 2 overlap"]);
    check_refused("GET /a public; GET /A any-token", &["lines 1 and 2 overlap"]);
    check_refused(&"x".repeat(5000), &["longer than 4096"]);
    assert!(Routes::parse("* /health public; GET /healthy any-token; POST /h* any-token").is_err());
    assert!(Routes::parse("GET /health public; POST /* any-token; GET /a/* any-token").is_ok());
}

#[test]
fn a_policy_says_no_more_than_it_must() {
    let routes = table(ORDERS);
    let shown = |patterns: &[&Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
    let permissions = routes.permissions(Bearer::scope("orders:read"), false);
    assert!(!permissions.all);
    assert_eq!(shown(&permissions.allow), ["GET /orders/*", "* /health", "* /me"]);
    assert_eq!(shown(&permissions.deny), ["GET /orders/secret/*", "*;*"], "nothing allows the others");
    let chat = routes.permissions(Bearer::scope("chat"), true);
    assert_eq!((shown(&chat.allow), shown(&chat.deny)), (vec!["$connect".to_owned()], vec![]));
    let public = routes.permissions(Bearer::Anonymous, false);
    assert_eq!(
        (shown(&public.allow), shown(&public.deny)),
        (vec!["* /health".to_owned()], vec!["*;*".to_owned()])
    );
    assert_eq!(shown(&table("GET /a needs a").permissions(Bearer::scope(""), false).deny), [""; 0]);
}

#[test]
fn methods_and_the_slash_at_the_end_are_written_out() {
    let resources = |line: &str| table(line).lines[0].pattern.resources();
    let both = |method: &str| [format!("{method}/health"), format!("{method}/health/")];
    assert_eq!(resources("* /health public"), METHODS.map(both).concat());
    assert_eq!(resources("* /* any-token"), METHODS.map(|method| format!("{method}/*")));
    assert_eq!(resources("GET /* any-token"), ["GET/*", "HEAD/*"]);
    assert_eq!(resources("POST /a any-token"), both("POST").map(|resource| resource.replace("health", "a")));
    assert_eq!(resources("PUT / any-token"), ["PUT/"]);
    assert_eq!(resources("$connect any-token"), ["$connect"]);
}

/// The decision of IAM on permissions: an explicit Deny wins, otherwise an Allow has to match. `*` matches slashes too.
fn as_iam(permissions: &Permissions<'_>, target: Target<'_>) -> bool {
    let arn = match target {
        Target::Http { method, path } => format!("{method}{path}"),
        Target::Connect => "$connect".to_owned(),
    };
    let any = |patterns: &[&Pattern]| {
        patterns.iter().flat_map(|pattern| pattern.resources()).any(|resource| regex_like(&resource, &arn))
    };
    (permissions.all || any(&permissions.allow)) && !any(&permissions.deny)
}

/// The wildcard of IAM by its definition, independent of the code under test.
fn regex_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|tail| regex_like(after, tail)))
        }),
    }
}

/// A path of these segments, with one of these ends.
fn path(segments: Vec<&'static str>, ends: Vec<&'static str>) -> impl Strategy<Value = String> {
    let segments = prop::collection::vec(prop::sample::select(segments), 1..4);
    (segments, prop::sample::select(ends)).prop_map(|(segments, end)| {
        let path = format!("/{}", segments.join("/"));
        if path.ends_with('*') { path } else { path + end }
    })
}

/// A path of a line.
fn line_path() -> impl Strategy<Value = String> {
    path(vec!["a", "b", "ab", "*", "a*", "*b", "c", "B"], vec!["", "", "/"])
}

fn line() -> impl Strategy<Value = String> {
    let method = prop::sample::select(vec!["GET", "POST", "DELETE", "*"]);
    let who = prop::sample::select(vec![
        "public",
        "any-token",
        "deny",
        "needs x",
        "needs y",
        "needs x y",
        "needs x or z",
        "needs claim:t",
        "needs x claim:t=a or y",
        "needs acr:2",
        "needs x within 5 or acr:2",
    ]);
    prop_oneof![
        9 => (method, line_path(), who.clone()).prop_map(|(method, path, who)| format!("{method} {path} {who}")),
        1 => who.prop_map(|who| format!("$connect {who}")),
    ]
}

fn request() -> impl Strategy<Value = (String, bool)> {
    let method = prop::sample::select(METHODS.to_vec());
    let segments = vec!["a", "b", "ab", "q", "aq", "qb", "c", "A", "B", "aB"];
    let path = path(segments, vec!["", "", "/", ";v=1"]);
    prop_oneof![
        9 => (method, path).prop_map(|(method, path)| (format!("{method} {path}"), false)),
        1 => Just(("$connect".to_owned(), true)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    /// A cached policy decides each route as the table would.
    ///
    /// invariant: A cached policy decides each route as the route table does.
    #[test]
    fn the_policy_decides_as_the_table(
        lines in prop::collection::vec(line(), 1..6),
        default in prop::sample::select(vec!["", "default deny", "default any-token"]),
        scope in prop::option::of(prop::sample::select(vec!["", "x", "y", "x y", "z", "x y z"])),
        claims in prop::sample::select(vec![json!({}), json!({ "t": "a" }), json!({ "t": ["a", "b"] }), json!({ "t": "b", "acr": "2" }), json!({ "auth_time": 4 }), json!({ "auth_time": 3, "acr": "1" })]),
        requests in prop::collection::vec(request(), 1..20),
    ) {
        let parsed = Routes::parse(&format!("{}\n{default}", lines.join("\n")));
        prop_assume!(parsed.is_ok());
        let routes = parsed.unwrap().of("anything").clone();
        let bearer = scope.map_or(Bearer::Anonymous, |scope| Bearer::Token { scope, claims: claims.as_object(), now: Timestamp::from_seconds(9) });
        for (request, connect) in &requests {
            let target = target(request);
            let cached = as_iam(&routes.permissions(bearer, *connect), target);
            match routes.decide(target, bearer) {
                // No policy can ignore case.
                Err(RouteDenial::AmbiguousPath) if !request.contains(';') => prop_assert!(cached, "{} {:?}", request, lines),
                decision => prop_assert_eq!(decision.is_ok(), cached, "{} {:?}", request, lines),
            }
        }
    }

    #[test]
    fn a_printed_table_is_read_as_the_same_table(
        lines in prop::collection::vec(line(), 1..6),
        default in prop::sample::select(vec!["", "default deny", "api abc", "default any-token\napi abc\ndefault deny"]),
        more in prop::collection::vec(line(), 0..2),
    ) {
        let parsed = Routes::parse(&format!("{}\n{default}\n{}", lines.join("\n"), more.join("\n")));
        prop_assume!(parsed.is_ok());
        let routes = parsed.unwrap();
        prop_assert_eq!(Routes::parse(&routes.to_string()), Ok(routes));
    }

    #[test]
    fn globs(pattern in "[ab*]{0,8}", other in "[ab*]{0,8}", text in "[ab]{0,8}") {
        let (first, second) = (pattern.as_bytes(), other.as_bytes());
        prop_assert_eq!(glob(first, text.as_bytes()), regex_like(&pattern, &text));
        if glob(first, text.as_bytes()) && glob(second, text.as_bytes()) {
            prop_assert!(globs_meet(first, second), "{} {} {}", pattern, other, text);
        }
        // A text without stars meets a pattern exactly if it matches it.
        prop_assert_eq!(globs_meet(first, text.as_bytes()), glob(first, text.as_bytes()));
    }
}
