//! The steps of the gate, cheap ones first, so that a typing error is told in seconds.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use daypass_tools::{
    DynamoDbLocal, Ministack, cargo, cargo_deny, cargo_lambda, cfn_lint, checkov, chromium, go_program,
};
use daypass_tools::{
    node, npm_packages, playwright, python_packages, run, say, target_dir, tsc, workspace_root,
};

use crate::budget::{FUNCTIONS, inspect, weigh};
use crate::rehearsal::rehearsal;
use crate::testing::run_tests;

/// One check.
pub(crate) struct Step {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it holds, in one line.
    pub(crate) reason: &'static str,
    pub(crate) run: fn() -> Result<()>,
}

/// All steps in their order.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", reason: "the code is formatted", run: fmt },
    Step { name: "clippy", reason: "no compiler or clippy warning, in tests neither", run: clippy },
    Step { name: "docs", reason: "the documentation builds, and no link in it is broken", run: docs },
    Step { name: "deny", reason: "licences, banned and duplicate crates, where crates come from", run: deny },
    Step {
        name: "template",
        reason: "the templates are valid SAM templates, and the stack's passes the policy scanner",
        run: template,
    },
    Step { name: "test", reason: "all tests that need no tool but Cargo", run: test },
    Step {
        name: "model",
        reason: "random walks over the functions agree with a model, and find every seeded bug",
        run: model,
    },
    Step {
        name: "failures",
        reason: "what becomes of sessions when things fail: docs/failures.md",
        run: failures,
    },
    Step {
        name: "guesses",
        reason: "10,000 guesses pass no limit, and 500 refusals of each kind take the same time",
        run: guesses,
    },
    Step {
        name: "dynamodb",
        reason: "the store contract, and endings in full traffic, on DynamoDB Local",
        run: dynamodb,
    },
    Step {
        name: "moving",
        reason: "many users move in, on the embedded DynamoDB and on DynamoDB Local",
        run: moving,
    },
    Step { name: "secrets", reason: "keys from a Secrets Manager (MiniStack)", run: secrets },
    Step { name: "black-box", reason: "the whole over HTTP, through `cargo lambda watch`", run: black_box },
    Step {
        name: "revocation",
        reason: "access tokens called back: how soon, under load, and while the feed fails",
        run: revocation,
    },
    Step {
        name: "interop",
        reason: "JWT verifiers and OAuth clients of others (Node.js, Python, Go, Rust), before the whole",
        run: interop,
    },
    Step {
        name: "browser",
        reason: "the client module, alone and in Chromium before the whole",
        run: browser,
    },
    Step {
        name: "release",
        reason: "the functions as they are deployed: their size budget, their processor, the glibc that they need",
        run: release,
    },
    Step {
        name: "bench",
        reason: "the authorizer beside the least that it could take, and beside its peers; argon2id beside C",
        run: bench,
    },
    Step {
        name: "rehearsal",
        reason: "deployed to a local AWS (MiniStack), and asked through its API Gateway",
        run: rehearsal,
    },
];

fn fmt() -> Result<()> {
    run("fmt", cargo().args(["fmt", "--all", "--check"]))
        .map_err(|error| anyhow!("{error:#}\n`cargo fmt --all` repairs it"))
}

fn clippy() -> Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    run("clippy", cargo().args(arguments))
}

fn docs() -> Result<()> {
    let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    run("docs", cargo().args(arguments).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Not `advisories`: its database is fetched from the network, and a new entry there would fail a commit that was
/// fine. deny.toml names the command for it.
fn deny() -> Result<()> {
    // Warnings are errors: an exception in deny.toml that nothing needs any more must go.
    let arguments = ["--locked", "check", "--deny", "warnings", "bans", "licenses", "sources"];
    run("deny", Command::new(cargo_deny()?).current_dir(workspace_root()).args(arguments))
}

/// The templates that are deployed: ours, the example's, and the rehearsal's.
const TEMPLATES: [&str; 3] =
    ["template.yaml", "infra/examples/guarded-api/template.yaml", "infra/rehearsal/apis.yaml"];

fn template() -> Result<()> {
    let mut lint = Command::new(cfn_lint()?);
    run("cfn-lint", without_aws(&mut lint).current_dir(workspace_root()).args(TEMPLATES))?;
    // Of what is deployed to stay; `.checkov.yaml` says what it is not asked.
    let mut scan = Command::new(checkov()?);
    scan.args(["--file", "template.yaml", "--config-file", ".checkov.yaml"]);
    run("checkov", without_aws(&mut scan).current_dir(workspace_root()))
}

fn test() -> Result<()> {
    run_tests(without_aws(&mut cargo()).args(["test", "--workspace", "--locked"]))
}

/// Walks of the model test. From 2,000 on it fails when a kind of operation or outcome was never reached.
const MODEL_CASES: &str = "2000";

fn model() -> Result<()> {
    let mut command = cargo();
    without_aws(&mut command)
        .args(["test", "--workspace", "--locked", "--test", "model", "--", "--nocapture"])
        .env("DAYPASS_MODEL_CASES", MODEL_CASES);
    // The one variable that a developer may want to hand through: other walks.
    if let Some(seed) = std::env::var_os("DAYPASS_MODEL_SEED") {
        command.env("DAYPASS_MODEL_SEED", seed);
    }
    run_tests(&mut command)
}

/// Takes the variables away by which a developer chooses an AWS account, an endpoint or a stack: no test may meet them.
pub(crate) fn without_aws(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("AWS_") || name.starts_with("DAYPASS_")) {
            command.env_remove(name);
        }
    }
    command
}

