//! The steps of `cargo verify`. Cheap steps come first. A step starts when its prerequisites have ended.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use daypass_tools::{
    DynamoDbLocal, FUNCTIONS, Function, Ministack, book_tool, cargo, cargo_deny, cargo_lambda, cfn_lint,
    checkov, chromium, go_program, headless_shell, java_libraries, node, npm_packages, playwright,
    python_packages, run, rust_programs, say, target_dir, tsc, workspace_root,
};

use crate::arm64::arm64;
use crate::budget::{inspect, weigh};
use crate::deployment::{deployment, examples};
use crate::fuzz::fuzz;
use crate::lambda::{build_of, cargo_lambda_build, compare_binaries, compare_compilations};
use crate::nextest::Tests;
use crate::plan::{Depth, Plan, archives, build, without_aws};
use crate::rehearsal::rehearsal;

pub(crate) struct Step {
    /// Name, as in `--only`.
    pub(crate) name: &'static str,
    /// What the step proves, in one line.
    pub(crate) reason: &'static str,
    /// Least depth that runs it.
    pub(crate) depth: Depth,
    /// Deadline, in minutes. It is about four times the duration on two cores.
    pub(crate) deadline: Duration,
    /// Prerequisites, if they are part of the run.
    pub(crate) after: &'static [&'static str],
    /// Whether it holds Cargo's lock on the development build for long. One such step runs at a time.
    pub(crate) compiles: bool,
    /// The least depth in which it measures time, and so runs beside no other step.
    pub(crate) alone: Option<Depth>,
    /// Whether a busy machine breaks time limits in it. The other steps get less processor time.
    pub(crate) urgent: bool,
    /// Whether it runs tests, which a filter can select.
    pub(crate) takes_filter: bool,
    pub(crate) run: fn(&Plan) -> Result<()>,
}

impl Step {
    pub(crate) fn runs_in(&self, depth: Depth) -> bool {
        self.depth <= depth
    }

    /// Whether no other step runs beside it.
    pub(crate) fn runs_alone_in(&self, depth: Depth) -> bool {
        self.alone.is_some_and(|least| least <= depth)
    }

    /// Deadline of the step; longer in the full depth, which does more.
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
            alone: None,
            urgent: false,
            takes_filter: false,
            run,
        }
    }

    /// A step of tests. It starts after the build.
    const fn tests(
        name: &'static str,
        reason: &'static str,
        minutes: u64,
        run: fn(&Plan) -> Result<()>,
    ) -> Self {
        Self { after: &["build"], takes_filter: true, ..Self::new(name, reason, minutes, run) }
    }

    /// A step of fuzz targets, which it compiles itself. A filter chooses among them.
    const fn fuzzing(
        name: &'static str,
        reason: &'static str,
        minutes: u64,
        run: fn(&Plan) -> Result<()>,
    ) -> Self {
        Self { takes_filter: true, ..Self::new(name, reason, minutes, run).full() }
    }

    const fn compiling(self) -> Self {
        Self { compiles: true, ..self }
    }

    const fn after(self, after: &'static [&'static str]) -> Self {
        Self { after, ..self }
    }

    const fn urgent(self) -> Self {
        Self { urgent: true, ..self }
    }

    /// Restricts the step to `--full`.
    const fn full(self) -> Self {
        Self { depth: Depth::Full, ..self }
    }

    /// In the full depth it measures time.
    const fn alone(self) -> Self {
        Self { alone: Some(Depth::Full), ..self }
    }
}

