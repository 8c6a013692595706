use crate::client::Clients;
use crate::http::answer::{Response, refusal, status};
use crate::http::browser::{COOKIE, Page, cookie, device_cookie, set_cookie};
use crate::http::cors::{with_cors, with_public_cors};
use crate::http::error::ApiError;
use crate::http::request::Request;
use crate::secret::SecretString;
use daypass_verifier::base::ids::ClientId;
use std::time::Duration;

const CLIENTS: &str = r#"[
    {"client_id":"app","transport":"cookie","origins":["https://app.example.com","http://localhost:3000"]},
    {"client_id":"admin","transport":"cookie","origins":["https://admin.example.com"]},
    {"client_id":"spa","origins":["https://spa.example.com","https://*.preview.example.com","capacitor://localhost"]},
    {"client_id":"cli"}
]"#;

fn clients() -> Clients {
    Clients::parse(CLIENTS).unwrap()
}

fn request(method: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = http::Request::builder().method(method).uri("/refresh");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(b"{}".to_vec()).unwrap()
}

/// The clients that a page may act for.
fn check_page(headers: &[(&str, &str)], expected: Result<&[&str], u16>) {
    let request = request("POST", headers);
    let got = Page::of(&request).clients(&clients());
    let got = got.as_ref().map(|ids| ids.iter().map(ClientId::as_str).collect::<Vec<_>>());
    assert_eq!(got.as_deref().map_err(|error| status(error).as_u16()), expected, "{headers:?}");
}

#[test]
fn pages() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    const APP: (&str, &str) = ("origin", "https://app.example.com");
    check_page(&[JSON, APP], Ok(&["app"]));
    check_page(&[JSON, ("origin", "http://localhost:3000")], Ok(&["app"]));
    check_page(&[JSON, ("origin", "https://admin.example.com")], Ok(&["admin"]));
    check_page(&[JSON, APP, ("sec-fetch-site", "same-origin")], Ok(&["app"]));
    check_page(&[JSON, APP, ("sec-fetch-site", "same-site")], Ok(&["app"]));
    for site in ["cross-site", "none", "", "Same-Origin", "same-origin, cross-site"] {
        check_page(&[JSON, APP, ("sec-fetch-site", site)], Err(403));
    }
    check_page(&[JSON, APP, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], Err(403));
    check_page(&[JSON], Err(403));
    check_page(&[JSON, APP, APP], Err(403));
    for origin in [
        "null",
        "",
        "https://app.example.com/",
        "https://app.example.com:443",
        "https://app.example.com:8443",
        "http://app.example.com",
        "https://www.app.example.com",
        "https://example.com",
        "https://app.example.com.evil.example",
        "https://evil-app.example.com",
        "https://APP.example.com",
        "http://localhost:3001",
        "http://127.0.0.1:3000",
        // A body client's page has no business with the cookie.
        "https://spa.example.com",
        "https://pr-7.preview.example.com",
        "capacitor://localhost",
    ] {
        check_page(&[JSON, ("origin", origin)], Err(403));
    }
    for form in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", ""] {
        check_page(&[("content-type", form), APP], Err(415));
        check_page(&[("content-type", form), ("origin", "https://evil.example")], Err(403));
    }
    check_page(&[APP], Err(415));
}

fn check_cookie(headers: &[&str], expected: Result<Option<&str>, u16>) {
    let headers: Vec<_> = headers.iter().map(|value| ("cookie", *value)).collect();
    let request = request("POST", &headers);
    let got = cookie(&request).map_err(|error| status(&error).as_u16());
    let got = got.as_ref().map(|token| token.as_ref().map(SecretString::expose));
    assert_eq!(got.map_err(|status| *status), expected, "{headers:?}");
}

