//! The AWS configuration of a process: region, credentials and endpoints of its environment, and one HTTPS client for all
//! services.
//!
//! By default, each client of the SDK has an HTTPS client of its own. Each would parse the root certificates of the system, which
//! takes about 10 ms at the processor share of a function with 256 MB.

use aws_config::BehaviorVersion;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
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
