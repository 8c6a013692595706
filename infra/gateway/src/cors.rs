//! CORS as an HTTP API with a `CorsConfiguration` does it, for shared routes ([`Routes::share`](crate::Routes::share)).
//!
//! The gateway answers preflights without the authorizer, because browsers send them without a credential. It sets the
//! CORS headers of every response of a shared route, including those of the authorizer, and removes the headers that
//! the function or service set. Daypass' own endpoints are not shared this way: their functions decide by the list of
//! clients.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>

use crate::request::Incoming;
use crate::routes::{Route, Routes};
use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use http::{Method, Response, StatusCode};

const METHODS: &str = "DELETE, GET, HEAD, PATCH, POST, PUT";
/// Allowed request headers of a preflight that names none. One that names headers gets these: pages have tracing libraries.
const REQUEST_HEADERS: &str = "authorization, content-type";
const RESPONSE_HEADERS: &str = "retry-after, www-authenticate";
/// Cache time of a preflight, in seconds. Short, because developers reconfigure this server.
const MAX_AGE: &str = "60";

/// The response to a preflight for a shared route; `None` for every other request.
pub(crate) fn preflight(routes: &Routes, request: &Incoming) -> Option<Response<Body>> {
    if request.method != Method::OPTIONS || !request.headers.contains_key(ORIGIN) {
        return None;
    }
    let method = request.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let found = routes.find(&method, &request.path)?;
    if found.route.origins().is_empty() {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    share(found.route, request, &mut response);
    if response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        let asked = request.headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let allowed = asked.unwrap_or(HeaderValue::from_static(REQUEST_HEADERS));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    }
    Some(response)
}

/// Sets the CORS headers of a response of a shared route. Responses of other routes are unchanged.
pub(crate) fn share(route: &Route, request: &Incoming, response: &mut Response<Body>) {
    if route.origins().is_empty() {
        return;
    }
    let headers = response.headers_mut();
    let theirs: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in theirs {
        headers.remove(name);
    }
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = reader(route, request) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(RESPONSE_HEADERS));
    }
}

/// The only origin of the request, if the route is shared with it.
fn reader(route: &Route, request: &Incoming) -> Option<HeaderValue> {
    let mut origins = request.headers.get_all(ORIGIN).iter();
    let origin = origins.next().filter(|_| origins.next().is_none())?;
    let text = origin.to_str().ok()?;
    route.origins().iter().any(|own| includes(own, text)).then(|| origin.clone())
}

/// Whether an origin of the list, in which `*` stands for one label, includes the origin of a page.
fn includes(own: &str, origin: &str) -> bool {
    let Some((before, behind)) = own.split_once('*') else { return own == origin };
    let label = origin.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
    let of_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    label.is_some_and(|label| !label.is_empty() && label.bytes().all(of_label))
}