fn failures() -> Result<()> {
    binaries("failures")?;
    let arguments = ["test", "--workspace", "--locked", "--test", "failures", "--", "--nocapture"];
    let mut command = cargo();
    run_tests(
        without_aws(&mut command).args(arguments).env("DAYPASS_TEST_FUNCTIONS", target_dir().join("debug")),
    )
}

/// What `test` does with fewer, and says how it went.
fn guesses() -> Result<()> {
    let arguments =
        ["test", "--workspace", "--locked", "--test", "throttle", "--test", "oracle", "--", "--nocapture"];
    run_tests(without_aws(&mut cargo()).args(arguments).env("DAYPASS_TEST_GUESSES", "10000"))
}

/// Builds every binary of the workspace for `step`, with the features of the tests, so that nothing is compiled twice.
fn binaries(step: &str) -> Result<()> {
    let arguments = ["build", "--workspace", "--locked", "--bins", "--test", "failures"];
    run(step, without_aws(&mut cargo()).args(arguments))
}

fn dynamodb() -> Result<()> {
    let server = DynamoDbLocal::start()?;
    for target in ["dynamodb_local", "ending"] {
        test_with_tool(target, [("DAYPASS_TEST_DYNAMODB", server.url())])?;
    }
    Ok(())
}

/// Users who move in; 100,000 are what the documentation speaks of, and take a quarter of an hour.
const MOVING_USERS: &str = "4000";

fn moving() -> Result<()> {
    let server = DynamoDbLocal::start()?;
    let mut command = cargo();
    without_aws(&mut command)
        .args(["test", "--workspace", "--locked", "--test", "cli", "--", "--nocapture", "scale::"])
        .env("DAYPASS_TEST_DYNAMODB", server.url())
        // The one variable that a developer may want to hand through: how many.
        .env("DAYPASS_MOVING_USERS", std::env::var_os("DAYPASS_MOVING_USERS").unwrap_or(MOVING_USERS.into()));
    run_tests(&mut command)
}

