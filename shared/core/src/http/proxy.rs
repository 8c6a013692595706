//! A trusted proxy in front of the API, such as CloudFront. It authenticates its requests by a secret header, and other headers
//! name the address of the caller.

use crate::http::error::ApiError;
use crate::http::request::{Request, caller_of};
use crate::secret::ProxySecrets;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use std::net::IpAddr;

/// Header with the secret of the proxy.
const SECRET: HeaderName = HeaderName::from_static("x-daypass-proxy");
/// Address and port of the viewer.
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html>
const VIEWER: HeaderName = HeaderName::from_static("cloudfront-viewer-address");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Admits a request that came through the proxy, and replaces the address of its caller by the one that the proxy names.
/// Removes the header with the secret in any case, so no later code sees it. Without secrets, there is no proxy: every request
/// is admitted and keeps the address of API Gateway.
///
/// # Errors
/// [`ApiError::NotThroughProxy`] unless the header is there once with one of the secrets, and an address can be read.
pub fn admit(secrets: Option<&ProxySecrets>, request: &mut Request) -> Result<(), ApiError> {
    let shown: Vec<HeaderValue> = request.headers().get_all(SECRET).iter().cloned().collect();
    request.headers_mut().remove(SECRET);
    let Some(secrets) = secrets else { return Ok(()) };
    match shown.as_slice() {
        [] => return Err(ApiError::NotThroughProxy("The header of the proxy is missing.")),
        [value] if secrets.contain(value.as_bytes()) => {}
        [_] => return Err(ApiError::NotThroughProxy("The header of the proxy is wrong.")),
        _ => return Err(ApiError::NotThroughProxy("The header of the proxy is there more than once.")),
    }
    let mut caller = caller_of(request);
    let viewer = viewer(request.headers(), caller.source_ip);
    caller.source_ip =
        Some(viewer.ok_or(ApiError::NotThroughProxy("The proxy does not name the address of the caller."))?);
    request.extensions_mut().insert(caller);
    Ok(())
}

/// The address in `CloudFront-Viewer-Address`, or else the last hop before `peer`. If both are there, they must agree: a proxy
/// that does not set the first header may pass on what its caller wrote there.
fn viewer(headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
    let hop = last_hop(headers, peer);
    let mut values = headers.get_all(VIEWER).iter();
    let Some(value) = values.next() else { return hop };
    let viewer = without_port(value.to_str().ok()?)?;
    (values.next().is_none() && hop.is_none_or(|hop| hop == viewer)).then_some(viewer)
}

/// The address that the proxy appended to `X-Forwarded-For`. API Gateway appends its own peer after it, which is its
/// `sourceIp`. Without that last element, the list is not the one of an HTTP API or of a regional REST API, and the caller may
/// have written any of it.
fn last_hop(headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
    let values = headers.get_all(FORWARDED_FOR).iter();
    let hops: Vec<&str> = values.flat_map(|value| value.to_str().unwrap_or_default().split(',')).collect();
    let [.., hop, last] = hops.as_slice() else { return None };
    if peer.is_none() || address(last) != peer.map(|peer| peer.to_canonical()) {
        return None;
    }
    address(hop)
}

