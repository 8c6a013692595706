//! Every kind of API, with good and bad tokens.

use super::*;

/// The denial that each kind of API expects.
fn assert_refused(api: Api, answer: &Result<Value, String>, case: &str) {
    match api {
        Api::Rest | Api::WebSocket => assert_eq!(*answer, Err("Unauthorized".to_owned()), "{case}"),
        Api::HttpV2 => assert_eq!(*answer, Ok(json!({ "isAuthorized": false })), "{case}"),
        Api::HttpV1 => {
            let deny = json!([{ "Action": "execute-api:Invoke", "Effect": "Deny", "Resource": [format!("{STAGE}/*")] }]);
            let answer = answer.as_ref().unwrap();
            assert_eq!(answer["policyDocument"]["Statement"], deny, "{case}");
            assert_eq!(answer["principalId"], "anonymous", "{case}");
            assert_eq!(answer.get("context"), None, "{case}");
        }
    }
}

fn the_context() -> Value {
    json!({
        "sub": format!("usr_{}", "01".repeat(16)), "sid": format!("ses_{}", "02".repeat(16)),
        "client_id": "web", "scope": "orders:read", "auth_time": NOW.seconds(), "acr": "1",
    })
}

#[test]
fn a_good_token_passes_everywhere_with_its_context() {
    let fixture = fixture(&Settings::default());
    let token = fixture.issuer.token("orders:read");
    // `1*SP` (RFC 6750 §2.1).
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer  ", "Bearer    "] {
        for (api, event) in shapes(&json!(format!("{scheme}{token}"))) {
            let answer = fixture.ask(&event).unwrap();
            assert_eq!(answer["context"], the_context(), "{api:?}");
            if api == Api::HttpV2 {
                assert_eq!(answer, json!({ "isAuthorized": true, "context": the_context() }));
                continue;
            }
            let everything = json!({ "Action": "execute-api:Invoke", "Effect": "Allow", "Resource": [format!("{STAGE}/*")] });
            assert_eq!(answer["principalId"], the_context()["sub"], "{api:?}");
            assert_eq!(
                answer["policyDocument"],
                json!({ "Version": "2012-10-17", "Statement": [everything] }),
                "{api:?}: all of the stage, or a cached answer denies the next route"
            );
        }
    }
    assert!(fixture.journal.take().is_empty(), "a pass is not an event");
}

#[test]
fn an_http_api_that_wants_policies_gets_them() {
    let fixture = fixture(&Settings { http_answer: Some(HttpAnswer::Policy), ..Settings::default() });
    let good = fixture.ask(&http_v2(&json!(fixture.bearer("orders:read")), "GET", "/orders/7")).unwrap();
    assert_eq!(good["policyDocument"]["Statement"][0]["Effect"], "Allow");
    assert_eq!(good["context"], the_context());
    assert_eq!(good.get("isAuthorized"), None);
    assert_refused(Api::HttpV1, &fixture.ask(&http_v2(&json!("Bearer x"), "GET", "/orders/7")), "bad");
    assert_refused(Api::HttpV1, &fixture.ask(&http_v2(&Value::Null, "GET", "/orders/7")), "none");
}

