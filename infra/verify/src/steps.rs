//! What `cargo verify` checks. Cheap steps come first; a step starts as soon as the steps that it comes after have ended.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use daypass_tools::{
    DynamoDbLocal, FUNCTIONS, Function, Ministack, book_tool, cargo, cargo_deny, cargo_lambda, cfn_lint,
    checkov, chromium, go_program, node, npm_packages, playwright, python_packages, run, say, target_dir,
    tsc, workspace_root,
};

use crate::arm64::arm64;
use crate::budget::{inspect, packages, weigh};
use crate::nextest::Tests;
use crate::plan::{Depth, Plan, archives, build, without_aws};
use crate::rehearsal::rehearsal;

/// One check.
pub(crate) struct Step {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it proves, in one line.
    pub(crate) reason: &'static str,
    /// The least depth that runs it.
    pub(crate) depth: Depth,
    /// After so long it is ended, and has failed. About four times what it takes on two cores.
    pub(crate) deadline: Duration,
    /// Steps that must have ended before it starts, when they are part of the run.
    pub(crate) after: &'static [&'static str],
    /// Whether it holds Cargo's lock on the development build for long: one step at a time does.
    pub(crate) compiles: bool,
    /// Whether it measures, and so runs beside no other step.
    pub(crate) alone: bool,
    /// Whether it runs tests, which a filter can choose from.
    pub(crate) takes_filter: bool,
    pub(crate) run: fn(&Plan) -> Result<()>,
}

impl Step {
    pub(crate) fn runs_in(&self, depth: Depth) -> bool {
        self.depth <= depth
    }

    /// After so long the step is ended: in the full depth it does more.
    pub(crate) fn deadline(&self, depth: Depth) -> Duration {
        match depth {
            Depth::Gate => self.deadline,
            Depth::Full => self.deadline * 3,
        }
    }

    pub(crate) const fn new(
        name: &'static str,
        reason: &'static str,
        minutes: u64,
        run: fn(&Plan) -> Result<()>,
    ) -> Self {
        let deadline = Duration::from_secs(60 * minutes);
        Self {
            name,
            reason,
            depth: Depth::Gate,
            deadline,
            after: &[],
            compiles: false,
            alone: false,
            takes_filter: false,
            run,
        }
    }

    /// A step of tests: they start when everything is built.
    const fn tests(
        name: &'static str,
        reason: &'static str,
        minutes: u64,
        run: fn(&Plan) -> Result<()>,
    ) -> Self {
        Self { after: &["build"], takes_filter: true, ..Self::new(name, reason, minutes, run) }
    }

    const fn compiling(self) -> Self {
        Self { compiles: true, ..self }
    }

    const fn after(self, after: &'static [&'static str]) -> Self {
        Self { after, ..self }
    }

    /// Only `--full` runs it.
    const fn full(self) -> Self {
        Self { depth: Depth::Full, ..self }
    }

    /// It measures.
    const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }
}