pub(crate) const STEPS: &[Step] = &[
    Step::new("fmt", "the code is formatted", 2, fmt),
    Step::new("clippy", "no compiler or clippy warning, including tests and fuzz targets", 15, clippy)
        .compiling(),
    Step::new("deny", "licences, banned and duplicate crates, sources of crates", 5, deny),
    Step::new(
        "template",
        "the templates are valid, pass the policy scanner, and `sam build` compiles what the gate measures",
        8,
        template,
    ),
    Step::new(
        "deployment",
        "documented parameters, regions, calls of CloudFormation and rights of roles, without an account",
        8,
        deployment,
    ),
    Step::new("examples", "the examples for CDK and the Serverless Framework", 10, examples).full(),
    Step::new("book", "the book builds, its links work, its Markdown is tidy", 5, book),
    Step::new("build", "everything compiles with the features of the tests", 15, build)
        .after(&["clippy"])
        .compiling(),
    Step::new("docs", "the documentation of the code builds without broken links", 8, docs)
        .after(&["build"])
        .compiling(),
    Step::new(
        "release",
        "the deployed functions: size budget, processor, glibc, the same bytes from `sam build`",
        30,
        release,
    ),
    Step::tests("arm64", "the functions for arm64, started under QEMU", 45, arm64).full(),
    Step::tests(
        "rehearsal",
        "the stack on a local AWS (MiniStack), called through its API Gateway",
        20,
        rehearsal,
    )
    .after(&["build", "release"])
    .urgent()
    .alone(),
    Step::tests("test", "all tests that need Cargo alone", 25, test),
    Step::tests("browser", "the client module in Node.js, and with the whole stack in Chromium", 20, browser)
        .urgent(),
    Step::tests("failures", "sessions under failures: docs/operations/failures.md", 12, failures),
    Step::tests(
        "interop",
        "JWT verifiers, OAuth clients and a passkey authenticator of other projects (Node.js, Python, Go, Java, Rust)",
        12,
        interop,
    )
    .urgent(),
    Step::tests("model", "random walks agree with a model and find every seeded bug", 15, model),
    Step::tests(
        "revocation",
        "a revoked session is rejected in time, under load and while the feed fails",
        12,
        revocation,
    )
    .urgent()
    .alone(),
    Step::tests("dynamodb", "the store contract, and endings under load, on DynamoDB Local", 20, dynamodb),
    Step::tests("black-box", "the whole stack over HTTP, also through `cargo lambda watch`", 10, black_box)
        .urgent(),
    Step::tests("import", "imports of many users into the embedded DynamoDB and DynamoDB Local", 40, import),
    Step::tests("secrets", "keys from a Secrets Manager (MiniStack)", 10, secrets),
    Step::fuzzing(
        "fuzz",
        "parsers of foreign input neither panic nor contradict themselves: a minute each",
        20,
        fuzz,
    ),
    Step::tests("timing", "response times reveal nothing, and promised times hold (statistics)", 20, timing)
        .full()
        .alone(),
    Step::new(
        "bench",
        "the authorizer compared with its floor and its peers; argon2id compared with C",
        20,
        bench,
    )
    .after(&["release"])
    .full()
    .alone(),
];

fn fmt(_: &Plan) -> Result<()> {
    // The programs for interop are a workspace of their own.
    for (manifest, remedy) in [
        ("Cargo.toml", "cargo fmt --all"),
        ("tests/interop/rust/Cargo.toml", "cargo fmt --manifest-path tests/interop/rust/Cargo.toml"),
    ] {
        run("fmt", cargo().args(["fmt", "--all", "--check", "--manifest-path", manifest]))
            .map_err(|error| anyhow!("{error:#}\n`{remedy}` repairs it"))?;
    }
    Ok(())
}

/// What Clippy checks, with the fuzz targets, which only `--full` builds.
const CHECKED: [&str; 5] = ["--workspace", "--all-targets", "--locked", "--features", "daypass-fuzz/targets"];

fn clippy(_: &Plan) -> Result<()> {
    run("clippy", cargo().args(["clippy", "--quiet"]).args(CHECKED).args(["--", "-D", "warnings"]))
}

/// The documentation of the code.
const DOCUMENTED: [&str; 4] = ["--workspace", "--no-deps", "--document-private-items", "--locked"];

