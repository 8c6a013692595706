//! The AWS configuration of a process: region, credentials and endpoints of its environment, and one HTTPS client for all
//! services.
//!
//! By default, each client of the SDK has an HTTPS client of its own. Each would parse the root certificates of the system.

use aws_config::BehaviorVersion;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_types::region::Region;
use aws_types::service_config::ServiceConfigKey;
use http::Uri;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::sync::OnceLock;

const TLS: tls::Provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);

pub use aws_smithy_http_client::proxy::ProxyConfig;
pub use aws_types::SdkConfig;

/// The configuration of the environment, as [`aws_config`] finds it: variables, profiles and the sources of credentials.
pub async fn load() -> SdkConfig {
    let https = https_client(ProxyConfig::from_env);
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(https).load().await;
    // The SDK panics at a region and at credentials that do not fit into a header, such as those of a file with CRLF:
    // https://github.com/smithy-lang/smithy-rs/issues/4565
    let region = config.region().map(|region| Region::new(region.as_ref().trim().to_owned()));
    let mut builder = config.to_builder().region(region);
    if let Some(provider) = config.credentials_provider() {
        builder.set_credentials_provider(Some(SharedCredentialsProvider::new(Checked(provider))));
    }
    builder.build()
}

/// Credentials that fit into headers.
#[derive(Debug)]
struct Checked(SharedCredentialsProvider);

impl ProvideCredentials for Checked {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let found = self.0.provide_credentials().await?;
            let parts = [Some(found.access_key_id()), Some(found.secret_access_key()), found.session_token()];
            if parts.into_iter().flatten().all(|part| part.bytes().all(|byte| byte.is_ascii_graphic())) {
                return Ok(found);
            }
            Err(CredentialsError::invalid_configuration(
                "they contain a blank, a line break or another character that none have",
            ))
        })
    }
}

/// The endpoint that a variable or a profile names for a service (`AWS_ENDPOINT_URL_…`, `endpoint_url`).
///
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
#[must_use]
pub fn endpoint(config: &SdkConfig, service_id: &str) -> Option<String> {
    let key =
        ServiceConfigKey::builder().service_id(service_id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
    let url = config.service_config()?.load_config(key.build().ok()?)?;
    Some(url.trim_end_matches('/').to_owned()).filter(|url| !url.trim().is_empty())
}

/// The SDK's HTTPS client. All services share its connector, which has the time limits of the first service that uses it.
pub fn https_client(proxy: fn() -> ProxyConfig) -> SharedHttpClient {
    let connector = OnceLock::new();
    http_client_fn(move |settings, components| {
        let (settings, sleep) = (settings.clone(), components.sleep_impl());
        let routed = || {
            Routed::new(proxy, move |proxy| {
                let mut builder =
                    Connector::builder().connector_settings(settings.clone()).proxy_config(proxy);
                builder.set_sleep_impl(sleep.clone());
                SharedHttpConnector::new(builder.tls_provider(TLS).tls_context(roots()).build())
            })
        };
        connector.get_or_init(|| SharedHttpConnector::new(routed())).clone()
    })
}

/// The SDK's connector for HTTP and HTTPS, without time limits, for requests that no SDK client sends.
#[must_use]
pub fn connector(proxy: fn() -> ProxyConfig) -> SharedHttpConnector {
    SharedHttpConnector::new(Routed::new(proxy, |proxy| {
        let builder = Connector::builder().proxy_config(proxy).tls_provider(TLS);
        SharedHttpConnector::new(builder.tls_context(roots()).build())
    }))
}

type Connect = Box<dyn Fn(ProxyConfig) -> SharedHttpConnector + Send + Sync>;

/// A connector that uses a proxy, except for addresses that no proxy reaches.
struct Routed {
    proxy: fn() -> ProxyConfig,
    connect: Connect,
    direct: OnceLock<SharedHttpConnector>,
    proxied: OnceLock<SharedHttpConnector>,
}

impl Routed {
    fn new(
        proxy: fn() -> ProxyConfig,
        connect: impl Fn(ProxyConfig) -> SharedHttpConnector + Send + Sync + 'static,
    ) -> Self {
        Self { proxy, connect: Box::new(connect), direct: OnceLock::new(), proxied: OnceLock::new() }
    }
}

impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Routed")
    }
}

impl HttpConnector for Routed {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // Each connector parses the root certificates, so it is made when it is needed.
        let connector = if is_near(request.uri()) {
            self.direct.get_or_init(|| (self.connect)(ProxyConfig::disabled()))
        } else {
            self.proxied.get_or_init(|| (self.connect)((self.proxy)()))
        };
        connector.call(request)
    }
}

