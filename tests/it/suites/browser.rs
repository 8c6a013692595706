//! The browser module and the demo page in Chromium, with the whole stack: function processes behind the local API Gateway,
//! over an embedded DynamoDB. The scenarios are in `tests/browser/*.mjs`. This module starts the stack.
//!
//! `cargo verify --only browser` runs it. The files of a run are in `target/browser`: profiles, screenshots, the library
//! that sets Chromium's clock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the helpers of a test fail as the test does, and it tells what it checks"
)]

use daypass_core::client::Origin;
use daypass_dev::{DEMO_PASSWORD, DEMO_USER, Runner, Settings, Stack};
use daypass_testkit::functions;
use daypass_tools::{free_port, node, target_dir, workspace_root};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// 2 s in place of 30 s. A retry of a lost response comes later than this, so that the attempt id must identify it, or the
/// session ends.
const GRACE_SECONDS: &str = "2";

#[test]
fn in_chromium() {
    let tool = "run `cargo verify --only browser`: it brings Playwright and finds Chromium";
    let [playwright, chromium] =
        ["DAYPASS_TEST_PLAYWRIGHT", "CHROMIUM"].map(|name| std::env::var_os(name).expect(tool));
    let folder = target_dir().join("browser");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();

    let clock = cfg!(target_os = "linux").then(|| clock(&folder));

    // The page of the scenarios, whose origin is registered. Foreign pages use other ports.
    let page = format!("http://localhost:{}", free_port().unwrap().port());
    // The API as that page sees it. DPoP proofs name this URL.
    let proxy = format!("http://localhost:{}", free_port().unwrap().port());
    let state = tempfile::tempdir().unwrap();
    let settings = Settings {
        page_port: Some(0),
        runner: Runner::Built(functions::built("browser")),
        origins: vec![Origin::parse(&page).unwrap()],
        ..Settings::new(state.path().to_path_buf())
            .variable("DAYPASS_GRACE_SECONDS", GRACE_SECONDS)
            .variable("DAYPASS_DPOP_ORIGINS", &proxy)
    };
    let stack = Stack::start(&settings).unwrap();
    let [demo, second] = stack.page_urls().unwrap();
    let https_state = tempfile::tempdir().unwrap();
    let https = Settings {
        page_port: Some(0),
        https: true,
        runner: Runner::Built(functions::built("browser")),
        ..Settings::new(https_state.path().to_path_buf())
    };
    let https = Stack::start(&https).unwrap();
    let [https_demo, https_second] = https.page_urls().unwrap();
    let scenarios = scenarios(&workspace_root().join("tests/browser"));

    let before = Instant::now();
    let mut node = node().unwrap();
    // One file after the other, so that the times of a scenario do not depend on the load of another.
    node.args(["--test", "--test-concurrency=1", "--test-reporter=spec"]).args(&scenarios);
    node.current_dir(workspace_root())
        .env("CHROMIUM", chromium)
        .env("DAYPASS_TEST_PLAYWRIGHT", playwright)
        .env("DAYPASS_TEST_FOLDER", &folder)
        .env("DAYPASS_TEST_API", demo.trim_end_matches('/'))
        .env("DAYPASS_TEST_SECOND", second.trim_end_matches('/'))
        .env("DAYPASS_TEST_HTTPS", https_demo.trim_end_matches('/'))
        .env("DAYPASS_TEST_HTTPS_SECOND", https_second.trim_end_matches('/'))
        .env("DAYPASS_TEST_AUTHORITY", https.authority().unwrap())
        .env("DAYPASS_TEST_PAGE", &page)
        .env("DAYPASS_TEST_PROXY", &proxy)
        .env("DAYPASS_TEST_DYNAMODB", stack.dynamodb_url())
        .env("DAYPASS_TEST_SESSIONS", &stack.variables()["DAYPASS_SESSIONS_TABLE"])
        .env("DAYPASS_TEST_SES", stack.ses_url())
        .env("DAYPASS_TEST_USERNAME", DEMO_USER)
        .env("DAYPASS_TEST_PASSWORD", DEMO_PASSWORD)
        .envs(clock.map(|library| ("DAYPASS_TEST_CLOCK_LIBRARY", library)));
    let mut child = node.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut counts = [("tests", None), ("pass", None)];
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        tell(&line);
        for (name, count) in &mut counts {
            if let Some(number) = line.strip_prefix(&format!("\u{2139} {name} ")) {
                *count = number.parse::<usize>().ok();
            }
        }
    }
    let status = child.wait().unwrap();
    tell(&format!("{} files of scenarios in {:.0} s", scenarios.len(), before.elapsed().as_secs_f64()));
    assert!(status.success(), "a scenario failed: see above");
    let [(_, tests), (_, passed)] = counts;
    assert!(tests > Some(scenarios.len()), "the scenarios did not run: {tests:?}");
    assert_eq!(tests, passed, "a scenario was left out");
}

/// Builds the library that sets Chromium's clock through the dynamic loader of Linux. On other systems, this scenario is
/// left out.
fn clock(folder: &Path) -> PathBuf {
    let library = folder.join("clock.so");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library);
    cc.arg(workspace_root().join("tests/browser/clock.c"));
    let status =
        cc.status().expect("`cc`, with which Rust links too, is needed for the scenario of the clock");
    assert!(status.success(), "clock.c was not compiled: see above");
    library
}

/// Prints at once what the run has covered. The test runner shows the output of `println!` only after a failure.
#[expect(clippy::explicit_write, reason = "the test runner keeps what `eprintln!` writes")]
fn tell(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}

/// The files with scenarios, without shared modules.
fn scenarios(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "mjs"))
        .filter(|path| path.file_name().is_some_and(|name| name != "harness.mjs" && name != "pages.mjs"))
        .map(|path| path.display().to_string())
        .collect();
    files.sort();
    files
}
