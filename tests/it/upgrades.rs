//! The current version reads data of earlier versions: key sets, tokens, items, responses of the feed. `tests/fixtures` has
//! a folder for each version. Its README explains how the next version adds its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

use aws_sdk_dynamodb::types::AttributeValue;
use data_encoding::BASE64;
use daypass_core::keys::rotation::Rules;
use daypass_core::keys::{Document, Peppers, RefreshKeys, SigningKeys};
use daypass_runtime::OsEntropy;
use daypass_testkit::embedded::Embedded;
use daypass_tests::bench::{NOW, after};
use daypass_tests::service::{PASSWORD, Service, request};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::MAX_CLOCK_SKEW;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::{Algorithm, Jwks};
use daypass_verifier::jose::verify::{Rejection, Verifier};
use daypass_verifier::revocation::{Answer, SessionDigest};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// If this variable is set, the folder of the present version is written, unless it exists.
const WRITE: &str = "DAYPASS_WRITE_FIXTURES";

const ALGORITHMS: [(&str, Algorithm); 3] =
    [("es256", Algorithm::Es256), ("eddsa", Algorithm::EdDsa), ("rs256", Algorithm::Rs256)];

const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "https://api.example.com";
const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.9";
const WRONG: &str = "not the right password";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The folders of all versions, each with its algorithm.
fn all() -> Vec<(PathBuf, Algorithm)> {
    let versions: BTreeSet<PathBuf> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    let of = |version: PathBuf| ALGORITHMS.map(|(name, algorithm)| (version.join(name), algorithm));
    versions.into_iter().flat_map(of).collect()
}

/// The text of a file, without the line break at its end.
fn read(folder: &Path, name: &str) -> String {
    let file = folder.join(name);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.trim_end().to_owned()
}

fn read_json(folder: &Path, name: &str) -> Value {
    serde_json::from_str(&read(folder, name)).unwrap()
}

fn keys(folder: &Path) -> Document {
    Document::parse(read(folder, "keys.json").as_bytes()).unwrap()
}

/// A time at which the tokens of a version are valid: ten seconds after its last operation.
fn reading_time(folder: &Path) -> Timestamp {
    Timestamp::from_seconds(read_json(folder, "world.json")["read_at"].as_u64().unwrap())
}

fn world(folder: &Path, member: &str) -> String {
    read_json(folder, "world.json")[member].as_str().unwrap().to_owned()
}

/// The functions of this version over the tables and keys of an earlier version.
async fn upgraded(folder: &Path, keys: Document) -> (Embedded, Service) {
    let embedded = Embedded::start(None).unwrap();
    let issuer = world(folder, "issuer");
    let audience = world(folder, "audience");
    let settings = [("DAYPASS_ISSUER", issuer.as_str()), ("DAYPASS_AUDIENCE", audience.as_str())];
    let service = Service::with_keys(&embedded.url(), keys, &settings).await;
    service.clock.set(reading_time(folder));
    let tables = &service.bench.tables;
    for (file, table) in [
        ("users.json", &tables.users),
        ("sessions.json", &tables.sessions),
        ("attempts.json", &tables.attempts),
    ] {
        let items = read_json(folder, file);
        assert!(!items.as_array().unwrap().is_empty(), "{file}");
        for item in items.as_array().unwrap() {
            let put = service.bench.raw.put_item().table_name(table).set_item(Some(from_json(item)));
            put.send().await.unwrap();
        }
    }
    (embedded, service)
}

#[test]
fn the_present_version_has_its_fixtures() {
    let folder = fixtures().join(concat!("v", env!("CARGO_PKG_VERSION")));
    assert!(
        folder.is_dir(),
        "{} is missing: tests/fixtures/README.md says how a version adds its own",
        folder.display()
    );
}

#[test]
fn key_sets_load() {
    for (folder, algorithm) in all() {
        let keys = keys(&folder);
        let signing = SigningKeys::from_document(&keys).unwrap();
        assert_eq!(signing.algorithm(), algorithm, "{}", folder.display());
        assert!(RefreshKeys::from_document(&keys).is_ok() && Peppers::from_document(&keys).is_ok());
        let published = Jwks::parse(read(&folder, "jwks.json").as_bytes()).unwrap();
        let kids = |jwks: &Jwks| jwks.iter().map(|key| key.kid().to_owned()).collect::<Vec<_>>();
        assert_eq!(kids(&keys.jwks()), kids(&published), "{}", folder.display());
    }
}

