//! Errors of Secrets Manager while a label moves.

use daypass_core::ports::vault::Vault;
use daypass_key_loader::SecretsManager;
use daypass_testkit::secrets_manager::SecretsManager as Failing;
use daypass_tests::aws::aws_at;

/// The label may have moved although the response was lost. Only a check can tell, so its error is not "another was first".
#[tokio::test]
async fn a_promotion_that_cannot_be_checked_is_an_error() {
    let failing = Failing::start(String::new()).await.unwrap();
    failing.fail("InvalidParameterException");
    let vault = SecretsManager::connect(&aws_at(failing.url()));
    let [from, to] = ["1", "2"].map(|digit| digit.repeat(32));
    let error = vault.promote("daypass", &from, &to).await.unwrap_err();
    assert!(error.to_string().contains("GetSecretValue"), "{error}");
}
