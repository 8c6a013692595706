//! The AWS configuration of a process: region, credentials and endpoints of its environment, and one HTTPS client for all
//! services.
//!
//! By default, each client of the SDK has an HTTPS client of its own. Each would parse the root certificates of the system.

use aws_config::BehaviorVersion;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use std::error::Error;
use std::sync::OnceLock;

const TLS: tls::Provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);

pub use aws_smithy_http_client::proxy::ProxyConfig;
pub use aws_types::SdkConfig;

/// The configuration of the environment, as [`aws_config`] finds it: variables, profiles and the sources of credentials.
pub async fn load() -> SdkConfig {
    let https = https_client(ProxyConfig::from_env);
    aws_config::defaults(BehaviorVersion::latest()).http_client(https).load().await
}

/// The same configuration for endpoints on this machine, which the proxy of the environment cannot reach.
#[must_use]
pub fn without_proxy(config: &SdkConfig) -> SdkConfig {
    config.to_builder().http_client(https_client(ProxyConfig::disabled)).build()
}

/// The SDK's HTTPS client. All services share its connector, which has the time limits of the first service that uses it.
pub fn https_client(proxy: fn() -> ProxyConfig) -> SharedHttpClient {
    let connector = OnceLock::new();
    http_client_fn(move |settings, components| {
        let connect = || {
            let mut builder = Connector::builder().connector_settings(settings.clone()).proxy_config(proxy());
            builder.set_sleep_impl(components.sleep_impl());
            SharedHttpConnector::new(builder.tls_provider(TLS).build())
        };
        connector.get_or_init(connect).clone()
    })
}

/// The SDK's connector for HTTP and HTTPS, without time limits, for requests that no SDK client sends.
#[must_use]
pub fn connector(proxy: ProxyConfig) -> SharedHttpConnector {
    SharedHttpConnector::new(Connector::builder().proxy_config(proxy).tls_provider(TLS).build())
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
    fn the_causes_of_unusable_credentials_are_named_once() {
        let error =
            CredentialsError::provider_error(std::io::Error::other("failed to read `sso/cache/x.json`"));
        assert_eq!(credentials_problem(&error), format!("{UNUSABLE}: failed to read `sso/cache/x.json`"));
        let error = CredentialsError::invalid_configuration("profile `ghost` was not defined");
        assert_eq!(credentials_problem(&error), format!("{UNUSABLE}: profile `ghost` was not defined"));
    }
}