/// All steps.
pub(crate) const STEPS: &[Step] = &[
    Step::new("fmt", "the code is formatted", 2, fmt),
    Step::new("clippy", "no compiler or clippy warning, in tests neither", 15, clippy).compiling(),
    Step::new("deny", "licences, banned and duplicate crates, where crates come from", 5, deny),
    Step::new("template", "the templates are valid, and the stack's passes the policy scanner", 8, template),
    Step::new("book", "the book builds strictly, its links hold, its Markdown is tidy", 5, book),
    Step::new("build", "everything compiles as it is tested", 15, build).after(&["clippy"]).compiling(),
    Step::new("docs", "the documentation builds, and no link in it is broken", 8, docs)
        .after(&["build"])
        .compiling(),
    Step::new("release", "functions as they are deployed: size budget, processor, glibc", 30, release),
    Step::tests("arm64", "the functions for arm64, started under QEMU", 45, arm64).full(),
    Step::tests(
        "rehearsal",
        "deployed to a local AWS (MiniStack), and called through its API Gateway",
        20,
        rehearsal,
    )
    .after(&["build", "release"]),
    Step::tests("test", "all tests that need Cargo alone", 15, test),
    Step::tests(
        "browser",
        "the client module in Node.js, and in Chromium before the whole stack",
        12,
        browser,
    ),
    Step::tests(
        "failures",
        "what happens to sessions when things fail: docs/operations/failures.md",
        12,
        failures,
    ),
    Step::tests(
        "interop",
        "JWT verifiers and OAuth clients of others (Node.js, Python, Go, Rust)",
        12,
        interop,
    ),
    Step::tests("model", "random walks agree with a model, and find every seeded bug", 15, model),
    Step::tests(
        "revocation",
        "how soon a revoked session is rejected, under load and while the feed fails",
        12,
        revocation,
    ),
    Step::tests(
        "dynamodb",
        "the store contract, and endings in full traffic, on DynamoDB Local",
        20,
        dynamodb,
    ),
    Step::tests("black-box", "the whole stack over HTTP, and through `cargo lambda watch`", 10, black_box),
    Step::tests(
        "import",
        "many users are imported, on the embedded DynamoDB and on DynamoDB Local",
        40,
        import,
    ),
    Step::tests("secrets", "keys from a Secrets Manager (MiniStack)", 10, secrets),
    Step::tests(
        "timing",
        "what responses take reveals nothing, and promised times hold (statistics)",
        20,
        timing,
    )
    .full()
    .alone(),
    Step::new("bench", "the authorizer beside its floor and its peers; argon2id beside C", 20, bench)
        .after(&["release"])
        .full()
        .alone(),
];

fn fmt(_: &Plan) -> Result<()> {
    run("fmt", cargo().args(["fmt", "--all", "--check"]))
        .map_err(|error| anyhow!("{error:#}\n`cargo fmt --all` repairs it"))
}