#[test]
fn the_exact_name_counts_and_once() {
    check_cookie(&[], Ok(None));
    check_cookie(&["__Host-daypass_refresh=x"], Ok(Some("x")));
    check_cookie(&["a=1; __Host-daypass_refresh=x;b=2"], Ok(Some("x")));
    check_cookie(&["a=1", "__Host-daypass_refresh=x"], Ok(Some("x")));
    check_cookie(&["__Host-daypass_refresh="], Ok(Some("")));
    for other in [
        "daypass_refresh=x",
        "__Secure-daypass_refresh=x",
        "__host-daypass_refresh=x",
        "__Host-daypass_refresh",
        "__Host-daypass_refresh2=x",
        "a=__Host-daypass_refresh=x",
        "__Host-daypass_refresh =x",
    ] {
        check_cookie(&[other], Ok(None));
    }
    check_cookie(&["__Host-daypass_refresh=x; __Host-daypass_refresh=y"], Err(400));
    check_cookie(&["__Host-daypass_refresh=x", "__Host-daypass_refresh=x"], Err(400));
    check_cookie(&["daypass_refresh=y; __Host-daypass_refresh=x"], Ok(Some("x")));
    check_cookie(&["__Host-daypass_device=y; __Host-daypass_refresh=x"], Ok(Some("x")));
}

#[test]
fn the_device_cookie_is_ignored_when_it_is_there_twice() {
    for (values, expected) in [
        (&["__Host-daypass_refresh=x; __Host-daypass_device=y"][..], Some("y")),
        (&["__Host-daypass_refresh=x"], None),
        (&["__Host-daypass_device2=y"], None),
        (&["__Host-daypass_device=y; __Host-daypass_device=y"], None),
        (&["__Host-daypass_device=y", "__Host-daypass_device=z"], None),
    ] {
        let mut request = http::Request::post("/login").body(Vec::new()).unwrap();
        for value in values {
            request.headers_mut().append("cookie", value.parse().unwrap());
        }
        let found = device_cookie(&request);
        assert_eq!(found.as_ref().map(SecretString::expose), expected, "{values:?}");
    }
}

