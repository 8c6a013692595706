//! Imports that people reported as broken elsewhere, with their files: each kind of report, and more cases of it.

use crate::bench::Bench;
use daypass_core::ports::store::UserStatus;
use serde_json::{Value, json};

/// bcrypt of "U*U".
const BCRYPT: &str = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
/// PBKDF2 of "lètmein" (Django's tests).
const DJANGO: &str = "pbkdf2_sha256$390000$seasalt$8xBlGd3jVgvJ+92hWPxi5ww0uuAuAnKgC45eudxro7c=";

/// Imports a file and returns the rejected lines.
fn import(bench: &Bench, file: &str, text: impl AsRef<[u8]>, system: &str) -> Vec<Value> {
    std::fs::write(bench.folder.path().join(file), text).unwrap();
    let run = bench.import(&[file, "--system", system, "--errors", "refused.jsonl"]);
    let refused = bench.read("refused.jsonl");
    let refused: Vec<Value> = refused.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(run.code, i32::from(!refused.is_empty()), "{run:?}");
    refused
}

/// Asserts that the users are there and log in with their passwords.
fn log_in(bench: &Bench, users: &[(&str, &str)]) {
    for (name, password) in users {
        let user = bench.user(name).unwrap_or_else(|| panic!("no user {name}"));
        assert!(bench.accepts(&user, password), "{name}: {password}");
        assert!(!bench.accepts(&user, "another password"), "{name}");
    }
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// The error of a file that is not read at all.
fn file_error(file: &str, text: impl AsRef<[u8]>) -> String {
    let bench = Bench::new();
    std::fs::write(bench.folder.path().join(file), text).unwrap();
    let run = bench.import(&[file, "--errors", "refused.jsonl"]);
    assert_eq!((run.code, bench.read("refused.jsonl").as_str()), (1, ""), "{run:?}");
    assert_eq!(run.err.matches("error: ").count(), 1, "{run:?}");
    run.err
}

/// B01, B31: tabs of `mysql`, semicolons of Excel, a byte order mark, CRLF, UTF-16, blanks around fields, quoted line breaks.
#[test]
fn csv_with_the_delimiters_of_other_programs_is_read() {
    let bench = Bench::new();
    let wordpress = "user_login\tuser_email\tuser_pass\nadmin\tadmin@example.com\t$wp$2y$10$Q1xinFjrZeLWJBvxviIL6u834Fu.evIEFHAUVisQ5O.w9Dm0sMdES\n";
    assert_eq!(import(&bench, "wordpress.csv", wordpress, "wordpress"), [] as [Value; 0]);
    log_in(&bench, &[("admin", "admin")]);
    let excel = format!("\u{feff}username;email;password;is_active\r\nada;ada@example.com;{DJANGO};t\r\n");
    assert_eq!(import(&bench, "django-de.csv", &excel, "django"), [] as [Value; 0]);
    log_in(&bench, &[("ada", "lètmein")]);
    let utf16: Vec<u8> = excel.replace("ada", "bob").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(import(&bench, "utf16.csv", utf16, "django"), [] as [Value; 0]);
    log_in(&bench, &[("bob", "lètmein")]);
    let padded = format!(" username | password_hash \n carol | {BCRYPT} \n\"dora\"|\"{BCRYPT}\"\n");
    assert_eq!(import(&bench, "psql.csv", padded, "daypass"), [] as [Value; 0]);
    log_in(&bench, &[("carol", "U*U"), ("dora", "U*U")]);
    let lines = format!(
        "name,pass,mail,signature\nerin,{BCRYPT},e@example.com,\"one\ntwo, \"\"three\"\"\"\nfrank,{BCRYPT},f@example.com,\n"
    );
    assert_eq!(import(&bench, "drupal.csv", lines, "drupal"), [] as [Value; 0]);
    log_in(&bench, &[("erin", "U*U"), ("frank", "U*U")]);
    let nulls = "UserName,PasswordHash,LockoutEnd\ngina,AQAAAAIAAYagAAAAEGFzcG5ldC1zYWx0LTEyMzQKW3bHEEoFYw0muIbe5tbsc+HQfLhp0bMWrp584F5ahQ==,NULL\n";
    assert_eq!(import(&bench, "aspnet.csv", nulls, "aspnet"), [] as [Value; 0]);
    log_in(&bench, &[("gina", "aspnet-pass-7")]);
    assert_eq!(bench.user("gina").unwrap().status, UserStatus::Enabled);
}

/// B01, B31: one error for the file, which names what is wrong with it, and not one per line.
#[test]
fn a_file_that_is_not_what_it_claims_has_one_error() {
    for (file, text, error) in [
        ("one.csv", "username\nada\nbob\n", "one column, `username`; fields are separated by commas"),
        ("array.csv", "[\n{\"username\":\"ada\"}]\n", "is a JSON array"),
        ("array.jsonl", "[\n{\"username\":\"ada\"}]\n", "is a JSON array"),
        ("pretty.json", "{\n  \"users\": []\n}\n", "over several lines"),
        ("lines.csv", "{\"username\":\"ada\"}\n", "has JSON, not CSV"),
        ("table.csv", "+----------+\n| username |\n", "drew for a terminal"),
        ("dump.csv", "INSERT INTO users VALUES (1);\n", "dump of SQL"),
        ("users.jsonl", "username,password_hash\nada,x\n", "--format csv"),
        (
            "columns.csv",
            "id,email,hash\n1,ada@example.com,x\n",
            "no column `username`; it has `id`, `email`, `hash`",
        ),
    ] {
        let told = file_error(file, text);
        assert!(told.contains(error), "{file}: {told}");
    }
    let told = file_error("users.csv", b"PK\x03\x04\x14\x00\x06\x00");
    assert!(told.contains("workbook"), "{told}");
    let told = file_error("utf16.csv", b"u\0s\0e\0r\0,\0h\0");
    assert!(told.contains("no text"), "{told}");
}

/// What other programs add to a field or a line: formulas of spreadsheets, separators at the end, carriage returns.
#[test]
fn csv_with_additions_of_other_programs_is_read_or_rejected() {
    let bench = Bench::new();
    let formulas = format!("username,password_hash\n=\"007\",{BCRYPT}\n\"=\"\"008\"\"\",{BCRYPT}\n");
    assert_eq!(import(&bench, "formulas.csv", formulas, "daypass"), [] as [Value; 0]);
    log_in(&bench, &[("007", "U*U"), ("008", "U*U")]);
    let ends = format!("username,password_hash,\nada,{BCRYPT},\nbob,{BCRYPT},x\n");
    let refused = import(&bench, "ends.csv", ends, "daypass");
    assert_eq!(refused.iter().map(|line| &line["username"]).collect::<Vec<_>>(), ["bob"]);
    log_in(&bench, &[("ada", "U*U")]);
    let told = file_error("mac.csv", format!("username,password_hash\rada,{BCRYPT}\r"));
    assert!(told.contains("carriage return"), "{told}");
}

/// The output of a program around a hash: Python's `str(bytes)`, PostgreSQL's bytea, quotes and backslashes of a shell.
#[test]
fn hashes_in_the_output_of_a_program_are_named() {
    let bench = Bench::new();
    let hexadecimal: String = BCRYPT.bytes().map(|byte| format!("{byte:02x}")).collect();
    let own = lines(
        &[
            format!("b'{BCRYPT}'"),
            format!("b\"{BCRYPT}\""),
            format!("\\x{hexadecimal}"),
            BCRYPT.replace('$', "\\$"),
            format!("\"{BCRYPT}\""),
        ]
        .map(|hash| json!({"username": "ada", "password_hash": hash})),
    );
    let refused = import(&bench, "own.jsonl", own, "daypass");
    for (line, reason) in refused.iter().zip(["Python", "Python", "PostgreSQL", "backslashes", "quotes"]) {
        assert!(line["error"].as_str().unwrap().contains(reason), "{line}");
    }
    assert_eq!(refused.len(), 5);
}

/// B04: each rejected line names its user.
#[test]
fn rejected_lines_name_their_users() {
    let bench = Bench::new();
    let own = lines(&[
        json!({"username": "Ada@example.com", "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}),
        json!({"username": "bob@example.com", "password_hash": "$2y$16$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}),
        json!({"username": "carol", "password_hash": BCRYPT, "passwordhash": 1}),
        json!({"username": "a b", "password_hash": BCRYPT}),
        json!({"password_hash": BCRYPT}),
    ]);
    let refused = import(&bench, "own.jsonl", own, "daypass");
    let names: Vec<_> = refused.iter().map(|line| line["username"].as_str()).collect();
    assert_eq!(names, [Some("ada@example.com"), Some("bob@example.com"), Some("carol"), Some("a b"), None]);
    let reasons: Vec<_> = refused.iter().map(|line| line["error"].as_str().unwrap()).collect();
    assert!(reasons[0].contains("MD5") && reasons[1].contains("ms of a processor"), "{reasons:?}");
    // Also in CSV, where a line has too few fields or is not UTF-8.
    let mut csv = b"username,password_hash\ndora\nerin,\xff\n".to_vec();
    csv.extend_from_slice(format!("frank,{BCRYPT}\n").as_bytes());
    let refused = import(&bench, "own.csv", csv, "daypass");
    let names: Vec<_> = refused.iter().map(|line| line["username"].as_str()).collect();
    assert_eq!(names, [Some("dora"), Some("erin")]);
    log_in(&bench, &[("frank", "U*U")]);
}

/// B05, B25: systems that change the typed password before they hash it.
#[test]
fn passwords_that_the_system_escaped_log_in_as_typed() {
    let bench = Bench::new();
    let wordpress = concat!(
        "user_login,user_email,user_pass\n",
        "quote_old,q1@example.com,$P$BaB3dE6gHqaiHEurE5b5r8xuKV6WIg0\n",
        "quote_new,q2@example.com,$wp$2y$10$zRfYpWc8nQe2Lb5TkGhV0u5eALCTgZ1t9ZCMYCuh/TL2N13pD15CS\n",
        "back_new,q3@example.com,$wp$2y$10$zRfYpWc8nQe2Lb5TkGhV0uPVAOc9vUVS2Do9ft1fJ78vloPqwEPSS\n",
    );
    assert_eq!(import(&bench, "wp-slash.csv", wordpress, "wordpress"), [] as [Value; 0]);
    log_in(
        &bench,
        &[
            ("quote_old", "o'neil-2019-tea"),
            ("quote_new", "o'neil-2019-tea"),
            ("back_new", "back\\slash \"tea\" 7"),
        ],
    );
    let phpbb = "username,password_hash\nphp2,$H$9aB3dE6gHRh7IEnXEOeCX7LvYl04RK0\n";
    assert_eq!(import(&bench, "phpbb.csv", phpbb, "daypass"), [] as [Value; 0]);
    let phpbb = "username,user_password,user_type\nphp1,$2y$10$zRfYpWc8nQe2Lb5TkGhV0udMtOuryfQneVBOUDozj2UfLvmvWOuqu,0\nbot,$2y$10$zRfYpWc8nQe2Lb5TkGhV0udMtOuryfQneVBOUDozj2UfLvmvWOuqu,2\n";
    assert_eq!(import(&bench, "phpbb2.csv", phpbb, "phpbb"), [] as [Value; 0]);
    log_in(&bench, &[("php1", "salt&pepper-7"), ("php2", "salt&pepper-7")]);
    assert_eq!(bench.user("bot").unwrap().status, UserStatus::Disabled);
    // What the import prints names the second form of such passwords, so that their time can be equalised.
    let run = bench.import(&["wp-slash.csv", "--system", "wordpress", "--json"]);
    let summary: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(summary["imported_hashes"], "bcrypt,c=10,slashed phpass,ln=13,slashed");
    assert_eq!(summary["unchanged"], 3);
}

/// B10: Auth0 transcodes the typed password.
#[test]
fn passwords_that_the_system_transcoded_log_in_as_typed() {
    let bench = Bench::new();
    let pbkdf2 = |name: &str, encoding: &str, hash: &str| {
        json!({"email": name, "custom_password_hash": {
            "algorithm": "pbkdf2", "password": {"encoding": encoding}, "hash": {"value": hash, "encoding": "utf8"}
        }})
    };
    let utf16 =
        "$pbkdf2-sha256$i=100000,l=32$YXV0aDAtc2FsdC0xMjM0NQ$Jia8RthvhNxy9eEEIw+B3Z4JTKkwA0cBCtmHEMpKVCs";
    // Node.js 20: crypto.pbkdf2Sync(Buffer.from("lètmein", "latin1"), "auth0-salt-12345", 1000, 32, "sha256").
    let latin1 =
        "$pbkdf2-sha256$i=1000,l=32$YXV0aDAtc2FsdC0xMjM0NQ$SAD2FkaB49ci1Z1f+fm1LMuWVj9b+/MQszXrbSs/aLA";
    let refused = import(
        &bench,
        "auth0.json",
        lines(&[
            pbkdf2("ada@example.com", "utf16le", utf16),
            pbkdf2("bob@example.com", "latin1", latin1),
            pbkdf2("carol@example.com", "ebcdic", utf16),
        ]),
        "auth0",
    );
    log_in(&bench, &[("ada@example.com", "auth0-pass-7"), ("bob@example.com", "lètmein")]);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["username"], "carol@example.com");
}

/// B07, B08: Keycloak of all ages, and its default of 1,300,000 iterations with four blocks of output.
#[test]
fn credentials_of_every_keycloak_are_read() {
    let bench = Bench::new();
    let flat = lines(&[
        json!({"username":"old-sha256","enabled":true,"credentials":[{"type":"password","hashedSaltedValue":"BRa/RyVl1ggUn9sXWPE3Nsj4cndJEdPr7lr7RAXiO7n9J2XKoEpSy6kbnH1qgbCuR8wfH3I1HxtR3IrwlQpU+w==","salt":"MDEyMzQ1Njc4OWFiY2RlZg==","hashIterations":27500,"counter":0,"algorithm":"pbkdf2-sha256","digits":0,"period":0,"createdDate":1_490_000_000_000_u64,"config":{}}]}),
        json!({"username":"old-sha1","enabled":true,"credentials":[{"type":"password","hashedSaltedValue":"a/Kx3wE5dKqUcEPreK9jrv75J1ne7EdXl3hx+wEUjCkSNKduxyeY2OmaIJUoRFSROEgmrcqxWpUNj3xwE2cE2g==","salt":"MDEyMzQ1Njc4OWFiY2RlZg==","hashIterations":1}]}),
        json!({"username":"kc24","enabled":true,"credentials":[{"type":"password","secretData":"{\"value\":\"PfXAFTiCVV9A6u9rwjGX+ZjpNUqf6DRwpeU0SWg1apKnR8ynXZWHsnhZN6xvS8b0YL+CoL12pxsl7nQH0OAsOg==\",\"salt\":\"MDEyMzQ1Njc4OWFiY2RlZg==\",\"additionalParameters\":{}}","credentialData":"{\"hashIterations\":1300000,\"algorithm\":\"pbkdf2\",\"additionalParameters\":{}}"}]}),
    ]);
    assert_eq!(import(&bench, "kc-old.jsonl", flat, "keycloak"), [] as [Value; 0]);
    log_in(
        &bench,
        &[("old-sha256", "old-realm-pass-7"), ("old-sha1", "old-realm-pass-7"), ("kc24", "realm-24-pass-7")],
    );
    let refused = lines(&[
        json!({"username":"clear","enabled":true,"credentials":[{"type":"password","value":"secret"}]}),
        json!({"username":"absent","credentials":[{"type":"password","hashedSaltedValue":"a/Kx3wE5dKqUcEPreK9jrv75J1k=","salt":"MDEy","hashIterations":1}]}),
        json!({"username":"default","enabled":true,"credentials":[{"type":"password","hashedSaltedValue":"a/Kx3wE5dKqUcEPreK9jrv75J1k=","salt":"MDEy"}]}),
        json!({"username":"google","enabled":true,"credentials":[]}),
    ]);
    let refused = import(&bench, "kc-bad.jsonl", refused, "keycloak");
    let errors: Vec<_> = refused.iter().map(|line| line["error"].as_str().unwrap()).collect();
    for (error, expected) in
        errors.iter().zip(["in clear", "`enabled` is missing", "`hashIterations`", "no password"])
    {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!(errors.len(), 4);
}

/// B14: the name of an encoder or scheme in braces.
#[test]
fn hashes_behind_the_name_of_their_encoder_are_read() {
    let bench = Bench::new();
    let bcrypt = "$2a$10$dXJ3SW6G7P50lGmMkkmwe.20cQQubK3.HZWzG3YB1tlRy.fqvM/BG";
    let user = |name: &str, hash: &str| json!({"username": name, "password_hash": hash});
    let all = lines(&[
        user("spring", &format!("{{bcrypt}}{bcrypt}")),
        user("ldap", &format!("{{CRYPT}}{bcrypt}")),
        user(
            "argon",
            "{ARGON2}$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ),
        // Spring Security's reference, "DelegatingPasswordEncoder".
        user(
            "pbkdf2",
            "{pbkdf2}5d923b44a6d129f3ddf3e3c8d29412723dcbde72445e8ef6bf3b508fbf17fa4ed4d6b99ca763d8dc",
        ),
        user(
            "scrypt",
            "{scrypt}$e0801$8bWJaSu2IKSn9Z9kM+TPXfOc/9bdYSrN1oD9qfVThWEwdRTnO7re7Ei+fUZRJ68k9lTyuTeUp4of4g24hHnazw==$OAOec05+bXxvuu/1qZ6NUR+xQYvYv7BeL1QxwRpY5Pc=",
        ),
        user("noop", "{noop}password"),
        user(
            "sha256",
            "{sha256}97cde38028ad898ebc02e690819fa220e88c62e0699403e94fff291cfffaf8410849f27605abcbc0",
        ),
        user("ssha", "{SSHA}SATZuaJYwaqWSLy/kFCSZh+6d7KhcD5k"),
    ]);
    let refused = import(&bench, "spring.jsonl", all, "daypass");
    log_in(&bench, &["spring", "ldap", "argon", "pbkdf2", "scrypt"].map(|name| (name, "password")));
    let names: Vec<_> = refused.iter().map(|line| line["username"].as_str().unwrap()).collect();
    assert_eq!(names, ["noop", "sha256", "ssha"]);
    assert!(refused.iter().all(|line| line["error"].as_str().unwrap().starts_with("the hash is rejected: ")));
}

/// B21: addresses whose local part is of another script than their domain.
#[test]
fn each_part_of_an_address_is_of_one_script() {
    let bench = Bench::new();
    let hash = "$2b$10$zRfYpWc8nQe2Lb5TkGhV0uKou6FW1Jkz0Po/j/pvYzFElabvF3V0O";
    let names = ["дмитрий@example.com", "δοκιμη@example.com", "ทดสอบ@example.com", "用户@example.com"];
    let users = names.map(|name| json!({"username": name, "password_hash": hash}));
    assert_eq!(import(&bench, "eai.jsonl", lines(&users), "daypass"), [] as [Value; 0]);
    log_in(&bench, &names.map(|name| (name, "mail-pass-7")));
    let mixed = json!({"username": "\u{430}da@example.com", "password_hash": hash});
    assert_eq!(import(&bench, "mixed.jsonl", lines(&[mixed]), "daypass").len(), 1);
}

/// B24: an export of Firebase without the permission to see hashes.
#[test]
fn hidden_hashes_of_firebase_are_named() {
    let bench = Bench::new();
    let adopt = ["key", "adopt", "keys.json", "--out", "adopted.json", "--json"];
    let adopted = crate::bench::daypass(bench.folder.path(), &adopt).stdin("a signer key").run();
    let kid = serde_json::from_str::<Value>(&adopted.out).unwrap()["adopted"][0].as_str().unwrap().to_owned();
    std::fs::rename(bench.folder.path().join("adopted.json"), &bench.keys).unwrap();
    let text = lines(&[
        json!({"localId":"u1","email":"ada@example.com","passwordHash":"UkVEQUNURUQ=","disabled":false}),
        json!({"localId":"u2","email":"bob@example.com","passwordHash":"UkVEQUNURUQ=","salt":""}),
        json!({"localId":"u3","email":"carol@example.com","providerUserInfo":[{"providerId":"google.com"}]}),
        // A hash of another length than the signer key could match no password.
        json!({"localId":"u4","email":"dora@example.com","passwordHash":"lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==","salt":"42xEC+ixf3L2lw=="}),
    ]);
    bench.write("redacted.jsonl", &text);
    let args =
        ["redacted.jsonl", "--system", "firebase", "--firebase-signer", &kid, "--errors", "refused.jsonl"];
    assert_eq!(bench.import(&args).code, 1);
    let refused = bench.read("refused.jsonl");
    let errors: Vec<&str> = refused.lines().collect();
    assert_eq!(errors.len(), 4);
    for (error, expected) in errors.iter().zip([
        "Firebase Authentication Admin",
        "Firebase Authentication Admin",
        "the user has no password",
        "a signer key of 64 bytes",
    ]) {
        assert!(error.contains(expected) && error.contains("@example.com"), "{error}");
    }
}

/// B26, B27 and more: hashes of frameworks. The comment names the program that made them.
#[test]
fn hashes_of_frameworks_are_read() {
    let bench = Bench::new();
    let user = |name: &str, hash: &str| json!({"username": name, "password_hash": hash});
    let all = [
        // The documents of the public reports.
        (
            "net",
            "aspnet-pass-7",
            "AQAAAAIAAYagAAAAEGFzcG5ldC1zYWx0LTEyMzQKW3bHEEoFYw0muIbe5tbsc+HQfLhp0bMWrp584F5ahQ==",
        ),
        (
            "f1",
            "demo",
            "pbkdf2:sha256:150000$GeDI5o4S$79f2079efda1d5b3953f062cb14a404a30e9c0458992f44a109a2cad0916b2d7",
        ),
        (
            "f2",
            "flask-pass-7",
            "scrypt:32768:8:1$GeDI5o4SxY7kQ2bN$b0ff11eaf3a02d7edaeea74bd5c7e5fca1600a5a168ca20315dd8a9b903910d113a56eef2321a971ab7b890140e1922e5ac405ac6d2eddc86fd88315eecc6ff6",
        ),
        (
            "f3",
            "flask-pass-7",
            "pbkdf2:sha256:600000$GeDI5o4SxY7kQ2bN$071d9e9b92254ad1c5efe40b5bfb03103e80c4ecf693ff11326bd5dc52440f91",
        ),
        // Werkzeug 3.1.9, generate_password_hash.
        ("w1", "lètmein", "pbkdf2:sha1:1000$nweSAO2VgI5eyTvx$e712a8d241ebcedc64eff504069037e6ea3ca656"),
        (
            "w2",
            "lètmein",
            "pbkdf2:sha512:1000$HJOhkZK9YPMqCTN5$84d2992811f9e83ea6b62d0d93b14b92034ac1c77b87a01cff1ea68e78af9f193ba3e9cb58e19391e45bcccfcdac6d97e6afdb8b649f9b8d727de578db8ad0b4",
        ),
        // Passlib 1.7.4.
        ("p1", "lètmein", "$pbkdf2$1000$c2FsdHNhbHQxMjM0NTY3OA$k3m011qd/sT7CX3mfFIL6Q5LIzo"),
        (
            "p2",
            "lètmein",
            "$pbkdf2-sha256$1000$//79c2FsdDEyMzQ1Njc4$NJOsW4YqCJUkNodKtgOBlfoDGiS0m7ZXJUMFJ7R/sZI",
        ),
        (
            "p3",
            "lètmein",
            "$pbkdf2-sha512$1000$//79c2FsdDEyMzQ1Njc4$Gw/Oku7aLegxPBbrJr4rZack0cMTndp/Ob6IuSZIMpacnaNkmSxHDlkGoFXWZc.WPpUpdlwUPfqaGyv1yrSlAQ",
        ),
        (
            "p4",
            "lètmein",
            "$scrypt$ln=10,r=8,p=1$//79c2FsdDEyMzQ1Njc4$qcbAU+8gorz0zs7omN8lpuX20ITAcx181FcW4OuCTFw",
        ),
        (
            "p5",
            "lètmein",
            "$bcrypt-sha256$v=2,t=2b,r=5$Ct7PHcXwlqYwwsaGkpLzs.$Tbt8z.NuDdYr3NYW0SA9Z.pCk.EVGR.",
        ),
        ("p6", "lètmein", "$bcrypt-sha256$2b,5$ktLAwQ1ZaroW9wsgPIxsue$3Qk7EAvVVE4fX82bnq2N3NXAdaykAda"),
        (
            "p7",
            "lètmein",
            "$6$rounds=656000$LG5nnW1Gq212XK3j$BgFdp/W7Y448PI8zOj/ki75rSK3aicH22NBm4sQSq/g1BFQNj/uEKajxqPQ8yoMb4sZs8eyMNPsjsaJ01RxN2/",
        ),
        ("p8", "lètmein", "$5$rounds=535000$0K5HZa55n7Dx555Z$ouUyN3aZwSIJDUiZAFjHgziFB5hZ3nHu/ySFarOQju8"),
        (
            "p9",
            "lètmein",
            "{PBKDF2-SHA256}1000$fE9JKeVcyxnDuNc6R8h5Lw$MNPlp4/vac35iG6c9WLVzHLEXwtWwL/qv6jsU1LpeQA",
        ),
        ("p10", "lètmein", "{PBKDF2}1000$OifEmNO6956TEqIUQkgpRQ$bQHkMNEkVq/8RZy2q5Kzcp/5CpQ"),
        (
            "p11",
            "lètmein",
            "grub.pbkdf2.sha512.1000.F7FE9F536A4D29C5D8FBDF7BCF59ABD5BAD77ACFF93F0740284508C1D8DB7BCF592B65EC9DB336E6BC17821042482985B036668C1142C8794FC91923C4B83726.B5025BBD547947C02DC3063167317A2E11406EA0C762EABBE39D0AB8641BD26F28B888DD486E5621B9F015FA84D8A6E12F192F9986189B7DAC6AB52311A80DF7",
        ),
        ("p12", "lètmein", "{PKCS5S2}GwOgNAaAMCYkhNB6T2nNGTtyZP/o1w0qw3uVS8oo6M7iLa3cJ3nA8MfCcbGRbCxT"),
        ("p13", "lètmein", "$P$5sClFlZu7g2RTLqgVXHKAfwBV8RmIQ1"),
        (
            "p14",
            "lètmein",
            "{CRYPT}$6$rounds=1000$knzHoY4vi1SckSwQ$FqnYTisijfWaS8d.w4dXf6uZvuHJC5QZbQvexqSIIGqynWEjrSI22BRPPGv7AiFj0m1LEPcnHshVdxkfUsel2.",
        ),
        // PHP 8.2, password_hash, as Laravel and Nextcloud store it.
        (
            "php1",
            "lètmein",
            "$argon2id$v=19$m=1024,t=2,p=1$dkNqMHZCQjRGQUlrcHd6ZA$jTXwK6NjgupR71jMN4Lrip2lUbzoEITRhwGMf4Y9Ecg",
        ),
        (
            "php2",
            "lètmein",
            "2|$argon2i$v=19$m=1024,t=2,p=1$TEVZYXZvVHBOVGoyeGxVLg$S6vby70M/cIjQogr6flTW6KV3hRU0GvEK+2hwl7JgIg",
        ),
        ("php3", "lètmein", "1|$2y$05$yDWFHl/1j2WK0CmvUuV7Y.6IBh/oXm2n/WABksGi6qXQBS.M.7.dW"),
        // libxcrypt of Debian 12.
        ("unix1", "lètmein", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$yBh2GduheHBvOjZdMFfO9lH6OiwStgqWyGS5UGTov55"),
        ("unix2", "lètmein", "$5$F5Jx5fExrKuPp53x$BbUEjQQzE58xsBjd2h1ln2W5WfCDxwDtVl06paxkfZ7"),
        // hashcat's example of Drupal 7.
        ("drupal", "hashcat", "$S$C33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf"),
    ];
    let users: Vec<Value> = all.iter().map(|(name, _, hash)| user(name, hash)).collect();
    assert_eq!(import(&bench, "all.jsonl", lines(&users), "daypass"), [] as [Value; 0]);
    for (name, password, _) in all {
        log_in(&bench, &[(name, password)]);
    }
    // An export of them is imported elsewhere.
    bench.daypass(&["user", "export", "--out", "out.jsonl"]).run();
    let there = Bench::new();
    std::fs::copy(bench.folder.path().join("out.jsonl"), there.folder.path().join("in.jsonl")).unwrap();
    there.imported(&["in.jsonl"], 0);
    for (name, _, _) in all {
        assert_eq!(there.user(name), bench.user(name));
    }
}

/// Disabled users stay disabled, in the columns of each system.
#[test]
fn flags_of_other_systems_disable_users() {
    let bench = Bench::new();
    for (system, text) in [
        ("aspnet", format!("UserName,PasswordHash,LockoutEnd\nada,{BCRYPT},2999-12-31 23:59:59 +00:00\n")),
        ("laravel", format!("email,password,deleted_at\nbob,{BCRYPT},2024-01-01 00:00:00\n")),
        ("joomla", format!("username,password,block\ncarol,{BCRYPT},1\n")),
        ("drupal", format!("name,pass,status\ndora,{BCRYPT},0\n")),
        ("spring", format!("username,password,enabled\nerin,{{bcrypt}}{BCRYPT},false\n")),
        (
            "supabase",
            format!("email,encrypted_password,banned_until\nfrank,{BCRYPT},2999-01-01 00:00:00+00\n"),
        ),
    ] {
        assert_eq!(import(&bench, "users.csv", text, system), [] as [Value; 0], "{system}");
    }
    for name in ["ada", "bob", "carol", "dora", "erin", "frank"] {
        assert_eq!(bench.user(name).unwrap().status, UserStatus::Disabled, "{name}");
    }
    // PHP writes false as an empty field: an unknown state is no open account.
    let empty = format!("username,password,enabled\ngina,{BCRYPT},\n");
    let refused = import(&bench, "users.csv", empty, "spring");
    assert_eq!(
        (refused[0]["username"].as_str(), refused[0]["error"].as_str()),
        (Some("gina"), Some("`enabled` has no value"))
    );
}

/// Documents of systems that nest their members.
#[test]
fn documents_of_identity_servers_are_read() {
    let bench = Bench::new();
    let kratos = lines(&[
        json!({"id":"1","state":"active","traits":{"email":"ada@example.com"},"credentials":{"password":{"type":"password","config":{"hashed_password":"$scrypt$ln=16384,r=8,p=1$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI="}}}}),
        json!({"id":"2","state":"inactive","traits":{"email":"bob@example.com"},"credentials":{"password":{"config":{"hashed_password":BCRYPT}}}}),
        json!({"id":"3","state":"active","traits":{"email":"carol@example.com"},"credentials":{"password":{"config":{}}}}),
    ]);
    let refused = import(&bench, "kratos.jsonl", kratos, "kratos");
    assert_eq!(refused[0]["username"], "carol@example.com");
    log_in(&bench, &[("ada@example.com", "pleaseletmein"), ("bob@example.com", "U*U")]);
    assert_eq!(bench.user("bob@example.com").unwrap().status, UserStatus::Disabled);
    let fusionauth = lines(&[
        json!({"email":"dora@example.com","active":true,"verified":true,"encryptionScheme":"bcrypt","factor":5,"salt":"CCCCCCCCCCCCCCCCCCCCC.","password":"E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}),
        json!({"email":"erin@example.com","active":true,"encryptionScheme":"salted-md5","factor":1,"salt":"c2FsdA==","password":"eA=="}),
    ]);
    let refused = import(&bench, "fusionauth.jsonl", fusionauth, "fusionauth");
    assert_eq!(refused[0]["username"], "erin@example.com");
    log_in(&bench, &[("dora@example.com", "U*U")]);
    let clerk = format!(
        "id,primary_email_address,password_digest,password_hasher,totp_secret\nu1,frank@example.com,{BCRYPT},bcrypt,\nu2,gina@example.com,{BCRYPT},bcrypt,JBSWY3DP\n"
    );
    let refused = import(&bench, "clerk.csv", clerk, "clerk");
    assert!(refused[0]["error"].as_str().unwrap().contains("second factor (`totp_secret`)"), "{refused:?}");
    log_in(&bench, &[("frank@example.com", "U*U")]);
}