fn clippy(_: &Plan) -> Result<()> {
    let arguments = ["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    run("clippy", cargo().args(arguments))
}

fn docs(_: &Plan) -> Result<()> {
    let arguments = ["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    run("docs", cargo().args(arguments).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Without advisories: a new entry in their database would fail a commit that was fine. `cargo tools advisories` asks for them at night.
fn deny(_: &Plan) -> Result<()> {
    // Warnings are errors: an exception in deny.toml that nothing needs must go.
    let arguments = ["--locked", "check", "--deny", "warnings", "bans", "licenses", "sources"];
    run("deny", Command::new(cargo_deny()?).current_dir(workspace_root()).args(arguments))
}

/// The templates that are deployed: ours, the example's, and the rehearsal's.
const TEMPLATES: [&str; 3] =
    ["template.yaml", "infra/examples/guarded-api/template.yaml", "infra/rehearsal/apis.yaml"];

fn template(_: &Plan) -> Result<()> {
    let mut lint = Command::new(cfn_lint()?);
    run("cfn-lint", without_aws(&mut lint).current_dir(workspace_root()).args(TEMPLATES))?;
    // `.checkov.yaml` lists the rules that it leaves out, with reasons.
    let mut scan = Command::new(checkov()?);
    scan.args(["--quiet", "--compact", "--file", "template.yaml", "--config-file", ".checkov.yaml"]);
    run("checkov", without_aws(&mut scan).current_dir(workspace_root()))
}

/// Builds `docs/` into `target/book`, as `zensical.toml` in the root describes.
fn book(_: &Plan) -> Result<()> {
    let tool = |name: &str| -> Result<Command> {
        let mut command = Command::new(book_tool(name)?);
        command.current_dir(workspace_root());
        Ok(command)
    };
    // Strict: a link or an anchor that does not exist is an error.
    run("zensical", tool("zensical")?.args(["build", "--strict", "--clean"]))?;
    // The book's pages as they are served, and the documents beside it.
    let links = ["--offline", "--no-progress", "--include-fragments", "--exclude-path", "node_modules"];
    let book = ["--index-files", "index.html", "--root-dir", "target/book", "target/book/**/*.html"];
    run("lychee", tool("lychee")?.args(links).args(book))?;
    let beside = ["*.md", "infra/**/*.md", "shared/**/*.md", "tests/**/*.md"];
    run("lychee", tool("lychee")?.args(links).args(beside))?;
    // `.rumdl.toml` lists the rules that it leaves out, with reasons.
    run("rumdl", tool("rumdl")?.args(["check", "--quiet", "--no-cache", "."]))
}

/// The tests of the step `import`.
const IMPORT: &str = "(package(daypass-cli) and test(/^scale::/))";

fn test(plan: &Plan) -> Result<()> {
    Tests::of(plan, &format!("not test(/^(suites|model)::/) and not {IMPORT}"))?.run()
}

fn model(plan: &Plan) -> Result<()> {
    Tests::of(plan, "test(/^model::/)")?.run()
}

/// A suite of `tests/it/suites`, with the functions built and named to it.
pub(crate) fn suite<'a>(plan: &'a Plan, module: &str) -> Result<Tests<'a>> {
    build(plan)?;
    let functions = target_dir().join("debug");
    Ok(Tests::of(plan, &format!("test(/^suites::{module}::/)"))?.env("DAYPASS_TEST_FUNCTIONS", functions))
}

fn failures(plan: &Plan) -> Result<()> {
    suite(plan, "failures")?.threads(4).run()
}

fn timing(plan: &Plan) -> Result<()> {
    let server = DynamoDbLocal::start()?;
    suite(plan, "timing")?.env("DAYPASS_TEST_DYNAMODB", server.url()).threads(1).run()
}

fn dynamodb(plan: &Plan) -> Result<()> {
    let server = DynamoDbLocal::start()?;
    suite(plan, "(dynamodb_local|ending)")?.env("DAYPASS_TEST_DYNAMODB", server.url()).run()
}

fn import(plan: &Plan) -> Result<()> {
    let server = DynamoDbLocal::start()?;
    build(plan)?;
    Tests::of(plan, IMPORT)?.env("DAYPASS_TEST_DYNAMODB", server.url()).run()
}

fn secrets(plan: &Plan) -> Result<()> {
    let server = Ministack::secrets_manager()?;
    // The SDK finds it as it finds AWS; MiniStack takes any credentials.
    suite(plan, "secrets_manager")?
        .env("AWS_ENDPOINT_URL", server.url())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .run()
}

fn black_box(plan: &Plan) -> Result<()> {
    // Installed here, so that the test's own time has no download in it.
    cargo_lambda()?;
    let server = DynamoDbLocal::start()?;
    suite(plan, "black_box")?.env("DAYPASS_TEST_DYNAMODB", server.url()).run()
}

fn revocation(plan: &Plan) -> Result<()> {
    // The programs of docs/security/revocation.md are written for it.
    node()?;
    suite(plan, "revocation")?.run()
}

fn interop(plan: &Plan) -> Result<()> {
    let folder = workspace_root().join("tests/interop");
    let node = npm_packages("interop-node", &folder.join("node"))?;
    let python = python_packages("interop-python", &folder.join("python/requirements.txt"))?;
    let go = go_program("interop-go", &folder.join("go"))?;
    suite(plan, "interop")?
        .env("DAYPASS_TEST_NODE_PROGRAMS", node)
        .env("DAYPASS_TEST_PYTHON", python)
        .env("DAYPASS_TEST_GO_PROGRAM", go)
        .run()
}

fn browser(plan: &Plan) -> Result<()> {
    // Before anything is built or installed.
    let chromium = chromium()?;
    let folder = workspace_root().join("infra/browser");
    // With esbuild. The unit tests make the build, and the scenarios in Chromium use it.
    let tools = npm_packages("browser", &folder)?;
    let unit = ["--test", "--test-reporter=spec", "test/daypass.test.mjs", "test/build.test.mjs"];
    run("node", node()?.args(unit).env("DAYPASS_TEST_BUILD_TOOLS", &tools).current_dir(&folder))?;
    run("tsc", node()?.arg(tsc()?).args(["--project", "test"]).current_dir(folder))?;
    suite(plan, "browser")?
        .env("CHROMIUM", chromium)
        .env("DAYPASS_TEST_PLAYWRIGHT", playwright()?)
        .env("DAYPASS_TEST_MODULE", tools.join("dist/daypass.min.js"))
        .run()
}

/// The functions that the gate builds for release: the one with a tight budget. Each of the others is a minute of
/// link-time optimisation over the AWS SDK, and changes when the SDK does.
const GATE: [&str; 1] = ["authorizer"];

/// The functions that are built for release in this depth.
pub(crate) fn released(depth: Depth) -> Vec<&'static Function> {
    let in_depth = |function: &&Function| depth == Depth::Full || GATE.contains(&function.binary);
    FUNCTIONS.iter().filter(in_depth).collect()
}