#[test]
fn the_cookie_is_what_the_contract_says() {
    assert_eq!(
        set_cookie(COOKIE, "daypass_rt_x", Duration::from_secs(500 * 24 * 3600)).unwrap(),
        "__Host-daypass_refresh=daypass_rt_x; Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=Strict"
    );
    assert_eq!(
        set_cookie(COOKIE, "", Duration::ZERO).unwrap(),
        "__Host-daypass_refresh=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Strict"
    );
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Runs a future that never waits.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

fn shared(method: &str, headers: &[(&str, &str)], clients: &Clients) -> Response {
    let handled = async |_| refusal(&ApiError::MethodNotAllowed("POST"));
    now(with_cors(clients, "POST", request(method, headers), handled))
}

#[test]
fn preflights() {
    let ask = ("access-control-request-method", "POST");
    for (origin, credentials) in [
        ("https://app.example.com", Some("true")),
        ("https://spa.example.com", None),
        ("https://pr-7.preview.example.com", None),
        ("capacitor://localhost", None),
    ] {
        let good = shared("OPTIONS", &[("origin", origin), ask], &clients());
        assert_eq!(good.status(), 204);
        assert_eq!(header(&good, "access-control-allow-origin"), Some(origin));
        assert_eq!(header(&good, "access-control-allow-methods"), Some("POST"));
        assert_eq!(
            header(&good, "access-control-allow-headers"),
            Some("authorization, content-type, dpop, idempotency-key")
        );
        assert_eq!(header(&good, "access-control-allow-credentials"), credentials);
        assert_eq!(header(&good, "access-control-max-age"), Some("7200"));
        assert_eq!(header(&good, "vary"), Some("Origin, Access-Control-Request-Headers"));
    }
    for origin in [
        "null",
        "*",
        "https://evil.example",
        "https://app.example.com.evil.example",
        "https://*.preview.example.com",
        "https://preview.example.com",
        "https://a.b.preview.example.com",
        "https://evil.example#.preview.example.com",
        "capacitor://localhost:1",
        "ionic://localhost",
        "",
    ] {
        let bad = shared("OPTIONS", &[("origin", origin), ask], &clients());
        assert_eq!(bad.status(), 403, "{origin}");
        assert!(bad.headers().keys().all(|name| !name.as_str().starts_with("access-control")), "{origin}");
        assert_eq!(header(&bad, "vary"), Some("Origin, Access-Control-Request-Headers"));
    }
    // No preflight: what the endpoint says.
    assert_eq!(shared("OPTIONS", &[], &clients()).status(), 405);
    assert_eq!(shared("OPTIONS", &[ask], &clients()).status(), 405);
    assert_eq!(shared("OPTIONS", &[("origin", "https://app.example.com")], &clients()).status(), 405);
}

/// Headers that tracing libraries add to each request of a page: Sentry, W3C (OpenTelemetry), Datadog, New Relic, AWS X-Ray, B3,
/// Jaeger, Elastic APM, Google Cloud and Azure Application Insights.
const TRACING: [&str; 19] = [
    "sentry-trace",
    "baggage",
    "traceparent",
    "tracestate",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-origin",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "newrelic",
    "x-newrelic-id",
    "x-amzn-trace-id",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "uber-trace-id",
    "elastic-apm-traceparent",
    "x-cloud-trace-context",
    "request-id",
];

#[test]
fn a_preflight_allows_the_headers_of_tracing_libraries() {
    let allowed = |asked: &[&str]| {
        let mut headers =
            vec![("origin", "https://app.example.com"), ("access-control-request-method", "POST")];
        headers.extend(asked.iter().map(|value| ("access-control-request-headers", *value)));
        let response = shared("OPTIONS", &headers, &clients());
        header(&response, "access-control-allow-headers").unwrap().to_owned()
    };
    const OWN: &str = "authorization, content-type, dpop, idempotency-key";
    for name in TRACING {
        assert_eq!(allowed(&[name]), format!("{OWN}, {name}"));
    }
    let all = allowed(&[&TRACING.join(",")]);
    assert!(TRACING.iter().all(|name| all.split(", ").any(|allowed| allowed == *name)), "{all}");
    assert_eq!(allowed(&["content-type,baggage , sentry-trace"]), format!("{OWN}, baggage, sentry-trace"));
    assert_eq!(allowed(&["baggage", "traceparent"]), format!("{OWN}, baggage, traceparent"));
    for nothing in ["", ",", "a b", "x:y", "\u{e9}", &"x,".repeat(2000)] {
        assert_eq!(allowed(&[nothing]), OWN, "{nothing}");
    }
    assert!(allowed(&["0123456789"; 3000]).len() < 5000, "bounded");
}

#[test]
fn any_page_may_read_a_public_document() {
    let public = |method: &str, headers: &[(&str, &str)], status: u16| {
        let handled = async |_| {
            let mut response = refusal(&ApiError::NotFound);
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            response
        };
        now(with_public_cors(request(method, headers), handled))
    };
    let page = ("origin", "http://localhost:5173");
    for status in [200, 304, 400, 404, 405, 500, 503] {
        for headers in [&[][..], &[page], &[("origin", "null")]] {
            let response = public("GET", headers, status);
            assert_eq!(response.status(), status);
            assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
            assert_eq!(header(&response, "access-control-allow-credentials"), None);
            assert_eq!(
                header(&response, "access-control-expose-headers"),
                Some("daypass-as-of, etag, retry-after")
            );
        }
    }
    let asks =
        [page, ("access-control-request-method", "GET"), ("access-control-request-headers", "baggage")];
    for headers in [&asks[..], &[]] {
        let response = public("OPTIONS", headers, 405);
        assert_eq!(response.status(), 204);
        assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
        assert_eq!(header(&response, "access-control-allow-methods"), Some("GET, HEAD"));
        // `*` does not cover `authorization` (Fetch standard, "CORS-preflight fetch").
        assert_eq!(header(&response, "access-control-allow-headers"), Some("*, authorization"));
    }
}

#[test]
fn answers_are_for_the_pages_on_the_list() {
    let good = shared("GET", &[("origin", "https://app.example.com")], &clients());
    assert_eq!(good.status(), 405);
    assert_eq!(header(&good, "access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(
        header(&good, "access-control-expose-headers"),
        Some("date, dpop-nonce, retry-after, www-authenticate")
    );
    for headers in [&[][..], &[("origin", "https://evil.example")], &[("origin", "null")]] {
        let other = shared("GET", headers, &clients());
        assert_eq!(header(&other, "access-control-allow-origin"), None);
        assert_eq!(header(&other, "vary"), Some("Origin"), "a cache must not mix them up");
    }
    let none = Clients::parse(r#"[{"client_id":"cli"}]"#).unwrap();
    let ask = ("access-control-request-method", "POST");
    let without = shared("OPTIONS", &[("origin", "https://app.example.com"), ask], &none);
    assert_eq!((without.status().as_u16(), header(&without, "vary")), (405, None));
}