/// The address of `192.0.2.1:443`, `[2001:db8::1]:443` and `2001:db8::1:443`. CloudFront writes no brackets.
fn without_port(text: &str) -> Option<IpAddr> {
    let (text, port) = text.trim().rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inside) => inside.parse().ok().map(IpAddr::V6),
        None => address(text),
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.trim().parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_verifier::ports::context::Caller;

    const CDN: &str = "203.0.113.7";
    const GOOD: &str = "0123456789abcdef0123456789abcdef";
    const NEXT: &str = "fedcba9876543210fedcba9876543210";

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::default();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let source_ip = Some(CDN.parse().unwrap());
        request.extensions_mut().insert(Caller { source_ip, ..Caller::default() });
        request
    }

    /// The address of the caller after [`admit`], or the text of the error.
    fn admitted(secrets: Option<&str>, headers: &[(&str, &str)]) -> Result<String, &'static str> {
        let secrets = secrets.map(|text| ProxySecrets::parse(text).unwrap());
        let mut request = request(headers);
        let result = admit(secrets.as_ref(), &mut request);
        assert!(!request.headers().contains_key(SECRET), "{headers:?}");
        let address = caller_of(&request).source_ip.unwrap().to_string();
        match result {
            Ok(()) => Ok(address),
            Err(error) => {
                assert_eq!(address, CDN, "a rejected request keeps the address of its peer");
                assert_eq!(error.text().0, "invalid_request");
                Err(error.text().1)
            }
        }
    }

    const MISSING: &str = "The header of the proxy is missing.";
    const WRONG: &str = "The header of the proxy is wrong.";
    const TWICE: &str = "The header of the proxy is there more than once.";
    const NO_ADDRESS: &str = "The proxy does not name the address of the caller.";

    /// invariant: If a proxy is configured, a request without its secret is rejected, whatever other headers it has.
    #[test]
    fn a_request_needs_the_secret_once() {
        let check = |secrets: &[&str], expected: Result<&str, &'static str>| {
            let mut headers = vec![("cloudfront-viewer-address", "198.51.100.1:443")];
            headers.push(("x-forwarded-for", "198.51.100.1, 203.0.113.7"));
            headers.extend(secrets.iter().map(|value| ("x-daypass-proxy", *value)));
            let both = format!("{GOOD} {NEXT}");
            assert_eq!(admitted(Some(&both), &headers), expected.map(str::to_owned), "{secrets:?}");
        };
        check(&[GOOD], Ok("198.51.100.1"));
        check(&[NEXT], Ok("198.51.100.1"));
        check(&[], Err(MISSING));
        for wrong in ["", "x", &GOOD[1..], &GOOD.to_uppercase(), &format!("{GOOD} {NEXT}")] {
            check(&[wrong], Err(WRONG));
        }
        // As API Gateway writes a header that is there twice, and as a REST API does.
        check(&[&format!("{GOOD},{GOOD}")], Err(WRONG));
        check(&[GOOD, GOOD], Err(TWICE));
        check(&[GOOD, "x"], Err(TWICE));
    }

    #[test]
    fn without_secrets_the_headers_mean_nothing() {
        let headers = [
            ("x-daypass-proxy", GOOD),
            ("cloudfront-viewer-address", "198.51.100.1:443"),
            ("x-forwarded-for", "198.51.100.1, 203.0.113.7"),
        ];
        assert_eq!(admitted(None, &headers), Ok(CDN.to_owned()));
    }

    #[test]
    fn the_address_is_the_one_that_the_proxy_saw() {
        let check = |viewer: &[&str], forwarded: &[&str], expected: Option<&str>| {
            let mut headers = vec![("X-Daypass-Proxy", GOOD)];
            headers.extend(viewer.iter().map(|value| ("CloudFront-Viewer-Address", *value)));
            headers.extend(forwarded.iter().map(|value| ("X-FORWARDED-FOR", *value)));
            let expected = expected.map(str::to_owned).ok_or(NO_ADDRESS);
            assert_eq!(admitted(Some(GOOD), &headers), expected, "{viewer:?} {forwarded:?}");
        };
        for (text, expected) in [
            ("198.51.100.1:46532", Some("198.51.100.1")),
            ("[2001:db8::1]:46532", Some("2001:db8::1")),
            ("2001:db8::1:46532", Some("2001:db8::1")),
            ("2001:db8:1:2:3:4:5:6:46532", Some("2001:db8:1:2:3:4:5:6")),
            ("::ffff:198.51.100.1:46532", Some("198.51.100.1")),
            ("198.51.100.1", None),
            ("2001:db8:1:2:3:4:5:6", None),
            ("198.51.100.1:", None),
            ("198.51.100.1:65536", None),
            ("198.51.100.1:1, 192.0.2.1:1", None),
            ("[198.51.100.1]:443", None),
            ("[2001:db8::1:443", None),
            ("localhost:443", None),
            ("unknown", None),
            ("", None),
        ] {
            check(&[text], &[], expected);
        }
        check(&["198.51.100.1:1", "198.51.100.1:1"], &[], None);

        for (text, expected) in [
            ("198.51.100.1, 203.0.113.7", Some("198.51.100.1")),
            ("2001:db8::1,203.0.113.7", Some("2001:db8::1")),
            // The caller wrote all but the last two.
            ("192.0.2.1, 198.51.100.1, 203.0.113.7", Some("198.51.100.1")),
            ("192.0.2.1, 203.0.113.7, 198.51.100.1, 203.0.113.7", Some("198.51.100.1")),
            ("junk,, 198.51.100.1, 203.0.113.7", Some("198.51.100.1")),
            // Not appended by API Gateway.
            ("198.51.100.1, 192.0.2.1", None),
            ("203.0.113.7, 198.51.100.1", None),
            // No hop before API Gateway's own.
            ("203.0.113.7", None),
            ("unknown, 203.0.113.7", None),
            ("198.51.100.1:443, 203.0.113.7", None),
            ("", None),
        ] {
            check(&[], &[text], expected);
        }
        check(&[], &["192.0.2.1", "198.51.100.1, 203.0.113.7"], Some("198.51.100.1"));
        check(&[], &["192.0.2.1, 198.51.100.1", "203.0.113.7"], Some("198.51.100.1"));
        check(&[], &[], None);

        check(&["198.51.100.1:443"], &["198.51.100.1, 203.0.113.7"], Some("198.51.100.1"));
        check(&["198.51.100.1:443"], &["198.51.100.1, 192.0.2.1"], Some("198.51.100.1"));
        // The caller wrote the first header, and the proxy passed it on.
        check(&["192.0.2.1:443"], &["198.51.100.1, 203.0.113.7"], None);
        check(&["junk"], &["198.51.100.1, 203.0.113.7"], None);
    }
}
