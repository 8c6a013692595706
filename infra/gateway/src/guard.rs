//! The authorizer in front of a service that is not a Lambda function: `--guard /orders=http://localhost:3000`.

use crate::answer::message;
use crate::error::RouteError;
use crate::request::{Incoming, is_hop_by_hop};
use axum::body::Body;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Headers for the service, each with its member of the authorizer's context.
const IDENTITY: [(HeaderName, &str); 6] = [
    (HeaderName::from_static("x-daypass-sub"), "sub"),
    (HeaderName::from_static("x-daypass-sid"), "sid"),
    (HeaderName::from_static("x-daypass-client-id"), "client_id"),
    (HeaderName::from_static("x-daypass-scope"), "scope"),
    (HeaderName::from_static("x-daypass-auth-time"), "auth_time"),
    (HeaderName::from_static("x-daypass-acr"), "acr"),
];
/// Headers with this prefix are removed from requests: the service trusts them.
const OWN_PREFIX: &str = "x-daypass-";

/// Cookies with tokens of Daypass. A service that logs its requests must not store them.
const OWN_COOKIES: [&[u8]; 2] = [b"__Host-daypass_refresh", b"__Host-daypass_device"];

/// A path prefix and its service.
///
/// The text form is `PREFIX=URL`. The service receives the whole path, including the prefix, after the path of the URL.
/// The headers `x-daypass-sub`, `x-daypass-sid`, `x-daypass-client-id`, `x-daypass-scope`, `x-daypass-auth-time` and
/// `x-daypass-acr` carry the authorizer's context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    prefix: String,
    service: Url,
}

impl Guard {
    /// The prefix, such as `/orders`. `/` guards every path without a route.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Key of the route that [`Routes::add_guard`](crate::Routes::add_guard) adds.
    #[must_use]
    pub fn route_key(&self) -> String {
        format!("ANY {}/{{proxy+}}", self.prefix.trim_end_matches('/'))
    }

    /// URL of the service.
    #[must_use]
    pub fn service(&self) -> &str {
        self.service.as_str()
    }

    /// URL of the service for a request; `None` for a path that a URL parser would change.
    fn target(&self, request: &Incoming) -> Option<Url> {
        let path = &request.encoded_path;
        // `..` would leave the prefix, and a URL parser turns a backslash into a slash.
        let dots = |segment: &str| {
            let segment = percent_decode_str(segment).decode_utf8_lossy();
            segment == "." || segment == ".."
        };
        if path.contains('\\') || path.split('/').any(dots) {
            return None;
        }
        let mut target = self.service.clone();
        target.set_path(&format!("{}{path}", self.service.path().trim_end_matches('/')));
        target.set_query(Some(request.query.as_str()).filter(|query| !query.is_empty()));
        Some(target)
    }
}

impl FromStr for Guard {
    type Err = RouteError;

    /// Parses `PREFIX=URL`.
    ///
    /// # Errors
    /// The prefix is not a plain path, or the URL is not plain HTTP.
    fn from_str(text: &str) -> Result<Self, RouteError> {
        let wrong = |why: &str| {
            Err(RouteError(format!("{text:?}: {why}; write it like /orders=http://localhost:3000")))
        };
        let Some((prefix, service)) = text.split_once('=') else { return wrong("there is no equals sign") };
        if !prefix.starts_with('/')
            || prefix.contains(['?', '#', '%', '{', '}', '\\'])
            || prefix.contains("//")
        {
            return wrong("the prefix must be a path such as /orders");
        }
        let Ok(service) = Url::parse(service) else { return wrong("the part after = is not a URL") };
        if service.scheme() != "http" || !service.has_host() {
            return wrong("the service must be reached by http");
        }
        if service.query().is_some() || service.fragment().is_some() || !service.username().is_empty() {
            return wrong("the URL must have no user, query or fragment");
        }
        // `/orders/` and `/orders` guard the same paths.
        let prefix = match prefix.trim_end_matches('/') {
            "" => "/",
            prefix => prefix,
        };
        Ok(Self { prefix: prefix.to_owned(), service })
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.prefix, self.service)
    }
}

