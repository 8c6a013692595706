//! Password libraries of other projects, whose hashes are imported, and a passkey authenticator of another project. Verifiers and OAuth clients with the whole stack: function processes behind the local API Gateway with
//! HTTPS as in `cargo dev --https`, and an embedded DynamoDB. The programs are in `tests/interop`. They use the published libraries, without
//! options that make one less strict.
//!
//! `cargo verify --only interop` runs it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

mod bound;
mod hashes;
mod machines;
mod migration;
mod oauth2_client;
mod passkeys;
mod programs;
mod resource_servers;
mod tokens;

use daypass_dev::{AUDIENCE, DEMO_PASSWORD, DEMO_SCOPE, DEMO_USER, Runner, Settings, Stack};
use daypass_testkit::depth::is_full;
use daypass_testkit::functions;
use daypass_tools::workspace_root;
use daypass_verifier::jose::jwk::Algorithm;
use programs::{CLIENT, MACHINES, PROGRAMS, Program};
use serde_json::{Value, json};
use std::io::Write;
use std::time::Instant;
use tokens::Refused;

/// The only registered client.
const CLIENT_ID: &str = "interop";

/// invariant: JWT libraries of others accept valid tokens and reject invalid ones, and OAuth clients of
/// others refresh, revoke, introspect, and get tokens of machine clients.
#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_others() {
    let [programs, machines] = [PROGRAMS, MACHINES]
        .map(|sources| sources.iter().map(programs::Source::find).collect::<Vec<Program>>());
    for algorithm in [Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa] {
        let before = Instant::now();
        let whole = Whole::start(algorithm).await;
        tell(&format!("{algorithm}: a stack in {:.1} s", before.elapsed().as_secs_f64()));
        for program in programs.iter().filter(|program| program.supports(algorithm)) {
            let before = Instant::now();
            let covered = program.run(&whole.case().await, &whole.stack).await;
            assert_eq!(covered.cases, program.cases(), "{} left out a case", covered.library);
            tell(&format!("{covered} ({:.1} s)", before.elapsed().as_secs_f64()));
        }
        let covered = oauth2_client::run(&whole.case().await, whole.stack.plain_url()).await;
        assert_eq!(covered.cases, CLIENT);
        tell(&covered.to_string());
        // The clients' keys are of the same algorithm. It takes seconds until the functions know the clients.
        if algorithm != Algorithm::EdDsa && !is_full() {
            continue;
        }
        let case = machines::case(&whole).await;
        for program in &machines {
            let covered = program.run(&case, &whole.stack).await;
            assert_eq!(covered.cases, program.cases(), "{} left out a case", covered.library);
            tell(&covered.to_string());
        }
        tell(&machines::oauth2_client(&case, whole.stack.plain_url()).await.to_string());
    }
}

/// Every line of the programs in the guide is in the tested programs.
///
/// invariant: The documented programs for other verifiers are those that the interop suite runs.
#[test]
fn the_guide_shows_what_is_tested() {
    let read = |path: &str| std::fs::read_to_string(workspace_root().join(path)).unwrap();
    let guide = read("docs/guides/other-verifiers.md");
    let snippets: Vec<(&str, &str)> = guide
        .split("\n```")
        .filter_map(|block| block.split_once('\n'))
        .filter(|(language, _)| ["js", "java"].contains(language))
        .collect();
    let programs = ["node/jose.mjs", "node/aws-jwt-verify.mjs", "java/SpringSecurity.java"];
    assert_eq!(snippets.len(), programs.len());
    for ((_, snippet), program) in snippets.into_iter().zip(programs) {
        let source = read(&format!("tests/interop/{program}"));
        for line in snippet.lines().map(str::trim) {
            // The program gets these values from its case.
            let value = ["issuer = ", "audience = ", "algorithms = ", "algorithm = "]
                .iter()
                .any(|name| line.split_once(name).is_some_and(|(kind, _)| kind.split(' ').count() == 2));
            assert!(value || source.contains(line), "{program} does not say: {line}");
        }
    }
}

/// The stack for one algorithm.
struct Whole {
    stack: Stack,
    algorithm: Algorithm,
    http: reqwest::Client,
    folder: tempfile::TempDir,
}

impl Whole {
    async fn start(algorithm: Algorithm) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            algorithm: Some(algorithm),
            https: true,
            runner: Runner::Built(functions::built("interop")),
            ..Settings::new(folder.path().join("stack"))
                .variable("DAYPASS_CLIENTS", &json!([{ "client_id": CLIENT_ID }]).to_string())
                // The functions learn of machine clients within this time.
                .variable("DAYPASS_KEYS_MAX_AGE_SECONDS", "5")
        };
        let stack = tokio::task::spawn_blocking(move || Stack::start(&settings)).await.unwrap().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { stack, algorithm, http, folder }
    }

    /// The input of a program: a login for this program alone, and tokens that it must reject.
    async fn case(&self) -> Value {
        let login = self.login().await;
        let text = |member: &str| login[member].as_str().unwrap().to_owned();
        let good = text("access_token");
        let refused = Refused { good: &good, keys: self.stack.keys(), algorithm: self.algorithm }.all();
        json!({
            "issuer": self.stack.url(),
            "audience": AUDIENCE,
            "algorithm": self.algorithm,
            "good": good,
            "subject": tokens::claims(&good)["sub"],
            "scope": DEMO_SCOPE,
            "refused": refused,
            "client_id": CLIENT_ID,
            "refresh_token": text("refresh_token"),
            "narrower_scope": DEMO_SCOPE.split(' ').next().unwrap(),
            "wider_scope": format!("{DEMO_SCOPE} everything"),
        })
    }

    async fn login(&self) -> Value {
        let body = json!({ "username": DEMO_USER, "password": DEMO_PASSWORD, "client_id": CLIENT_ID });
        let sent =
            self.http.post(format!("{}/login", self.stack.plain_url())).json(&body).send().await.unwrap();
        assert_eq!(sent.status(), 200);
        sent.json().await.unwrap()
    }
}

/// Prints at once what the run has covered. The test runner shows the output of `println!` only after a failure.
fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}