#[test]
fn access_tokens_verify_at_their_time() {
    for (folder, _) in all() {
        let token = read(&folder, "access-token.txt");
        let verify = |jwks: &Path, at: Timestamp| {
            let jwks = Jwks::parse(read(jwks, "jwks.json").as_bytes()).unwrap();
            let issuer = Issuer::parse(&world(&folder, "issuer")).unwrap();
            Verifier::new(issuer, world(&folder, "audience"), &jwks).unwrap().verify(&token, at)
        };
        let now = reading_time(&folder);
        assert!(verify(&folder, now).is_ok(), "{}", folder.display());
        let late = now + Duration::from_secs(600) + MAX_CLOCK_SKEW;
        assert_eq!(verify(&folder, late).unwrap_err(), Rejection::Expired, "{}", folder.display());
        let other = if folder.ends_with("eddsa") { "es256" } else { "eddsa" };
        assert_eq!(verify(&folder.with_file_name(other), now).unwrap_err(), Rejection::UnknownKey);
    }
}

/// invariant: The current version reads what each earlier version wrote: tokens, sessions, users, attempts,
/// key sets, the feed, exports.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on() {
    for (folder, _) in all() {
        let (_db, service) = upgraded(&folder, keys(&folder)).await;
        let held = read(&folder, "refresh-token.txt");
        let refreshed = service.refresh(&held).await;
        let successor = refreshed.refresh_token();
        assert_ne!(successor, held);
        assert!(service.lets_through(&refreshed.access_token()));
        // A retry is recognised, also if the first attempt was the first request after the upgrade.
        assert_eq!(service.refresh(&held).await.refresh_token(), successor);
        // An access token of an earlier version has no right to the account. The next one of its session has it.
        let denied = service.guarded("GET", "/sessions", &read(&folder, "access-token.txt")).await;
        assert_eq!(denied.outcome(), (403, "insufficient_scope".to_owned()));
        let sessions = service.guarded("GET", "/sessions", &refreshed.access_token()).await;
        let listed = sessions.json();
        assert_eq!(listed["total"], 1, "the one that ended is in no list: {listed}");
        assert_eq!(listed["sessions"][0]["session_id"], refreshed.json()["session_id"]);
        // A token that was used before the upgrade ends its session when it is replayed.
        let thief = service.refresh(&read(&folder, "refresh-token-used.txt")).await;
        assert_eq!(thief.outcome(), (400, "invalid_grant".to_owned()));
        assert_eq!(service.refresh(&successor).await.outcome(), (400, "invalid_grant".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_sessions_stay_ended_and_are_told() {
    for (folder, _) in all() {
        let (_db, service) = upgraded(&folder, keys(&folder)).await;
        let ended = read(&folder, "refresh-token-ended.txt");
        assert_eq!(service.refresh(&ended).await.outcome(), (400, "invalid_grant".to_owned()));
        let live = service.refresh(&read(&folder, "refresh-token.txt")).await.text("session_id");
        let session = sessions(&folder).into_iter().find(|session| *session != live).unwrap();
        let digest = SessionDigest::of(&session);

        let issuer = Issuer::parse(&world(&folder, "issuer")).unwrap();
        let told = Answer::parse(read(&folder, "revocations.json").as_bytes(), &issuer).unwrap();
        assert_eq!(told.sessions, [digest], "{}", folder.display());
        let feed = service.send(request("GET", "/revocations")).await;
        assert_eq!(Answer::parse(&feed.body, &issuer).unwrap().sessions, [digest]);
        // A verifier that followed the feed of the old version continues with its cursor.
        let feed = service.send(request("GET", &format!("/revocations?after={}", told.cursor))).await;
        assert_eq!(feed.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_log_in_and_guesses_before_the_upgrade_count_after_it() {
    for (folder, _) in all() {
        let (_db, service) = upgraded(&folder, keys(&folder)).await;
        let name = world(&folder, "username");
        // The old version has counted one of the five permitted attempts.
        for _ in 0..4 {
            assert_eq!(service.login_from(ELSEWHERE, &name, WRONG).await.status, 401);
        }
        let password = world(&folder, "password");
        let (status, error) = service.login_from(ELSEWHERE, &name, &password).await.outcome();
        assert_eq!((status, error.as_str()), (429, "slow_down"), "{}", folder.display());
        let login = service.login_from(HOME, &name, &password).await;
        assert_eq!(login.status, 200, "{login:?}");
        assert!(service.lets_through(&login.access_token()));
    }
}

/// The first rotation after the upgrade keeps the counters of the old version.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_count_after_a_rotation_of_the_peppers() {
    let rules = Rules { published_for: Duration::from_secs(3 * 3600), algorithm: Algorithm::Es256 };
    for (folder, _) in all() {
        let mut rotated = keys(&folder);
        for days in [0, 1] {
            let now = reading_time(&folder) + Duration::from_secs(days * 24 * 3600);
            rotated = rotated.advance(rules, &OsEntropy, now).unwrap();
        }
        let active = |keys: &Document| Peppers::from_document(keys).unwrap().active().0.to_owned();
        assert_ne!(active(&rotated), active(&keys(&folder)));
        let (_db, service) = upgraded(&folder, rotated).await;
        let (name, password) = (world(&folder, "username"), world(&folder, "password"));
        for _ in 0..4 {
            assert_eq!(service.login_from(ELSEWHERE, &name, WRONG).await.status, 401);
        }
        assert_eq!(service.login_from(ELSEWHERE, &name, &password).await.status, 429, "{}", folder.display());
    }
}

/// Ids of the sessions in the table of an earlier version.
fn sessions(folder: &Path) -> Vec<String> {
    let items = read_json(folder, "sessions.json");
    let id = |item: &Value| item["session"]["S"].as_str().unwrap().to_owned();
    items.as_array().unwrap().iter().map(id).collect()
}

/// Writes the folder of the present version. An existing folder stays, because the output of a version does not change.
#[tokio::test(flavor = "multi_thread")]
async fn write_those_of_the_present_version() {
    if std::env::var_os(WRITE).is_none() {
        return;
    }
    for (name, algorithm) in ALGORITHMS {
        let folder = fixtures().join(concat!("v", env!("CARGO_PKG_VERSION"))).join(name);
        if folder.exists() {
            continue;
        }
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), format!("{text}\n")).unwrap();

        let embedded = Embedded::start(None).unwrap();
        let keys = Document::generate(algorithm, &OsEntropy, NOW).unwrap();
        write("keys.json", &keys.to_json().unwrap());
        let service = Service::with_keys(&embedded.url(), keys, &[]).await;
        write("jwks.json", &service.keys.jwks().to_json().unwrap());

        service.user("alice").await;
        let first = service.login_from(HOME, "alice", PASSWORD).await;
        service.clock.set(after(10_000));
        let second = service.refresh(&first.refresh_token()).await;
        write("refresh-token-used.txt", &first.refresh_token());
        write("refresh-token.txt", &second.refresh_token());
        write("access-token.txt", &second.access_token());
        let other = service.login_from(HOME, "alice", PASSWORD).await.refresh_token();
        assert_eq!(service.revoke(&other).await.status, 200);
        write("refresh-token-ended.txt", &other);
        assert_eq!(service.login_from(ELSEWHERE, "alice", WRONG).await.status, 401);
        service.clock.set(after(11_000));
        let feed = service.send(request("GET", "/revocations")).await;
        write("revocations.json", &String::from_utf8(feed.body).unwrap());

        let tables = &service.bench.tables;
        for (file, table) in [
            ("users.json", &tables.users),
            ("sessions.json", &tables.sessions),
            ("attempts.json", &tables.attempts),
        ] {
            let found = service.bench.raw.scan().table_name(table).send().await.unwrap();
            let items: Vec<Value> = found.items().iter().map(to_json).collect();
            write(file, &serde_json::to_string_pretty(&items).unwrap());
        }
        let world = json!({
            "username": "alice", "password": PASSWORD, "issuer": ISSUER, "audience": AUDIENCE,
            "read_at": after(20_000).seconds(),
        });
        write("world.json", &serde_json::to_string_pretty(&world).unwrap());
    }
}

/// An item in DynamoDB's JSON form.
fn to_json(item: &HashMap<String, AttributeValue>) -> Value {
    let attribute = |value: &AttributeValue| match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(bool) => json!({ "BOOL": bool }),
        AttributeValue::B(bytes) => json!({ "B": BASE64.encode(bytes.as_ref()) }),
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::M(map) => json!({ "M": to_json(map) }),
        other => panic!("no item has {other:?}"),
    };
    // Sorted, so that the fixtures of two versions can be compared.
    let sorted: BTreeMap<&String, Value> =
        item.iter().map(|(name, value)| (name, attribute(value))).collect();
    json!(sorted)
}

fn from_json(item: &Value) -> HashMap<String, AttributeValue> {
    item.as_object().unwrap().iter().map(|(name, typed)| (name.clone(), attribute(typed))).collect()
}

fn attribute(typed: &Value) -> AttributeValue {
    let (kind, value) = typed.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "B" => AttributeValue::B(BASE64.decode(text().as_bytes()).unwrap().into()),
        "SS" => AttributeValue::Ss(serde_json::from_value(value.clone()).unwrap()),
        "M" => AttributeValue::M(from_json(value)),
        other => panic!("no item has the type {other}"),
    }
}
