//! Compression. API Gateway compresses for REST APIs alone, and digests are random: what is won is the quarter that base64 adds.

use daypass_core::http::answer::Response;
use daypass_core::http::request::Request;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HeaderValue, VARY};
use std::io::Write;

/// Smaller answers are a packet either way.
const WORTH_IT: usize = 1024;

/// The answer, compressed when the caller takes that and it is worth it.
pub(crate) fn compressed(request: &Request, mut response: Response) -> Response {
    if !matches!(response.status(), StatusCode::OK | StatusCode::NOT_MODIFIED) {
        return response;
    }
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    if response.body().len() < WORTH_IT || !takes_gzip(request) {
        return response;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory cannot fail; should it ever, the answer goes out as it is.
    let Ok(body) = encoder.write_all(response.body()).and_then(|()| encoder.finish()) else {
        return response;
    };
    *response.body_mut() = body;
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    // The tag is of the content and says nothing of its coding (RFC 9110 §8.8.3.3).
    if let Some(tag) = response
        .headers()
        .get(ETAG)
        .and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok())
    {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Whether the caller lists gzip, and not with the weight 0 (RFC 9110 §12.5.3).
fn takes_gzip(request: &Request) -> bool {
    let values = request.headers().get_all(ACCEPT_ENCODING).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        let refused = parts.any(|part| {
            part.strip_prefix("q=")
                .is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight == 0.0))
        });
        named && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    fn ask(accept: &str, body: &[u8], status: u16) -> Response {
        let request =
            http::Request::get("/revocations").header("accept-encoding", accept).body(vec![]).unwrap();
        let response =
            http::Response::builder().status(status).header("etag", "\"t\"").body(body.to_vec()).unwrap();
        compressed(&request, response)
    }

    #[test]
    fn a_large_answer_is_compressed_for_whom_it_suits() {
        let body = b"0123456789abcdef".repeat(100);
        for accept in ["gzip", "gzip, deflate, br", "br;q=1, GZIP;q=0.5", "*"] {
            let response = ask(accept, &body, 200);
            assert_eq!(response.headers()["content-encoding"], "gzip", "{accept}");
            assert_eq!(
                (&response.headers()["vary"], &response.headers()["etag"]),
                (&"accept-encoding".parse().unwrap(), &"W/\"t\"".parse().unwrap())
            );
            let mut read = Vec::new();
            GzDecoder::new(response.body().as_slice()).read_to_end(&mut read).unwrap();
            assert_eq!(read, body);
        }
        for accept in ["", "br", "gzip;q=0", "identity", "gzipped"] {
            let response = ask(accept, &body, 200);
            assert!(!response.headers().contains_key("content-encoding"), "{accept}");
            assert_eq!((response.body(), &response.headers()["etag"]), (&body, &"\"t\"".parse().unwrap()));
        }
    }

    #[test]
    fn what_is_small_or_an_error_goes_out_as_it_is() {
        assert_eq!(ask("gzip", b"{}", 200).body(), b"{}");
        assert_eq!(ask("gzip", b"", 304).headers()["vary"], "accept-encoding");
        assert_eq!(*ask("gzip", &[b'x'; 2000], 503).body(), [b'x'; 2000]);
    }
}
