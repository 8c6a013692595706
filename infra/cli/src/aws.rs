//! Signed requests to the AWS services for which the command links no SDK.

use crate::environment::{Environment, is_loopback};
use crate::output::Failure;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use daypass_aws::{ProxyConfig, SdkConfig};
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

/// A client for HTTP and HTTPS, with the roots of the system. It uses the proxy of the environment, which cannot reach
/// this machine.
pub(crate) struct Web {
    direct: SharedHttpConnector,
    proxied: SharedHttpConnector,
}

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
        let [direct, proxied] =
            [ProxyConfig::disabled(), ProxyConfig::from_env()].map(daypass_aws::connector);
        Self { direct, proxied }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Why there is no complete response in time.
    pub(crate) async fn send(&self, request: Request<String>) -> Result<Response, String> {
        let local = is_loopback(&request.uri().to_string());
        let connector = if local { &self.direct } else { &self.proxied };
        let request = HttpRequest::try_from(request.map(Into::into)).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = connector.call(request).await.map_err(|error| with_causes(&error))?;
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
    /// Endpoints of the environment, which replace those of AWS: that of a service, or that of all.
    endpoints: Vec<(&'static str, String)>,
}

/// Variables with an endpoint, by service. An empty service is every other one.
const ENDPOINTS: [(&str, &str); 5] = [
    ("cloudformation", "AWS_ENDPOINT_URL_CLOUDFORMATION"),
    ("dynamodb", "AWS_ENDPOINT_URL_DYNAMODB"),
    ("lambda", "AWS_ENDPOINT_URL_LAMBDA"),
    ("secretsmanager", "AWS_ENDPOINT_URL_SECRETS_MANAGER"),
    ("", "AWS_ENDPOINT_URL"),
];

impl Aws {
    /// Reads the AWS environment, without a request.
    ///
    /// # Errors
    /// No region is selected.
    pub(crate) async fn of(environment: &Environment<'_>) -> Result<Self, Failure> {
        let config = daypass_aws::load().await;
        let region = config.region().map(ToString::to_string).ok_or_else(|| {
            Failure::new("no AWS region is selected", "set AWS_REGION to the region of the stack")
        })?;
        let endpoints =
            ENDPOINTS.iter().filter_map(|(service, name)| Some((*service, environment.get(name)?))).collect();
        Ok(Self { web: Web::new(), config, region, endpoints })
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
        let credentials = provider.provide_credentials().await.map_err(|error| with_causes(&error))?;
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
        let own = |name: &str| self.endpoints.iter().find(|(of, _)| *of == name).map(|(_, url)| url);
        match own(service).or_else(|| own("")) {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                let suffix =
                    if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                format!("https://{service}.{}.{suffix}", self.region)
            }
        }
    }
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
