//! The API: its routes, their throttles and its authorizers, and the ways past it.

use super::settings::direct;
use super::*;

/// The template of the API.
fn api() -> Template {
    Template::at("infra/api.yaml")
}

/// The binary of the function whose ARN the main template passes to the API in this parameter.
fn passed(parameter: &str) -> String {
    let template = Template::read();
    let value = &template.resource("Routing")["Properties"]["Parameters"][parameter];
    let function = template.resource(get_att(value, "Arn"));
    text(&function["Metadata"]["BuildProperties"]["Binary"]).to_owned()
}

/// What stands in front of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Guard {
    None,
    Authorizer,
    Iam,
}

/// The routes: method and path, the binary that answers, and what stands in front.
fn routes() -> BTreeSet<(String, String, Guard)> {
    let api = api();
    api.resources("AWS::ApiGatewayV2::Route")
        .map(|(id, route)| {
            let route = &route["Properties"];
            let target = text(&route["Target"]["Fn::Sub"]);
            let integration = target.strip_prefix("integrations/${").and_then(|id| id.strip_suffix('}'));
            let integration = integration.expect("a target is an integration");
            let integration = &api.resource(integration)["Properties"];
            assert_eq!(integration["PayloadFormatVersion"], "2.0", "{id}");
            assert_eq!(integration["IntegrationType"], "AWS_PROXY", "{id}");
            let guard = match route.get("AuthorizationType").map(text) {
                None => Guard::None,
                Some("AWS_IAM") => Guard::Iam,
                Some(kind) => {
                    assert_eq!((kind, text(&route["AuthorizerId"]["Ref"])), ("CUSTOM", "Authorizer"), "{id}");
                    Guard::Authorizer
                }
            };
            assert_eq!(guard == Guard::Authorizer, route.get("AuthorizerId").is_some(), "{id}");
            let binary = passed(text(&integration["IntegrationUri"]["Ref"]));
            (text(&route["RouteKey"]).to_owned(), binary, guard)
        })
        .collect()
}

#[test]
fn routes_lead_to_their_functions() {
    // ANY: the function itself answers a wrong method, with 405 and Allow.
    // The token endpoints are public, and so are those of people who cannot log in. Callers of the others have logged in, and
    // IAM knows operators.
    let expected = [
        ("ANY /login", "login", Guard::None),
        ("ANY /login/{step+}", "login", Guard::None),
        ("ANY /factors", "password", Guard::Authorizer),
        ("ANY /factors/{operation+}", "password", Guard::Authorizer),
        ("OPTIONS /factors", "password", Guard::None),
        ("OPTIONS /factors/{operation+}", "password", Guard::None),
        ("ANY /refresh", "refresh", Guard::None),
        ("ANY /token", "refresh", Guard::None),
        ("ANY /introspect", "introspect", Guard::None),
        ("ANY /revoke", "revoke", Guard::None),
        ("ANY /sessions", "sessions", Guard::Authorizer),
        ("ANY /sessions/{id}", "sessions", Guard::Authorizer),
        ("ANY /password", "password", Guard::Authorizer),
        ("OPTIONS /password", "password", Guard::None),
        ("ANY /email", "password", Guard::Authorizer),
        ("OPTIONS /email", "password", Guard::None),
        ("ANY /reauthenticate", "password", Guard::Authorizer),
        ("ANY /reauthenticate/passkey/options", "password", Guard::Authorizer),
        ("OPTIONS /reauthenticate", "password", Guard::None),
        ("OPTIONS /reauthenticate/passkey/options", "password", Guard::None),
        ("ANY /email/confirm", "account", Guard::None),
        ("ANY /recover", "account", Guard::None),
        ("ANY /recover/confirm", "account", Guard::None),
        ("ANY /signup", "account", Guard::None),
        ("ANY /signup/confirm", "account", Guard::None),
        ("OPTIONS /sessions", "sessions", Guard::None),
        ("OPTIONS /sessions/{id}", "sessions", Guard::None),
        ("ANY /admin/{operation+}", "admin", Guard::Iam),
        ("ANY /revocations", "revocations", Guard::None),
        ("ANY /.well-known/{document+}", "discovery", Guard::None),
    ];
    let expected = expected.map(|(route, binary, guard)| (route.to_owned(), binary.to_owned(), guard));
    assert_eq!(routes(), expected.into());
}

/// A CDN that does not know a path forwards it to the files of the page. Operators call `/admin` at the API itself.
#[test]
fn the_guide_for_a_cdn_has_every_path() {
    let page = fs::read_to_string(root().join("docs/operations/cdn.md")).unwrap();
    let behaviors: Names = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `/"))
        .flat_map(|line| {
            format!("`/{line}").split('|').next().unwrap().split(',').map(unquoted).collect::<Vec<_>>()
        })
        .collect();
    for (route, ..) in routes() {
        let path = route.split_once(' ').unwrap().1;
        let start = path.split_once('{').map_or(path, |(start, _)| start);
        let listed = behaviors.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => pattern == start,
        });
        assert!(listed || path.starts_with("/admin/"), "{path}");
    }
}

