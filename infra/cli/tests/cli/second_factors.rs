//! Import of users with the app of their one-time codes. `totp-rs` stands for the app.

use crate::bench::{Bench, Run, login, post, wait_for};
use daypass_verifier::base::time::{Clock, Timestamp};
use serde_json::{Value, json};

/// OpenBSD's test vector for the password "U*U".
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
const PASSWORD: &str = "U*U";
/// What an app gets by the QR code of Auth0: 20 bytes.
const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// Far from the time of the import.
const NOW: u64 = 2_000_000_000;
const ACCEPT: &str = "--accept-without-second-factor";

struct At(u64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0)
    }
}

/// A user of Auth0 with these members of `mfa_factors`, as its bulk import documents them.
fn auth0(factors: &Value) -> String {
    json!({ "email": "ada@example.com", "passwordHash": BCRYPT, "multifactor": ["guardian"], "mfa_factors": factors })
        .to_string()
}

fn auth0_app(secret: &str) -> String {
    auth0(&json!([{ "totp": { "secret": secret } }]))
}

/// A user of Keycloak with the password and these credentials.
fn keycloak(credentials: &[Value]) -> String {
    let data = json!({ "hashIterations": 5, "algorithm": "bcrypt" }).to_string();
    let secret = json!({ "value": BCRYPT, "salt": "" }).to_string();
    let password = json!({ "type": "password", "secretData": secret, "credentialData": data });
    let credentials = [&[password], credentials].concat();
    json!({ "username": "ada@example.com", "enabled": true, "credentials": credentials }).to_string()
}

/// A credential as `OTPCredentialModel` of Keycloak writes it, with other data.
fn otp(data: &[(&str, Value)]) -> Value {
    let mut all =
        json!({ "subType": "totp", "digits": 6, "counter": 0, "period": 30, "algorithm": "HmacSHA1" });
    for (name, value) in data {
        all[*name] = value.clone();
    }
    let secret = json!({ "value": "12345678901234567890" }).to_string();
    json!({ "type": "otp", "secretData": secret, "credentialData": all.to_string() })
}

/// A credential as Keycloak exported it before version 8.
fn old(kind: &str, value: &str, config: &Value) -> Value {
    json!({
        "type": kind, "hashedSaltedValue": value, "hashIterations": 0, "counter": 0, "algorithm": "HmacSHA1", "digits": 6,
        "period": 30, "config": config,
    })
}

/// Imports a line. Returns the run, and the rejected lines without escapes.
fn import(bench: &Bench, system: &str, line: &str, options: &[&str]) -> (Run, String) {
    let file = bench.write("users.jsonl", &format!("{line}\n"));
    let args = [&[file.as_str(), "--system", system, "--errors", "refused.jsonl"], options].concat();
    let run = bench.import(&args);
    (run, bench.read("refused.jsonl").replace("\\\"", "\""))
}

fn app(secret: &str, algorithm: totp_rs::Algorithm, digits: u8, period: u64) -> totp_rs::Totp {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let builder = totp_rs::Builder::new().with_secret(secret).with_algorithm(algorithm);
    builder.with_digits(digits).with_step_duration(period).build_noncompliant()
}

/// Logs ada in as the function does, and asserts that this takes the password and then a code of the app.
fn log_in(bench: &Bench, app: &totp_rs::Totp) {
    let functions = login(&bench.store, &bench.keys, &bench.tables, Box::new(At(NOW)));
    wait_for(async {
        let password = json!({ "username": "ada@example.com", "password": PASSWORD });
        let (status, first) = post(&functions, "/login", &password).await;
        assert_eq!((status, &first["error"]), (403, &json!("mfa_required")), "{first}");
        assert_eq!(first["factors"], json!(["totp"]), "no recovery codes");
        let show = async |time: u64| {
            let body = json!({ "mfa_token": first["mfa_token"], "code": app.generate(time).to_string() });
            let (status, answer) = post(&functions, "/login/factor", &body).await;
            (status, answer["error"].clone(), answer["access_token"].is_string())
        };
        let refused = (400, json!("wrong_code"), false);
        assert_eq!(show(NOW - 10 * app.step()).await, refused, "another time");
        assert_eq!(show(NOW).await, (200, Value::Null, true));
        assert_eq!(show(NOW).await, refused, "a second time");
        assert_eq!(show(NOW + app.step()).await, (200, Value::Null, true));
    });
}