#[test]
fn everything_but_one_good_token_is_denied() {
    let fixture = fixture(&Settings::default());
    let token = fixture.issuer.token("orders:read");
    let at = token.len() - 40;
    let other = if &token[at..=at] == "A" { "B" } else { "A" };
    let tampered = format!("Bearer {}{other}{}", &token[..at], &token[at + 1..]);
    let stranger = TestIssuer::new().token("orders:read");
    let bad = [
        json!(null),
        json!(7),
        json!(true),
        json!({ "Bearer": token }),
        json!([format!("Bearer {token}")]),
        json!(""),
        json!("Bearer"),
        json!("Bearer "),
        json!(token),
        json!(format!("Basic {token}")),
        json!("Bearer   "),
        json!(format!("Bearer  {token} x")),
        json!(format!("Bearer \t{token}")),
        json!(format!("Bearer\u{a0}{token}")),
        json!(format!("Bearer,{token}")),
        json!(format!("  Bearer {token}")),
        json!(format!("Bearer {token} ")),
        json!(format!(" Bearer {token}")),
        json!(format!("Bearer\t{token}")),
        json!(format!("Bearer {token},Bearer {token}")),
        json!(format!("Bearer {token}, Bearer {token}")),
        json!(format!("Bearer {token}\tx")),
        json!(tampered),
        json!(format!("Bearer {stranger}")),
        json!(format!("Bearer {}", "a.".repeat(5000))),
    ];
    for header in &bad {
        for (api, event) in shapes(header) {
            assert_refused(api, &fixture.ask(&event), &format!("{api:?} {header}"));
        }
    }
    let denied = fixture.journal.take();
    assert_eq!(denied.len(), bad.len() * shapes(&json!(null)).len(), "each is logged once");
    assert!(denied.iter().all(|event| matches!(event, JournalEvent::AuthorizeDenied { .. })));
}

/// REST APIs send the last value in `headers` and all values in `multiValueHeaders`, with the client's case.
#[test]
fn several_headers_are_refused() {
    let fixture = fixture(&Settings::default());
    let good = fixture.bearer("orders:read");
    let mut twice_named = http_v2(&json!(good), "GET", "/orders/7");
    twice_named["headers"]["Authorization"] = json!(good);
    assert_refused(Api::HttpV2, &fixture.ask(&twice_named), "two spellings");

    for several in
        [json!([good, good]), json!(["x", good]), json!([good, 7]), json!([]), json!("other"), json!(7)]
    {
        let mut event = rest_request(&json!(good), "GET", "/orders/7");
        event["multiValueHeaders"]["Authorization"] = several.clone();
        let expected = if several == json!([]) { Some(true) } else { None };
        assert_eq!(passes(&fixture.ask(&event), &format!("{STAGE}/GET/orders/7")), expected, "{several}");
    }
    let mut spelled = rest_request(&json!(null), "GET", "/orders/7");
    spelled["headers"]["aUTHORIZATION"] = json!(good);
    spelled["multiValueHeaders"] = Value::Null;
    assert!(fixture.ask(&spelled).is_ok(), "as the client wrote it");
    let mut only_listed = rest_request(&json!(null), "GET", "/orders/7");
    only_listed["headers"] = Value::Null;
    only_listed["multiValueHeaders"]["authorization"] = json!([good]);
    assert!(fixture.ask(&only_listed).is_ok());
}

/// The authorizer does not support the other ways to send a token (RFC 6750 §2.2 and 2.3).
///
/// invariant: The authorizer reads the token from the one `Authorization` header.
#[test]
fn a_token_elsewhere_is_no_token() {
    let fixture = fixture(&Settings::default());
    let token = fixture.issuer.token("orders:read");
    for (api, mut event) in shapes(&Value::Null) {
        for name in ["queryStringParameters", "stageVariables", "pathParameters"] {
            event[name] = json!({ "access_token": token, "authorization": format!("Bearer {token}") });
        }
        event["rawQueryString"] = json!(format!("access_token={token}"));
        event["cookies"] = json!([format!("authorization=Bearer {token}")]);
        event["body"] = json!(format!("access_token={token}"));
        if api != Api::Rest || event["type"] == "REQUEST" {
            event["authorizationToken"] = json!(format!("Bearer {token}"));
        }
        assert_refused(api, &fixture.ask(&event), &format!("{api:?}"));
    }
}

