//! The gateway over HTTP, with functions behind a fake of Lambda's Invoke API.
//!
//! The fake replaces `cargo lambda watch`: it receives events and responds as the test says. The gateway on its socket,
//! the guarded service and the client are real.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy.toml exempts test functions; the helpers here are called by nothing else"
)]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::routing::post;
use daypass_gateway::{Authorizer, Gateway, IdentitySource, Limits, Routes, Site, serve, serve_site};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Behaviour of a function.
type Function = fn(&str, &Value) -> Reply;

enum Reply {
    Returns(Value),
    /// Error of a function in the form of `cargo lambda watch`.
    Fails(&'static str),
    /// Error of a function in the form of AWS.
    FailsAsOnAws(&'static str),
    Hangs,
}

/// Events of the fake Invoke API, with the names of the functions.
type Events = Arc<Mutex<Vec<(String, Value)>>>;

struct Stack {
    address: SocketAddr,
    client: reqwest::Client,
    events: Events,
    stop: Option<oneshot::Sender<()>>,
    gateway: JoinHandle<std::io::Result<()>>,
    invoke_api: JoinHandle<()>,
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.gateway.abort();
        self.invoke_api.abort();
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn invoked(
    State((function, events)): State<(Function, Events)>,
    Path(name): Path<String>,
    body: Bytes,
) -> Response<Body> {
    let event: Value = serde_json::from_slice(&body).unwrap();
    events.lock().unwrap().push((name.clone(), event.clone()));
    let error = |message: &str| Body::from(json!({"errorType": "E", "errorMessage": message}).to_string());
    match function(&name, &event) {
        Reply::Returns(answer) => Response::new(Body::from(answer.to_string())),
        Reply::Fails(message) => Response::builder().status(500).body(error(message)).unwrap(),
        Reply::FailsAsOnAws(message) => {
            Response::builder().header("x-amz-function-error", "Unhandled").body(error(message)).unwrap()
        }
        Reply::Hangs => pending().await,
    }
}

const SHORT: Limits = Limits {
    body: 10 * 1024 * 1024,
    head: 10_240,
    integration: Duration::from_millis(300),
    authorizer: Duration::from_millis(200),
    invocation: Duration::from_secs(90),
};

fn routes(ttl: u64) -> Routes {
    let mut routes = Routes::default();
    let guard = Authorizer {
        function: "authorizer".to_owned(),
        simple_responses: true,
        identity: vec![IdentitySource::Header("Authorization".to_owned())],
        ttl: Duration::from_secs(ttl),
    };
    routes.add_authorizer("Guard", guard).unwrap();
    routes.add_function("ANY /open", "open", None).unwrap();
    routes.add_function("POST /only/post", "open", None).unwrap();
    routes.add_function("GET /closed/{id}", "closed", Some("Guard")).unwrap();
    routes.add_function("GET /closed/other", "closed", Some("Guard")).unwrap();
    routes
}

/// One file, and one at the path of a route.
fn site() -> Site {
    let site =
        Site::new(None).unwrap().text("/page.html", "text/html; charset=utf-8", "<!doctype html>".to_owned());
    site.text("/open", "text/plain", "hidden behind the route".to_owned())
}

async fn stack(function: Function, routes: Routes, limits: Limits) -> Stack {
    let events = Events::default();
    let app = Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoked))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state((function, Arc::clone(&events)));
    let (listener, invoke_address) = listen().await;
    let invoke_api = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let (listener, address) = listen().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let gateway = Gateway::new(routes, format!("http://{invoke_address}/"));
    let gateway = Gateway { limits, site: Some(site()), ..gateway };
    let gateway = tokio::spawn(serve(listener, gateway, async move {
        let _ = stopped.await;
    }));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Stack { address, client, events, stop: Some(stop), gateway, invoke_api }
}

impl Stack {
    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address))
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("http://{}{path}", self.address))
    }

    fn invocations(&self, of: &str) -> Vec<Value> {
        let events = self.events.lock().unwrap();
        events.iter().filter(|(name, _)| name == of).map(|(_, event)| event.clone()).collect()
    }
}