/// Forwards an authorised request to the service, and returns its response. `context` is the authorizer's.
///
/// Errors have a message for the developer of the service.
pub(crate) async fn forward(
    guard: &Guard,
    request: &Incoming,
    context: &Value,
    client: &reqwest::Client,
    limit: Duration,
) -> Response<Body> {
    let Some(target) = guard.target(request) else {
        return message(StatusCode::BAD_REQUEST, "Bad Request");
    };
    let Some(headers) = headers(request, context) else {
        return message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    };
    let sent = client
        .request(request.method.clone(), target)
        .headers(headers)
        .body(request.body.clone())
        .timeout(limit)
        .send()
        .await;
    match sent {
        Ok(response) => received(guard, response, limit).await,
        Err(error) => failed(guard, &error, limit),
    }
}

async fn received(guard: &Guard, response: reqwest::Response, limit: Duration) -> Response<Body> {
    let status = response.status();
    let received = response.headers().clone();
    let body = match response.bytes().await {
        Ok(body) => body,
        Err(error) => return failed(guard, &error, limit),
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    for (name, value) in &received {
        if !is_hop_by_hop(name, &received) && *name != CONTENT_LENGTH {
            answer.headers_mut().append(name, value.clone());
        }
    }
    answer
}

fn failed(guard: &Guard, error: &reqwest::Error, limit: Duration) -> Response<Body> {
    let service = guard.service();
    if error.is_timeout() {
        let text = format!("The service at {service} did not answer within {} s.", limit.as_secs_f32());
        return message(StatusCode::SERVICE_UNAVAILABLE, &text);
    }
    let what =
        if error.is_connect() { "cannot be reached." } else { "closed the connection during its response." };
    message(StatusCode::BAD_GATEWAY, &format!("The service at {service} {what}"))
}

/// Headers for the service. `None` if a header cannot carry a value of the identity: the service must not receive a
/// part of it.
fn headers(request: &Incoming, context: &Value) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        // Some servers treat `X_Daypass_Sub` as `X-Daypass-Sub`.
        let own = name.as_str().replace('_', "-").starts_with(OWN_PREFIX);
        if own || *name == HOST || *name == CONTENT_LENGTH || is_hop_by_hop(name, &request.headers) {
            continue;
        }
        if *name != COOKIE {
            headers.append(name, value.clone());
        } else if let Some(value) = without_own_cookies(value) {
            headers.append(name, value);
        }
    }
    let mut set = |name: HeaderName, value: &str| {
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        Some(())
    };
    set(HeaderName::from_static("x-forwarded-for"), &request.forwarded_for())?;
    set(HeaderName::from_static("x-forwarded-proto"), request.scheme)?;
    set(HeaderName::from_static("x-forwarded-port"), &request.port.to_string())?;
    if let Some(host) = request.header(HOST.as_str()) {
        set(HeaderName::from_static("x-forwarded-host"), &host)?;
    }
    for (name, member) in IDENTITY {
        match context.get(member) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => set(name, text)?,
            Some(other) => set(name, &other.to_string())?,
        }
    }
    Some(headers)
}