/// API Gateway would give a response that it caches under another key to other tokens.
///
/// invariant: API Gateway caches a response under the token that it was made for.
#[test]
fn a_header_that_is_not_the_cache_key_is_refused() {
    let fixture = fixture(&Settings::default());
    let good = fixture.bearer("orders:read");
    for (source, allowed) in [
        (json!([good]), true),
        (json!([good, "GET /orders/{id}"]), true),
        (json!([]), true),
        (json!([null]), true),
        (Value::Null, true),
        (json!([null, "192.0.2.1"]), false),
        (json!(["192.0.2.1"]), false),
        (json!({}), false),
        (json!(7), false),
    ] {
        let mut event = http_v2(&json!(good), "GET", "/orders/7");
        event["identitySource"] = source.clone();
        let answer = fixture.ask(&event);
        assert_eq!(passes(&answer, "").unwrap(), allowed, "{source}");
    }
    let mut event = http_v1(&json!(good), "GET", "/orders/7");
    event["identitySource"] = json!("192.0.2.1,x");
    assert_refused(Api::HttpV1, &fixture.ask(&event), "1.0");
    let cause = Denial::AuthorizationHeader(BadAuthorizationHeader::NotTheCacheKey);
    let last = fixture.journal.take().pop();
    assert_eq!(last, Some(JournalEvent::AuthorizeDenied { cause, user: None, session: None }));
}

#[test]
fn shapes_that_we_do_not_know_are_refused() {
    let fixture = fixture(&Settings::default());
    let header = json!(fixture.bearer("orders:read"));
    let with = |event: Value, name: &str, value: Value| {
        let mut event = event;
        event[name] = value;
        event
    };
    let rest = || rest_request(&header, "GET", "/orders/7");
    for event in [
        json!({ "type": "TOKEN" }),
        json!({ "headers": { "Authorization": header } }),
        with(rest(), "version", json!(1.0)),
        with(rest(), "version", json!("3.0")),
        with(rest(), "type", json!("request")),
        with(rest(), "methodArn", Value::Null),
        with(rest(), "methodArn", json!("arn:aws:s3:::bucket/a/b")),
        with(http_v2(&header, "GET", "/"), "type", json!("TOKEN")),
        with(http_v2(&header, "GET", "/"), "routeArn", Value::Null),
        with(http_v2(&header, "GET", "/"), "routeArn", json!(format!("{STAGE}/$connect"))),
        rest_token(&header, ""),
        rest_token(&header, "$connect"),
        with(
            rest_token(&header, "GET/"),
            "methodArn",
            json!("arn:aws:execute-api:eu-west-1:123456789012:*/*/GET/"),
        ),
    ]
    .into_iter()
    .filter(|event| event["methodArn"] != format!("{STAGE}/"))
    {
        assert_eq!(fixture.ask(&event), Err("Unauthorized".to_owned()), "{event}");
    }
    let cause = Denial::AuthorizationHeader(BadAuthorizationHeader::UnsupportedEvent);
    let unsupported = JournalEvent::AuthorizeDenied { cause, user: None, session: None };
    assert!(fixture.journal.take().iter().all(|event| *event == unsupported));
}