/// Returns status and body, and checks API Gateway's own headers.
async fn answered(request: reqwest::RequestBuilder) -> (StatusCode, String) {
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["apigw-requestid"].len(), 16);
    assert!(response.headers().contains_key("date"));
    (response.status(), response.text().await.unwrap())
}

async fn check(request: reqwest::RequestBuilder, status: u16, body: &str) {
    let (got_status, got_body) = answered(request).await;
    assert_eq!((got_status.as_u16(), got_body.as_str()), (status, body));
}

const NOT_FOUND: &str = r#"{"message":"Not Found"}"#;
const UNAUTHORIZED: &str = r#"{"message":"Unauthorized"}"#;
const FORBIDDEN: &str = r#"{"message":"Forbidden"}"#;
const INTERNAL: &str = r#"{"message":"Internal Server Error"}"#;
const UNAVAILABLE: &str = r#"{"message":"Service Unavailable"}"#;

/// The authorizer decides as the token says. Functions respond with their event.
fn obedient(name: &str, event: &Value) -> Reply {
    if name != "authorizer" {
        return Reply::Returns(
            json!({"statusCode": 200, "body": event.to_string(), "cookies": ["a=1", "b=2"]}),
        );
    }
    let context = json!({"sub": "u1", "sid": "s1", "client_id": "web", "scope": "a b"});
    match event["identitySource"][0].as_str().unwrap() {
        "Bearer yes" => Reply::Returns(json!({"isAuthorized": true, "context": context})),
        "Bearer no" => Reply::Returns(json!({"isAuthorized": false})),
        "Bearer 401" => Reply::Fails("Unauthorized"),
        "Bearer 401-aws" => Reply::FailsAsOnAws("Unauthorized"),
        "Bearer error" => Reply::Fails("Unauthorized: and more"),
        "Bearer text" => Reply::Returns(json!({"isAuthorized": "true"})),
        "Bearer empty" => Reply::Returns(json!({})),
        "Bearer hang" => Reply::Hangs,
        "Bearer policy" => Reply::Returns(json!({
            "principalId": "u1",
            "policyDocument": {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "arn:*/GET/closed/1"},
            ]},
            "context": context,
        })),
        other => panic!("unknown token {other}"),
    }
}

#[tokio::test]
async fn an_open_route_reaches_its_function_as_an_event() {
    let stack = stack(obedient, routes(0), SHORT).await;
    let response = stack.post("/open?a=1").header("cookie", "c=3").body("a=b").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(response.headers()["content-type"], "text/plain;charset=UTF-8");
    let id = response.headers()["apigw-requestid"].to_str().unwrap().to_owned();

    let event: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(stack.invocations("open"), std::slice::from_ref(&event));
    assert_eq!(event["routeKey"], "ANY /open");
    assert_eq!(event["rawPath"], "/open");
    assert_eq!(event["rawQueryString"], "a=1");
    assert_eq!(event["cookies"], json!(["c=3"]));
    assert_eq!((event["body"].as_str(), event["isBase64Encoded"].as_bool()), (Some("YT1i"), Some(true)));
    assert_eq!(event["headers"]["x-forwarded-port"], stack.address.port().to_string());
    let context = &event["requestContext"];
    assert_eq!(context["requestId"], id);
    assert_eq!(context["http"]["sourceIp"], "127.0.0.1");
    assert_eq!(context["http"]["method"], "POST");
    assert!(context.get("authorizer").is_none());
    assert!(stack.invocations("authorizer").is_empty());
}

