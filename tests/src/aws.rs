//! The configuration of clients of fake AWS services.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use daypass_aws::{ProxyConfig, SdkConfig, https_client};

/// Credentials and region of a fake AWS service at this URL.
#[must_use]
pub fn aws_at(url: &str) -> SdkConfig {
    let credentials = Credentials::new("key", "secret", None, None, "daypass_tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(url)
        .http_client(https_client(ProxyConfig::disabled))
        .build()
}