/// TOKEN and REQUEST of a REST API, HTTP API in both formats, and `$connect`, as serverless-offline
/// (`createAuthScheme.js`, `WebSocketAuthorizerEvent.js`), `sam local` (`local_apigw_service.py`), MiniStack and the test of
/// API Gateway's console send them.
fn events_of_emulators(authorization: &Value) -> Vec<(&'static str, Api, Value)> {
    let arn = "arn:aws:execute-api:eu-west-1:random-account-id:random-api-id/dev/GET/whoami";
    let headers = json!({ "Authorization": authorization, "Host": "localhost:3000" });
    let several = json!({ "Authorization": [authorization], "Host": ["localhost:3000"] });
    let context = json!({ "accountId": "random-account-id", "apiId": "random-api-id", "httpMethod": "GET",
        "path": "/dev/whoami", "requestId": "random-request-id", "stage": "dev" });
    let offline = |kind: &str| {
        json!({ "version": "1.0", "type": kind, "authorizationToken": authorization, "identitySource": authorization,
            "enhancedAuthContext": {}, "methodArn": arn, "headers": headers, "multiValueHeaders": several,
            "httpMethod": "GET", "path": "/dev/whoami", "pathParameters": null, "queryStringParameters": null,
            "requestContext": context, "resource": "/whoami" })
    };
    let without = |mut event: Value, names: &[&str]| {
        for name in names {
            event.as_object_mut().unwrap().remove(*name);
        }
        event
    };
    let offline_v2 = |sources: Value| {
        json!({ "version": "2.0", "type": "REQUEST", "enhancedAuthContext": {}, "routeArn": arn, "headers": headers,
            "identitySource": sources, "rawPath": "/whoami", "rawQueryString": "", "routeKey": "GET /whoami",
            "requestContext": { "accountId": "random-account-id", "requestId": "random-request-id", "stage": "dev",
                "http": { "method": "GET", "path": "/whoami", "protocol": "HTTP/1.1" } } })
    };
    let sam_rest = json!({ "version": "1.0", "type": "REQUEST", "methodArn": format!("{STAGE}/GET/whoami"),
        "httpMethod": "GET", "body": null, "resource": "/whoami", "path": "/whoami", "isBase64Encoded": false,
        "headers": headers, "multiValueHeaders": several, "stageVariables": null, "requestContext": {
            "requestId": "r1", "identity": { "sourceIp": "127.0.0.1" }, "stage": "prod" } });
    let mut sam_v1 = sam_rest.clone();
    sam_v1["identitySource"] = authorization.clone();
    sam_v1["authorizationToken"] = authorization.clone();
    let console = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/ESTestInvoke-stage/GET/";
    let web_socket = "arn:aws:execute-api:eu-west-1:123456789012:private/local/$connect";
    vec![
        ("serverless-offline TOKEN", Api::Rest, offline("TOKEN")),
        ("serverless-offline REQUEST", Api::Rest, offline("REQUEST")),
        (
            "serverless-offline REQUEST without cache",
            Api::Rest,
            without(offline("REQUEST"), &["identitySource", "authorizationToken"]),
        ),
        ("serverless-offline 2.0", Api::HttpV2, offline_v2(json!([authorization]))),
        ("serverless-offline 2.0 without cache", Api::HttpV2, offline_v2(json!([null]))),
        (
            "serverless-offline 3 TOKEN",
            Api::Rest,
            without(offline("TOKEN"), &["version", "identitySource", "headers", "multiValueHeaders"]),
        ),
        (
            "serverless-offline $connect",
            Api::WebSocket,
            json!({ "type": "REQUEST", "methodArn": web_socket, "headers": headers, "multiValueHeaders": several,
                "requestContext": { "routeKey": "$connect", "eventType": "CONNECT", "stage": "local" } }),
        ),
        ("sam local REQUEST", Api::Rest, sam_rest.clone()),
        ("sam local 1.0", Api::HttpV1, sam_v1),
        ("MiniStack 1.0", Api::Rest, without(sam_rest, &["version"])),
        (
            "console, TOKEN",
            Api::Rest,
            json!({ "type": "TOKEN", "methodArn": console, "authorizationToken": authorization }),
        ),
        (
            "console, older TOKEN",
            Api::Rest,
            json!({ "type": "TOKEN", "methodArn": console.replace("ESTestInvoke-stage", "null"),
                "authorizationToken": authorization }),
        ),
        (
            "console, REQUEST",
            Api::Rest,
            json!({ "version": null, "type": "REQUEST", "methodArn": console, "resource": "/", "path": "/",
                "httpMethod": "GET", "headers": { "Authorization": authorization }, "multiValueHeaders": null,
                "requestContext": { "stage": "test-invoke-stage", "identity": { "sourceIp": "test-invoke-source-ip" } } }),
        ),
        (
            "Terraform and CDK, 1.0",
            Api::HttpV1,
            json!({ "version": "1.0", "type": "REQUEST", "methodArn": arn, "identitySource": authorization,
                "authorizationToken": authorization, "headers": { "authorization": authorization },
                "requestContext": { "requestId": "r1", "identity": { "sourceIp": ADDRESS } } }),
        ),
    ]
}

