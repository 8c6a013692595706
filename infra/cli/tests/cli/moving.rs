//! Import and export of users.

use crate::bench::{Bench, PASSWORD, Run};
use daypass_core::ports::store::UserStatus;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

/// Django's tests/auth_tests/test_hashers.py: "lètmein".
const DJANGO: &str = "pbkdf2_sha1$390000$seasalt2$aDapRanzW8aHTz97v2TcfHzWD+I=";
/// OpenBSD's and PHP's form, from crypt_blowfish's wrapper.c: "U*U".
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

impl Bench {
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    pub(crate) fn import(&self, args: &[&str]) -> Run {
        self.daypass(&[&["user", "import"], args].concat()).run()
    }

    /// Summary of an import that rejects `refused` lines.
    pub(crate) fn imported(&self, args: &[&str], refused: u64) -> Value {
        let run = self.import(&[args, &["--json"]].concat());
        assert_eq!(run.code, i32::from(refused > 0), "{run:?}");
        let summary: Value =
            serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"));
        assert_eq!(summary["refused"], refused, "{run:?}");
        summary
    }
}

fn counts(summary: &Value) -> [u64; 3] {
    ["users", "changed", "unchanged"].map(|name| summary[name].as_u64().unwrap())
}

#[test]
fn users_come_with_their_hashes_and_a_second_time_nothing_changes() {
    let bench = Bench::new();
    let file = bench.write(
        "users.jsonl",
        &[
            json!({ "username": "Alice@Example.com", "password_hash": DJANGO, "scope": "a b" }),
            json!({ "username": "bob", "password_hash": BCRYPT, "status": "disabled", "created_at": 1_700_000_000.25 }),
            json!({ "username": "carol", "password_hash": BCRYPT, "user_id": format!("usr_{}", "ab".repeat(16)), "password_version": 7 }),
        ]
        .map(|line| format!("{line}\n"))
        .concat(),
    );
    let summary = bench.imported(&[&file, "--dry-run"], 0);
    assert_eq!((&summary["result"], counts(&summary)), (&"would_import".into(), [3, 3, 0]));
    assert_eq!(bench.user("bob"), None);

    let summary = bench.imported(&[&file, "--scope", "c"], 0);
    assert_eq!((&summary["result"], counts(&summary)), (&"imported".into(), [3, 3, 0]));
    assert_eq!(summary["kinds"], json!({ "bcrypt,c=5": 2, "pbkdf2-sha1,i=390000,b=1": 1 }));
    assert_eq!(summary["imported_hashes"], "bcrypt,c=5 pbkdf2-sha1,i=390000,b=1");
    let [alice, bob, carol] = ["alice@example.com", "bob", "carol"].map(|name| bench.user(name).unwrap());
    assert!(bench.accepts(&alice, "lètmein") && bench.accepts(&bob, "U*U") && !bench.accepts(&bob, "U*V"));
    assert_eq!((alice.scope.to_string(), bob.scope.to_string()), ("a b".to_owned(), "c".to_owned()));
    assert_eq!((bob.status, bob.created_at.millis()), (UserStatus::Disabled, 1_700_000_000_250));
    assert_eq!((carol.id.to_string(), carol.password_version), (format!("usr_{}", "ab".repeat(16)), 7));

    assert_eq!(counts(&bench.imported(&[&file, "--scope", "c"], 0)), [3, 0, 3]);
    // Users with a new hash or status stay unchanged.
    bench.daypass(&["user", "set-password", "carol", "--password-stdin"]).stdin(PASSWORD).ok();
    bench.daypass(&["user", "enable", "bob"]).ok();
    let (bob, carol) = (bench.user("bob"), bench.user("carol"));
    assert_eq!(counts(&bench.imported(&[&file, "--scope", "c"], 0)), [3, 0, 3]);
    assert_eq!((bench.user("bob"), bench.user("carol")), (bob, carol));
    assert_eq!(counts(&bench.imported(&[&file, "--scope", "c", "--dry-run"], 0)), [3, 0, 3]);
}

