//! Signed requests to the AWS services for which the command links no SDK.

use crate::output::Failure;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use daypass_aws::{ProxyConfig, SdkConfig, UNUSABLE, credentials_problem};
use daypass_runtime::SystemClock;
use daypass_verifier::base::time::Clock;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use std::error::Error;
use std::fmt::Display;
use std::time::{Duration, UNIX_EPOCH};

/// Deadline of a request.
const DEADLINE: Duration = Duration::from_secs(10);
/// The largest response, in bytes.
const MOST: usize = 4 * 1024 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// Hint for credentials that could not be loaded.
pub(crate) const RENEW: &str = "sign in again with `aws sso login` or `aws login`, or correct the profile; \
    `aws sts get-caller-identity` tries it";

/// The next step for an error of AWS, if its text names a cause on this machine or in its network.
pub(crate) fn remedy(error: &str) -> Option<&'static str> {
    const REMEDIES: [(&[&str], &str); 4] = [
        (
            &["the clock of this machine is wrong", "Signature expired", "Signature not yet current"],
            "set the clock of this machine: AWS accepts requests whose time differs by at most five minutes",
        ),
        (&[UNUSABLE, "ExpiredToken", "token included in the request is expired"], RENEW),
        (
            &["invalid peer certificate"],
            "if a proxy inspects TLS, set AWS_CA_BUNDLE to a PEM file with its root certificate, in which each certificate is readable",
        ),
        (
            &["tunnel error", "407 "],
            "check HTTPS_PROXY: the proxy rejects the request, or needs a name and a password as in http://NAME:PASSWORD@HOST:PORT",
        ),
    ];
    let found = REMEDIES.iter().find(|(signs, _)| signs.iter().any(|sign| error.contains(sign)));
    found.map(|(_, remedy)| *remedy)
}

/// A client for HTTP and HTTPS, with the proxy of the environment.
pub(crate) struct Web(SharedHttpConnector);

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The body as JSON; `null` if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Web {
    fn new() -> Self {
        Self(daypass_aws::connector(ProxyConfig::from_env))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Why there is no complete response in time.
    pub(crate) async fn send(&self, request: Request<String>) -> Result<Response, String> {
        let request = HttpRequest::try_from(request.map(Into::into)).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.0.call(request).await.map_err(|error| with_causes(&error))?;
            let response = response.try_into_http1x().map_err(|error| error.to_string())?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MOST).collect().await.map_err(|error| error.to_string())?;
            let body = body.to_bytes().to_vec();
            Ok(Response { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(DEADLINE, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("no response within {} s", DEADLINE.as_secs())))
    }

    /// Requests a document.
    ///
    /// # Errors
    /// As [`Self::send`], or the URL is malformed.
    pub(crate) async fn get(&self, url: &str) -> Result<Response, String> {
        let request = Request::get(url).body(String::new()).map_err(|error| error.to_string())?;
        self.send(request).await
    }

    /// Sends a JSON document.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(crate) async fn post(&self, url: &str, body: &Value) -> Result<Response, String> {
        let request = Request::post(url).header(CONTENT_TYPE, "application/json").body(body.to_string());
        self.send(request.map_err(|error| error.to_string())?).await
    }
}

