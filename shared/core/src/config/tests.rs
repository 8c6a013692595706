use super::*;
use daypass_verifier::config::{ConfigError, SETTINGS};
use daypass_verifier::jose::jwk::Jwk;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:daypass-AbCdEf";

fn complete() -> BTreeMap<&'static str, String> {
    let jwks = Jwks::new(vec![Jwk::ed25519(&[1; 32])]).to_json().unwrap();
    BTreeMap::from([
        ("DAYPASS_ISSUER", "https://id.example.com".to_owned()),
        ("DAYPASS_AUDIENCE", "https://api.example.com".to_owned()),
        ("DAYPASS_USERS_TABLE", "users".to_owned()),
        ("DAYPASS_SESSIONS_TABLE", "sessions".to_owned()),
        ("DAYPASS_ATTEMPTS_TABLE", "attempts".to_owned()),
        ("DAYPASS_OUTBOX_TABLE", "outbox".to_owned()),
        ("DAYPASS_KEYS", "a.json b.json".to_owned()),
        ("DAYPASS_JWKS", jwks),
        ("DAYPASS_SIGNING_SECRET", ARN.to_owned()),
        ("DAYPASS_REFRESH_SECRET", ARN.to_owned()),
        ("DAYPASS_PEPPERS_SECRET", ARN.to_owned()),
        ("DAYPASS_JWKS_SECRET", ARN.to_owned()),
    ])
}

/// A table names exactly the settings that its reader looks up, and those that another reader has.
#[test]
fn tables_are_what_is_read() {
    let env = complete();
    for table in all_tables() {
        let read = RefCell::new(BTreeSet::new());
        (table.check)(&|name| {
            read.borrow_mut().insert(name.to_owned());
            env.get(name).cloned()
        })
        .unwrap();
        let elsewhere = [ARGON2.name, IMPORTED_HASHES.name, MIN_PASSWORD_CHARS.name];
        let named = table.settings.iter().map(|setting| setting.name());
        let named = named.filter(|name| !elsewhere.contains(name)).chain([SETTINGS]);
        let named: BTreeSet<String> = named.map(str::to_owned).collect();
        assert_eq!(read.into_inner(), named, "{}", table.function);
    }
}

/// Two settings of one variable would have two defaults.
#[test]
fn a_variable_is_one_setting() {
    let mut known = BTreeMap::new();
    for setting in all_tables().flat_map(|table| table.settings) {
        assert_eq!(known.entry(setting.name()).or_insert(setting), &setting);
    }
}

#[test]
fn all_problems_at_once() {
    let mut env = complete();
    env.remove("DAYPASS_AUDIENCE");
    env.insert("DAYPASS_ISSUER", "http://id.example.com".to_owned());
    env.insert("DAYPASS_ACCESS_TOKEN_SECONDS", "3600".to_owned());
    let error = login(|name| env.get(name).cloned()).unwrap_err().to_string();
    for expected in ["DAYPASS_AUDIENCE is not set", "DAYPASS_ISSUER must start with https", "from 300 to 600"]
    {
        assert!(error.contains(expected), "{error}");
    }
}

