//! Second factors, locks and pending actions of imported users.

use crate::bench::Bench;
use daypass_core::ports::store::UserStatus;
use serde_json::{Value, json};

/// OpenBSD's test vector for the password "U*U".
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
/// The two documents of a Keycloak credential for the password "test".
const SECRET: &str = r#"{"salt":"c29tZXNhbHQ=","value":"nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4="}"#;
const DATA: &str = r#"{"hashIterations":2,"algorithm":"argon2","additionalParameters":{"memory":["256"],"type":["id"],"version":["1.3"],"parallelism":["1"]}}"#;

/// Imports lines, and returns the exit code and the rejected lines.
fn import(bench: &Bench, system: &str, file: &str, text: &str, options: &[&str]) -> (i32, Vec<Value>) {
    let folder = bench.folder.path();
    std::fs::write(folder.join(file), text).unwrap();
    let args = ["user", "import", file, "--system", system, "--errors", "errors.jsonl"];
    let run = bench.daypass(&[&args[..], options].concat()).run();
    let errors = std::fs::read_to_string(folder.join("errors.jsonl")).unwrap();
    (run.code, errors.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// invariant: An import rejects a user whose second factor or pending action it would drop.
#[test]
fn users_with_safeguards_are_rejected_by_name() {
    let keycloak = |user: Value| {
        let mut user = user;
        let password = json!({ "type": "password", "secretData": SECRET, "credentialData": DATA });
        let more = user["credentials"].as_array().cloned().unwrap_or_default();
        user["credentials"] = [vec![password], more].concat().into();
        user["enabled"] = true.into();
        user.to_string()
    };
    let auth0 = |member: &str, value: Value| {
        json!({ "email": "ada@example.com", "passwordHash": BCRYPT, member: value }).to_string()
    };
    let devise = |column: &str, value: &str| {
        format!("email,encrypted_password,{column}\nada@example.com,{BCRYPT},{value}\n")
    };
    let (factor, action) = ("--accept-without-second-factor", "--accept-pending-actions");
    for (system, file, text, member, option) in [
        ("auth0", "users.json", auth0("mfa_factors", json!([{ "phone": "+1" }])), "mfa_factors", factor),
        ("auth0", "users.json", auth0("email_verified", json!(false)), "email_verified", action),
        ("devise", "users.csv", devise("otp_required_for_login", "t"), "otp_required_for_login", factor),
        ("devise", "users.csv", devise("confirmed_at", ""), "confirmed_at", action),
        (
            "keycloak",
            "users.json",
            keycloak(json!({ "username": "ada@example.com", "credentials": [{ "type": "otp" }] })),
            "credentials",
            factor,
        ),
        (
            "keycloak",
            "users.json",
            keycloak(json!({ "username": "ada@example.com", "requiredActions": ["UPDATE_PASSWORD"] })),
            "requiredActions",
            action,
        ),
    ] {
        let bench = Bench::new();
        let (code, errors) = import(&bench, system, file, &text, &[]);
        assert_eq!((code, errors.len(), bench.user("ada@example.com")), (1, 1, None), "{system} {member}");
        assert_eq!(errors[0]["username"], "ada@example.com", "{system} {member}");
        let error = errors[0]["error"].as_str().unwrap();
        assert!(error.contains(&format!("(`{member}`)")) && error.contains(option), "{error}");
        let other = if option == factor { action } else { factor };
        assert_eq!(import(&bench, system, file, &text, &[other]).0, 1, "{system} {member}");
        assert_eq!(import(&bench, system, file, &text, &[option]), (0, vec![]), "{system} {member}");
        assert_eq!(bench.user("ada@example.com").unwrap().status, UserStatus::Enabled, "{system} {member}");
    }
}

#[test]
fn locked_users_are_imported_as_disabled() {
    let locked_rails =
        format!("email,encrypted_password,locked_at\nada,{BCRYPT},2026-01-01 10:00:00\nbob,{BCRYPT},\n");
    let spam = format!("user_login,user_pass,spam,deleted\nada,{BCRYPT},1,0\nbob,{BCRYPT},0,0\n");
    let deleted = format!("user_login,user_pass,spam,deleted\nada,{BCRYPT},0,1\nbob,{BCRYPT},0,0\n");
    let inactive = format!("username,password,is_active\nada,{BCRYPT},f\nbob,{BCRYPT},t\n");
    let blocked = format!(
        "{}\n{}\n",
        json!({ "email": "ada", "passwordHash": BCRYPT, "blocked": true }),
        json!({ "email": "bob", "passwordHash": BCRYPT })
    );
    for (system, file, text) in [
        ("devise", "users.csv", locked_rails),
        ("wordpress", "users.csv", spam),
        ("wordpress", "users.csv", deleted),
        ("django", "users.csv", inactive),
        ("auth0", "users.json", blocked),
    ] {
        let bench = Bench::new();
        assert_eq!(import(&bench, system, file, &text, &[]), (0, vec![]), "{system}");
        let status = |name| bench.user(name).unwrap().status;
        assert_eq!((status("ada"), status("bob")), (UserStatus::Disabled, UserStatus::Enabled), "{system}");
    }
}

/// Firebase's hashes need the adopted signer key, but a line is rejected before it is stored.
#[test]
fn a_second_factor_of_firebase_is_rejected() {
    let bench = Bench::new();
    let adopt = ["key", "adopt", "keys.json", "--out", "adopted.json", "--json"];
    let adopted = crate::bench::daypass(bench.folder.path(), &adopt)
        .stdin(&"a signer key of 64 bytes, ".repeat(3)[..64])
        .run();
    let kid = serde_json::from_str::<Value>(&adopted.out).unwrap()["adopted"][0].as_str().unwrap().to_owned();
    std::fs::rename(bench.folder.path().join("adopted.json"), &bench.keys).unwrap();
    let user = |name: &str, member: &str, value: Value| {
        json!({
            "email": name, "passwordHash": "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
            "salt": "42xEC+ixf3L2lw==", member: value
        })
    };
    let text = format!(
        "{}\n{}\n{}\n",
        user("ada", "mfaInfo", json!([{ "phoneInfo": "+1" }])),
        user("bob", "emailVerified", json!(false)),
        user("carol", "disabled", json!(true)),
    );
    let signer = ["--firebase-signer", kid.as_str()];
    let (code, errors) = import(&bench, "firebase", "users.json", &text, &signer);
    let mut names: Vec<_> = errors.iter().map(|error| error["username"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!((code, names), (1, vec!["ada", "bob"]));
    assert_eq!(bench.user("carol").unwrap().status, UserStatus::Disabled);
    let all = [&signer[..], &["--accept-without-second-factor", "--accept-pending-actions"]].concat();
    assert_eq!(import(&bench, "firebase", "users.json", &text, &all), (0, vec![]));
}

/// A pepper of Devise is not applied to a hash that bcrypt did not make.
#[test]
fn argon2_with_a_pepper_of_another_system_is_rejected() {
    let bench = Bench::new();
    let argon2 = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let text = format!("email,encrypted_password\nada,\"{argon2}\"\n");
    assert_eq!(import(&bench, "devise", "users.csv", &text, &[]), (0, vec![]));
    let (code, errors) = import(&bench, "devise", "users.csv", &text, &["--bcrypt-pepper", "01020304"]);
    assert_eq!((code, errors[0]["username"].as_str()), (1, Some("ada")));
    assert!(errors[0]["error"].as_str().unwrap().contains("argon2 with a pepper"), "{errors:?}");
}
