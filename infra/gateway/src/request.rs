//! A complete request with its time and id.

use axum::body::{Body, Bytes};
use data_encoding::BASE64;
use http::header::{CONNECTION, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Method, Version};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use time::OffsetDateTime;

/// Hop-by-hop headers (RFC 9110 §7.6.1). `Connection` can name more.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A body over the limit is read up to this multiple of the limit. A client that is cut off while it sends would see a
/// broken connection instead of the 413.
const DRAINED: usize = 8;

/// Time and id of a request.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) id: String,
    pub(crate) at: OffsetDateTime,
}

impl Stamp {
    /// The stamp of a new request. Ids are unique within the process.
    pub(crate) fn now() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        #[expect(clippy::disallowed_methods, reason = "the gateway plays a service whose clock is its own")]
        let at = OffsetDateTime::from(SystemTime::now());
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { id: request_id(at, count), at }
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn millis(&self) -> i128 {
        self.at.unix_timestamp_nanos() / 1_000_000
    }
}

/// An id of 16 characters, as in API Gateway.
fn request_id(at: OffsetDateTime, count: u64) -> String {
    let millis = (at.unix_timestamp_nanos() / 1_000_000).to_be_bytes();
    let count = count.to_be_bytes();
    // Six bytes of the time last until the year 10889, and five bytes of the counter for 10^12 requests.
    let bytes: Vec<u8> = millis.iter().skip(10).chain(count.iter().skip(3)).copied().collect();
    BASE64.encode(&bytes)
}

/// A request with its whole body.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) method: Method,
    /// Path as sent.
    pub(crate) encoded_path: String,
    /// Percent-decoded path: HTTP APIs match it and send it as `rawPath`.
    pub(crate) path: String,
    /// Query string as sent, without the question mark.
    pub(crate) query: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) peer: SocketAddr,
    /// Scheme and port of the URL of the gateway.
    pub(crate) scheme: &'static str,
    pub(crate) port: u16,
    pub(crate) stamp: Stamp,
}

impl Incoming {
    pub(crate) fn new(
        parts: Parts,
        body: Bytes,
        peer: SocketAddr,
        (scheme, port): (&'static str, u16),
        stamp: Stamp,
    ) -> Self {
        let encoded_path = parts.uri.path().to_owned();
        Self {
            path: percent_decode_str(&encoded_path).decode_utf8_lossy().into_owned(),
            encoded_path,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            method: parts.method,
            version: parts.version,
            headers: parts.headers,
            body,
            peer,
            scheme,
            port,
            stamp,
        }
    }

    /// All values of a header, joined with commas; `None` when it is absent.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// All values of a query parameter, decoded and joined with commas; `None` when it is absent.
    pub(crate) fn query_parameter(&self, name: &str) -> Option<String> {
        let values: Vec<_> = form_urlencoded::parse(self.query.as_bytes())
            .filter_map(|(own, value)| (own == name).then_some(value))
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// Address of the connection. Headers do not change it.
    pub(crate) fn source_ip(&self) -> String {
        self.peer.ip().to_canonical().to_string()
    }

    /// `X-Forwarded-For` with the sender appended.
    pub(crate) fn forwarded_for(&self) -> String {
        match self.header("x-forwarded-for") {
            Some(before) => format!("{before}, {}", self.source_ip()),
            None => self.source_ip(),
        }
    }
}

/// Size that API Gateway limits to 10,240 bytes: the request line and all header values.
pub(crate) fn head_size(parts: &Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(1, |target| target.as_str().len());
    let line = parts.method.as_str().len() + target + "  HTTP/1.1".len();
    parts.headers.values().fold(line, |size, value| size + value.len())
}

/// Reads a body of at most `limit` bytes; `Ok(None)` if it is longer.
pub(crate) async fn read_body(mut body: Body, limit: usize) -> Result<Option<Bytes>, axum::Error> {
    let mut read = Vec::new();
    let mut size = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        size = size.saturating_add(data.len());
        if size > limit.saturating_mul(DRAINED) {
            break;
        }
        if size <= limit {
            read.extend_from_slice(&data);
        }
    }
    Ok((size <= limit).then(|| read.into()))
}

/// Whether a header is hop-by-hop. `headers` are those of the same message.
pub(crate) fn is_hop_by_hop(name: &HeaderName, headers: &HeaderMap) -> bool {
    HOP_BY_HOP.contains(&name.as_str())
        || headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(name.as_str()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use http::Request;

    /// A request of 9 September 2001, for tests of other modules.
    pub(crate) fn incoming(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Incoming {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let stamp = Stamp {
            id: "JKJaXmPLvHcESHA=".to_owned(),
            at: OffsetDateTime::from_unix_timestamp_nanos(1_000_000_000_123_000_000).unwrap(),
        };
        Incoming::new(
            parts,
            Bytes::copy_from_slice(body),
            "192.0.2.7:4711".parse().unwrap(),
            ("http", 9000),
            stamp,
        )
    }

    #[test]
    fn ids_have_the_length_of_the_real_ones_and_differ() {
        let (one, two) = (Stamp::now(), Stamp::now());
        assert_eq!(one.id.len(), 16);
        assert_ne!(one.id, two.id);
    }

    #[test]
    fn paths_are_decoded_and_kept() {
        let request = incoming("GET", "/a%20b/%C3%A9%2Fc?x=%20y", &[], b"");
        assert_eq!(request.path, "/a b/é/c");
        assert_eq!(request.encoded_path, "/a%20b/%C3%A9%2Fc");
        assert_eq!(request.query, "x=%20y");
        assert_eq!(request.query_parameter("x").as_deref(), Some(" y"));
    }

    #[test]
    fn the_sender_is_the_peer_and_joins_those_who_forwarded() {
        let request = incoming("GET", "/", &[("x-forwarded-for", "203.0.113.9")], b"");
        assert_eq!(request.source_ip(), "192.0.2.7");
        assert_eq!(request.forwarded_for(), "203.0.113.9, 192.0.2.7");
        assert_eq!(incoming("GET", "/", &[], b"").forwarded_for(), "192.0.2.7");
    }

    #[test]
    fn the_connection_header_names_more_of_its_kind() {
        let request = incoming("GET", "/", &[("connection", "close, X-Private"), ("x-private", "1")], b"");
        let is = |name: &'static str| is_hop_by_hop(&HeaderName::from_static(name), &request.headers);
        assert!(is("connection") && is("x-private") && is("transfer-encoding"));
        assert!(!is("authorization"));
    }

    #[test]
    fn a_head_is_its_request_line_and_its_header_values() {
        let (parts, ()) = Request::get("/a?b").header("x-name", "12345").body(()).unwrap().into_parts();
        assert_eq!(head_size(&parts), "GET /a?b HTTP/1.1".len() + 5);
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        assert_eq!(read_body(Body::from("12345"), 5).await.unwrap().unwrap(), "12345");
        assert_eq!(read_body(Body::from("123456"), 5).await.unwrap(), None);
        assert_eq!(read_body(Body::from(vec![0; 500]), 5).await.unwrap(), None);
    }
}
