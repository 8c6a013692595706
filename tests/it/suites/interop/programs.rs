//! The programs in `tests/interop`: their commands, input and output.

use daypass_dev::Stack;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use daypass_tools::workspace_root;
use daypass_verifier::jose::jwk::Algorithm;

/// The cases of every verifier, in this order: one valid token, and each way in which a token is invalid.
const VERIFIER: &[&str] = &[
    "good",
    "expired",
    "another_audience",
    "another_issuer",
    "another_type",
    "changed_claims",
    "changed_signature",
    "another_key",
    "unsigned",
    "unsigned_with_a_signature",
    "hmac_with_the_public_key",
    "unknown_kid",
];

/// The cases of every OAuth client.
pub(crate) const CLIENT: &[&str] =
    &["discovery", "refresh", "rotation", "narrower_scope", "wider_scope", "unknown", "revoke"];

/// The cases of an application whose library calls a guarded API with a token of Daypass.
const APPLICATION: &[&str] = &["token_provider", "api_call", "forced_refresh", "changed_signature", "revoke"];

/// The cases of a machine client by both methods: a key, the key beside it, a revoked one, and introspection.
const MACHINE: &[&str] = &[
    "basic",
    "basic_rotated",
    "basic_revoked",
    "basic_introspection",
    "private_key",
    "private_key_rotated",
    "private_key_revoked",
    "private_key_introspection",
];

/// The cases of a client with DPoP: both grants, the repeat for a nonce, and what is denied.
const BOUND: &[&str] =
    &["refresh", "client_credentials", "nonce", "guarded_call", "without_proof", "another_key"];

/// The programs of machine clients, and those with DPoP.
pub(crate) const MACHINES: &[Source] = &[
    Source::Node("client-credentials.mjs"),
    Source::Python("client_credentials.py"),
    Source::GoClientCredentials,
    Source::Node("dpop.mjs"),
    Source::Node("jose-dpop.mjs"),
    Source::Node("openid-client-dpop.mjs"),
    Source::Python("client_dpop.py"),
];

/// The programs, by language and file.
pub(crate) const PROGRAMS: &[Source] = &[
    Source::Node("jose.mjs"),
    Source::Node("aws-jwt-verify.mjs"),
    Source::Python("verify_pyjwt.py"),
    Source::Go,
    Source::Java("SpringSecurity.java"),
    Source::Node("openid-client.mjs"),
    Source::Python("client_authlib.py"),
    Source::Node("appauth.mjs"),
    Source::Node("amplify.mjs"),
];

/// A program in the repository.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    Node(&'static str),
    Python(&'static str),
    Go,
    GoClientCredentials,
    Java(&'static str),
}

/// A program that can be run.
#[derive(Debug)]
pub(crate) struct Program {
    source: Source,
    words: Vec<PathBuf>,
}

/// Output of a program.
#[derive(Debug, Deserialize)]
pub(crate) struct Covered {
    pub(crate) library: String,
    pub(crate) version: String,
    pub(crate) cases: Vec<String>,
}

/// Output of a program that makes hashes.
#[derive(Debug, Deserialize)]
pub(crate) struct Made {
    pub(crate) library: String,
    pub(crate) version: String,
    pub(crate) users: Vec<MadeUser>,
}

/// Output of a program that judges responses of authenticators.
#[derive(Debug, Deserialize)]
pub(crate) struct Judged {
    pub(crate) library: String,
    pub(crate) version: String,
    pub(crate) verdicts: Vec<bool>,
}

/// A user as a line of JSON, for `--system`.
#[derive(Debug, Deserialize)]
pub(crate) struct MadeUser {
    pub(crate) system: String,
    pub(crate) line: String,
    pub(crate) password: String,
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {} {}: {}", self.library, self.version, self.cases.join(", "))
    }
}

impl Source {
    /// The program with its command, which the gate has installed.
    pub(crate) fn find(&self) -> Program {
        let sources = workspace_root().join("tests/interop");
        let words = match self {
            Self::Node(file) => vec!["node".into(), tool("DAYPASS_TEST_NODE_PROGRAMS").join(file)],
            Self::Python(file) => vec![tool("DAYPASS_TEST_PYTHON"), sources.join("python").join(file)],
            Self::Go => vec![tool("DAYPASS_TEST_GO_PROGRAM")],
            Self::GoClientCredentials => vec![tool("DAYPASS_TEST_GO_PROGRAM"), "clientcredentials".into()],
            Self::Java(file) => {
                let libraries = tool("DAYPASS_TEST_JAVA_LIBRARIES").join("*");
                // Only the C1 compiler: the program ends in seconds.
                let quick = "-XX:TieredStopAtLevel=1".into();
                vec!["java".into(), quick, "--class-path".into(), libraries, sources.join("java").join(file)]
            }
        };
        Program { source: *self, words }
    }
}

pub(crate) fn tool(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    path.unwrap_or_else(|| panic!("run `cargo verify --only interop`: it installs what {variable} names"))
        .into()
}

impl Program {
    /// The cases that the program covers.
    pub(crate) fn cases(&self) -> &'static [&'static str] {
        match self.source {
            Source::Node("openid-client.mjs" | "appauth.mjs") | Source::Python("client_authlib.py") => CLIENT,
            Source::Node("amplify.mjs") => APPLICATION,
            Source::Node("client-credentials.mjs") | Source::Python("client_credentials.py") => MACHINE,
            Source::Node("openid-client-dpop.mjs") | Source::Python("client_dpop.py") => BOUND,
            Source::Node("dpop.mjs") => &["ES256", "Ed25519", "RS256"],
            Source::Node("jose-dpop.mjs") => &["ES256", "EdDSA", "Ed25519", "RS256"],
            // The library knows neither private keys nor introspection.
            Source::GoClientCredentials => MACHINE.split_at(3).0,
            _ => VERIFIER,
        }
    }

    /// The command and its arguments.
    pub(crate) fn words(&self) -> &[PathBuf] {
        &self.words
    }

    /// Whether its library supports the algorithm. Spring Security knows no EdDSA.
    pub(crate) fn supports(&self, algorithm: Algorithm) -> bool {
        !(matches!(self.source, Source::Java(_)) && algorithm == Algorithm::EdDsa)
    }

    /// Runs the program with a case on its standard input. Panics if it fails.
    pub(crate) async fn run(&self, case: &Value, stack: &Stack) -> Covered {
        // Each language has another variable for an additional certificate authority.
        let names = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];
        self.answer(case, |command| {
            for name in names {
                command.env(name, stack.authority().unwrap());
            }
        })
        .await
    }

    /// Runs a program that makes hashes. Panics if it fails.
    pub(crate) async fn made(&self, passwords: &Value) -> Made {
        self.answer(passwords, |_| ()).await
    }

    /// Runs a program that judges responses of authenticators. Panics if it fails.
    pub(crate) async fn judged(&self, cases: &Value) -> Judged {
        self.answer(cases, |_| ()).await
    }

    async fn answer<T: DeserializeOwned>(&self, input: &Value, change: impl FnOnce(&mut Command)) -> T {
        let [program, arguments @ ..] = self.words.as_slice() else { panic!("no program") };
        let mut command = Command::new(program);
        command
            .args(arguments)
            // The service is on this machine, also if the developer uses a proxy.
            .env("NO_PROXY", "localhost")
            .env("no_proxy", "localhost")
            .env_remove("NODE_OPTIONS")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        change(&mut command);
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{:?} failed: see above\n{said}", self.words);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{:?} says {said}: {error}", self.words))
    }
}
