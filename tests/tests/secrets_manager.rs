//! Key sets from AWS Secrets Manager, on a real Secrets Manager API: MiniStack, which `cargo verify` installs, starts and
//! names in the ordinary variables of the AWS SDK.

use daypass_ambient::{OsEntropy, SystemClock};
use daypass_core::Clock;
use daypass_core::jwks::Algorithm;
use daypass_core::keys::{Document, Peppers, RefreshKeys, SigningKeys};
use serde_json::{Value, json};
use std::hash::{BuildHasher, RandomState};

fn endpoint() -> String {
    #[expect(clippy::disallowed_methods, reason = "where the test's Secrets Manager is")]
    std::env::var("AWS_ENDPOINT_URL").expect("run `cargo verify --only secrets`: it starts a Secrets Manager")
}

/// Creates a secret and returns its ARN.
async fn create(text: &str) -> String {
    let name = format!("daypass-test-{:016x}", RandomState::new().hash_one(text));
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(endpoint())
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "secretsmanager.CreateSecret")
        // MiniStack reads the service from the scope of the signature and checks nothing else of it.
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=00",
        )
        .body(json!({ "Name": name, "SecretString": text }).to_string())
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

    let both = daypass_keys::load(&[signing, refresh.clone()]).await.unwrap();
    assert!(SigningKeys::from_document(&both).is_ok() && RefreshKeys::from_document(&both).is_ok());
    assert!(Peppers::from_document(&both).is_err(), "what no secret holds is not there");

    let one = daypass_keys::load(&[refresh]).await.unwrap();
    assert!(SigningKeys::from_document(&one).is_err());
}

#[tokio::test]
async fn secrets_and_files_can_be_mixed() {
    let keys = key_set();
    let refresh = create(&keys.only("refresh").unwrap().to_json().unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signing.json");
    std::fs::write(&file, keys.only("signing").unwrap().to_json().unwrap()).unwrap();
    let loaded = daypass_keys::load(&[file.to_str().unwrap().to_owned(), refresh]).await.unwrap();
    assert!(SigningKeys::from_document(&loaded).is_ok() && RefreshKeys::from_document(&loaded).is_ok());
}

#[tokio::test]
async fn what_is_wrong_names_the_secret_and_shows_nothing_of_it() {
    let malformed = create("hunter2 is no key set").await;
    let error = daypass_keys::load(std::slice::from_ref(&malformed)).await.unwrap_err().to_string();
    assert!(error.contains(&malformed) && error.contains("not a JSON object"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");

    let missing = "arn:aws:secretsmanager:us-east-1:000000000000:secret:nobody-made-this-AbCdEf".to_owned();
    let error = daypass_keys::load(std::slice::from_ref(&missing)).await.unwrap_err().to_string();
    assert!(error.contains(&missing) && error.contains("ResourceNotFound"), "{error}");

    assert!(daypass_keys::load(&[]).await.unwrap_err().to_string().contains("names no file or secret"));
    let no_file = daypass_keys::load(&["no/such/file.json".to_owned()]).await.unwrap_err().to_string();
    assert!(no_file.contains("no/such/file.json"), "{no_file}");
}
