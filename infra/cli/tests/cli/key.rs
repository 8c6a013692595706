use crate::bench::daypass;
use daypass_core::keys::{Document, Peppers, RefreshKeys, SigningKeys};
use daypass_verifier::jose::jwk::Jwks;
use serde_json::Value;
use std::path::Path;

fn parse(json: &str) -> Document {
    Document::parse(json.as_bytes()).unwrap()
}

/// All secrets of a key set: the private halves and the symmetric keys.
fn secrets(json: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(json).unwrap();
    let entries = ["signing", "refresh", "peppers", "factors"]
        .into_iter()
        .filter_map(|section| document[section].as_array());
    let values = entries.flatten().flat_map(|entry| [&entry["private"], &entry["key"]]);
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn generate(folder: &Path, args: &[&str]) -> String {
    daypass(folder, &[&["key", "generate"], args].concat()).ok()
}

#[test]
fn a_new_key_set_serves_every_function() {
    let folder = tempfile::tempdir().unwrap();
    for (args, algorithm) in [
        (&[][..], "ES256"),
        (&["--algorithm", "ES256"], "ES256"),
        (&["--algorithm", "EdDSA"], "EdDSA"),
        (&["--algorithm", "RS256"], "RS256"),
    ] {
        let document = parse(&generate(folder.path(), args));
        assert_eq!(SigningKeys::from_document(&document).unwrap().algorithm().as_str(), algorithm);
        assert!(RefreshKeys::from_document(&document).is_ok() && Peppers::from_document(&document).is_ok());
    }
    assert_ne!(generate(folder.path(), &[]), generate(folder.path(), &[]));
    let json = generate(folder.path(), &["--json"]);
    assert_eq!(secrets(&json).len(), 4, "the document is JSON, for people and for scripts");
}

#[test]
fn a_section_stands_alone_and_sections_merge() {
    let folder = tempfile::tempdir().unwrap();
    for section in ["signing", "refresh", "peppers"] {
        generate(folder.path(), &["--section", section, "--out", section]);
        let document = parse(&std::fs::read_to_string(folder.path().join(section)).unwrap());
        assert_eq!(SigningKeys::from_document(&document).is_ok(), section == "signing");
        assert_eq!(RefreshKeys::from_document(&document).is_ok(), section == "refresh");
        assert_eq!(Peppers::from_document(&document).is_ok(), section == "peppers");
    }
    let merged = daypass(folder.path(), &["key", "show", "signing", "refresh", "peppers"]).json();
    let sections: Vec<_> = merged["keys"].as_array().unwrap().iter().map(|key| &key["section"]).collect();
    assert_eq!(sections, ["signing", "refresh", "peppers", "factors"]);
    let named =
        daypass(folder.path(), &["key", "show"]).env("DAYPASS_KEYS", " signing  refresh peppers ").json();
    assert_eq!(named, merged);

    daypass(folder.path(), &["key", "show", "peppers", "--jwks"])
        .fails("the key set has no signing key to publish", "section `signing`");
    daypass(folder.path(), &["key", "generate", "--section", "refresh", "--algorithm", "RS256"])
        .misused("--algorithm applies to the signing key, which the section refresh does not have");
    daypass(folder.path(), &["key", "generate", "--algorithm", "HS256"])
        .misused("[possible values: ES256, EdDSA, RS256]");
}

#[test]
fn a_file_is_new_and_only_mine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let out = generate(folder.path(), &["--out", "keys.json"]);
    assert!(
        out.starts_with("Wrote a new key set to keys.json, which only you can read.\nSECTION  KID"),
        "{out}"
    );
    let json = std::fs::read_to_string(&path).unwrap();
    assert!(SigningKeys::from_document(&parse(&json)).is_ok());
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    daypass(folder.path(), &["key", "generate", "--out", "keys.json"])
        .fails("keys.json already exists and is unchanged", "another file");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), json, "a key set is never overwritten");
    daypass(folder.path(), &["key", "generate", "--out", "nowhere/keys.json"])
        .fails("the folder of nowhere/keys.json does not exist", "create it first");

    let shown = daypass(folder.path(), &["key", "generate", "--out", "second.json"]).json();
    assert_eq!((&shown["file"], shown["keys"].as_array().unwrap().len()), (&"second.json".into(), 4));
    let second = std::fs::read_to_string(folder.path().join("second.json")).unwrap();
    for secret in secrets(&json).into_iter().chain(secrets(&second)) {
        assert!(!out.contains(&secret) && !shown.to_string().contains(&secret));
    }
}