#[tokio::test]
async fn without_a_route_nothing_is_invoked() {
    let stack = stack(obedient, routes(0), SHORT).await;
    for path in ["/", "/nowhere", "/open/", "/open/x", "/only/post", "/closed/"] {
        check(stack.get(path), 404, NOT_FOUND).await;
    }
    assert!(stack.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_guarded_route_obeys_the_authorizer() {
    let stack = stack(obedient, routes(0), SHORT).await;
    for (token, status, body) in [
        ("Bearer no", 403, FORBIDDEN),
        ("Bearer 401", 401, UNAUTHORIZED),
        ("Bearer 401-aws", 401, UNAUTHORIZED),
        ("Bearer error", 500, INTERNAL),
        ("Bearer text", 500, INTERNAL),
        ("Bearer empty", 500, INTERNAL),
        ("Bearer hang", 500, INTERNAL),
    ] {
        check(stack.get("/closed/1").header("authorization", token), status, body).await;
    }
    assert!(stack.invocations("closed").is_empty(), "nobody got in");
    assert_eq!(stack.invocations("authorizer").len(), 7);

    let (status, body) = answered(stack.get("/closed/1").header("authorization", "Bearer yes")).await;
    assert_eq!(status, 200);
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        event["requestContext"]["authorizer"],
        json!({"lambda": {"sub": "u1", "sid": "s1", "client_id": "web", "scope": "a b"}})
    );
    assert_eq!(event["pathParameters"], json!({"id": "1"}));
    let asked = stack.invocations("authorizer").pop().unwrap();
    assert_eq!(asked["type"], "REQUEST");
    assert_eq!(asked["identitySource"], json!(["Bearer yes"]));
    assert!(asked["routeArn"].as_str().unwrap().ends_with(":local/$default/GET/closed/1"));
    assert_eq!(asked["requestContext"]["requestId"], event["requestContext"]["requestId"]);
}

/// As on AWS, except that the local gateway checks no signature.
#[tokio::test]
async fn a_route_of_iam_needs_a_signature_and_names_the_operator() {
    let mut routes = routes(0);
    routes.add_function("ANY /admin/{operation+}", "admin", None).unwrap();
    routes.require_iam("ANY /admin/{operation+}").unwrap();
    let guarded = routes.require_iam("GET /closed/{id}").unwrap_err().to_string();
    assert!(guarded.contains("has an authorizer"), "{guarded}");
    assert!(routes.require_iam("GET /nothing").is_err());
    let stack = stack(obedient, routes, SHORT).await;
    check(stack.get("/admin/users"), 403, FORBIDDEN).await;
    for header in [
        "",
        "Bearer yes",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=/20261127/us-east-1/execute-api/aws4_request",
        "AWS4-HMAC-SHA256 Credential=a:root/20261127/us-east-1/execute-api/aws4_request",
    ] {
        check(stack.get("/admin/users").header("authorization", header), 403, FORBIDDEN).await;
    }
    assert!(stack.events.lock().unwrap().is_empty());
    let signed = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261127/us-east-1/execute-api/aws4_request, SignedHeaders=host, Signature=00";
    let (status, _) = answered(stack.get("/admin/users").header("authorization", signed)).await;
    assert_eq!(status, 200);
    let event = &stack.invocations("admin")[0];
    let identity = &event["requestContext"]["authorizer"]["iam"];
    assert_eq!(identity["userArn"], "arn:aws:iam::123456789012:user/AKIAEXAMPLE");
    assert_eq!(event["requestContext"]["authorizer"].get("lambda"), None);
}

#[tokio::test]
async fn without_a_token_the_authorizer_is_not_asked() {
    let stack = stack(obedient, routes(60), SHORT).await;
    check(stack.get("/closed/1"), 401, UNAUTHORIZED).await;
    check(stack.get("/closed/1").header("authorization", ""), 401, UNAUTHORIZED).await;
    check(stack.get("/closed/1?authorization=Bearer+yes"), 401, UNAUTHORIZED).await;
    assert!(stack.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn results_are_cached_errors_are_not_and_policies_are_evaluated_each_time() {
    let stack = stack(obedient, routes(60), SHORT).await;
    let asked = || stack.invocations("authorizer").len();
    for token in ["Bearer yes", "Bearer no"] {
        let before = asked();
        let first = answered(stack.get("/closed/1").header("authorization", token)).await.0;
        let second = answered(stack.get("/closed/other").header("authorization", token)).await.0;
        assert_eq!((first, asked()), (second, before + 1), "{token}");
    }
    for token in ["Bearer 401", "Bearer text"] {
        let before = asked();
        for _ in 0..2 {
            answered(stack.get("/closed/1").header("authorization", token)).await;
        }
        assert_eq!(asked(), before + 2, "{token}");
    }
    let before = asked();
    let token = "Bearer policy";
    assert_eq!(answered(stack.get("/closed/1").header("authorization", token)).await.0, 200);
    check(stack.get("/closed/other").header("authorization", token), 403, FORBIDDEN).await;
    assert_eq!(asked(), before + 1);
}

fn broken(name: &str, event: &Value) -> Reply {
    let _ = name;
    match event["headers"]["x-case"].as_str().unwrap() {
        "error" => Reply::Fails("boom"),
        "error-aws" => Reply::FailsAsOnAws("boom"),
        "malformed" => Reply::Returns(json!({"statusCode": "x"})),
        "hang" => Reply::Hangs,
        "inferred" => Reply::Returns(json!({"hello": 1})),
        other => panic!("unknown case {other}"),
    }
}

#[tokio::test]
async fn a_function_that_fails_is_a_500_and_one_that_hangs_a_503() {
    let stack = stack(broken, routes(0), SHORT).await;
    for (case, status, body) in [
        ("error", 500, INTERNAL),
        ("error-aws", 500, INTERNAL),
        ("malformed", 500, INTERNAL),
        ("hang", 503, UNAVAILABLE),
        ("inferred", 200, r#"{"hello":1}"#),
    ] {
        check(stack.get("/open").header("x-case", case), status, body).await;
    }
}

#[tokio::test]
async fn without_lambda_the_caller_learns_no_more_than_500() {
    let (unused, nobody) = listen().await;
    drop(unused);
    let (listener, address) = listen().await;
    let gateway =
        tokio::spawn(serve(listener, Gateway::new(routes(0), format!("http://{nobody}")), pending()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["open", "closed/1"] {
        let request = client.get(format!("http://{address}/{path}")).header("authorization", "Bearer yes");
        check(request, 500, INTERNAL).await;
    }
    gateway.abort();
}

#[tokio::test]
async fn requests_over_the_limits_are_refused() {
    let limits = Limits { integration: Duration::from_secs(20), ..Limits::default() };
    let stack = stack(obedient, routes(0), limits).await;
    let body = vec![b'x'; limits.body];
    let (status, _) = answered(stack.post("/open").body(body.clone())).await;
    assert_eq!(status, 200);
    let mut over = body;
    over.push(b'x');
    check(stack.post("/open").body(over), 413, r#"{"message":"Request Entity Too Large"}"#).await;

    let too_large = r#"{"message":"Request Header Fields Too Large"}"#;
    check(stack.get("/open").header("x-large", "x".repeat(10_240)), 431, too_large).await;
    check(stack.get(&format!("/open?{}", "x".repeat(10_240))), 431, too_large).await;
    assert_eq!(answered(stack.get("/open").header("x-large", "x".repeat(10_000))).await.0, 200);
    assert_eq!(stack.invocations("open").len(), 2);
}

#[tokio::test]
async fn what_the_client_writes_on_the_wire_arrives() {
    let stack = stack(obedient, routes(0), SHORT).await;
    let mut socket = TcpStream::connect(stack.address).await.unwrap();
    let request = "POST /o%70en HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nAuthorization: a\r\nauthorization: b\r\n\
        Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
        2\r\n{}\r\n0\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.to_ascii_lowercase().contains("\r\ncontent-length: "), "{response}");
    let event = stack.invocations("open").pop().unwrap();
    assert_eq!(event["rawPath"], "/open");
    assert_eq!(event["headers"]["authorization"], "a,b");
    assert_eq!(event["headers"]["x-forwarded-for"], "1.2.3.4, 127.0.0.1");
    assert_eq!(event["headers"]["content-length"], "2");
    assert!(event["headers"].get("transfer-encoding").is_none());
    assert_eq!(event["body"], "{}");
    assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
}

/// A service that responds with its request.
async fn service(request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let headers: serde_json::Map<_, _> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().into()))
        .collect();
    let seen = json!({
        "method": parts.method.as_str(), "target": parts.uri.to_string(), "headers": headers,
        "body": String::from_utf8(body.to_vec()).unwrap(),
    });
    Response::builder()
        .status(StatusCode::FOUND)
        .header("location", "http://elsewhere.invalid/")
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .body(Body::from(seen.to_string()))
        .unwrap()
}

#[tokio::test]
async fn a_guard_protects_a_service_and_tells_it_who_calls() {
    let (listener, address) = listen().await;
    let service = tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(service)).await.unwrap();
    });
    let mut routes = routes(0);
    routes.add_guard(format!("/orders=http://{address}").parse().unwrap(), "Guard").unwrap();
    let stack = stack(obedient, routes, SHORT).await;

    check(stack.get("/orders/1"), 401, UNAUTHORIZED).await;
    check(stack.get("/orders").header("authorization", "Bearer no"), 403, FORBIDDEN).await;
    check(stack.get("/orders2"), 404, NOT_FOUND).await;

    let no_redirects =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
    let response = no_redirects
        .unwrap()
        .put(format!("http://{}/orders/1%2F2?x=%20&y", stack.address))
        .header("authorization", "Bearer yes")
        .header("x-daypass-sub", "forged")
        .header("x_daypass_scope", "forged")
        .body("hello")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 302, "a redirect is handed on, not followed");
    assert_eq!(response.headers()["location"], "http://elsewhere.invalid/");
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    let seen: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(seen["method"], "PUT");
    assert_eq!(seen["target"], "/orders/1%2F2?x=%20&y");
    assert_eq!(seen["body"], "hello");
    let headers = &seen["headers"];
    assert_eq!(headers["x-daypass-sub"], "u1");
    assert_eq!(headers["x-daypass-sid"], "s1");
    assert_eq!(headers["x-daypass-client-id"], "web");
    assert_eq!(headers["x-daypass-scope"], "a b");
    assert_eq!(headers["host"], address.to_string());
    assert_eq!(headers["x-forwarded-host"], stack.address.to_string());
    assert!(!seen.to_string().contains("forged"));

    service.abort();
    let _ = service.await;
    let (status, body) = answered(stack.get("/orders").header("authorization", "Bearer yes")).await;
    assert_eq!(status, 502);
    assert!(body.contains(&format!("The service at http://{address}/ cannot be reached")), "{body}");
}