#[test]
fn a_name_that_is_taken_is_told_and_left() {
    let bench = Bench::new();
    let before = bench.add("alice");
    let file = bench.write(
        "users.jsonl",
        &format!(
            "{}\n{}\n{}\n",
            json!({ "username": "ALICE", "password_hash": BCRYPT }),
            json!({ "username": "bob", "password_hash": BCRYPT }),
            json!({ "username": "bob", "password_hash": DJANGO }),
        ),
    );
    for _ in 0..2 {
        bench.imported(&[&file, "--errors", "errors.jsonl"], 2);
        let errors = bench.read("errors.jsonl");
        let errors: Vec<Value> = errors.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut lines: Vec<_> =
            errors.iter().map(|error| (error["line"].as_u64(), error["username"].as_str())).collect();
        lines.sort_unstable();
        assert_eq!(lines, [(Some(1), Some("alice")), (Some(3), Some("bob"))]);
        assert!(
            errors
                .iter()
                .all(|error| error["error"].as_str().unwrap().contains("another user has this name"))
        );
        assert_eq!(bench.user("alice"), Some(before.clone()));
        // Of two lines of one name, the first counts, with any concurrency.
        assert!(bench.accepts(&bench.user("bob").unwrap(), "U*U"));
    }
    let mode = std::fs::metadata(bench.folder.path().join("errors.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn each_bad_line_says_what_is_wrong_and_the_others_go_in() {
    let bench = Bench::new();
    let good = json!({ "username": "good", "password_hash": BCRYPT });
    let with = |member: &str, value: Value| {
        let mut line = json!({ "username": format!("bad.{member}"), "password_hash": BCRYPT });
        line[member] = value;
        line.to_string()
    };
    let bad = [
        ("no JSON".to_owned(), "not a JSON object"),
        ("[]".to_owned(), "not a JSON object"),
        (r#"{"username":"a","username":"b"}"#.to_owned(), "not a JSON object"),
        (json!({ "password_hash": BCRYPT }).to_string(), "`username` is missing"),
        (json!({ "username": "bad" }).to_string(), "no password"),
        (with("username", json!(7)), "`username` is not a string"),
        (with("username", json!("a b")), "RFC 8265"),
        (with("username", json!("p\u{430}ypal")), "several scripts"),
        (with("password_hash", json!("")), "no password"),
        (with("password_hash", json!("!unusable")), "no password"),
        (with("password_hash", json!("secret")), "no known form"),
        (
            with("password_hash", json!("$2b$20$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")),
            "ms of a processor",
        ),
        (
            with(
                "password_hash",
                json!("$argon2id$v=19$m=1048576,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg"),
            ),
            "of memory",
        ),
        (
            with(
                "password_hash",
                json!(
                    "$bcrypt-pepper$k=01020304$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
                ),
            ),
            "which the key set lacks",
        ),
        (with("passwordhash", json!(BCRYPT)), "not a member of a user"),
        (with("user_id", json!("42")), "usr_"),
        (with("scope", json!("a  b")), "`scope`"),
        (with("scope", json!(["a"])), "`scope` is not a string"),
        (with("email", json!("good")), "`email`: an e-mail address has exactly one @"),
        (with("email_verified", json!(true)), "`email` is missing"),
        (with("email_undeliverable", json!("lost")), "neither bounced nor complained"),
        (with("claims", json!([])), "`claims` is not an object"),
        (with("claims", json!({ "sub": "x" })), "`claims`: the name \"sub\" is reserved"),
        (with("claims", json!({ "a": "x".repeat(600) })), "`claims`: the claims have 608 bytes"),
        (with("scope", json!("a daypass:account")), "`scope` has a word that begins with daypass:"),
        (with("status", json!("gone")), "enabled nor disabled"),
        (with("password_version", json!(0)), "`password_version`"),
        (with("created_at", json!("yesterday")), "`created_at` is not a number"),
        (with("created_at", json!(-1)), "`created_at` is not a time"),
        (with("created_at", json!(99_999_999_999_u64)), "in the future"),
        ("x".repeat(70_000), "longer than 64 KB"),
    ];
    // The first line is a user's: it tells that the file has JSON lines.
    let text: String = bad.iter().map(|(line, _)| format!("\n{line}\n{good}\n")).collect();
    let text = format!("{good}\n{text}");
    let file = bench.write("users.jsonl", &text);
    let refused = bad.len() as u64;
    let summary = bench.imported(&[&file, "--errors", "errors.jsonl"], refused);
    assert_eq!(counts(&summary), [2 * refused + 1, 1, refused]);
    let errors = bench.read("errors.jsonl");
    assert!(!errors.contains("CCCCC"), "no hash is told: {errors}");
    for ((line, why), error) in bad.iter().zip(errors.lines()) {
        let error: Value = serde_json::from_str(error).unwrap();
        assert!(error["error"].as_str().unwrap().contains(why), "{why}: {error} {line}");
        let name = serde_json::from_str::<Value>(line)
            .ok()
            .and_then(|line| line["username"].as_str().map(str::to_owned));
        let is_object = !error["error"].as_str().unwrap().contains("not a JSON object");
        assert_eq!(error["username"].as_str(), name.as_deref().filter(|_| is_object), "{error}");
    }
    // Without a file, ten are printed and all are counted.
    let run = bench.import(&[&file]);
    assert_eq!(run.err.matches("note: line ").count(), 10, "{}", run.err);
    assert!(
        run.err.contains(&format!("error: {refused} of {} users were rejected", 2 * refused + 1)),
        "{}",
        run.err
    );
    assert!(
        run.out.starts_with(&format!(
            "{} users: 0 added, {} unchanged, {refused} rejected",
            2 * refused + 1,
            refused + 1
        )),
        "{}",
        run.out
    );
}

#[test]
fn inputs_that_cannot_be_read() {
    let bench = Bench::new();
    let missing = bench.import(&["nowhere.jsonl"]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("nowhere.jsonl cannot be read"), "{missing:?}");
    let folder = bench.import(&["."]);
    assert!(folder.code == 1 && folder.err.contains(". is a folder"), "{folder:?}");
    let nothing = bench.write("nothing.csv", "");
    assert_eq!(counts(&bench.imported(&[&nothing], 0)), [0, 0, 0]);
    let file = bench.write("users.csv", "username,password_hash\n");
    bench.daypass(&["user", "import", &file, "--system", "firebase"]).misused("signer key");
    let run = bench.import(&[&file, "--errors", "no/such/folder/errors"]);
    assert!(run.code == 1 && run.err.contains("cannot be written"), "{run:?}");
    // A missing store stops the run, and the error names the line to continue with.
    let users =
        bench.write("users.jsonl", &format!("\n{}\n", json!({ "username": "a", "password_hash": BCRYPT })));
    let run = bench.daypass(&["user", "import", &users, "--users-table", "elsewhere"]).run();
    assert!(run.code == 1 && run.err.contains("--from-line 2"), "{run:?}");
}

#[test]
fn csv_and_standard_input_and_a_line_to_go_on_at() {
    let bench = Bench::new();
    let text = format!("username,password_hash,scope\r\na,{BCRYPT},x y\r\nb,{BCRYPT},\n\"c,d\",{DJANGO},z\n");
    let run = bench
        .daypass(&["user", "import", "-", "--format", "csv", "--from-line", "3", "--json"])
        .stdin(&text)
        .run();
    let summary: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(counts(&summary), [2, 2, 0], "{run:?}");
    assert_eq!((bench.user("a"), bench.user("b").unwrap().scope.is_empty()), (None, true));
    assert!(bench.accepts(&bench.user("c,d").unwrap(), "lètmein"));
    let file = bench.write("USERS.CSV", &text);
    assert_eq!(counts(&bench.imported(&[&file], 0)), [3, 1, 2]);
    assert_eq!(bench.user("a").unwrap().scope.to_string(), "x y");
}

/// Imports the examples of docs/guides/user-import.md.
///
/// invariant: Each example of the import guide can be imported, and its users can log in.
#[test]
fn every_system_of_the_documentation_moves_in() {
    let document = include_str!("../../../../docs/guides/user-import.md");
    let mut systems = 0;
    for section in document.split("\n### ").skip(1) {
        let (title, rest) = section.split_once('\n').unwrap();
        let Some((_, example)) = rest.split_once("<!-- example: ") else { continue };
        systems += 1;
        let (facts, example) = example.split_once(" -->").unwrap();
        let facts: Value = serde_json::from_str(facts).unwrap();
        let lines = example.split("```").nth(1).unwrap().split_once('\n').unwrap().1;
        let bench = Bench::new();
        let file = bench.write(facts["file"].as_str().unwrap(), lines);
        let mut args: Vec<String> = vec![file];
        args.extend(facts["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap().to_owned()));
        let mut keys = bench.keys.clone();
        if let Some(secret) = facts["adopt"].as_str() {
            let base64: &[&str] = if facts["base64"] == true { &["--base64"] } else { &[] };
            let adopt = [&["key", "adopt", bench.keys(), "--out", "adopted.json"], base64].concat();
            let mut daypass = crate::bench::daypass(bench.folder.path(), &adopt).stdin(secret);
            daypass.command.arg("--json");
            let adopted: Value = serde_json::from_str(&daypass.run().out).unwrap();
            let kid = adopted["adopted"][0].as_str().unwrap().to_owned();
            keys = bench.folder.path().join("adopted.json");
            for arg in &mut args {
                *arg = arg.replace("KID", &kid);
            }
        }
        let args: Vec<&str> = ["user", "import"].into_iter().chain(args.iter().map(String::as_str)).collect();
        let run = bench.daypass(&args).env("DAYPASS_KEYS", &keys).run();
        assert_eq!(run.code, 0, "{title}: {run:?}");
        if keys != bench.keys {
            std::fs::copy(&keys, &bench.keys).unwrap();
        }
        for (name, password) in facts["users"].as_object().unwrap() {
            let user = bench.user(name).unwrap_or_else(|| panic!("{title}: {name}"));
            assert!(bench.accepts(&user, password.as_str().unwrap()), "{title}: {name}");
            assert!(!bench.accepts(&user, "another password"), "{title}: {name}");
        }
    }
    assert_eq!(systems, 9, "the systems of the documentation");
}

/// invariant: An exported user can log in where the export is imported.
#[test]
fn what_is_exported_here_logs_in_elsewhere() {
    let here = Bench::new();
    let alice = here.add("alice");
    let file = here.write(
        "users.jsonl",
        &format!(
            "{}\n{}\n",
            json!({ "username": "bob", "password_hash": BCRYPT, "scope": "a b", "status": "disabled" }),
            json!({
                "username": "carol", "password_hash": DJANGO, "email": "Carol@Example.com", "email_verified": true,
                "email_undeliverable": "bounced", "claims": { "tenant": "acme", "roles": ["a"] },
            }),
        ),
    );
    here.imported(&[&file], 0);
    let email = here.user("carol").unwrap().email.unwrap();
    assert_eq!((email.address.as_str(), email.verified), ("carol@example.com", true));
    let run = here.daypass(&["user", "export", "--out", "out.jsonl"]).run();
    assert_eq!((run.code, run.out.as_str()), (0, ""), "{run:?}");
    assert!(run.err.contains("note: exported 3 users") && run.err.contains("need the peppers"), "{run:?}");
    assert!(!run.err.contains("WARNING"), "{run:?}");
    let mode = std::fs::metadata(here.folder.path().join("out.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let exported = here.read("out.jsonl");
    assert!(exported.lines().count() == 3 && !exported.contains(PASSWORD));
    here.daypass(&["user", "export", "--out", "out.jsonl"])
        .fails(&format!("{} already exists and is unchanged", "out.jsonl"), "another file");
    // The export can be imported unchanged.
    assert_eq!(counts(&here.imported(&["out.jsonl"], 0)), [3, 0, 3]);
    let piped = here.daypass(&["user", "export"]).run();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&piped.out), sorted(&exported));

    let there = Bench::new();
    let out = here.folder.path().join("out.jsonl");
    let out = out.to_str().unwrap();
    // Without the user whose pepper is missing, who could not log in.
    there.imported(&[out], 1);
    assert_eq!(there.user("alice"), None);
    let adopt = ["key", "adopt", there.keys(), "--from", here.keys(), "--out", "both.json"];
    crate::bench::daypass(there.folder.path(), &adopt).ok();
    std::fs::rename(there.folder.path().join("both.json"), &there.keys).unwrap();
    assert_eq!(counts(&there.imported(&[out], 0)), [3, 1, 2]);
    assert_eq!(there.user("alice"), Some(alice.clone()));
    assert!(there.accepts(&alice, PASSWORD));
    for (name, password) in [("bob", "U*U"), ("carol", "lètmein")] {
        assert_eq!(there.user(name), here.user(name));
        assert!(there.accepts(&there.user(name).unwrap(), password));
    }

    // Export warns about a key set without the pepper.
    crate::bench::daypass(here.folder.path(), &["key", "generate", "--out", "other.json"]).run();
    let run =
        here.daypass(&["user", "export"]).env("DAYPASS_KEYS", here.folder.path().join("other.json")).run();
    assert!(
        run.code == 0 && run.err.contains("WARNING: the key set of DAYPASS_KEYS lacks the pepper"),
        "{run:?}"
    );
}

#[test]
fn a_list_disables_everybody_on_it_and_says_who_is_not_there() {
    let bench = Bench::new();
    let lines: String = (0..40)
        .map(|n| format!("{}\n", json!({ "username": format!("u{n}"), "password_hash": BCRYPT })))
        .collect();
    bench.imported(&[&bench.write("users.jsonl", &lines)], 0);
    let names = bench.write("names", &(0..30).map(|n| format!("U{n}\n")).collect::<String>());
    for _ in 0..2 {
        let summary = bench.daypass(&["user", "disable", "--from", &names]).json();
        assert_eq!((&summary["result"], counts(&summary)), (&"disabled".into(), [30, 30, 0]));
    }
    assert_eq!(bench.user("u29").unwrap().status, UserStatus::Disabled);
    assert_eq!(bench.user("u30").unwrap().status, UserStatus::Enabled);
    let run = bench.daypass(&["user", "disable", "--from", "-"]).stdin("u30\nunknown\na b\n").run();
    assert_eq!(run.code, 1);
    assert!(run.out.starts_with("Disabled 1 of 3 users"), "{run:?}");
    assert!(
        run.err.contains("line 2 (unknown): there is no such user")
            && run.err.contains("line 3: a user name has"),
        "{run:?}"
    );
    assert_eq!(bench.user("u30").unwrap().status, UserStatus::Disabled);
    bench.daypass(&["user", "disable"]).misused("required");
    bench.daypass(&["user", "disable", "u1", "--from", "x"]).misused("cannot be used with");
}

#[test]
fn filters_read_the_whole_table_and_say_so() {
    let bench = Bench::new();
    let lines: String = (0..60)
        .map(|n| json!({ "username": format!("u{n}"), "password_hash": BCRYPT, "created_at": 1_700_000_000 + n * 86_400 }))
        .map(|line| format!("{line}\n"))
        .collect();
    bench.imported(&[&bench.write("users.jsonl", &lines)], 0);
    bench.add("ours");
    bench.daypass(&["user", "disable", "u7"]).ok();
    let list = |args: &[&str]| {
        let run = bench.daypass(&[&["user", "list", "--scan", "--json"], args].concat()).run();
        let page: Value = serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"));
        let mut names: Vec<String> = page["users"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(list(&[]).len(), 61);
    assert_eq!(list(&["--segments", "1"]).len(), 61);
    assert_eq!(list(&["--status", "disabled"]), ["u7"]);
    assert_eq!(list(&["--hash", "ours"]), ["ours"]);
    assert_eq!(list(&["--hash", "imported"]).len(), 60);
    assert_eq!(list(&["--hash", "bcrypt", "--name-prefix", "u1", "--status", "enabled"]).len(), 11);
    // 1,700,000,000 is 2023-11-14T22:13:20Z.
    assert_eq!(list(&["--created-from", "2023-11-15", "--created-before", "2023-11-17"]), ["u1", "u2"]);
    assert_eq!(list(&["--status", "disabled", "--hash", "ours"]), [""; 0]);
    let run = bench.daypass(&["user", "list", "--status", "disabled"]).run();
    assert!(run.code == 2 && run.err.contains("--scan"), "{run:?}");
    let run = bench.daypass(&["user", "list", "--scan", "--status", "disabled"]).run();
    assert_eq!(run.err, "note: 1 of 61 users\n");
    assert!(run.out.starts_with("usr_") && run.out.ends_with("Z  u7\n"), "{run:?}");
}

#[test]
fn calibrate_measures_and_recommends_without_a_store() {
    let bench = Bench::new();
    let run =
        crate::bench::daypass(bench.folder.path(), &["user", "calibrate", "--json", "--target-ms", "1000"])
            .env("DAYPASS_IMPORTED_HASHES", "bcrypt,c=5")
            .run();
    let report: Value = serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    assert!(report["measured"].as_array().unwrap().len() >= 7);
    assert_eq!(report["imported"][0]["hash"], "bcrypt,c=5");
    assert!(
        report["measured"]
            .as_array()
            .unwrap()
            .iter()
            .all(|hash| hash["milliseconds"].as_f64().unwrap() > 1.0)
    );
    assert!(report["recommended"].as_str().unwrap().starts_with("m="));
    let bad = crate::bench::daypass(bench.folder.path(), &["user", "calibrate"])
        .env("DAYPASS_ARGON2", "m=1,t=1")
        .run();
    assert!(bad.code == 1 && bad.err.contains("DAYPASS_ARGON2"), "{bad:?}");
}

#[test]
fn the_secret_of_another_system_is_adopted() {
    let bench = Bench::new();
    let adopt = |args: &[&str], secret: &str| {
        crate::bench::daypass(bench.folder.path(), &[&["key", "adopt", "keys.json"], args].concat())
            .stdin(secret)
    };
    let out = adopt(&["--out", "more.json"], "a pepper of Devise").ok();
    assert!(out.starts_with("Wrote more.json with the adopted peppers ") && !out.contains("Devise"), "{out}");
    let shown = crate::bench::daypass(bench.folder.path(), &["key", "show", "more.json"]).json();
    let retired: Vec<_> =
        shown["keys"].as_array().unwrap().iter().filter(|key| key["status"] == "retired").collect();
    assert_eq!((retired.len(), &retired[0]["section"]), (1, &"peppers".into()));
    let same = adopt(&["--from", "keys.json", "--out", "same.json"], "").json();
    assert_eq!(same["adopted"], json!([]));
    adopt(&["--out", "more.json"], "x").fails("more.json already exists and is unchanged", "another file");
    adopt(&["--out", "empty.json"], "").fails("the secret is empty or longer than 256 bytes", "pipe");
    adopt(&["--out", "long.json"], &"x".repeat(257))
        .fails("the secret is empty or longer than 256 bytes", "pipe");
    adopt(&["--out", "odd.json", "--base64"], "?").fails("standard input is not base64", "padding");
    assert!(!bench.folder.path().join("odd.json").exists());
}