/// The value of `Cookie` without [`OWN_COOKIES`]; `None` if no other cookie is left.
fn without_own_cookies(value: &HeaderValue) -> Option<HeaderValue> {
    let is_own = |pair: &&[u8]| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        OWN_COOKIES.contains(&name.trim_ascii())
    };
    let pairs = || value.as_bytes().split(|byte| *byte == b';');
    if !pairs().any(|pair| is_own(&pair)) {
        return Some(value.clone());
    }
    let others: Vec<&[u8]> = pairs().filter(|pair| !is_own(pair)).map(<[u8]>::trim_ascii).collect();
    HeaderValue::from_bytes(&others.join(&b"; "[..])).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::incoming;
    use serde_json::json;

    #[test]
    fn guards_are_read_and_written() {
        let guard: Guard = "/orders=http://localhost:3000".parse().unwrap();
        assert_eq!((guard.prefix(), guard.service()), ("/orders", "http://localhost:3000/"));
        assert_eq!(guard.to_string().parse::<Guard>(), Ok(guard));
        let prefix = |text: &str| text.parse::<Guard>().unwrap().prefix().to_owned();
        assert_eq!(prefix("/orders/=http://localhost"), "/orders");
        assert_eq!(prefix("/=http://localhost"), "/");
        for (text, why) in [
            ("/orders", "no equals sign"),
            ("orders=http://localhost", "must be a path"),
            ("/a?b=http://localhost", "must be a path"),
            ("/a//b=http://localhost", "must be a path"),
            ("/{a}=http://localhost", "must be a path"),
            ("/a=localhost:3000", "reached by http"),
            ("/a=localhost", "not a URL"),
            ("/a=https://localhost", "reached by http"),
            ("/a=http://u@localhost", "no user"),
            ("/a=http://localhost/?q", "no user, query"),
        ] {
            let error = text.parse::<Guard>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_service_sees_the_path_and_query_as_they_were_sent() {
        let target = |guard: &str, target: &str| {
            let guard: Guard = guard.parse().unwrap();
            guard.target(&incoming("GET", target, &[], b"")).map(|url| url.to_string())
        };
        let url = |text: &str| Some(text.to_owned());
        assert_eq!(target("/o=http://h:1", "/o"), url("http://h:1/o"));
        assert_eq!(target("/o=http://h:1", "/o/a%20b%2Fc?x=%26&y"), url("http://h:1/o/a%20b%2Fc?x=%26&y"));
        assert_eq!(target("/o=http://h:1/v1/", "/o/1"), url("http://h:1/v1/o/1"));
        assert_eq!(target("/=http://h:1", "/"), url("http://h:1/"));
        for outside in ["/o/../a", "/o/%2e%2E/a", "/o/.%2e", "/o/./a", "/o/..\\a"] {
            assert_eq!(target("/o=http://h:1", outside), None, "{outside}");
        }
    }

    #[test]
    fn nobody_outside_can_say_who_is_calling() {
        let sent = [
            ("X-Daypass-Sub", "forged"),
            ("x-daypass-sid", "forged"),
            ("X_Daypass_Scope", "forged"),
            ("x-daypass-admin", "forged"),
            ("Connection", "x-daypass-client-id, x-hop"),
            ("X-Hop", "1"),
            ("Host", "api.example"),
            ("Authorization", "Bearer t"),
            ("Cookie", "a=b; __Host-daypass_refresh=daypass_rt_x; c=d"),
            ("Cookie", "__Host-daypass_device=x"),
        ];
        let context =
            json!({"sub": "u1", "client_id": "web", "scope": "a b", "sid": null, "auth_time": 9, "acr": "2"});
        let headers = headers(&incoming("GET", "/", &sent, b""), &context).unwrap();
        let mut got: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        got.sort_unstable();
        assert_eq!(
            got,
            [
                ("authorization", "Bearer t"),
                ("cookie", "a=b; c=d"),
                ("x-daypass-acr", "2"),
                ("x-daypass-auth-time", "9"),
                ("x-daypass-client-id", "web"),
                ("x-daypass-scope", "a b"),
                ("x-daypass-sub", "u1"),
                ("x-forwarded-for", "192.0.2.7"),
                ("x-forwarded-host", "api.example"),
                ("x-forwarded-port", "9000"),
                ("x-forwarded-proto", "http"),
            ]
        );
    }

    /// invariant: A guarded service behind the local gateway receives no cookie of Daypass, and every other one as it was sent.
    #[test]
    fn cookies_of_daypass_are_removed() {
        let check = |sent: &str, expected: Option<&str>| {
            let value = HeaderValue::from_str(sent).unwrap();
            let left = without_own_cookies(&value);
            assert_eq!(left.as_ref().map(|left| left.to_str().unwrap()), expected, "{sent}");
        };
        for other in [
            "a=b",
            "a=b;c=d ; e",
            "x__Host-daypass_refresh=1",
            "__Host-daypass=1",
            "a=__Host-daypass_refresh",
        ] {
            check(other, Some(other));
        }
        check("__Host-daypass_refresh=t", None);
        check("__Host-daypass_refresh", None);
        check(" __Host-daypass_device = t ;__Host-daypass_refresh=t=u", None);
        check("__Host-daypass_refresh=t; a=b", Some("a=b"));
        check("a=b;__Host-daypass_device=t;c=\"d\"", Some("a=b; c=\"d\""));
        // A browser sends no other case, and a cookie with it is another one.
        check("__host-daypass_refresh=t", Some("__host-daypass_refresh=t"));
    }

    #[test]
    fn an_identity_that_no_header_can_carry_is_not_dropped() {
        let request = incoming("GET", "/", &[], b"");
        assert!(headers(&request, &json!({"sub": "a\r\nx-daypass-scope: admin"})).is_none());
        assert_eq!(headers(&request, &json!({"sub": 7})).unwrap()["x-daypass-sub"], "7");
    }
}