#[tokio::test]
async fn a_service_that_hangs_is_a_503() {
    // It listens and does not accept.
    let (_listener, address) = listen().await;
    let mut routes = routes(0);
    routes.add_guard(format!("/=http://{address}").parse().unwrap(), "Guard").unwrap();
    let stack = stack(obedient, routes, SHORT).await;
    let (status, body) = answered(stack.get("/any").header("authorization", "Bearer yes")).await;
    assert_eq!(status, 503);
    assert!(body.contains("did not answer within 0.3 s"), "{body}");
}

#[tokio::test]
async fn a_stop_ends_the_gateway_also_while_a_function_hangs() {
    // A gateway that waits for the function would wait for an hour.
    let limits = Limits { integration: Duration::from_secs(3600), ..SHORT };
    let mut stack = stack(broken, routes(0), limits).await;
    let hanging = tokio::spawn(stack.get("/open").header("x-case", "hang").send());
    while stack.invocations("open").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stack.stop.take());
    tokio::time::timeout(Duration::from_secs(60), &mut stack.gateway).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(stack.address).await.is_err(), "nobody listens any more");
    hanging.abort();
}

#[tokio::test]
async fn files_are_served_where_no_route_is() {
    let stack = stack(obedient, routes(0), SHORT).await;
    let page = stack.get("/page.html").send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(page.headers().contains_key("content-security-policy"));
    assert!(!page.headers().contains_key("apigw-requestid"), "that is no answer of API Gateway");
    assert_eq!(page.text().await.unwrap(), "<!doctype html>");

    let head = stack.client.head(format!("http://{}/page.html", stack.address)).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "15");
    assert_eq!(head.text().await.unwrap(), "");
    let posted = stack.post("/page.html").send().await.unwrap();
    assert_eq!((posted.status().as_u16(), posted.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));
    assert!(stack.events.lock().unwrap().is_empty());

    let api = stack.get("/open").send().await.unwrap();
    assert!(api.headers().contains_key("apigw-requestid"));
    assert_eq!(stack.invocations("open").len(), 1, "the route comes before the file");
    for path in ["/page.html/", "/page%2ehtml", "/x/../page.htm", "/Page.html"] {
        check(stack.get(path), 404, NOT_FOUND).await;
    }
}