#[test]
fn show_gives_no_secret_away() {
    let folder = tempfile::tempdir().unwrap();
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        generate(folder.path(), &["--algorithm", algorithm, "--out", algorithm]);
        let json = std::fs::read_to_string(folder.path().join(algorithm)).unwrap();
        let table = daypass(folder.path(), &["key", "show", algorithm]).ok();
        let document = daypass(folder.path(), &["key", "show", algorithm]).json();
        let jwks = daypass(folder.path(), &["key", "show", algorithm, "--jwks"]).ok();
        assert_eq!(daypass(folder.path(), &["key", "show", algorithm, "--jwks", "--json"]).ok(), jwks);

        let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["SECTION", "KID", "ALG", "STATUS", "CREATED"]);
        assert_eq!((lines[1][0], lines[1][2], lines[1][3]), ("signing", algorithm, "active"));
        assert_eq!((lines[2][0], lines[2][2]), ("refresh", "-"));
        assert_eq!(lines[3][0], "peppers");
        assert_eq!(document["keys"][0]["alg"], algorithm);
        assert_eq!(document["keys"][0]["kid"], lines[1][1]);

        assert_eq!(Jwks::parse(jwks.as_bytes()).unwrap(), parse(&json).jwks());
        assert_eq!(jwks.lines().count(), 1, "fits into a variable");

        let found = secrets(&json);
        assert_eq!(found.len(), 4);
        for secret in found {
            for text in [&table, &document.to_string(), &jwks] {
                assert!(!text.contains(&secret), "{text}");
            }
        }
    }
}

#[test]
fn sources_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let show = |source: &str| daypass(folder.path(), &["key", "show", source]);
    daypass(folder.path(), &["key", "show"])
        .fails("no key set is named", "daypass key generate --out keys.json");
    daypass(folder.path(), &["key", "show"])
        .env("DAYPASS_KEYS", " ")
        .fails("no key set is named", "DAYPASS_KEYS");
    show("no keys.json").fails(
        "the key file no keys.json cannot be read: No such file or directory (os error 2)",
        "daypass key generate --out 'no keys.json'",
    );
    let secret = "hunter2-hunter2-hunter2";
    for (text, problem) in [
        (format!(r#""{secret}""#), "the key set is not a JSON object; make one with `daypass key generate`"),
        (
            format!(r#"{{"a":"{secret}"}}"#),
            "the key set has no `version`; make one with `daypass key generate`",
        ),
        (format!(r#"{{"version":1,"signing":"{secret}"}}"#), "the key set is malformed (invalid type)"),
    ] {
        std::fs::write(folder.path().join("bad.json"), text).unwrap();
        show("bad.json").fails(&format!("bad.json: {problem}"), "daypass key generate");
    }
    // No server answers there, and the metadata service is off.
    let run = show("arn:aws:secretsmanager:eu-west-1:123456789012:secret:daypass-AbCdEf").run();
    assert_eq!((run.code, run.out.as_str()), (1, ""), "{run:?}");
    assert!(
        run.err.starts_with("error: Secrets Manager did not give arn:aws:secretsmanager:eu-west-1:"),
        "{run:?}"
    );
    assert!(
        run.err.contains("\nhint: try again; if it fails again, check the network, AWS_PROFILE"),
        "{run:?}"
    );
    assert!(run.err.lines().all(|line| line.len() < 300), "not the pages that the SDK writes: {run:?}");
}
