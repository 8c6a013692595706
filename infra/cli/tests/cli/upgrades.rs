//! Imports what `daypass user export` of earlier versions wrote. `tests/fixtures/README.md` describes how to add a
//! version.

use crate::bench::{Bench, PASSWORD, daypass};
use daypass_core::ports::store::UserStatus;
use std::fs;
use std::path::{Path, PathBuf};

/// This variable writes the folder of the current version, unless it exists.
const WRITE: &str = "DAYPASS_WRITE_FIXTURES";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// invariant: The current version reads what each earlier version wrote: tokens, sessions, users, attempts,
/// key sets, the feed, exports.
#[test]
fn what_an_earlier_version_exported_logs_in() {
    let present = fixtures().join(concat!("v", env!("CARGO_PKG_VERSION"), "/export"));
    assert!(present.is_dir(), "{} is missing: see tests/fixtures/README.md", present.display());
    for version in fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()) {
        if !version.is_dir() {
            continue;
        }
        let folder = version.join("export");
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let bench = Bench::new();
        // The hashes of that version name its peppers.
        let adopt = ["key", "adopt", bench.keys(), "--from", &file("keys.json"), "--out", "both.json"];
        daypass(bench.folder.path(), &adopt).ok();
        fs::rename(bench.folder.path().join("both.json"), &bench.keys).unwrap();

        let run = bench.daypass(&["user", "import", &file("users.jsonl"), "--json"]).run();
        assert_eq!(run.code, 0, "{}: {run:?}", version.display());
        let [alice, bob] = ["alice", "bob"].map(|name| bench.user(name).unwrap());
        assert!(
            bench.accepts(&alice, PASSWORD) && !bench.accepts(&alice, "another"),
            "{}",
            version.display()
        );
        assert_eq!((alice.status, bob.status), (UserStatus::Enabled, UserStatus::Disabled));
        let line = fs::read_to_string(file("users.jsonl")).unwrap();
        assert!(line.contains(&alice.id.to_string()), "the id is the one that was exported");
    }
}

/// Creates the folder of the current version. An existing folder is unchanged, because what a version wrote does not
/// change.
#[test]
fn write_the_export_of_the_present_version() {
    let folder = fixtures().join(concat!("v", env!("CARGO_PKG_VERSION"), "/export"));
    if std::env::var_os(WRITE).is_none() || folder.exists() {
        return;
    }
    fs::create_dir_all(&folder).unwrap();
    let bench = Bench::new();
    bench.add("alice");
    bench.add("bob");
    bench.daypass(&["user", "disable", "bob"]).ok();
    fs::copy(&bench.keys, folder.join("keys.json")).unwrap();
    let exported = bench.daypass(&["user", "export"]).run();
    assert_eq!(exported.code, 0, "{exported:?}");
    fs::write(folder.join("users.jsonl"), exported.out).unwrap();
}