/// The credentials of `tests/vectors/keycloak.json`, which Keycloak's own code made.
///
/// invariant: A user of Keycloak or Auth0 with an app logs in with the password and a code of the app after the import.
#[test]
fn users_keep_their_app() {
    let file: Value = serde_json::from_str(include_str!("../../../../tests/vectors/keycloak.json")).unwrap();
    let made = file["credentials"].as_array().unwrap();
    assert_eq!(made.len(), 15);
    for made in made {
        let data: Value =
            serde_json::from_str(made["credential"]["credentialData"].as_str().unwrap()).unwrap();
        let algorithm = match data["algorithm"].as_str().unwrap() {
            "HmacSHA1" => totp_rs::Algorithm::SHA1,
            "HmacSHA256" => totp_rs::Algorithm::SHA256,
            _ => totp_rs::Algorithm::SHA512,
        };
        let digits = u8::try_from(data["digits"].as_u64().unwrap()).unwrap();
        let app = app(made["shown"].as_str().unwrap(), algorithm, digits, data["period"].as_u64().unwrap());
        for code in made["codes"].as_array().unwrap() {
            assert_eq!(app.generate(code[0].as_u64().unwrap()).to_string(), code[1], "{made}");
        }
        let bench = Bench::new();
        let (run, refused) = import(&bench, "keycloak", &keycloak(&[made["credential"].clone()]), &[]);
        assert_eq!((run.code, refused.as_str()), (0, ""), "{run:?}");
        log_in(&bench, &app);
    }
    let sha1 = app(SECRET, totp_rs::Algorithm::SHA1, 6, 30);
    for (system, line) in [
        ("auth0", auth0_app(SECRET)),
        ("auth0", auth0_app(&SECRET.to_lowercase())),
        // Before Keycloak 8, as text and in base64.
        ("keycloak", keycloak(&[old("totp", "12345678901234567890", &Value::Null)])),
        (
            "keycloak",
            keycloak(&[old("totp", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=", &json!({ "base64Encoded": ["true"] }))]),
        ),
        ("keycloak", keycloak(&[otp(&[]), json!({ "type": "recovery-authn-codes", "secretData": "{}" })])),
    ] {
        let bench = Bench::new();
        let (run, refused) = import(&bench, system, &line, &[]);
        assert_eq!((run.code, refused.as_str()), (0, ""), "{line} {run:?}");
        assert!(run.err.contains("note: 1 users keep the app of their one-time codes"), "{run:?}");
        log_in(&bench, &sha1);
    }
}

/// invariant: An import rejects a second factor that Daypass does not check, with the reason and without the secret.
#[test]
fn other_factors_are_rejected_with_the_reason() {
    let without = |member: &str| {
        let mut credential = otp(&[]);
        credential.as_object_mut().unwrap().remove(member);
        credential
    };
    let keycloaks = [
        (otp(&[("subType", json!("hotp"))]), "not time-based"),
        (old("hotp", SECRET, &Value::Null), "not time-based"),
        (otp(&[("algorithm", json!("HmacMD5"))]), "its `algorithm` is unknown"),
        (otp(&[("digits", json!(5))]), "5 digits"),
        (otp(&[("digits", json!("many"))]), "its `digits` is not a number"),
        (otp(&[("period", json!(300))]), "300 s"),
        (otp(&[("secretEncoding", json!("BASE32"))]), "its secret is not base32"),
        (otp(&[("secretEncoding", json!("HEX"))]), "its `secretEncoding` is unknown"),
        (old("totp", "short", &Value::Null), "5 bytes"),
        (old("totp", "no base64: *", &json!({ "base64Encoded": ["true"] })), "its secret is not base64"),
        (without("secretData"), "does not contain its secret"),
        (without("credentialData"), "no `credentialData`"),
        (json!({ "type": "webauthn", "secretData": "{}" }), "\"webauthn\" is not imported"),
        (json!({ "type": "recovery-authn-codes" }), "recovery codes are not imported"),
    ];
    let auth0s = [
        (json!([{ "phone": { "value": "+15551234567" } }]), "\"phone\" is not imported"),
        (json!([{ "email": { "value": "ada@example.com" } }]), "\"email\" is not imported"),
        (json!([{ "totp": { "secret": "0189" } }]), "its secret is not base32"),
        (json!([{ "totp": { "secret": "JBSWY3DP" } }]), "5 bytes"),
        (json!([{ "totp": {} }]), "does not contain its secret"),
        (json!(format!("[{{\"totp\":\"{SECRET}\"}}]")), "it is not a list"),
        (json!([]), "(`multifactor`) that an import drops: Daypass does not check it"),
    ];
    let lines = keycloaks.map(|(credential, why)| ("keycloak", keycloak(&[credential]), why));
    let lines = lines.into_iter().chain(auth0s.map(|(factors, why)| ("auth0", auth0(&factors), why)));
    let bench = Bench::new();
    for (system, line, why) in lines {
        let (run, refused) = import(&bench, system, &line, &[]);
        assert_eq!((run.code, bench.user("ada@example.com")), (1, None), "{line} {run:?}");
        assert!(refused.contains(why) && refused.contains("ada@example.com"), "{why}: {refused}");
        for secret in ["12345678901234567890", SECRET, "no base64", "0189", "JBSWY3DP"] {
            assert!(!refused.contains(secret) && !format!("{run:?}").contains(secret), "{refused} {run:?}");
        }
        let bench = Bench::new();
        let (run, _) = import(&bench, system, &line, &[ACCEPT]);
        assert_eq!(run.code, 0, "{line} {run:?}");
        assert!(!bench.user("ada@example.com").unwrap().factors.is_enrolled(), "{line}");
    }
}

/// A user with an app and another factor keeps the app.
#[test]
fn with_the_option_the_app_stays_and_other_factors_go() {
    let sha1 = app(SECRET, totp_rs::Algorithm::SHA1, 6, 30);
    let second = json!({ "type": "otp", "secretData": "{\"value\":\"another secret of 20\"}", "credentialData": "{\"subType\":\"totp\"}" });
    for (system, line, why) in [
        ("keycloak", keycloak(&[json!({ "type": "webauthn" }), otp(&[])]), "\"webauthn\" is not imported"),
        ("keycloak", keycloak(&[otp(&[]), second]), "one app of a user"),
        (
            "auth0",
            auth0(&json!([{ "phone": { "value": "+1" } }, { "totp": { "secret": SECRET } }])),
            "\"phone\" is not imported",
        ),
    ] {
        let bench = Bench::new();
        let (run, refused) = import(&bench, system, &line, &[]);
        assert!(run.code == 1 && refused.contains(why), "{refused}");
        assert_eq!(import(&bench, system, &line, &[ACCEPT]).0.code, 0, "{line}");
        log_in(&bench, &sha1);
    }
}

/// invariant: A repeated import changes no second factor of a user.
#[test]
fn a_second_run_changes_no_factor() {
    let bench = Bench::new();
    let dry = import(&bench, "auth0", &auth0_app(SECRET), &["--dry-run"]).0;
    assert_eq!((dry.code, bench.user("ada@example.com")), (0, None), "{dry:?}");
    let run = |line: &str, options: &[&str]| {
        let (run, refused) = import(&bench, "auth0", line, &[options, &["--json"]].concat());
        let summary: Value = serde_json::from_str(&run.out).unwrap();
        (summary["changed"].clone(), summary["unchanged"].clone(), summary["with_app"].clone(), refused)
    };
    assert_eq!(run(&auth0_app(SECRET), &[]), (json!(1), json!(0), json!(1), String::new()));
    let imported = bench.user("ada@example.com").unwrap();
    assert_eq!(imported.factors.totp.as_ref().unwrap().step, 0);
    assert_eq!(run(&auth0_app(SECRET), &[]), (json!(0), json!(1), json!(1), String::new()));
    // The secret of an existing user is not replaced, as a password is not, and an app is neither added nor removed.
    let other = auth0_app("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP");
    let phone = auth0(&json!([{ "phone": { "value": "+1" } }]));
    for (line, options) in [(&other, [].as_slice()), (&phone, &[ACCEPT])] {
        let (changed, unchanged, _, refused) = run(line, options);
        assert_eq!((changed, unchanged), (json!(0), json!(0)));
        assert!(refused.contains("another user has this name, or the user of another line"), "{refused}");
    }
    assert_eq!(bench.user("ada@example.com"), Some(imported));
    // A user who has changed the factors stays as is.
    bench.daypass(&["user", "reset-factors", "ada@example.com"]).ok();
    assert_eq!(run(&auth0_app(SECRET), &[]), (json!(0), json!(1), json!(1), String::new()));
    assert!(!bench.user("ada@example.com").unwrap().factors.is_enrolled());
}

/// An app needs the key set, and other users of the file do not.
#[test]
fn an_app_needs_a_key_set() {
    let bench = Bench::new();
    let bob = json!({ "email": "bob@example.com", "passwordHash": BCRYPT });
    let file = bench.write("users.jsonl", &format!("{}\n{bob}\n", auth0_app(SECRET)));
    let args = ["user", "import", &file, "--system", "auth0"];
    let run = bench.daypass(&args).env("DAYPASS_KEYS", bench.folder.path().join("missing.json")).run();
    assert_eq!((run.code, bench.user("ada@example.com")), (1, None));
    assert!(
        run.err.contains("line 1 (ada@example.com): the secret of the app cannot be encrypted: "),
        "{run:?}"
    );
    assert!(!run.err.contains(SECRET) && bench.user("bob@example.com").is_some(), "{run:?}");
}

/// An export has no second factors, and says so.
#[test]
fn an_export_has_no_second_factors() {
    let bench = Bench::new();
    assert_eq!(import(&bench, "auth0", &auth0_app(SECRET), &[]).0.code, 0);
    let run = bench.daypass(&["user", "export", "--out", "out.jsonl"]).run();
    assert!(
        run.err.contains("note: 1 users have a second factor, which the export does not contain"),
        "{run:?}"
    );
    let there = Bench::new();
    assert_eq!(there.imported(&[&there.write("users.jsonl", &bench.read("out.jsonl"))], 0)["changed"], 1);
    assert!(!there.user("ada@example.com").unwrap().factors.is_enrolled());
}