fn unquoted(cell: &str) -> String {
    cell.trim().trim_matches('`').to_owned()
}

/// A flood at one route: API Gateway throttles by route, and the routes together leave half of the account's quota
/// (10,000 requests per second, bursts of 5,000) to other APIs.
///
/// invariant: Each route has its own throttle, and a password route a smaller one.
#[test]
fn a_flood_at_one_route_starves_only_that_route() {
    let api = api();
    let stage = api.resource("Stage");
    let settings = stage["Properties"]["RouteSettings"].as_object().unwrap();
    let routes: Names = routes().into_iter().map(|(route, ..)| route).collect();
    assert_eq!(names(settings.keys().map(String::as_str)), routes);
    // API Gateway rejects a throttle of a route that does not exist yet.
    let before = names(list(&stage["DependsOn"]).into_iter().map(text));
    assert_eq!(before, names(api.resources("AWS::ApiGatewayV2::Route").map(|(id, _)| id)));
    for limit in ["ThrottlingRateLimit", "ThrottlingBurstLimit"] {
        let limit_of = |route: &str| settings[route][limit].as_u64().unwrap();
        let total: u64 = settings.keys().map(|route| limit_of(route)).sum();
        assert!(total <= 5_000, "{limit}: {total}");
        for hashing in [
            "ANY /login",
            "ANY /login/{step+}",
            "ANY /factors/{operation+}",
            "ANY /password",
            "ANY /reauthenticate",
            "ANY /admin/{operation+}",
            "ANY /email",
            "ANY /recover",
            "ANY /recover/confirm",
            "ANY /signup",
            "ANY /signup/confirm",
        ] {
            assert!(limit_of(hashing) * 10 <= limit_of("ANY /refresh"), "{hashing}");
        }
    }
    // Metrics of routes cost 0.30 USD each, and no alarm reads them.
    assert!(settings.values().all(|settings| settings["DetailedMetricsEnabled"] == false));
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
    let api = api();
    let public = template
        .resources("AWS::Lambda::Permission")
        .chain(api.resources("AWS::Lambda::Permission"))
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
            text(&granted["FunctionName"]["Ref"]).trim_end_matches("Arn")
        });
    assert_eq!(names(public), open);
}

/// invariant: With a domain, the stack has no other public address.
#[test]
fn with_a_domain_the_execute_api_endpoint_is_off() {
    let template = Template::read();
    let off = &template.resource("HttpApi")["Properties"]["DisableExecuteApiEndpoint"];
    assert_eq!(off, &json!({ "Fn::If": ["HasDomain", true, false] }));
    let url = &template.resource("ApiUrlParameter")["Properties"]["Value"]["Fn::If"];
    assert_eq!((&url[0], &url[1]["Fn::Sub"]), (&json!("HasDomain"), &json!("https://${DomainName}")));
    assert_eq!(url[2], json!({ "Fn::GetAtt": "HttpApi.ApiEndpoint" }));
}

/// One deployment is enough: the issuer is a parameter, the domain or the URL of the API, in this order. Everything else
/// reads it at one place.
///
/// invariant: A stack with default parameters is its own issuer.
#[test]
fn the_issuer_defaults_to_the_url_of_the_api() {
    let template = Template::read();
    assert_eq!(template.0["Parameters"]["Issuer"]["Default"], "");
    let issuer = &template.resource("IssuerParameter")["Properties"]["Value"]["Fn::If"];
    assert_eq!((&issuer[0], &issuer[1]), (&json!("HasIssuer"), &json!({ "Ref": "Issuer" })));
    assert_eq!(issuer[2], template.resource("ApiUrlParameter")["Properties"]["Value"]);
    let text = fs::read_to_string(root().join("template.yaml")).unwrap();
    assert_eq!(text.matches("!Ref Issuer,").count(), 2, "one condition and one parameter of SSM");
    for binary in template.functions().into_keys() {
        if let Some(issuer) = template.environment(binary).get("DAYPASS_ISSUER") {
            assert_eq!(issuer, &json!({ "Fn::GetAtt": "IssuerParameter.Value" }), "{binary}");
        }
    }
}

/// An export cannot change while another stack imports it, and a parameter of SSM can.
#[test]
fn what_other_stacks_need_is_a_parameter_of_ssm() {
    let template = Template::read();
    let parameters = template.resources("AWS::SSM::Parameter").map(|(id, parameter)| {
        let name = text(&parameter["Properties"]["Name"]["Fn::Sub"]);
        let name = name.strip_prefix("/daypass/${AWS::StackName}/").unwrap_or_else(|| panic!("{id}: {name}"));
        name.to_owned()
    });
    let expected = ["issuer", "audience", "jwks-url", "revocations-url", "authorizer-arn", "api-url"];
    assert_eq!(parameters.collect::<Names>(), names(expected));
}

