//! Key sets from AWS Secrets Manager, emulated by MiniStack. `cargo verify` installs and starts it, and sets the variables
//! of the AWS SDK to it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use daypass_core::client::Clients;
use daypass_core::config::{PublicKeys, RotateKeysConfig};
use daypass_core::flow::rotate_keys::{Failure, RotateKeys};
use daypass_core::keys::rotation::{Rules, Section};
use daypass_core::keys::{Document, KeyInfo, Peppers, RefreshKeys, SigningKeys, Status};
use daypass_core::ports::context::Context;
use daypass_core::ports::vault::{Stage, Vault, Which};
use daypass_key_loader::SecretsManager;
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_tests::service::{Recorded, TestClock};
use daypass_verifier::base::time::Clock;
use daypass_verifier::jose::jwk::Algorithm;
use serde_json::{Value, json};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

fn endpoint() -> String {
    #[expect(clippy::disallowed_methods, reason = "where the test's Secrets Manager is")]
    std::env::var("AWS_ENDPOINT_URL").expect("run `cargo verify --only secrets`: it starts a Secrets Manager")
}

/// Creates a secret with a value and returns its ARN.
async fn create(text: &str) -> String {
    make(json!({ "SecretString": text })).await
}

/// Creates a secret and returns its ARN.
async fn make(mut request: Value) -> String {
    request["Name"] =
        format!("daypass-test-{:016x}", RandomState::new().hash_one(request.to_string())).into();
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(endpoint())
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "secretsmanager.CreateSecret")
        // MiniStack reads only the service from the signature, and checks nothing else of it.
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=00",
        )
        .body(request.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    body["ARN"].as_str().unwrap().to_owned()
}

fn key_set() -> Document {
    Document::generate(Algorithm::Es256, &OsEntropy, SystemClock.now()).unwrap()
}

#[tokio::test]
async fn a_function_gets_the_sections_of_its_secrets() {
    let keys = key_set();
    let signing = create(&keys.only("signing").unwrap().to_json().unwrap()).await;
    let refresh = create(&keys.only("refresh").unwrap().to_json().unwrap()).await;

    let both =
        daypass_key_loader::load(&[signing, refresh.clone()], &daypass_aws::load().await).await.unwrap();
    assert!(SigningKeys::from_document(&both).is_ok() && RefreshKeys::from_document(&both).is_ok());
    assert!(Peppers::from_document(&both).is_err(), "what no secret holds is not there");

    let one = daypass_key_loader::load(&[refresh], &daypass_aws::load().await).await.unwrap();
    assert!(SigningKeys::from_document(&one).is_err());
}