fn rotating(settings: &[(&'static str, &str)]) -> Result<RotateKeysConfig, ConfigError> {
    let mut env = complete();
    env.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
    rotate_keys(|name| env.get(name).cloned())
}

#[test]
fn keys_are_published_for_hours_except_on_this_machine() {
    assert_eq!(rotating(&[]).unwrap().rules.published_for.as_secs(), 10_800);
    let short = ("DAYPASS_KEYS_PUBLISHED_SECONDS", "2");
    assert!(rotating(&[short]).unwrap_err().to_string().contains("from 10800 to"));
    let local = ("DAYPASS_ISSUER", "http://127.0.0.1:3000");
    assert_eq!(rotating(&[short, local]).unwrap().rules.published_for.as_secs(), 2);
}

#[test]
fn problems_name_their_variable() {
    for (name, value, expected) in [
        ("DAYPASS_SIGNING_SECRET", "", "is not set"),
        ("DAYPASS_JWKS_SECRET", "keys.json", "not the ARN"),
        ("DAYPASS_JWKS_SECRET", "arn:aws:s3:::bucket", "not the ARN"),
        ("DAYPASS_SIGNING_ALGORITHM", "HS256", "ES256, EdDSA or RS256"),
    ] {
        let error = rotating(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(expected), "{error}");
    }
    for (name, value, expected) in [
        ("DAYPASS_KEYS", " ", "names no file or secret"),
        ("DAYPASS_PROXY_SECRET", "short", "32 to 64"),
        ("DAYPASS_JWKS", "arn:aws:s3:::bucket", "is wrong"),
    ] {
        let mut env = complete();
        env.insert(name, value.to_owned());
        let error = revoke(|name| env.get(name).cloned()).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(expected), "{error}");
    }
}

/// Developers can watch renewals on this machine.
#[test]
fn short_access_tokens_are_for_this_machine() {
    let check = |issuer: &str, seconds: &str, expected: bool| {
        let mut env = complete();
        env.insert("DAYPASS_ISSUER", issuer.to_owned());
        env.insert("DAYPASS_ACCESS_TOKEN_SECONDS", seconds.to_owned());
        let lookup = |name: &str| env.get(name).cloned();
        assert_eq!(login(lookup).is_ok(), expected, "{issuer} {seconds}");
        assert_eq!(refresh(lookup).is_ok(), expected, "{issuer} {seconds}");
    };
    check("http://localhost:3000", "5", true);
    check("http://127.0.0.1:3000", "600", true);
    check("http://localhost:3000", "4", false);
    check("http://localhost:3000", "601", false);
    check("https://id.example.com", "300", true);
    check("https://id.example.com", "299", false);
    check("https://localhost:3000", "5", true);
    check("https://localhost.example", "299", false);
}

#[test]
fn a_migration_has_one_old_system() {
    let check = |settings: &[(&'static str, &str)], expected: Result<Option<MigrateFrom>, &str>| {
        let mut env = complete();
        env.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let read = login(|name| env.get(name).cloned());
        match (read, expected) {
            (Ok(config), Ok(expected)) => assert_eq!(config.migrate_from, expected, "{settings:?}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (read, _) => panic!("{settings:?}: {:?}", read.map(|config| config.migrate_from)),
        }
    };
    let cognito = MigrateFrom::Cognito { region: "eu-west-1".to_owned(), client: "1h57kf5cpq".to_owned() };
    let url = |url: &str| Ok(Some(MigrateFrom::Url(url.parse().unwrap())));
    let pool = ("DAYPASS_MIGRATE_COGNITO", "eu-west-1:1h57kf5cpq");
    check(&[], Ok(None));
    check(&[pool], Ok(Some(cognito)));
    for text in ["eu-west-1", "eu-west-1:", ":1h57kf5cpq", "evil.example/:a", "euwest1:a", "eu-west-1:a/b"] {
        check(
            &[("DAYPASS_MIGRATE_COGNITO", text)],
            Err("DAYPASS_MIGRATE_COGNITO is not REGION:APP_CLIENT_ID"),
        );
    }
    let endpoint = |text: &'static str| [("DAYPASS_MIGRATE_URL", text)];
    check(&endpoint("https://old.example/check"), url("https://old.example/check"));
    check(&endpoint("http://127.0.0.1:8080/check"), url("http://127.0.0.1:8080/check"));
    check(&endpoint("http://old.example/check"), Err("DAYPASS_MIGRATE_URL must start with https://"));
    check(&endpoint("https://old.example/?a=b"), Err("DAYPASS_MIGRATE_URL must have no query"));
    let long = format!("https://old.example/{}", "x".repeat(110));
    check(&[("DAYPASS_MIGRATE_URL", &long)], Err("DAYPASS_MIGRATE_URL is longer than 128 characters"));
    check(&[pool, endpoint("https://old.example/")[0]], Err("exclude each other"));
}

#[test]
fn clients_are_a_list_or_a_secret() {
    let mut env = complete();
    let read = |env: &BTreeMap<&str, String>| sessions(|name| env.get(name).cloned());
    assert_eq!(read(&env).unwrap().clients_secret, None);
    env.insert(CLIENTS.name, ARN.to_owned());
    assert_eq!(read(&env).unwrap().clients_secret.as_deref(), Some(ARN));
    // Both places are a mistake.
    env.insert(SETTINGS, r#"{"clients": [{"client_id": "web"}]}"#.to_owned());
    let error = read(&env).unwrap_err().to_string();
    assert!(error.contains("`clients` in DAYPASS_SETTINGS differs from the variable"), "{error}");
    env.insert(CLIENTS.name, "arn:aws:s3:::bucket".to_owned());
    env.remove(SETTINGS);
    assert!(read(&env).unwrap_err().to_string().contains("DAYPASS_CLIENTS is not a list"));
}

/// One document serves all functions: each reads its own settings.
#[test]
fn functions_share_a_document() {
    let mut env = complete();
    let document = r#"{"grace_seconds": 10, "keys_max_age_seconds": 60, "argon2": "m=47104,t=1", "signing_algorithm": "RS256",
        "clients": [{"client_id": "web"}]}"#;
    env.insert(SETTINGS, document.to_owned());
    let environment = |name: &str| env.get(name).cloned();
    assert_eq!(refresh(environment).unwrap().grace.as_secs(), 10);
    let config = login(environment).unwrap();
    assert_eq!((config.clients.find(None).unwrap().id.as_str(), config.keys_max_age.as_secs()), ("web", 60));
    assert_eq!(lookup(&environment)(ARGON2.name).as_deref(), Some("m=47104,t=1"));
    assert_eq!(rotate_keys(environment).unwrap().rules.algorithm, "RS256".parse().unwrap());
    for table in TABLES {
        assert_eq!((table.check)(&environment), Ok(()), "{}", table.function);
    }
    // A mistake in one setting stops every function, and not only those that read it.
    env.insert(SETTINGS, r#"{"grace_second": 10}"#.to_owned());
    for table in TABLES {
        let error = (table.check)(&|name| env.get(name).cloned()).unwrap_err().to_string();
        assert!(error.contains("`grace_second`"), "{}: {error}", table.function);
    }
}

#[test]
fn defaults() {
    let env = complete();
    let config = login(|name| env.get(name).cloned()).unwrap();
    assert_eq!(config.access_lifetime, Duration::from_secs(300));
    assert_eq!(config.refresh_lifetime, Duration::from_secs(180 * 24 * 3600));
    assert_eq!(config.idle, None);
    assert_eq!(config.limits.pair.attempts, 5);
    assert_eq!(config.keys, ["a.json", "b.json"]);
    assert_eq!(config.clients.find(None).unwrap().id.as_str(), "default");
}

fn check_issuer(url: &str, expected: Option<&str>) {
    assert_eq!(Issuer::parse(url).ok().map(|issuer| issuer.path().to_owned()).as_deref(), expected, "{url}");
}

#[test]
fn issuers() {
    check_issuer("https://id.example.com", Some(""));
    check_issuer("https://id.example.com:8443/auth/v1", Some("/auth/v1"));
    check_issuer("http://127.0.0.1:9000", Some(""));
    check_issuer("http://localhost", Some(""));
    check_issuer("http://localhost.evil.example", None);
    check_issuer("https://id.example.com/", None);
    check_issuer("https://id.example.com?x", None);
    check_issuer("https://id.example.com#x", None);
    check_issuer("https://me@id.example.com", None);
    check_issuer("id.example.com", None);
    check_issuer("HTTP://localhost", None);
    check_issuer("HTTPS://id.example.com", None);
    check_issuer("", None);
}

#[test]
fn clients() {
    let clients =
        Clients::parse(r#"[{"client_id":"web","scope":"a b"},{"client_id":"cli","transport":"body"}]"#)
            .unwrap();
    assert_eq!(clients.find(None).unwrap().id.as_str(), "web");
    assert_eq!(clients.find(Some("cli")).unwrap().scope, None);
    assert!(clients.find(Some("other")).is_none());
    for bad in [
        "[]",
        "{}",
        r#"[{"client_id":""}]"#,
        r#"[{"client_id":"a"},{"client_id":"a"}]"#,
        r#"[{"client_id":"a","transport":"cookie"}]"#,
        r#"[{"client_id":"a","transport":"cookie","origins":[]}]"#,
        r#"[{"client_id":"a","transport":"cookie","origins":["*"]}]"#,
        r#"[{"client_id":"a","transport":"Cookie","origins":["https://a.example"]}]"#,
        r#"[{"client_id":"a","origins":["https://a.example/"]}]"#,
        r#"[{"client_id":"a","secret":"s"}]"#,
        r#"[{"client_id":"a","scope":"a  b"}]"#,
    ] {
        assert!(Clients::parse(bad).is_err(), "{bad}");
    }
    let many = |count: usize| {
        let entries: Vec<String> = (0..count).map(|n| format!(r#"{{"client_id":"c{n}"}}"#)).collect();
        Clients::parse(&format!("[{}]", entries.join(",")))
    };
    assert_eq!(many(Clients::MAX).unwrap().body_clients.len(), Clients::MAX);
    assert!(many(Clients::MAX + 1).is_err());
}
