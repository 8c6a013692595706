//! The API: its routes, their throttles and its authorizers, and the ways past it.

use super::settings::direct;
use super::*;

/// The routes of a template: the method and path, the binary that answers, and the authorizer in front if there is one.
fn routes(template: &Template) -> BTreeSet<(String, &str, Option<&str>)> {
    let functions = template.functions().into_iter();
    functions
        .flat_map(|(binary, function)| {
            let events = function["Properties"]["Events"].as_object().into_iter().flat_map(Map::values);
            events.map(move |event| {
                assert_eq!(event["Type"], "HttpApi", "{binary}");
                let route = &event["Properties"];
                assert_eq!(route["PayloadFormatVersion"], "2.0", "{binary}");
                let auth = route.get("Auth");
                let authorizer = auth.map(|auth| {
                    assert_eq!(auth.as_object().map(Map::len), Some(1), "{binary}: {auth}");
                    text(&auth["Authorizer"])
                });
                (format!("{} {}", text(&route["Method"]), text(&route["Path"])), binary, authorizer)
            })
        })
        .collect()
}

#[test]
fn routes_lead_to_their_functions() {
    // ANY: the function itself answers a wrong method, with 405 and Allow.
    // The token endpoints are public. Callers of the others have logged in.
    let guarded = Some("DaypassAuthorizer");
    let expected = [
        ("ANY /login", "login", None),
        ("ANY /refresh", "refresh", None),
        ("ANY /revoke", "revoke", None),
        ("ANY /sessions", "sessions", guarded),
        ("ANY /sessions/{id}", "sessions", guarded),
        ("ANY /password", "password", guarded),
        ("OPTIONS /password", "password", None),
        ("OPTIONS /sessions", "sessions", None),
        ("OPTIONS /sessions/{id}", "sessions", None),
        ("ANY /revocations", "revocations", None),
        ("ANY /.well-known/{document+}", "discovery", None),
    ];
    let expected = expected.map(|(route, binary, authorizer)| (route.to_owned(), binary, authorizer)).into();
    assert_eq!(routes(&Template::read()), expected);
}

/// A flood at one route: API Gateway throttles by route, and the routes together leave half of the account's quota
/// (10,000 requests per second, bursts of 5,000) to other APIs.
///
/// invariant: Each route has its own throttle, and a password route a smaller one.
#[test]
fn a_flood_at_one_route_starves_only_that_route() {
    let template = Template::read();
    let (_, api) = template.resources("AWS::Serverless::HttpApi").next().unwrap();
    let settings = api["Properties"]["RouteSettings"].as_object().unwrap();
    let routes: Names = routes(&template).into_iter().map(|(route, ..)| route).collect();
    assert_eq!(names(settings.keys().map(String::as_str)), routes);
    let total = |limit: &str| -> u64 {
        let limits = settings.iter().map(|(route, settings)| {
            assert_eq!(settings["DetailedMetricsEnabled"], true, "{route}");
            let parameter = text(&settings[limit]["Ref"]);
            let hashes = ["ANY /login", "ANY /password"].contains(&route.as_str());
            assert_eq!(parameter, format!("{}{limit}", if hashes { "Login" } else { "" }), "{route}");
            template.0["Parameters"][parameter]["Default"].as_u64().unwrap()
        });
        limits.sum()
    };
    assert!(total("ThrottlingRateLimit") <= 5_000);
    assert!(total("ThrottlingBurstLimit") <= 5_000);
}

/// invariant: The stack's own authorizers read keys and revocations past the public routes.
#[test]
fn authorizers_have_a_way_that_no_public_route_shares() {
    let template = Template::read();
    let environment = template.environment("authorizer");
    let mut open = Names::new();
    for (variable, output, binary, condition) in [
        ("DAYPASS_REVOCATIONS_URL", "RevocationsUrl", "revocations", "FeedIsDirect"),
        ("DAYPASS_JWKS_URL", "JwksUrl", "discovery", "KeysAreDirect"),
    ] {
        assert_eq!(template.0["Parameters"][output]["Default"], "direct");
        assert_eq!(
            template.0["Conditions"][condition],
            json!({ "Fn::Equals": [{ "Ref": output }, "direct"] })
        );
        let told = &environment[variable]["Fn::If"];
        let exported = &template.0["Outputs"][format!("Direct{output}")];
        assert_eq!(told[0], condition);
        assert_eq!(exported["Condition"], condition);
        assert_eq!(told[1], exported["Value"], "other stacks get the same way");

        let (url, _) = direct(&told[1]).unwrap();
        let resource = template.resource(url);
        let function = text(&resource["Properties"]["TargetFunctionArn"]["Ref"]);
        assert_eq!(template.resource(function)["Metadata"]["BuildProperties"]["Binary"], binary);
        assert_eq!(resource["Condition"], condition);
        open.insert(function.to_owned());
    }
    // Everybody may call these two, by their function URLs alone.
    let public = template
        .resources("AWS::Lambda::Permission")
        .filter(|(_, permission)| permission["Properties"]["Principal"] == "*")
        .map(|(id, permission)| {
            let granted = &permission["Properties"];
            match text(&granted["Action"]) {
                "lambda:InvokeFunctionUrl" => assert_eq!(granted["FunctionUrlAuthType"], "NONE", "{id}"),
                action => {
                    assert_eq!(
                        (action, &granted["InvokedViaFunctionUrl"]),
                        ("lambda:InvokeFunction", &json!(true))
                    );
                }
            }
            text(&granted["FunctionName"]["Ref"])
        });
    assert_eq!(names(public), open);
}