/// Whether a URL is one of this machine.
#[must_use]
pub fn is_loopback(url: &str) -> bool {
    address(url).is_some_and(|address| address.is_loopback())
}

/// Whether a URL is one of this machine or of its link. EC2, ECS and EKS provide credentials at addresses of the link.
fn is_near(url: &str) -> bool {
    address(url).is_some_and(|address| match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => {
            // fd00:ec2::254 and fd00:ec2::23
            let of_ec2 = matches!(address.segments(), [0xfd00, 0x0ec2, ..]);
            address.is_loopback() || address.is_unicast_link_local() || of_ec2
        }
    })
}

/// The address in an http or https URL; that of the loopback for `localhost`.
fn address(url: &str) -> Option<IpAddr> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host().filter(|_| matches!(uri.scheme_str(), Some("http" | "https")))?;
    match host {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        host => host.trim_start_matches('[').trim_end_matches(']').parse().ok(),
    }
}

/// The variable of the AWS tools with a file of root certificates, as a network needs them whose proxy inspects TLS.
pub const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// The root certificates of the system, and those of [`CA_BUNDLE`].
fn roots() -> tls::TlsContext {
    let roots = match bundle() {
        Some(pem) => tls::TrustStore::default().with_pem_certificate(pem),
        None => tls::TrustStore::default(),
    };
    tls::TlsContext::builder().with_trust_store(roots).build().unwrap_or_default()
}

/// The file of [`CA_BUNDLE`], if all of it is readable: the SDK panics at another.
fn bundle() -> Option<Vec<u8>> {
    let pem = std::fs::read(std::env::var_os(CA_BUNDLE)?).ok()?;
    let mut store = RootCertStore::empty();
    let is_usable =
        CertificateDer::pem_slice_iter(&pem).all(|der| der.is_ok_and(|der| store.add(der).is_ok()));
    (is_usable && !store.is_empty()).then_some(pem)
}

/// Factor of the time limits of an operator's command. The machine can be far from the region or on a slow network: TCP and
/// TLS are three round trips.
pub const OPERATOR: u32 = 10;

/// In the text of an error, the reason why a request was not signed. The causes follow it.
pub const UNUSABLE: &str = "the AWS credentials could not be loaded";

/// [`UNUSABLE`] and the causes of an error, the outermost first. They name files, profiles and services, and no secret.
#[must_use]
pub fn credentials_problem(error: &CredentialsError) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string().lines().next().unwrap_or_default().to_owned();
        // Texts such as "an error occurred while loading credentials".
        let says_nothing =
            text.ends_with("loading credentials") || text.starts_with("unexpected credentials error");
        // An error of the SDK often has the text of its cause.
        if !says_nothing && !texts.last().is_some_and(|last| last.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    let causes = if texts.is_empty() { error.to_string() } else { texts.join(": ") };
    format!("{UNUSABLE}: {causes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_stands_before_this_machine_and_its_link() {
        let local =
            ["http://localhost:8000", "http://127.0.0.1:1", "https://127.9.9.9", "http://[::1]:8000/"];
        for url in local {
            assert!(is_loopback(url) && is_near(url), "{url}");
        }
        // Credentials of EC2, ECS and EKS.
        for url in [
            "http://169.254.169.254/latest",
            "http://169.254.170.2",
            "http://[fd00:ec2::254]",
            "http://[fe80::1]",
        ] {
            assert!(is_near(url) && !is_loopback(url), "{url}");
        }
        for url in [
            "",
            "localhost:8000",
            "ftp://localhost",
            "http://localhost.example",
            "http://10.0.0.1",
            "http://localhost@a.b",
            "http://169.254.169.254.example.com",
            "https://dynamodb.eu-west-1.amazonaws.com",
        ] {
            assert!(!is_near(url), "{url}");
        }
    }

    #[test]
    fn the_causes_of_unusable_credentials_are_named_once() {
        let error =
            CredentialsError::provider_error(std::io::Error::other("failed to read `sso/cache/x.json`"));
        assert_eq!(credentials_problem(&error), format!("{UNUSABLE}: failed to read `sso/cache/x.json`"));
        let error = CredentialsError::invalid_configuration("profile `ghost` was not defined");
        assert_eq!(credentials_problem(&error), format!("{UNUSABLE}: profile `ghost` was not defined"));
    }
}
