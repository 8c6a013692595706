//! Which failures of a deployment are tried again.

use super::*;
use daypass_core::config::RotateKeysConfig;
use daypass_core::keys::rotation::Rules;
use daypass_core::ports::context::Context;
use daypass_core::ports::event::Event;
use daypass_core::ports::vault::{Stage, Which};
use daypass_core::secret::Secret;
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::jose::jwk::Algorithm;
use daypass_verifier::ports::context::Caller;
use daypass_verifier::ports::journal::Journal;
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};

/// Its secrets are named after the error that does not happen.
const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AccessDenied-x";

/// Fails each request, denied or for another reason.
struct Failing {
    denied: bool,
    requests: AtomicU32,
}

impl Failing {
    fn fail<T>(&self, operation: &'static str, secret: &str) -> Result<T, VaultError> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let (secret, source) = (secret.to_owned(), "the cause".into());
        Err(if self.denied {
            VaultError::Denied { operation, secret, source }
        } else {
            VaultError::Failed { operation, secret, reason: "ThrottlingException".to_owned(), source }
        })
    }
}

impl Vault for Failing {
    async fn stages(&self, secret: &str, _: &str) -> Result<Option<Vec<Stage>>, VaultError> {
        self.fail("DescribeSecret", secret)
    }

    async fn read(&self, secret: &str, _: Which<'_>) -> Result<Option<(String, Secret)>, VaultError> {
        self.fail("GetSecretValue", secret)
    }

    async fn is_new(&self, secret: &str) -> Result<bool, VaultError> {
        self.fail("DescribeSecret", secret)
    }

    async fn write(&self, secret: &str, _: &str, _: &str, _: &[Stage]) -> Result<(), VaultError> {
        self.fail("PutSecretValue", secret)
    }

    async fn promote(&self, secret: &str, _: &str, _: &str) -> Result<bool, VaultError> {
        self.fail("UpdateSecretVersionStage", secret)
    }

    async fn discard(&self, secret: &str, _: &str) -> Result<(), VaultError> {
        self.fail("UpdateSecretVersionStage", secret)
    }
}

struct Silent;

impl Journal<Event> for Silent {
    fn record(&self, _: &Event, _: &Caller) {}
}

/// The requests of a deployment that fails.
async fn requests(denied: bool) -> u32 {
    let config = RotateKeysConfig {
        signing_secret: SECRET.to_owned(),
        refresh_secret: SECRET.to_owned(),
        peppers_secret: SECRET.to_owned(),
        jwks_secret: SECRET.to_owned(),
        rules: Rules { published_for: Duration::from_secs(10_800), algorithm: Algorithm::Es256 },
    };
    let context =
        Context { clock: Box::new(SystemClock), entropy: Box::new(OsEntropy), journal: Box::new(Silent) };
    let vault = Failing { denied, requests: AtomicU32::new(0) };
    let rotate = RotateKeys { config, vault, context };
    // Nothing listens there, so CloudFormation gets no answer.
    let event = json!({ "RequestType": "Create", "ResponseURL": "http://127.0.0.1:9/" });
    handle(&rotate, &event).await.unwrap_err();
    rotate.vault.requests.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn a_denied_request_of_a_deployment_is_repeated() {
    assert_eq!(requests(true).await, TRIES);
}

#[tokio::test(start_paused = true)]
async fn the_name_of_a_secret_repeats_nothing() {
    assert_eq!(requests(false).await, 1);
}

/// A rotation or an operator learns the problems; only CloudFormation is answered elsewhere.
#[tokio::test]
async fn a_function_with_wrong_settings_refuses_a_rotation() {
    let step = json!({ "Step": "createSecret", "SecretId": SECRET, "ClientRequestToken": "v" });
    let error = refuse("`grace` is no setting".to_owned(), &step).await.unwrap_err().to_string();
    assert!(error.contains("`grace` is no setting"), "{error}");
}