/// invariant: The clients come from the document or from a secret.
/// invariant: A list of clients that cannot be read leaves the last one in use.
#[tokio::test]
async fn clients_come_from_a_secret() {
    let aws = daypass_aws::load().await;
    let journal = Recorded::default();
    let context = Context {
        clock: Box::new(SystemClock),
        entropy: Box::new(OsEntropy),
        journal: Box::new(journal.clone()),
    };
    let configured = Clients::parse(r#"[{"client_id":"default"}]"#).unwrap();
    let read = async |secret: Option<&str>, last| {
        daypass_key_loader::clients(&configured, secret, &aws, last, &context).await
    };
    let listed: Vec<Value> = (0..Clients::MAX).map(|n| json!({ "client_id": format!("c{n}") })).collect();
    let secret = create(&Value::from(listed).to_string()).await;
    let clients = read(Some(&secret), None).await.unwrap();
    assert_eq!(clients.body_clients.len(), Clients::MAX);
    assert_eq!(read(None, None).await.unwrap(), configured);

    let wrong = create(r#"[{"id":"web"}]"#).await;
    let error = read(Some(&wrong), None).await.unwrap_err();
    assert!(!daypass_key_loader::is_temporary(&error), "{error}");
    assert!(error.to_string().contains(&wrong) && error.to_string().contains("list of clients"), "{error}");
    assert_eq!(journal.take_lines(), Vec::<String>::new());
    assert_eq!(read(Some(&wrong), Some(clients.clone())).await.unwrap(), clients);
    let lines = journal.take_lines();
    assert!(lines.len() == 1 && lines[0].contains("read_clients"), "{lines:?}");
}

#[tokio::test]
async fn secrets_and_files_can_be_mixed() {
    let keys = key_set();
    let refresh = create(&keys.only("refresh").unwrap().to_json().unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signing.json");
    std::fs::write(&file, keys.only("signing").unwrap().to_json().unwrap()).unwrap();
    let loaded =
        daypass_key_loader::load(&[file.to_str().unwrap().to_owned(), refresh], &daypass_aws::load().await)
            .await
            .unwrap();
    assert!(SigningKeys::from_document(&loaded).is_ok() && RefreshKeys::from_document(&loaded).is_ok());
}

#[tokio::test]
async fn what_is_wrong_names_the_secret_and_shows_nothing_of_it() {
    let malformed = create("hunter2 is no key set").await;
    let error = daypass_key_loader::load(std::slice::from_ref(&malformed), &daypass_aws::load().await)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&malformed) && error.contains("not a JSON object"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");

    let missing = "arn:aws:secretsmanager:us-east-1:000000000000:secret:nobody-made-this-AbCdEf".to_owned();
    let error = daypass_key_loader::load(std::slice::from_ref(&missing), &daypass_aws::load().await)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&missing) && error.contains("ResourceNotFound"), "{error}");

    assert!(
        daypass_key_loader::load(&[], &daypass_aws::load().await)
            .await
            .unwrap_err()
            .to_string()
            .contains("names no file or secret")
    );
    let no_file = daypass_key_loader::load(&["no/such/file.json".to_owned()], &daypass_aws::load().await)
        .await
        .unwrap_err()
        .to_string();
    assert!(no_file.contains("no/such/file.json"), "{no_file}");
}

const PUBLISHED: Duration = Duration::from_secs(10_800);

/// The secrets of a stack as CloudFormation creates them, without values.
async fn stack() -> (RotateKeys<SecretsManager>, TestClock) {
    let clock = TestClock::at(SystemClock.now());
    let config = RotateKeysConfig {
        signing_secret: make(json!({ "Description": "signing" })).await,
        refresh_secret: make(json!({ "Description": "refresh" })).await,
        peppers_secret: make(json!({ "Description": "peppers" })).await,
        jwks_secret: make(json!({ "Description": "jwks" })).await,
        rules: Rules { published_for: PUBLISHED, algorithm: Algorithm::Es256 },
    };
    let context = Context {
        clock: Box::new(clock.clone()),
        entropy: Box::new(OsEntropy),
        journal: Box::new(Recorded::default()),
    };
    (RotateKeys { config, vault: SecretsManager::connect(&daypass_aws::load().await), context }, clock)
}

async fn keys(rotate: &RotateKeys<SecretsManager>, section: Section) -> Vec<KeyInfo> {
    let document =
        daypass_key_loader::load(&[rotate.config.secret(section).to_owned()], &daypass_aws::load().await)
            .await
            .unwrap();
    document.summary()
}

fn kid(keys: &[KeyInfo], status: Status) -> String {
    keys.iter().find(|key| key.status == status).unwrap().kid.clone()
}

/// The key ids that `discovery` publishes.
async fn published(rotate: &RotateKeys<SecretsManager>) -> Vec<String> {
    let jwks = daypass_key_loader::public(
        &PublicKeys::Secret(rotate.config.jwks_secret.clone()),
        &daypass_aws::load().await,
    )
    .await
    .unwrap();
    jwks.iter().map(|key| key.kid().to_owned()).collect()
}

#[tokio::test]
async fn a_stacks_secrets_are_filled_once_and_rotate() {
    let (rotate, clock) = stack().await;
    let first = rotate.run(&json!({ "RequestType": "Create" })).await.unwrap();
    let again = rotate.run(&json!({ "RequestType": "Update" })).await.unwrap();
    assert!(first.jwks.is_some());
    assert_eq!(again, first, "nothing is replaced");

    for section in Section::ALL {
        for round in 1..=3 {
            let before = keys(&rotate, section).await;
            let token = format!("{}-{round}-0123456789-0123456789-0123", section.name());
            let event = |step: &str| json!({ "Step": step, "SecretId": rotate.config.secret(section), "ClientRequestToken": token });
            // The first next key of a section is as old as the stack.
            if round > 1 {
                let early = rotate.run(&event("createSecret")).await.unwrap_err();
                assert!(early.to_string().contains("not published long enough"), "{early}");
            }
            clock.advance(PUBLISHED);
            for step in ["createSecret", "setSecret", "testSecret", "finishSecret"] {
                // Each step twice, as after a lost response.
                rotate.run(&event(step)).await.unwrap();
                rotate.run(&event(step)).await.unwrap();
            }
            // The next rotation takes the label on AWS. MiniStack's PutSecretValue leaves it here too.
            rotate.vault.discard(rotate.config.secret(section), &token).await.unwrap();
            let after = keys(&rotate, section).await;
            assert_eq!(kid(&after, Status::Active), kid(&before, Status::Next));
            assert!(
                after
                    .iter()
                    .any(|key| key.kid == kid(&before, Status::Active) && key.status == Status::Retired)
            );
            if section == Section::Signing {
                let published = published(&rotate).await;
                assert!(after.iter().all(|key| published.contains(&key.kid)));
            }
        }
    }
}

#[tokio::test]
async fn leaked_keys_are_cut() {
    let (rotate, _) = stack().await;
    rotate.run(&json!({ "RequestType": "Create" })).await.unwrap();
    for section in Section::ALL {
        let leaked = keys(&rotate, section).await;
        let done = rotate.run(&json!({ "cut": section.name() })).await.unwrap();
        let after = keys(&rotate, section).await;
        let kids: Vec<String> = after.iter().map(|key| key.kid.clone()).collect();
        assert_eq!(done.published, (section == Section::Signing).then_some(kids));
        for status in [Status::Active, Status::Next] {
            assert!(leaked.iter().all(|key| key.kid != kid(&after, status)));
        }
    }
    let signing = keys(&rotate, Section::Signing).await;
    let kids: Vec<String> = signing.into_iter().map(|key| key.kid).collect();
    assert_eq!(published(&rotate).await, kids, "no leaked key is published");
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named() {
    let (mut rotate, _) = stack().await;
    let missing = "arn:aws:secretsmanager:us-east-1:000000000000:secret:nobody-made-this-AbCdEf";
    rotate.config.refresh_secret = missing.to_owned();
    let failure = rotate.run(&json!({ "RequestType": "Create" })).await.unwrap_err();
    assert!(matches!(failure, Failure::Vault(_)), "{failure:?}");
    assert!(failure.to_string().contains(missing), "{failure}");
}

/// invariant: A label of a secret moves once, and a repeat of the move is a success.
#[tokio::test]
async fn a_repeated_promotion_is_a_promotion() {
    let secret = create("first").await;
    let vault = SecretsManager::connect(&daypass_aws::load().await);
    let (first, _) = vault.read(&secret, Which::Current).await.unwrap().unwrap();
    let [second, third] = ["2", "3"].map(|digit| digit.repeat(32));
    for (version, text) in [(&second, "second"), (&third, "third")] {
        vault.write(&secret, version, text, &[Stage::Pending]).await.unwrap();
    }
    for _ in 0..2 {
        assert!(vault.promote(&secret, &first, &second).await.unwrap());
    }
    assert!(!vault.promote(&secret, &first, &third).await.unwrap(), "another was first");
    let (current, text) = vault.read(&secret, Which::Current).await.unwrap().unwrap();
    assert_eq!((current, text.expose()), (second, &b"second"[..]));
}