#[test]
fn events_of_emulators_and_consoles_are_answered_as_their_api_expects() {
    let fixture = fixture(&Settings::default());
    let good = json!(fixture.bearer("orders:read"));
    for (case, api, event) in events_of_emulators(&good) {
        let arn = event.get("methodArn").or_else(|| event.get("routeArn")).unwrap().as_str().unwrap();
        assert_eq!(passes(&fixture.ask(&event), arn), Some(true), "{case}");
        // A form that Pruned must not hide.
        assert_eq!(Event::read(&event).map(|event| event.api), Some(api), "{case}");
    }
    for (case, api, event) in events_of_emulators(&json!("Bearer bad")) {
        let answer = fixture.ask(&event);
        match api {
            Api::Rest | Api::WebSocket => assert_eq!(answer, Err("Unauthorized".to_owned()), "{case}"),
            Api::HttpV1 | Api::HttpV2 => {
                let arn = event.get("methodArn").or_else(|| event.get("routeArn")).unwrap().as_str().unwrap();
                assert_eq!(passes(&answer, arn), Some(false), "{case}");
            }
        }
    }
    // A REST API of serverless-offline whose identity source differs from the header: the header decides.
    let (_, _, mut event) = events_of_emulators(&good).swap_remove(1);
    event["headers"]["Authorization"] = json!("Bearer bad");
    event["multiValueHeaders"]["Authorization"] = json!(["Bearer bad"]);
    assert_eq!(fixture.ask(&event), Err("Unauthorized".to_owned()));
}

/// Events of other tools from public bug reports, with the report, and whether a good token passes.
fn events_of_reports(authorization: &Value) -> Vec<(&'static str, bool, Value)> {
    let arn =
        |stage: &str, rest: &str| format!("arn:aws:execute-api:us-east-1:000000000000:abc/{stage}{rest}");
    let token = |arn: &str| json!({ "type": "TOKEN", "methodArn": arn, "authorizationToken": authorization });
    let request = |headers: Value| json!({ "type": "REQUEST", "methodArn": arn("dev", "/GET/pets"), "headers": headers });
    let connect = |mut more: Value| {
        more["type"] = json!("REQUEST");
        more["methodArn"] = json!(arn("dev", "/$connect"));
        more["headers"]["Upgrade"] = json!("websocket");
        more["requestContext"] = json!({ "routeKey": "$connect", "eventType": "CONNECT", "stage": "dev" });
        more
    };
    let v2 = |sources: Value| {
        json!({ "version": "2.0", "type": "REQUEST", "routeArn": arn("dev", "/GET/pets"), "identitySource": sources,
            "headers": { "Authorization": authorization, "host": "abc.execute-api.localhost.localstack.cloud:4566" },
            "requestContext": { "http": { "method": "GET", "path": "/pets" } } })
    };
    vec![
        (
            "localstack/localstack#12688, aws/aws-sam-cli#3208: capitals in format 2.0",
            true,
            v2(json!([authorization])),
        ),
        (
            "dherault/serverless-offline#1243: a second identity source",
            true,
            v2(json!([authorization, "127.0.0.1"])),
        ),
        ("floci-io/floci#812: no identity sources", true, v2(Value::Null)),
        ("localstack/localstack#6533: the root without a slash", true, token(&arn("local", "/GET"))),
        (
            "aws/chalice, local mode: a region that does not exist",
            true,
            token("arn:aws:execute-api:mars-west-1:123456789012:ymy8tbxw7b/api/GET/pets"),
        ),
        (
            "GovCloud and China: other partitions",
            true,
            token("arn:aws-us-gov:execute-api:us-gov-west-1:123456789012:abc/prod/GET/pets"),
        ),
        (
            "localstack/localstack#6058: an ARN that is a template",
            false,
            token(
                "\"arn:aws:execute-api:{self.invocation_context.region_name}:{account_id}:\"\"{self.api_id}/dev/GET/pets",
            ),
        ),
        (
            "floci-io/floci#807: type and ARN alone",
            false,
            json!({ "type": "REQUEST", "methodArn": arn("dev", "/GET/pets") }),
        ),
        (
            "aws/aws-sam-cli#1147: null for each header",
            false,
            request(json!({ "authorization": null, "cookie": null })),
        ),
        (
            "dherault/serverless-offline#1735: an empty text for no header",
            false,
            json!({ "type": "TOKEN",
            "methodArn": arn("dev", "/GET/pets"), "authorizationToken": "", "identitySource": "" }),
        ),
        (
            "sam local generate-event apigateway authorizer: a text for the token",
            false,
            json!({ "type": "TOKEN",
            "methodArn": "arn:aws:execute-api:us-east-1:123456789012:example/prod/POST/{proxy+}",
            "authorizationToken": "incoming-client-token" }),
        ),
        ("localstack/localstack#7191: $connect without the header", false, connect(json!({ "headers": {} }))),
        (
            "mousabaker/aws-lambda-typing#65: $connect with the token in the query",
            false,
            connect(json!({ "headers": {},
            "queryStringParameters": { "Authorization": authorization } })),
        ),
        (
            "aws/aws-appsync-community#214: an authorizer of AppSync",
            false,
            json!({ "authorizationToken": authorization,
            "requestContext": { "apiId": "abc", "accountId": "000000000000", "requestId": "r1", "queryString": "{ pets }",
                "variables": {} }, "requestHeaders": { "authorization": authorization } }),
        ),
    ]
}