/// Builds with `cargo lambda build`, as `sam build` does, for this machine's processor: what is weighed is what is deployed
/// with the parameter `Architecture` set to it.
fn release(plan: &Plan) -> Result<()> {
    let functions = released(plan.depth);
    // An archive of an earlier build must not stand in for one that was not made.
    for function in &functions {
        let folder = archives().join(function.binary);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
        }
    }
    build_functions(&functions, &archives())?;
    say(&weigh(&functions, &archives())?);
    say(&inspect(&functions, &archives())?);
    Ok(())
}

/// How often the bench may measure anew: on a machine that is busy throughout, one try can meet a bad moment.
const BENCH_TRIES: &str = "3";

/// Measures the release builds of the step before. Together with those that link no AWS SDK, so that Cargo settles on the
/// same features, only the floor is compiled.
fn bench(plan: &Plan) -> Result<()> {
    let functions = released(plan.depth);
    let without_aws_sdk = packages(&functions, false).chain(["daypass-floor"]);
    run("bench", &mut cargo_lambda_build(&archives(), without_aws_sdk)?)?;
    // Nothing is compiled: the same choice as in the step before, as files and not as archives.
    run(
        "bench",
        &mut cargo_lambda_build(&archives(), packages(&functions, true).chain(["daypass-whoami"]))?,
    )?;
    build(plan)?;
    let debug = target_dir().join("debug");
    for extra in [&[][..], &["--revocations"]] {
        let mut command = Command::new(debug.join("bench-authorizer"));
        let command = without_aws(&mut command).current_dir(workspace_root()).args(extra);
        run("bench", command.arg("--built").arg(archives()).args(["--gate", "--tries", BENCH_TRIES]))?;
    }
    // A development build has the same code for it: see the profiles in Cargo.toml.
    run("bench-argon2", &mut Command::new(debug.join("bench-argon2")))
}

/// Builds the archives `FOLDER/BINARY/bootstrap.zip`, of the functions and of the sample that the examples put behind them.
///
/// In two goes: built with the others, the functions without an AWS SDK would get the features that the SDK asks for of what
/// they share, and be larger than what `sam build`, which builds each alone, deploys.
fn build_functions(functions: &[&Function], archives: &Path) -> Result<()> {
    let zip = ["--output-format", "zip"];
    for with_aws in [false, true] {
        let mut packages: Vec<&str> = packages(functions, with_aws).collect();
        if with_aws && !packages.is_empty() {
            packages.push("daypass-whoami");
        }
        if !packages.is_empty() {
            run("release", cargo_lambda_build(archives, packages.into_iter())?.args(zip))?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    /// A suite that no step names would never run.
    #[test]
    fn every_suite_has_a_step() {
        let suites =
            std::fs::read_to_string(daypass_tools::workspace_root().join("tests/it/suites/mod.rs")).unwrap();
        let sources =
            concat!(include_str!("steps.rs"), include_str!("rehearsal.rs"), include_str!("arm64.rs"));
        let mut seen = 0;
        for suite in suites.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')) {
            let named = [
                format!("(plan, \"{suite}\")"),
                format!("^suites::{suite}::"),
                format!("({suite}|"),
                format!("|{suite})"),
            ];
            assert!(named.iter().any(|name| sources.contains(name)), "no step runs {suite}");
            seen += 1;
        }
        assert!(seen > 5, "{seen} suites");
    }
}