/// invariant: With a domain, the stack has no other public address.
#[test]
fn with_a_domain_the_execute_api_endpoint_is_off() {
    let template = Template::read();
    let (_, api) = template.resources("AWS::Serverless::HttpApi").next().unwrap();
    let off = &api["Properties"]["DisableExecuteApiEndpoint"];
    assert_eq!(off, &json!({ "Fn::If": ["HasDomain", true, false] }));
    let url = &template.0["Outputs"]["ApiUrl"]["Value"]["Fn::If"];
    assert_eq!((&url[0], &url[1]["Fn::Sub"]), (&json!("HasDomain"), &json!("https://${DomainName}")));
}

/// What discovery announces is there.
#[test]
fn announced_endpoints_have_routes() {
    let template = Template::read();
    let lookup = |name: &str| {
        let value = template.environment("discovery").get(name)?;
        Some(example(&template.0["Parameters"], value))
    };
    let config = config::discovery(lookup).unwrap();
    let request = http::Request::get("/.well-known/openid-configuration").body(Vec::new()).unwrap();
    let jwks = Jwks::new(vec![Jwk::ed25519(&[1; 32])]);
    let answer = Discovery::new(&config.issuer, &jwks).unwrap().answer(&request);
    let metadata: Value = serde_json::from_slice(answer.body()).unwrap();

    let routes = routes(&template);
    let path =
        |member: &str| text(&metadata[member]).strip_prefix(config.issuer.as_str()).unwrap().to_owned();
    for (member, binary) in [("token_endpoint", "refresh"), ("revocation_endpoint", "revoke")] {
        assert!(
            routes.contains(&(format!("ANY {}", path(member)), binary, None)),
            "{member} is not the route of {binary}"
        );
    }
    assert!(path("jwks_uri").starts_with("/.well-known/"), "{}", path("jwks_uri"));
    let url = |output: &str| template.0["Outputs"][output]["Value"]["Fn::Sub"].clone();
    assert_eq!(url("JwksUrl"), format!("${{Issuer}}{}", path("jwks_uri")));
    assert_eq!(url("DirectJwksUrl"), format!("${{DirectKeysUrl.FunctionUrl}}{}", &path("jwks_uri")[1..]));
}

/// SAM turns only `{proxy+}` into a wildcard of the permission; for any other greedy route we grant it ourselves.
#[test]
fn api_gateway_may_call_what_answers_the_well_known_documents() {
    let template = Template::read();
    let permission = template.resource("DiscoveryPermission");
    let function = template.resource(text(&permission["Properties"]["FunctionName"]["Ref"]));
    assert_eq!(function["Metadata"]["BuildProperties"]["Binary"], "discovery");
    let source = text(&permission["Properties"]["SourceArn"]["Fn::Sub"]);
    assert!(source.ends_with(":${Api}/*/*/.well-known/*"), "{source}");
}

#[test]
fn the_authorizer_is_asked_about_every_request() {
    let template = Template::read();
    let (_, api) = template.resources("AWS::Serverless::HttpApi").next().unwrap();
    let auth = &api["Properties"]["Auth"];
    assert_eq!(auth.get("DefaultAuthorizer"), None, "the token endpoints are public");

    let authorizer = &auth["Authorizers"]["DaypassAuthorizer"];
    let function = template.resource(get_att(&authorizer["FunctionArn"], "Arn"));
    assert_eq!(function["Metadata"]["BuildProperties"]["Binary"], "authorizer");
    assert_eq!(authorizer["AuthorizerPayloadFormatVersion"], "2.0");
    assert_eq!(authorizer["EnableSimpleResponses"], true);
    // A cached "allow" may outlive its token.
    assert_eq!(authorizer["Identity"], json!({ "Headers": ["Authorization"], "ReauthorizeEvery": 0 }));
}

#[test]
fn access_logs_are_json_and_hold_nothing_that_a_caller_wrote() {
    // Not here, and not to be added: path and query may hold a misplaced token, a user agent a forged field, the
    // authorizer's context the user's id.
    const HARMLESS: [&str; 15] = [
        "authorizer.error",
        "authorizer.status",
        "httpMethod",
        "identity.sourceIp",
        "integration.latency",
        "integration.requestId",
        "integration.status",
        "integrationErrorMessage",
        "protocol",
        "requestId",
        "requestTime",
        "responseLatency",
        "responseLength",
        "routeKey",
        "status",
    ];
    let template = Template::read();
    let (_, api) = template.resources("AWS::Serverless::HttpApi").next().unwrap();
    let format: BTreeMap<String, String> =
        serde_json::from_str(text(&api["Properties"]["AccessLogSettings"]["Format"])).unwrap();
    let variables: Names = format.values().map(|variable| variable.replace("$context.", "")).collect();
    assert_eq!(variables, names(HARMLESS));
}