fn secrets() -> Result<()> {
    let server = Ministack::secrets_manager()?;
    // The SDK finds it as it finds AWS; MiniStack takes any credentials.
    let environment = [
        ("AWS_ENDPOINT_URL", server.url()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    test_with_tool("secrets_manager", environment)
}

fn black_box() -> Result<()> {
    // Installed here, so that the test's own time has no download in it.
    cargo_lambda()?;
    let server = DynamoDbLocal::start()?;
    test_with_tool("black_box", [("DAYPASS_TEST_DYNAMODB", server.url())])
}

fn revocation() -> Result<()> {
    cargo_lambda()?;
    // Told before anything is built that it is missing.
    node()?;
    let arguments = ["test", "--workspace", "--locked", "--test", "revocation", "--", "--nocapture"];
    run_tests(without_aws(&mut cargo()).args(arguments))
}

fn interop() -> Result<()> {
    let folder = workspace_root().join("tests/interop");
    let environment = [
        ("DAYPASS_TEST_NODE_PROGRAMS", npm_packages("interop-node", &folder.join("node"))?),
        ("DAYPASS_TEST_PYTHON", python_packages("interop-python", &folder.join("python/requirements.txt"))?),
        ("DAYPASS_TEST_GO_PROGRAM", go_program("interop-go", &folder.join("go"))?),
    ];
    cargo_lambda()?;
    test_with_tool("interop", environment)
}

fn browser() -> Result<()> {
    // Told before anything is built or installed.
    let chromium = chromium()?;
    let folder = workspace_root().join("infra/browser");
    run(
        "node",
        node()?.args(["--test", "--test-reporter=spec", "test/daypass.test.mjs"]).current_dir(&folder),
    )?;
    run("tsc", node()?.arg(tsc()?).args(["--project", "test"]).current_dir(folder))?;
    cargo_lambda()?;
    let environment = [("CHROMIUM", chromium), ("DAYPASS_TEST_PLAYWRIGHT", playwright()?)];
    test_with_tool("browser", environment)
}

/// Runs a test target of daypass-tests that plain `cargo test` leaves out, with variables that name its tool.
///
/// `--workspace` instead of `--package daypass-tests`: with another choice of packages Cargo settles on other
/// features, and would build the whole AWS SDK a second time.
fn test_with_tool<V: AsRef<OsStr>>(
    target: &str,
    environment: impl IntoIterator<Item = (&'static str, V)>,
) -> Result<()> {
    let arguments = ["test", "--workspace", "--locked", "--test", target];
    run_tests(without_aws(&mut cargo()).args(arguments).envs(environment))
}

/// Builds with `cargo lambda build`, as `sam build` does, for this machine's processor: what is weighed is what is deployed
/// with the parameter `Architecture` set to it, and what is rehearsed.
fn release() -> Result<()> {
    // An archive of an earlier build must not stand in for one that was not made.
    for function in &FUNCTIONS {
        let folder = archives().join(function.binary);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
        }
    }
    build_functions(&archives())?;
    say(&weigh(&archives())?);
    say(&inspect(&archives())?);
    Ok(())
}

/// How often the bench may measure anew: on a machine that is busy throughout, one try can meet a bad moment.
const BENCH_TRIES: &str = "3";

/// Measures the release builds of the step before. Together with those that link no AWS SDK, so that Cargo settles on the
/// same features, only the floor is compiled.
fn bench() -> Result<()> {
    let without_aws_sdk = packages(false).chain(["daypass-floor"]);
    run("bench", &mut cargo_lambda_build(&archives(), without_aws_sdk)?)?;
    // Nothing is compiled: the same choice as in the step before, as files and not as archives.
    run("bench", &mut cargo_lambda_build(&archives(), packages(true).chain(["daypass-whoami"]))?)?;
    binaries("bench")?;
    let mut command = Command::new(target_dir().join("debug/bench-authorizer"));
    let command = without_aws(&mut command).current_dir(workspace_root());
    run("bench", command.arg("--built").arg(archives()).args(["--gate", "--tries", BENCH_TRIES]))?;
    let mut command = Command::new(target_dir().join("debug/bench-authorizer"));
    let command = without_aws(&mut command).current_dir(workspace_root()).arg("--revocations");
    run("bench", command.arg("--built").arg(archives()).args(["--gate", "--tries", BENCH_TRIES]))?;
    // A development build has the same code for it: see the profiles in Cargo.toml.
    run("bench-argon2", &mut Command::new(target_dir().join("debug/bench-argon2")))
}

/// Builds the archives `FOLDER/BINARY/bootstrap.zip`, of the functions and of the sample that the examples put behind them.
///
/// In two goes: built with the others, the functions without an AWS SDK would get the features that the SDK asks for of what
/// they share, and be larger than what `sam build`, which builds each alone, deploys.
pub(crate) fn build_functions(archives: &Path) -> Result<()> {
    let zip = ["--output-format", "zip"];
    run("release", cargo_lambda_build(archives, packages(false))?.args(zip))?;
    run("release", cargo_lambda_build(archives, packages(true).chain(["daypass-whoami"]))?.args(zip))
}

/// The functions that link an AWS SDK, or those that do not.
pub(crate) fn packages(with_aws: bool) -> impl Iterator<Item = &'static str> {
    let links_aws = |package: &str| package != "daypass-authorizer-function";
    FUNCTIONS.iter().map(|function| function.package).filter(move |package| links_aws(package) == with_aws)
}

/// `cargo lambda build` of some packages.
fn cargo_lambda_build(archives: &Path, packages: impl Iterator<Item = &'static str>) -> Result<Command> {
    let mut command = cargo_lambda()?.command()?;
    command.args(["build", "--release", "--locked", "--lambda-dir"]).arg(archives);
    for package in packages {
        command.args(["--package", package]);
    }
    Ok(command)
}

/// Where it leaves them.
pub(crate) fn archives() -> PathBuf {
    target_dir().join("lambda")
}
