//! Systems that users come from: a user pool of Amazon Cognito, or an HTTPS endpoint.
//!
//! Requests go through the HTTPS client of the AWS SDK, which `login` links anyway. It offers a post-quantum key exchange, because
//! the requests hold passwords.

mod cognito;
mod endpoint;

use cognito::Cognito;
use endpoint::Endpoint;

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use daypass_aws::ProxyConfig;
use daypass_core::config::MigrateFrom;
use daypass_core::keys::{Document, KeyError, SigningKeys};
use daypass_core::ports::migration::{OldSystem, Unanswered};
use daypass_verifier::base::issuer::{Issuer, secure_url};
use http::header::{CONNECTION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

/// The variable with another endpoint of Cognito's API, for tests on this machine. The name is that of AWS' SDKs.
pub const COGNITO_ENDPOINT: &str = "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER";

/// The longest time of a request, from the DNS query to the last byte.
const DEADLINE: Duration = Duration::from_secs(2);

/// The old system cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum NotConnected {
    /// The variable [`COGNITO_ENDPOINT`] is wrong.
    #[error("{name} {0}", name = COGNITO_ENDPOINT)]
    Endpoint(String),
    /// The key set cannot sign requests.
    #[error(transparent)]
    Keys(KeyError),
}

/// The client of an old system. It connects with each request. `endpoint` is the value of [`COGNITO_ENDPOINT`].
///
/// # Errors
/// [`NotConnected`].
pub fn connect(
    from: &MigrateFrom,
    endpoint: Option<&str>,
    issuer: &Issuer,
    keys: &Document,
) -> Result<Box<dyn OldSystem>, NotConnected> {
    Ok(match from {
        MigrateFrom::Cognito { region, client } => {
            let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            let of_region = format!("https://cognito-idp.{region}.{domain}/");
            let uri = secure_url(endpoint.unwrap_or(&of_region)).and_then(|uri| match endpoint {
                Some(_) if uri.scheme_str() != Some("http") => Err("is not on this machine".to_owned()),
                _ => Ok(uri),
            });
            Box::new(Cognito::new(Http::new(uri.map_err(NotConnected::Endpoint)?), client.clone()))
        }
        MigrateFrom::Url(uri) => {
            let keys = SigningKeys::from_document(keys).map_err(NotConnected::Keys)?;
            Box::new(Endpoint::new(Http::new(uri.clone()), issuer.clone(), keys))
        }
    })
}

/// One address for rare requests, with limits of time and size.
struct Http {
    uri: Uri,
    connector: OnceLock<SharedHttpConnector>,
}

impl Http {
    const fn new(uri: Uri) -> Self {
        Self { uri, connector: OnceLock::new() }
    }

    /// Sends a body, and returns the status and at most `most` bytes.
    async fn post(
        &self,
        content_type: &'static str,
        header: Option<(HeaderName, &'static str)>,
        body: String,
        most: usize,
    ) -> Result<(StatusCode, Vec<u8>), Unanswered> {
        let mut request = Request::post(&self.uri)
            .header(CONTENT_TYPE, content_type)
            .header(USER_AGENT, concat!("daypass/", env!("CARGO_PKG_VERSION")))
            // Lambda freezes the process for longer than the peer waits.
            .header(CONNECTION, "close");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(body.into()).map_err(|error| failed(&error))?;
        let request = HttpRequest::try_from(request).map_err(|error| failed(&error))?;
        let exchange = async {
            let response = self.connector().call(request).await.map_err(|error| failed(&error))?;
            let response = response.try_into_http1x().map_err(|error| failed(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, most).collect().await.map_err(|error| failed(error.as_ref()))?;
            Ok((head.status, body.to_bytes().to_vec()))
        };
        tokio::time::timeout(DEADLINE, exchange)
            .await
            .unwrap_or_else(|_| Err(Unanswered(format!("no answer within {} s", DEADLINE.as_secs()))))
    }

    fn connector(&self) -> &SharedHttpConnector {
        self.connector.get_or_init(|| daypass_aws::connector(ProxyConfig::from_env))
    }
}

/// An error and its causes, which name hosts and no input.
fn failed(error: &(dyn Error + 'static)) -> Unanswered {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    Unanswered(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}