fn docs(_: &Plan) -> Result<()> {
    run("docs", cargo().args(["doc", "--quiet"]).args(DOCUMENTED).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Without advisories, because a new entry in their database would fail an unchanged commit. `cargo tools advisories`
/// checks them at night.
fn deny(_: &Plan) -> Result<()> {
    // Warnings are errors, so an unneeded exception in deny.toml fails.
    let arguments = ["--locked", "check", "--deny", "warnings", "bans", "licenses", "sources"];
    run("deny", Command::new(cargo_deny()?).current_dir(workspace_root()).args(arguments))
}

/// Deployed templates: ours with its nested stacks, the example's and the rehearsal's.
const TEMPLATES: [&str; 10] = [
    "template.yaml",
    "infra/api.yaml",
    "infra/mail.yaml",
    "infra/observability.yaml",
    "infra/security-events.yaml",
    "infra/authorizer.yaml",
    "infra/recovery/kept.yaml",
    "infra/examples/guarded-api/template.yaml",
    "infra/examples/orders/template.yaml",
    "infra/rehearsal/apis.yaml",
];

/// The templates of the stack.
const STACK: [&str; 5] = [
    "template.yaml",
    "infra/api.yaml",
    "infra/mail.yaml",
    "infra/observability.yaml",
    "infra/security-events.yaml",
];

fn template(_: &Plan) -> Result<()> {
    let packaged = crate::templates::write_all(&target_dir().join("verify/package"))?;
    let mut lint = Command::new(cfn_lint()?);
    // The nested templates are copies.
    let packaged = packaged.iter().filter(|file| file.to_string_lossy().ends_with("-arm64.yaml"));
    let lint = without_aws(&mut lint).current_dir(workspace_root()).args(TEMPLATES).args(packaged);
    run("cfn-lint", lint)?;
    // `.checkov.yaml` lists the skipped rules with reasons.
    let mut scan = Command::new(checkov()?);
    scan.args(["--quiet", "--compact", "--config-file", ".checkov.yaml", "--file"]).args(STACK);
    run("checkov", without_aws(&mut scan).current_dir(workspace_root()))?;
    compare_compilations()
}

/// Builds `docs/` into `target/book` by `zensical.toml`.
fn book(_: &Plan) -> Result<()> {
    let tool = |name: &str| -> Result<Command> {
        let mut command = Command::new(book_tool(name)?);
        command.current_dir(workspace_root());
        Ok(command)
    };
    // Strict: a missing link or anchor is an error.
    run("zensical", tool("zensical")?.args(["build", "--strict", "--clean"]))?;
    // The pages of the book, and the documents beside it.
    let links = ["--offline", "--no-progress", "--include-fragments", "--exclude-path", "node_modules"];
    let book = ["--index-files", "index.html", "--root-dir", "target/book", "target/book/**/*.html"];
    run("lychee", tool("lychee")?.args(links).args(book))?;
    let beside = ["*.md", "infra/**/*.md", "shared/**/*.md", "tests/**/*.md"];
    run("lychee", tool("lychee")?.args(links).args(beside))?;
    // `.rumdl.toml` lists the skipped rules with reasons.
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

/// A suite of `tests/it/suites`, with the built functions.
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
    // The SDK finds MiniStack as it finds AWS. MiniStack accepts any credentials.
    suite(plan, "secrets_manager")?
        .env("AWS_ENDPOINT_URL", server.url())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .run()
}

fn black_box(plan: &Plan) -> Result<()> {
    // Installed here, so that no download counts as test time.
    cargo_lambda()?;
    let server = DynamoDbLocal::start()?;
    suite(plan, "black_box")?.env("DAYPASS_TEST_DYNAMODB", server.url()).run()
}

fn revocation(plan: &Plan) -> Result<()> {
    // The programs of docs/security/revocation.md use it.
    node()?;
    suite(plan, "revocation")?.run()
}

fn interop(plan: &Plan) -> Result<()> {
    let folder = workspace_root().join("tests/interop");
    let node = npm_packages("interop-node", &folder.join("node"))?;
    let python = python_packages("interop-python", &folder.join("python/requirements.txt"))?;
    let go = go_program("interop-go", &folder.join("go"))?;
    let java = java_libraries("interop-java", &folder.join("java"))?;
    let rust = rust_programs("interop-rust", &folder.join("rust"))?;
    let examples = workspace_root().join("infra/examples");
    let express = npm_packages("express", &examples.join("express"))?;
    let fastapi = python_packages("fastapi", &examples.join("fastapi/requirements.txt"))?;
    suite(plan, "interop")?
        .env("DAYPASS_TEST_EXPRESS", express)
        .env("DAYPASS_TEST_FASTAPI", fastapi)
        .env("DAYPASS_TEST_NODE_PROGRAMS", node)
        .env("DAYPASS_TEST_PYTHON", python)
        .env("DAYPASS_TEST_GO_PROGRAM", go)
        .env("DAYPASS_TEST_JAVA_LIBRARIES", java)
        .env("DAYPASS_TEST_RUST_PROGRAMS", rust)
        .run()
}

fn browser(plan: &Plan) -> Result<()> {
    // Checked before the build.
    let chromium = chromium()?;
    let folder = workspace_root().join("infra/browser");
    // With esbuild. The unit tests make the build, and the scenarios in Chromium use it.
    let tools = npm_packages("browser", &folder)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.join("test"))? {
        files.push(entry?.path());
    }
    files.retain(|file| file.to_string_lossy().ends_with(".test.mjs"));
    files.sort();
    let mut unit = node()?;
    unit.args(["--test", "--test-reporter=spec"]).args(files);
    run("node", unit.env("DAYPASS_TEST_BUILD_TOOLS", &tools).current_dir(&folder))?;
    run("tsc", node()?.arg(tsc()?).args(["--project", "test"]).current_dir(folder))?;
    let quick = headless_shell().filter(|_| plan.depth == Depth::Gate);
    suite(plan, "browser")?
        .env("DAYPASS_TEST_BROWSER", quick.as_ref().unwrap_or(&chromium))
        .env("CHROMIUM", chromium)
        .env("DAYPASS_TEST_PLAYWRIGHT", playwright()?)
        .env("DAYPASS_TEST_MODULE", tools.join("dist/daypass.min.js"))
        .run()
}

/// Functions that the gate builds for release: the one with a tight budget. Each of the others takes a minute of
/// link-time optimisation over the AWS SDK, and changes when the SDK does.
const GATE: [&str; 1] = ["authorizer"];

/// Functions that are built for release in this depth.
pub(crate) fn released(depth: Depth) -> Vec<&'static Function> {
    let in_depth = |function: &&Function| depth == Depth::Full || GATE.contains(&function.binary);
    FUNCTIONS.iter().filter(in_depth).collect()
}

