//! The browser module and the demo page in Chromium, with the whole stack: function processes behind the local API Gateway,
//! over an embedded DynamoDB. The scenarios are in the folders of `tests/browser`. Each folder is a
//! test with its own stacks, because scenarios change the demo user, and the tests run in parallel.
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
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// 2 s in place of 30 s. A retry of a lost response comes later than this, so that the attempt id must identify it, or the
/// session ends.
const GRACE_SECONDS: &str = "2";

/// The module `@daypass/browser`, in pages of the tests.
#[test]
fn the_module_in_chromium() {
    let folder = empty_folder("module");
    let clock = cfg!(target_os = "linux").then(|| clock(&folder));
    // The page of the scenarios, whose origin is registered. Foreign pages use other ports.
    let page = format!("http://localhost:{}", free_port().unwrap().port());
    // The API as that page sees it. DPoP proofs name this URL.
    let proxy = format!("http://localhost:{}", free_port().unwrap().port());
    let state = tempfile::tempdir().unwrap();
    let settings = Settings {
        origins: vec![Origin::parse(&page).unwrap()],
        ..settings(&state).variable("DAYPASS_DPOP_ORIGINS", &proxy)
    };
    let stack = Stack::start(&settings).unwrap();
    let mut node = scenarios(&folder, &stack);
    node.env("DAYPASS_TEST_PAGE", &page)
        .env("DAYPASS_TEST_PROXY", &proxy)
        .envs(clock.map(|library| ("DAYPASS_TEST_CLOCK_LIBRARY", library)));
    play(node);
}

/// The demo page, over HTTP and over HTTPS.
#[test]
fn the_demo_page_in_chromium() {
    let folder = empty_folder("demo");
    let (state, https_state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stack = Stack::start(&settings(&state)).unwrap();
    let https = Stack::start(&Settings { https: true, ..settings(&https_state) }).unwrap();
    let [https_demo, https_second] = https.page_urls().unwrap();
    let mut node = scenarios(&folder, &stack);
    node.env("DAYPASS_TEST_HTTPS", https_demo.trim_end_matches('/'))
        .env("DAYPASS_TEST_HTTPS_SECOND", https_second.trim_end_matches('/'))
        .env("DAYPASS_TEST_AUTHORITY", https.authority().unwrap());
    play(node);
}

/// The folder for the files of a run.
fn empty_folder(name: &str) -> PathBuf {
    let folder = target_dir().join("browser").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn settings(state: &TempDir) -> Settings {
    Settings {
        page_port: Some(0),
        runner: Runner::Built(functions::built("browser")),
        ..Settings::new(state.path().to_path_buf()).variable("DAYPASS_GRACE_SECONDS", GRACE_SECONDS)
    }
}

/// The command that plays the scenarios of the folder in `tests/browser` with the name of `folder`.
fn scenarios(folder: &Path, stack: &Stack) -> Command {
    let tool = "run `cargo verify --only browser`: it brings Playwright and finds Chromium";
    let [playwright, browser, chromium] = ["DAYPASS_TEST_PLAYWRIGHT", "DAYPASS_TEST_BROWSER", "CHROMIUM"]
        .map(|name| std::env::var_os(name).expect(tool));
    let [demo, second] = stack.page_urls().unwrap();
    let sources = workspace_root().join("tests/browser").join(folder.file_name().unwrap());
    let mut files: Vec<_> = fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut node = node().unwrap();
    // One file after the other, since all have one demo user.
    node.args(["--test", "--test-concurrency=1", "--test-reporter=spec"]).args(files);
    node.current_dir(workspace_root())
        .env("CHROMIUM", chromium)
        .env("DAYPASS_TEST_BROWSER", browser)
        .env("DAYPASS_TEST_PLAYWRIGHT", playwright)
        .env("DAYPASS_TEST_FOLDER", folder)
        .env("DAYPASS_TEST_API", demo.trim_end_matches('/'))
        .env("DAYPASS_TEST_SECOND", second.trim_end_matches('/'))
        .env("DAYPASS_TEST_DYNAMODB", stack.dynamodb_url())
        .env("DAYPASS_TEST_SESSIONS", &stack.variables()["DAYPASS_SESSIONS_TABLE"])
        .env("DAYPASS_TEST_SES", stack.ses_url())
        .env("DAYPASS_TEST_USERNAME", DEMO_USER)
        .env("DAYPASS_TEST_PASSWORD", DEMO_PASSWORD);
    node
}

/// Plays the scenarios, and requires that each one passes.
fn play(mut node: Command) {
    let is_file = |argument: &&OsStr| Path::new(argument).extension().is_some_and(|kind| kind == "mjs");
    let files = node.get_args().filter(is_file).count();
    let before = Instant::now();
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
    tell(&format!("{files} files of scenarios in {:.0} s", before.elapsed().as_secs_f64()));
    assert!(status.success(), "a scenario failed: see above");
    let [(_, tests), (_, passed)] = counts;
    // Node.js counts a file without tests as one.
    assert!(files > 0 && tests > Some(files), "the scenarios did not run: {tests:?}");
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