fn encoded(form: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

/// The error with its causes, the text of the last of which says most.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// An AWS account and region, by the AWS variables and profiles.
pub(crate) struct Aws {
    pub(crate) web: Web,
    config: SdkConfig,
    region: String,
}

/// The services by the names of their endpoints, and by those of their settings in profiles.
const SERVICES: [(&str, &str); 4] = [
    ("cloudformation", "CloudFormation"),
    ("dynamodb", "DynamoDB"),
    ("lambda", "Lambda"),
    ("secretsmanager", "Secrets Manager"),
];

impl Aws {
    /// Reads the AWS environment, without a request.
    ///
    /// # Errors
    /// No region is selected.
    pub(crate) async fn load() -> Result<Self, Failure> {
        let config = daypass_aws::load().await;
        let region = config.region().map(ToString::to_string).ok_or_else(|| {
            Failure::new("no AWS region is selected", "set AWS_REGION to the region of the stack")
        })?;
        Ok(Self { web: Web::new(), config, region })
    }

    /// An action of a service with the query protocol. Its response is XML.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn query(&self, service: &str, form: &[(&str, &str)]) -> Result<Response, String> {
        let headers = [(CONTENT_TYPE, FORM), (ACCEPT, "text/xml")];
        self.send(
            service,
            Method::POST,
            "/",
            &headers.map(|(name, value)| (name.as_str().to_owned(), value.to_owned())),
            encoded(form),
        )
        .await
    }

    /// An action of a service with the JSON protocol.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn json(&self, service: &str, target: &str, body: &Value) -> Result<Value, String> {
        let headers = [
            (
                CONTENT_TYPE.as_str().to_owned(),
                format!("application/x-amz-json-1.{}", u8::from(service != "dynamodb")),
            ),
            ("x-amz-target".to_owned(), target.to_owned()),
        ];
        Ok(self.send(service, Method::POST, "/", &headers, body.to_string()).await?.json())
    }

    /// A document of a service with the REST protocol.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn rest(&self, service: &str, path: &str) -> Result<Value, String> {
        Ok(self.send(service, Method::GET, path, &[], String::new()).await?.json())
    }

    /// Signs and sends a request.
    ///
    /// # Errors
    /// There are no credentials, there is no response, or its status is no success. The text names the error of AWS.
    async fn send(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(String, String)],
        body: String,
    ) -> Result<Response, String> {
        let text = |error: &dyn Display| error.to_string();
        let url = format!("{}{path}", self.endpoint(service));
        let provider = self.config.credentials_provider().ok_or("there are no AWS credentials")?;
        let credentials = provider.provide_credentials().await.map_err(|error| match error {
            CredentialsError::CredentialsNotLoaded(_) => "there are no AWS credentials".to_owned(),
            error => credentials_problem(&error),
        })?;
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(UNIX_EPOCH + Duration::from_secs(SystemClock.now().seconds()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| text(&error))?
            .into();
        let signed = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let signable =
            SignableRequest::new(method.as_str(), &url, signed, SignableBody::Bytes(body.as_bytes()))
                .map_err(|error| text(&error))?;
        let (instructions, _) = sign(signable, &params).map_err(|error| text(&error))?.into_parts();
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(body).map_err(|error| text(&error))?;
        instructions.apply_to_request_http1x(&mut request);
        let response = self.web.send(request).await?;
        if response.status.is_success() {
            return Ok(response);
        }
        Err(format!("{} {}", response.status.as_u16(), reason(&String::from_utf8_lossy(&response.body))))
    }

    fn endpoint(&self, service: &str) -> String {
        let id = SERVICES.iter().find(|(name, _)| *name == service).map(|(_, id)| *id);
        id.and_then(|id| daypass_aws::endpoint(&self.config, id)).unwrap_or_else(|| {
            let fips = self.config.use_fips() == Some(true);
            public_endpoint(service, &self.region, fips, self.config.use_dual_stack() == Some(true))
        })
    }
}

/// The endpoint of a service in the partition of a region, with FIPS or with IPv6 on request.
///
/// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
fn public_endpoint(service: &str, region: &str, fips: bool, dual_stack: bool) -> String {
    let suffix = match (region.split('-').next().unwrap_or_default(), dual_stack) {
        ("cn", false) => "amazonaws.com.cn",
        ("cn", true) => "api.amazonwebservices.com.cn",
        ("eusc", false) => "amazonaws.eu",
        ("eusc", true) => "api.amazonwebservices.eu",
        (_, false) => "amazonaws.com",
        (_, true) => "api.aws",
    };
    // The usual endpoints of GovCloud comply with FIPS.
    let fips = if fips && !region.starts_with("us-gov-") { "-fips" } else { "" };
    format!("https://{service}{fips}.{region}.{suffix}")
}

/// The error in the body of a response of AWS: the message of XML or JSON, or the start of the text.
fn reason(body: &str) -> String {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let member = |name: &str| Some(json.get(name)?.as_str()?.to_owned());
    let tag =
        body.split_once("<Message>").and_then(|(_, rest)| Some(rest.split_once("</Message>")?.0.to_owned()));
    let found = member("message").or_else(|| member("Message")).or(tag).or_else(|| member("__type"));
    found.unwrap_or_else(|| body.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_endpoints() {
        for (region, fips, dual_stack, expected) in [
            ("eu-west-1", false, false, "https://lambda.eu-west-1.amazonaws.com"),
            ("eu-west-1", false, true, "https://lambda.eu-west-1.api.aws"),
            ("us-east-1", true, false, "https://lambda-fips.us-east-1.amazonaws.com"),
            ("us-east-1", true, true, "https://lambda-fips.us-east-1.api.aws"),
            ("us-gov-west-1", true, false, "https://lambda.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", false, false, "https://lambda.cn-north-1.amazonaws.com.cn"),
            ("eusc-de-east-1", false, false, "https://lambda.eusc-de-east-1.amazonaws.eu"),
        ] {
            assert_eq!(public_endpoint("lambda", region, fips, dual_stack), expected);
        }
    }
}