#[tokio::test]
async fn a_site_on_an_origin_of_its_own() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(serve_site(listener, site()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (path, status) in
        [("/page.html", 200), ("/open", 200), ("/login", 404), ("/page.html/../page.htm", 404)]
    {
        let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
    }
    server.abort();
}

/// A function with its own CORS headers, which API Gateway replaces.
fn talkative(name: &str, event: &Value) -> Reply {
    match name {
        "authorizer" => obedient(name, event),
        _ => Reply::Returns(
            json!({"statusCode": 200, "body": "x", "headers": {"access-control-allow-origin": "*"}}),
        ),
    }
}

#[tokio::test]
async fn a_shared_route_can_be_called_by_pages_of_its_origins() {
    const PAGE: &str = "http://localhost:3001";
    let mut routes = routes(0);
    routes.share("GET /closed/{id}", &[PAGE.to_owned(), "https://*.preview.example.com".to_owned()]).unwrap();
    assert!(routes.share("GET /nowhere", &[]).is_err());
    let stack = stack(talkative, routes, SHORT).await;
    let header = |response: &reqwest::Response, name: &str| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    let preflight = |path: &str, origin: &str, method: &str| {
        let url = format!("http://{}{path}", stack.address);
        let request = stack.client.request(http::Method::OPTIONS, url).header("origin", origin);
        request.header("access-control-request-method", method).send()
    };

    let allowed = preflight("/closed/1", PAGE, "GET").await.unwrap();
    assert_eq!(allowed.status(), 204);
    assert_eq!(header(&allowed, "access-control-allow-origin").as_deref(), Some(PAGE));
    assert_eq!(
        header(&allowed, "access-control-allow-headers").as_deref(),
        Some("authorization, content-type")
    );
    assert_eq!(header(&allowed, "access-control-allow-credentials"), None);
    assert_eq!(header(&allowed, "vary").as_deref(), Some("Origin"));
    let url = format!("http://{}/closed/1", stack.address);
    let traced =
        stack.client.request(http::Method::OPTIONS, url).header("origin", "https://pr-7.preview.example.com");
    let traced = traced.header("access-control-request-method", "GET");
    let traced =
        traced.header("access-control-request-headers", "authorization,traceparent").send().await.unwrap();
    assert_eq!(
        header(&traced, "access-control-allow-origin").as_deref(),
        Some("https://pr-7.preview.example.com")
    );
    assert_eq!(header(&traced, "access-control-allow-headers").as_deref(), Some("authorization,traceparent"));
    for origin in [
        "http://localhost:3002",
        "null",
        "http://localhost:3001.evil.example",
        "HTTP://localhost:3001",
        "https://a.b.preview.example.com",
        "https://preview.example.com",
    ] {
        let refused = preflight("/closed/1", origin, "GET").await.unwrap();
        assert_eq!(header(&refused, "access-control-allow-origin"), None, "{origin}");
        assert_eq!(header(&refused, "access-control-allow-methods"), None, "{origin}");
    }
    assert!(
        stack.events.lock().unwrap().is_empty(),
        "preflights have no credential to ask the authorizer about"
    );
    // Another method of the path, and a route that is not shared.
    assert_eq!(preflight("/closed/1", PAGE, "DELETE").await.unwrap().status(), 404);
    assert_eq!(header(&preflight("/open", PAGE, "POST").await.unwrap(), "access-control-max-age"), None);

    // A page of the list can read a rejection, and no other page can.
    for (token, status) in [("Bearer yes", 200), ("Bearer no", 403), ("Bearer empty", 500)] {
        let get = || stack.get("/closed/1").header("authorization", token);
        let answer = get().header("origin", PAGE).send().await.unwrap();
        assert_eq!(answer.status(), status, "{token}");
        assert_eq!(header(&answer, "access-control-allow-origin").as_deref(), Some(PAGE), "{token}");
        for stranger in [get(), get().header("origin", "null"), get().header("origin", "http://localhost")] {
            let answer = stranger.send().await.unwrap();
            assert_eq!(header(&answer, "access-control-allow-origin"), None, "{token}");
        }
    }
    let open = stack.get("/open").header("origin", PAGE).send().await.unwrap();
    assert_eq!(header(&open, "access-control-allow-origin").as_deref(), Some("*"), "not shared, not touched");
}

/// `cargo lambda watch` never answers again after about 100 waiting invocations of one function.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_answered_or_rejected_and_never_reaches_the_functions_at_once() {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    async fn slow(Path(name): Path<String>) -> Response<Body> {
        MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        let answer = match name.as_str() {
            "authorizer" => json!({ "isAuthorized": true }),
            _ => json!({ "statusCode": 200, "body": "ok" }),
        };
        Response::new(Body::from(answer.to_string()))
    }
    let (listener, invoke_address) = listen().await;
    let app = Router::new().route("/2015-03-31/functions/{name}/invocations", post(slow));
    let _functions = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let (listener, address) = listen().await;
    let gateway = Gateway::new(routes(0), format!("http://{invoke_address}"));
    let stuck = Arc::clone(&gateway.stuck);
    let _gateway = tokio::spawn(serve(listener, gateway, pending()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["/open", "/closed/1"] {
        let get = |number: usize| {
            let request = client.get(format!("http://{address}{path}"));
            // Each has a token of its own, so that no cache helps.
            request.header("authorization", format!("Bearer {number}")).send()
        };
        let answers = futures_util::future::join_all((0..1000).map(get)).await;
        let statuses: Vec<u16> =
            answers.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
        let of = |status: u16| statuses.iter().filter(|found| **found == status).count();
        assert_eq!(of(200) + of(503), 1000, "{path}: {statuses:?}");
        assert!(of(200) >= 288, "{path}: those that may wait are answered: {}", of(200));
        assert_eq!(get(1000).await.unwrap().status(), 200, "{path}: afterwards");
    }
    let most = MOST.load(Ordering::SeqCst);
    // Authorizer and function of the second path run at the same time.
    assert!((32..=64).contains(&most), "{most}");
    assert!(!stuck.load(Ordering::Relaxed));
}

/// A caller that has gone still takes a place: the function works on.
#[tokio::test]
async fn invocations_without_a_caller_count() {
    let stack = stack(|_, _| Reply::Hangs, routes(0), SHORT).await;
    for _ in 0..3 {
        let calls = (0..32).map(|_| stack.get("/open").send());
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.unwrap().status(), 503);
        }
    }
    assert_eq!(stack.events.lock().unwrap().len(), 32);
}
