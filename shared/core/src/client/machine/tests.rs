use super::*;
use crate::testing::{NOW, Seeded};

const DIGEST: &str = "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ";

fn check(clients: &str, expected: Result<usize, &str>) {
    let json = format!(r#"{{"version":1,"clients":[{clients}]}}"#);
    let parsed = MachineDocument::parse(json.as_bytes());
    let parsed = parsed.and_then(|document| Machines::new(document.clone()).map(|_| document.clients.len()));
    match expected {
        Ok(count) => assert_eq!(parsed, Ok(count), "{clients}"),
        Err(part) => {
            let problem = parsed.unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }
}

fn client(id: &str, more: &str, keys: &str) -> String {
    format!(r#"{{"client_id":"{id}","created_at":1{more},"keys":[{keys}]}}"#)
}

fn secret(id: &str) -> String {
    format!(r#"{{"id":"{id}","created_at":1,"secret_sha256":"{DIGEST}"}}"#)
}

#[test]
fn documents() {
    let (one, two) = (secret("key_0000000000000001"), secret("key_0000000000000002"));
    let good = client("client_a", "", &one);
    check("", Ok(0));
    check(&good, Ok(1));
    check(
        &format!(
            "{good},{}",
            client("client_b-2", r#","scope":"a b","introspect":true"#, &format!("{one},{two}"))
        ),
        Ok(2),
    );
    check(&format!("{good},{good}"), Err("client_id `client_a` stands there twice"));
    for id in ["a", "client_", "client_A", "client_a.b", "usr_a", &format!("client_{}", "a".repeat(49))] {
        check(&client(id, "", &one), Err("is not client_ and 1 to 48"));
    }
    check(&client("client_a", "", ""), Err("`client_a` has no key, or more than 2"));
    check(&client("client_a", "", &format!("{one},{two},{two}")), Err("or more than 2"));
    check(
        &client("client_a", "", &format!("{one},{one}")),
        Err("key_0000000000000001 of `client_a` stands there twice"),
    );
    check(&client("client_a", "", &secret("key_1")), Err("is not key_ and 16"));
    check(
        &client("client_a", "", r#"{"id":"key_0000000000000001","created_at":1}"#),
        Err("is not either a jwk or a secret_sha256"),
    );
    check(
        &client("client_a", "", r#"{"id":"key_0000000000000001","created_at":1,"secret_sha256":"x"}"#),
        Err("secret_sha256 is not a SHA-256"),
    );
    check(&client("client_a", r#","scope":"a  b""#, &one), Err("the scope of `client_a` is malformed"));
    check(&client("client_a", r#","scope":"daypass:account""#, &one), Err("begins with daypass:"));
    check(&client("client_a", r#","audience":"a b""#, &one), Err("the audience of `client_a`"));
    check(&client("client_a", r#","access_token_seconds":59"#, &one), Err("not 60 to 600 seconds"));
    check(&client("client_a", r#","roles":[]"#, &one), Err("unknown field `roles`"));
    let off_the_curve = format!(
        r#"{{"id":"key_0000000000000001","created_at":1,"jwk":{{"kty":"EC","crv":"P-256","kid":"k","x":"{DIGEST}","y":"{DIGEST}"}}}}"#
    );
    check(&client("client_a", "", &off_the_curve), Err("has `client_a`, whose key k"));
    let private = off_the_curve.replace(r#""kid":"k""#, r#""kid":"k","d":"x""#);
    check(&client("client_a", "", &private), Err("private"));
    assert!(MachineDocument::parse(br#"{"version":2,"clients":[]}"#).unwrap_err().contains("version 2"));
}

/// What is off is not written, so an older version reads the document as long as no client has what it does not know.
#[test]
fn a_document_is_written_as_it_is_read() {
    for more in ["", r#""introspect":true,"#, r#""require_dpop":true,"single_use_assertions":true,"#] {
        let json = format!(
            r#"{{"version":1,"clients":[{{"client_id":"client_a","created_at":1,"scope":"a b","audience":"x","access_token_seconds":60,{more}"keys":[{}]}}]}}"#,
            secret("key_0000000000000001")
        );
        assert_eq!(MachineDocument::parse(json.as_bytes()).unwrap().to_json().unwrap(), json);
    }
}

#[test]
fn a_secret_is_long_random_and_recognisable() {
    let entropy = Seeded::new(1);
    let (one, other) = (new_secret(&entropy), new_secret(&entropy));
    assert_ne!(one.expose(), other.expose());
    let random = one.expose().strip_prefix("daypass_secret_").unwrap();
    assert_eq!(BASE64URL_NOPAD.decode(random.as_bytes()).unwrap().len(), 32);
    assert!(SecretDigest::of(one.expose()).matches(&SecretDigest::of(one.expose())));
    assert!(!SecretDigest::of(one.expose()).matches(&SecretDigest::of(other.expose())));
    // printf foo | sha256sum
    assert_eq!(String::from(SecretDigest::of("foo")), "LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564");
}

#[test]
fn each_client_and_key_has_its_own_session() {
    let (a, b) = (MachineId::parse("client_a").unwrap(), MachineId::parse("client_b").unwrap());
    let key = |text: &str| CredentialId::parse(text).unwrap();
    let (one, two) = (key("key_0000000000000001"), key("key_0000000000000002"));
    let sessions = [session_of(&a, &one), session_of(&a, &two), session_of(&b, &one)];
    assert_eq!(session_of(&a, &one), sessions[0], "it is derived");
    assert!(sessions[0] != sessions[1] && sessions[0] != sessions[2]);
}

#[test]
fn clients_that_were_read_too_long_ago_are_not_used() {
    let registry = Registry::new(Machines::new(MachineDocument::new()).unwrap(), NOW);
    assert!(registry.current(NOW).is_some());
    assert!(registry.current(NOW + Registry::MAX_AGE.saturating_sub(Duration::from_millis(1))).is_some());
    assert!(registry.current(NOW + Registry::MAX_AGE).is_none());
    assert!(registry.current(NOW.before(Duration::from_secs(1))).is_none(), "the clock was set back");
    assert!(Registry::default().current(Timestamp::default()).is_none(), "none were read");
}