/// invariant: The stack's API expects the response form that the authorizer sends.
#[test]
fn the_api_expects_what_the_authorizer_answers() {
    let template = Template::read();
    assert_eq!(template.environment("authorizer")["DAYPASS_HTTP_ANSWER"], json!({ "Ref": "HttpAnswer" }));
    let simple = &template.resource("Routing")["Properties"]["Parameters"]["SimpleResponses"];
    assert_eq!(simple, &json!({ "Fn::If": ["AnswersSimply", "true", "false"] }));
    let condition = &template.0["Conditions"]["AnswersSimply"];
    assert_eq!(condition, &json!({ "Fn::Equals": [{ "Ref": "HttpAnswer" }, "simple"] }));
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

    let routes = routes();
    let path =
        |member: &str| text(&metadata[member]).strip_prefix(config.issuer.as_str()).unwrap().to_owned();
    for (member, binary) in [
        ("token_endpoint", "refresh"),
        ("revocation_endpoint", "revoke"),
        ("introspection_endpoint", "introspect"),
    ] {
        assert!(
            routes.contains(&(format!("ANY {}", path(member)), binary.to_owned(), Guard::None)),
            "{member} is not the route of {binary}"
        );
    }
    assert!(path("jwks_uri").starts_with("/.well-known/"), "{}", path("jwks_uri"));
    let sub = |value: &Value| text(&value["Fn::Sub"]).to_owned();
    let announced = sub(&template.resource("JwksUrlParameter")["Properties"]["Value"]);
    assert_eq!(announced, format!("${{IssuerParameter.Value}}{}", path("jwks_uri")));
    assert_eq!(
        sub(&template.0["Outputs"]["DirectJwksUrl"]["Value"]),
        format!("${{DirectKeysUrl.FunctionUrl}}{}", &path("jwks_uri")[1..])
    );
}

/// invariant: API Gateway may invoke each function by its own routes and no others.
#[test]
fn api_gateway_may_call_each_function_on_its_routes() {
    let api = api();
    let mut granted = BTreeSet::new();
    for (id, permission) in api.resources("AWS::Lambda::Permission") {
        let permission = &permission["Properties"];
        let by_url = permission["InvokedViaFunctionUrl"] == json!(true);
        if by_url || permission["Action"] == "lambda:InvokeFunctionUrl" {
            continue;
        }
        assert_eq!(permission["Principal"], "apigateway.amazonaws.com", "{id}");
        let source = text(&permission["SourceArn"]["Fn::Sub"]);
        let (_, path) = source.split_once(":${ApiId}/").unwrap_or_else(|| panic!("{id}: {source}"));
        granted.insert((passed(text(&permission["FunctionName"]["Ref"])), path.to_owned()));
    }
    assert!(granted.remove(&("authorizer".to_owned(), "authorizers/${Authorizer}".to_owned())));
    for (route, binary, _) in routes() {
        let path = route.split_once(' ').unwrap().1.to_owned();
        let covered = granted.iter().any(|(function, source)| {
            let source = source.strip_prefix("*/*").unwrap();
            *function == binary
                && source.strip_suffix('*').map_or(source == path, |start| path.starts_with(start))
        });
        assert!(covered, "{route}");
    }
    let expected = "one for each function, four more for /email, /factors, /reauthenticate and /token, and three for `account`";
    assert_eq!(granted.len(), 16, "{expected}");
}

#[test]
fn the_authorizer_is_asked_about_every_request() {
    let api = api();
    let authorizer = &api.resource("Authorizer")["Properties"];
    let uri = text(&authorizer["AuthorizerUri"]["Fn::Sub"]);
    assert!(uri.ends_with("/functions/${AuthorizerFunctionArn}/invocations"), "{uri}");
    assert_eq!(passed("AuthorizerFunctionArn"), "authorizer");
    assert_eq!(authorizer["AuthorizerPayloadFormatVersion"], "2.0");
    assert_eq!(authorizer["IdentitySource"], json!(["$request.header.Authorization"]));
    // A cached "allow" may outlive its token.
    assert_eq!(authorizer["AuthorizerResultTtlInSeconds"], 0);
}

#[test]
fn access_logs_are_json_and_hold_nothing_that_a_caller_wrote() {
    // Not here, and not to be added: path and query may hold a misplaced token, a user agent a forged field, the
    // authorizer's context the user's id.
    // Variables of an HTTP API: those of REST APIs, such as `authorizer.status`, are always "-".
    const HARMLESS: [&str; 15] = [
        "authorizer.error",
        "error.responseType",
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
    let stage = &api().0["Resources"]["Stage"]["Properties"]["AccessLogSettings"];
    let format: BTreeMap<String, String> = serde_json::from_str(text(&stage["Format"])).unwrap();
    let variables: Names = format.values().map(|variable| variable.replace("$context.", "")).collect();
    assert_eq!(variables, names(HARMLESS));
}
