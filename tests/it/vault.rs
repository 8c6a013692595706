//! Errors of Secrets Manager while a label moves.

use aws_sdk_dynamodb::config::{Credentials, Region, SharedCredentialsProvider};
use daypass_core::ports::vault::Vault;
use daypass_key_loader::SecretsManager;
use daypass_testkit::secrets_manager::SecretsManager as Failing;

/// The label may have moved although the response was lost. Only a check can tell, so its error is not "another was first".
#[tokio::test]
async fn a_promotion_that_cannot_be_checked_is_an_error() {
    let failing = Failing::start(String::new()).await.unwrap();
    failing.fail("InvalidParameterException");
    let credentials = SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test"));
    let aws = daypass_aws::load().await.into_builder();
    let aws = aws.endpoint_url(failing.url()).region(Region::new("us-east-1"));
    let vault = SecretsManager::connect(&aws.credentials_provider(credentials).build());
    let [from, to] = ["1", "2"].map(|digit| digit.repeat(32));
    let error = vault.promote("daypass", &from, &to).await.unwrap_err();
    assert!(error.to_string().contains("GetSecretValue"), "{error}");
}
