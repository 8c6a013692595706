use super::*;
use crate::testing::{NOW, Seeded};
use crate::token::refresh::RefreshToken;
use daypass_verifier::base::ids::{SessionId, UserId};
use serde_json::{Value, json};

fn document(algorithm: Algorithm) -> Document {
    Document::generate(algorithm, &Seeded::new(1), NOW).unwrap()
}

fn as_json(document: &Document) -> Value {
    serde_json::from_str(&document.to_json().unwrap()).unwrap()
}

fn parse(value: &Value) -> Result<Document, KeyError> {
    Document::parse(value.to_string().as_bytes())
}

#[test]
fn a_key_set_survives_its_json() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let read = parse(&as_json(&document(algorithm))).unwrap();
        assert_eq!(SigningKeys::from_document(&read).unwrap().algorithm(), algorithm);
        assert!(RefreshKeys::from_document(&read).is_ok() && Peppers::from_document(&read).is_ok());
    }
}

/// The file of the first version, kept for all later ones to read.
#[test]
fn reads_version_1() {
    let fixture = include_bytes!("../../fixtures/key-set-v1.json");
    let document = Document::parse(fixture).unwrap();
    assert_eq!(document.summary().len(), 3);
    assert!(SigningKeys::from_document(&document).is_ok());
    assert!(RefreshKeys::from_document(&document).is_ok() && Peppers::from_document(&document).is_ok());
}

/// A later version adds members without a new `version`. Functions of this version that start meanwhile ignore them.
#[test]
fn ignores_members_of_the_future() {
    let fixture = include_bytes!("../../fixtures/key-set-v1-future.json");
    let document = Document::parse(fixture).unwrap();
    let today = Document::parse(include_bytes!("../../fixtures/key-set-v1.json")).unwrap();
    assert_eq!(document.to_json().unwrap(), today.to_json().unwrap());
}

fn check(change: impl FnOnce(&mut Value), expected: &str) {
    let mut value = as_json(&document(Algorithm::Es256));
    change(&mut value);
    let all = |document: Document| {
        SigningKeys::from_document(&document)?;
        RefreshKeys::from_document(&document)?;
        Peppers::from_document(&document).map(drop)
    };
    let error = parse(&value).and_then(all).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    for secret in ["/signing/0/private", "/refresh/0/key", "/peppers/0/key"] {
        let secret = value.pointer(secret).and_then(Value::as_str).filter(|secret| secret.len() > 8);
        assert!(secret.is_none_or(|secret| !error.contains(secret)), "{error} gives a key away");
    }
}

#[test]
fn every_defect_is_one_clear_line() {
    check(|set| *set = json!([]), "not a JSON object");
    check(|set| set["version"] = json!(2), "version 2, this build reads version 1");
    check(|set| *set = json!({}), "no `version`");
    check(|set| set["signing"] = json!([]), "no active key in its section `signing`");
    check(|set| set["signing"][0]["status"] = json!("retired"), "no active key");
    check(|set| set["signing"][0]["status"] = json!("secret-status"), "malformed (unknown variant)");
    check(|set| set["signing"][0]["private"] = json!(null), "no private key");
    check(|set| set["signing"][0]["private"] = json!("!"), "not base64url");
    check(|set| set["signing"][0]["private"] = json!("AAAA"), "not a PKCS#8 key");
    check(|set| set["signing"][0]["public"]["kid"] = json!("other"), "do not belong together");
    check(|set| set["refresh"][0]["key"] = json!("c2hvcnQ"), "not 32 bytes");
    check(|set| set["refresh"][0]["kid"] = json!("XYZ"), "eight lower-case hexadecimal digits");
    check(|set| set["peppers"][0]["kid"] = json!("pepper"), "eight lower-case hexadecimal digits");
    check(
        |set| {
            let again = set["refresh"][0].clone();
            set["refresh"].as_array_mut().unwrap().push(again);
        },
        "2 active keys in its section `refresh`",
    );
    check(
        |set| {
            let mut again = set["peppers"][0].clone();
            again["status"] = json!("retired");
            set["peppers"].as_array_mut().unwrap().push(again);
        },
        "stands in the key set twice",
    );
}

#[test]
fn nothing_but_the_document_shows_a_key() {
    let document = document(Algorithm::Es256);
    let value = as_json(&document);
    let shown = format!(
        "{document:?} {:?} {:?} {:?} {}",
        SigningKeys::from_document(&document).unwrap(),
        RefreshKeys::from_document(&document).unwrap(),
        Peppers::from_document(&document).unwrap(),
        serde_json::to_string(&document.summary()).unwrap(),
    );
    for pointer in ["/signing/0/private", "/refresh/0/key", "/peppers/0/key", "/counter_key"] {
        assert!(!shown.contains(value.pointer(pointer).unwrap().as_str().unwrap()));
    }
    assert!(!document.jwks().to_json().unwrap().contains("\"d\""));
}

#[test]
fn sections_can_be_kept_apart_and_put_together() {
    let whole = document(Algorithm::Es256);
    let refresh = whole.only("refresh").unwrap();
    assert!(RefreshKeys::from_document(&refresh).is_ok());
    assert!(SigningKeys::from_document(&refresh).is_err() && Peppers::from_document(&refresh).is_err());
    let mut merged = refresh;
    merged.merge(whole.only("signing").unwrap());
    merged.merge(whole.only("peppers").unwrap());
    assert!(SigningKeys::from_document(&merged).is_ok() && Peppers::from_document(&merged).is_ok());
    assert!(whole.only("keys").is_err());
    let digest = |keys: &Document| Peppers::from_document(keys).unwrap().counter_key().digest(b"alice");
    assert_eq!(digest(&merged), digest(&whole));
    for part in ["signing", "refresh"] {
        assert!(as_json(&whole.only(part).unwrap()).get("counter_key").is_none());
    }
    let mut wrong = as_json(&whole);
    wrong["counter_key"] = json!("c2hvcnQ");
    assert!(Peppers::from_document(&parse(&wrong).unwrap()).is_err());
}

#[test]
fn a_retired_refresh_key_still_verifies() {
    let mut value = as_json(&document(Algorithm::Es256));
    let token = RefreshToken {
        user: UserId::from_bytes([1; 16]),
        session: SessionId::from_bytes([2; 16]),
        generation: 0,
        expires_at: NOW + std::time::Duration::from_secs(60),
    };
    let old = token.mint(&RefreshKeys::from_document(&parse(&value).unwrap()).unwrap());
    value["refresh"][0]["status"] = json!("retired");
    let new = as_json(&Document::generate(Algorithm::EdDsa, &Seeded::new(2), NOW).unwrap());
    value["refresh"].as_array_mut().unwrap().push(new["refresh"][0].clone());
    let keys = RefreshKeys::from_document(&parse(&value).unwrap()).unwrap();
    assert_eq!(RefreshToken::authenticate(&old, &keys, NOW), Ok(token));
    assert_ne!(token.mint(&keys), old, "new tokens are made with the active key");
}

#[test]
fn another_key_set_has_another_counter_key() {
    let peppers = Peppers::from_document(&document(Algorithm::Es256)).unwrap();
    let digest = peppers.counter_key().digest(b"alice");
    assert_eq!(peppers.counter_key().digest(b"alice"), digest);
    assert_ne!(peppers.counter_key().digest(b"bob"), digest);
    let other = Document::generate(Algorithm::Es256, &Seeded::new(9), NOW).unwrap();
    assert_ne!(Peppers::from_document(&other).unwrap().counter_key().digest(b"alice"), digest);
}