#[test]
fn events_of_public_reports_pass_or_are_unauthorized() {
    let fixture = fixture(&Settings::default());
    for (case, allowed, event) in events_of_reports(&json!(fixture.bearer("orders:read"))) {
        let answer = fixture.ask(&event);
        if allowed {
            let arn = event.get("methodArn").or_else(|| event.get("routeArn")).unwrap().as_str().unwrap();
            assert_eq!(passes(&answer, arn), Some(true), "{case}: {answer:?}");
        } else {
            assert_eq!(answer, Err("Unauthorized".to_owned()), "{case}");
        }
    }
}

/// invariant: The authorizer denies an event of no API, and logs it once.
#[test]
fn a_warm_up_is_denied_without_an_error() {
    let fixture = fixture(&Settings::default());
    for event in [
        json!({ "source": "serverless-plugin-warmup" }),
        json!({ "version": "0", "id": "1", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {},
            "account": "123456789012", "region": "eu-west-1", "resources": [], "time": "2026-01-01T00:00:00Z" }),
        json!({ "source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}" }),
        json!({ "warmer": true, "concurrency": 3 }),
        json!({ "key1": "value1", "key2": "value2" }),
        json!({ "Records": [] }),
        json!({}),
        json!(null),
        json!([]),
        json!("TOKEN"),
    ] {
        assert_eq!(fixture.ask(&event), Ok(json!({ "isAuthorized": false })), "{event}");
        assert_eq!(fixture.journal.take(), [JournalEvent::FunctionWarmed {}], "{event}");
    }
}

#[test]
fn the_text_of_the_error_is_exactly_what_makes_a_401() {
    let diagnostic = lambda_runtime::Diagnostic::from(Error::Unauthorized);
    assert_eq!(diagnostic.error_message, "Unauthorized");
    assert_eq!(lambda_runtime::Diagnostic::from(Error::NoKeys).error_type, "NoKeys");
}

/// The event names user and session of a token with a valid signature. The address comes from `requestContext`.
#[test]
fn a_denial_names_whose_token_it_was_and_who_called() {
    let fixture = fixture(&Settings::default());
    let good = fixture.bearer("orders:read");
    *fixture.clock.0.lock().unwrap() = NOW + Duration::from_secs(10_000);
    for (_, event) in shapes(&json!(good)) {
        let _ = fixture.ask(&event);
    }
    let (user, session) = (Some(UserId::from_bytes([1; 16])), Some(SessionId::from_bytes([2; 16])));
    let expired = JournalEvent::AuthorizeDenied { cause: Denial::Token(Rejection::Expired), user, session };
    let sender = Caller { request_id: "r1".to_owned(), source_ip: ADDRESS.parse().ok(), user_agent: None };
    let mut expected = vec![(expired, sender); 6];
    expected[0].1 = Caller::default();
    assert_eq!(*fixture.journal.0.lock().unwrap(), expected);
}