/// Builds each function as `sam build` does, for this machine's processor, and compares both binaries.
fn release(plan: &Plan) -> Result<()> {
    build_release(&released(plan.depth))?;
    if plan.depth == Depth::Full {
        run("release", whoami()?.args(["--output-format", "zip"]))?;
    }
    Ok(())
}

/// Builds, weighs and inspects the archives of these functions, and compares them with those of `sam build`.
pub(crate) fn build_release(functions: &[&Function]) -> Result<()> {
    // An archive of an earlier build must not replace a missing one.
    for function in functions {
        let folder = archives().join(function.binary);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
        }
        run("release", build_of(function)?.args(["--output-format", "zip"]))?;
    }
    say(&weigh(functions, &archives())?);
    say(&inspect(functions, &archives())?);
    compare_binaries(functions, &archives())
}

/// The build of the guarded sample.
fn whoami() -> Result<Command> {
    cargo_lambda_build("infra/examples/whoami", "whoami")
}

/// Tries of the bench. On a busy machine, one try can fail by chance.
const BENCH_TRIES: &str = "3";

/// Measures the release builds of the previous step, as files and not as archives. Only the floor is compiled.
fn bench(plan: &Plan) -> Result<()> {
    for (folder, floor) in [("infra/bench/floor", "floor"), ("infra/bench/floor-aws", "floor-aws")] {
        run("bench", &mut cargo_lambda_build(folder, floor)?)?;
    }
    run("bench", &mut whoami()?)?;
    for function in released(plan.depth) {
        run("bench", &mut build_of(function)?)?;
    }
    build(plan)?;
    let debug = target_dir().join("debug");
    for extra in [&[][..], &["--revocations"], &["--functions"]] {
        let mut command = Command::new(debug.join("bench-authorizer"));
        let command = without_aws(&mut command).current_dir(workspace_root()).args(extra);
        run("bench", command.arg("--built").arg(archives()).args(["--gate", "--tries", BENCH_TRIES]))?;
    }
    // A development build has the same code for it: see the profiles in Cargo.toml.
    run("bench-argon2", &mut Command::new(debug.join("bench-argon2")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{CHECKED, DOCUMENTED, workspace_root};
    use crate::lambda::units;
    use crate::plan::BUILT;

    /// Another set of features would compile the AWS SDK again.
    #[test]
    fn dependencies_have_one_set_of_features() {
        let dependencies = |command: &str, arguments: &[&str]| -> BTreeSet<String> {
            let words = std::iter::once(command).chain(arguments.iter().copied());
            let units = units(&workspace_root(), words).unwrap().into_iter();
            units.filter(|unit| unit.contains("registry+")).collect()
        };
        let (built, checked) = (dependencies("build", &BUILT), dependencies("check", &CHECKED));
        let other = |units: BTreeSet<String>, known: &BTreeSet<String>| {
            assert!(units.len() > 100);
            units.difference(known).next().cloned()
        };
        assert_eq!(other(dependencies("build", &["--locked", "--bin", "daypass-dev"]), &built), None);
        assert_eq!(other(dependencies("doc", &DOCUMENTED), &checked), None);
    }

    /// A suite without a step would not run.
    #[test]
    fn every_suite_has_a_step() {
        let suites = std::fs::read_to_string(workspace_root().join("tests/it/suites/mod.rs")).unwrap();
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
