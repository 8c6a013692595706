//! The response of an HTTP endpoint.

use data_encoding::BASE64;
use http::HeaderMap;
use serde_json::Value;
use std::fmt;

/// An HTTP response as a client sees it. Its methods fail the test if the response differs from what they read.
#[derive(Clone, PartialEq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers in order, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// Body in bytes, decoded from its transfer encoding.
    pub body: Vec<u8>,
}

/// Shows a text body without its tokens, because the suite can call a real stage and a log keeps its output.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = self.headers.iter().filter(|(name, _)| name != "set-cookie");
        let mut body = String::from_utf8_lossy(&self.body).into_owned();
        if let Ok(Value::Object(mut members)) = serde_json::from_slice(&self.body) {
            members.retain(|name, _| !name.ends_with("_token"));
            body = Value::Object(members).to_string();
        }
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &headers.collect::<Vec<_>>())
            .field("body", &body)
            .finish()
    }
}

impl<B: Into<Vec<u8>>> From<http::Response<B>> for Answer {
    fn from(response: http::Response<B>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status.as_u16(), headers: headers(&head.headers), body: body.into() }
    }
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

#[expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]
impl Answer {
    /// Reads the response of an HTTP client to its end.
    ///
    /// # Errors
    /// The connection breaks before the end of the body.
    pub async fn read(response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status().as_u16(), headers(response.headers()));
        Ok(Self { status, headers, body: response.bytes().await?.into() })
    }

    /// The response of a function's answer to API Gateway (format 2.0).
    #[must_use]
    pub fn of_function(returned: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{returned}")).to_owned();
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in returned["headers"].as_object().into_iter().flatten() {
            headers.push((name.to_lowercase(), text(value)));
        }
        for cookie in returned["cookies"].as_array().into_iter().flatten() {
            headers.push(("set-cookie".to_owned(), text(cookie)));
        }
        let body = returned["body"].as_str().unwrap_or_default();
        let body = match returned["isBase64Encoded"] == true {
            true => BASE64.decode(body.as_bytes()).unwrap(),
            false => body.as_bytes().to_vec(),
        };
        let status = returned["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
        Self { status: status.unwrap_or_else(|| panic!("{returned}")), headers, body }
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The body as text.
    #[must_use]
    pub fn body_text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// A string member of the JSON body; empty if it is missing.
    #[must_use]
    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_default().to_owned()
    }

    /// Refresh token of a success.
    #[must_use]
    pub fn refresh_token(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.text("refresh_token")
    }

    /// Access token of a success.
    #[must_use]
    pub fn access_token(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.text("access_token")
    }

    /// First header of this lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Value that the response sets for a cookie, and the cookie's attributes.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<(&str, &str)> {
        let set = |(header, value)| if header == "set-cookie" { Some(value) } else { None };
        let mut all = self.headers.iter().map(|(header, value)| (header.as_str(), value.as_str()));
        all.find_map(|header| {
            let (pair, attributes) = set(header)?.split_once("; ")?;
            let value = pair.strip_prefix(name)?.strip_prefix('=')?;
            Some((value, attributes))
        })
    }

    /// Status code and error code.
    #[must_use]
    pub fn outcome(&self) -> (u16, String) {
        (self.status, self.text("error"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_is_not_shown() {
        let body = json!({ "access_token": "hunter2", "error": "shown" }).to_string();
        let headers = vec![("set-cookie".to_owned(), "c=hunter2".to_owned())];
        let shown = format!("{:?}", Answer { status: 200, headers, body: body.into_bytes() });
        assert!(shown.contains("shown") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_function_returns_headers_cookies_and_bytes() {
        let returned = json!({
            "statusCode": 200, "headers": { "Vary": "Origin" }, "cookies": ["a=1; Path=/; Secure", "b=2; Path=/"],
            "body": "eyJlcnJvciI6Im5vIn0=", "isBase64Encoded": true,
        });
        let answer = Answer::of_function(&returned);
        assert_eq!(answer.header("vary"), Some("Origin"));
        assert_eq!(answer.cookie("a"), Some(("1", "Path=/; Secure")));
        assert_eq!(answer.cookie("b"), Some(("2", "Path=/")));
        assert_eq!(answer.cookie("c"), None);
        assert_eq!(answer.outcome(), (200, "no".to_owned()));
    }
}
